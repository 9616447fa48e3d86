"""vitbench: which image-classification backbone should I use, on my hardware and my data, and how sure are we?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vitbench.version import __version__

if TYPE_CHECKING:
    from vitbench.api import Results, load, run, score, withdraw
    from vitbench.contract import API
    from vitbench.errors import Skip, UnusableError, UsageError, VitbenchError
    from vitbench.hookspecs import hookimpl
    from vitbench.picking.pick import Picked, pick
    from vitbench.protocols import ConfusionScore, ImageScores, SampleScore, TrainStep
    from vitbench.records import Measurement, Verdict
    from vitbench.specs import (
        DatasetSpec,
        ExporterSpec,
        FigureSpec,
        MeasurementSpec,
        MetricSpec,
        ModelSpec,
        Option,
        Preprocess,
        RecipeSpec,
        SuiteSpec,
    )

__all__ = [
    "API",
    "ConfusionScore",
    "DatasetSpec",
    "ExporterSpec",
    "FigureSpec",
    "ImageScores",
    "Measurement",
    "MeasurementSpec",
    "MetricSpec",
    "ModelSpec",
    "Option",
    "Picked",
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
    "pick",
    "run",
    "score",
    "withdraw",
]

_HOMES = {
    "api": ("Results", "load", "run", "score", "withdraw"),
    "contract": ("API",),
    "errors": ("Skip", "UnusableError", "UsageError", "VitbenchError"),
    "hookspecs": ("hookimpl",),
    "picking.pick": ("Picked", "pick"),
    "protocols": ("ConfusionScore", "ImageScores", "SampleScore", "TrainStep"),
    "records": ("Measurement", "Verdict"),
    "specs": (
        *(
            "DatasetSpec",
            "ExporterSpec",
            "FigureSpec",
            "MeasurementSpec",
            "MetricSpec",
            "ModelSpec",
            "Option",
            "Preprocess",
            "RecipeSpec",
        ),
        "SuiteSpec",
    ),
}
"""Where each name is at home. It is imported when it is first asked for: a command pays for what it uses alone."""


def __getattr__(name: str) -> Any:
    """Import a name's home (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"vitbench.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return what is in the module, whether it was asked for or not."""
    return sorted({*globals(), *__all__})
