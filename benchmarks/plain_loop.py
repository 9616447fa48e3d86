"""A loop that times a model without vitbench.measuring: the baseline for the harness, also run by live workers.

The module also has timm's Vision Transformer in the same loop, and the harness's own block with a tenth more work.
"""

from __future__ import annotations

import time
import unittest.mock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import torch
from torch import nn

from vitbench.catalog import load_catalog
from vitbench.lockstep.process import Order, Ran, Side
from vitbench.lockstep.worker import model_block
from vitbench.records import KeyedCell, SpeedCell
from vitbench.worker.build import build_model
from vitbench.worker.runtime import steady_allocator

BATCHES = 4
NUM_CLASSES = 10
MORE = 0.1

Block = Callable[[int], Ran]


def side(
    model: str, options: dict[str, object], *, image_size: int, batch_size: int, mode: str, target: str = ""
) -> Side:
    """Return a side of a comparison: a model on one thread, from vitbench or from a block maker of this file."""
    import factories

    planned = factories.speed_cell(options=options, batch_size=batch_size, mode=mode, in_channels=3)
    cell = msgspec.structs.replace(planned.cell, model=model, input_shape=(3, image_size, image_size))
    return Side(
        planned=msgspec.structs.replace(planned, cell=cell, image_size=(image_size, image_size)),
        label=target or model,
        environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)},
        target=f"plain_loop:{target}" if target else "vitbench.lockstep.worker:model_block",
    )


@contextmanager
def plain(order: Order) -> Iterator[Block]:
    """Loop over a model of vitbench's."""
    planned = order.planned
    yield _loop(build_model(planned, load_catalog(order.plugins).member(planned.cell.model), NUM_CLASSES), planned)


@contextmanager
def each_step(order: Order) -> Iterator[Block]:
    """Loop as timm's benchmark script does: one batch again and again, each step timed, without gradients."""
    planned = order.planned
    cell = planned.cell
    assert isinstance(cell, SpeedCell)
    model = build_model(planned, load_catalog(order.plugins).member(cell.model), NUM_CLASSES).eval()
    torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    steady_allocator()
    batch = torch.randn(cell.batch_size, *cell.input_shape)

    def block(calls: int) -> Ran:
        total = 0.0
        with torch.no_grad():
            for _ in range(calls):
                start = time.perf_counter()
                model(batch)
                total += time.perf_counter() - start
        return Ran(seconds=total)

    yield block


@contextmanager
def timm_vit(order: Order) -> Iterator[Block]:
    """Loop over timm's Vision Transformer, of the size that the options of ``scratch/vit`` say."""
    from timm.models.vision_transformer import VisionTransformer

    planned, options = order.planned, order.planned.cell.options
    model = VisionTransformer(
        img_size=planned.image_size,
        patch_size=options["patch_size"],
        num_classes=NUM_CLASSES,
        embed_dim=options["width"],
        depth=options["depth"],
        num_heads=options["heads"],
    )
    yield _loop(model, planned)


@contextmanager
def more_work(order: Order) -> Iterator[Block]:
    """Do what vitbench does, and every tenth call twice, counted over all blocks."""
    owed = 0.0

    with model_block(order) as block:

        def with_more(calls: int) -> Ran:
            nonlocal owed
            owed += MORE * calls
            more, owed = int(owed), owed % 1
            return block(calls + more)

        yield with_more


@contextmanager
def own_thresholds(order: Order) -> Iterator[Block]:
    """Do what vitbench does, but leave glibc's thresholds as they move by themselves."""
    with unittest.mock.patch("vitbench.worker.runtime.steady_allocator", dict), model_block(order) as block:
        yield block


def _loop(model: nn.Module, planned: KeyedCell) -> Block:
    """Return a function that times calls as anybody would."""
    cell = planned.cell
    assert isinstance(cell, SpeedCell)
    torch.set_num_threads(cell.threads)
    torch.manual_seed(0)
    # Without it the comparison is one of glibc's moods; see its docstring.
    steady_allocator()
    batches = [torch.randn(cell.batch_size, *cell.input_shape) for _ in range(BATCHES)]
    call = (_forward if cell.mode == "inference" else _train)(model)

    def block(calls: int) -> Ran:
        start = time.perf_counter()
        for i in range(calls):
            call(batches[i % BATCHES])
        return Ran(seconds=time.perf_counter() - start)

    return block


def _forward(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return torch.inference_mode()(model.eval())


def _train(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step(images: torch.Tensor) -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(images), torch.zeros(len(images), dtype=torch.int64))
        loss.backward()
        optimiser.step()
        return loss

    return step
