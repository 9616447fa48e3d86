"""A pick while it goes on: whose decisions it goes on with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vitbench.picking.candidates import Listed
from vitbench.picking.going import Asked, Going
from vitbench.picking.ledger import Ledger, write_ledger


def begun(folder: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Going:
    """Begin a pick among models whose trainings have these keys; of one without a key the weights are not there."""
    models = [
        SimpleNamespace(
            name=name,
            label=name,
            learned=bool(key),
            unavailable="" if key else "the hub does not answer",
            waits=not key,
            speeds=(),
            training=SimpleNamespace(key=key, data="data"),
        )
        for name, key in keys.items()
    ]
    stages: Any = SimpleNamespace(
        asked={"datasets": ("pets",), "suite": "mine"}, folder=folder, plan=lambda *_, **__: None, say=lambda _: None
    )
    for name, given in {
        "candidates_of": models,
        "load_splits": None,
        "data_facts": None,
        "facts_in_words": [],
    }.items():
        monkeypatch.setattr(f"vitbench.picking.going.{name}", lambda *_, given=given, **__: given)
    names, unused = Listed(suite="mine", names=tuple(keys), named=False), {"catalog": None, "want": None}
    return Going(Asked(data="pets", budget=600.0, conditions={}), stages, names=names, **unused)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"a": "1", "b": ""}, True),
        ({"a": "2", "b": ""}, False),  # the data, a checkpoint or a version is another
        ({"a": "1", "b": "3"}, False),  # the hub is back
    ],
)
def test_what_the_clock_decided_holds_for_the_same_candidates_on_the_same_data(
    keys: dict[str, str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = begun(tmp_path, {"a": "1", "b": ""}, monkeypatch)
    write_ledger(tmp_path, before.identity, Ledger(spent=100.0, finalists=("a",)))
    again = begun(tmp_path, keys, monkeypatch)
    assert again.ledger.finalists == (("a",) if kept else None)
    assert (again.clock.used >= 100.0) == kept
