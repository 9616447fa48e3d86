"""Every Eval Ever (https://github.com/evaleval/every_eval_ever, schema 0.3.0): results in one schema for all tools.

``data/DATASET/DEVELOPER/MODEL/UUID.json`` for each training, one result per metric with its 95 % interval, and beside
it ``UUID_samples.jsonl``, the answer to each image. The UUID is made of the cell's key, so that the same results give
the same files. The schema's `details` hold the verdict of a value that is to be taken with care; an invalid one is left
out.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitbench.exporting import ExportedCell, ExportedResults, ExportedValue, file_name
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]

SCHEMA = "0.3.0"
_SCORED = "top1"
"""The metric that the answer to one image is a part of."""


def write(results: ExportedResults, output: Path, organization: str, relationship: str, samples: bool) -> list[str]:
    """Write the files."""
    left_out = LeftOut()
    versions = {run.id: run.version for run in results.runs}
    for cell in results.cells:
        if cell.kind != "quality":
            left_out.add("timings, which the schema has no place for", cell.kind == "speed" and cell.status == "ok")
            continue
        found = {value.name: value for value in cell.values.values() if cell.status == "ok" and value.value is not None}
        left_out.add("invalid values", sum(not value.usable for value in found.values()))
        left_out.add("trainings without a result", cell.status != "ok")
        usable = {name: value for name, value in found.items() if value.usable}
        if usable:
            head = _head(cell, organization, relationship, versions.get(cell.run) or results.version)
            _write(output, cell, head, usable, samples=samples)
    return left_out.notes()


def _write(
    output: Path, cell: ExportedCell, head: dict[str, Any], values: Mapping[str, ExportedValue], *, samples: bool
) -> None:
    name = str(_uuid(cell.key))
    developer, _, model = head["model_info"]["id"].partition("/")
    folder = Path("data", _component(cell.dataset_title), _component(developer), _component(model))
    (output / folder).mkdir(parents=True, exist_ok=True)
    content = {**head, "evaluation_results": [_result(cell, value) for value in values.values()]}
    if samples and _SCORED in values and (lines := list(_samples(cell, head))):
        path = folder / f"{name}_samples.jsonl"
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        (output / path).write_bytes(text)
        content["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": path.as_posix(),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(text).hexdigest(),
            "total_rows": len(lines),
        }
    (output / folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _component(text: str) -> str:
    """Return a name in a path of the data store, in which ``data`` has a meaning."""
    name = file_name(text)
    return f"x-{name}" if name.lower() == "data" else name


def _uuid(key: str) -> uuid.UUID:
    """Return a UUID, of version 4 in its form, that a cell always has."""
    return uuid.UUID(bytes=hashlib.sha256(key.encode()).digest()[:16], version=4)


def _head(cell: ExportedCell, organization: str, relationship: str, version: str) -> dict[str, Any]:
    developer, _, _ = cell.model.partition("/")
    identity = f"{file_name(developer)}/{file_name(cell.label)}"
    when = f"{cell.started:.0f}"
    about = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        "name": cell.model,
        **{f"option.{name}": value for name, value in cell.options.items()},
        "recipe": cell.recipe,
        **{f"recipe.{name}": value for name, value in cell.recipe_options.items()},
        "seed": cell.seed,
        "precision": cell.precision,
        "device": cell.device,
        "machine": cell.machine,
        "image_size": "x".join(map(str, cell.image_size)),
    }
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{file_name(cell.dataset_title)}/{identity}/{when}-{cell.key}",
        "evaluation_timestamp": when,
        "retrieved_timestamp": when,
        "source_metadata": {
            "source_name": "vitbench",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": relationship,
        },
        "eval_library": {
            "name": "vitbench",
            "version": version,
            "additional_details": _texts({"torch": cell.torch, "cell": cell.id, "key": cell.key}),
        },
        "model_info": {
            "name": cell.label,
            "id": identity,
            "developer": developer,
            "inference_engine": {"name": "torch", "version": cell.torch},
            "additional_details": _texts(about),
        },
    }


def _result(cell: ExportedCell, value: ExportedValue) -> dict[str, Any]:
    data = cell.content["planned"].get("data") or {}
    uncertainty: dict[str, Any] = {}
    if value.interval == "95%":
        uncertainty["confidence_interval"] = {"lower": value.low, "upper": value.high, "confidence_level": 0.95}
    if value.n is not None:
        uncertainty["num_samples"] = value.n
    details: dict[str, object] = {"verdict": value.verdict, "reasons": "; ".join(value.reasons)}
    if value.interval == "range":
        details |= {"range_low": value.low, "range_high": value.high}
    images = (data.get("sizes") or {}).get(cell.split)
    source = {"split": cell.split, "fingerprint": data.get("fingerprint"), "images": images, "name": cell.dataset}
    source |= {"lineage": data["lineage"]} if data.get("lineage") else {}
    bounded = value.unit == "fraction"
    return {
        "evaluation_result_id": f"{cell.key}/{value.name}",
        "evaluation_name": cell.dataset_title,
        "evaluation_timestamp": f"{cell.started:.0f}",
        "source_data": {
            "dataset_name": cell.dataset_title,
            "source_type": "other",
            "additional_details": _texts(source),
        },
        "metric_config": {
            "metric_id": "accuracy" if value.name == _SCORED else f"vitbench.{value.name}",
            "metric_name": value.title or value.name,
            "metric_unit": "proportion" if bounded else value.unit,
            "lower_is_better": value.better == "lower",
            "score_type": "continuous",
            "min_score": 0.0 if bounded else "-Infinity",
            "max_score": 1.0 if bounded else "Infinity",
        },
        "score_details": {
            "score": value.value,
            "details": _texts(details),
            **({"uncertainty": uncertainty} if uncertainty else {}),
        },
    }


def _samples(cell: ExportedCell, head: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the answer to each image; the image itself stays where it is."""
    answers = cell.answers()
    if answers is None:
        return
    names = dict(enumerate(cell.class_names))
    columns = (answers.index, answers.labels, answers.classes, answers.confidence)
    for index, label, answer, confidence in zip(*(column.tolist() for column in columns), strict=True):
        raw = f"image {index} of the {cell.split} split of {cell.dataset_title}"
        truth, said = names.get(label, str(label)), names.get(answer, str(answer))
        yield {
            "schema_version": SCHEMA,
            "evaluation_id": head["evaluation_id"],
            "model_id": head["model_info"]["id"],
            "evaluation_name": cell.dataset_title,
            "evaluation_result_id": f"{cell.key}/{_SCORED}",
            "sample_id": str(index),
            "sample_hash": hashlib.sha256((raw + truth).encode()).hexdigest(),
            "interaction_type": "single_turn",
            "input": {"raw": raw, "reference": [truth]},
            "output": {"raw": [said]},
            "answer_attribution": [],
            "evaluation": {"score": float(label == answer), "is_correct": label == answer},
            "metadata": {"confidence": f"{confidence:.6g}"},
        }


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return details as the schema has them, texts; without those that are not known."""
    return {name: str(value) for name, value in values.items() if value is not None and value != ""}
