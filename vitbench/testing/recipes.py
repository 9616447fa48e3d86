"""Checks of recipes: each function is one contract of `RecipeSpec.fit`, on a tiny problem and a tiny model.

A recipe that is for one baseline gets that baseline, each other one a small convolutional network.

Shapes: N images, K classes.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import Skip
from vitbench.measuring.steps import InvalidOutput, check_output
from vitbench.protocols import TrainVal
from vitbench.specs import load_target
from vitbench.testing.cases import RecipeCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.fitting import TRAIN_IMAGES, fit, tensors_of, tiny_problem
from vitbench.training import batches, preprocess
from vitbench.worker.runtime import changed_flags, runtime

__all__ = [
    "check_recipe_budget",
    "check_recipe_device",
    "check_recipe_leaves_flags",
    "check_recipe_loss_falls",
    "check_recipe_returns_model",
    "check_recipe_seed",
    "check_recipe_sees_its_split",
    "check_recipe_trains",
]

CLASSES = 3
SHORT = 2
"""Epochs, where learning does not matter."""


class TinyNet(nn.Module):
    """A convolution and a head that starts at zero, so that the loss starts at ``ln K``.

    It draws no random numbers, so that all chance in a training is the recipe's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1)
        self.head = nn.Linear(8 * 16, CLASSES)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to logits ``[B, K]``."""
        return self.head(F.relu(self.convolution(images)).flatten(1))  # type: ignore[no-any-return]


def check_recipe_returns_model(case: RecipeCase) -> None:
    """`fit` returns a module that maps images to finite logits ``[B, K]`` of all classes."""
    logits, _ = _predict(fit(case.spec, _model(case), epochs=SHORT))
    if not logits.isfinite().all():
        raise CheckFailed(
            "the fitted model's logits are not finite; lower the default learning rate, or clip gradients"
        )


def check_recipe_trains(case: RecipeCase) -> None:
    """`fit` changes the model's state where the spec says ``trains=True``, and leaves it alone where it says False."""
    model = _model(case)
    before = _state(model)
    changed = not _same(before, _state(fit(case.spec, model, epochs=SHORT)))
    if changed != case.spec.trains:
        found = "changes" if changed else "does not change"
        raise CheckFailed(f"fit {found} the model, and the spec says trains={case.spec.trains}; correct one of them")


def check_recipe_loss_falls(case: RecipeCase) -> None:
    """On a tiny problem the loss of the training images falls below that of a guess, ``ln K``."""
    _needs_training(case)
    logits, labels = _predict(fit(case.spec, _model(case)))
    loss, guess = F.cross_entropy(logits, labels).item(), math.log(CLASSES)
    if not loss < 0.999 * guess:
        raise CheckFailed(f"after 20 epochs the loss is {loss:.3f}, no better than that of a guess, {guess:.3f}")


def check_recipe_seed(case: RecipeCase) -> None:
    """On the CPU the same seed gives the same weights, and another seed gives others where passes are made."""
    _needs_training(case)
    first, again, other = (_Counted(case, seed=seed) for seed in (0, 0, 1))
    if not _same(first.state, again.state):
        raise CheckFailed("the same seed gives other weights; draw from a generator that is seeded with run.seed")
    if first.images and _same(first.state, other.state):
        raise CheckFailed("another seed gives the same weights; shuffle by a generator that is seeded with run.seed")


def check_recipe_budget(case: RecipeCase) -> None:
    """The user's epochs are kept: three times as many epochs are three times as many images, and no more."""
    _needs_training(case)
    one, three = (_Counted(case, epochs=epochs).images for epochs in (1, 3))
    if not one:
        raise Skip("it makes no passes in train mode")
    if not 2 * one < three <= 4 * one:
        raise CheckFailed(
            f"1 epoch of {TRAIN_IMAGES} images shows the model {one} images, 3 epochs {three}; keep run.budget.epochs"
        )


def check_recipe_device(case: RecipeCase) -> None:
    """The fitted model is on the run's device: the CPU, and an accelerator where there is one."""
    _needs_training(case)
    devices = ["cpu"]
    if torch.accelerator.is_available():
        devices.append(str(torch.accelerator.current_accelerator()))
    for device in devices:
        model = fit(case.spec, _model(case), epochs=1, device=device)
        away = [name for name, tensor in tensors_of(model) if tensor.device.type != device]
        if away:
            raise CheckFailed(f"with run.device {device}, {away[0]} of the fitted model is elsewhere; use run.device")


def check_recipe_sees_its_split(case: RecipeCase) -> None:
    """Only the rows of its two splits have an influence; not the images beside them, the test split above all."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        first, second = (
            _state(fit(case.spec, _model(case), epochs=SHORT, data=_problem(Path(folder, str(others)), others)))
            for others in (0, 1)
        )
    if not _same(first, second):
        raise CheckFailed(
            "images that data.train.index and data.val.index do not name change the weights; read images[index] alone"
        )


def check_recipe_leaves_flags(case: RecipeCase) -> None:
    """`fit` leaves torch's threads, default type, grad mode and other flags alone."""
    with runtime(precision="float32", threads=torch.get_num_threads(), seed=0, device="cpu") as flags:
        fit(case.spec, _model(case), epochs=SHORT)
        changed = changed_flags(flags)
    if changed:
        raise CheckFailed(f"fit changes torch's {', '.join(changed)}; leave global flags to the user")


def _needs_training(case: RecipeCase) -> None:
    if not case.spec.trains:
        raise Skip("it trains nothing")


def _model(case: RecipeCase) -> nn.Module:
    torch.manual_seed(0)
    if case.model is None:
        return TinyNet()
    build = load_target(case.model.build)
    model: nn.Module = build(
        num_classes=CLASSES, image_size=8, in_channels=1, **case.model.arguments, **case.model.options
    )
    return model


def _problem(folder: Path | None = None, others: int = 0) -> TrainVal:
    return tiny_problem(num_classes=CLASSES, folder=folder, others=others)


class _Counted:
    """A fit whose images in train mode were counted, and the state that it left."""

    def __init__(self, case: RecipeCase, *, seed: int = 0, epochs: int = SHORT) -> None:
        self.images = 0
        model = _model(case)
        model.register_forward_pre_hook(self._count)  # a copy of the model, such as an average's, keeps the hook
        self.state = _state(fit(case.spec, model, seed=seed, epochs=epochs))

    def _count(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if model.training and torch.is_grad_enabled():
            self.images += len(inputs[0])


@torch.no_grad()
def _predict(model: nn.Module) -> tuple[Tensor, Tensor]:
    """Return logits ``[N, K]`` and labels ``[N]`` of the training images."""
    data = _problem()
    [(images, labels)] = batches(data.train, batch_size=TRAIN_IMAGES, device=torch.device("cpu"))
    inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
    logits = model.eval()(inputs)
    try:
        check_output(logits, inputs, CLASSES)
    except InvalidOutput as error:
        raise CheckFailed(f"after fit {error}") from error
    return logits, labels


def _state(model: nn.Module) -> list[Tensor]:
    """Return copies of all parameters and buffers; of those, too, that a state dict leaves out."""
    return [tensor.detach().clone() for _, tensor in tensors_of(model)]


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))
