"""A batch that does not fit ends its cell as `oom`, and touches neither the machine nor the next cell."""

from __future__ import annotations

import sys

import factories
import pytest

from vitbench.catalog import load_catalog
from vitbench.catalog.provenance import origin
from vitbench.execution.local import LocalExecutor, _memory_kills
from vitbench.execution.messages import CellJob, CellResult

RESNET = {"width": 16, "drop_path": 0.0, "checkpoint": "", "head": "own"}
VIT = factories.SMALL_VIT
TOO_LARGE = 10**9
"""Images of 8x8: 256 GB."""


def speed(
    executor: LocalExecutor,
    batch_size: int,
    *,
    probe: bool = False,
    model: str = "vit",
    options: dict[str, object] = VIT,
    target: str = "vitbench.worker.cell:run_cell",
) -> CellResult:
    code = origin(load_catalog().model(model).plugin).code_hash
    planned = factories.speed_cell(model, options=options, batch_size=batch_size, code=code)
    ending = executor.run(target, CellJob(planned=planned, probe=probe), CellResult)
    assert ending.answer is not None, ending.reason
    return ending.answer


def baseline(outcome: CellResult) -> float:
    """Return the memory in use before the model was built, in bytes."""
    values = {one.name: one.value for one in outcome.measurements}
    return values["peak_memory_absolute"] - values["peak_memory"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_batch_that_does_not_fit_is_oom_and_the_next_cell_starts_as_low_as_the_one_before() -> None:
    executor = LocalExecutor()
    before = speed(executor, 2)
    failed = speed(executor, TOO_LARGE)
    after = speed(executor, 2)
    assert failed.status == "oom"
    assert "allocate" in failed.reason
    assert baseline(after) == pytest.approx(baseline(before), rel=0.05)
    assert (before.status, after.status) == ("ok", "ok")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_probe_says_what_fits_and_a_library_that_cannot_have_its_memory_is_oom_too() -> None:
    def probe(batch_size: int) -> CellResult:
        target = "executor_targets:run_cell_in_200_mib"
        return speed(LocalExecutor(), batch_size, probe=True, model="resnet18", options=RESNET, target=target)

    assert probe(16).status == "ok"
    for batch_size in (8_000, 20_000, 100_000):
        assert probe(batch_size).status == "oom", "whichever allocation is the one that fails"


def test_processes_that_the_system_killed_for_memory_are_counted(tmp_path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 12\noom_kill 3\nswap_ra 0\n")
    assert _memory_kills(counters) == 3
    assert _memory_kills(tmp_path / "nowhere") == 0
