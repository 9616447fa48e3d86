"""What a recipe learns from last: the training images, or these and the validation images together.

VTAB (Zhai et al. 2019, arXiv 1910.04867) chooses on 800 training and 200 validation images, then trains once more on
all 1,000. A model that has learned from the validation images cannot be judged by them, nor choose an epoch by them.
"""

from __future__ import annotations

from dataclasses import replace

from vitbench.errors import UsageError
from vitbench.protocols import FitRun, Split, TrainVal
from vitbench.training import trainval


def learns_from_val(run: FitRun) -> bool:
    """Return whether the option ``final`` asks for the validation images, too."""
    return bool(run.options.get("final", "train") == "trainval")


def final_data(data: TrainVal, run: FitRun) -> TrainVal:
    """Return what the last training sees: with ``final = "trainval"`` one split of all images, and none to choose by.

    Raises:
        UsageError: the model is judged on the validation images, an epoch is chosen by them, or they are cached in
            another size.
    """
    if not learns_from_val(run):
        return data
    refuse_judged_val(run)
    if run.options.get("keep") == "best":
        raise UsageError('keep = "best" chooses by images that final = "trainval" learns from; set keep = "last"')
    none = Split(images=data.val.images, index=data.val.index[:0], labels=data.val.labels[:0])
    return replace(data, train=trainval(data), val=none)


def refuse_judged_val(run: FitRun) -> None:
    """Raise UsageError where the model is judged on the validation images that it learns from."""
    if run.judged == "val":
        raise UsageError(
            'final = "trainval" learns from the validation images, which --split val judges by; set final = "train"'
        )
