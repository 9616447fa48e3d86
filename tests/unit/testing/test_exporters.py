"""Each check of exporters passes for a sound exporter, and fails for one that breaks its contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.exporting import ExportedResults, file_names
from vitbench.specs import ExporterSpec
from vitbench.testing import CheckFailed, ExporterCase, exporters


def sound(results: ExportedResults, output: Path) -> list[str]:
    names = file_names(cell.label for cell in results.cells)
    for cell in results.cells:
        lines = [f"{value.name} {value.value}" for value in cell.values.values() if value.usable]
        (output / names[cell.label]).write_text("\n".join(lines))
    return ["Left out: some invalid."]


def idle(output: Path) -> None:
    pass


def beside(output: Path) -> None:
    (output.parent / "stray").write_text("x")


def into_the_working_folder(output: Path) -> None:
    Path("stray").write_text("x")


def by_label(results: ExportedResults, output: Path) -> None:
    for cell in results.cells:
        (output / cell.label).write_text("x")


def linked(output: Path) -> None:
    (output / "link").symlink_to(output)


def shows_all(results: ExportedResults, output: Path) -> None:
    values = [value.value for cell in results.cells for value in cell.values.values()]
    (output / "all").write_text(str(values))


def needs_trainings(results: ExportedResults, output: Path) -> None:
    trainings = [cell for cell in results.cells if cell.kind == "quality"]
    (output / "first").write_text(trainings[0].label)


def wordy(output: Path) -> int:
    (output / "a").write_text("x")
    return 3


def case(write: Callable[..., object]) -> ExporterCase:
    return ExporterCase(spec=ExporterSpec(name="mine", write=write, summary="Mine"))


CHECKS = (
    exporters.check_exporter_writes,
    exporters.check_exporter_stays_in_its_folder,
    exporters.check_exporter_marks_what_is_invalid,
    exporters.check_exporter_takes_what_there_is,
)


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_exporter_passes(check: Callable[[ExporterCase], None]) -> None:
    check(case(sound))


@pytest.mark.parametrize(
    ("check", "write", "words"),
    [
        (exporters.check_exporter_writes, idle, "wrote no file into its folder .* it must write below `output`"),
        (exporters.check_exporter_writes, wordy, "return notes"),
        (exporters.check_exporter_stays_in_its_folder, beside, "left 'level/stray' outside its folder"),
        (exporters.check_exporter_stays_in_its_folder, into_the_working_folder, "left 'here/stray' outside"),
        (exporters.check_exporter_stays_in_its_folder, by_label, "outside its folder|write failed"),
        (exporters.check_exporter_stays_in_its_folder, linked, "made the link 'link'"),
        (exporters.check_exporter_marks_what_is_invalid, shows_all, "all shows an invalid value"),
        (exporters.check_exporter_takes_what_there_is, needs_trainings, "write failed of a timing alone: IndexError"),
    ],
)
def test_a_broken_one_fails(check: Callable[[ExporterCase], None], write: Callable[..., object], words: str) -> None:
    with pytest.raises(CheckFailed, match=words):
        check(case(write))
