"""Asked datasets become opened and cached ones: located, options complete, files hashed, images in the sizes wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vitbench.catalog import Catalog, Plugin
from vitbench.catalog.options import complete_dataset
from vitbench.catalog.provenance import library_versions, origin
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.files import hash_files
from vitbench.planning.messages import PrepareRequest
from vitbench.planning.resolve import Fault, ResolvedModel, lack_of
from vitbench.planning.suite import AskedCell
from vitbench.records import DataInfo, Judged
from vitbench.specs import DATASET_OPTIONS, DatasetSpec, ModelSpec, OptionValue

if TYPE_CHECKING:
    from vitbench.data.cache import WantedSize
    from vitbench.data.locate import Located

__all__ = [
    "ResolvedDataset",
    "data_key",
    "describe_data",
    "describe_weights",
    "learns",
    "open_data",
    "unfit",
    "wanted_size",
]


_MOST_MODELS = 4
"""Models that a note names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedDataset:
    """A dataset as it was opened, its options complete."""

    name: str
    """Full, or as ``--data`` defines it."""
    plugin: Plugin
    options: dict[str, OptionValue] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files that options name, by option."""
    decoders: Mapping[str, str] = field(default_factory=dict)
    """Versions of what decodes and resizes its images."""
    infos: Mapping[WantedSize, DataInfo] = field(default_factory=dict)
    """Its images, in each size that is wanted."""
    learns: bool = True
    """Whether a model is trained on it."""
    scored: bool = True
    """Whether a model is scored on it."""
    root: Path | None = None
    """Its folder; None where it has none."""
    published: bool = False
    """Whether its plugin says what its pixels hash to: they stay as they are."""


def data_key(cell: AskedCell) -> bytes:
    """Return what two cells on the same data have alike."""
    return msgspec.json.encode((cell.dataset, cell.dataset_options), order="deterministic")


def learns(cell: AskedCell, catalog: Catalog) -> bool:
    """Whether a cell trains a model on its data."""
    return cell.kind == "quality" and catalog.recipe(cell.recipe).spec.trains


def wanted_size(model: ResolvedModel) -> WantedSize:
    """Return how a model wants its images."""
    from vitbench.data.cache import WantedSize

    how, size = model.spec.preprocess, model.spec.input_size
    if how is None:
        return WantedSize(image_size=size, crop_mode=model.crop_mode)
    return WantedSize(
        image_size=size,
        interpolation=how.interpolation,
        crop_fraction=how.crop_fraction,
        crop_mode=how.crop_mode,
        fill=(how.fill or how.mean) if how.crop_mode == "border" else (),
    )


def unfit(spec: ModelSpec, data: DataInfo, *, learns: bool = False) -> Fault | None:
    """Return why a model cannot use the data: their channels are not its own, or it learns and nothing is to learn."""
    from vitbench.data.geometry import channels_fit

    if learns and "train" not in data.sizes:
        return Fault(reason="it learns, but there are no training images", exit_code=UnusableError.exit_code)
    given, wanted = data.shape[0], spec.in_channels
    if wanted is None or channels_fit(given, wanted):
        return None
    takes = f"it takes {wanted} {'channel' if wanted == 1 else 'channels'}, and {data.title} has {given}"
    words = (
        f"{takes}; only gray images can be expanded to several channels, and only three channels can be reduced to gray"
    )
    return Fault(reason=words, exit_code=UnusableError.exit_code)


def describe_weights(model: ResolvedModel) -> Iterator[str]:
    """Yield what says how the images of a model are made whose weights are scored, in a sentence."""
    from vitbench.worker.weights import UNKNOWN

    owner = f"model {model.label}"
    if model.normalised_by == UNKNOWN:
        how = "its images are scaled to 0..1 and not normalised"
        yield f"{owner}: the normalisation of its weights' images is unknown; {how}. Specify it: :mean=M,..,std=S,.."
    else:
        yield f"{owner}: its images are normalised as {model.normalised_by} says"


def open_data(
    request: PrepareRequest, models: Iterable[ResolvedModel], catalog: Catalog, say: Callable[[str], None]
) -> dict[bytes, ResolvedDataset]:
    """Open and cache each dataset once, at each size that a model wants."""
    from vitbench.data.cache import cache_dataset, takes
    from vitbench.data.locate import default_cache_root, default_data_root, locate

    layouts = [(offer.plugin.name, offer.spec) for offer in catalog.datasets.values() if offer.spec.is_layout]
    plugins = {plugin.name: plugin for plugin in catalog.plugins}
    sides = {wanted_size(model) for model in models}
    opened: dict[bytes, ResolvedDataset] = {}
    learned = {data_key(cell) for cell in request.cells if learns(cell, catalog)}
    scored = {data_key(cell) for cell in request.cells if cell.kind == "quality"}
    judged = request.conditions.split
    # Which images can be read, and are chosen among, only reading them all tells.
    limit = None if request.conditions.skip_unreadable else request.conditions.limit
    for key, cell in {data_key(cell): cell for cell in request.cells}.items():
        offer = catalog.datasets.get(cell.dataset)
        short = cell.dataset.partition("/")[2] if offer else cell.dataset
        path = request.data_paths.get(cell.dataset)
        located = locate(
            short,
            spec=offer.spec if offer else None,
            plugin=offer.plugin.name if offer else "",
            layouts=layouts,
            data_path=Path(path) if path else None,
            data_root=default_data_root(),
            options=[] if offer else [option for option in cell.dataset_options if option not in DATASET_OPTIONS],
            given_in=request.suite_data.get(cell.dataset, ""),
        )
        named = offer.spec if offer else None
        how: dict[str, Any] = {"whole": judged == "test" and key not in learned, "limit": limit}
        located = dataclasses.replace(_complete(cell, located, named, plugins), **how)
        if located.otherwise and not takes(located, cache_root=default_cache_root()):
            located = dataclasses.replace(_complete(cell, located.otherwise, named, plugins), **how)
        plugin = offer.plugin if offer else plugins[located.plugin]
        opened[key] = ResolvedDataset(
            name=cell.dataset,
            plugin=plugin,
            options=dict(located.options) | _asked_of_any(located),
            files=located.files,
            decoders=located.decoders,
            infos=_enough(
                cache_dataset(
                    located,
                    sides=sides,
                    cache_root=default_cache_root(),
                    say=say,
                    skip_unreadable=request.conditions.skip_unreadable,
                )
            ),
            learns=key in learned,
            scored=key in scored,
            root=located.root,
            published=bool(located.published),
        )
    return opened


def _asked_of_any(located: Located) -> dict[str, OptionValue]:
    """Return the options that any dataset takes, as far as they were given."""
    asked: dict[str, OptionValue] = {} if located.train_images is None else {"train_images": located.train_images}
    return asked | ({"lineage": located.lineage} if located.lineage else {})


def _enough(infos: Mapping[WantedSize, DataInfo]) -> Mapping[WantedSize, DataInfo]:
    """Return the data as they are.

    Raises:
        UsageError: they have fewer training images than were asked for.
    """
    for info in infos.values():
        had = info.sizes.get("train", 0)
        if info.train_images is not None and info.train_images > had:
            have = f"has {had:,} training images" if had else "has no training images"
            raise UsageError(f"dataset {info.name}: it {have}; train_images={info.train_images} asks for more.")
    return infos


def _complete(cell: AskedCell, located: Located, named: DatasetSpec | None, plugins: Mapping[str, Plugin]) -> Located:
    """Return what opens a cell's data with its options, and with all that decides what it gives: files, code, decoders.

    Raises:
        UsageError: as `_options_of`.
        UnusableError: a module that it requires is not installed, or a file cannot be read.
    """
    from vitbench.data.decoding import decoder_versions

    owner = f"dataset {located.name}"
    if lack := lack_of(located.spec.requires):
        raise UnusableError(f"{owner} {lack}.")
    complete = _options_of(cell, located.spec, named)
    stated = located.spec.stated
    train_images = complete.pop("train_images", None) if "train_images" in stated else None
    lineage = complete.pop("lineage", None) if "lineage" in stated else None
    assert train_images is None or isinstance(train_images, int)
    assert lineage is None or isinstance(lineage, str)
    options, files = hash_files(owner, located.spec.declared, complete)
    decoders = decoder_versions() | library_versions(located.spec.requires)
    code = origin(plugins[located.plugin]).code_hash
    return dataclasses.replace(
        located,
        options=options,
        train_images=train_images,
        lineage=lineage or "",
        files=files,
        code=code,
        decoders=decoders,
    )


def _options_of(cell: AskedCell, opens: DatasetSpec, named: DatasetSpec | None) -> dict[str, OptionValue]:
    """Return a cell's dataset options for what opens its folder: the named dataset, or a layout in its place.

    Raises:
        UsageError: the layout does not have an option that was given, or refuses its value.
    """
    if opens is named:
        return dict(cell.dataset_options)
    usual = named.defaults if named else {}
    given = {name: value for name, value in cell.dataset_options.items() if name not in usual or usual[name] != value}
    owner = f"dataset {cell.dataset}, opened by the layout {opens.name}"
    return complete_dataset(owner, opens, given)


def describe_data(
    data: Iterable[ResolvedDataset],
    limit: int | float | None,
    judged: Judged = "test",
    models: Sequence[ResolvedModel] = (),
) -> tuple[str, ...]:
    """Return what was opened, in sentences; a limit that leaves too few images shows now.

    Args:
        data: what was opened.
        limit: as `vitbench.data.splits.limited` takes it.
        judged: the split that models are judged on.
        models: that are named where they get images of several sizes.

    Raises:
        UsageError: too few images are left.
        UnusableError: models are to be judged on validation images, and there are none.
    """
    from vitbench.data.opening import NONE_TRAINED
    from vitbench.data.splits import load_splits

    notes: dict[str, None] = {}
    for dataset, info in ((each, info) for each in data for info in each.infos.values()):
        splits = load_splits(info, limit=limit, learns=dataset.learns, judged=judged)
        kinds = (("training", splits.train), ("validation", splits.val), ("test", splits.test))
        counts = f"{', '.join(f'{len(split):,} {kind}' for kind, split in kinds if len(split))} images"
        unread = "; models are judged on the validation images, and no test image is used" if judged == "val" else ""
        notes[f"{info.title}: {counts} in {len(info.class_names)} classes{unread}"] = None
        told = [_with_models(note, dataset.infos, models) for note in info.notes]
        said = (note for note in (*told, *splits.notes) if dataset.scored or not note.startswith(NONE_TRAINED))
        notes.update(dict.fromkeys(f"{info.title}: {note}" for note in said))
    return tuple(notes)


def _with_models(note: str, infos: Mapping[WantedSize, DataInfo], models: Sequence[ResolvedModel]) -> str:
    """Add which models a note on the size of the images is about, where others get another size."""
    from vitbench.data.cache import RESIZED

    if not note.startswith(RESIZED) or all(note in info.notes for info in infos.values()):
        return note
    labels = list(dict.fromkeys(model.label for model in models if _has_note(infos, wanted_size(model), note)))
    more = f" and {len(labels) - _MOST_MODELS} more" if len(labels) > _MOST_MODELS else ""
    return f"{note} for {', '.join(labels[:_MOST_MODELS])}{more}" if labels else note


def _has_note(infos: Mapping[WantedSize, DataInfo], size: WantedSize, note: str) -> bool:
    return size in infos and note in infos[size].notes
