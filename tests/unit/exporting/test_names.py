from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitbench.exporting import file_name, file_names


@given(st.text())
def test_a_name_is_one_visible_component_of_any_path(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name) < 100
    assert not name.startswith(".")
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)


@pytest.mark.parametrize(("text", "name"), [("../../a", "a"), ("CON", "x-CON"), ("nul.txt", "x-nul.txt"), ("", "x")])
def test_what_means_something_means_nothing(text: str, name: str) -> None:
    assert file_name(text) == name


def test_no_two_texts_share_a_name() -> None:
    texts = ["vit:a", "VIT/a", "vit a", "other"]
    names = file_names(texts)
    assert names["other"] == "other"
    assert len({name.lower() for name in names.values()}) == len(texts)
