"""The child's side of the checks of plugins: what loading one, and importing what it names, does to a fresh process.

In the process of the tests its modules have mostly been imported before, and do nothing any more.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog, PluginSelection, load_catalog
from vitbench.catalog.loading import KINDS
from vitbench.catalog.provenance import first_missing
from vitbench.contract import OFFERED
from vitbench.execution.executor import Send
from vitbench.specs import load_target

__all__ = ["HEAVY", "Asked", "Imported", "Loaded", "import_in_child", "tell_loading"]

UNUSUAL = 876_543_210
"""A seed that no plugin would set."""
HEAVY = ("torch", "torchvision", "timm", "numpy", "pandas", "scipy", "sklearn")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What loading plugins, and asking them what they offer, did."""

    imported: tuple[str, ...]
    """Which of `HEAVY` it imported."""
    problems: tuple[str, ...]
    """What failed, and what it did that the catalog tells."""
    changed: tuple[str, ...]
    """What else it changed that others rely on."""
    libraries: tuple[str, ...] = ()
    """If it changed anything: the modules of other installed packages that it imported, in this order."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fresh process is to load."""

    selection: PluginSelection
    first: tuple[str, ...] = ()
    """Modules to import before: what they change is not the plugin's doing."""


def tell_loading() -> None:
    """Load the plugins that standard input selects, and write a `Loaded` as JSON into the last line of stdout."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    selection = request.selection
    for name in request.first:
        with suppress(Exception):  # such as one that another module puts there
            import_module(name)
    imported, before = set(sys.modules), _surroundings()
    catalog = load_catalog(selection)
    after = _surroundings()
    asked = {*(selection.allowed or ()), *(file.name for file in selection.files)}
    changed = tuple(name for name, state in after.items() if state != before[name])
    new = [name for name in sys.modules if name not in imported]
    loaded = Loaded(
        imported=tuple(name for name in HEAVY if name in sys.modules and name not in imported),
        problems=tuple(problem.error for problem in catalog.problems if problem.plugin in asked),
        changed=changed,
        libraries=_of_libraries(new, catalog) if changed else (),
    )
    print(f"\n{msgspec.json.encode(loaded).decode()}")


def _of_libraries(names: Iterable[str], catalog: Catalog) -> tuple[str, ...]:
    """Return those of some modules that installed packages bring, other than those of the plugins."""
    own = {_normal(plugin.distribution) for plugin in catalog.plugins}
    brought = packages_distributions()
    tops = {top for top, givers in brought.items() if own.isdisjoint(map(_normal, givers))}
    return tuple(name for name in names if name.partition(".")[0] in tops)


def _normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def _surroundings() -> dict[str, object]:
    """Return what a plugin is to leave alone beside that which the catalog looks at, by what the report calls it."""
    everywhere = [entry for entry in warnings.filters if entry[1] is None and entry[3] is None]  # no message, no module
    return {
        "the generator of random": random.getstate(),
        "the warning filters of all modules": everywhere,
    }


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What importing the targets of plugins did."""

    fault: str = ""
    """What first changed torch or a generator; empty where nothing did."""


def import_in_child(request: bytes, folder: Path | None, send: Send) -> Imported:
    """Import what the offers of the selected plugins name."""
    import torch

    from vitbench.testing.building import generators
    from vitbench.worker.runtime import changed_flags, runtime

    selection = msgspec.msgpack.decode(request, type=PluginSelection)
    with runtime(precision="float32", threads=torch.get_num_threads(), seed=UNUSUAL, device="cpu") as flags:
        before = generators()
        for target in _targets(load_catalog(selection)):
            try:
                load_target(target)
            except Exception:  # the checks that call it will tell
                continue
            changed = changed_flags(flags)
            if changed:
                return _told(f"importing {target} changes torch's {', '.join(changed)}")
            moved = [name for name, state in generators().items() if state != before[name]]
            if moved:
                return _told(f"importing {target} draws from or seeds the generator of {moved[0]}")
    return Imported()


def _told(what: str) -> Imported:
    return Imported(fault=f"{what}; do it in the function, or not at all")


def _targets(catalog: Catalog) -> Iterator[str]:
    """Give the import strings of all offers; what they require must be there, or they are left out."""
    for kind in KINDS:
        for offer in getattr(catalog, kind).values():
            if not first_missing(getattr(offer.spec, "requires", ())):
                targets = (getattr(offer.spec, role, None) for role in OFFERED)
                yield from (target for target in targets if isinstance(target, str))


if __name__ == "__main__":
    tell_loading()
