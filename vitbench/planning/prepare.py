"""Asked cells become keyed cells: resolve families, check options, device and data, hash what each cell is made of.

It runs in one child, before anything is written into the output folder. Its errors are exit 2 or 3.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vitbench.catalog import Catalog, load_catalog
from vitbench.catalog.provenance import first_missing
from vitbench.errors import UnusableError, UsageError, VitbenchError, reason_of
from vitbench.execution.executor import Send
from vitbench.execution.messages import Say
from vitbench.planning.keying import Keyer
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.resolve import ResolvedModel, hub_environment, needs_hub, resolve_model
from vitbench.planning.suite import AskedCell
from vitbench.records import DataInfo, KeyedCell, digest
from vitbench.specs import ModelSpec

if TYPE_CHECKING:
    from vitbench.data.cache import WantedSize

__all__ = ["prepare", "prepare_in_child"]


def prepare_in_child(content: bytes, folder: Path | None, send: Send) -> Prepared:
    """Decode a request and prepare it.

    Raises:
        VitbenchError: a user's mistake, or a plugin's.
    """
    from vitbench.worker.heartbeat import signs_of_life

    try:
        request = msgspec.msgpack.decode(content, type=PrepareRequest)
        with signs_of_life(send, "preparing"):  # a dataset may have to be fetched
            return prepare(request, load_catalog(request.plugins), lambda text: send(Say(text=text)))
    except VitbenchError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"preparing the run failed: {reason_of(error)}"
        raise UnusableError(f"{words} ({place.filename}:{place.lineno})") from error


def prepare(request: PrepareRequest, catalog: Catalog, say: Callable[[str], None]) -> Prepared:
    """Return the keyed cells of a request, without repetitions.

    Raises:
        UsageError: an unknown member of a family, or an option that it does not have.
        UnusableError: a device, a dataset or a checkpoint that is missing or cannot be used.
    """
    from vitbench import environment
    from vitbench.worker.runtime import check_precision

    models = {_asked_key(cell): resolve_model(cell.model, cell.recipe, catalog) for cell in request.cells}
    device = environment.resolve_device(request.conditions.device)
    check_precision(request.conditions.precision, device)
    described = environment.describe(device)
    data = _open_data(request, models.values(), catalog, say)
    notes = _describe_data(data.values(), request.conditions.limit)
    from_hub = any(needs_hub(each.spec, each.options, each.checkpoint_sha256) for each in models.values())
    child_environment = hub_environment(from_hub, say)
    keyer = Keyer.of(request.conditions, device=device, described=described)
    cells: dict[str, KeyedCell] = {}
    built: set[str] = set()
    for asked in request.cells:
        model = models[_asked_key(asked)]
        info = data[asked.dataset, _side(model.spec)]
        if not model.unavailable and (reason := _unfit(model.spec, info)):
            model = replace(model, unavailable=reason)
        keyed = _keyed(asked, model, info, keyer, catalog)
        if keyed.id not in cells or cells[keyed.id].unavailable:  # a speed that several data ask for, which one fits
            cells[keyed.id] = keyed
        form = digest((keyed.cell.model, model.options, len(info.class_names), keyed.image_size, keyed.in_channels))
        if request.build and form not in built and not keyed.unavailable:
            built.add(form)
            _check_build(keyed, model, info)
    return Prepared(
        cells=tuple(cells.values()),
        environment=described,
        child_environment=child_environment,
        notes=notes,
    )


def _check_build(planned: KeyedCell, model: ResolvedModel, data: DataInfo) -> None:
    """Build a model as its cell will, without weights unless it has a checkpoint: a wrong option shows before a run.

    Any other failure is the plugin's; its cell ends as failed, and the others go on.

    Raises:
        UsageError, UnusableError: as `build` does, with the model's name.
    """
    from vitbench.worker.build import build_model, meta_architecture

    num_classes = len(data.class_names)
    try:
        if model.checkpoint_sha256:
            build_model(planned, model.spec, num_classes)
        else:
            meta_architecture(planned, model.spec, num_classes)()
    except (UsageError, UnusableError) as error:
        raise type(error)(f"model {planned.label} on {data.title}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit, and panics of extensions that are no Exception
        return


def _asked_key(cell: AskedCell) -> bytes:
    return msgspec.json.encode((cell.model, cell.recipe), order="deterministic")


def _side(spec: ModelSpec) -> WantedSize:
    """Return the size and the filter in which a model wants its images."""
    from vitbench.data.cache import WantedSize

    how = spec.preprocess
    return WantedSize(
        image_size=spec.input_size,
        interpolation=how.interpolation if how else "bicubic",
        crop_fraction=how.crop_fraction if how else 1.0,
    )


def _unfit(spec: ModelSpec, data: DataInfo) -> str:
    """Return why the data's channels do not become the model's; nothing where they do."""
    from vitbench.data.geometry import channels_fit

    given, wanted = data.shape[0], spec.in_channels
    if wanted is None or channels_fit(given, wanted):
        return ""
    takes = f"it takes {wanted} {'channel' if wanted == 1 else 'channels'}, and {data.title} has {given}"
    return f"{takes}; only gray becomes several channels, and three become gray"


def _open_data(
    request: PrepareRequest, models: Iterable[ResolvedModel], catalog: Catalog, say: Callable[[str], None]
) -> dict[tuple[str, WantedSize], DataInfo]:
    """Open and cache each dataset once, at each size that a model wants."""
    from vitbench.data.cache import cache_dataset
    from vitbench.data.locate import default_cache_root, default_data_root, locate

    layouts = [(offer.plugin.name, offer.spec) for offer in catalog.datasets.values() if offer.spec.is_layout]
    sides = {_side(model.spec) for model in models}
    opened: dict[tuple[str, WantedSize], DataInfo] = {}
    for name in dict.fromkeys(cell.dataset for cell in request.cells):
        offer = catalog.datasets.get(name)
        short = name.partition("/")[2] if offer else name
        path = request.data_paths.get(name)
        located = locate(
            short,
            spec=offer.spec if offer else None,
            plugin=offer.plugin.name if offer else "",
            layouts=layouts,
            data_path=Path(path) if path else None,
            data_root=default_data_root(),
        )
        lacking = first_missing(located.spec.requires)
        if lacking:
            raise UnusableError(f"dataset {short} needs {lacking}; pip install {lacking}.")
        for side, info in cache_dataset(located, sides=sides, cache_root=default_cache_root(), say=say).items():
            opened[name, side] = info
    return opened


def _describe_data(data: Iterable[DataInfo], limit: int | float | None) -> tuple[str, ...]:
    """Return what was opened, in sentences; a limit that leaves too few images shows now."""
    from vitbench.data.splits import load_splits

    notes: dict[str, None] = {}
    for info in data:
        splits = load_splits(info, limit=limit)
        counts = f"{len(splits.train):,} training, {len(splits.val):,} validation, {len(splits.test):,} test images"
        notes[f"{info.title}: {counts} in {len(info.class_names)} classes"] = None
        notes.update(dict.fromkeys(f"{info.title}: {note}" for note in (*info.notes, *splits.notes)))
    return tuple(notes)


def _keyed(asked: AskedCell, model: ResolvedModel, data: DataInfo, keyer: Keyer, catalog: Catalog) -> KeyedCell:
    if asked.kind == "speed":
        return keyer.speed(
            model,
            num_classes=len(data.class_names),
            data_shape=data.shape,
            batch_size=asked.batch_size,
            mode=asked.mode,
            largest_batch=asked.largest_batch,
        )
    offer = catalog.datasets.get(asked.dataset)
    plugins = {plugin.name: plugin for plugin in catalog.plugins}
    dataset = plugins[offer.plugin.name if offer else data.plugin]
    return keyer.quality(asked, model, data, recipe=catalog.recipe(asked.recipe).plugin, dataset=dataset)
