"""A result that must not count any more: a record is appended that says so and why. Nothing is deleted or changed."""

from __future__ import annotations

import time
from pathlib import Path

from vitbench.errors import UsageError
from vitbench.files import lock
from vitbench.leaderboard.results import newest_record
from vitbench.records import Record
from vitbench.store import Store

__all__ = ["withdraw"]


def withdraw(folder: Path, asked: str, reason: str) -> Record:
    """Withdraw the newest record of a cell; return the record that was appended.

    It has the cell's id and key, and no measurements: a leaderboard lists the cell without a result, and a run that
    asks for it runs it again.

    Args:
        folder: an output folder.
        asked: the beginning of the cell's id or key.
        reason: the reason.

    Raises:
        UsageError: no reason, no such record, several, or one that is withdrawn already.
        StoreError: the folder contains no store or cannot be written, or a run is using it.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise UsageError("the reason is empty; say why the record is withdrawn.")
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise UsageError("the reason is not UTF-8 text; write it in this terminal's encoding.") from None
    with Store.open(folder, create=False) as store:
        store.check_pages()  # before a lock is made beside a store that is not there
    with lock(folder, command="vitbench withdraw", remedy="stop it"), Store.open(folder, create=False) as store:
        newest = newest_record(store, asked)
        if newest.status == "withdrawn":
            raise UsageError(f"{newest.planned.in_words} is withdrawn already: {newest.reason}")
        record = Record(
            run=newest.run,
            planned=newest.planned,
            status="withdrawn",
            reason=reason,
            started=time.time(),
            seconds=0.0,
            environment=newest.environment,
            source=newest.source,
        )
        store.append(record)
        store.drop_checkpoint(record.key)  # a training that begins again is not to go on from there
    return record
