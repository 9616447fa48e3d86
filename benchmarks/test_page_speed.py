"""The page for 200 models: the goals are under a second to make it, under 3 MB, and under a second to draw it.

Each model has two seeds, a curve, predictions, latency samples, and doubts about every speed. Run ``pytest
benchmarks/test_page_speed.py -s``; the fake records come from the tests' factory.
"""

from __future__ import annotations

import shutil

import pages
import pytest

from vitbench.report.html import render_html
from vitbench.report.html.details import read_details

NUM_MODELS = 200
MOST_BYTES = 3_000_000
DOUBTS = (
    "the last 3 warm-up blocks differ by 21%; IQR 12% of the median, in 2 of 3 processes; the times drift: the last "
    "third takes 12% less than the first, in 1 of 3 processes; the processes differ by 28%"
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    records = [
        record
        for i in range(NUM_MODELS)
        for record in pages.model(
            folder,
            f"timm/vit_small_patch16_{i:03}.augreg_in21k",
            200 + i % 150,
            500.0 + 37 * i,
            seeds=(0, 1),
            verdict="warn",
            reason=DOUBTS,
        )
    ]
    store = pages.FakeStore(folder)
    board, details = pages.board_of(records, store)
    render_html(board, details)  # bundles the libraries, once a process
    return store, records, board, details


def test_read_what_is_behind_200_rows(benchmark, results):
    store, records, board, details = results
    assert benchmark(read_details, store, board, records) == details


def test_make_the_page_of_200_models(benchmark, results):
    *_, board, details = results
    page = benchmark(render_html, board, details)
    print(f"\n{len(page.encode()) / 1e6:.2f} MB")
    assert len(page.encode()) < MOST_BYTES


def test_draw_the_page_of_200_models(results, tmp_path):
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no browser is installed")
    *_, board, details = results
    path = tmp_path / "page.html"
    path.write_text(render_html(board, details), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(5):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.locator("html[data-ready=yes]").wait_for(state="attached")
            marks = page.evaluate("performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime])")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            times = ", ".join(f"{name} {time:.0f} ms" for name, time in [("text seen", paint), *marks])
            print(f"\nsince the page was asked for: {times}")
            assert page.locator("table.board tbody tr").count() == NUM_MODELS
            page.close()
        browser.close()
