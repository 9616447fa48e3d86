"""Names of Mixers: ``mixer-d4-w64`` has 4 blocks of 64 channels. Imports no torch, since listing asks for them."""

import fnmatch
import re

import vitbench

LISTED = ("mixer-d2-w32", "mixer-d4-w64", "mixer-d8-w512")  # the last, with patch=16 at 224 pixels, is Mixer-S/16


def members(pattern: str) -> list[str]:
    """Return some usual sizes; any other resolves, too."""
    return fnmatch.filter(LISTED, pattern)


def resolve(name: str) -> vitbench.ModelSpec:
    """Return the Mixer that a name describes."""
    size = re.fullmatch(r"mixer-d([1-9]\d?)-w([1-9]\d{0,3})", name)
    if size is None:
        raise LookupError(f"{name} says no depth and width; write them as in mixer-d4-w64")
    depth, width = map(int, size.groups())
    return vitbench.ModelSpec(
        name=name,
        build="vitbench_zoo.mixer:build",
        summary=f"MLP-Mixer, {depth} blocks of {width} channels",
        source="Tolstikhin et al. 2021, arXiv 2105.01601",
        arguments={"depth": depth, "width": width},
        options={"patch": vitbench.Option(4, minimum=1, help="Side of a patch in pixels, which divides the images'")},
    )
