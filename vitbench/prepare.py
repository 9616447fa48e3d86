"""Asked cells become keyed cells: resolve families, check options, device and data, hash what each cell is made of.

It runs in one child, before anything is written into the output folder. Its errors are exit 2 or 3.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vitbench.catalog import Catalog, Plugin, load_catalog
from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.jobs import Answer, Prepared, PrepareRequest, Refusal, Say
from vitbench.options import model_options
from vitbench.provenance import library_versions, origin
from vitbench.records import (
    Cell,
    DataInfo,
    KeyedCell,
    Provenance,
    QualityCell,
    SpeedCell,
    canonical_name,
    digest,
)
from vitbench.specs import ModelSpec, OptionValue, load_target
from vitbench.suite import AskedCell, AskedModel, Conditions

if TYPE_CHECKING:
    from vitbench.data.cache import Side

__all__ = ["prepare", "prepare_in_child"]

HUB_SECONDS = 5.0
"""How long the one try to reach the hub may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Model:
    """A model with its family resolved and its options complete."""

    name: str
    plugin: Plugin
    spec: ModelSpec
    options: dict[str, OptionValue]
    label: str
    checkpoint_sha256: str
    missing: str
    """The first required module that is not installed."""


def prepare_in_child(request: bytes, send: Callable[[msgspec.Struct], None]) -> Answer | Refusal:
    """Decode a request, prepare it, and answer; a user's mistake is a `Refusal`, and so is a plugin's."""
    from vitbench.worker.alive import signs_of_life

    try:
        asked = msgspec.json.decode(request, type=PrepareRequest)
        with signs_of_life(send, "preparing"):  # a data set may have to be fetched
            return Answer(prepared=prepare(asked, load_catalog(), lambda text: send(Say(text=text))))
    except VitbenchError as error:
        return Refusal(message=str(error), exit_code=error.exit_code)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"preparing the run failed: {type(error).__name__}: {' '.join(str(error).split())}"
        return Refusal(message=f"{words} ({place.filename}:{place.lineno})", exit_code=UnusableError.exit_code)


def prepare(request: PrepareRequest, catalog: Catalog, say: Callable[[str], None]) -> Prepared:
    """Return the keyed cells of a request, without repetitions.

    Raises:
        UsageError: an unknown member of a family, or an option that it does not have.
        UnusableError: a device, a data set or a checkpoint that is missing or cannot be used.
    """
    from vitbench import environment
    from vitbench.worker.runtime import check_precision

    models = {_asked_key(cell): _resolve(cell.model, cell.recipe, catalog) for cell in request.cells}
    device = environment.resolve_device(request.conditions.device)
    check_precision(request.conditions.precision, device)
    described = environment.describe(device)
    data = _open_data(request, models.values(), catalog, say)
    notes = _describe_data(data.values(), request.conditions.limit)
    offline = any(_needs_hub(model) for model in models.values()) and not _hub_answers(say)
    keyer = _Keyer(
        conditions=request.conditions,
        device=device,
        machine=described.machine,
        threads=request.conditions.threads or environment.usable_cores(),
        torch_version=described.versions.get("torch", ""),
        catalog=catalog,
    )
    cells: dict[str, KeyedCell] = {}
    built: set[str] = set()
    for asked in request.cells:
        model = models[_asked_key(asked)]
        info = data[asked.dataset, _side(model.spec)]
        keyed = keyer.key(asked, model, info)
        cells.setdefault(keyed.id, keyed)
        form = digest((keyed.cell.model, model.options, len(info.class_names), keyed.image_size, keyed.in_channels))
        if form not in built and not keyed.unavailable:
            built.add(form)
            _check_build(keyed, model, info)
    return Prepared(
        cells=tuple(cells.values()),
        environment=described,
        child_environment={"HF_HUB_OFFLINE": "1"} if offline else {},
        notes=notes,
    )


def _asked_key(cell: AskedCell) -> bytes:
    return msgspec.json.encode((cell.model, cell.recipe), order="deterministic")


def _resolve(asked: AskedModel, recipe_name: str, catalog: Catalog) -> _Model:
    """Complete a family's member, its options and its label; hash its checkpoint."""
    offer = catalog.model(asked.name)
    spec, options, label = offer.spec, asked.options, asked.label
    recipe = catalog.recipe(recipe_name).spec
    missing = _missing(spec.requires)
    if asked.family and not missing:
        member = asked.name.partition("/")[2]
        try:
            spec = load_target(spec.resolve)(member) if spec.resolve else spec
        except LookupError as error:
            raise UsageError(f"model {asked.name}: {error.args[0] if error.args else error}") from error
        options = model_options(f"model {asked.name}", spec, recipe, options)
        label = label or canonical_name(asked.name, options, dict(spec.options))
    checkpoint = str(options.get("checkpoint", ""))
    if options.get("pretrained") is True and not checkpoint and not spec.pretrained_on and not missing:
        raise UsageError(f"model {asked.name} has no pretrained weights; give :pretrained=false or :checkpoint=PATH.")
    sha256 = ""
    if checkpoint:
        path = Path(checkpoint).expanduser().resolve()
        options = {**options, "checkpoint": str(path)}
        sha256 = _file_sha256(path, asked.name)
    trained = sha256 or (spec.pretrained_on and options.get("pretrained", True))
    if not (recipe.trains or trained or missing or spec.is_baseline):
        raise UsageError(f"model {asked.name} has no trained weights to score; give :checkpoint=PATH.")
    return _Model(
        name=asked.name,
        plugin=offer.plugin,
        spec=spec,
        options=options,
        label=label or asked.name,
        checkpoint_sha256=sha256,
        missing=missing,
    )


def _missing(modules: Iterable[str]) -> str:
    """Return the first module that is not installed, or an empty string."""
    for name in modules:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # the package above it
            found = None
        if found is None:
            return name
    return ""


def _file_sha256(path: Path, model: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableError(
            f"model {model}: the checkpoint {path} cannot be read ({error.strerror}); check the option checkpoint."
        ) from error


def _side(spec: ModelSpec) -> Side:
    """Return the size and the filter in which a model wants its images."""
    from vitbench.data.cache import Side

    how = spec.preprocess
    return Side(
        image_size=spec.image_size,
        interpolation=how.interpolation if how else "bicubic",
        crop_fraction=how.crop_fraction if how else 1.0,
    )


def _open_data(
    request: PrepareRequest, models: Iterable[_Model], catalog: Catalog, say: Callable[[str], None]
) -> dict[tuple[str, Side], DataInfo]:
    """Open and cache each data set once, at each size that a model wants."""
    from vitbench.data.cache import cache_dataset
    from vitbench.data.locate import default_cache_root, default_data_root, locate

    layouts = [(offer.plugin.name, offer.spec) for offer in catalog.datasets.values() if offer.spec.is_layout]
    sides = {_side(model.spec) for model in models}
    opened: dict[tuple[str, Side], DataInfo] = {}
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
        lacking = _missing(located.spec.requires)
        if lacking:
            raise UnusableError(f"data set {short} needs {lacking}; pip install {lacking}.")
        for side, info in cache_dataset(located, sides=sides, cache_root=default_cache_root(), say=say).items():
            opened[name, side] = info
    return opened


def _check_build(planned: KeyedCell, model: _Model, data: DataInfo) -> None:
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
    except Exception:
        return


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


def _needs_hub(model: _Model) -> bool:
    return model.spec.downloads and bool(model.options.get("pretrained", True)) and not model.checkpoint_sha256


def _hub_answers(say: Callable[[str], None]) -> bool:
    """Try the hub once, for at most 5 s: in a thread, since looking up its name may hang longer than a socket may."""
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    answers: list[bool] = []

    def ask() -> None:
        address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS).close()
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError):
            return
        else:
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if not answers:
        say("The model hub cannot be reached; pretrained models run only from a local cache or a checkpoint.")
    return bool(answers)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Keyer:
    """What all keyed cells of a run share."""

    conditions: Conditions
    device: str
    machine: str
    threads: int
    torch_version: str
    catalog: Catalog

    def key(self, asked: AskedCell, model: _Model, data: DataInfo) -> KeyedCell:
        image_size = model.spec.image_size or data.shape[1]
        in_channels = model.spec.in_channels or data.shape[0]
        quality = asked.kind == "quality"
        cell: Cell
        if quality:
            cell = self._quality(asked, model)
        else:
            cell = self._speed(asked, model, len(data.class_names), (in_channels, image_size, image_size))
        recipe = self.catalog.recipe(asked.recipe).plugin
        dataset = self.catalog.datasets.get(asked.dataset)
        data_plugin = dataset.plugin.name if dataset else data.plugin
        origins = {plugin.name: plugin for plugin in self.catalog.plugins}
        provenance = Provenance(
            model=origin(model.plugin),
            recipe=origin(recipe) if quality else None,
            dataset=origin(origins[data_plugin]) if quality else None,
            data_fingerprint=data.fingerprint if quality else "",
            checkpoint_sha256=model.checkpoint_sha256,
            libraries=library_versions(model.spec.requires),
            torch=self.torch_version,
        )
        cell_id = digest(cell)
        return KeyedCell(
            cell=cell,
            id=cell_id,
            key=digest((cell_id, provenance)),
            label=model.label,
            baseline=model.spec.is_baseline,
            provenance=provenance,
            data=data if quality else None,
            image_size=image_size,
            in_channels=in_channels,
            machine=self.machine,
            device=self.device,
            unavailable=f"it needs {model.missing}; pip install {model.missing}" if model.missing else "",
        )

    def _quality(self, asked: AskedCell, model: _Model) -> QualityCell:
        conditions = self.conditions
        return QualityCell(
            model=model.name,
            options=model.options,
            recipe=asked.recipe,
            recipe_options=asked.recipe_options,
            dataset=asked.dataset,
            seed=asked.seed,
            precision=conditions.precision,
            threads=self.threads,
            limit=conditions.limit,
            epochs=conditions.epochs,
            compile=conditions.compile,
            channels_last=conditions.channels_last,
        )

    def _speed(self, asked: AskedCell, model: _Model, num_classes: int, input_shape: tuple[int, int, int]) -> SpeedCell:
        conditions = self.conditions
        return SpeedCell(
            model=model.name,
            options=model.options,
            num_classes=num_classes,
            input_shape=input_shape,
            device=self.device,
            precision=conditions.precision,
            threads=self.threads,
            batch_size=asked.batch_size,
            mode=asked.mode,
            machine=self.machine,
            compile=conditions.compile,
            channels_last=conditions.channels_last,
        )
