"""Environment variables that change numbers: the one list of them, what each does, and which make a request untrue.

Such a variable belongs to the id of the cells whose numbers it changes: to that of speed cells always, to that of
quality cells where it changes arithmetic. Where it is set it stands with the conditions. One that is set to nothing
counts as not set, as the libraries have it.

Not in the list: ``OMP_NUM_THREADS`` and its kin, since vitbench sets the number of threads itself, in each cell; and
``KMP_DUPLICATE_LIB_OK``, ``KMP_INIT_AT_FORK`` and ``TORCHINDUCTOR_CACHE_DIR``, which scikit-learn and torchvision set
as they are imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vitbench.errors import UnusableError

__all__ = ["VARIABLES", "Variable", "Variables", "check_variables", "is_listed", "variables_set"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, or all that match a pattern."""

    pattern: str
    """Its name; ``*`` stands for any letters."""
    reason: str
    """What it changes."""
    arithmetic: bool = False
    """Whether it may change results, not only how soon they are there and in how much memory."""
    device: str = ""
    """The kind of device that it is for; empty: any."""
    compiled: bool = False
    """Whether it counts only where models are compiled."""


_NOT_COUNTED = (
    *("*_NUM_THREADS", "*_VERBOSE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"),
    *("TORCHDYNAMO_REPRO_*", "TORCH_COMPILE_DEBUG*", "TORCH_COMPILE_CPROFILE"),
)
"""What a pattern below would take and should not."""

VARIABLES = (
    Variable("ATEN_CPU_CAPABILITY", "torch's own kernels: the instruction set, and with it the rounding", True),
    Variable("ONEDNN_*", "oneDNN: instruction set, and float32 computed in fewer bits", True),
    Variable("DNNL_*", "the older names of oneDNN's variables", True),
    Variable("TORCH_MKLDNN_*", "which products oneDNN computes", True),
    Variable("MKL_*", "MKL: instruction set, order of sums", True),
    Variable("OPENBLAS_*", "OpenBLAS: the kernels it chooses", True),
    Variable("OMP_DYNAMIC", "OpenMP: how many threads a sum is split over", True),
    Variable("OMP_THREAD_LIMIT", "OpenMP: how many threads a sum is split over", True),
    Variable("OMP_*", "OpenMP: where threads run, and whether they spin or sleep"),
    Variable("GOMP_*", "GNU's OpenMP: where threads run, and whether they spin or sleep"),
    Variable("KMP_*", "Intel's and LLVM's OpenMP: where threads run, and whether they spin or sleep"),
    Variable(
        "LD_PRELOAD", "a library loaded before all others: an allocator, OpenMP, the C library's mathematics", True
    ),
    Variable("DYLD_INSERT_LIBRARIES", "the same on macOS", True),
    Variable("GLIBC_TUNABLES", "the C library: memory, and the instruction set of its functions", True),
    Variable("MALLOC_*", "the C library: how memory is allocated and released"),
    Variable("NVIDIA_TF32_OVERRIDE", "float32 products in TF32, or TF32 ones in float32", True, "cuda"),
    Variable("TORCH_ALLOW_TF32_*", "float32 products in TF32", True, "cuda"),
    Variable("CUBLAS*_WORKSPACE_*", "cuBLAS: which of its algorithms may run", True, "cuda"),
    Variable("CUBLAS_EMULAT*", "cuBLAS: float32 and float64 computed in other ways", True, "cuda"),
    Variable("CUBLAS_FIXEDPOINT_*", "cuBLAS: how float64 is computed in other ways", True, "cuda"),
    Variable("TORCH_BLAS_PREFER_*", "which library multiplies matrices", True, "cuda"),
    Variable("TORCH_CUDNN_*", "cuDNN: how its algorithms are chosen", True, "cuda"),
    Variable("DISABLE_ADDMM_CUDA_LT", "which library multiplies matrices", True, "cuda"),
    Variable("MIOPEN_*", "MIOpen: how its algorithms are chosen", True, "cuda"),
    Variable("PYTORCH_CUDA_ALLOC_CONF", "torch's allocator: peak memory, and what it costs", False, "cuda"),
    Variable("PYTORCH_ALLOC_CONF", "torch's allocator: peak memory, and what it costs"),
    Variable("PYTORCH_NO_CUDA_MEMORY_CACHING", "torch's allocator, off", False, "cuda"),
    Variable("CUDA_LAUNCH_BLOCKING", "each kernel is waited for", False, "cuda"),
    Variable("CUDA_MODULE_LOADING", "when kernels are loaded: start and memory", False, "cuda"),
    Variable("CUDA_DEVICE_MAX_CONNECTIONS", "how kernels queue", False, "cuda"),
    Variable("PYTORCH_ENABLE_MPS_FALLBACK", "operators that silently run on the CPU", True, "mps"),
    Variable("PYTORCH_MPS_*", "Metal: fast mathematics, the allocator", True, "mps"),
    Variable("TORCHDYNAMO_*", "torch.compile: what is compiled, or nothing", True, "", True),
    Variable("TORCH_COMPILE_*", "torch.compile: what is compiled, or nothing", True, "", True),
    Variable("TORCHINDUCTOR_*", "the compiler: the kernels that it writes and chooses", True, "", True),
    Variable("TRITON_CACHE_DIR", "the compiler's cache: how long compiling takes", False, "", True),
    Variable("TRITON_*", "Triton: the kernels that it writes", True, "", True),
)
"""The first that a name matches counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variables:
    """The variables that are set, by name."""

    arithmetic: Mapping[str, str] = field(default_factory=dict)
    """Those that may change results."""
    timing: Mapping[str, str] = field(default_factory=dict)
    """Those that change speed and memory alone."""


def variables_set(device: str, *, compiled: bool, environment: Mapping[str, str] | None = None) -> Variables:
    """Return what is set of the list and counts for cells on a device.

    Args:
        device: as `vitbench.environment.resolve_device` gives it.
        compiled: whether models are compiled.
        environment: None: this process's.
    """
    found: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for name, value in sorted((os.environ if environment is None else environment).items()):
        variable = _listed(name)
        if not value or variable is None or (variable.compiled and not compiled):
            continue
        if device.startswith(variable.device):
            found[variable.arithmetic][name] = value
    return Variables(arithmetic=found[True], timing=found[False])


def is_listed(name: str) -> bool:
    """Whether a variable is in the list, on whatever device."""
    return _listed(name) is not None


def _listed(name: str) -> Variable | None:
    if any(fnmatchcase(name, pattern) for pattern in _NOT_COUNTED):
        return None
    return next((variable for variable in VARIABLES if fnmatchcase(name, variable.pattern)), None)


def check_variables(
    *, device: str, precision: str, compiled: bool, environment: Mapping[str, str] | None = None
) -> None:
    """Refuse what would make the precision or `compile` untrue.

    Raises:
        UnusableError: such a variable is set.
    """
    given = os.environ if environment is None else environment
    for name, lie in (
        *((name, _of_onednn) for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")),
        ("NVIDIA_TF32_OVERRIDE", _of_tf32),
        *((name, _of_compiler) for name in ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE")),
    ):
        value = given.get(name, "")
        if value and (words := lie(value, device, precision, compiled)):
            raise UnusableError(f"the environment variable {name}={value} {words}; unset it.")


def _of_onednn(value: str, device: str, precision: str, compiled: bool) -> str:
    lies = device == "cpu" and precision == "float32" and value.lower() != "strict"
    return "lets oneDNN compute float32 in fewer bits: --precision float32 would not be that" if lies else ""


def _of_tf32(value: str, device: str, precision: str, compiled: bool) -> str:
    if not device.startswith("cuda"):
        return ""
    if value == "0":
        return "turns TF32 off: --precision tf32 would be float32" if precision == "tf32" else ""
    return "" if precision == "tf32" else f"computes float32 in TF32: --precision {precision} would not be that"


def _of_compiler(value: str, device: str, precision: str, compiled: bool) -> str:
    return "turns torch.compile off: --compile would compile nothing" if compiled and value != "0" else ""
