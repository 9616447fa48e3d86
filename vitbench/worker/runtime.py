"""torch's global state: set here, recorded, restored. No other module of vitbench writes it.

``float32`` means IEEE float32: TF32, which torch allows in cuDNN's convolutions by default, is a precision of its own
(``tf32``). See https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html and the notes on CUDA semantics.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import backends
from torch.utils import deterministic

from vitbench.errors import UnusableError
from vitbench.records import Precision
from vitbench.variables import check_variables

__all__ = ["changed_flags", "check_precision", "flag_reasons", "kept_flags", "runtime", "seed_all", "steady_allocator"]

FlagValue = bool | int | str
Access = tuple[Callable[[], FlagValue], Callable[[Any], object]]


def _backend(path: str) -> Access:
    """Give reading and writing of an attribute under ``torch.backends``."""
    owner_path, _, name = path.rpartition(".")
    return _attribute(attrgetter(owner_path)(backends) if owner_path else backends, name)


def _attribute(owner: object, name: str) -> Access:
    """Give reading and writing of an attribute."""
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _read_cudnn_tf32() -> FlagValue:
    """Read the older switch, which is a state of its own beside `cudnn.conv.fp32_precision` and that of rnn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions of torch call it deprecated, at each use
        try:
            return backends.cudnn.allow_tf32
        except RuntimeError:  # torch refuses to tell where the older and the newer switches disagree
            return "mixed"


def _write_cudnn_tf32(value: Any) -> None:
    if value == "mixed":
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backends.cudnn.allow_tf32 = value


def _reduction(name: str) -> Access:
    """Give reading and writing of where cuBLAS may add in reduced precision: nowhere, between its parts, everywhere.

    torch keeps two switches of which one implies the other
    (https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html).
    """
    levels = ("nowhere", "split_k", "everywhere")
    matmul = backends.cuda.matmul

    def read() -> FlagValue:
        return levels[getattr(matmul, name) + getattr(matmul, f"{name}_split_k")]

    return read, lambda level: setattr(matmul, name, (level == "everywhere", level != "nowhere"))


def _autocast(device_type: str) -> Access:
    """Give reading and writing of whether autocast is on: where it was left on, float32 is not float32."""
    return partial(torch.is_autocast_enabled, device_type), partial(torch.set_autocast_enabled, device_type)


def _write_anomaly_detection(enabled: bool) -> None:
    torch.set_anomaly_enabled(enabled, torch.is_anomaly_check_nan_enabled())


_ACCESS: Mapping[str, Access] = {
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "default_dtype": (
        lambda: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda name: torch.set_default_dtype(getattr(torch, name)),
    ),
    "default_device": (
        lambda: str(torch.get_default_device()),
        # None is what torch starts with; a device, even the same one, costs a little at each call.
        lambda name: torch.set_default_device(None if name == "cpu" else name),
    ),
    "grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly_detection": (torch.is_anomaly_enabled, _write_anomaly_detection),
    "autocast.cpu": _autocast("cpu"),
    "autocast.cuda": _autocast("cuda"),
    # torch tells this of no thread; but half of the smallest normal number is zero only where denormals are flushed.
    "flush_denormal": (lambda: sys.float_info.min / 2 == 0, torch.set_flush_denormal),
    "deterministic_debug_mode": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "fill_uninitialized_memory": _attribute(deterministic, "fill_uninitialized_memory"),
    "cudnn.allow_tf32": (_read_cudnn_tf32, _write_cudnn_tf32),
    "float32_matmul_precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cuda.matmul.allow_fp16_reduced_precision_reduction": _reduction("allow_fp16_reduced_precision_reduction"),
    "cuda.matmul.allow_bf16_reduced_precision_reduction": _reduction("allow_bf16_reduced_precision_reduction"),
    "flash_attention": (backends.cuda.flash_sdp_enabled, backends.cuda.enable_flash_sdp),
    "memory_efficient_attention": (backends.cuda.mem_efficient_sdp_enabled, backends.cuda.enable_mem_efficient_sdp),
    "cudnn_attention": (backends.cuda.cudnn_sdp_enabled, backends.cuda.enable_cudnn_sdp),
    "math_attention": (backends.cuda.math_sdp_enabled, backends.cuda.enable_math_sdp),
    "math_attention_reduced_precision": (
        backends.cuda.fp16_bf16_reduction_math_sdp_allowed,
        backends.cuda.allow_fp16_bf16_reduction_math_sdp,
    ),
    "transformer_fastpath": (backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled),
}

"""Reading and writing of each flag that is no attribute under ``torch.backends``."""

_WATCHED: Mapping[str, Callable[[], FlagValue]] = {
    # A guard keeps the first, and torch lets the second be set once in a process only, so neither is written.
    "inference_mode": torch.is_inference_mode_enabled,
    "interop_threads": torch.get_num_interop_threads,
}


def _wanted(precision: Precision, threads: int) -> dict[str, FlagValue]:
    """Return the value that each flag gets, in the order in which they are written."""
    tf32 = precision == "tf32"
    # "none" is inherited, up to `fp32_precision`, where it is IEEE; the older switches write it for "no TF32", and
    # they must agree with the newer ones, or libraries that read them get an error.
    cudnn = "tf32" if tf32 else "none"
    return {
        "threads": threads,
        "default_dtype": "float32",
        "default_device": "cpu",
        "grad_enabled": True,
        "anomaly_detection": False,
        "autocast.cpu": False,
        "autocast.cuda": False,
        "flush_denormal": False,
        "deterministic_debug_mode": 0,
        "fill_uninitialized_memory": True,
        # Before the backends: these two write their matmul, conv and rnn precisions, which then have the last word.
        "cudnn.allow_tf32": tf32,
        "float32_matmul_precision": "high" if tf32 else "highest",
        "fp32_precision": "none",
        "cuda.matmul.fp32_precision": "tf32" if tf32 else "ieee",
        "cudnn.fp32_precision": "none",
        "cudnn.conv.fp32_precision": cudnn,
        "cudnn.rnn.fp32_precision": cudnn,
        "mkldnn.fp32_precision": "none",
        "mkldnn.matmul.fp32_precision": "ieee",
        "mkldnn.conv.fp32_precision": "none",
        "mkldnn.rnn.fp32_precision": "none",
        "cudnn.enabled": True,
        # Off, as torch has it: the search would choose other kernels from run to run.
        "cudnn.benchmark": False,
        "cudnn.deterministic": False,
        "mkldnn.enabled": True,
        # As torch has them: products of float16 and bfloat16 are added in float32, but between parts.
        "cuda.matmul.allow_fp16_accumulation": False,
        "cuda.matmul.allow_fp16_reduced_precision_reduction": "everywhere",
        "cuda.matmul.allow_bf16_reduced_precision_reduction": "everywhere",
        "flash_attention": True,
        "memory_efficient_attention": True,
        "cudnn_attention": True,
        "math_attention": True,
        "math_attention_reduced_precision": False,
        "transformer_fastpath": True,
    }


_FLAGS: Mapping[str, Access] = {
    name: _ACCESS[name] if name in _ACCESS else _backend(name) for name in _wanted("float32", threads=1)
}


def _read_flags() -> dict[str, FlagValue]:
    return {name: read() for name, (read, _) in _FLAGS.items()}


def _write_flags(values: Mapping[str, FlagValue]) -> None:
    for name, (_, write) in _FLAGS.items():
        write(values[name])


def check_precision(precision: Precision, device: str) -> None:
    """Raise UnusableError where a device does not have a precision.

    Raises:
        UnusableError: ``tf32`` was asked for on a device without it, where it would silently be float32; or an
            environment variable makes another of the precision that is asked for.
    """
    check_variables(device=device, precision=precision, compiled=False)
    if precision != "tf32":
        return
    if not device.startswith("cuda"):
        raise UnusableError(f"--precision tf32 needs a CUDA device, not {device}; use float32.")
    if torch.cuda.get_device_capability(torch.device(device)) < (8, 0):
        raise UnusableError("--precision tf32 needs an Ampere or later GPU; use float32.")


@contextmanager
def runtime(*, precision: Precision, threads: int, seed: int, device: str) -> Iterator[dict[str, Any]]:
    """Set torch's flags, its current CUDA device and all random seeds, and restore these on the way out.

    Yields:
        What was set, for the record: precision, seed, device and each flag. `changed_flags` compares with it.

    Raises:
        UnusableError: the device does not have the precision.
    """
    check_precision(precision, device)
    saved, wanted = _read_flags(), _wanted(precision, threads)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    cuda = [torch.device(device).index or 0] if device.startswith("cuda") else []
    # Kernels of other libraries, and pinned memory, go to the current device, whatever device their tensors are on.
    current = torch.cuda.device(cuda[0]) if cuda else nullcontext()
    with current, torch.random.fork_rng(devices=cuda):
        try:
            with torch.inference_mode(torch.is_inference_mode_enabled()):
                _write_flags(wanted)
                seed_all(seed)
                watched = {name: read() for name, read in _WATCHED.items()}
                yield {"precision": precision, "seed": seed, "device": device, **wanted, **watched}
        finally:
            _write_flags(saved)
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def seed_all(seed: int) -> None:
    """Seed all generators."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def kept_flags() -> Iterator[None]:
    """Put torch's flags back to what they were, whatever the block does: a metric may run the model's code, too."""
    saved = _read_flags()
    try:
        yield
    finally:
        _write_flags(saved)


def steady_allocator() -> dict[str, int]:
    """Fix the thresholds at which glibc maps and gives back memory; return what was set, nothing without glibc.

    By itself glibc moves them with what a process has freed before, imports included: the same forward pass was seen
    to take 9,000 page faults in one process and 1,300 in another, and a fifth more time
    (https://man7.org/linux/man-pages/man3/mallopt.3.html). Where the user has set a variable of glibc's allocator, it
    is left as it is.
    """
    chosen = any(value and name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name, value in os.environ.items())
    if chosen or sys.platform == "win32":  # which has no handle of the whole process
        return {}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    wanted = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 1 << 30)}
    return {name: value for name, (code, value) in wanted.items() if mallopt is not None and mallopt(code, value) == 1}


def changed_flags(recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the flags that no longer are as recorded: something, most often the model, wrote them.

    Args:
        recorded: what `runtime` yielded; to be called inside its block.
    """
    now = _read_flags() | {name: read() for name, read in _WATCHED.items()}
    return tuple(name for name, value in now.items() if value != recorded[name])


def flag_reasons(recorded: Mapping[str, Any]) -> list[str]:
    """Say so where a model changed torch's flags; to be called as `changed_flags` is."""
    changed = changed_flags(recorded)
    return [f"the model changed torch's {', '.join(changed)}"] if changed else []
