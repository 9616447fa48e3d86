"""Leaderboards as text, pictures and a page: pure functions of rows and records, one module for each format.

Names of models, data sets and machines come from anywhere. In every format they come out as text: no escape sequence
reaches a terminal, no tag or table border a page, no formula a spreadsheet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vitbench.leaderboard.leaderboard import Leaderboard

__all__ = ["Format", "render"]

Format = Literal["table", "md", "csv", "json", "latex"]


def render(board: Leaderboard, kind: Format, *, unicode: bool = True) -> str:
    """Return a leaderboard as text that ends with a newline; a table in plain ASCII unless `unicode`."""
    if kind == "json":
        from vitbench.report.json_object import render_json

        return render_json(board)
    if kind == "csv":
        from vitbench.report.csv_table import render_csv

        return render_csv(board)
    if kind == "md":
        from vitbench.report.markdown import render_markdown

        return render_markdown(board)
    if kind == "latex":
        from vitbench.report.latex import render_latex

        return render_latex(board)
    from vitbench.report.terminal import render_terminal

    return render_terminal(board, unicode=unicode)
