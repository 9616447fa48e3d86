"""What a row says of the attempts that belong together; not yet where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.rows import Row, unranked, unshared
from vitbench.statistics import wilson


def only(rows: Iterable[Row]) -> Row:
    [row] = rows
    return row


def by_model(rows: Iterable[Row]) -> dict[str, Row]:
    return {row.model: row for row in rows}


def test_each_speed_figure_comes_from_its_own_cell():
    metrics = only(unranked([f.quality("vit"), *f.speed("vit", 1000.0)])).metrics
    assert metrics["latency_p50"].value == pytest.approx(0.002)
    assert metrics["throughput"].value == 1000
    assert metrics["peak_memory"].value == 12 << 20  # of batch 32; batch 1 has a peak of its own
    assert metrics["train_throughput"].value == pytest.approx(1000 / 3)


def test_batch_1_alone_gives_latency_and_costs_only():
    row = only(unranked([f.quality("vit"), f.speed("vit")[0]]))
    assert set(row.metrics) == {"top1", "nll", "train_seconds", "latency_p50", "latency_p95", "params", "macs"}
    assert row.condition.batch_size is None


def test_a_row_says_whose_training_step_was_timed():
    recipe = {"recipe": "recipes/finetune", "recipe_options": {"steps": 9}}
    records = [
        *(f.quality("own", **recipe), *f.speed("own", 900.0, **recipe), *f.speed("own", 300.0)),
        *(f.quality("plain"), *f.speed("plain")),
        *(f.quality("slow"), *f.speed("slow")[:2]),
    ]
    rows = by_model(unranked(records))
    assert {name: row.train_step for name, row in rows.items()} == {
        "own": "recipes/finetune",
        "plain": "adamw",
        "slow": None,
    }
    assert rows["own"].metrics["train_throughput"].value == pytest.approx(300)


def test_a_device_without_training_steps_has_its_row_beside_one_that_has_them():
    recipe = {"recipe": "zoo/sam", "recipe_options": {"rho": 0.5}}
    records = [*f.speed("vit", **recipe), *f.speed("vit", device="cuda:0", **recipe)[:2]]
    rows = {row.condition.device: row for row in unranked(records)}
    found = {device: (row.recipe, row.train_step, row.metrics["throughput"].value) for device, row in rows.items()}
    assert found == {"cpu": ("zoo/sam", "zoo/sam", 1000), "cuda:0": ("", None, 1000)}


def test_of_several_sets_of_options_what_not_all_have_is_unshared():
    assert unshared([]) == []
    assert unshared([{"a": 1}, {"a": 1}]) == [(), ()]
    assert unshared([{"b": (2, 2), "a": 1, "c": None}, {"a": 2, "b": (2, 2)}]) == [("a=1", "c=None"), ("a=2",)]


def test_seeds_are_averaged_and_the_errors_of_images_and_seeds_stand_apart():
    records = [f.quality("vit", correct, seed=seed) for seed, correct in enumerate((330, 340, 350))]
    row = only(unranked(records))
    top1 = row.metrics["top1"]
    intervals = [wilson(correct, 360) for correct in (330, 340, 350)]
    assert row.seeds == (0, 1, 2)
    assert (top1.value, top1.spread, top1.n) == (pytest.approx(340 / 360), pytest.approx(10 / 360), 3)
    assert (top1.low, top1.high) == pytest.approx(tuple(fmean(ends) for ends in zip(*intervals, strict=True)))
    nll = row.metrics["nll"]
    assert (nll.value, nll.low, nll.high, nll.spread) == (0.25, None, None, 0.0)


def failed_seed(seed, **fields):
    return f.record(f.quality_cell("vit", seed=seed, **fields), status="failed", reason="the loss became nan")


def test_a_mean_over_the_seeds_that_are_left_is_doubtful():
    records = [f.quality("vit", 340), f.quality("vit", 350, seed=1), failed_seed(2), *f.speed("vit")]
    row = only(unranked(records))
    assert (row.seeds, row.seeds_missing) == ((0, 1), (2,))
    doubtful = {name: metric.reasons for name, metric in row.metrics.items() if metric.verdict != "valid"}
    assert doubtful == dict.fromkeys(("top1", "nll", "train_seconds"), ("1 of 3 seeds has no result",))
    assert {row.metrics[name].verdict for name in doubtful} == {"warn"}
    whole = only(unranked([*records[:2], f.quality("vit", 345, seed=2)]))
    assert (whole.seeds_missing, whole.metrics["top1"].verdict) == ((), "valid")


def test_a_seed_that_never_started_is_missing_until_it_has_a_result():
    pending = [f.quality_cell("vit", seed=2), f.quality_cell("vit", seed=0), f.quality_cell("other"), f.speed_cell()]
    row = only(unranked([f.quality("vit"), failed_seed(1)], pending))
    assert (row.seeds, row.seeds_missing) == ((0,), (1, 2))
    assert row.metrics["top1"].reasons == ("2 of 3 seeds have no result",)


def test_a_row_knows_on_which_devices_its_seeds_were_trained():
    records = [f.quality("vit", seed=0), f.quality("vit", seed=1), f.quality("vit", seed=2, device="cuda:0")]
    assert only(unranked(records)).seed_devices == {"cpu": (0, 1), "cuda:0": (2,)}
    elsewhere = [f.quality("vit", seed=0, machine="A large one"), *f.speed("vit")]
    assert only(unranked(elsewhere)).seed_devices == {"cpu of A large one": (0,)}
    assert only(unranked(f.speed("vit"))).seed_devices == {}


def test_seeds_on_other_images_of_one_name_are_rows_of_their_own():
    data = [msgspec.structs.replace(f.data_info("pets"), fingerprint=fingerprint) for fingerprint in ("one", "two")]
    rows = unranked([f.quality("vit", seed=seed, data=each) for seed, each in enumerate(data)])
    assert [(row.condition.fingerprint, row.seeds) for row in rows] == [("one", (0,)), ("two", (1,))]


def test_rows_that_differ_in_their_input_alone_are_told_apart():
    small, large = ([*f.speed("vit", image_size=(side, side))] for side in (32, 64))
    assert [(row.model, row.image_size) for row in unranked([*small, *large])] == [
        ("vit (input 1x32x32)", (32, 32)),
        ("vit (input 1x64x64)", (64, 64)),
    ]


def test_a_seed_that_failed_elsewhere_and_has_a_result_is_not_missing():
    row = only(unranked([f.quality("vit"), failed_seed(0, threads=8)]))
    assert (row.seeds, row.seeds_missing, row.metrics["top1"].verdict) == ((0,), (), "valid")


def test_seeds_of_another_recipe_are_not_missing():
    rows = unranked([f.quality("vit"), failed_seed(1, recipe="recipes/finetune")])
    assert [(row.seeds, row.seeds_missing) for row in rows] == [((0,), ())]


def test_a_metric_that_one_seed_lacks_is_doubtful_alone():
    figures = [[f.top1(340), f.measurement("it", 1.0)], [f.top1(340)]]
    records = [f.record(f.quality_cell("vit", seed=seed), each) for seed, each in enumerate(figures)]
    metrics = only(unranked(records)).metrics
    assert (metrics["it"].verdict, metrics["it"].reasons) == ("warn", ("1 of 2 seeds has no result",))
    assert metrics["top1"].verdict == "valid"


def test_what_is_exact_does_not_depend_on_the_seeds():
    figure = f.measurement("size", 9.0, at=("quality",), exact=True)
    row = only(unranked([f.record(f.quality_cell("vit"), [figure]), failed_seed(1)]))
    assert (row.seeds_missing, row.metrics["size"].verdict) == ((1,), "valid")


def test_a_seed_trained_elsewhere_is_not_missing_from_what_holds_here_alone():
    records = [f.quality("vit"), f.quality("vit", seed=1, threads=8), *f.speed("vit")]
    metrics = only(unranked(records)).metrics
    assert (metrics["train_seconds"].verdict, metrics["top1"].n) == ("valid", 2)


def test_where_no_seed_has_a_result_only_speed_is_left_and_stays_valid():
    row = only(unranked([failed_seed(0), failed_seed(1), *f.speed("vit")]))
    assert (row.seeds, row.seeds_missing, row.metrics["throughput"].verdict) == ((), (0, 1), "valid")


def test_the_worst_verdict_over_the_seeds_counts_and_says_its_seed():
    records = [f.quality("vit", 340), f.quality("vit", 341, seed=1, verdict="warn")]
    top1 = only(unranked(records)).metrics["top1"]
    assert (top1.verdict, top1.reasons) == ("warn", ("seed 1: the model is order-dependent",))


def test_a_failed_seed_makes_what_is_invalid_no_better():
    top1 = only(unranked([f.quality("vit", verdict="invalid"), failed_seed(1)])).metrics["top1"]
    assert (top1.verdict, top1.reasons) == ("invalid", ("1 of 2 seeds has no result", "the model is order-dependent"))


@pytest.mark.parametrize("place", [{"threads": 8}, {"machine": f.GPU_MACHINE}, {"device": "cuda"}])
def test_a_time_of_training_stands_where_it_was_taken_only(place):
    own = only(unranked([f.quality("vit"), *f.speed("vit")]))
    other = only(unranked([f.quality("vit"), *f.speed("vit", **place)]))
    assert ("train_seconds" in own.metrics, "train_seconds" in other.metrics) == (True, False)
    assert other.metrics["top1"].value == 340 / 360


def test_a_row_knows_at_which_batches_it_was_measured_where_the_table_has_another():
    newer = [*f.speed("a", batch_size=64), *f.speed("c", batch_size=64)]
    rows = by_model(unranked([f.quality("a"), f.quality("b"), *f.speed("a"), *f.speed("b"), *timed_later(newer)]))
    assert rows["a"].condition.batch_size == 64
    assert "throughput" not in rows["b"].metrics
    assert rows["b"].other_batches == {"inference": (32,), "training": (32,)}
    assert rows["a"].other_batches == {}


def timed_later(records):
    return [msgspec.structs.replace(record, started=1.8e9) for record in records]


def test_a_row_knows_what_its_processes_gave_and_who_took_turns_with_them():
    metrics = only(unranked([f.quality(), *f.speed("vit", 1000)])).metrics
    assert metrics["throughput"].processes == (980, 1000, 1030)
    assert (metrics["throughput"].occasion, metrics["throughput"].interval) == ("run-1/1", "range")
    assert (metrics["top1"].processes, metrics["top1"].occasion, metrics["top1"].interval) == ((), "", "95%")
    assert metrics["nll"].interval is None


def test_the_largest_batch_stands_beside_the_fixed_one_and_replaces_nothing():
    found = f.record(
        f.speed_cell("a", largest_batch=True),
        [
            f.measurement("largest_batch", 700, unit="images"),
            f.measurement("largest_batch_throughput", 5000.0, unit="images/s"),
            f.measurement("throughput", 1.0, unit="images/s"),
        ],
        started=9e9,
    )
    row = only(unranked([f.quality("a"), *f.speed("a", 900), found]))
    assert (row.metrics["largest_batch"].value, row.metrics["largest_batch_throughput"].value) == (700, 5000)
    assert row.metrics["throughput"].value == 900
    assert row.condition.batch_size == 32


def test_cold_start_is_that_of_a_single_image():
    def timed(batch_size, seconds):
        return f.record(f.speed_cell("a", batch_size=batch_size), [f.measurement("cold_start", seconds, unit="s")])

    row = only(unranked([f.quality("a"), timed(1, 0.5), timed(32, 0.9)]))
    assert row.metrics["cold_start"].value == 0.5


def test_each_foreign_figure_comes_from_the_cell_that_its_spec_names():
    metrics = only(unranked(f.foreign("vit", 2.0))).metrics
    assert {name: metric.taken_at for name, metric in metrics.items()} == {
        "my_p50": "batch_1",
        "zeta": "fixed_batch",
        "drill": "training",
        "beauty": "quality",
        "size": "fixed_batch",
        "crowd": "largest_batch",
    }
    assert {name: metric.value for name, metric in metrics.items()} == {
        name: 200 if spec.better == "higher" else 50 for name, spec in f.FOREIGN.items()
    }


def test_a_row_takes_a_figure_from_the_first_of_its_cells_that_has_a_value():
    places = {"quality": f.quality_cell(), "fixed_batch": f.speed_cell(), "batch_1": f.speed_cell(batch_size=1)}

    def taken(at, values):
        records = [f.record(places[cell], [f.measurement("it", value, at=at)]) for cell, value in values.items()]
        metric = only(unranked(records)).metrics["it"]
        return metric.taken_at, metric.value

    everywhere = {"quality": 1.0, "fixed_batch": 2.0, "batch_1": 3.0}
    assert taken(("batch_1", "quality", "fixed_batch"), everywhere) == ("batch_1", 3.0)
    assert taken(("quality", "batch_1"), everywhere) == ("quality", 1.0)
    assert taken(("quality", "batch_1"), {"quality": None, "batch_1": 3.0}) == ("batch_1", 3.0)
    assert taken(("quality", "fixed_batch"), {"quality": None, "fixed_batch": None}) == ("quality", None)


def test_what_is_exact_is_so_at_any_batch_and_the_rest_at_the_rows_alone():
    figures = [f.measurement(name, 1.0, at=("fixed_batch",), exact=name == "same") for name in ("it", "same")]
    sizes = {"vit": 8, "resnet": 32}
    records = [f.record(f.speed_cell(m, batch_size=size), figures, started=float(size)) for m, size in sizes.items()]
    rows = by_model(unranked(records))
    assert set(rows["resnet"].metrics) == {"it", "same"}
    assert set(rows["vit"].metrics) == {"same"}
    assert rows["vit"].other_batches == {"inference": (8,)}
