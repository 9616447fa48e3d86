"""vitbench: which image-classification backbone should I use, on my hardware and my data, and how sure are we?"""

from __future__ import annotations

from vitbench.api import Results, load, run, withdraw
from vitbench.contract import API
from vitbench.errors import Skip, UnusableError, UsageError, VitbenchError
from vitbench.hookspecs import hookimpl
from vitbench.protocols import ConfusionScore, ImageScores, SampleScore, TrainStep
from vitbench.records import Measurement, Verdict
from vitbench.specs import (
    DatasetSpec,
    MeasurementSpec,
    MetricSpec,
    ModelSpec,
    Option,
    Preprocess,
    RecipeSpec,
    SuiteSpec,
)
from vitbench.version import __version__

__all__ = [
    "API",
    "ConfusionScore",
    "DatasetSpec",
    "ImageScores",
    "Measurement",
    "MeasurementSpec",
    "MetricSpec",
    "ModelSpec",
    "Option",
    "Preprocess",
    "RecipeSpec",
    "Results",
    "SampleScore",
    "Skip",
    "SuiteSpec",
    "TrainStep",
    "UnusableError",
    "UsageError",
    "Verdict",
    "VitbenchError",
    "__version__",
    "hookimpl",
    "load",
    "run",
    "withdraw",
]
