"""The models that a pick chooses among: which there are, which have learned weights, and which can be had here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench.catalog import Catalog
from vitbench.errors import UsageError
from vitbench.planning.expand import default_recipe
from vitbench.planning.plan import Plan
from vitbench.planning.suite import ModelEntry
from vitbench.planning.suite_file import read_suite
from vitbench.records import KeyedCell, QualityCell, SpeedCell, canonical_name
from vitbench.settings import PICK_SUITE, RECIPE
from vitbench.specs import ModelSpec, OptionValue

__all__ = ["Candidate", "Listed", "candidates_of", "listed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """The models that a user names, or that a suite lists."""

    suite: str
    """As a selection names it."""
    names: tuple[str, ...]
    """As a selection names them, in the order of the list."""
    named: bool
    """Whether the user named each of them, rather than a list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One model, before anything is known of it."""

    name: str
    """As a selection names it."""
    label: str
    """As tables name it."""
    learned: bool
    """Whether it begins with weights that have learned: then its features tell something."""
    image_size: tuple[int, int]
    """Height and width of its input in pixels."""
    licence: str
    """Of its weights; empty: nothing says it."""
    unavailable: str = ""
    """Why it cannot be used; empty where it can."""
    waits: bool = False
    """Whether that is because its weights are on the hub, which is unreachable."""
    training: KeyedCell
    """Its own training, without a budget."""
    speeds: tuple[KeyedCell, ...]
    """The cells that measure how fast it answers."""


def listed(models: Sequence[str], catalog: Catalog) -> Listed:
    """Return which models are meant: names, a suite that lists them, or names out of it.

    Args:
        models: names of models, and at most one suite file; empty: vitbench's own list.
        catalog: what names mean.

    Raises:
        UsageError: several files, a file that is not a suite, or a list without a model.
    """
    files = [text for text in models if text.endswith(".toml")]
    if len(files) > 1:
        raise UsageError(f"--models takes one suite file, not {len(files)}: {', '.join(files)}.")
    names = tuple(dict.fromkeys(text for text in models if text not in files))
    suite = files[0] if files else PICK_SUITE
    if names:
        return Listed(suite=suite, names=names, named=True)
    offer = None if files else catalog.suite(suite)
    found = read_suite(Path(offer.spec.path) if offer else Path(suite))
    home = offer.plugin.name if offer else ""
    able = [entry for entry in found.models if not entry.needs]
    names = tuple(_name(entry) for entry in able if not catalog.model(entry.name, home=home).spec.is_baseline)
    if not names:
        raise UsageError(f"the suite {suite} lists no model to choose among.")
    return Listed(suite=suite, names=names, named=False)


def _name(entry: ModelEntry) -> str:
    return entry.label or canonical_name(entry.name, entry.options, {})


def candidates_of(planned: Plan, asked: Listed, catalog: Catalog) -> list[Candidate]:
    """Return the candidates, in the order of the list.

    Args:
        planned: the training of each, on one dataset with one seed, and its speeds.
        asked: what was planned.
        catalog: what names mean.

    Raises:
        UsageError: two names mean the same model, or one is a baseline, which cannot be chosen.
    """
    trainings = [cell for cell in planned.prepared.cells if isinstance(cell.cell, QualityCell)]
    speeds = [cell for cell in planned.prepared.cells if isinstance(cell.cell, SpeedCell)]
    for training in trainings:
        if training.baseline:
            raise UsageError(f"{training.label} is a baseline: it has no features or speed to choose it by.")
    if len(trainings) != len(asked.names):
        raise UsageError("two of the models are the same; name each once.")
    return [
        _candidate(name, training, [cell for cell in speeds if _is_inference(cell, training)], catalog)
        for name, training in zip(asked.names, trainings, strict=True)
    ]


def _is_inference(timed: KeyedCell, training: KeyedCell) -> bool:
    """Return whether a cell measures the speed at which the model of a training gives answers."""
    cell = timed.cell
    assert isinstance(cell, SpeedCell)
    same = (cell.model, cell.options) == (training.cell.model, training.cell.options)
    return same and cell.mode == "inference" and not cell.largest_batch


def _candidate(name: str, training: KeyedCell, speeds: Sequence[KeyedCell], catalog: Catalog) -> Candidate:
    spec = catalog.model(training.cell.model).spec
    waits = training.hub == "away"
    return Candidate(
        name=name,
        label=training.label,
        learned=_is_learned(spec, training.cell.options, catalog),
        image_size=training.image_size,
        licence=training.licence,
        unavailable="its weights are on the hub, which is unreachable" if waits else training.unavailable,
        waits=waits,
        training=training,
        speeds=tuple(speeds),
    )


def _is_learned(spec: ModelSpec, options: dict[str, OptionValue], catalog: Catalog) -> bool:
    """Return whether a model with these options has weights that have learned, and a recipe that builds on them."""
    has_weights = bool(spec.pretrained_on or (options.get("checkpoint") and "checkpoint" in spec.declared))
    fresh = str(options.get("pretrained", "")).lower() in ("false", "0", "no")
    return has_weights and not fresh and catalog.recipe(default_recipe(spec, options)).name != RECIPE
