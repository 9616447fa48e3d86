"""From Python: `run()` a suite, `load()` results. The command line is a thin layer over the same functions."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vitbench.errors import UsageError
from vitbench.printable import plain
from vitbench.specs import OptionValue

if TYPE_CHECKING:
    import pandas as pd

    from vitbench.leaderboard.leaderboard import Leaderboard
    from vitbench.planning.suite import Selection
    from vitbench.records import Precision, Record
    from vitbench.running.session import Rerun
    from vitbench.store import Store

__all__ = ["Results", "default_output", "load", "run"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Results:
    """What an output folder holds."""

    folder: Path
    records: tuple[Record, ...]
    """All attempts, the newest last."""
    leaderboard: Leaderboard
    exit_code: int = 0
    """Of the run that gave these results: 0 when all of its cells are ok, else 1."""

    def __repr__(self) -> str:
        """Return one line: the records hold every raw sample."""
        return f"Results({str(self.folder)!r}, {len(self.records)} records, {len(self.leaderboard.rows)} rows)"

    def rows(self) -> pd.DataFrame:
        """Return the leaderboard as a tidy table: one row a model and condition, some columns for each metric."""
        from vitbench.leaderboard.frames import rows_frame

        return rows_frame(self.leaderboard)

    def measurements(self) -> pd.DataFrame:
        """Return all measurements of the newest attempts, one row each, with interval, verdict and conditions."""
        from vitbench.leaderboard.frames import measurements_frame

        return measurements_frame(self.records)

    def page(self) -> str:
        """Return the leaderboard as one HTML page that needs no other file.

        Raises:
            UnusableError: the packages of the extra `html` are not installed.
            StoreError: the folder can no longer be read.
        """
        from vitbench.report.html import render_html
        from vitbench.report.html.details import read_details
        from vitbench.store import Store

        with Store.open(self.folder, create=False) as store:
            details = read_details(store, self.leaderboard, self.records)
        return render_html(self.leaderboard, details)

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
    data: Mapping[str, str | Path] | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    threads: int | None = None,
    seeds: Sequence[int] = (),
    epochs: int | None = None,
    limit: int | float | None = None,
    batch_size: int | None = None,
    largest_batch: bool = False,
    settings: Mapping[str, Mapping[str, OptionValue]] | None = None,
    timeout: float | None = None,
    rerun: Rerun | None = None,
    compile: bool = False,  # noqa: A002 - the word of the command line
    channels_last: bool = False,
    plugins: Sequence[str | Path] = (),
    no_plugins: Sequence[str] = (),
    strict_plugins: bool = False,
    quiet: bool = False,
) -> Results:
    """Run a suite and return the results, as ``vitbench run`` does; it works in scripts, from stdin and in notebooks.

    Args:
        suite: name of a suite, or path of a TOML file; None: ``quick``, or none at all, so that recipes keep their own
            defaults, where both models and datasets are given.
        output: folder for the results; None: ``VITBENCH_OUTPUT``, else ``vitbench-results``.
        models: in place of the suite's, such as ``"scratch/vit:depth=4"``.
        datasets: in place of the suite's.
        data: where data sets lie, by name; a new name defines a data set.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: float32, bfloat16, float16 or tf32.
        threads: torch threads; None: the suite's, else all usable cores.
        seeds: in place of the suite's.
        epochs: in place of the recipe's; marks the results partial.
        limit: images of each split, or a share below 1; marks the results partial.
        batch_size: of the speed cells, beside 1.
        largest_batch: search the largest batch that fits, too.
        settings: recipe options by recipe name.
        timeout: seconds for each process of a cell.
        rerun: "failed" runs failed cells again, "all" runs all; None: what is missing.
        compile: use torch.compile.
        channels_last: use the channels-last memory format.
        plugins: plugin files, beside the installed plugins; what they offer is called as the file is.
        no_plugins: installed plugins to leave out.
        strict_plugins: make any problem with a plugin an error.
        quiet: say nothing on stderr.

    Raises:
        VitbenchError: a user's mistake or a lack; its ``exit_code`` is the command line's.
        KeyboardInterrupt: the run was interrupted; its records are kept.
    """
    from vitbench.catalog.discovery import select_plugins
    from vitbench.planning.suite import Selection
    from vitbench.running import session

    asked = {
        "models": models,
        "datasets": datasets,
        "seeds": seeds,
        "batch_size": batch_size,
        "largest_batch": largest_batch,
        "settings": settings or {},
        "data": {name: str(path) for name, path in (data or {}).items()},
        "conditions": {
            "device": device,
            "precision": precision,
            "threads": threads,
            "limit": limit,
            "epochs": epochs,
            "compile": compile,
            "channels_last": channels_last,
        },
    }
    try:
        selection = msgspec.convert(asked, Selection)
    except msgspec.ValidationError as error:
        raise UsageError(f"vitbench.run(): {error}") from error
    if rerun not in (None, "failed", "all"):
        raise UsageError(f'vitbench.run(): rerun must be None, "failed" or "all", not {rerun!r}')
    for name, given in (("plugins", plugins), ("no_plugins", no_plugins)):
        if isinstance(given, (str, Path)):
            raise UsageError(f"vitbench.run(): {name} must be a list, not {given!r}")
    if timeout is not None and timeout <= 0:
        raise UsageError(f"vitbench.run(): timeout must be above 0, not {timeout}")
    planned = session.plan(
        str(suite) if suite else None,
        selection,
        plugins=select_plugins(plugins, no_plugins),
        strict_plugins=strict_plugins,
        say=_silent if quiet else _say,
    )
    folder = Path(output) if output else default_output()
    others = {
        "--suite": suite or None,
        "--output": output or None,
        "--timeout": timeout,
        "--rerun": rerun,
        "--plugin": tuple(plugins),
        "--no-plugin": tuple(no_plugins),
        "--strict-plugins": strict_plugins,
        "--quiet": quiet,
    }
    command = _command_line(selection, others)
    code = session.execute(planned, folder, rerun=rerun, timeout=timeout, quiet=quiet, command=command)
    return dataclasses.replace(load(folder), exit_code=code)


def _command_line(selection: Selection, others: Mapping[str, object]) -> str:
    """Return the command line that asks for the same, so that a record tells in one way how it came about.

    Args:
        selection: what is asked for, over the suite.
        others: the other options: a value, all values, or whether a flag is set; None: not given.
    """
    conditions = msgspec.structs.asdict(selection.conditions)
    untouched = msgspec.structs.asdict(type(selection.conditions)())
    options = {
        **others,
        "--model": selection.models,
        "--dataset": selection.datasets,
        "--data": tuple(f"{name}={path}" for name, path in selection.data.items()),
        "--seed": selection.seeds,
        "--batch-size": selection.batch_size,
        "--largest-batch": selection.largest_batch,
        "--set": tuple(
            f"{recipe}.{name}={_written(value)}"
            for recipe, values in selection.settings.items()
            for name, value in values.items()
        ),
        **{f"--{name.replace('_', '-')}": each for name, each in conditions.items() if each != untouched[name]},
    }
    words = ["vitbench", "run"]
    for option, given in options.items():
        if isinstance(given, bool):
            words += [option] * given
        elif given is not None:
            words += [
                word for each in (given if isinstance(given, tuple) else (given,)) for word in (option, _written(each))
            ]
    return shlex.join(words)


def _written(value: object) -> str:
    """Return a value as the command line reads it: a fraction has a dot and no exponent."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value)


def load(folder: str | Path | None = None) -> Results:
    """Return what an output folder holds.

    Raises:
        StoreError: it is missing, unreadable or of another version.
    """
    from vitbench.leaderboard.image_scores import read_outcomes
    from vitbench.leaderboard.leaderboard import build
    from vitbench.store import Store

    place = Path(folder) if folder else default_output()
    with Store.open(place, create=False) as store:
        records, rank_by = _relabelled(store.records(), store), store.rank_by()
        leaderboard = build(
            records,
            store.pending(),
            rank_by,
            outcomes=lambda record: read_outcomes(store.predictions_path(record.key), rank_by),
        )
    return Results(folder=place, records=tuple(records), leaderboard=leaderboard)


def _relabelled(records: Sequence[Record], store: Store) -> list[Record]:
    """Return records under the labels that the newest run gives their models: a label is in no key."""
    runs = store.runs()
    labels = {cell.id: cell.label for cell in store.planned(runs[-1].id)} if runs else {}
    return [
        record
        if labels.get(record.id, record.planned.label) == record.planned.label
        else msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, label=labels[record.id]))
        for record in records
    ]


def default_output() -> Path:
    """Return ``VITBENCH_OUTPUT``, else ``vitbench-results``."""
    return Path(os.environ.get("VITBENCH_OUTPUT") or "vitbench-results")


def _say(text: str) -> None:
    print(plain(text), file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """Say nothing."""
