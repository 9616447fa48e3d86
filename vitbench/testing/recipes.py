"""Checks of recipes: each function is one contract of `RecipeSpec.fit`, on a tiny problem and a tiny model.

A recipe that is for one model of its plugin gets that model; each other one a small convolutional network, or a small
Vision Transformer where it refuses that: `learner`.

Shapes: N images, B images in a batch, K classes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from vitbench import contract
from vitbench.errors import Skip, UsageError
from vitbench.measuring.steps import InvalidOutput, check_output
from vitbench.protocols import TrainStep
from vitbench.specs import load_target
from vitbench.testing.cases import RecipeCase
from vitbench.testing.checks import CheckFailed, raised
from vitbench.testing.fitting import PREPROCESS, TRAIN_IMAGES, fit, options_of, run_of, tensors_of
from vitbench.testing.learner import CLASSES, learner, own_model, problem
from vitbench.training import batches, preprocess
from vitbench.worker.hands import Hands
from vitbench.worker.runtime import changed_flags, runtime

SHORT = 2
"""Epochs, where learning does not matter."""
SHORT_OPTIONS = {"epochs": SHORT, "steps": 8, "pretrain_epochs": SHORT, "pretrain_steps": 8}
"""What makes a run short that has no budget: the options that `vitbench.training.total_steps` and `pretraining_steps`
read."""
LONG = (20, 200)
"""Epochs, where it does: the second for recipes whose steps are small or few."""
MOST_PASSES = 4
"""Over an image in an epoch: SAM makes two, AugMix three."""


def check_recipe_returns_model(case: RecipeCase) -> None:
    """`fit` without a budget returns a module that maps images to finite logits ``[B, K]`` of all classes."""
    logits, _ = _predict(_fit_without_budget(case), case)
    if not logits.isfinite().all():
        raise CheckFailed(
            "the fitted model's logits are not finite; lower the default learning rate, or clip gradients"
        )


def check_recipe_trains(case: RecipeCase) -> None:
    """``fit`` changes the model's state if the spec says ``trains=True``, and leaves it unchanged otherwise."""
    model = learner(case)
    before = _state(model)
    changed = not _same(before, _state(fit(case.spec, model, problem(case), epochs=SHORT)))
    if changed != case.spec.trains:
        found = "changes" if changed else "does not change"
        says = f"the spec says trains={case.spec.trains}; correct one of them"
        raise CheckFailed(f"fit {found} the model, but {says}{_few_images(case)}")


def check_recipe_loss_falls(case: RecipeCase) -> None:
    """The loss falls below 0.9 of the entropy of the labels, or for a named model, below its first value."""
    _needs_training(case)
    limit, what = _limit(case)
    for epochs in LONG:
        loss = F.cross_entropy(*_predict(_fit(case, epochs=epochs), case)).item()
        if loss < limit:
            return
        if not loss < 2 * limit:  # not slow: it makes things worse
            break
    raise CheckFailed(
        f"after {epochs} epochs the loss is {loss:.3f}, and {what} {limit:.3f}; does it learn from the images and "
        f"their labels?{_few_images(case)}"
    )


def check_recipe_seed(case: RecipeCase) -> None:
    """On the CPU, the same seed gives the same weights, and another seed gives others if batches are drawn."""
    _needs_training(case)
    first, again, other = (_Watched(case, seed=seed) for seed in (0, 0, 1))
    if not _same(first.state, again.state):
        raise CheckFailed("the same seed gives different weights; use a generator seeded with run.seed")
    # Where each epoch shows what the first has shown, such as all images at once, there is nothing to draw.
    if _same(first.state, other.state) and len(first.batches) > len(_Watched(case, epochs=1).batches):
        raise CheckFailed("another seed gives the same weights; shuffle with a generator seeded with run.seed")


def check_recipe_budget(case: RecipeCase) -> None:
    """The user's epochs are respected: each shows every image once (SAM: twice), three show three times as many."""
    _needs_training(case)
    one, three = (_Watched(case, epochs=epochs).images for epochs in (1, 3))
    if not one:
        raise Skip(f"it makes no passes in train mode{_few_images(case)}")
    if one > MOST_PASSES * TRAIN_IMAGES or not 2 * one < three <= 4 * one:
        raise CheckFailed(
            f"1 epoch of {TRAIN_IMAGES} images shows the model {one} images, 3 epochs {three}; respect "
            "run.budget.epochs"
        )


def check_recipe_preprocesses(case: RecipeCase) -> None:
    """Images reach the model as `data.preprocess` makes them: right size and channels, normalised only by it."""
    _needs_training(case)
    seen = _Watched(case)
    if not seen.inputs:
        raise Skip("it makes no passes")
    mean = seen.sum_of_means / seen.inputs
    wanted = (0.5 - PREPROCESS.mean[0]) / PREPROCESS.std[0]
    if not mean < wanted / 2:  # what augmentation adds is less
        raise CheckFailed(
            f"the model's inputs have the mean {mean:.2f}, by data.preprocess it is {wanted:.2f}; "
            "make them by vitbench.training.preprocess, as in the test"
        )


def check_recipe_device(case: RecipeCase) -> None:
    """The fitted model is on the run's device: the CPU, and an accelerator if there is one."""
    _needs_training(case)
    devices = ["cpu"]
    if torch.accelerator.is_available():
        devices.append(str(torch.accelerator.current_accelerator()))
    for device in devices:
        model = _fit(case, epochs=1, device=device)
        away = [name for name, tensor in tensors_of(model) if tensor.device.type != device]
        if away:
            raise CheckFailed(f"with run.device {device}, {away[0]} of the fitted model is elsewhere; use run.device")


def check_recipe_sees_its_split(case: RecipeCase) -> None:
    """Only the rows of its two splits have an influence, not the images beside them, such as the test split."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        first, second = (_state_beside(case, Path(folder, str(others)), others) for others in (0, 1))
        if _same(first, second):
            return
        again = _state_beside(case, Path(folder, "again"), 0)
    if not _same(first, again):
        raise Skip("depends on check_recipe_seed: the same images and the same seed give different weights")
    raise CheckFailed(
        "images that data.train.index and data.val.index do not name change the weights; read only "
        "images[index] of each split"
    )


def _state_beside(case: RecipeCase, folder: Path, others: int) -> list[Tensor]:
    """Return what a fit gives where other images, of this seed, lie beside those of its splits."""
    return _state(fit(case.spec, learner(case), problem(case, folder=folder, others=others), epochs=SHORT))


def check_recipe_leaves_flags(case: RecipeCase) -> None:
    """`fit` leaves torch's threads, default dtype, grad mode and other flags unchanged."""
    with runtime(precision="float32", threads=torch.get_num_threads(), seed=0, device="cpu") as flags:
        _fit(case, epochs=SHORT)
        changed = changed_flags(flags)
    if changed:
        raise CheckFailed(f"fit changes torch's {', '.join(changed)}; leave global flags to the user")


def check_recipe_step(case: RecipeCase) -> None:
    """`step` gives a `TrainStep` with the optimiser of `fit`; taking it gives a finite loss and changes the weights."""
    if case.spec.step is None:
        raise Skip("it declares no step; training speed is measured with a step of AdamW")
    _needs_training(case)
    model, (inputs, labels) = learner(case).train(), _inputs(case)
    step = _step_of(case, model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(2):
        try:
            loss: object = step.take(inputs.clone(), labels.clone())
        except Exception as error:
            raise CheckFailed(f"take of its step raised {raised(error)}") from error
        if type(loss) is not Tensor or loss.ndim or not loss.isfinite():
            found = f"a tensor {list(loss.shape)}" if isinstance(loss, Tensor) and loss.ndim else f"{loss!r:.60}"
            raise CheckFailed(f"take of its step returned {found}; return the loss, one finite number")
    if all(map(torch.equal, before, model.parameters())):
        raise CheckFailed("take of its step changes no weight; it must do forward, loss, backward and optimizer.step()")
    used = _optimizers_of_fit(case)
    if used and type(step.optimizer).__name__ not in used:
        raise CheckFailed(
            f"its step is one of {type(step.optimizer).__name__}, and fit takes those of "
            f"{' and '.join(sorted(used))}; make fit take the steps that step returns"
        )


def check_recipe_resumes(case: RecipeCase) -> None:
    """On the CPU, resuming from a state that `run.save` got gives the same weights and the same losses."""
    _needs_training(case)
    saved: list[tuple[int, bytes]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "checkpoint")
        whole = _Resumable(case, path, saved=saved)
        if not saved:
            raise Skip("it saves nothing; a training that is killed starts over")
        step, content = saved[3 * len(saved) // 4]
        path.write_bytes(content)
        again = _Resumable(case, path)
    if not again.asked:
        raise CheckFailed("fit calls run.save, but never run.resume; see vitbench.training.TrainingState")
    what = f"a training that resumes at step {step}"
    if not _same(whole.state, again.state):
        raise CheckFailed(
            f"{what} ends with different weights; save all state that changes, with vitbench.training.TrainingState"
        )
    if again.losses != whole.losses[len(whole.losses) - len(again.losses) :]:
        raise CheckFailed(f"{what} logs a different loss; save what an epoch's loss is the mean of, such as MeanLoss")


def _step_of(case: RecipeCase, model: nn.Module) -> TrainStep:
    assert case.spec.step is not None
    function = load_target(case.spec.step)  # what cannot be imported is no broken contract
    try:
        step = contract.call(function, {"model": model, "run": run_of(case.spec, problem(case))})
    except Exception as error:
        raise CheckFailed(f"step raised {raised(error)}") from error
    if not isinstance(step, TrainStep):
        raise CheckFailed(f"step returned {type(step).__name__}; return a vitbench.protocols.TrainStep")
    if not isinstance(step.optimizer, torch.optim.Optimizer):
        raise CheckFailed(
            f"the optimizer of its step is {type(step.optimizer).__name__}; make it a torch.optim.Optimizer"
        )
    return step


def _optimizers_of_fit(case: RecipeCase) -> set[str]:
    """Return the classes of the optimisers that step while the recipe fits."""
    seen: set[str] = set()

    def see(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.add(type(optimizer).__name__)

    handle = register_optimizer_step_pre_hook(see)
    try:
        _fit(case, epochs=1)
    finally:
        handle.remove()
    return seen


def _needs_training(case: RecipeCase) -> None:
    if not case.spec.trains:
        raise Skip("it trains nothing")


def _few_images(case: RecipeCase) -> str:
    """Return a hint for recipes that drop a short batch, and so drop all that there is."""
    size = case.spec.defaults.get("batch_size", 0)
    if not isinstance(size, int) or size <= TRAIN_IMAGES:
        return ""
    return f"; of {TRAIN_IMAGES} images there is no batch of {size}: keep the last, short one where it is the only one"


def _fit(case: RecipeCase, **how: Any) -> nn.Module:
    return fit(case.spec, learner(case), problem(case), **how)


def _fit_without_budget(case: RecipeCase) -> nn.Module:
    """Fit by options that are short, or by the recipe's own where it refuses those."""
    own = options_of(case.spec)
    lengths = {name: value for name, value in own.items() if type(value) is int}
    short = {name: min(lengths[name], most) for name, most in SHORT_OPTIONS.items() if name in lengths}
    try:
        return _fit(case, epochs=None, options={**own, **short})
    except CheckFailed as failure:
        if not isinstance(failure.__cause__, UsageError):
            raise CheckFailed(f"without --epochs, where run.budget.epochs is None, {failure}") from failure
    return _fit(case, epochs=None)


def _limit(case: RecipeCase) -> tuple[float, str]:
    """Return the loss that a recipe has to come below, and what it is."""
    own = own_model(case)
    if own is None:
        share = torch.from_numpy(problem(case).train.labels).bincount() / TRAIN_IMAGES
        return 0.9 * -(share * share.log()).sum().item(), "must be below 0.9 of the labels' entropy,"
    if own.spec.is_baseline:
        return 0.999 * math.log(CLASSES), "must be below that of a guess,"
    return F.cross_entropy(*_predict(learner(case), case)).item(), "was before"


class _Resumable:
    """A fit with the hands of a run, which saves at each step."""

    def __init__(self, case: RecipeCase, path: Path, saved: list[tuple[int, bytes]] | None = None) -> None:
        """Fit, from a checkpoint where there is one; `saved` gets a copy of all that is saved."""
        self.asked = False
        """Whether it asked for an earlier state."""
        self.losses: list[float] = []
        """Of each epoch."""
        hands = Hands(path, curve=[], say=lambda _: None)

        def resume() -> tuple[int, Mapping[str, Any]] | None:
            self.asked = True
            return hands.resume()

        def save(step: int, state: Mapping[str, Any]) -> None:
            hands.save(step, state)
            if hands.lost:
                raise UsageError(hands.lost)
            if saved is not None:
                saved.append((step, path.read_bytes()))

        def log(*, epoch: float | None = None, loss: float | None = None, **_: float | None) -> None:
            if epoch is not None and float(epoch).is_integer() and loss is not None:
                self.losses.append(float(loss))

        self.state = _state(_fit(case, epochs=SHORT, resume=resume, save=save, save_seconds=0.0, log=log))


class _Watched:
    """A fit whose passes were watched, and the state that it left."""

    def __init__(self, case: RecipeCase, *, seed: int = 0, epochs: int = SHORT) -> None:
        self.images = 0
        """Shown in train mode."""
        self.batches: set[bytes] = set()
        """The different inputs in train mode."""
        self.inputs = 0
        """Images of all passes."""
        self.sum_of_means = 0.0
        """Of these images."""
        model = learner(case)
        model.register_forward_pre_hook(self._watch)  # a copy of the model, such as an average's, keeps the hook
        self.state = _state(fit(case.spec, model, problem(case), seed=seed, epochs=epochs))

    def _watch(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        images = inputs[0].detach().float()
        self.inputs += len(images)
        self.sum_of_means += len(images) * images.mean().item()
        if model.training and torch.is_grad_enabled():
            self.images += len(images)
            self.batches.add(images.cpu().numpy().tobytes())


@torch.no_grad()
def _inputs(case: RecipeCase) -> tuple[Tensor, Tensor]:
    """Return inputs ``[N, C, H, W]`` and labels ``[N]`` of the training images."""
    data = problem(case)
    [(images, labels)] = batches(data.train, batch_size=TRAIN_IMAGES, device=torch.device("cpu"))
    return preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels), labels


@torch.no_grad()
def _predict(model: nn.Module, case: RecipeCase) -> tuple[Tensor, Tensor]:
    """Return logits ``[N, K]`` and labels ``[N]`` of the training images."""
    inputs, labels = _inputs(case)
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
