"""CIFAR on a GPU in one command: the rows of gpu_cifar.toml, a training step next to a plain loop, and a report.

    python benchmarks/gpu_cifar.py --data DIR [--bring DIR] --output FOLDER --report gpu_cifar.md [--wheels DIR]

The script is meant for a fresh machine that has an NVIDIA GPU for a few minutes, a Python with torch, and no network.
vitbench need not be installed there; wheels that the machine lacks are given as for gpu_check.py. Rows whose weights
would have to be downloaded are left out, and named.

Data: the Parquet files of CIFAR-10 (or, with ``--dataset cifar100``, of CIFAR-100) as published on dataset hubs. If one
transfer cannot hold all of them, they can be brought in several calls: ``--bring`` copies the files in a folder into
``--data``. As long as a file is missing, the script lists those that are there, does everything that needs none of
them, and exits with 0; the call that brings the last file continues.

The rows are one vitbench run, in bfloat16 and compiled, and each is stored when it is done: if a time limit
(``--seconds``) or anything else interrupts it, run the same command to resume. Then the training step of ViT-S/16 is
timed at 224 pixels and batch 256, in blocks that take turns: a plain compiled loop; vitbench's own step of the recipe
`supervised`; that step on cached images that are cropped, mirrored and normalised as in the recipe; and the same with
all of the recipe's augmentation. For comparison, the published speed of a compiled step on an H100 is 7,716 images per
second.

``--device cpu`` rehearses everything with ``--limit N`` images and small models. Exit codes: 0 success, files are
missing, or no GPU; 1 something failed, or the time was up; 3 a package is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vitbench.records import Record

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "benchmarks")]

import gpu_check  # noqa: E402 - a neighbour

SUITE = Path(__file__).with_suffix(".toml")
SECONDS = 480.0
"""For all rows of a call."""
LEFT_OUT = ("scratch/hybrid", "timm/vit_base_patch16_224.augreg_in21k")
"""Of the suite `cifar`, since their weights come from the hub."""
PUBLISHED = 7716
"""Images per second of a compiled training step of ViT-S/16, on an H100."""
SHARE = 0.95
"""The least share of the plain loop's speed that ours must have, and that of ours on cached images."""
_SHARD = re.compile(r"(train|test)-\d{5}-of-\d{5}\.parquet")
_COUNTS = {"train": 2, "test": 1}
"""Files of each split, where none of it is there to say so."""


class Row(NamedTuple):
    """A row of the suite."""

    label: str
    passes: int
    least: dict[str, float]
    """Accuracy in percent that is expected at least, by dataset; none where nothing is."""


ROWS = (
    Row("vit-small-cifar", 100, {"cifar10": 90.0}),
    Row("resnet18", 30, {"cifar10": 94.5}),
    Row("vit-p4-d12", 25, {}),
    Row("vit-p4-d8", 25, {}),
    Row("vit-p8-d12", 25, {}),
)
CONDITIONS = ("--precision", "bfloat16", "--channels-last", "--compile")
"""On a GPU. Compiling takes about a minute of a row. It makes a training step of ViT-S/16 3.3 times as fast (2,305 and
7,716 images per second are published for an H100); at that rate it saves 60 to 100 s of each ViT of patch 4. It may not
pay for the ViT of patch 8 and the ResNet, but rows of other conditions are not ranked together, and no claim is
tested on them; ``--eager`` leaves it out of all."""


# The data


def shards(folder: Path) -> tuple[list[str], list[str]]:
    """Return the Parquet files that a folder has, and those that their names promise beside them."""
    here = sorted(path.name for path in folder.glob("*.parquet") if _SHARD.fullmatch(path.name))
    counts = {split: {int(name[-13:-8]) for name in here if name.startswith(split)} for split in _COUNTS}
    promised = {
        f"{split}-{number:05d}-of-{count:05d}.parquet"
        for split, usual in _COUNTS.items()
        for count in counts[split] or {usual}
        for number in range(count)
    }
    return here, sorted(promised - set(here))


def bring(source: Path, data: Path) -> None:
    """Copy the Parquet files of a folder to the others."""
    data.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.parquet"):
        part = data / f"{path.name}.part"
        shutil.copyfile(path, part)
        part.replace(data / path.name)


# The rows


def command(options: argparse.Namespace) -> list[str]:
    """Return the command that runs the rows, in the suite's order."""
    words = [sys.executable, "-m", "vitbench", "run", "--suite", str(SUITE), "--output", str(options.output)]
    words += ["--data", f"{options.dataset}={options.data}", "--dataset", options.dataset, "--speeds", "none"]
    words += ["--device", options.device]
    for row in options.rows:
        words += ["--model", row]
    if options.limit:
        words += ["--limit", str(options.limit), "--epochs", "1"]
    if options.device != "cpu":
        words += [word for word in CONDITIONS if not (options.eager and word == "--compile")]
    return words


def ended(words: Sequence[str], seconds: float) -> str:
    """Run a command of vitbench; stop it when its time is up, so that it keeps what it has. Return how it ended."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.terminate()  # SIGINT would be ignored by what a shell has started in the background
            child.wait()
            return "interrupted: the time was up; the same command resumes"
    return "ok" if code == 0 else f"exit code {code}"


# The training step


def time_steps(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time a plain loop, our step, and our step on cached images, in blocks that take turns.

    Returns:
        Images per second of each, the ratios as the medians over turns, and the sizes.
    """
    import torch

    from vitbench.environment import resolve_device
    from vitbench.worker.runtime import runtime

    small = options.device == "cpu"
    side, batch, calls, turns = (32, 8, 2, 3) if small else (224, 256, 20, 5)
    device = torch.device(resolve_device(options.device))
    with runtime(precision="bfloat16", threads=torch.get_num_threads(), seed=0, device=str(device)):
        steps = _steps(folder, device=device, side=side, batch=batch, small=small)
        for step in steps.values():  # compiles, then warms up
            for _ in range(1 if small else 10):
                step()
        seconds = {name: list[float]() for name in steps}
        for turn in range(turns):
            for name in list(steps)[:: 1 if turn % 2 else -1]:
                seconds[name].append(_block(steps[name], calls, device))
    found = {name: batch * calls / median(each) for name, each in seconds.items()}

    def ratio(first: str, second: str) -> float:
        return median(b / a for a, b in zip(seconds[first], seconds[second], strict=True))

    pairs = (("ours", "plain"), ("cached", "ours"), ("augmented", "ours"))
    ratios = {" / ".join(pair): ratio(*pair) for pair in pairs}
    return {"images_per_second": found, "ratios": ratios, "side": side, "batch": batch, "device": str(device)}


def _block(step: Callable[[], Any], calls: int, device: Any) -> float:
    from vitbench.measuring.steps import synchronise

    synchronise(device)
    began = time.perf_counter()
    for _ in range(calls):
        step()
    synchronise(device)
    return time.perf_counter() - began


def _steps(folder: Path, *, device: Any, side: int, batch: int, small: bool) -> dict[str, Callable[[], Any]]:
    """Return one call of each: a training step on a batch."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from vitbench_recipes import supervised

    from vitbench.catalog import load_catalog
    from vitbench.protocols import Budget, FitRun, Split, TrainVal
    from vitbench.specs import Preprocess, load_target
    from vitbench.training import on_device, preprocess, resident, shuffled, statistics

    catalog = load_catalog()
    spec = catalog.member("scratch/vit" if small else "scratch/vit-small")
    tiny = {"depth": 1, "width": 32, "heads": 2} if small else {}
    classes, count = 1000, batch * (4 if small else 16)
    recipe = catalog.recipe("recipes/supervised").spec
    run = FitRun(
        device=device,
        precision="bfloat16",
        seed=0,
        budget=Budget(),
        options={**recipe.defaults, "batch_size": batch, "lr": 1e-6},
        log=lambda **_: None,
        compile="default",
    )

    def model() -> nn.Module:
        torch.manual_seed(0)
        sizes = spec.build_arguments({**spec.defaults, **tiny})
        net: nn.Module = load_target(spec.build)(num_classes=classes, image_size=(side, side), in_channels=3, **sizes)
        return net.train()

    plain = torch.compile(model().to(device))
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-6, fused=True)
    inputs = torch.randn(batch, 3, side, side, device=device)
    labels = torch.randint(classes, (batch,), device=device)

    def plainly() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = plain(inputs)
        F.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()
        optimizer.step()

    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(count, 3, side, side))
    generator = np.random.default_rng(0)
    for row in range(0, count, batch):
        images[row : row + batch] = generator.integers(0, 256, (batch, 3, side, side), dtype=np.uint8)
    split = Split(images=images, index=np.arange(count), labels=generator.integers(0, classes, count))
    how: Preprocess = statistics(Split(images=images, index=np.arange(batch), labels=split.labels[:batch]))
    data = TrainVal(
        train=split,
        val=split,
        class_names=tuple(map(str, range(classes))),
        image_size=(side, side),
        in_channels=3,
        preprocess=how,
    )
    _, ours = on_device(model(), run)
    training = supervised.step(ours, run)
    train = resident(split, device)

    def batches() -> Any:
        epoch = 0
        while True:
            yield from shuffled(train, batch_size=batch, device=device, seed=0, epoch=epoch)
            epoch += 1

    def on_cache(options: dict[str, Any]) -> Callable[[], Tensor]:
        _, net = on_device(model(), run)
        step = supervised.step(net, run)
        augmentation = supervised.augmentation_of({**run.options, "crop": "resized", **options}, data)
        endless = augmentation.batches(batches(), image_size=data.image_size)

        def take() -> Tensor:
            chosen = next(endless)
            x = preprocess(chosen.images, how, image_size=data.image_size, in_channels=3)
            x, targets = augmentation.mix(x, chosen.labels, chosen.draws, num_classes=classes)
            return step.take(x, targets)

        return take

    return {
        "plain": plainly,
        "ours": lambda: training.take(inputs, labels),
        "cached": on_cache({"policy": "none", "erase": 0.0, "mixup": 0.0, "cutmix": 0.0}),
        "augmented": on_cache({}),
    }


# The report


def report(options: argparse.Namespace, ended: str, seconds: float, steps: dict[str, Any]) -> str:
    """Return what was found, as Markdown.

    Args:
        options: of the command.
        ended: how the run of the rows did; empty where there was none.
        seconds: that it took.
        steps: of `time_steps`, or an ``error``; empty where they were not timed.
    """
    from vitbench.leaderboard.results import read_results

    lines = [f"# {options.dataset} on a GPU, by `benchmarks/gpu_cifar.py`", ""]
    if options.device == "cpu":
        lines += ["A rehearsal on the CPU: figures mean nothing.", ""]
    if ended:
        lines += ["| row | passes | test accuracy, % | expected | seconds |", "| --- | --- | --- | --- | --- |"]
        records = {record.planned.label: record for record in read_results(options.output)[0]}
        lines += [_line(row, records.get(row.label), options.dataset) for row in ROWS if row.label in options.rows]
        lines += ["", f"This call: {seconds:.0f} s, decoding included; it ended: {ended}."]
        lines += [f"Left out, since their weights come from the hub: {', '.join(LEFT_OUT)}.", ""]
        lines += [gpu_check.output_of("leaderboard", str(options.output), "--format", "md"), ""]
        lines += ["## Findings", "", "```", gpu_check.output_of("findings", str(options.output)), "```", ""]
    if steps:
        lines += [*_steps_in_words(steps), ""]
    return "\n".join(lines) + "\n"


def _line(row: Row, record: Record | None, dataset: str) -> str:
    """Return a row of the table: its newest attempt."""
    found = [one.value for one in record.measurements if one.name == "top1"] if record else []
    top1, least = (100 * found[0] if found and found[0] is not None else None), row.least.get(dataset)
    shown = f"{top1:.2f}" if top1 is not None else record.status if record else "not started"
    judged = "" if least is None else f"at least {least:g}" + (", missed" if top1 is not None and top1 < least else "")
    return f"| {row.label} | {row.passes} | {shown} | {judged} | {f'{record.seconds:.0f}' if record else ''} |"


def _steps_in_words(steps: dict[str, Any]) -> list[str]:
    if "error" in steps:
        return ["## Training step", "", f"It failed: {steps['error']}"]
    speeds, ratios = steps["images_per_second"], steps["ratios"]
    lines = [
        f"## Training step, {steps['side']} pixels, batch {steps['batch']}, bfloat16, compiled, {steps['device']}",
        "",
        "| loop | images per second | share | expected |",
        "| --- | --- | --- | --- |",
        f"| plain | {speeds['plain']:,.0f} | | {PUBLISHED:,} published on an H100 |",
    ]
    for of, share in ratios.items():
        name = of.partition(" / ")[0]
        judged = "" if name == "augmented" else f"at least {SHARE}" + (", missed" if share < SHARE else "")
        lines.append(f"| {name} | {speeds[name]:,.0f} | {share:.3f} ({of}) | {judged} |")
    return lines


# The command


def main(arguments: list[str] | None = None) -> int:
    """Bring the data, run what is asked for, write the report."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="vitbench-gpu-cifar-") as name:
        folder = Path(name)
        if (code := gpu_check.prepare(options, folder)) is not None:
            return code
        if options.bring:
            bring(options.bring, options.data)
        here, lacking = shards(options.data)
        print(f"{options.data} has {', '.join(here) or 'none of the files'}")
        if lacking:
            print(f"missing: {', '.join(lacking)}; run the same command with --bring FOLDER when they are there")
        os.environ.setdefault("VITBENCH_CACHE", str(options.data / "cache"))
        began = time.monotonic()
        how = "" if lacking else ended(command(options), options.seconds)
        seconds = time.monotonic() - began
        steps = _remembered_steps(options, folder) if options.steps else {}
        text = report(options, how, seconds, steps)
    options.report.write_text(text, encoding="utf-8")
    print(text)
    return int(how not in ("", "ok") or "error" in steps)


def _remembered_steps(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the steps once, whichever call has the time for it."""
    place = options.report.with_suffix(".steps.json")
    if place.exists():
        return dict(json.loads(place.read_text(encoding="utf-8")))
    try:
        found = time_steps(options, folder)
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    place.write_text(json.dumps(found), encoding="utf-8")
    return found


def _options(arguments: list[str] | None) -> argparse.Namespace:
    labels = [entry["label"] for entry in tomllib.loads(SUITE.read_text(encoding="utf-8"))["models"]]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder for the Parquet files and the cache")
    parser.add_argument("--bring", type=Path, help="folder whose Parquet files are copied there first")
    parser.add_argument("--dataset", choices=("cifar10", "cifar100"), default="cifar10")
    parser.add_argument("--output", type=Path, default=Path("gpu-cifar-results"), help="folder for the results")
    parser.add_argument("--report", type=Path, default=Path("gpu_cifar.md"), help="Markdown file to write")
    parser.add_argument("--rows", default=",".join(labels), help=f"which, of {', '.join(labels)} [all]")
    parser.add_argument("--eager", action="store_true", help="compile nothing")
    parser.add_argument("--no-steps", dest="steps", action="store_false", help="leave the training step out")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal [cuda]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for all rows [{SECONDS:g}]")
    parser.add_argument("--limit", type=int, help="images of each split, and one pass: a rehearsal")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that are not installed")
    options = parser.parse_args(arguments)
    options.rows = options.rows.split(",")
    if unknown := set(options.rows) - set(labels):
        parser.error(f"--rows: unknown {', '.join(sorted(unknown))}; known: {', '.join(labels)}")
    for name in ("bring", "wheels"):
        if (given := getattr(options, name)) and not given.is_dir():
            parser.error(f"--{name}: {given} is not a directory")
    return options


if __name__ == "__main__":
    sys.exit(main())
