"""What another machine answers when it is asked whether it would make a plan's cells."""

from __future__ import annotations

import factories
import msgspec
import pytest

from vitbench.planning import elsewhere
from vitbench.planning.messages import Look, Prepared, PrepareRequest
from vitbench.planning.suite import Conditions

A, B = factories.quality_cell("a"), factories.quality_cell("b")
HERE = Prepared(cells=(A, B), environment=factories.environment())


def test_the_first_cell_of_another_key_is_sent_back_and_what_is_not_among_them_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "prepare", lambda *_: HERE)

    def asked(**keys: str) -> bytes:
        request = PrepareRequest(cells=(), conditions=Conditions())
        by_id = {A.id: A.key, B.id: B.key} | {A.id if name == "a" else name: key for name, key in keys.items()}
        return msgspec.msgpack.encode(Look(request=request, keys=by_id))

    same = elsewhere.look(asked(), None, lambda _: None)
    assert (same.other, same.missing, same.machine) == (None, 0, HERE.environment.machine)
    assert "metrics/top1" in " ".join(same.metrics)
    other = elsewhere.look(asked(a="other", gone="x"), None, lambda _: None)
    assert (other.other, other.missing) == (A, 1)
