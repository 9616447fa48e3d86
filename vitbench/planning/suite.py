"""Suites: what one holds, and how it becomes asked cells with the user's selection. Files: suite_file.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.catalog.options import complete_options, model_options, parse_model
from vitbench.errors import NothingSelectedError, UsageError, did_you_mean
from vitbench.records import Mode, Precision, canonical_name
from vitbench.specs import ModelSpec, OptionValue, RecipeSpec

__all__ = [
    "AskedCell",
    "AskedModel",
    "Conditions",
    "Selection",
    "Suite",
    "expand",
    "is_dataset",
]


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the types here."""


class ModelEntry(_Data, frozen=True, kw_only=True):
    """A model in a suite, with the settings that the suite gives it."""

    name: str
    options: dict[str, OptionValue] = {}
    label: str = ""
    recipe: str = ""
    recipe_options: dict[str, OptionValue] = {}
    """Options of its recipe, over those of ``[recipes.NAME]``."""


class SpeedPlan(_Data, frozen=True, kw_only=True):
    """Which speed cells each model gets."""

    batch_sizes: tuple[int, ...] = (1, 32)
    """1 gives the latency; the largest, above 1, gives throughput, memory and training speed."""
    modes: tuple[Mode, ...] = ("inference", "training")
    largest_batch: bool = False
    """Whether the largest batch that fits is searched, too."""

    @property
    def cells(self) -> list[tuple[int, Mode, bool]]:
        """Batch size, mode and whether to search from there: inference at every batch size, training at the largest."""
        sizes = sorted(self.batch_sizes)
        inference, training = "inference" in self.modes, "training" in self.modes
        cells: list[tuple[int, Mode, bool]] = [(size, "inference", False) for size in sizes if inference]
        cells += [(sizes[-1], "inference", True)] if self.largest_batch and sizes and inference else []
        return cells + [(size, "training", False) for size in sizes[-1:] if training]


class Suite(_Data, frozen=True, kw_only=True):
    """A suite file."""

    name: str
    summary: str
    rank_by: str = "top1"
    datasets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    models: tuple[ModelEntry, ...] = ()
    recipe: str = ""
    """The recipe of models that name none and whose spec asks for none."""
    recipes: dict[str, dict[str, OptionValue]] = {}
    """Recipe options for the whole suite."""
    speed: SpeedPlan = SpeedPlan()
    threads: int | None = None
    """torch threads; None: all usable cores."""
    data: dict[str, str] = {}
    """Data set name to its folder, relative to the file."""


Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Conditions(_Data, frozen=True, kw_only=True):
    """What holds for every cell of a run."""

    device: str = "auto"
    precision: Precision = "float32"
    threads: Count | None = None
    limit: Count | Share | None = None
    """Images of each split, or a share of them."""
    epochs: Count | None = None
    compile: bool = False
    channels_last: bool = False


class Selection(_Data, frozen=True, kw_only=True):
    """What the user asks for, over the suite."""

    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()
    batch_size: Count | None = None
    largest_batch: bool = False
    """Search the largest batch that fits, whatever the suite says."""
    settings: dict[str, dict[str, OptionValue]] = {}
    """Recipe name to option to value, or its text, from ``--set``."""
    data: dict[str, str] = {}
    conditions: Conditions = Conditions()


class AskedModel(_Data, frozen=True, kw_only=True):
    """A model as it was asked for. A family's member is completed in prepare."""

    name: str
    options: dict[str, OptionValue] = {}
    """Complete and typed, or, for a member of a family, only those that were given (as text from a command line)."""
    label: str = ""
    family: bool = False
    baseline: bool = False


class AskedCell(_Data, frozen=True, kw_only=True):
    """A cell before the data are opened and families are resolved."""

    kind: Literal["quality", "speed"]
    model: AskedModel
    dataset: str
    recipe: str = ""
    recipe_options: dict[str, OptionValue] = {}
    seed: int = 0
    batch_size: int = 0
    mode: Mode = "inference"
    largest_batch: bool = False


def expand(suite: Suite, catalog: Catalog, selection: Selection, *, home: str = "") -> list[AskedCell]:
    """Return the cells that a suite and a selection ask for, in the order in which they run.

    Args:
        suite: what to run.
        catalog: what its names mean.
        selection: what the user wants of it, or in place of it.
        home: the plugin that ships the suite; short names in it mean this plugin's offers first.

    Raises:
        UsageError: an unknown name, a wrong option, or two equal cells in the suite.
        NothingSelectedError: no cell is left.
    """
    _check_rank_by(suite.rank_by, catalog)
    entries = _choose_models(suite, catalog, selection.models, home)
    datasets = _choose_datasets(suite, catalog, selection, home)
    speed = suite.speed
    if selection.batch_size is not None:
        speed = msgspec.structs.replace(speed, batch_sizes=tuple(sorted({1, selection.batch_size})))
    if selection.largest_batch:
        speed = msgspec.structs.replace(speed, largest_batch=True)
    of_suite = {catalog.recipe(name, home=home).name: options for name, options in suite.recipes.items()}
    of_user = {catalog.recipe(name).name: options for name, options in selection.settings.items()}
    quality: list[AskedCell] = []
    timed: list[AskedCell] = []
    places: dict[bytes, str] = {}
    recipes: set[str] = set()
    for place, entry in entries:
        offer = catalog.model(entry.name, home=home)
        recipe = _recipe_of(entry, offer, suite, catalog, home)
        recipes.add(recipe.name)
        options: Mapping[str, OptionValue] = recipe.spec.options
        for source, given in (
            ("[recipes] of the suite", of_suite.get(recipe.name, {})),
            (f"recipe_options of {place}", entry.recipe_options),
            ("--set", of_user.get(recipe.name, {})),
        ):
            options = complete_options(f"{source}: recipe {recipe.name}", options, given)
        model = _ask_model(offer, entry, recipe.spec)
        identity = msgspec.json.encode((model.name, model.options, recipe.name, options), order="deterministic")
        if identity in places:
            raise UsageError(f"{places[identity]} and {place} are the same model with the same recipe; remove one.")
        places[identity] = place
        for dataset in datasets:
            quality += [
                AskedCell(
                    kind="quality",
                    model=model,
                    dataset=dataset,
                    recipe=recipe.name,
                    recipe_options=dict(options),
                    seed=seed,
                )
                for seed in selection.seeds or suite.seeds
            ]
            timed += [
                AskedCell(
                    kind="speed",
                    model=model,
                    dataset=dataset,
                    recipe=recipe.name,
                    batch_size=batch_size,
                    mode=mode,
                    largest_batch=largest,
                )
                for batch_size, mode, largest in ([] if model.baseline else speed.cells)
            ]
    for name in sorted(set(of_user) - recipes):
        used = ", ".join(sorted(recipes)) or "none"
        raise UsageError(f"--set names the recipe {name}, which no selected model uses; used: {used}.")
    if not quality:
        lacking = "models; give --model" if not entries else "data sets; give --dataset"
        raise NothingSelectedError(f'nothing to run: the suite "{suite.name}" has no {lacking}.')
    timed.sort(key=lambda cell: (datasets.index(cell.dataset), cell.mode, cell.largest_batch, cell.batch_size))
    return quality + timed


def _recipe_of(
    entry: ModelEntry, offer: Offer[ModelSpec], suite: Suite, catalog: Catalog, home: str
) -> Offer[RecipeSpec]:
    """Return an entry's recipe: its own, a baseline's, the suite's, or what the model's weights ask for."""
    spec = offer.spec
    own = spec.recipe if spec.is_baseline else ""
    untrained = str(entry.options.get("pretrained", "")).lower() in ("false", "0", "no")
    if name := entry.recipe or ("" if own else suite.recipe):
        return catalog.recipe(name, home=home)
    if untrained and not own:
        return catalog.recipe("recipes/supervised")
    return catalog.recipe(spec.default_recipe, home=offer.plugin.name)


def _check_rank_by(rank_by: str, catalog: Catalog) -> None:
    figures = sorted(name for offer in catalog.metrics.values() for name in offer.spec.figures or (offer.spec.name,))
    if figures and rank_by not in figures:
        known = ", ".join(figures)
        raise UsageError(f'rank_by = "{rank_by}" names no figure.{did_you_mean(rank_by, figures)} Known: {known}.')


def _ask_model(offer: Offer[ModelSpec], entry: ModelEntry, recipe: RecipeSpec) -> AskedModel:
    family = offer.spec.resolve is not None
    if family:
        return AskedModel(name=offer.name, options=entry.options, label=entry.label, family=True)
    owner = f"model {offer.name}"
    options = model_options(owner, offer.spec, recipe, entry.options)
    return AskedModel(
        name=offer.name,
        options=options,
        label=entry.label or canonical_name(offer.name, options, dict(offer.spec.options)),
        baseline=offer.spec.is_baseline,
    )


def _choose_models(suite: Suite, catalog: Catalog, wanted: Sequence[str], home: str) -> list[tuple[str, ModelEntry]]:
    """Return the entries to run, each with its place for messages."""
    listed = [(f"models[{index}]", entry) for index, entry in enumerate(suite.models)]
    if not wanted:
        return listed
    chosen: list[tuple[str, ModelEntry]] = []
    for text in wanted:
        name, options = parse_model(text)
        same = [(place, entry) for place, entry in listed if entry.label == name and not options]
        if not same:
            offer = catalog.model(name)
            same = [(place, entry) for place, entry in listed if _is_asked(catalog, entry, offer, options, home)]
        new = [] if same else [(f"--model {text}", ModelEntry(name=offer.name, options=dict(options)))]
        chosen.extend(item for item in same + new if item not in chosen)
    return chosen


def _is_asked(
    catalog: Catalog, entry: ModelEntry, offer: Offer[ModelSpec], options: Mapping[str, str], home: str
) -> bool:
    """Whether a suite's entry is the asked model: its name, or its exact options if it has a label."""
    if catalog.model(entry.name, home=home).name != offer.name:
        return False
    if not options and not entry.label:
        return True
    if offer.spec.resolve is not None:
        return dict(options) == {key: str(value) for key, value in entry.options.items()}
    owner = f"model {offer.name}"
    return complete_options(owner, offer.spec.options, options) == complete_options(
        owner, offer.spec.options, entry.options
    )


def _choose_datasets(suite: Suite, catalog: Catalog, selection: Selection, home: str) -> list[str]:
    """Return the full names of known data sets, and the names that ``--data`` or ``[data]`` defines."""
    paths = {**suite.data, **selection.data}
    chosen: list[str] = []
    for name in selection.datasets or suite.datasets:
        if name in paths and not is_dataset(name, catalog):
            full = name
        else:
            offer = catalog.dataset(name, home="" if selection.datasets else home)
            if offer.spec.is_layout:
                raise UsageError(
                    f'"{name}" is a layout, not a data set; give yours any name: --data mine=DIR --dataset mine.'
                )
            full = offer.name
        if full in chosen:
            raise UsageError(f'data set "{name}" is selected twice; name it once.')
        chosen.append(full)
    for name in selection.data:
        if name not in chosen and not is_dataset(name, catalog):
            raise UsageError(f'--data defines the data set "{name}", but nothing selects it; add --dataset {name}.')
    return chosen


def is_dataset(name: str, catalog: Catalog) -> bool:
    """Return whether a full or short name is that of an installed data set, perhaps of several."""
    return any(name in (full, full.partition("/")[2]) for full in catalog.datasets)
