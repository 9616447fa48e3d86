"""What a suite states is read, and a statement about nothing in the suite is refused at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.errors import UsageError
from vitbench.findings.statements import Claim, read_statements, rows_meant
from vitbench.planning.suite_file import parse_suite

SUITE = """
name = "mine"
summary = "two patch sizes"
datasets = ["datasets/cifar10:train_images=500", "digits"]
[[models]]
name = "scratch/vit-p4-d8"
published = { digits = 71.9 }
[[models]]
name = "scratch/vit"
options = { depth = 2 }
[[models]]
name = "scratch/vit"
label = "deep"
"""
CLAIM = '[[claims]]\nname = "depth"\ntext = "Deep is better"\nrows = ["deep"]\n'


@pytest.mark.parametrize("row", ["scratch/vit-p4-d8", "vit-p4-d8", "scratch/vit:depth=2", "vit:depth=2"])
def test_a_claim_names_rows_by_label_or_by_model(row: str) -> None:
    text = SUITE + CLAIM + f'against = ["{row}"]\ndatasets = ["digits", "cifar10:train_images=500"]\n'
    wanted = Claim(
        name="depth",
        text="Deep is better",
        rows=("deep",),
        against=(row,),
        datasets=("digits", "cifar10:train_images=500"),
    )
    assert parse_suite(text, Path("mine.toml")).claims == (wanted,)
    stated = read_statements(text)
    assert stated is not None
    assert (stated.claims, stated.models[0].published, stated.any) == ((wanted,), {"digits": 71.9}, True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('against = ["vit-p4-d9"]', "`claims[0].against` names the model 'vit-p4-d9', which this suite does not have."),
        ('against = ["vit-p4-d9"]', 'Did you mean "scratch/vit-p4-d8"?'),
        ('against = ["scratch/vit"]', "`claims[0].against` names 'scratch/vit', which matches 2 models of this suite"),
        ("against = []", "`claims[0].against` is empty"),
        ("", "the key `claims[0].against` is missing"),
        ('against = ["deep"]', "`claims[0]` compares 'deep' with itself"),
        ('against = ["vit-p4-d8", "scratch/vit-p4-d8"]', "`claims[0]` names 'scratch/vit-p4-d8' twice"),
        ('against = ["vit-p4-d8"]\nrelation = "worse"', "`claims[0].relation`: invalid enum value 'worse'"),
        ('against = ["vit-p4-d8"]\nrelation = "equal"', "`claims[0].margin` must be above 0"),
        ('against = ["vit-p4-d8"]\nmargin = 2', '`claims[0].margin` goes with the relation "equal" only'),
        ('against = ["vit-p4-d8"]\nmargins = 2', 'unknown key `claims[0].margins`. Did you mean "margin"?'),
        ('against = ["vit-p4-d8"]\ndatasets = ["cifar10"]', "`claims[0].datasets` names the dataset 'cifar10'"),
        (f'against = ["vit-p4-d8"]\n{CLAIM}against = ["vit-p4-d8"]', "`claims[1].name` repeats 'depth'"),
        ('against = ["vit-p4-d8"]\n[[models]]\nname = "x"\npublished = {digit = 1}', "`models[3].published` names the"),
        ('against = ["vit-p4-d8"]\n[[models]]\nname = "x"\nneeds = ["checkpoint"]', "`models[3].label` is missing"),
    ],
)
def test_a_wrong_statement_is_refused_in_a_sentence(more: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_suite(SUITE + CLAIM + more, Path("mine.toml"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(("?.", ".."))


@pytest.mark.parametrize("text", ["name = ", 'name = "a"\nclaims = 1', 'summary = "a suite without a name"'])
def test_a_stored_text_that_cannot_be_read_states_nothing(text: str) -> None:
    assert read_statements(text) is None


@pytest.mark.parametrize(
    ("place", "rows", "meant"),
    [
        (1, [("scratch/vit", "scratch/vit"), ("scratch/vit:depth=2", "scratch/vit")], [1]),
        (1, [("scratch/vit", "scratch/vit"), ("deep", "scratch/vit"), ("scratch/vit:width=9", "scratch/vit")], [0]),
        (0, [("scratch/vit-p4-d8:depth=1", "scratch/vit-p4-d8"), ("another's", "scratch/vit-p4-d8")], []),
        (2, [("deep", "other/net"), ("scratch/vit", "scratch/vit")], []),
        (2, [("deep", "other/net"), ("deep", "scratch/vit")], [1]),
    ],
)
def test_a_name_means_no_other_row_of_the_same_model(place: int, rows: list[tuple[str, str]], meant: list[int]) -> None:
    """The second: an option that has its default is not in what tables call a row."""
    stated = read_statements(SUITE)
    assert stated is not None
    assert rows_meant(place, stated.models, rows) == meant
