"""Whether to believe a method that says where a model looks: its tests, what they say of it, and whether it fails.

Three tests on images of the test split, the same for each model: deletion against two controls (`deletion`), the maps
of a model whose weights are made random (`randomisation`), and the pointing game (`pointing`). A method fails where it
does not beat a control significantly, where its maps stay when the weights go, or where its
pointing is not significantly better than chance.

Shapes: B images, C channels, H height, W width, R rows and L columns of a map, S steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import vitbench
from vitbench.errors import Skip
from vitbench.figures import Figure, FigureSubject, Points
from vitbench.statistics import bootstrap_interval, wilson

from .deletion import area, cells, deletion, distance_from_fill, shares
from .pointing import pointing
from .randomisation import cascade, rank_correlation

__all__ = ["Explain", "Trust", "explained", "judged"]

Explain = Callable[[FigureSubject, Tensor, Tensor], Tensor]
"""A method: of a subject, whose model may be another than the trained one, of inputs float[B, C, H, W] and of classes
int64[B] it gives maps float[B, R, L], high where it says that the model looks for the class."""

BATCH = 32
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the model's tensors, those that are random, from the top."""
SEEDS = (1, 2, 3)
"""Of random weights: one model's may by chance look at the same places."""
MOST_CORRELATION = 0.5
CHANCE = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """What the tests say of a method."""

    measurements: tuple[vitbench.Measurement, ...] = ()
    pictures: tuple[Figure, ...] = ()
    """The curves that the numbers are made of."""
    note: str = "Not tested."
    """All of it in plain words, for the picture of the maps."""
    failures: tuple[str, ...] = ()
    """Why the method fails; none: it does not."""

    def titled(self, title: str) -> str:
        """Return the title of a picture of the method, marked where it fails."""
        return f"{title} (fails its tests)" if self.failures else title


def judged(subject: FigureSubject, explain: Explain, *, images: int, knows_classes: bool = True) -> Trust:
    """Test a method on a model.

    Args:
        subject: the trained model and its images.
        explain: the method.
        images: how many test images, and mosaics, to use; 0: no tests.
        knows_classes: whether the maps depend on the class; those that do not get no pointing score.

    Raises:
        Skip: the method does not apply to the model.
    """
    count = min(images, len(subject.images))
    if not count:
        return Trust()
    rows = np.random.default_rng(0).permutation(len(subject.images))[:count]
    inputs = subject.inputs([subject.images.images[row] for row in subject.images.index[rows]])
    with torch.inference_mode():
        targets = torch.cat([subject.model(some).argmax(1) for some in inputs.split(BATCH)])
    maps = explained(subject, explain, inputs, targets)
    parts = [_deleted(subject, inputs, targets, maps), _randomised(subject, explain, inputs, targets, maps)]
    parts.append(_pointed(subject, explain, count) if knows_classes else Trust(note=_CLASS_BLIND))
    failures = tuple(failure for part in parts for failure in part.failures)
    basis = f"{count} images, intervals of 95 %"
    outcome = f"Fails ({basis}): {'; '.join(failures)}." if failures else f"Passes its tests ({basis})."
    return Trust(
        measurements=tuple(one for part in parts for one in part.measurements),
        pictures=tuple(one for part in parts for one in part.pictures),
        note=" ".join([outcome, *(part.note for part in parts)]),
        failures=failures,
    )


_CLASS_BLIND = "It does not depend on the class, so it has no pointing score."


def explained(subject: FigureSubject, explain: Explain, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return a method's maps of any number of images, float64[B, R, L] on the CPU."""
    pairs = zip(inputs.split(BATCH), targets.split(BATCH), strict=True)
    return torch.cat([explain(subject, *each).detach().cpu().double() for each in pairs])


def _deleted(subject: FigureSubject, inputs: Tensor, targets: Tensor, maps: Tensor) -> Trust:
    maps = cells(maps)
    grid = (maps.shape[-2], maps.shape[-1])
    orders = {
        "the map": maps,
        "random": torch.zeros_like(maps),
        "distance from fill": distance_from_fill(inputs, grid).cpu(),
    }
    curves = {name: _curves(subject, inputs, targets, order) for name, order in orders.items()}
    own, random, fill = (area(each, shares(grid)) for each in curves.values())
    beside = {"random": _mean("deletion_minus_random", own - random), "fill": _mean("deletion_minus_fill", own - fill)}
    reasons = {
        "random": "deletion does not beat random order",
        "fill": "deletion does not beat distance from the fill colour",
    }
    failed = {name: reasons[name] for name, one in beside.items() if one.high is None or one.high >= 0}
    note = (
        f"Deletion (lower is better): {own.mean():.3f}; random order {random.mean():.3f}{_interval(beside['random'])}, "
        f"distance from the fill colour {fill.mean():.3f}{_interval(beside['fill'])}."
    )
    return Trust(
        measurements=(
            _mean("deletion", own),
            _mean("deletion_random", random, better="neither"),
            _mean("deletion_fill", fill, better="neither"),
            *(_marked(one, failed.get(name, "")) for name, one in beside.items()),
        ),
        pictures=(
            _curve(
                "The predicted class as the image is covered",
                shares(grid),
                {name: each.mean(0) for name, each in curves.items()},
                x_label="share of the image that is covered",
                y_label="mean probability",
                note="A good map's curve falls below both of the others.",
            ),
        ),
        note=note,
        failures=tuple(failed.values()),
    )


def _curves(subject: FigureSubject, inputs: Tensor, targets: Tensor, order: Tensor) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    parts = zip(inputs.split(BATCH), targets.split(BATCH), order.split(BATCH), strict=True)
    return torch.cat([deletion(subject.model, *each, random) for each in parts]).numpy()


def _randomised(subject: FigureSubject, explain: Explain, inputs: Tensor, targets: Tensor, maps: Tensor) -> Trust:
    kept: dict[float, list[NDArray[np.float64]]] = {share: [] for share in SHARES}
    for seed in SEEDS:
        for share, model in cascade(subject, seed, SHARES):
            there = explained(replace(subject, model=model), explain, inputs, targets)
            kept[share].append(rank_correlation(maps, there))
    by_share = {share: np.mean(each, axis=0) for share, each in kept.items()}  # [B]
    found = _mean("rank_correlation", by_share[1.0], better="neither", unit="1")
    assert found.value is not None
    reason = "" if abs(found.value) <= MOST_CORRELATION else "its maps do not change when the weights are random"
    return Trust(
        measurements=(_marked(found, reason),),
        pictures=(
            _curve(
                "The map as the weights are randomised, starting with the last layers",
                np.array([0.0, *SHARES]),
                {"": np.array([1.0, *(each.mean() for each in by_share.values())])},
                x_label="share of the tensors that are random",
                y_label="rank correlation of the maps",
                note=f"Mean over images and {len(SEEDS)} seeds. A map that depends on the model ends near 0.",
            ),
        ),
        note=f"Rank correlation with random weights: {found.value:.2f}.",
        failures=(reason,) if reason else (),
    )


def _pointed(subject: FigureSubject, explain: Explain, mosaics: int) -> Trust:
    try:
        found = pointing(subject, explain, mosaics, np.random.default_rng(0))
    except Skip as skip:
        return Trust(note=f"No pointing score: {skip}.")
    if not found.counted:
        return Trust(
            note=f"No pointing score: on {found.mosaics} mosaics none of the classes is among the top two predictions."
        )
    low, high = wilson(found.hits, found.counted)
    share = found.hits / found.counted
    reason = "" if low > CHANCE else "it does not point better than chance"
    one = vitbench.Measurement(
        name="pointing", value=share, unit="fraction", better="higher", low=low, high=high, n=found.counted
    )
    return Trust(
        measurements=(_marked(one, reason),),
        note=f"Pointing: {share:.0%} of {found.counted} ({low:.0%} to {high:.0%}, chance {CHANCE:.0%}).",
        failures=(reason,) if reason else (),
    )


def _mean(name: str, values: NDArray[np.float64], *, better: str = "lower", unit: str = "1") -> vitbench.Measurement:
    """Return the mean over images, with its 95 % interval."""
    interval = bootstrap_interval(lambda drawn: float(values[drawn].mean()), len(values))
    low, high = interval or (None, None)
    return vitbench.Measurement(
        name=name,
        value=float(values.mean()),
        unit=unit,
        better=better,  # type: ignore[arg-type]
        low=low,
        high=high,
        n=len(values),
        samples=(tuple(values.tolist()),),
    )


def _marked(one: vitbench.Measurement, failure: str) -> vitbench.Measurement:
    """Return a measurement with the reason for which it makes the method fail, if it does."""
    if not failure:
        return one
    verdict = vitbench.Verdict(level="warn", reasons=(f"the method fails: {failure}",))
    return msgspec.structs.replace(one, verdict=verdict)


def _interval(one: vitbench.Measurement) -> str:
    """Return the interval of a difference of means in words."""
    return "" if one.low is None or one.high is None else f" (difference {one.low:+.3f} to {one.high:+.3f})"


def _curve(
    title: str, x: NDArray[np.float64], series: dict[str, NDArray[np.float64]], *, x_label: str, y_label: str, note: str
) -> Points:
    """Return a picture of curves over common shares; a series without a name is the only one."""
    named = [name for name in series for _ in x]
    return Points(
        title=title,
        x=np.tile(x, len(series)).astype(np.float32),
        y=np.concatenate([*series.values()]).astype(np.float32),
        series=tuple(named) if any(named) else (),
        x_label=x_label,
        y_label=y_label,
        lines=True,
        note=note,
    )
