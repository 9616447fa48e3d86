"""The example for GitHub Actions is valid, and its commands are commands of this vitbench."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest
import yaml

from vitbench.cli import cli
from vitbench.lockstep.outcome import EXIT_CODES
from vitbench.tracking.outcome import SideInfo, Tracked, TrackedModel

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / "docs" / "examples" / "track.yml").read_text(encoding="utf-8"))
STEPS = WORKFLOW["jobs"]["track"]["steps"]


def commands(text: str) -> list[str]:
    """Return the ``vitbench track`` commands of a text, without what the shell does with their exit code."""
    return [found.partition("||")[0] for found in re.findall(r"^ *(vitbench track .*)$", text, flags=re.MULTILINE)]


IN_WORKFLOW = [command for step in STEPS for command in commands(step.get("run", ""))]


def test_the_workflow_runs_on_pull_requests_with_the_whole_history_and_a_cache() -> None:
    assert WORKFLOW[True] == "pull_request"  # YAML 1.1 reads the key `on` as true
    checkout = next(step for step in STEPS if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["fetch-depth"] == 0
    cache = next(step for step in STEPS if step.get("uses", "").startswith("actions/cache@"))
    assert cache["with"]["path"] == "~/.cache/vitbench/track"


def test_the_workflow_tracks_and_tolerates_documented_codes_only() -> None:
    assert len(IN_WORKFLOW) == 1
    script = next(step["run"] for step in STEPS if "vitbench track" in step.get("run", ""))
    tolerated = {
        int(code) for code in re.findall(r"\d+", re.findall(r"^\s*([\d |]+)\)", script, flags=re.MULTILINE)[0])
    }
    assert tolerated == {EXIT_CODES["no data"], EXIT_CODES["not resolved"]}


@pytest.mark.parametrize("command", [*IN_WORKFLOW, *commands(PAGE)])
def test_each_command_is_one_of_this_version(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    context = cli.commands[name].make_context(name, arguments, parent=cli.make_context("vitbench", [name]))
    assert context.params["base"]


def test_the_page_has_each_verdict_with_its_code_in_the_order_that_counts() -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \| (\d+) \| .", PAGE, flags=re.MULTILINE)
    assert [(verdict, int(code)) for verdict, code in rows] == list(EXIT_CODES.items())


@pytest.mark.parametrize("kind", [Tracked, TrackedModel, SideInfo])
def test_the_page_has_each_field_of_the_json(kind: type[msgspec.Struct]) -> None:
    table = PAGE[PAGE.index("`--json` prints an object") :]
    for field in kind.__struct_fields__:
        assert f"`{field}`" in table
