"""Which records are seeds of one row, which speeds stand beside them, and on which machines."""

from __future__ import annotations

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.grouping import common_batches, grouped, of_row, placed
from vitbench.records import Record

GPU = {"machine": f.GPU_MACHINE, "device": "cuda"}


def later(records: list[Record], seconds: float) -> list[Record]:
    return [msgspec.structs.replace(record, started=record.started + seconds) for record in records]


def rows(records: list[Record]) -> list[tuple[str, str, int]]:
    """Return the label, the machine and the number of good quality records of each row to be."""
    return [(planned.label, place.machine, len(good)) for _, good, planned, place in placed(*grouped(records))]


def test_seeds_and_failures_belong_to_one_row_and_other_recipes_and_options_do_not() -> None:
    failed = f.record(f.quality_cell(seed=2), status="failed")
    records = [f.quality(seed=0), f.quality(seed=1), failed, f.quality(recipe="recipes/finetune")]
    entries, speed = grouped([*records, f.quality(options={"patch_size": 2})])
    assert [len(each) for each in entries.values()] == [3, 1, 1]
    assert not speed


def test_the_order_in_which_options_were_given_tells_nothing_apart() -> None:
    orders = ({"depth": 2, "width": 8}, {"width": 8, "depth": 2})
    [entry], _ = grouped([f.quality(options=options, seed=seed) for seed, options in enumerate(orders)])
    assert entry.subject.model == "scratch/vit"


@pytest.mark.parametrize("newer", [16, 64])
def test_the_common_batch_is_the_one_measured_last_by_machine_and_mode(newer: int) -> None:
    records = [*f.speed(), *later(f.speed("other", batch_size=newer), 60), *later(f.speed(batch_size=128, **GPU), 90)]
    found = common_batches(grouped(records)[1])
    assert {(place.machine, mode): batch for (place, _, mode), batch in found.items()} == {
        (f.MACHINE, "inference"): newer,
        (f.MACHINE, "training"): newer,
        (f.GPU_MACHINE, "inference"): 128,
        (f.GPU_MACHINE, "training"): 128,
    }


def test_latency_and_the_search_for_the_largest_batch_set_no_common_one() -> None:
    search = f.record(f.speed_cell(largest_batch=True, batch_size=512))
    latency = f.record(f.speed_cell(batch_size=1))
    assert common_batches(grouped([search, latency])[1]) == {}


def test_a_row_stands_where_speed_was_measured_else_where_quality_was() -> None:
    assert rows([f.quality("a")]) == [("a", f.MACHINE, 1)]
    assert rows([f.quality("a"), *f.speed("a", **GPU)]) == [("a", f.GPU_MACHINE, 1)]


def test_a_baseline_stands_beside_the_models_of_its_own_task_only() -> None:
    baseline = f.quality("knn", baseline=True)
    models = [f.quality("a"), *f.speed("a", **GPU), f.quality("b", data=f.data_info("cifar10"))]
    assert rows([baseline, *models]) == [("a", f.GPU_MACHINE, 1), ("b", f.MACHINE, 1), ("knn", f.GPU_MACHINE, 1)]
    assert rows([baseline]) == [("knn", f.MACHINE, 1)]


# Training steps of recipes

OWN = {"recipe": "recipes/supervised", "recipe_options": {"lr": 0.1}}
OTHER = {"recipe": "recipes/supervised", "recipe_options": {"lr": 0.2}}


def steps_of(records: list[Record]) -> dict[tuple[str, bytes, int], list[str | None]]:
    """Return by recipe, options and good quality records the training steps that stand in each row."""
    entries, speed = grouped(records)
    return {
        (entry.recipe, entry.recipe_options, len(good)): [
            record.planned.cell.train_step
            for record in of_row(entry, speed[entry.subject, entry.task.manner][place])
            if record.planned.cell.mode == "training"
        ]
        for entry, good, _, place in placed(entries, speed)
    }


def test_each_row_has_the_training_steps_of_its_own_recipe_and_all_inference() -> None:
    records = [f.quality(**OWN), f.quality(**OTHER), *f.speed(**OWN), *f.speed(**OTHER)[2:]]
    assert steps_of(records) == {
        ("recipes/supervised", b'{"lr":0.1}', 1): ["recipes/supervised"],
        ("recipes/supervised", b'{"lr":0.2}', 1): ["recipes/supervised"],
    }
    entries, speed = grouped(records)
    for entry, _, _, place in placed(entries, speed):
        found = of_row(entry, speed[entry.subject, entry.task.manner][place])
        assert sorted(record.planned.cell.batch_size for record in found) == [1, 32, 32]


def test_a_plain_step_stands_in_for_a_recipe_that_was_not_timed_itself() -> None:
    plain = f.speed()
    assert steps_of([f.quality(**OWN), *plain]) == {("recipes/supervised", b'{"lr":0.1}', 1): ["adamw"]}
    own = {("recipes/supervised", b'{"lr":0.1}', 1): ["recipes/supervised"]}
    assert steps_of([f.quality(**OWN), *plain, *f.speed(**OWN)]) == own


def test_training_steps_of_a_recipe_without_quality_have_a_row_of_their_own() -> None:
    timed = [*f.speed(**OWN), *f.speed(**OTHER)[2:]]
    assert steps_of([f.quality(**OWN), *timed]) == {
        ("recipes/supervised", b'{"lr":0.1}', 1): ["recipes/supervised"],
        ("recipes/supervised", b'{"lr":0.2}', 0): ["recipes/supervised"],
    }
    assert steps_of(timed) == {
        ("recipes/supervised", b'{"lr":0.1}', 0): ["recipes/supervised"],
        ("recipes/supervised", b'{"lr":0.2}', 0): ["recipes/supervised"],
    }
    assert steps_of(f.speed()) == {("", b"{}", 0): ["adamw"]}


def test_a_place_where_another_recipe_alone_was_timed_is_no_place_of_a_row() -> None:
    records = [f.quality(**OWN), *f.speed(**OWN), *f.speed(**OTHER, **GPU)[2:]]
    assert rows(records) == [("vit", f.MACHINE, 1), ("vit", f.GPU_MACHINE, 0)]
