"""Whether an order of models holds over datasets, which are few and no sample of images can replace.

J. Demsar, "Statistical comparisons of classifiers over Multiple Data Sets", JMLR 7 (2006): Wilcoxon's signed-rank test
of each two models with Holm's correction (section 3.2.2), Friedman's test of all, and Nemenyi's critical difference of
mean ranks (3.2.4). Beside them: which dataset alone, left out, changes the order of two models.

M models, D datasets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitbench.boards.board import Decides, OverDatasets, OverPair, Score
from vitbench.boards.scoring import LEVEL, score_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["critical_difference", "holm_p_values", "mean_ranks", "over_datasets", "signed_rank_p"]


def over_datasets(
    merits: NDArray[np.float64],
    labels: Sequence[str],
    names: Sequence[str],
    groups: Sequence[str],
    score: Score,
) -> OverDatasets | None:
    """Test models over datasets; None of fewer than two models.

    Args:
        merits: float ``[M, D]``, values turned so that more is better, none missing.
        labels: of the models.
        names: of the datasets.
        groups: of each dataset.
        score: what the order is made by.
    """
    models, datasets = merits.shape
    if models < 2:
        return None
    merits = _rounded(merits)
    scores = merits @ score_weights(groups, score)
    pairs = [(i, j) if scores[i] >= scores[j] else (j, i) for i in range(models) for j in range(i + 1, models)]
    p_values = [signed_rank_p(merits[i] - merits[j]) for i, j in pairs]
    least = 2.0 ** (1 - datasets)
    return OverDatasets(
        datasets=datasets,
        rows=models,
        friedman_p=_friedman(merits),
        critical_difference=critical_difference(models, datasets),
        pairs=tuple(
            OverPair(
                first=labels[i],
                second=labels[j],
                wins=int((merits[i] > merits[j]).sum()),
                losses=int((merits[i] < merits[j]).sum()),
                p_value=p_value,
                holm_p=adjusted,
            )
            for (i, j), p_value, adjusted in zip(pairs, p_values, holm_p_values(p_values), strict=True)
        ),
        least_p=least,
        can_decide=least <= LEVEL / len(pairs),
        decides=tuple(_decides(merits, pairs, labels, names, groups, score)),
    )


def mean_ranks(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each model's mean place over the datasets, ``[M]``, 1 the best; ties share a mean place."""
    from scipy.stats import rankdata

    found: NDArray[np.float64] = rankdata(-_rounded(merits), axis=0).mean(axis=1)
    return found


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values to 9 digits of the largest: what the last bits say, such as of a mean over seeds, breaks no tie."""
    import numpy as np

    largest = float(np.abs(values).max(initial=0.0))
    found: NDArray[np.float64] = np.round(values / largest, 9) * largest if largest else values
    return found


def critical_difference(models: int, datasets: int) -> float:
    """Return Nemenyi's: how far apart mean ranks must be to differ significantly at 5 %, over all pairs."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, models, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(models * (models + 1) / (6 * datasets))


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, exact also of ties and of zeros.

    Ranks are of the differences that are not 0, ties sharing a mean rank; their signs are all equally likely, and every
    sum that these make is counted (J. W. Pratt and J. D. Gibbons, Concepts of Nonparametric Theory (1981), chapter 3).
    `scipy.stats.wilcoxon` falls back on a normal distribution where there are ties, which few datasets do not bear.

    Args:
        differences: float ``[D]``.
    """
    import numpy as np
    from scipy.stats import rankdata

    told = differences[differences != 0]
    if not len(told):
        return 1.0
    doubled = np.rint(2 * rankdata(_rounded(np.abs(told)))).astype(int)  # whole numbers, whatever the ties
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for step in doubled:
        ways[step:] = ways[step:] / 2 + ways[: len(ways) - step] / 2
        ways[:step] /= 2
    positive = int(doubled[told > 0].sum())
    tail = min(ways[: positive + 1].sum(), ways[positive:].sum())
    return float(min(1.0, 2 * tail))


def holm_p_values(p_values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's correction, in their order."""
    found = [0.0] * len(p_values)
    largest = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        found[place] = largest
    return found


def _friedman(merits: NDArray[np.float64]) -> float | None:
    """Return the p-value of Friedman's test that all models are alike; None of two, or where all values tie."""
    import numpy as np
    from scipy.stats import friedmanchisquare

    if len(merits) < 3 or bool((np.ptp(merits, axis=0) == 0).all()):
        return None
    return float(friedmanchisquare(*merits).pvalue)


def _decides(
    merits: NDArray[np.float64],
    pairs: Sequence[tuple[int, int]],
    labels: Sequence[str],
    names: Sequence[str],
    groups: Sequence[str],
    score: Score,
) -> list[Decides]:
    """Return the datasets without which the second of a pair is ahead of the first."""
    import numpy as np

    found = []
    whole = merits @ score_weights(groups, score)
    for left_out, name in enumerate(names):
        kept = [d for d in range(len(names)) if d != left_out]
        if not kept:
            continue
        rest = merits[:, kept] @ score_weights([groups[d] for d in kept], score)
        scale = 1e-12 * float(np.abs(merits).max())  # rounding turns no order round
        found += [
            Decides(dataset=name, first=labels[i], second=labels[j])
            for i, j in pairs
            if whole[i] - whole[j] > scale and rest[j] - rest[i] > scale
        ]
    return found
