"""Files that options name: their paths are made absolute, their bytes are hashed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from vitbench.errors import UnusableError
from vitbench.specs import Option, OptionValue

__all__ = ["hash_files"]


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
            path = path.resolve()
            found[name], hashes[name] = str(path), _sha256(path, owner, name)
    return found, hashes


def _sha256(path: Path, owner: str, option: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        words = f"the {option} {path} cannot be read ({error.strerror}); check the option {option}."
        raise UnusableError(f"{owner}: {words}") from error
