"""Figures as pictures: text is read from the SVG, where text is text, and colours from the PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pages
import pytest
from PIL import Image

from vitbench.errors import UnusableError
from vitbench.figures import Figure, Grid, Matrix, Points, Scale, Tile
from vitbench.report.figures.colours import coloured
from vitbench.report.figures.drawing import draw_figure, figure_names, render_figures
from vitbench.report.figures.matrix import written
from vitbench.report.figures.sheet import LABEL, lines, scale_ticks, size_for, width_of
from vitbench.report.plots.canvas import drawing

pytestmark = pytest.mark.compute

SCALE = Scale(label="share (1: even)", low=0.0, high=4.0)


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def drawn(figure: Figure) -> tuple[bytes, bytes]:
    """Return PNG and SVG, and let no warning pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = render_figures("m", "f", [figure])
    return tuple(found.values())


def grid(**fields: object) -> Grid:
    image = np.full((3, 4, 4), 200, dtype=np.uint8)
    values = np.array([[0, 4], [9, 1]], dtype=np.float32)
    made = Grid(
        title="Where it looks",
        tiles=(Tile(pixels=image, title="a cat"), Tile(pixels=image, values=values), Tile(values=values), None),
        columns=2,
        row_labels=("image", "values"),
        column_labels=("left", "right"),
        scale=SCALE,
        note="Nothing is behind it.",
        step="layer 3",
    )
    return replace(made, **fields)


def alone(tile: Tile) -> Grid:
    """Return a grid of one tile."""
    return grid(tiles=(tile,), columns=1, row_labels=(), column_labels=())


def matrix(size: int, *, whole: bool = True) -> Matrix:
    values = np.arange(size * size, dtype=np.float32).reshape(size, size)
    names = tuple(f"class {i}" for i in range(size))
    return Matrix(
        title="Confusion",
        values=values if whole else values / 8,
        row_labels=names,
        column_labels=names,
        rows="true",
        columns="predicted",
        scale=Scale.of(values, "images"),
    )


def points(series: tuple[str, ...] = ("head 1", "head 1", "head 2"), **fields: object) -> Points:
    x = np.array([1, 2, 1], dtype=np.float32)
    made = Points(title="Distance", x=x, y=x, series=series, x_label="layer", y_label="pixels", note="A note.")
    return replace(made, **fields)


def test_a_grid_has_its_texts_and_its_bar() -> None:
    shown = texts(drawn(grid())[1])
    for text in ("Where it looks, layer 3", "a cat", "image", "values", "left", "right", "Nothing is behind it."):
        assert text in shown, text
    assert [text for text in shown if text in ("0", "2", "\u2265 4", SCALE.label)] == [
        "0",
        "2",
        "\u2265 4",
        SCALE.label,
    ]


def test_a_grid_without_values_has_no_bar() -> None:
    shown = texts(drawn(alone(Tile(pixels=np.zeros((1, 2, 2), np.uint8))))[1])
    assert shown == ["Where it looks, layer 3", "Nothing is behind it."]


def test_tiles_have_the_colours_of_their_values_in_their_places() -> None:
    found = pixels(
        drawn(
            grid(
                tiles=(Tile(values=np.array([[0, 1], [4, 2]], np.float32)),), columns=1, row_labels=(), column_labels=()
            )
        )[0]
    )
    wanted = coloured(np.array([[0, 1], [4, 2]]), SCALE)
    middles = []
    for colour in wanted.reshape(4, 3):
        rows, columns = (found == colour).all(2).nonzero()
        left = columns < 270  # and not in the bar
        middles.append((rows[left].mean(), columns[left].mean()))
    (top, left), (_, right), (bottom, _), corner = middles
    assert top < bottom
    assert left < right
    assert corner == pytest.approx((bottom, right), abs=2)


@pytest.mark.parametrize(("shape", "columns"), [((1, 1, 1), 30), ((3, 2, 90), 1)])
def test_any_grid_is_a_picture_that_can_be_read(shape: tuple[int, int, int], columns: int) -> None:
    tiles = (Tile(pixels=np.zeros(shape, np.uint8), title="x" * 99),) * columns
    labels = ("a long name " * 9,) * columns
    png, svg = drawn(Grid(title="t " * 200, tiles=tiles, columns=columns, column_labels=labels, row_labels=("r" * 99,)))
    height, width = pixels(png).shape[:2]
    assert 600 < width < 3000
    assert 100 < height < 3000
    assert any(text.endswith("\u2026") for text in texts(svg))


def test_a_small_matrix_has_its_values_written_and_a_large_one_some_of_its_labels() -> None:
    shown = texts(drawn(matrix(3))[1])
    assert {"true", "predicted", "class 0", "class 2", "8", "images"} <= set(shown)
    shown = texts(drawn(matrix(70))[1])
    named = [text for text in shown if text.startswith("class")]
    assert 2 * 10 < len(named) < 2 * 60
    assert "4899" not in shown


def test_values_are_written_whole_where_all_are() -> None:
    assert written(np.array([[1.0, 2000.0]])) == [["1", "2,000"]]
    assert written(np.array([[1.0, 0.125]])) == [["1.00", "0.12"]]


def test_an_end_of_the_bar_says_that_values_lie_beyond_it() -> None:
    scale = Scale(label="v", low=-1, high=1, diverging=True)
    assert scale_ticks(scale, [np.array([-1.0000001, 1])]) == ("-1", "0", "1")
    assert scale_ticks(scale, [np.array([0.0]), np.array([-2.0, 2.0])]) == ("\u2264 -1", "0", "\u2265 1")
    assert scale_ticks(Scale(label="v", low=0, high=12345.6), [])[2] == "12,346"


def test_points_name_their_series_and_their_axes() -> None:
    assert {"head 1", "head 2", "layer", "pixels", "Distance", "A note."} <= set(texts(drawn(points())[1]))
    shown = texts(drawn(points(series=(), lines=True))[1])
    assert {"layer", "pixels"} <= set(shown)
    assert "head 1" not in shown


def test_a_legend_and_a_note_do_not_meet() -> None:
    with drawing():
        canvas = draw_figure(points(note="A note that is as long as a line, which is what most notes are. " * 2))
        canvas.draw_without_rendering()
        legends = [*canvas.legends, *filter(None, (axes.get_legend() for axes in canvas.axes))]
        beside = [canvas._supxlabel, canvas._suptitle, canvas.axes[0].xaxis.label]
        for box in (legend.get_window_extent() for legend in legends):
            assert not any(box.overlaps(text.get_window_extent()) for text in beside)
        assert legends


@pytest.mark.parametrize("figure", [grid(), points()], ids=["grid", "points"])
def test_the_same_figure_gives_the_same_bytes(figure: Figure) -> None:
    found = drawn(figure)
    assert drawn(figure) == found
    assert b"<dc:date>" not in found[1]


def test_any_text_is_text() -> None:
    names = (*pages.HOSTILE, "$x_1$", "_hidden")
    label = names[0]
    one = (Tile(values=np.zeros((1, 1), np.float32)),)
    first = Grid(title=label, tiles=one * len(names), columns=1, row_labels=names, scale=replace(SCALE, label=label))
    values = np.zeros((len(names), 1), np.float32)
    second = Matrix(
        title=label, values=values, row_labels=names, column_labels=(label,), rows=label, columns=label, scale=SCALE
    )
    x = np.zeros(len(names), np.float32)
    third = Points(title=label, x=x, y=x, series=names, x_label=label, y_label=label, note=label)
    for figure in (first, second, third):
        svg = drawn(figure)[1]
        assert not [each for each in ET.fromstring(svg).iter() if each.tag.endswith("script")]
        assert {label, "$x_1$", "_hidden", "{{ 7 * 7 }} ${7} @x"} <= {text.strip() for text in texts(svg)}


def test_words_shrink_a_little_before_they_are_broken() -> None:
    width = 0.9 * width_of("automobile", LABEL)
    size = size_for(["a cat", "an automobile"], LABEL, width)
    assert lines("an automobile", size, width, 2) == ["an", "automobile"]
    assert size_for(["cat"], LABEL, width) == LABEL
    assert size_for(["automobile" * 9], LABEL, width) == 0.75 * LABEL


def test_lines_fit_and_lose_nothing_but_what_has_no_room() -> None:
    text = "one two three four"
    width = width_of("one two", LABEL) + 0.01
    assert lines(text, LABEL, width, 3) == ["one two", "three", "four"]
    assert lines("", LABEL, width, 3) == []
    broken = lines("x" * 40, LABEL, width, 20)
    assert "".join(broken) == "x" * 40
    cut = lines(text, LABEL, width, 2)
    assert cut[0] == "one two"
    assert cut[1].startswith("thr")
    assert cut[1].endswith("\u2026")
    assert all(width_of(line, LABEL) <= width for line in (*broken, *cut))
    assert lines("wide", LABEL, 0.0, 2), "at least a character stands where nothing fits"


def test_files_have_names_of_their_own_that_any_system_takes() -> None:
    steps = [grid(step=step) for step in ("layer 1", "layer 2", "Layer/2")]
    assert figure_names("scratch/vit:depth=4", "figures/attention", steps) == [
        "scratch-vit-depth=4-attention-layer-1",
        "scratch-vit-depth=4-attention-layer-2-2",
        "scratch-vit-depth=4-attention-Layer-2-3",
    ]
    assert figure_names("../..\n\u6a21", "f", [points()]) == ["x-f"]
    assert len(figure_names("m" * 300, "f", [points()])[0]) < 100


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnusableError, match=r'pip install "vitbench\[plots\]"'):
        render_figures("m", "f", [grid()])
