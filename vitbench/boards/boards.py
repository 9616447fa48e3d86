"""The boards of a leaderboard, and those of an output folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vitbench.boards.board import Board
from vitbench.boards.joining import joined
from vitbench.boards.making import make_board
from vitbench.boards.statement import BoardStatement, read_board_statement
from vitbench.errors import StoreError
from vitbench.leaderboard.image_scores import Known, read_outcomes
from vitbench.leaderboard.leaderboard import Leaderboard, build, seed_outcomes
from vitbench.leaderboard.results import read_results
from vitbench.records import Record, newest_by_id
from vitbench.store import Store

__all__ = ["board_statement", "boards_beside", "boards_of", "make_boards", "read_boards"]


def read_boards(folder: Path) -> tuple[Board, ...]:
    """Return the boards of an output folder; none where no condition has rows on more than one dataset.

    Raises:
        StoreError: it is missing, unreadable or from another version.
    """
    records, leaderboard = read_results(folder)
    with Store.open(folder, create=False) as store:
        return boards_of(store, leaderboard, records)


def boards_beside(store: Store, leaderboard: Leaderboard, records: Sequence[Record]) -> tuple[Board, ...]:
    """Return the boards that stand beside a leaderboard: none beside a part of it, since a score is of all datasets.

    The arguments are those of `boards_of`.
    """
    several = len({row.condition.dataset for row in leaderboard.rows}) > 1
    shown = several and not (leaderboard.hidden or leaderboard.where)
    return boards_of(store, leaderboard, records) if shown else ()


def boards_of(store: Store, leaderboard: Leaderboard, records: Sequence[Record]) -> tuple[Board, ...]:
    """Return the boards of an open store.

    Args:
        store: where the suites are, and the scores of single images.
        leaderboard: of the whole store or a part of it, which then is completed: what is not shown is not missing.
        records: all attempts, the newest last.
    """
    rank_by = leaderboard.rank_by
    whole = leaderboard
    if leaderboard.hidden:
        whole = build(records, store.pending(), rank_by, elsewhere=store.elsewhere())
    return make_boards(
        whole,
        newest_by_id(records),
        lambda record: read_outcomes(store.scores_path(record.key), rank_by),
        board_statement(store),
    )


def board_statement(store: Store) -> BoardStatement | None:
    """Return what the newest suite states that states groups or a score."""
    for run in reversed(store.runs()):
        try:
            text = store.blob(run.suite).decode()
        except StoreError:  # damaged
            continue
        statement = read_board_statement(text) if text else None
        if statement is not None and statement.any:
            return statement
    return None


def make_boards(
    leaderboard: Leaderboard,
    newest: Mapping[str, Record],
    outcomes: Callable[[Record], Known | None],
    statement: BoardStatement | None = None,
) -> tuple[Board, ...]:
    """Return the boards of a leaderboard, in the order of its conditions.

    Args:
        leaderboard: all rows and all failures.
        newest: the newest attempt at each cell, by id.
        outcomes: gives what is stored of single images behind a record's `rank_by`, where it is known. Each record is
            asked for once at most.
        statement: of the suite whose datasets, groups and score count; None: the mean over all datasets that have rows.
    """
    made = (
        make_board(
            one,
            leaderboard.rank_by,
            lambda row: seed_outcomes(row, newest, leaderboard.rank_by, outcomes),
            statement,
            tested=not one.condition.partial,
        )
        for one in joined(leaderboard, newest, statement)
    )
    return tuple(board for board in made if board is not None)
