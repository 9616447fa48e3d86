"""A model that gives something else than logits is told so, in the same words whatever its recipe makes of it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.catalog import load_catalog
from vitbench.errors import VitbenchError
from vitbench.execution.messages import CellJob
from vitbench.measuring.predictions import InvalidPredictions
from vitbench.measuring.steps import InvalidOutput, plain_train_step, training_step
from vitbench.protocols import FitRun, TrainStep, TrainVal
from vitbench.records import DataInfo
from vitbench.training import batches, preprocess
from vitbench.worker import quality
from vitbench.worker.outputs import fault_behind
from vitbench.worker.quality import run_quality


class Wrong(nn.Module):
    """A linear model, and what is made of its logits and its images."""

    def __init__(self, change: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.head, self.change = nn.Linear(64, 10), change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.head(images.flatten(1)), images)


NO_TENSOR = "it must return a plain tensor of logits"
WRONG: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "none": (lambda logits, images: None, f"the model returned a NoneType; {NO_TENSOR}"),
    "tuple": (lambda logits, images: (logits, images), f"the model returned a tuple; {NO_TENSOR}"),
    "list": (lambda logits, images: [logits], f"the model returned a list; {NO_TENSOR}"),
    "dict": (lambda logits, images: {"logits": logits}, f"the model returned a dict; {NO_TENSOR}"),
    "object": (lambda logits, images: OrderedDict(a=1), f"the model returned an OrderedDict; {NO_TENSOR}"),
    "array": (lambda logits, images: logits.detach().numpy(), f"the model returned a ndarray; {NO_TENSOR}"),
    "number": (lambda logits, images: 0.5, f"the model returned a float; {NO_TENSOR}"),
    "other device": (lambda logits, images: logits.to("meta"), "the model's output is on meta, not on cpu"),
    "more dimensions": (lambda logits, images: logits[:, :, None, None], "the model returned an output of shape"),
    "scalar": (lambda logits, images: logits.sum(), "the model returned an output of shape ()"),
    "fewer images": (lambda logits, images: logits[:1], "the model returned an output of shape (1, 10)"),
    "fewer classes": (lambda logits, images: logits[:, :7], "have shape|returned an output of shape"),
    "more classes": (lambda logits, images: logits.repeat(1, 2), "have shape|returned an output of shape"),
    "whole numbers": (lambda logits, images: logits.long(), "the model's output is int64; logits must be"),
    "truths": (lambda logits, images: logits > 0, "the model's output is bool; logits must be"),
    "complex": (lambda logits, images: logits.to(torch.complex64), "the model's output is complex64; logits must be"),
    "sparse": (lambda logits, images: logits.to_sparse(), "the model's output is a tensor with the layout sparse_coo"),
    "nan": (lambda logits, images: logits * torch.nan, "a logit that is nan"),
    "infinite": (lambda logits, images: logits + torch.inf, "a logit that is inf|a logit that is nan"),
}
UNTRAINED: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "detached": (lambda logits, images: logits.detach(), "the model's output has no gradient"),
    "of its input": (lambda logits, images: images.flatten(1)[:, :10], "the model's output has no gradient"),
}
CASES = [
    *((name, "theirs") for name in WRONG),
    *((name, "supervised") for name in ("dict", "other device", "fewer classes", "whole numbers", "nan", "detached")),
    *((name, "evaluate") for name in ("tuple", "more classes", "complex", "infinite")),
    *((name, "theirs") for name in UNTRAINED),
    *((name, "finetune") for name in ("tuple", "nan")),
]
STEPS = [
    *((name, False) for name in (*WRONG, *UNTRAINED) if name not in ("nan", "infinite")),
    *(
        (name, True)
        for name in (*WRONG, *UNTRAINED)
        if name not in ("nan", "infinite", "fewer classes", "more classes")
    ),
]
"""The last but for what a step of theirs takes: other numbers of classes, in which the labels are."""


def pattern(words: str) -> str:
    """Return words as they are, or several that are one as good as the other."""
    return "|".join(map(re.escape, words.split("|")))


def theirs(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    """Train as another package does, without a check."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for images, labels in batches(data.train, batch_size=60, device=run.device):
        inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> DataInfo:
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, count in (("train", 120), ("test", 40)):
        np.save(folder / f"{name}-images.npy", rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8))
        np.save(folder / f"{name}-labels.npy", np.arange(count) % 10)
    return msgspec.structs.replace(factories.data_info(), cache=str(folder))


@pytest.mark.compute
@pytest.mark.parametrize(("name", "recipe"), CASES)
def test_what_is_no_batch_of_logits_is_told_under_every_recipe(
    name: str, recipe: str, info: DataInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = (WRONG | UNTRAINED)[name]
    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: Wrong(change))
    catalog = load_catalog()
    if recipe == "theirs":
        monkeypatch.setattr(quality, "load_target", lambda target: theirs)
    full = f"recipes/{'supervised' if recipe == 'theirs' else recipe}"
    options = catalog.recipe(full).spec.defaults
    planned = factories.quality_cell(
        "vit",
        options=catalog.member("scratch/vit").defaults | {"patch_size": 4},
        data=info,
        recipe=full,
        recipe_options=options,
        epochs=1,
    )
    with pytest.raises((InvalidOutput, InvalidPredictions), match=pattern(words)):
        run_quality(CellJob(planned=planned), catalog, tmp_path, lambda _: None)


@pytest.mark.parametrize(("name", "own"), STEPS)
def test_a_training_step_is_told_the_same_whoever_takes_it(name: str, own: bool) -> None:
    change, words = (WRONG | UNTRAINED)[name]
    model = Wrong(change)
    train = plain_train_step(model, num_classes=10)
    if own:
        train = TrainStep(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), take=partial(bare, model))
    step = training_step(train, model, (torch.zeros(4, 1, 8, 8),), (torch.arange(4),), num_classes=10)
    with pytest.raises(InvalidOutput, match=pattern(words)):
        step()


def bare(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    return loss


def test_a_model_without_parameters_cannot_be_trained() -> None:
    model = Wrong(lambda logits, images: logits).requires_grad_(False)
    with pytest.raises(VitbenchError, match="none of the model's parameters requires a gradient"):
        plain_train_step(model)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no teacher"), KeyboardInterrupt(), MemoryError(), torch.OutOfMemoryError("CUDA")]
)
def test_what_no_output_causes_is_left_as_it_is(error: Exception) -> None:
    assert fault_behind(error, lambda: Wrong(lambda logits, images: None), lambda: torch.zeros(2, 1, 8, 8), 10) is None


def test_a_sound_model_is_not_blamed_for_what_its_recipe_raised() -> None:
    sound = Wrong(lambda logits, images: logits)
    frozen = Wrong(lambda logits, images: logits).requires_grad_(False)
    images = lambda: torch.zeros(2, 1, 8, 8)  # noqa: E731
    assert fault_behind(AttributeError("no lr"), lambda: sound, images, 10) is None
    assert fault_behind(AttributeError("no lr"), lambda: frozen, images, 10) is None
    assert fault_behind(ValueError("optimizer got an empty parameter list"), lambda: frozen, images, 10) is not None
