"""The page's libraries: what takes long to make is kept, and made again where it is damaged or of another version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import vl_convert

from vitbench.report.html import scripts
from vitbench.report.html.scripts import Library, chart_library


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Bundle in no time, into a cache of this test's own; tell how often."""
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path))
    made: list[str] = []

    def bundle(snippet: str) -> str:
        made.append(snippet)
        return f"// {len(made)}"

    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    yield made
    chart_library.cache_clear()


def library() -> Library:
    """Return what a process of its own would have."""
    chart_library.cache_clear()
    return chart_library()


def test_charts_are_bundled_once_for_each_version(bundled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = library()
    assert library() == first
    assert len(bundled) == 1
    monkeypatch.setattr(scripts, "version_of", lambda _: "99")
    assert library() != first
    assert len(bundled) == 2


def test_a_damaged_copy_is_made_again(bundled: list[str], tmp_path: Path) -> None:
    library()
    [copy] = (tmp_path / "scripts").iterdir()
    copy.write_bytes(copy.read_bytes()[:-1])
    assert library() == library()
    assert len(bundled) == 2


def test_without_a_cache_it_is_made_each_time(bundled: list[str], tmp_path: Path) -> None:
    (tmp_path / "scripts").write_text("in the way")
    assert library().packed
    assert library().packed
    assert len(bundled) == 2
