"""Which form of a speed counts is read before a run; tests/unit/doctor/test_speeds.py has what finds it out."""

from __future__ import annotations

from pathlib import Path

import factories
import pytest

from vitbench.records import REFERENCE, SpeedCell
from vitbench.running.session import _by_ratio
from vitbench.running.steadiness import Steadiness, keep_steadiness


@pytest.mark.parametrize(("measured", "by_ratio"), [(0.2, True), (0.001, False)])
def test_a_run_ranks_by_what_was_found_out_on_its_machine(
    measured: float, by_ratio: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path))
    planned = factories.speed_cell()
    assert isinstance(planned.cell, SpeedCell)
    assert _by_ratio([planned]), "nobody has asked"
    keep_steadiness(
        Steadiness(
            machine=planned.cell.machine,
            device=planned.cell.device,
            network=REFERENCE,
            processes=7,
            ratio_deviation=0.02,
            measured_deviation=measured,
            seconds=1.0,
        )
    )
    assert _by_ratio([planned]) == by_ratio
    assert _by_ratio([]), "a run without speeds"
