"""A leaderboard as a whole: which records make which rows, and where the rows stand."""

from collections.abc import Callable

import factories as f
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import COSTLY

from vitbench.leaderboard import leaderboard
from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.leaderboard import Row, build
from vitbench.records import METHOD, Record
from vitbench.report.naming import titles
from vitbench.running.attempt import merge_processes
from vitbench.statistics import wilson


def only(rows: tuple[Row, ...]) -> Row:
    [row] = rows
    return row


def by_model(rows: tuple[Row, ...]) -> dict[str, Row]:
    return {row.model: row for row in rows}


def test_a_row_joins_quality_and_speed():
    records = [f.quality("vit", 340), *f.speed("vit", 1000.0)]
    row = only(build(records, [], "top1").rows)
    assert (row.rank, row.model, row.seeds, row.baseline, row.image_size) == (1, "vit", (0,), False, (8, 8))
    assert row.recipe == "recipes/supervised"
    c = row.condition
    assert (c.dataset, c.machine, c.device, c.precision, c.threads) == ("digits", f.MACHINE, "cpu", "float32", 1)
    assert (c.batch_size, c.train_batch_size, c.partial) == (32, 32, False)
    assert set(row.metrics) == {
        *("top1", "nll", "train_seconds", "params", "macs", "throughput", "peak_memory"),
        *("latency_p50", "latency_p95", "train_throughput", "train_peak_memory"),
    }
    top1 = row.metrics["top1"]
    assert (top1.value, top1.low, top1.high) == (340 / 360, *wilson(340, 360))
    assert (top1.unit, top1.better, top1.n, top1.verdict, top1.reasons) == ("fraction", "higher", 360, "valid", ())
    assert set(row.ids) == {record.id for record in records}


def test_the_newest_attempt_of_an_id_counts_whatever_its_code():
    records = [f.quality("vit", 300, code="old"), f.quality("vit", 350, code="new")]
    assert only(build(records, [], "top1").rows).metrics["top1"].value == 350 / 360
    assert only(build(records[::-1], [], "top1").rows).metrics["top1"].value == 300 / 360


def test_a_newer_failure_takes_the_row_away_and_stands_in_failed():
    good = f.quality("vit", 340)
    board = build([good, f.record(good.planned, status="timeout", reason="no heartbeat for 600 s")], [], "top1")
    assert board.rows == ()
    [failure] = board.failed
    assert (failure.model, failure.dataset, failure.kind) == ("vit", "digits", "quality")
    assert (failure.status, failure.reason) == ("timeout", "no heartbeat for 600 s")


@pytest.mark.parametrize("status", ["failed", "invalid", "interrupted"])
def test_every_status_but_ok_is_failed_and_never_a_row(status):
    board = build([f.record(f.quality_cell(), status=status), f.record(f.speed_cell(), status=status)], [], "top1")
    assert board.rows == ()
    assert [(x.kind, x.status, x.reason) for x in board.failed] == [(k, status, status) for k in ("quality", "speed")]


def test_an_interrupted_repetition_takes_no_result_away():
    done, again = f.quality("vit", 340), f.record(f.quality_cell("vit"), status="interrupted")
    assert again.key == done.key
    board = build([done, again], [], "top1")
    assert [row.model for row in board.rows] == ["vit"]
    assert board.failed == ()


def test_a_cell_that_waits_for_the_hub_is_listed_beside_its_older_result():
    done, again = f.quality("vit", 340), f.record(f.quality_cell("vit"), status="pending")
    board = build([done, again], [], "top1")
    assert [row.model for row in board.rows] == ["vit"]
    assert [(x.model, x.status) for x in board.failed] == [("vit", "pending")]
    assert build([done, again, done], [], "top1").failed == ()


def standings(rows: tuple[Row, ...]) -> dict[str, tuple[int | None, int | None, tuple[str, ...]]]:
    return {row.model: (row.rank, row.rank_last, row.tied_with) for row in rows}


def scores(right: range, n: int = 360, images: str = "test") -> Outcomes:
    found = np.zeros(n, dtype=bool)
    found[right] = True
    return Outcomes(scores=found, images=images)


def known(**of: Outcomes) -> Callable[[Record], Outcomes | None]:
    """Return what is known of each label's images, with its seed where it has several."""
    return lambda record: of.get(record.planned.label, of.get(f"{record.planned.label}{record.planned.cell.seed}"))


def test_rows_with_scores_are_compared_on_the_same_images():
    records = [f.quality("a", 340), f.quality("b", 325), f.quality("c", 322)]
    outcomes = known(a=scores(range(340)), b=scores(range(325)), c=scores(range(322)))
    board = build(records, [], "top1", outcomes)
    # Of a and b fifteen images tell, all on one side; of b and c three.
    assert standings(board.rows) == {"a": (1, 1, ()), "b": (2, 3, ("c",)), "c": (2, 3, ("b",))}
    assert standings(build(records, [], "top1").rows)["a"] == (1, 3, ("b", "c"))
    assert {condition.dataset: (found.pairs, found.images) for condition, found in board.resolutions.items()} == {
        "digits": (3, 360)
    }


def test_all_seeds_of_a_row_are_compared_or_none():
    records = [f.quality("a", 340, seed=seed) for seed in (0, 1, 2)] + [f.quality("b", 300, seed=0)]
    outcomes = {f"a{seed}": scores(range(340)) for seed in (0, 1, 2)} | {"b": scores(range(300))}
    [resolution] = build(records, [], "top1", known(**outcomes)).resolutions.values()
    assert resolution.models == 2
    del outcomes["a1"]
    assert build(records, [], "top1", known(**outcomes)).resolutions == {}


@pytest.mark.parametrize(
    "other",
    [scores(range(325), images="others"), scores(range(326)), None],
    ids=["other images", "not the figure in the record", "unknown"],
)
def test_scores_that_do_not_belong_together_are_not_paired(other):
    records = [f.quality("a", 340), f.quality("b", 325)]
    board = build(records, [], "top1", known(a=scores(range(340)), **({"b": other} if other else {})))
    assert standings(board.rows) == {"a": (1, 2, ("b",)), "b": (1, 2, ("a",))}
    assert board.resolutions == {}


def test_scores_are_asked_of_what_may_be_ranked_only():
    asked = []

    def outcomes(record: Record) -> None:
        asked.append(record.planned.label)

    records = [
        *(f.quality("good"), *f.speed("good"), f.quality("bad", verdict="invalid"), f.quality("cut", limit=100)),
        f.record(f.quality_cell("failed"), status="failed"),
    ]
    build(records, [], "top1", outcomes)
    assert asked == ["good"]
    build(records, [], "throughput", outcomes)
    assert asked == ["good"], "a quality record knows nothing of speed"


def test_ranks_of_more_rows_than_can_be_paired_follow_the_intervals(monkeypatch):
    monkeypatch.setattr(leaderboard, "MOST_PAIRED", 1)
    records = [f.quality("a", 340), f.quality("b", 325)]
    board = build(records, [], "top1", known(a=scores(range(340)), b=scores(range(325))))
    assert standings(board.rows) == {"a": (1, 2, ("b",)), "b": (1, 2, ("a",))}


def test_without_scores_the_error_of_the_seeds_widens_the_intervals():
    steady = [f.quality("a", 340, seed=0), f.quality("a", 340, seed=1)]
    varied = [f.quality("a", 345, seed=0), f.quality("a", 335, seed=1)]
    other = f.quality("b", 300)
    assert standings(build([*steady, other], [], "top1").rows)["a"] == (1, 1, ())
    assert standings(build([*varied, other], [], "top1").rows)["a"] == (1, 2, ("b",))


def timed(label: str, *processes: float, occasion: str = "here", **of_each: object) -> Record:
    """Return a record of a throughput, merged from what its processes gave."""
    seen = [(f.measurement("throughput", value, unit="images/s", **of_each),) for value in processes]
    return f.record(f.speed_cell(label), merge_processes(seen), occasion=occasion)


def test_speeds_that_differ_by_more_than_their_processes_do_have_ranks():
    records = [timed("a", 1000, 1003, 1006), timed("b", 1107, 1110, 1113), timed("c", 1112, 1115, 1118)]
    assert standings(build(records, [], "throughput").rows) == {
        "c": (1, 2, ("b",)),
        "b": (1, 2, ("c",)),
        "a": (3, 3, ()),
    }


def test_the_level_of_stored_speeds_is_shared_over_all_pairs():
    pair = [timed("a", 975, 1000, 1025), timed("b", 1170, 1200, 1230)]
    assert standings(build(pair, [], "throughput").rows)["b"] == (1, 1, ())
    others = [timed(f"c{i}", 975, 1000, 1025) for i in range(8)]
    assert by_model(build([*pair, *others], [], "throughput").rows)["b"].rank_last == 10


def test_only_pairs_that_took_turns_share_the_level():
    pair = [timed("a", 975, 1000, 1025), timed("b", 1170, 1200, 1230)]
    elsewhere = [timed(f"c{i}", 975, 1000, 1025, occasion=f"{i}") for i in range(8)]
    rows = by_model(build([*pair, *elsewhere], [], "throughput").rows)
    assert "a" not in rows["b"].tied_with


def test_a_figure_without_an_interval_is_told_apart_from_none():
    exact, unknown = f.quality("a", 340), f.record(f.quality_cell("b"), [f.measurement("top1", 0.1, unit="fraction")])
    assert standings(build([exact, unknown], [], "top1").rows) == {"a": (1, 2, ("b",)), "b": (1, 2, ("a",))}
    times = [f.quality("a"), f.quality("b")]
    assert standings(build(times, [], "train_seconds").rows) == {"a": (1, 2, ("b",)), "b": (1, 2, ("a",))}


def test_seeds_do_not_make_a_figure_without_an_interval_certain():
    records = [
        f.record(f.quality_cell(m, seed=s), [f.measurement("kappa", v + s / 1000, unit="1")])
        for m, v in (("a", 0.9), ("b", 0.1))
        for s in (0, 1)
    ]
    assert {row.rank_last for row in build(records, [], "kappa").rows} == {2}


def test_times_of_single_trainings_are_told_apart_from_nothing():
    """Two evaluations are two occasions, whatever interval they claim."""
    given = {"unit": "s", "better": "lower", "n": 9}
    records = [
        f.record(f.quality_cell(m), [f.measurement("train_seconds", v, low=0.99 * v, high=1.01 * v, **given)])
        for m, v in (("a", 10.0), ("b", 20.0))
    ]
    assert {(row.rank, row.rank_last) for row in build(records, [], "train_seconds").rows} == {(1, 2)}


def test_rows_of_one_model_are_tied_by_the_names_that_tell_them_apart():
    records = [f.quality("a", n, recipe=f"recipes/{r}") for n, r in ((340, "r1"), (325, "r2"), (305, "r3"))]
    rows = build([*records, f.quality("b", 100)], [], "top1").rows
    assert [row.tied_with for row in rows] == [
        ("a [recipes/r2]",),
        ("a [recipes/r1]", "a [recipes/r3]"),
        ("a [recipes/r2]",),
        (),
    ]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_is_no_number_has_no_value_and_no_rank(value):
    record = f.record(f.quality_cell(), [f.measurement("top1", value, reasons=("no test images",))])
    row = only(build([record], [], "top1").rows)
    assert (row.rank, row.metrics["top1"].value, row.metrics["top1"].reasons) == (None, None, ("no test images",))


def test_partial_results_stand_apart_unranked_and_sorted():
    records = [
        f.quality("full", 300),
        *(f.quality(name, correct, limit=200, epochs=2) for name, correct in (("p1", 330), ("p2", 350))),
        f.quality("p3", 359, limit=100),
    ]
    rows = build(records, [], "top1").rows
    assert [(row.model, row.rank, row.tied_with) for row in rows] == [
        ("full", 1, ()),
        ("p3", None, ()),
        ("p2", None, ()),
        ("p1", None, ()),
    ]
    assert [(r.condition.partial, r.condition.limit, r.condition.epochs) for r in rows] == [
        (False, None, None),
        (True, 100, None),
        (True, 200, 2),
        (True, 200, 2),
    ]


def test_rows_of_test_images_come_before_those_of_validation_images():
    """Partial ones, too; and a model's speed stands in both."""
    of_val = f.quality("a", 350, split="val")
    board = build([of_val, *f.speed("a", 900), f.quality("a", 340, limit=9), f.quality("a", 300)], [], "top1")
    assert [(row.condition.split, row.condition.partial, "throughput" in row.metrics) for row in board.rows] == [
        ("test", False, True),
        ("test", True, True),
        ("val", False, True),
    ]
    assert list(titles(board.by_condition()).values()) == [
        "digits",
        "digits, partial: limit 9",
        "digits, judged on validation images",
    ]
    (lost,) = build([], [of_val.planned], "top1").failed
    assert lost.detail == "digits (validation), seed 0"


@pytest.mark.parametrize(
    "other",
    [
        {"data": f.data_info("cifar10")},
        {"precision": "bfloat16"},
        {"limit": 0.5},
        {"machine": f.GPU_MACHINE, "device": "cuda"},
    ],
)
def test_ranks_are_given_within_one_condition_only(other):
    rows = build([f.quality("a", 350), f.quality("b", 300, **other)], [], "top1").rows
    assert len({row.condition for row in rows}) == 2
    assert by_model(rows)["a"].rank == 1
    assert by_model(rows)["b"].rank == (None if "limit" in other else 1)


def of_method(record: Record, method: int) -> Record:
    provenance = msgspec.structs.replace(record.planned.provenance, method=method)
    return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, provenance=provenance))


def test_figures_of_two_methods_are_never_ranked_together_nor_joined():
    records = [f.quality("a", 350), f.quality("b", 340), *f.speed("b", 900)]
    rows = build([of_method(records[0], METHOD - 1), *records[1:]], [], "top1").rows
    assert [(row.model, row.rank, row.rank_last, row.condition.method) for row in rows] == [
        ("b", 1, 1, METHOD),
        ("a", 1, 1, METHOD - 1),
    ]
    mixed = [records[1], *(of_method(each, METHOD - 1) for each in records[2:])]
    quality, speed = build(mixed, [], "top1").rows
    assert "throughput" not in quality.metrics
    assert (speed.condition.dataset, speed.condition.method) == ("", METHOD - 1)


def test_a_baseline_of_another_method_stands_apart():
    records = [f.quality("a", 350), *f.speed("a"), of_method(f.quality("knn", 340, baseline=True), METHOD - 1)]
    assert [(row.model, row.rank) for row in build(records, [], "top1").rows] == [("a", 1), ("knn", 1)]


@pytest.mark.parametrize("partial", [{}, {"limit": 100}])
def test_invalid_figures_are_listed_after_all_others_that_have_one(partial):
    records = [
        f.quality("bad", 359, verdict="invalid", **partial),
        *(f.quality("good", 300, **partial), f.quality("better", 340, **partial)),
        f.record(f.quality_cell("none", **partial), [f.measurement("nll", 1.0, better="lower")]),
    ]
    rows = build(records, [], "top1").rows
    assert [row.model for row in rows] == ["better", "good", "bad", "none"]
    assert rows[2].rank is None
    assert rows[1].tied_with == ()


def test_speed_of_another_precision_shape_or_option_is_not_joined():
    strangers = [
        *f.speed("vit", precision="bfloat16"),
        *f.speed("vit", num_classes=100),
        *f.speed("vit", options={"patch_size": 2}),
    ]
    rows = build([f.quality("vit"), *strangers], [], "top1").rows
    assert "throughput" not in rows[0].metrics
    assert rows[0].rank == 1
    assert [(row.rank, row.condition.dataset, row.seeds) for row in rows[1:]] == [(None, "", ())] * 3


def test_speed_stays_with_its_data_set_where_quality_failed():
    records = [f.record(f.quality_cell("vit"), status="crashed", reason="signal 11"), *f.speed("vit", 500)]
    board = build(records, [], "top1")
    row = only(board.rows)
    assert (row.condition.dataset, row.rank, row.seeds) == ("digits", None, ())
    assert row.metrics["throughput"].value == 500
    assert [failure.reason for failure in board.failed] == ["signal 11"]


def test_threads_change_speed_but_not_what_quality_is_averaged_over():
    records = [
        f.quality("vit", 330, threads=1),
        f.quality("vit", 340, threads=2),
        *f.speed("vit", 100, threads=1),
        *f.speed("vit", 180, threads=2),
    ]
    rows = build(records, [], "top1").rows
    assert [(r.condition.threads, r.metrics["throughput"].value) for r in rows] == [(1, 100), (2, 180)]
    assert {(r.seeds, r.metrics["top1"].value) for r in rows} == {((0,), 340 / 360)}


def test_a_model_measured_on_two_machines_has_two_rows_and_baselines_stand_by_each():
    records = [
        f.quality("vit", 340),
        *f.speed("vit", 1000),
        *f.speed("vit", 90_000, machine=f.GPU_MACHINE, device="cuda"),
        f.quality("majority", 36, baseline=True),
    ]
    rows = build(records, [], "top1").rows
    assert [(r.condition.machine, r.model, r.rank, r.baseline) for r in rows] == [
        (f.MACHINE, "vit", 1, False),
        (f.MACHINE, "majority", 2, True),
        (f.GPU_MACHINE, "vit", 1, False),
        (f.GPU_MACHINE, "majority", 2, True),
    ]
    assert [row.metrics["throughput"].value for row in rows if row.model == "vit"] == [1000, 90_000]
    # How long training took is a fact of the machine that trained.
    assert ["train_seconds" in row.metrics for row in rows if row.model == "vit"] == [True, False]


def test_of_batches_at_which_as_many_models_were_measured_the_table_compares_at_the_last():
    batch_size = 16
    later = [msgspec.structs.replace(r, started=r.started + 60) for r in f.speed("a", 900, batch_size=batch_size)]
    records = [f.quality("a"), *f.speed("a", 100), *later]
    records += [f.quality("b"), *f.speed("b", 200), f.quality("c"), *f.speed("c", 300, batch_size=batch_size)]
    rows = by_model(build(records, [], "top1").rows)
    assert {row.condition.batch_size for row in rows.values()} == {batch_size}
    assert rows["a"].metrics["throughput"].value == 900
    assert "throughput" not in rows["b"].metrics, "at another batch it is no figure to compare with"


def test_a_later_run_of_one_model_at_another_batch_hides_no_others_speed():
    batch_size = 64
    later = [msgspec.structs.replace(r, started=r.started + 60) for r in f.speed("a", 900, batch_size=batch_size)]
    records = [each for m in "abc" for each in (f.quality(m), *f.speed(m, 100))]
    rows = by_model(build([*records, *later], [], "top1").rows)
    assert {row.condition.batch_size for row in rows.values()} == {32}
    assert {name: row.metrics["throughput"].value for name, row in rows.items()} == dict.fromkeys("abc", 100)
    alone = by_model(build([*records[4:], f.quality("a"), *later], [], "top1").rows)
    assert alone["b"].metrics["throughput"].value == 100
    assert alone["a"].other_batches == {"inference": (batch_size,), "training": (batch_size,)}


def test_recipes_share_a_ranking_and_their_options_tell_them_apart():
    cells = [
        f.quality("vit", 340),
        f.quality("vit", 350, recipe="recipes/finetune"),
        *(
            f.record(f.quality_cell("long", recipe_options={"epochs": n, "lr": 0.1}), [f.top1(200 + n)])
            for n in (20, 40)
        ),
    ]
    rows = build(cells, [], "top1").rows
    assert [(row.rank, row.rank_last, row.model, row.recipe) for row in rows] == [
        (1, 2, "vit", "recipes/finetune"),
        (1, 2, "vit", "recipes/supervised"),
        (3, 4, "long", "recipes/supervised:epochs=40"),
        (3, 4, "long", "recipes/supervised:epochs=20"),
    ]


@COSTLY
@given(st.permutations([f.quality(str(i), 100 + 50 * i, seed=i % 2) for i in range(6)] + f.speed("3", 50)))
def test_the_order_of_different_cells_does_not_matter(records):
    rows = build(records, [], "top1").rows
    assert [(row.rank, row.model) for row in rows] == [(i + 1, str(5 - i)) for i in range(6)]
    assert [row.model for row in rows if "throughput" in row.metrics] == ["3"]


@pytest.mark.parametrize("rank_by", f.FOREIGN)
def test_any_metric_ranks_by_what_is_stored_with_it(rank_by):
    records = [*f.foreign("worse", 1.0), *f.foreign("better", 2.0)]
    assert [(row.model, row.rank, row.rank_last) for row in build(records, [], rank_by).rows] == [
        ("better", 1, 1),
        ("worse", 2, 2),
    ]


MIB = 1 << 20


def ranks_by_memory(*peaks: tuple[float, ...], **of_each: object) -> list[tuple[int | None, int | None]]:
    """Rank models by the peaks in MiB that their processes saw, in the order that they are given."""
    records = []
    for number, processes in enumerate(peaks):
        seen = [(f.measurement("peak_memory", peak * MIB, unit="B", better="lower", **of_each),) for peak in processes]
        records.append(f.record(f.speed_cell(f"m{number}"), merge_processes(seen)))
    rows = by_model(build(records, [], "peak_memory").rows)
    return [(rows[name].rank, rows[name].rank_last) for name in sorted(rows)]


def test_memory_on_which_all_processes_agree_is_told_apart():
    assert ranks_by_memory((100,) * 3, (4000,) * 3) == [(1, 1), (2, 2)]
    assert ranks_by_memory((4000,) * 3, (100,) * 3) == [(2, 2), (1, 1)]


def test_what_processes_agree_on_is_no_certainty():
    for apart in ((100, 104), (1, 4)):
        assert ranks_by_memory(*((peak,) * 3 for peak in apart)) == [(1, 2), (1, 2)]


def test_a_byte_more_or_less_makes_an_agreement_no_surer():
    assert ranks_by_memory((100, 100, 100 + 1e-6), (104, 104, 104 + 1e-6)) == [(1, 2), (1, 2)]


@pytest.mark.parametrize("ends", [{}, {"low": 100.0 * MIB, "high": 100.0 * MIB, "n": 1}], ids=["none", "no width"])
def test_one_process_is_never_certain(ends):
    assert ranks_by_memory((100,), (100,), (100,), **ends) == [(1, 3)] * 3
    records = [
        f.record(
            f.speed_cell(label),
            [f.measurement("peak_memory", peak, unit="B", better="lower", low=peak, high=peak, n=1)],
        )
        for label, peak in (("a", 100.0 * MIB), ("b", 4000.0 * MIB))
    ]
    assert {(row.rank, row.rank_last) for row in build(records, [], "peak_memory").rows} == {(1, 2)}


def test_rows_of_two_lineages_of_one_dataset_are_never_ranked_together():
    data = [msgspec.structs.replace(f.data_info("c100"), lineage=lineage) for lineage in ("TFDS", "archives", "")]
    board = build([f.quality(f"m{n}", 300 + n, data=each) for n, each in enumerate(data)], [], "top1")
    assert {(row.rank, row.rank_last) for row in board.rows} == {(1, 1)}
    assert {*titles(board.by_condition()).values()} == {"c100", "c100, TFDS", "c100, archives"}
