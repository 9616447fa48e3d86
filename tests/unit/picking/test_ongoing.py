"""A pick while it goes on: whose decisions it goes on with, and what it had seen when it was interrupted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vitbench.picking.candidates import Listed
from vitbench.picking.course import Course
from vitbench.picking.ledger import Ledger, write_ledger
from vitbench.picking.ongoing import Asked, OngoingPick
from vitbench.picking.schedule import Clock


def going(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> tuple[OngoingPick, list[float]]:
    """Return a pick whose budget is used up, and the shares of the labels that it looks at."""
    one = cast(Any, object.__new__(OngoingPick))
    one.ledger, one.clock, one.course, one.identity = ledger, Clock(100.0, 99.0), Course(), "pick"
    one.stages = SimpleNamespace(
        folder=Path("no folder"), say=lambda words: None, time=lambda *_: {}, rows=lambda cells: [None] * len(cells)
    )
    one.facts = SimpleNamespace(images={"train": 1000, "val": 100, "test": 100})
    one.info = SimpleNamespace(class_names=("a", "b"))
    one.want, one.planned = None, None
    looked: list[float] = []

    def look(racing: list[Any], share: float, level: float) -> list[Any]:
        looked.append(share)
        return racing[:1] if share == 0.5 else racing

    monkeypatch.setattr(one, "_look", look)
    return one, looked


def candidates(count: int) -> list[Any]:
    return [SimpleNamespace(name=f"{i}", label=f"{i}", learned=True, speeds=()) for i in range(count)]


@pytest.mark.parametrize(("had", "shares"), [(3, [0.125, 0.25, 0.5]), (2, [0.125, 0.25]), (0, [0.125])])
def test_looks_that_were_had_decide_again(had: int, shares: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(raced=("0", "1"), looked=had)
    one, looked = going(ledger, monkeypatch)
    left = one.race(candidates(2))
    assert looked == shares
    assert len(left) == (1 if had == 3 else 2)


@pytest.mark.parametrize(("measured", "count"), [(8, 8), (0, 4)])
def test_speeds_that_were_measured_count_again(measured: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = going(Ledger(measured=measured), monkeypatch)
    one.runners = candidates(10)
    assert len(one.time()) == count


def test_a_used_up_budget_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = going(Ledger(measured=8), monkeypatch)
    one.runners = candidates(10)
    one.time()
    assert one.course.remarks == []
    one.clock = Clock(600.0, 601.0)
    one.time()
    one.time()
    assert one.course.remarks == [
        "The budget of 10m was used up before there was an answer; for a better one, give a longer --budget or fewer "
        "--models."
    ]


def test_a_finished_pick_that_is_asked_for_again_was_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = going(Ledger(measured=8, timed=8, training=60.0), monkeypatch)
    one.runners, one.clock = candidates(10), Clock(600.0, 601.0)
    one.time()
    assert not any("used up" in words for words in one.course.remarks)


def test_the_remark_on_guessing_is_left_to_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = going(Ledger(), monkeypatch)
    said: list[str] = []
    one.stages = cast(Any, SimpleNamespace(say=said.append))
    one.facts = cast(Any, SimpleNamespace(majority=0.5, majority_name="cat"))
    one.beside_the_majority(cast(Any, SimpleNamespace(pick=SimpleNamespace(accuracy=SimpleNamespace(low=0.4)))))
    assert said == []
    assert one.course.remarks == ["The pick does not differ significantly from always predicting 'cat': 50.0 % right."]


def test_only_candidates_that_can_run_share_the_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def facts(*_: Any, models: int) -> None:
        counted.append(models)

    begun(tmp_path, {"a": "1", "b": "", "c": "3"}, monkeypatch, data_facts=facts)
    assert counted == [2]


def begun(folder: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, **changed: Any) -> OngoingPick:
    """Begin a pick among models whose trainings have these keys; of one without a key the weights are not there."""
    models = [
        SimpleNamespace(
            name=name,
            label=name,
            learned=bool(key),
            unavailable="" if key else "the hub does not answer",
            waits=not key,
            speeds=(),
            training=SimpleNamespace(key=key, data="data"),
        )
        for name, key in keys.items()
    ]
    stages: Any = SimpleNamespace(
        asked={"datasets": ("pets",), "suite": "mine"}, folder=folder, plan=lambda *_, **__: None, say=lambda _: None
    )
    for name, given in {
        "candidates_of": models,
        "load_splits": None,
        "data_facts": None,
        "facts_in_words": [],
    }.items():
        monkeypatch.setattr(f"vitbench.picking.ongoing.{name}", lambda *_, given=given, **__: given)
    for name, function in changed.items():
        monkeypatch.setattr(f"vitbench.picking.ongoing.{name}", function)
    names, unused = Listed(suite="mine", names=tuple(keys), named=False), {"catalog": None, "want": None}
    return OngoingPick(Asked(data="pets", budget=600.0, conditions={}), stages, names=names, **unused)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"a": "1", "b": ""}, True),
        ({"a": "2", "b": ""}, False),  # the data, a checkpoint or a version is another
        ({"a": "1", "b": "3"}, False),  # the hub is back
    ],
)
def test_what_the_clock_decided_holds_for_the_same_candidates_on_the_same_data(
    keys: dict[str, str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun(tmp_path, {"a": "1", "b": ""}, monkeypatch)
    write_ledger(tmp_path, before.identity, Ledger(spent=100.0, finalists=("a",)))
    again = begun(tmp_path, keys, monkeypatch)
    assert again.ledger.finalists == (("a",) if kept else None)
    assert (again.clock.used >= 100.0) == kept
