"""A results folder, read once, and which of its rows a name means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from vitbench.catalog.options import complete_options, parse_model
from vitbench.errors import UsageError, VitbenchError, did_you_mean
from vitbench.leaderboard.rows import Condition, Row
from vitbench.leaderboard.selecting import dataset_names
from vitbench.records import KeyedCell, QualityCell, Record, newest_by_id
from vitbench.specs import Option

if TYPE_CHECKING:
    from vitbench.boards.statement import BoardStatement
    from vitbench.leaderboard.leaderboard import Failure, Leaderboard

__all__ = ["Folder", "NoDataError", "in_words", "open_folder"]


class NoDataError(VitbenchError):
    """There is nothing to compare: a model is missing, or has no result."""

    exit_code = 11


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """What a results folder holds."""

    path: Path
    board: Leaderboard
    newest: Mapping[str, Record]
    """The newest attempt at each cell, by id."""
    scores: Callable[[str], Path]
    """Gives the place of the scores behind a cell's measurements by its key."""
    statement: BoardStatement | None = None
    """What its newest suite states of boards; None: nothing."""

    def names(self) -> list[str]:
        """Return what the models are called in the table, those without any result too."""
        return list(dict.fromkeys([row.model for row in self.board.rows] + [each.model for each in self.board.failed]))

    def planned(self, row: Row) -> KeyedCell:
        """Return a cell of a row."""
        return self.newest[row.ids[0]].planned

    def failures(self, label: str, condition: Condition) -> list[Failure]:
        """Return the cells of a model that have no result, of those on a condition's dataset and of speed.

        They are computed as the condition says; machine, device and threads are of no account here.
        """
        return [
            each
            for each in self.board.failed
            if each.model == label and each.dataset in ("", condition.dataset) and _is_like(each.planned, condition)
        ]

    def rows(self, name: str, *, dataset: str | None = None, device: str | None = None) -> list[Row]:
        """Return the rows of one model, at least one.

        Args:
            name: as in the table, with or without the recipe in brackets; or a full or short name with options.
            dataset: title of the one dataset that counts, or the name that it is asked for by.
            device: the one device that counts.

        Raises:
            UsageError: several models are meant.
            NoDataError: there is no such model, or it has no such result.
        """
        rows = [row for row in self.board.rows if name in (row.model, f"{row.model} [{row.recipe}]")]
        failed = [each for each in self.board.failed if each.model == name]
        if failed and not rows:
            raise NoDataError(f'"{name}" has no result in {self.path}: {in_words(failed)}.')
        rows = rows or [row for row in self.board.rows if self._is_meant(row, name)]
        meant = list(dict.fromkeys(row.model for row in rows))
        if len(meant) > 1:
            raise UsageError(f'"{name}" matches several models of {self.path}: {", ".join(meant)}.')
        if not meant:
            hint = did_you_mean(name, self.names()) or f" See vitbench leaderboard {quote(str(self.path))}."
            raise NoDataError(f'{self.path} has no model "{name}".{hint}')
        found = [row for row in rows if self._fits(row, dataset) and device in (None, row.condition.device)]
        if not found:
            conditions = [row.condition for row in rows]
            places = dict.fromkeys(f"{each.judged_on or 'no dataset'} on {each.device}" for each in conditions)
            raise NoDataError(f'"{name}" has no such result in {self.path}; it has {", ".join(places)}.')
        return found

    def _is_meant(self, row: Row, name: str) -> bool:
        cell = self.planned(row).cell
        asked, options = parse_model(name)
        if asked not in (cell.model, cell.model.partition("/")[2]):
            return False
        # As they are stored: what takes none, or several and has none, shows no type.
        declared = {
            name: Option(value, type="" if value not in (None, ()) else "str") for name, value in cell.options.items()
        }
        return complete_options(f'model "{asked}"', declared, options) == cell.options

    def _fits(self, row: Row, dataset: str | None) -> bool:
        return dataset is None or dataset in dataset_names(row, self.newest)


def _is_like(planned: KeyedCell, condition: Condition) -> bool:
    names = ["precision", "compile", "channels_last"]
    names += ["limit", "epochs", "budget", "split"] if isinstance(planned.cell, QualityCell) else []
    return all(getattr(planned.cell, name) == getattr(condition, name) for name in names)


def in_words(failures: Sequence[Failure]) -> str:
    """Return what has no result, and why."""
    return "; ".join(
        f"{each.detail}: {each.status}" + (f", {each.reason}" if each.reason != each.status else "")
        for each in failures
    )


def open_folder(path: Path) -> Folder:
    """Read a results folder.

    Raises:
        StoreError: it is missing, unreadable or of another version, or contains no run.
    """
    from vitbench.boards.boards import board_statement
    from vitbench.leaderboard.results import read_results
    from vitbench.store import Store

    records, board = read_results(path)
    with Store.open(path, create=False) as store:
        return Folder(
            path=path,
            board=board,
            newest=newest_by_id(records),
            scores=store.scores_path,
            statement=board_statement(store),
        )
