"""Fake results folders for the page: plausible records with curves, samples, predictions and evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import factories
import msgspec
import numpy as np

from vitbench.array_files import write_arrays
from vitbench.figures import Points
from vitbench.figures.files import write_figures
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.planning.suite import Selection
from vitbench.records import DataInfo, FigureCell, KeyedCell, QualityCell, Record
from vitbench.report.html.details import Details, read_details
from vitbench.store import Run

HOSTILE = (
    "<script>alert(1)</script>",
    "</script>",
    '" onmouseover="alert(1)',
    "'><img src=x onerror=alert(1)>",
    "a|b",
    "two\nlines",
    '=HYPERLINK("http://x")',
    "1e5",
    "007",
    "\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd",
    "{{ 7 * 7 }} ${7} @x",
    "x" * 300,
)
SUITE = 'name = "quick"\nsummary = "for tests"\n\n[[models]]\nname = "scratch/vit"\nlabel = "vit"\n'


class FakeStore:
    """What the page reads of a store, without a database."""

    def __init__(
        self, folder: Path, *, command: str = "vitbench run", suite: str = SUITE, machine: str = factories.MACHINE
    ) -> None:
        self.folder = folder
        self._blobs = {
            hashlib.sha256(content).hexdigest(): content
            for content in (suite.encode(), msgspec.json.encode(factories.environment(machine)))
        }
        suite_digest, environment_digest = self._blobs
        self._runs = [
            Run(
                id="run-1",
                started=1.7e9,
                command=command,
                version="0.1.0",
                suite=suite_digest,
                environment=environment_digest,
                rank_by="top1",
                selection=msgspec.json.encode(Selection()).decode(),
            )
        ]

    def runs(self) -> list[Run]:
        return self._runs

    def scores_path(self, key: str) -> Path:
        return self.folder / "scores" / f"{key}.npz"

    def all_runs(self) -> list[Run]:
        return self._runs

    def blob(self, digest: str) -> bytes:
        return self._blobs[digest]

    def predictions_path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def figures_path(self, key: str) -> Path:
        return self.folder / f"figures-{key}.npz"


def save(path: Path, labels: Sequence[int], classes: Sequence[int], confidence: Sequence[float] | None = None) -> None:
    """Write predictions of one class an image."""
    if confidence is None:
        confidence = [0.9] * len(labels)
    arrays = {
        "labels": np.asarray(labels, dtype=np.int64),
        "top_classes": np.asarray(classes, dtype=np.int64)[:, None],
        "top_logits": np.log(np.asarray(confidence, dtype=np.float32))[:, None],
        "log_normaliser": np.zeros(len(labels)),
        "index": np.arange(len(labels)),
    }
    write_arrays(path, arrays)


def with_images(data: DataInfo, folder: Path, count: int, *, side: int = 8, names: bool = True) -> DataInfo:
    """Return data whose test images lie in a cache: noise in colour, of the labels that `model` gives them."""
    random = np.random.default_rng(0)
    cache = folder / "cache"
    cache.mkdir()
    coarse = random.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8).repeat(-(-side // 8), 2).repeat(-(-side // 8), 3)
    noise = random.integers(0, 16, (count, 3, side, side), dtype=np.uint8)
    np.save(cache / "test-images.npy", coarse[:, :, :side, :side] // 2 + noise)
    np.save(cache / "test-labels.npy", np.arange(count) % len(data.class_names))
    files = [f"test/{HOSTILE[i % 4]}-{i}.png" for i in range(count)]
    (cache / "test.json").write_bytes(msgspec.json.encode(files))
    return msgspec.structs.replace(data, cache=str(cache), names=str(cache) if names else "", shape=(3, side, side))


def model(
    folder: Path,
    label: str,
    correct: int,
    images_per_second: float,
    *,
    seeds: Sequence[int] = (0,),
    epochs: int = 40,
    data: DataInfo | None = None,
    n: int = 360,
    verdict: str = "valid",
    reason: str = "",
    recipe: str = "recipes/supervised",
    **fields: object,
) -> list[Record]:
    """Return one model's records, with predictions beside them of which `correct` of `n` are right."""
    data = data or factories.data_info()
    random = np.random.default_rng(correct)
    records = []
    for seed in seeds:
        one = factories.quality(label, correct, n=n, seed=seed, data=data, recipe=recipe, **fields)
        labels = np.arange(n) % len(data.class_names)
        wrong = random.permutation(n)[correct:]
        classes = labels.copy()
        classes[wrong] = (labels[wrong] + random.integers(1, len(data.class_names), len(wrong))) % len(data.class_names)
        save(folder / f"{one.key}.npz", labels, classes, random.beta(8, 1, n))
        records.append(
            msgspec.structs.replace(
                one,
                curve=tuple(
                    {
                        "epoch": e + 1.0,
                        "loss": 2.3 / (e + 1),
                        "lr": 1e-3,
                        "val_top1": 1 - 0.9 / (e + 1),
                        "images_per_second": 1294 / (0.5 + seed / 10),
                        "wait_seconds": 0.05,
                        "train_seconds": (e + 1) * (0.5 + seed / 10),
                    }
                    for e in range(epochs)
                ),
                splits={"train": 1294, "val": 143, "test": n},
                evidence=(_EVIDENCE,),
            )
        )
    speed = factories.speed(
        label, images_per_second, num_classes=len(data.class_names), verdict=verdict, reason=reason, **fields
    )
    return records + [_with_samples(one, random) for one in speed]


_EVIDENCE = {"seconds": 1.5, "processor_share": 0.998, "involuntary_switches": 3.0, "stolen_share": 0.01, "load": 1.1}


def _with_samples(record: Record, random: np.random.Generator) -> Record:
    measurements = tuple(
        msgspec.structs.replace(
            one, samples=tuple(tuple((one.value * random.gamma(40, 1 / 40, 600)).tolist()) for _ in range(3))
        )
        if one.name == "latency_p50"
        else one
        for one in record.measurements
    )
    return msgspec.structs.replace(record, measurements=measurements, evidence=(_EVIDENCE,) * 3)


def board_of(
    records: Sequence[Record], store: FakeStore, pending: Sequence[KeyedCell] = (), *, rank_by: str = "top1"
) -> tuple[Leaderboard, Details]:
    """Return the leaderboard of some records, and what is behind it."""
    board = build(records, pending, rank_by)
    return board, read_details(store, board, records)


def hostile_records(folder: Path) -> list[Record]:
    """Return records whose every name is hostile: models, dataset, classes, machine, reasons, options, recipe."""
    data = msgspec.structs.replace(
        factories.data_info(num_classes=len(HOSTILE)),
        title=HOSTILE[0] + HOSTILE[1],
        class_names=HOSTILE,
        notes=HOSTILE,
    )
    machine = HOSTILE[2] + HOSTILE[5]
    records = []
    for i, name in enumerate(HOSTILE):
        records += model(
            folder,
            name,
            300 + i,
            1000.0 * (i + 1),
            data=data,
            machine=machine,
            verdict="warn",
            reason=HOSTILE[i],
            options={HOSTILE[0]: name},
            recipe=HOSTILE[3],
            epochs=3,
        )
    failed = msgspec.structs.replace(records[0], status="failed", reason=HOSTILE[0])
    cell = failed.planned.cell
    assert isinstance(cell, QualityCell)
    planned = factories.quality_cell("</title>", data=data, machine=machine, options={"a": HOSTILE[1]})
    return [*records, msgspec.structs.replace(failed, planned=planned)]


def figure_record(
    of: Record, name: str, *, pictures: int = 1, started: float = 0.0, folder: Path | None = None, **fields: object
) -> Record:
    """Return the record of a figure of a training; its pictures, each titled after it, lie in a folder."""
    trained = of.planned.cell
    assert isinstance(trained, QualityCell)
    cell = FigureCell(figure=f"figures/{name}", of=trained, **fields)
    key = f"{of.key[:8]}{name}{pictures}"
    planned = msgspec.structs.replace(of.planned, cell=cell, id=key, key=key, shows=of.key)
    if folder is not None:
        x = np.zeros(1, dtype=np.float32)
        one = Points(title=f"{name} of seed {trained.seed}", x=x, y=x, x_label="x", y_label="y")
        write_figures(folder / f"figures-{key}.npz", [one] * pictures)
    return msgspec.structs.replace(
        of, planned=planned, measurements=(), pictures=pictures, started=of.started + started
    )
