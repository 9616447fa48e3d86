"""What vitbench-zoo offers: descriptions only, so that listing them imports nothing heavy."""

from collections.abc import Iterator
from pathlib import Path

import vitbench
from vitbench import DatasetSpec, MetricSpec, ModelSpec, Option, RecipeSpec

__all__ = ["vitbench_datasets", "vitbench_metrics", "vitbench_models", "vitbench_recipes", "vitbench_suites"]

SWIN_OPTIONS = {
    "patch": Option(2, minimum=1, help="Side of a patch in pixels"),
    "window": Option(4, minimum=2, help="Side of a window in patches"),
    "depths": Option((2, 2), minimum=1, help="Blocks of each stage; every second one shifts its windows"),
    "width": Option(16, minimum=8, help="Channels of the first stage; each further one has twice as many"),
    "head_width": Option(8, choices=(4, 8, 16, 32), help="Channels of each attention head"),
    "checkpoint": "",
}
LENGTH = {
    "epochs": Option(10, minimum=1, help="Passes over the training split"),
    "batch_size": Option(32, minimum=1, help="Images of a step"),
    "lr": Option(2e-3, minimum=0, help="Peak learning rate"),
    "weight_decay": Option(0.01, minimum=0, help="Of AdamW"),
}


@vitbench.hookimpl
def vitbench_models() -> Iterator[ModelSpec]:
    swin = "vitbench_zoo.swin:build"
    paper = "Liu et al. 2021, arXiv 2103.14030"
    yield ModelSpec(name="swin", build=swin, summary="Swin, tiny and square", source=paper, options=SWIN_OPTIONS)
    yield ModelSpec(
        name="swin-gray8",
        build=swin,
        summary="The same for gray images of 8 pixels, a teacher for data of any shape",
        source=paper,
        image_size=8,
        in_channels=1,
        options=SWIN_OPTIONS,
    )
    yield ModelSpec(
        name="mixer-*",
        build="vitbench_zoo.mixer:build",
        summary="MLP-Mixer, its depth and width in its name: mixer-d4-w64",
        source="Tolstikhin et al. 2021, arXiv 2105.01601",
        resolve="vitbench_zoo.mixer_names:resolve",
        members="vitbench_zoo.mixer_names:members",
    )
    yield ModelSpec(
        name="hf-vit",
        build="vitbench_zoo.hf_vit:build",
        summary="The ViT of transformers, as a config.json describes it",
        source="https://huggingface.co/docs/transformers/model_doc/vit",
        options={"config": Option("", kind="file", help="A config.json of a ViT; none: a small one")},
        requires=("transformers",),
    )


@vitbench.hookimpl
def vitbench_datasets() -> Iterator[DatasetSpec]:
    yield DatasetSpec(
        name="idx",
        open="vitbench_zoo.idx:open_split",
        summary="IDX files, as MNIST's: train-images-idx3-ubyte and so on, plain or .gz",
        augmentations=("crop",),
        source="http://yann.lecun.com/exdb/mnist/",
    )
    yield DatasetSpec(
        name="npz",
        open="vitbench_zoo.npz:open_split",
        summary="One .npz file, as MedMNIST's: train_images, train_labels, ...",
        augmentations=(),
        options={"severity": Option(0, minimum=0, maximum=5, help="Strength of the noise on test images, 0 for none")},
        source="https://medmnist.com",
    )


@vitbench.hookimpl
def vitbench_recipes() -> Iterator[RecipeSpec]:
    yield RecipeSpec(
        name="sam",
        fit="vitbench_zoo.sam:fit",
        step="vitbench_zoo.sam:step",
        summary="Sharpness-aware minimisation: each step goes by the gradient at the worst point nearby",
        options={**LENGTH, "rho": Option(0.05, minimum=0, help="How far away that point is")},
    )
    yield RecipeSpec(
        name="distil",
        fit="vitbench_zoo.distil:fit",
        step="vitbench_zoo.distil:step",
        summary="Distillation: learn from a teacher's probabilities and from the labels",
        options={
            **LENGTH,
            "teacher": Option("", kind="model", help="The teacher, with its options and its checkpoint"),
            "temperature": Option(2.0, minimum=0.1, help="Softens both models' probabilities"),
            "share": Option(0.7, minimum=0, maximum=1, help="Of the teacher in the loss; the rest is the labels'"),
        },
    )


@vitbench.hookimpl
def vitbench_metrics() -> Iterator[MetricSpec]:
    module = "vitbench_zoo.metrics"
    yield MetricSpec(
        name="worst_class",
        measure=f"{module}:worst_class",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Accuracy on the class that is recognised worst",
        title="worst class",
    )
    yield MetricSpec(
        name="squared_miss",
        measure=f"{module}:squared_miss",
        unit="1",
        better="lower",
        needs="predictions",
        summary="Squared distance of the probabilities from the truth, mean over images",
    )
    yield MetricSpec(
        name="auroc_first",
        measure=f"{module}:auroc_first",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Area under the ROC curve of the first class against the others",
        title="AUROC",
    )
    yield MetricSpec(
        name="dark_top1",
        measure=f"{module}:dark_top1",
        unit="fraction",
        better="higher",
        needs=("predictions", "images"),
        summary="Accuracy on the darker half of the images",
        title="dark",
    )
    yield MetricSpec(
        name="layers",
        measure=f"{module}:layers",
        unit="1",
        better="neither",
        needs="architecture",
        summary="Modules that have parameters of their own",
        exact=True,
    )
    speeds = "vitbench_zoo.speed"
    yield MetricSpec(
        name="single_image",
        measure=f"{speeds}:single_image",
        unit="s",
        better="lower",
        needs="timing",
        at="batch_1",
        summary="Mean time of a single image",
        title="single",
        shown_unit="ms",
        scale=1000,
    )
    yield MetricSpec(
        name="steady_rate",
        measure=f"{speeds}:steady_rate",
        unit="images/s",
        better="higher",
        needs="timing",
        at="fixed_batch",
        summary="Images per second in the median block",
        title="steady",
    )
    yield MetricSpec(
        name="step_time",
        measure=f"{speeds}:step_time",
        unit="s",
        better="lower",
        needs="timing",
        at="training",
        summary="Time of a training step in the median block",
        title="step",
        shown_unit="ms",
        scale=1000,
    )


@vitbench.hookimpl
def vitbench_suites() -> Iterator[Path]:
    yield Path(__file__).with_name("zoo.toml")
