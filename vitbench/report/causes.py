"""What a verdict's reasons come down to: causes that many figures share, and kinds of all other reasons.

A disturbed machine touches most figures of a table, each with numbers of its own ("had the processor 61% of the time"),
and hides what is wrong with one model. Its reasons are known here by their words, wherever they were written: in the
worker, in a plugin, by an earlier version. A reason that is not known is never hidden.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SHARED", "Cause", "kind_of", "own_reasons", "shared_cause"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """What disturbs figures of any model."""

    words: str
    """What happened, and where more of it is said."""
    signs: re.Pattern[str]
    """What its reasons hold."""


def _cause(words: str, *signs: str) -> Cause:
    return Cause(words=words, signs=re.compile("|".join(signs)))


SHARED: tuple[Cause, ...] = (
    _cause("there were more threads than usable cores", r"^\d+ threads on "),
    _cause("a quota stopped the processes", "the quota stopped the process"),
    _cause(
        "other processes were using the processors; `vitbench doctor` says which",
        "had the processor ",
        "^load average ",
        "^the host's threads waited ",
    ),
    _cause("the host of the virtual machine took the processors", "the host took "),
    _cause("other processes used the GPU; `vitbench doctor` says which", "other process(es)? on the GPU"),
    _cause("clocks fell, or the GPU was hot", "clock fell ", "the GPU was throttled", "the GPU is at "),
    _cause(
        "the times were not steady",
        r"\bIQR ",
        "blocks pull the mean",
        "the times drift",
        "the times fall into two groups",
        "warm-up blocks differ",
        "^the processes differ by ",
        r"the processes' .*differ$",
    ),
)
"""The first explains those after it: what lacked a processor is not steady either."""

_SEED = re.compile(r"^seed \d+: ")
_SOME_PROCESSES = re.compile(r", in \d+ of \d+ processes$")
_NUMBER = re.compile(r"\d[\d.,]*")


def shared_cause(reasons: Sequence[str]) -> Cause | None:
    """Return which of the shared causes a figure's reasons come down to; None: they are the model's own."""
    told = [_bare(reason) for reason in reasons]
    return next((cause for cause in SHARED if any(map(cause.signs.search, told))), None)


def own_reasons(reasons: Sequence[str]) -> list[str]:
    """Return the reasons that no shared cause explains."""
    return [reason for reason in reasons if shared_cause([reason]) is None]


def kind_of(reason: str) -> str:
    """Return a reason without what differs from row to row: numbers, the seed, how many processes had it."""
    return _NUMBER.sub("#", _bare(reason))


def _bare(reason: str) -> str:
    return _SOME_PROCESSES.sub("", _SEED.sub("", reason))
