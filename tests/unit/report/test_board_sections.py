from __future__ import annotations

from typing import Any

from factories import condition

from vitbench.boards.board import Board, BoardDataset, BoardPair, BoardRow, BoardValue, Decides, MissingValue
from vitbench.boards.over_datasets import over_datasets
from vitbench.records import Style
from vitbench.report.board_sections import board_sections, rank_text
from vitbench.report.terminal import render_terminal
from vitbench.statistics import Estimate
