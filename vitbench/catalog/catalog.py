"""Find plugins, gather what they offer, and find an offer by its name.

A plugin passes six stages: name, require (`discovery`), load, register, call, validate (`loading`). What fails at one
of them becomes a `Problem` with its owner; the other plugins go on.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from shlex import quote
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from vitbench import contract
from vitbench.catalog.discovery import (
    ALLOW_LIST,
    Candidate,
    Plugin,
    PluginSelection,
    Problem,
    discover,
    problem_of,
    select_plugins,
)
from vitbench.catalog.isolation import stdout_kept
from vitbench.catalog.loading import KINDS, specs_of
from vitbench.errors import UnusableError, UsageError, did_you_mean, reason_of
from vitbench.measurements import LARGEST_BATCH
from vitbench.specs import (
    DatasetSpec,
    ExporterSpec,
    FigureSpec,
    MetricSpec,
    ModelSpec,
    RecipeSpec,
    SuiteSpec,
    load_target,
    sources_of,
)

__all__ = ["ALLOW_LIST", "Catalog", "Offer", "Plugin", "PluginSelection", "Problem", "load_catalog", "select_plugins"]

Spec = TypeVar("Spec", ModelSpec, DatasetSpec, RecipeSpec, MetricSpec, FigureSpec, ExporterSpec, SuiteSpec)


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer(Generic[Spec]):
    """A spec under its full name."""

    name: str
    """``plugin/name``; for a member of a family, the member's name."""
    plugin: Plugin
    spec: Spec


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """All that the installed plugins offer, by full name. Built once, passed as an argument, never changed."""

    plugins: tuple[Plugin, ...] = ()
    problems: tuple[Problem, ...] = ()
    left_out: tuple[str, ...] = ()
    """Installed plugins that were not to be loaded."""
    models: Mapping[str, Offer[ModelSpec]] = field(default_factory=dict)
    datasets: Mapping[str, Offer[DatasetSpec]] = field(default_factory=dict)
    recipes: Mapping[str, Offer[RecipeSpec]] = field(default_factory=dict)
    metrics: Mapping[str, Offer[MetricSpec]] = field(default_factory=dict)
    figures: Mapping[str, Offer[FigureSpec]] = field(default_factory=dict)
    exporters: Mapping[str, Offer[ExporterSpec]] = field(default_factory=dict)
    suites: Mapping[str, Offer[SuiteSpec]] = field(default_factory=dict)

    def model(self, name: str, *, home: str = "") -> Offer[ModelSpec]:
        """Return the model, or the family with the member's name, that a full or short name means.

        Args:
            name: full or short.
            home: the plugin that says the name, in a spec or a suite; what it offers itself takes precedence.

        Raises:
            UsageError: the name is unknown or ambiguous.
            UnusableError: the name belongs to a plugin that is broken.
        """
        if name not in self.models:
            plugin, slash, member = name.partition("/")
            if slash and (family := self._family_of(plugin, member)):
                return Offer(name=name, plugin=family.plugin, spec=family.spec)
        return self._find("model", self.models, name, home)

    def member(self, name: str) -> ModelSpec:
        """Return a model's spec; that of a family's member as the family completes it, which may import its library.

        Args:
            name: full.

        Raises:
            UsageError: the name is unknown, to vitbench or to its family, or it is that of the family itself.
            UnusableError: the family cannot be asked, or its answer cannot be used.
        """
        offer, short = self.model(name), name.partition("/")[2]
        if offer.spec.resolve is None:
            return offer.spec
        if offer.name in self.models:
            raise UsageError(f"""{name} is a family of models; name one of them, see "vitbench ls models '{name}'".""")
        try:
            with contract.gathering():
                found = contract.call(load_target(offer.spec.resolve), {"name": short})
            if not isinstance(found, ModelSpec):
                raise TypeError(f"resolve returned {type(found).__name__}, not a ModelSpec")
            if fault := contract.judge(found, offer.plugin.api).fault:
                raise fault
            if found.is_family or found.name != short:
                raise ValueError(f"resolve returned the model {found.name} for {short}; return the member of that name")
        except LookupError as error:
            raise UsageError(f"model {name}: {error.args[0] if error.args else error}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
            raise UnusableError(f"model {name}: its family could not be queried: {reason_of(error)}") from error
        return found

    def _family_of(self, plugin: str, member: str) -> Offer[ModelSpec] | None:
        """Return the family of a plugin with the longest name that a member's name begins with."""
        families = (offer for offer in self.models.values() if offer.plugin.name == plugin and offer.spec.is_family)
        fitting = [offer for offer in families if member and member.startswith(offer.spec.name[:-1])]
        return max(fitting, key=lambda offer: len(offer.spec.name), default=None)

    def dataset(self, name: str, *, home: str = "") -> Offer[DatasetSpec]:
        """Return the dataset that a full or short name means; arguments and errors as those of `model`."""
        return self._find("dataset", self.datasets, name, home)

    def recipe(self, name: str, *, home: str = "") -> Offer[RecipeSpec]:
        """Return the recipe that a full or short name means; arguments and errors as those of `model`."""
        return self._find("recipe", self.recipes, name, home)

    def metric(self, name: str, *, home: str = "") -> Offer[MetricSpec]:
        """Return the metric that a full or short name means; arguments and errors as those of `model`."""
        return self._find("metric", self.metrics, name, home)

    def figure(self, name: str, *, home: str = "") -> Offer[FigureSpec]:
        """Return the figure that a full or short name means; arguments and errors as those of `model`."""
        return self._find("figure", self.figures, name, home)

    def exporter(self, name: str, *, home: str = "") -> Offer[ExporterSpec]:
        """Return the exporter that a full or short name means; arguments and errors as those of `model`."""
        return self._find("exporter", self.exporters, name, home)

    def suite(self, name: str) -> Offer[SuiteSpec]:
        """Return the suite that a full or short name means; raises as `model` does."""
        return self._find("suite", self.suites, name)

    def fatal(self, *, strict: bool) -> tuple[Problem, ...]:
        """Return the problems that end a command: those of plugin files, and all where plugins are taken strictly."""
        return tuple(problem for problem in self.problems if strict or problem.severity == "fatal")

    def losses(self, plugin: str = "") -> tuple[Problem, ...]:
        """Return the problems by which offers are lost: those of one plugin, or of all."""
        some = (problem for problem in self.problems if plugin in ("", problem.plugin))
        return tuple(problem for problem in some if problem.severity != "warning")

    def _find(self, kind: str, offers: Mapping[str, Offer[Spec]], name: str, home: str = "") -> Offer[Spec]:
        for full in (name, f"{home}/{name}"):
            if full in offers:
                return offers[full]
        same = [full for full in offers if full.partition("/")[2] == name]
        if len(same) == 1:
            return offers[same[0]]
        if same:
            raise UsageError(f'{kind} "{name}" is ambiguous; give one of: {", ".join(sorted(same))}.')
        plugin, slash, _ = name.partition("/")
        lost = self.losses()
        for problem in lost:
            if slash and problem.plugin == plugin:
                raise UnusableError(f'{kind} "{name}" is not available: {problem}.')
        if slash and plugin in self.left_out:
            raise UsageError(f'unknown {kind} "{name}": plugin {plugin} is left out ({ALLOW_LIST}, --no-plugin).')
        known = [*offers, *(full.partition("/")[2] for full in offers)]
        hint = did_you_mean(name, known) or f' See "vitbench ls {kind}s".'
        if kind == "dataset" and not slash:
            hint += f" For a folder of your own, add --data {quote(name)}=PATH."
        raise UsageError(f'unknown {kind} "{name}".{hint}{_broken(lost)}{_absent(self.left_out)}')


def load_catalog(selection: PluginSelection | None = None) -> Catalog:
    """Load plugins.

    Args:
        selection: which; None: all that are installed, or those that ``VITBENCH_PLUGINS`` names.

    Raises:
        UsageError: the selection leaves out a plugin that is not there, or names a file as an installed plugin is.
    """
    found = discover(selection or select_plugins())
    plugins: list[Plugin] = []
    problems: list[Problem] = list(found.problems)
    gathered: dict[str, dict[str, Offer[Any]]] = {kind: {} for kind in KINDS}
    with stdout_kept():
        for candidate in found.candidates:
            plugin, offers, some = _gather(candidate)
            problems.extend(some)
            if plugin is not None:
                plugins.append(plugin)
            for kind, named in offers.items():
                gathered[kind].update(named)
    gathered["metrics"], doubled = _with_own_measurements(gathered["metrics"])
    problems.extend(doubled)
    return Catalog(
        plugins=tuple(plugins),
        problems=tuple(sorted(problems, key=lambda problem: (problem.plugin, problem.distribution))),
        left_out=found.left_out,
        **{kind: MappingProxyType(dict(sorted(offers.items()))) for kind, offers in gathered.items()},
    )


def _gather(candidate: Candidate) -> tuple[Plugin | None, dict[str, dict[str, Offer[Any]]], list[Problem]]:
    """Load one plugin and ask it. No plugin where it does not register."""
    plugin, specs, problems = specs_of(candidate)
    if plugin is None:
        return None, {}, problems
    sources = {module for some in specs.values() for spec in some for module in sources_of(spec)}
    others = sources - {plugin.package, "vitbench", *sys.stdlib_module_names}
    plugin = dataclasses.replace(plugin, sources=tuple(sorted(others)))
    offers = {
        kind: {(name := f"{plugin.name}/{spec.name}"): Offer(name=name, plugin=plugin, spec=spec) for spec in some}
        for kind, some in specs.items()
    }
    return plugin, offers, problems


def _with_own_measurements(
    metrics: Mapping[str, Offer[MetricSpec]],
) -> tuple[dict[str, Offer[MetricSpec]], list[Problem]]:
    """Return the metrics whose measurements have one owner: tables know one by its name alone.

    Of two that claim a name vitbench's own keeps it; of others neither, as with the names of plugins. Names that begin
    with that of the search for the largest batch are the core's, for what is taken there.
    """
    claims: dict[str, list[Offer[MetricSpec]]] = defaultdict(list)
    for offer in metrics.values():
        for given in offer.spec.gives:
            claims[given.name].append(offer)
    refused: dict[str, Problem] = {}
    for name, offers in claims.items():
        for offer in offers if len(offers) > 1 else ():
            if offer.plugin.distribution != "vitbench":
                others = ", ".join(other.name for other in offers if other is not offer)
                words = f'metric {offer.spec.name} gives "{name}", as {others} does; choose another name'
                refused[offer.name] = problem_of(offer.plugin, "validate", words, where="vitbench_metrics")
        for offer in offers if f"{name}_".startswith(f"{LARGEST_BATCH}_") else ():
            words = f'metric {offer.spec.name} gives "{name}"; such names are reserved for the largest batch'
            refused[offer.name] = problem_of(offer.plugin, "validate", words, where="vitbench_metrics")
    return {name: offer for name, offer in metrics.items() if name not in refused}, list(refused.values())


def _broken(problems: Iterable[Problem]) -> str:
    names = sorted({problem.plugin for problem in problems})
    return f' (Broken plugins: {", ".join(names)}; see "vitbench plugins".)' if names else ""


def _absent(left_out: Iterable[str]) -> str:
    names = ", ".join(left_out)
    return f" (Left out by {ALLOW_LIST} or --no-plugin: {names}.)" if names else ""
