"""Which data become a model's input; how they are opened is tested with whole requests, in test_prepare.py."""

from __future__ import annotations

import factories
import msgspec
import pytest

from vitbench.planning.datasets import data_key, unfit
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


def test_data_are_told_apart_by_their_options() -> None:
    def key(**fields: object) -> bytes:
        return data_key(AskedCell(kind="quality", model=AskedModel(name="m"), **{"dataset": "d/shades", **fields}))

    assert key() == key(seed=3)
    assert key(dataset_options={"fold": 1, "index": ""}) == key(dataset_options={"index": "", "fold": 1})
    assert len({key(), key(dataset="d/others"), key(dataset_options={"fold": 1})}) == 3
