"""Figures on the page: what fits, what is left out, and images that come back from the style sheet as they were."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import factories
import numpy as np
import pages
import pytest
from PIL import Image

from vitbench.figures import Figure, Grid, Matrix, Points, Scale, Tile
from vitbench.report.figures.colours import coloured
from vitbench.report.html import FOLDER, render_html, render_page
from vitbench.report.html.details import DrawnFigure
from vitbench.report.html.figures import MOST_BYTES, PanelFigures, panel_figures
from vitbench.report.html.tiles import LARGEST

SCALE = Scale(label="share", low=0.0, high=1.0)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def image(seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, side, side), dtype=np.uint8)


def layer(number: int, *, heads: int = 2, images: int = 3, side: int = 8) -> Grid:
    """Return a step of a figure: images, and a row of maps for each head."""
    shown = [image(seed, side) for seed in range(images)]
    maps = [random(4, 4, seed=100 * number + each) for each in range(heads * images)]
    return Grid(
        title="Attention",
        tiles=(
            *(Tile(pixels=each) for each in shown),
            *(Tile(pixels=shown[place % images], values=values) for place, values in enumerate(maps)),
        ),
        columns=images,
        row_labels=("image", *(f"head {head + 1}" for head in range(heads))),
        column_labels=tuple(f"image {each}" for each in range(images)),
        scale=SCALE,
        step=f"layer {number}",
    )


def confusion(size: int) -> Matrix:
    names = tuple(f"class {each}" for each in range(size))
    return Matrix(
        title="Confusion",
        values=random(size, size),
        row_labels=names,
        column_labels=names,
        rows="true",
        columns="predicted",
        scale=SCALE,
    )


def distance(**fields: object) -> Points:
    x = np.array([1, 2, 1, 2], dtype=np.float32)
    made = Points(title="Distance", x=x, y=x, series=("a", "a", "b", "b"), x_label="layer", y_label="pixels")
    return replace(made, **fields)


def stored(found: PanelFigures, place: tuple[str, int]) -> np.ndarray:
    """Return the image that the style sheet shows at a place."""
    name, number = place
    pattern = rf"#{found.scope} \.{name}{{--n:(\d+);background-image:url\(data:image/webp;base64,([^)]+)\)}}"
    count, packed = re.search(pattern, found.style).groups()
    column = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))).convert("RGB"))
    return column.reshape(int(count), -1, *column.shape[1:])[number]


def drawn(*figures: tuple[str, Sequence[Figure]]) -> tuple[DrawnFigure, ...]:
    return tuple(DrawnFigure(name=name, key=f"key of {name}", pictures=tuple(pictures)) for name, pictures in figures)


def of(*figures: tuple[str, Sequence[Figure]], most: int = MOST_BYTES) -> PanelFigures:
    return panel_figures("m-1", "vit", drawn(*figures), most)


def page(*figures: tuple[str, Sequence[Figure]], models: int = 1, beside: bool = False) -> tuple[str, dict[str, bytes]]:
    """Return a page of models with these figures, and where it is asked for the files beside it."""
    records = [factories.quality(f"vit-{each}", 350 - each) for each in range(models)]
    board, details = pages.board_of(records, pages.FakeStore(Path("nowhere")))
    shown = replace(details, rows=tuple(replace(row, figures=drawn(*figures)) for row in details.rows))
    alone = render_html(board, shown)
    assert f'href="{FOLDER}/' not in alone, "a page that stands alone refers to no file"
    return render_page(board, shown) if beside else (alone, {})


def test_tiles_show_their_images_and_over_them_the_colours_of_their_values() -> None:
    grid = layer(1)
    found = of(("attention", (grid,)))
    [step] = found.figures[0].steps
    first, second = step.rows[0][1], step.rows[2][1]
    assert first is not None
    assert second is not None
    assert np.array_equal(stored(found, first.image), image(1).transpose(1, 2, 0))
    assert first.above is None
    assert second.image == first.image, "an image is stored once"
    values = grid.tiles[7].values
    assert np.array_equal(stored(found, second.above), coloured(values, SCALE))
    assert step.bar.ticks == ("0", "0.5", "1")
    assert step.aspect == "8 / 8"
    assert "2 rows" not in step.text
    assert "rows image, head 1, head 2; columns image 0, image 1, image 2; share from 0 to 1." in step.text


def test_tiles_of_several_shapes_stand_in_one_grid() -> None:
    tiles = (Tile(pixels=image(0)), None, Tile(pixels=image(1)[:1, :4]), Tile(values=random(2, 3)))
    found = of(("f", (Grid(title="t", tiles=tiles, columns=3, scale=SCALE),)))
    [step] = found.figures[0].steps
    (square, none, flat), (bare,) = step.rows
    assert none is None
    assert (square.aspect, flat.aspect, bare.aspect) == ("", "8 / 4", "3 / 2")
    assert np.array_equal(stored(found, flat.image), image(1)[:1, :4].repeat(3, axis=0).transpose(1, 2, 0))


def test_large_images_are_shrunk() -> None:
    large = Tile(pixels=np.full((3, 300, 150), 99, dtype=np.uint8))
    found = of(("f", (Grid(title="t", tiles=(large,), columns=1),)))
    tile = found.figures[0].steps[0].rows[0][0]
    assert tile.aspect == "" != found.figures[0].steps[0].aspect
    shown = stored(found, tile.image)
    assert shown.shape == (LARGEST, LARGEST // 2, 3)
    assert np.abs(shown.astype(int) - 99).max() < 4


def test_a_figure_that_does_not_fit_has_evenly_spaced_steps_and_its_last() -> None:
    steps = tuple(layer(number) for number in range(1, 10))
    size = len(of(("attention", steps[:1])).style) + 3000
    found = of(("attention", steps), ("confusion", (confusion(3),)), most=3 * size)
    attention, matrix = found.figures
    assert len(matrix.steps) == 1, "each figure has a picture before one has a second"
    shown = [step.step for step in attention.steps]
    assert 1 < len(shown) < 9
    assert (shown[0], shown[-1]) == ("layer 1", "layer 9")
    assert [one.words for one in attention.left_out] == [s.step for s in steps if s.step not in shown]
    assert attention.left_out[0].file == "vit-attention-layer-2-key of a.png"
    assert of(("attention", steps), most=0).figures[0].steps == ()


def test_the_last_step_is_shown_first_and_what_is_no_step_only_where_all_steps_have_room() -> None:
    pictures = (layer(1), layer(2), confusion(3))
    [attention] = of(("attention", pictures)).figures
    assert ([step.step for step in attention.steps], attention.first) == (["layer 1", "layer 2", ""], 1)
    size = len(of(("attention", pictures[:1])).style) + 3000
    [attention] = of(("attention", (*(layer(n) for n in range(1, 10)), confusion(3))), most=3 * size).figures
    assert attention.steps[attention.first].step == "layer 9"
    assert attention.left_out[-1].words == "Confusion"
    [others] = of(("attribution", (confusion(3), distance()))).figures
    assert others.first == 0


@pytest.mark.parametrize(
    "figures",
    [
        [("attention", tuple(layer(number, heads=12, images=8, side=32) for number in range(1, 13)))],
        [("confusion", (confusion(20),) * 9), ("distance", (distance(lines=True),) * 99)],
        [(f"figure {each}", (layer(each),)) for each in range(60)],
    ],
)
def test_a_panel_keeps_within_its_bytes(figures: list[tuple[str, tuple[Figure, ...]]]) -> None:
    with_figures, _ = page(*figures)
    without, _ = page()
    left_out = "".join(re.findall(r'<p class="text">[^\n]* takes more than [^\n]*', with_figures))
    added = len(with_figures.encode()) - len(without.encode()) - len(left_out.encode())
    assert MOST_BYTES / 3 < added < MOST_BYTES


def test_the_page_has_figures_with_a_slider_and_links_to_those_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitbench.report.figures.drawing.png", lambda picture: picture.step.encode())
    steps = tuple(layer(number, heads=12, images=8, side=32) for number in range(1, 13))
    text, beside = page(("attention", steps), ("rollout", (layer(1),)), beside=True)
    assert text.count('<input type="range"') == 1
    links = re.findall(rf'<a href="{FOLDER}/([^"]+)">(layer \d+)</a>', text)
    assert links
    assert {name: step.encode() for name, step in links} == beside
    shown = re.findall(r'data-step="(layer \d+)"', text)
    assert sorted(shown[:-1] + [words for _, words in links]) == sorted(step.step for step in steps)


def test_a_file_that_lies_beside_the_page_is_not_drawn_again() -> None:
    steps = tuple(layer(number, heads=12, images=8, side=32) for number in range(1, 13))
    [left_out] = [figure.left_out for figure in of(("attention", steps)).figures]
    names = [one.file.replace("vit-", "vit-0-") for one in left_out]
    board, details = pages.board_of([factories.quality("vit-0", 350)], pages.FakeStore(Path("nowhere")))
    shown = replace(details, rows=tuple(replace(row, figures=drawn(("attention", steps))) for row in details.rows))
    text, beside = render_page(board, shown, have=names)
    assert beside == {}
    assert all(f'href="{FOLDER}/{name}"' in text for name in names)


def test_several_models_are_compared_by_the_same_images() -> None:
    text, _ = page(("rollout", (replace(layer(1), step=""),)), models=2)
    compared = text.partition('<div id="all-')[2].partition("</div>\n</div></div>")[0]
    assert "The same images through all models" in compared
    assert '<b class="side">vit-0</b>' in compared
    assert "The same images" not in page(("rollout", (layer(1),)))[0]


def test_without_matplotlib_the_page_says_what_draws_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    steps = tuple(layer(number, heads=12, images=8, side=32) for number in range(1, 13))
    text, beside = page(("attention", steps), beside=True)
    assert beside == {}
    assert f'href="{FOLDER}/' not in text
    assert "`vitbench explain` draws it: layer" in text


def test_points_are_a_chart_told_in_words() -> None:
    [step] = of(("distance", (distance(),))).figures[0].steps
    assert step.chart.kind == "series"
    assert step.text == "pixels over layer: a 1 to 2; b 1 to 2."
    assert step.chart.data["joined"]["x"] == []
    assert step.chart.words["step"] == 1, "there is no layer 1.5"
    [step] = of(("d", (distance(series=(), lines=True),))).figures[0].steps
    assert (step.chart.kind, step.text) == ("points", "pixels over layer: pixels 1 to 2.")
    assert step.chart.data["joined"]["x"] == [1, 2, 1, 2]
    [step] = of(("d", (distance(x=np.array([1, 1.5, 1, 2], dtype=np.float32)),))).figures[0].steps
    assert step.chart.words["step"] is None


def test_a_small_matrix_is_a_table_and_a_large_one_an_image() -> None:
    found = of(("a", (confusion(3),)), ("b", (confusion(21),)))
    (small,), (large,) = (figure.steps for figure in found.figures)
    assert [len(line) for line in small.values] == [3, 3, 3]
    assert small.image == ""
    assert large.values == ()
    assert np.array_equal(stored(found, (large.image, 0)), coloured(random(21, 21), SCALE))


def test_hostile_texts_stay_text() -> None:
    label = pages.HOSTILE[0]
    grids = tuple(
        replace(layer(1), title=name, note=name, step=name, column_labels=(name,) * 3, scale=replace(SCALE, label=name))
        for name in pages.HOSTILE[:4]
    )
    matrix = replace(confusion(2), rows=label, columns=label, row_labels=(label,) * 2, column_labels=(label,) * 2)
    matrices = (matrix, replace(confusion(30), rows=label))
    text, _ = page((label, grids), ("m", matrices), ("p", (distance(x_label=label),)))
    plain, _ = page()
    for mark in ("<script", "onerror=alert(1)>", ' onmouseover="'):
        assert text.count(mark) == plain.count(mark), mark
