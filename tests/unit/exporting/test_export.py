"""`vitbench export`: what an exporter gets, and what becomes of its files."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import exported
import factories
import pytest

from vitbench.catalog import Offer, Plugin
from vitbench.cli import main
from vitbench.errors import UnusableError, UsageError
from vitbench.exporting.export import LIST_NAME, write_export
from vitbench.exporting.reading import read_exported
from vitbench.exporting.results import ExportedResults
from vitbench.specs import ExporterSpec
from vitbench.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    exported.write_store(folder)
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> ExportedResults:
    return read_exported(folder)[0]


def offer(write: object, **fields: object) -> Offer[ExporterSpec]:
    plugin = Plugin(name="mine", distribution="mine", version="1", module="mine")
    return Offer(name="mine/it", plugin=plugin, spec=ExporterSpec(name="it", write=write, summary="It", **fields))


def test_results_are_what_the_folder_holds(results: ExportedResults) -> None:
    (row,) = results.rows
    assert (row.label, row.model, row.dataset, row.seeds) == (exported.LABEL, "scratch/vit", "digits", (0, 1))
    top1, top5, ece = (row.values[name] for name in ("top1", "top5", "ece"))
    assert top1.value == pytest.approx(340.5 / 360)
    assert top1.interval == "95%"
    assert top1.low < 340.5 / 360  # type: ignore[operator]
    assert (top5.usable, top5.remark) == (True, "warn: seed 0: a duplicate; seed 1: a duplicate")
    assert not ece.usable
    assert row.conditions["machine"] == factories.MACHINE
    assert [cell.kind for cell in row.cells] == ["quality", "quality", "speed", "speed", "speed"]
    assert [cell.status for cell in results.cells] == ["ok"] * 5 + ["oom", "ok"]


def test_no_folder_of_this_machine_is_told(results: ExportedResults) -> None:
    assert results.cells[0].content["planned"]["data"]["title"] == "digits"
    assert "/cache/" not in str(results.cells[0].content)


def test_results_cannot_be_changed(results: ExportedResults) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        results.rank_by = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        results.rows[0].values["top1"] = None  # type: ignore[index]


def test_what_is_large_is_read_when_asked_for(results: ExportedResults) -> None:
    first, second = results.cells[:2]
    answers = first.answers()
    assert answers is not None
    assert answers.right.sum() == 15
    (picture,) = first.pictures()
    assert (picture.figure, picture.title, picture.png[:4]) == ("filters", "Filters", b"\x89PNG")
    assert list(second.pictures()) == []
    assert results.cells[2].answers() is None


def test_a_second_export_replaces_its_own_files_and_no_others(results: ExportedResults, tmp_path: Path) -> None:
    def first(output: Path) -> None:
        (output / "sub").mkdir()
        (output / "sub" / "old.txt").write_text("1")
        (output / "same.txt").write_text("1")

    made = write_export(offer(first), results, tmp_path / "out", {})
    assert [path.name for path in made.paths] == ["same.txt", "old.txt"]
    again = offer(lambda output: (output / "same.txt").write_text("2") and None)
    assert [path.name for path in write_export(again, results, tmp_path / "out", {}).paths] == ["same.txt"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["same.txt", LIST_NAME]
    (tmp_path / "out" / "same.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"same\.txt was changed since it was exported"):
        write_export(again, results, tmp_path / "out", {})
    write_export(again, results, tmp_path / "out", {}, force=True)
    assert (tmp_path / "out" / "same.txt").read_text() == "2"


def test_a_folder_of_others_is_left_alone(results: ExportedResults, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    write = offer(lambda output: (output / "a").write_text("2") and None)
    with pytest.raises(UsageError, match=r"holds other files, such as thesis\.tex; choose another --output, or"):
        write_export(write, results, tmp_path, {})
    assert [path.name for path in write_export(write, results, tmp_path, {}, force=True).paths] == ["a"]
    assert (tmp_path / "thesis.tex").read_text() == "x"


def breaks(output: Path) -> None:
    raise KeyError("what")


@pytest.mark.parametrize(
    ("write", "error", "words"),
    [
        (
            lambda output: (output / "link").symlink_to("/etc/passwd"),
            UnusableError,
            "is a link or a device, not a file",
        ),
        (lambda output: ["Left out: all."], UsageError, r"there is nothing that mine/it could export\. Left out: all"),
        (
            lambda output: None,
            UnusableError,
            "mine/it wrote no file into its folder; `write` must write below `output`",
        ),
        (breaks, UnusableError, "exporter mine/it failed: KeyError"),
        (lambda results: 3, UnusableError, "write must return notes"),
    ],
)
def test_what_an_exporter_may_not_do(
    results: ExportedResults, tmp_path: Path, write: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        write_export(offer(write), results, tmp_path / "out", {})


def test_results_without_a_good_cell_are_nothing_to_export(results: ExportedResults, tmp_path: Path) -> None:
    failed = dataclasses.replace(results, cells=tuple(cell for cell in results.cells if cell.status != "ok"))
    with pytest.raises(UsageError, match="there is nothing that mine/it could export"):
        write_export(offer(lambda output: None), failed, tmp_path / "out", {})


def failed_alone(folder: Path) -> None:
    planned = factories.quality_cell()
    with Store.open(folder, create=True) as store:
        run = store.begin_run(command="", version="0", suite="", environment=factories.environment(), rank_by="top1")
        store.plan(run, [planned])
        store.append(factories.record(planned, status="oom", reason="out of memory", run=run))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["timm-cvs", "{good}"], 2, 'unknown exporter "timm-cvs". Did you mean "timm-csv"?'),
        (["timm-csv:decimals=3", "{good}"], 2, 'has no option "decimals"'),
        (["timm-csv", "{empty}"], 4, "contains no results; give the folder that vitbench run wrote to"),
        (["timm-csv", "{failed}"], 2, "has nothing to export: no cell succeeded; see `vitbench show"),
        (["hugging-face:datasets=digits", "{good}"], 2, 'needs NAME:OWNER/NAME, not "digits"'),
        (["hugging-face:datasets=mnist:a/b", "{good}"], 2, 'no results on "mnist"; there are those on digits'),
    ],
)
def test_bad_input_gets_one_line(
    folder: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed_alone(tmp_path / "failed")
    (tmp_path / "empty").mkdir()
    places = {"good": folder, "empty": tmp_path / "empty", "failed": tmp_path / "failed"}
    given = [each.format(**places) for each in arguments]
    monkeypatch.setattr(sys, "argv", ["vitbench", "export", *given, "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert (ended.value.code, len(lines)) == (code, 1)
    assert words in lines[0]


def test_paths_go_to_stdout_and_notes_to_stderr(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vitbench", "export", "timm-csv", str(folder), "--output", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    names = ["benchmark-infer.csv", "benchmark-train.csv", "results-digits.csv"]
    assert said.out.splitlines() == [str(tmp_path / name) for name in names]
    assert said.err == ""


def test_a_missing_library_is_named_with_its_command(results: ExportedResults, folder: Path, tmp_path: Path) -> None:
    from vitbench.catalog import Catalog
    from vitbench.exporting.export import export_results

    lacking = offer(lambda output: None, requires=("no_such_module",), install='pip install "vitbench[it]"')
    with pytest.raises(UnusableError, match=r'needs the module no_such_module, .* pip install "vitbench\[it\]"'):
        export_results(folder, "it", Catalog(exporters={"mine/it": lacking}), output=tmp_path)
