"""Files that options name: their paths are made absolute, their bytes are hashed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from vitbench.errors import UnusableError
from vitbench.files import sha256_of
from vitbench.specs import Option, OptionValue

__all__ = ["beside", "hash_files"]


def beside(base: Path, declared: Mapping[str, Option], options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return the options that name files, and those that name models with files, with paths relative to a folder.

    Args:
        base: of the file that the options stand in.
        declared: the options that there are; others, and what cannot be read, are left to those who check them.
        options: values, or their text.
    """
    found: dict[str, OptionValue] = {}
    for name, value in options.items():
        option = declared.get(name.replace("-", "_"))
        if option is not None and option.kind == "file" and isinstance(value, str) and value:
            with contextlib.suppress(RuntimeError):  # of the home of nobody, and so a file that is missing
                found[name] = str(base / Path(value).expanduser())
    return found


def hash_files(
    owner: str, declared: Mapping[str, Option], options: Mapping[str, OptionValue]
) -> tuple[dict[str, OptionValue], dict[str, str]]:
    """Return options with absolute paths, and the SHA-256 of each file that they name, by option.

    Args:
        owner: what has the options, for messages.
        declared: those of kind ``file`` name files; an empty one names none.
        options: complete.

    Raises:
        UnusableError: a file is missing or cannot be read.
    """
    found, hashes = dict(options), dict[str, str]()
    for name, option in declared.items():
        if option.kind == "file" and options.get(name):
            path = Path(str(options[name]))
            with contextlib.suppress(RuntimeError):  # of the home of nobody, and so a file that is missing
                path = path.expanduser()
            with contextlib.suppress(ValueError):  # a null character, which is told when it is opened
                path = path.resolve()
            found[name], hashes[name] = str(path), _sha256(path, owner, name)
    return found, hashes


def _sha256(path: Path, owner: str, option: str) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        words = f"the {option} {path} cannot be read ({error.strerror}); check the option {option}."
        raise UnusableError(f"{owner}: {words}") from error
