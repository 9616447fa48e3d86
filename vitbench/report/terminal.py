"""The leaderboard for a terminal of 100 columns, and what it says in words. Names come out without control characters.

In Unicode, or in plain ASCII with all other characters as escapes. Widths are those of the display: a wide character
takes two columns, a combining one none (https://www.unicode.org/reports/tr11/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitbench.leaderboard.leaderboard import Leaderboard
from vitbench.printable import plain
from vitbench.report.sentence import closing_sentences
from vitbench.report.tables import Section, missing, sections

__all__ = ["WIDTH", "render_terminal"]

WIDTH = 100
_NARROWEST_NAME = 12
_NARROWEST_HEAD = 8
_JOINT = re.compile(r"(?<=[/:,._ -])")
"""Where a long name may be broken: after a separator."""
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
"""Blocks that are written from right to left (https://www.unicode.org/reports/tr9/#Bidirectional_Character_Types)."""
_RIGHT_TO_LEFT_RUN = re.compile(f"[{_RIGHT_TO_LEFT}]+(?: [{_RIGHT_TO_LEFT}]+)*")
_LEFT_TO_RIGHT_MARK, _EN_DASH, _ELLIPSIS, _RULE = "\u200e", "\u2013", "\u2026", "\u2500"


def render_terminal(board: Leaderboard, *, unicode: bool = True) -> str:
    """Return the leaderboard as text tables and sentences, ending with a newline; in ASCII unless `unicode`."""
    parts = [_section(section, unicode) for section in sections(board, detailed=False)] or ["No results yet."]
    if board.failed:
        parts.append(_missing(board, unicode))
    parts += ["\n".join(_wrapped(sentence, unicode)) for sentence in closing_sentences(board)]
    text = "\n\n".join(parts) + "\n"
    # A terminal that orders its text by direction would else draw the figures after such a name into it.
    return _RIGHT_TO_LEFT_RUN.sub(rf"\g<0>{_LEFT_TO_RIGHT_MARK}", text)


def _section(section: Section, unicode: bool) -> str:
    names = [_shown(model, unicode) for model in section.models]
    table = _table(section, [[name] for name in names], unicode)
    excess = max(map(_width, table.splitlines())) - WIDTH
    if excess > 0:
        width = max(_NARROWEST_NAME, max(map(_width, names)) - excess)
        broken = [_broken(name, width) for name in names]
        table = _table(section, broken, unicode)
        excess = max(map(_width, table.splitlines())) - WIDTH
    if excess > 0:
        # A metric may be called anything; the notes have its whole name.
        heads = max(_width(_shown(text, unicode)) for column in section.figures for text in (column.title, column.unit))
        table = _table(section, broken, unicode, widest_head=max(_NARROWEST_HEAD, min(heads, WIDTH) - excess))
    lines = [*_wrapped(section.title, unicode), *_wrapped(section.conditions, unicode), "", table, ""]
    for note in section.notes:
        lines += _wrapped(note, unicode, hang="  ")
    return "\n".join(lines)


def _table(section: Section, names: Sequence[Sequence[str]], unicode: bool, *, widest_head: int = WIDTH) -> str:
    """Return a table in which a model's name may take several lines, and longer heads are cut."""
    from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

    ranks = [rank.replace("-", _EN_DASH) if unicode and len(rank) > 1 else rank for rank in section.ranks]
    # The heads are rows: tabulate pads real ones by two columns each. Units stand in the lower of the two.
    rows = [
        ["", "", *(_cut(_shown(column.title, unicode), widest_head, unicode) for column in section.figures)],
        ["rank", "model", *(_cut(_shown(column.unit, unicode), widest_head, unicode) for column in section.figures)],
        SEPARATING_LINE,
    ]
    for rank, (name, *more), *cells in zip(ranks, names, *(column.cells for column in section.figures), strict=True):
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
        colalign=["right", "left", *["right"] * len(section.figures)],
        # Else a model called 1e5 becomes 100000.
        disable_numparse=True,
    )


def _missing(board: Leaderboard, unicode: bool) -> str:
    count = len(board.failed)
    lines = [f"Without a result: {count} cell{'s' if count != 1 else ''}"]
    for entry in missing(board):
        lines += _wrapped(f"{entry.model}: {entry.status} ({entry.cells})", unicode, hang="  ")
        if entry.reason != entry.status:
            lines += _wrapped(entry.reason, unicode, indent="    ", hang="    ")
    return "\n".join(lines)


def _shown(text: str, unicode: bool) -> str:
    text = plain(text)
    return text if unicode else text.encode("ascii", "backslashreplace").decode()


def _width(text: str) -> int:
    from wcwidth import wcswidth

    return wcswidth(text)


def _cut(text: str, width: int, unicode: bool) -> str:
    if _width(text) <= width:
        return text
    dots = _ELLIPSIS if unicode else "..."
    while _width(text) > width - len(dots):
        text = text[:-1]
    return text + dots


def _wrapped(text: str, unicode: bool, *, indent: str = "", hang: str = "") -> list[str]:
    from wcwidth import wrap

    return wrap(_shown(text, unicode), WIDTH, initial_indent=indent, subsequent_indent=hang, break_on_hyphens=False)


def _broken(name: str, width: int) -> list[str]:
    """Break a name into lines of at most some width, after separators where it can."""
    from wcwidth import wrap

    lines = [""]
    for piece in _JOINT.split(name):
        if _width(lines[-1]) + _width(piece) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
    return [part for line in lines for part in wrap(line, width, break_on_hyphens=False) or [""]]
