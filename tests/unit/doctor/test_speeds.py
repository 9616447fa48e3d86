"""How well a machine resolves speeds: the half-width by hand, which form is the steadier, and what is kept of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy.stats import t

from vitbench.doctor import speeds
from vitbench.doctor.speeds import Probed, measure_speeds, speeds_check
from vitbench.errors import UnusableError
from vitbench.execution.executor import Ending
from vitbench.execution.local import LocalExecutor
from vitbench.records import REFERENCE
from vitbench.running.steadiness import Steadiness, known_steadiness


def steadiness(ratio: float, measured: float, processes: int = 7) -> Steadiness:
    return Steadiness(
        machine="m",
        device="cpu",
        network=REFERENCE,
        processes=processes,
        ratio_deviation=ratio,
        measured_deviation=measured,
        seconds=4.0,
    )


@pytest.mark.parametrize(("deviation", "processes"), [(0.01, 5), (0.03, 10), (0.08, 10)])
def test_the_half_width_is_that_of_students_t_over_the_processes_of_a_run(deviation: float, processes: int) -> None:
    half = math.exp(t.ppf(0.98, processes - 1) * deviation / math.sqrt(processes)) - 1
    check = speeds_check(steadiness(deviation, 0.3))
    start = f"resolves speeds to {half:.1%} in {4 * processes} s per model, in {processes} processes. "
    assert check.found.startswith(start)
    assert check.ok == (half <= 0.05)
    assert bool(check.advice) != check.ok


@pytest.mark.parametrize(
    ("ratio", "measured", "by"),
    [
        (0.03, 0.1, "ratio to the reference network"),
        (0.03, 0.025, "ratio to the reference network"),
        (0.03, 0.01, "measured speed"),
    ],
)
def test_the_steadier_form_is_named_and_ranks(ratio: float, measured: float, by: str) -> None:
    found = steadiness(ratio, measured)
    assert found.by_ratio == by.startswith("ratio")
    assert f"the {by} varies by {min(ratio, measured) if by != 'ratio to the reference network' else ratio:.1%}" in (
        speeds_check(found).found
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each process answer with the next of these ratios, and ten times that as the speed."""
    given = [2.0, 2.1, 1.9, 2.0, 2.05, 1.95, 2.0]
    left = iter(given)

    def run(self: LocalExecutor, *_: object, **__: object) -> Ending[Probed]:
        ratio = next(left)
        answer = Probed(machine_class="m", device="cpu", ratio=ratio, measured=10 * ratio**4)
        return Ending(kind="answered", seconds=1, answer=answer)

    monkeypatch.setattr(LocalExecutor, "run", run)
    return given


def test_what_was_found_is_kept_for_its_machine_device_and_network(answers: list[float], cache: Path) -> None:
    found = measure_speeds("cpu")
    assert found.processes == len(answers)
    assert found.measured_deviation == pytest.approx(4 * found.ratio_deviation)
    assert known_steadiness("m", "cpu", REFERENCE) == found
    for other in (("n", "cpu", REFERENCE), ("m", "cuda:0", REFERENCE), ("m", "cpu", "another-1")):
        assert known_steadiness(*other) is None


def test_a_damaged_note_is_none(answers: list[float], cache: Path) -> None:
    measure_speeds("cpu")
    (path,) = (cache / "machines").iterdir()
    path.write_text("{")
    assert known_steadiness("m", "cpu", REFERENCE) is None


def test_a_cache_that_cannot_be_written_is_one_line(answers: list[float], cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(UnusableError, match=r"^what this machine resolves cannot be stored: "):
        measure_speeds("cpu")


def test_a_real_process_times_the_network_beside_the_reference() -> None:
    import msgspec

    from vitbench.planning.suite import Conditions

    request = msgspec.msgpack.encode(Conditions(device="cpu"))
    found = speeds.probe_in_child(request, None, lambda _: None)
    assert found.device == "cpu"
    assert 0.02 < found.ratio < 50
    assert found.measured > 0
