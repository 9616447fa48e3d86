"""Is the harness honest, and does it detect real differences? Run by hand: ``pytest -s benchmarks/test_lockstep.py``.

* Its block against a plain loop over the same model: equal within 2 %, or within the interval.
* A model against itself: called different at most once in twenty comparisons.
* A model against itself with a tenth more work: detected in at least eighteen of twenty.

`VITBENCH_ROUNDS` sets the number of comparisons instead of twenty; a comparison takes one to three minutes. Each test
prints a line with its result and the machine's noise floor, as measured by `vitbench doctor`.
"""

from __future__ import annotations

import os

import psutil
import pytest
from plain_loop import side

from vitbench.doctor.noise_floor import block_seconds, fixed_work
from vitbench.lockstep import SpeedComparison, compare_speeds
from vitbench.measuring.noise import relative_spread

ROUNDS = int(os.environ.get("VITBENCH_ROUNDS", "20"))
VIT = {
    "patch_size": 4,
    "depth": 2,
    "width": 96,
    "heads": 3,
    "mlp_ratio": 2.0,
    "dropout": 0.0,
    "drop_path": 0.0,
    "checkpoint": "",
    "head": "own",
}
RESNET = {"width": 16, "drop_path": 0.0, "checkpoint": "", "head": "own"}
SMALL_VIT = {"image_size": 32, "batch_size": 4, "mode": "inference"}


def show(found: SpeedComparison) -> None:
    load, floor = psutil.getloadavg()[0], relative_spread(block_seconds(fixed_work()))
    print(f"\n{found.sentence()}; load {load:.1f}, noise floor {floor:.1%}; {'; '.join(found.reasons)}")


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize(("model", "options"), [("scratch/vit", VIT), ("scratch/resnet18", RESNET)])
def test_the_harness_agrees_with_a_plain_loop(model: str, options: dict[str, object], mode: str) -> None:
    conditions = {"image_size": 32, "batch_size": 8, "mode": mode}
    found = compare_speeds(
        side(model, options, **conditions, target="plain"), side(model, options, **conditions), threshold=0.02
    )
    show(found)
    assert abs(found.ratio - 1) <= 0.02 or found.low <= 1 <= found.high


@pytest.mark.parametrize(("model", "options"), [("scratch/vit", VIT), ("scratch/resnet18", RESNET)])
def test_the_harness_agrees_with_timms_way(model: str, options: dict[str, object]) -> None:
    conditions = {"image_size": 32, "batch_size": 32, "mode": "inference"}
    found = compare_speeds(
        side(model, options, **conditions, target="each_step"), side(model, options, **conditions), threshold=0.02
    )
    show(found)
    assert 0.97 <= found.low <= found.high <= 1.03


def test_a_model_is_not_different_from_itself() -> None:
    model = side("scratch/vit", VIT, **SMALL_VIT)
    different = 0
    for _ in range(ROUNDS):
        found = compare_speeds(model, model)
        different += found.verdict in ("faster", "slower")
        show(found)
    assert different <= max(1, ROUNDS // 20)


def test_a_tenth_more_work_is_found() -> None:
    model, slower = (side("scratch/vit", VIT, **SMALL_VIT, target=target) for target in ("", "more_work"))
    missed = 0
    for _ in range(ROUNDS):
        found = compare_speeds(model, slower)
        missed += found.verdict != "slower"
        show(found)
    assert missed <= max(1, ROUNDS // 10)
