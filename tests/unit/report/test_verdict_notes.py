"""What is wrong with a model is said of each; what many figures share is said once, with a count."""

from __future__ import annotations

import factories as f

from vitbench.leaderboard.leaderboard import build
from vitbench.records import Record
from vitbench.report.metric_styles import styles_of
from vitbench.report.naming import row_labels
from vitbench.report.verdict_notes import Telling, verdict_notes


def notes(*records: Record, telling: Telling = "counted") -> list[str]:
    [rows] = build(records, [], "top1").by_condition().values()
    return verdict_notes(rows, row_labels(rows), styles_of(rows, "top1"), telling)


def test_one_cause_of_many_figures_is_one_sentence() -> None:
    speeds = [
        record
        for i in range(5)
        for record in f.speed(
            f"m{i}",
            verdict=("invalid", "warn")[i % 2],
            reason=f"had the processor {60 + i}% of the time ({i} involuntary context switches)",
        )
    ]
    busy = "other processes were using the processors; `vitbench doctor` says which."
    assert notes(*speeds) == [f"Of 30 speed and memory values 18 are invalid (!) and 12 doubtful (~): {busy}"]


def test_only_speeds_are_called_so() -> None:
    def timed(label: str, *reasons: str) -> Record:
        verdict = "invalid" if reasons else "valid"
        speed = f.measurement("throughput", 9.0, unit="images/s", verdict=verdict, reasons=reasons)
        return f.record(f.speed_cell(label), [speed, f.measurement("peak_memory", 9.0, unit="B", better="lower")])

    unsteady = "the times were not steady."
    assert notes(timed("a", "IQR 30% of the median"), timed("b", "IQR 41% of the median")) == [
        f"Both speeds are invalid (!): {unsteady}"
    ]
    assert notes(timed("a", "IQR 30% of the median"), timed("b")) == [f"1 of 2 speeds is invalid (!): {unsteady}"]


def test_a_fault_is_said_of_its_models_beside_a_busy_machine() -> None:
    busy = f.speed("a", verdict="invalid", reason="load average 9.0 on 2 cores")
    records = [*busy, f.quality("a", 300), f.quality("b", 300, verdict="invalid")]
    first, second = notes(*records)
    assert first == "! invalid, b (top1): the model is order-dependent."
    assert second.startswith("6 of 8 speed and memory values are invalid (!): other processes")


def test_a_figure_with_a_fault_and_a_busy_machine_is_in_both() -> None:
    measured = f.measurement(
        "throughput", 9.0, unit="images/s", verdict="invalid", reasons=["the model's output was not finite", "IQR 9%"]
    )
    first, second = notes(f.record(f.speed_cell("a"), [measured]))
    assert first == "! invalid, a (throughput): the model's output was not finite."
    assert second == "1 of 1 speeds is invalid (!): the times were not steady."


def test_faults_that_differ_in_numbers_are_one_sentence_and_many_rows_are_counted() -> None:
    def faulty(i: int) -> Record:
        return f.record(f.quality_cell(f"m{i}"), [f.top1(300 - i, verdict="invalid", reasons=[f"row {i} is nan"])])

    assert notes(faulty(1), faulty(2)) == ["! invalid, m1 (top1), m2 (top1): row 1 is nan (other numbers for m2)."]
    many = [*map(faulty, range(7))]
    named = "m0, m1, m2, m3, m4"
    assert notes(*many)[0].startswith("! invalid, all 7 rows (top1): row 0 is nan (other numbers for m1, ")
    assert notes(*many, f.quality("good"))[0].startswith(f"! invalid, {named}, and 2 more rows (top1): row 0 is nan")


def test_all_reasons_are_given_on_request() -> None:
    reasons = ["load average 9.0 on 2 cores", *"abc"]
    record = f.record(f.quality_cell(), [f.top1(300, verdict="warn", reasons=reasons)])
    assert notes(record, telling="all") == ["~ doubtful, vit (top1): load average 9.0 on 2 cores; a; b; c."]


def test_a_legend_says_what_the_marks_mean_and_no_more() -> None:
    doubtful = f.quality("a", verdict="warn")
    assert notes(f.quality("a"), telling="legend") == []
    assert notes(doubtful, telling="legend") == ["A number after ~ is doubtful."]
    assert notes(doubtful, f.quality("b", verdict="invalid"), telling="legend") == [
        "A number after ! is invalid, after ~ is doubtful."
    ]
