"""Boards in the text formats: nine datasets in two groups, one model without a score."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories as f
import pytest
from comparisons import quality, right, write

from vitbench.api import Results, boards_shown, load, rendered
from vitbench.boards.board import Board
from vitbench.report.board_sections import board_notes, board_sections
from vitbench.report.terminal_text import WIDTH, display_width

NAMES = [f"task-{letter}" for letter in "abcdefghi"]
SUITE = f"""name = "nine"
summary = "x"
datasets = {[f"d/{name}" for name in NAMES]!r}
score = "mean of groups"
[groups]
few = ["task-a"]
many = {NAMES[1:]!r}
""".replace("'", '"')


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    def part(label: str, name: str, correct: int) -> tuple[Any, Any]:
        return quality(label, right(correct), data=f.data_info(name))

    parts = [part("p4", name, 300 if name != "task-a" else 100) for name in NAMES]
    parts += [part("p8", name, 280 if name != "task-a" else 160) for name in NAMES]
    parts += [part("late", name, 399) for name in NAMES[:-1]]
    return load(write(tmp_path_factory.mktemp("nine"), *parts, suite=SUITE))


@pytest.fixture(scope="module")
def board(results: Results) -> Board:
    (board,) = results.boards()
    return board


def test_scores_stand_first_and_values_in_tables_of_few_columns(board: Board) -> None:
    scores, *values = board_sections([board])
    assert scores.title == "Board over nine: 9 datasets"
    assert scores.labels == ("p8", "p4", "late")
    columns = {column.title: column.cells for column in scores.columns}
    assert columns["score"] == ("55.0", "50.0", "missing")  # (160 + 280) / 800, (100 + 300) / 800
    assert columns["few"] == ("40.0", "25.0", "99.8")
    assert columns["many"] == ("70.0", "75.0", "missing")
    assert columns["mean"] == ("1.89", "1.11", "")
    assert scores.ranks == ("1", "2", "")
    shown = [column.title for section in values for column in section.columns]
    assert shown == NAMES
    assert max(len(section.columns) for section in values) <= 7
    assert values[-1].columns[-1].cells == ("70.0", "75.0", "missing")


def test_sentences_say_what_is_told_apart_by_images_and_by_datasets(board: Board) -> None:
    told = " ".join(board_notes(board))
    assert "the mean over 2 groups (few, many) of the mean top1 of each" in told
    assert "p8 is significantly ahead of p4, by 5.00 points" in told
    assert "without task-a p4 is ahead of p8" in told
    assert "late has no score, since values are missing: task-i (not asked for)." in told


def test_the_interval_of_a_lead_is_turned_as_the_lead_is(board: Board) -> None:
    """Where lower is better, the leader's difference is negative, and its sentence has neither sign."""
    pairs = tuple(replace(each, difference=-each.difference, low=-each.high, high=-each.low) for each in board.pairs)
    lower = replace(board, better="lower", pairs=pairs)
    (lead,) = [note for note in board_notes(board) if " ahead of " in note and "interval" in note]
    assert lead in board_notes(lower)


def test_each_format_has_the_board_and_a_part_of_the_leaderboard_has_none(results: Results) -> None:
    table = rendered(results, "table")
    assert table.startswith("Board over nine: 9 datasets\n")
    assert max(map(display_width, table.splitlines())) <= WIDTH
    assert rendered(results, "md").startswith("### Board over nine: 9 datasets\n")
    assert r"\caption{Board over nine: 9 datasets: " in rendered(results, "latex")
    (found,) = json.loads(rendered(results, "json"))["boards"]
    by_label = {row["label"]: row for row in found["rows"]}
    assert by_label["p8"]["values"]["task-a"]["value"] == pytest.approx(0.4)
    assert by_label["p8"]["group_scores"]["many"]["value"] == pytest.approx(0.7)
    assert by_label["late"]["score"] is None
    rows = list(csv.DictReader(io.StringIO(rendered(results, "csv"))))
    assert {row["score"] for row in rows if row["model"] == "p8"} == {"0.55"}
    assert {row["score"] for row in rows if row["model"] == "late"} == {""}
    assert boards_shown(load(results.folder, models=["p4"])) == ()


def test_a_folder_of_one_dataset_has_no_board_and_no_column_of_one(tmp_path: Path) -> None:
    one = load(write(tmp_path, quality("p4", right(300))))
    assert "score" not in rendered(one, "csv").splitlines()[0]
    assert json.loads(rendered(one, "json"))["boards"] == []
