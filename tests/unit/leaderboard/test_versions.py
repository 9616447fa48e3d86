"""Rows of one code and one torch: what is split, what is not ranked together, and what is left out."""

from __future__ import annotations

from typing import Any

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.versions import of_one_code
from vitbench.records import PluginOrigin, Record


def made_of(record: Record, *, started: float = 0.0, **changes: Any) -> Record:
    """Return a record of something else, made some seconds later."""
    provenance = msgspec.structs.replace(record.planned.provenance, **changes)
    planned = msgspec.structs.replace(record.planned, provenance=provenance)
    return msgspec.structs.replace(record, planned=planned, started=record.started + started)


def origin(code: str) -> PluginOrigin:
    return PluginOrigin(plugin="scratch", distribution="vitbench", version="0.1.0", code_hash=code)


def later(records: list[Record], **changes: Any) -> list[Record]:
    return [made_of(record, started=60, **changes) for record in records]


CHANGES = [
    {"model": origin("new c0de")},
    {"recipe": origin("another recipe")},
    {"others": (origin("another teacher"),)},
    {"libraries": {"timm": "2"}},
    {"recipe_libraries": {"oven": "2"}},
    {"files": {"model.checkpoint": "5ha"}},
    {"software": {"pillow": "14"}},
    {"vitbench": "edited"},
]


@pytest.mark.parametrize("change", CHANGES, ids=[next(iter(change)) for change in CHANGES])
def test_seeds_of_two_codes_are_two_rows_that_say_in_what_they_differ(change: dict[str, Any]) -> None:
    old = [f.quality("vit", 340, seed=0), f.quality("vit", 342, seed=1)]
    board = build([*old, made_of(f.quality("vit", 300, seed=2), **change)], [], "top1")
    assert sorted(row.seeds for row in board.rows) == [(0, 1), (2,)]
    assert len({row.model for row in board.rows}) == 2
    assert len({row.condition for row in board.rows}) == 1
    assert all(row.seeds_missing == () for row in board.rows)
    assert board.left_out == ()


def test_the_names_of_such_rows_hold_the_code() -> None:
    records = [f.quality("vit", 340), made_of(f.quality("vit", 300, seed=1), model=origin("new c0de"))]
    assert {row.model for row in build(records, [], "top1").rows} == {"vit (code c0de)", "vit (code new c0de)"}


def test_a_seed_that_failed_before_the_code_changed_is_missing_all_the_same() -> None:
    failed = f.record(f.quality_cell("vit", seed=1), status="failed")
    [row] = build([failed, *later([f.quality("vit", 340)], model=origin("new"))], [], "top1").rows
    assert (row.seeds, row.seeds_missing) == ((0,), (1,))
    [row] = build([failed, *later([f.quality("vit", 340)], torch="2.16.0")], [], "top1").rows
    assert (row.seeds, row.seeds_missing) == ((0,), (1,))


def test_models_of_two_torches_are_never_ranked_together_nor_joined() -> None:
    torch = "2.15.0+cu130"
    board = build([f.quality("a", 350), made_of(f.quality("b", 300), torch=torch)], [], "top1")
    assert [(row.model, row.rank, row.rank_last, row.condition.torch) for row in board.rows] == [
        ("a", 1, 1, "2.15.0"),
        ("b", 1, 1, torch),
    ]
    seeds = build([f.quality("a", 350), made_of(f.quality("a", 300, seed=1), torch=torch)], [], "top1").rows
    assert [row.seeds for row in seeds] == [(0,), (1,)]
    joined = build([f.quality("a", 350), *later(f.speed("a"), torch=torch)], [], "top1").rows
    assert sorted(("top1" in row.metrics, "throughput" in row.metrics) for row in joined) == [
        (False, True),
        (True, False),
    ]


def test_speeds_of_two_versions_of_cudnn_are_never_ranked_together() -> None:
    gpu = {"machine": f.GPU_MACHINE, "device": "cuda"}
    one, other = f.speed("a", 1000, **gpu), f.speed("b", 2000, **gpu)
    records = [made_of(each, software={"cuDNN": "9"}) for each in one]
    records += [made_of(each, software={"cuDNN": "8"}) for each in other]
    assert [row.rank_last for row in build(records, [], "throughput").rows] == [1, 1]


def test_variables_that_are_set_make_another_condition() -> None:
    cell = f.speed_cell("b")
    slow = msgspec.structs.replace(
        cell,
        cell=msgspec.structs.replace(cell.cell, timing_variables={"OMP_WAIT_POLICY": "passive"}),
        timing_variables={"OMP_WAIT_POLICY": "passive"},
    )
    rows = build([*f.speed("a"), f.record(slow, f.speed("b")[1].measurements)], [], "throughput").rows
    assert {row.model: row.condition.variables_text for row in rows} == {"a": "", "b": "OMP_WAIT_POLICY=passive"}


def test_the_older_of_quality_and_speed_is_left_out_and_it_is_said() -> None:
    new = {"model": origin("new")}
    board = build([f.quality("vit", 340), *later(f.speed("vit"), **new)], [], "top1")
    [row] = board.rows
    assert ("top1" in row.metrics, "throughput" in row.metrics) == (False, True)
    [sentence] = board.left_out
    assert sentence.startswith("vit: its quality is left out: it was measured with different code of the model")
    board = build([*f.speed("vit"), *later([f.quality("vit", 340)], **new)], [], "top1")
    [row] = board.rows
    assert ("top1" in row.metrics, "throughput" in row.metrics) == (True, False)
    assert board.left_out[0].startswith("vit: its speed is left out")


def test_the_speed_of_another_code_of_the_recipe_is_left_out_and_that_of_inference_stays() -> None:
    own = {"recipe": "recipes/supervised"}
    quality = made_of(f.quality("vit", 340, **own), recipe=origin("new"), started=60)
    timed = [
        made_of(record, recipe=origin("old")) if record.planned.cell.recipe else record
        for record in f.speed("vit", **own)
    ]
    board = build([*timed, quality], [], "top1")
    [row] = board.rows
    assert {"top1", "throughput"} <= row.metrics.keys()
    assert "train_throughput" not in row.metrics
    assert "different code of the recipe" in board.left_out[0]


def test_a_code_that_has_both_stays_beside_halves_of_others() -> None:
    whole = [f.quality("vit", 340), *f.speed("vit")]
    half = later([f.quality("vit", 300, seed=1)], model=origin("new"))
    kept, said = of_one_code([*whole, *half])
    assert (len(kept), said) == (len(whole) + 1, ())
    failed = [f.record(f.speed_cell("vit"), status="failed")]
    assert of_one_code([*failed, *half]) == ([*failed, *half], ())
