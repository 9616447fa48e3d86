"""Steps: what one forward pass and one training step do, on which inputs, and which outputs they refuse."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from known_models import DynamicShape, Linear, OnMeta
from timed import plain_training_step
from torch import Tensor, nn

from vitbench.measuring import steps
from vitbench.measuring.steps import (
    InvalidOutput,
    check_loss,
    check_output,
    forward_of,
    inference_step,
    make_inputs,
    make_labels,
    seconds_of,
    training_step,
)
from vitbench.protocols import TrainStep

CPU = torch.device("cpu")


def inputs(batch_size: int) -> tuple[Tensor, ...]:
    return make_inputs((3, 2, 2), batch_size=batch_size, device=CPU)


def linear() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))


def test_inputs_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = inputs(2), inputs(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(first) == 4
    assert first[0].shape == (2, 3, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


def test_inference_gives_the_logits_in_eval_mode_on_changing_inputs() -> None:
    model = nn.Sequential(linear(), nn.Dropout(0.5))
    batches = inputs(2)
    step = inference_step(model, batches)
    assert not model.training
    assert torch.equal(step(), model(batches[0]))
    assert torch.equal(step(), model(batches[1]))


def test_labels_are_random_and_the_same_each_time() -> None:
    state = torch.get_rng_state()
    first, second = (make_labels(3, batch_size=20, device=CPU) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(first) == 4
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert set(torch.cat(first).tolist()) == {0, 1, 2}
    assert first[0].dtype == torch.int64


def test_labels_of_an_unknown_number_of_classes_are_of_the_one_that_each_model_has() -> None:
    (labels,) = make_labels(None, batch_size=3, device=CPU, count=1)
    assert labels.tolist() == [0, 0, 0]


def test_a_plain_training_step_is_forward_cross_entropy_backward_and_adamw() -> None:
    torch.manual_seed(0)
    model, twin = linear().eval(), linear()
    twin.load_state_dict(model.state_dict())
    model[1].bias.requires_grad_(False)
    (batch,) = make_inputs((3, 2, 2), batch_size=4, device=CPU, count=1)
    step = plain_training_step(model, [batch])
    assert model.training
    loss = step()
    expected = nn.functional.cross_entropy(twin(batch), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(loss, expected)
    assert not loss.requires_grad
    expected.backward()
    assert torch.equal(model[1].weight.grad, twin[1].weight.grad)
    torch.optim.AdamW([twin[1].weight], lr=steps.LEARNING_RATE, fused=True).step()
    assert torch.equal(model[1].weight, twin[1].weight)
    assert torch.equal(model[1].bias, twin[1].bias)
    step()
    assert torch.allclose(model[1].weight, twin[1].weight, atol=1e-5)


def test_gradients_do_not_add_up_over_steps() -> None:
    model = linear()
    step = plain_training_step(model, inputs(2)[:1])
    step()
    first = model[1].weight.grad.clone()
    step()
    assert torch.allclose(model[1].weight.grad, first, rtol=1e-3)


def test_autocast_surrounds_the_forward_pass_of_training_only() -> None:
    active = []

    @contextmanager
    def recording():  # type: ignore[no-untyped-def]
        active.append("in")
        yield
        active.append("out")

    model = linear()
    model[1].weight.register_hook(lambda gradient: active.append("backward"))
    plain_training_step(model, inputs(2), recording)()
    assert active == ["in", "out", "backward"]


def test_a_scaler_scales_the_gradients_but_not_the_step() -> None:
    torch.manual_seed(0)
    model, twin = linear(), linear()
    twin.load_state_dict(model.state_dict())
    before = model[1].weight.clone()
    scaled = []
    model[1].weight.register_hook(lambda gradient: scaled.append(gradient.clone()))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    plain_training_step(model, inputs(2), scaler=scaler)()
    plain_training_step(twin, inputs(2))()
    assert torch.allclose(scaled[0], 1024 * twin[1].weight.grad)
    assert torch.allclose(model[1].weight, twin[1].weight, rtol=1e-6)
    assert not torch.equal(model[1].weight, before)
    assert scaler.get_scale() == 2048


def test_a_scaled_step_that_overflows_changes_no_weight() -> None:
    model = linear()
    before = model[1].weight.clone()
    model[1].weight.register_hook(lambda gradient: gradient * torch.inf)
    plain_training_step(model, inputs(2), scaler=torch.amp.GradScaler("cpu"))()
    assert torch.equal(model[1].weight, before)


def test_a_training_step_takes_batches_and_labels_in_turn_at_tiny_rates_in_train_mode() -> None:
    model = linear().eval()
    optimizer = torch.optim.SGD([{"params": [model[1].weight], "lr": 0.5}, {"params": [model[1].bias], "lr": 7.0}])
    taken = []

    def take(images: Tensor, labels: Tensor) -> Tensor:
        rates = {group["lr"] for group in optimizer.param_groups}
        taken.append((images, labels, model.training, rates))
        return model(images).sum()

    images, labels = inputs(2)[:2], make_labels(3, batch_size=2, device=CPU, count=2)
    step = training_step(TrainStep(optimizer=optimizer, take=take), model, images, labels)
    assert not step().requires_grad
    step()
    step()
    assert all(a is b for (a, *_), b in zip(taken, [*images, images[0]], strict=True))
    assert all(a is b for (_, a, *_), b in zip(taken, [*labels, labels[0]], strict=True))
    assert all((training, rates) == (True, {steps.LEARNING_RATE}) for *_, training, rates in taken)


def test_a_forward_pass_is_the_models_under_autocast_in_the_mode_that_it_is_in() -> None:
    model = nn.Sequential(linear(), nn.Dropout(0.0)).train()
    (batch,) = make_inputs((3, 2, 2), batch_size=2, device=CPU, count=1)
    forward = forward_of(model, lambda: torch.autocast("cpu", torch.bfloat16))
    assert model.training
    assert forward(batch).dtype == torch.bfloat16
    assert torch.allclose(forward(batch).float(), model(batch), atol=0.05)


def test_seconds_are_from_an_idle_device_to_one_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waiting = 0, 5_000_000_000  # the device still has work of five seconds

    def synchronise(device: torch.device) -> None:
        nonlocal now, waiting
        now, waiting = now + waiting, 0

    def call() -> None:
        nonlocal now, waiting
        now, waiting = now + 1_000_000, 20_000_000

    monkeypatch.setattr(steps, "synchronise", synchronise)
    monkeypatch.setattr(steps.time, "perf_counter_ns", lambda: now)
    assert seconds_of(call, CPU) == 0.021


class Deferred(torch.Tensor):
    """A tensor that could compute its values when they are read."""


IMAGES = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            (torch.zeros(2, 10), None),
            "the model returned a tuple; it must return a plain tensor of logits: return its first item, if these "
            "are the "
            "logits",
        ),
        (
            SimpleNamespace(logits=torch.zeros(2, 10)),
            "the model returned a SimpleNamespace; it must return a plain tensor of logits: return output.logits",
        ),
        (
            OrderedDict(logits=torch.zeros(2, 10)),
            'the model returned an OrderedDict; it must return a plain tensor of logits: return output["logits"]',
        ),
        ({"logits": None}, "the model returned a dict; it must return a plain tensor of logits"),
        (None, "the model returned a NoneType; it must return a plain tensor of logits"),
        (
            torch.zeros(2, 10).as_subclass(Deferred),
            "the model returned a Deferred; it must return a plain tensor of logits",
        ),
        (nn.Parameter(torch.zeros(2, 10)), "the model returned a Parameter; it must return a plain tensor of logits"),
        (torch.zeros(2, 10, device="meta"), "the model's output is on meta, not on cpu"),
        (
            torch.zeros(2, 7),
            "the model returned an output of shape (2, 7) for 2 images; it must return logits of shape (2, 10)",
        ),
        (
            torch.zeros(1, 10),
            "the model returned an output of shape (1, 10) for 2 images; it must return logits of shape (2, 10)",
        ),
        (
            torch.zeros(2, 10, 1, 1),
            "the model returned an output of shape (2, 10, 1, 1) for 2 images; it must return logits of shape (2, 10)",
        ),
        (torch.zeros(2, 10, dtype=torch.int64), "the model's output is int64; logits must be of a floating type"),
    ],
)
def test_a_wrong_output_is_refused_in_words(output: object, sentence: str) -> None:
    with pytest.raises(InvalidOutput) as refused:
        check_output(output, IMAGES, 10)
    assert str(refused.value) == sentence


def test_logits_of_any_floating_type_and_without_a_number_of_classes_of_any_are_right() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        check_output(torch.zeros(2, 10, dtype=dtype), IMAGES, 10)

    check_output(torch.zeros(2, 7), IMAGES)
    with pytest.raises(InvalidOutput, match=r"must return logits of shape \(2, classes\)"):
        check_output(torch.zeros(2), IMAGES)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (0.5, "the training step returned a float; it must return the loss, a plain tensor"),
        (None, "the training step returned a NoneType; it must return the loss, a plain tensor"),
        (
            torch.tensor(0.5).as_subclass(Deferred),
            "the training step returned a Deferred; it must return the loss, a plain",
        ),
        (torch.tensor(0.5, device="meta"), "the loss of the training step is on meta, not on cpu"),
        (
            torch.zeros(2),
            "the training step returned float32 of shape (2,); it must return the loss, a floating scalar",
        ),
        (torch.tensor(1), "the training step returned int64 of shape (); it must return the loss, a floating scalar"),
    ],
)
def test_a_wrong_loss_is_refused_in_words(loss: object, sentence: str) -> None:
    with pytest.raises(InvalidOutput) as refused:
        check_loss(loss, CPU)
    assert str(refused.value).startswith(sentence)
    model = linear()
    train = TrainStep(optimizer=torch.optim.SGD(model.parameters()), take=lambda images, labels: loss)
    with pytest.raises(InvalidOutput):
        training_step(train, model, inputs(2), make_labels(3, batch_size=2, device=CPU))()


@pytest.mark.parametrize("step_of", [inference_step, plain_training_step])
def test_steps_check_their_first_output_and_no_other(step_of) -> None:  # type: ignore[no-untyped-def]
    for model in (OnMeta(), DynamicShape()):
        with pytest.raises(InvalidOutput):
            step_of(model, inputs(2), num_classes=10)()
    step = step_of(DynamicShape(after=1), inputs(2), num_classes=10)
    first, second = step(), step()
    shapes = ((2, 10), (2, 9)) if step_of is inference_step else ((), ())
    assert (first.shape, second.shape) == shapes
    with pytest.raises(InvalidOutput, match=r"\(2, 11\)"):
        step_of(Linear(), inputs(2), num_classes=11)()
