"""Where a plugin comes from: distribution, version and the hash of its source, without importing it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import msgspec

from vitbench import contract
from vitbench.catalog import Catalog, Plugin
from vitbench.catalog.source_files import files_below, files_of, hash_of_files, helper_files, imports_of
from vitbench.errors import UnusableError, reason_of
from vitbench.installed import version_of
from vitbench.measurements import name_under
from vitbench.records import PluginOrigin, Provenance, digest
from vitbench.specs import ModelSpec, OptionValue, load_target

_CORE_FOLDERS = ("data", "measuring", "training", "worker")
_CORE_FILES = ("array_files.py", "contract.py", "measurements.py", "protocols.py", "statistics.py")

_NO_OPTIONS: Mapping[str, Mapping[str, OptionValue]] = MappingProxyType({})

__all__ = ["core_hash", "first_missing", "key_of", "library_versions", "metric_versions", "origin", "revision_of"]


def origin(plugin: Plugin) -> PluginOrigin:
    """Return a plugin's distribution and version, and the SHA-256 of its code as it is now.

    That is over the names and bytes of the files of its package, data among them, and of modules that it imports from
    where no package is installed; of a plugin file its own hash where it imports none.

    Raises:
        UnusableError: the source is not found or cannot be read.
    """
    return PluginOrigin(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        code_hash=_file_hash(plugin) if plugin.sha256 else _code_hash(plugin),
    )


def key_of(cell_id: str, made_of: Provenance) -> str:
    """Return the key of a cell. A plugin file counts by its name and code: where it lies does not matter."""

    def counted(origin: PluginOrigin | None) -> PluginOrigin | None:
        return msgspec.structs.replace(origin, distribution="") if origin and origin.is_file else origin

    counts = {role: counted(getattr(made_of, role)) for role in ("model", "recipe", "dataset")}
    others = tuple(map(counted, made_of.others))
    return digest((cell_id, msgspec.structs.replace(made_of, **counts, others=others)))


def revision_of(owner: str, spec: ModelSpec, options: Mapping[str, OptionValue], *, online: bool) -> str:
    """Return which weights from the hub a model would be built with, as its spec says; empty where that is not known.

    Args:
        owner: of the spec, for messages.
        spec: of the model, its family resolved.
        options: complete.
        online: whether the hub may be asked; else what was downloaded counts.

    Raises:
        UnusableError: `revision` fails, or gives no text.
    """
    if spec.revision is None:
        return ""
    try:
        found = contract.call(load_target(spec.revision), {"online": online}, spec.build_arguments(options))
    except Exception as error:
        raise UnusableError(f"{owner}: the revision of its weights cannot be found: {reason_of(error)}") from error
    if not isinstance(found, str):
        raise UnusableError(f"{owner}: revision returned {type(found).__name__}, not a str")
    return found


def library_versions(modules: Iterable[str]) -> dict[str, str]:
    """Return the installed version of the distribution behind each module; a module without one is left out."""
    wanted = list(modules)
    owners: Mapping[str, list[str]] = importlib.metadata.packages_distributions() if wanted else {}
    return {module: version_of(owners[module][0]) for module in wanted if module in owners}


@cache
def core_hash(*more: str) -> str:
    """Return the SHA-256 over vitbench's own sources that make numbers: in a checkout they change, not the version.

    That is what reads images, trains, evaluates and measures, and the statistics; it is read once a process.

    Args:
        more: further folders, of what only some cells are made of.
    """
    core = Path(__file__).parents[1]
    files = {core / name: name for name in _CORE_FILES}
    for part in (*_CORE_FOLDERS, *more):
        files |= {file: f"{part}/{name}" for file, name in files_below(core / part).items()}
    return hash_of_files(files)


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


def metric_versions(catalog: Catalog, options: Mapping[str, Mapping[str, OptionValue]] = _NO_OPTIONS) -> dict[str, str]:
    """Return the code hash of each metric that is made of what a record keeps, predictions and training.

    They say what a record's metrics were computed by. Without those that lack a library here: they are made when it is
    there. The name of a metric with options tells these: under others it is made again.
    """
    once = cache(origin)  # for this call alone: a notebook edits a plugin and runs again
    return {
        name_under(name, options.get(name, offer.spec.defaults)): once(offer.plugin).code_hash
        for name, offer in catalog.metrics.items()
        if set(offer.spec.parts) <= {"predictions", "training"} and not first_missing(offer.spec.requires)
    }


def _code_hash(plugin: Plugin) -> str:
    package = files_of(plugin.package)
    if not package:
        raise UnusableError(f"plugin {plugin.name} ({plugin.owner}): the source of {plugin.package} is not found.")
    modules = [plugin.package, *_sources(plugin)]
    own = package | {file: name for module in modules[1:] for file, name in files_of(module).items()}
    try:
        return hash_of_files(own | helper_files(imports_of(own), own=modules))
    except OSError as error:
        words = f"its source {error.filename} cannot be read: {error.strerror}"
        raise UnusableError(f"plugin {plugin.name} ({plugin.owner}): {words}.") from error


def _sources(plugin: Plugin) -> list[str]:
    """Return which of the other modules that its specs name are its code: those that no other package brings."""
    if not plugin.sources:
        return []  # it takes long to ask
    owners = importlib.metadata.packages_distributions()
    return [module for module in plugin.sources if plugin.distribution in owners.get(module, [plugin.distribution])]


def _file_hash(plugin: Plugin) -> str:
    try:
        helpers = helper_files(plugin.imports, own=[plugin.module])
        return (
            hashlib.sha256((plugin.sha256 + hash_of_files(helpers)).encode()).hexdigest() if helpers else plugin.sha256
        )
    except OSError as error:
        words = f"{error.filename}, which it imports, cannot be read: {error.strerror}"
        raise UnusableError(f"plugin file {plugin.distribution}: {words}.") from error
