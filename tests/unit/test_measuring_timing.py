"""Timing: what is run, how long to go on, and what is said of it. A false clock stands in for the machine."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from vitbench.measuring import timing
from vitbench.measuring.timing import inference_step, make_inputs, time_inference, time_training, training_step

CPU = torch.device("cpu")


class Clock:
    """A clock that stands still but for what the model under test adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(timing, "observe", lambda: None)
        monkeypatch.setattr(timing, "disturbances", lambda start, end, threads, on_cpu: ([], []))


class Slow(nn.Module):
    """A linear model whose n-th call takes the seconds that a function of n gives."""

    def __init__(self, clock: Clock, seconds: Callable[[int], float]) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)
        self.clock, self.seconds, self.calls = clock, seconds, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.clock.now_ns += round(self.seconds(self.calls) * 1e9)
        self.calls += 1
        return self.linear(images.flatten(1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def inputs(batch_size: int) -> tuple[torch.Tensor, ...]:
    return make_inputs((3, 2, 2), batch_size=batch_size, device=CPU)


def test_a_quiet_model_gets_five_blocks_of_a_tenth_of_a_second_and_no_complaint(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 0.01), inputs(8))
    assert result.mode == "inference"
    assert result.batch_size == 8
    assert result.calls_per_block == 10
    assert result.block_seconds == pytest.approx([0.1] * 5)
    assert result.call_seconds == ()
    assert (result.warnings, result.errors) == ((), ())


def test_warm_up_grows_the_block_and_ends_when_three_agree(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 1.0 if n == 0 else 0.003), inputs(8))
    # The cold start; one call to learn the pace; ten, the most that a single call is trusted with; 37 for a tenth of
    # a second and a tenth over; three of these.
    assert result.warmup_seconds == pytest.approx([1.0, 0.003, 0.03, 0.111, 0.111, 0.111])
    assert result.calls_per_block == 37


def test_warm_up_waits_for_a_model_that_gets_faster(clock: Clock) -> None:
    paces = [0.4, 0.3, 0.2] + [0.15] * 100
    result = time_inference(Slow(clock, lambda n: paces[n]), inputs(8))
    assert result.warmup_seconds == pytest.approx([0.4, 0.3, 0.2, 0.15, 0.15])
    assert result.block_seconds == pytest.approx([0.15] * 5)
    assert result.warnings == ("the last 3 warm-up blocks differ by 33%",)


def test_warm_up_of_a_drifting_model_is_capped_and_said(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 0.11 if n % 2 else 0.16), inputs(8))
    assert sum(result.warmup_seconds[1:]) < timing.WARMUP_SECONDS + 0.2
    assert result.warnings[0].startswith("the last 3 warm-up blocks differ by ")


def test_noise_is_answered_with_more_blocks_then_with_a_verdict(clock: Clock) -> None:
    noisy = time_inference(Slow(clock, lambda n: 0.11 if n < 4 else 0.10 + 0.02 * (n % 2)), inputs(8))
    assert len(noisy.block_seconds) == 7
    assert (noisy.warnings, noisy.errors) == (("IQR 20% of the median",), ())
    wild = time_inference(Slow(clock, lambda n: 0.11 if n < 4 else 0.10 + 0.10 * (n % 2)), inputs(8))
    assert (wild.warnings, wild.errors) == ((), ("IQR 67% of the median",))


def test_a_slow_model_ends_with_three_blocks_of_one_call(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 4.0), inputs(8))
    assert result.warmup_seconds == pytest.approx([4.0, 4.0])
    assert result.block_seconds == pytest.approx([4.0] * 3)
    assert (result.calls_per_block, result.warnings) == (1, ())


def test_single_images_are_timed_call_by_call(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 0.002), inputs(1))
    assert result.block_seconds == ()
    assert result.calls_per_block == 1
    assert result.call_seconds == pytest.approx([0.002] * 250)
    assert (result.warnings, result.errors) == ((), ())


def test_single_calls_are_capped_in_number_and_in_time(clock: Clock) -> None:
    assert len(time_inference(Slow(clock, lambda n: 1e-4), inputs(1)).call_seconds) == 662
    assert len(time_inference(Slow(clock, lambda n: 2.0), inputs(1)).call_seconds) == 5


def test_scatter_of_single_calls_is_no_noise_but_drift_is(clock: Clock) -> None:
    scattered = time_inference(Slow(clock, lambda n: 0.006 if n % 10 == 0 else 0.005), inputs(1))
    assert not [reason for reason in scattered.warnings if reason.startswith("IQR")]
    drifting = time_inference(Slow(clock, lambda n: 0.005 * 1.002 ** max(0, n - 60)), inputs(1))
    assert [reason for reason in drifting.warnings + drifting.errors if reason.startswith("IQR")]


def test_training_is_timed_in_blocks_even_for_single_images(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.2)
    result = time_training(model, inputs(1))
    assert (result.mode, result.call_seconds) == ("training", ())
    assert result.block_seconds == pytest.approx([0.2] * 5)
    assert model.training


def test_an_output_that_is_not_finite_is_an_error(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.1)
    nn.init.constant_(model.linear.bias, float("nan"))
    for result in (time_inference(model, inputs(8)), time_inference(model, inputs(1)), time_training(model, inputs(8))):
        assert result.errors == ("the model's output was not finite",)


def test_findings_on_the_machine_reach_the_verdict(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "disturbances", lambda start, end, threads, on_cpu: (["a load"], ["a quota"]))
    result = time_inference(Slow(clock, lambda n: 0.1), inputs(8))
    assert (result.warnings, result.errors) == (("a load",), ("a quota",))


def test_there_is_no_garbage_collection_while_timing(clock: Clock) -> None:
    collecting = []
    model = Slow(clock, lambda n: 0.1)
    model.register_forward_hook(lambda *_: collecting.append(gc.isenabled()))
    time_inference(model, inputs(8))
    assert set(collecting) == {False}
    assert gc.isenabled()


def test_inference_runs_in_eval_mode_without_gradients_under_autocast_on_changing_inputs(clock: Clock) -> None:
    seen = []

    class Probe(Slow):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(
                (self.training, torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), id(images))
            )
            return super().forward(images)

    batches = inputs(8)
    time_inference(Probe(clock, lambda n: 0.1), batches, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    assert {entry[:3] for entry in seen} == {(False, True, True)}
    assert [entry[3] for entry in seen[:8]] == [id(batch) for batch in batches] * 2


def test_a_training_step_is_forward_cross_entropy_backward_and_adamw() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    twin = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    twin.load_state_dict(model.state_dict())
    model[1].bias.requires_grad_(False)
    (batch,) = make_inputs((3, 2, 2), batch_size=4, device=CPU, count=1)
    step = training_step(model, [batch])
    assert model.training
    loss = step()
    expected = nn.functional.cross_entropy(twin(batch), torch.zeros(4, dtype=torch.int64))
    assert loss.item() == pytest.approx(expected.item())
    assert not loss.requires_grad
    expected.backward()
    optimiser = torch.optim.AdamW([twin[1].weight], lr=timing.LEARNING_RATE)
    optimiser.step()
    assert torch.equal(model[1].weight, twin[1].weight)
    assert torch.equal(model[1].bias, twin[1].bias)
    step()
    assert torch.allclose(model[1].weight, twin[1].weight, atol=1e-5)


def test_autocast_surrounds_the_forward_pass_of_training_only() -> None:
    active = []

    @contextmanager
    def recording():  # type: ignore[no-untyped-def]
        active.append("in")
        yield
        active.append("out")

    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    model[1].weight.register_hook(lambda gradient: active.append("backward"))
    training_step(model, inputs(2), recording)()
    assert active == ["in", "out", "backward"]


def test_inputs_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = inputs(2), inputs(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(first) == 4
    assert first[0].shape == (2, 3, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    (last,) = make_inputs((3, 4, 4), batch_size=2, device=CPU, channels_last=True, count=1)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_a_step_gives_the_logits() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Dropout(0.5))
    batches = inputs(2)
    step = inference_step(model, batches)
    assert torch.equal(step(), model(batches[0]))
    assert torch.equal(step(), model(batches[1]))


def test_a_real_model_on_a_real_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0.01)
    monkeypatch.setattr(timing, "WARMUP_SECONDS", 0.05)
    monkeypatch.setattr(timing, "NOISY_SECONDS", 0.05)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    for result in (time_inference(model, inputs(8)), time_training(model, inputs(8))):
        assert len(result.block_seconds) >= 5
        assert min(result.block_seconds) > 0
        assert "the model's output was not finite" not in result.errors
