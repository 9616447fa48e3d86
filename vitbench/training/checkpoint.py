"""Checkpoints: files of tensors from elsewhere, read as untrusted and loaded only if they are complete.

Files are untrusted: safetensors if the name says so, otherwise ``torch.load(weights_only=True)``, never pickled
objects. What trainers lay around the weights is taken off, and said: a state dict inside a larger mapping, and what
wrappers put before names. A state that does not fit its module exactly then is an error that names the first keys on
both sides, because a model with half of its weights would be scored as if it had them all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from vitbench.errors import UnusableError, reason_of

__all__ = [
    "DIGEST",
    "EXTRA",
    "FACT",
    "POSITIONS",
    "State",
    "check_fit",
    "digest_of",
    "is_extra",
    "load_checkpoint",
    "load_state",
    "read_content",
    "read_state",
]

EXTRA = "vitbench.extra_state"
"""The key in a safetensors file's metadata for what modules keep besides tensors, as JSON."""
DIGEST = "vitbench.sha256"
"""The key for the `digest_of` of the file's tensors, if vitbench wrote the file."""
FACT = "checkpoint"
"""The module fact that says which of a file's weights it has."""
POSITIONS = "positions"
"""The module fact that says which grid its weights' positions were interpolated from."""
_NESTED_UNDER = ("state_dict", "model_state_dict", "model", "module", "net", "network", "params")
"""Where trainers put a state dict (timm and Lightning, PyTorch's tutorial, DeiT and fastai, DeepSpeed, others)."""
_AVERAGED_UNDER = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
"""Where they put averaged weights; these are taken where there are no others, as timm's validate script does."""
_BEFORE_NAMES = ("module", "_orig_mod", "model", "net", "network")
"""What DataParallel and AveragedModel, torch.compile, Lightning modules and others put before all names."""
_WITHIN_NAMES = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What wrappers of some of a model's parts put into names."""


class State(dict[str, torch.Tensor]):
    """Tensors by name, with a note of what was stripped to reach them.

    What modules keep besides tensors (`torch.nn.Module.get_extra_state`) is included, under names that
    `is_extra` knows.
    """

    taken: str = ""
    """What was stripped, worded to follow "the weights"; empty if nothing was."""

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], taken: str) -> State:
        """Return tensors with this note."""
        state = cls(tensors)
        state.taken = taken
        return state


def is_extra(name: str) -> bool:
    """Return whether a name in a state dict belongs to something that a module keeps besides tensors."""
    return name.rpartition(".")[2] == "_extra_state"


def read_content(path: str | Path) -> Any:
    """Return the contents of a checkpoint file, with its tensors on the CPU.

    Raises:
        UnusableError: the file is missing, cannot be read without pickle, or has different numbers from those that were
            written.
    """
    path = Path(path)
    if not path.is_file():
        raise UnusableError(f"checkpoint {path} is not a file; give the path of a state dict")
    safe = path.suffix == ".safetensors"
    try:
        if safe:
            tensors, metadata = load_file(path), _metadata(path)
            if metadata.get(DIGEST, "") in ("", digest_of(tensors)):
                return {**tensors, **_kept_extra(metadata)}
            raise _DamagedError(f"checkpoint {path} is damaged: its weights are not those that were written")
        with torch.serialization.safe_globals(_PLAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DamagedError:
        raise
    except Exception as error:  # what a broken or hostile file raises is not documented by either library
        reader = "safetensors" if safe else "torch.load(weights_only=True)"
        raise UnusableError(
            f"checkpoint {path} cannot be read by {reader}; save the model's state_dict() alone, as .safetensors"
        ) from error


class _DamagedError(UnusableError):
    """A file that was whole when it was written."""


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of tensors on the CPU, taken over their sorted names and their bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def read_state(path: str | Path, *, names: Collection[str] = ()) -> State:
    """Return the tensors of a checkpoint file, by name, on the CPU.

    The file holds a state dict, alone or in a mapping as trainers write it.

    Args:
        path: of the file.
        names: the names of the module's weights: prefixes that wrappers add to them are stripped.

    Raises:
        UnusableError: the file is missing, cannot be read without pickle, or contains no state dict.
    """
    content, taken = read_content(path), ""
    if isinstance(content, Mapping):
        inside = [key for key in (*_NESTED_UNDER, *_AVERAGED_UNDER) if _has_tensors(content.get(key))]
        if inside:
            content, taken = content[inside[0]], f"under {inside[0]}"
            if others := [key for key in inside[1:] if key in _AVERAGED_UNDER]:
                taken += f", not the averaged ones under {others[0]}"
    if not _has_tensors(content):
        raise UnusableError(f"checkpoint {path} contains no state dict: it must map the names of weights to tensors")
    # Beside weights there may be numbers, such as that of an epoch.
    tensors = {
        str(name): value for name, value in content.items() if isinstance(value, torch.Tensor) or is_extra(str(name))
    }
    return _unwrapped(State.of(tensors, taken), names)


def check_fit(module: nn.Module, state: Mapping[str, torch.Tensor], *, source: str | Path) -> State:
    """Return the part of a state that `load_state` copies; raises as it does. The module may be on the meta device."""
    wanted = module.state_dict()
    state = _unwrapped(state if isinstance(state, State) else State(state), wanted)
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    if missing or unexpected:
        sides = [
            f"{len(names)} {side} (first: {names[0]})"
            for side, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise UnusableError(f"checkpoint {source} does not fit the model: of its keys {' and '.join(sides)}")
    for name, tensor in wanted.items():
        if is_extra(name) and not (isinstance(tensor, torch.Tensor) and isinstance(state[name], torch.Tensor)):
            continue  # its module takes what it gave
        if state[name].shape != tensor.shape:
            raise UnusableError(
                f"checkpoint {source} does not fit the model: {name} is {_shape(state[name])}, "
                f"the model needs {_shape(tensor)}"
            )
        if _kind(state[name]) != _kind(tensor):
            raise UnusableError(
                f"checkpoint {source} does not fit the model: {name} is {_type(state[name])}, the model needs "
                f"{_type(tensor)}, and numbers of another kind are not cast; give weights that are not quantised"
            )
    return state


def load_state(module: nn.Module, state: Mapping[str, torch.Tensor], *, source: str | Path) -> None:
    """Copy a state into a module whose names and shapes it must match one to one.

    Prefixes that wrappers add to names are stripped if the rest fits. What was stripped is recorded in the module's
    ``facts``, under ``checkpoint``.

    Args:
        module: the module to fill, in place.
        state: tensors by name; a `State` keeps its note.
        source: what an error message calls the state: the path of its file.

    Raises:
        UnusableError: names the first missing and the first unexpected key with their counts, the first key whose
            shape differs, or the first whose numbers are of another kind, such as integers of quantised weights; or a
            module does not take what the file has of it beside tensors.
    """
    state = check_fit(module, state, source=source)
    try:
        module.load_state_dict(state)
    except Exception as error:  # of a module's own `set_extra_state`
        raise UnusableError(f"checkpoint {source} does not fit the model: {reason_of(error)}") from error
    if state.taken:
        module.facts = {**getattr(module, "facts", {}), FACT: state.taken}  # type: ignore[assignment]


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _kept_extra(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what `vitbench.training.card.save_weights` kept of modules beside tensors, of a file's metadata."""
    found = json.loads(metadata.get(EXTRA, "{}"))
    return {name: value for name, value in found.items() if is_extra(name)} if isinstance(found, dict) else {}


def load_checkpoint(module: nn.Module, path: str | Path) -> None:
    """Load a checkpoint file into a module, whose names and shapes it must match one to one.

    Raises:
        UnusableError: as `read_state` and `load_state` do.
    """
    load_state(module, read_state(path), source=path)


def _has_tensors(content: object) -> bool:
    """Whether it is a mapping with a tensor in it, and no further mapping or object."""
    plain = (torch.Tensor, int, float, str, bool, type(None))
    return (
        isinstance(content, Mapping)
        and any(isinstance(value, torch.Tensor) for value in content.values())
        and all(isinstance(value, plain) or is_extra(str(name)) for name, value in content.items())
    )


def _unwrapped(state: State, names: Collection[str]) -> State:
    """Return a state without what wrappers put before its names, where more of the wanted names are in it then."""
    best, hits = state, sum(name in state for name in names)
    for before in _beginnings(state):
        within = {name.removeprefix(before): name for name in state if name.startswith(before)}
        plain = {_WITHIN_NAMES.sub("", name): old for name, old in within.items()}
        for found in (within, plain):
            if len(found) == len(within) and (more := sum(name in found for name in names)) > hits:
                words = f"named {before}*" if before else "inside wrappers"
                lost = [name for name in state if not name.startswith(before)]
                words += f" (left out: {', '.join(lost[:3])}{', ...' if len(lost) > 3 else ''})" if lost else ""
                taken = f"{state.taken}, {words}" if state.taken else words
                best, hits = State.of({name: state[old] for name, old in found.items()}, taken), more
    return best


def _beginnings(state: Collection[str]) -> Iterator[str]:
    """Yield nothing, then what wrappers may have put before names, the shortest first."""
    found = {""}
    for name in state:
        parts = name.split(".")
        for count in range(1, len(parts)):
            if parts[count - 1] not in _BEFORE_NAMES:
                break
            found.add(".".join(parts[:count]) + ".")
    yield from sorted(found, key=lambda before: (len(before), before))


def _kind(tensor: torch.Tensor) -> str:
    """Return what of the kinds of numbers that no cast may mix a tensor holds."""
    kind = tensor.dtype
    if kind.is_complex:
        return "complex"
    if kind.is_floating_point:
        return "float" if kind.itemsize > 1 else str(kind)  # floats of 8 bits stand for others, by a scale
    return "bool" if kind == torch.bool else str(kind) if "q" in str(kind) else "integer"


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


# --- Plain values beside weights. NumPy's own unpickling is not called: it takes types of objects, too ---------------


class _PlainType:
    """Stands for the type of a NumPy number or text in a pickle."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[<>|=]?([biuf?][1248]?|[SU]\d{1,6})", code):
            raise ValueError(f"{code} is not a plain number or text")
        self.type = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.type = self.type.newbyteorder(state[1])


def _plain_scalar(kind: _PlainType, data: bytes) -> Any:
    return np.frombuffer(data, dtype=kind.type, count=1)[0].item()


def _plain_path(*parts: str) -> str:
    return "/".join(parts)


_PLAIN: Any = [
    argparse.Namespace,
    _PlainType,
    (_PlainType, "numpy.dtype"),
    (_plain_scalar, "numpy._core.multiarray.scalar"),
    (_plain_scalar, "numpy.core.multiarray.scalar"),
    *(
        (_plain_path, f"{module}.{kind}")  # of arguments such as --data
        for module in ("pathlib", "pathlib._local")
        for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    ),
]
"""What `torch.load` may make beside tensors and plain containers; nothing of it runs code of the file."""
