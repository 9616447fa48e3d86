"""The pictures: what is in them is read from the SVG, where text is text."""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree as ET

import factories as f
import msgspec
import pytest
from PIL import Image

from vitbench.errors import UnusableError
from vitbench.leaderboard.leaderboard import build
from vitbench.records import Record
from vitbench.report.pareto_points import place
from vitbench.report.plots.pictures import render_pictures

pytestmark = pytest.mark.compute


HOSTILE = [
    *("<script>alert(1)</script>", "a & b ]]>", "$x_1$", r"\frac{1}{2}", "_hidden", '" onmouseover="x', "line\nbreak"),
    *("\u6a21\u578b", "x" * 300, "1e5", "\x1b[2J", "\u202eevil"),
]


def trained(label: str, correct: int, *, seed: int = 0, **fields: object) -> Record:
    curve = tuple({"epoch": float(e), "loss": 2.0 / e, "lr": 0.1, "val_top1": 1 - 0.5 / e} for e in (1, 2, 3))
    return msgspec.structs.replace(f.quality(label, correct, seed=seed, **fields), curve=curve)


def pictures(*records: Record, rank_by: str = "top1") -> dict[str, bytes]:
    return render_pictures(build(records, [], rank_by), records)


def texts(svg: bytes) -> list[str]:
    """Return all text of a picture, a drawing of several lines as one each."""
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]


def some() -> list[Record]:
    return [
        *(trained("vit", 350), trained("vit", 350, seed=1), *f.speed("vit", 1000)),
        *(trained("resnet", 340), *f.speed("resnet", 3000, verdict="warn", reason="load")),
        *(trained("bad", 330), *f.speed("bad", 2000, verdict="invalid", reason="quota")),
        *(f.quality("knn", 345, baseline=True), f.quality("majority", 36, baseline=True)),
    ]


@pytest.fixture(scope="module")
def usual() -> dict[str, bytes]:
    return pictures(*some())


def test_the_pareto_picture_has_its_parts(usual):
    assert sorted(usual) == ["curves.png", "curves.svg", "pareto.png", "pareto.svg"]
    shown = texts(usual["pareto.svg"])
    for text in (
        *("digits", "AMD EPYC 9B14, 2 cores; cpu, 1 thread; float32; batch 32, latency at batch 1"),
        *("vit", "resnet", "bad", "baseline knn 95.8 %", "baselines off the scale: majority 10.0 %"),
        *("Pareto front", "valid", "doubtful", "invalid", "throughput (images/s)", "top1 (%), higher is better"),
    ):
        assert text in shown, text


def test_the_curves_name_each_model_and_its_seeds_and_no_baseline(usual):
    shown = texts(usual["curves.svg"])
    assert [text for text in shown if text.startswith(("vit", "resnet", "bad", "knn"))] == [
        *("vit (2 seeds)", "resnet", "bad"),
    ]
    assert {"digits", "epoch", "training loss", "validation accuracy (%)"} <= set(shown)
    assert "seconds of training" not in shown


def test_png_files_are_pictures_of_a_useful_size(usual):
    for name, content in usual.items():
        if name.endswith(".png"):
            assert min(Image.open(io.BytesIO(content)).size) > 600


def test_the_same_results_give_the_same_bytes(usual):
    assert pictures(*some()) == usual
    assert b"<dc:date>" not in usual["pareto.svg"]


def test_any_name_is_text():
    fields = {"data": f.data_info(title="$\\frac{d}$ </text>"), "machine": "$m$ <b>"}
    records = [
        each
        for i, name in enumerate(HOSTILE)
        for each in (trained(name, 350 - i, **fields), *f.speed(name, 1000 + i, machine="$m$ <b>"))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pictures(*records)
    shown = texts(found["pareto.svg"])
    assert "$\\frac{d}$ </text>" in shown
    assert "$m$ <b>; cpu, 1 thread; float32; batch 32, latency at batch 1" in shown
    for name in HOSTILE:
        escaped = name.encode("unicode_escape").decode() if not (name.isascii() and name.isprintable()) else name
        assert (escaped if len(escaped) <= 40 else "x" * 39 + "\u2026") in shown, name
    assert {"_hidden", "$x_1$", "<script>alert(1)</script>"} <= set(texts(found["curves.svg"]))
    for picture in ("pareto.svg", "curves.svg"):
        assert not [element for element in ET.fromstring(found[picture]).iter() if element.tag.endswith("script")]


def test_a_diverged_or_empty_curve_draws_nothing_wrong():
    nothing = f.quality("still", 300)
    odd = ({"epoch": 1.0, "loss": float("nan")}, {"epoch": 2.0, "loss": float("inf")}, {"loss": 3.0})
    record = msgspec.structs.replace(f.quality("diverged", 36), curve=odd)
    shown = texts(pictures(nothing, record)["curves.svg"])
    assert "diverged" in shown
    assert "still" not in shown


def test_many_models_stay_readable():
    records = [each for i in range(26) for each in (trained(f"m{i:02}", 359 - i), *f.speed(f"m{i:02}", 100 - i))]
    found = pictures(*records)
    assert [text for text in texts(found["pareto.svg"]) if re.fullmatch(r"m\d\d", text)] == ["m00"]  # the front
    assert "2 others" in texts(found["curves.svg"])


def test_speeds_of_two_orders_have_a_logarithmic_axis_and_logged_seconds_a_panel():
    first = trained("a", 350)
    curve = tuple({**row, "train_seconds": 3.0 * row["epoch"]} for row in first.curve)
    found = pictures(
        msgspec.structs.replace(first, curve=curve), *f.speed("a", 20), f.quality("b"), *f.speed("b", 2000)
    )
    assert {"100", "1,000"} <= set(texts(found["pareto.svg"])), "in plain numbers"
    assert "seconds of training" in texts(found["curves.svg"])


def test_an_invalid_baseline_is_no_line_and_is_told():
    for verdict, near, left_out in (("warn", ["knn"], ()), ("invalid", [], ("knn (invalid top1)",))):
        records = [f.quality("a", 350), *f.speed("a", 10), f.quality("knn", 345, verdict=verdict, baseline=True)]
        placed = place(build(records, [], "top1").rows, "top1", "throughput")
        assert ([level.name for level in placed.near], placed.far, placed.left_out) == (near, (), left_out)

    shown = texts(pictures(*records)["pareto.svg"])
    assert not any("knn" in text for text in shown)


def test_each_table_has_its_pictures_and_curves_are_drawn_once():
    elsewhere = {"machine": f.GPU_MACHINE, "device": "cuda"}
    found = pictures(trained("a", 350), *f.speed("a", 20), *f.speed("a", 2000, **elsewhere))
    assert sorted(found) == [
        "curves-1.png",
        "curves-1.svg",
        *(f"pareto-{i}.{k}" for i in (1, 2) for k in ("png", "svg")),
    ]


def test_no_figure_no_picture():
    assert pictures() == {}
    assert pictures(f.quality("a")) == {}
    assert sorted(pictures(f.quality("a"), *f.speed("a"), rank_by="throughput")) == []


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnusableError, match=r'pip install "vitbench\[plots\]"'):
        pictures(*some())
