"""The names that vitbench takes where nobody says another: of plugins' offers, and nowhere else in the core."""

from __future__ import annotations

from collections.abc import Mapping

SUITE = "suites/quick"
"""Where no suite is named."""
RECIPE = "recipes/supervised"
"""For a model that names none and starts from random weights."""
PRETRAINED_RECIPE = "recipes/finetune"
"""For a model that names none and has been trained."""
SCORE_SUITE = "suites/score"
"""What ``vitbench score`` runs."""
SCORE_RECIPE = "recipes/evaluate"
"""Its recipe, which has the options `vitbench.planning.heads.CLASS_MAP` and `CLASSES`."""
PICK_SUITE = "suites/candidates"
"""The models that `vitbench pick` chooses among where nobody names others."""
PROBE_RECIPE = "recipes/linear-probe"
"""What `vitbench pick` compares trained models by before it trains any."""
RANK_BY = "top1"
"""What a table is ranked by."""
SPEED = "throughput"
"""The speed that tables, sentences and pictures set against what a table is ranked by."""
LATENCY = "latency_p50"
MEMORY = "peak_memory"
SIZE = "params"
TRAINING_SPEED = "train_throughput"
LATENCY_TAIL = "latency_p95"
"""What is marked beside `LATENCY` in the picture of the latencies."""
LIVE_SPEEDS = (SPEED, LATENCY, TRAINING_SPEED)
"""What ``vitbench compare --measure`` can time: the speed of a forward pass, of one image, of a training step."""
SPEEDS = (SPEED, LATENCY, LATENCY_TAIL, MEMORY, TRAINING_SPEED)
"""What a run without speeds lacks."""
CONFUSION_FIGURE = "figures/confusion"
MISTAKES_FIGURE = "figures/mistakes"
"""Figures whose content the page has by itself."""
RESERVED = frozenset(
    {
        *("rank", "rank_last", "rank_by", "rank_by_low", "rank_by_high", "rank_by_interval", "tied_with"),
        *(
            "model",
            "baseline",
            "image_size",
            "img_size",
            "dataset",
            "lineage",
            "fingerprint",
            "partial",
            "limit",
            "epochs",
            "budget",
            "split",
            "other_classes",
            "head",
        ),
        *("source", "score", "score_low", "score_high", "score_rank", "score_rank_last", "mean_rank"),
        *("recipe", "recipe_options", "seeds", "seeds_missing", "seed_devices", "seed_steps", "out_of_fold"),
        *("batch_size", "train_batch_size", "pretrained_on", "licence", "normalisation", "passes"),
        *("machine", "device", "precision", "threads", "compile", "channels_last", "method", "torch", "variables"),
        "steady_allocator",
        *("train_step", "pareto_speed", "pareto_speed_memory", "verdict", "reasons"),
        *("top1_err", "top1_low", "top1_high", "top5_err", "param_count", "infer_gmacs", "infer_batch_size"),
        *("infer_samples_per_sec", "train_samples_per_sec"),
    }
)
"""The fixed columns of a CSV and of a data frame of rows, which would hide a measurement of such a name."""
AXES: Mapping[str, str] = {SPEED: "throughput", LATENCY: "latency", MEMORY: "memory", SIZE: "parameters"}
"""What pictures set what is ranked by against, and what each is called there."""
