"""Which images a text means."""

from __future__ import annotations

from pathlib import Path

import pytest
from vitbench.picking.locating import Place, place_of

from vitbench.catalog import load_catalog
from vitbench.errors import UnusableError

CATALOG = load_catalog()


def test_datasets_go_before_folders_which_a_path_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "my photos"):
        (tmp_path / name).mkdir()
    assert place_of("digits", CATALOG) == Place(dataset="digits", data={})
    assert place_of("digits:train_images=50", CATALOG) == Place(dataset="digits:train_images=50", data={})
    assert place_of("./digits", CATALOG) == Place(dataset="my-digits", data={"my-digits": "digits"})
    assert place_of("my photos", CATALOG) == Place(dataset="my-photos", data={"my-photos": "my photos"})
    assert place_of("pets=/data/pets", CATALOG) == Place(dataset="pets", data={"pets": "/data/pets"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digit", 'neither a directory nor an installed dataset. Did you mean "digits"'),
        ("./none", "neither"),
        ("file", "is not a directory"),
    ],
)
def test_what_is_neither_is_refused(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UnusableError, match=words):
        place_of(text, CATALOG)
