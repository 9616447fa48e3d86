"""torch's global state: what is set, what is restored, what a model changed."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch

from vitbench.errors import UnusableError
from vitbench.worker import runtime as module
from vitbench.worker.runtime import changed_flags, runtime


@pytest.fixture(autouse=True)
def _unchanged_afterwards() -> Iterator[None]:
    before = module._read_flags()
    yield
    assert module._read_flags() == before


def enter(**changes: object):  # type: ignore[no-untyped-def]
    return runtime(**{"precision": "float32", "threads": 1, "seed": 3, "device": "cpu", **changes})  # type: ignore[arg-type]


def test_everything_is_as_recorded_inside_and_restored_outside() -> None:
    torch.set_default_dtype(torch.float64)
    torch.backends.cudnn.deterministic = True
    try:
        before = module._read_flags()
        with enter(threads=2) as flags:
            assert changed_flags(flags) == ()
            assert torch.get_num_threads() == flags["threads"] == 2
            assert torch.ones(1).dtype == torch.float32
            assert (flags["precision"], flags["seed"], flags["device"]) == ("float32", 3, "cpu")
        assert module._read_flags() == before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.backends.cudnn.deterministic = False


def test_the_record_is_plain_data() -> None:
    with enter() as flags:
        assert msgspec.json.decode(msgspec.json.encode(flags)) == flags


def test_float32_forbids_tf32_and_leaves_older_readers_working() -> None:
    with enter():
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"


def test_tf32_is_allowed_everywhere_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "check_precision", lambda precision, device: None)
    with enter(precision="tf32") as flags:
        assert torch.backends.cuda.matmul.allow_tf32 is True
        assert torch.backends.cudnn.allow_tf32 is True
        assert changed_flags(flags) == ()


def test_tf32_needs_cuda() -> None:
    with pytest.raises(UnusableError, match=r"^--precision tf32 needs a CUDA device, not cpu; use float32\.$"), enter():
        module.check_precision("tf32", "cpu")
    with pytest.raises(UnusableError, match="CUDA"), enter(precision="tf32"):
        pass


def test_tf32_needs_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(UnusableError, match="Ampere"):
        module.check_precision("tf32", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    module.check_precision("tf32", "cuda")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda: torch.set_num_threads(2), ("threads",)),
        (lambda: torch.set_grad_enabled(False), ("grad_enabled",)),
        (lambda: torch.set_default_dtype(torch.float64), ("default_dtype",)),
        (lambda: setattr(torch.backends.cudnn, "benchmark", True), ("cudnn.benchmark",)),
        (
            lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32"),
            ("cudnn.allow_tf32", "cudnn.conv.fp32_precision"),
        ),
        (lambda: torch.use_deterministic_algorithms(True), ("deterministic_debug_mode",)),
        (lambda: torch.backends.cuda.enable_flash_sdp(False), ("flash_attention",)),
        (
            lambda: torch.set_float32_matmul_precision("high"),
            ("float32_matmul_precision", "cuda.matmul.fp32_precision", "mkldnn.matmul.fp32_precision"),
        ),
    ],
)
def test_what_a_model_changes_is_named_and_undone(change, names: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    with enter() as flags:
        change()
        assert changed_flags(flags) == names


def test_flags_are_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="in the block"), enter(threads=2):
        raise RuntimeError("in the block")


def draw() -> tuple[float, float, float]:
    return torch.rand(1).item(), float(np.random.rand()), random.random()


def test_the_same_seed_gives_the_same_numbers_and_the_callers_generators_go_on_as_if_nothing_were() -> None:
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    expected = draw(), draw()
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    assert draw() == expected[0]
    with enter(seed=5):
        first = draw()
    with enter(seed=5):
        assert draw() == first
    with enter(seed=6):
        assert not set(draw()) & set(first)
    assert draw() == expected[1]


def test_seeds_beyond_numpys_range_are_taken() -> None:
    with enter(seed=2**32 + 1):
        large = draw()
    with enter(seed=1):
        small = draw()
    assert large[1] == small[1]
    assert large[2] != small[2]


def page_faults(code: str) -> int:
    program = f"""
import ctypes, mmap, resource
{code}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = libc.malloc(ctypes.c_size_t(16 << 20))
    ctypes.memset(ctypes.c_void_p(block), 1, 16 << 20)
    libc.free(ctypes.c_void_p(block))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_a_steady_allocator_keeps_freed_memory():
    fixed = "libc = ctypes.CDLL(None); libc.mallopt(-1, 0); libc.mallopt(-3, 1 << 20)"  # maps each block anew
    steady = "from vitbench.worker.runtime import steady_allocator; assert len(steady_allocator()) == 2"
    assert page_faults(steady) * 5 < page_faults(fixed)
