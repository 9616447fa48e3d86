"""Plugins without packaging: one Python file, which the user names (``vitbench run --plugin ./my_model.py``).

A file is read once, by the process that plans; its text travels to the others. So the code whose hash is recorded is
the code that runs, even where the file is edited meanwhile.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import msgspec

from vitbench.catalog.isolation import working_folder
from vitbench.errors import UsageError
from vitbench.files import read_file

__all__ = ["PluginFile", "load_file", "read_files"]

_MOST_BYTES = 64 * 2**20
_MODULE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class PluginFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plugin file as it was read."""

    path: str
    """Absolute."""
    shown: str
    """The path as it is listed and recorded: relative where it lies below the working folder."""
    source: bytes

    @property
    def name(self) -> str:
        """Of the plugin and of its module: the file's stem, with ``_`` for what the name of a module may not hold."""
        return re.sub(r"[^A-Za-z0-9_]", "_", Path(self.path).stem)

    @property
    def sha256(self) -> str:
        """Of the source."""
        return hashlib.sha256(self.source).hexdigest()


def read_files(paths: Iterable[str | Path]) -> tuple[PluginFile, ...]:
    """Read plugin files; one that is named twice is read once.

    Raises:
        UsageError: one cannot be read or cannot be a module of its name, or two have the same name.
    """
    files = tuple(map(_read, dict.fromkeys(_whole(Path(path)) for path in paths)))
    for file, other in itertools.combinations(files, 2):
        if file.name == other.name:
            raise UsageError(f'plugin files {file.shown} and {other.shown}: both are called "{file.name}"; rename one.')
    return files


def load_file(file: PluginFile) -> ModuleType:
    """Run a plugin file as the module of its name, in place of an earlier state of it; raises whatever it raises."""
    loader = _ReadBefore(file)
    spec = importlib.util.spec_from_file_location(file.name, file.path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.name] = module
    try:
        loader.exec_module(module)
    except ModuleNotFoundError as error:
        del sys.modules[file.name]
        beside = Path(file.path).with_name(f"{(error.name or '').partition('.')[0]}.py")
        if beside.is_file():
            error.msg += (
                f"; a plugin file must be self-contained, and {beside.name} next to it is not imported: turn both "
                "into a package"
            )
        raise
    except BaseException:
        del sys.modules[file.name]
        raise
    return module


class _ReadBefore(SourceFileLoader):
    """Runs the text that was read before, and writes no bytecode."""

    def __init__(self, file: PluginFile) -> None:
        super().__init__(file.name, file.path)
        self._source = file.source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self._source, self.path, "exec", dont_inherit=True)
        return code


def _whole(path: Path) -> Path:
    """Return the absolute path; a link keeps its own name, by which the plugin is called."""
    try:
        path = path.expanduser()
        return path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:  # a working folder that was removed; a user that is not there
        words = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise UsageError(f"plugin file {path} cannot be found: {words}.") from error


def _read(path: Path) -> PluginFile:
    here = working_folder()
    shown = str(path.relative_to(here) if here and path.is_relative_to(here) else path)
    try:
        file = PluginFile(path=str(path), shown=shown, source=read_file(path, most=_MOST_BYTES))
    except OSError as error:
        raise UsageError(f"plugin file {shown} cannot be read: {error.strerror}.") from error
    if path.suffix != ".py":
        raise UsageError(f'plugin file {shown}: its name must end in ".py".')
    if not _MODULE_NAME.match(file.name):
        raise UsageError(
            f"plugin file {shown}: its name must begin with a letter, since it is also the name of the plugin."
        )
    if _is_taken(file):
        raise UsageError(f'plugin file {shown}: "{file.name}" is the name of an installed module; rename the file.')
    return file


def _is_taken(file: PluginFile) -> bool:
    """Return whether another module has the name: the file would take its place for everybody."""
    try:
        found = importlib.util.find_spec(file.name)
    except ValueError:  # a module that was made by hand
        return True
    if found is None or found.origin is None or isinstance(found.loader, _ReadBefore):  # no origin: just a folder
        return False
    origin = Path(found.origin)
    return not (origin.exists() and origin.samefile(file.path))
