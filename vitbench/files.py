"""Write a file whole or not at all, so that a reader never finds half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from vitbench.errors import StoreError

__all__ = ["replace_file"]


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file, which keeps its rights; through links, and into pipes and devices.

    Raises:
        StoreError: it cannot be written; the file is as it was.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()
        temporary = target.with_name(f".vitbench-{os.getpid()}.part")
        temporary.write_bytes(content)
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
