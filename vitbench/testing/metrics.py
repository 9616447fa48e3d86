"""Checks of metrics: each function is one contract of `MetricSpec.measure`, on made-up subjects (`subjects`)."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator
from itertools import pairwise

from vitbench import contract
from vitbench.errors import Skip
from vitbench.protocols import Subject
from vitbench.records import Measurement
from vitbench.specs import MetricSpec, load_target
from vitbench.testing.cases import MetricCase
from vitbench.testing.checks import CheckFailed, raised
from vitbench.testing.subjects import scenes, shuffled
from vitbench.worker.scores import Score, scored

ROUNDING = 1e-5
"""Relative difference that the order of a sum in float32 explains."""
RESAMPLING = 0.5
"""Difference of an interval's end, over its width, that a bootstrap over images in another order explains."""
NO_VALUE = "no subject of the kit has a value"


def check_metric_measurements(case: MetricCase) -> None:
    """The measurements are named as the spec declares, each once for a subject; none that it declares stays away."""
    spec, given = case.spec, set()
    declared = {each.name for each in spec.gives}
    for _, measurements in _measured(case):
        names = [measurement.name for measurement in measurements]
        for measurement in measurements:
            _check_declared(measurement, spec, declared)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise CheckFailed(f'measure gave "{twice[0]}" twice; give each figure once')
        given |= set(names)
    missing = sorted(declared - given)
    if missing:
        raise CheckFailed(f'measure never gave "{missing[0]}"; leave it out of the spec, or give it')


def _check_declared(measurement: Measurement, spec: MetricSpec, declared: set[str]) -> None:
    if measurement.name not in declared:
        names = ", ".join(sorted(declared))
        raise CheckFailed(f'measure gave "{measurement.name}", the spec says {names}; name it in measurements')
    if spec.measurements:  # each of several figures may have a unit and a direction of its own
        return
    for what, said, of_spec in (
        ("unit", measurement.unit, spec.unit),
        ("better", measurement.better, spec.better),
    ):
        if said not in ("", of_spec):
            raise CheckFailed(f'measure says {what}="{said}", the spec says "{of_spec}"; make them equal, or omit one')


def check_metric_values(case: MetricCase) -> None:
    """Values are finite and lie in their intervals, fractions in -1..1; where there is none, the verdict says why."""
    for where, measurements in _measured(case):
        for measurement in measurements:
            name, value = measurement.name, measurement.value
            if value is None:
                if measurement.verdict.level == "valid":
                    raise CheckFailed(f"{name} has no value and no reason ({where}); give a verdict, or raise Skip")
                continue
            if not math.isfinite(value):
                raise CheckFailed(f"{name} is {value} ({where}); give None with a verdict, or raise Skip")
            unit = measurement.unit or case.spec.unit
            if unit == "fraction" and abs(value) > 1 + ROUNDING:
                raise CheckFailed(
                    f'{name} is {value:g}, and its unit is "fraction" ({where}); give 0.95 for 95 %, or another unit'
                )
            low = value if measurement.low is None else measurement.low
            high = value if measurement.high is None else measurement.high
            slack = ROUNDING * max(abs(value), abs(low), abs(high))
            if not low - slack <= value <= high + slack:
                raise CheckFailed(f"{name} is {value:g}, outside of its interval from {low:g} to {high:g} ({where})")


def check_metric_direction(case: MetricCase) -> None:
    """The best subject has the best value and the worst the worst, in the declared direction, where they differ."""
    compared, equal = False, ""
    for scene in scenes(case.spec.parts[0]):
        best, middle, worst = ({one.name: one for one in _call(case, subject)} for subject in scene.subjects)
        for name in best.keys() & worst.keys():
            better = best[name].better or case.spec.better
            values = [one[name].value for one in (best, middle, worst) if name in one and one[name].value is not None]
            if better == "neither" or best[name].value is None or worst[name].value is None:
                continue
            numbers = [float(value) for value in values if value is not None]
            if math.isclose(min(numbers), max(numbers), rel_tol=ROUNDING):
                equal = f"{name} is {numbers[0]:g} for all subjects of the kit"
                continue
            compared = True
            _check_order(name, better, numbers, scene.name)
    if compared:
        return
    if equal and case.spec.parts == ("predictions",):  # right, wrong, sure, unsure: something tells
        raise CheckFailed(f"{equal}; a metric that always says the same ranks nothing")
    raise Skip(equal or ("it declares no direction" if case.spec.better == "neither" else NO_VALUE))


def _check_order(name: str, better: str, values: list[float], where: str) -> None:
    """Check values that are given from the best subject to the worst."""
    sign = 1 if better == "higher" else -1
    worth = [sign * value for value in values]
    slack = ROUNDING * max(map(abs, worth))
    if worth[0] <= worth[-1] + slack or any(a < b - slack for a, b in pairwise(worth)):
        shown = ", ".join(f"{value:g}" for value in values)
        raise CheckFailed(
            f"{name} is {shown} from the best subject to the worst ({where}), and better is {better}; correct better, "
            "or raise Skip where it says nothing"
        )


def check_metric_order_invariant(case: MetricCase) -> None:
    """The order of the images makes no difference to figures, values and intervals."""
    if case.spec.parts != ("predictions",):
        raise Skip("it needs no predictions")
    compared = False
    for scene in scenes(case.spec.parts[0]):
        plain, other = ({one.name: one for one in _call(case, of)} for of in (scene.middle, shuffled(scene.middle)))
        if plain.keys() != other.keys():
            name = min(plain.keys() ^ other.keys())
            raise CheckFailed(f"{name} is given in one order of the images, and not in another ({scene.name})")
        for name, first in plain.items():
            for what, one, two, slack in _pairs(first, other[name]):
                compared = compared or one is not None
                if (one is None) != (two is None) or not math.isclose(
                    one or 0.0, two or 0.0, rel_tol=ROUNDING, abs_tol=max(slack, 1e-12)
                ):
                    raise CheckFailed(f"{what} is {one}, and {two} for the same images in another order ({scene.name})")
    if not compared:
        raise Skip(NO_VALUE)


def _pairs(first: Measurement, other: Measurement) -> list[tuple[str, float | None, float | None, float]]:
    """Return what is compared of a figure: its name, two values, and how far they may lie apart."""
    width = 0.0 if first.low is None or first.high is None else first.high - first.low
    return [
        (first.name, first.value, other.value, 0.0),
        (f"the low end of {first.name}", first.low, other.low, RESAMPLING * width),
        (f"the high end of {first.name}", first.high, other.high, RESAMPLING * width),
    ]


def check_metric_leaves_inputs(case: MetricCase) -> None:
    """The subject is the same after as before: other metrics read it, too."""
    if case.spec.parts == ("architecture",):
        raise Skip("it gets a model of its own")
    for scene in scenes(case.spec.parts[0]):
        part = getattr(scene.middle, case.spec.parts[0])
        before = pickle.dumps(part)
        _call(case, scene.middle)
        if pickle.dumps(part) != before:
            raise CheckFailed(f"measure changed the {case.spec.parts[0]} that it reads; compute on a copy")


def _measured(case: MetricCase) -> Iterator[tuple[str, list[Measurement]]]:
    """Give the measurements of all subjects; raise the metric's Skip where it skips every one of them."""
    skip, measured = None, False
    for scene in scenes(case.spec.parts[0]):
        for subject in scene.subjects:
            try:
                yield scene.name, _measure(case, subject)
                measured = True
            except Skip as error:
                skip = error
    if skip and not measured:
        raise skip


def _call(case: MetricCase, subject: Subject) -> list[Measurement]:
    """Return the measurements of a subject; none where the metric skips it."""
    try:
        return _measure(case, subject)
    except Skip:
        return []


def _measure(case: MetricCase, subject: Subject) -> list[Measurement]:
    measure = load_target(case.spec.measure)  # what cannot be imported is no broken contract
    try:
        given = contract.call(measure, {"subject": subject})
        if isinstance(given, Measurement) or not isinstance(given, Iterable):
            raise CheckFailed(f"measure gave one {type(given).__name__}; yield it, or give a list of measurements")
        measurements = list(given)
    except (Skip, CheckFailed):
        raise
    except Exception as error:
        raise CheckFailed(f"measure raised {raised(error)}; raise Skip where it does not apply") from error
    return [_measurement(case, one, subject) for one in measurements]


def _measurement(case: MetricCase, given: object, subject: Subject) -> Measurement:
    """Return what a run would make of something that a metric gave."""
    if isinstance(given, Measurement):
        return given
    if not isinstance(given, Score):
        kinds = "vitbench.Measurement, ImageScores, ConfusionScore or SampleScore"
        raise CheckFailed(f"measure gave {type(given).__name__}; give {kinds}")
    if subject.predictions is None:
        raise CheckFailed(f'measure gave {type(given).__name__}, which is of predictions; name them in "needs"')
    try:
        return scored(given, subject.predictions, case.spec.unit).measurement
    except Skip:
        raise
    except Exception as error:
        raise CheckFailed(f"the {type(given).__name__} of {given.name} failed: {raised(error)}") from error
