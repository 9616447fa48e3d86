"""What holds for all tests of the worker: what was there before a test is not looked at again."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _nothing_old_to_collect() -> None:
    """Let garbage collection, with which each measurement begins, look at no module that earlier tests imported."""
    gc.freeze()
