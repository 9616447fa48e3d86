r"""The leaderboard as LaTeX tables with the rules of ``booktabs`` (https://ctan.org/pkg/booktabs), one a condition.

All text is escaped, so that any name compiles with pdfLaTeX and with every other engine: what TeX gives a meaning by a
command, accented Latin letters by their accent, other characters beyond ASCII as ``\uXXXX``. Ligatures are kept apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from vitbench.boards.board import Board
from vitbench.leaderboard.leaderboard import Leaderboard
from vitbench.printable import plain
from vitbench.report.board_sections import board_sections
from vitbench.report.sentence import closing_sentences
from vitbench.report.tables import Missing, Section, missing, missing_title, sections
from vitbench.report.verdict_notes import Telling

__all__ = ["render_latex"]

_HEAD = r"% Needs \usepackage{booktabs}; LaTeX before 2020 also \usepackage{textcomp}."
_COMMANDS = {
    **{character: f"\\{character}" for character in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    '"': r"\symbol{34}",
    "\u00b1": r"\textpm{}",
}
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u0307\u030a\u030b\u030c\u0327", "`'^~\"=u.rHvc", strict=True)
)
"""Combining characters, and the commands that put them on a letter in any font encoding."""


def render_latex(board: Leaderboard, *, verdicts: Telling = "counted", boards: Sequence[Board] = ()) -> str:
    """Return boards and leaderboard as LaTeX, ending with a newline."""
    shown = [*board_sections(boards, dash="--"), *sections(board, detailed=False, dash="--", verdicts=verdicts)]
    parts = [_section(section, number) for number, section in enumerate(shown, 1)]
    parts = [_HEAD, *(parts or ["No results yet."])]
    if board.failed:
        parts.append(_missing(missing(board), missing_title(board)))
    parts += map(escaped, closing_sentences(board))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    shown = unicodedata.normalize("NFC", plain(text))
    text = "".join(map(_character, shown))
    text = re.sub(r"([-,])(?=\1)", r"\1{}", text)  # else two are a dash, or a quotation mark
    return re.sub(r"(?<= ) |^ | $", r"\\ ", text)  # else several are one, and those at the ends none


def _character(character: str) -> str:
    if character.isascii() or character in _COMMANDS:
        return _COMMANDS.get(character, character)
    parts = unicodedata.normalize("NFD", character)
    letter, accent = parts[0], parts[1:]
    if letter.isascii() and letter.isalpha() and accent in _ACCENTS:
        return f"\\{_ACCENTS[accent]}{{{letter}}}"
    return _COMMANDS["\\"] + character.encode("unicode_escape").decode()[1:]


def _section(section: Section, number: int) -> str:
    heads = [
        ["", "", *(escaped(column.title) for column in section.columns)],
        ["rank", "model", *(escaped(column.unit) for column in section.columns)],
    ]
    cells = [map(escaped, column.cells) for column in section.columns]
    rows = zip(section.ranks, map(escaped, section.labels), *cells, strict=True)
    caption = escaped(f"{section.title}: {section.conditions}.")
    notes = [escaped(note) for note in section.notes]
    return _table("rl" + "r" * len(section.columns), heads, rows, caption, f"tab:vitbench-{number}", notes)


def _missing(entries: Sequence[Missing], title: str) -> str:
    rows = [map(escaped, (entry.model, entry.status, entry.cells, entry.reason)) for entry in entries]
    heads = [["model", "status", "cells", "reason"]]
    return _table(r"llp{.2\linewidth}p{.4\linewidth}", heads, rows, f"{title}.", "tab:vitbench-missing", [])


def _table(
    columns: str,
    heads: Iterable[Iterable[str]],
    rows: Iterable[Iterable[str]],
    caption: str,
    label: str,
    notes: Sequence[str],
) -> str:
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{{label}}}"]
    lines += [r"\small", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *map(_line, heads), r"\midrule"]
    lines += [*map(_line, rows), r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize"]
        lines += [*(f"{note}\\par" for note in notes), r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"])


def _line(cells: Iterable[str]) -> str:
    # A rule, or the end of the line before, would take what begins so for its argument.
    return re.sub(r"^(?=[\[*])", "{}", " & ".join(cells)) + r" \\"
