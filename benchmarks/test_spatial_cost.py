"""What each row of the suite `spatial` costs in speed: compared with `learned`, in lockstep, on one thread.

Run by hand, on a quiet machine; ten minutes: ``pytest -s benchmarks/test_spatial_cost.py``. Each test prints a line
with the ratio of speeds and its interval. Target: every row has more than half the speed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from plain_loop import side
from vitbench_scratch import vitbench_models

from vitbench.lockstep import compare_speeds

SUITE = Path(__file__).parents[1] / "plugins" / "vitbench_suites" / "spatial.toml"
[DEFAULTS] = [dict(spec.defaults) for spec in vitbench_models() if spec.name == "vit2d"]
ROWS = {
    entry["label"]: DEFAULTS | entry.get("options", {})
    for entry in tomllib.loads(SUITE.read_text(encoding="utf-8"))["models"]
}
SECONDS = 20.0
"""After which a comparison starts no further pair of processes."""


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("row", sorted(ROWS.keys() - {"learned"}))
def test_what_a_row_costs(row: str, mode: str) -> None:
    first, second = (
        side("scratch/vit2d", ROWS[label], image_size=32, batch_size=32, mode=mode) for label in ("learned", row)
    )
    found = compare_speeds(first, second, seconds=SECONDS)
    print(f"\n{row}, {mode}: {found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}] times the speed of learned")
    assert found.high > 0.5
