"""Which images a text means, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.catalog import Catalog, load_catalog
from vitbench.errors import UnusableError
from vitbench.planning.place import place_of


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for each in ("here/nette/val", "here/a=b:c", "here/digits"):
        (tmp_path / each).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("text", "dataset", "folder"),
    [
        ("cifar10:train_images=9", "cifar10:train_images=9", ""),
        ("datasets/digits", "datasets/digits", ""),
        ("mine=some/where", "mine", "some/where"),
        ("nette", "nette", "nette"),
        ("nette/val", "nette", "nette/val"),
        ("./nette/val/", "nette", "nette/val"),
        ("./a=b:c", "a-b-c", "a=b:c"),
        ("nette/..", "here", "nette/.."),
        ("digits", "digits", ""),
        ("./digits", "my-digits", "digits"),
    ],
)
def test_a_text_is_a_dataset_or_a_folder(text: str, dataset: str, folder: str, catalog: Catalog) -> None:
    place = place_of(text, catalog)
    assert (place.dataset, place.data) == (dataset, {dataset: folder} if folder else {})


def test_what_is_neither_is_refused(here: Path, catalog: Catalog) -> None:
    (here / "file").touch()
    for text, words in (
        ("digit", 'Did you mean "digits"'),
        ("file", "is not a directory"),
        ("./gone", "neither a dir"),
    ):
        with pytest.raises(UnusableError, match=words):
            place_of(text, catalog)
