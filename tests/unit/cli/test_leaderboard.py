"""`vitbench leaderboard`, and the end of `vitbench run`: what goes to which stream and file, with which exit code."""

from __future__ import annotations

import importlib.util
import io
import json
import shlex
import sys
import types
from collections.abc import Callable
from pathlib import Path

import factories as f
import msgspec
import pytest

from vitbench.cli import cli, main
from vitbench.records import Record
from vitbench.report.formats import FORMATS, Format
from vitbench.report.plots.pictures import PICTURES, PlottedTable
from vitbench.report.readme_block import END, START
from vitbench.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process and return its exit code, stdout and stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def fill(folder: Path, *records: Record) -> Path:
    with Store.open(folder, create=True) as store:
        name = store.begin_run(
            command="vitbench run", version="0", suite="", environment=f.environment(), rank_by="top1"
        )
        store.plan(name, [record.planned for record in records])
        for record in records:
            store.append(msgspec.structs.replace(record, run=name))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return fill(tmp_path / "my results", f.quality("vit", 340), *f.speed("vit"), f.quality("m\u00e9", 300))


def test_the_table_ends_with_what_it_says(run: Run, results: Path) -> None:
    code, out, err = run("leaderboard", results)
    assert (code, err) == (0, "")
    assert out.startswith("digits\n")
    assert out.endswith("Fastest within a point of the best: vit, 1,000\nimages/s.\n")


@pytest.mark.parametrize(("form", "start"), [("md", "### digits\n"), ("csv", '"rank","rank_last"')])
def test_stdout_and_a_file_hold_the_same(form: str, start: str, run: Run, results: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    code, out, err = run("leaderboard", results, "--format", form)
    assert (code, err) == (0, "")
    assert out.startswith(start)
    assert out.endswith("\n")
    assert not out.endswith("\n\n")
    assert run("leaderboard", results, "--format", form, "--output", place) == (0, "", f"{place}\n")
    assert place.read_bytes() == out.encode()


def test_a_stdout_without_unicode_gets_ascii(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    for form in ("table", "csv"):
        monkeypatch.setattr(sys, "argv", ["vitbench", "leaderboard", str(results), "--format", form])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    narrow.flush()
    written = narrow.buffer.getvalue()
    table, _, csv = written.partition(b'"rank"')
    assert b"m\\xe9" in table
    assert table.isascii()
    assert "m\u00e9".encode() in csv  # data are UTF-8, as in a file


def test_a_result_is_withdrawn_once(run: Run, results: Path) -> None:
    record = f.quality("vit", 340)
    code, out, err = run("withdraw", results, record.id[:12], "--reason", "wrong\x1b labels")
    assert (code, out) == (0, "")
    words = f"vit on digits, supervised, seed 0 ({record.id}) is withdrawn: wrong\\x1b labels."
    assert err == f"{words} The next vitbench run that includes it runs it again.\n"
    assert "withdrawn (digits, seed 0)" in run("leaderboard", results)[1]
    code, out, err = run("withdraw", results, record.id[:12], "--reason", "again")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_readme_is_rewritten_once(run: Run, results: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_bytes(f"# x\r\n{START}\r\n{END}\r\n".encode())
    code, out, err = run("leaderboard", results, "--readme", readme)
    assert (code, out, err) == (0, "", f"{readme} now has the current table.\n")
    content = readme.read_bytes()
    assert b"| vit" in content
    assert content.count(b"\n") == content.count(b"\r\n")
    before = readme.stat()
    assert run("leaderboard", results, "--readme", readme) == (0, "", f"{readme} already had the current table.\n")
    assert (readme.stat().st_mtime_ns, readme.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_verdicts_are_counted_told_on_request_and_left_out_of_a_readme(run: Run, tmp_path: Path) -> None:
    reason = "had the processor 40% of the time (9 involuntary context switches)"
    results = fill(tmp_path / "r", f.quality("vit"), *f.speed("vit", verdict="invalid", reason=reason))
    readme = tmp_path / "README.md"
    readme.write_text(START + END)
    run("leaderboard", results, "--readme", readme)
    for form in ("table", "md", "latex"):
        counted = run("leaderboard", results, "--format", form)[1]
        told = run("leaderboard", results, "--format", form, "--details")[1]
        assert "other processes were" in counted
        assert "had the processor" not in counted
        assert "had the processor 40" in told
        assert "other processes were" not in told
    assert "processor" not in readme.read_text()


def test_rows_that_were_not_asked_for_are_left_out_and_counted_in_every_format(
    run: Run, results: Path, tmp_path: Path
) -> None:
    left_out = "Left out: 1 of 2 rows. Shown, and ranked among themselves: models v?t."
    code, out, err = run("leaderboard", results, "--model", "v?t")
    assert (code, err) == (0, "")
    assert out.endswith(f"{left_out}\n")
    assert "m\u00e9" not in out
    for form in ("md", "csv", "json", "latex"):
        code, out, err = run("leaderboard", results, "--model", "v?t", "--format", form)
        assert (code, err) == (0, f"note: {left_out}\n")
        assert "m\u00e9" not in out
    readme = tmp_path / "README.md"
    readme.write_text(START + END)
    assert left_out in run("leaderboard", results, "--model", "v?t", "--readme", readme)[2]
    assert left_out.replace("*", "\\*") in readme.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [("text", f"the line {START} is missing"), (END + START, "swap")],
)
def test_a_readme_that_cannot_be_rewritten_stays(
    content: str, words: str, run: Run, results: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(content)
    code, out, err = run("leaderboard", results, "--readme", readme)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith(f"Error: {readme}: ")
    assert words in line
    assert readme.read_text() == content


@pytest.mark.parametrize("suffix", ["json", "tex", "txt"])
def test_the_suffix_of_the_file_says_the_format(run: Run, results: Path, tmp_path: Path, suffix: str) -> None:
    form = {"tex": "latex", "txt": "table"}.get(suffix, suffix)
    assert run("leaderboard", results, "--output", str(tmp_path / f"a.{suffix}"))[0] == 0
    assert run("leaderboard", results, "--output", str(tmp_path / "b"), "--format", form)[0] == 0
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_new_format_is_one_line_and_one_module(
    run: Run, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("vitbench.report.fake")
    module.render_fake = lambda board: f"{len(board.rows)} rows\n"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "fake", Format(".fk", "vitbench.report.fake:render_fake"))
    spec = importlib.util.find_spec("vitbench.cli.leaderboard")
    assert spec is not None
    assert spec.loader is not None
    command = importlib.util.module_from_spec(spec)  # as at the next start: choices are read once
    spec.loader.exec_module(command)
    monkeypatch.setitem(cli.commands, "leaderboard", command.leaderboard)
    assert "[table|md|csv|json|latex|html|fake]" in run("leaderboard", "--help")[1]
    assert run("leaderboard", results, "--format", "fake") == (0, "2 rows\n", "")
    assert run("leaderboard", results, "--output", tmp_path / "board.FK") == (0, "", f"{tmp_path / 'board.FK'}\n")
    assert (tmp_path / "board.FK").read_text() == "2 rows\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--readme", "{}/nowhere.md"], 2, "does not exist"),
        (["--readme", "{}"], 2, "is a directory"),
        (["--output", "{}"], 2, "is a directory"),
        (["--output", "{}/no/such/file"], 4, "cannot be written: No such file or directory"),
        (["--plots", "--format", "csv"], 2, "drop --format and --output"),
        (["--plots", "--output", "{}/x"], 2, "drop --format and --output"),
        (["--model", "vitt"], 2, 'no model of this leaderboard matches "vitt". Did you mean "vit"?'),
        (["--dataset", "cifar"], 2, 'no dataset of this leaderboard matches "cifar". There are: digits.'),
        (["--output", "{}/x.htm"], 2, 'no format has the suffix ".htm"'),
        (["--details", "--format", "csv"], 2, "--details is for table, md, latex"),
        (["--details", "--plots"], 2, "--details is for table, md, latex"),
    ],
)
def test_places_that_cannot_be_are_one_line(
    arguments: list[str], code: int, words: str, run: Run, results: Path, tmp_path: Path
) -> None:
    found, out, err = run("leaderboard", results, *(argument.format(tmp_path) for argument in arguments))
    assert (found, out) == (code, "")
    [line] = err.splitlines()
    assert line.startswith("Error: ")
    assert words in line


def test_a_new_picture_is_one_line_and_one_module(run: Run, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(table: PlottedTable) -> object:
        from matplotlib.figure import Figure

        canvas = Figure()
        canvas.suptitle(f"{table.title}: {len(table.rows)} rows")
        return canvas

    module = types.ModuleType("vitbench.report.plots.fake")
    module.draw_fake = draw  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(PICTURES, "fake", "vitbench.report.plots.fake:draw_fake")
    old = results / "plots" / "fake-2.svg"
    old.parent.mkdir()
    old.write_text("of an earlier leaderboard")
    code, _, err = run("leaderboard", results, "--plots")
    assert (code, err.splitlines()[0]) == (
        0,
        f"{old} belonged to an earlier leaderboard and was removed.",
    )
    names = sorted(each.name for each in (results / "plots").iterdir())
    assert names == ["fake.png", "fake.svg", "pareto.png", "pareto.svg"]
    assert "digits: 2 rows" in (results / "plots" / "fake.svg").read_text()


def test_all_reasons_are_in_the_folder_that_is_named(run: Run, tmp_path: Path) -> None:
    place = fill(tmp_path / "my results", f.quality("vit"), *f.speed("vit", verdict="warn", reason="load"))
    assert f"All reasons: `vitbench leaderboard '{place}' --details`." in " ".join(run("leaderboard", place)[1].split())


def test_nothing_to_draw_is_said(run: Run, tmp_path: Path) -> None:
    code, out, err = run("leaderboard", fill(tmp_path / "r", f.quality("vit")), "--plots")
    assert (code, out) == (0, "")
    assert err.startswith("Nothing to draw: ")


def test_pictures_of_an_earlier_leaderboard_are_removed_and_nothing_else(run: Run, results: Path) -> None:
    place = results / "plots"
    place.mkdir()
    stale = ["curves-2.svg", "pareto-1.png"]
    others = ["curves.txt", "my-pareto.png", "notes.md", "pareto-old.png"]
    for name in (*stale, *others):
        (place / name).write_text("x")
    code, out, err = run("leaderboard", results, "--plots")
    assert (code, out) == (0, "")
    assert all(each.stat().st_size for each in place.glob("pareto.*"))
    assert sorted(each.name for each in place.iterdir()) == sorted([*others, "pareto.png", "pareto.svg"])
    assert err.splitlines() == [
        *(f"{place / name} belonged to an earlier leaderboard and was removed." for name in stale),
        *(str(place / name) for name in ("pareto.png", "pareto.svg")),
        "curves was not drawn: no row has a training curve.",
    ]


def test_what_cannot_be_made_changes_nothing(
    run: Run, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(START + END)
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        assert run("leaderboard", results, "--readme", readme, "--plots")[0] == 3
    assert readme.read_text() == START + END
    readme.write_text("no markers")
    assert run("leaderboard", results, "--readme", readme, "--plots")[0] == 2
    assert not (results / "plots").exists()


# The end of a run, whose cells are all there.


@pytest.fixture
def end_of_run(results: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``vitbench run`` on results that are there: it has nothing to prepare and ends with this exit code."""
    monkeypatch.setattr("vitbench.planning.plan.plan", lambda *_, **__: None)
    monkeypatch.setattr("vitbench.running.pacing.paced", lambda *_, **__: None)
    monkeypatch.setattr("vitbench.running.session.execute", lambda *_, **__: 1)
    monkeypatch.setattr("vitbench.report.html.render_page", lambda *_: ("<!doctype html>", {}))
    return lambda *arguments: run("run", "--output", results, *arguments)


def test_a_run_ends_with_table_sentence_and_page(end_of_run: Run, results: Path) -> None:
    code, out, err = end_of_run()
    page = results / "leaderboard.html"
    assert code == 1
    assert out.startswith("digits\n")
    assert " is best with 94.4 % top1" in out
    assert f"Leaderboard page: {page}" in err.splitlines()
    assert page.read_text() == "<!doctype html>"
    command = err.splitlines()[-1].split("`")[1]
    assert shlex.split(command) == ["vitbench", "leaderboard", str(results), "--format", "md"]


def test_json_alone_is_on_stdout(end_of_run: Run) -> None:
    code, out, err = end_of_run("--json")
    assert code == 1
    assert json.loads(out)["sentences"][0].startswith("On digits, vit is best")
    assert "leaderboard.html" in err


def test_quiet_is_the_table_alone(end_of_run: Run, results: Path) -> None:
    code, out, err = end_of_run("--quiet")
    assert (code, err) == (1, "")
    assert out.startswith("digits\n")
    assert (results / "leaderboard.html").exists()


def test_a_page_that_cannot_be_written_is_a_warning(end_of_run: Run, results: Path) -> None:
    (results / "leaderboard.html").mkdir()
    code, out, err = end_of_run()
    assert (code, out[:7]) == (1, "digits\n")
    assert [line for line in err.splitlines() if line.startswith("warning: the page ")]
