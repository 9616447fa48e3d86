"""The gallery of a page: how small it is, what it says in place of images, and that none slips through."""

from __future__ import annotations

import base64
import io
import re

import factories
import numpy as np
import pages
import pytest
from markupsafe import escape
from PIL import Image

from vitbench.figures import Grid, Matrix, Scale, Tile
from vitbench.figures.files import write_figures
from vitbench.report.html import render_html
from vitbench.report.html.details import read_details


def page_of(records, store, **fields):
    board, details = pages.board_of(records, store)
    return render_html(board, read_details(store, board, records, **fields) if fields else details)


def test_a_page_of_20_models_on_photographs_is_smaller_than_5_mb(tmp_path):
    data = pages.with_images(factories.data_info(), tmp_path, 300, side=224)
    records = [
        one
        for i in range(20)
        for one in pages.model(tmp_path, f"model-{i}", 250 - 7 * i, 100.0 * (i + 1), data=data, n=300)
    ]
    page = page_of(records, pages.FakeStore(tmp_path))
    assert len(page.encode()) < 5_000_000
    shown = len(re.findall(r'<li><i class="t\d+"', page))
    assert shown >= 20 * 10


def test_thumbnails_are_the_images_of_the_cache(tmp_path):
    data = pages.with_images(factories.data_info(), tmp_path, 40)
    records = pages.model(tmp_path, "vit", 39, 100.0, data=data, n=40)
    page = page_of(records, pages.FakeStore(tmp_path))
    [packed] = re.findall(r"#s0 \.t0\{--n:1;background-image:url\(data:image/webp;base64,([^)]*)\)", page)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))).convert("RGB"))
    cached = np.load(tmp_path / "cache" / "test-images.npy").transpose(0, 2, 3, 1)
    [place] = [place for place, image in enumerate(cached) if np.array_equal(shown, image)]
    assert str(escape(f"test/{pages.HOSTILE[place % 4]}-{place}.png")) in page.replace("<wbr>", "")


def test_without_images_no_pixel_and_no_figure_that_shows_any_is_on_the_page(tmp_path):
    data = pages.with_images(factories.data_info(), tmp_path, 60)
    records = pages.model(tmp_path, "vit", 40, 100.0, data=data, n=60)
    store = pages.FakeStore(tmp_path)
    scale = Scale(label="share", low=0, high=1)
    values = np.zeros((30, 30), dtype=np.float32)
    names = tuple(f"class {i}" for i in range(30))
    drawn = {
        "overlay": Grid(title="Seen", tiles=(Tile(pixels=np.full((3, 8, 8), 7, np.uint8)),), columns=1),
        "maps": Grid(title="Map", tiles=(Tile(values=values),), columns=1, scale=scale),
        "table": Matrix(
            title="Shares", values=values[:2, :2], row_labels=names[:2], column_labels=names[:2], rows="r", columns="c",
            scale=scale,
        ),
    }  # fmt: skip
    for name, figure in drawn.items():
        record = pages.figure_record(records[0], name)
        write_figures(store.figures_path(record.key), [figure])
        records.append(record)
    with_images, without = page_of(records, store), page_of(records, store, images=False)
    assert len(re.findall("data:image", with_images)) >= 3
    assert "data:image" not in without
    assert "Seen" not in without
    assert "<strong>Map" not in without
    assert "<strong>Shares" in without
    assert "This page was made without images" in without
    assert "pixels" not in without.partition("<main")[2].partition("Behind the row")[0]


@pytest.mark.parametrize(
    ("right", "words"), [(40, "are no longer in the image cache"), (60, "get all test images right")]
)
def test_one_sentence_stands_in_place_of_images_that_are_not_there(tmp_path, right, words):
    page = page_of(pages.model(tmp_path, "vit", right, 100.0, n=60), pages.FakeStore(tmp_path))
    assert words in page
    assert "data:image" not in page


def test_what_the_page_shows_by_itself_is_not_drawn_twice(tmp_path):
    data = pages.with_images(factories.data_info(), tmp_path, 60)
    records = pages.model(tmp_path, "vit", 40, 100.0, data=data, n=60)
    store = pages.FakeStore(tmp_path)
    figures = [pages.figure_record(records[0], name, folder=tmp_path) for name in ("confusion", "mistakes", "rollout")]
    _, details = pages.board_of([*records, *figures], store)
    assert [each.name for each in details.rows[0].figures] == ["rollout"]
    # Of more classes than a matrix shows, and without images, they say what the page does not.
    many = factories.data_info("many", num_classes=30)
    records = pages.model(tmp_path, "vit", 40, 100.0, data=many, n=60)
    figures = [pages.figure_record(records[0], name, folder=tmp_path) for name in ("confusion", "mistakes")]
    _, details = pages.board_of([*records, *figures], store)
    assert {each.name for each in details.rows[0].figures} == {"confusion", "mistakes"}
