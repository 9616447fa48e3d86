"""What is the best divisor for a model's time, and how much do occasions differ? Run by hand, many minutes apart:

    python benchmarks/reference_study.py record FILE     # one occasion, ten minutes on two busy cores; appends to FILE
    python benchmarks/reference_study.py show FILE       # the tables of docs/measuring.md, of all occasions in FILE
    python benchmarks/reference_study.py alone           # is a model as fast in turn as alone?
    python benchmarks/reference_study.py allocator       # what does fixing glibc's thresholds change? In lockstep

On each occasion, each of eight cells (networks of three kinds, forward passes, training steps and single images) is
timed in fresh processes, in shuffled order. A process times the model and all candidates in turn, in blocks of 20 ms,
and keeps the median of the log ratios. The candidates are a convolutional and an attention network, `mixed` (which is
the reference network), a matrix product, a stream through memory, and many small operations.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from plain_loop import side
from torch import nn

from vitbench.catalog import load_catalog
from vitbench.contract import call
from vitbench.lockstep import compare_speeds
from vitbench.measuring import in_turn
from vitbench.measuring.evidence import run_delay
from vitbench.measuring.reference import make_reference, reference_network
from vitbench.measuring.steps import (
    Step,
    inference_step,
    make_inputs,
    make_labels,
    plain_train_step,
    training_step,
)
from vitbench.specs import load_target
from vitbench.statistics import process_mean, welch_p_values
from vitbench.worker.runtime import runtime, steady_allocator

CPU = torch.device("cpu")
PROCESSES, ROUNDS, BLOCK_SECONDS = 5, 8, 0.02
ALONE_PROCESSES, ALONE_ROUNDS = 5, 60
VIT = {"patch_size": 4, "depth": 2, "width": 64, "heads": 4}
HYBRID = {"stem_width": 16, "stem_blocks": 1, "patch_size": 2, "depth": 2, "width": 64, "heads": 4}
COLOUR, DIGIT = (3, 32, 32), (1, 8, 8)
CELLS: Mapping[str, tuple[str, dict[str, object], tuple[int, int, int], int, str]] = {
    "ViT, 32 pixels": ("scratch/vit", VIT, COLOUR, 32, "inference"),
    "ResNet, 32 pixels": ("scratch/resnet18", {"width": 16}, COLOUR, 32, "inference"),
    "hybrid, 32 pixels": ("scratch/hybrid-cifar", HYBRID, COLOUR, 32, "inference"),
    "ViT, digits": ("scratch/vit", VIT | {"patch_size": 2}, DIGIT, 32, "inference"),
    "ResNet, training": ("scratch/resnet18", {"width": 16}, COLOUR, 32, "training"),
    "ViT, training": ("scratch/vit", VIT, DIGIT, 32, "training"),
    "ResNet, one digit": ("scratch/resnet18", {"width": 16}, DIGIT, 1, "inference"),
    "ViT, one image": ("scratch/vit", VIT, COLOUR, 1, "inference"),
}


def record(path: Path) -> None:
    """Measure one occasion and append its processes, a line of JSON each."""
    occasion = time.time()
    for process in range(PROCESSES):
        order = list(CELLS)
        random.Random(occasion + process).shuffle(order)
        for name in order:
            done = subprocess.run(
                [sys.executable, __file__, "process", name], capture_output=True, text=True, check=True
            )
            found = {"occasion": occasion, "cell": name, "process": process, "load": os.getloadavg()[0]}
            with path.open("a") as file:
                file.write(json.dumps(found | json.loads(done.stdout)) + "\n")
            print(name, process, file=sys.stderr)


def process(name: str) -> dict[str, Any]:
    """Time a cell in turn with all candidates; seconds of a call and natural logarithms of ratios."""
    mode = CELLS[name][4]
    with conditions(mode), cell_step(name) as (step, _):
        steps = {"model": step, **candidates(mode)}
        calls = {each: block_calls(one) for each, one in steps.items()}
        rounds = []
        for number in range(ROUNDS + 1):
            there_and_back = [*steps, *reversed(steps)]
            seconds = dict.fromkeys(steps, 0.0)
            for each in there_and_back:
                seconds[each] += block(steps[each], calls[each]) / 2
            if number:  # the first one warms all up
                rounds.append(seconds)
    ratios = {each: median(math.log(one["model"] / one[each]) for one in rounds) for each in steps if each != "model"}
    return {"raw": {each: median(one[each] for one in rounds) for each in steps}, "ratio": ratios}


@contextmanager
def conditions(mode: str) -> Iterator[None]:
    """Set what a run sets."""
    with runtime(precision="float32", threads=1, seed=0, device="cpu"), torch.inference_mode(mode == "inference"):
        steady_allocator()
        yield


@contextmanager
def cell_step(name: str) -> Iterator[tuple[Step, torch.Tensor]]:
    """Build a cell's model; give its step, and a batch of it."""
    model, options, shape, batch_size, mode = CELLS[name]
    spec = load_catalog().member(model)
    offered = {"num_classes": 10, "image_size": shape[1:], "in_channels": shape[0]}
    with torch.inference_mode(False):
        network = call(load_target(spec.build), offered, {**spec.arguments, **spec.defaults, **options})
    inputs = make_inputs(shape, batch_size=batch_size, device=CPU)
    yield step_of(network, inputs, mode), inputs[0]


def step_of(network: nn.Module, inputs: Sequence[torch.Tensor], mode: str) -> Step:
    if mode == "inference":
        return inference_step(network, inputs)
    train = plain_train_step(network, nullcontext)
    return training_step(train, network, inputs, make_labels(10, batch_size=len(inputs[0]), device=CPU))


def candidates(mode: str) -> dict[str, Callable[[], object]]:
    """Return what the model's time may be divided by."""
    inputs = make_inputs(COLOUR, batch_size=8, device=CPU)
    with torch.inference_mode(False):
        whole, patches = reference_network(), reference_network()
        convolutions = nn.Sequential(*list(whole.stem)[:6], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
        patches.stem = nn.Conv2d(3, 64, 4, stride=4)
    left, right, product = torch.full((256, 256), 0.5), torch.full((256, 256), 2.0), torch.empty(256, 256)
    source, target, one = torch.zeros(4 << 20), torch.zeros(4 << 20), torch.zeros(1)

    def many() -> None:
        for _ in range(400):
            one.add_(1)

    return {
        "convolutions": step_of(convolutions, inputs, mode),
        "attention": step_of(patches, inputs, mode),
        "mixed": step_of(reference_network(), inputs, mode),
        "matrix product": lambda: torch.mm(left, right, out=product),
        "memory": lambda: target.copy_(source),
        "small operations": many,
    }


def block(step: Callable[[], object], calls: int) -> float:
    """Return the seconds of a call in a block, behind an untimed one."""
    step()
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def block_calls(step: Callable[[], object]) -> int:
    for _ in range(3):
        step()
    return max(1, math.ceil(BLOCK_SECONDS / min(block(step, 3) for _ in range(3))))


def show(path: Path) -> None:
    """Print the deviations within and between occasions, and what the rule of ranks makes of equal models."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    by_cell: dict[str, dict[float, list[dict[str, Any]]]] = {name: {} for name in CELLS}
    for row in rows:
        by_cell[row["cell"]].setdefault(row["occasion"], []).append(row)
    divisors = [None, *rows[0]["ratio"]]
    print(f"{len(rows)} processes, {len({row['occasion'] for row in rows})} occasions\n")
    print(
        "| divided by | within an occasion (range over cells) | between occasions (range over cells) |\n|---|---|---|"
    )
    for divisor in divisors:
        groups = {
            name: [np.array([figure(row, divisor) for row in own]) for own in occasions.values() if len(own) > 2]
            for name, occasions in by_cell.items()
        }
        within = [100 * math.sqrt(np.mean([own.var(ddof=1) for own in each])) for each in groups.values()]
        between = [100 * float(np.std([own.mean() for own in each], ddof=1)) for each in groups.values()]
        cells = (f"{np.median(each):.1f} % ({min(each):.1f} to {max(each):.1f})" for each in (within, between))
        print(f"| {divisor or 'nothing'} | {' | '.join(cells)} |")
    print()
    slopes(by_cell)
    coverage_between(by_cell)
    mixture(by_cell)
    false_ranks(by_cell)


def figure(row: Mapping[str, Any], divisor: str | None) -> float:
    """Return the logarithm of a process's seconds, or of their ratio to a candidate's."""
    return math.log(row["raw"]["model"]) if divisor is None else float(row["ratio"][divisor])


def slopes(by_cell: Mapping[str, Mapping[float, list[dict[str, Any]]]]) -> None:
    """Print by how much a model slows down where the reference does: 1 where dividing is exact."""
    for name, occasions in by_cell.items():
        own = [row for each in occasions.values() for row in each]
        x, y = (np.log([row["raw"][each] for row in own]) for each in ("mixed", "model"))
        slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
        print(f"slope of log model on log reference, {name}: {slope:.2f}, correlation {np.corrcoef(x, y)[0, 1]:.2f}")
    print()


def coverage_between(by_cell: Mapping[str, Mapping[float, list[dict[str, Any]]]]) -> None:
    """Print how often the interval of a difference between two occasions holds 0, the spread taken from the others."""
    held = total = 0
    for occasions in by_cell.values():
        for first in occasions:
            for second in (each for each in occasions if each > first):
                spread = spread_of(by_cell, {first, second})
                if spread is None:
                    continue
                a, b = (np.array([figure(row, "mixed") for row in occasions[each]]) for each in (first, second))
                p_value = welch_p_values(
                    a.mean() - b.mean(),
                    (a.var(ddof=1), b.var(ddof=1)),
                    (len(a), len(b)),
                    0.0,
                    (2 * spread[0], spread[1]),
                )
                held += bool(p_value > 0.05)
                total += 1
    print(f"difference of two occasions, spread from the others: 0 in the interval in {held} of {total}")


def spread_of(
    by_cell: Mapping[str, Mapping[float, list[dict[str, Any]]]], without: set[float]
) -> tuple[float, int] | None:
    """Return the variance from occasion to occasion and its degrees of freedom, as a store's records would give it."""
    squares, freedom, seen = 0.0, 0, set()
    for occasions in by_cell.values():
        means = [
            np.mean([figure(row, "mixed") for row in own]) for each, own in occasions.items() if each not in without
        ]
        seen |= {each for each in occasions if each not in without}
        if len(means) > 1:
            squares += float(np.sum((np.array(means) - np.mean(means)) ** 2))
            freedom += len(means) - 1
    return (squares / freedom, len(seen) - 1) if len(seen) > 1 else None


def mixture(by_cell: Mapping[str, Mapping[float, list[dict[str, Any]]]]) -> None:
    """Print whether a mixture of candidates, fitted on all occasions but one, does better on that one than `mixed`.

    What is fitted are weights that sum to one, the same for all cells, with the least squares of the occasions' means
    around each cell's mean.
    """
    occasions = sorted({each for own in by_cell.values() for each in own})
    names = [name for name in next(iter(next(iter(by_cell.values())).values()))[0]["ratio"] if name != "mixed"]
    if len(occasions) < 4:
        return
    means = {
        (name, occasion): np.array(
            [np.mean([row["ratio"][each] for row in own[occasion]]) for each in (*names, "mixed")]
        )
        for name, own in by_cell.items()
        for occasion in own
    }
    fitted, plain = [], []
    for left_out in occasions:
        kept = [each for each in occasions if each != left_out]
        centres = {name: np.mean([means[name, each] for each in kept], axis=0) for name in by_cell}
        errors = np.array([means[name, each] - centres[name] for name in by_cell for each in kept])
        # Weights that sum to one: the last is what the others leave.
        others, last = errors[:, : len(names) - 1], errors[:, len(names) - 1]
        weights = np.linalg.lstsq(others - last[:, None], -last, rcond=None)[0]
        weights = np.append(weights, 1 - weights.sum())
        for name in by_cell:
            error = means[name, left_out] - centres[name]
            fitted.append(float(error[:-1] @ weights))
            plain.append(float(error[-1]))
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(names, weights, strict=True))
    print(
        f"an occasion left out differs by {100 * np.std(plain):.1f} % beside `mixed`, by {100 * np.std(fitted):.1f} % "
        f"beside a mixture fitted on the others (the last one: {shares})"
    )


def false_ranks(by_cell: Mapping[str, Mapping[float, list[dict[str, Any]]]], tables: int = 4000) -> None:
    """Print how often a table of equal models shows a rank, its processes drawn from those of one occasion."""
    from vitbench.leaderboard.processes import LEVEL, Processes, tell_p_values
    from vitbench.statistics import holm

    pools = []
    for occasion in {each for occasions in by_cell.values() for each in occasions}:
        own = [
            np.array([figure(row, "mixed") for row in each[occasion]]) for each in by_cell.values() if occasion in each
        ]
        pools.append(np.concatenate([(each - each.mean()) * math.sqrt(len(each) / (len(each) - 1)) for each in own]))
    generator = np.random.default_rng(0)
    for models in (2, 5, 10):
        wrong = 0
        for _ in range(tables):
            pool = pools[generator.integers(len(pools))]
            figures = [Processes(values=tuple(np.exp(generator.choice(pool, 7))), occasion="o") for _ in range(models)]
            p_values = tell_p_values(figures)[np.triu_indices(models, 1)]
            wrong += bool(holm(lambda level, p=p_values: p <= level, len(p_values), LEVEL).any())
        print(f"tables of {models} equal models with a false rank, within an occasion: {wrong / tables:.1%}")


def alone() -> None:
    """Print each cell's speed in turn with the reference over its speed alone, of fresh processes."""
    for name in CELLS:
        logs = []
        for _ in range(ALONE_PROCESSES):
            done = subprocess.run([sys.executable, __file__, "alone", name], capture_output=True, text=True, check=True)
            logs.append(float(done.stdout))
        found = process_mean([math.exp(one) for one in logs])
        print(f"{name}: {found.value:.3f} times as fast as alone ({found.low:.3f} to {found.high:.3f})", flush=True)


def alone_once(name: str) -> float:
    """Return the logarithm of one cell's speed in turn over its speed alone, their blocks a moment apart.

    In turn: two blocks of the reference, untimed calls as a run makes them, a timed block. Alone: as much time of the
    model's own calls, then a timed block. What a thread waited for its processor does not count.
    """
    mode = CELLS[name][4]
    with conditions(mode), cell_step(name) as (step, _):
        with torch.inference_mode(False):
            reference = make_reference(mode, CPU)
        calls, reference_calls = (
            max(1, block_calls(each) * round(1000 * in_turn.BLOCK_SECONDS) // round(1000 * BLOCK_SECONDS))
            for each in (step, reference.step)
        )
        warm = max(1, math.ceil(calls * in_turn.WARM_SECONDS / in_turn.BLOCK_SECONDS))

        def timed(*, turns: bool) -> float:
            for _ in range(2 * reference_calls if turns else 2 * calls):
                (reference.step if turns else step)()
            for _ in range(warm):
                step()
            waited, start = run_delay(), time.perf_counter()
            for _ in range(calls):
                step()
            seconds = time.perf_counter() - start
            return max(seconds - (run_delay() - waited), in_turn.LEAST_SHARE * seconds)

        timed(turns=True)
        rounds = []
        for _ in range(ALONE_ROUNDS):
            seconds = {True: 0.0, False: 0.0}
            for turns in (True, False, False, True):
                seconds[turns] += timed(turns=turns)
            rounds.append(math.log(seconds[False] / seconds[True]))
        return median(rounds)


def allocator() -> None:
    """Print the speed with glibc's own thresholds over that with the fixed ones, in lockstep, and page faults."""
    for name, (model, options, shape, batch_size, mode) in CELLS.items():
        if shape != COLOUR:
            continue
        whole = {**load_catalog().member(model).defaults, **options}
        sides = [
            side(model, whole, image_size=shape[1], batch_size=batch_size, mode=mode, target=target)
            for target in ("", "own_thresholds")
        ]
        found = compare_speeds(sides[0], sides[1], seconds=120)
        faults = [page_faults(name, steady=steady) for steady in (True, False)]
        print(
            f"{name}: glibc's own thresholds {found.ratio:.3f} times as fast as fixed ones "
            f"({found.low:.3f} to {found.high:.3f}); page faults per call {faults[1]:.0f}, fixed {faults[0]:.0f}"
        )


def page_faults(name: str, *, steady: bool) -> float:
    """Return the minor page faults of a warm call, in a fresh process."""
    arguments = [sys.executable, __file__, "faults", name, *(["steady"] if steady else [])]
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)


def faults(name: str, *, steady: bool, calls: int = 50) -> float:
    mode = CELLS[name][4]
    with runtime(precision="float32", threads=1, seed=0, device="cpu"), torch.inference_mode(mode == "inference"):
        if steady:
            steady_allocator()
        with cell_step(name) as (step, _):
            for _ in range(calls):
                step()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(calls):
                step()
            return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / calls


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["help"]
    if command == "record":
        record(Path(rest[0]))
    elif command == "show":
        show(Path(rest[0]))
    elif command == "alone":
        print(alone_once(rest[0])) if rest else alone()
    elif command == "allocator":
        allocator()
    elif command == "faults":
        print(faults(rest[0], steady="steady" in rest))
    elif command == "process":
        print(json.dumps(process(rest[0])))
    else:
        print(__doc__)
