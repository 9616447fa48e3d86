"""Reading 10,000 records and ranking them: the goal is under a second each, and two for all of `vitbench leaderboard`.

The store is that of a long-lived folder: 2,500 models, each with a quality cell and three speed cells. Run ``pytest
benchmarks/test_store_speed.py``; the fake records come from the tests' factory. Appending one record waits for the disk
twice; it has no target.
"""

from __future__ import annotations

import factories
import msgspec
import numpy as np
import pytest

from vitbench.api import load
from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.ranking import Entry, rank
from vitbench.report import render
from vitbench.store import Store, _insert

NUM_MODELS = 2_500


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("store"), create=True) as opened:
        run = opened.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by="top1"
        )
        made = [
            msgspec.structs.replace(record, run=run)
            for i in range(NUM_MODELS)
            for record in (
                factories.quality(f"model-{i}", 100 * i, n=100 * NUM_MODELS),
                *factories.speed(f"model-{i}", 10.0 + i),
            )
        ]
        # One transaction: appending one by one would time 10,000 flushes of the disk.
        with opened._transaction() as connection:
            _insert(connection, "records", [(run, r.id, r.key, r.status, msgspec.msgpack.encode(r)) for r in made])
        yield opened


def test_read_10_000_records(benchmark, store):
    assert len(benchmark(store.records)) == 4 * NUM_MODELS


def test_read_newest_by_key(benchmark, store):
    assert len(benchmark(store.newest_by_key)) == 4 * NUM_MODELS


def test_append_a_record(benchmark, tmp_path):
    with Store.open(tmp_path, create=True) as opened:
        run = opened.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by="top1"
        )
        record = msgspec.structs.replace(factories.quality("model", 90), run=run)
        opened.plan(run, [record.planned])
        benchmark.pedantic(opened.append, args=(record,), rounds=50, warmup_rounds=1)
        assert len(opened.records()) >= 1


def test_leaderboard_of_10_000_records(benchmark, store):
    """From the folder to the text, as the command goes."""
    text = benchmark.pedantic(lambda: render(load(store.folder).leaderboard, "table"), rounds=5, warmup_rounds=1)
    assert f"model-{NUM_MODELS - 1}" in text


def test_rank_10_000_records(benchmark, store):
    board = benchmark(build, store.records(), [], store.rank_by())
    assert len(board.rows) == NUM_MODELS
    assert board.rows[0].metrics["throughput"].value is not None


def test_rank_500_models_by_10_000_images(benchmark):
    random = np.random.RandomState(0)
    easy = random.normal(1.3, 1.5, 10_000)
    scores = [easy + 0.001 * i + random.randn(10_000) > 0 for i in range(500)]
    entries = [
        Entry(value=float(each.mean()), low=0.0, high=1.0, outcomes=(Outcomes(scores=each, images="test"),))
        for each in scores
    ]
    assert benchmark(rank, entries, "higher").resolution.pairs == 124_750


@pytest.mark.parametrize("kind", ["table", "md", "csv", "json"])
def test_render_2_500_rows(benchmark, store, kind):
    text = benchmark(render, build(store.records(), [], "top1"), kind)
    assert f"model-{NUM_MODELS - 1}" in text
