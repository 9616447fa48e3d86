"""Find plugins: entry points of installed distributions, and files that the user names. None of them runs here."""

from __future__ import annotations

import importlib.metadata
import os
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from shlex import quote
from typing import Literal

import msgspec

from vitbench.catalog.plugin_files import PluginFile, load_file, read_files
from vitbench.catalog.source_files import imported_by
from vitbench.errors import UsageError, did_you_mean, reason_of
from vitbench.version import __version__

__all__ = [
    "ALLOW_LIST",
    "GROUP",
    "Candidate",
    "Discovery",
    "Plugin",
    "PluginSelection",
    "Problem",
    "Stage",
    "discover",
    "problem_of",
    "select_plugins",
]

GROUP = "vitbench"
"""The entry point group, and the project that the hooks are marked for."""
ALLOW_LIST = "VITBENCH_PLUGINS"
Stage = Literal["name", "require", "load", "register", "call", "validate"]

_PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_WANTS_A_VERSION = re.compile(r"vitbench\s*(\[[^]]*\])?\s*[(<>=~!]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """A plugin that was found, and where it comes from."""

    name: str
    distribution: str
    """The package that brings it; of a plugin file its path, relative where it lies below the working folder."""
    version: str
    """Of the distribution; empty for a plugin file."""
    module: str
    """What the entry point names: ``package`` or ``package.module``, perhaps with ``:attribute``."""
    sha256: str = ""
    """Of a plugin file; empty for an installed plugin."""
    imports: tuple[str, ...] = ()
    """Top-level modules that a plugin file imports; empty for an installed plugin."""
    api: int = 1
    """The contract that it was written for."""
    sources: tuple[str, ...] = ()
    """Other top-level modules that its specs name; they are its code, too, where no other package brings them."""

    @property
    def package(self) -> str:
        """The top-level module that it is, or lies in."""
        return EntryPoint(self.name, self.module, GROUP).module.partition(".")[0]

    @property
    def owner(self) -> str:
        """Distribution and version in words."""
        return _owner(self.distribution, self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong with a plugin, at which stage."""

    plugin: str
    distribution: str
    version: str
    stage: Stage
    error: str
    traceback: str = ""
    severity: Literal["warning", "error", "fatal"] = "error"
    """``warning``: no offer is lost, what the plugin did was undone, or a field or hook of a later contract left out;
    ``error``: what it offers is lost, all or in part;
    ``fatal``: the same of a plugin file, which the user asked for by name."""

    def __str__(self) -> str:
        return f"plugin {self.plugin} ({_owner(self.distribution, self.version)}), {self.stage}: {self.error}"


def _owner(distribution: str, version: str) -> str:
    return f"{distribution} {version}".strip() or "unknown distribution"


class PluginSelection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which plugins a command and its child processes load."""

    allowed: tuple[str, ...] | None = None
    """The only installed plugins to load; None: all."""
    excluded: tuple[str, ...] = ()
    """Installed plugins to leave out."""
    files: tuple[PluginFile, ...] = ()
    """Plugin files, whatever the other two say."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found and may be loaded."""

    plugin: Plugin
    load: Callable[[], object]
    """Imports it and returns the module or object with the hooks; raises whatever it raises."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    candidates: tuple[Candidate, ...]
    problems: tuple[Problem, ...]
    left_out: tuple[str, ...]
    """Installed plugins that the selection leaves out."""


def select_plugins(files: Iterable[str | Path] = (), exclude: Iterable[str] = ()) -> PluginSelection:
    """Return what the user selects: ``VITBENCH_PLUGINS``, plugin files, and installed plugins to leave out.

    Raises:
        UsageError: a file cannot be read or cannot be a module of its name, or two have the same name.
    """
    allow = os.environ.get(ALLOW_LIST)
    return PluginSelection(
        allowed=None if allow is None else tuple(name.strip() for name in allow.split(",") if name.strip()),
        excluded=tuple(exclude),
        files=read_files(files),
    )


def discover(selection: PluginSelection) -> Discovery:
    """Find the selected plugins: the installed ones by name, then the files.

    Raises:
        UsageError: no plugin has a name that is to be left out, or one has the name of a plugin file.
    """
    entries, problems = _entry_points()
    names = {entry.name for entry in entries}
    allowed = names if selection.allowed is None else names.intersection(selection.allowed)
    chosen = allowed.difference(selection.excluded)
    _check_names(selection, names, chosen)
    candidates: list[Candidate] = []
    metadata = cache(_metadata)  # each look at a distribution's reads its file again
    for entry in entries:
        if entry.name not in chosen:
            continue
        plugin, fault = _plugin_of(entry, metadata), _fault_of(entry, entries, metadata)
        if fault:
            problems.append(problem_of(plugin, *fault))
        else:
            candidates.append(Candidate(plugin=plugin, load=entry.load))
    candidates.extend(_candidate_of(file) for file in selection.files)
    problems.extend(
        Problem(
            plugin=name,
            distribution="",
            version="",
            stage="name",
            error=f"{ALLOW_LIST} names it, but it is not installed",
        )
        for name in sorted(set(selection.allowed or ()) - names - {file.name for file in selection.files})
    )
    left_out = tuple(sorted(names - chosen))
    return Discovery(candidates=tuple(candidates), problems=tuple(problems), left_out=left_out)


def problem_of(plugin: Plugin, stage: Stage, error: BaseException | str, *, where: str = "") -> Problem:
    """Return the problem that an error, or a sentence, is; `where` (a hook) stands before it."""
    trace, words = "", error
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error))
        try:
            words = reason_of(error)
        except Exception:  # its text is made by the plugin's code, too
            words = type(error).__name__
    return Problem(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        stage=stage,
        error=f"{where}: {words}" if where else str(words),
        traceback=trace,
        severity="fatal" if plugin.sha256 else "error",
    )


def _check_names(selection: PluginSelection, installed: set[str], chosen: set[str]) -> None:
    """Refuse names that the user got wrong."""
    for name in selection.excluded:
        if name not in installed:
            hint = did_you_mean(name, sorted(installed)) or ' See "vitbench plugins".'
            raise UsageError(f'--no-plugin: no installed plugin is called "{name}".{hint}')
    for file in selection.files:
        if file.name in chosen:
            raise UsageError(
                f'plugin file {file.shown}: an installed plugin is called "{file.name}", too; rename the file, or '
                f"leave that one out with --no-plugin {quote(file.name)}."
            )


def _entry_points() -> tuple[list[EntryPoint], list[Problem]]:
    """Return vitbench's entry points by name, and the packages whose entry points cannot be read."""
    try:
        entries, problems = list(importlib.metadata.entry_points(group=GROUP)), list[Problem]()
    except Exception:  # one package's file is malformed, and with it the answer for all
        entries, problems = _entry_points_one_by_one()
    return sorted(entries, key=lambda entry: entry.name), problems


def _entry_points_one_by_one() -> tuple[list[EntryPoint], list[Problem]]:
    """Do the same package by package, which takes longer; of two with one name, the first on the path counts."""
    from packaging.utils import canonicalize_name

    entries: list[EntryPoint] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        name, version = _name_and_version(distribution)
        if name and canonicalize_name(name) in seen:
            continue
        seen.add(canonicalize_name(name))
        try:
            entries.extend(distribution.entry_points.select(group=GROUP))
        except Exception as error:
            owner = Plugin(name=name, distribution=name, version=version, module="")
            problems.append(problem_of(owner, "name", error, where="its entry_points.txt cannot be read"))
    return entries, problems


def _plugin_of(entry: EntryPoint, metadata: Callable[[Distribution], _Metadata]) -> Plugin:
    found = metadata(entry.dist) if entry.dist else _Metadata()
    return Plugin(name=entry.name, distribution=found.name, version=found.version, module=entry.value)


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a distribution says of itself; empty where that is damaged."""

    name: str = ""
    version: str = ""
    unmet: str = ""
    """Which requirement on vitbench does not hold."""


def _metadata(distribution: Distribution) -> _Metadata:
    name, version = _name_and_version(distribution)
    return _Metadata(name=name, version=version, unmet=_unmet(distribution))


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Return what the metadata say; damaged ones give nothing."""
    try:
        found = distribution.metadata
        return found["Name"] or "", found["Version"] or ""
    except Exception:  # no text
        return "", ""


def _candidate_of(file: PluginFile) -> Candidate:
    plugin = Plugin(
        name=file.name,
        distribution=file.shown,
        version="",
        module=file.name,
        sha256=file.sha256,
        imports=imported_by(file.source),
    )
    return Candidate(plugin=plugin, load=partial(load_file, file))


def _fault_of(
    entry: EntryPoint, entries: Iterable[EntryPoint], metadata: Callable[[Distribution], _Metadata]
) -> tuple[Stage, str] | None:
    """Return why an entry point is not even loaded."""
    if not _PLUGIN_NAME.match(entry.name):
        return "name", f'the name "{entry.name}" may hold letters, digits, ".", "_", "-"'
    rivals = [other for other in entries if other.name == entry.name]
    if len(rivals) > 1:
        claimants = sorted(_plugin_of(rival, metadata).owner for rival in rivals)
        return "name", f"the name is claimed by {' and '.join(claimants)}; uninstall all but one"
    if not EntryPoint.pattern.match(entry.value):
        return "name", f'the entry point "{entry.value}" is not of the form "module" or "module:attribute"'
    unmet = metadata(entry.dist).unmet if entry.dist else ""
    return ("require", unmet) if unmet else None


def _unmet(distribution: Distribution) -> str:
    """Return which requirement on vitbench (PEP 508) does not hold for this one, or cannot be read; empty: none."""
    line = ""
    try:
        for line in distribution.requires or ():
            if _WANTS_A_VERSION.match(line) and not _is_met(line):
                return f"it needs {line}, and this is vitbench {__version__}"
    except Exception as error:  # markers and metadata can be wrong in many ways, and stand in a file of anybody
        return f"its {f'requirement {line}' if line else 'metadata'} cannot be read: {reason_of(error)}"
    return ""


def _is_met(line: str) -> bool:
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    return not applies or requirement.specifier.contains(__version__, prereleases=True)
