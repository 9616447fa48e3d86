"""The image cache: a dataset is decoded once into memory-mapped uint8 arrays that all cells share.

Which sizes, and which of the images in each, `vitbench.data.forms` says.

    <root>/v3/sources/<key>.json                              what one pass over some source files found
    <root>/v3/sources/<key>-names/{train,val,test}.json       the names of their images, where they have any
    <root>/v3/<fingerprint>-<size>[-<how>-<Pillow>][-<part>]/ {train,val,test}-{images,labels}.npy, manifest.json

The fingerprint is the SHA-256 of class names, labels and original pixels of all splits, so
it is the same at every cached size. Under a limit only the images that it leaves are read; they are remembered by
themselves, with a fingerprint of their own, whether or not the whole dataset is in the cache, too. Files are trusted
while `vitbench.data.integrity` sees no change of them. The cache's own arrays whose looks have changed are read and
held to their digests; what is damaged is decoded again.
Folders are filled under another name and then renamed, so that a reader never meets a half-written one.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from vitbench.data.decoding import Decoded, Survey, decode, glance
from vitbench.data.forms import Form, Forms, Geometry, WantedSize, forms_of, held_rows, held_splits
from vitbench.data.integrity import ArrayFile, Stamp, array_file, has_stamp, holds, stamp_of
from vitbench.data.locate import Located
from vitbench.data.oddities import unreadable_images
from vitbench.data.opening import OpenedSet, check_class_count, fault, open_splits, refuses
from vitbench.errors import StoreError, UnusableError, VitbenchError
from vitbench.files import replace_file
from vitbench.records import DataInfo, KnownBy, digest

__all__ = ["RESIZED", "WantedSize", "cache_dataset", "takes"]

FORMAT = 3
"""Version of the folders and of the way images are resized."""
RESIZED = "images are resized to "
"""What the note on the size of the images begins with."""


class _Source(NamedTuple):
    """The files that a dataset was decoded from."""

    key: str
    files: list[tuple[str, Stamp]]
    """Path under the root, and what changes when the file does."""


class _Entry(msgspec.Struct, frozen=True):
    """A survey as it is remembered."""

    survey: msgspec.Raw
    sha256: str
    """Of `survey`, lest a damaged one gives wrong classes."""


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of arrays holds."""

    format: int
    plugin: str
    dataset: str
    root: str | None
    shape: tuple[int, int, int]
    interpolation: str
    files: dict[str, ArrayFile]
    """By name."""
    survey: Survey


def cache_dataset(
    located: Located,
    *,
    sides: Collection[WantedSize],
    cache_root: Path,
    say: Callable[[str], None],
    skip_unreadable: bool = False,
) -> dict[WantedSize, DataInfo]:
    """Decode a dataset into the cache, unless it is there, in each shape that is wanted.

    Args:
        located: what opens it, and where.
        sides: what the models want; those that lead to the same images share a folder.
        cache_root: folder of the cache; made where it is missing.
        say: gets a line of progress now and then, while images are decoded.
        skip_unreadable: skip images that cannot be read.

    Returns:
        For each side, the dataset with the folders of its arrays: uint8[N, C, H, W] and int64[N] for each split.

    Raises:
        UnusableError: the dataset is missing or cannot be used, or the cache cannot be written; images cannot be read,
            unless they are to be skipped.
    """
    folder = cache_root / f"v{FORMAT}"
    try:
        (folder / "sources").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(cache_root, error.strerror) from error
    source = _source(located)
    survey = _remembered(folder, source, located)
    if survey is not None and survey.unreadable and not skip_unreadable:
        survey = None  # what could not be read before may be readable now
    if survey is not None:
        check_class_count(located, survey.class_names)

    def forms(geometry: Geometry, splits: Collection[str]) -> dict[WantedSize, Forms]:
        # What cannot be read is known only when all has been, and decides which images are held out.
        how: dict[str, Any] = {"train_images": located.train_images, "apart": not skip_unreadable}
        how["crops"] = "crop" in located.augmentations
        return {side: forms_of(side, geometry, splits, **how) for side in sides}

    wanted = _distinct(forms(survey.geometry, survey.sizes)) if survey else set()
    if survey is None or not all(_is_complete(folder, survey, form) for form in wanted):
        if survey is not None:
            _tell_damage(located, survey, folder, wanted, say)
        with warnings.catch_warnings():
            survey = _fill(located, survey, forms, folder, source, say)
    found = forms(survey.geometry, survey.sizes)
    if survey.unreadable and not skip_unreadable:
        named = unreadable_images(survey.unreadable_named, survey.unreadable, survey.total)
        raise fault(located, f"{named}; repair or remove them, or leave them out with --skip-unreadable")
    names = _names_folder(folder, source or _source(located), located, survey)
    return {side: _info(located, survey, folder, found[side], names) for side in sides}


def takes(located: Located, *, cache_root: Path) -> bool:
    """Return whether a dataset's `open` takes what is in its folder; what it was decoded from before is not opened."""
    return _remembered(cache_root / f"v{FORMAT}", _source(located), located) is not None or not refuses(located)


def _distinct(forms: Mapping[WantedSize, Forms]) -> set[Form]:
    return {form for each in forms.values() for form in each if form is not None}


def _info(located: Located, survey: Survey, folder: Path, forms: Forms, names: Path | None) -> DataInfo:
    form, larger = forms
    verified = survey.published is not False and located.verified is not False
    if located.published and survey.limit is None:
        verified = survey.content in located.published
    title = located.title if verified else f"{located.title} (unverified, {survey.fingerprint[:8]})"
    left_out = ""
    if survey.unreadable:
        named = unreadable_images(survey.unreadable_named, survey.unreadable, survey.total)
        left_out = f"left out: {named}; repair or remove {'it' if survey.unreadable == 1 else 'them'}"
    skipped = f"{'is' if survey.unreadable == 1 else 'are'} skipped"
    brief = f"{survey.unreadable:,} of {survey.total:,} images cannot be read and {skipped}"
    had, used = survey.sizes.get("train", 0), located.train_images
    fewer = f"{used:,} of {had:,} training images are used, chosen class by class" if used is not None else ""
    resized = f"{RESIZED}{form.height}x{form.width}" if form.interpolation else ""
    kept = f"training images are stored at {larger.height}x{larger.width}, for cropping" if larger else ""
    return DataInfo(
        name=located.name,
        title=title,
        verified=verified,
        known_by=_known_by(located, survey) if verified else "",
        fingerprint=survey.fingerprint,
        content=survey.content,
        cache=str(_array_folder(folder, survey, form)),
        train_cache=str(_array_folder(folder, survey, larger)) if larger else "",
        class_names=survey.class_names,
        shape=form.shape,
        uniform=survey.geometry.uniform,
        short_side=survey.geometry.short_side,
        sizes=survey.sizes,
        augmentations=located.augmentations,
        target=located.spec.target,
        plugin=located.plugin,
        notes=(*survey.notes, *filter(None, [left_out, fewer, resized, kept])),
        doubts=(*[brief] * bool(left_out), *survey.doubts),
        val_doubts=(*[brief] * bool(left_out), *survey.val_doubts),
        train_images=located.train_images,
        left_out=survey.unreadable,
        limit=survey.limit,
        lineage=_lineage(located, survey),
        names=str(names) if names and names.is_dir() else "",
    )


def _known_by(located: Located, survey: Survey) -> KnownBy:
    """Return what says that the data are what they are called."""
    if survey.published or survey.content in located.published:
        return "checksums"
    if located.root is None:
        return "package"
    return "owner" if located.spec.is_layout and not located.published else ""


def _lineage(located: Located, survey: Survey) -> str:
    """Return which making of the dataset its files are: as its plugin says, else as the user does."""
    found = survey.lineage or located.spec.lineage
    return found if located.lineage in ("", found) else f"{located.lineage} (stated)"


# --- what is there already -------------------------------------------------------------------------------------------


def _source(located: Located) -> _Source | None:
    """Identify the files under a dataset's root; None without a root or before a download."""
    if located.root is None or not located.root.is_dir():
        return None
    files = sorted(_files_under(located.root))
    decoder = [located.plugin, located.spec.name, located.code, *map(dict, (located.options, located.files))]
    decoder.append(dict(located.decoders))
    return _Source(digest([str(located.root), decoder, files]), files)


def _files_under(root: Path) -> Iterator[tuple[str, Stamp]]:
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
                # A name that is not UTF-8 is no text that could be written.
                name = path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
                yield name, stamp_of(path.stat())


def _remembered(folder: Path, source: _Source | None, located: Located) -> Survey | None:
    """Return what was found in the same files; where they have no test split, for the same use of all their images."""
    if source is None:
        return None
    for whole in {located.whole, False}:
        try:
            entry = msgspec.json.decode(_entry(folder, source, located.limit, whole=whole).read_bytes(), type=_Entry)
            survey = msgspec.json.decode(entry.survey, type=Survey)
        except (FileNotFoundError, msgspec.MsgspecError):
            continue
        undamaged = hashlib.sha256(entry.survey).hexdigest() == entry.sha256
        if undamaged and (whole == located.whole or not survey.made_test):
            return survey
    return None


def _entry(folder: Path, source: _Source, limit: int | float | None, *, whole: bool) -> Path:
    part = "" if limit is None else f"-limit{limit!r}"
    return folder / "sources" / f"{source.key}{'-whole' if whole else ''}{part}.json"


def _names_folder(folder: Path, source: _Source | None, located: Located, survey: Survey) -> Path | None:
    """Return where the names of a source's images are kept: equal images in another folder may be called otherwise."""
    if source is None:
        return None
    entry = _entry(folder, source, located.limit, whole=located.whole and survey.made_test)
    return entry.with_name(f"{entry.name.removesuffix('.json')}-names")


def _array_folder(folder: Path, survey: Survey, form: Form) -> Path:
    return folder / f"{survey.fingerprint[:16]}-{form.suffix}"


def _is_complete(folder: Path, survey: Survey, form: Form) -> bool:
    """Whether a form is in the cache, whole and undamaged; cleaners of caches remove single files."""
    arrays = _array_folder(folder, survey, form)
    place = arrays / "manifest.json"
    try:
        manifest = msgspec.json.decode(place.read_bytes(), type=_Manifest)
        if (manifest.survey.fingerprint, manifest.shape) != (survey.fingerprint, form.shape):
            return False
        splits = held_splits(form, survey.sizes)
        files = {f"{split}-{kind}.npy" for split in splits for kind in ("images", "labels")}
        if files != manifest.files.keys():
            return False
        if all(has_stamp(arrays / name, file) for name, file in manifest.files.items()):
            return True
        if not all(_holds_split(arrays, form, split, manifest) for split in splits):
            return False
    except (FileNotFoundError, msgspec.MsgspecError):
        return False
    _write_manifest(place, manifest)  # the files were moved or copied; the next look is quick again
    return True


def _holds_split(arrays: Path, form: Form, split: str, manifest: _Manifest) -> bool:
    """Whether the labels and the images of a split are as they were written; raises FileNotFoundError."""
    images, labels = f"{split}-images.npy", f"{split}-labels.npy"
    if not holds(arrays / labels, manifest.files[labels]):
        return False
    rows = held_rows(form, split, np.load(arrays / labels), manifest.survey.limit)
    return holds(arrays / images, manifest.files[images], rows)


def _tell_damage(
    located: Located, survey: Survey, folder: Path, forms: Collection[Form], say: Callable[[str], None]
) -> None:
    for form in forms:
        arrays = _array_folder(folder, survey, form)
        if arrays.exists() and not _is_complete(folder, survey, form):
            say(f"{located.title}: the cached images in {arrays} are incomplete or damaged; decoding them again")


def _write_manifest(place: Path, manifest: _Manifest) -> None:
    """Write what a folder holds, with the files' present stamps; a reader never meets half of it."""
    files = {name: array_file(place.parent / name, file.sha256) for name, file in manifest.files.items()}
    with contextlib.suppress(StoreError):  # a cache that others own is read all the same
        replace_file(place, msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))


# --- making what is not ----------------------------------------------------------------------------------------------


def _fill(
    located: Located,
    known: Survey | None,
    wanted_forms: Callable[[Geometry, Collection[str]], Mapping[WantedSize, Forms]],
    folder: Path,
    source: _Source | None,
    say: Callable[[str], None],
) -> Survey:
    """Decode what is missing and publish it.

    The forms are guessed from a few images, so that one pass does; where the survey of all images shows the guess to
    be wrong, a second pass makes the forms that are right.
    """
    opened = open_splits(located)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, of which the notes say what matters
    splits = [split.name for split in opened.splits]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".decoding-") as name:
        temporary = Path(name)

        def written(forms: set[Form], bits: int) -> Decoded:
            _check_room(folder, sum(_bytes_of(form, opened, located.limit) for form in forms))

            def speak(line: str) -> None:
                say(f"{located.title}: {line}")

            return decode(opened, forms, temporary, speak, bits=bits, limit=located.limit)

        try:
            geometry = known.geometry if known else glance(opened, located.limit)
            guessed = _distinct(wanted_forms(geometry, splits))
            survey, made, names = written(
                {form for form in guessed if not (known and _is_complete(folder, known, form))}, geometry.bits
            )
            wanted = _distinct(wanted_forms(survey.geometry, splits))
            if survey.unreadable:  # of which others would be held out: those are to be repaired
                wanted = {form for form in wanted if form.part != "eval"}
            missing = {form for form in wanted if not _is_complete(folder, survey, form)}
            if missing - made.keys() or survey.geometry.bits != geometry.bits:
                survey, more, names = written(missing - made.keys(), survey.geometry.bits)
                made |= more
        except VitbenchError:
            raise
        except (OSError, ValueError) as error:
            raise fault(located, error) from error
        except Exception as error:
            raise fault(located, f"plugin {located.plugin} failed: {type(error).__name__}: {error}") from error
        source = source or _source(located)  # a download has only now put files there
        for form in missing:
            _publish(temporary, folder, survey, form, located, made[form])
        if source is not None:
            _keep_names(temporary / "names", names, _names_folder(folder, source, located, survey))
            entry, text = temporary / "entry.json", msgspec.json.encode(survey)
            entry.write_bytes(msgspec.json.encode(_Entry(msgspec.Raw(text), hashlib.sha256(text).hexdigest())))
            entry.replace(_entry(folder, source, located.limit, whole=located.whole and survey.made_test))
    return survey


def _publish(
    temporary: Path, folder: Path, survey: Survey, form: Form, located: Located, digests: Mapping[str, str]
) -> None:
    """Move a form's arrays to their place, unless another process has just done so."""
    made = temporary / form.suffix
    manifest = _Manifest(
        format=FORMAT,
        plugin=located.plugin,
        dataset=located.spec.name,
        root=str(located.root) if located.root else None,
        shape=form.shape,
        interpolation=form.interpolation,
        files={name: array_file(made / name, sha256) for name, sha256 in digests.items()},
        survey=survey,
    )
    (made / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    target = _array_folder(folder, survey, form)
    if target.exists() and not _is_complete(folder, survey, form):
        shutil.rmtree(target)
    try:
        made.replace(target)
    except OSError:
        if not _is_complete(folder, survey, form):
            raise


def _keep_names(made: Path, names: Mapping[str, Sequence[str]], target: Path | None) -> None:
    """Write what the images of each split are called, in the order of the arrays; nothing where they have no names."""
    if not names or target is None:
        return
    made.mkdir()
    for split, each in names.items():
        (made / f"{split}.json").write_bytes(msgspec.json.encode(each))
    shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError):  # another process has just done so
        made.replace(target)


def _bytes_of(form: Form, opened: OpenedSet, limit: int | float | None) -> int:
    """Return the bytes of the images that a form has."""
    held = [split for split in opened.splits if split.name in held_splits(form, [each.name for each in opened.splits])]
    return math.prod(form.shape) * sum(len(held_rows(form, split.name, split.labels, limit)) for split in held)


def _check_room(folder: Path, needed: int) -> None:
    # A full disk kills a process that writes through a memory map (SIGBUS), without a word.
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise _unwritable(folder.parent, f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")


def _unwritable(cache_root: Path, reason: str | None) -> UnusableError:
    return UnusableError(
        f"the image cache {cache_root} cannot be written: {reason}; set VITBENCH_CACHE to a writable folder"
    )
