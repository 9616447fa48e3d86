"""A comparison says how far it is, and not more often than a reader of a log wants."""

from __future__ import annotations

import pytest

from vitbench.lockstep import progress


def test_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    said: list[str] = []
    tell = progress.pair_talker(said.append, "throughput")
    for pairs in range(1, 7):
        clock[0] += 9.0
        tell(pairs)
    assert said == [
        "  throughput: 3 pairs of processes, at most 10; 27 s so far.",
        "  throughput: 6 pairs of processes, at most 10; 54 s so far.",
    ]
