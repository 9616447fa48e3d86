"""Find plugins, load each alone, and gather what they offer. The only module that runs pluggy.

A plugin passes five stages: name, load, register, call, validate. What fails at one of them becomes a `Problem` with
its owner; the other plugins go on.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import re
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

import pluggy

from vitbench import hookspecs
from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.specs import DatasetSpec, MetricSpec, ModelSpec, RecipeSpec, SuiteSpec

__all__ = ["ALLOW_LIST", "Catalog", "Offer", "Plugin", "Problem", "load_catalog"]

GROUP = "vitbench"
ALLOW_LIST = "VITBENCH_PLUGINS"
Stage = Literal["name", "load", "register", "call", "validate"]
Spec = TypeVar("Spec", ModelSpec, DatasetSpec, RecipeSpec, MetricSpec, SuiteSpec)

_PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
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
class Plugin:
    """A plugin that was found, and where it comes from."""

    name: str
    distribution: str
    version: str
    module: str
    """What the entry point names: ``package`` or ``package.module``, perhaps with ``:attribute``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong with a plugin, at which stage."""

    plugin: str
    distribution: str
    version: str
    stage: Stage
    error: str
    traceback: str = ""

    def __str__(self) -> str:
        owner = f"{self.distribution} {self.version}" if self.distribution else "unknown distribution"
        return f"plugin {self.plugin} ({owner}), {self.stage}: {self.error}"


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

    def _find(self, kind: str, offers: Mapping[str, Offer[Spec]], name: str) -> Offer[Spec]:
        if name in offers:
            return offers[name]
        same = [full for full in offers if full.partition("/")[2] == name]
        if len(same) == 1:
            return offers[same[0]]
        if same:
            raise UsageError(f'{kind} "{name}" is ambiguous; give one of: {", ".join(sorted(same))}.')
        for problem in self.problems:
            if problem.plugin == name.partition("/")[0] and "/" in name:
                raise UnusableError(f'{kind} "{name}" cannot be had: {problem}.')
        known = [*offers, *(full.partition("/")[2] for full in offers)]
        hint = did_you_mean(name, known) or f' See "vitbench ls {kind}s".'
        raise UsageError(f'unknown {kind} "{name}".{hint}{_broken(self.problems)}')


def load_catalog(allow: str | None = None) -> Catalog:
    """Load the installed plugins.

    Args:
        allow: comma-separated plugin names, the only ones to load; None reads ``VITBENCH_PLUGINS``, and all are loaded
            where that is unset.
    """
    allow = os.environ.get(ALLOW_LIST) if allow is None else allow
    wanted = None if allow is None else {name.strip() for name in allow.split(",") if name.strip()}
    plugins: list[Plugin] = []
    problems: list[Problem] = []
    gathered: dict[str, dict[str, Offer[Any]]] = {kind: {} for kind in _KINDS}
    entries = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    entries = [entry for entry in entries if wanted is None or entry.name in wanted]
    counts = Counter(entry.name for entry in entries)
    for entry in entries:
        plugin = Plugin(
            name=entry.name,
            distribution=entry.dist.name if entry.dist else "",
            version=entry.dist.version if entry.dist else "",
            module=entry.value,
        )
        claimants = [other.dist.name for other in entries if other.name == entry.name and other.dist]
        if not _PLUGIN_NAME.match(entry.name):
            problems.append(
                _problem(plugin, "name", f'the name "{entry.name}" may hold letters, digits, ".", "_", "-"')
            )
        elif counts[entry.name] > 1:
            problems.append(
                _problem(plugin, "name", f"the name is claimed by {' and '.join(claimants)}; uninstall all but one")
            )
        else:
            offers, found = _gather(plugin, entry)
            problems.extend(found)
            if offers is not None:
                plugins.append(plugin)
                for kind, some in offers.items():
                    gathered[kind].update(some)
    missing = sorted((wanted or set()) - set(counts))
    problems.extend(
        Problem(
            plugin=name, distribution="", version="", stage="name", error=f"{ALLOW_LIST} names it; it is not installed"
        )
        for name in missing
    )
    return Catalog(
        plugins=tuple(plugins),
        problems=tuple(problems),
        **{kind: MappingProxyType(dict(sorted(offers.items()))) for kind, offers in gathered.items()},
    )


def _gather(
    plugin: Plugin, entry: importlib.metadata.EntryPoint
) -> tuple[dict[str, dict[str, Offer[Any]]] | None, list[Problem]]:
    """Load, register, call and validate one plugin. No offers at all where it does not register."""
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        return None, [_problem(plugin, "load", error)]
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=plugin.name)
        manager.check_pending()
        _refuse_unmarked(module)
    except (Exception, SystemExit) as error:
        return None, [_problem(plugin, "register", error)]
    offers: dict[str, dict[str, Offer[Any]]] = {}
    problems: list[Problem] = []
    for kind, (hook, wanted) in _KINDS.items():
        try:
            caller = getattr(manager.hook, hook)
            answers = caller()
            if len(answers) < len(caller.get_hookimpls()):  # pluggy drops None, so a forgotten return would be silent
                raise TypeError("must return an iterable, not None")
            results = [spec for answer in answers for spec in _materialise(answer)]
        except (Exception, SystemExit) as error:
            problems.append(_problem(plugin, "call", error, prefix=f"{hook}: "))
            continue
        offers[kind], found = _validate(plugin, hook, wanted, results)
        problems.extend(found)
    return offers, problems


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
            problems.append(_problem(plugin, "validate", error, prefix=f"{hook}: "))
        else:
            specs.append(result)
    counts = Counter(spec.name for spec in specs)
    for spec in specs:
        if counts[spec.name] == 1:
            name = f"{plugin.name}/{spec.name}"
            offers[name] = Offer(name=name, plugin=plugin, spec=spec)
    problems.extend(
        _problem(plugin, "validate", f'{hook}: gave the name "{name}" {count} times; none is used')
        for name, count in sorted(counts.items())
        if count > 1
    )
    return offers, problems


def _suite_spec(path: Path) -> SuiteSpec:
    import tomllib

    with path.open("rb") as file:
        head = tomllib.load(file)
    return SuiteSpec(name=head.get("name", ""), path=str(path), summary=head.get("summary", ""))


def _problem(plugin: Plugin, stage: Stage, error: BaseException | str, prefix: str = "") -> Problem:
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error))
        text = " ".join(str(error).split())
        words = f"{type(error).__name__}: {text}" if text else type(error).__name__
    else:
        trace, words = "", error
    return Problem(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        stage=stage,
        error=prefix + words,
        traceback=trace,
    )


def _broken(problems: Iterable[Problem]) -> str:
    names = sorted({problem.plugin for problem in problems})
    return f' (Broken plugins: {", ".join(names)}; see "vitbench plugins".)' if names else ""
