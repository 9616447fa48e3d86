"""Which solver of logistic regression is faster on features: torch's L-BFGS, or scikit-learn's LogisticRegression.

    python benchmarks/linear_probe.py [--threads N] [--device cuda] [--quick]

Both fit the same standardised features from zero to the same optimum, in turn, each twice; the faster time of each
counts. Where an iteration takes seconds, both get the same few. Prints one line per size.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from vitbench_recipes.logistic import fit_logistic

SIZES = ((1_000, 10), (10_000, 10), (10_000, 100), (100_000, 10), (100_000, 100), (100_000, 1_000))
WIDTH = 384
L2 = 1e-3
FEW = 10
"""Iterations from so many multiplications per iteration on."""
MANY_PRODUCTS = 1e9


def features(images: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return standardised features float32[N, D] whose variance falls off as that of networks' does, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % classes
    means = torch.randn(classes, WIDTH, generator=generator)
    spread = torch.arange(1, WIDTH + 1).pow(-0.5)
    x = (0.7 * means[labels] + 2 * torch.randn(images, WIDTH, generator=generator)) * spread
    mixing = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
    x = x @ mixing
    return (x - x.mean(0)) / x.std(0), labels


def objective(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> float:
    """Return the mean cross-entropy with its penalty."""
    return (cross_entropy(linear(x, weight, bias), labels) + L2 / 2 * weight.square().sum()).item()


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    print(
        f"{'images':>8} {'classes':>8} {'torch s':>9} {'sklearn s':>10} {'ratio':>7} {'loss torch':>11} {'sklearn':>9}"
    )
    for images, classes in SIZES:
        x, labels = features(images, classes)
        most = FEW if images * classes * WIDTH > MANY_PRODUCTS else 300
        on, known = x.to(arguments.device), labels.to(arguments.device)
        times: dict[str, list[float]] = {"torch": [], "sklearn": []}
        losses = {}
        for _ in range(arguments.repeats):
            weight, bias = torch.zeros(classes, WIDTH, device=on.device), torch.zeros(classes, device=on.device)
            start = time.perf_counter()
            losses["torch"] = fit_logistic(on, known, weight, bias, l2=L2, most_steps=most)
            times["torch"].append(time.perf_counter() - start)
            model = LogisticRegression(C=1 / (L2 * images), max_iter=most, tol=1e-5)
            start = time.perf_counter()
            model.fit(x.numpy(), labels.numpy())
            times["sklearn"].append(time.perf_counter() - start)
            found = (torch.from_numpy(part).float() for part in (model.coef_, model.intercept_))
            losses["sklearn"] = objective(x, labels, *found)
        ours, theirs = min(times["torch"]), min(times["sklearn"])
        print(
            f"{images:8,} {classes:8,} {ours:9.2f} {theirs:10.2f} {theirs / ours:7.2f} "
            f"{losses['torch']:11.5f} {losses['sklearn']:9.5f}" + ("" if most > FEW else f"  {most} iterations"),
            flush=True,
        )


if __name__ == "__main__":
    main()
