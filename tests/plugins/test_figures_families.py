"""Each family of models gives a picture or one sentence that says why not, and never another error."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import families
import pytest
from figures import figure_subject
from vitbench_figures import attention, attribution, distance, filters, positions, rollout

from vitbench import Skip
from vitbench.figures import FigureSubject

pytestmark = pytest.mark.compute

FIGURES: dict[str, Callable[[FigureSubject], Iterable[object]]] = {
    "attention": lambda one: attention.draw(one, layer=0, head=0, images=0),
    "rollout": lambda one: rollout.draw(one, layer=0, images=0),
    "attribution": lambda one: attribution.draw(one, target="", images=0),
    "distance": lambda one: distance.draw(one, images=1),
    "filters": filters.draw,
    "positions": positions.draw,
}
WINDOWS, POOLED = "attends within windows", "has pooled queries or keys"
SKIPPED: dict[str, dict[str, str]] = {
    "swin_tiny_patch4_window7_224": {"attribution": WINDOWS, "rollout": WINDOWS, "distance": WINDOWS},
    "torchvision Swin": {"attribution": WINDOWS, "rollout": WINDOWS, "distance": WINDOWS},
    "hiera_tiny_224": {"attribution": WINDOWS, "attention": WINDOWS, "rollout": WINDOWS, "distance": WINDOWS},
    "volo_d1_224": {
        "attribution": "network.0.0.attn returned none",
        "rollout": "network.0.0.attn returned none",
        "distance": "network.0.0.attn returned none",
    },
    "levit_128s": {"attribution": POOLED, "rollout": POOLED, "distance": POOLED},
    "mvitv2_tiny": {"attribution": POOLED, "rollout": POOLED, "distance": POOLED},
    "pvt_v2_b0": {"attribution": POOLED, "rollout": POOLED, "distance": POOLED, "positions": "none: "},
    "convit_tiny": {
        "attribution": "3 attention maps from 2 modules",
        "rollout": "3 attention maps from 2 modules",
        "distance": "3 attention maps from 2 modules",
    },
    "cait_xxs24_224": {
        "attribution": "the same tokens in each layer",
        "rollout": ("this model's pool has different ones"),
    },
    "visformer_tiny": {"attribution": "the same tokens in each layer", "rollout": "the same tokens in each layer"},
    "fastvit_sa12": {"positions": "pos_enc"},
    "xcit_nano_12_p16_224": {
        "attribution": "over channels",
        "rollout": "over channels",
        "distance": "over channels",
        "positions": "token_projection",
    },
}
"""What is not offered, and why; all else is drawn."""


@pytest.mark.parametrize("name", families.NAMES)
def test_each_family_gives_pictures_or_says_why_not(name: str) -> None:
    model, side = families.family(name)
    subject = figure_subject(model, image_size=(side, side), in_channels=3, count=1)
    reasons = {}
    for figure, draw in FIGURES.items():
        try:
            assert list(draw(subject))
        except Skip as skip:
            reasons[figure] = str(skip)
    expected = SKIPPED.get(name, {})
    assert reasons.keys() == expected.keys(), reasons
    for figure, reason in reasons.items():
        assert expected[figure] in reason
        assert "\n" not in reason
