"""A pick that was interrupted goes on with what it had seen, however much of its budget is gone since."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from vitbench.picking.course import Course
from vitbench.picking.going import Going
from vitbench.picking.ledger import Ledger
from vitbench.picking.schedule import Clock


def going(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> tuple[Going, list[float]]:
    """Return a pick whose budget is used up, and the shares of the labels that it looks at."""
    one = cast(Any, object.__new__(Going))
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
