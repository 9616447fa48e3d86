"""What happened to the candidates of a pick, step by step: who left, at which step, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vitbench.leaderboard.metric import Metric
from vitbench.picking.racing import Look

__all__ = ["Course", "Left", "Step"]

Step = Literal["available", "timing", "race", "training"]
"""Where a candidate leaves: it is not available; its speed; the race of probes; it is not among the finalists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A candidate that is not a finalist."""

    name: str
    """As tables name it."""
    step: Step
    worse: bool
    """Whether it was told to be worse or not to do; else it was set aside, and may be the best."""
    why: str


@dataclass(kw_only=True, slots=True)
class Course:
    """Grows while the pick runs."""

    left: list[Left] = field(default_factory=list)
    looks: list[tuple[float, Look]] = field(default_factory=list)
    """Share of the labels, and what was seen."""
    speeds: dict[str, Mapping[str, Metric]] = field(default_factory=dict)
    """Of each candidate that was timed, by what a selection calls it."""
    remarks: list[str] = field(default_factory=list)
    """What else a reader should know, in sentences."""
    failed: bool = False
    """Whether a cell ended without a result that was not only waiting for the hub."""

    def leave(self, name: str, step: Step, why: str, *, worse: bool) -> str:
        """Note that a candidate leaves; return it as a sentence."""
        one = Left(name=name, step=step, worse=worse, why=why)
        self.left.append(one)
        return f"{'Dropped' if worse else 'Set aside'}: {name}, {why}"
