"""The leaderboard in GitHub's Markdown (https://github.github.com/gfm/); names are escaped and mean nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vitbench.boards.board import Board
from vitbench.leaderboard.leaderboard import Leaderboard
from vitbench.printable import plain
from vitbench.report.board_sections import board_sections
from vitbench.report.sentence import closing_sentences
from vitbench.report.tables import Section, missing, missing_title, sections
from vitbench.report.verdict_notes import Telling

__all__ = ["escaped", "render_markdown"]

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;", ":": "&#58;", ".": "&#46;"}
"""HTML, mentions and links: entities, since GitHub looks for the latter after it has dropped backslashes."""
_LINKED = re.compile(r"[&<>@#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_SPECIAL = re.compile(r"[\\`*|\[\]~$!]|(?<![^\W_])_|_(?![^\W_])|^[-+=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]")
"""What Markdown gives a meaning, some only where a line begins; an underscore between letters or digits has none."""


def render_markdown(board: Leaderboard, *, verdicts: Telling = "counted", boards: Sequence[Board] = ()) -> str:
    """Return boards and leaderboard as Markdown, ending with a newline."""
    shown = [*board_sections(boards), *sections(board, detailed=True, verdicts=verdicts)]
    parts = [_section(section) for section in shown] or ["No results yet."]
    if board.failed:
        rows = [[entry.model, entry.status, entry.cells, entry.reason] for entry in missing(board)]
        cells = [[escaped(text) for text in row] for row in rows]
        table = _table(["model", "status", "cells", "reason"], cells, ["left"] * 4)
        parts.append(f"### {missing_title(board)}\n\n{table}")
    parts += map(escaped, closing_sentences(board))
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> str:
    titles = [" ".join(filter(None, (column.title, column.unit))) for column in section.columns]
    names = [escaped(label) for label in section.labels]
    rows = zip(section.ranks, names, *(column.cells for column in section.columns), strict=True)
    align = ["right", "left", *["right"] * len(titles)]
    notes = "\n".join(f"- {escaped(note)}" for note in section.notes)
    heading = f"### {escaped(section.title)}\n\n{escaped(section.conditions)}"
    table = _table(["rank", "model", *map(escaped, titles)], rows, align)
    return f"{heading}\n\n{table}\n\n{notes}".rstrip()


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]) -> str:
    from tabulate import tabulate

    return tabulate(list(rows), headers=titles, tablefmt="pipe", colalign=align, disable_numparse=True)


def escaped(text: str) -> str:
    """Return text that means nothing in Markdown, on one line, in a table too."""
    text = _SPECIAL.sub(lambda match: "\\" + match[0], plain(text).strip())
    return _LINKED.sub(lambda match: _ENTITIES[match[0]], text)
