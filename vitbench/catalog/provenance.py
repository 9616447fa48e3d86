"""Where a plugin comes from: distribution, version and the hash of its source, without importing it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog, Plugin
from vitbench.errors import UnusableError
from vitbench.records import PluginOrigin, Provenance, digest

__all__ = ["first_missing", "key_of", "library_versions", "metric_versions", "origin"]


def origin(plugin: Plugin) -> PluginOrigin:
    """Return a plugin's distribution and version, and the SHA-256 of its code as it is now.

    That is of the file, for a plugin file; else over the names and bytes of the source files.

    Raises:
        UnusableError: the source is not found or cannot be read.
    """
    return PluginOrigin(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        code_hash=plugin.sha256 or _code_hash(plugin),
    )


def key_of(cell_id: str, made_of: Provenance) -> str:
    """Return the key of a cell. A plugin file counts by its name and code: where it lies does not matter."""

    def counted(origin: PluginOrigin | None) -> PluginOrigin | None:
        return msgspec.structs.replace(origin, distribution="") if origin and origin.is_file else origin

    counts = {role: counted(getattr(made_of, role)) for role in ("model", "recipe", "dataset")}
    others = tuple(map(counted, made_of.others))
    return digest((cell_id, msgspec.structs.replace(made_of, **counts, others=others)))


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the installed version of the distribution behind each module; a module without one is left out."""
    wanted = list(modules)
    owners: Mapping[str, list[str]] = importlib.metadata.packages_distributions() if wanted else {}
    return {module: importlib.metadata.version(owners[module][0]) for module in wanted if module in owners}


def first_missing(modules: Iterable[str]) -> str:
    """Return the first module that is not there, or lies in a package that cannot be imported; or an empty string."""
    for name in modules:
        try:
            found = importlib.util.find_spec(name)
        except Exception:  # importing the package above it may raise anything
            found = None
        if found is None:
            return name
    return ""


def metric_versions(catalog: Catalog) -> dict[str, str]:
    """Return the code hash of each metric that is made of predictions: what a record's metrics were computed by.

    Without those that lack a library here: they are made when it is there.
    """
    once = cache(origin)  # for this call alone: a notebook edits a plugin and runs again
    return {
        name: once(offer.plugin).code_hash
        for name, offer in catalog.metrics.items()
        if offer.spec.parts == ("predictions",) and not first_missing(offer.spec.requires)
    }


def _code_hash(plugin: Plugin) -> str:
    files = _files(plugin.package)
    if not files:
        raise UnusableError(f"plugin {plugin.name} ({plugin.owner}): the source of {plugin.package} is not found.")
    total = hashlib.sha256()
    try:
        for file in [*files, *(file for module in _sources(plugin) for file in _files(module))]:
            total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            total.update(file.read_bytes())
    except OSError as error:
        words = f"its source {error.filename} cannot be read: {error.strerror}"
        raise UnusableError(f"plugin {plugin.name} ({plugin.owner}): {words}.") from error
    return total.hexdigest()


def _sources(plugin: Plugin) -> list[str]:
    """Return which of the other modules that its specs name are its code: those that no other package brings."""
    if not plugin.sources:
        return []  # it takes long to ask
    owners = importlib.metadata.packages_distributions()
    return [module for module in plugin.sources if plugin.distribution in owners.get(module, [plugin.distribution])]


def _files(module: str) -> list[Path]:
    """Return the source files of a top-level package or module, but hidden ones: editors keep locks beside a file."""
    try:
        found = importlib.util.find_spec(module)
    except ValueError:  # a module that was made by hand, such as __main__
        found = None
    if found is None:
        return []
    files: list[Path] = []
    for place in map(Path, found.submodule_search_locations or ()):
        parts = ((file, file.relative_to(place).parts) for file in place.rglob("*.py"))
        files += [file for file, names in parts if not any(name.startswith(".") for name in names) and file.is_file()]
    if not files and found.origin and Path(found.origin).is_file():
        return [Path(found.origin)]
    return sorted(files)
