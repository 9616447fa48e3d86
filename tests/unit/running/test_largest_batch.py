"""The search for the largest batch: what fits is found, what breaks is no limit."""

from __future__ import annotations

import pytest

from vitbench.records import Status
from vitbench.running.largest_batch import MOST, LargestBatch, SearchFailed, find_largest


def search(limit: int, start: int = 32, **others: tuple[Status, str]) -> tuple[LargestBatch, list[int]]:
    """Search where batches up to `limit` fit; `others` are endings by size, written ``b512``."""
    searching, tried = find_largest(start=start), []
    try:
        size = next(searching)
        while True:
            tried.append(size)
            ending = others.get(f"b{size}") or (("ok", "") if size <= limit else ("oom", "DefaultCPUAllocator"))
            size = searching.send(ending)
    except StopIteration as end:
        return end.value, tried


@pytest.mark.parametrize("limit", [1, 3, 32, 700, MOST - 1])
def test_it_finds_the_limit_to_a_sixteenth(limit: int) -> None:
    found, tried = search(limit)
    assert found.batch_size <= limit < found.too_large
    assert found.too_large - found.batch_size <= max(1, found.too_large / 16)
    assert len(tried) == len(set(tried)) < 20


def test_its_interval_holds_the_limit() -> None:
    found, _ = search(700)
    figure = found.measurement()
    assert figure.name == "largest_batch"
    assert figure.low == figure.value <= 700 <= figure.high
    assert figure.verdict.level == "valid"


def test_it_starts_where_it_is_told_and_goes_down_where_that_is_too_much() -> None:
    assert search(700)[1][:5] == [32, 64, 128, 256, 512]
    assert search(3, start=64)[1][:6] == [64, 32, 16, 8, 4, 2]


def test_it_ends_at_the_most() -> None:
    found, _ = search(10**9)
    assert (found.batch_size, found.too_large) == (MOST, None)
    assert found.measurement().verdict.reasons == ("batches above 65,536 are not tried",)


def test_a_time_out_ends_it_with_what_fits() -> None:
    found, _ = search(10**9, b512=("timeout", "took more than 120 s"))
    assert (found.batch_size, found.note) == (256, "batch 512 took more than 120 s")
    assert found.measurement().verdict.level == "warn"
    with pytest.raises(SearchFailed, match="batch 32: took more than") as failure:
        search(10**9, b32=("timeout", "took more than 120 s"))
    assert failure.value.status == "timeout"


@pytest.mark.parametrize("status", ["failed", "crashed"])
def test_another_failure_is_no_limit(status: Status) -> None:
    with pytest.raises(SearchFailed, match="batch 256: CUDNN_STATUS_BAD_PARAM") as failure:
        search(10**9, b256=(status, "CUDNN_STATUS_BAD_PARAM"))
    assert failure.value.status == status


def test_a_model_that_never_fits() -> None:
    with pytest.raises(SearchFailed, match="not even one image fits: DefaultCPUAllocator") as failure:
        search(0)
    assert failure.value.status == "oom"
