"""The one way to compare two speeds: two live workers, told in turn to run a block.

Blocks of one process are no independent samples of the machine, and two processes that run one after the other differ
by the machine's mood. So both are alive and built, and one sleeps while the other runs, in the order A B B A, a *quad*:
a drift of the machine falls on both alike. A pair of processes runs quads until their median is known well, or for ten
seconds. Then a fresh pair starts, since a process's memory layout alone moves its speed by a per cent or two. Pairs are
added while the answer is open.

On a disturbed machine a few pairs prove nothing. A neighbour may slow one process of a pair for its whole life, as
where it keeps to that one's core: one model against itself was 10 % slower in three pairs out of three beside a
compiler. Where most quads are disturbed, pairs are run until the limit, and a difference counts only where all agree.

The statistics and the rule are in vitbench/statistics.py, what a worker does in vitbench/lockstep/worker.py. Pairing by
turns is that of pyperf and of Kalibera and Jones, "Rigorous benchmarking in reasonable time", ISMM 2013.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vitbench.execution.messages import time_limit
from vitbench.lockstep.process import LockstepError, Ran, Ready, Side, live_worker
from vitbench.measuring.noise import more_calls
from vitbench.measuring.quads import Quad, is_sharp, median_log_ratio, undisturbed
from vitbench.statistics import Estimate, Finding, judge, ratio_interval

__all__ = ["LockstepError", "Quad", "Side", "SpeedComparison", "compare_speeds", "decide_by_pairs", "quads_of_pair"]

BLOCK_SECONDS = 0.03
"""The least length of a block. The shorter, the less a machine's mood changes within a quad, and the more quads there
are: on a disturbed machine, blocks of 0.1 s scatter no less and left a pair's median twice as uncertain."""
QUADS = 20
"""At least so many quads of a pair of processes, whose median is one figure ..."""
FEW_QUADS, PAIR_SECONDS = 3, 10.0
"""... and as many as fit into this time while they scatter, but never fewer than three."""
SHARP = 0.005
"""Standard error of the figure that is small enough: processes differ by more."""
FEWEST_PAIRS, MOST_PAIRS = 3, 10
"""Pairs of processes before the first look, and at most."""
FEWEST_DISTURBED = 6
"""Pairs of processes for an answer from a disturbed machine. By chance six agree in sign in 3 % of cases, five in 6 %:
W. J. Dixon and A. M. Mood, "The statistical sign test", JASA 41 (1946)."""

Runner = Callable[[int], Ran]
"""Runs some calls as one block."""
_NUMBER = re.compile(r"[\d.]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedComparison:
    """How fast the second is against the first, and how sure that is."""

    labels: tuple[str, str]
    ratio: float
    """The second's images per second over the first's."""
    low: float
    """Lower end of the interval that holds with 95 % over all looks."""
    high: float
    verdict: Finding
    """What the second is."""
    threshold: float
    """The share of speed that does not matter."""
    pairs: tuple[tuple[Quad, ...], ...]
    """The raw samples, nested by pair of processes."""

    @property
    def quads(self) -> int:
        """How many quads it rests on."""
        return sum(map(len, self.pairs))

    @property
    def disturbed(self) -> int:
        """How many of its quads the machine disturbed."""
        return sum(quad.disturbed for quad in itertools.chain(*self.pairs))

    @property
    def reasons(self) -> tuple[str, ...]:
        """What makes it doubtful, in words: of each kind of remark how many quads have it, and the first."""
        kinds: dict[str, list[str]] = {}
        for quad in itertools.chain(*self.pairs):
            for kind, remark in {_NUMBER.sub("", remark): remark for remark in quad.remarks}.items():
                kinds.setdefault(kind, []).append(remark)
        remarks = tuple(f"{self._share(len(remarks))} quads: {remarks[0]}" for remarks in kinds.values())
        if not _mostly_disturbed(self.pairs):
            return remarks
        rule = f"a difference counts only where {FEWEST_DISTURBED} or more pairs of processes all agree on its sign"
        return (f"{self._share(self.disturbed)} quads were disturbed: {rule}", *remarks)

    def sentence(self) -> str:
        """Say the answer in one sentence."""
        first, second = self.labels
        answer = {
            "faster": f"{second} is {self.ratio - 1:.1%} faster than {first}",
            "slower": f"{second} is {1 - self.ratio:.1%} slower than {first}",
            "same": f"{second} is as fast as {first}, within {self.threshold:.1%}",
            "not resolved": f"whether {second} is as fast as {first} is not resolved",
        }[self.verdict]
        evidence = f"{self.quads} quads in {len(self.pairs)} pairs of processes"
        if _mostly_disturbed(self.pairs):
            evidence += f", disturbed in {self._share(self.disturbed)} quads"
        return f"{answer}: ratio {self.ratio:.3f}, 95% interval {self.low:.3f} to {self.high:.3f}, {evidence}"

    def _share(self, quads: int) -> str:
        return f"{'all' if quads == self.quads else f'{quads} of'} {self.quads}"


def compare_speeds(
    first: Side,
    second: Side,
    *,
    threshold: float = 0.03,
    seconds: float = 300.0,
    timeout: float | None = None,
    on_pair: Callable[[int], None] = lambda _: None,
) -> SpeedComparison:
    """Run two speed cells in lockstep and say whether the second is faster or slower than the first, in images/s.

    Args:
        first: the base.
        second: what is compared with it.
        threshold: the share of speed that does not matter.
        seconds: after this time no further pair of processes starts, three pairs excepted.
        timeout: seconds that a worker may take to build, or for one block; None: what a run gives a process, 120 s,
            or 900 s for a side that is compiled.
        on_pair: told after each pair of processes how many have been measured.

    Raises:
        LockstepError: a worker failed, died or took too long; the message names its side.
    """
    pairs, estimate, finding = decide_by_pairs(
        _measured_pairs((first, second), timeout, on_pair), threshold=threshold, seconds=seconds
    )
    assert estimate.low is not None
    assert estimate.high is not None
    return SpeedComparison(
        labels=(first.label, second.label),
        ratio=estimate.value,
        low=estimate.low,
        high=estimate.high,
        verdict=finding,
        threshold=threshold,
        pairs=pairs,
    )


def decide_by_pairs(
    measured: Iterable[Sequence[Quad]], *, threshold: float, seconds: float = math.inf
) -> tuple[tuple[tuple[Quad, ...], ...], Estimate, Finding]:
    """Take pairs of processes one by one, until the answer is clear or the limits are reached.

    While most quads are disturbed no answer is clear, and the last look is stricter: see `FEWEST_DISTURBED`.

    Args:
        measured: gives the quads of one pair of processes after the other; what is not taken is not measured.
        threshold: the share of speed that does not matter.
        seconds: after this time no further pair is taken, three pairs excepted.

    Returns:
        The pairs that were taken, the ratio with its interval, and what it shows of the second side.
    """
    started = time.monotonic()
    pairs: list[tuple[Quad, ...]] = []
    for quads in measured:
        pairs.append(tuple(quads))
        if len(pairs) < FEWEST_PAIRS:
            continue
        estimate = ratio_interval([[quad.log_ratio for quad in undisturbed(pair)] for pair in pairs])
        finding = judge(estimate, threshold)
        last = len(pairs) == MOST_PAIRS or time.monotonic() - started >= seconds
        if _mostly_disturbed(pairs) and not (last and _holds_in_disturbance(finding, pairs)):
            finding = "not resolved"
        if last or finding != "not resolved":
            return tuple(pairs), estimate, finding
    raise ValueError(f"a comparison needs at least {FEWEST_PAIRS} pairs of processes, not {len(pairs)}")


def _mostly_disturbed(pairs: Sequence[Sequence[Quad]]) -> bool:
    disturbed = [quad.disturbed for pair in pairs for quad in pair]
    return 2 * sum(disturbed) > len(disturbed)


def _holds_in_disturbance(finding: Finding, pairs: Sequence[Sequence[Quad]]) -> bool:
    """Say whether the pairs are enough and, for a difference, whether all point the same way."""
    signs = {median_log_ratio(undisturbed(pair)) > 0 for pair in pairs}
    return len(pairs) >= FEWEST_DISTURBED and (finding == "same" or len(signs) == 1)


def _measured_pairs(
    sides: tuple[Side, Side], timeout: float | None, on_pair: Callable[[int], None]
) -> Iterator[tuple[Quad, ...]]:
    """Yield the quads of one fresh pair of processes after the other, each side leading in turn."""
    batches = (sides[0].cell.batch_size, sides[1].cell.batch_size)
    calls: tuple[int, int] | None = None
    for number in itertools.count():
        leader = number % 2
        with _live_pair(sides, leader, timeout) as runners:
            if calls is None:  # for good, so that all pairs do the same work
                calls, length = _block_calls(runners)
                most = max(FEW_QUADS, int(PAIR_SECONDS / (4 * length)))
            quads = quads_of_pair(runners, calls, batches, fewest=min(QUADS, most), most=most, leader=leader)
        on_pair(number + 1)
        yield quads


def _block_calls(runners: tuple[Runner, Runner]) -> tuple[tuple[int, int], float]:
    """Return the calls in a block of each side, so that both take equally long, and their seconds."""
    (calls, seconds), (other_calls, other_seconds) = map(_calibrate, runners)
    length = max(seconds, other_seconds)
    return (
        max(1, round(calls * length / seconds)),
        max(1, round(other_calls * length / other_seconds)),
    ), length


def _calibrate(run: Runner) -> tuple[int, float]:
    """Return how many calls make a block, and the seconds that they take.

    Of two blocks the shorter one counts: a disturbed one would make all later ones too short.
    """
    calls = 1
    while (seconds := min(run(calls).seconds, run(calls).seconds)) < BLOCK_SECONDS:
        calls = more_calls(calls, seconds, least=BLOCK_SECONDS)
    return calls, seconds


def quads_of_pair(
    runners: tuple[Runner, Runner],
    calls: tuple[int, int],
    batches: tuple[int, int],
    *,
    fewest: int,
    most: int,
    leader: int = 0,
) -> tuple[Quad, ...]:
    """Run some quads on two live processes; one more at the start warms both up and is not kept.

    Args:
        runners: the first and the second side's.
        calls: in a block of each side.
        batches: images in a call of each side.
        fewest: quads to keep, at least.
        most: quads to keep where their median is still uncertain.
        leader: which side runs the outer two blocks, 0 or 1.
    """
    images = (calls[0] * batches[0], calls[1] * batches[1])
    quads: list[Quad] = []
    while len(quads) <= most and (len(quads) <= fewest or not is_sharp(quads[1:], SHARP)):
        blocks: tuple[list[Ran], list[Ran]] = ([], [])
        for side in (leader, 1 - leader, 1 - leader, leader):
            blocks[side].append(runners[side](calls[side]))
        first, second = ((ran[0].seconds, ran[1].seconds) for ran in blocks)
        remarks = tuple(remark for ran in (*blocks[0], *blocks[1]) for remark in ran.remarks)
        disturbance = max(ran.disturbance for ran in (*blocks[0], *blocks[1]))
        quads.append(Quad(first=first, second=second, images=images, remarks=remarks, disturbance=disturbance))
    return tuple(quads[1:])


@contextlib.contextmanager
def _live_pair(sides: tuple[Side, Side], leader: int, timeout: float | None) -> Iterator[tuple[Runner, Runner]]:
    """Start both sides' processes cold, the leader's first, and end them on the way out."""
    with contextlib.ExitStack() as stack:
        # They build at the same time: nothing is timed yet.
        workers = {
            i: stack.enter_context(live_worker(sides[i], timeout=timeout or time_limit(sides[i].cell)))
            for i in (leader, 1 - leader)
        }
        for worker in workers.values():
            worker.answer(Ready)
        # The first call compiles, and tunes by time, which the other side must not disturb: one after the other.
        for worker in workers.values():
            worker.run(1)
        yield workers[0].run, workers[1].run
