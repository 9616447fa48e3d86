"""A comparison as text and as JSON: what is said, how wide it is, and that names stay text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import comparisons as c
import factories as f
import msgspec
import pytest
from wcwidth import wcswidth

from vitbench.comparing.compare import compare_folders, compare_models
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.folder import open_folder
from vitbench.comparing.report import render_comparison
from vitbench.comparing.report_json import SCHEMA, render_comparison_json
from vitbench.comparing.sentences import p_value, verdict
from vitbench.comparing.speed_ratio import Measured
from vitbench.report.terminal_text import WIDTH
from vitbench.statistics import Estimate

LONG = "m" * 120
GOOD, BAD, NEAR = c.right(380), c.right(350), c.right(378, start=3)
HOSTILE = ["<script>alert(1)</script>|b", "two\nlines\x1b[2J\u202e\u200bä語", "x" * 300]


def models(folder: Path, *parts: object, names: tuple[str, str] = ("a", "b"), **settings: object) -> Comparison:
    return compare_models(open_folder(c.write(folder, *parts)), names, **settings)


def text(found: Comparison) -> str:
    """Return the rendered text in one line, without its wrapping."""
    return " ".join(render_comparison(found).split())


def full(folder: Path, second: float = 500, **fields: object) -> Comparison:
    parts = c.quality("a", GOOD), c.quality("b", BAD), c.speeds("a", 1000), c.speeds("b", second, **fields)
    return models(folder, *parts)


def test_a_pair_has_a_table_and_a_verdict(tmp_path: Path) -> None:
    lines = render_comparison(full(tmp_path)).splitlines()
    assert lines[:2] == ["A  a", "B  b"]
    assert f"{f.MACHINE}; cpu, 1 thread; float32; batch 32, latency at batch 1" in lines
    rows = {line.split()[0]: line.split() for line in lines if line and line[0].isalpha()}
    assert rows["top1"][:5] == ["top1", "%", "95.0", "87.5", "-7.5"]
    assert rows["top1"][-2:] == ["<0.001", "worse"]
    assert rows["ece"] == ["ece", "%", "2.00", "2.00", "0.00"]
    assert rows["throughput"][:5] == ["throughput", "images/s", "1,000", "500", "0.5"]
    assert rows["throughput"][-1] == "slower"
    assert rows["latency_p50"][:5] == ["latency_p50", "ms", "2.00", "4.00", "2.00"]
    assert rows["params"] == ["params", "M", "0.053", "0.053", "0"]
    assert lines[-1] == "Outcome: regressed (exit code 10)."


def test_the_verdict_says_what_differs_by_how_much_and_how_sure(tmp_path: Path) -> None:
    place = tmp_path / "place"
    words = text(full(place))
    assert "a alone is right on 30 of 400 images, b alone on 0; on 92.5% both are right or both wrong." in words
    assert "top1: McNemar's exact test and Tango's interval. One seed each" in words
    assert (
        "Verdict: b is worse than a: 7.5 points of top1 (95 % interval of the difference -10.5 to -5.3, p <0.001)."
        in words
    )
    assert "b is slower than a: throughput 0.5 times (95 % interval 0.489 to 0.511); latency_p50 2.00 times" in words


ONE_SEED = "One seed each: this compares two sets of weights, not two models; other seeds may differ."


@pytest.mark.parametrize(("second", "predictions"), [(BAD, True), (NEAR, False), (GOOD, True)])
def test_one_seed_each_is_said_whatever_it_comes_to(tmp_path: Path, second: object, predictions: bool) -> None:
    parts = c.quality("a", GOOD), c.quality("b", second)
    folder = c.write(tmp_path, *parts, predictions=predictions)
    assert text(compare_models(open_folder(folder), ("a", "b"))).count(ONE_SEED) == 1


def test_one_seed_against_several_is_said(tmp_path: Path) -> None:
    more = c.quality("b", BAD, seed=1)
    words = text(models(tmp_path / "one", c.quality("a", GOOD), c.quality("b", BAD), more))
    assert "a has one seed: it represents one set of weights, not the model." in words
    both = text(models(tmp_path / "two", c.quality("a", GOOD), c.quality("a", NEAR, seed=1), c.quality("b", BAD), more))
    assert "of weights" not in both


def test_a_baseline_is_no_model_whose_seeds_matter(tmp_path: Path) -> None:
    place = tmp_path / "place"
    words = text(models(place, c.quality("a", GOOD, baseline=True), c.quality("b", BAD)))
    assert "b has one seed: it represents one set of weights, not the model." in words


@pytest.mark.parametrize("rank_by", ["throughput", "params"])
def test_a_comparison_of_what_no_seed_changes_says_nothing_of_seeds(tmp_path: Path, rank_by: str) -> None:
    parts = [c.quality("a", GOOD), c.quality("b", BAD), c.speeds("a", 1000), c.speeds("b", 500)]
    folder = c.write(tmp_path, *parts, rank_by=rank_by)
    assert "of weights" not in text(compare_models(open_folder(folder), ("a", "b")))


def test_what_would_resolve_it_is_said(tmp_path: Path) -> None:
    words = text(models(tmp_path, c.quality("a", GOOD), c.quality("b", NEAR)))
    assert "Whether top1 differs is not resolved: b has 0.5 points less" in words
    assert "These 400 images resolve gaps of 1.5 points or more between models that disagree this often" in words
    assert "a true gap of the size seen would take about 3,100 images to be detected in nearly 80 % of cases." in words
    assert words.endswith("Outcome: not resolved (exit code 13).")


def test_too_few_images_are_said_to_be_too_few(tmp_path: Path) -> None:
    place = tmp_path / "place"
    parts = c.quality("a", c.right(5, images=5)), c.quality("b", c.right(3, images=5))
    assert "These 5 images are too few to tell any two models apart." in text(models(place, *parts))


@pytest.mark.parametrize(("starts", "advice"), [((0, 0), "more seeds"), ((0, 150), "a larger test set")])
def test_of_several_seeds_the_larger_error_is_named(tmp_path: Path, starts: tuple[int, int], advice: str) -> None:
    counts = {"more seeds": ((330, 380), (340, 370)), "a larger test set": ((330, 330), (331, 331))}[advice]
    parts = [
        c.quality(label, c.right(count, start=start), seed=seed)
        for label, start, own in zip("ab", starts, counts, strict=True)
        for seed, count in enumerate(own)
    ]
    words = text(models(tmp_path, *parts))
    assert "top1: means over 2 and 2 seeds; the test counts the errors of images and of seeds." in words
    assert f"{advice} would help most" in words
    assert "more often over its seeds" in words


def test_without_predictions_that_is_said(tmp_path: Path) -> None:
    folder = c.write(tmp_path, c.quality("a", GOOD), c.quality("b", BAD), predictions=False)
    words = text(compare_models(open_folder(folder), ("a", "b")))
    assert "top1 is compared by 95 % intervals: scores of the same images are not stored." in words
    assert "b is worse than a: 7.5 points of top1." in words


def test_stored_speeds_that_say_nothing_point_to_measuring(tmp_path: Path) -> None:
    words = text(full(tmp_path, 1005))
    assert re.search(r"throughput: the interval[^.]* does not exclude differences below the threshold of 3.0%", words)
    metrics = "throughput, latency_p50, train_throughput"
    assert f"Stored speeds cannot settle {metrics}; rerun with --measure." in words


def test_two_runs_of_one_model_are_not_sent_to_measure(tmp_path: Path) -> None:
    place = tmp_path / "place"
    folders = [open_folder(c.write(place / code, c.speeds("m", 1000, code=code))) for code in ("aa", "bb")]
    words = text(compare_folders(*folders))
    assert "Stored speeds cannot settle throughput, latency_p50, train_throughput." in words
    assert "--measure" not in words


def test_doubtful_and_invalid_figures_are_named(tmp_path: Path) -> None:
    words = text(full(tmp_path / "invalid", verdict="invalid"))
    assert "throughput of B is invalid: IQR 30% of the median." in words
    assert "! invalid: throughput (B), latency_p50 (B), train_throughput (B), peak_memory (B)" in words
    assert "!500" in words
    assert "~ doubtful: throughput (B)" in text(full(tmp_path / "warn", verdict="warn"))


def test_an_invalid_accuracy_is_named(tmp_path: Path) -> None:
    place = tmp_path / "place"
    words = text(models(place, c.quality("a", GOOD), c.quality("b", BAD, verdict="invalid")))
    assert "top1 is invalid and resolves nothing: the model is order-dependent." in words
    assert words.endswith("Outcome: not resolved (exit code 13).")
    assert "images resolve" not in words


def test_unlike_conditions_are_spelt_out(tmp_path: Path) -> None:
    pets = f.data_info("pets")
    words = text(models(tmp_path, c.quality("a", GOOD), c.quality("b", BAD, data=pets, precision="bfloat16", limit=9)))
    fingerprint = f.data_info().fingerprint[:8]
    assert f"fingerprint (A digits ({fingerprint}), B pets ({pets.fingerprint[:8]}))" in words
    assert "precision (A float32, B bfloat16); limit (A none, B 9)." in words
    assert words.endswith("Outcome: not comparable (exit code 12).")


def test_another_machine_is_spelt_out(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first = c.write(place / "a", c.quality("m", GOOD), c.speeds("m", 1000))
    second = c.write(place / "b", c.quality("m", GOOD, machine="X"), c.speeds("m", 1000, machine="X"))
    words = text(compare_folders(open_folder(first), open_folder(second)))
    assert f"Speed and memory depend on conditions that differ: machine (A {f.MACHINE}, B X)." in words
    assert "Not comparable: throughput, latency_p50, train_throughput." in words
    assert "top1 of both is the same on each of 400 images." in words


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    lost = f.record(f.quality_cell("b"), status="failed", reason="ValueError: x")
    found = models(tmp_path, c.quality("a", GOOD), [lost], c.speeds("a", 1000), c.speeds("b", 2000))
    assert "B has no top1 (digits, seed 0: failed, ValueError: x)." in text(found)
    assert "The rest cannot be judged because of what is missing." in text(found)
    assert found.outcome == "no data"


def measured(found: Comparison, finding: str) -> Comparison:
    """Return a comparison whose speeds were measured in turn."""
    in_turn = Measured(
        ratio=Estimate(value=0.8, low=0.75, high=0.85), pairs=4, quads=32, reasons=("3 of 32 quads: load average 3",)
    )
    pair = found.pairs[0]
    speeds = [replace(speed, finding=finding, reason="", measured=in_turn) for speed in pair.speeds]
    return replace(found, pairs=(replace(pair, speeds=tuple(speeds)),))


def test_what_was_measured_in_turn_stands_under_what_is_stored(tmp_path: Path) -> None:
    found = measured(full(tmp_path, 1005), "worse")
    lines = render_comparison(found).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("throughput "))
    assert lines[at].split()[-1].endswith("]")
    assert lines[at + 1].split() == ["in", "turn", "0.8", "[0.75,", "0.85]", "slower"]
    words = text(found)
    assert "throughput in turn: 32 quads in 4 pairs of processes; 3 of 32 quads: load average 3." in words
    assert "b is slower than a: throughput 0.8 times (95 % interval 0.75 to 0.85)" in words
    assert "Not resolved even in turn: throughput" in text(measured(full(tmp_path / "x", 1005), "not resolved"))
    assert "b is as fast as a in throughput, latency_p50, train_throughput." in text(
        measured(full(tmp_path / "y", 1005), "same")
    )


def test_metrics_that_neither_side_has_stay_out(tmp_path: Path) -> None:
    lost = f.measurement("pretrain_loss", None, verdict="invalid", reasons=("the recipe does not pretrain",))
    pairs = [
        (msgspec.structs.replace(record, measurements=(*record.measurements, lost)), scores)
        for record, scores in (c.quality("a", GOOD), c.quality("b", BAD))
    ]
    words = text(models(tmp_path, *pairs))
    assert "pretrain_loss" not in words
    assert "ece" in words


def test_several_pairs_end_in_a_count(tmp_path: Path) -> None:
    first = c.write(tmp_path / "a", *[c.quality(name, GOOD) for name in "xyz"])
    lost = f.record(f.quality_cell("z"), status="failed", reason="no disk")
    second = c.write(tmp_path / "b", c.quality("x", GOOD), c.quality("y", BAD), [lost])
    words = text(compare_folders(open_folder(first), open_folder(second)))
    assert words.endswith("1 same (x); 1 regressed (y); 1 without a result. Outcome: regressed (exit code 10).")
    assert "B is worse than A: 7.5 points of top1" in words


def test_what_many_pairs_cost_is_said_and_contradicts_nothing(tmp_path: Path) -> None:
    place = tmp_path / "place"
    names = ["v", "w", "x", "y", "z"]
    first = c.write(place / "a", *[c.quality(name, c.right(380)) for name in names])
    parts = [c.quality(name, c.right(380, start=1)) for name in names[1:]]
    second = c.write(place / "b", c.quality("v", c.right(374)), *parts)
    words = text(compare_folders(open_folder(first), open_folder(second)))
    assert "1.5 points less (95 % interval of the difference -3.2 to -0.5, p 0.031;" in words
    assert (
        "p 0.031; corrected over 5 pairs: p up to 0.01 counts). These 400 images resolve gaps of 2.0 points or more"
        in words
    )
    alone = text(compare_folders(open_folder(first), open_folder(second), models=["v"]))
    assert "corrected" not in alone


@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_text_and_lines_stay_narrow(tmp_path: Path, name: str) -> None:
    parts = (
        c.quality("a", GOOD),
        c.quality(name, BAD, machine=name),
        c.speeds("a", 1000),
        c.speeds(name, 9, machine=name),
    )
    found = models(tmp_path, *parts, names=("a", name))
    rendered = render_comparison(found)
    assert all(len(line) <= WIDTH for line in rendered.splitlines())
    assert not any(mark in rendered for mark in ("\x1b", "\u202e", "\u200b", "two\nlines"))
    assert json.loads(render_comparison_json(found))["pairs"][0]["b"]["model"] == name
    assert render_comparison_json(found).isascii()


@pytest.mark.parametrize(("metric", "unicode"), [(LONG, True), ("\u6a21\u578b" * 60, False), ("a b-" * 40, True)])
def test_metrics_and_wide_names_keep_to_the_width_of_the_display(tmp_path: Path, metric: str, unicode: bool) -> None:
    wide = "\u6a21\u578b" * 70
    parts = [
        f.record(
            f.quality_cell(label), [f.measurement(metric, value, unit="u" * 30, low=value - 0.1, high=value + 0.1)]
        )
        for label, value in (("a", 0.5), (wide, 0.6))
    ]
    folder = open_folder(c.write(tmp_path, parts, rank_by=metric))
    rendered = render_comparison(compare_models(folder, ("a", wide)), unicode=unicode)
    assert max(map(wcswidth, rendered.splitlines())) <= WIDTH
    assert rendered.isascii() or unicode


def test_a_name_that_is_cut_keeps_both_ends(tmp_path: Path) -> None:
    names = [f"first {LONG} last", f"first {LONG} end"]
    parts = [
        f.record(f.quality_cell(label), [f.measurement(name, 0.5, unit="nat") for name in names]) for label in "ab"
    ]
    found = models(tmp_path, parts)
    cut = [line.split("...")[1].split()[:2] for line in render_comparison(found).splitlines() if "..." in line]
    assert [part[0][-1] + part[1] for part in cut] == ["mlast", "mend"]


def test_a_long_name_is_called_a_or_b(tmp_path: Path) -> None:
    place = tmp_path / "place"
    found = models(place, c.quality("a", GOOD), c.quality("x" * 41, BAD), names=("a", "x" * 41))
    assert verdict(found, found.pairs[0])[0].startswith("B is worse than A")


def test_two_models_of_one_name_are_said_to_be_two(tmp_path: Path) -> None:
    folders = [
        open_folder(c.write(tmp_path / str(size), c.quality("net", GOOD, options={"patch_size": size})))
        for size in (2, 4)
    ]
    words = text(compare_folders(*folders))
    assert "two different models with the same name: A scratch/net:patch_size=2, B scratch/net:patch_size=4." in words
    assert "--model with that name compares them anyway." in words
    assert "Verdict: B is a different model from A." in words


def test_a_ranking_figure_of_other_machines_is_not_comparable(tmp_path: Path) -> None:
    folders = [
        open_folder(c.write(tmp_path / machine, [f.quality("m", machine=machine)], rank_by="train_seconds"))
        for machine in ("one", "two")
    ]
    found = compare_folders(*folders)
    assert "Verdict: Not comparable: train_seconds." in text(found)
    (pair,) = json.loads(render_comparison_json(found))["pairs"]
    assert pair["quality"]["train_seconds"]["difference"] is None


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1"), (0.9999, "1"), (0.043, "0.043"), (0.5, "0.5"), (1e-9, "<0.001")]
)
def test_p_values(value: float, shown: str) -> None:
    assert p_value(value) == shown


def test_the_json_holds_all_of_it(tmp_path: Path) -> None:
    found = measured(full(tmp_path, 1005), "worse")
    content = json.loads(render_comparison_json(found))
    assert set(content) == {
        *("schema", "a", "b", "of", "rank_by", "threshold", "outcome", "exit_code", "pairs", "missing", "notes"),
        "boards",
    }
    assert (content["schema"], content["of"], content["a"], content["b"]) == (SCHEMA, "models", "a", "b")
    assert (content["outcome"], content["exit_code"]) == ("regressed", 10)
    (pair,) = content["pairs"]
    top1 = pair["quality"]["top1"]
    assert top1["difference"] == pytest.approx(-0.075)
    assert top1["finding"] == "worse"
    assert top1["paired"]["only_a"] == list(range(350, 380))
    assert top1["paired"]["only_b"] == []
    assert top1["paired"]["agreement"] == pytest.approx(0.925)
    assert top1["paired"]["low"] < top1["difference"] < top1["paired"]["high"] < 0
    assert pair["quality"]["ece"]["paired"] is None
    throughput = pair["speed"]["throughput"]
    assert throughput["stored"]["ratio"] == pytest.approx(1.005)
    assert throughput["measured"] == {
        "ratio": 0.8,
        "low": 0.75,
        "high": 0.85,
        "pairs": 4,
        "quads": 32,
        "reasons": ["3 of 32 quads: load average 3"],
    }
    assert throughput["a"]["value"] == 1000
    assert pair["cost"]["params"]["difference"] == 0
    assert pair["verdict"] == verdict(found, found.pairs[0])


def test_the_json_tells_how_each_side_was_trained(tmp_path: Path) -> None:
    failed = [f.record(f.quality_cell("b", seed=1, recipe_options={"epochs": 3}), status="failed", reason="nan")]
    options = {"a": {"epochs": 9}, "b": {"epochs": 3}}
    parts = [c.quality(m, GOOD, recipe_options=each) for m, each in options.items()]
    [pair] = json.loads(render_comparison_json(models(tmp_path, *parts, failed)))["pairs"]
    assert {m: (pair[m]["recipe_options"], pair[m]["seeds"], pair[m]["seeds_missing"]) for m in "ab"} == {
        "a": ({"epochs": 9}, [0], []),
        "b": ({"epochs": 3}, [0], [1]),
    }


def test_the_json_names_what_is_unlike(tmp_path: Path) -> None:
    place = tmp_path / "place"
    found = models(place, c.quality("a", GOOD), c.quality("b", BAD, epochs=2))
    (pair,) = json.loads(render_comparison_json(found))["pairs"]
    assert pair["unlike"] == [{"condition": "epochs", "a": "none", "b": "2"}]
    assert (pair["outcome"], pair["partial"], pair["quality"]) == ("not comparable", True, {})
