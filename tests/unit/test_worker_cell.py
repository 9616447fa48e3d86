"""How a process's error becomes a status and a reason."""

from __future__ import annotations

import pytest
import torch

from vitbench.errors import UsageError, reason_of
from vitbench.measuring.predictions import InvalidPredictions
from vitbench.measuring.steps import InvalidOutput
from vitbench.worker.cell import _status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidPredictions("image 3 has a logit that is nan"), "invalid"),
        (InvalidOutput("the model's output is on meta"), "invalid"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"), "oom"),
        (RuntimeError("could not create a primitive"), "oom"),
        (RuntimeError("std::bad_alloc"), "oom"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "oom"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), "failed"),
        (ValueError("out of memory is only a word here"), "failed"),
        (SystemExit(3), "failed"),
    ],
)
def test_status(error: BaseException, status: str) -> None:
    assert _status_of(error) == status


def test_reason() -> None:
    assert reason_of(UsageError("give it a name.")) == "give it a name."
    assert reason_of(ValueError("two\n  lines")) == "ValueError: two lines"
    assert reason_of(KeyError()) == "KeyError"
