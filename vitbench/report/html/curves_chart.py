"""The training of a section's models in one chart: what is drawn, and over what, is chosen on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vitbench.report.html.charts import Chart, Value, number
from vitbench.report.html.details import Curve
from vitbench.report.training_curves import CLOCK, COLOURS, DASHES, MOST_NAMED, quantity_of, recorded

__all__ = ["curves_chart"]

MOST_POINTS = 4000
"""Of all lines together: a page of hundreds of models must stay small, and each point has a place that the mouse finds.
A line keeps a dozen at least."""
LEAST_POINTS = 12
MOST_TOLD = 10
"""Models that the sentence names."""


def curves_chart(curves: Sequence[tuple[str, Sequence[Curve]]]) -> Chart | None:
    """Return the chart; None where no curve can be drawn: of a training of one epoch there is only its end.

    Args:
        curves: of each row, in the order of the table, its name and the training of each seed.
    """
    trained = [(name, some) for name, some in curves if any(curve.points for curve in some)]
    every = [curve for _, some in trained for curve in some]
    quantities = recorded(name for curve in every for point in curve.points for name in point)
    if not quantities or max(len(curve.points) for curve in every) < 2:
        return None
    over = ["epoch"] + [CLOCK] * any(CLOCK in point for curve in every for point in curve.points)
    most = max(LEAST_POINTS, MOST_POINTS // len(every))
    points = [
        (row, line, curve.seed, point)
        for line, (row, curve) in enumerate((row, curve) for row, (_, some) in enumerate(trained) for curve in some)
        for point in curve.thinned(most)
    ][::-1]  # the best models' lines lie above the others'
    names = [name for name, _ in trained]
    keys = names[:MOST_NAMED] + [f"{len(names) - MOST_NAMED} others"] * (len(names) > MOST_NAMED)
    return Chart(
        kind="curves",
        title="Training",
        text=_in_words(trained, quantities),
        words={
            "quantities": quantities,
            "quantity_words": [quantity_of(name).words for name in quantities],
            "quantity": quantities[0],
            "over": over,
            "over_words": ["epochs", "seconds of training"][: len(over)],
            "names": names,
            "keys": keys,
            "colours": [_colour(i) for i in range(len(keys))],
            "dashes": [_dash(i) for i in range(len(keys))],
        },
        data={
            "points": {
                "row": [row for row, *_ in points],
                "line": [line for _, line, *_ in points],
                "seed": [seed for _, _, seed, _ in points],
                **{name: [_value(point, name) for *_, point in points] for name in (*over, *quantities)},
            }
        },
    )


def _value(point: Mapping[str, float], name: str) -> Value:
    return number(point[name] * quantity_of(name).scale) if name in point else None


def _colour(row: int) -> str:
    return f"var(--line-{row % len(COLOURS)})" if row < MOST_NAMED else "var(--faint)"


def _dash(row: int) -> tuple[int, ...]:
    return (DASHES[row // len(COLOURS)] if row < MOST_NAMED else ()) or (1, 0)


def _in_words(trained: Sequence[tuple[str, Sequence[Curve]]], quantities: Sequence[str]) -> str:
    """Return how many trainings there are, and what the first models ended with: the mean over their seeds."""
    count = sum(len(some) for _, some in trained)
    models = f"{len(trained)} model{'s' if len(trained) != 1 else ''}"
    name, scale = quantities[0], quantity_of(quantities[0]).scale
    ends = {
        model: [scale * curve.points[-1][name] for curve in some if name in curve.points[-1]] for model, some in trained
    }
    told = [f"{model} {sum(values) / len(values):.3g}" for model, values in ends.items() if values]
    more = f", and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    words = quantity_of(name).words
    listed = f" {words[:1].upper()}{words[1:]} at the end: {', '.join(told[:MOST_TOLD])}{more}." if told else ""
    return f"{count} training{'s' if count != 1 else ''} of {models}.{listed}"
