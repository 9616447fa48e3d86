"""TensorBoard event files: a folder per training, with its curve, values, hyperparameters and figures.

The events are written as TensorBoard's own protocol buffers, so that the same results give the same bytes: file names
and times are those of the records. A value that is to be taken with care is under ``doubtful/``, with its reasons as
text; an invalid one is left out. Row values of timings are in the folder of the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitbench.exporting import ExportedCell, ExportedResults, file_names
from vitbench_exporters.leaving_out import LeftOut

__all__ = ["write"]

_LONGEST = 1000
"""Characters of a hyperparameter."""


def write(results: ExportedResults, output: Path, pictures: bool) -> list[str]:
    """Write a folder of events for each training and timing that succeeded."""
    left_out = LeftOut()
    cells = [cell for cell in results.cells if cell.kind != "figure"]
    left_out.add("cells without a result", sum(cell.status != "ok" for cell in cells))
    cells = [cell for cell in cells if cell.status == "ok"]
    named = file_names(_title(cell) for cell in cells)
    for cell in cells:
        folder = output / named[_title(cell)]
        folder.mkdir(exist_ok=True)
        # One folder may have several cells: the same training in another condition is another run.
        name = f"events.out.tfevents.{int(cell.started)}.vitbench.{cell.key}"
        _write(folder / name, [*_events(cell, left_out), *(_images(cell) if pictures else ())])
    return [*left_out.notes(), f"Open it: tensorboard --logdir {output}"]


def _title(cell: ExportedCell) -> str:
    parts = (
        [cell.dataset_title, cell.recipe.partition("/")[2], f"seed {cell.seed}"]
        if cell.kind == "quality"
        else [cell.mode, f"batch {cell.batch_size}"]
    )
    return " ".join([cell.label, *parts, cell.key[:6]])


def _write(path: Path, events: list[Any]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in (Event(wall_time=events[0].wall_time, file_version="brain.Event:2"), *events):
            writer.write(event.SerializeToString())
        writer.flush()


def _events(cell: ExportedCell, left_out: LeftOut) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    yield _event(cell, 0, _session_start(cell))
    for number, epoch in enumerate(cell.curve, 1):
        values = [
            Summary.Value(tag=f"curve/{name}", simple_value=value)
            for name, value in epoch.items()
            if name != "epoch" and isinstance(value, (int, float))
        ]
        yield _event(cell, int(epoch.get("epoch", number)), Summary(value=values))
    scalars, doubts = [], {}
    for name, value in cell.values.items():
        if value.value is None or not value.usable:
            left_out.add("invalid values", value.value is not None)
            continue
        above = "doubtful/" if value.verdict != "valid" else ""
        doubts |= {name: value.remark} if above else {}
        scalars += [
            Summary.Value(tag=f"{above}{name}{part}", simple_value=number)
            for part, number in (("", value.value), ("/low", value.low), ("/high", value.high))
            if number is not None
        ]
    yield _event(cell, len(cell.curve), Summary(value=scalars))
    if doubts:
        yield _event(cell, len(cell.curve), _text("doubtful", doubts))
    yield _event(cell, len(cell.curve), _session_end(cell))


def _images(cell: ExportedCell) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    for number, picture in enumerate(cell.pictures(), 1):
        width, height = (int.from_bytes(picture.png[at : at + 4], "big") for at in (16, 20))  # of its header
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=picture.png)
        tag = "/".join(filter(None, ("figures", picture.figure, picture.step or str(number))))
        yield _event(cell, len(cell.curve), Summary(value=[Summary.Value(tag=tag, image=image)]))


def _event(cell: ExportedCell, step: int, summary: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=cell.started + cell.seconds, step=step, summary=summary)


def _text(tag: str, lines: Mapping[str, str]) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    words = "\n".join(f"- {name}: {reason}" for name, reason in lines.items())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[words.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def _session_start(cell: ExportedCell) -> Any:
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    asked = {}
    for name, value in _hyperparameters(cell).items():
        kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
        asked[name] = struct_pb2.Value(**{kind: value})
    info = SessionStartInfo(hparams=asked, start_time_secs=cell.started)
    return _hparams(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def _session_end(cell: ExportedCell) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    info = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"), end_time_secs=cell.started + cell.seconds)
    return _hparams(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _hparams(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.metadata import NULL_TENSOR, PLUGIN_DATA_VERSION, PLUGIN_NAME

    data.version = PLUGIN_DATA_VERSION
    content = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=data.SerializeToString())
    metadata = SummaryMetadata(plugin_data=content)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=NULL_TENSOR)])


def _hyperparameters(cell: ExportedCell) -> dict[str, bool | float | str]:
    """Return what was asked, as TensorBoard takes it: numbers and flags as they are, all else as text."""
    asked: dict[str, Any] = {
        "model": cell.label,
        "dataset": cell.dataset_title,
        "recipe": cell.recipe,
        "seed": cell.seed,
        "precision": cell.precision,
        "device": cell.device,
        "machine": cell.machine,
        **{f"model.{name}": value for name, value in cell.options.items()},
        **{f"recipe.{name}": value for name, value in cell.recipe_options.items()},
    }
    return {
        name: value
        if isinstance(value, bool | int | float) and math.isfinite(value)
        else str(value).encode(errors="backslashreplace").decode()[:_LONGEST]
        for name, value in asked.items()
        if value is not None and value != ""
    }
