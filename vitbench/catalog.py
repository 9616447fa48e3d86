"""Find plugins, load each alone, and gather what they offer. The only module that runs pluggy.

A plugin passes six stages: name, require (`vitbench.discovery`), load, register, call, validate. What fails at one of
them becomes a `Problem` with its owner; the other plugins go on.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import pluggy

from vitbench import hookspecs
from vitbench.discovery import (
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
from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.isolation import stdout_kept, undone
from vitbench.specs import DatasetSpec, MetricSpec, ModelSpec, RecipeSpec, SuiteSpec

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

    def model(self, name: str) -> Offer[ModelSpec]:
        """Return the model, or the family with the member's name, that a full or short name means.

        Raises:
            UsageError: the name is unknown or ambiguous.
            UnusableError: the name belongs to a plugin that is broken.
        """
        plugin, _, member = name.partition("/")
        family = self.models.get(f"{plugin}/*") if member else None
        if family and name not in self.models and member != "*":
            return Offer(name=name, plugin=family.plugin, spec=family.spec)
        return self._find("model", self.models, name)

    def dataset(self, name: str) -> Offer[DatasetSpec]:
        """Return the data set that a full or short name means; raises as `model` does."""
        return self._find("dataset", self.datasets, name)

    def recipe(self, name: str) -> Offer[RecipeSpec]:
        """Return the recipe that a full or short name means; raises as `model` does."""
        return self._find("recipe", self.recipes, name)

    def suite(self, name: str) -> Offer[SuiteSpec]:
        """Return the suite that a full or short name means; raises as `model` does."""
        return self._find("suite", self.suites, name)

    def fatal(self, *, strict: bool) -> tuple[Problem, ...]:
        """Return the problems that end a command: those of plugin files, and all where plugins are taken strictly."""
        return tuple(problem for problem in self.problems if strict or problem.severity == "fatal")

    def _find(self, kind: str, offers: Mapping[str, Offer[Spec]], name: str) -> Offer[Spec]:
        if name in offers:
            return offers[name]
        same = [full for full in offers if full.partition("/")[2] == name]
        if len(same) == 1:
            return offers[same[0]]
        if same:
            raise UsageError(f'{kind} "{name}" is ambiguous; give one of: {", ".join(sorted(same))}.')
        plugin, slash, _ = name.partition("/")
        lost = [problem for problem in self.problems if problem.severity != "warning"]
        for problem in lost:
            if slash and problem.plugin == plugin:
                raise UnusableError(f'{kind} "{name}" cannot be had: {problem}.')
        if slash and plugin in self.left_out:
            raise UsageError(f'unknown {kind} "{name}": plugin {plugin} is left out ({ALLOW_LIST}, --no-plugin).')
        known = [*offers, *(full.partition("/")[2] for full in offers)]
        hint = did_you_mean(name, known) or f' See "vitbench ls {kind}s".'
        raise UsageError(f'unknown {kind} "{name}".{hint}{_broken(lost)}')


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
            offers, some = _gather(candidate)
            problems.extend(some)
            if offers is not None:
                plugins.append(candidate.plugin)
                for kind, named in offers.items():
                    gathered[kind].update(named)
    return Catalog(
        plugins=tuple(plugins),
        problems=tuple(sorted(problems, key=lambda problem: (problem.plugin, problem.distribution))),
        left_out=found.left_out,
        **{kind: MappingProxyType(dict(sorted(offers.items()))) for kind, offers in gathered.items()},
    )


def _gather(candidate: Candidate) -> tuple[dict[str, dict[str, Offer[Any]]] | None, list[Problem]]:
    """Load, register, call and validate one plugin. No offers at all where it does not register."""
    manager, problems = _hooks_of(candidate)
    if manager is None:
        return None, problems
    offers, found = _ask(candidate.plugin, manager)
    return offers, [*problems, *found]


def _hooks_of(candidate: Candidate) -> tuple[pluggy.PluginManager | None, list[Problem]]:
    """Load one plugin and register its hooks with a manager of its own."""
    plugin, failures = candidate.plugin, list[Problem]()
    stage: Stage = "load"
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
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


def _ask(plugin: Plugin, manager: pluggy.PluginManager) -> tuple[dict[str, dict[str, Offer[Any]]], list[Problem]]:
    """Call each hook of a plugin; one that fails loses only its own offers."""
    offers: dict[str, dict[str, Offer[Any]]] = {}
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
            offers[kind], found = _validate(plugin, hook, wanted, results)
            problems.extend(found)
    return offers, [*_warnings(plugin, "call", remarks), *problems]


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
    """A hook without its marker would be silently ignored."""
    for name, (hook, _) in _KINDS.items():
        function = getattr(module, hook, None)
        if inspect.isroutine(function) and not hasattr(function, f"{GROUP}_impl"):
            raise TypeError(f"{hook} lacks the decorator @vitbench.hookimpl, so its {name} would be lost")


def _materialise(answer: object) -> list[object]:
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise TypeError(f"must return an iterable, not {type(answer).__name__}")
    return list(answer)


def _validate(
    plugin: Plugin, hook: str, wanted: type, results: list[object]
) -> tuple[dict[str, Offer[Any]], list[Problem]]:
    offers: dict[str, Offer[Any]] = {}
    problems: list[Problem] = []
    specs: list[Any] = []
    for result in results:
        try:
            if wanted is SuiteSpec and isinstance(result, (str, Path)):
                result = _suite_spec(Path(result))
            if not isinstance(result, wanted):
                raise TypeError(f"gave {type(result).__name__} where {wanted.__name__} is wanted")
        except Exception as error:
            problems.append(problem_of(plugin, "validate", error, where=hook))
        else:
            specs.append(result)
    counts = Counter(spec.name for spec in specs)
    for spec in specs:
        if counts[spec.name] == 1:
            name = f"{plugin.name}/{spec.name}"
            offers[name] = Offer(name=name, plugin=plugin, spec=spec)
    problems.extend(
        problem_of(plugin, "validate", f'gave the name "{name}" {count} times; none is used', where=hook)
        for name, count in sorted(counts.items())
        if count > 1
    )
    return offers, problems


def _suite_spec(path: Path) -> SuiteSpec:
    import tomllib

    with path.open("rb") as file:
        head = tomllib.load(file)
    return SuiteSpec(name=head.get("name", ""), path=str(path), summary=head.get("summary", ""))


def _broken(problems: Iterable[Problem]) -> str:
    names = sorted({problem.plugin for problem in problems})
    return f' (Broken plugins: {", ".join(names)}; see "vitbench plugins".)' if names else ""
