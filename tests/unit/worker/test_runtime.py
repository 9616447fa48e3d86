"""torch's global state: what is set, what is restored, what a model changed."""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import known_models
import msgspec
import numpy as np
import pytest
import torch

from vitbench.errors import UnusableError
from vitbench.worker import runtime as module
from vitbench.worker.runtime import changed_flags, runtime, steady_allocator


@pytest.fixture(autouse=True)
def _unchanged_afterwards() -> Iterator[None]:
    before = module._read_flags()
    yield
    assert module._read_flags() == before


def enter(**changes: object):  # type: ignore[no-untyped-def]
    return runtime(**{"precision": "float32", "threads": 1, "seed": 3, "device": "cpu", **changes})  # type: ignore[arg-type]


def test_float32_forbids_tf32_which_is_allowed_everywhere_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with enter():
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"

    monkeypatch.setattr(module, "check_precision", lambda precision, device: None)
    with enter(precision="tf32") as flags:
        assert torch.backends.cuda.matmul.allow_tf32 is True
        assert torch.backends.cudnn.allow_tf32 is True
        assert changed_flags(flags) == ()


def test_a_gpu_is_the_current_one_while_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    @contextmanager
    def current(index: int) -> Iterator[None]:
        seen.append(index)
        yield
        seen.append("left")

    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext(seen.append(devices)))
    for device in ("cuda", "cuda:1", "cpu"):
        with module.runtime(precision="float32", threads=1, seed=0, device=device):
            seen.append(device)
    assert seen == [0, [0], "cuda", "left", 1, [1], "cuda:1", "left", [], "cpu"]


def test_tf32_needs_a_cuda_device_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnusableError, match=r"^--precision tf32 needs a CUDA device, not cpu; use float32\.$"), enter():
        module.check_precision("tf32", "cpu")
    with pytest.raises(UnusableError, match="CUDA"), enter(precision="tf32"):
        pass

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(UnusableError, match="Ampere"):
        module.check_precision("tf32", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    module.check_precision("tf32", "cuda")


CHANGES: list[tuple[Callable[[], object], tuple[str, ...]]] = [
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
    (lambda: torch.set_default_device("meta"), ("default_device",)),
    (lambda: torch.autograd.set_detect_anomaly(True), ("anomaly_detection",)),
    (lambda: torch.set_autocast_enabled("cpu", True), ("autocast.cpu",)),
    (lambda: torch.set_autocast_enabled("cuda", True), ("autocast.cuda",)),
    (lambda: torch.set_flush_denormal(True), ("flush_denormal",)),
    (
        lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
        ("fill_uninitialized_memory",),
    ),
    (lambda: setattr(torch.backends.mkldnn, "enabled", False), ("mkldnn.enabled",)),
    (
        lambda: setattr(torch.backends.cuda.matmul, "allow_fp16_accumulation", True),
        ("cuda.matmul.allow_fp16_accumulation",),
    ),
    (
        lambda: setattr(torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
        ("cuda.matmul.allow_fp16_reduced_precision_reduction",),
    ),
    (
        lambda: setattr(torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", (False, False)),
        ("cuda.matmul.allow_bf16_reduced_precision_reduction",),
    ),
    (
        lambda: torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True),
        ("math_attention_reduced_precision",),
    ),
]


def test_what_a_model_changes_is_named_and_undone() -> None:
    before = module._read_flags()
    for change, names in CHANGES:
        with enter() as flags:
            change()
            assert changed_flags(flags) == names
        assert module._read_flags() == before, names


def test_inference_mode_that_a_model_leaves_on_is_named_and_undone() -> None:
    with enter() as flags:
        left_on = torch.inference_mode()
        left_on.__enter__()
        assert changed_flags(flags) == ("grad_enabled", "inference_mode")
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    assert not torch.ones(1).is_inference()


def test_threads_between_operators_are_recorded_and_their_change_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with enter() as flags:
        assert flags["interop_threads"] == torch.get_num_interop_threads()
        monkeypatch.setitem(module._WATCHED, "interop_threads", lambda: 77)  # torch lets it be set but once
        assert changed_flags(flags) == ("interop_threads",)


SWITCHES = [name for name, value in module._read_flags().items() if isinstance(value, bool)]


def test_every_switch_is_set_whatever_it_was_and_put_back() -> None:
    before = module._read_flags()
    for name in SWITCHES:
        read, write = module._FLAGS[name]
        write(not before[name])
        turned = module._read_flags()
        try:
            with enter() as flags:
                assert changed_flags(flags) == ()
                assert read() == module._wanted("float32", 1)[name], name
            assert module._read_flags() == turned, name
        finally:
            module._write_flags(before)


@pytest.mark.parametrize("level", ["nowhere", "split_k"])
def test_reduced_precision_of_sums_is_put_back_to_each_of_its_levels(level: str) -> None:
    name = "cuda.matmul.allow_fp16_reduced_precision_reduction"
    read, write = module._FLAGS[name]
    try:
        write(level)
        with enter():
            assert read() == "everywhere"
        assert read() == level
    finally:
        write("everywhere")


def test_a_block_within_a_block_gives_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "check_precision", lambda precision, device: None)
    with enter(precision="tf32", threads=2, seed=8) as outer:
        first = draw()
        torch.backends.cudnn.benchmark = True
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            before = module._read_flags()
            with enter(seed=3) as inner:
                assert changed_flags(inner) == ()
                assert torch.backends.cuda.matmul.allow_tf32 is False
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
                assert torch.is_inference_mode_enabled()
                draw()
            assert module._read_flags() == before
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
            assert torch.is_inference_mode_enabled()
        assert changed_flags(outer) == ("cudnn.benchmark",)
        second = draw()
    with enter(seed=8):
        assert (draw(), draw()) == (first, second)


def test_the_next_cell_finds_nothing_of_a_model_that_changes_flags() -> None:
    model, images = known_models.FlagFlipper(), torch.zeros(2, 3, 4, 4)
    with enter() as flags:
        model(images)
        assert changed_flags(flags) == ("threads", "default_dtype", "cudnn.benchmark")
    with enter() as flags:
        assert changed_flags(flags) == ()
        assert known_models.Linear()(images).dtype == torch.float32


def test_reduced_precision_is_a_matter_of_autocast_and_every_device_has_it() -> None:
    module.check_precision("float16", "cpu")
    with enter(precision="float16") as flags:
        assert flags["autocast.cpu"] is False
        assert torch.get_default_dtype() == torch.float32


def test_everything_is_as_recorded_in_plain_data_inside_and_restored_outside() -> None:
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

    with enter() as flags:
        assert msgspec.json.decode(msgspec.json.encode(flags)) == flags

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


@pytest.mark.process
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="no glibc")
def test_a_steady_allocator_keeps_freed_memory():
    fixed = "libc = ctypes.CDLL(None); libc.mallopt(-1, 0); libc.mallopt(-3, 1 << 20)"  # maps each block anew
    steady = "from vitbench.worker.runtime import steady_allocator; assert len(steady_allocator()) == 2"
    assert page_faults(steady) * 5 < page_faults(fixed)


@pytest.mark.parametrize("name", ["MALLOC_ARENA_TEST", "GLIBC_TUNABLES"])
def test_an_allocator_that_the_user_has_set_up_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "8" if name.startswith("MALLOC") else "glibc.malloc.arena_test=8")
    assert steady_allocator() == {}
