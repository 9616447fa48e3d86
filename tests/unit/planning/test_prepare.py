"""A model is built once before a run: what is the user's mistake ends the preparation, the rest is its cell's own."""

from __future__ import annotations

from collections.abc import Callable

import factories
import pytest

from vitbench.catalog import Offer, Plugin
from vitbench.errors import UsageError
from vitbench.planning.keying import TrainingRecipe
from vitbench.planning.prepare import _check_build, _step_of
from vitbench.planning.resolve import ResolvedModel
from vitbench.planning.suite import AskedCell, AskedModel
from vitbench.specs import ModelSpec, RecipeSpec

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m")


def raising(error: BaseException) -> Callable[..., object]:
    def function(*_: object, **__: object) -> object:
        raise error

    return function


def model(build: Callable[..., object]) -> ResolvedModel:
    return ResolvedModel(
        name="zoo/net",
        plugin=PLUGIN,
        spec=ModelSpec(name="net", build=build, summary="x"),
        options={},
        label="net",
        checkpoint_sha256="",
        unavailable="",
    )


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), BaseException()], ids=repr)
def test_a_build_that_fails_waits_for_its_cell(error: BaseException) -> None:
    _check_build(factories.quality_cell(), model(raising(error)), factories.data_info())


@pytest.mark.parametrize("error", [UsageError("width is odd"), KeyboardInterrupt()], ids=repr)
def test_a_wrong_option_and_ctrl_c_end_the_preparation(error: BaseException) -> None:
    with pytest.raises(type(error)):
        _check_build(factories.quality_cell(), model(raising(error)), factories.data_info())


@pytest.mark.parametrize(
    ("mode", "step", "timed"), [("training", "a:s", True), ("training", None, False), ("inference", "a:s", False)]
)
def test_a_recipe_is_timed_where_it_trains_and_says_its_step(mode: str, step: str | None, timed: bool) -> None:
    spec = RecipeSpec(name="slow", fit="a:fit", step=step, summary="x")
    asked = AskedCell(
        kind="speed",
        model=AskedModel(name="zoo/net"),
        dataset="d",
        recipe="zoo/slow",
        recipe_options={"lr": 0.5},
        mode=mode,
    )
    found = _step_of(asked, Offer(name="zoo/slow", plugin=PLUGIN, spec=spec))
    assert found == (TrainingRecipe(name="zoo/slow", plugin=PLUGIN, options={"lr": 0.5}) if timed else None)
