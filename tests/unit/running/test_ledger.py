"""What a budget has given, as it is kept."""

from __future__ import annotations

from pathlib import Path

from vitbench.running.budget import Cost, Planned
from vitbench.running.ledger import FILE_NAME, Ledger, read_ledger, write_ledger


def test_each_budget_of_a_folder_has_a_ledger_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    planned = Planned(cost=Cost(fixed=1.0, step=0.1), seconds=10.0, steps=90, first_steps=100, begun=True)
    short, long = Ledger(spent=5.0, cells={"a": planned}), Ledger(cells={"b": planned})
    write_ledger(tmp_path, 60.0, short)
    write_ledger(tmp_path, 600.0, long)
    assert [read_ledger(tmp_path, budget) for budget in (60.0, 600.0, 90.0)] == [short, long, Ledger()]
    (tmp_path / FILE_NAME).write_bytes(b"\x93nonsense")
    assert read_ledger(tmp_path, 60.0) == Ledger()
