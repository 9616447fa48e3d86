"""Checks of models: each function is one contract of `ModelSpec.build` and of the module that it gives.

Images are noise, since only relations between outputs are checked. Parameters that are all zero are filled first
(`alive`): a head of zeros would hide everything behind it.

Shapes: B images in a batch, C channels, S side in pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitbench.errors import Skip, UnusableError, UsageError
from vitbench.measuring.numerics import centred, rounding
from vitbench.specs import OptionValue
from vitbench.testing.building import (
    CLASSES,
    LARGE_SIZE,
    alive,
    build,
    cheapest_device,
    counts,
    generators,
    larger_size,
    logits_of,
    noise,
    on_meta,
    own_channels,
    sample,
    shape_device,
    sizes,
)
from vitbench.testing.cases import ModelCase
from vitbench.testing.checks import TOO_LARGE, CheckFailed, raised
from vitbench.testing.choices import other_values
from vitbench.testing.fitting import tensors_of
from vitbench.training.frozen_features import features, own_features
from vitbench.worker.runtime import changed_flags, runtime, seed_all
from vitbench.worker.weights import names_of_spec

BATCH_TOLERANCE = 1e-3
"""Share of the largest logit by which an image's logits may differ with its batch mates, both less what all logits of
an image have in common, which softmax does not see: kernels for other batch sizes
add in another order, which deep models in float32 make 1e-5 of; batch statistics make 1e-1 of it."""
"""Of one option, that a model is built with."""
OTHER_SIZES = (0.5, 2, 3)
"""Multiples of a model's own size that one which takes others is tried at, until one does: patches divide them."""
PASSES = 8
"""Backward passes that a parameter gets to be reached: a part may be left out at random, or be for some images only."""


def check_model_builds(case: ModelCase) -> None:
    """`build` returns a module on the CPU, for 2 and for 10 classes, from the spec's arguments and options alone."""
    device = cheapest_device(case)
    for num_classes in (2, CLASSES):
        model = on_meta(case, num_classes) if device == "meta" else build(case, num_classes=num_classes)
        facts = getattr(model, "facts", {})
        if not isinstance(facts, Mapping):
            raise CheckFailed(f"the model's facts are a {type(facts).__name__}; make them a dict of texts")
        for name, tensor in tensors_of(model):
            if tensor.device.type not in ("cpu", "meta"):
                raise CheckFailed(f"{name} is on {tensor.device}; build on the CPU, and vitbench moves the model")


def check_model_declared_size(case: ModelCase) -> None:
    """The model takes images of the size and channels that its spec declares; with `any_size`, also other sizes."""
    if case.spec.image_size is None and case.spec.in_channels is None:
        raise Skip("it declares neither image_size nor in_channels")
    _shape_check(case, sizes(case)[0], own_channels(case))
    if case.spec.image_size is not None and case.spec.any_size:
        _check_another_size(case)


def check_model_logits(case: ModelCase) -> None:
    """float32 images ``[B, C, H, W]`` give finite float32 logits ``[B, K]``, for one image and for several."""
    device = cheapest_device(case)
    shapes = ((2, 1), (CLASSES, 2)) if device == "cpu" else ((2, 1),)  # ten classes have met the checks of sizes
    for num_classes, count in shapes:
        model = sample(case, num_classes=num_classes) if device == "cpu" else on_meta(case, num_classes)
        with torch.inference_mode():
            logits = logits_of(model, noise(case, count, device=device), num_classes)
        if logits.dtype != torch.float32:
            raise CheckFailed(f"the logits are {_short(logits.dtype)}; they must be float32")
        if device == "cpu" and not logits.isfinite().all():
            raise CheckFailed("logits are not finite for normal noise; look for a division by zero or an overflow")
    if device == "meta":
        raise Skip(f"{TOO_LARGE}: shape and type of its logits are right, their values are not checked")


def check_model_features(case: ModelCase) -> None:
    """The model's method `features`, if it has one, gives a vector ``[B, D]`` of finite floats, one per image."""
    device = cheapest_device(case)
    model = sample(case) if device == "cpu" else on_meta(case, CLASSES)
    if own_features(model) is None:
        raise Skip("it has no method features")
    try:
        with torch.inference_mode():
            found = features(model, noise(case, 2, device=device))
    except UsageError as error:
        raise CheckFailed(str(error)) from error
    except Exception as error:
        raise CheckFailed(f"its method features raised {raised(error)}") from error
    if device == "meta":
        raise Skip(f"{TOO_LARGE}: the shape of its features is right, their values are not checked")
    if not found.isfinite().all():
        raise CheckFailed("its method features gives numbers that are not finite; a head is to be fitted to them")


def check_model_class_names(case: ModelCase) -> None:
    """The class names that the spec gives for its weights' head are strings: one, several or none per output."""
    spec = case.spec
    if spec.class_names is None:
        raise Skip("it does not name the classes of its weights")
    try:
        outputs = names_of_spec(spec, {**spec.defaults, **case.options})
    except UnusableError as error:
        raise CheckFailed(str(error)) from error
    if not outputs:
        raise CheckFailed(
            "class_names returns no output; return an empty tuple for each output whose names are not known"
        )


def check_model_follows_data(case: ModelCase) -> None:
    """If the spec leaves size or channels to the data, the model takes small and large images of any channels."""
    if case.spec.image_size is not None and case.spec.in_channels is not None:
        raise Skip("it declares image_size and in_channels")
    first, *others = sizes(case)
    _shape_check(case, first, own_channels(case))
    if case.spec.in_channels is None:
        for channels in (1, 4):
            _shape_check(case, first, channels)
    for size in others:
        if size == LARGE_SIZE and shape_device(case) == "cpu":
            continue
        try:
            _shape_check(case, size, own_channels(case))
        except CheckFailed as failure:
            cure = "raise UsageError in build for a size that it cannot take, or declare image_size"
            raise CheckFailed(f"{failure}; {cure}") from failure


def _check_another_size(case: ModelCase) -> None:
    """Check that a model which takes any size builds and runs at another than its own."""
    height, width = sizes(case)[0]
    refusal = ""
    for factor in OTHER_SIZES:
        try:
            _shape_check(case, (int(height * factor), int(width * factor)), own_channels(case))
        except CheckFailed as failure:
            if not isinstance(failure.__cause__, UsageError):
                cure = "raise UsageError in build for a size that it cannot take, or leave any_size out"
                raise CheckFailed(f"{failure}; {cure}") from failure
            refusal = str(failure)
        else:
            return
    raise CheckFailed(f"build refuses half, twice and three times its size ({refusal}); leave any_size out")


def _shape_check(case: ModelCase, image_size: tuple[int, int], in_channels: int) -> None:
    device = shape_device(case)
    if device == "meta" and (image_size, in_channels) == (sizes(case)[0], own_channels(case)):
        model = on_meta(case, CLASSES)
    else:
        model = build(case, image_size=image_size, in_channels=in_channels, device=device).to(device).eval()
    images = noise(case, 2, image_size=image_size, in_channels=in_channels, device=device)
    with torch.no_grad():
        logits_of(model, images)


def check_model_options(case: ModelCase) -> None:
    """The model builds and runs with each choice, each flag toggled, and each number at its declared minimum."""
    variants = list(_variants(case))
    if not variants:
        raise Skip("no option has choices or a minimum, or is a flag")
    size, device = sizes(case)[0], shape_device(case)
    for name, value in variants:
        variant = replace(case, options={**case.options, name: value})
        try:
            model = build(variant, image_size=size, in_channels=own_channels(case), device=device, fitted=False)
            if not case.spec.is_baseline:
                with torch.no_grad():
                    logits_of(model.to(device).eval(), noise(case, 2, image_size=size, device=device))
        except CheckFailed as failure:
            if isinstance(failure.__cause__, UsageError):  # it goes with other values of other options
                continue
            raise CheckFailed(f"with the option {name}={value} {failure}") from failure


def _variants(case: ModelCase) -> Iterator[tuple[str, OptionValue]]:
    """Give values of single options that their declarations name, other than those that the other checks meet."""
    declared = {name: option for name, option in case.spec.declared.items() if name != "pretrained"}  # needs weights
    return other_values(declared, {**case.spec.defaults, **case.options})


def check_model_builds_on_meta(case: ModelCase) -> None:
    """The model builds and runs on the meta device, where parameters and multiply-accumulates are counted."""
    if case.spec.is_baseline:
        raise Skip("nothing is counted of a baseline")
    counts(case)


def check_model_eval_deterministic(case: ModelCase) -> None:
    """In eval mode the same images give the same logits, and evaluation does not change the model."""
    model, images = sample(case), noise(case, 2)
    before = {name: tensor.clone() for name, tensor in tensors_of(model)}
    with torch.inference_mode():
        first, second = logits_of(model, images.clone()), logits_of(model, images.clone())
    if not torch.equal(first, second):
        raise CheckFailed("two passes over the same images differ; is a part in training mode after eval()?")
    after = dict(tensors_of(model))
    added = [name for name in after if name not in before]
    if added:
        raise CheckFailed(f"evaluation adds the tensor {added[0]}; create it in build")
    changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    if changed:
        raise CheckFailed(f"evaluation changed {changed[0]}; eval() must leave all parameters and buffers as they are")


def check_model_batch_independent(case: ModelCase) -> None:
    """An image's logits do not depend on the other images in the batch."""
    model, images = sample(case), noise(case, 3)
    with torch.inference_mode():
        together = logits_of(model, images)
        alone = torch.cat([logits_of(model, image[None]) for image in images])
    seen = centred(together)
    spread, difference = float(seen.abs().max()), float((seen - centred(alone)).abs().max())
    if difference > max(BATCH_TOLERANCE * spread, rounding(together, "float32")):
        change = f"{difference / spread:.1%}" if spread else f"{difference:.2g}"
        raise CheckFailed(
            f"an image's logits change by {change} with the other images of the batch; do not use batch "
            "statistics in eval"
        )


def check_model_leaves_inputs(case: ModelCase) -> None:
    """The model does not write to the images, which belong to the caller."""
    model, images = sample(case), noise(case, 2)
    before = images.clone()
    with torch.inference_mode():
        logits_of(model, images)
    if not torch.equal(images, before):
        raise CheckFailed("forward changed its input in place; compute on a copy")


def check_model_gradients(case: ModelCase) -> None:
    """In train mode, every trainable parameter gets a finite, nonzero gradient."""
    missed = _unreached(sample(case), noise(case, 4 * PASSES))
    larger = larger_size(case)
    if missed and larger is not None:  # one token attends to nothing but itself, whatever its queries are
        still = _unreached(sample(case, image_size=larger), noise(case, 4 * PASSES, image_size=larger))
        missed = {name: gradient for name, gradient in missed.items() if name in still}
    for what, names in (
        ("no gradient", [name for name, gradient in missed.items() if gradient is None]),
        ("a gradient of zeros", [name for name, gradient in missed.items() if gradient is not None]),
    ):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise CheckFailed(
                f"{names[0]}{more} gets {what}; use it in forward, or freeze it with requires_grad_(False)"
            )


def _unreached(model: nn.Module, images: Tensor) -> dict[str, Tensor | None]:
    """Return the gradients that are none, or all zero, after up to `PASSES` passes, by the parameter's name."""
    trainable = {name: parameter for name, parameter in model.train().named_parameters() if parameter.requires_grad}
    if not trainable:
        raise Skip("it has no trainable parameters")
    missed: dict[str, Tensor | None] = {}
    for batch in images.chunk(PASSES):
        loss = F.cross_entropy(logits_of(model, batch), torch.arange(len(batch)))
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise CheckFailed(f"no gradient flows back from the logits: {raised(error)}") from error
        gradients = {name: parameter.grad for name, parameter in trainable.items()}
        infinite = [name for name, grad in gradients.items() if grad is not None and not grad.isfinite().all()]
        if infinite:
            raise CheckFailed(f"{infinite[0]} gets a gradient that is not finite; look for a division or root of zero")
        missed = {name: grad for name, grad in gradients.items() if grad is None or not grad.any()}
        if not missed:
            break
    return missed


def check_model_state_dict(case: ModelCase) -> None:
    """The state dict holds everything the logits depend on, as tensors, and a fresh model that loads it is equal."""
    if case.spec.is_baseline:
        raise Skip("a baseline's weights are not stored")
    model, images = sample(case), noise(case, 2)
    with torch.no_grad():
        logits_of(model.train(), images.clone())  # moves the running statistics, as training does
    state = model.eval().state_dict()
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckFailed(f"the state dict holds {others[0]}, which is not a tensor; only tensors are stored")
    seed_all(1)
    fresh = build(case).eval()
    try:
        fresh.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckFailed(f"its state dict does not load into a fresh model: {raised(error)}") from error
    with torch.inference_mode():
        if not torch.equal(logits_of(model, images), logits_of(fresh, images)):
            raise CheckFailed(
                "a fresh model with its state dict gives different logits; register all its state as buffers"
            )


def check_model_same_seed(case: ModelCase) -> None:
    """With the same seed, `build` gives the same weights."""
    first = dict(tensors_of(sample(case)))
    for name, tensor in tensors_of(sample(case)):
        if name not in first or not torch.equal(tensor, first[name]):
            raise CheckFailed(f"{name} differs after the same seed; draw from torch's, numpy's or random's generator")


def check_model_builds_share_nothing(case: ModelCase) -> None:
    """Two builds share no memory of parameters or buffers, and training one does not change the other."""
    first = sample(case)
    second = alive(build(case))
    used = {tensor.untyped_storage().data_ptr() for _, tensor in tensors_of(first)} - {0}  # an empty one has none
    shared = [name for name, tensor in tensors_of(second) if tensor.untyped_storage().data_ptr() in used]
    if shared:
        raise CheckFailed(f"two builds share {shared[0]}; create all modules in build, and keep none at module level")
    with torch.no_grad():
        before = logits_of(second.eval(), noise(case, 2))
        logits_of(first.train(), noise(case, 4))  # moves running statistics, wherever they are kept
        after = logits_of(second, noise(case, 2))
    if not torch.equal(before, after):
        raise CheckFailed("training one build changes the logits of another; keep all state in the model, as buffers")


def check_model_leaves_random_state(case: ModelCase) -> None:
    """`build` draws from the random generators but does not seed them; evaluation does not even draw."""
    model = sample(case)
    after = []
    for seed in (1, 2):
        seed_all(seed)
        build(case, fitted=False)
        after.append(generators())
    reset = [name for name, state in after[0].items() if after[1][name] == state]
    if reset:
        raise CheckFailed(f"build seeds the generator of {reset[0]}; the run's seed is the user's")
    before = generators()
    with torch.inference_mode():
        logits_of(model, noise(case, 2))
    moved = [name for name, state in generators().items() if before[name] != state]
    if moved:
        raise CheckFailed(f"evaluation draws from or seeds the generator of {moved[0]}; it must use no random numbers")


def check_model_leaves_flags(case: ModelCase) -> None:
    """Building, training and evaluating leave torch's threads, default dtype, grad mode and other flags unchanged."""
    threads = torch.get_num_threads()  # before the model may have set them
    sample(case)
    with runtime(precision="float32", threads=threads, seed=0, device="cpu") as flags:
        model = build(case)
        _refuse_changes("build", changed_flags(flags))
        logits = logits_of(model.train(), noise(case, 2))
        _refuse_changes("forward in train mode", changed_flags(flags))
        if logits.requires_grad:
            logits.sum().backward()  # type: ignore[no-untyped-call]
        logits_of(model.eval(), noise(case, 2))  # under no guard, which would put the grad mode back
        _refuse_changes("forward in eval mode", changed_flags(flags))


def _refuse_changes(act: str, changed: tuple[str, ...]) -> None:
    if changed:
        raise CheckFailed(f"{act} changes torch's {', '.join(changed)}; leave global flags to the user")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
