"""How often does a race of `vitbench pick` drop the best model? A simulation with known truth.

    python benchmarks/race_simulation.py

Each model has an accuracy at each look. Whether it classifies an image correctly is drawn from a normal variable with
two parts: one belongs to the image and is shared by all models (so that they agree), the other belongs to the model. An
image keeps its variables from look to look, as a validation image does. If several models are truly the best, dropping
any of them counts as an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from vitbench.picking.racing import LOOKS, level_of, look


@dataclass(frozen=True, kw_only=True)
class Case:
    """The truth of a race."""

    gaps: tuple[float, ...]
    """How far each model is behind `accuracy` when it has learned from all labels; the first is best."""
    late: tuple[float, ...] = ()
    """How much worse each is at an eighth of the labels, beyond what all lose; halves as the labels double."""
    accuracy: float = 0.85
    images: int = 500
    """Validation images."""
    agreement: float = 0.0
    """Share of the variance that is the image's own."""
    growing: bool = False
    """Whether models are judged on as many images as they have labels, as out-of-fold predictions are."""

    def accuracies(self) -> np.ndarray:
        """Return the true accuracy of each model at each look, float64[looks, models]."""
        late = np.array(self.late or (0.0,) * len(self.gaps))
        shares = np.array(LOOKS)
        lost = 0.1 * (1 - shares)[:, None] + late[None, :] * (LOOKS[0] / shares)[:, None]
        return self.accuracy - np.array(self.gaps)[None, :] - lost + late * LOOKS[0]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Means over runs."""

    best_at_a_look_dropped: float
    """Share of the runs in which a look dropped a given model that was best there in truth."""
    finally_best_dropped: float
    """Share of the runs in which the first model, best with all labels, was dropped at any look."""
    left: float
    looks: float
    """Looks that there were until one model was left, or the last."""
    probes: float
    """Probes that ran, of looks x models."""


CROSSING = Case(gaps=(0.0, 0.01, 0.02, 0.05, 0.1), late=(0.12, 0.04, 0.0, 0.0, 0.0), agreement=0.5, images=1000)
"""The best learns slowest: at an eighth of the labels it is seven points behind the next."""

CASES = {
    "8 equal models, independent answers": Case(gaps=(0.0,) * 8),
    "8 equal models, answers agree (0.9)": Case(gaps=(0.0,) * 8, agreement=0.9),
    "2 equal models": Case(gaps=(0.0,) * 2, agreement=0.5),
    "30 equal models, agreement 0.5": Case(gaps=(0.0,) * 30, agreement=0.5),
    "8 models, seven 0.5 points behind": Case(gaps=(0.0, *(0.005,) * 7), agreement=0.7),
    "12 models, one point apart each": Case(gaps=tuple(i / 100 for i in range(12)), agreement=0.7, images=1000),
    "5 equal models, 40 images": Case(gaps=(0.0,) * 5, images=40, accuracy=0.6),
    "12 models one point apart, images grow with labels": Case(
        gaps=tuple(i / 100 for i in range(12)), agreement=0.7, images=4000, growing=True
    ),
    "8 equal models, images grow with labels": Case(gaps=(0.0,) * 8, agreement=0.5, images=2000, growing=True),
    "curves cross: best is 7 points behind at 1/8": CROSSING,
    "curves cross: best is 3 points behind at 1/8": replace(CROSSING, late=(0.08, 0.04, 0.0, 0.0, 0.0)),
    "curves cross: best is 7 points behind at 1/8, 200 images": replace(CROSSING, images=200),
}


def simulate(case: Case, *, runs: int, seed: int) -> Found:
    """Race many times."""
    random = np.random.default_rng(seed)
    truth = case.accuracies()
    cut = np.vectorize(NormalDist().inv_cdf)(np.clip(truth, 1e-9, 1 - 1e-9))
    models = len(case.gaps)
    level = level_of(models, len(LOOKS))
    best_dropped = final_dropped = 0
    left, looks, probes = [], [], []
    for _ in range(runs):
        own = random.standard_normal((models, case.images))
        shared = random.standard_normal(case.images)
        hidden = np.sqrt(case.agreement) * shared + np.sqrt(1 - case.agreement) * own
        racing = list(range(models))
        dropped_best = False
        count = 0
        ran = 0
        for number, share in enumerate(LOOKS):
            if len(racing) == 1:
                break
            count, ran = count + 1, ran + len(racing)
            images = int(case.images * share) if case.growing else case.images
            found = look(
                {str(i): hidden[i, :images] < cut[number, i] for i in racing},
                level=level,
            )
            # The first of those in the race that are best here in truth: it is one model, whatever was drawn.
            best = max(racing, key=lambda i, number=number: truth[number, i])
            dropped_best |= str(best) in found.behind
            racing = [i for i in racing if str(i) not in found.behind]
        best_dropped += dropped_best
        final_dropped += 0 not in racing
        left.append(len(racing))
        looks.append(count)
        probes.append(ran)
    return Found(
        best_at_a_look_dropped=best_dropped / runs,
        finally_best_dropped=final_dropped / runs,
        left=float(np.mean(left)),
        looks=float(np.mean(looks)),
        probes=float(np.mean(probes)) / (len(LOOKS) * models),
    )


def main() -> None:
    """Print the table of docs/pick.md."""
    runs = 4000
    print("| case | best at a look dropped | finally best dropped | models left | share of the probes that ran |")
    print("| --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        found = simulate(case, runs=runs, seed=0)
        print(
            f"| {name} | {100 * found.best_at_a_look_dropped:.1f} % | {100 * found.finally_best_dropped:.1f} % "
            f"| {found.left:.1f} of {len(case.gaps)} | {100 * found.probes:.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
