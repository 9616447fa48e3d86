"""Boards on the page: colours that can be read, missing values, and names that are text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories as f
import msgspec
from comparisons import quality, right, write
from markupsafe import escape

from vitbench.api import load
from vitbench.report.html.board import board_views, heat, readable

NAMES = ["a", "b", "c"]


def made(folder: Path, models: dict[str, list[int]], names: list[str] = NAMES) -> Path:
    parts: list[Any] = [
        quality(label, right(correct), data=f.data_info(name))
        for label, found in models.items()
        for name, correct in zip(names, found, strict=False)
    ]
    return write(folder, *parts)


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_each_cell_can_be_read() -> None:
    colours = [heat(step / 20) for step in range(21)]
    assert min(contrast(colour, readable(colour)) for colour in colours) >= 4.5


def test_the_best_of_a_column_is_deepest_and_what_is_missing_says_why(tmp_path: Path) -> None:
    folder = made(tmp_path, {"p4": [300, 200, 250], "p8": [200, 300, 250], "late": [390, 390]})
    (view,) = board_views(load(folder).boards())
    by_name = {row.name: row for row in view.rows}
    best, worst = (f"#{bytes(heat(share)).hex()}" for share in (1.0, 0.0))
    assert by_name["late"].cells[0].colour == best
    assert by_name["p8"].cells[0].colour == worst
    assert by_name["p4"].cells[2].colour == by_name["p8"].cells[2].colour == f"#{bytes(heat(0.5)).hex()}"
    missing = by_name["late"].cells[2]
    assert (missing.colour, missing.title) == ("", "missing: not asked for")
    assert view.diagram is None
    assert "needs three models" in view.no_diagram


def test_lineages_can_be_read_without_pointing(tmp_path: Path) -> None:
    place = tmp_path / "place"
    parts: list[Any] = [
        quality(label, right(correct), data=msgspec.structs.replace(f.data_info(name), lineage=f"files of {name}"))
        for label, correct in (("p4", 300), ("p8", 200))
        for name in NAMES[:2]
    ]
    (view,) = board_views(load(write(place, *parts)).boards())
    assert view.notes[-1] == "Lineage of a: files of a; b: files of b."


def test_a_diagram_is_drawn_where_datasets_can_tell_models_apart(tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(8)]
    models = {
        label: [correct + 2 * number for number in range(8)]
        for label, correct in (("p4", 300), ("p8", 250), ("p16", 200))
    }
    (view,) = board_views(load(made(tmp_path, models, names)).boards())
    assert view.diagram is not None
    assert [mark.name for mark in view.diagram.marks] == ["p4", "p8", "p16"]
    (few,) = board_views(load(made(tmp_path / "few", {k: v[:2] for k, v in models.items()}, names)).boards())
    assert few.diagram is None
    assert "would show nothing" in few.no_diagram


def test_the_page_has_the_board_with_names_as_text_and_none_of_a_part(tmp_path: Path) -> None:
    name = '"><b>p4</b>'
    folder = made(tmp_path, {name: [300, 200, 250], "p8": [200, 300, 250], "p16": [100, 100, 100]})
    page = load(folder).page(images=False)
    drawing = page[page.index('<figure class="difference">') : page.index("</figure>")]
    assert 'class="overview"' in page
    assert "<b>p4" not in page
    assert f"{escape(name)}: 1.50</title>" in drawing
    assert f'aria-label="Mean ranks: {escape(name)} 1.50' in drawing
    assert 'class="overview"' not in load(folder, models=["p8"]).page(images=False)
