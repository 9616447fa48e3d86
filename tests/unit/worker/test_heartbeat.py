"""Signs of life come while the work lasts, and none after it."""

from __future__ import annotations

import threading

import msgspec
import pytest

from vitbench.execution.messages import Progress
from vitbench.worker import heartbeat
from vitbench.worker.heartbeat import signs_of_life

PATIENCE = 60.0
"""Seconds after which a test gives up on a loaded machine; none waits so long where all is well."""


def test_they_come_again_and_again_and_name_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SECONDS", 0.001)
    sent: list[msgspec.Struct] = []
    third = threading.Event()

    def send(message: msgspec.Struct) -> None:
        sent.append(message)
        if len(sent) >= 3:
            third.set()

    with signs_of_life(send, "preparing"):
        assert third.wait(PATIENCE)
    assert set(sent) == {Progress(stage="preparing")}


@pytest.mark.parametrize("error", [None, ValueError("it failed")], ids=["well", "with an error"])
def test_nothing_is_sent_once_the_work_is_over(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    sent: list[msgspec.Struct] = []
    if error:
        with pytest.raises(ValueError, match="it failed"), signs_of_life(sent.append, "x"):
            raise error
    else:
        with signs_of_life(sent.append, "x"):
            assert threading.active_count() == before + 1
    assert threading.active_count() == before, "its thread has ended"
    assert sent == [], "short work needs no sign"
