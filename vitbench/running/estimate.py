"""How long cells will take: as they took before, as a budget's probe says, or as the speeds of their models say.

Speed cells come first in a plan, so that what they measured informs the trainings after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vitbench.records import KeyedCell, QualityCell, Record, SpeedCell
from vitbench.running.runner import SPEED_PROCESSES
from vitbench.settings import TRAINING_SPEED

__all__ = ["Estimate", "beside", "estimates"]

PROCESS_SECONDS = 2.5
"""Of a process of a speed cell, for start-up and a fast model ..."""
TIMED_CALLS = 25
"""... and so many calls of a slow one, warm-up included."""
FORWARD_SHARE = 0.33
"""Of a training step's time, roughly what its forward pass takes."""
UNTRAINED_SECONDS = 2.0
"""Of a baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a cell will take."""

    seconds: float
    source: str
    """Where it is from, in words."""


def estimates(
    cells: Sequence[KeyedCell], records: Sequence[Record], known: Mapping[str, float], paced: Mapping[str, float]
) -> dict[str, Estimate]:
    """Return what cells will take, by key; those of which nothing is known are left out.

    Args:
        cells: of the run.
        records: of earlier runs into the same folder.
        known: seconds that cells took in these, by id.
        paced: seconds by key that the plan of a budget says.
    """
    found: dict[str, Estimate] = {}
    for planned in cells:
        if planned.key in paced and (planned.allotted or planned.id not in known):
            source = "a probe" if planned.allotted else "a rule of thumb"
            found[planned.key] = Estimate(seconds=paced[planned.key], source=source)
        elif planned.id in known:
            found[planned.key] = Estimate(seconds=known[planned.id], source="an earlier record")
        elif isinstance(planned.cell, QualityCell) and (seconds := _by_speed(planned, planned.cell, records)):
            found[planned.key] = Estimate(seconds=seconds, source="its training speed")
    return found


def beside(
    planned: KeyedCell, known: Mapping[str, float], step_seconds: Mapping[str, float], cells: Iterable[KeyedCell]
) -> float:
    """Return what a cell without a training of its own takes beside those with one.

    Args:
        planned: a speed cell, or a quality cell that trains nothing.
        known: seconds that cells took before, by id.
        step_seconds: of training steps that were timed, by key.
        cells: among which these are.
    """
    if planned.id in known:
        return known[planned.id]
    cell = planned.cell
    if not isinstance(cell, SpeedCell):
        return UNTRAINED_SECONDS
    of_image = 0.0
    for other in cells:
        same = other.cell.model == cell.model and other.cell.options == cell.options
        batch_size = other.cell.recipe_options.get("batch_size")
        if same and other.key in step_seconds and isinstance(batch_size, int):
            of_image = step_seconds[other.key] / batch_size
    call = of_image * cell.batch_size * (1.0 if cell.mode == "training" else FORWARD_SHARE)
    return SPEED_PROCESSES[0] * (PROCESS_SECONDS + TIMED_CALLS * call + cell.sustained)


def _by_speed(planned: KeyedCell, cell: QualityCell, records: Sequence[Record]) -> float:
    """Return the seconds of a training by the speed of its model's training steps; 0: it was not measured.

    Augmentation and validation come on top, which the speed does not have.
    """
    images = _images(planned, cell)
    for record in reversed(records):
        timed = record.planned.cell
        if record.status != "ok" or not isinstance(timed, SpeedCell) or timed.mode != "training":
            continue
        alike = all(
            getattr(timed, name) == getattr(cell, name)
            for name in ("model", "options", "precision", "threads", "compile", "channels_last")
        )
        here = (timed.machine, timed.device) == (planned.machine, planned.device)
        shape = timed.input_shape == (planned.in_channels, *planned.image_size)
        speed = next((one.value for one in record.measurements if one.name == TRAINING_SPEED), None)
        if alike and here and shape and speed:
            return images / speed
    return 0.0


def _images(planned: KeyedCell, cell: QualityCell) -> float:
    """Return how many images a training sees, as far as its options tell; 0: they do not."""
    options, limit = cell.recipe_options, cell.limit
    if planned.allotted:
        return planned.allotted.steps * _number(options.get("batch_size"))
    if cell.epochs is None and (steps := _number(options.get("steps"))):
        return steps * _number(options.get("batch_size"))
    images = planned.data.sizes.get("train", 0) if planned.data else 0
    if limit is not None:
        images = min(images, limit) if isinstance(limit, int) else int(limit * images)
    if planned.data and planned.data.train_images is not None:
        images = min(images, planned.data.train_images)
    return (cell.epochs or _number(options.get("epochs"))) * images


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
