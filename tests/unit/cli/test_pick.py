"""What `vitbench pick` does when a pick has ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from vitbench.cli.pick import pick


def test_a_pick_ends_with_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picked = SimpleNamespace(folder=tmp_path, text=lambda **_: "Pick a.", exit_code=0)
    results = SimpleNamespace(folder=tmp_path, write_page=lambda path: path.write_text("page"))
    monkeypatch.setattr("vitbench.picking.pick.pick", lambda *_, **__: picked)
    monkeypatch.setattr("vitbench.api.load", lambda _: results)
    said = CliRunner().invoke(pick, ["digits"])
    assert said.stdout == "Pick a."
    assert (tmp_path / "leaderboard.html").read_text() == "page"
    assert str(tmp_path / "leaderboard.html") in said.stderr
