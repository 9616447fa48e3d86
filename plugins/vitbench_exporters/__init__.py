"""Formats that `vitbench export` writes: what other tools read of a results folder.

A number without a valid verdict is written with its verdict where the format has a place for it; an invalid one is left
out, and the exporter says how many it left out.
"""

from collections.abc import Iterator

import vitbench

__all__ = ["vitbench_exporters"]


@vitbench.hookimpl
def vitbench_exporters() -> Iterator[vitbench.ExporterSpec]:
    """Give all formats."""
    yield vitbench.ExporterSpec(
        name="every-eval-ever",
        write="vitbench_exporters.every_eval_ever:write",
        summary="Every Eval Ever: a JSON file per training, with intervals, and the answer for each image",
        options={
            "organization": vitbench.Option("unknown", help="Who produced these results"),
            "relationship": vitbench.Option(
                "other",
                choices=("first_party", "third_party", "collaborative", "other"),
                help="How they are related to the authors of the models",
            ),
            "samples": vitbench.Option(True, help="Also write the answer for each image"),
        },
    )
    yield vitbench.ExporterSpec(
        name="hugging-face",
        write="vitbench_exporters.hugging_face:write",
        summary="Hugging Face: model-index in a model card, and .eval_results, a folder per model",
        requires=("huggingface_hub", "yaml"),
        install="pip install huggingface_hub",
        options={
            "datasets": vitbench.Option(
                (), type="str", help="Their Hub repositories, such as cifar10:uoft-cs/cifar10, or NAME:REPOSITORY:TASK"
            ),
        },
    )
    yield vitbench.ExporterSpec(
        name="mlflow",
        write="vitbench_exporters.mlflow_store:write",
        summary="MLflow: a local store with a run per training and timing, with curves",
        requires=("mlflow", "sqlalchemy", "alembic"),
        install='pip install "vitbench[mlflow]"',
        options={
            "experiment": vitbench.Option("vitbench", help="Name of the experiment"),
            "pictures": vitbench.Option(True, help="Also draw the figures"),
        },
    )
    yield vitbench.ExporterSpec(
        name="tensorboard",
        write="vitbench_exporters.tensorboard_events:write",
        summary="TensorBoard: curves, values, hyperparameters and figures",
        requires=("tensorboard",),
        install='pip install "vitbench[tensorboard]"',
        options={"pictures": vitbench.Option(True, help="Also draw the figures")},
    )
    yield vitbench.ExporterSpec(
        name="timm-csv",
        write="vitbench_exporters.timm_csv:write",
        summary="The columns of timm's results/*.csv: scores per dataset, inference and training speed",
    )
    yield vitbench.ExporterSpec(
        name="pytest-benchmark",
        write="vitbench_exporters.pytest_benchmark_json:write",
        summary="pytest-benchmark: times of steps, for `pytest-benchmark compare`",
        requires=("pytest_benchmark",),
        install="pip install pytest-benchmark",
    )
