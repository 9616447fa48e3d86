"""Which Ray cluster is meant, and what is refused before Ray is asked."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys

import pytest

from vitbench.errors import UnusableError, UsageError
from vitbench.execution import ray_cluster
from vitbench.execution.ray_cluster import RayAddress, connected, parse_address


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("local", None),
        ("ray", RayAddress()),
        ("ray=10.0.0.1:6379", RayAddress(address="10.0.0.1:6379")),
        ("ray=head:6379,machine=h200", RayAddress(address="head:6379", label="h200")),
    ],
)
def test_an_executor_is_read(text: str, asked: RayAddress | None) -> None:
    assert parse_address(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        *("slurm", "ray=", "ray=head:x", "ray=:1", "ray=ray://head:1", "ray,machine=a"),
        *("ray=h:1,machine=", "ray=h:1,class=a", "ray=h:99999"),
    ],
)
def test_what_names_no_cluster_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--executor"):
        parse_address(text)


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UnusableError, match=r'pip install "vitbench\[ray\]"'), connected(RayAddress()):
        pass


def test_an_address_that_nobody_answers_is_told_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.2", 0))
        address = "{}:{}".format(*unused.getsockname())
    with pytest.raises(UnusableError, match=f"no Ray cluster answers at {address}"):
        ray_cluster._check(address)


@pytest.mark.parametrize(
    ("answers", "token", "words"),
    [
        ((0,), "x", "requires no token"),
        ((1,), "x", "requires no token, or|check that a Ray cluster answers there"),
        ((10,), "", "no token for the Ray cluster"),
        ((10, 10), "x", "does not accept our token"),
        ((10, 1), "x", "no Ray cluster answers"),
    ],
)
def test_a_cluster_is_used_only_where_it_asks_for_a_token_and_takes_ours(
    answers: tuple[int, ...], token: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    left = list(answers)
    monkeypatch.setattr(ray_cluster, "_answer", lambda *_: left.pop(0))
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", f"{tmp_path}/none")
    with socket.create_server(("127.0.0.2", 0)) as server, pytest.raises(UnusableError, match=words):
        ray_cluster._check("{}:{}".format(*server.getsockname()))


@pytest.mark.process
def test_ray_is_imported_where_it_is_asked_for_alone() -> None:
    code = (
        "import sys, vitbench.cli.run, vitbench.execution.choice as c\nwith c.opened_executor('local', None, print): "
    )
    done = subprocess.run([sys.executable, "-c", code + "print('ray' in sys.modules)"], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
