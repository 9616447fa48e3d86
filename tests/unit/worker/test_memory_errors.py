"""Whose memory ran out."""

from __future__ import annotations

import pytest
import torch

from vitbench.worker.memory_errors import lack_of_memory


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (MemoryError(), "host"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"), "host"),
        (RuntimeError("could not create a primitive"), "host"),
        (RuntimeError("std::bad_alloc"), "host"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "device"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB)"), "device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "device"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), ""),
        (ValueError("out of memory is only a word here"), ""),
    ],
)
def test_whose_memory_ran_out(error: Exception, whose: str) -> None:
    assert lack_of_memory(error) == whose
