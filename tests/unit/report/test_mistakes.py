"""What `vitbench show ID --mistakes` lists, and what it says where it cannot."""

from __future__ import annotations

import factories
import msgspec
import pages
import pytest

from vitbench.errors import StoreError, UsageError
from vitbench.records import HELD_OUT
from vitbench.report.mistakes import judged_split, mistakes_text
from vitbench.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "results", create=True) as opened:
        opened.begin_run(
            command="", version="0", suite=pages.SUITE, environment=factories.environment(), rank_by="top1"
        )
        yield opened


def added(store, record, *answers):
    record = msgspec.structs.replace(record, run=store.runs()[-1].id)
    store.append(record)
    if answers:
        pages.save(store.predictions_path(record.key), *answers)
    return record


@pytest.mark.parametrize("names", [True, False])
def test_mistakes_are_listed_by_confidence_with_the_names_of_their_files(tmp_path, store, names):
    data = pages.with_images(factories.data_info(), tmp_path, 20, names=names)
    record = added(store, factories.quality(data=data), [0, 1, 2, 3], [1, 1, 9, 0], [0.5, 0.9, 0.75, 0.6])
    head, _, *lines = mistakes_text(store, record.id[:8], 2).splitlines()
    assert head == "vit on digits, supervised, seed 0: 3 of 4 test images are wrong; the 2 most confident:"
    first, second = (pages.HOSTILE[2], pages.HOSTILE[3]) if names else ("", "")
    table = [line.split("  ") for line in lines[1:3]]
    assert [line[0] for line in table] == ([f"test/{first}-2.png", f"test/{second}-3.png"] if names else ["2", "3"])
    assert [[each.strip() for each in line if each][1:] for line in table] == [["2", "9", "75.0%"], ["3", "0", "60.0%"]]
    assert ("positions in the test split" in lines[-1]) != names


def test_what_has_no_mistakes_to_list_says_why(store):
    timed = added(store, factories.speed()[0])
    with pytest.raises(UsageError, match="classifies no images; give the ID of a training"):
        mistakes_text(store, timed.id, 5)
    trained = added(store, factories.quality())
    with pytest.raises(StoreError, match=r"predictions of vit on digits.*are not stored; run it again"):
        mistakes_text(store, trained.id, 5)
    store.predictions_path(trained.key).write_bytes(b"x")
    with pytest.raises(StoreError, match="are damaged"):
        mistakes_text(store, trained.id, 5)
    pages.save(store.predictions_path(trained.key), [0, 1], [0, 1])
    assert mistakes_text(store, trained.id, 5).endswith("0 of 2 test images are wrong.")


def test_validation_images_are_those_of_the_split_that_they_were_taken_from():
    record = factories.quality()

    def judged(sizes, splits):
        data = msgspec.structs.replace(factories.data_info(), sizes=sizes)
        cell = msgspec.structs.replace(record.planned.cell, split="val")
        planned = msgspec.structs.replace(record.planned, cell=cell, data=data)
        return judged_split(msgspec.structs.replace(record, planned=planned, splits=splits))

    assert judged_split(record) == "test"
    assert judged({"train": 9, "test": 9}, {"train": 8, "val": 1}) == "train"
    assert judged({"train": 9, "val": 9, "test": 9}, {"train": 9, "val": 9}) == "val"
    assert judged({"train": 9, "val": 9, "test": 9}, {"train": 9, HELD_OUT: 9}) == "train"
