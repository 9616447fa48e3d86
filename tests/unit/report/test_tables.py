"""Tables as every text format shows them: columns, ranks, notes, and cells without a result."""

import factories as f
import msgspec

from vitbench.leaderboard.leaderboard import build
from vitbench.records import HELD_OUT, METHOD, Allotted, FigureCell, Head, Record, Style
from vitbench.report.tables import Section, missing, sections


def only_section(*records: object, rank_by: str = "top1", detailed: bool = False) -> Section:
    [section] = sections(build(records, [], rank_by), detailed=detailed)
    return section


def column(section: Section, title: str) -> tuple[str, ...]:
    [cells] = [c.cells for c in section.columns if f"{c.title} {c.unit}".strip() == title]
    return cells


def test_the_columns_are_those_that_the_measurements_say_in_their_order():
    figures = [
        f.measurement(name, 1.0, style=Style(title=name, columns=columns, order=order))
        for name, columns, order in (("d", "main", 9), ("c", "wide", 8), ("b", "all", 7), ("a", "main", 35))
    ]
    records = [*f.speed("vit"), f.record(f.quality_cell("vit"), [f.top1(340), *figures])]
    heads = ["top1", "95 %", "d", "", "a", "p50", "peak", "params", "", "train"]
    assert [each.title for each in only_section(*records).columns] == heads
    detailed = only_section(*records, detailed=True)
    wide = ["top1", "95 %", "c", "d", "", "a", "p50", "p95", "peak", "params", "", "train", "train peak"]
    assert [each.title for each in detailed.columns] == wide
    # What is ranked by comes first, wherever it has a column otherwise.
    ranked = only_section(*records, rank_by="b")
    assert [each.title for each in ranked.columns][:3] == ["b", "d", "top1"]


def test_the_ranking_metric_comes_first_with_its_interval():
    section = only_section(f.quality(), *f.speed("vit", 1000), rank_by="throughput")
    assert [f"{c.title} {c.unit}".strip() for c in section.columns[:3]] == ["images/s", "range", "top1 %"]
    assert column(section, "range") == ("[980, 1,030]",)


def test_what_weights_were_pretrained_on_is_said_of_the_same_data_too():
    seen = {"a": "digits", "b": "", "c": "ImageNet-1k, LAION-2B", "d": "digits"}
    records = [f.record(f.quality_cell(label, pretrained_on=data), [f.top1(300)]) for label, data in seen.items()]
    assert "Data that weights were pretrained on: a, d: digits; c: ImageNet-1k, LAION-2B." in (
        only_section(*records).notes
    )


def test_a_large_test_set_earns_a_second_decimal():
    [big] = [f.record(f.quality_cell(), [f.top1(9412, 10_000)])]
    assert column(only_section(big), "top1 %") == ("94.12",)
    assert column(only_section(big), "95 % interval") == ("[93.64, 94.56]",)


def test_what_was_held_out_is_said_of_rows_that_are_judged_on_it() -> None:
    one, other = f.quality("a", 340, split="val"), f.quality("b", 300, split="val")
    one = msgspec.structs.replace(one, splits={HELD_OUT: 360})
    assert "Scores of a are of training images that the recipe held out (out-of-fold predictions)." in (
        only_section(one, other).notes
    )
    alone = only_section(one).notes
    assert alone[0] == "Ranked by top1 (higher is better), on 360 held-out images."
    assert "Scores are of training images that the recipe held out (out-of-fold predictions)." in alone
    assert only_section(other).notes[0] == "Ranked by top1 (higher is better), on 360 validation images."


def test_what_of_a_head_rows_are_scored_on_is_said_and_those_against_more_classes_stand_apart() -> None:
    few = tuple((k,) for k in range(10))

    def scored(label: str, head: Head | None) -> Record:
        record = f.quality(label)
        return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, head=head))

    records = [
        scored("own", Head(outputs=10)),
        *(scored(label, Head(outputs=1000, of_classes=few)) for label in ("a", "b")),
        scored("all", Head(outputs=12, of_classes=few, others=("x", "y"))),
    ]
    subset, whole = sections(build(records, [], "top1"), detailed=False)
    assert [note for note in subset.notes if note.startswith("Scored")] == [
        "Scored on 10 of the head's 1,000 classes: a, b."
    ]
    assert (whole.title, whole.labels) == (f"{subset.title}, against 2 other classes", ("all",))
    assert "Scored on all of the head's 12 classes: all." in whole.notes


def test_seeds_that_a_budget_gave_unlike_lengths_are_told() -> None:
    def budgeted(seed: int, steps: int) -> Record:
        allotted = Allotted(steps=steps, planned_steps=1400, step_seconds=0.1, seconds=140.0)
        record = f.quality("a", seed=seed)
        return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, allotted=allotted))

    words = "The budget gave the seeds of a row different numbers of steps: a 1,400 to 2,000."
    assert words in only_section(budgeted(0, 1400), budgeted(1, 2000)).notes
    assert not [note for note in only_section(budgeted(0, 1400), budgeted(1, 1400)).notes if "unlike" in note]


def recipe_lines(*records: object) -> list[str]:
    return [note for note in only_section(*records).notes if note.startswith(("Recipe", "Options"))]


def test_rows_of_one_recipe_with_unlike_options_say_how_they_differ():
    long, short = {"epochs": 100, "lr": 0.001, "clip": 1.0}, {"epochs": 3, "lr": 0.5, "clip": 1.0}
    assert recipe_lines(f.quality("a", recipe_options=long), f.quality("b", recipe_options=long)) == [
        "Recipe: recipes/supervised."
    ]
    rows = [("a", 340, long), ("b", 330, long), ("c", 300, short)]
    records = [f.quality(label, correct, recipe_options=options) for label, correct, options in rows]
    baseline = f.quality("knn", 10, recipe_options={"k": 1}, baseline=True)
    words = "Options of recipes/supervised differ: epochs=100, lr=0.001 for a, b; epochs=3, lr=0.5 for c."
    assert recipe_lines(*records, baseline) == ["Recipe: recipes/supervised.", words]
    tuned = f.quality("d", 200, recipe="recipes/finetune", recipe_options={"steps": 9})
    assert recipe_lines(*records, tuned) == [
        "Recipes: recipes/supervised for a, b, c; recipes/finetune for d.",
        words,
    ]


def test_rows_of_one_model_with_unlike_options_of_one_recipe_say_it_once():
    records = [f.quality("a", 340 - n, recipe="zoo/sam", recipe_options={"rho": n} if n else {}) for n in (0, 1)]
    assert recipe_lines(*records) == [
        "Recipe: zoo/sam.",
        "Options of zoo/sam differ: none of these for a [zoo/sam]; rho=1 for a [zoo/sam:rho=1].",
    ]


def test_a_value_that_could_not_be_had_is_a_marked_dash():
    record = f.record(
        f.quality_cell(), [f.measurement("top1", None, unit="fraction", verdict="invalid", reasons=["row 3 is nan"])]
    )
    section = only_section(record)
    assert column(section, "top1 %") == ("!-",)
    assert section.ranks == ("-",)
    assert "Not ranked: no row has a valid top1." in section.notes
    assert section.notes[-1] == "! invalid, vit (top1): row 3 is nan."


def test_a_note_gives_one_reason_and_counts_the_rest():
    record = f.record(f.quality_cell(), [f.measurement("top1", 0.5, verdict="warn", reasons=list("abcde"))])
    assert only_section(record).notes[-1] == "~ doubtful, vit (top1): a; and 4 more."


def test_conditions_say_where_and_how() -> None:
    fields = {"precision": "bfloat16", "compile": "reduce-overhead", "threads": 2}
    section = only_section(f.quality("a", **fields), *f.speed("a", **fields))
    assert section.conditions == (
        "AMD EPYC 9B14, 2 cores; cpu, 2 threads; bfloat16; compiled, reduce-overhead; batch 32, latency at batch 1"
    )


def test_an_older_method_is_said() -> None:
    planned = f.quality_cell("a")
    provenance = msgspec.structs.replace(planned.provenance, method=METHOD - 1)
    section = only_section(f.record(msgspec.structs.replace(planned, provenance=provenance), [f.top1(340)]))
    assert section.conditions.endswith(f"float32; method {METHOD - 1}")


def test_variables_stand_with_the_conditions_wherever_they_are_set() -> None:
    planned = f.quality_cell("a")
    cell = msgspec.structs.replace(planned.cell, variables={"MKL_CBWR": "AVX2"})
    planned = msgspec.structs.replace(planned, cell=cell, timing_variables={"OMP_WAIT_POLICY": "passive"})
    section = only_section(f.record(planned, [f.top1(340)]))
    assert "MKL_CBWR=AVX2, OMP_WAIT_POLICY=passive" in section.conditions


def test_the_front_is_named_where_there_is_something_to_compare():
    records = [
        *(f.quality("a", 350), *f.speed("a", 500), f.quality("b", 340), *f.speed("b", 900)),
        *(f.quality("c", 330), *f.speed("c", 100), f.quality("knn", 355, baseline=True)),
    ]
    assert "Pareto front, top1 and throughput: a, b." in only_section(*records).notes
    assert not [note for note in only_section(*records[:4]).notes if note.startswith("Pareto")]
    assert not [note for note in only_section(*records, rank_by="throughput").notes if note.startswith("Pareto")]


def test_memory_brings_further_rows_onto_the_front():
    light = f.record(
        f.speed_cell("c"), [f.measurement("throughput", 100), f.measurement("peak_memory", 1, better="lower")]
    )
    records = [f.quality("a", 350), *f.speed("a", 500), f.quality("c", 330), light]
    assert "Pareto front, top1 and throughput: a; with peak memory also: c." in only_section(*records).notes


def test_the_front_of_partial_results_says_so():
    records = [f.quality("a", 350, limit=99), *f.speed("a", 500), f.quality("b", 340, limit=99), *f.speed("b", 900)]
    assert "Pareto front of partial results, top1 and throughput: a, b." in only_section(*records).notes


def test_partial_sections_say_how_they_were_cut():
    section = only_section(f.quality("a", limit=2000, epochs=2))
    assert section.title == "digits, partial: limit 2000, epochs 2"
    assert section.ranks == ("-",)
    assert section.notes[0] == "Partial results are never ranked; they are listed by top1 (higher is better)."


def test_seeds_are_said_and_have_a_column_of_their_own():
    section = only_section(f.quality("a", 340), f.quality("a", 334, seed=1), f.quality("b", 250))
    assert column(section, "sd of seeds") == ("1.2", "")
    assert (
        "Quality is the mean over 1-2 seeds: the interval is the sampling error of the images, the sd is the spread "
        "over seeds." in section.notes
    )
    assert "sd of" not in [c.title for c in only_section(f.quality("a", 340)).columns]


def test_seeds_have_no_spread_beside_a_figure_of_speed():
    section = only_section(f.quality("a"), f.quality("a", seed=1), *f.speed("a"), rank_by="throughput")
    assert "Quality is the mean over 2 seeds." in section.notes
    assert "sd of" not in [c.title for c in section.columns]


def test_two_data_sets_of_one_name_are_told_apart():
    other = msgspec.structs.replace(f.data_info(), fingerprint="feedbeef" * 8)
    titles = [s.title for s in sections(build([f.quality(), f.quality("b", data=other)], [], "top1"), detailed=False)]
    assert sorted(titles) == sorted([f"digits (data {f.data_info().fingerprint[:8]})", "digits (data feedbeef)"])


def test_missing_cells_of_one_reason_are_put_together():
    cells = [f.quality_cell("a"), *(f.speed_cell("a", batch_size=n) for n in (1, 32))]
    records = [f.record(cell, status="failed", reason="no network") for cell in cells]
    records.append(f.record(f.quality_cell("b"), status="oom", reason="needs 9 GiB"))
    found = missing(build(records, [], "top1"))
    assert [(m.model, m.status, m.cells, m.reason) for m in found] == [
        ("a", "failed", "digits, seed 0; 2 speed cells", "no network"),
        ("b", "oom", "digits, seed 0", "needs 9 GiB"),
    ]


def test_a_figure_without_a_result_is_named():
    cell = FigureCell(figure="figures/attention", of=f.quality_cell("a").cell)
    planned = msgspec.structs.replace(f.quality_cell("a"), cell=cell, id="f" * 16, key="f" * 16)
    found = missing(build([f.record(planned, status="failed", reason="there is no layer 9")], [], "top1"))
    assert [(m.model, m.cells) for m in found] == [("a", "figure figures/attention, digits, seed 0")]


def test_many_seeds_of_a_failure_are_counted():
    records = [f.record(f.quality_cell("a", seed=i), status="failed", reason="x") for i in range(5)]
    [found] = missing(build(records, [], "top1"))
    assert found.cells == "digits, seed 0; digits, seed 1; 3 more"


def test_a_row_that_was_measured_at_another_batch_is_said():
    newer = [msgspec.structs.replace(record, started=1.8e9) for record in f.speed("a", batch_size=64)]
    notes = only_section(f.quality("a"), f.quality("b"), *f.speed("b"), *newer).notes
    assert "Not shown, because measured only at other batch sizes: b (inference at 32, training at 32)." in notes
    assert not [note for note in only_section(f.quality("a"), *f.speed("a")).notes if note.startswith("Measured")]


def test_a_training_speed_that_is_not_the_recipes_own_is_said():
    own = f.speed("a", recipe="recipes/supervised")
    plain = [*f.speed("b"), *f.speed("c")]
    notes = only_section(f.quality("a"), f.quality("b"), f.quality("c"), *own, *plain).notes
    words = "Training speed of b, c is that of a plain AdamW step: the recipe recipes/supervised has no step."
    assert [note for note in notes if note.startswith("Training speed")] == [words]
    assert not [note for note in only_section(f.quality("a"), *own).notes if note.startswith("Training speed")]
    assert (
        "Training speed of b is that of a plain AdamW step." in only_section(*f.speed("b"), rank_by="throughput").notes
    )


def test_quality_of_other_devices_is_said():
    two = [f.quality("a", seed=0), f.quality("a", seed=1, device="cuda:0")]
    elsewhere = [f.quality(name, device="cuda:0") for name in ("b", "c")]
    timed = [f.quality("d"), *(each for name in ("a", "b", "c", "d") for each in f.speed(name))]
    notes = only_section(*two, *elsewhere, *timed).notes
    assert [note for note in notes if "cuda:0" in note] == [
        "Seeds of a are of several devices (0 on cpu; 1 on cuda:0).",
        "Quality is of cuda:0 for b, c.",
    ]


def of_torch(record: Record, torch: str) -> Record:
    provenance = msgspec.structs.replace(record.planned.provenance, torch=torch)
    return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, provenance=provenance))


def test_versions_are_told_where_tables_differ_in_them_alone() -> None:
    one = [f.quality("a", 340), *f.speed("a")]
    assert "torch" not in only_section(*one).conditions
    other = [of_torch(record, "2.16.0+cu130") for record in (f.quality("b", 330), *f.speed("b"))]
    found = sections(build([*one, *other], [], "top1"), detailed=False)
    assert [section.conditions.rpartition("; ")[2] for section in found] == ["torch 2.15.0", "torch 2.16.0+cu130"]


def test_speeds_that_are_ratios_share_a_factor_and_have_the_ratios_interval_in_percent() -> None:
    records = [
        f.relative_speed("a", (1.98, 2.0, 2.02), (1000.0, 1100.0, 1200.0)),
        f.relative_speed("b", (1.0, 1.0, 1.0), (900.0, 1000.0, 1500.0)),
    ]
    section = only_section(*records, rank_by="throughput")
    half = records[0].measurements[0].ratio.half_width
    assert column(section, "images/s") == ("2,100", "1,050")
    assert column(section, "ratio ± 95 %") == (f"{half:.1%}", "0.0%")
    assert not [each for each in section.columns if "range" in f"{each.title} {each.unit}"]
    [note] = [note for note in section.notes if "reference network" in note and note.startswith("Speeds")]
    assert note == (
        "Speeds are ratios to the reference network conv-attention-1, multiplied by its own speed, which is the same "
        "for all rows: throughput 1,050 images/s (900 to 1,500); the ranges are over 6 processes. Intervals cover this "
        "occasion only; another may differ by more."
    )


def test_the_references_speed_says_of_how_many_runs_it_is() -> None:
    records = [f.relative_speed(label, (1.0, 1.0), occasion=f"{label}/1") for label in "ab"]
    notes = only_section(*records, rank_by="throughput").notes
    assert [note for note in notes if "over 4 processes of 2 runs. " in note]
    assert not [note for note in only_section(*f.speed()).notes if "reference network" in note]
