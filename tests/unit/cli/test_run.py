"""What `vitbench run` makes of its own options, and of a page that cannot be written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from vitbench.cli import run as command
from vitbench.cli.run import _limit, _recipe_settings, write_page
from vitbench.errors import UnusableError, UsageError


def limit(text: str | None) -> int | float | None:
    return _limit(click.Context(command), command.params[0], text)


@pytest.mark.parametrize(("text", "value"), [(None, None), ("1", 1), ("2000", 2000), ("1.0", 1.0), ("0.25", 0.25)])
def test_a_limit_is_images_or_with_a_dot_a_share(text: str | None, value: float | None) -> None:
    found = limit(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["0", "-1", "0.0", "1.01", "1e3", "many", "nan", ".", "inf"])
def test_no_other_limit_is_taken(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"neither an integer nor|must be"):
        limit(text)


def test_settings_are_grouped_by_recipe_whose_name_may_hold_dots() -> None:
    found = _recipe_settings({"supervised.lr": "0.1", "a/b.c.epochs": "3", "supervised.augment": "false"})
    assert found == {"supervised": {"lr": "0.1", "augment": "false"}, "a/b.c": {"epochs": "3"}}


def test_a_setting_without_a_recipe_is_refused_as_it_was_written() -> None:
    with pytest.raises(UsageError, match=r'^--set "epochs=3" must be written RECIPE\.OPTION=VALUE\.$'):
        _recipe_settings({"epochs": "3"})


def results(folder: Path, page: str | Exception) -> Any:
    def write(path: Path) -> None:
        if isinstance(page, Exception):
            raise page
        path.write_text(page, encoding="utf-8")

    return SimpleNamespace(folder=folder, write_page=write)


def test_the_page_lies_in_the_results_folder(tmp_path: Path) -> None:
    assert write_page(results(tmp_path, "<p>é</p>")) == f"Leaderboard page: {tmp_path}/leaderboard.html"
    assert (tmp_path / "leaderboard.html").read_text(encoding="utf-8") == "<p>é</p>"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnusableError("jinja2 is missing."), "No page was written: jinja2 is missing."),
        (KeyError("x"), "warning: the page {}/leaderboard.html could not be written: KeyError: 'x'"),
    ],
    ids=["extra missing", "anything"],
)
def test_a_run_has_its_results_whatever_happens_to_the_page(error: Exception, words: str, tmp_path: Path) -> None:
    assert write_page(results(tmp_path, error)) == words.format(tmp_path)
    assert list(tmp_path.iterdir()) == []
