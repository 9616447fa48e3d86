"""What a recipe may do beside training: go on after a kill, and keep tensors. Behind `FitRun.resume`, `save`, `keep`.

A checkpoint is one file: what torch.save wrote, then its SHA-256, 32 bytes, since neither torch nor its zip format
notices every damage. It is written beside its place, flushed to the disk, and renamed, so that a kill at any moment
leaves the one before. It is read as untrusted files are, without pickled objects.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from vitbench.errors import UsageError
from vitbench.execution.messages import kept_file
from vitbench.printable import describe_seconds
from vitbench.worker.held_out import HeldOut

__all__ = ["Hands", "read_checkpoint", "write_checkpoint"]

_DIGEST_BYTES = hashlib.sha256().digest_size
_BLOCK_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of what is kept: it becomes part of a file's name, on any system."""


class Hands:
    """The hands of one training: of this attempt, and what killed ones left."""

    lost = ""
    """Why a state could not be saved; empty: each could."""
    earlier_seconds = 0.0
    """Seconds of training in killed attempts, up to what they saved last; 0 where this one started over."""

    earlier_steps = 0
    """Steps of training in killed attempts, likewise."""

    def __init__(
        self,
        path: Path | None,
        *,
        curve: list[dict[str, float]],
        say: Callable[[str], None],
        steps: int | None = None,
        held_out: HeldOut | None = None,
    ) -> None:
        """Start the clock of the training.

        Args:
            path: of the checkpoint; None: nothing is saved.
            curve: its rows; those of killed attempts are put before.
            say: tells the user a sentence.
            steps: that a budget gives the training; None: its own length. The state of another length is no part of it.
            held_out: what the recipe says of images that it held out, which is saved with its state.
        """
        self._path, self._curve, self._say, self._steps = path, curve, say, steps
        self._kept: dict[str, dict[str, Tensor]] = {}
        self._held_out = held_out
        self._started = time.monotonic()

    @property
    def evidence(self) -> dict[str, float]:
        """What a record says of it."""
        return {"earlier_seconds": self.earlier_seconds} if self.earlier_seconds else {}

    def resume(self) -> tuple[int, Mapping[str, Any]] | None:
        """See `FitRun.resume`."""
        if self._path is None or not self._path.exists():
            return None
        try:
            found = read_checkpoint(self._path)
        except DamagedError as error:
            self._say(f"the saved state of a killed training is damaged ({error}); training starts over")
            return None
        if found.get("steps") != self._steps:
            self._say("the saved state of a killed training is for a different length; training starts over")
            return None
        self._curve[:] = found["curve"]
        self._kept = found["kept"]
        if self._held_out is not None:
            self._held_out.restore(found["held_out"])
        self.earlier_seconds = found["seconds"]
        step: int = found["step"]
        self.earlier_steps = step
        self._say(f"resuming a killed training at step {step} ({describe_seconds(self.earlier_seconds)} done)")
        return step, found["state"]

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """See `FitRun.save`; where it cannot be saved, the user is told once, and the training goes on."""
        try:
            content = {
                "step": int(step),
                "steps": self._steps,
                "state": _plain(state, "state"),
                "curve": list(self._curve),
                "kept": self._kept,
                "held_out": self._held_out.state() if self._held_out is not None else {},
                "seconds": self.earlier_seconds + time.monotonic() - self._started,
            }
            if self._path is not None:
                write_checkpoint(self._path, content)
        except UsageError as error:
            self._lost(str(error))
        except OSError as error:
            self._lost(f"{self._path} cannot be written: {error.strerror}")

    def _lost(self, why: str) -> None:
        if not self.lost:
            self.lost = why
            self._say(f"{why}; training continues, but progress since the last save would be lost if it is killed")

    def keep(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """See `FitRun.keep`.

        Raises:
            UsageError: the name is not valid, or they are not tensors.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f"run.keep: {name!r:.80} is not a name; use up to 64 lower-case letters, digits, - and _, "
                "with a letter or digit first"
            )
        if not isinstance(tensors, Mapping):
            raise UsageError(f'run.keep("{name}"): give a dict of tensors by name, not {type(tensors).__name__}')
        for key, tensor in tensors.items():
            if not isinstance(key, str) or not isinstance(tensor, Tensor):
                raise UsageError(
                    f'run.keep("{name}"): give a dict of tensors by name, not one with {key!r:.80}: '
                    f"{type(tensor).__name__}"
                )
        self._kept[name] = {key: _copied(tensor) for key, tensor in tensors.items()}

    def write_kept(self, folder: Path) -> dict[str, str]:
        """Write what was kept into the folder of a job; return the SHA-256 of each file, by name.

        Raises:
            UsageError: safetensors cannot hold it.
        """
        digests = {}
        for name, tensors in self._kept.items():
            path = folder / kept_file(name)
            try:
                save_file(tensors, path)
            except Exception as error:  # what it raises for a type that it does not have is not documented
                raise UsageError(f'run.keep("{name}"): safetensors cannot hold these tensors: {error}') from error
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return digests


class DamagedError(Exception):
    """A file is not what was written there."""


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a checkpoint atomically, also when power is lost.

    Raises:
        OSError: it cannot be written; the one before is as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            writer = _Writer(file)
            torch.save(content, cast(IO[bytes], writer))
            writer.finish()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `write_checkpoint` wrote, its tensors on the CPU.

    Raises:
        DamagedError: it is not what was written, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            left, sha256 = os.fstat(file.fileno()).st_size - _DIGEST_BYTES, hashlib.sha256()
            while left > 0 and (content := file.read(min(left, _BLOCK_BYTES))):
                sha256.update(content)
                left -= len(content)
            if left or file.read() != sha256.digest():
                raise DamagedError("its content does not match its SHA-256")
    except OSError as error:
        raise DamagedError(error.strerror) from error
    try:
        # A zip file may be followed by other bytes, so the state need not be in memory twice.
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises for other files is not documented
        raise DamagedError("torch.load(weights_only=True) cannot read it") from error
    return found


class _Writer:
    """Hashes what passes through, and holds back the first error, which torch's own writer would turn into another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self._error: OSError | None = None

    def write(self, content: Any) -> int:
        if self._error is None:
            try:
                self._file.write(content)
                self._hash.update(content)
            except OSError as error:
                self._error = error
        return len(content)

    def flush(self) -> None:
        """Do nothing: `finish` flushes."""

    def finish(self) -> None:
        """Write the digest; raise the error that was held back."""
        if self._error is None:
            self._file.write(self._hash.digest())
            self._file.flush()
        else:
            raise self._error


def _plain(value: Any, where: str) -> Any:
    """Return a state as it can be read without pickled objects: of plain types, its tensors without more than it shows.

    Raises:
        UsageError: names the place of what it cannot hold.
    """
    if isinstance(value, Tensor):
        value = value.detach()
        whole = value.layout != torch.strided or value.untyped_storage().nbytes() == value.nbytes
        return value if whole else value.clone()  # torch.save writes all of the memory behind a view
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(one, f"{where}[{key!r:.40}]") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        several = [_plain(one, f"{where}[{number}]") for number, one in enumerate(value)]
        return several if isinstance(value, list) else tuple(several)
    for kind in (bool, int, float, str):  # without what a class of one's own adds
        if isinstance(value, kind):
            return kind(value)
    if value is None or isinstance(value, (bytes, complex, torch.dtype, torch.device)):
        return value
    raise UsageError(
        f"run.save: {where} is {type(value).__name__}; a checkpoint may contain tensors, numbers, strings, None, "
        "and lists, tuples and dicts of these"
    )


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
