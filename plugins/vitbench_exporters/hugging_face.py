"""Evaluation results as the Hugging Face Hub reads them, a folder per model.

``README.md`` has the scores as a model-index in the head of a model card, and ``.eval_results/DATASET.yaml`` has those
of datasets whose Hub repository the user named (https://huggingface.co/docs/hub/eval-results): the Hub shows them on
the model's page and on the dataset's leaderboard. Scores alone: speeds hold for one machine. Both formats are made by
huggingface_hub's own types. Of an uncertain score the verdict is in its name, or in its notes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vitbench
from vitbench.exporting import ExportedResults, ExportedRow, ExportedValue, file_name, file_names
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]

_TASK = "image-classification"
_METRICS = {"top1": "accuracy", "top5": "top_5_accuracy"}
"""What the Hub calls them; others keep their names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Hub:
    """A dataset on the Hub."""

    repository: str
    task: str


def write(results: ExportedResults, output: Path, datasets: Sequence[str]) -> list[str]:
    """Write a folder for each model.

    Raises:
        UsageError: a dataset is not named as NAME:REPOSITORY, or is none of these results.
    """
    hub = _hub(datasets, results)
    left_out = LeftOut()
    models: dict[str, list[ExportedRow]] = defaultdict(list)
    for row in results.rows:
        if row.dataset:
            models[row.label].append(row)
    names = file_names(models)
    unnamed: dict[str, None] = {}
    for label, rows in models.items():
        found = [(row, values) for row in rows if (values := list(_scores(row, left_out)))]
        if not found:
            continue
        folder = output / names[label]
        (folder / ".eval_results").mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text(_card(label, found, hub), encoding="utf-8")
        for row, values in found:
            if row.dataset not in hub:
                unnamed[row.dataset] = None
                continue
            _write_entries(folder / ".eval_results", row, values, hub[row.dataset], results.rank_by)
        if not any((folder / ".eval_results").iterdir()):
            (folder / ".eval_results").rmdir()
    notes = [
        f"No .eval_results for {name}: name its Hub repository, hugging-face:datasets={file_name(name)}:OWNER/NAME."
        for name in unnamed
    ]
    if not models:
        notes = ["Model cards hold the results of trainings only."]
    return [*left_out.notes(), *notes]


def _hub(given: Sequence[str], results: ExportedResults) -> dict[str, _Hub]:
    """Return the Hub's datasets by the titles that rows have."""
    titles: dict[str, set[str]] = defaultdict(set)
    for row in results.rows:
        for cell in row.cells:
            if cell.kind == "quality":
                names = (row.dataset, file_name(row.dataset), cell.dataset, cell.dataset.rpartition("/")[2])
                for name in (*names, cell.dataset.partition(":")[0].rpartition("/")[2]):
                    titles[name].add(row.dataset)
    found: dict[str, _Hub] = {}
    for text in given:
        name, _, rest = text.partition(":")
        repository, _, task = rest.partition(":")
        if repository.count("/") != 1 or not all(repository.split("/")):
            raise vitbench.UsageError(f'hugging-face: datasets needs NAME:OWNER/NAME, not "{text}".')
        if name not in titles:
            known = ", ".join(sorted({title for some in titles.values() for title in some})) or "none"
            raise vitbench.UsageError(f'hugging-face: there are no results on "{name}"; there are those on {known}.')
        found |= dict.fromkeys(titles[name], _Hub(repository=repository, task=task or "default"))
    return found


def _scores(row: ExportedRow, left_out: LeftOut) -> Iterator[ExportedValue]:
    """Give the values of a row that say something of its weights."""
    of_weights = {name for cell in row.cells if cell.kind == "quality" for name in cell.values}
    for value in row.values.values():
        if value.name not in of_weights or value.exact or value.machine_bound or value.value is None:
            continue
        if value.usable:
            yield value
        else:
            left_out.add("invalid values")


def _card(label: str, found: Sequence[tuple[ExportedRow, Sequence[ExportedValue]]], hub: Mapping[str, _Hub]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    for row, values in found:
        known = hub.get(row.dataset)
        for value in values:
            named = value.title or value.name
            results.append(
                EvalResult(
                    task_type=_TASK,
                    task_name="Image classification",
                    dataset_type=known.repository if known else file_name(row.dataset).lower(),
                    dataset_name=row.dataset,
                    dataset_split=str(row.conditions.get("split") or "test"),
                    metric_type=_METRICS.get(value.name, value.name),
                    metric_name=f"{named} ({value.remark})" if value.remark else named,
                    metric_value=value.value,
                    metric_args=_args(row, value),
                )
            )
    data = ModelCardData(model_name=label, eval_results=results, library_name="pytorch", tags=[_TASK])
    title = " ".join(label.split())
    return f"---\n{data.to_yaml()}\n---\n\n# {title}\n\nEvaluated by vitbench.\n"


def _args(row: ExportedRow, value: ExportedValue) -> dict[str, Any]:
    """Return what a number rests on."""
    known: dict[str, Any] = {
        "low": value.low,
        "high": value.high,
        "interval": value.interval,
        "unit": value.unit,
        "verdict": value.verdict,
        "seeds": list(row.seeds),
        "recipe": row.recipe,
        "partial": row.partial or None,
    }
    return {name: each for name, each in known.items() if each is not None}


def _write_entries(folder: Path, row: ExportedRow, values: Sequence[ExportedValue], known: _Hub, rank_by: str) -> None:
    """Write the value that rows are ranked by: a leaderboard of the Hub has one per task."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    value = next((each for each in values if each.name == rank_by), None)
    if value is None:
        return
    newest = max(cell.started for cell in row.cells)
    bounds = "" if value.low is None or value.high is None else f", 95 % interval {value.low:.4g} to {value.high:.4g}"
    about = [
        value.name + bounds * (value.interval == "95%"),
        row.recipe,
        f"seeds {', '.join(map(str, row.seeds))}",
        *(["partial"] if row.partial else []),
        *([value.remark] if value.remark else []),
    ]
    entry = EvalResultEntry(
        dataset_id=known.repository,
        task_id=known.task,
        value=value.value,
        date=datetime.fromtimestamp(int(newest), UTC).isoformat().replace("+00:00", "Z"),
        notes="; ".join(filter(None, about)),
    )
    # A file per row: rows of one dataset differ in a condition, and the Hub takes several files.
    name = file_name(row.dataset)
    number = sum(path.stem.partition("_")[0] == name for path in folder.iterdir())
    path = folder / (f"{name}_{number + 1}.yaml" if number else f"{name}.yaml")
    text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
