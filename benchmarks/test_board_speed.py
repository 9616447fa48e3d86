"""The board of 20 models, 19 datasets and 3 seeds: 20 s at VTAB's sizes, 5 s at 2,000 images per dataset.

VTAB's test splits hold 388,000 images in total. The time covers all of `read_boards`: records, the scores of images
from 1,140 files, 1,000 bootstrap samples of each dataset's images, and all tests. Run ``pytest
benchmarks/test_board_speed.py``, with one thread, once per size; creating the folder takes a minute.
"""

from __future__ import annotations

import factories as f
import msgspec
import numpy as np
import pytest

from vitbench.array_files import write_arrays
from vitbench.boards.boards import read_boards
from vitbench.store import Store, _insert

VTAB = {
    "cifar100": 10_000,
    "caltech101": 6_084,
    "dtd": 1_880,
    "flowers102": 6_149,
    "pets": 3_669,
    "svhn": 26_032,
    "sun397": 21_750,
    "pcam": 32_768,
    "eurosat": 5_400,
    "resisc45": 6_300,
    "retinopathy": 42_670,
    "clevr-count": 15_000,
    "clevr-distance": 15_000,
    "dmlab": 22_735,
    "kitti": 711,
    "dsprites-location": 73_728,
    "dsprites-orientation": 73_728,
    "smallnorb-azimuth": 12_150,
    "smallnorb-elevation": 12_150,
}
MODELS, SEEDS = 20, 3


@pytest.fixture(params=["vtab", "2000"])
def folder(request, tmp_path):
    sizes = VTAB if request.param == "vtab" else dict.fromkeys(VTAB, 2_000)
    random = np.random.default_rng(0)
    records = []
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run(command="x", version="0", suite="", environment=f.environment(), rank_by="top1")
        for name, images in sizes.items():
            hard = random.standard_normal(images)
            digest = f"{random.integers(2**62):016x}"
            for m in range(MODELS):
                for seed in range(SEEDS):
                    right = 0.02 * m + random.standard_normal(images) > hard
                    cell = f.quality_cell(f"model-{m}", data=f.data_info(name), seed=seed)
                    record = f.record(cell, [f.top1(int(right.sum()), images)])
                    records.append(msgspec.structs.replace(record, run=run))
                    write_arrays(
                        store.scores_path(record.key),
                        {"images": np.array(digest), "count": np.int64(images), "top1/scores": right},
                    )
        with store._transaction() as connection:  # one flush of the disk, not a thousand
            _insert(connection, "records", [(run, r.id, r.key, r.status, msgspec.msgpack.encode(r)) for r in records])
    return tmp_path


def test_a_board_of_20_models_and_19_datasets(benchmark, folder):
    [board] = benchmark.pedantic(read_boards, args=(folder,), rounds=1)
    assert len(board.datasets) == 19
    assert len(board.pairs) == 190
