"""What ``vitbench show ID --mistakes`` prints: the test images that a model takes for another class, by file name."""

from __future__ import annotations

from vitbench.data.cached_images import image_names
from vitbench.errors import StoreError, UsageError
from vitbench.leaderboard.answers import read_answers
from vitbench.leaderboard.results import newest_record
from vitbench.printable import plain
from vitbench.records import HELD_OUT, QualityCell, Record
from vitbench.report.terminal_text import aligned
from vitbench.specs import SplitName
from vitbench.store import Store

__all__ = ["judged_split", "mistakes_text"]


def judged_split(record: Record) -> SplitName:
    """Return the split whose images a training was judged on: of validation images, the one they were taken from."""
    cell, data = record.planned.cell, record.planned.data
    if not isinstance(cell, QualityCell) or cell.split == "test":
        return "test"
    return "val" if data and "val" in data.sizes and HELD_OUT not in record.splits else "train"


def mistakes_text(store: Store, asked: str, most: int) -> str:
    """Return the most confident mistakes of one training, the most confident first, with the files' names.

    Args:
        store: where its predictions are.
        asked: the beginning of the cell's id or key.
        most: how many to list.

    Raises:
        UsageError: no record begins so, or several do; or it is not of a model that was evaluated.
        StoreError: its predictions are missing or damaged.
    """
    record = newest_record(store, asked)
    data = record.planned.data
    if not isinstance(record.planned.cell, QualityCell) or data is None:
        raise UsageError(f"{record.planned.in_words} ({record.id}) classifies no images; give the ID of a training.")
    path = store.predictions_path(record.key)
    answers = read_answers(path)
    if answers is None:
        lacking = "are damaged" if path.exists() else "are not stored"
        raise StoreError(f"the predictions of {record.planned.in_words} ({record.id}) {lacking}; run it again.")
    split = judged_split(record)
    wrong, names = answers.mistakes(), record.planned.class_names
    files = image_names(data, split, int(answers.index.max()) + 1)
    shown = wrong[:most].tolist()
    kind = "test" if split == "test" else "validation"
    told = plain(record.planned.in_words)
    head = f"{told}: {len(wrong):,} of {len(answers.labels):,} {kind} images are wrong"
    if not shown:
        return head + "."
    rows = [
        [
            files[answers.index[place]] if files else str(answers.index[place]),
            names[answers.labels[place]],
            names[answers.classes[place]],
            f"{answers.confidence[place]:.1%}",
        ]
        for place in shown
    ]
    head += f"; the {len(shown):,} most confident:" if len(shown) < len(wrong) else ", the most confident first:"
    columns = ["file" if files else "image", "true class", "answer", "confidence"]
    note = "" if files else f"\n\nThe numbers are positions in the {kind} split, from 0: its file names are not known."
    return f"{head}\n\n{aligned(columns, rows)}{note}"
