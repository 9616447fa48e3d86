"""Baselines: rows that a model must beat before anyone believes it has learned something."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench


@vitbench.hookimpl
def vitbench_models() -> Iterator[vitbench.ModelSpec]:
    """Give `majority` and `knn-pixels`."""
    yield vitbench.ModelSpec(
        name="majority",
        build="vitbench_baselines.majority:build",
        summary="Always predicts the most frequent class of the training images",
        recipe="baseline/majority",
        tags=("baseline",),
    )
    yield vitbench.ModelSpec(
        name="knn-pixels",
        build="vitbench_baselines.knn:build",
        summary="Vote of the nearest training images, by Euclidean distance between pixels (at most 32 x 32)",
        recipe="baseline/knn",
        tags=("baseline",),
    )


@vitbench.hookimpl
def vitbench_recipes() -> Iterator[vitbench.RecipeSpec]:
    """Give the recipes of the two baselines."""
    yield vitbench.RecipeSpec(
        name="majority",
        fit="vitbench_baselines.majority:fit",
        summary="Count the classes; only for baseline/majority",
        chooses=False,
    )
    yield vitbench.RecipeSpec(
        name="knn",
        fit="vitbench_baselines.knn:fit",
        summary="Store the training images; only for baseline/knn-pixels",
        options={"k": vitbench.Option(5, minimum=1, help="Number of neighbours that vote")},
        chooses=False,
    )
