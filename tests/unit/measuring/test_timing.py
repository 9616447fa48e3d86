"""Timing: what is run, how long to go on, and what is said of it. A false clock stands in for the machine."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from known_models import DynamicShape, OnMeta
from timed import time_inference, time_training
from torch import nn

from vitbench.measuring import timing
from vitbench.measuring.steps import InvalidOutput, make_inputs
from vitbench.measuring.timing import FRESH_INPUTS, FRESH_ROUNDS, Block, fresh_input_reasons, time_step, warm_up

pytestmark = pytest.mark.compute


CPU = torch.device("cpu")


class Clock:
    """A clock that stands still but for what the model under test adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(timing, "observe", lambda device: self.now_ns / 1e9)
        monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: ([], []))
        monkeypatch.setattr(
            timing, "facts", lambda start, end, threads, **_: {"seconds": end - start, "threads": threads}
        )


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
    paces = [0.4, 0.2, 0.12] + [0.11] * 100
    result = time_inference(Slow(clock, lambda n: paces[n]), inputs(8))
    assert result.warmup_seconds == pytest.approx([0.4, 0.2, 0.12, 0.11, 0.11])
    assert result.block_seconds == pytest.approx([0.11] * 5)
    assert result.warnings == ("the last 3 warm-up blocks differ by 9%",)


def test_warm_up_of_a_drifting_model_is_capped_and_said(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 0.11 if n % 2 else 0.16), inputs(8))
    assert sum(result.warmup_seconds[1:]) < timing.WARMUP_SECONDS + 0.2
    assert result.warnings[0].startswith("the last 3 warm-up blocks differ by ")


def test_noise_is_answered_with_more_blocks_then_with_a_verdict(clock: Clock) -> None:
    noisy = time_inference(Slow(clock, lambda n: 0.11 if n < 4 else 0.10 + 0.02 * (n % 2)), inputs(8))
    assert len(noisy.block_seconds) == 7
    pulled = "the slowest blocks pull the mean 9% away from the median"
    assert (noisy.warnings, noisy.errors) == (("IQR 20% of the median", pulled), ())
    wild = time_inference(Slow(clock, lambda n: 0.11 if n < 4 else 0.10 + 0.10 * (n % 2)), inputs(8))
    assert (wild.warnings, wild.errors) == ((), ("IQR 67% of the median",))


def test_a_slow_model_is_warmed_up_in_three_blocks_too(clock: Clock) -> None:
    steady = time_inference(Slow(clock, lambda n: 1.6), inputs(8))
    assert steady.warmup_seconds == pytest.approx([1.6] * 4)
    assert steady.warnings == ()
    settling = [9.0, 1.8, 1.4, 1.2] + [1.2] * 10
    result = time_inference(Slow(clock, lambda n: settling[n]), inputs(8))
    assert result.warmup_seconds == pytest.approx([9.0, 1.8, 1.4, 1.2])
    assert result.warnings == ("the last 3 warm-up blocks differ by 43%",)


def test_a_slower_model_is_warmed_up_in_as_many_blocks_as_five_seconds_hold(clock: Clock) -> None:
    settling = [2.6, 2.6, 2.2] + [2.2] * 10
    result = time_inference(Slow(clock, lambda n: settling[n]), inputs(8))
    assert result.warmup_seconds == pytest.approx([2.6, 2.6])
    settling = [2.6, 2.4, 2.2] + [2.2] * 10
    result = time_inference(Slow(clock, lambda n: settling[n]), inputs(8))
    assert result.warmup_seconds == pytest.approx([2.6, 2.4, 2.2])
    assert result.warnings == ("the last 2 warm-up blocks differ by 9%",)


def test_a_slow_model_ends_with_three_blocks_of_one_call(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 4.0), inputs(8))
    assert result.warmup_seconds == pytest.approx([4.0, 4.0])
    assert result.block_seconds == pytest.approx([4.0] * 3)
    assert (result.calls_per_block, result.warnings) == (1, ())


def test_single_images_are_timed_call_by_call(clock: Clock) -> None:
    result = time_inference(Slow(clock, lambda n: 0.002), inputs(1))
    assert result.block_seconds == ()
    assert result.calls_per_block == 1
    assert result.call_seconds == pytest.approx([0.002] * 300)
    assert (result.warnings, result.errors) == ((), ())


def test_single_calls_are_capped_in_number_and_in_time(clock: Clock) -> None:
    assert len(time_inference(Slow(clock, lambda n: 1e-4), inputs(1)).call_seconds) == 662
    assert len(time_inference(Slow(clock, lambda n: 2.0), inputs(1)).call_seconds) == 5


def test_single_calls_are_judged_as_such(clock: Clock) -> None:
    scattered = time_inference(Slow(clock, lambda n: 0.006 if n % 11 == 0 else 0.005), inputs(1))
    assert (scattered.warnings, scattered.errors) == ((), ())
    drifting = time_inference(Slow(clock, lambda n: 0.005 * 1.002 ** max(0, n - 60)), inputs(1))
    assert any(reason.startswith("the times drift") for reason in drifting.warnings)
    two = time_inference(Slow(clock, lambda n: 0.006 if n % 4 == 0 else 0.005), inputs(1))
    assert two.warnings == ("the times fall into two groups: 5 ms (75%) and 6 ms (25%)",)


def test_blocks_that_drift_are_told(clock: Clock) -> None:
    for seconds, blocks in ((0.1, 7), (0.2, 5)):
        result = time_inference(Slow(clock, lambda n, s=seconds: s * 1.04 ** max(0, n - 4)), inputs(8))
        assert len(result.block_seconds) == blocks
        assert any(reason.startswith("the times drift") for reason in result.warnings)


def test_the_evidence_is_of_the_timed_region(clock: Clock) -> None:
    for result in (
        time_inference(Slow(clock, lambda n: 0.01), inputs(8)),
        time_training(Slow(clock, lambda n: 0.01), inputs(8)),
    ):
        assert result.evidence == {
            "seconds": pytest.approx(sum(result.block_seconds)),
            "threads": torch.get_num_threads(),
        }


def test_a_block_gives_its_own_seconds_and_warm_up_its_pace(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.5 if n == 0 else 0.01)
    batches = inputs(2)
    block = Block(lambda: model(batches[0]), CPU, cross_check=True)
    warm = warm_up(block)
    assert warm.seconds == pytest.approx([0.5, 0.01, 0.1, 0.1, 0.1])
    assert (warm.calls, warm.warnings) == (10, ())
    assert block(7) == pytest.approx(0.07)
    assert block.findings() == ([], [])


def test_training_is_timed_in_blocks_even_for_single_images(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.2)
    result = time_training(model, inputs(1))
    assert (result.mode, result.call_seconds) == ("training", ())
    assert result.block_seconds == pytest.approx([0.2] * 5)
    assert model.training


def test_an_output_without_values_is_refused_before_it_is_timed(clock: Clock) -> None:
    for time in (time_inference, time_training):
        with pytest.raises(InvalidOutput, match="the model's output is on meta, not on cpu"):
            time(OnMeta(), inputs(8))


def test_an_output_that_changes_its_shape_is_found_at_the_end_of_a_block(clock: Clock) -> None:
    class Slowly(DynamicShape):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            clock.now_ns += 10_000_000
            return super().forward(images)

    with pytest.raises(InvalidOutput, match=r"shape \(8, 9\) for 8 images; it must return logits of shape \(8, 10\)"):
        time_inference(Slowly(after=60), inputs(8), num_classes=10)
    time_inference(Slowly(after=1000), inputs(8), num_classes=10)


def test_a_loss_that_becomes_none_is_found_at_the_end_of_a_block(clock: Clock) -> None:
    calls = 0

    def step() -> torch.Tensor:
        nonlocal calls
        clock.now_ns, calls = clock.now_ns + 10_000_000, calls + 1
        return torch.tensor(1.5) if calls < 60 else torch.ones(2)

    with pytest.raises(InvalidOutput, match=r"the training step returned float32 of shape \(2,\)"):
        time_step(step, "training", inputs(8)[0], 10)


def test_an_output_that_is_not_finite_is_an_error(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.1)
    nn.init.constant_(model.linear.bias, float("nan"))
    for result in (time_inference(model, inputs(8)), time_inference(model, inputs(1))):
        assert result.errors == ("the model's output was not finite",)
    assert time_training(model, inputs(8)).errors == ("the training loss was not finite",)


def test_findings_on_the_machine_reach_the_verdict(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: (["a load"], ["a quota"]))
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


class Remembering:
    """Takes a millisecond for what it remembers of earlier batches and 8.3 for anything else."""

    def __init__(self, clock: Clock, *, size: int, forgets: bool) -> None:
        self.clock, self.size, self.forgets = clock, size, forgets
        self.kept: list[bytes] = []
        self.calls = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        key = images.numpy().tobytes()
        self.clock.now_ns += 1_000_000 if key in self.kept else 8_300_000
        if key in self.kept and self.forgets:
            self.kept.remove(key)
        if key not in self.kept and (self.forgets or len(self.kept) < self.size):
            self.kept.append(key)
            del self.kept[: -self.size]
        return images


def fresh() -> tuple[torch.Tensor, ...]:
    return make_inputs((3, 2, 2), batch_size=1, device=CPU, count=FRESH_INPUTS, seed=1)


@pytest.mark.parametrize(("size", "forgets"), [(4, False), (4, True), (1000, False)])
def test_a_model_that_keeps_results_is_told(size: int, forgets: bool, clock: Clock) -> None:
    model = Remembering(clock, size=size, forgets=forgets)
    for batch in inputs(1) * 3:
        model(batch)
    assert fresh_input_reasons(model, inputs(1), fresh(), CPU) == [
        "inputs seen before run 8.3 times faster than fresh ones: the model caches results"
    ]
    assert model.calls == 3 * 4 + FRESH_ROUNDS * 4 + 2 * FRESH_INPUTS + FRESH_ROUNDS // 2, "each fresh batch once"


def test_a_model_that_gains_nothing_on_inputs_that_take_turns_is_not_accused(clock: Clock) -> None:
    model = Remembering(clock, size=3, forgets=True)
    assert fresh_input_reasons(model, inputs(1), fresh(), CPU) == []


def test_a_model_that_knows_a_tensor_by_its_place_is_told(clock: Clock) -> None:
    known: set[int] = set()

    def model(images: torch.Tensor) -> torch.Tensor:
        clock.now_ns += 1_000_000 if images.data_ptr() in known else 3_000_000
        known.add(images.data_ptr())
        return images

    assert len(fresh_input_reasons(model, inputs(1), fresh(), CPU)) == 1


def test_a_sound_model_is_cleared_by_the_first_round(clock: Clock) -> None:
    model = Slow(clock, lambda n: 0.009 if n == 5 else 0.001)  # the first fresh call is slow
    assert fresh_input_reasons(model, inputs(1), fresh(), CPU) == []
    assert model.calls == 4 + 2 * 2


@pytest.mark.parametrize(("old", "new"), [(0.001, 0.0019), (10e-6, 55e-6)], ids=["a little", "within the noise"])
def test_a_small_difference_is_no_memory(old: float, new: float, clock: Clock) -> None:
    seen, others = inputs(1), fresh()

    def model(images: torch.Tensor) -> torch.Tensor:
        clock.now_ns += round(1e9 * (old if any(images is one for one in seen) else new))
        return images

    assert fresh_input_reasons(model, seen, others, CPU) == []


@pytest.mark.parametrize("disturbed_rounds", [{0}, {1, 2}, set(range(FRESH_ROUNDS - 1))])
def test_a_machine_that_is_disturbed_for_a_while_is_no_memory(disturbed_rounds: set[int], clock: Clock) -> None:
    seen, others = inputs(1), fresh()
    rounds = [[others[0], others[1]], *([batch] for batch in others[2:])]
    slow = [batch for turn in disturbed_rounds for batch in rounds[turn]]

    def model(images: torch.Tensor) -> torch.Tensor:
        clock.now_ns += 9_000_000 if any(images is one for one in slow) else 1_000_000
        return images

    assert fresh_input_reasons(model, seen, others, CPU) == []


def test_seen_and_fresh_inputs_lie_in_the_cache_alike(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that holds two batches, and a model that reads its input from there or, slowly, from memory."""
    cache: list[torch.Tensor] = []

    def read(batch: torch.Tensor) -> torch.Tensor:
        cache[:] = [*(one for one in cache if one is not batch), batch][-2:]
        return batch

    def model(images: torch.Tensor) -> torch.Tensor:
        clock.now_ns += 1_000_000 if any(images is one for one in cache) else 9_000_000
        return read(images)

    monkeypatch.setattr(torch.Tensor, "sum", read)
    assert fresh_input_reasons(model, inputs(1)[:1], fresh(), CPU) == []


def test_a_scheduler_that_slows_every_other_call_looks_like_no_memory(clock: Clock) -> None:
    """As on shared cores: it lets one call through and stops the process in the next, in step with the pairs."""
    calls = 0

    def model(images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += timed
        clock.now_ns += 9_000_000 if timed and calls % 2 == 0 else 2_000_000
        return images.mean(dim=(2, 3))

    timed = False
    untimed = timing.seconds_of
    with pytest.MonkeyPatch.context() as patch:

        def seconds_of(step: Callable[[], torch.Tensor], device: torch.device) -> float:
            nonlocal timed
            timed = True
            seconds = untimed(step, device)
            timed = False
            return seconds

        patch.setattr(timing, "seconds_of", seconds_of)
        assert fresh_input_reasons(model, inputs(1), fresh(), CPU) == []


def test_a_model_that_only_reads_its_input_keeps_no_results() -> None:
    seen, others = (
        make_inputs((3, 224, 224), batch_size=1, device=CPU, count=FRESH_INPUTS, seed=seed) for seed in (0, 1)
    )
    assert fresh_input_reasons(lambda images: images.mean(dim=(2, 3)), seen, others, CPU) == []


def test_the_events_of_a_block_stand_round_its_calls(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        at_ns = 0

        def record(self, stream: object) -> None:
            self.at_ns = clock.now_ns

        def elapsed_time(self, end: Event) -> float:
            return (end.at_ns - self.at_ns) / 1e6

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    model = Slow(clock, lambda n: 0.01)
    block = Block(lambda: model(inputs(8)[0]), CPU, cross_check=False)
    block.events = (Event(), Event())  # type: ignore[assignment]
    assert block(3) == pytest.approx(0.03)
    assert block.device_seconds == pytest.approx(0.03)
