"""The executor `ray` on a real cluster of three nodes on loopback, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).parents[1] / "ray_scenario.py"
pytestmark = pytest.mark.slow


def scenario(mode: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCENARIO), mode], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return scenario("token")


def test_what_cannot_be_used_is_refused_in_one_line(found: dict[str, Any]) -> None:
    assert found["wrong token"].startswith("3: the Ray cluster at 127.0.0.2:")
    assert found["wrong token"].endswith("does not accept our token; check RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")
    assert found["two classes"].startswith("2: the Ray cluster has machines of the classes a, b")
    assert found["no such class"].startswith("3: no node of the Ray cluster has had the label vitbench-machine=c")


def test_timings_go_first_and_overlap_nothing_on_their_machine(found: dict[str, Any]) -> None:
    assert found["machines"] == 2
    jobs = sorted(found["jobs"], key=lambda job: job["began"])
    timings = [job for job in jobs if job["kind"] != "training"]
    assert len(timings) == 4
    assert len(jobs) == 9
    for timing in timings:
        beside = [job for job in jobs if job is not timing and job["node"] == timing["node"]]
        assert all(job["ended"] <= timing["began"] or timing["ended"] <= job["began"] for job in beside)
    series = [{job["node"] for job in timings if job["kind"] == kind} for kind in ("s", "t")]
    assert all(len(nodes) == 1 for nodes in series)
    for kind, (node,) in zip(("s", "t"), series, strict=True):  # nothing comes between the timings of a series
        assert (kind, kind) in set(pairwise(job["kind"] for job in jobs if job["node"] == node))


def test_trainings_run_beside_each_other_with_a_gpu_each(found: dict[str, Any]) -> None:
    trainings = [job for job in found["jobs"] if job["kind"] == "training"]
    assert {job["label"] for job in trainings} == {"a"}
    assert {job["gpu"] for job in found["jobs"]} == {"0", "1"}


def test_a_cell_has_the_runs_variables_and_not_the_token(found: dict[str, Any]) -> None:
    assert {job["threads"] for job in found["jobs"]} == {"false"}
    assert {job["token"] for job in found["jobs"]} == {""}


def test_files_messages_and_log_come_back(found: dict[str, Any]) -> None:
    assert found["carried"] == {
        "kind": "answered",
        "same": True,
        "files": ["copy", "empty", "given"],
        "log": "written to stdout\n",
        "said": ["half way"],
    }


def test_what_a_killed_worker_or_a_removed_node_takes_along_is_lost_and_nothing_is_left(found: dict[str, Any]) -> None:
    assert found["killed"] == {"kind": "crashed", "lost": True, "left": False}
    assert found["removed"] == {"kinds": ["answered", "crashed"], "lost": 1}
    assert found["machines after one joined late"] == 2


def test_a_cluster_without_a_token_is_refused_and_ones_own_listens_on_loopback_alone() -> None:
    found = scenario("disabled")
    assert "requires no token: anyone who can reach it can run code" in found["open"]
    assert found["listens"] == []
