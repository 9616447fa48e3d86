"""An MLflow store, ``mlflow.db`` with ``artifacts``: a run per training and timing, written by MLflow's own client.

A run is known by its tag ``vitbench.key``: in a store that has it already it is left as it is, so that exporting into
one store twice doubles nothing. MLflow's metrics have no place for a verdict: a value that is to be taken with care has
a tag ``verdict.NAME`` with the reasons and ``doubtful`` in its name; an invalid one is left out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import vitbench
from vitbench.exporting import ExportedCell, ExportedResults, file_name
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]

_MOST_PARAMS, _MOST_METRICS = 100, 1000
"""Of one call (https://mlflow.org/docs/latest/rest-api.html#log-batch)."""
_LONGEST_TEXT = 4000
_DATABASE, _ARTIFACTS = "mlflow.db", "artifacts"
Item = TypeVar("Item")


def write(results: ExportedResults, output: Path, experiment: str, pictures: bool) -> list[str]:
    """Write the store, or what an existing one lacks.

    Raises:
        UsageError: the experiment has no name.
        UnusableError: the store is not one of this MLflow.
    """
    if not experiment.strip():
        raise vitbench.UsageError("mlflow: the experiment needs a name; leave out experiment=, or give one.")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # nothing leaves this machine
    store = f"sqlite:///{output / _DATABASE}"
    with _quiet():
        return _written(results, output, store, experiment, pictures=pictures)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence how MLflow makes its tables, and its warnings of its own use of SQLAlchemy; levels are restored."""
    import mlflow  # noqa: F401 - which sets the levels

    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _written(results: ExportedResults, output: Path, store: str, experiment: str, *, pictures: bool) -> list[str]:
    """Write into a store; return notes."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(store, registry_uri=store)
        found = client.get_experiment_by_name(experiment)
        number = (
            found.experiment_id
            if found
            else client.create_experiment(experiment, artifact_location=(output / _ARTIFACTS).as_uri())
        )
        known = _known(client, number)
        left_out = LeftOut()
        cells = [cell for cell in results.cells if cell.kind != "figure" and cell.key not in known]
        for cell in cells:
            _write_run(client, number, cell, left_out, pictures=pictures)
    except MlflowException as error:
        raise vitbench.UnusableError(f"mlflow: {' '.join(str(error).split())}") from error
    notes = [f"Runs that already existed: {len(known):,}."] if known else []
    return [*notes, *left_out.notes(), f"Open it: mlflow ui --backend-store-uri {store}"]


def _known(client: Any, experiment: str) -> set[str]:
    """Return the keys of the cells that an experiment has runs of."""
    keys: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        keys |= {run.data.tags["vitbench.key"] for run in page if "vitbench.key" in run.data.tags}
        token = page.token
        if not token:
            return keys


def _write_run(client: Any, experiment: str, cell: ExportedCell, left_out: LeftOut, *, pictures: bool) -> None:
    from mlflow.entities import Metric, Param, RunTag

    ended = int(1000 * (cell.started + cell.seconds))
    where = f"seed {cell.seed}" if cell.kind == "quality" else f"{cell.mode}, batch {cell.batch_size}"
    name = ", ".join(filter(None, (cell.label, cell.dataset_title, where)))
    run = client.create_run(experiment, start_time=int(1000 * cell.started), run_name=_text(name)).info.run_id
    metrics, tags = [], _tags(cell)
    for value in cell.values.values():
        if value.value is None or not value.usable:
            left_out.add("invalid values", value.value is not None)
            continue
        key = _key(value.name)
        if value.verdict != "valid":
            tags[f"verdict.{key}"] = value.remark
            key += "_doubtful"
        parts = (("", value.value), (".low", value.low), (".high", value.high))
        metrics += [Metric(key + part, number, ended, 0) for part, number in parts if number is not None]
    for number, epoch in enumerate(cell.curve, 1):
        step = int(epoch.get("epoch", number))
        metrics += [
            Metric(f"curve.{_key(column)}", value, ended, step)
            for column, value in epoch.items()
            if column != "epoch" and isinstance(value, (int, float)) and math.isfinite(value)
        ]
    params = [Param(_key(key), _text(str(value))) for key, value in _params(cell)]
    for some in _in_parts(params, _MOST_PARAMS):
        client.log_batch(run, params=some)
    for few in _in_parts(metrics, _MOST_METRICS):
        client.log_batch(run, metrics=few)
    for pairs in _in_parts([RunTag(key, _text(value)) for key, value in tags.items()], _MOST_PARAMS):
        client.log_batch(run, tags=pairs)
    client.log_text(run, json.dumps(cell.content, indent=2), "record.json")
    for number, picture in enumerate(cell.pictures() if pictures else (), 1):
        part = file_name(f"{picture.figure}-{picture.step or number}")
        _log_png(client, run, picture.png, f"{number}-{part}.png")
    status = "FINISHED" if cell.status == "ok" else "FAILED"
    client.set_terminated(run, status, end_time=ended)


def _log_png(client: Any, run: str, png: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(png)
        client.log_artifact(run, str(path), "figures")


def _tags(cell: ExportedCell) -> dict[str, str]:
    tags = {
        "vitbench.key": cell.key,
        "vitbench.id": cell.id,
        "vitbench.kind": cell.kind,
        "vitbench.run": cell.run,
        "vitbench.status": cell.status,
        "vitbench.machine": cell.machine,
        "vitbench.torch": cell.torch,
    }
    return tags | ({"vitbench.reason": cell.reason} if cell.reason else {})


def _params(cell: ExportedCell) -> Iterator[tuple[str, object]]:
    for name in ("label", "model", "dataset", "recipe", "seed", "split", "mode", "batch_size", "device", "precision"):
        value = getattr(cell, name)
        if value is not None and value != "":
            yield name, value
    yield "threads", cell.threads
    yield "image_size", "x".join(map(str, cell.image_size))
    yield from ((f"model.{name}", value) for name, value in cell.options.items())
    yield from ((f"recipe.{name}", value) for name, value in cell.recipe_options.items())


def _key(name: str) -> str:
    """Return a name in the characters that MLflow takes, and that mean nothing in a path."""
    return re.sub(r"[^A-Za-z0-9_. -]+", "-", name).strip(" .-/")[:200] or "x"


def _text(value: str) -> str:
    return value.encode(errors="backslashreplace").decode()[:_LONGEST_TEXT]


def _in_parts(items: Sequence[Item] | Iterable[Item], most: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, most)):
        yield part
