"""Which solver for logistic regression is fastest on features: the probe's, scikit-learn's, or torch's own L-BFGS?

    python benchmarks/linear_probe.py [--threads N] [--device cuda] [--repeats N]

All solvers fit the same standardised features from zero with the same penalty, in turn; the best time of each counts.
LogisticRegression and the probe (SciPy's L-BFGS-B on torch's gradient, along principal axes) stop by their own
tolerances; torch.optim.LBFGS stops by the same criterion as the probe. Where this would take too long, each gets only a
few iterations, so compare the objectives reached as well. Prints one line per size; takes about eight minutes on one
core of an otherwise idle server.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from vitbench_recipes import logistic

SIZES = ((1_000, 10), (10_000, 10), (10_000, 100), (100_000, 10), (100_000, 100), (100_000, 1_000))
WIDTH = 384
L2 = 1e-3
MOST_ITERATIONS = ((1e9, 300), (1e10, 20), (float("inf"), 5))
"""How many, up to so many multiplications for each pass over the features."""

Fitted = tuple[Tensor, Tensor]


def features(images: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return standardised, correlated features float32[N, D], as those of networks are, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % classes
    means = torch.randn(classes, WIDTH, generator=generator)
    spread = torch.arange(1, WIDTH + 1).pow(-0.5)
    x = (0.4 * means[labels] + 2 * torch.randn(images, WIDTH, generator=generator)) * spread
    x = x @ torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
    return (x - x.mean(0)) / x.std(0), labels


def objective(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the mean cross-entropy with its penalty."""
    return cross_entropy(linear(x, weight, bias), labels) + L2 / 2 * weight.square().sum()


def by_probe(x: Tensor, labels: Tensor, classes: int, most: int) -> Fitted:
    """Fit as the recipe does."""
    logistic.MOST_STEPS = most
    return next(logistic.logistic_path(x, labels, num_classes=classes, strengths=(L2,)))


def by_sklearn(x: Tensor, labels: Tensor, classes: int, most: int) -> Fitted:
    """Fit by LogisticRegression with its default solver and tolerance."""
    model = LogisticRegression(C=1 / (L2 * len(x)), max_iter=most).fit(x.cpu().numpy(), labels.cpu().numpy())
    return torch.from_numpy(model.coef_).to(x), torch.from_numpy(model.intercept_).to(x)


def by_torch(x: Tensor, labels: Tensor, classes: int, most: int) -> Fitted:
    """Fit by torch.optim.LBFGS."""
    weight = torch.zeros(classes, WIDTH, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=most, tolerance_grad=1e-4, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = objective(x, labels, weight, bias)
        loss.backward()
        return loss

    solver.step(closure)
    return weight.detach(), bias.detach()


SOLVERS: dict[str, Callable[[Tensor, Tensor, int, int], Fitted]] = {
    "probe": by_probe,
    "sklearn": by_sklearn,
    "torch": by_torch,
}


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")  # scikit-learn's, where it gets few iterations
    columns = [f"{name} {what}" for what in ("s", "loss") for name in SOLVERS]
    print(" images classes most", *(f"{column:>12}" for column in columns))
    for images, classes in SIZES:
        x, labels = (part.to(arguments.device) for part in features(images, classes))
        most = next(most for products, most in MOST_ITERATIONS if images * classes * WIDTH <= products)
        times: dict[str, float] = {}
        losses: dict[str, float] = {}
        for _ in range(arguments.repeats if most == MOST_ITERATIONS[0][1] else 1):
            for name, fit in SOLVERS.items():
                start = time.perf_counter()
                fitted = fit(x, labels, classes, most)
                losses[name] = objective(x, labels, *fitted).item()
                times[name] = min(time.perf_counter() - start, times.get(name, float("inf")))
        found = [f"{times[name]:12.2f}" for name in SOLVERS] + [f"{losses[name]:12.5f}" for name in SOLVERS]
        print(f"{images:7} {classes:7} {most:4}", *found, flush=True)


if __name__ == "__main__":
    main()
