"""Accuracy on the class that is recognised worst: a mean hides a class that is never right."""

from collections.abc import Iterator

from vitbench import Measurement
from vitbench.protocols import Subject


def measure(subject: Subject) -> Iterator[Measurement]:
    """Yield the least share of right answers over the classes; no interval, since the class was picked by it."""
    predictions = subject.predictions
    assert predictions is not None  # the spec's `needs` asks for them
    right = predictions.top_classes[:, 0] == predictions.labels
    by_class = [right[predictions.labels == k] for k in range(predictions.num_classes)]
    worst = min((own for own in by_class if len(own)), key=lambda own: own.mean())
    yield Measurement(name="worst_class", value=float(worst.mean()), n=len(worst))
