"""The image cache: a dataset is decoded once into memory-mapped uint8 arrays that all cells share.

A model that wants inputs of (h, w) gets images of ``floor(h / crop_fraction)`` by ``floor(w / crop_fraction)``, resized
to cover that and cropped, its own centre crop being left to batch time. Images that are all of one size and that would
have to be enlarged are cached as they are: enlarging them first would only multiply their bytes (CIFAR at 224 pixels is
9 GB). A model that follows the data gets images of one size as they are, up to a shorter side of 224, and of mixed
sizes squares.

    <root>/v2/sources/<key>.json                          what one pass over some source files found
    <root>/v2/<fingerprint>-<size>[-<filter>-<Pillow>]/   {train,val,test}-{images,labels}.npy, manifest.json

Only test is always there. The fingerprint is the SHA-256 of class names, labels and original pixels of all splits, so
it is the same at every cached size. Files are trusted to be unchanged while their paths, sizes and times of change are.
Folders are filled under another name and then renamed, so that a reader never meets a half-written one.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from vitbench.data.decoding import Form, Geometry, Survey, decode, glance
from vitbench.data.geometry import covering_size
from vitbench.data.locate import Located
from vitbench.data.opening import check_class_count, fault, open_splits, refuses
from vitbench.errors import UnusableError, VitbenchError
from vitbench.records import DataInfo, digest

__all__ = ["WantedSize", "cache_dataset", "takes"]

FORMAT = 2
"""Version of the folders and of the way images are resized."""
FOLLOWED_SIDE = 224
"""Largest shorter side for a model that follows the data: the field's usual input."""
_GRID = 16
"""What divides the sides of resized images for such a model: the usual patch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedSize:
    """What one model wants of the images."""

    image_size: tuple[int, int] | None
    """Height and width of the model's input in pixels; None follows the data."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    crop_fraction: float = 1.0
    """The share of the resized shorter side that the model's centre crop keeps."""


class _Source(NamedTuple):
    """The files that a dataset was decoded from."""

    key: str
    files: list[tuple[str, int, int]]
    """Path under the root, bytes, time of change in nanoseconds."""


class _Manifest(msgspec.Struct, frozen=True):
    """What is read again of a folder's manifest."""

    files: dict[str, int]
    """Bytes of each array's file."""


def cache_dataset(
    located: Located, *, sides: Collection[WantedSize], cache_root: Path, say: Callable[[str], None]
) -> dict[WantedSize, DataInfo]:
    """Decode a dataset into the cache, unless it is there, in each shape that is wanted.

    Args:
        located: what opens it, and where.
        sides: what the models want; those that lead to the same images share a folder.
        cache_root: folder of the cache; made where it is missing.
        say: gets a line of progress now and then, while images are decoded.

    Returns:
        For each side, the dataset with the folder of its arrays: uint8[N, C, H, W] and int64[N] for each split.

    Raises:
        UnusableError: the dataset is missing or cannot be used, or the cache cannot be written.
    """
    folder = cache_root / f"v{FORMAT}"
    try:
        (folder / "sources").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(cache_root, error.strerror) from error
    source = _source(located)
    survey = _remembered(folder, source, located)
    if survey is not None:
        check_class_count(located, survey.class_names)
    if survey is None or not all(_is_complete(folder, survey, _form(side, survey.geometry)) for side in sides):
        survey = _fill(located, survey, sides, folder, source, say)
    return {side: _info(located, survey, folder, _form(side, survey.geometry)) for side in sides}


def takes(located: Located, *, cache_root: Path) -> bool:
    """Return whether a dataset's `open` takes what is in its folder; what it was decoded from before is not opened."""
    return _remembered(cache_root / f"v{FORMAT}", _source(located), located) is not None or not refuses(located)


def _form(side: WantedSize, geometry: Geometry) -> Form:
    height, width = _target(side, geometry)
    uniform = geometry.uniform
    if uniform is not None and (uniform[0] <= height or uniform[1] <= width):
        return Form(geometry.channels, *uniform, "")
    return Form(geometry.channels, height, width, side.interpolation)


def _target(side: WantedSize, geometry: Geometry) -> tuple[int, int]:
    """Return the size of the images that a model gets, where they are large enough."""
    uniform = geometry.uniform
    if side.image_size is not None:
        height, width = (math.floor(each / side.crop_fraction) for each in side.image_size)
    elif uniform is None:
        height = width = max(_GRID, min(FOLLOWED_SIDE, geometry.short_side) // _GRID * _GRID)
    elif min(uniform) <= FOLLOWED_SIDE:
        height, width = uniform
    else:
        covering = covering_size(uniform, (FOLLOWED_SIDE, FOLLOWED_SIDE))
        height, width = (each // _GRID * _GRID for each in covering)
    return height, width


def _info(located: Located, survey: Survey, folder: Path, form: Form) -> DataInfo:
    verified = survey.verified and located.verified is not False
    title = located.title if verified else f"{located.title} (unverified, {survey.fingerprint[:8]})"
    return DataInfo(
        name=located.name,
        title=title,
        verified=verified,
        fingerprint=survey.fingerprint,
        cache=str(_array_folder(folder, survey, form)),
        class_names=survey.class_names,
        shape=form.shape,
        sizes=survey.sizes,
        augmentations=located.augmentations,
        target=located.spec.target,
        plugin=located.plugin,
        notes=(*survey.notes, *([f"images are resized to {form.height}x{form.width}"] if form.interpolation else [])),
    )


# --- what is there already -------------------------------------------------------------------------------------------


def _source(located: Located) -> _Source | None:
    """Identify the files under a dataset's root; None without a root or before a download."""
    if located.root is None or not located.root.is_dir():
        return None
    files = sorted(_files_under(located.root))
    decoder = [located.plugin, located.spec.name, located.code, *map(dict, (located.options, located.files))]
    decoder.append(dict(located.decoders))
    return _Source(digest([str(located.root), decoder, files]), files)


def _files_under(root: Path) -> Iterator[tuple[str, int, int]]:
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder).stat()
        if (here.st_dev, here.st_ino) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        for name in names:
            path = Path(folder, name)
            if path.exists():  # not so for a dangling link
                status = path.stat()
                # A name that is not UTF-8 is no text that could be written.
                name = path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
                yield name, status.st_size, status.st_mtime_ns


def _remembered(folder: Path, source: _Source | None, located: Located) -> Survey | None:
    """Return what was found in the same files; where they have no test split, for the same use of all their images."""
    if source is None:
        return None
    for whole in {located.whole, False}:
        try:
            survey = msgspec.json.decode(_entry(folder, source, whole=whole).read_bytes(), type=Survey)
        except (FileNotFoundError, msgspec.MsgspecError):
            continue
        if whole == located.whole or not survey.made_test:
            return survey
    return None


def _entry(folder: Path, source: _Source, *, whole: bool) -> Path:
    return folder / "sources" / f"{source.key}{'-whole' if whole else ''}.json"


def _array_folder(folder: Path, survey: Survey, form: Form) -> Path:
    return folder / f"{survey.fingerprint[:16]}-{form.suffix}"


def _is_complete(folder: Path, survey: Survey, form: Form) -> bool:
    """Whether a form is in the cache with all of its bytes; cleaners of caches remove single files."""
    arrays = _array_folder(folder, survey, form)
    try:
        files = msgspec.json.decode((arrays / "manifest.json").read_bytes(), type=_Manifest).files
        names = [f"{split}-{kind}.npy" for split in survey.sizes for kind in ("images", "labels")]
        return all((arrays / name).stat().st_size == files.get(name) for name in names)
    except (FileNotFoundError, msgspec.MsgspecError):
        return False


# --- making what is not ----------------------------------------------------------------------------------------------


def _fill(
    located: Located,
    known: Survey | None,
    sides: Collection[WantedSize],
    folder: Path,
    source: _Source | None,
    say: Callable[[str], None],
) -> Survey:
    """Decode what is missing and publish it.

    The forms are guessed from a few images, so that one pass does; where the survey of all images shows the guess to
    be wrong, a second pass makes the forms that are right.
    """
    opened = open_splits(located)
    images = sum(len(split.labels) for split in opened.splits)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".decoding-") as name:
        temporary = Path(name)

        def written(forms: set[Form]) -> tuple[Survey, set[Form]]:
            _check_room(folder, images * sum(math.prod(form.shape) for form in forms))
            return decode(opened, forms, temporary, lambda line: say(f"{located.title}: {line}"))

        try:
            geometry = known.geometry if known else glance(opened)
            guessed = {_form(side, geometry) for side in sides}
            survey, made = written({form for form in guessed if not (known and _is_complete(folder, known, form))})
            wanted = {_form(side, survey.geometry) for side in sides}
            missing = {form for form in wanted if not _is_complete(folder, survey, form)}
            if missing - made:
                written(missing - made)
        except VitbenchError:
            raise
        except (OSError, ValueError) as error:
            raise fault(located, error) from error
        except Exception as error:
            raise fault(located, f"plugin {located.plugin} failed: {type(error).__name__}: {error}") from error
        source = source or _source(located)  # a download has only now put files there
        for form in missing:
            _publish(temporary, folder, survey, form, located, source)
        if source is not None:
            entry = temporary / "entry.json"
            entry.write_bytes(msgspec.json.encode(survey))
            entry.replace(_entry(folder, source, whole=located.whole and survey.made_test))
    return survey


def _publish(
    temporary: Path, folder: Path, survey: Survey, form: Form, located: Located, source: _Source | None
) -> None:
    """Move a form's arrays to their place, unless another process has just done so."""
    made = temporary / form.suffix
    manifest = {
        "format": FORMAT,
        "plugin": located.plugin,
        "dataset": located.spec.name,
        "root": str(located.root) if located.root else None,
        "sources": source.files if source else [],
        "shape": form.shape,
        "interpolation": form.interpolation,
        "files": {path.name: path.stat().st_size for path in sorted(made.iterdir())},
        **msgspec.structs.asdict(survey),
    }
    (made / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    target = _array_folder(folder, survey, form)
    if target.exists() and not _is_complete(folder, survey, form):
        shutil.rmtree(target)
    try:
        made.replace(target)
    except OSError:
        if not _is_complete(folder, survey, form):
            raise


def _check_room(folder: Path, needed: int) -> None:
    # A full disk kills a process that writes through a memory map (SIGBUS), without a word.
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _unwritable(folder.parent, f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")


def _unwritable(cache_root: Path, reason: str | None) -> UnusableError:
    return UnusableError(
        f"the image cache {cache_root} cannot be written: {reason}; set VITBENCH_CACHE to a writable folder"
    )
