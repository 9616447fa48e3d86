"""What runs on a machine of a cluster, called without Ray: files in, messages and files out, all as bytes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from vitbench.execution import ray_task
from vitbench.execution.messages import Say
from vitbench.execution.ray_task import Begins, Brings, Logs, Over, Says, TaskRequest, decode_told, run_task

pytestmark = pytest.mark.process


def sent_by(target: str, text: str = "", files: dict[str, bytes] | None = None) -> list[list[ray_task.Told]]:
    request = TaskRequest(
        target=f"ray_targets:{target}",
        request=msgspec.msgpack.encode(Say(text=text)),
        cores=1,
        timeout=30.0,
        has_folder=True,
        environment={},
        variables={"OMP_DYNAMIC": "false"},
    )
    return [decode_told(sent) for sent in run_task(msgspec.msgpack.encode(request), files or {})]


def test_what_a_job_says_leaves_and_prints_is_told_in_pieces_then_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_task, "CHUNK", 4)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "vitbench-task-99999999-left").mkdir()  # by a task whose process was killed
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("OMP_DYNAMIC", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2")
    sent = sent_by("carry", files={"given": b"123456"})
    begins, *between, over = [one for told in sent for one in told]
    assert isinstance(begins, Begins)
    assert begins.gpu == os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert isinstance(over, Over)
    assert over.kind == "answered"
    pieces = [(one.name, one.content) for one in between if isinstance(one, Brings)]
    assert pieces == [("copy", b"1234"), ("copy", b"56"), ("empty", b"")]
    assert b"".join(one.content for one in between if isinstance(one, Logs)) == b"written to stdout\n"
    [said] = [one for one in between if isinstance(one, Says)]
    assert msgspec.msgpack.decode(said.messages[0])["text"] == "half way"
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert "MKL_CBWR" not in os.environ
    assert os.environ["OMP_DYNAMIC"] == "false"
    assert not list(tmp_path.glob("vitbench-task-*"))


def test_what_is_small_and_comes_at_the_end_is_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _, *_, last = sent_by("carry", files={"given": b"123456"})
    assert {type(one) for one in last} >= {Brings, Logs, Over}
