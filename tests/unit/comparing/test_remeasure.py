"""Stored speeds measured again: where that is refused, what is said, and what the answers come to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import comparisons as c
import factories as f
import msgspec
import pytest

from vitbench.catalog import select_plugins
from vitbench.comparing import remeasure as module
from vitbench.comparing.compare import compare_folders, compare_models
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.folder import NoDataError, open_folder
from vitbench.comparing.remeasure import NotComparableError, remeasure
from vitbench.errors import UnusableError
from vitbench.execution.executor import Ending
from vitbench.lockstep import Quad, Side, progress
from vitbench.lockstep import SpeedComparison as Lockstep
from vitbench.lockstep.process import LockstepError
from vitbench.planning import resolve
from vitbench.planning.messages import Prepared
from vitbench.records import PluginOrigin, Record

MINE = """
import vitbench


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="mine:build", summary="A model")
"""
QUAD = Quad(first=(1.0, 1.0), second=(1.0, 1.0), images=(32, 32), remarks=("vit: load average 3",))
CHANGED = " has changed since its record (vitbench 0.1.0, c0de; now "
Answers = Callable[[Side, Side], Lockstep]


class Lab:
    """A machine that is what the test says, and lockstep that answers what the test says."""

    def __init__(self) -> None:
        self.machine, self.torch, self.refusal = f.MACHINE, "2.15.0", ""
        self.verdict, self.ratio = "same", (1.0, 0.99, 1.01)
        self.error = ""
        self.asked: list[tuple[Side, Side]] = []

    def run(self, target: str, request: Any, answer: type[Prepared]) -> Ending[Prepared]:
        if self.refusal:
            return Ending(kind="refused", seconds=0, reason=self.refusal, exit_code=3)
        environment = msgspec.structs.replace(f.environment(self.machine), versions={"torch": self.torch})
        return Ending(kind="answered", seconds=0, answer=Prepared(cells=(), environment=environment))

    def compare_speeds(
        self, first: Side, second: Side, *, threshold: float, on_pair: Callable[[int], None]
    ) -> Lockstep:
        self.asked.append((first, second))
        on_pair(3)
        if self.error and first.planned.cell.mode == "training":  # type: ignore[union-attr]
            raise LockstepError(self.error)
        return Lockstep(
            labels=(first.label, second.label),
            ratio=self.ratio[0],
            low=self.ratio[1],
            high=self.ratio[2],
            verdict=self.verdict,  # type: ignore[arg-type]
            threshold=threshold,
            pairs=((QUAD,) * 2,) * 3,
        )


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab()
    monkeypatch.setattr(module, "chosen_executor", lambda: lab)
    monkeypatch.setattr(module, "compare_speeds", lab.compare_speeds)
    return lab


def two_models(folder: Path, *parts: Sequence[Record], **settings: Any) -> Comparison:
    """Compare two models that are installed."""
    parts = parts or (c.speeds("vit", 1000), c.speeds("resnet18", 1000))
    return compare_models(open_folder(c.write(folder, *parts)), ("vit", "resnet18"), **settings)


def silent(text: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize(
    ("verdict", "finding", "outcome"),
    [
        ("faster", "better", "improved"),
        ("slower", "worse", "regressed"),
        ("not resolved", "not resolved", "not resolved"),
    ],
)
def test_lockstep_decides_over_what_is_stored(
    tmp_path: Path, lab: Lab, verdict: str, finding: str, outcome: str
) -> None:
    lab.verdict, lab.ratio = verdict, (2.0, 1.6, 2.5)
    said: list[str] = []
    found = remeasure(two_models(tmp_path), said.append)
    speeds = {speed.metric: speed for speed in found.pairs[0].speeds}
    assert {speed.finding for speed in speeds.values()} == {finding}
    assert found.outcome == outcome
    assert [first.planned.cell.batch_size for first, _ in lab.asked] == [32, 1, 32]  # type: ignore[union-attr]
    assert [second.planned.cell.mode for _, second in lab.asked] == ["inference", "inference", "training"]  # type: ignore[union-attr]
    assert {(first.label, second.label) for first, second in lab.asked} == {("vit", "resnet18")}
    assert len(said) == 4
    assert "vit and resnet18 in turn, throughput" in said[1]
    rate, time = speeds["throughput"].measured, speeds["latency_p50"].measured
    assert rate is not None
    assert time is not None
    assert (rate.ratio.value, rate.ratio.low, rate.ratio.high) == (2.0, 1.6, 2.5)
    assert (time.ratio.value, time.ratio.low, time.ratio.high) == pytest.approx((0.5, 0.4, 0.625))
    assert (rate.pairs, rate.quads) == (3, 6)
    assert rate.reasons == ("all 6 quads: vit: load average 3",)


def test_speeds_of_other_names_stay_as_they_are_stored(tmp_path: Path, lab: Lab) -> None:
    foreign = [c.foreign_speeds(label, speed) for label, speed in (("vit", 1000), ("resnet18", 2000))]
    with pytest.raises(NoDataError, match="none of throughput, latency_p50, train_throughput that was stored under"):
        remeasure(two_models(tmp_path / "alone", *foreign), silent)
    own = c.speeds("vit", 1000), c.speeds("resnet18", 1000)
    together = [
        msgspec.structs.replace(one, measurements=one.measurements + other.measurements)
        for records in zip(own, foreign, strict=True)
        for one, other in zip(*records, strict=True)
    ]
    both = two_models(tmp_path / "both", together)
    assert len(both.pairs[0].speeds) == 6
    [pair] = remeasure(both, silent).pairs
    measured = {speed.metric for speed in pair.speeds if speed.measured}
    assert measured == {"throughput", "latency_p50", "train_throughput"}
    assert {speed.finding for speed in pair.speeds if speed.metric not in measured} == {"better"}
    assert any(note.endswith("as stored: zeta, my_p50, steps.") for note in pair.notes)


def test_it_says_how_far_it_is_while_it_measures(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    said: list[str] = []
    remeasure(two_models(tmp_path), said.append)
    assert [line.partition(";")[0] for line in said if line.startswith("  ")] == [
        f"  {metric}: 3 pairs of processes, at most 10" for metric in ("throughput", "latency_p50", "train_throughput")
    ]


def test_the_threshold_is_passed_on(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    seen: list[float] = []

    def compare_speeds(first: Side, second: Side, *, threshold: float, **more: Any) -> Lockstep:
        seen.append(threshold)
        return lab.compare_speeds(first, second, threshold=threshold, **more)

    monkeypatch.setattr(module, "compare_speeds", compare_speeds)
    remeasure(two_models(place, threshold=0.2), silent)
    assert set(seen) == {0.2}


def test_a_worker_that_fails_costs_its_own_figure(tmp_path: Path, lab: Lab) -> None:
    lab.error = "vit: no such weights"
    found = remeasure(two_models(tmp_path), silent)
    assert [speed.finding for speed in found.pairs[0].speeds] == ["same", "same", "no data"]
    assert found.pairs[0].speeds[2].reason == "train_throughput could not be measured in turn: vit: no such weights"
    assert found.exit_code == 11


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("machine", "another machine", rf"with machine {f.MACHINE}, but this is another machine"),
        ("torch", "2.16.0", r"with torch 2\.15\.0, but this is 2\.16\.0"),
        ("refusal", "--device cuda: torch finds no CUDA device", r"of device cpu, .*: --device cuda: torch finds no"),
    ],
)
def test_another_machine_device_or_torch_is_refused(
    tmp_path: Path, lab: Lab, field: str, value: str, words: str
) -> None:
    setattr(lab, field, value)
    with pytest.raises(NotComparableError, match=words) as caught:
        remeasure(two_models(tmp_path), silent)
    assert caught.value.exit_code == 12
    assert lab.asked == []


def test_one_model_is_not_measured_against_itself(tmp_path: Path, lab: Lab) -> None:
    folders = [open_folder(c.write(tmp_path / name, c.speeds("vit", 1000, code=name))) for name in ("aa", "bb")]
    with pytest.raises(NotComparableError, match="A and B are the same vit here"):
        remeasure(compare_folders(*folders, models=["vit"]), silent)
    assert lab.asked == []


def test_nothing_imported_is_run(tmp_path: Path, lab: Lab) -> None:
    place = tmp_path / "place"
    theirs = [msgspec.structs.replace(record, source="alice") for record in c.speeds("resnet18", 1000)]
    folder = open_folder(c.write(place, c.speeds("vit", 1000), theirs))
    with pytest.raises(NotComparableError, match="imported results are never rerun"):
        remeasure(compare_models(folder, ("vit", "resnet18 (from alice)")), silent)
    assert lab.asked == []


def test_a_model_that_is_gone_is_refused(lab: Lab, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    parts = c.speeds("vit", 1000), c.speeds("gone", 1000)
    found = compare_models(open_folder(c.write(elsewhere, *parts)), ("vit", "gone"))
    with pytest.raises(NotComparableError, match='gone cannot be measured here: unknown model "scratch/gone"'):
        remeasure(found, silent)


def test_two_versions_of_a_name_are_told_apart(tmp_path: Path, lab: Lab) -> None:
    parts = c.speeds("vit", 1000), c.speeds("vit", 1000, options={"patch_size": 2})
    folders = [open_folder(c.write(tmp_path / str(i), part)) for i, part in enumerate(parts)]
    remeasure(compare_folders(*folders, models=["vit"]), silent)
    assert {(first.label, second.label) for first, second in lab.asked} == {("vit (A)", "vit (B)")}


def test_a_model_of_a_plugin_file_is_found_in_the_file(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = PluginOrigin(plugin="mine", distribution="mine.py", version="", code_hash="c0de")

    def of_file(record: Record) -> Record:
        planned = record.planned
        cell = msgspec.structs.replace(planned.cell, model="mine/net")
        made_by = msgspec.structs.replace(planned.provenance, model=file)
        return msgspec.structs.replace(record, planned=msgspec.structs.replace(planned, cell=cell, provenance=made_by))

    parts = c.speeds("vit", 1000), map(of_file, c.speeds("net", 1000))
    found = compare_models(open_folder(c.write(tmp_path / "results", *parts)), ("vit", "net"))
    with pytest.raises(NotComparableError, match=r"It came from a plugin file: give --plugin mine\.py\."):
        remeasure(found, silent)
    Path("mine.py").write_text(MINE)
    plugins = select_plugins(["mine.py"])
    try:
        notes = remeasure(found, silent, plugins).pairs[0].notes
    finally:
        sys.modules.pop("mine", None)
    assert {side.plugins for sides in lab.asked for side in sides} == {plugins}
    assert "The code of net has changed since its record (mine.py, c0de; now mine.py, " in " ".join(notes)


def test_a_plugin_file_that_breaks_is_no_comparison(tmp_path: Path, lab: Lab) -> None:
    file = tmp_path / "breaks.py"
    file.write_text("1 / 0")
    with pytest.raises(UnusableError, match=r"plugin breaks .*, load: ZeroDivisionError"):
        remeasure(two_models(tmp_path), silent, select_plugins([file]))
    assert lab.asked == []


def test_code_that_has_changed_since_is_said(lab: Lab, tmp_path: Path) -> None:
    notes = remeasure(two_models(tmp_path), silent).pairs[0].notes
    assert [note.partition(CHANGED)[0] for note in notes if CHANGED in note] == [
        "The code of vit",
        "The code of resnet18",
    ]


def test_the_step_of_a_recipe_is_measured_as_it_is_now(tmp_path: Path, lab: Lab) -> None:
    place = tmp_path / "place"
    parts = [trained_by("recipes/supervised", label) for label in ("vit", "resnet18")]
    notes = remeasure(two_models(place / "known", *parts), silent).pairs[0].notes
    assert [note.rpartition("The code of ")[2].partition(CHANGED)[0] for note in notes if CHANGED in note][-1] == (
        "recipes/supervised"
    )
    (first, second) = lab.asked[-1]
    assert first.cell.recipe == second.cell.recipe == "recipes/supervised"
    lost = [trained_by("recipes/lost", label) for label in ("vit", "resnet18")]
    with pytest.raises(NotComparableError, match='vit cannot be measured here: unknown recipe "recipes/lost"'):
        remeasure(two_models(place / "lost", *lost), silent)


def trained_by(recipe: str, label: str) -> list[Record]:
    """Return speed records of a model, of which the training steps are those of a recipe."""
    cook = PluginOrigin(plugin="recipes", distribution="vitbench", version="0.1.0", code_hash="c0de")
    return [
        msgspec.structs.replace(
            record,
            planned=msgspec.structs.replace(
                record.planned, provenance=msgspec.structs.replace(record.planned.provenance, recipe=cook)
            ),
        )
        if record.planned.cell.recipe
        else record
        for record in c.speeds(label, 1000, recipe=recipe)
    ]


def test_without_stored_speeds_there_is_nothing_to_measure(tmp_path: Path, lab: Lab) -> None:
    parts = c.quality("vit", c.right(380)), c.quality("resnet18", c.right(380))
    found = compare_models(open_folder(c.write(tmp_path, *parts)), ("vit", "resnet18"))
    with pytest.raises(NoDataError, match="nothing to measure again"):
        remeasure(found, silent)


@pytest.mark.parametrize(
    ("options", "answers", "environment"),
    [({"pretrained": True}, False, {"HF_HUB_OFFLINE": "1"}), ({"pretrained": True}, True, {}), ({}, False, {})],
)
def test_a_hub_that_does_not_answer_is_asked_once(
    tmp_path: Path,
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, bool],
    answers: bool,
    environment: dict[str, str],
) -> None:
    asked: list[None] = []
    monkeypatch.setattr(resolve, "hub_answers", lambda say: asked.append(None) or answers)
    model = {"model": "timm/resnet18"} if options else {}
    parts = [as_model(c.speeds("vit", 1000), **model), c.speeds("resnet18", 1000)]
    remeasure(two_models(tmp_path, *parts), silent)
    assert len(asked) == bool(options)
    assert [dict(side.environment) for side in lab.asked[0]] == [environment] * 2


def as_model(records: list[Record], **fields: str) -> list[Record]:
    """Return records of another model under the same label."""
    replace = msgspec.structs.replace
    return [replace(each, planned=replace(each.planned, cell=replace(each.planned.cell, **fields))) for each in records]
