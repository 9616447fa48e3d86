"""A suite and a selection become asked cells; each kind is in the order in which it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.catalog.options import (
    complete_dataset,
    complete_model,
    complete_options,
    model_options,
    parse_dataset,
    parse_model,
)
from vitbench.errors import NothingSelectedError, UnusableError, UsageError, did_you_mean
from vitbench.planning.files import beside
from vitbench.planning.recipe_options import with_full_names
from vitbench.planning.suite import AskedCell, AskedModel, ModelEntry, Selection, SpeedPlan, Suite
from vitbench.records import canonical_name
from vitbench.settings import PRETRAINED_RECIPE, RECIPE
from vitbench.specs import ModelSpec, OptionValue, RecipeSpec, unstorable

__all__ = ["default_recipe", "expand", "is_dataset", "speed_plan"]

Dataset = tuple[str, dict[str, OptionValue]]
"""A name and options, as in an `AskedCell`."""


def expand(
    suite: Suite, catalog: Catalog, selection: Selection, *, home: str = "", base: Path | None = None
) -> list[AskedCell]:
    """Return the cells that a suite and a selection ask for: quality first, speeds grouped by what is compared.

    Args:
        suite: what to run.
        catalog: what its names mean.
        selection: what the user wants of it, or in place of it.
        home: the plugin that ships the suite; short names in it mean this plugin's offers first.
        base: the folder of the suite's file, which files that it names are relative to; None: as the user's are.

    Raises:
        UsageError: an unknown name, a wrong option, two equal cells in the suite, or a batch size without speeds.
        NothingSelectedError: no cell is left.
    """
    _check_rank_by(suite.rank_by, catalog)
    entries = _choose_models(suite, catalog, selection.models, home, base)
    datasets = _choose_datasets(suite, catalog, selection, home, base)
    speed = speed_plan(suite, selection)
    of_suite = {catalog.recipe(name, home=home).name: options for name, options in suite.recipes.items()}
    of_user = {catalog.recipe(name).name: options for name, options in selection.settings.items()}
    quality: list[AskedCell] = []
    timed: list[AskedCell] = []
    places: dict[bytes, str] = {}
    recipes: set[str] = set()
    for place, entry in entries:
        offer = catalog.model(entry.name, home=home)
        recipe, own_options = _recipe_of(entry, offer, suite, catalog, home, selection.recipe)
        recipes.add(recipe.name)
        options, settled = recipe.spec.defaults, set[str]()
        suites = partial(_with_files, recipe, catalog=catalog, base=base)
        for source, given in (
            ("[recipes] of the suite", suites(of_suite.get(recipe.name, {}))),
            (f"recipe_options of {place}", suites(own_options)),
            ("--set", of_user.get(recipe.name, {})),
        ):
            options = complete_options(f"{source}: recipe {recipe.name}", recipe.spec.declared, given, over=options)
            settled |= {name.replace("-", "_") for name in given}
        options = with_full_names(recipe, options, catalog, home=recipe.plugin.name)
        model = _ask_model(offer, entry, recipe.spec, base if entry in suite.models else None)
        identity = msgspec.json.encode((model.name, model.options, recipe.name, options), order="deterministic")
        if identity in places:
            raise UsageError(f"{places[identity]} and {place} are the same model with the same recipe; remove one.")
        places[identity] = place
        for dataset, dataset_options in datasets:
            asked = partial(
                AskedCell,
                model=model,
                dataset=dataset,
                dataset_options=dict(dataset_options),
                recipe=recipe.name,
                recipe_settled=tuple(sorted(settled)),
            )
            quality += [
                asked(kind="quality", recipe_options=dict(options), seed=seed)
                for seed in (() if selection.speeds == "only" else selection.seeds or suite.seeds)
            ]
            timed += [
                asked(
                    kind="speed",
                    recipe_options=dict(options) if mode == "training" else {},
                    batch_size=batch_size,
                    mode=mode,
                    largest_batch=largest,
                    sustained=speed.window(batch_size, mode, largest),
                )
                for batch_size, mode, largest in (speed.cells if selection.times and not model.baseline else [])
            ]
    for name in sorted(set(of_user) - recipes):
        used = ", ".join(sorted(recipes)) or "none"
        raise UsageError(f"--set names the recipe {name}, which no selected model uses; used: {used}.")
    if not quality + timed:
        lacking = "models; give --model" if not entries else "datasets; give --dataset"
        if entries and datasets:
            lacking = "speeds of these models, the only thing that --speeds only measures"
        raise NothingSelectedError(f'nothing to run: the suite "{suite.name}" has no {lacking}.')
    order = datasets.index
    timed.sort(
        key=lambda cell: (
            order((cell.dataset, cell.dataset_options)),
            cell.mode,
            cell.largest_batch,
            cell.batch_size,
        )
    )
    return quality + timed


def speed_plan(suite: Suite, selection: Selection) -> SpeedPlan:
    """Return which speed cells a model gets where speeds are measured.

    Raises:
        UsageError: a batch size is asked for, and no speeds.
    """
    speed = suite.speed
    if selection.speeds == "none" and (selection.batch_size is not None or selection.largest_batch):
        option = "--batch-size" if selection.batch_size is not None else "--largest-batch"
        raise UsageError(f"{option} sets the speed cells, which --speeds none skips; drop one of the two.")
    if selection.batch_size is not None:
        speed = msgspec.structs.replace(speed, batch_sizes=tuple(sorted({1, selection.batch_size})))
    if selection.largest_batch:
        speed = msgspec.structs.replace(speed, largest_batch=True)
    return speed


def default_recipe(spec: ModelSpec, options: Mapping[str, OptionValue]) -> str:
    """Return the recipe that a model takes where nothing else names one: that for trained weights, where it has any.

    Args:
        spec: of the model.
        options: that are given, or complete.
    """
    if options.get("checkpoint") and "checkpoint" in spec.declared:
        return spec.recipe or PRETRAINED_RECIPE
    if str(options.get("pretrained", "")).lower() in ("false", "0", "no") and not spec.is_baseline:
        return RECIPE
    return spec.recipe or (PRETRAINED_RECIPE if spec.pretrained_on else RECIPE)


def _recipe_of(
    entry: ModelEntry, offer: Offer[ModelSpec], suite: Suite, catalog: Catalog, home: str, asked: str
) -> tuple[Offer[RecipeSpec], Mapping[str, OptionValue]]:
    """Return an entry's recipe with the options that the entry has of it.

    It is the one asked for, the entry's own, a baseline's, the suite's, or what the model's weights ask for.
    """
    spec, own = offer.spec, entry.recipe_options
    if asked and not spec.is_baseline:
        found = catalog.recipe(asked)
        usual, _ = _recipe_of(entry, offer, suite, catalog, home, "")
        return found, own if found.name == usual.name else {}
    if name := entry.recipe or ("" if spec.is_baseline and spec.recipe else suite.recipe):
        return catalog.recipe(name, home=home), own
    return catalog.recipe(default_recipe(spec, entry.options), home=offer.plugin.name), own


def _check_rank_by(rank_by: str, catalog: Catalog) -> None:
    names = sorted(given.name for offer in catalog.metrics.values() for given in offer.spec.gives)
    if names and rank_by not in names:
        known = ", ".join(names)
        raise UsageError(f'rank_by = "{rank_by}": no such metric.{did_you_mean(rank_by, names)} Known: {known}.')


def _with_files(
    recipe: Offer[RecipeSpec], options: Mapping[str, OptionValue], *, catalog: Catalog, base: Path | None
) -> dict[str, OptionValue]:
    """Return a recipe's options as a suite gives them, with the files that they and their models name."""
    if base is None:
        return {**options}
    found = {**options, **beside(base, recipe.spec.declared, options)}
    for name, value in options.items():
        option = recipe.spec.declared.get(name.replace("-", "_"))
        if option is None or option.kind != "model" or not isinstance(value, str) or not value:
            continue
        with contextlib.suppress(UsageError, UnusableError):  # told by `with_full_names`
            short, given = parse_model(value)
            spec = catalog.model(short, home=recipe.plugin.name).spec
            files = beside(base, {**spec.declared, **spec.stated}, given)
            found[name] = canonical_name(short, {**given, **files}, {})
    return found


def _ask_model(offer: Offer[ModelSpec], entry: ModelEntry, recipe: RecipeSpec, base: Path | None) -> AskedModel:
    files = beside(base, {**offer.spec.declared, **offer.spec.stated}, entry.options) if base else {}
    given = {**entry.options, **files}
    written = {name.replace("-", "_"): entry.options[name] for name in files}
    family = offer.spec.resolve is not None
    for name, value in given.items() if family else ():
        for item in value if isinstance(value, tuple) else (value,):
            if fault := unstorable(item):
                raise UsageError(f"model {offer.name}: option {name} {fault}.")
    if family:
        return AskedModel(
            name=offer.name, options=given, label=entry.label, written=written, family=True, licence=entry.licence
        )
    owner = f"model {offer.name}"
    options = model_options(owner, offer.spec, recipe, given)
    return AskedModel(
        name=offer.name,
        options=options,
        label=entry.label or canonical_name(offer.name, options | written, offer.spec.defaults),
        written=written,
        baseline=offer.spec.is_baseline,
        licence=entry.licence,
    )


def _choose_models(
    suite: Suite, catalog: Catalog, wanted: Sequence[str], home: str, base: Path | None
) -> list[tuple[str, ModelEntry]]:
    """Return the entries to run, each with its place for messages."""
    placed = [(f"models[{index}]", entry) for index, entry in enumerate(suite.models)]
    listed = [(place, entry) for place, entry in placed if not entry.needs]
    if not wanted:
        return listed
    needing = {entry.label: (place, entry) for place, entry in placed if entry.needs}
    chosen: list[tuple[str, ModelEntry]] = []
    for text in wanted:
        name, options = parse_model(text)
        if name in needing:
            place, entry = needing[name]
            offer = catalog.model(entry.name, home=home)
            chosen.append((place, _with_needed(offer.spec, entry, options, base)))
            continue
        same = [(place, entry) for place, entry in listed if entry.label == name and not options]
        if not same:
            offer = catalog.model(name)
            same = [(place, entry) for place, entry in listed if _is_asked(catalog, entry, offer, options, home)]
        new = [] if same else [(f"--model {text}", ModelEntry(name=offer.name, options=dict(options)))]
        chosen.extend(item for item in same + new if item not in chosen)
    return chosen


def _with_needed(spec: ModelSpec, entry: ModelEntry, given: Mapping[str, str], base: Path | None) -> ModelEntry:
    """Return an entry with what it needs of the user.

    Raises:
        UsageError: something else was given, or not all of it.
    """
    if set(given) != set(entry.needs):
        example = ",".join(f"{name}=..." for name in entry.needs)
        raise UsageError(
            f'"{entry.label}" of the suite needs {" and ".join(entry.needs)}, and takes no other option: '
            f"--model {entry.label}:{example}"
        )
    own = beside(base, {**spec.declared, **spec.stated}, entry.options) if base else {}
    return msgspec.structs.replace(entry, options={**entry.options, **own, **given}, needs=())


def _is_asked(
    catalog: Catalog, entry: ModelEntry, offer: Offer[ModelSpec], options: Mapping[str, str], home: str
) -> bool:
    """Whether a suite's entry is the asked model: its name, or its exact options if it has a label."""
    if catalog.model(entry.name, home=home).name != offer.name:
        return False
    if not options and not entry.label:
        return True
    if offer.spec.resolve is not None:
        return canonical_name("", dict(options), {}) == canonical_name("", entry.options, {})
    owner = f"model {offer.name}"
    return complete_model(owner, offer.spec, options) == complete_model(owner, offer.spec, entry.options)


def _choose_datasets(
    suite: Suite, catalog: Catalog, selection: Selection, home: str, base: Path | None
) -> list[Dataset]:
    """Return the full names and the options of known datasets, and of those that ``--data`` or ``[data]`` defines."""
    paths = {**suite.data, **selection.data}
    for name in paths:
        if ":" in name:
            raise UsageError(
                f'--data takes the name of a dataset without options: {name.partition(":")[0]}, not "{name}".'
            )
    chosen: list[Dataset] = []
    for text in selection.datasets or suite.datasets:
        name, given = parse_dataset(text)
        options: dict[str, OptionValue] = {**given}
        if name not in paths or is_dataset(name, catalog):
            offer = catalog.dataset(name, home="" if selection.datasets else home)
            if offer.spec.is_layout:
                raise UsageError(
                    f'"{name}" is a layout, not a dataset; choose a name for yours: --data mine=DIR --dataset mine.'
                )
            if base is not None and not selection.datasets:
                options |= beside(base, offer.spec.declared, options)
            name, options = offer.name, complete_dataset(f"dataset {offer.name}", offer.spec, options)
        if (name, options) in chosen:
            raise UsageError(f'dataset "{text}" is selected twice; name it once.')
        chosen.append((name, options))
    names = [name for name, _ in chosen]
    for name in selection.data:
        if name not in names and not is_dataset(name, catalog):
            raise UsageError(
                f'--data defines the dataset "{name}", but nothing selects it; add --dataset {quote(name)}.'
            )
    return chosen


def is_dataset(name: str, catalog: Catalog) -> bool:
    """Return whether a full or short name is that of an installed dataset, perhaps of several."""
    return any(name in (full, full.partition("/")[2]) for full in catalog.datasets)
