"""Choose trainings of a results folder, look into their models in processes of their own, and draw what comes of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import msgspec

from vitbench.catalog import Catalog, PluginSelection, load_catalog
from vitbench.errors import StoreError, UsageError, did_you_mean
from vitbench.execution.executor import Executor
from vitbench.figures import Figure
from vitbench.figures.files import read_figures
from vitbench.figures.own_images import read_image
from vitbench.files import lock, replace_file
from vitbench.leaderboard.results import relabelled
from vitbench.planning.figures import AskedFigure, asked_figures, figure_cells
from vitbench.records import FigureCell, KeyedCell, QualityCell, Record, digest, id_of, newest_by_id
from vitbench.report.figures.board import board_grid
from vitbench.report.figures.drawing import NAME_LENGTH, file_part, render_figures
from vitbench.running.events import Event
from vitbench.running.runner import run_cells
from vitbench.running.session import is_outdated
from vitbench.specs import OptionValue
from vitbench.store import Store

__all__ = ["Asked", "Explained", "draw_pictures", "explain", "model_names"]

LOOKED_AT = ("layer", "head", "target")
"""Options of figures that a user sets for all figures at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a user wants to see."""

    models: tuple[str, ...] = ()
    """Labels or names; empty: all."""
    figures: tuple[str, ...] = ()
    """Each ``NAME[:k=v,...]``; empty: all that are installed."""
    images: tuple[Path, ...] = ()
    """The user's own; empty: images of the test split."""
    options: Mapping[str, str] | None = None
    """Of `LOOKED_AT`, as text; a target may be a class by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """What came of it."""

    paths: tuple[Path, ...]
    """Pictures."""
    remarks: tuple[str, ...]
    """A sentence for each figure that is not there, with the reason."""
    failed: bool
    """Whether one of them failed, and was not only skipped."""


def explain(
    folder: Path,
    asked: Asked,
    *,
    executor: Executor,
    plugins: PluginSelection,
    timeout: float | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Explained:
    """Draw figures of a results folder's trained models into it. What was drawn before is not computed again.

    Raises:
        UsageError: a model, a figure, or an option that there is not.
        UnusableError: an image that cannot be read, or nothing to draw with.
        StoreError: the folder contains no results or cannot be written, or a run is using it.
    """
    from vitbench.report.plots.canvas import drawing

    with drawing():  # before anything runs: it may not be installed
        pass
    for path in asked.images:
        read_image(path, 3)
    catalog = load_catalog(plugins)
    with Store.open(folder, create=False) as store:
        store.check_pages()
    with (
        lock(folder, command="vitbench explain", remedy="explain a copy of it"),
        Store.open(folder, create=True) as store,
    ):
        runs = store.runs()
        run = runs[-1].id if runs else ""
        trainings = _chosen(relabelled(store.records(), store, run), asked.models, folder)
        cells: list[KeyedCell] = []
        for record in trainings:
            _check_offered(record, catalog)
            # Where it ran is not where it is looked at: a GPU may be gone.
            planned = msgspec.structs.replace(record.planned, device="cpu")
            wanted = _figures(asked, catalog, planned)
            cells += figure_cells([planned], wanted, catalog, images=asked.images)
        newest = store.newest_by_key()

        def is_there(cell: KeyedCell) -> bool:
            drawn = newest.get(cell.key)
            if drawn is None or drawn.status != "ok" or is_outdated(cell, newest):
                return False
            try:
                return bool(read_figures(store.figures_path(cell.key)))
            except StoreError:  # deleted, or damaged
                return False

        run_cells(
            [cell for cell in cells if not is_there(cell)],
            store=store,
            run=run,
            environment_digest=trainings[0].environment,
            metrics={},
            child_environment={},
            executor=executor,
            on_event=on_event,
            timeout=timeout,
            plugins=plugins,
        )
        newest = store.newest_by_key()
        paths = draw_pictures(store, [newest[cell.key] for cell in cells], catalog)
    lacking = [newest[cell.key] for cell in cells if newest[cell.key].status != "ok"]
    return Explained(
        paths=tuple(paths),
        remarks=tuple(f"{record.planned.in_words}: {record.status}, {record.reason}" for record in lacking),
        failed=any(record.status != "skipped" for record in lacking),
    )


def draw_pictures(store: Store, records: Sequence[Record], catalog: Catalog) -> list[Path]:
    """Draw what figure records hold, as PNG and SVG in the store's folder ``figures``; return their paths.

    A picture is named after its model (`model_names`), after the figure with those of its options that are not as by
    default, and after a user's own images. Of models that looked at the same images there is a picture with all of
    them, ``all-models-FIGURE``.
    """
    models = model_names([*store.records(), *records])
    files: dict[str, bytes] = {}
    together: dict[tuple[str, str], list[tuple[str, Sequence[Figure]]]] = defaultdict(list)
    for record in records:
        planned, cell = record.planned, record.planned.cell
        if record.status != "ok" or not isinstance(cell, FigureCell):
            continue
        offer = catalog.figures.get(cell.figure)
        usual = offer.spec.defaults if offer else {}
        changed = [f"{option}={value}" for option, value in cell.figure_options.items() if value != usual.get(option)]
        own = [Path(image).stem for image in cell.images]
        name = "-".join([cell.figure.partition("/")[2], *changed, *own]).replace("/", "-")
        if len(name) > NAME_LENGTH:  # where it is cut, another could be the same
            name = f"{name[: NAME_LENGTH - 9]}-{planned.key[:8]}"
        figures = read_figures(store.figures_path(planned.key))
        model = models[planned.label, id_of(cell.of)]
        files |= render_figures(model, name, figures)
        together[planned.judged_on, name].append((model, figures))
    titles = {title for title, _ in together}
    for (title, name), drawn in together.items():
        if grid := board_grid(name, drawn):
            files |= render_figures(f"all-models-{title}" if len(titles) > 1 else "all-models", "", [grid])
    folder = store.figures_path("").parent
    for file, content in files.items():
        replace_file(folder / file, content)
    return [folder / file for file in files]


def model_names(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """Return what pictures of each model are named after, by its label and a digest of what its training was asked.

    It is the label, with dataset and seed where several trainings have it, and with a digest where another would be the
    same as part of a file's name, or differ in case alone: one picture never takes another's place.
    """
    drawn = {
        (record.planned.label, id_of(record.planned.cell.of)): (record.planned.judged_on, record.planned.cell.seed)
        for record in records
        if record.status == "ok" and isinstance(record.planned.cell, FigureCell)
    }
    trainings = Counter(label for label, _ in drawn)
    names: dict[tuple[str, str], str] = {}
    for (label, of), (title, seed) in drawn.items():
        names[label, of] = f"{label}-{title}-seed-{seed}" if trainings[label] > 1 else label
    taken = Counter(file_part(name).lower() for name in names.values())
    return {
        model: f"{digest(model)[:6]}-{name}" if taken[file_part(name).lower()] > 1 else name
        for model, name in names.items()
    }


def _chosen(records: Sequence[Record], models: Sequence[str], folder: Path) -> list[Record]:
    """Return one training of each row that is asked for, the newest of its lowest seed.

    Raises:
        UsageError: no such model, or none that is trained.
    """
    good = [
        record
        for record in newest_by_id(records).values()
        if isinstance(record.planned.cell, QualityCell) and record.status == "ok" and not record.planned.baseline
    ]
    if not good:
        raise UsageError(f"{folder} contains no trained model; see `vitbench show {quote(str(folder))}`.")
    names = {name for record in good for name in _names(record)}
    for model in models:
        if model not in names:
            labels = list(dict.fromkeys(record.planned.label for record in good))
            raise UsageError(
                f'no result of model "{model}" in {folder}.{did_you_mean(model, names)} There are: {", ".join(labels)}.'
            )
    rows: dict[bytes, Record] = {}
    for record in good:
        if models and not _names(record) & {*models}:
            continue
        cell = record.planned.cell
        assert isinstance(cell, QualityCell)
        row = msgspec.json.encode((record.planned.label, msgspec.structs.replace(cell, seed=0)), order="deterministic")
        earlier = rows.get(row)
        if earlier is None or cell.seed <= earlier.planned.cell.seed:  # type: ignore[union-attr]
            rows[row] = record
    return list(rows.values())


def _check_offered(record: Record, catalog: Catalog) -> None:
    """Refuse a model of a plugin file that is not given; one of an installed plugin is refused where it is looked up.

    Raises:
        UsageError: no plugin that is loaded offers it.
    """
    model, then = record.planned.cell.model, record.planned.provenance.model
    if not then.is_file:
        return
    try:
        catalog.model(model)
    except UsageError as error:
        file = quote(then.distribution)
        raise UsageError(f'model "{model}" was run with the plugin file {file}; add --plugin {file}.') from error


def _names(record: Record) -> set[str]:
    full = record.planned.cell.model
    return {record.planned.label, full, full.partition("/")[2]}


def _figures(asked: Asked, catalog: Catalog, planned: KeyedCell) -> list[AskedFigure]:
    """Return the figures of one model, with the options that are given for all of them.

    Raises:
        UsageError: a figure that there is not, or one that has no such option.
    """
    given: dict[str, OptionValue] = dict(asked.options or {})
    if "target" in given:
        given["target"] = _class(str(given["target"]), planned.class_names)
    able = [name for name, offer in catalog.figures.items() if given.keys() <= offer.spec.declared.keys()]
    names = asked.figures or able
    if not names:
        lacking = "is installed" if not given else f"has the options {', '.join(given)}"
        raise UsageError(f"no figure {lacking}; see `vitbench ls figures`.")
    return asked_figures(names, catalog, given=given)


def _class(text: str, class_names: Sequence[str]) -> str:
    """Return the number of a class that is given by name or number, as text.

    Raises:
        UsageError: there is no such class.
    """
    if text in class_names:
        return str(class_names.index(text))
    if text.isdecimal() and int(text) < len(class_names):
        return str(int(text))
    shown = ", ".join(class_names[:12]) + (", ..." if len(class_names) > 12 else "")
    raise UsageError(f'no class "{text}".{did_you_mean(text, class_names)} There are: {shown}; or give its number.')
