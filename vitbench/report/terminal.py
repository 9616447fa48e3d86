"""The leaderboard for a terminal of 100 columns, and what it says in words. Names come out without control characters.

In Unicode, or in plain ASCII with all other characters as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

from vitbench.boards.board import Board
from vitbench.leaderboard.leaderboard import Leaderboard
from vitbench.report.board_sections import board_sections
from vitbench.report.sentence import closing_sentences
from vitbench.report.tables import Section, missing, missing_title, sections
from vitbench.report.terminal_text import EN_DASH, WIDTH, broken, cut, display_width, shown, wrapped
from vitbench.report.verdict_notes import Telling

__all__ = ["render_terminal"]

_NARROWEST_NAME = 12
_NARROWEST_HEAD = 8
_READABLE_HEAD = 16
"""To what heads are cut before a column is left out."""
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
"""Blocks that are written from right to left (https://www.unicode.org/reports/tr9/#Bidirectional_Character_Types)."""
_RIGHT_TO_LEFT_RUN = re.compile(f"[{_RIGHT_TO_LEFT}]+(?: [{_RIGHT_TO_LEFT}]+)*")
_LEFT_TO_RIGHT_MARK, _RULE = "\u200e", "\u2500"


def render_terminal(
    board: Leaderboard,
    *,
    unicode: bool = True,
    verdicts: Telling = "counted",
    boards: Sequence[Board] = (),
    folder: str = "DIR",
) -> str:
    """Return boards and leaderboard as text tables and sentences, ending with a newline; in ASCII unless `unicode`.

    `folder` is that of the results, for the command that lists all reasons.
    """
    command = f"vitbench leaderboard {folder if folder == 'DIR' else quote(folder)} --details"
    more = f"All reasons: `{command}`." if verdicts == "counted" else ""
    dash = EN_DASH if unicode else "-"
    shown_sections = board_sections(boards, dash=dash)
    shown_sections += sections(board, detailed=False, dash=dash, verdicts=verdicts, more=more)
    parts = [_section(section, unicode) for section in shown_sections] or ["No results yet."]
    if board.failed:
        parts.append(_missing(board, unicode))
    parts += ["\n".join(wrapped(sentence, unicode)) for sentence in closing_sentences(board)]
    text = "\n\n".join(parts) + "\n"
    # A terminal that orders its text by direction would else draw the numbers after such a name into it.
    return _RIGHT_TO_LEFT_RUN.sub(rf"\g<0>{_LEFT_TO_RIGHT_MARK}", text)


def _section(section: Section, unicode: bool) -> str:
    kept, table = _fitted(section, unicode)
    lines = [*wrapped(section.title, unicode), *wrapped(section.conditions, unicode), "", table, ""]
    notes = list(section.notes)
    if left_out := list(dict.fromkeys(column.metric for column in section.columns[kept:])):
        notes.append(f"Not shown for lack of room: {', '.join(left_out)}; see --format csv.")
    for note in notes:
        lines += wrapped(note, unicode, hang="  ")
    return "\n".join(lines).rstrip()


def _fitted(section: Section, unicode: bool) -> tuple[int, str]:
    """Return how many columns there is room for, and the table of these: the last are left out first.

    What a table is ranked by always stays.
    """
    fewest = sum(column.metric == section.columns[0].metric for column in section.columns) if section.columns else 0
    for count in range(len(section.columns), fewest, -1):
        table, fits = _narrowed(replace(section, columns=section.columns[:count]), unicode, _READABLE_HEAD)
        if fits:
            return count, table
    return fewest, _narrowed(replace(section, columns=section.columns[:fewest]), unicode, _NARROWEST_HEAD)[0]


def _narrowed(section: Section, unicode: bool, narrowest_head: int) -> tuple[str, bool]:
    """Return a table with names broken and heads cut where it would be too wide, and whether it fits now."""
    names = [shown(label, unicode) for label in section.labels]
    table = _table(section, [[name] for name in names], unicode)
    excess = _excess(table)
    if excess > 0:
        width = max(_NARROWEST_NAME, max(map(display_width, names)) - excess)
        split = [broken(name, width) for name in names]
        table = _table(section, split, unicode)
        excess = _excess(table)
    if excess > 0:
        # A metric may be called anything; the notes have its whole name.
        heads = max(display_width(shown(text, unicode)) for each in section.columns for text in (each.title, each.unit))
        table = _table(section, split, unicode, widest_head=max(narrowest_head, min(heads, WIDTH) - excess))
        excess = _excess(table)
    return table, excess <= 0


def _excess(table: str) -> int:
    return max(map(display_width, table.splitlines())) - WIDTH


def _table(section: Section, names: Sequence[Sequence[str]], unicode: bool, *, widest_head: int = WIDTH) -> str:
    """Return a table in which a model's name may take several lines, and longer heads are cut."""
    from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

    # The heads are rows: tabulate pads real ones by two columns each. Units stand in the lower of the two.
    rows = [
        ["", "", *(cut(shown(column.title, unicode), widest_head, unicode) for column in section.columns)],
        ["rank", "model", *(cut(_unit(column.unit, unicode), widest_head, unicode) for column in section.columns)],
        SEPARATING_LINE,
    ]
    for rank, (name, *more), *cells in zip(
        section.ranks, names, *(column.cells for column in section.columns), strict=True
    ):
        rows += [[rank, name, *cells], *(["", line, *[""] * len(cells)] for line in more)]
    rule, row = Line("", _RULE if unicode else "-", "  ", ""), DataRow("", "  ", "")
    return tabulate(
        rows,
        tablefmt=TableFormat(
            lineabove=rule,
            linebelowheader=None,
            linebetweenrows=None,
            linebelow=rule,
            headerrow=row,
            datarow=row,
            padding=0,
            with_header_hide=None,
        ),
        colalign=["right", "left", *["right"] * len(section.columns)],
        # Else a model called 1e5 becomes 100000.
        disable_numparse=True,
    )


def _unit(text: str, unicode: bool) -> str:
    return shown(text if unicode else text.replace("\u00b1", "+/-"), unicode)


def _missing(board: Leaderboard, unicode: bool) -> str:
    lines = [missing_title(board, counted=True)]
    for entry in missing(board):
        lines += wrapped(f"{entry.model}: {entry.status} ({entry.cells})", unicode, hang="  ")
        if entry.reason != entry.status:
            lines += wrapped(entry.reason, unicode, indent="    ", hang="    ")
    return "\n".join(lines)
