"""What a plugin does to stdout and to the working folder is undone, and told in a sentence."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitbench.isolation import stdout_kept, undone


def test_what_is_printed_goes_to_stderr_and_its_beginning_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with undone() as remarks:
        print("one\ntwo" + 100 * "x")
        print("three")
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"one\ntwo{100 * 'x'}\nthree\n")
    assert remarks == [f'wrote to stdout, which was sent to stderr: "one two{53 * "x"}..."']


def test_nothing_is_told_where_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with undone() as remarks:
        print()
        sys.stdout.flush()
    assert remarks == []
    assert capsys.readouterr().out == ""


def test_a_plugin_may_hold_on_to_its_stdout_and_ask_it_what_a_stream_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with undone():
        held = sys.stdout
        assert held.encoding
        assert held.isatty() is False
    held.write("later\n")
    assert capsys.readouterr().err == "later\n"


def test_the_working_folder_is_put_back_even_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(ZeroDivisionError), undone() as remarks:
        os.chdir("away")
        raise ZeroDivisionError
    assert Path.cwd() == tmp_path
    assert remarks == [f"changed the working folder to {tmp_path / 'away'}; it was put back"]


def test_a_folder_that_a_plugin_removed_behind_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()
    with undone() as remarks:
        os.chdir("away")
        (tmp_path / "away").rmdir()
    assert Path.cwd() == tmp_path
    assert remarks == ["changed the working folder to one that is gone; it was put back"]


def test_a_command_in_a_folder_that_was_removed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with undone() as remarks:
        pass
    assert remarks == []
    os.chdir(tmp_path)


def test_the_file_descriptor_of_stdout_is_kept_for_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before\n")
    with stdout_kept():
        os.write(1, b"from C\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("before\nafter\n", "from C\nfrom a child\n")


def test_what_waits_in_stdouts_buffer_stays_on_stdout_and_what_a_plugin_leaves_there_does_not() -> None:
    code = (
        "import sys\n"
        "from vitbench.isolation import stdout_kept\n"
        "print('the answer')\n"
        "with stdout_kept():\n"
        "    sys.__stdout__.write('a plugin')\n"
        "print('goes on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the answer\ngoes on\n", "a plugin")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_process_without_a_stream_goes_on(closed: str) -> None:
    code = "from vitbench.catalog import load_catalog\nraise SystemExit(len(load_catalog().problems))"
    command = f'"{sys.executable}" -c "{code}" {closed}>&-'
    assert subprocess.run(command, shell=True, check=False).returncode == 0
