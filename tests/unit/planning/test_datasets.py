"""Which data become a model's input; how they are opened is tested with whole requests, in test_prepare.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import factories
import msgspec
import pytest

from vitbench.planning.datasets import ResolvedDataset, data_key, describe_data, unfit, wanted_size
from vitbench.planning.resolve import Fault
from vitbench.planning.suite import AskedCell, AskedModel
from vitbench.specs import ModelSpec


@pytest.mark.parametrize(
    ("wanted", "given", "reason"),
    [
        (None, 7, ""),
        (3, 1, ""),
        (1, 3, ""),
        (4, 4, ""),
        (
            3,
            4,
            (
                "it takes 3 channels, and digits has 4; only gray images can be expanded to several channels, and "
                "only three channels can be reduced to gray"
            ),
        ),
        (
            1,
            2,
            (
                "it takes 1 channel, and digits has 2; only gray images can be expanded to several channels, and only "
                "three channels can be reduced to gray"
            ),
        ),
    ],
)
def test_channels_that_become_no_input_are_told_in_one_line(wanted: int | None, given: int, reason: str) -> None:
    data = msgspec.structs.replace(factories.data_info(), shape=(given, 8, 8))
    found = unfit(ModelSpec(name="net", build="a:b", summary="x", in_channels=wanted), data)
    assert found == (Fault(reason=reason, exit_code=3) if reason else None)


def test_sizes_are_told_with_their_models_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = SimpleNamespace(train=(), val=(), test=(1, 2), notes=())
    monkeypatch.setattr("vitbench.data.splits.load_splits", lambda *_, **__: empty)

    def told(*sides: int) -> list[str]:
        models: list[Any] = []
        infos = {}
        for side in sides:
            spec = ModelSpec(name="m", build="a:b", summary="x", image_size=side)
            models.append(SimpleNamespace(label=f"m{side}", spec=spec, crop_mode="center"))
            notes = ("1 odd", f"images are resized to {side}x{side}")
            infos[wanted_size(models[-1])] = msgspec.structs.replace(factories.data_info("pets"), notes=notes)
        data = ResolvedDataset(name="pets", plugin=cast(Any, None), infos=infos)
        return [note.removeprefix("pets: ") for note in describe_data([data], None, models=models)[1:]]

    assert told(96) == ["1 odd", "images are resized to 96x96"]
    assert told(96, 32) == ["1 odd", "images are resized to 96x96 for m96", "images are resized to 32x32 for m32"]


def test_data_are_told_apart_by_their_options() -> None:
    def key(**fields: object) -> bytes:
        return data_key(AskedCell(kind="quality", model=AskedModel(name="m"), **{"dataset": "d/shades", **fields}))

    assert key() == key(seed=3)
    assert key(dataset_options={"fold": 1, "index": ""}) == key(dataset_options={"index": "", "fold": 1})
    assert len({key(), key(dataset="d/others"), key(dataset_options={"fold": 1})}) == 3
