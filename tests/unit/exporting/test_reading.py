"""What of a results folder goes to exporters: its own results."""

from __future__ import annotations

from pathlib import Path

import factories
import msgspec
from comparisons import quality, right, write

from vitbench.exporting.reading import read_exported
from vitbench.store import Store


def test_imported_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    """A format that knows nothing of sources would pass them off as one's own."""
    own = write(tmp_path, quality("p4", right(300)))
    with Store.open(own, create=False) as store:
        [record] = store.records()
        other = msgspec.structs.replace(record.planned, id="a" * 16, key="b" * 16, label="p8")
        store.append(msgspec.structs.replace(record, planned=other, source="alice"))
    results, notes = read_exported(own)
    assert [row.label for row in results.rows] == ["p4"]
    assert [cell.label for cell in results.cells] == ["p4"]
    assert notes == ("1 row imported from alice left out; export from alice's own folder.",)


def test_a_folder_that_holds_imports_alone_has_no_run_of_its_own(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with Store.open(write(place / "a", quality("p4", right(300))), create=False) as store:
        contents = store.contents()
    run = msgspec.structs.replace(contents.runs[0], id="import-alice-0123456789abcdef")
    records = tuple(msgspec.structs.replace(one, run=run.id, source="alice") for one in contents.records)
    with Store.open(place / "b", create=True) as store:
        store.add(msgspec.structs.replace(contents, runs=(run,), plans={}, records=records))
    results, notes = read_exported(place / "b")
    assert (results.runs, results.rows, results.cells) == ((), (), ())
    assert notes


def test_a_lineage_is_part_of_a_datasets_name(tmp_path: Path) -> None:
    """Else a format would put two makings of one dataset under one name."""
    data = msgspec.structs.replace(factories.data_info("dtd"), lineage="own split")
    results, _ = read_exported(write(tmp_path, quality("p4", right(300), data=data)))
    assert (results.rows[0].dataset, results.cells[0].dataset_title) == ("dtd, own split", "dtd, own split")
