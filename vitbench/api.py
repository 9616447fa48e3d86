"""The front: `run()` a suite, `load()` results. The command line calls the same functions."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vitbench.durations import parse_duration
from vitbench.errors import StoreError, UsageError
from vitbench.printable import plain
from vitbench.settings import SCORE_RECIPE, SCORE_SUITE
from vitbench.specs import OptionValue

if TYPE_CHECKING:
    import pandas as pd

    from vitbench.boards.board import Board
    from vitbench.execution.executor import Executor
    from vitbench.leaderboard.leaderboard import Leaderboard
    from vitbench.planning.messages import Prepared
    from vitbench.planning.plan import Plan
    from vitbench.planning.suite import Selection
    from vitbench.records import Compile, Judged, Precision, Record
    from vitbench.report.html.details import Details
    from vitbench.report.verdict_notes import Telling
    from vitbench.running.session import Rerun

__all__ = [
    "Results",
    "boards_shown",
    "load",
    "plan_of",
    "rendered",
    "run",
    "say",
    "score",
    "scored",
    "select",
    "withdraw",
]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Results:
    """The contents of an output folder."""

    folder: Path
    """The folder."""
    records: tuple[Record, ...]
    """All attempts, the newest last."""
    leaderboard: Leaderboard
    """Rows, ranks and failed cells."""
    exit_code: int = 0
    """Exit code of the run that produced these results: 0 if all of its cells are ok, else 1."""

    def __repr__(self) -> str:
        """Return one line: the records hold every raw sample."""
        return f"Results({str(self.folder)!r}, {len(self.records)} records, {len(self.leaderboard.rows)} rows)"

    def rows(self) -> pd.DataFrame:
        """Return the leaderboard as a tidy table: one row per model and condition, some columns for each metric."""
        from vitbench.leaderboard.frames import rows_frame

        return rows_frame(self.leaderboard)

    def boards(self) -> tuple[Board, ...]:
        """Return the boards over datasets: one for each condition that has rows on more than one.

        They cover everything in the folder, whatever the leaderboard shows of it. See docs/boards.md.

        Raises:
            StoreError: the folder can no longer be read.
        """
        from vitbench.boards.boards import boards_of
        from vitbench.store import Store

        with Store.open(self.folder, create=False) as store:
            return boards_of(store, self.leaderboard, self.records)

    def measurements(self) -> pd.DataFrame:
        """Return all measurements of the newest attempts, one row each, with interval, verdict and conditions."""
        from vitbench.leaderboard.frames import measurements_frame

        return measurements_frame(self.records)

    def page(self, *, images: bool = True) -> str:
        """Return the leaderboard as one HTML page that needs no other file.

        Args:
            images: whether it may show small images of the data; if false, figures that show images are omitted, too.

        Raises:
            UnusableError: the packages of the extra `html` are not installed.
            StoreError: the folder can no longer be read.
        """
        return rendered(self, "html", images=images)

    def write_page(self, path: str | Path, *, images: bool = True) -> None:
        """Write the page to a file, and the pictures of figures that it omits to a folder ``figures`` next to it.

        Args:
            path: of the file.
            images: as of `page`.

        Raises:
            UnusableError: the packages of the extra `html` are not installed.
            StoreError: the folder can no longer be read, or the file cannot be written.
        """
        from vitbench.files import replace_file
        from vitbench.report.html import FOLDER, render_page

        path = Path(path)
        beside = path.parent / FOLDER
        try:
            have = {each.name for each in beside.iterdir()} if beside.is_dir() else set()
            page, pictures = render_page(self.leaderboard, _details(self, images=images), have)
            if pictures:
                beside.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{beside} cannot be written: {error.strerror}.") from error
        for name, content in pictures.items():
            replace_file(beside / name, content)
        replace_file(path, page.encode())

    def pictures(self) -> dict[str, bytes]:
        """Return the Pareto pictures and training curves as PNG and SVG files, by file name.

        Raises:
            UnusableError: the package of the extra `plots` is not installed.
        """
        from vitbench.report.plots.pictures import render_pictures

        return render_pictures(self.leaderboard, self.records)


def run(
    suite: str | Path | None = None,
    *,
    output: str | Path | None = None,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    recipe: str = "",
    data: Mapping[str, str | Path] | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
    seeds: Sequence[int] = (),
    epochs: int | None = None,
    limit: int | float | None = None,
    budget: str | float | None = None,
    split: Judged = "test",
    batch_size: int | None = None,
    largest_batch: bool = False,
    speeds: Literal["all", "none", "only"] | None = None,
    settings: Mapping[str, Mapping[str, OptionValue]] | None = None,
    timeout: float | None = None,
    rerun: Rerun | None = None,
    compile: bool | Compile = False,  # noqa: A002 - the word of the command line
    channels_last: bool = False,
    skip_unreadable: bool = False,
    shard: tuple[int, int] | str | None = None,
    plugins: Sequence[str | Path] = (),
    no_plugins: Sequence[str] = (),
    strict_plugins: bool = False,
    executor: str = "local",
    parallel: int | None = None,
    quiet: bool = False,
) -> Results:
    """Run a suite and return the results, as ``vitbench run`` does; it works in scripts, from stdin and in notebooks.

    Args:
        suite: name of a suite, or path of a TOML file; None: ``quick``, or none at all, so that recipes keep their own
            defaults, where both models and datasets are given.
        output: folder for the results; None: ``VITBENCH_OUTPUT``, else ``vitbench-results``.
        models: models to use instead of the suite's, such as ``"scratch/vit:depth=4"``.
        datasets: datasets to use instead of the suite's, with options as for models: ``"mine/shades:fold=2"``.
        recipe: the recipe for all models except baselines, such as ``"linear-probe"``, overriding suite and models.
        data: locations of datasets by name; a new name defines a dataset.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: float32, bfloat16, float16 or tf32.
        threads: torch threads; None: the suite's, else all usable cores.
        seeds: seeds to use instead of the suite's.
        epochs: number of epochs instead of the recipe's; the results are marked partial.
        limit: images of each split (int), or a share of them (float, at most 1.0); the results are marked partial.
        budget: how long the whole run may take, such as ``"30m"``, or a number of seconds. It fixes the number of steps
            of each training before the first one; rows with a budget are ranked among themselves.
        split: what models are judged on: "test", or "val" for validation images, or for a recipe's predictions of
            images that it held out; then no test image is read, and rows are ranked separately from those of the test
            split.
        batch_size: batch size of the speed cells, in addition to 1.
        largest_batch: also find the largest batch that fits.
        speeds: "all" measures speeds, "none" leaves them out, "only" trains and evaluates nothing; None: all, but none
            where `epochs` or `limit` is given, unless `batch_size`, `largest_batch` or ``rerun="speed"`` asks for them.
        settings: recipe options by recipe name.
        timeout: time limit in seconds of each process of a cell.
        rerun: "failed" also reruns failed cells, "speed" measures all speeds again, on another occasion, "all" reruns
            all cells; None: run only what is missing.
        compile: use torch.compile; True means its default mode, "reduce-overhead" also records CUDA graphs.
        channels_last: use the channels-last memory format.
        skip_unreadable: skip images that cannot be read; they are counted and named, and scores are marked.
        shard: ``(k, n)`` or ``"k/n"``: run the k-th of n parts of the plan, counted from 1; `vitbench.merging` joins
            the folders of all parts.
        plugins: plugin files, in addition to the installed plugins; what they offer is named after the file.
        no_plugins: installed plugins not to load.
        strict_plugins: treat any problem with a plugin as an error.
        executor: "local", this machine and one cell at a time; or "ray", a Ray cluster of this machine for the time of
            the run, "ray=HOST:PORT" one of several machines, with ",machine=LABEL" those of one class
            (`docs/many-machines.md`).
        parallel: with ray, how many cells run at once; None: as many as the machines hold.
        quiet: print nothing on stderr.

    Raises:
        VitbenchError: the user made a mistake or something is missing; its ``exit_code`` is that of the command line.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    asked = {**locals()}  # the arguments, before anything else has a name here
    from vitbench.execution.choice import opened_executor
    from vitbench.execution.stopping import stoppable
    from vitbench.running import session
    from vitbench.running.pacing import paced
    from vitbench.store import default_output

    if rerun not in (None, "failed", "speed", "all"):
        raise UsageError(f'vitbench.run(): rerun must be None, "failed", "speed" or "all", not {rerun!r}')
    if timeout is not None and not timeout > 0:  # nor is NaN
        raise UsageError(f"vitbench.run(): timeout must be above 0, not {timeout}")
    for name in ("output", "timeout", "executor", "parallel"):
        del asked[name]
    given = Path(output) if output else default_output()
    folder = _absolute(given)
    tell = (lambda _: None) if quiet else say
    if executor != "local":
        _check_elsewhere(budget=budget, device=device)
    with stoppable(), opened_executor(executor, parallel, tell) as place:
        # A plan that was made elsewhere rests on more than can be seen here.
        known = None if place.elsewhere else partial(session.done_before, folder, rerun, shard=_shard(shard))
        planned = plan_of(place, known=known, **asked)
        if place.elsewhere:
            budgets = (getattr(planned_cell.cell, "budget", None) for planned_cell in planned.prepared.cells)
            _check_elsewhere(budget=next(filter(None, budgets), None), device=device)
        pace = paced(planned, folder, executor=place, rerun=rerun, say=tell)
        code = session.execute(planned, folder, executor=place, rerun=rerun, timeout=timeout, quiet=quiet, pace=pace)
    # As it was given, unless the working directory was removed meanwhile.
    return dataclasses.replace(load(folder), folder=given if given.exists() else folder, exit_code=code)


def _check_elsewhere(*, budget: object, device: str) -> None:
    """Refuse what has no meaning on several machines.

    Raises:
        UsageError: a budget, which is the time of one machine, or a GPU by its number, which Ray chooses.
    """
    if budget is not None:
        raise UsageError("a budget divides the time of one machine; drop --budget or --executor ray.")
    if device.partition(":")[2]:
        raise UsageError("with --executor ray, Ray gives each cell a GPU: --device cuda, without a number.")


def score(
    data: str | Path,
    models: Sequence[str],
    *,
    classes: Literal["subset", "all"] = "subset",
    class_map: str | Path | None = None,
    **how: Any,
) -> Results:
    """Score models with their own heads, without training, as ``vitbench score`` does.

    Args:
        data: the name of a dataset, optionally with options, a folder, or ``"name=folder"``. A dataset takes precedence
        over a folder of its name, which is meant by ``"./name"``.
        models: such as ``"scratch/vit-tiny:checkpoint=w.safetensors"``.
        classes: for a head with more classes than the data: "subset" drops the others, "all" lets them compete.
        class_map: a CSV, JSON or TOML file that maps classes of the head to classes of the data; None: they are matched
            by name.
        how: `output`, `device`, `precision`, `threads`, `limit`, `timeout`, `rerun`, `compile`, `channels_last`,
            `skip_unreadable`, `plugins`, `no_plugins`, `strict_plugins` and `quiet`, as `run` takes them.

    Raises:
        VitbenchError: as `run` does.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    plugins = {name: how.get(name, ()) for name in ("plugins", "no_plugins")}
    return run(**scored(data, models, classes=classes, class_map=class_map, **plugins), **how)


def scored(
    data: str | Path,
    models: Sequence[str],
    *,
    classes: Literal["subset", "all"] = "subset",
    class_map: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    no_plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the arguments of `run` that score models, except `plugins` and those that `score` passes on as well.

    Arguments are as in `score`.

    Raises:
        UsageError: no model is named.
        UnusableError: the data are neither a folder nor a dataset.
    """
    from vitbench.catalog import load_catalog, select_plugins
    from vitbench.planning.heads import CLASS_MAP, CLASSES
    from vitbench.planning.place import place_of

    if isinstance(models, str) or not models:
        raise UsageError("vitbench score needs models: give --model once per model.")
    place = place_of(str(data), load_catalog(select_plugins(plugins, no_plugins)))
    options: dict[str, OptionValue] = {CLASSES: classes} if classes != "subset" else {}
    options |= {CLASS_MAP: str(class_map)} if class_map else {}
    return {
        "suite": SCORE_SUITE.partition("/")[2],
        "models": tuple(models),
        "datasets": (place.dataset,),
        "data": place.data,
        "settings": {SCORE_RECIPE: options} if options else {},
    }


def _shard(given: tuple[int, int] | str | None) -> str:
    """Return which part of a plan is to run, ``K/N``; empty: all of it.

    Raises:
        UsageError: it is neither, or out of range.
    """
    from vitbench.sharding import Shard

    if given is None or given == "":
        return ""
    text = given if isinstance(given, str) else "/".join(map(str, given)) if isinstance(given, tuple) else repr(given)
    return str(Shard.read(text))


def _absolute(folder: Path) -> Path:
    """Return a folder as it is called wherever one stands.

    Raises:
        StoreError: it is named from the working directory, which was removed.
    """
    try:
        return folder.absolute()
    except FileNotFoundError:
        raise StoreError(
            f"the working directory was removed; change to one that exists, or give {folder} as an absolute path."
        ) from None


def plan_of(
    executor: Executor,
    *,
    rerun: Rerun | None = None,
    strict_plugins: bool,
    quiet: bool,
    known: Callable[[str], Prepared | None] | None = None,
    **asked: Any,
) -> Plan:
    """Return what `run` would run with the same arguments; nothing is written but the image cache.

    `known` is as in `vitbench.planning.plan.plan`.

    Raises:
        VitbenchError: as `run` does.
    """
    from vitbench.planning.plan import plan

    if rerun == "speed":
        if asked.get("speeds") == "none":
            raise UsageError("--rerun speed measures speeds, but --speeds none skips them; give only one of them.")
        asked["speeds"] = asked.get("speeds") or "all"
    quietly = (lambda _: None) if quiet else say
    return plan(select(**asked), executor=executor, strict_plugins=strict_plugins, say=quietly, known=known)


def select(**asked: Any) -> Selection:
    """Return what the arguments of `run` select, checked; those that are left out are as by default.

    Raises:
        UsageError: an argument has a wrong type or value, or one that cannot be written down.
    """
    from vitbench.planning.suite import Conditions, Selection

    for name in ("plugins", "no_plugins"):
        if isinstance(asked.get(name), (str, Path)):
            raise UsageError(f"vitbench.run(): {name} must be a list, not {asked[name]!r}")
    data = asked.get("data") or {}
    asked["budget"] = _seconds(asked.get("budget"))
    if asked["budget"] is not None and asked.get("epochs") is not None:
        raise UsageError("--epochs and --budget both set the training length; give only one of them.")
    if asked["budget"] is not None and asked.get("speeds") == "only":
        raise UsageError("--budget sets the training length, but --speeds only trains nothing; drop one of them.")
    if asked.get("split") == "val" and asked.get("speeds") == "only":
        raise UsageError(
            "--split val chooses the images to evaluate on, but --speeds only evaluates nothing; drop one of them."
        )
    asked |= {
        "shard": _shard(asked.get("shard")),
        "suite": str(asked.get("suite") or ""),
        "data": {name: str(path) for name, path in data.items()} if isinstance(data, Mapping) else data,
        "settings": asked.get("settings") or {},
        "conditions": {name: asked.pop(name) for name in Conditions.__struct_fields__ if name in asked},
    }
    mode = asked["conditions"].get("compile")
    asked["conditions"]["compile"] = "default" if mode is True else mode or ""
    if isinstance(asked.get("plugins"), Sequence):
        asked["plugins"] = [str(each) if isinstance(each, Path) else each for each in asked["plugins"]]
    try:
        selection = msgspec.convert(asked, Selection)
        msgspec.json.encode(selection)  # as the store keeps it: no surrogates of odd file names
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`").removeprefix("conditions.")
        raise UsageError(f"vitbench.run(): {name}: {_in_python(words[:1].lower() + words[1:])}") from error
    except UnicodeEncodeError as error:
        words = f'"{error.object}" is not UTF-8 and cannot be stored; rename it, or use a link with another name'
        raise UsageError(plain(f"vitbench.run(): {words}")) from error
    except (OverflowError, ValueError) as error:
        raise UsageError(f"vitbench.run(): a value cannot be stored: {error}") from error
    for recipe, options in selection.settings.items():
        for name, value in options.items():
            numbers = [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, float)]
            if not all(map(math.isfinite, numbers)):
                raise UsageError(f"vitbench.run(): settings: {name} of {recipe} must be a finite number, not {value}")
    return msgspec.structs.replace(selection, seeds=tuple(dict.fromkeys(selection.seeds)))


def _in_python(words: str) -> str:
    """Return the words of msgspec on a wrong type with the names that types have in Python, not in JSON."""
    if not words.startswith("expected "):
        return words
    names = {"array": "list", "object": "dict", "null": "None"}
    return re.sub(r"\b(array|object|null)\b", lambda found: names[found[0]], words)


def _seconds(budget: Any) -> Any:
    """Return the seconds of a budget that is a text; else what it is, to be checked with the rest.

    Raises:
        UsageError: the text is not a duration.
    """
    if not isinstance(budget, str):
        return budget
    try:
        return parse_duration(budget)
    except ValueError as error:
        raise UsageError(f"vitbench.run(): budget: {error}") from error


def load(
    folder: str | Path | None = None,
    *,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    where: str = "",
    sort: str = "",
    columns: Sequence[str] = (),
) -> Results:
    """Return the contents of an output folder.

    Args:
        folder: the folder; None: ``VITBENCH_OUTPUT``, else ``vitbench-results``.
        models: the leaderboard shows and ranks those that match one of these patterns, and none that matches one
            prefixed with ``!``; empty: all. `Results.records` always has all of them.
        datasets: likewise.
        where: the leaderboard shows the rows whose metrics meet a condition, such as ``"throughput > 500 and
            peak_memory < 1 GiB"``; their ranks stay those among all rows. Empty: all.
        sort: a metric, best first, or with a ``-`` prefix, worst first; ``image_size``, ``pretrained_on``,
            ``licence``, ``normalisation``, ``lineage``, ``recipe`` and ``passes``, too. Empty: by rank.
        columns: these and the metrics that tables and the page have columns for, in this order; empty: as metrics say.

    Raises:
        UsageError: a pattern matches nothing, no row meets the condition, the condition cannot be parsed, or a name is
            unknown.
        StoreError: it is missing, unreadable or from another version.
    """
    from vitbench.leaderboard.results import read_results
    from vitbench.leaderboard.selecting import Patterns
    from vitbench.leaderboard.view import View, viewed
    from vitbench.store import default_output

    place = Path(folder) if folder else default_output()
    for name, patterns in (("models", models), ("datasets", datasets), ("columns", columns)):
        if isinstance(patterns, str):
            raise UsageError(f"vitbench.load(): {name} must be a list, not {patterns!r}")
    asked = Patterns(models=tuple(models), datasets=tuple(datasets)) if models or datasets else None
    records, leaderboard = read_results(place, asked)
    view = View(where=where, sort=sort, columns=tuple(columns))
    return Results(folder=place, records=tuple(records), leaderboard=viewed(leaderboard, view))


def withdraw(folder: str | Path, id: str, *, reason: str) -> Results:  # noqa: A002 - what records call it
    """Withdraw the result of one cell and return the results that remain; nothing is deleted.

    A record of the withdrawal is appended: the leaderboard lists the cell without a result, and the next run that
    includes it runs it again.

    Args:
        folder: the output folder.
        id: the id of the cell or the beginning of it, as ``vitbench show`` lists it.
        reason: the reason.

    Raises:
        UsageError: no such cell, several cells, a cell that is already withdrawn, or no reason.
        StoreError: the folder contains no results or cannot be written, or a run is using it.
    """
    from vitbench.running.withdrawing import withdraw as append

    append(Path(folder), id, reason)
    return load(folder)


def rendered(results: Results, name: str, *, verdicts: Telling = "counted", images: bool = True) -> str:
    """Return the leaderboard of some results in a format of `vitbench.report.formats`, a page perhaps without images.

    Raises:
        UnusableError: the packages of the format's extra are not installed.
        StoreError: the folder can no longer be read, and the format needs more than the leaderboard.
    """
    from vitbench.report.formats import FORMATS, render

    boards = boards_shown(results) if "boards" in FORMATS[name].takes else ()
    return render(
        results.leaderboard,
        name,
        details=lambda: _details(results, images=images),
        verdicts=verdicts,
        boards=boards,
        folder=str(results.folder),
    )


def boards_shown(results: Results) -> tuple[Board, ...]:
    """Return the boards that stand beside a leaderboard (`vitbench.boards.boards.boards_beside`).

    Raises:
        StoreError: the folder can no longer be read.
    """
    from vitbench.boards.boards import boards_beside
    from vitbench.store import Store

    with Store.open(results.folder, create=False) as store:
        return boards_beside(store, results.leaderboard, results.records)


def _details(results: Results, *, images: bool) -> Details:
    from vitbench.report.html.details import read_details
    from vitbench.store import Store

    with Store.open(results.folder, create=False) as store:
        return read_details(store, results.leaderboard, results.records, images=images)


def say(text: str) -> None:
    """Say a sentence on stderr, if it can be written: that must not end a run."""
    if sys.stderr is not None:  # where a program has none, print would choose stdout
        with contextlib.suppress(OSError, ValueError):  # full, a terminal that is gone; closed
            print(plain(text), file=sys.stderr, flush=True)
