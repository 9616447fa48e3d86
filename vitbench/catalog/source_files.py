"""Which files a plugin is made of: those of its package, and those of modules that it imports and no package brings."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

__all__ = ["files_below", "files_of", "hash_of_files", "helper_files", "imported_by", "imports_of"]

_NO_PART = ("*.pyc", "*.pyo", "*~", "*.bak", "*.orig", "*.rej", "*.swp", "*.tmp", "*.part", "*.log", "*.lock", "#*#")
"""What is no part of the code: bytecode, and what editors, merges and running programs leave behind."""
_NO_FOLDER = ("__pycache__", "*.egg-info", "*.dist-info")
_OF_EACH_KEY = frozenset({"numpy", "torch", "torchvision", "vitbench"})
"""What is in each key by its version or sources; a torch that was built in its checkout has gigabytes of files."""


def files_of(module: str) -> dict[Path, str]:
    """Return the files of a top-level package or module, each with its name from there on.

    Of a package that is all but bytecode, what programs leave behind, and hidden files: data beside the code, such as
    tables, kernels or weights, change what it computes. A single module is its file alone.
    """
    folders, single = _places(module)
    files = {file: f"{module}/{name}" for folder in folders for file, name in files_below(folder).items()}
    return files or ({single: single.name} if single else {})


def files_below(place: Path) -> dict[Path, str]:
    """Return the files of a folder that are parts of its code, each with its name below the folder."""
    files: dict[Path, str] = {}
    seen = set()
    for here, folders, names in os.walk(place, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not _matches(name, _NO_FOLDER)]
        for name in names:
            file = Path(here, name)
            if not _matches(name, _NO_PART) and file.is_file():
                files[file] = file.relative_to(place).as_posix()
    return files


def helper_files(imported: Iterable[str], *, own: Iterable[str]) -> dict[Path, str]:
    """Return the files of those of some modules that no installed package answers for, and of what they import in turn.

    That is what lies outside of Python's own folders and those that packages are installed into, such as a module on
    PYTHONPATH.

    Args:
        imported: top-level modules.
        own: those that need not be looked at.
    """
    known = {*own, *_OF_EACH_KEY, *sys.stdlib_module_names}
    found: dict[Path, str] = {}
    modules = set(imported)
    while modules := modules - known:
        known |= modules
        helpers: dict[Path, str] = {}
        for module in modules:
            if not _is_installed(module):
                helpers |= files_of(module)
        found |= helpers
        modules = imports_of(helpers)
    return found


def imports_of(files: Iterable[Path]) -> set[str]:
    """Return the top-level modules that some files import, of which those that are no Python name none.

    Raises:
        OSError: one cannot be read.
    """
    return {module for file in files if file.suffix == ".py" for module in imported_by(file.read_bytes())}


def imported_by(source: bytes) -> tuple[str, ...]:
    """Return the top-level modules that a source imports anywhere; a name put together as it runs is not seen."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):  # it is never imported
        return ()
    found = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return tuple(sorted(found))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a tree, and what holds some; of the many expressions none imports anything."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):  # a lambda's body is an expression
                left += inner


def hash_of_files(files: Mapping[Path, str]) -> str:
    """Return the SHA-256 over names and bytes.

    Raises:
        OSError: one cannot be read.
    """
    total = hashlib.sha256()
    for file, name in sorted(files.items(), key=lambda each: each[1]):
        content = file.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def _places(module: str) -> tuple[list[Path], Path | None]:
    """Return the folders of a package, several of a namespace, and the file of a module; nothing where it is not."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: a module that was made by hand, such as __main__
        found = None
    if found is None:
        return [], None
    single = Path(found.origin) if found.origin else None
    return list(map(Path, found.submodule_search_locations or ())), single if single and single.is_file() else None


def _is_installed(module: str) -> bool:
    folders, single = _places(module)
    return any(_in_pythons_folders(place) for place in (*folders, *([single] if single else [])))


def _in_pythons_folders(place: Path) -> bool:
    return any(place.is_relative_to(folder) for folder in _pythons_folders())


@cache
def _pythons_folders() -> tuple[Path, ...]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [*(sysconfig.get_path(kind) for kind in kinds), *site.getsitepackages(), site.getusersitepackages()]
    # Those of another environment, too, whose packages a path file brings in.
    folders += [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    return tuple(dict.fromkeys(Path(folder) for folder in folders))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return name.startswith(".") or any(fnmatch(name, pattern) for pattern in patterns)
