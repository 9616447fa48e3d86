"""Names, numbers and texts that no run writes are refused, each in one line."""

from __future__ import annotations

import math
from typing import Any

import factories
import msgspec
import pytest

from vitbench.importing.checking import UnfitError, check_record
from vitbench.records import Record

GOOD = factories.quality("vit", 300)


def planned(**fields: Any) -> Record:
    return msgspec.structs.replace(GOOD, planned=msgspec.structs.replace(GOOD.planned, **fields))


def asked(**fields: Any) -> Record:
    return planned(cell=msgspec.structs.replace(GOOD.planned.cell, **fields))


def measured(**fields: Any) -> Record:
    return msgspec.structs.replace(GOOD, measurements=(msgspec.structs.replace(GOOD.measurements[0], **fields),))


def data(**fields: Any) -> Record:
    return planned(data=msgspec.structs.replace(GOOD.planned.data, **fields))


def test_what_a_run_writes_is_taken() -> None:
    for record in (GOOD, *factories.speed("vit"), *factories.foreign("vit", 1.0)):
        check_record(record)
    check_record(msgspec.structs.replace(GOOD, curve=({"epoch": 1.0, "loss": math.nan},)))
    check_record(planned(label="vit \u00fcber 8\u00d78 (\u5c0f)"))


@pytest.mark.parametrize(
    "record",
    [
        planned(id="../../etc/passwd"),
        planned(key="0" * 15 + "/"),
        planned(key="ABCDEF0123456789"),
        planned(label="<script>alert(1)</script>"),
        planned(label="vit\x1b[2J"),
        planned(label="vit\u202egnp"),
        planned(label="..\\..\\x"),
        planned(label="x" * 5000),
        planned(machine="a\nb"),
        planned(image_size=(0, 8)),
        planned(image_size=(10**9, 8)),
        planned(pretrained_on="\x07"),
        asked(model="../../x"),
        asked(model="a/b/c"),
        asked(model="scratch/<b>"),
        asked(recipe="recipes/..x..y/z"),
        asked(dataset="a;b"),
        asked(options={"a b": 1}),
        asked(options={"a": "\x9b31m"}),
        asked(seed=2**64),
        data(title="<img src=x onerror=alert(1)>"),
        data(fingerprint="none"),
        data(class_names=("a", "b\r")),
        data(class_names=("a",) * 100_001),
        measured(name="../top1"),
        measured(name="<top1>"),
        measured(value=math.nan),
        measured(high=math.inf),
        measured(value=1e300),
        measured(samples=((math.inf,),)),
        measured(unit="<b>"),
        msgspec.structs.replace(GOOD, measurements=GOOD.measurements[:1] * 2),
        msgspec.structs.replace(GOOD, started=1e12),
        msgspec.structs.replace(GOOD, started=math.nan),
        msgspec.structs.replace(GOOD, seconds=-1.0),
        msgspec.structs.replace(GOOD, runtime={"a": [{"b": "\x00"}]}),
        msgspec.structs.replace(GOOD, facts={"\x1b": "x"}),
        msgspec.structs.replace(GOOD, warnings=("\u2028",)),
    ],
)
def test_what_no_run_writes_is_refused(record: Record) -> None:
    with pytest.raises(UnfitError) as refused:
        check_record(record)
    assert str(refused.value).isprintable()


def test_a_ratio_is_above_0() -> None:
    timed = [factories.relative_speed("vit", (2.0, 2.1))]
    relative = timed[0].measurements[0]
    for fields in ({"value": 0.0}, {"low": -1.0}, {"processes": (1.0, -1.0)}):
        broken = msgspec.structs.replace(relative, ratio=msgspec.structs.replace(relative.ratio, **fields))
        with pytest.raises(UnfitError, match="not above 0"):
            check_record(msgspec.structs.replace(timed[0], measurements=(broken,)))
