"""A pick while it runs: time, race on validation images, train the finalists. What is decided, and by what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from vitbench.catalog import Catalog
from vitbench.data.splits import load_splits
from vitbench.durations import duration_text
from vitbench.errors import NothingSelectedError, UnusableError, UsageError
from vitbench.leaderboard.where import Where
from vitbench.picking.answer import Answer, Final
from vitbench.picking.candidates import Candidate, Listed, candidates_of
from vitbench.picking.course import Course, Step
from vitbench.picking.facts import data_facts, facts_in_words
from vitbench.picking.ledger import Ledger, read_ledger, write_ledger
from vitbench.picking.racing import LOOKS, level_of, look
from vitbench.picking.schedule import (
    GROWTH,
    RACE_SHARE,
    TIMING_SHARE,
    WAVE,
    Clock,
    finalists_within,
    first_pass,
    look_seconds,
    looks_of,
    training_seconds,
)
from vitbench.picking.stages import Stages
from vitbench.picking.wants import judged, values_of
from vitbench.records import KeyedCell, Record, SpeedCell, digest
from vitbench.running.estimate import PROCESS_SECONDS
from vitbench.running.runner import SPEED_PROCESSES
from vitbench.settings import SPEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Asked", "OngoingPick"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a user wants to know."""

    data: str
    """A folder, an installed dataset with options, or ``NAME=PATH``."""
    budget: float
    """Seconds."""
    models: tuple[str, ...] = ()
    """Names, or a suite file that lists them; empty: vitbench's own list."""
    want: str = ""
    """A condition, see `vitbench.leaderboard.where`."""
    conditions: Mapping[str, Any]
    """Arguments of `vitbench.run` that hold for each stage."""


class OngoingPick:
    """A pick while it runs."""

    _late = False
    """Whether it was said that the budget is used up."""

    def __init__(self, asked: Asked, stages: Stages, catalog: Catalog, names: Listed, want: Where | None) -> None:
        """Prepare it: nothing is written but the image cache.

        Raises:
            UsageError: the budget is below the first pass.
            UnusableError: no candidate can be used.
        """
        self.asked, self.stages, self.want, self.course = asked, stages, want, Course()
        self.clock = Clock(asked.budget, 0.0)
        self.planned = stages.plan(names.names, speeds="all", aloud=True)
        self.candidates = candidates_of(self.planned, names, catalog)
        self.info = next(cell.data for cell in (each.training for each in self.candidates) if cell.data)
        self.facts = data_facts(
            self.info, load_splits(self.info, limit=None), models=len(_taking_part(self.candidates, names))
        )
        for line in facts_in_words(self.facts):
            stages.say(line)
        self.runners = self._available(names)
        # The keys stand for data, checkpoints and versions: what the clock decided of others does not hold.
        of = [each.training.key for each in self.runners]
        self.identity = digest((asked, stages.asked["datasets"], stages.asked["suite"], of))
        self.ledger = read_ledger(stages.folder, self.identity)
        self.clock.earlier = self.ledger.spent
        self._check_budget()

    @property
    def least(self) -> float:
        """Seconds of the first pass, preparing included."""
        processes = SPEED_PROCESSES[0] * sum(len(each.speeds) for each in self.runners)
        return self.clock.used + first_pass(processes, PROCESS_SECONDS, len(self.runners))

    def _check_budget(self) -> None:
        """Refuse a budget that the first pass does not fit in; one that was begun is gone on with."""
        least = self.least
        if self.ledger == Ledger() and least > self.clock.budget:
            count = len(self.runners)
            what, fewer = (
                ("the speed of the one candidate and probes it", "")
                if count == 1
                else (f"the speeds of {count} candidates and probes each", ", or fewer --models")
            )
            raise UsageError(
                f"--budget {duration_text(self.clock.budget)} is below the first pass, which measures {what} once; "
                f"give --budget {duration_text(math.ceil(1.1 * least))} or more{fewer}."
            )

    # Each stage returns the candidates that go on, the best known first.

    def _available(self, names: Listed) -> list[Candidate]:
        able = []
        for each in self.candidates:
            if each.unavailable:
                self.course.leave(each.label, "available", each.unavailable, worse=False)
                if not each.waits:  # those are reported together
                    self.stages.say(f"{each.label} is left out: {each.unavailable}.")
            else:
                able.append(each)
        learned = any(each.learned for each in able)
        waiting = sum(each.waits for each in self.candidates)
        if waiting:
            meanwhile = "those that are here" if learned else "models that start from random weights"
            self._remark(
                f"{waiting} of {len(self.candidates)} candidates need weights from the hub, which is unreachable: "
                "connect, or give checkpoints with --models NAME:checkpoint=PATH. For now, the pick is among "
                f"{meanwhile}."
            )
        if not able:
            raise UnusableError(f"none of {len(self.candidates)} candidates can be used: {self.course.left[0].why}.")
        runners = _taking_part(self.candidates, names)
        for each in able:
            if each not in runners:
                why = "it starts from random weights, which are used only if no learned weights are available"
                self._leave(each, "available", why, worse=False)
        return runners

    def time(self) -> list[Candidate]:
        """Measure speeds, from small to large, and drop what misses what is wanted."""
        todo = self.runners
        most = len(todo) if self.ledger.timed is None else self.ledger.timed
        done: list[Candidate] = []
        last = 0.0
        while len(done) < most:
            wave = todo[len(done) : min(len(done) + WAVE, most)]
            began, expected = self.clock.used, last * GROWTH * len(wave)
            begins = self.ledger.timed is None and len(done) >= self.ledger.measured
            if done and begins and expected > self.clock.until(TIMING_SHARE):
                break
            cells = [cell for each in wave for cell in each.speeds]
            # All of one batch size take turns.
            cells.sort(key=lambda cell: cell.cell.batch_size if isinstance(cell.cell, SpeedCell) else 0)
            records = self.stages.time(self.planned, cells, [each.name for each in wave]) if cells else {}
            self.course.failed |= any(one.status not in ("ok", "skipped", "pending") for one in records.values())
            last = (self.clock.used - began) / len(wave)
            done += wave
            self.keep(measured=max(self.ledger.measured, len(done)))
        self.keep(timed=len(done))
        self._check_time()
        for each in todo[len(done) :]:
            why = f"its speed was not measured: that may take {TIMING_SHARE:.0%} of the budget".replace("%", " %")
            self._leave(each, "timing", why, worse=False)
        return self._wanted(done)

    def _wanted(self, timed: Sequence[Candidate]) -> list[Candidate]:
        rows = self.stages.rows([each.speeds[0] for each in timed if each.speeds])
        by_name = {each.name: row for each, row in zip((e for e in timed if e.speeds), rows, strict=True)}
        for each in timed:
            row = by_name.get(each.name)
            self.course.speeds[each.name] = row.metrics if row else {}
        known = {name for metrics in self.course.speeds.values() for name in metrics}
        stay = []
        for each in timed:
            metrics = self.course.speeds[each.name]
            found = judged(self.want, metrics)
            # What decides was measured of others: here it failed, or is not to be relied on.
            lacking = set(self.want.lacking(values_of(metrics))) if self.want and found.holds is None else set()
            if found.missed or (lacking and lacking <= known):
                self._leave(each, "timing", f"{found.words}; wanted: {self.want}", worse=True)
            else:
                if not found.sure and found.holds is not None:
                    self._remark(f"{each.label} is kept, though it may not meet {self.want}: {found.words}.")
                stay.append(each)
        if not stay:
            assert self.want is not None
            values = {each.label: values_of(self.course.speeds[each.name]) for each in timed}
            near = self.want.nearest(values)
            raise NothingSelectedError(f"no candidate has {self.want}" + (f"; the nearest: {near}." if near else "."))
        return stay

    def race(self, timed: Sequence[Candidate]) -> list[Candidate]:
        """Compare probes on validation images at growing labels, and drop what is significantly behind."""
        fresh = [each for each in timed if not each.learned]
        racing = self._probed_in_time([each for each in timed if each.learned])
        shares = looks_of(LOOKS, int(self._train_images), len(self.info.class_names))
        level, before = level_of(len(racing), len(shares)), 0.0
        for number, share in enumerate(shares):
            if len(racing) < 2:
                break
            if self.ledger.looks is not None and number >= self.ledger.looks:
                self._remark(self._race_ended(shares, number))
                break
            if self.ledger.looks is None and number and number >= self.ledger.looked:
                needed = look_seconds(self._speeds(racing), (share - before) * self._train_images)
                if needed > self.clock.until(RACE_SHARE):
                    self.keep(looks=number)
                    self._remark(self._race_ended(shares, number))
                    break
            racing, before = self._look(racing, share, level), share
            self.keep(looked=max(self.ledger.looked, number + 1))
            self._check_time()
        else:
            self.keep(looks=len(shares))
        return racing + fresh

    def _look(self, racing: Sequence[Candidate], share: float, level: float) -> list[Candidate]:
        cells, records = self.stages.probe([each.name for each in racing], share)
        self.keep()
        outcomes = self.stages.outcomes(cells)
        images = next((each.images for each in outcomes if each), "")
        right: dict[str, NDArray[np.bool_]] = {}
        by_name: dict[str, Candidate] = {}
        for each, cell, found in zip(racing, cells, outcomes, strict=True):
            record = records[cell.key]
            if found is None or found.images != images or record.status != "ok":
                self.course.failed |= record.status != "pending"
                why = f"its probe ended as {record.status}: {record.reason}" if record.status != "ok" else "no scores"
                self._leave(each, "race", why, worse=False)
            else:
                right[each.label], by_name[each.label] = found.scores.astype(bool), each
        if not right:
            raise UnusableError(f"no probe has a result: {self.course.left[-1].why}.")
        seen = look(right, level=level)
        self.course.looks.append((share, seen))
        for label, one in seen.behind.items():
            why = (
                f"{100 * one.accuracy:.1f} % against {100 * one.leader_accuracy:.1f} % of {one.leader} on "
                f"{seen.images:,} validation images, with {_share(share)} of the labels (p = {one.p_value:.1g})"
            )
            self._leave(by_name[label], "race", why, worse=True)
        return [by_name[label] for label in seen.left]

    def _probed_in_time(self, learned: list[Candidate]) -> list[Candidate]:
        """Set aside the slowest where not even the first look at all is within the time of the race."""
        if self.ledger.raced is not None:
            racing = [each for each in learned if each.name in self.ledger.raced]
        else:
            racing, first = list(learned), LOOKS[0] * self._train_images + self._val_images
            while len(racing) > 1 and look_seconds(self._speeds(racing), first) > self.clock.until(RACE_SHARE):
                racing.remove(min(racing, key=lambda each: self._speed(each) or 0.0))
            self.keep(raced=tuple(each.name for each in racing))
        for each in learned:
            if each not in racing:
                self._leave(each, "race", "it is too slow to probe its features within the budget", worse=False)
        return racing

    def _race_ended(self, shares: Sequence[float], number: int) -> str:
        return (
            f"The race ended with {_share(shares[number - 1])} of the labels: there was no time to probe with "
            f"{_share(shares[number])}."
        )

    def finals(self, racing: Sequence[Candidate]) -> list[Final]:
        """Judge the finalists on the test split: by their probes, and trained with the time that is left."""
        if self.ledger.finalists is None:
            count = finalists_within([self._training_seconds(each) for each in racing], self.clock.until())
            self.keep(finalists=tuple(each.name for each in racing[:count]))
        assert self.ledger.finalists is not None
        finalists = [each for each in racing if each.name in self.ledger.finalists]
        for each in racing:
            if each not in finalists:
                why = (
                    "it does not differ significantly from the finalists, and there was no time to train it"
                    if each.learned and self.course.looks
                    else "there was no time to train it"
                )
                self._leave(each, "training", why, worse=False)
        finals = []
        learned = [each for each in finalists if each.learned]
        if learned:
            cells, records = self.stages.probe_on_test([each.name for each in learned])
            finals += self._finals(learned, cells, records)
        self._check_time()
        if not self.ledger.training:
            self.keep(training=float(max(0, int(self.clock.until()))))
        found = None
        if self.ledger.training > 0:
            found = self.stages.train([each.name for each in finalists], self.ledger.training)
        if found:
            finals += self._finals(finalists, *found)
        else:
            self._remark("There was no time to train the finalists: they are compared by their probes only.")
        self.keep()
        return finals

    def _finals(
        self, finalists: Sequence[Candidate], cells: Sequence[KeyedCell], records: Mapping[str, Record]
    ) -> list[Final]:
        rows, outcomes = self.stages.rows(cells), self.stages.outcomes(cells)
        finals = []
        for each, cell, row, found in zip(finalists, cells, rows, outcomes, strict=True):
            record = records[cell.key]
            if record.status != "ok" or row is None or found is None:
                self.course.failed |= record.status not in ("ok", "pending")
                self._remark(f"{record.planned.in_words} has no result: {record.status}, {record.reason}.")
                continue
            allotted = record.planned.allotted
            steps = allotted.steps if allotted else None
            finals.append(Final(label=each.label, name=each.name, row=row, outcomes=found, steps=steps))
        return finals

    def beside_the_majority(self, answer: Answer) -> None:
        """Remark it where the pick may be no better than a guess."""
        low = answer.pick.accuracy.low if answer.pick else None
        if low is not None and low <= self.facts.majority:
            share = f"{100 * self.facts.majority:.1f} %"
            # The answer follows at once, with all remarks: said here, it would stand twice.
            self.course.remarks.append(
                "The pick does not differ significantly from always predicting "
                f"{self.facts.majority_name!r}: {share} right."
            )

    # What is asked and kept along the way.

    @property
    def _train_images(self) -> float:
        """Images that models learn from, or are judged on out of fold."""
        return float(self.facts.images["train"])

    @property
    def _val_images(self) -> float:
        return float(self.facts.images["val"])

    def _speed(self, each: Candidate) -> float | None:
        metric = self.course.speeds.get(each.name, {}).get(SPEED)
        return metric.measured if metric else None

    def _training_seconds(self, each: Candidate) -> tuple[float, float]:
        return training_seconds(
            self._speed(each),
            learned=each.learned,
            train_images=self._train_images,
            test_images=self.facts.images["test"],
        )

    def _speeds(self, some: Sequence[Candidate]) -> list[float | None]:
        return [self._speed(each) for each in some]

    def _leave(self, each: Candidate, step: Step, why: str, *, worse: bool) -> None:
        self.stages.say(self.course.leave(each.label, step, why, worse=worse) + ".")

    def _check_time(self) -> None:
        """Remark it once where the budget is used up before the finalists can be trained."""
        if not (self._late or self.ledger.training) and self.clock.until() <= 0:
            self._late = True
            self._remark(
                f"The budget of {duration_text(self.clock.budget)} was used up before there was an answer; for a "
                "better one, give a longer --budget or fewer --models."
            )

    def _remark(self, words: str) -> None:
        self.course.remarks.append(words)
        self.stages.say(words)

    def keep(self, **changes: Any) -> None:
        """Keep what the clock has decided, and what of the budget is used."""
        self.ledger = msgspec.structs.replace(self.ledger, spent=self.clock.used, **changes)
        if self.stages.folder.is_dir():
            write_ledger(self.stages.folder, self.identity, self.ledger)


def _taking_part(candidates: Sequence[Candidate], names: Listed) -> list[Candidate]:
    """Return those that can run; of a list, models without learned weights only where nothing else can."""
    able = [each for each in candidates if not each.unavailable]
    learned = [each for each in able if each.learned]
    return learned if learned and not names.named else able


def _share(share: float) -> str:
    return "all" if share == 1 else f"1/{round(1 / share)}"
