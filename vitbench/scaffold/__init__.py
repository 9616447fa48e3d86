"""``vitbench plugin new``: a complete package with one model, its test and its CI, from the files in ``template/``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from importlib.machinery import PathFinder
from importlib.resources import files
from pathlib import Path
from string import Template

from vitbench.catalog.discovery import GROUP
from vitbench.errors import StoreError, UsageError
from vitbench.version import __version__

__all__ = ["distribution_of", "write_package"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?\Z", re.IGNORECASE)
"""Names of projects (https://packaging.python.org/specifications/name-format), less the dot: a TOML key has none."""

_KNOWN = frozenset({"jax", "numpy", "pytest", "tensorflow", "timm", "torch", "torchvision", "transformers"})
"""Names that mean something else to everybody, whether they are installed here or not."""


def distribution_of(name: str) -> str:
    """Return the name of the package for a plugin, as pytest-something is to pytest."""
    return f"vitbench-{name}"


def write_package(name: str, folder: Path) -> list[Path]:
    """Write a package for the plugin `name`, and return its files.

    Raises:
        UsageError: the name is not a valid name of a package, or belongs to another plugin, package or module.
        StoreError: the folder holds files already, or cannot be written.
    """
    module = f"vitbench_{re.sub('[_-]+', '_', name).lower()}"  # the prefix keeps it clear of keywords and libraries
    _check_names(name, module)
    names = {"plugin": name, "distribution": distribution_of(name), "module": module, "version": __version__}
    template = files("vitbench.scaffold") / "template"
    places = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        ".gitignore": "gitignore.txt",
        ".github/workflows/test.yml": "test.yml.txt",
        f"src/{module}/__init__.py": "hooks.py.txt",
        f"src/{module}/net.py": "net.py.txt",
        "tests/test_conformance.py": "test_conformance.py.txt",
    }
    try:
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty, and nothing is overwritten; choose another --path.")
        for place, source in places.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template((template / source).read_text("utf-8")).substitute(names), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.") from error
    return [folder / place for place in places]


def _check_names(name: str, module: str) -> None:
    if not _NAME.match(name):
        raise UsageError(
            f'"{name}" is not a valid package name: use letters, digits, "_" and "-", and begin and end with a '
            "letter or a digit."
        )
    if name.lower().startswith("vitbench"):
        raise UsageError(f'"{name}": leave out "vitbench"; the package is called {distribution_of("NAME")}.')
    if name in importlib.metadata.entry_points(group=GROUP).names:
        raise UsageError(f'a plugin called "{name}" is already installed; see "vitbench plugins".')
    if importlib.util.find_spec(module):
        raise UsageError(f'"{name}": a module {module} is already installed; choose another name.')
    if _is_installed(distribution_of(name)):
        raise UsageError(f'"{name}": a package {distribution_of(name)} is already installed; choose another name.')
    remedy = f"the plugin's models would be called {name}/..., as if they came from it; choose another name, such as"
    if _is_installed(name):
        raise UsageError(f'"{name}" is the name of an installed package: {remedy} my-{name}.')
    if owner := _owner_of(re.sub("[-]+", "_", name)):
        raise UsageError(f'"{name}" is a module of {owner}: {remedy} my-{name}.')


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _owner_of(module: str) -> str:
    """Return what has a module, in words; nothing where no other package has it.

    A folder of this name in the working directory is none: the new package may lie there.
    """
    for name in (module, module.lower()):
        if name in sys.stdlib_module_names:
            return "Python's standard library"
        if name in _KNOWN:
            return "another project"
        found = PathFinder.find_spec(name)  # not what this process made: a plugin file is a module of its stem
        if found is not None and found.origin is not None and not Path(found.origin).is_relative_to(Path.cwd()):
            return "an installed package"
    return ""
