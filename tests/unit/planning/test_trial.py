"""A build on trial: what shows before a run, and what waits for its cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import factories
import pytest
from torch import nn

from vitbench.catalog import Plugin
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.resolve import Fault, ResolvedModel
from vitbench.planning.trial import try_build
from vitbench.specs import ModelSpec, OptionValue, Target

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m", sha256="5ha")


def raising(error: BaseException) -> Callable[..., object]:
    def function(*_: object, **__: object) -> object:
        raise error

    return function


def checked(build: Target, size: str | None = None) -> Fault | None:
    options: dict[str, OptionValue] = {} if size is None else {"image_size": size}
    sides = (int(size), int(size)) if size else (32, 32)
    cell = factories.quality_cell(options=options, image_size=sides, in_channels=3)
    spec = ModelSpec(name="net", build=build, summary="x")
    model = ResolvedModel(name="zoo/net", plugin=PLUGIN, spec=spec, options=options, label="net")
    return try_build(cell, model).fault


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), BaseException()], ids=repr)
def test_a_build_that_fails_waits_for_its_cell(error: BaseException) -> None:
    assert checked(raising(error)) is None


def test_what_a_build_refuses_and_what_cannot_be_imported_is_told_before_the_run() -> None:
    assert checked(raising(UsageError("width\nis odd"))) == Fault(reason="width is odd", exit_code=2)
    assert checked(raising(UnusableError("no weights"))) == Fault(reason="no weights", exit_code=3)
    found = checked("no_such_module:build")
    assert found is not None
    assert found.exit_code == 3
    assert found.reason.startswith("cannot import no_such_module:build: ModuleNotFoundError")


def test_ctrl_c_ends_the_preparation() -> None:
    with pytest.raises(KeyboardInterrupt):
        checked(raising(KeyboardInterrupt()))


def flat(*, image_size: Any, **_: object) -> nn.Module:
    """A network that knows images of 224 pixels alone, but finds out when it is called."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 10))


def strict(*, image_size: Any, **_: object) -> nn.Module:
    assert image_size // 1 == 224, "only 224"
    return flat(image_size=image_size)


def broken(**_: object) -> nn.Module:
    """A network that fails at any size, and perhaps on the meta device alone."""
    return nn.Sequential(nn.Flatten(), nn.Linear(7, 10))


def convolutional(**_: object) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (flat, r"it does not take images of 100x100 pixels \(RuntimeError: .*30000"),
        (strict, r"it does not take images of 100x100 pixels \(AssertionError: only 224"),
        (broken, None),
        (convolutional, None),
    ],
)
def test_a_size_that_a_user_chose_is_tried(build: Target, words: str | None) -> None:
    found = checked(build, "100")
    assert (found is None) == (words is None)
    if found is not None and words is not None:
        assert found.exit_code == 2
        assert re.match(words, found.reason)
    assert checked(build) is None
