"""Which plugin opens a dataset, and where its files lie.

The order: a folder that the user gave (``--data NAME=PATH``), then ``VITBENCH_DATA``, then the user's cache directory.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import platformdirs

from vitbench import contract
from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.records import canonical_name
from vitbench.specs import Augmentation, DatasetSpec, OptionValue, load_target

__all__ = ["Located", "default_cache_root", "default_data_root", "locate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A dataset's name, with what opens it."""

    name: str
    """The name that was asked for."""
    spec: DatasetSpec
    """What is to open it: the dataset of that name, or the layout that its folder has."""
    plugin: str
    """The plugin that offers `spec`."""
    root: Path | None
    """Absolute path of its folder; None for data that ship with a package."""
    verified: bool | None
    """False where a layout stands in for a named dataset; None: the opened images say, if anything does."""
    download: bool
    """Whether it may be downloaded into `root`; never into a folder that the user gave."""
    classes: int | None
    """Number of classes that the dataset of that name has; None: whatever is found."""
    augmentations: tuple[Augmentation, ...]
    """The changes of an image that keep its label: of the named dataset, else of the layout."""
    published: tuple[str, ...] = ()
    """What the published images of that name hash to, see `DatasetSpec.published`."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """For `open`, complete."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files that options name, by option."""
    otherwise: Located | None = None
    """The layout that the folder of a named dataset has, too, for a folder that `spec` refuses to open."""
    unused: tuple[str, ...] = ()
    """Further layouts that its folder has, too: plugin and name."""
    whole: bool = False
    """Whether no model learns from it, so that images that are not split are all scored."""
    train_images: int | None = None
    """How many of its training images are used; None: all. It is part of its name, and all are decoded."""
    lineage: str = ""
    """Which making of the dataset the user says that its files are; empty: the files or `spec` say it, if they can."""
    limit: int | float | None = None
    """The images of each split that are read, as `vitbench.data.splits.limited` chooses them; None: all."""
    code: str = ""
    """Hash of the code that opens it."""
    decoders: Mapping[str, str] = field(default_factory=dict)
    """Versions of what decodes and resizes its images: a new one may give other pixels."""

    @property
    def title(self) -> str:
        """The name, with the options that are not as by default."""
        asked = {} if self.train_images is None else {"train_images": self.train_images}
        return canonical_name(self.name, {**self.options, **asked}, self.spec.defaults)


def default_data_root() -> Path:
    """Return the folder that holds datasets by name: ``VITBENCH_DATA``, else a folder in the user's cache."""
    return _folder_from("VITBENCH_DATA", "data")


def default_cache_root() -> Path:
    """Return the folder of the image cache: ``VITBENCH_CACHE``, else a folder in the user's cache."""
    return _folder_from("VITBENCH_CACHE", "images")


def _folder_from(variable: str, name: str) -> Path:
    if given := os.environ.get(variable):
        return Path(given).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("vitbench", appauthor=False)) / name


def locate(
    name: str,
    *,
    spec: DatasetSpec | None,
    plugin: str,
    layouts: Sequence[tuple[str, DatasetSpec]],
    data_path: Path | None,
    data_root: Path,
    options: Collection[str] = (),
    given_in: str = "",
) -> Located:
    """Decide what is to open the dataset `name`, and at which folder.

    A named dataset opens its own folder; a layout that the folder has, too, comes second. Data that ship with a package
    have no folder, so that one that the user gives is opened by its layout.

    Args:
        name: the name that was asked for.
        spec: the spec of that name; None where no plugin offers one, so that `data_path` defines the dataset.
        plugin: the plugin that offers `spec`; ignored where `spec` is None.
        layouts: plugin and spec of each layout, in the order in which they are asked.
        data_path: the folder that the user gave for this name.
        data_root: the folder that holds datasets by name.
        options: names of those that the user gives their own folder: the only layout that has them is taken.
        given_in: the suite file whose ``[data]`` gives `data_path`; empty: ``--data`` does.

    Raises:
        UnusableError: `data_path` is missing, no folder, empty, unreadable or of no known layout.
        UsageError: neither a plugin nor the user says what `name` is, or no layout has one of the options.
    """
    if data_path is None:
        if spec is None:
            raise UsageError(f"no plugin offers a dataset {name}; give its location with --data {quote(name)}=PATH")
        root = data_root.absolute() / name if spec.needs_root else None
        return _located(name, spec, plugin, root, named=spec, download=spec.downloads)

    root = _existing_folder(name, data_path, given_in)
    if spec is not None and spec.is_layout:
        layouts, spec = [(plugin, spec)], None
    if spec is None and options:
        having = [(owner, layout) for owner, layout in layouts if {*options} <= {*layout.options}]
        if len(having) == 1:
            [(owner, layout)] = having
            return _located(name, layout, owner, root, named=None)
    found = _detected(name, layouts, root, named=spec)
    if spec is not None and spec.needs_root:
        return _located(name, spec, plugin, root, named=spec, otherwise=found)
    if found is None:
        allowed = {option for _, layout in layouts for option in layout.options}
        for option in options:
            if option.replace("-", "_") not in allowed:
                raise UsageError(f'dataset {name}: no layout has an option "{option}".{did_you_mean(option, allowed)}')
        known = "; ".join(f"{layout.name} ({layout.summary})" for _, layout in layouts)
        raise UnusableError(
            f"dataset {name}: put the images into one folder per class, or give their labels in a file "
            f"(docs/datasets.md): {root} matches no known layout: {known}"
            if len(layouts) > 1
            else f"dataset {name}: {root} matches no known layout: {known}"
        )
    return found


def _detected(
    name: str, layouts: Sequence[tuple[str, DatasetSpec]], root: Path, *, named: DatasetSpec | None
) -> Located | None:
    """Return what the first layout that a folder has makes of it, with the names of the others that it has."""
    for position, (owner, layout) in enumerate(layouts):
        if _detects(name, owner, layout, root):
            others = layouts[position + 1 :]
            unused = tuple(f"{other}/{spec.name}" for other, spec in others if _detects_quietly(other, spec, root))
            return dataclasses.replace(_located(name, layout, owner, root, named=named), unused=unused)
    return None


def _located(
    name: str,
    spec: DatasetSpec,
    plugin: str,
    root: Path | None,
    *,
    named: DatasetSpec | None,
    download: bool = False,
    otherwise: Located | None = None,
) -> Located:
    return Located(
        name=name,
        spec=spec,
        plugin=plugin,
        root=root,
        verified=None if named is None or named is spec else False,
        published=named.published if named else (),
        download=download,
        classes=None if named is None else named.classes,
        augmentations=(named or spec).augmentations,
        otherwise=otherwise,
    )


def _detects(name: str, owner: str, layout: DatasetSpec, root: Path) -> bool:
    if layout.detect is None:
        return False
    try:
        return bool(contract.call(load_target(layout.detect), {"root": root}))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnusableError(f"dataset {name}: layout {owner}/{layout.name} failed at {root}: {reason}") from error


def _detects_quietly(owner: str, layout: DatasetSpec, root: Path) -> bool:
    """Whether a folder has a layout that is not taken: one that fails to look stops nothing."""
    try:
        return _detects("", owner, layout, root)
    except UnusableError:
        return False


def _existing_folder(name: str, path: Path, given_in: str) -> Path:
    path = path.expanduser().absolute()
    if not path.exists():
        place = f"[data] in {given_in}" if given_in else f"--data {quote(name)}=PATH"
        raise UnusableError(f"dataset {name}: there is no folder {path}; correct {place}")
    if not path.is_dir():
        raise UnusableError(f"dataset {name}: {path} is not a folder; give the folder that holds the images")
    try:
        empty = not any(path.iterdir())
    except OSError as error:
        raise UnusableError(f"dataset {name}: cannot read {path}: {error.strerror}") from error
    if empty:
        raise UnusableError(f"dataset {name}: the folder {path} is empty; give the folder that holds the images")
    return path
