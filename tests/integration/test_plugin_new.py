"""What `vitbench plugin new` writes is installed as its README says, and its own tests pass."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the environment's layout is that of Unix")
def test_a_new_package_is_installed_listed_and_passes_its_own_tests(tmp_path: Path) -> None:
    # An environment of its own for the new package, which sees the packages of this one, torch and vitbench among them.
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    [packages] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (packages / "present.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()), encoding="utf-8"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [str(tmp_path / "venv" / "bin" / "python"), "-m", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    package = tmp_path / "vitbench-mine"
    assert run("vitbench", "plugin", "new", "mine").splitlines()[0] == "vitbench-mine/pyproject.toml"
    run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(package))
    listed = json.loads(run("vitbench", "plugins", "--json"))
    assert listed["problems"] == []
    [plugin] = [plugin for plugin in listed["plugins"] if plugin["name"] == "mine"]
    assert (plugin["distribution"], plugin["version"], plugin["module"]) == ("vitbench-mine", "0.1.0", "vitbench_mine")
    said = run("pytest", "-q", "-p", "no:cacheprovider", folder=package)
    found = re.search(r"(\d+) passed", said)
    assert found, said
    assert int(found[1]) > 5, "one test for each check of a model"
    assert "failed" not in said
