"""Which models are meant, and that vitbench's own list says what it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.catalog import load_catalog
from vitbench.errors import UsageError
from vitbench.picking.candidates import listed
from vitbench.planning.suite_file import read_suite
from vitbench.settings import PICK_SUITE

CATALOG = load_catalog()
SUITE = """
name = "mine"
summary = "x"
[[models]]
name = "scratch/vit"
label = "a"
[[models]]
name = "scratch/vit"
options = { depth = 2 }
[[models]]
name = "scratch/vit"
label = "given"
needs = ["checkpoint"]
[[models]]
name = "baseline/majority"
"""


def test_a_file_lists_models_and_names_choose_among_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE, encoding="utf-8")
    found = listed([str(path)], CATALOG)
    assert (found.suite, found.names, found.named) == (str(path), ("a", "scratch/vit:depth=2"), False)
    found = listed([str(path), "a", "timm/resnet18", "a"], CATALOG)
    assert (found.suite, found.names, found.named) == (str(path), ("a", "timm/resnet18"), True)
    assert listed(["vit"], CATALOG).suite == PICK_SUITE


def test_two_files_and_an_empty_list_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nsummary = "x"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="lists no model"):
        listed([str(path)], CATALOG)
    with pytest.raises(UsageError, match="takes one suite file, not 2"):
        listed(["a.toml", "b.toml"], CATALOG)


def test_the_list_of_vitbench_says_the_licence_of_all_weights_that_it_fetches() -> None:
    suite = read_suite(Path(CATALOG.suite(PICK_SUITE).spec.path))
    assert all(entry.licence for entry in suite.models if entry.name.startswith("timm/"))
    assert listed([], CATALOG).names == tuple(entry.name for entry in suite.models)
