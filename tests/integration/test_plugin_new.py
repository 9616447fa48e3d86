"""What `vitbench plugin new` writes is installed as its README says, and its own tests pass."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from fresh_environment import OFFLINE, fresh_environment


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is that of Unix")
def test_a_new_package_is_installed_listed_and_passes_its_own_tests(tmp_path: Path) -> None:
    run = fresh_environment(tmp_path).run
    package = tmp_path / "vitbench-mine"
    assert run("vitbench", "plugin", "new", "mine").stdout.splitlines()[0] == "vitbench-mine/pyproject.toml"
    run("pip", "install", *OFFLINE, "--editable", str(package))
    listed = json.loads(run("vitbench", "plugins", "--json").stdout)
    assert listed["problems"] == []
    [plugin] = [plugin for plugin in listed["plugins"] if plugin["name"] == "mine"]
    assert (plugin["distribution"], plugin["version"], plugin["module"]) == ("vitbench-mine", "0.1.0", "vitbench_mine")
    said = run("pytest", "-q", "-p", "no:cacheprovider", cwd=package).stdout
    found = re.search(r"(\d+) passed", said)
    assert found, said
    assert int(found[1]) > 5, "one test for each check of a model"
    assert "failed" not in said
