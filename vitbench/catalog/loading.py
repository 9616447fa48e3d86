"""Load one plugin and ask it what it offers. The only module that runs pluggy.

What a plugin gives is taken one by one: a spec that breaks a rule costs itself, a hook that raises what it has not
given yet.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

import vitbench.hookspecs
from vitbench import contract
from vitbench.catalog.discovery import GROUP, Candidate, Plugin, Problem, Stage, problem_of
from vitbench.catalog.isolation import undone
from vitbench.errors import UnusableError, did_you_mean
from vitbench.specs import DatasetSpec, ExporterSpec, FigureSpec, MetricSpec, ModelSpec, RecipeSpec, SuiteSpec

__all__ = ["KINDS", "specs_of"]

KINDS: Mapping[str, tuple[str, type]] = MappingProxyType(
    {
        "models": ("vitbench_models", ModelSpec),
        "datasets": ("vitbench_datasets", DatasetSpec),
        "recipes": ("vitbench_recipes", RecipeSpec),
        "metrics": ("vitbench_metrics", MetricSpec),
        "figures": ("vitbench_figures", FigureSpec),
        "exporters": ("vitbench_exporters", ExporterSpec),
        "suites": ("vitbench_suites", SuiteSpec),
    }
)
"""The hook of each kind, and what it gives."""


def specs_of(candidate: Candidate) -> tuple[Plugin | None, dict[str, list[Any]], list[Problem]]:
    """Load, register, call and validate one plugin.

    Returns:
        The plugin, None where it does not register; its specs of each kind; what went wrong.
    """
    plugin, manager, problems = _hooks_of(candidate)
    if manager is None:
        return None, {}, problems
    specs, found = _ask(plugin, manager)
    return plugin, specs, [*problems, *found]


def _hooks_of(candidate: Candidate) -> tuple[Plugin, pluggy.PluginManager | None, list[Problem]]:
    """Load one plugin and register its hooks with a manager of its own; no manager where that fails."""
    plugin, failures = candidate.plugin, list[Problem]()
    stage: Stage = "load"
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(vitbench.hookspecs)
    unknown: list[str] = []
    with undone() as remarks:
        try:
            with contract.gathering():  # a faulty spec of the module itself is told where a hook gives it
                module = candidate.load()
            stage = "register"
            plugin = dataclasses.replace(plugin, api=_api_of(module))
            manager.register(module, name=plugin.name)
            unknown += _unknown_hooks(module, plugin.api)
            _refuse_unmarked(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, and panics of extensions that are no Exception
            failures.append(problem_of(plugin, stage, error))
    problems = [*_warnings(plugin, "load", remarks), *_warnings(plugin, "register", unknown), *failures]
    return plugin, None if failures else manager, problems


def _ask(plugin: Plugin, manager: pluggy.PluginManager) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Return the specs of each kind; a hook that fails loses what it has not given before."""
    specs: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    with undone() as remarks:
        for kind, (hook, wanted) in KINDS.items():
            results: list[object] = []
            with contract.gathering() as troubled:
                try:
                    for result in _results(getattr(manager.hook, hook)):
                        results.append(result)  # noqa: PERF402 - what was given before an error is kept
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    problems.append(problem_of(plugin, "call", error, where=hook))
            specs[kind], found = _validate(plugin, hook, wanted, results)
            problems += [*found, *_not_given(plugin, hook, results, troubled)]
    return specs, [*_warnings(plugin, "call", remarks), *problems]


def _warnings(plugin: Plugin, stage: Stage, remarks: Iterable[str], *, where: str = "") -> list[Problem]:
    """Return as problems what a plugin did and was undone, or gave and was left out; nothing else is lost."""
    return [
        dataclasses.replace(problem_of(plugin, stage, remark, where=where), severity="warning") for remark in remarks
    ]


def _api_of(module: object) -> int:
    """Return the contract that a plugin was written for.

    Raises:
        TypeError: what it says is none.
    """
    api = getattr(module, f"{GROUP}_api", 1)
    if type(api) is not int or api < 1:
        raise TypeError(f"{GROUP}_api must be the number of a contract, such as {contract.API}, not {api!r:.40}")
    return api


def _unknown_hooks(module: object, api: int) -> list[str]:
    """Return a sentence for each hook that this vitbench does not know and may leave out.

    Raises:
        TypeError: there is no such hook: it is misspelt, and would never be called.
    """
    known = [hook for hook, _ in KINDS.values()]
    remarks: list[str] = []
    for name in dir(module):
        marked = getattr(getattr(module, name, None), f"{GROUP}_impl", None)
        hook = (marked.get("specname") or name) if isinstance(marked, dict) else None
        if marked is None or hook is None or hook in known:
            continue
        hint = _hook_meant(hook, known)
        needs = f"contract {api}" if api > contract.API else f"a later contract than {contract.API}"
        if api > contract.API or marked["optionalhook"]:
            remarks.append(
                f"the hook {hook!r} needs {needs}, but this vitbench implements {contract.API}; it is ignored.{hint}"
            )
        else:
            raise TypeError(f"unknown hook {hook!r}.{hint} There are: {', '.join(known)}")
    return remarks


def _hook_meant(name: str, known: Iterable[str]) -> str:
    """Return which hook a name may mean, in words; what all of them begin with makes no two names alike."""
    known = list(known)
    prefix = f"{GROUP}_"
    alike = did_you_mean(name.removeprefix(prefix), [hook.removeprefix(prefix) for hook in known])
    return did_you_mean(name, known) if alike else ""


def _refuse_unmarked(module: object) -> None:
    """A hook without its marker would be silently ignored, a misspelt one too."""
    kinds = {hook: kind for kind, (hook, _) in KINDS.items()}
    home = module.__name__ if inspect.ismodule(module) else getattr(module, "__module__", "")
    for name in dir(module):
        function = getattr(module, name, None) if name.startswith(f"{GROUP}_") else None
        if not inspect.isroutine(function) or hasattr(function, f"{GROUP}_impl"):
            continue
        if name in kinds:
            raise TypeError(f"{name} lacks the decorator @vitbench.hookimpl, so its {kinds[name]} would be ignored")
        if function.__module__ == home:  # and not imported
            hint = _hook_meant(name, kinds)
            raise TypeError(f"{name} is not a hook, and only hooks may be named {GROUP}_...{hint}")


def _results(caller: pluggy.HookCaller) -> Iterator[object]:
    """Give what a hook gives, one by one."""
    answers = caller()
    if len(answers) < len(caller.get_hookimpls()):  # pluggy drops None: a forgotten return would be silent
        raise TypeError("must return an iterable, not None")
    for answer in answers:
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
            raise TypeError(f"must return an iterable, not {type(answer).__name__}")
        yield from answer


def _validate(plugin: Plugin, hook: str, wanted: type, results: list[object]) -> tuple[list[Any], list[Problem]]:
    """Return the specs among what a hook gave, each sound and of a name of its own."""
    problems: list[Problem] = []
    specs: list[Any] = []
    for result in results:
        try:
            if wanted is SuiteSpec and isinstance(result, (str, Path)):
                result = _suite_spec(Path(result))
            if not isinstance(result, wanted):
                raise TypeError(f"returned {type(result).__name__} where {wanted.__name__} is expected")
            assert isinstance(result, contract.Declared)
            judgement = contract.judge(result, plugin.api)
            if judgement.fault:
                raise judgement.fault
        except Exception as error:
            problems.append(problem_of(plugin, "validate", error, where=hook))
        else:
            specs.append(result)
            problems += _warnings(plugin, "validate", judgement.remarks, where=hook)
    counts = Counter(spec.name for spec in specs)
    problems.extend(
        problem_of(plugin, "validate", f'returned the name "{name}" {count} times; none is used', where=hook)
        for name, count in sorted(counts.items())
        if count > 1
    )
    return [spec for spec in specs if counts[spec.name] == 1], problems


def _not_given(
    plugin: Plugin, hook: str, results: list[object], troubled: list[contract.Declared]
) -> Iterator[Problem]:
    """Give the faults of specs that a hook made and then did not give: its code may have stumbled over them."""
    told = {id(spec) for spec in results}
    for spec in [*(spec for spec in results if isinstance(spec, contract.Declared)), *troubled]:
        told.update(id(part) for _, part in contract.parts_of(spec))
    for spec in troubled:
        if id(spec) not in told and (fault := contract.judge(spec, plugin.api).fault):
            yield problem_of(plugin, "validate", fault, where=hook)


def _suite_spec(path: Path) -> SuiteSpec:
    import tomllib

    try:
        with path.open("rb") as file:
            head = tomllib.load(file)
    except FileNotFoundError as error:
        remedy = f'; return an absolute path, such as Path(__file__).with_name("{path.name}")'
        raise UnusableError(f"there is no suite file {path}{'' if path.is_absolute() else remedy}") from error
    return SuiteSpec(name=head.get("name", ""), path=str(path), summary=head.get("summary", ""))
