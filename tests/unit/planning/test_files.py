"""Files that options name: absolute, hashed, and told in one line where they cannot be read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vitbench.errors import UnusableError
from vitbench.planning.files import hash_files
from vitbench.specs import Option

DECLARED = {"weights": Option("", kind="file"), "table": Option("", kind="file"), "note": Option("")}


def test_paths_become_absolute_and_files_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").write_bytes(b"abc")
    options, files = hash_files("model m", DECLARED, {"weights": "weights.pt", "table": "", "note": "weights.pt"})
    assert options == {"weights": str(tmp_path.resolve() / "weights.pt"), "table": "", "note": "weights.pt"}
    assert files == {"weights": hashlib.sha256(b"abc").hexdigest()}


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "weights.pt").touch()
    options, _ = hash_files("model m", DECLARED, {"weights": "~/weights.pt"})
    assert options == {"weights": str(tmp_path.resolve() / "weights.pt")}


@pytest.mark.parametrize(("name", "reason"), [("no.pt", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    place = tmp_path.resolve() / name
    with pytest.raises(UnusableError) as caught:
        hash_files("recipe r", DECLARED, {"weights": str(place)})
    assert str(caught.value) == f"recipe r: the weights {place} cannot be read ({reason}); check the option weights."


def test_the_home_of_nobody_is_a_file_that_is_missing() -> None:
    with pytest.raises(UnusableError, match=r"the weights .*~no-such-user-here/w.pt cannot be read \(No such file"):
        hash_files("recipe r", DECLARED, {"weights": "~no-such-user-here/w.pt"})
