"""The hooks. Each takes no arguments and returns an iterable of one frozen type; its docstring is its contract."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pluggy

from vitbench.specs import DatasetSpec, ExporterSpec, FigureSpec, MetricSpec, ModelSpec, RecipeSpec, SuiteSpec

hookspec = pluggy.HookspecMarker("vitbench")
hookimpl = pluggy.HookimplMarker("vitbench")
"""Marks a function of a plugin as a hook: ``@vitbench.hookimpl``. With ``optionalhook=True``, a hook that this vitbench
does not know is ignored.
"""


@hookspec
def vitbench_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Give models, or open families of models.

    Example::

        @vitbench.hookimpl
        def vitbench_models():
            yield vitbench.ModelSpec(name="net", build="mine.net:build", summary="A small convolutional network")
    """


@hookspec
def vitbench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Give datasets with a train and a test split, or layouts of folders.

    Example::

        @vitbench.hookimpl
        def vitbench_datasets():
            yield vitbench.DatasetSpec(name="shapes", open="mine.shapes:open", summary="Drawn shapes", needs_root=False)
    """


@hookspec
def vitbench_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Give recipes: straight-line functions that train a model.

    Example::

        @vitbench.hookimpl
        def vitbench_recipes():
            yield vitbench.RecipeSpec(name="sgd", fit="mine.sgd:fit", summary="Plain SGD", options={"epochs": 10})
    """


@hookspec
def vitbench_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Give metrics: functions of parts of a cell.

    Example::

        @vitbench.hookimpl
        def vitbench_metrics():
            yield vitbench.MetricSpec(
                name="error", measure="mine.metrics:error", unit="fraction", better="lower",
                needs="predictions", summary="1 - top1",
            )
    """


@hookspec
def vitbench_figures() -> Iterable[FigureSpec]:  # type: ignore[empty-body]
    """Give figures: functions that look into a trained model and give what the core draws.

    Example::

        @vitbench.hookimpl
        def vitbench_figures():
            yield vitbench.FigureSpec(name="filters", draw="mine.filters:draw", summary="Filters of the first layer")
    """


@hookspec
def vitbench_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Give formats that `vitbench export` writes: functions that get results as data and write files.

    Example::

        @vitbench.hookimpl
        def vitbench_exporters():
            yield vitbench.ExporterSpec(name="tsv", write="mine.tsv:write", summary="Tab-separated values")
    """


@hookspec
def vitbench_suites() -> Iterable[str | Path | SuiteSpec]:  # type: ignore[empty-body]
    """Give suites: absolute paths of TOML files, or `SuiteSpec`.

    Example::

        @vitbench.hookimpl
        def vitbench_suites():
            yield Path(__file__).with_name("mine.toml")
    """
