"""A model is built once before a run: what is the user's mistake ends the preparation, the rest is its cell's own."""

from __future__ import annotations

from collections.abc import Callable

import factories
import msgspec
import pytest

from vitbench.catalog import Plugin
from vitbench.errors import UsageError
from vitbench.planning.prepare import _check_build, _unfit
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


@pytest.mark.parametrize(
    ("wanted", "given", "reason"),
    [
        (None, 7, ""),
        (3, 1, ""),
        (1, 3, ""),
        (4, 4, ""),
        (3, 4, "it takes 3 channels, and digits has 4; only gray becomes several channels, and three become gray"),
        (1, 2, "it takes 1 channel, and digits has 2; only gray becomes several channels, and three become gray"),
    ],
)
def test_channels_that_become_no_input_are_told_in_one_line(wanted: int | None, given: int, reason: str) -> None:
    data = msgspec.structs.replace(factories.data_info(), shape=(given, 8, 8))
    assert _unfit(ModelSpec(name="net", build="a:b", summary="x", in_channels=wanted), data) == reason
