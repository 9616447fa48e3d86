"""The scratch ViT against timm's VisionTransformer of the same size: no slower, within 3 %.

Both run in the loop of plain_loop.py, in lockstep. Run ``pytest -s benchmarks/test_vit_against_timm.py``.
"""

from __future__ import annotations

import pytest
from plain_loop import side

from vitbench.lockstep import compare_speeds

SIZES = {  # image, patch, width, depth, heads, batch
    "tiny-32px-p4": (32, 4, 192, 12, 3, 8),
    "small-32px-p4": (32, 4, 384, 12, 6, 2),
    "tiny-224px-p16": (224, 16, 192, 12, 3, 2),
}


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", SIZES)
def test_no_slower_than_timm(name: str, mode: str) -> None:
    image_size, patch_size, width, depth, heads, batch_size = SIZES[name]
    options = {"patch_size": patch_size, "depth": depth, "width": width, "heads": heads, "mlp_ratio": 4.0}
    options |= {"dropout": 0.0, "drop_path": 0.0, "checkpoint": "", "head": "own"}
    theirs, ours = (
        side("scratch/vit", options, image_size=image_size, batch_size=batch_size, mode=mode, target=target)
        for target in ("timm_vit", "plain")
    )
    found = compare_speeds(theirs, ours)
    print(f"\n{name} {mode}: {found.sentence()}")
    assert found.verdict != "slower"
