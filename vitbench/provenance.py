"""Where a plugin comes from: distribution, version and the hash of its source, without importing it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from vitbench.catalog import Catalog, Plugin
from vitbench.records import PluginOrigin

__all__ = ["library_versions", "metric_versions", "origin"]


@cache
def origin(plugin: Plugin) -> PluginOrigin:
    """Return a plugin's distribution and version, and the SHA-256 of its code.

    That is of the file, for a plugin file; else over the names and bytes of the source files.
    """
    return PluginOrigin(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        code_hash=plugin.sha256 or _code_hash(plugin.module),
    )


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the installed version of the distribution behind each module; a module without one is left out."""
    wanted = list(modules)
    owners: Mapping[str, list[str]] = importlib.metadata.packages_distributions() if wanted else {}
    return {module: importlib.metadata.version(owners[module][0]) for module in wanted if module in owners}


def metric_versions(catalog: Catalog) -> dict[str, str]:
    """Return the code hash of each metric that is made of predictions: what a record's metrics were computed by."""
    return {
        name: origin(offer.plugin).code_hash
        for name, offer in catalog.metrics.items()
        if offer.spec.needs == "predictions"
    }


def _code_hash(module: str) -> str:
    top = module.partition(":")[0].partition(".")[0]
    found = importlib.util.find_spec(top)
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    files = sorted(file for place in places for file in place.rglob("*.py"))
    if not files and found and found.origin:
        files = [Path(found.origin)]
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()
