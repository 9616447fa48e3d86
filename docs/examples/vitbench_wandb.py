"""An exporter in one file: a run of Weights & Biases, offline, for each training.

vitbench export wandb vitbench-results --plugin vitbench_wandb.py
wandb sync vitbench-results/exports/wandb/wandb/offline-run-*
"""

import math
import os

import vitbench


@vitbench.hookimpl
def vitbench_exporters():
    """Give the exporter."""
    yield vitbench.ExporterSpec(
        name="wandb",
        write=write,
        summary="Weights & Biases: an offline run for each training",
        options={"project": vitbench.Option("vitbench", help="The project of the runs")},
        requires=("wandb",),
        install="pip install wandb",
    )


def write(results, output, project):
    """Write an offline run for each training that ended well."""
    os.environ["WANDB_MODE"] = "offline"  # `wandb sync` sends them, when and if the user says so
    os.environ["WANDB_SILENT"] = "true"
    import wandb

    left_out = 0
    for cell in results.cells:
        if cell.kind != "quality" or cell.status != "ok":
            continue
        config = {"model": cell.label, "dataset": cell.dataset_title, "seed": cell.seed, **cell.recipe_options}
        settings = wandb.Settings(disable_git=True, disable_code=True, x_disable_stats=True, console="off")
        name = f"{cell.label}, {cell.dataset_title}, seed {cell.seed}"
        with wandb.init(
            project=project, name=name, id=cell.key, config=config, dir=str(output), mode="offline", settings=settings
        ) as run:
            for number, epoch in enumerate(cell.curve, 1):
                run.log({name: value for name, value in epoch.items() if math.isfinite(value)}, step=number)
            for value in cell.values.values():
                if value.usable:
                    run.summary[value.name] = value.value
                    run.summary[f"{value.name}_verdict"] = value.remark or "valid"
                left_out += value.value is not None and not value.usable
    for path in output.rglob("*"):  # links to the newest run and its logs, which lead to what is there anyway
        if path.is_symlink():
            path.unlink()
    return [f"Left out: invalid values ({left_out})."] if left_out else []
