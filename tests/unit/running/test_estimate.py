"""How long cells will take, and where that is known from."""

from __future__ import annotations

from typing import Any

import factories
import msgspec
import pytest

from vitbench.records import KeyedCell
from vitbench.running.estimate import PROCESS_SECONDS, UNTRAINED_SECONDS, beside, estimates
from vitbench.running.runner import SPEED_PROCESSES

OPTIONS = {"epochs": 10, "batch_size": 32}


def trained(label: str = "vit", train_images: int | None = None, **changes: object) -> KeyedCell:
    planned = factories.quality_cell(label)
    assert planned.data is not None
    cell = msgspec.structs.replace(planned.cell, **{"recipe_options": OPTIONS, **changes})
    return msgspec.structs.replace(
        planned, cell=cell, data=msgspec.structs.replace(planned.data, train_images=train_images)
    )


def test_the_best_source_is_taken_and_named() -> None:
    before, timed, unknown = factories.quality_cell("before"), trained(), trained("other", model="other/net")
    probed = msgspec.structs.replace(trained("probed"), key="probed")
    speeds = factories.speed("vit")
    found = estimates([before, timed, unknown, probed], speeds, {before.id: 12.0}, {"probed": 40.0})
    train_speed = next(one.value for one in speeds[-1].measurements if one.name == "train_throughput")
    assert train_speed
    assert {key: (one.source, one.seconds) for key, one in found.items()} == {
        before.key: ("an earlier record", 12.0),
        timed.key: ("its training speed", pytest.approx(10 * 1437 / train_speed)),
        "probed": ("a rule of thumb", 40.0),
    }


def test_how_many_images_epochs_and_steps_are_asked_for_is_in_the_estimate_of_a_training() -> None:
    speeds = factories.speed("vit")

    def seconds(**changes: Any) -> float:
        [one] = estimates([trained(**changes)], speeds, {}, {}).values()
        return one.seconds

    whole = seconds()
    assert seconds(epochs=5) == pytest.approx(whole / 2)
    assert seconds(limit=0.5) == pytest.approx(whole / 2, rel=1e-3)
    assert seconds(train_images=479) == pytest.approx(whole / 3, rel=1e-3)
    assert seconds(recipe_options={**OPTIONS, "steps": 1}) == pytest.approx(whole * 32 / 14370)


def test_speeds_and_baselines_have_a_rule_of_thumb_and_slow_models_take_longer() -> None:
    timed, model = factories.speed_cell("vit"), trained()
    assert beside(timed, {timed.id: 3.0}, {}, []) == 3.0
    assert beside(timed, {}, {}, []) == pytest.approx(SPEED_PROCESSES[0] * PROCESS_SECONDS)
    assert beside(timed, {}, {model.key: 2.0}, [model]) > 2 * SPEED_PROCESSES[0] * PROCESS_SECONDS
    assert beside(factories.quality_cell("majority"), {}, {}, []) == UNTRAINED_SECONDS
