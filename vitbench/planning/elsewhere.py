"""Whether another machine would make the same cells of a plan: it prepares them again, and their keys are compared.

A key is the hash of all that a cell is made of, so equal keys mean equal code of vitbench and of plugins, equal
versions, pixels, checkpoints and options. To prepare is also what brings the images into the machine's cache, once,
where it shares none with others.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from vitbench.catalog import load_catalog
from vitbench.catalog.provenance import metric_versions
from vitbench.execution.executor import Send
from vitbench.execution.messages import Say
from vitbench.planning.messages import Found, Look
from vitbench.planning.prepare import prepare
from vitbench.worker.heartbeat import signs_of_life

__all__ = ["look"]


def look(content: bytes, folder: Path | None, send: Send) -> Found:
    """Prepare a plan's cells on this machine; the target of a job.

    Raises:
        VitbenchError: they cannot be prepared, as `vitbench.planning.prepare.prepare` says.
    """
    asked = msgspec.msgpack.decode(content, type=Look)
    catalog = load_catalog(asked.request.plugins)
    with signs_of_life(send, "preparing"):  # a dataset may have to be fetched
        prepared = prepare(asked.request, catalog, lambda text: send(Say(text=text)))
    cells = {cell.id: cell for cell in prepared.cells}
    return Found(
        machine=prepared.environment.machine,
        metrics=metric_versions(catalog, asked.metric_options),
        other=next((cell for cell in cells.values() if asked.keys.get(cell.id, cell.key) != cell.key), None),
        missing=len(asked.keys.keys() - cells.keys()),
    )
