"""A model is built once before a run: what is the user's mistake ends the preparation, the rest is its cell's own."""

from __future__ import annotations

from collections.abc import Callable

import factories
import pytest

from vitbench.catalog import Plugin
from vitbench.errors import UsageError
from vitbench.planning.prepare import _check_build
from vitbench.planning.resolve import ResolvedModel
from vitbench.specs import ModelSpec

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
