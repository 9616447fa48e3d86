"""vitbench: which image-classification backbone should I use, on my hardware and my data, and how sure are we?"""

from __future__ import annotations

from vitbench.api import Results, load, run
from vitbench.errors import Skip, VitbenchError
from vitbench.hookspecs import hookimpl
from vitbench.records import Measurement, Verdict
from vitbench.specs import DatasetSpec, MetricSpec, ModelSpec, Preprocess, RecipeSpec, SuiteSpec
from vitbench.version import __version__

__all__ = [
    "DatasetSpec",
    "Measurement",
    "MetricSpec",
    "ModelSpec",
    "Preprocess",
    "RecipeSpec",
    "Results",
    "Skip",
    "SuiteSpec",
    "Verdict",
    "VitbenchError",
    "__version__",
    "hookimpl",
    "load",
    "run",
]
