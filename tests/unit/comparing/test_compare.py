"""Two models or two folders held against each other: what is paired, what is refused, and what it comes to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import comparisons as c
import factories as f
import msgspec
import pytest

from vitbench.comparing.compare import compare_folders, compare_models
from vitbench.comparing.comparison import Comparison, outcome_of
from vitbench.comparing.conditions import unlike_conditions
from vitbench.comparing.contrast import Contrast
from vitbench.comparing.folder import Folder, NoDataError, open_folder
from vitbench.comparing.sentences import notes
from vitbench.errors import StoreError, UsageError
from vitbench.leaderboard.rows import Condition
from vitbench.lockstep.outcome import EXIT_CODES
from vitbench.records import Record
from vitbench.running.attempt import merge_processes

GOOD, BAD = c.right(380), c.right(350)
"""Scores of which the second is worse for certain: 30 images are right for the first alone."""
NEAR = c.right(380, start=2)
"""Scores that differ from the good ones on two images each way."""
OTHER = {"options": {"patch_size": 2}}


def models(folder: Path, *parts: object, names: tuple[str, str] = ("a", "b"), **settings: object) -> Comparison:
    return compare_models(open_folder(c.write(folder, *parts)), names, **settings)


def only(found: Comparison) -> Contrast:
    (pair,) = found.pairs
    return pair


def findings(pair: Contrast) -> dict[str, str | None]:
    return {each.metric: each.finding for each in (*pair.quality, *pair.speeds)}


# The rule


@pytest.mark.parametrize(
    ("first", "second", "finding", "outcome"),
    [
        (GOOD, BAD, "worse", "regressed"),
        (BAD, GOOD, "better", "improved"),
        (GOOD, GOOD, "same", "same"),
        (GOOD, NEAR, "not resolved", "not resolved"),
    ],
)
def test_quality_alone(tmp_path: Path, first: object, second: object, finding: str, outcome: str) -> None:
    found = models(tmp_path, c.quality("a", first), c.quality("b", second))
    assert findings(only(found)) == {"top1": finding, "ece": None}
    assert (found.outcome, found.exit_code) == (outcome, EXIT_CODES[outcome])


@pytest.mark.parametrize(
    ("speed", "finding", "outcome"),
    [(2000, "better", "improved"), (500, "worse", "regressed"), (1005, "not resolved", "not resolved")],
)
def test_speed_counts_as_much_as_quality(tmp_path: Path, speed: float, finding: str, outcome: str) -> None:
    parts = c.quality("a", GOOD), c.quality("b", GOOD), c.speeds("a", 1000), c.speeds("b", speed)
    folder = open_folder(c.write(tmp_path, *parts))
    found = compare_models(folder, ("a", "b"))
    assert findings(only(found)) == {
        "top1": "same",
        "ece": None,
        "throughput": finding,
        "latency_p50": finding,
        "train_throughput": finding,
    }
    assert found.outcome == outcome
    # the threshold is the user's
    assert compare_models(folder, ("a", "b"), threshold=0.9).outcome == "not resolved"


def test_a_better_model_that_is_slower_has_regressed(tmp_path: Path) -> None:
    found = models(tmp_path, c.quality("a", BAD), c.quality("b", GOOD), c.speeds("a", 1000), c.speeds("b", 500))
    assert found.outcome == "regressed"


def test_without_predictions_intervals_decide(tmp_path: Path) -> None:
    parts = c.quality("a", c.right(380)), c.quality("b", c.right(370)), c.quality("c", c.right(300))
    folder = open_folder(c.write(tmp_path, *parts, predictions=False))
    near, far = (compare_models(folder, ("a", name)) for name in "bc")
    assert only(near).quality[0].paired is None
    assert findings(only(near))["top1"] == "not resolved"
    assert findings(only(far))["top1"] == "worse"


@pytest.mark.parametrize(("second", "finding"), [(0.2, "better"), (0.41, "not resolved")])
def test_a_lower_figure_is_better_where_that_is_so(tmp_path: Path, second: float, finding: str) -> None:
    parts = [
        f.record(
            f.quality_cell(label),
            [f.measurement("nll", value, unit="nat", better="lower", low=value - 0.05, high=value + 0.05, n=400)],
        )
        for label, value in (("a", 0.4), ("b", second))
    ]
    folder = open_folder(c.write(tmp_path, parts, rank_by="nll"))
    assert findings(only(compare_models(folder, ("a", "b")))) == {"nll": finding}


@pytest.mark.parametrize(("second", "finding"), [(100.0, "better"), (300.0, "worse"), (200.0, "same")])
def test_an_exact_figure_may_be_ranked_by(tmp_path: Path, second: float, finding: str) -> None:
    parts = [
        f.record(f.speed_cell(label), [f.measurement("params", value, unit="1", better="lower")])
        for label, value in (("a", 200.0), ("b", second))
    ]
    pair = only(compare_models(open_folder(c.write(tmp_path, parts, rank_by="params")), ("a", "b")))
    assert findings(pair) == {"params": finding}
    assert pair.costs == ()


# Conditions


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fingerprint", "other"),
        ("lineage", "TFDS"),
        ("precision", "bfloat16"),
        ("compile", "default"),
        ("channels_last", True),
        ("limit", 100),
        ("epochs", 3),
        ("method", 1),
        ("variables", (("MKL_CBWR", "AVX2"),)),
    ],
)
def test_what_all_figures_must_share(field: str, value: object) -> None:
    condition = a_condition()
    general, of_speed = unlike_conditions(condition, replace(condition, **{field: value}))
    assert [each.condition for each in general] == [field]
    assert of_speed == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("machine", "other"), ("device", "cuda"), ("threads", 2), ("batch_size", 64), ("train_batch_size", 64)],
        ("timing_variables", (("OMP_WAIT_POLICY", "passive"),)),
    ],
)
def test_what_speed_must_share(field: str, value: object) -> None:
    condition = a_condition()
    general, of_speed = unlike_conditions(condition, replace(condition, **{field: value}))
    assert general == []
    assert [each.condition for each in of_speed] == [field]


def test_a_title_or_an_absent_batch_is_no_difference() -> None:
    condition = a_condition()
    assert unlike_conditions(condition, replace(condition, dataset="digits (unverified)")) == ([], [])
    assert unlike_conditions(condition, replace(condition, batch_size=None)) == ([], [])


def a_condition() -> Condition:
    return Condition(
        dataset="digits",
        fingerprint="f00d",
        machine=f.MACHINE,
        device="cpu",
        precision="float32",
        threads=1,
        compile="",
        channels_last=False,
        method=2,
        torch="2.15.0",
        limit=None,
        epochs=None,
        batch_size=32,
        train_batch_size=32,
    )


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"data": f.data_info("pets")}, "fingerprint"),
        ({"precision": "bfloat16"}, "precision"),
    ],
)
def test_unlike_conditions_are_refused_by_name(tmp_path: Path, fields: dict[str, object], condition: str) -> None:
    found = models(tmp_path, c.quality("a", GOOD), c.quality("b", BAD, **fields))
    pair = only(found)
    assert [each.condition for each in pair.unlike] == [condition]
    assert (pair.quality, pair.speeds, pair.costs) == ((), (), ())
    assert found.exit_code == 12


def test_quality_is_compared_across_machines_and_speed_is_not(tmp_path: Path) -> None:
    here = c.write(tmp_path / "a", c.quality("m", GOOD), c.speeds("m", 1000))
    there = c.write(tmp_path / "b", c.quality("m", GOOD, machine="other"), c.speeds("m", 100, machine="other"))
    found = compare_folders(open_folder(here), open_folder(there))
    assert [(each.condition, each.first, each.second) for each in only(found).unlike_speed] == [
        ("machine", f.MACHINE, "other")
    ]
    assert findings(only(found))["top1"] == "same"
    assert findings(only(found))["throughput"] == "not comparable"
    assert [cost.metric for cost in only(found).costs] == ["params", "macs"]
    assert found.exit_code == 12
    worse = c.write(tmp_path / "c", c.quality("m", BAD, machine="other"), c.speeds("m", 100, machine="other"))
    assert compare_folders(open_folder(here), open_folder(worse)).exit_code == 10


def test_another_batch_keeps_its_own_figures_apart_only(tmp_path: Path) -> None:
    here = c.write(tmp_path / "a", c.speeds("m", 1000))
    there = c.write(tmp_path / "b", c.speeds("m", 2000, batch_size=64))
    assert findings(only(compare_folders(open_folder(here), open_folder(there)))) == {
        "throughput": "not comparable",
        "latency_p50": "not resolved",
        "train_throughput": "not comparable",
    }


def test_another_training_batch_leaves_peak_memory_comparable(tmp_path: Path) -> None:
    place = tmp_path / "place"
    parts = [c.speeds("m", 1000)[:2], c.speeds("m", 1000, batch_size=64)[2:]]
    here = c.write(place / "a", c.speeds("m", 1000), rank_by="peak_memory")
    there = c.write(place / "b", *parts, rank_by="peak_memory")
    pair = only(compare_folders(open_folder(here), open_folder(there)))
    assert [each.condition for each in pair.unlike_speed] == ["train_batch_size"]
    assert findings(pair)["peak_memory"] != "not comparable"


@pytest.mark.parametrize("fields", [{"machine": "other"}, {"batch_size": 64}])
def test_a_figure_of_the_machine_that_is_ranked_by_has_its_conditions_too(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    here = c.write(tmp_path / "a", c.speeds("m", 1000), rank_by="peak_memory")
    there = c.write(tmp_path / "b", c.speeds("m", 1000, **fields), rank_by="peak_memory")
    pair = only(compare_folders(open_folder(here), open_folder(there)))
    assert findings(pair)["peak_memory"] == "not comparable"
    assert pair.quality[0].difference is None
    like = only(compare_folders(open_folder(here), open_folder(here)))
    assert findings(like)["peak_memory"] != "not comparable"


def test_partial_results_of_one_kind_are_compared_and_said_to_be_partial(tmp_path: Path) -> None:
    found = models(tmp_path, c.quality("a", GOOD, limit=100), c.quality("b", BAD, limit=100))
    assert found.outcome == "regressed"
    assert any("partial" in note for note in only(found).notes)


# Names


@pytest.mark.parametrize("name", ["scratch/b", "b:patch_size=4", "scratch/b:patch-size=4"])
def test_a_model_is_named_as_in_the_table_or_in_full(tmp_path: Path, name: str) -> None:
    found = models(tmp_path, c.quality("a", GOOD), c.quality("b", BAD), names=("a", name))
    assert only(found).second.model == "b"
    assert found.names == ("a", name)


def test_options_tell_models_apart(tmp_path: Path) -> None:
    folder = open_folder(c.write(tmp_path, c.quality("a", GOOD), c.quality("a", BAD, **OTHER)))
    found = compare_models(folder, ("scratch/a:patch_size=4", "a:patch_size=2"))
    assert [row.model for row in (only(found).first, only(found).second)] == ["a:patch_size=4", "a:patch_size=2"]
    assert "Options: A patch_size=4; B patch_size=2." in only(found).notes
    with pytest.raises(UsageError, match="matches several models"):
        compare_models(folder, ("scratch/a", "a:patch_size=2"))


def test_recipes_tell_rows_apart(tmp_path: Path) -> None:
    place = tmp_path / "place"
    parts = c.quality("a", GOOD), c.quality("a", BAD, recipe="recipes/finetune"), c.quality("b", BAD)
    folder = open_folder(c.write(place, *parts))
    found = compare_models(folder, ("a [recipes/supervised]", "a [recipes/finetune]"))
    assert found.outcome == "regressed"
    assert "Recipe: A recipes/supervised; B recipes/finetune." in only(found).notes
    assert not [note for note in only(found).notes if note.startswith("Recipe options")]
    like = compare_models(folder, ("a", "b"))
    assert only(like).first.recipe == "recipes/supervised"
    assert like.notes == ("Only A has a on digits, cpu, float32.",)


def test_seeds_without_a_result_are_named(tmp_path: Path) -> None:
    failed = [f.record(f.quality_cell("b", seed=2), status="failed", reason="the loss became nan")]
    parts = [c.quality("a", GOOD), c.quality("b", BAD), c.quality("b", BAD, seed=1), failed]
    notes = only(models(tmp_path, *parts)).notes
    assert "1 of 3 seeds of B has no result." in notes


def test_unlike_options_of_one_recipe_are_named(tmp_path: Path) -> None:
    place = tmp_path / "place"
    long, short = ({"epochs": epochs, "lr": lr, "clip": 1.0} for epochs, lr in ((100, 0.001), (3, 0.5)))
    parts = [c.quality(m, GOOD, recipe_options=options) for m, options in (("a", long), ("b", short), ("c", long))]
    folder = open_folder(c.write(place, *parts))
    notes = {name: only(compare_models(folder, ("a", name))).notes for name in "bc"}
    assert notes["b"] == ("Recipe options: A epochs=100, lr=0.001; B epochs=3, lr=0.5.",)
    assert notes["c"] == ()


def test_rows_that_fit_equally_well_are_asked_for(tmp_path: Path) -> None:
    parts = [c.quality("a", GOOD, recipe=f"recipes/{name}") for name in ("one", "two")]
    with pytest.raises(UsageError, match=r"several rows can be compared; .*'a \[recipes/one\]' on cpu"):
        models(tmp_path, *parts, c.quality("b", BAD))


def test_a_data_set_or_a_device_may_be_chosen(tmp_path: Path) -> None:
    place = tmp_path / "place"
    pets = f.data_info("images/pets", title="Pets (unverified)")
    parts = [c.quality(m, s, data=d) for m, s in (("a", GOOD), ("b", BAD)) for d in (f.data_info(), pets)]
    folder = open_folder(c.write(place, *parts))
    assert len(compare_models(folder, ("a", "b")).pairs) == 2
    for name in ("Pets (unverified)", "images/pets", "pets", "images/Pets (unverified)"):
        assert only(compare_models(folder, ("a", "b"), dataset=name)).first.condition.dataset == "Pets (unverified)"
    assert len(compare_models(folder, ("a", "b"), device="cpu").pairs) == 2
    with pytest.raises(NoDataError, match=r'"a" has no such result in .*; it has .*digits on cpu'):
        compare_models(folder, ("a", "b"), device="cuda")


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (("a", "vit-p5"), NoDataError, 'has no model "vit-p5". Did you mean "vit-p4"?'),
        (("a", "nothing"), NoDataError, "See vitbench leaderboard"),
        (("a", "a"), UsageError, "are the same model"),
        (("a", "scratch/a"), UsageError, "are the same model"),
        (("a", "a:depth=3"), UsageError, 'no option "depth"'),
        (("a", "lost"), NoDataError, '"lost" has no result in .*: digits, seed 0: timeout, took more than 5 s'),
        (("a", "late"), NoDataError, '"late" has no result in .*: digits, seed 0: pending, not started'),
    ],
)
def test_a_name_that_leads_nowhere_is_one_sentence(
    tmp_path: Path, names: tuple[str, str], error: type[Exception], words: str
) -> None:
    lost = f.record(f.quality_cell("lost"), status="timeout", reason="took more than 5 s")
    parts = c.quality("a", GOOD), c.quality("vit-p4", GOOD), [lost]
    folder = open_folder(c.write(tmp_path, *parts, pending=[f.quality_cell("late")]))
    with pytest.raises(error, match=words) as caught:
        compare_models(folder, names)
    assert "\n" not in str(caught.value)


# What is missing


def test_a_speed_that_failed_is_no_data_and_one_never_asked_for_is_nothing(tmp_path: Path) -> None:
    parts = c.quality("a", GOOD), c.quality("b", GOOD), c.speeds("a", 1000)
    assert models(tmp_path / "never", *parts).outcome == "same"
    failed = f.record(f.speed_cell("b"), status="oom", reason="out of memory")
    found = models(tmp_path / "failed", *parts, [failed])
    assert found.outcome == "no data"
    assert "B has no throughput (inference speed at batch 32: oom, out of memory)" in only(found).missing


def test_a_failure_in_another_precision_is_not_counted_against_a_row(tmp_path: Path) -> None:
    place = tmp_path / "place"
    half = {"precision": "bfloat16"}
    parts = c.quality("a", GOOD), c.quality("a", GOOD, data=f.data_info("pets")), c.quality("b", GOOD)
    for fields, outcome in ((half, "same"), ({}, "no data")):
        lost = f.record(f.quality_cell("b", data=f.data_info("pets"), **fields), status="failed", reason="no disk")
        assert models(place / outcome, *parts, [lost]).outcome == outcome


def test_a_failed_cell_that_would_have_given_a_speed_of_another_name_is_no_data(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    [single, *others] = c.foreign_speeds("b", 500)
    lost = msgspec.structs.replace(single, status="oom", reason="too large", measurements=())
    parts = [c.quality("a", GOOD), c.quality("b", GOOD), c.foreign_speeds("a", 1000), [lost, *others]]
    assert only(models(elsewhere, *parts)).missing == ("B has no my_p50 (inference speed at batch 1: oom, too large)",)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "no data"),
        ({"device": "cuda", "machine": f.GPU_MACHINE}, "same"),
        ({"threads": 8}, "same"),
        ({"precision": "bfloat16"}, "same"),
        ({"batch_size": 64}, "same"),
        ({"batch_size": 1}, "same"),
        ({"mode": "training"}, "same"),
        ({"largest_batch": True}, "same"),
    ],
)
def test_only_the_cell_that_would_have_told_is_counted(tmp_path: Path, fields: dict[str, object], outcome: str) -> None:
    failed = f.record(f.speed_cell("b", **fields), status="oom", reason="out of memory")
    parts = c.quality("a", GOOD), c.quality("b", GOOD), c.speeds("a", 1000)[1:2]
    assert models(tmp_path, *parts, [failed]).outcome == outcome


@pytest.mark.parametrize(("batch_size", "outcome"), [(64, "no data"), (1, "same")])
def test_where_nothing_was_timed_any_batch_would_have_told(tmp_path: Path, batch_size: int, outcome: str) -> None:
    failed = f.record(f.speed_cell("a", batch_size=batch_size), status="oom", reason="out of memory")
    first = c.write(tmp_path / "a", c.quality("a", GOOD), c.speeds("a", 1000)[1:2])
    second = c.write(tmp_path / "b", c.quality("a", GOOD), [failed])
    assert compare_folders(open_folder(first), open_folder(second)).outcome == outcome


def test_a_rate_of_the_evaluation_is_no_speed_whatever_its_name(tmp_path: Path) -> None:
    parts = [
        f.record(
            f.quality_cell(label), [f.top1(340), f.measurement("throughput", value, unit="images/s", at=("quality",))]
        )
        for label, value in (("a", 5.0), ("b", 9.0))
    ]
    pair = only(models(tmp_path / "alone", parts))
    assert (pair.speeds, [cost.metric for cost in pair.costs]) == ((), ["throughput"])
    # Nor does it hide the speed of that name.
    pair = only(models(tmp_path / "beside", parts, c.speeds("a", 1000), c.speeds("b", 2000)))
    assert findings(pair) == {
        "top1": "not resolved",
        "throughput": "better",
        "latency_p50": "better",
        "train_throughput": "better",
    }


def test_what_could_be_had_of_neither_has_no_line_unless_it_stands_in_every_table(tmp_path: Path) -> None:
    place = tmp_path / "place"
    lost = [f.measurement(name, None, unit="J", verdict="invalid") for name in ("energy_per_image", "zeta")]
    parts = [f.record(f.speed_cell(label), lost) for label in ("a", "b")]
    assert [cost.metric for cost in only(models(place, parts)).costs] == ["zeta"]


@pytest.mark.parametrize("rank_by", ["beauty", "size", "drill"])
def test_figures_of_each_kind_are_compared_under_any_name(tmp_path: Path, rank_by: str) -> None:
    folder = c.write(tmp_path / "r", f.foreign("a", 1.0), f.foreign("b", 2.0), rank_by=rank_by)
    found = compare_models(open_folder(folder), ("a", "b"))
    pair = only(found)
    assert {each.metric for each in pair.speeds} == {"zeta", "my_p50", "drill"}
    assert {each.metric for each in pair.quality} == {rank_by, "beauty"} - {"zeta", "my_p50", "drill"}
    assert {each.metric for each in pair.costs} == {"size", "crowd"} - {rank_by}
    judged = {rank_by, "zeta", "my_p50", "drill"}
    assert {name for name, finding in findings(pair).items() if finding == "better"} == judged
    assert found.outcome == "improved"


def test_a_data_set_that_only_one_has_is_said(tmp_path: Path) -> None:
    pets = f.data_info("pets")
    parts = c.quality("a", GOOD), c.quality("a", GOOD, data=pets), c.quality("b", GOOD)
    found = models(tmp_path / "never", *parts)
    assert (found.outcome, found.notes) == ("same", ("Only A has a on pets, cpu, float32.",))
    lost = f.record(f.quality_cell("b", data=pets), status="failed", reason="no disk")
    found = models(tmp_path / "failed", *parts, [lost])
    assert found.outcome == "no data"
    assert found.missing == ("B has no result of b on pets, cpu (pets, seed 0: failed, no disk).",)


# Two folders


def test_every_model_of_both_folders_is_compared_and_the_worst_counts(tmp_path: Path) -> None:
    first = c.write(tmp_path / "a", *[c.quality(name, GOOD) for name in ("x", "y", "old")])
    second = c.write(tmp_path / "b", c.quality("x", GOOD), c.quality("y", BAD), c.quality("new", GOOD))
    found = compare_folders(open_folder(first), open_folder(second))
    assert {pair.first.model: outcome_of(pair) for pair in found.pairs} == {"x": "same", "y": "regressed"}
    assert found.outcome == "regressed"
    assert found.notes == ("Only B has new.",)
    assert compare_folders(open_folder(first), open_folder(second), models=["x"]).outcome == "same"
    back = compare_folders(open_folder(second), open_folder(first), models=["x", "y"])
    assert back.outcome == "improved"


def test_two_folders_are_two_occasions_where_speeds_are_compared(tmp_path: Path) -> None:
    def notes(first: list[object], second: list[object]) -> tuple[str, ...]:
        folders = [c.write(tmp_path / str(next(number)), *parts) for parts in (first, second)]
        return compare_folders(*map(open_folder, folders)).notes

    number = itertools.count()

    known = [c.quality("m", GOOD)]
    timed = [c.quality("m", GOOD), c.speeds("m", 1000)]
    assert notes(timed, timed) == (), "the same records"
    later = [msgspec.structs.replace(record, occasion="later") for record in c.speeds("m", 1000)]
    [words] = notes(timed, [c.quality("m", GOOD), later])
    assert "two occasions" in words
    assert notes(timed, known) == notes(known, known) == ()
    assert notes(timed, [c.quality("m", GOOD), c.speeds("m", 1000, machine="other")]) == (), "they are not compared"


def test_a_model_that_the_base_alone_has_is_no_data(tmp_path: Path) -> None:
    first = open_folder(c.write(tmp_path / "a", *[c.quality(name, GOOD) for name in ("x", "old", "older")]))
    second = open_folder(c.write(tmp_path / "b", c.quality("x", GOOD)))
    lost = compare_folders(first, second)
    assert (lost.outcome, lost.missing, lost.notes) == ("no data", ("Only A has old.", "Only A has older."), ())
    added = compare_folders(second, first)
    assert (added.outcome, added.missing, added.notes) == ("same", (), ("Only B has old, older.",))


def test_folders_without_a_common_model_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first, second = (open_folder(c.write(place / name, c.quality(name, GOOD))) for name in "ab")
    with pytest.raises(NoDataError, match="have no model in common"):
        compare_folders(first, second)
    with pytest.raises(StoreError):
        open_folder(place / "nowhere")


def test_a_model_that_is_asked_for_twice_is_compared_once(tmp_path: Path) -> None:
    """A p-value of 0.03 would be corrected over two pairs."""
    first = open_folder(c.write(tmp_path / "a", c.quality("v", c.right(380))))
    second = open_folder(c.write(tmp_path / "b", c.quality("v", c.right(374))))
    for names in (["v", "v"], ["v", "scratch/v"]):
        found = compare_folders(first, second, models=names)
        assert (len(found.pairs), found.outcome) == (1, "regressed")


def renamed(label: str, model: str, scores: object) -> object:
    """Return a quality record of a model whose name in the table is another."""
    record, known = c.quality(label, scores)
    cell = msgspec.structs.replace(record.planned.cell, model=model)
    return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, cell=cell)), known


@pytest.mark.parametrize(
    ("other", "name", "note"),
    [
        (
            renamed("net", "other/resnet", BAD),
            "other/resnet:patch_size=4",
            "Model: A scratch/net:patch_size=4; B other",
        ),
        (c.quality("net", BAD, **OTHER), "scratch/net:patch_size=2", "Options: A patch_size=4; B patch_size=2."),
    ],
)
def test_two_models_of_one_name_are_compared_only_where_that_is_asked_for(
    tmp_path: Path, other: object, name: str, note: str
) -> None:
    first = open_folder(c.write(tmp_path / "a", c.quality("net", GOOD), c.speeds("net", 1000)))
    second = open_folder(c.write(tmp_path / "b", other))
    found = compare_folders(first, second)
    assert [(each.condition, each.first, each.second) for each in only(found).unlike] == [
        ("model", "scratch/net:patch_size=4", name)
    ]
    assert found.exit_code == 12
    asked = compare_folders(first, second, models=["net"])
    assert asked.outcome == "regressed"
    assert [each for each in only(asked).notes if each.startswith(note)]


def test_the_base_says_what_is_ranked_by(tmp_path: Path) -> None:
    first = c.write(tmp_path / "a", c.quality("x", GOOD))
    second = c.write(tmp_path / "b", c.quality("x", GOOD), rank_by="nll")
    found = compare_folders(open_folder(first), open_folder(second))
    assert found.rank_by == "top1"
    assert found.notes == ("A is ranked by top1, B by nll; top1 decides.",)


def test_what_changed_between_two_runs_of_a_model_is_said(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first = c.write(place / "a", c.quality("x", GOOD))
    second = c.write(place / "b", c.quality("x", GOOD, code="beef"))
    found = compare_folders(open_folder(first), open_folder(second))
    assert only(found).notes == ("Code: A vitbench 0.1.0 (c0de); B vitbench 0.1.0 (beef).",)


@pytest.mark.parametrize(
    ("model", "recipe", "note"),
    [
        ("2", "1", ("File model.checkpoint: A 00000000; B 22222222.",)),
        ("0", "", ("File recipe.teacher.checkpoint: A 11111111; B none.",)),
    ],
)
def test_another_file_behind_an_option_is_said(model: str, recipe: str, note: tuple[str, ...], tmp_path: Path) -> None:
    def run(name: str, of_model: str, of_recipe: str) -> Folder:
        files = {"model.checkpoint": of_model * 64, "recipe.teacher.checkpoint": of_recipe * 64}
        made_of = msgspec.structs.replace(
            f.quality_cell().provenance, files={option: sha256 for option, sha256 in files.items() if sha256}
        )
        return open_folder(c.write(tmp_path / name, c.quality("x", GOOD, provenance=made_of)))

    assert only(compare_folders(run("a", "0", "1"), run("b", model, recipe))).notes == note


def test_many_equal_models_are_seldom_called_worse(tmp_path: Path) -> None:
    """A p-value of 0.03 is worse by itself, and not among five."""
    names = ["v", "w", "x", "y", "z"]
    first = c.write(tmp_path / "a", *[c.quality(name, c.right(380)) for name in names])
    parts = [c.quality(name, c.right(380, start=1)) for name in names[1:]]
    second = c.write(tmp_path / "b", c.quality("v", c.right(374)), *parts)
    alone = compare_folders(open_folder(first), open_folder(second), models=["v"])
    together = compare_folders(open_folder(first), open_folder(second))
    assert only(alone).quality[0].paired is not None
    assert 0.02 < only(alone).quality[0].paired.p_value < 0.05
    assert alone.outcome == "regressed"
    assert together.outcome == "not resolved"
    (judged,) = [pair.quality[0] for pair in together.pairs if pair.first.model == "v"]
    assert judged.together == 5
    assert judged.paired is not None
    assert judged.paired.level == pytest.approx(0.01)
    # What could be seen, and what it would take, are of that level: the gap seen is below the one and asks for more.
    assert judged.paired.resolvable is not None
    assert abs(judged.paired.value) < judged.paired.resolvable
    assert judged.paired.needed is not None
    assert only(alone).quality[0].paired.needed is not None
    assert judged.paired.needed > only(alone).quality[0].paired.needed


def test_the_level_after_some_are_found_is_that_of_the_others(tmp_path: Path) -> None:
    place = tmp_path / "place"
    names = ["u", "v", "w"]
    first = c.write(place / "a", *[c.quality(name, GOOD) for name in names])
    second = c.write(place / "b", c.quality("u", BAD), c.quality("v", NEAR), c.quality("w", NEAR))
    found = compare_folders(open_folder(first), open_folder(second))
    assert {pair.quality[0].paired.level for pair in found.pairs if pair.quality[0].paired} == {0.025}


def test_speeds_of_two_runs_of_one_folder_are_not_resolved_as_in_its_table(tmp_path: Path) -> None:
    """The table of that folder ranks them nowhere, either; two folders are two occasions on purpose."""
    slow, fast = c.speeds("slow", 1000), c.speeds("fast", 2000)
    elsewhere = [msgspec.structs.replace(record, occasion="later") for record in fast]
    for records, finding in ((fast, "better"), (elsewhere, "not resolved")):
        folder = open_folder(c.write(tmp_path / finding, slow, records, rank_by="throughput"))
        pair = only(compare_models(folder, ("slow", "fast")))
        assert {each.finding for each in pair.speeds if each.metric != "peak_memory"} == {finding}
        assert {row.rank_last for row in folder.board.rows} == ({1, 2} if finding == "better" else {2})
    folders = [open_folder(c.write(tmp_path / side, records)) for side, records in (("a", fast), ("b", elsewhere))]
    assert {each.reason for each in only(compare_folders(*folders)).speeds} == {
        f"{name}: not measured in turn, and it is not known how much two occasions differ"
        for name in ("throughput", "latency_p50", "train_throughput")
    }


@pytest.mark.parametrize(("peak", "finding"), [(11.0, "not resolved"), (40.0, "worse")])
def test_memory_is_judged_by_the_rule_of_the_ranks_and_says_so(tmp_path: Path, peak: float, finding: str) -> None:
    def records(label: str, mib: float) -> list[Record]:
        given = [(f.measurement("peak_memory", mib * 2**20, unit="B", better="lower"),)] * 3
        return [f.record(f.speed_cell(label), merge_processes(given), occasion=label)]

    folder = open_folder(c.write(tmp_path / "r", records("a", 10.0), records("b", peak), rank_by="peak_memory"))
    found = compare_models(folder, ("a", "b"))
    assert only(found).quality[0].finding == finding
    assert [row.rank_last for row in folder.board.rows] == ([2, 2] if finding == "not resolved" else [1, 2])
    assert "peak_memory is compared by the values of its processes." in "\n".join(notes(found, only(found)))


def relative(folder: Path, runs: Sequence[tuple[float, ...]], labels: str = "a", **fields: object) -> Folder:
    """Return a folder of models that were measured in some runs, of each the ratios of their processes."""
    records = [
        f.relative_speed(label, ratios, occasion=f"run-{number}/1", **fields)
        for label in labels
        for number, ratios in enumerate(runs)
    ]
    return open_folder(c.write(folder, records, rank_by="throughput"))


FIVE = (0.98, 0.99, 1.0, 1.01, 1.02)


def test_two_folders_are_compared_beyond_what_occasions_are_known_to_differ_by(tmp_path: Path) -> None:
    faster = tuple(1.2 * each for each in FIVE)
    once = [relative(tmp_path / "once" / side, [own]) for side, own in (("a", FIVE), ("b", faster))]
    assert findings(only(compare_folders(*once))) == {"throughput": "not resolved"}
    several = [
        relative(tmp_path / "steady" / side, [*[tuple(1.005 * each for each in own), own] * 3])
        for side, own in (("a", FIVE), ("b", faster))
    ]
    assert findings(only(compare_folders(*several))) == {"throughput": "better"}
    moody = [
        relative(tmp_path / "moody" / side, [*[tuple(1.15 * each for each in own), own] * 3])
        for side, own in (("a", FIVE), ("b", faster))
    ]
    assert findings(only(compare_folders(*moody))) == {"throughput": "not resolved"}


def test_two_folders_are_shown_on_one_scale(tmp_path: Path) -> None:
    """The reference was half as fast in the second, and so was the model."""
    first = relative(tmp_path / "a", [FIVE], references=(1000.0,))
    second = relative(tmp_path / "b", [FIVE], references=(500.0,))
    (speed,) = only(compare_folders(first, second)).speeds
    assert (speed.first.value, speed.second.value) == (pytest.approx(1000, rel=1e-3),) * 2
    assert (speed.first.measured, speed.second.measured) == (1000, 500)
    other = relative(tmp_path / "c", [FIVE], references=(500.0,), network="another")
    (unlike,) = only(compare_folders(first, other)).speeds
    assert unlike.finding == "not comparable"
    assert unlike.second.value == pytest.approx(500, rel=1e-3)


def test_stored_speeds_share_their_level_over_all_figures_of_all_pairs(tmp_path: Path) -> None:
    """What is slower by itself is not resolved among nine."""
    unsteady = (0.97, 1.0, 1.03)
    slower = tuple(0.88 * each for each in unsteady)
    first, second = (
        relative(tmp_path / side, [*[tuple(1.004 * each for each in own), own] * 4], "rstuvwxyz")
        for side, own in (("a", unsteady), ("b", slower))
    )
    alone, together = compare_folders(first, second, models=["x"]), compare_folders(first, second)
    assert set(findings(only(alone)).values()) == {"worse"}
    assert {each.finding for pair in together.pairs for each in pair.speeds} == {"not resolved"}
    assert "corrected over 9 numbers, does not" in together.pairs[0].speeds[0].reason
