"""Two models compared over the datasets that they share: their board of two rows, and what it says of the second.

The board is made as any other (vitbench/boards/): the same scores, paired bootstrap and tests. Its rows are called A
and B. Of several boards, as of all models of two folders, Holm's correction runs over all that are tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from vitbench.boards.board import Board, BoardPair, BoardRow, OverPair
from vitbench.boards.joining import NOT_ASKED, Column, Contestant, Joined, joined
from vitbench.boards.making import make_board
from vitbench.comparing.contrast import Contrast
from vitbench.comparing.folder import Folder
from vitbench.comparing.speed_ratio import Judgement
from vitbench.leaderboard.image_scores import Known, read_outcomes
from vitbench.leaderboard.leaderboard import seed_outcomes
from vitbench.leaderboard.paired import LEVEL
from vitbench.leaderboard.rows import Row
from vitbench.statistics import holm

__all__ = ["BoardContrast", "compared_boards"]

_OTHER_IMAGES = "A and B were judged on different images"


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardContrast:
    """The second of two models, compared with the first over several datasets."""

    first: str
    """What tables call the first model."""
    second: str
    board: Board
    """Of two rows, called A and B."""
    finding: Judgement
    """What the second is over these datasets; "no data" where a score is missing."""
    reasons: tuple[str, ...] = ()
    """Why the scores are not compared; empty where they are."""
    level: float = LEVEL
    """The largest p-value that counts."""
    together: int = 1
    """Boards that are judged together, this one among them."""

    def row(self, side: str) -> BoardRow:
        """Return the row of ``A`` or ``B``."""
        return next(row for row in self.board.rows if row.label == side)

    @property
    def pair(self) -> BoardPair | None:
        """B - A, whichever is better; None where the scores are not compared."""
        if self.reasons:
            return None
        [pair] = self.board.pairs
        if pair.first == "B":
            return pair
        low, high = (None if end is None else -end for end in (pair.high, pair.low))
        return replace(pair, first="B", second="A", difference=-pair.difference, low=low, high=high)

    @property
    def over(self) -> OverPair | None:
        """Wins, losses and the signed-rank test of B over A; None where the scores are not compared."""
        if self.reasons or self.board.over_datasets is None:
            return None
        [pair] = self.board.over_datasets.pairs
        if pair.first == "B":
            return pair
        return replace(pair, first="B", second="A", wins=pair.losses, losses=pair.wins)


@dataclass(frozen=True, slots=True)
class _Linked:
    """A model of each side, which have rows that can be compared."""

    sides: tuple[Joined, Joined]
    contestants: tuple[Contestant, Contestant]
    pairs: tuple[Contrast, ...]


def compared_boards(
    folders: tuple[Folder, Folder], pairs: Sequence[tuple[Row, Row, Contrast]], rank_by: str
) -> tuple[BoardContrast, ...]:
    """Return what the boards say of all models that were compared, in the order of their first pairs.

    Args:
        folders: A's and B's; twice the same one where two of its models are compared. A's suite decides on datasets,
            groups and score.
        pairs: rows of A's and B's leaderboards, and what comparing them came to.
        rank_by: the metric that scores are of.
    """
    found = [_board_contrast(folders, one, rank_by) for one in _linked(folders, [p for p in pairs if not p[2].unlike])]
    return tuple(_judged([each for each in found if each is not None]))


def _linked(folders: tuple[Folder, Folder], pairs: Sequence[tuple[Row, Row, Contrast]]) -> Iterator[_Linked]:
    """Yield each two models whose rows were paired: those with the most such rows, each once."""
    if not pairs:
        return
    statement = folders[0].statement
    first, second = (
        [(one, own) for one in joined(each.board, each.newest, statement) for own in one.contestants]
        for each in folders
    )
    candidates = []
    for (one, own), (other, theirs) in itertools.product(first, second):
        both = tuple(contrast for a, b, contrast in pairs if _has(own, a) and _has(theirs, b))
        if both:
            candidates.append(_Linked((one, other), (own, theirs), both))
    taken: list[_Linked] = []
    for each in sorted(candidates, key=lambda each: -len(each.pairs)):
        own, theirs = each.contestants
        if not any(own is other.contestants[0] or theirs is other.contestants[1] for other in taken):
            taken.append(each)
    order = [contrast for *_, contrast in pairs]
    yield from sorted(taken, key=lambda each: min(_place(order, contrast) for contrast in each.pairs))


def _has(contestant: Contestant, row: Row) -> bool:
    return any(each is row for each in contestant.rows)


def _place(contrasts: Sequence[Contrast], wanted: Contrast) -> int:
    return next(i for i, each in enumerate(contrasts) if each is wanted)


def _board_contrast(folders: tuple[Folder, Folder], linked: _Linked, rank_by: str) -> BoardContrast | None:
    """Return what the board of two models says; None where it is of one dataset, or there is none by this metric."""
    one = _of_two(linked, stated=folders[0].statement is not None)
    if len(one.columns) < 2:
        return None
    found: dict[int, tuple[Known, ...]] = {}

    def known(row: Row) -> tuple[Known, ...]:
        if id(row) not in found:
            folder = folders[0 if _has(one.contestants[0], row) else 1]
            found[id(row)] = seed_outcomes(
                row, folder.newest, rank_by, lambda record: read_outcomes(folder.scores(record.key), rank_by)
            )
        return found[id(row)]

    board = make_board(one, rank_by, known, folders[0].statement, tested=True)
    if board is None:
        return None
    contrast = BoardContrast(
        first=one.contestants[0].first.model,
        second=one.contestants[1].first.model,
        board=board,
        finding="no data",
    )
    missing = tuple(dict.fromkeys(_missing(contrast)))
    if missing:
        return replace(contrast, reasons=missing)
    [pair] = board.pairs
    if pair.p_value is None and folders[0] is not folders[1]:
        return replace(contrast, finding="not comparable", reasons=tuple(_unpaired(one, known)))
    alike = len(linked.pairs) == len(board.datasets) and all(
        each.finding == "same" for contrasts in linked.pairs for each in contrasts.quality if each.finding
    )
    return replace(contrast, finding="same" if alike else _finding(contrast, different=pair.different))


def _missing(contrast: BoardContrast) -> Iterator[str]:
    """Say which values a score is missing for, and why."""
    for side in "AB":
        for each in contrast.row(side).missing:
            if each.reason == _OTHER_IMAGES:
                yield f"{_OTHER_IMAGES} of {each.dataset}"
            else:
                yield f"{side} has no value on {each.dataset} ({each.reason})"


def _of_two(linked: _Linked, *, stated: bool) -> Joined:
    """Return what a board of two models is made of: of the datasets of either, where no suite states which.

    A dataset of which the two have different images, or another lineage, counts as missing.
    """
    sides = [
        {column.name: (column, row, reason) for column, row, reason in _cells(joined_, contestant)}
        for joined_, contestant in zip(linked.sides, linked.contestants, strict=True)
    ]
    columns: list[Column] = []
    rows: tuple[list[Row | None], list[Row | None]] = ([], [])
    reasons: tuple[list[str], list[str]] = ([], [])
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        cells = [side.get(name) for side in sides]
        there = [cell for cell in cells if cell is not None]
        with_rows = [cell for cell in there if cell[1] is not None]
        if not stated and all(cell[1] is None and cell[2] == NOT_ASKED for cell in there):
            continue
        columns.append((with_rows or there)[0][0])
        versions = {(cell[0].fingerprint, cell[0].lineage) for cell in with_rows}
        for side, cell in enumerate(cells):
            rows[side].append(cell[1] if cell and len(versions) < 2 else None)
            reasons[side].append(_OTHER_IMAGES if len(versions) > 1 else cell[2] if cell else NOT_ASKED)
    return Joined(
        condition=linked.sides[0].condition,
        columns=tuple(columns),
        contestants=tuple(
            Contestant(label=label, rows=tuple(own), reasons=tuple(why))
            for label, own, why in zip("AB", rows, reasons, strict=True)
        ),
        left_out=(),
    )


def _cells(one: Joined, contestant: Contestant) -> Iterator[tuple[Column, Row | None, str]]:
    return zip(one.columns, contestant.rows, contestant.reasons, strict=True)


def _unpaired(one: Joined, known: Callable[[Row], tuple[Known, ...]]) -> Iterator[str]:
    """Say on which datasets the scores of single images cannot be paired, and why."""
    for d, column in enumerate(one.columns):
        own = [known(row) if row is not None else () for row in (each.rows[d] for each in one.contestants)]
        lacking = [side for side, knowns in zip("AB", own, strict=True) if not knowns]
        if lacking:
            yield f"the scores of single images on {column.name} are not stored for {' and '.join(lacking)}"
        elif len({(type(each), each.images) for knowns in own for each in knowns}) > 1:
            yield f"{_OTHER_IMAGES} of {column.name}"


def _finding(contrast: BoardContrast, *, different: bool) -> Judgement:
    [pair] = contrast.board.pairs
    if not different:
        return "not resolved"
    return "better" if pair.first == "B" else "worse"


def _judged(found: Sequence[BoardContrast]) -> list[BoardContrast]:
    """Judge all boards with Holm's correction over those whose images are paired."""
    import numpy as np

    judged = list(found)
    p_values = {i: p for i, each in enumerate(found) if each.pair and (p := each.pair.p_value) is not None}
    if len(p_values) < 2:
        return judged
    values = np.array(list(p_values.values()))
    significant = holm(lambda level: values <= level, len(values), LEVEL)
    level = LEVEL / max(1, len(values) - int(significant.sum()))
    for i, holds in zip(p_values, significant.tolist(), strict=True):
        finding = found[i].finding if found[i].finding == "same" else _finding(found[i], different=holds)
        judged[i] = replace(found[i], finding=finding, level=level, together=len(values))
    return judged
