"""A speed cell in this process: what it measures, and that it does not end well without a figure."""

from __future__ import annotations

import factories
import msgspec
import pytest

from vitbench.catalog import Catalog, load_catalog
from vitbench.jobs import Job, Outcome
from vitbench.records import KeyedCell
from vitbench.worker.speed import run_speed

OPTIONS = {"patch_size": 4, "depth": 1, "width": 16, "heads": 2, "mlp_ratio": 2.0, "dropout": 0.0, "checkpoint": ""}


@pytest.fixture(scope="module")
def planned() -> KeyedCell:
    return factories.speed_cell("vit", options=OPTIONS, batch_size=2)


def measured(planned: KeyedCell, catalog: Catalog) -> tuple[Outcome, list[object]]:
    sent: list[object] = []
    return run_speed(Job(planned=planned, weights="", predictions=""), catalog, sent.append), sent


def test_it_gives_throughput_memory_and_cost(planned: KeyedCell) -> None:
    outcome, sent = measured(planned, load_catalog())
    values = {one.name: one.value for one in outcome.measurements}
    assert outcome.status == "ok"
    assert values["params"] == params_of_the_vit()
    assert values["throughput"] > 0
    assert "latency_p50" not in values, "that is a matter of batch 1"
    assert "peak_memory" in values
    assert len(sent) == 1, "one sign of life before, and silence while it measures"
    assert outcome.runtime["threads"] == 1


def params_of_the_vit() -> int:
    # 8x8 gray images in patches of 4: 5 tokens of width 16, one block with MLP ratio 2, 10 classes.
    width, tokens, patch, hidden = 16, 5, 16, 32
    block = 4 * width * width + 4 * width + 2 * width * hidden + hidden + width + 4 * width
    return patch * width + width + tokens * width + width + block + 2 * width + 10 * width + 10


def test_without_a_metric_it_is_no_success(planned: KeyedCell) -> None:
    without = Catalog(**{**catalog_fields(load_catalog()), "metrics": {}})
    outcome, _ = measured(planned, without)
    assert (outcome.status, outcome.measurements) == ("failed", ())
    assert "no installed metric" in outcome.reason


def catalog_fields(catalog: Catalog) -> dict[str, object]:
    return {name: getattr(catalog, name) for name in ("plugins", "problems", "models", "datasets", "recipes", "suites")}


def test_a_wrong_option_is_an_error_of_the_cell(planned: KeyedCell) -> None:
    wrong = msgspec.structs.replace(
        planned, cell=msgspec.structs.replace(planned.cell, options={**OPTIONS, "patchsize": 4})
    )
    with pytest.raises(TypeError, match="patchsize"):
        measured(wrong, load_catalog())
