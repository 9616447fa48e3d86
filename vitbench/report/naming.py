"""What rows and conditions are called: the shortest names that tell them apart. Text as it came, not escaped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from vitbench.durations import duration_text
from vitbench.leaderboard.leaderboard import Condition, row_labels
from vitbench.records import METHOD

__all__ = ["conditions_in_words", "places", "row_labels", "titles"]


def titles(conditions: Iterable[Condition]) -> dict[Condition, str]:
    """Return each condition's dataset with its lineage, what is unusual of how models were judged or trained, and cuts.

    Where two datasets share a name, it has the fingerprint.
    """
    conditions = list(conditions)
    datasets = Counter(names[:2] for names in {(c.dataset, c.lineage, c.fingerprint) for c in conditions})
    found = {}
    for condition in conditions:
        title = condition.dataset or "speed alone"
        title += f", {condition.lineage}" if condition.lineage else ""
        if datasets[condition.dataset, condition.lineage] > 1:
            title += f" (data {condition.fingerprint[:8]})"
        title += f", imported from {condition.apart}" if condition.apart else ""
        title += ", judged on validation images" if condition.split == "val" else ""
        cuts = [f"limit {condition.limit}"] if condition.limit is not None else []
        cuts += [f"epochs {condition.epochs}"] if condition.epochs is not None else []
        title += f", budget {duration_text(condition.budget)}" if condition.budget is not None else ""
        title += f", against {condition.other_classes:,} other classes" if condition.other_classes else ""
        found[condition] = f"{title}, partial: {', '.join(cuts)}" if cuts else title
    return found


def places(conditions: Iterable[Condition]) -> dict[Condition, str]:
    """Return names that tell all conditions apart: titles, and what differs between those of one title."""
    alike: dict[str, list[Condition]] = defaultdict(list)
    found = titles(conditions)
    for condition, title in found.items():
        alike[title].append(condition)
    for title, group in alike.items():
        parts = {condition: [*_parts(condition), *_versions(condition)] for condition in group}
        shared = set.intersection(*map(set, parts.values()))
        for condition in group:
            own = [part for part in parts[condition] if part not in shared]
            found[condition] = f"{title} ({'; '.join(own)})" if own else title
    return found


def conditions_in_words(condition: Condition, among: Iterable[Condition] = ()) -> str:
    """Return machine, device, precision, flags, environment variables and batch sizes.

    Args:
        condition: what is told.
        among: others beside it; versions of torch and cuDNN are told where these have several.
    """
    of_all = {version for other in (condition, *among) for version in _versions(other)}
    told = [] if of_all == set(_versions(condition)) else _versions(condition)
    return "; ".join([*_parts(condition), *told])


def _versions(condition: Condition) -> list[str]:
    return [f"torch {condition.torch}", *[f"cuDNN {condition.cudnn}"] * bool(condition.cudnn)]


def _parts(condition: Condition) -> list[str]:
    inference, training = condition.batch_size, condition.train_batch_size
    if inference == training:
        batches = [f"batch {inference}"] if inference else []
    else:
        batches = [f"inference at batch {inference}"] if inference else []
        batches += [f"training at batch {training}"] if training else []
    return [
        condition.machine,
        f"{condition.device}, {condition.threads} thread{'s' if condition.threads != 1 else ''}",
        condition.precision,
        *["compiled" if condition.compile == "default" else f"compiled, {condition.compile}"] * bool(condition.compile),
        *["channels last"] * condition.channels_last,
        *[condition.variables_text] * bool(condition.variables_text),
        *[f"method {condition.method}"] * (condition.method != METHOD),
        *[", ".join([*batches, "latency at batch 1"])] * bool(batches),
    ]
