"""What a pick keeps of its clock."""

from __future__ import annotations

from pathlib import Path

from vitbench.picking.ledger import FILE_NAME, Ledger, read_ledger, write_ledger


def test_each_pick_has_its_own_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    assert read_ledger(tmp_path, "a") == Ledger()
    write_ledger(tmp_path, "a", Ledger(spent=3.5, finalists=("x",)))
    write_ledger(tmp_path, "b", Ledger(timed=2))
    assert read_ledger(tmp_path, "a") == Ledger(spent=3.5, finalists=("x",))
    assert read_ledger(tmp_path, "b") == Ledger(timed=2)
    (tmp_path / FILE_NAME).write_text("{", encoding="utf-8")
    assert read_ledger(tmp_path, "a") == Ledger()
