"""Every test runs in folders of its own, on one torch thread, and without the network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported, and inherited by every process that a test starts.
os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
# A pytest that a test starts is no worker of ours: pytest-benchmark would be off in it.
for _name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, results and settings out of the tests, and the tests out of them."""
    place = tmp_path_factory.mktemp("vitbench")
    monkeypatch.setenv("VITBENCH_CACHE", str(place / "cache"))
    monkeypatch.setenv("VITBENCH_DATA", str(place / "data"))
    monkeypatch.setenv("VITBENCH_OUTPUT", str(place / "results"))
    monkeypatch.delenv("VITBENCH_PLUGINS", raising=False)


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real datasets that cannot be shipped; skip the test where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    place = Path(os.environ.get("VITBENCH_TEST_DATA") or beside)
    if not place.is_dir():
        pytest.skip("no real data here; VITBENCH_TEST_DATA says where they lie")
    return place
