"""What is checked: one offer of a plugin, with what its checks need beside it. Data only, and light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vitbench.catalog import Catalog, PluginSelection
from vitbench.specs import (
    DatasetSpec,
    ExporterSpec,
    FigureSpec,
    MetricSpec,
    ModelSpec,
    OptionValue,
    RecipeSpec,
    SuiteSpec,
)

__all__ = [
    "Case",
    "DatasetCase",
    "ExporterCase",
    "FamilyCase",
    "FigureCase",
    "MetricCase",
    "ModelCase",
    "PluginCase",
    "RecipeCase",
    "SuiteCase",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PluginCase:
    """A whole plugin. Two cases are never equal, so that a plugin is loaded once for all of its checks."""

    plugin: str
    """The name of its entry point, or of its file."""
    alone: PluginSelection
    """The selection that loads only this plugin."""
    catalog: Catalog
    """In which the names that it says are looked up."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelCase:
    """A model. Two cases are never equal, so that what was found out about one can be kept for its other checks."""

    spec: ModelSpec
    """The model; no family."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options in place of the spec's defaults. ``pretrained`` is false where not given: checks need no weights."""
    recipe: RecipeSpec | None = None
    """A baseline's own recipe: it brings the baseline its values, and is called before anything is checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyCase:
    """An open family of models."""

    spec: ModelSpec
    """The family."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DatasetCase:
    """A dataset or a layout. Two cases are never equal, so that its splits can be kept open for its other checks."""

    spec: DatasetSpec
    """The dataset or the layout."""
    root: Path | None = None
    """The folder that holds its files; None if not given."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options in place of the spec's defaults."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecipeCase:
    """A recipe. Two cases are never equal, as with models."""

    spec: RecipeSpec
    """The recipe."""
    model: ModelSpec | None = None
    """The plugin's own model that names it: a baseline gets nothing else, another one where a small network will not
    do; None: it takes any model, and gets the small network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricCase:
    """A metric."""

    spec: MetricSpec
    """The metric."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FigureCase:
    """A figure. Two cases are never equal, so that what it draws can be kept for its other checks."""

    spec: FigureSpec
    """The figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExporterCase:
    """An exporter."""

    spec: ExporterSpec
    """The exporter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteCase:
    """A suite, and the catalog in which its names are looked up."""

    spec: SuiteSpec
    """The suite."""
    catalog: Catalog
    """In which its names are looked up."""


Case = (
    PluginCase | ModelCase | FamilyCase | DatasetCase | RecipeCase | MetricCase | FigureCase | ExporterCase | SuiteCase
)
