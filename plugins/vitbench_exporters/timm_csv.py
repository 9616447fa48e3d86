"""The columns of timm's results/*.csv (https://github.com/huggingface/pytorch-image-models/tree/main/results).

``results-DATASET.csv`` has scores in percent, parameters in millions and the input; ``benchmark-infer-MACHINE.csv`` and
``benchmark-train-MACHINE.csv`` have images per second, milliseconds per step, and 10^9 multiplications and additions.
Two columns more say what timm's files cannot: ``verdict``, and ``seeds`` or ``recipe``. Several rows of a file may have
one model where they differ in a condition; then the files are told apart by it.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitbench.exporting import ExportedResults, ExportedRow, ExportedValue, file_names
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]

_SCORES = ("model", "top1", "top1_err", "top5", "top5_err", "param_count", "img_size", "crop_pct", "interpolation")
_INFER = (
    *("model", "infer_img_size", "infer_samples_per_sec", "infer_step_time", "infer_batch_size"),
    *("param_count", "infer_gmacs", "infer_macts"),
)
_TRAIN = ("model", "train_samples_per_sec", "train_step_time", "train_batch_size", "train_img_size", "param_count")
_CONDITIONS = ("machine", "device", "precision", "threads", "compile", "channels_last", "limit", "epochs", "budget")
"""What files of one kind are told apart by, where they differ in it."""

Line = dict[str, str | int]


def write(results: ExportedResults, output: Path) -> list[str]:
    """Write the files."""
    left_out = LeftOut()
    files: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for row in results.rows:
        where = tuple(str(row.conditions.get(name)) for name in _CONDITIONS)
        for kind, line in (
            (f"results-{row.dataset}", _scores(row, left_out) if row.dataset else None),
            ("benchmark-infer", _speeds(row, "infer", "throughput", left_out)),
            ("benchmark-train", _speeds(row, "train", "train_throughput", left_out)),
        ):
            if line and line not in files[kind, *where]:
                files[kind, *where].append(line)
    for key, name in _names([key for key, lines in files.items() if lines]).items():
        _write(output / f"{name}.csv", files[key])
    return left_out.notes() or ([] if any(files.values()) else ["The files hold accuracy and throughput only."])


def _names(keys: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], str]:
    """Return names of files: the kind, with those conditions that differ among files."""
    differ = [place for place in range(1, len(_CONDITIONS) + 1) if len({key[place] for key in keys}) > 1]
    texts = {key: "-".join([key[0], *(key[place] for place in differ)]) for key in keys}
    named = file_names(texts.values())
    return {key: named[text] for key, text in texts.items()}


def _write(path: Path, lines: Sequence[Line]) -> None:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


def _scores(row: ExportedRow, left_out: LeftOut) -> Line | None:
    top1, top5 = (_usable(row, name, left_out) for name in ("top1", "top5"))
    if top1 is None and top5 is None:
        return None
    line: Line = dict.fromkeys(_SCORES, "")
    for name, value in (("top1", top1), ("top5", top5)):
        if value is not None and value.value is not None:
            line[name], line[f"{name}_err"] = f"{100 * value.value:.3f}", f"{100 * (1 - value.value):.3f}"
    preprocess = next((cell.preprocess for cell in row.cells if cell.preprocess), {})
    crop = preprocess.get("crop_fraction")
    line |= {
        "model": row.label,
        "param_count": _millions(row),
        "img_size": _size(row),
        "crop_pct": "" if crop is None else f"{crop:.3f}",
        "interpolation": str(preprocess.get("interpolation", "")),
        "recipe": row.recipe,
        "seeds": " ".join(map(str, row.seeds)),
        "verdict": _remarks(top1, top5),
    }
    return line


def _speeds(row: ExportedRow, kind: str, metric: str, left_out: LeftOut) -> Line | None:
    speed = _usable(row, metric, left_out)
    batch = row.conditions.get("batch_size" if kind == "infer" else "train_batch_size")
    if speed is None or not speed.value or batch is None:
        return None
    line: Line = dict.fromkeys(_INFER if kind == "infer" else _TRAIN, "")
    line |= {
        "model": row.label,
        f"{kind}_img_size": _size(row),
        f"{kind}_samples_per_sec": f"{speed.value:.2f}",
        f"{kind}_step_time": f"{1000 * batch / speed.value:.3f}",
        f"{kind}_batch_size": batch,
        "param_count": _millions(row),
    }
    macs = row.values.get("macs")
    if kind == "infer" and macs is not None and macs.usable and macs.value is not None:
        line["infer_gmacs"] = f"{macs.value / 1e9:.4g}"
    return line | {"verdict": _remarks(speed)}


def _usable(row: ExportedRow, name: str, left_out: LeftOut) -> ExportedValue | None:
    value = row.values.get(name)
    if value is None or value.value is None:
        return None
    if not value.usable:
        left_out.add("invalid values")
        return None
    return value


def _millions(row: ExportedRow) -> str:
    params = row.values.get("params")
    return f"{params.value / 1e6:,.2f}" if params is not None and params.usable and params.value is not None else ""


def _size(row: ExportedRow) -> str:
    height, width = row.image_size
    return str(height) if height == width else f"{height}x{width}"


def _remarks(*values: ExportedValue | None) -> str:
    remarks = dict.fromkeys(value.remark for value in values if value is not None and value.remark)
    return " | ".join(remarks) or "valid"
