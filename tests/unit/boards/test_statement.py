"""What a suite states about boards: its groups and its score are read, and faults in them are named."""

from __future__ import annotations

import pytest

from vitbench.boards.board import Score
from vitbench.boards.statement import group_faults, read_board_statement

DATASETS = ("d/x", "d/y:k=1", "z")


@pytest.mark.parametrize(
    ("groups", "score", "fault"),
    [
        ({}, "mean", None),
        ({"a": ["x", "d/y:k=1"]}, "mean", None),  # z is in no group
        ({"a": ["x", "y:k=1"], "b": ["z"]}, "mean of groups", None),
        ({"a": ["q"]}, "mean", ("groups.a", "names the dataset 'q', which this suite does not have. It has: ")),
        ({"a": ["x"], "b": ["d/x"]}, "mean", ("groups.b", "names 'd/x', which is in 'a' too")),
        ({"a": ["x", "d/x"]}, "mean", ("groups.a", "names 'd/x' twice")),
        ({"a": []}, "mean", ("groups.a", "is empty; name at least one dataset")),
        ({" ": ["x"]}, "mean", ("groups", "has a group without a name")),
        ({}, "mean of groups", ("score", '= "mean of groups" needs groups')),
        ({"a": ["x"]}, "mean of groups", ("score", '= "mean of groups" needs every dataset in a group; in none: y')),
    ],
)
def test_faults_of_groups_are_named(groups: dict[str, list[str]], score: Score, fault: tuple[str, str] | None) -> None:
    found = list(group_faults(groups, score, DATASETS))
    assert len(found) == (fault is not None)
    if fault is not None:
        assert (found[0][0], found[0][1][: len(fault[1])]) == fault


def test_what_a_stored_suite_states_is_read() -> None:
    text = 'name = "s"\nlater = 1\ndatasets = ["d/x", "z"]\nscore = "mean"\n[groups]\na = ["x"]\n'
    stated = read_board_statement(text)
    assert stated is not None
    assert (stated.any, stated.group_of("d/x"), stated.group_of("z")) == (True, "a", "")
    listed = read_board_statement('name = "s"\ndatasets = ["z"]')
    assert listed is not None
    assert not listed.any
    assert read_board_statement('name = "s"\nscore = "median"') is None
