"""What `vitbench track` asks of each side's own vitbench, which may be an older or a newer one, and what that answers.

Lines of msgspec JSON. Both begin with the protocol's version, which each end reads before the rest.
"""

from __future__ import annotations

import msgspec

from vitbench.records import KeyedCell, Mode

__all__ = ["PROTOCOL", "Asked", "Described", "Description", "Greeting", "Refusal", "Request"]

PROTOCOL = 12
"""Raised with each change of the messages here, of those in vitbench/lockstep/process.py, or of `KeyedCell`, and with
each change of how a block is timed there: two versions must mean the same by its seconds."""


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What every version's messages hold."""

    protocol: int = PROTOCOL


class Asked(Greeting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user wants to know of each side."""

    models: tuple[str, ...]
    """``M[:k=v,...]``; empty: all models whose code lies in the checkout, but families and baselines."""
    modes: tuple[Mode, ...]
    batch_size: int
    image_size: int
    """Side of the images for a model that follows the data."""
    num_classes: int
    device: str
    """As the user writes it."""
    threads: int | None
    """None: all usable cores."""


class Request(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to describe."""

    folder: str
    """The checkout."""
    tree: str
    """The user's working tree, whose code no other checkout should use; the checkout itself where that is measured."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Why something cannot be measured: the sentence and the exit code."""

    message: str
    exit_code: int


class Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A model that one side offers."""

    cells: tuple[KeyedCell, ...]
    """A speed cell for each mode that was asked for, in that order."""
    of_checkout: bool
    """Whether its plugin's code is the checkout's: it lies there, or was installed from there just now."""


class Description(Greeting, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One side's answer."""

    refusal: Refusal | None = None
    """Why nothing at all can be measured, as where there is no such device."""
    python: str = ""
    versions: dict[str, str] = {}
    """Installed versions of the packages that make the numbers."""
    problems: dict[str, str] = {}
    """What is wrong with plugins, by their names."""
    elsewhere: tuple[str, ...] = ()
    """Packages whose code would be that of the user's working tree, and not of the checkout."""
    models: dict[str, Described | Refusal] = {}
    """By the text that was asked for, else by full name: what would be measured, or why nothing."""
