"""A selection becomes a plan: read the suite, expand it, and have its cells prepared in a child process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec

from vitbench.catalog import Catalog, PluginSelection, Problem, load_catalog, select_plugins
from vitbench.catalog.options import parse_model
from vitbench.catalog.provenance import metric_versions
from vitbench.durations import parse_duration
from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.execution.executor import Ending, Executor, Needs
from vitbench.execution.messages import Say
from vitbench.planning.expand import expand, is_dataset, speed_plan
from vitbench.planning.figures import asked_figures, figure_cells
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.metrics import metric_options, of_recipes, ranked_by
from vitbench.planning.remembered import grounds_of
from vitbench.planning.suite import AskedCell, Selection, Suite
from vitbench.planning.suite_file import parse_suite, read_suite, read_text
from vitbench.records import KeyedCell, canonical_name
from vitbench.settings import SUITE
from vitbench.specs import OptionValue

__all__ = ["Plan", "plan", "prepared_by"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A prepared run: its keyed cells, ready for an output folder."""

    selection: Selection
    suite: Suite
    suite_text: str
    """Its TOML text; empty where models and datasets were selected without one."""
    prepared: Prepared
    notes: tuple[str, ...] = ()
    """What the user should know beside the prepared plan's own notes."""
    metrics: dict[str, str]
    """Code hash of each installed metric of predictions and training, see `metric_versions`."""
    metric_options: dict[str, dict[str, OptionValue]]
    """Of metrics that have some, by full name, complete."""
    plugins: PluginSelection
    """As they were found: the text of plugin files with them."""
    figures: tuple[KeyedCell, ...] = ()
    """What is drawn of the trained models, after all other cells."""
    grounds: str = ""
    """What the prepared plan rests on, see `vitbench.planning.remembered`; empty where it is not to be kept."""
    asked: float = 0.0
    """When it was asked for, in seconds since the epoch."""
    request: PrepareRequest | None = None
    """What was prepared, for other machines to do the same; None where nobody keeps it."""


def plan(
    selection: Selection,
    *,
    executor: Executor,
    strict_plugins: bool,
    say: Callable[[str], None],
    known: Callable[[str], Prepared | None] | None = None,
) -> Plan:
    """Read a suite, expand it, and prepare its cells in a child process. Nothing is written but the data cache.

    Args:
        selection: what the user asks for.
        executor: where to prepare.
        strict_plugins: treat any problem with a plugin as an error.
        say: gets a sentence for the user, a warning perhaps.
        known: gives what was prepared before on the same grounds (`vitbench.planning.remembered`), where that is
        enough.

    Raises:
        UsageError: an unknown name, a wrong option, a wrong suite file.
        NothingSelectedError: no cell is left.
        UnusableError: data, a device, a plugin file or, with `strict_plugins`, any plugin that cannot be used.
    """
    asked = time.time()
    plugins = select_plugins(selection.plugins, selection.no_plugins)
    catalog = load_catalog(plugins)
    _refuse(catalog.fatal(strict=False))  # before a name that is unknown because its file is broken
    no_suite = not selection.suite and selection.models and selection.datasets
    path, home = (None, "") if no_suite else _suite_path(selection.suite or SUITE, catalog)
    text = read_text(path) if path else ""
    found = (
        parse_suite(text, path) if path else Suite(name="selection", summary="Models and datasets of the command line")
    )
    conditions = selection.conditions
    if conditions.threads is None:
        conditions = msgspec.structs.replace(conditions, threads=found.threads)
    if found.budget is not None and conditions.budget is None and conditions.epochs is None:
        conditions = msgspec.structs.replace(conditions, budget=parse_duration(str(found.budget)))
    if selection.shard and conditions.budget is not None:
        raise UsageError(
            "a budget is the time of one run, and a shard runs only some of its trainings; give their length instead, "
            "such as --set RECIPE.steps=N or --epochs N, or leave out --shard."
        )
    if found.skip_unreadable:
        conditions = msgspec.structs.replace(conditions, skip_unreadable=True)
    _check_labels(found, catalog, selection)
    base = path.parent.absolute() if path else None
    options = metric_options(catalog, found.metrics, selection.settings, home=home)
    of_cells = msgspec.structs.replace(selection, settings=of_recipes(catalog, selection.settings))
    cells = expand(found, catalog, of_cells, home=home, base=base)
    figures = asked_figures(found.figures, catalog, home=home)
    if conditions.budget is None:
        _refuse_by_time(cells)
    found = msgspec.structs.replace(found, rank_by=ranked_by(found.rank_by, catalog, options))
    _refuse(catalog.fatal(strict=strict_plugins))
    for problem in catalog.problems:
        say(f"warning: {problem}")
    data_paths, suite_data = _data_paths(found, path, selection, catalog, home)
    request = PrepareRequest(
        cells=tuple(cells),
        conditions=conditions,
        data_paths=data_paths,
        suite_data=suite_data,
        plugins=plugins,
    )
    grounds = grounds_of(request, catalog) if known else ""
    prepared = known(grounds) if known else None
    if prepared:
        grounds = ""  # it is kept already
    else:
        warned = False

        def tell(text: str) -> None:
            nonlocal warned
            warned |= text.startswith("warning")
            say(text)

        say("Preparing: opening the data, checking the models.")  # which takes seconds, with torch to import
        prepared = prepared_by(executor, request, tell)
        grounds = "" if warned else grounds  # what was said is to be said again
    return Plan(
        selection=selection,
        suite=found,
        suite_text=text,
        prepared=prepared,
        notes=(*_left_out(found, selection), *_not_timed(found, selection, cells)),
        metrics=metric_versions(catalog, options),
        metric_options=options,
        plugins=plugins,
        figures=tuple(figure_cells(prepared.cells, figures, catalog)),
        grounds=grounds,
        asked=asked,
        request=request,
    )


def _left_out(suite: Suite, selection: Selection) -> Iterator[str]:
    """Yield which models are not run because they need something of the user, and how to run them."""
    for entry in suite.models if not selection.models else ():
        if entry.needs:
            options = ",".join(f"{name}=..." for name in entry.needs)
            yield (
                f"{entry.label} is left out: it needs {' and '.join(entry.needs)}. "
                f"--model {entry.label}:{options} adds it to the same folder."
            )


def _not_timed(suite: Suite, selection: Selection, cells: Sequence[AskedCell]) -> Iterator[str]:
    """Yield how many models have no speed cells because the results are partial, and how to have them."""
    if selection.speeds is None and not selection.times and speed_plan(suite, selection).cells:
        models = {cell.model.label or cell.model.name for cell in cells if not cell.model.baseline}
        if models:
            count = f"{len(models)} models" if len(models) > 1 else "1 model"
            yield f"Partial run: speeds of {count} are skipped; --speeds all measures them."


def _refuse_by_time(cells: Sequence[AskedCell]) -> None:
    """Refuse a recipe that is to train by the clock where no budget says for how long."""
    for cell in cells:
        if cell.kind == "quality" and cell.recipe_options.get("by_time") is True:
            name = cell.recipe.partition("/")[2]
            raise UsageError(f"by_time = true of the recipe {name} needs a budget; add --budget, such as --budget 30m.")


def prepared_by(executor: Executor, request: PrepareRequest, say: Callable[[str], None]) -> Prepared:
    """Prepare cells in a child; where a model's build may have ended it, again without building any.

    So that model ends its own cells' processes alone, with a reason.

    Raises:
        UsageError, UnusableError: as `vitbench.planning.prepare.prepare` does, or for it failed.
    """

    def prepare(request: PrepareRequest) -> Ending[Prepared]:
        return executor.run(
            "vitbench.planning.prepare:prepare_in_child",
            request,
            Prepared,
            message=Say,
            on_message=lambda message: say(message.text),
            needs=Needs(device=request.conditions.device),
        )

    ending = prepare(request)
    if ending.kind in ("crashed", "oom") and request.build:
        say(f"warning: preparing the run failed: {ending.reason}; trying again without building the models first.")
        ending = prepare(msgspec.structs.replace(request, build=False))
    return ending.answered("preparing the run")


def _suite_path(suite: str, catalog: Catalog) -> tuple[Path, str]:
    """Return a suite's file, and the plugin that ships it, if one does."""
    if suite.endswith(".toml"):
        return Path(suite), ""
    offer = catalog.suite(suite)
    return Path(offer.spec.path), offer.plugin.name


def _check_labels(suite: Suite, catalog: Catalog, selection: Selection) -> None:
    """Refuse a label with options or of another suite: tables show labels, which mean nothing outside their suite."""
    names = {name for full in catalog.models for name in (full, full.partition("/")[2])}
    own, needing = _labels(suite), {entry.label for entry in suite.models if entry.needs}
    for text in selection.models:
        name, options = parse_model(text)
        if name in names or "/" in name or (name in own and not options) or name in needing:
            continue
        if name in own:
            raise UsageError(
                f'"{name}" is a label of the suite {suite.name} and takes no options; give {quote(own[name])}.'
            )
        for offer in catalog.suites.values():
            try:
                labels = _labels(read_suite(Path(offer.spec.path)))
            except UsageError:  # a broken suite is told to those who ask for it
                continue
            if name in labels:
                known = offer.name.partition("/")[2]
                remedy = f"give {quote(labels[name])}, or run that suite (vitbench run --suite {quote(known)})"
                raise UsageError(f'"{name}" is a label of the suite {known}; {remedy}.')
        if hint := did_you_mean(name, own):
            raise UsageError(f'unknown model "{name}".{hint}')


def _labels(suite: Suite) -> dict[str, str]:
    """Return what each label stands for, as a user would write it."""
    return {entry.label: canonical_name(entry.name, entry.options, {}) for entry in suite.models if entry.label}


def _data_paths(
    suite: Suite, path: Path | None, selection: Selection, catalog: Catalog, home: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the folder of each dataset by its full name, and the suite's file for those that it gives.

    A suite's paths are relative to its file.
    """

    def full(name: str, home: str = "") -> str:
        return catalog.dataset(name, home=home).name if is_dataset(name, catalog) else name

    base = path.parent if path else Path()
    of_suite = {full(name, home): base / Path(folder).expanduser() for name, folder in suite.data.items()}
    of_user = {full(name): Path(folder).expanduser() for name, folder in selection.data.items()}
    paths = {name: str(folder.absolute()) for name, folder in (of_suite | of_user).items()}
    return paths, {name: str(path) for name in of_suite if name not in of_user}


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise UnusableError("; ".join(map(str, problems)))
