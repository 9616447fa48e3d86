"""What stands at the top of a page."""

from __future__ import annotations

import factories
import pages

from vitbench.report.html.heading import heading


def test_suite_data_date_and_machine_of_the_runs_are_told(tmp_path):
    _, details = pages.board_of([factories.quality()], pages.FakeStore(tmp_path))
    assert heading(details) == {
        "suite": "quick: for tests",
        "data": "digits: 360 test images, 10 classes",
        "date": "2023-11-14",
        "machine": factories.MACHINE,
    }


def test_a_run_without_a_suite_says_so(tmp_path):
    place = tmp_path / "place"
    _, details = pages.board_of([factories.quality()], pages.FakeStore(place, suite=""))
    assert heading(details)["suite"] == "none, models and datasets were named"
