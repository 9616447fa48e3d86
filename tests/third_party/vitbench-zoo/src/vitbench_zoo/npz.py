"""Images in one .npz file, the format of MedMNIST (Yang et al. 2023, arXiv 2110.14795).

Arrays ``train_images``, ``train_labels``, ``test_images``, ``test_labels``; images uint8 [N, H, W] or [N, H, W, C],
labels [N] or [N, 1]. ``val_images``, where they are, belong to the training split: vitbench holds images out itself.

The option `severity` puts noise on the test images, as in ImageNet-C (Hendrycks and Dietterich 2019, arXiv
1903.12261): the same noise each time, since it depends on the place of the image alone.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEVIATIONS = (0, 12, 24, 40, 60, 90)  # of the noise in gray levels, by severity
PARTS = {"train": ("train", "val"), "test": ("test",)}


@dataclass(frozen=True)
class Pictures:
    """Labels int64 [N], images uint8 [N, C, H, W], and a sentence for the user where they are not as published."""

    labels: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some images, uint8 [B, C, H, W]."""
        return self.pixels[index]


def open_split(root: Path, split: str, severity: int) -> Pictures:
    """Read a split of the only .npz file of a folder."""
    path = only_file(root)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    parts = [part for part in PARTS[split] if f"{part}_images" in found and f"{part}_labels" in found]
    if not parts or "test_labels" not in found:
        raise ValueError(f"{path} has no {split}_images and {split}_labels; it has {', '.join(sorted(found))}")
    pixels = np.concatenate([found[f"{part}_images"] for part in parts])
    labels = np.concatenate([found[f"{part}_labels"].reshape(-1) for part in parts]).astype(np.int64)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or len(pixels) != len(labels):
        raise ValueError(f"{path} has {split}_images {pixels.dtype}{list(pixels.shape)} for {len(labels)} labels")
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    classes = 1 + max(int(array.max(initial=0)) for name, array in found.items() if name.endswith("_labels"))
    if split == "test" and severity:
        pixels = noisy(pixels, DEVIATIONS[severity])
    notes = (f"Its test images have noise of severity {severity}.",) if severity else ()
    return Pictures(labels, np.ascontiguousarray(pixels), tuple(f"class {k}" for k in range(classes)), notes)


def only_file(root: Path) -> Path:
    """Return the path of the .npz file of a folder."""
    paths = sorted(root.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"there is no .npz file in {root}; put MedMNIST's there, such as bloodmnist.npz")
    if len(paths) > 1:
        raise ValueError(f"{root} holds {len(paths)} .npz files, and should hold one: {paths[0].name}, {paths[1].name}")
    return paths[0]


def noisy(pixels: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    """Return the images under noise of a standard deviation."""
    noise = np.random.default_rng(0).normal(0, deviation, size=pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)
