"""Leaderboards as text, pictures and a page: pure functions of rows and records, one module for each format.

`vitbench.report.formats` lists the formats, `vitbench.report.plots.pictures` the pictures. Names of models, datasets
and machines come from anywhere. In every format they come out as text: no escape sequence reaches a terminal, no tag or
table border a page, no formula a spreadsheet.
"""

from vitbench.report.formats import render

__all__ = ["render"]
