"""What a plugin does to the process is undone, and told in a sentence."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitbench.catalog.isolation import stdout_kept, undone


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


WRAP = "io.TextIOWrapper(sys.{0}.buffer, encoding='utf-8')"


DEEDS = (
    f"sys.stdout = {WRAP.format('stdout')}",
    f"sys.stderr = {WRAP.format('stderr')}",
    "sys.stdout = open(sys.stdout.fileno(), 'w', encoding='utf-8')",
    "sys.stderr = open(os.devnull, 'w')",
    "sys.stderr = sys.stdout",
    "sys.stdout = None",
)


@pytest.mark.process
def test_streams_that_a_plugin_replaced_are_put_back_and_still_there() -> None:
    code = (
        "import gc, io, os, sys\n"
        "from vitbench.catalog.isolation import undone\n"
        f"for number, deed in enumerate({DEEDS!r}):\n"
        "    with undone() as remarks:\n"
        "        exec(deed)\n"
        "        print(f'from plugin {number}')\n"
        "    gc.collect()\n"
        "    print(remarks[-1])\n"
        "    print(f'the end {number}', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == len(DEEDS) * "replaced sys.stdout or sys.stderr; they were restored\n"
    lines = [line for number in range(len(DEEDS)) for line in (f"from plugin {number}", f"the end {number}")]
    assert done.stderr.splitlines() == [line for line in lines if line != "from plugin 5"], "there was no stdout"


def test_what_is_written_by_a_wrapped_stdout_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with undone() as remarks:
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("grüße")
    assert 'wrote to stdout, which was sent to stderr: "grüße"' in remarks
    assert capsys.readouterr().err == "grüße\n"


@pytest.mark.parametrize("end", ["close", "detach"])
def test_to_close_its_streams_harms_nobody(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    with undone() as remarks:
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, end)()
    with undone():
        print("another plugin")
    assert remarks == []
    assert capsys.readouterr().err == "another plugin\n"


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOLATION_A", "1")
    monkeypatch.setenv("ISOLATION_B", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = dict(os.environ)
    with undone() as remarks:
        os.environ.update(ISOLATION_A="other", CUDA_VISIBLE_DEVICES="7")
        del os.environ["ISOLATION_B"]
    assert dict(os.environ) == before
    assert remarks == [
        "changed environment variables (CUDA_VISIBLE_DEVICES, ISOLATION_A, ISOLATION_B); they were restored"
    ]


def test_what_a_library_sets_for_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "False")
    with undone() as remarks:
        os.environ["KMP_DUPLICATE_LIB_OK"] = "True"
    assert (remarks, os.environ["KMP_DUPLICATE_LIB_OK"]) == ([], "True")


def test_a_changed_module_path_is_told_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with undone() as remarks:
        sys.path.insert(0, "/its/own")
    assert sys.path[0] == "/its/own"
    assert remarks == ["changed the module path (sys.path); this was not undone"]


def test_the_working_folder_is_put_back_even_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(ZeroDivisionError), undone() as remarks:
        os.chdir("away")
        raise ZeroDivisionError
    assert Path.cwd() == tmp_path
    assert remarks == [f"changed the working directory to {tmp_path / 'away'}; it was restored"]


def test_a_folder_that_a_plugin_removed_behind_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()
    with undone() as remarks:
        os.chdir("away")
        (tmp_path / "away").rmdir()
    assert Path.cwd() == tmp_path
    assert remarks == ["changed the working directory to one that is gone; it was restored"]


def test_a_command_in_a_folder_that_was_removed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with undone() as remarks:
        pass
    assert remarks == []
    os.chdir(tmp_path)


@pytest.mark.process
def test_the_file_descriptor_of_stdout_is_kept_for_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before\n")
    with stdout_kept():
        os.write(1, b"from C\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("before\nafter\n", "from C\nfrom a child\n")


@pytest.mark.process
def test_what_waits_in_stdouts_buffer_stays_on_stdout_and_what_a_plugin_leaves_there_does_not() -> None:
    code = (
        "import sys\n"
        "from vitbench.catalog.isolation import stdout_kept\n"
        "print('the answer')\n"
        "with stdout_kept():\n"
        "    sys.__stdout__.write('a plugin')\n"
        "print('goes on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the answer\ngoes on\n", "a plugin")


@pytest.mark.process
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_process_without_a_stream_goes_on(closed: str) -> None:
    code = "from vitbench.catalog import load_catalog\nraise SystemExit(len(load_catalog().problems))"
    command = f'"{sys.executable}" -c "{code}" {closed}>&-'
    assert subprocess.run(command, shell=True, check=False).returncode == 0
