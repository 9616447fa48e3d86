"""Find plugins, load each alone, and gather what they offer. The only module that runs pluggy.

A plugin passes six stages: name, require (`discovery`), load, register, call, validate. What fails at one of them
becomes a `Problem` with its owner; the other plugins go on.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import pluggy

import vitbench.hookspecs
from vitbench import contract
from vitbench.catalog.discovery import (
    ALLOW_LIST,
    GROUP,
    Candidate,
    Plugin,
    PluginSelection,
    Problem,
    Stage,
    discover,
    problem_of,
    select_plugins,
)
from vitbench.catalog.isolation import stdout_kept, undone
from vitbench.errors import UnusableError, UsageError, did_you_mean, reason_of
from vitbench.specs import DatasetSpec, MetricSpec, ModelSpec, RecipeSpec, SuiteSpec, load_target, sources_of

__all__ = ["ALLOW_LIST", "Catalog", "Offer", "Plugin", "PluginSelection", "Problem", "load_catalog", "select_plugins"]

Spec = TypeVar("Spec", ModelSpec, DatasetSpec, RecipeSpec, MetricSpec, SuiteSpec)

_KINDS: Mapping[str, tuple[str, type]] = MappingProxyType(
    {
        "models": ("vitbench_models", ModelSpec),
        "datasets": ("vitbench_datasets", DatasetSpec),
        "recipes": ("vitbench_recipes", RecipeSpec),
        "metrics": ("vitbench_metrics", MetricSpec),
        "suites": ("vitbench_suites", SuiteSpec),
    }
)


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
    suites: Mapping[str, Offer[SuiteSpec]] = field(default_factory=dict)

    def model(self, name: str, *, home: str = "") -> Offer[ModelSpec]:
        """Return the model, or the family with the member's name, that a full or short name means.

        Args:
            name: full or short.
            home: the plugin that says the name, in a spec or a suite; what it offers itself goes before all others.

        Raises:
            UsageError: the name is unknown or ambiguous.
            UnusableError: the name belongs to a plugin that is broken.
        """
        plugin, _, member = name.partition("/")
        family = self.models.get(f"{plugin}/*") if member else None
        if family and name not in self.models and member != "*":
            return Offer(name=name, plugin=family.plugin, spec=family.spec)
        return self._find("model", self.models, name, home)

    def member(self, name: str) -> ModelSpec:
        """Return a model's spec; that of a family's member as the family completes it, which may import its library.

        Args:
            name: full.

        Raises:
            UsageError: the name is unknown, to vitbench or to its family.
            UnusableError: the family cannot be asked.
        """
        spec = self.model(name).spec
        if spec.resolve is None:
            return spec
        try:
            found = contract.call(load_target(spec.resolve), {"name": name.partition("/")[2]})
            if not isinstance(found, ModelSpec):
                raise TypeError(f"resolve returned {type(found).__name__}, not a ModelSpec")
        except LookupError as error:
            raise UsageError(f"model {name}: {error.args[0] if error.args else error}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
            raise UnusableError(f"model {name}: its family could not be asked: {reason_of(error)}") from error
        return found

    def dataset(self, name: str, *, home: str = "") -> Offer[DatasetSpec]:
        """Return the dataset that a full or short name means; arguments and errors as those of `model`."""
        return self._find("dataset", self.datasets, name, home)

    def recipe(self, name: str, *, home: str = "") -> Offer[RecipeSpec]:
        """Return the recipe that a full or short name means; arguments and errors as those of `model`."""
        return self._find("recipe", self.recipes, name, home)

    def suite(self, name: str) -> Offer[SuiteSpec]:
        """Return the suite that a full or short name means; raises as `model` does."""
        return self._find("suite", self.suites, name)

    def fatal(self, *, strict: bool) -> tuple[Problem, ...]:
        """Return the problems that end a command: those of plugin files, and all where plugins are taken strictly."""
        return tuple(problem for problem in self.problems if strict or problem.severity == "fatal")

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
        lost = [problem for problem in self.problems if problem.severity != "warning"]
        for problem in lost:
            if slash and problem.plugin == plugin:
                raise UnusableError(f'{kind} "{name}" is not available: {problem}.')
        if slash and plugin in self.left_out:
            raise UsageError(f'unknown {kind} "{name}": plugin {plugin} is left out ({ALLOW_LIST}, --no-plugin).')
        known = [*offers, *(full.partition("/")[2] for full in offers)]
        hint = did_you_mean(name, known) or f' See "vitbench ls {kind}s".'
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
    gathered: dict[str, dict[str, Offer[Any]]] = {kind: {} for kind in _KINDS}
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
    """Load, register, call and validate one plugin. No plugin where it does not register."""
    manager, problems = _hooks_of(candidate)
    if manager is None:
        return None, {}, problems
    specs, found = _ask(candidate.plugin, manager)
    sources = {module for some in specs.values() for spec in some for module in sources_of(spec)}
    others = sources - {candidate.plugin.package, "vitbench", *sys.stdlib_module_names}
    plugin = dataclasses.replace(candidate.plugin, sources=tuple(sorted(others)))
    offers = {
        kind: {(name := f"{plugin.name}/{spec.name}"): Offer(name=name, plugin=plugin, spec=spec) for spec in some}
        for kind, some in specs.items()
    }
    return plugin, offers, [*problems, *found]


def _hooks_of(candidate: Candidate) -> tuple[pluggy.PluginManager | None, list[Problem]]:
    """Load one plugin and register its hooks with a manager of its own."""
    plugin, failures = candidate.plugin, list[Problem]()
    stage: Stage = "load"
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(vitbench.hookspecs)
    with undone() as remarks:
        try:
            module = candidate.load()
            stage = "register"
            manager.register(module, name=plugin.name)
            _refuse_unknown(module)
            _refuse_unmarked(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
            failures.append(problem_of(plugin, stage, error))
    return None if failures else manager, [*_warnings(plugin, "load", remarks), *failures]


def _ask(plugin: Plugin, manager: pluggy.PluginManager) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Return the specs of each kind; a hook that fails loses only its own."""
    specs: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    with undone() as remarks:
        for kind, (hook, wanted) in _KINDS.items():
            try:
                caller = getattr(manager.hook, hook)
                answers = caller()
                if len(answers) < len(caller.get_hookimpls()):  # pluggy drops None: a forgotten return would be silent
                    raise TypeError("must return an iterable, not None")
                results = [spec for answer in answers for spec in _materialise(answer)]
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                problems.append(problem_of(plugin, "call", error, where=hook))
                continue
            specs[kind], found = _validate(plugin, hook, wanted, results)
            problems.extend(found)
    return specs, [*_warnings(plugin, "call", remarks), *problems]


def _warnings(plugin: Plugin, stage: Stage, remarks: Iterable[str]) -> list[Problem]:
    """Return what a plugin did and was undone as problems that lose nothing."""
    return [dataclasses.replace(problem_of(plugin, stage, remark), severity="warning") for remark in remarks]


def _refuse_unknown(module: object) -> None:
    """A misspelt hook would never be called."""
    known = [hook for hook, _ in _KINDS.values()]
    for name in dir(module):
        marked = getattr(getattr(module, name, None), f"{GROUP}_impl", None)
        hook = (marked.get("specname") or name) if isinstance(marked, dict) else None
        if hook is not None and hook not in known:
            raise TypeError(f"unknown hook {hook!r}.{did_you_mean(hook, known)} There are: {', '.join(known)}")


def _refuse_unmarked(module: object) -> None:
    """A hook without its marker would be silently ignored, a misspelt one too."""
    kinds = {hook: kind for kind, (hook, _) in _KINDS.items()}
    home = module.__name__ if inspect.ismodule(module) else getattr(module, "__module__", "")
    for name in dir(module):
        function = getattr(module, name, None) if name.startswith(f"{GROUP}_") else None
        if not inspect.isroutine(function) or hasattr(function, f"{GROUP}_impl"):
            continue
        if name in kinds:
            raise TypeError(f"{name} lacks the decorator @vitbench.hookimpl, so its {kinds[name]} would be lost")
        if function.__module__ == home:  # and not imported
            hint = did_you_mean(name, kinds)
            raise TypeError(f"{name} is not a hook, and only hooks may be named {GROUP}_...{hint}")


def _materialise(answer: object) -> list[object]:
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise TypeError(f"must return an iterable, not {type(answer).__name__}")
    return list(answer)


def _validate(plugin: Plugin, hook: str, wanted: type, results: list[object]) -> tuple[list[Any], list[Problem]]:
    """Return the specs among what a hook gave, each of a name of its own."""
    problems: list[Problem] = []
    specs: list[Any] = []
    for result in results:
        try:
            if wanted is SuiteSpec and isinstance(result, (str, Path)):
                result = _suite_spec(Path(result))
            if not isinstance(result, wanted):
                raise TypeError(f"gave {type(result).__name__} where {wanted.__name__} is expected")
        except Exception as error:
            problems.append(problem_of(plugin, "validate", error, where=hook))
        else:
            specs.append(result)
    counts = Counter(spec.name for spec in specs)
    problems.extend(
        problem_of(plugin, "validate", f'gave the name "{name}" {count} times; none is used', where=hook)
        for name, count in sorted(counts.items())
        if count > 1
    )
    return [spec for spec in specs if counts[spec.name] == 1], problems


def _with_own_measurements(
    metrics: Mapping[str, Offer[MetricSpec]],
) -> tuple[dict[str, Offer[MetricSpec]], list[Problem]]:
    """Return the metrics whose measurements have one owner: tables know one by its name alone.

    Of two that claim a name vitbench's own keeps it; of others neither, as with the names of plugins.
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
    return {name: offer for name, offer in metrics.items() if name not in refused}, list(refused.values())


def _suite_spec(path: Path) -> SuiteSpec:
    import tomllib

    with path.open("rb") as file:
        head = tomllib.load(file)
    return SuiteSpec(name=head.get("name", ""), path=str(path), summary=head.get("summary", ""))


def _broken(problems: Iterable[Problem]) -> str:
    names = sorted({problem.plugin for problem in problems})
    return f' (Broken plugins: {", ".join(names)}; see "vitbench plugins".)' if names else ""


def _absent(left_out: Iterable[str]) -> str:
    names = ", ".join(left_out)
    return f" (Left out by {ALLOW_LIST} or --no-plugin: {names}.)" if names else ""
