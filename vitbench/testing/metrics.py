"""Checks of metrics: each function is one contract of `MetricSpec.measure`, on made-up subjects (`subjects`)."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vitbench import contract
from vitbench.errors import Skip
from vitbench.protocols import ConfusionScore, ImageScores, SampleScore, Subject
from vitbench.records import Measurement
from vitbench.specs import MeasurementSpec, MetricSpec, load_target
from vitbench.testing.cases import MetricCase
from vitbench.testing.checks import CheckFailed, need, raised
from vitbench.testing.subjects import IMAGES, Scene, scenes, shuffled
from vitbench.worker.metrics import single_result

Result = Measurement | ImageScores | ConfusionScore | SampleScore

ROUNDING = 1e-5
"""Relative difference that the order of a sum in float32 explains."""
RESAMPLING = 0.5
"""Difference of an interval's end, over its width, that a bootstrap over images in another order explains."""
NO_VALUE = "no subject of the kit has a value"


def check_metric_measurements(case: MetricCase) -> None:
    """The measurements are those that the spec declares, each once per subject, with none missing."""
    spec, given = case.spec, set()
    declared = {each.name for each in spec.gives}
    for _, _, results in _measured(case):
        names = [result.name for result in results]
        for result in results:
            _check_declared(result, spec, declared)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise CheckFailed(f'measure returned "{twice[0]}" twice; give each measurement once')
        given |= set(names)
    missing = sorted(declared - given)
    if missing:
        raise CheckFailed(f'measure never returned "{missing[0]}"; leave it out of the spec, or give it')


def _check_declared(result: Result, spec: MetricSpec, declared: set[str]) -> None:
    if result.name not in declared:
        names = ", ".join(sorted(declared))
        raise CheckFailed(f'measure returned "{result.name}", but the spec says {names}; add it to measurements')
    if spec.measurements or not isinstance(result, Measurement):  # each of several may have a unit of its own
        return
    for what, said, of_spec in (("unit", result.unit, spec.unit), ("better", result.better, spec.better)):
        if said not in ("", of_spec):
            raise CheckFailed(
                f'measure says {what}="{said}", but the spec says "{of_spec}"; make them equal, or omit one'
            )


def check_metric_scores(case: MetricCase) -> None:
    """Scores work on resamples: a value per image, or a pure function that missing classes do not break."""
    scored = False
    for where, subject, results in _measured(case):
        for result in results:
            if isinstance(result, ImageScores):
                _check_values(result, subject, where)
            elif isinstance(result, ConfusionScore):
                whole = _confusion(subject)
                lacking = whole.copy()
                lacking[-1] = 0
                _check_pure(result, [("of all images", whole), ("that lack a class", lacking)], where)
            elif isinstance(result, SampleScore):
                drawn = np.random.default_rng(0).integers(0, IMAGES, IMAGES)
                few = np.sort(drawn % (IMAGES // 4))
                whole = np.arange(IMAGES)
                _check_pure(result, [("of all images", whole), ("resampled", drawn), ("of a quarter", few)], where)
            scored = scored or not isinstance(result, Measurement)
    if not scored:
        raise Skip("it makes its values itself")


def _check_values(result: ImageScores, subject: Subject, where: str) -> None:
    values: object = result.values
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise CheckFailed(f"the values of {result.name} are {kind} ({where}); return an array of bool or float")
    if values.shape != (IMAGES,):
        raise CheckFailed(
            f"{result.name} has values {list(values.shape)} for {IMAGES} images ({where}); return one per image"
        )
    if not np.isfinite(values).all():
        raise CheckFailed(
            f"a value of {result.name} is {values[~np.isfinite(values)][0]} ({where}); return finite numbers"
        )


def _check_pure(result: ConfusionScore | SampleScore, samples: list[tuple[str, NDArray[np.int64]]], where: str) -> None:
    """Call a score twice for each sample of images, and see what it gives and whether it writes."""
    for what, sample in samples:
        given = sample.copy()
        first, second = _scored(result, given, where), _scored(result, given, where)
        if not np.array_equal(given, sample):
            raise CheckFailed(f"score of {result.name} changes its input ({where}); compute on a copy")
        if first != second and not (math.isnan(first) and math.isnan(second)):
            raise CheckFailed(
                f"score of {result.name} is {first:g}, and {second:g} for the same images ({where}); keep no "
                "state between calls, and use no random numbers"
            )
        if math.isinf(first):
            raise CheckFailed(f"score of {result.name} is {first} for images {what} ({where}); NaN leaves a sample out")


def _scored(result: ConfusionScore | SampleScore, sample: NDArray[np.int64], where: str) -> float:
    try:
        return float(result.score(sample))
    except Exception as error:
        raise CheckFailed(f"score of {result.name} raised {raised(error)} ({where})") from error


def _confusion(subject: Subject) -> NDArray[np.int64]:
    """Return how many images of each class were taken for each class, int64[K, K]."""
    classes = subject.num_classes
    assert subject.predictions is not None
    labels, taken = subject.predictions.labels, subject.predictions.top_classes[:, 0]
    counts = np.bincount(labels * classes + taken, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def _valued(result: Result, subject: Subject, where: str) -> Measurement:
    """Return what the core makes of a result, except for its interval."""
    if isinstance(result, Measurement):
        return result
    if isinstance(result, ImageScores):
        return Measurement(name=result.name, value=float(result.values.mean()))
    sample = _confusion(subject) if isinstance(result, ConfusionScore) else np.arange(IMAGES)
    return Measurement(name=result.name, value=_scored(result, sample, where))


def check_metric_values(case: MetricCase) -> None:
    """Values are finite and lie in their intervals, fractions in -1..1; if there is none, the verdict says why."""
    for where, subject, results in _measured(case):
        for measurement in (_valued(result, subject, where) for result in results):
            name, value = measurement.name, measurement.value
            if value is None:
                if measurement.verdict.level == "valid":
                    raise CheckFailed(f"{name} has no value and no reason ({where}); give a verdict, or raise Skip")
                continue
            if not math.isfinite(value):
                raise CheckFailed(f"{name} is {value} ({where}); give None with a verdict, or raise Skip")
            unit = measurement.unit or _declared(case.spec, name).unit or case.spec.unit
            if unit == "fraction" and abs(value) > 1 + ROUNDING:
                raise CheckFailed(
                    f'{name} is {value:g}, but its unit is "fraction" ({where}); give 0.95 for 95 %, or another unit'
                )
            low = value if measurement.low is None else measurement.low
            high = value if measurement.high is None else measurement.high
            slack = ROUNDING * max(abs(value), abs(low), abs(high))
            if not low - slack <= value <= high + slack:
                raise CheckFailed(f"{name} is {value:g}, outside of its interval from {low:g} to {high:g} ({where})")


def check_metric_direction(case: MetricCase) -> None:
    """The best subject has the best value and the worst the worst, in the declared direction, if they differ."""
    compared, equal = False, ""
    for scene in _scenes(case):
        best, middle, worst = (_call(case, subject, scene.name) for subject in scene.subjects)
        for name in best.keys() & worst.keys():
            better = best[name].better or _declared(case.spec, name).better or case.spec.better
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
        raise CheckFailed(f"{equal}; a metric that is always the same ranks nothing")
    raise Skip(equal or ("it declares no direction" if case.spec.better == "neither" else NO_VALUE))


def _declared(spec: MetricSpec, name: str) -> MeasurementSpec:
    """Return what a spec says of one of its measurements; what is None there is as of the metric."""
    return next((each for each in spec.gives if each.name == name), MeasurementSpec(name=name))


def _check_order(name: str, better: str, values: list[float], where: str) -> None:
    """Check values that are given from the best subject to the worst."""
    sign = 1 if better == "higher" else -1
    worth = [sign * value for value in values]
    slack = ROUNDING * max(map(abs, worth))
    if worth[0] <= worth[-1] + slack or any(a < b - slack for a, b in pairwise(worth)):
        shown = ", ".join(f"{value:g}" for value in values)
        raise CheckFailed(
            f"{name} is {shown} from the best subject to the worst ({where}), but better is {better}; correct better, "
            "or raise Skip if it is not meaningful"
        )


def check_metric_order_invariant(case: MetricCase) -> None:
    """The order of the images does not affect values and intervals; the values of single images follow it."""
    if not {"predictions", "images"} & set(case.spec.parts):
        raise Skip("it needs neither predictions nor images")
    compared = False
    for scene in _scenes(case):
        moved, order = shuffled(scene.middle)
        _check_follows(case, scene, moved, order)
        plain, other = (_call(case, of, scene.name) for of in (scene.middle, moved))
        if plain.keys() != other.keys():
            name = min(plain.keys() ^ other.keys())
            raise CheckFailed(f"{name} is given in one order of the images, but not in another ({scene.name})")
        for name, first in plain.items():
            for what, one, two, slack in _pairs(first, other[name]):
                compared = compared or one is not None
                if (one is None) != (two is None) or not math.isclose(
                    one or 0.0, two or 0.0, rel_tol=ROUNDING, abs_tol=max(slack, 1e-12)
                ):
                    raise CheckFailed(f"{what} is {one}, and {two} for the same images in another order ({scene.name})")
    if not compared:
        raise Skip(NO_VALUE)


def _check_follows(case: MetricCase, scene: Scene, moved: Subject, order: NDArray[np.intp]) -> None:
    """Check that scores of images and of samples mean the images of their subject, whatever the order."""
    try:
        pairs = zip(_measure(case, scene.middle), _measure(case, moved), strict=False)
    except Skip:
        return
    samples = np.random.default_rng(1).integers(0, IMAGES, (5, IMAGES))
    for first, other in pairs:
        one: Any
        two: Any
        if isinstance(first, ImageScores) and isinstance(other, ImageScores):
            one, two = first.values[order].astype(float), other.values.astype(float)
        elif isinstance(first, SampleScore) and isinstance(other, SampleScore):
            one = [_scored(first, order[sample], scene.name) for sample in samples]
            two = [_scored(other, sample, scene.name) for sample in samples]
        else:
            continue
        if not np.allclose(one, two, rtol=ROUNDING, equal_nan=True):
            raise CheckFailed(
                f"{first.name} gives different values for the same images in another order ({scene.name})"
            )


def _pairs(first: Measurement, other: Measurement) -> list[tuple[str, float | None, float | None, float]]:
    """Return what is compared of a measurement: its name, two values, and how far they may lie apart."""
    width = 0.0 if first.low is None or first.high is None else first.high - first.low
    return [
        (first.name, first.value, other.value, 0.0),
        (f"the low end of {first.name}", first.low, other.low, RESAMPLING * width),
        (f"the high end of {first.name}", first.high, other.high, RESAMPLING * width),
    ]


def check_metric_leaves_inputs(case: MetricCase) -> None:
    """The subject is unchanged afterwards, since other metrics read it too."""
    if case.spec.parts == ("architecture",):
        raise Skip("it gets its own model")
    for scene in _scenes(case):
        parts = {part: getattr(scene.middle, part) for part in case.spec.parts if part != "architecture"}
        before = {part: pickle.dumps(held) for part, held in parts.items()}
        _call(case, scene.middle, scene.name)
        for part, held in parts.items():
            if pickle.dumps(held) != before[part]:
                raise CheckFailed(f"measure changed the {part} that it reads; compute on a copy")


def _scenes(case: MetricCase) -> list[Scene]:
    """Return the scenes at which the metric is taken."""
    need(case.spec.requires)
    found = scenes(*case.spec.parts)
    return [scene for scene in found if scene.cells & set(case.spec.taken_at)] or found


def _measured(case: MetricCase) -> Iterator[tuple[str, Subject, list[Result]]]:
    """Give the results of all subjects; raise the metric's Skip where it skips every one of them."""
    skip, measured = None, False
    for scene in _scenes(case):
        for subject in scene.subjects:
            try:
                yield scene.name, subject, _measure(case, subject)
                measured = True
            except Skip as error:
                skip = error
    if skip and not measured:
        raise skip


def _call(case: MetricCase, subject: Subject, where: str) -> dict[str, Measurement]:
    """Return the measurements of a subject by name; none where the metric skips it."""
    try:
        return {result.name: _valued(result, subject, where) for result in _measure(case, subject)}
    except Skip:
        return {}


def _measure(case: MetricCase, subject: Subject) -> list[Result]:
    measure = load_target(case.spec.measure)  # what cannot be imported is no broken contract
    try:
        given = contract.call(measure, {"subject": subject}, case.spec.defaults)
        if fault := single_result(given):
            raise CheckFailed(fault)
        results = list(given)
    except (Skip, CheckFailed):
        raise
    except Exception as error:
        raise CheckFailed(f"measure raised {raised(error)}; raise Skip if it does not apply") from error
    others = [type(one).__name__ for one in results if not isinstance(one, get_args(Result))]
    if others:
        raise CheckFailed(
            f"measure returned {others[0]}; return vitbench.Measurement, ImageScores, ConfusionScore or SampleScore"
        )
    scores = [type(one).__name__ for one in results if not isinstance(one, Measurement)]
    if scores and subject.predictions is None:
        raise CheckFailed(f'measure returned {scores[0]}, which needs predictions; add them to "needs"')
    return results
