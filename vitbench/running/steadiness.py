"""Which of a speed's two forms is the steadier on a machine: the ratio to the reference network, or what was measured.

On a shared machine the ratio is, by far. On a quiet one, or on a GPU, dividing by another network's time may add more
than it takes away. `vitbench doctor --speeds` finds out, once for each machine class and device, and keeps it in the
cache; a run reads it before anything is measured, so that no figure is chosen by how it came out. Where nobody has
asked, the ratio counts.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from vitbench.data.locate import default_cache_root
from vitbench.files import replace_file
from vitbench.records import digest

__all__ = ["Steadiness", "keep_steadiness", "known_steadiness"]

STEADIER = 0.8
"""The measured values count where their deviation is less than this share of the ratios'."""


class Steadiness(msgspec.Struct, frozen=True, kw_only=True):
    """How much one network's speed varied over fresh processes."""

    machine: str
    """The machine class."""
    device: str
    network: str
    """Name and version of the reference network."""
    processes: int
    ratio_deviation: float
    """Standard deviation of the logarithm of the ratio to the reference network."""
    measured_deviation: float
    """The same of the images per second as they were measured."""
    seconds: float
    """What a process took, start included."""

    @property
    def by_ratio(self) -> bool:
        """Whether the ratio ranks and compares on this machine."""
        return self.measured_deviation >= STEADIER * self.ratio_deviation


def known_steadiness(machine: str, device: str, network: str) -> Steadiness | None:
    """Return what was found out on a machine class and device with a reference network; None where nobody asked."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(_path(machine, device).read_bytes(), type=Steadiness)
        return found if found.network == network else None
    return None


def keep_steadiness(found: Steadiness) -> None:
    """Keep what was found out, in place of what was known.

    Raises:
        OSError, StoreError: the cache cannot be written.
    """
    path = _path(found.machine, found.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, msgspec.json.encode(found))


def _path(machine: str, device: str) -> Path:
    return default_cache_root() / "machines" / f"{digest([machine, device])}.json"
