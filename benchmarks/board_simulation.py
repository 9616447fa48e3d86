"""How often are the tests and intervals of a board over datasets wrong? Run by hand; one thread, about 20 minutes:

    python benchmarks/board_simulation.py [BOARDS]

For each case, it simulates BOARDS boards (default: 200) of artificial models and prints these shares with their
standard errors:

- family: boards on which any two models that are truly equal are found to differ. The target is 5 % at most.
- coverage: how often the 95 % interval of a model's score contains its true score.
- power: how often a model that is better by a given gap on every dataset is found to differ from each of the others.

Each simulated image has a difficulty that all models share, so that they are right and wrong on mostly the same images.
A model's seed shifts its accuracy on a dataset (`SEEDS_SD`, on the scale of the logits), and each seed also makes
errors of its own. Equal models differ only in their seeds; every dataset has its own accuracy, between 15 and 97 %.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import expit

from vitbench.boards.resampling import sample_of
from vitbench.boards.scoring import Scorer, Values, score_weights
from vitbench.leaderboard.image_scores import Outcomes

SEEDS_SD = 0.1
"""Of a model's logit on a dataset, from seed to seed: one to two points at an accuracy of 80 %."""
SPREAD = 2.0
"""Of the images' difficulties, on the same scale."""
NODES = np.polynomial.hermite_e.hermegauss(40)


def true_share(logit: np.ndarray) -> np.ndarray:
    """Return the accuracy over all images that there could be, of a logit at images of mean difficulty."""
    nodes, weights = NODES
    return (expit(np.asarray(logit)[..., None] - SPREAD * nodes) * weights).sum(-1) / weights.sum()


def logit_of(share: np.ndarray) -> np.ndarray:
    """Return the logit of an accuracy, by interpolation."""
    grid = np.linspace(-12, 12, 2001)
    return np.interp(share, true_share(grid), grid)


def board(random, shares: np.ndarray, images: np.ndarray, seeds: int) -> Values:
    """Return the values of M models on D datasets, their true accuracies given, [M, D]."""
    logits = logit_of(shares)
    models, datasets = shares.shape
    values, variances = np.empty((models, datasets)), np.full((models, datasets), np.nan)
    samples = []
    for d in range(datasets):
        hard = SPREAD * random.standard_normal(images[d])
        own = logits[:, d, None] + (SEEDS_SD * random.standard_normal((models, seeds)) if seeds > 1 else 0.0)
        chance = expit(own[:, :, None] - hard)
        # An image is right where its chance passes a threshold; models share half of it, so that answers go together.
        shared = random.standard_normal(images[d])
        alone = random.standard_normal(chance.shape)
        from_both = (shared + alone) / np.sqrt(2)
        right = normal_cdf(from_both) < chance
        means = right.mean(axis=2)
        values[:, d] = means.mean(axis=1)
        if seeds > 1:
            variances[:, d] = means.var(axis=1, ddof=1)
        digest = f"{random.integers(2**62):016x}"
        samples.append(sample_of([tuple(Outcomes(scores=s, images=digest) for s in model) for model in right]))
    nothing = np.full((models, datasets), np.nan)
    return Values(
        values=values,
        low=nothing,
        high=nothing,
        seeds=np.full((models, datasets), seeds),
        seed_variances=variances,
        samples=tuple(samples),
    )


def normal_cdf(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(x)


def case(boards: int, models: int, images: np.ndarray, seeds: int, score: str, gap: float) -> None:
    """Print the shares of one case."""
    random = np.random.default_rng(0)
    datasets = len(images)
    groups = [str(d % 3) for d in range(datasets)]
    weights = score_weights(groups, score)
    family, covered, power = [], [], []
    for _ in range(boards):
        base = random.uniform(0.15, 0.97, datasets)
        equal = board(random, np.tile(base, (models, 1)), images, seeds)
        # With seeds a model is a sample of its own: over its seeds, its true share is a little nearer to a half.
        truth = base if seeds == 1 else over_seeds(base)
        scorer = Scorer(equal, weights, bounds=(0.0, 1.0))
        family.append(scorer.pairs().different.any())
        covered += [each.low <= truth @ weights <= each.high for each in scorer.estimates()]
        base = random.uniform(0.15, 0.93, datasets)
        apart = np.tile(base, (models, 1))
        apart[0] += gap
        pairs = Scorer(board(random, apart, images, seeds), weights).pairs()
        power += list(pairs.different[pairs.first == 0] & (pairs.difference[pairs.first == 0] > 0))
    shares = [100 * np.mean(each) for each in (family, covered, power)]
    cells = [f"{share:5.1f} % ± {np.sqrt(share * (100 - share) / boards):.1f}" for share in shares]
    sizes = f"{images.min()} to {images.max()}"
    print(f"| {models} | {datasets} | {sizes} | {seeds} | {score} | {100 * gap:g} | {' | '.join(cells)} |", flush=True)


def over_seeds(share: np.ndarray) -> np.ndarray:
    """Return the mean accuracy over all seeds that there could be."""
    nodes, weights = NODES
    return (true_share(logit_of(share)[:, None] + SEEDS_SD * nodes) * weights).sum(-1) / weights.sum()


def main() -> None:
    boards = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print("| models | datasets | images each | seeds | score | gap | family-wise error | coverage | power |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    few, many = np.array([300, 1000]), np.tile([200, 500, 1000], 7)[:19]
    for images, gap in ((few, 0.03), (many, 0.01)):
        for seeds in (1, 3):
            case(boards, 5, images, seeds, "mean", gap)
    case(boards, 5, many, 3, "mean of groups", 0.01)
    case(max(boards // 4, 1), 20, many, 3, "mean", 0.02)
    case(boards, 5, np.array([50, 100]), 2, "mean", 0.1)


if __name__ == "__main__":
    main()
