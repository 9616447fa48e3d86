"""A plan is split evenly, by what was asked alone, and nothing is lost or run twice."""

from __future__ import annotations

from collections import Counter

import factories
import pytest

from vitbench.errors import UsageError
from vitbench.records import FigureCell, KeyedCell, QualityCell, SpeedCell
from vitbench.sharding import Shard, split_cells


def plan() -> list[KeyedCell]:
    """Five models on three datasets with three seeds, two speeds of each, and a figure of each training."""
    trained = [
        factories.quality_cell(label, data=factories.data_info(data), seed=seed)
        for label in "abcde"
        for data in ("x", "y", "z")
        for seed in range(3)
    ]
    timed = [factories.speed_cell(label, batch_size=size) for label in "abcde" for size in (1, 32)]
    return [*trained, *timed, *map(figure_of, trained)]


def figure_of(trained: KeyedCell) -> KeyedCell:
    assert isinstance(trained.cell, QualityCell)
    cell = FigureCell(figure="figures/attention", of=trained.cell)
    return factories._keyed(
        cell,  # type: ignore[arg-type]
        label=trained.label,
        data=trained.data,
        code="c0de",
        machine="m",
        shows=trained.key,
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 100])
def test_a_plan_is_split_evenly_and_what_belongs_together_stays_together(count: int) -> None:
    cells = plan()
    shards = split_cells(cells, count)
    assert shards.keys() == {cell.key for cell in cells}
    assert {*shards.values()} <= {*range(1, count + 1)}
    trainings = [cell for cell in cells if isinstance(cell.cell, QualityCell)]
    for part in (
        trainings,
        *([cell for cell in trainings if cell.cell.dataset == data] for data in "xyz"),
        *([cell for cell in trainings if cell.label == label] for label in "abcde"),
    ):
        dealt = Counter(shards[cell.key] for cell in part)
        uneven = max(dealt.values()) - min(dealt.get(shard, 0) for shard in range(1, count + 1))
        assert uneven <= (1 if part is trainings else 2)
    for label in "abcde":
        timed = {shards[cell.key] for cell in cells if isinstance(cell.cell, SpeedCell) and cell.label == label}
        assert len(timed) == 1, "the speeds of a model were torn apart"
    assert all(shards[cell.key] == shards[cell.shows] for cell in cells if cell.shows)


def test_the_split_does_not_depend_on_the_machine_or_on_the_code() -> None:
    here, there = (
        [
            *(factories.quality_cell(label, machine=machine, code=code) for label in "abc"),
            *(factories.speed_cell(label, machine=machine, code=code) for label in "abc"),
        ]
        for machine, code in (("this", "one"), ("that", "two"))
    )
    assert [*split_cells(here, 2).values()] == [*split_cells(there, 2).values()]
    assert {*split_cells(here, 2)}.isdisjoint(split_cells(there, 2))


def test_a_shard_is_read_as_it_is_written() -> None:
    assert str(Shard.read("2/3")) == "2/3"


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1 / 3", "\u0661/3", "1/10001"])
def test_what_is_no_shard_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard") as refused:
        Shard.read(text)
    assert "\n" not in str(refused.value)


def test_kinds_do_not_all_begin_at_the_first_shard() -> None:
    cells = [
        factories.quality_cell("a"),
        factories.quality_cell("b", baseline=True),
        factories.speed_cell("a"),
    ]
    assert [*split_cells(cells, 3).values()] == [1, 2, 3]
