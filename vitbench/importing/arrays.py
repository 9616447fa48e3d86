"""Predictions and scores that someone else's records come with: read, checked, and written again.

N images, K classes.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.array_files import load_arrays, write_arrays
from vitbench.errors import StoreError
from vitbench.importing.checking import UnfitError
from vitbench.records import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bring_predictions", "bring_scores", "check_weights"]

_PARTS = ("scores", "value", "replicates", "step")
_PER_IMAGE = {"labels": "i", "index": "i", "log_normaliser": "f", "true_logit": "f"}
"""Arrays ``[N]`` of predictions, and of which kind their numbers are."""
MOST_IMAGES = 10_000_000
LONGEST_HEADER = 2**24


def bring_predictions(source: Path, target: Path, record: Record) -> tuple[str, int]:
    """Copy the predictions of a record; return the digest of the images that they are of, and how many these are.

    Raises:
        UnfitError: they are not what such a record comes with.
    """
    import numpy as np

    arrays = _arrays(source)
    classes = len(record.planned.class_names)
    labels = arrays.get("labels")
    count = 0 if labels is None or labels.ndim != 1 else len(labels)
    top = arrays.get("top_classes")
    width = 0 if top is None or top.ndim != 2 else top.shape[1]
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {name: (kind, (count,)) for name, kind in _PER_IMAGE.items()}
    wanted |= {"top_classes": ("iu", (count, width)), "top_logits": ("f", (count, width))}
    if "logits" in arrays:  # of the likeliest classes only the first few are written a second time
        wanted["logits"] = ("f", (count, classes))
        logits = arrays.get("top_logits")
        if logits is not None and logits.ndim == 2:
            wanted["top_logits"] = ("f", (count, min(width, logits.shape[1])))
    names = arrays.pop("class_names", np.empty(0))
    fits = 0 < count <= MOST_IMAGES and 0 < width <= classes and arrays.keys() == wanted.keys()
    fits = fits and names.dtype.kind == "U" and tuple(names.tolist()) == record.planned.class_names
    for name, (kind, shape) in wanted.items():
        fits = fits and arrays[name].dtype.kind in kind and arrays[name].shape == shape
        fits = fits and bool(np.isfinite(arrays[name]).all())
    fits = fits and bool((arrays["labels"] >= 0).all() and (arrays["labels"] < classes).all())
    fits = fits and bool((arrays["top_classes"] >= 0).all() and (arrays["top_classes"] < classes).all())
    fits = fits and bool((arrays["index"] >= 0).all())
    if not fits:
        raise UnfitError(f"the predictions in {source.name} are not those of its record")
    write_arrays(target, {**arrays, "class_names": names})
    return hashlib.sha256(arrays["labels"].tobytes() + arrays["index"].tobytes()).hexdigest(), count


def bring_scores(source: Path, target: Path, record: Record, images: str, count: int) -> None:
    """Copy the scores behind a record's measurements, which must be of the images that were predicted.

    Raises:
        UnfitError: they differ.
    """
    import numpy as np

    arrays = _arrays(source)
    known = {f"{measured.name}/{part}" for measured in record.measurements for part in _PARTS}
    said = str(arrays.pop("images", "")), arrays.pop("count", np.int64(-1))
    fits = said[0] == images and said[1].shape == () and int(said[1]) == count
    for name, array in arrays.items():
        part = name.rpartition("/")[2]
        fits = fits and name in known and array.dtype.kind in "bf"
        shape = {"scores": (count,), "value": (), "step": ()}.get(part, array.shape[:1])
        fits = fits and array.shape == shape and array.size <= MOST_IMAGES
        finite = ~np.isnan(array) if part == "replicates" else np.ones(array.shape, bool)
        fits = fits and bool(np.isfinite(array[finite]).all())
    if not fits:
        raise UnfitError(f"the scores in {source.name} are not those of its record")
    write_arrays(target, {**arrays, "images": np.array(images), "count": np.int64(count)})


def check_weights(source: Path) -> None:
    """Refuse weights that are not in a safetensors file: its first bytes say how long its header is, a JSON object.

    Raises:
        UnfitError: it is not one.
    """
    with source.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(1)
    if start != b"{" or not 2 <= length <= min(LONGEST_HEADER, source.stat().st_size - 8):
        raise UnfitError(f"{source.name} is not a safetensors file")


def _arrays(source: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a file as vitbench writes them: not compressed, so that it is as large as it says."""
    try:
        with zipfile.ZipFile(source) as file:
            members = file.infolist()
        size = source.stat().st_size
        if (
            any(each.compress_type != zipfile.ZIP_STORED for each in members)
            or sum(m.file_size for m in members) > size
        ):
            raise UnfitError(f"{source.name} is compressed, which vitbench's own files are not")
        return load_arrays(source, lambda file: {name: file[name] for name in file.files if name != "names"})
    except (OSError, zipfile.BadZipFile, NotImplementedError, StoreError) as error:
        if isinstance(error, UnfitError):
            raise
        raise UnfitError(f"{source.name} is not a file of arrays") from error
