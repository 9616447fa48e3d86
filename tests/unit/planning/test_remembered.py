"""A plan is kept for the next run, and is not taken where anything that it rests on may be another."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.catalog import Plugin, load_catalog, select_plugins
from vitbench.errors import UnusableError
from vitbench.planning import remembered
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.remembered import FILE_NAME, grounds_of, recall, remember
from vitbench.planning.suite import Conditions
from vitbench.records import PluginOrigin

PLUGIN = "import helper_of_mine\nimport vitbench\n"


def prepared(**fields: object) -> Prepared:
    usual = {"cells": (factories.quality_cell(),), "environment": factories.environment(), "roots": ()}
    return Prepared(**usual | fields)


# What it rests on


@pytest.fixture
def grounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Tell the grounds of a request, with a plugin file and a helper module that it imports."""
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "helper_of_mine.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "helpers"))
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    # What is not tried here is long to hash.
    monkeypatch.setenv("VITBENCH_PLUGINS", "suites")

    def found(**conditions: object) -> str:
        plugins = select_plugins([tmp_path / "mine.py"])
        request = PrepareRequest(cells=(), conditions=Conditions(**conditions), plugins=plugins)
        sys.modules.pop("mine", None)
        return grounds_of(request, load_catalog(plugins))

    yield found
    sys.modules.pop("mine", None)
    sys.modules.pop("helper_of_mine", None)


def test_each_change_gives_other_grounds(
    grounds: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Callable[[], object]] = {
        "plugin": lambda: (tmp_path / "mine.py").write_text(PLUGIN + "# edited"),
        "helper": lambda: (tmp_path / "helpers" / "helper_of_mine.py").write_text("# edited"),
        "package": lambda: (tmp_path / "helpers" / "other-2.dist-info").mkdir(),
        "variable": lambda: monkeypatch.setenv("MKL_CBWR", "COMPATIBLE"),
        "folder": lambda: monkeypatch.chdir("/"),
        "python": lambda: monkeypatch.setattr(sys, "version", f"9{sys.version}"),
        "machine": lambda: monkeypatch.setattr(remembered, "describe", lambda _: factories.environment()),
        "gpu": lambda: monkeypatch.setattr(remembered, "uuids", lambda: ["H100"]),
        "vitbench": lambda: monkeypatch.setattr(remembered, "hash_of_files", lambda _: "edited"),
    }
    found = [grounds()]
    assert found == [grounds()]
    for name, change in changes.items():
        change()
        found.append(grounds())
        assert found[-1] not in ("", *found[:-1]), name


def test_what_is_asked_counts_and_the_terminal_does_not(
    grounds: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = grounds()
    assert grounds(epochs=1) != before
    monkeypatch.setenv("COLUMNS", "11")
    assert grounds() == before


def test_code_that_cannot_be_read_gives_no_grounds(
    grounds: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: Plugin) -> PluginOrigin:
        raise UnusableError("its source cannot be read")

    monkeypatch.setattr(remembered, "origin", unreadable)
    assert grounds() == ""


# What is kept


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a file in a folder."""
    root = tmp_path / "data"
    (root / "cats").mkdir(parents=True)
    (root / "cats" / "1.png").write_text("one")
    return root


def test_a_plan_is_found_again_on_its_grounds_alone(tmp_path: Path, data: Path) -> None:
    plan = prepared(roots=(str(data), str(tmp_path / "absent")))
    assert recall(tmp_path, "grounds") is None
    remember(tmp_path, plan, grounds="grounds", asked=time.time() + 1)
    assert recall(tmp_path, "grounds") == plan
    assert recall(tmp_path, "others") is None
    assert recall(tmp_path, "") is None
    (tmp_path / FILE_NAME).write_bytes((tmp_path / FILE_NAME).read_bytes()[:-1])
    assert recall(tmp_path, "grounds") is None


def rewritten(path: Path) -> None:
    """Write other bytes of the same length, and put the time of modification back."""
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: rewritten(root / "cats" / "1.png"),
        lambda root: (root / "cats" / "2.png").write_text(""),
        lambda root: (root / "cats" / "1.png").unlink(),
        lambda root: (root / "dogs").mkdir(),
        lambda root: root.rename(root.with_name("gone")),
    ],
    ids=["rewritten", "added", "removed", "a class", "moved"],
)
def test_data_that_changed_since_give_no_plan(change: Callable[[Path], object], tmp_path: Path, data: Path) -> None:
    remember(tmp_path, prepared(roots=(str(data),)), grounds="grounds", asked=time.time() + 1)
    assert recall(tmp_path, "grounds")
    change(data)
    assert recall(tmp_path, "grounds") is None


def test_what_may_change_unseen_is_not_kept_nor_what_was_kept_before(tmp_path: Path, data: Path) -> None:
    lacking = msgspec.structs.replace(factories.quality_cell(), unavailable="it needs a module")
    for plan, grounds, asked in (
        (prepared(roots=None), "grounds", time.time() + 1),
        (prepared(cells=(lacking,)), "grounds", time.time() + 1),
        (prepared(), "", time.time() + 1),
        (prepared(roots=(str(data),)), "grounds", data.stat().st_ctime - 1),  # somebody wrote there meanwhile
    ):
        remember(tmp_path, prepared(), grounds="earlier", asked=time.time())
        assert recall(tmp_path, "earlier")
        remember(tmp_path, plan, grounds=grounds, asked=asked)
        assert not (tmp_path / FILE_NAME).exists()
