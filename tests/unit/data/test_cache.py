"""vitbench.data.cache: decoded once, checked, fingerprinted, and never half-written."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import PIL
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from vitbench.data import forms
from vitbench.data.cache import FORMAT, WantedSize, cache_dataset, takes
from vitbench.data.cached_images import image_names
from vitbench.data.integrity import digest_of
from vitbench.data.locate import Located
from vitbench.data.oddities import MOST_NAMED, Read, content_of
from vitbench.data.splits import limited, load_splits
from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.records import DataInfo
from vitbench.specs import DatasetSpec

FOLLOW = WantedSize(image_size=None)


def _images(shapes: Sequence[tuple[int, int, int]], seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


class Toy:
    """A dataset in memory that counts how often images are read."""

    def __init__(self, train: Sequence[np.ndarray], test: Sequence[np.ndarray], **changes: Any) -> None:
        self.images = {"train": list(train), "test": list(test)}
        self.labels = {name: np.arange(len(images)) % 2 for name, images in self.images.items()}
        self.names = dict.fromkeys(("train", "val", "test"), ("cat", "dog"))
        self.extra: dict[str, Any] = {}
        self.reads = 0
        self.opened = 0
        vars(self).update(changes)

    def open(self, *, root: Path | None, split: str, download: bool) -> SimpleNamespace:
        self.opened += 1
        if self.images[split] is None:
            return None
        return SimpleNamespace(
            labels=self.labels[split],
            class_names=self.names[split],
            image=lambda i: self._image(split, i),
            **self.extra,
        )

    def _image(self, split: str, i: int) -> np.ndarray:
        self.reads += 1
        return self.images[split][i]

    def located(self, root: Path | None = None, **changes: Any) -> Located:
        spec = DatasetSpec(name="toy", open=self.open, summary="Toy", needs_root=root is not None)
        fields = {
            "name": "toy", "spec": spec, "plugin": "toys", "root": root, "verified": None, "download": False,
            "classes": None, "augmentations": ("crop",),
        }  # fmt: skip
        return Located(**(fields | changes))


def _cache(
    toy: Toy, tmp_path: Path, *sides: WantedSize, root: Path | None = None, **changes: Any
) -> dict[WantedSize, DataInfo]:
    located = toy.located(root, **changes)
    return cache_dataset(located, sides=sides or (FOLLOW,), cache_root=tmp_path / "cache", say=lambda line: None)


def _square(side: int, train: int = 6, test: int = 4, channels: int = 3) -> Toy:
    images = _images([(channels, side, side)] * (train + test))
    return Toy(images[:train], images[train:])


def _read(info: DataInfo, name: str) -> np.ndarray:
    return np.load(Path(info.cache) / f"{name}.npy", mmap_mode="r")


def _reason(toy: Toy, tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(UnusableError) as caught:
        _cache(toy, tmp_path, **changes)
    message = str(caught.value)
    assert "\n" not in message
    assert _folders(tmp_path) == []
    return message


def _folders(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / f"v{FORMAT}").iterdir() if path.name != "sources")


# --- what is cached


def test_equal_images_of_two_folders_keep_the_names_of_each(tmp_path: Path) -> None:
    images, found = _images([(3, 16, 16)] * 6), {}
    for folder in ("one", "two"):
        root = tmp_path / folder
        root.mkdir()
        (root / "file").write_text(folder)
        toy = Toy(images, images, extra={"names": [f"{folder}/{i}.png" for i in range(6)]})
        found[folder] = [_cache(toy, tmp_path, root=root)[FOLLOW] for _ in range(2)][1]  # the second is remembered
    assert found["one"].cache == found["two"].cache
    for folder, info in found.items():
        assert image_names(info, "test", 6) == [f"{folder}/{i}.png" for i in range(6)]


def test_as_many_names_as_images_are_wanted(tmp_path: Path) -> None:
    toy = _square(16)
    toy.extra["names"] = ["a.png"]
    assert "1 names for 6 train images" in _reason(toy, tmp_path)


def test_small_square_images_are_cached_as_they_are_and_shared(tmp_path: Path) -> None:
    toy = _square(16)
    sides = (
        FOLLOW,
        WantedSize(image_size=(16, 16)),
        WantedSize(image_size=(224, 224), crop_fraction=0.9),
        WantedSize(image_size=(32, 32), interpolation="bilinear"),
    )

    infos = _cache(toy, tmp_path, *sides)

    assert len({info.cache for info in infos.values()}) == 1
    info = infos[FOLLOW]
    assert (info.shape, info.sizes, info.class_names) == ((3, 16, 16), {"train": 6, "test": 4}, ("cat", "dog"))
    assert np.array_equal(_read(info, "train-images"), toy.images["train"])
    assert np.array_equal(_read(info, "test-images"), toy.images["test"])
    assert _read(info, "test-labels").tolist() == [0, 1, 0, 1]
    assert (info.title, info.verified, info.augmentations, info.plugin) == ("toy", True, ("crop",), "toys")


def test_larger_images_are_resized_by_side_filter_and_crop_in_one_pass(tmp_path: Path) -> None:
    toy = _square(40)
    small, cropped = WantedSize(image_size=(16, 16)), WantedSize(image_size=(16, 16), crop_fraction=0.8)
    linear, native = WantedSize(image_size=(16, 16), interpolation="bilinear"), WantedSize(image_size=(40, 40))

    infos = _cache(toy, tmp_path, small, cropped, linear, native)

    assert [infos[side].shape[1] for side in (small, cropped, linear, native)] == [16, 16, 16, 40]
    assert len(_folders(tmp_path)) == 4 + 2  # the training images once for each filter
    assert toy.reads == 10 + 10  # a glance at each image, then one pass
    for other in (cropped, linear):
        assert not np.array_equal(_read(infos[small], "test-images"), _read(infos[other], "test-images"))


def test_resizing_is_antialiased_and_keeps_the_shape_of_things(tmp_path: Path) -> None:
    """A white disc in the middle of a wide image stays a disc in the middle; a fine check becomes even gray."""
    rows, columns = np.mgrid[:60, :120]
    disc = (((rows - 29.5) ** 2 + (columns - 59.5) ** 2) < 20**2) * np.uint8(255)
    check = ((rows + columns) % 2 * 255).astype(np.uint8)
    toy = Toy([disc[None], check[None]], [disc[None], check[None]])

    info = _cache(toy, tmp_path, WantedSize(image_size=(20, 20)))[WantedSize(image_size=(20, 20))]
    small_disc, small_check = _read(info, "test-images")[:, 0].astype(float)

    assert info.shape == (1, 20, 20)
    assert np.allclose(small_disc, small_disc.T, atol=4)
    assert small_disc.mean() / 255 == pytest.approx(np.pi / 9, abs=0.01)
    assert np.ptp(small_check[2:-2, 2:-2]) <= 2


@pytest.mark.parametrize(
    ("shape", "interpolation"),
    [((3, 50, 80), "bilinear"), ((3, 81, 50), "bicubic"), ((1, 33, 32), "bicubic"), ((3, 17, 23), "bilinear")],
)
def test_resizing_and_cropping_agree_with_torchvision(
    shape: tuple[int, int, int], interpolation: Literal["bilinear", "bicubic"], tmp_path: Path
) -> None:
    images = _images([shape, shape, (shape[0], 90, 91)])
    side = WantedSize(image_size=(32, 32), interpolation=interpolation)
    ours = _read(_cache(Toy(images, images), tmp_path, side)[side], "test-images")[0]

    resized = resize(torch.from_numpy(images[0]), [32], InterpolationMode(interpolation), antialias=True)
    assert np.abs(ours.astype(int) - center_crop(resized, [32]).numpy()).max() <= 1


@pytest.mark.parametrize(
    ("shapes", "side"),
    [([(3, 8, 8)], (8, 8)), ([(3, 224, 224)], (224, 224)), ([(3, 230, 230)], (224, 224)),
     ([(3, 50, 70), (3, 40, 90), (3, 47, 60)], (32, 32)), ([(3, 9, 12), (3, 9, 13)], (16, 16)),
     ([(3, 9, 12)], (9, 12)), ([(1, 224, 600)], (224, 600)), ([(3, 500, 300)], (368, 224))],
)  # fmt: skip
def test_a_model_that_follows_the_data_gets_a_sensible_size(
    shapes: list[tuple[int, int, int]], side: tuple[int, int], tmp_path: Path
) -> None:
    images = _images(shapes * 2)
    info = _cache(Toy(images, images), tmp_path)[FOLLOW]
    assert info.shape == (shapes[0][0], *side)
    assert _read(info, "train-images").shape == (len(images), *info.shape)


def test_rectangles_of_one_size_are_cached_as_they_are(tmp_path: Path) -> None:
    images = _images([(1, 12, 20)] * 10)
    sides = (FOLLOW, WantedSize(image_size=(12, 20)), WantedSize(image_size=(12, 24)), WantedSize(image_size=(64, 64)))

    infos = _cache(Toy(images[:6], images[6:]), tmp_path, *sides)

    assert len({info.cache for info in infos.values()}) == 1
    assert infos[FOLLOW].shape == (1, 12, 20)
    assert np.array_equal(_read(infos[FOLLOW], "train-images"), images[:6])
    assert _folders(tmp_path) == [f"{infos[FOLLOW].fingerprint[:16]}-12x20"]


@pytest.mark.parametrize(("size", "covered"), [((8, 16), (8, 16)), ((16, 8), (16, 8)), ((7, 7), (8, 8))])
def test_larger_rectangles_are_resized_to_cover_what_is_wanted(
    size: tuple[int, int], covered: tuple[int, int], tmp_path: Path
) -> None:
    """A picture that brightens from left to right keeps its middle in the middle, whatever is cut off."""
    ramp = np.broadcast_to(np.linspace(0, 255, 60).astype(np.uint8), (1, 30, 60))
    wanted = WantedSize(image_size=size, interpolation="bilinear", crop_fraction=0.8 if size == (7, 7) else 1.0)

    info = _cache(Toy([ramp] * 2, [ramp] * 2), tmp_path, wanted)[wanted]
    columns = _read(info, "test-images")[0, 0].mean(axis=0)

    assert info.shape == (1, *size)
    assert columns.mean() == pytest.approx(127.5, abs=10 if size == (7, 7) else 1)  # an odd margin
    scale = max(covered[0] / 30, covered[1] / 60)
    assert columns[-1] - columns[0] == pytest.approx(255 * (size[1] - 1) / (60 * scale), rel=0.05)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_each_of_many_channels_is_resized_by_itself(channels: int, tmp_path: Path) -> None:
    """Pillow would take the last of two or four for opacity, and weigh the others by it."""
    images = _images([(channels, 20, 30)] * 2)
    wanted = WantedSize(image_size=(10, 10))
    several = _read(_cache(Toy(images, images), tmp_path, wanted)[wanted], "train-images")
    assert several.shape == (2, channels, 10, 10)
    for c in range(channels):
        alone = [image[c : c + 1] for image in images]
        single = _cache(Toy(alone, alone), tmp_path / str(c), wanted)[wanted]
        assert np.array_equal(several[:, c : c + 1], _read(single, "train-images"))


def test_gray_images_are_repeated_among_coloured_ones_only(tmp_path: Path) -> None:
    gray, colour = _images([(1, 8, 8)] * 2), _images([(3, 8, 8)] * 2)
    assert _cache(Toy(gray, gray), tmp_path)[FOLLOW].shape == (1, 8, 8)

    info = _cache(Toy([gray[0], colour[0]], gray), tmp_path)[FOLLOW]
    assert info.shape == (3, 8, 8)
    assert np.array_equal(_read(info, "train-images")[0], np.repeat(gray[0], 3, axis=0))
    assert np.array_equal(_read(info, "train-images")[1], colour[0])

    many = _images([(5, 8, 8)])
    assert np.array_equal(
        _read(_cache(Toy([gray[0], *many], many), tmp_path)[FOLLOW], "train-images")[0], gray[0].repeat(5, 0)
    )


def test_one_odd_image_that_the_glance_misses_is_found(tmp_path: Path) -> None:
    """Guessed 8 x 8 gray from 16 evenly spaced images; one of 200 is larger and coloured."""
    images = _images([(1, 8, 8)] * 200)
    images[1] = _images([(3, 20, 24)])[0]
    info = _cache(Toy(images, images[2:]), tmp_path, WantedSize(image_size=(8, 8)))[WantedSize(image_size=(8, 8))]

    assert info.shape == (3, 8, 8)
    assert _folders(tmp_path) == [f"{info.fingerprint[:16]}-8-bicubic-pillow{PIL.__version__}"]
    assert np.array_equal(_read(info, "train-images")[199], np.repeat(images[199], 3, axis=0))


def test_sets_that_give_batches_are_read_like_those_that_give_images(tmp_path: Path) -> None:
    one = _square(8, train=150)
    stacked = {name: np.stack(images) for name, images in one.images.items()}

    def open_batches(*, root: Path | None, split: str, download: bool) -> SimpleNamespace:
        return SimpleNamespace(labels=one.labels[split], class_names=("cat", "dog"), images=lambda i: stacked[split][i])

    spec = DatasetSpec(name="toy", open=open_batches, summary="Toy", needs_root=False)
    assert _cache(one, tmp_path, spec=spec)[FOLLOW] == _cache(one, tmp_path)[FOLLOW]


# --- the fingerprint


def test_the_fingerprint_is_of_the_original_pixels_whatever_the_cached_size(tmp_path: Path) -> None:
    big, small = WantedSize(image_size=(40, 40)), WantedSize(image_size=(16, 16))
    first = _cache(_square(40), tmp_path / "a", big)[big]
    second = _cache(_square(40), tmp_path / "b", small)[small]
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("change", ["pixel", "label", "class", "order", "split"])
def test_any_change_of_the_data_changes_the_fingerprint(change: str, tmp_path: Path) -> None:
    before = _cache(_square(8), tmp_path)[FOLLOW].fingerprint
    toy = _square(8)
    if change == "pixel":
        toy.images["test"][3][2, 7, 7] ^= 1
    elif change == "label":
        toy.labels["train"][5] = 0
    elif change == "class":
        toy.names = {"train": ("cat", "fox"), "test": ("cat", "fox")}
    elif change == "order":
        toy.images["train"][0], toy.images["train"][2] = toy.images["train"][2], toy.images["train"][0]
    else:
        toy.images["test"] += toy.images["train"][4:]
        toy.images["train"] = toy.images["train"][:4]
        toy.labels = {name: np.arange(len(images)) % 2 for name, images in toy.images.items()}
    assert _cache(toy, tmp_path)[FOLLOW].fingerprint != before


def test_unverified_data_say_so_in_their_title(tmp_path: Path) -> None:
    toy = _square(8)
    info = _cache(toy, tmp_path, verified=False)[FOLLOW]
    assert (info.title, info.verified) == (f"toy (unverified, {info.fingerprint[:8]})", False)

    toy.extra = {"verified": False, "notes": ("checksums differ",)}
    info = _cache(toy, tmp_path)[FOLLOW]
    assert (info.verified, info.notes) == (False, ("checksums differ",))


@pytest.mark.parametrize(
    ("said", "changes", "known_by"),
    [
        ([True, True], {}, "checksums"),
        ([True, None], {}, ""),
        ([None, None], {}, ""),
        ([None, None], {"detect": lambda root: True}, "owner"),
        ([None, None], {"root": None}, "package"),
        ([True, False], {}, ""),
        ([None, False], {"root": None}, ""),
    ],
)
def test_what_the_data_are_known_by(
    said: list[bool | None], changes: dict[str, Any], known_by: str, tmp_path: Path
) -> None:
    def opened(*, root: Path | None, split: str, download: bool) -> SimpleNamespace:
        images = toy.open(root=root, split=split, download=download)
        verified = said[split == "test"]
        return images if verified is None else SimpleNamespace(**vars(images), verified=verified)

    toy = _square(8)
    (tmp_path / "files").mkdir()
    root = changes.pop("root", tmp_path / "files")
    spec = DatasetSpec(name="toy", open=opened, summary="Toy", needs_root=root is not None, **changes)
    for _ in range(2):  # the second time as it is remembered
        info = _cache(toy, tmp_path, root=root, spec=spec)[FOLLOW]
        assert (info.known_by, info.verified) == (known_by, False not in said)


def test_a_validation_split_is_cached_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    toy = _square(8)
    toy.images["val"] = _images([(3, 8, 8)] * 3, seed=1)
    toy.labels["val"] = np.array([1, 0, 1])
    toy.images["test"][1] = toy.images["val"][0]
    spec = toy.located().spec

    without = _cache(toy, tmp_path)[FOLLOW]
    info = _cache(toy, tmp_path, spec=replace(spec, splits=("train", "val", "test")))[FOLLOW]

    assert (without.sizes, info.sizes) == ({"train": 6, "test": 4}, {"train": 6, "val": 3, "test": 4})
    assert np.array_equal(_read(info, "val-images"), toy.images["val"])
    assert _read(info, "val-labels").tolist() == [1, 0, 1]
    assert info.fingerprint != without.fingerprint
    assert without.doubts == ()
    assert info.doubts == ("1 of 4 test images is also in val",)


# --- what is not done twice


def _with_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("1")
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(root / "nowhere")
    return root


def test_unchanged_files_are_not_opened_again(tmp_path: Path) -> None:
    toy, root = _square(40), _with_root(tmp_path)
    first = _cache(toy, tmp_path, WantedSize(image_size=(16, 16)), root=root)
    opened, reads = toy.opened, toy.reads

    assert _cache(toy, tmp_path, WantedSize(image_size=(16, 16)), root=root) == first
    assert (toy.opened, toy.reads) == (opened, reads)


def test_images_without_a_test_split_are_remembered_by_their_use(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    toy.images["test"] = None
    split, whole = (_cache(toy, tmp_path, root=root, whole=whole)[FOLLOW] for whole in (False, True))
    assert (split.sizes, whole.sizes) == ({"train": 4, "test": 2}, {"test": 6})

    opened = toy.opened
    assert [_cache(toy, tmp_path, root=root, whole=whole)[FOLLOW] for whole in (True, False)] == [whole, split]
    assert toy.opened == opened


def test_a_test_split_of_its_own_is_not_decoded_again_for_another_use(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    first = _cache(toy, tmp_path, root=root, whole=True)
    opened = toy.opened
    assert _cache(toy, tmp_path, root=root, whole=False) == first
    assert toy.opened == opened


def test_a_file_whose_name_is_not_utf8_stops_nothing(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).touch()
    toy = _square(8)
    first, opened = _cache(toy, tmp_path, root=root), toy.opened
    assert _cache(toy, tmp_path, root=root) == first
    assert toy.opened == opened


def test_what_is_in_the_cache_is_not_opened_to_learn_whether_the_set_takes_it(tmp_path: Path) -> None:
    toy, root = _square(8), tmp_path / "toy"
    root.mkdir()
    (root / "batch").write_bytes(b"1")

    assert takes(toy.located(root), cache_root=tmp_path / "cache")
    assert (toy.opened, toy.reads) == (2, 0)

    _cache(toy, tmp_path, root=root)
    before = toy.opened
    assert takes(toy.located(root), cache_root=tmp_path / "cache")
    assert toy.opened == before


@pytest.mark.parametrize(
    ("error", "taken"),
    [
        (FileNotFoundError("there is no batch"), False),
        (ValueError("the batch is cut"), False),
        (KeyError("label"), True),
        (PermissionError(13, "Permission denied"), True),
        (UnusableError("no licence"), True),
    ],
    ids=repr,
)
def test_a_set_refuses_a_folder_in_two_ways_and_what_else_goes_wrong_is_an_error(
    error: Exception, taken: bool, tmp_path: Path
) -> None:
    def raising(**_: object) -> None:
        raise error

    spec = DatasetSpec(name="toy", open=raising, summary="Toy")
    located = _square(8).located(tmp_path, spec=spec)
    assert takes(located, cache_root=tmp_path / "cache") == taken


@pytest.mark.parametrize(
    "change", [{"code": "new"}, {"decoders": {"pillow": "14"}}, {"decoders": {"pillow": "13", "libjpeg": "4"}}], ids=str
)
def test_new_code_and_new_decoders_decode_anew(change: dict[str, Any], tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    before = {"code": "old", "decoders": {"pillow": "13"}}
    _cache(toy, tmp_path, root=root, **before)
    toy.reads = 0
    _cache(toy, tmp_path, root=root, **before)
    assert toy.reads == 0
    _cache(toy, tmp_path, root=root, **(before | change))
    assert toy.reads >= 10


def test_what_another_pillow_resized_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, side = _square(32), WantedSize(image_size=(16, 16))
    now = _cache(toy, tmp_path, side, FOLLOW)
    monkeypatch.setattr(forms, "PILLOW_VERSION", "14")
    later = _cache(toy, tmp_path, side, FOLLOW)
    assert (later[side].cache == now[side].cache, later[FOLLOW].cache == now[FOLLOW].cache) == (False, True)
    assert later[side].fingerprint == now[side].fingerprint


def test_options_and_the_files_that_they_name_are_part_of_what_was_decoded(tmp_path: Path) -> None:
    root = tmp_path / "shades"
    root.mkdir()
    (root / "data").write_bytes(b"one")
    opened: list[int] = []

    def open_fold(split: str, fold: int, index: str) -> SimpleNamespace:
        opened.append(fold)
        images = np.full((4, 1, 8, 8), fold, dtype=np.uint8)
        images[1::2] += 9
        return SimpleNamespace(labels=np.arange(4) % 2, class_names=("a", "b"), images=lambda rows: images[rows])

    spec = DatasetSpec(name="shades", open=open_fold, summary="x", options={"fold": 1, "index": ""})

    def cached(fold: int, **files: str) -> DataInfo:
        located = Toy([], []).located(root, name="shades", spec=spec)
        located = replace(located, options={"fold": fold, "index": ""}, files=files)
        return cache_dataset(located, sides=[FOLLOW], cache_root=tmp_path / "cache", say=lambda _: None)[FOLLOW]

    first, second = cached(1), cached(2)
    assert (first.name, first.title, second.title) == ("shades", "shades", "shades:fold=2")
    assert [_read(each, "test-images")[0, 0, 0, 0] for each in (first, second)] == [1, 2]
    assert first.fingerprint != second.fingerprint
    assert cached(1) == first
    assert opened == [1, 1, 2, 2], "what is unchanged is not opened again"
    cached(1, index="5ha")
    assert opened == [1, 1, 2, 2, 1, 1]


def test_a_set_that_cannot_be_used_is_named_with_its_options(tmp_path: Path) -> None:
    def open_nothing(split: str, fold: int) -> None:
        raise ValueError("there are three folds")

    spec = DatasetSpec(name="shades", open=open_nothing, summary="x", options={"fold": 1}, needs_root=False)
    located = replace(Toy([], []).located(spec=spec, name="shades"), options={"fold": 4})
    with pytest.raises(UnusableError, match=r"^dataset shades:fold=4: there are three folds$"):
        cache_dataset(located, sides=[FOLLOW], cache_root=tmp_path / "cache", say=lambda _: None)


def test_a_new_side_needs_one_pass_and_keeps_what_is_there(tmp_path: Path) -> None:
    toy, root = _square(40), _with_root(tmp_path)
    _cache(toy, tmp_path, WantedSize(image_size=(16, 16)), root=root)
    toy.reads = 0

    infos = _cache(toy, tmp_path, WantedSize(image_size=(16, 16)), WantedSize(image_size=(20, 20)), root=root)

    assert toy.reads == 10
    assert sorted(info.shape[1] for info in infos.values()) == [16, 20]


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    before = _cache(toy, tmp_path, root=root)[FOLLOW]
    (root / "sub" / "file").write_text("22")
    toy.images["train"][0][:] = 0

    after = _cache(toy, tmp_path, root=root)[FOLLOW]

    assert after.fingerprint != before.fingerprint
    assert Path(before.cache).is_dir()


def _swap_folders(root: Path) -> None:
    for source, target in (("cat", "kept"), ("dog", "cat"), ("kept", "dog")):
        (root / source).rename(root / target)


def _swap_files(root: Path) -> None:
    for source, target in (("cat/1", "kept"), ("dog/1", "cat/1"), ("kept", "dog/1")):
        (root / source).rename(root / target)


def _write_in_place(root: Path) -> None:
    (root / "cat" / "1").write_text("c")
    os.utime(root / "cat" / "1", (1e9, 1e9))


def _put_another(root: Path) -> None:
    (root / "new").write_text("c")
    os.utime(root / "new", (1e9, 1e9))
    (root / "new").replace(root / "cat" / "1")


@pytest.mark.parametrize("change", [_swap_folders, _swap_files, _write_in_place, _put_another])
def test_a_change_that_keeps_names_sizes_and_times_is_noticed(change: Callable[[Path], None], tmp_path: Path) -> None:
    toy, root = _square(8), tmp_path / "data"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "1").write_text(name[0])
        os.utime(root / name / "1", (1e9, 1e9))
    before = _cache(toy, tmp_path, root=root)[FOLLOW]
    toy.labels["train"] = 1 - toy.labels["train"]
    assert _cache(toy, tmp_path, root=root)[FOLLOW] == before

    change(root)

    assert _cache(toy, tmp_path, root=root)[FOLLOW].fingerprint != before.fingerprint


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _turn_one_bit(path: Path) -> None:
    times = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    os.utime(path, ns=(times, times))


def _turn_round(path: Path) -> None:
    np.save(path, np.load(path)[::-1].copy())


PLACES = [
    (kind, side, f"{split}-{array}")
    for kind, side, splits in (
        ("as they are", FOLLOW, ("train", "test")),
        ("resized", WantedSize(image_size=(8, 8)), ("train", "test")),
        ("to learn from", WantedSize(image_size=(8, 8)), ("train",)),
    )
    for split in splits
    for array in ("images", "labels")
]


@pytest.mark.parametrize(
    ("damage", "kind", "side", "name"),
    [
        *((_turn_one_bit, *place) for place in PLACES),
        *((damage, *PLACES[0]) for damage in (_remove, _cut, _empty, _turn_round)),
    ],
)
def test_a_damaged_cache_is_made_again(
    damage: Callable[[Path], None], kind: str, side: WantedSize, name: str, tmp_path: Path
) -> None:
    """A bit is turned in the last training image, which is held out."""
    toy, root, said = _square(16), _with_root(tmp_path), []
    info = _cache(toy, tmp_path, side, root=root)[side]
    folder = info.train_cache if kind == "to learn from" else info.cache
    whole = np.load(Path(folder, f"{name}.npy"))
    damage(Path(folder, f"{name}.npy"))

    found = cache_dataset(toy.located(root), sides=[side], cache_root=tmp_path / "cache", say=said.append)[side]

    assert found == info
    assert np.array_equal(np.load(Path(folder, f"{name}.npy")), whole)
    assert said == [f"toy: the cached images in {folder} are incomplete or damaged; decoding them again"]


def test_a_cache_that_was_copied_is_read_once_and_used(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    info = _cache(toy, tmp_path, root=root)[FOLLOW]
    for path in Path(info.cache).glob("*.npy"):
        path.write_bytes(path.read_bytes())
    manifest, reads = Path(info.cache, "manifest.json"), toy.reads
    before = manifest.read_bytes()

    assert _cache(toy, tmp_path, root=root)[FOLLOW] == info
    assert toy.reads == reads
    assert manifest.read_bytes() != before


def test_folders_of_arrays_that_changed_places_are_made_again(tmp_path: Path) -> None:
    toy, other, root = _square(8), _square(8), _with_root(tmp_path)
    other.images["train"][0] = 255 - other.images["train"][0]
    first, second = _cache(toy, tmp_path, root=root)[FOLLOW], _cache(other, tmp_path)[FOLLOW]
    shutil.rmtree(first.cache)
    Path(second.cache).rename(first.cache)

    assert np.array_equal(_read(_cache(toy, tmp_path, root=root)[FOLLOW], "train-images"), toy.images["train"])


def test_damaged_class_names_are_read_anew(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    info = _cache(toy, tmp_path, root=root)[FOLLOW]
    [entry] = (tmp_path / "cache" / f"v{FORMAT}" / "sources").iterdir()
    entry.write_bytes(entry.read_bytes().replace(b"cat", b"cow"))

    assert _cache(toy, tmp_path, root=root)[FOLLOW] == info


# --- pixels of 16 bits


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (256, 10), (65535, 16)])
def test_sixteen_bits_are_scaled_by_those_that_are_used(highest: int, bits: int, tmp_path: Path) -> None:
    toy = _square(8, train=60, channels=1)
    toy.images["train"] = [np.full((1, 8, 8), highest // 2, np.uint16) + np.arange(8, dtype=np.uint16) % 2] * 60
    toy.images["train"][37] = np.full((1, 8, 8), highest, np.uint16)  # which the glance misses

    info = _cache(toy, tmp_path)[FOLLOW]

    assert _read(info, "train-images")[37].max() == highest >> (bits - 8)
    assert np.array_equal(_read(info, "train-images")[0], toy.images["train"][0] >> (bits - 8))
    assert np.array_equal(_read(info, "test-images"), toy.images["test"])
    assert any(f"values up to {highest:,}, which take {bits} bits" in note for note in info.notes)


# --- published data


def test_published_images_are_known_whatever_their_order_and_that_of_their_classes(tmp_path: Path) -> None:
    toy = _square(8, train=12)

    def seen(toy: Toy, *published: str) -> DataInfo:
        return _cache(toy, tmp_path, published=published, verified=False)[FOLLOW]

    reads = [_as_read(toy, name) for name in ("train", "test")]
    content = content_of(reads, ("cat", "dog"))
    assert not seen(toy, "0" * 64).verified
    assert (seen(toy, content).title, seen(toy, "0" * 64, content).verified) == ("toy", True)

    turned = Toy(toy.images["train"][::-1], toy.images["test"])
    turned.labels = {"train": 1 - toy.labels["train"][::-1], "test": 1 - toy.labels["test"]}
    turned.names = dict.fromkeys(("train", "test"), ("dog", "cat"))
    assert seen(turned, content).verified
    assert seen(turned, content).fingerprint != seen(toy, content).fingerprint

    turned.names = dict.fromkeys(("train", "test"), ("cat", "dog"))
    assert not seen(turned, content).verified
    toy.images["train"][0][0, 0, 0] ^= 1
    assert seen(toy, content).title.startswith("toy (unverified, ")


def _as_read(toy: Toy, name: str) -> Read:
    digests = np.frombuffer(b"".join(map(digest_of, toy.images[name])), np.uint8).reshape(-1, 32)
    return Read(name=name, labels=toy.labels[name], digests=digests)


@pytest.mark.parametrize(
    "manifest",
    [b"", b'{"files": {"train-ima', b"\xff", b"{}", b'{"files": {"train-images.npy": "1"}}'],
)  # fmt: skip
def test_a_cache_with_a_cut_or_wrong_manifest_is_made_again(manifest: bytes, tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    info = _cache(toy, tmp_path, root=root)[FOLLOW]
    Path(info.cache, "manifest.json").write_bytes(manifest)

    toy.reads = 0
    assert _cache(toy, tmp_path, root=root)[FOLLOW] == info
    assert toy.reads == 10
    toy.reads = 0
    assert _cache(toy, tmp_path, root=root)[FOLLOW] == info
    assert toy.reads == 0


def test_processes_that_fill_the_cache_at_once_agree(tmp_path: Path) -> None:
    toy, found = _square(32, train=300, test=100), []
    threads = [threading.Thread(target=lambda: found.append(_cache(toy, tmp_path)[FOLLOW])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert {info.cache for info in found} == {found[0].cache}
    assert _folders(tmp_path) == [Path(found[0].cache).name]


# --- what is refused, in one line, with nothing left behind


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": {"train": np.array([0, 1, 0, 1, 2, 7]), "test": np.array([0, 1, 0, 1])}},
         "train image 4 has label 2, which is not in 0..1"),
        ({"labels": {"train": np.array([0, 1, 0, 1, 0, 1]), "test": np.array([0, 1, -1, 1])}},
         "test image 2 has label -1, which is not in 0..1"),
        ({"labels": {"train": np.array([0.0, 1.0]), "test": np.array([0, 1])}}, "of shape [N], not float64[2]"),
        ({"labels": {"train": np.eye(6, 2, dtype=int), "test": np.array([0, 1])}},
         "train labels must be int64[N], one class each, not int64[6, 2]; several labels per image are"),
        ({"labels": {"train": np.zeros(6, int), "test": np.array([0, 1, 0, 1])}}, "images have the same class, 'cat'"),
        ({"labels": {"train": np.array([0, 1]), "test": np.array([], int)}}, "there are no test images"),
        ({"labels": {n: np.zeros(4, int) for n in ("train", "test")}, "names": {"train": ("cat",), "test": ("cat",)}},
         "has only one class, 'cat'"),
        ({"names": {"train": ("cat", "dog"), "test": ("cat", "emu")}},
         "the classes of train and test differ: class 'dog' only in train, class 'emu' only in test"),
    ],
)  # fmt: skip
def test_bad_labels_and_classes_are_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    toy = _square(8)
    vars(toy).update(changes)
    assert reason in _reason(toy, tmp_path)


def test_another_number_of_classes_than_the_named_set_has_is_refused_also_from_the_cache(tmp_path: Path) -> None:
    toy, root = _square(8), _with_root(tmp_path)
    assert "has 2 classes, but toy has 10" in _reason(toy, tmp_path, root=root, classes=10)
    _cache(toy, tmp_path, root=root)
    with pytest.raises(UnusableError, match="has 2 classes, but toy has 10"):
        _cache(toy, tmp_path, root=root, classes=10)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            np.zeros((3, 8, 8)),
            "test image 1 must be uint8 or uint16 of shape [channels, height, width], not float",
        ),
        (np.zeros((8, 8, 3), np.uint8), "not uint8[8, 8, 3]"),
        (np.zeros((4, 8, 8), np.uint8), "image 0 has 3 channels, and others have 4; all images of a dataset must have"),
        (np.zeros((3, 0, 8), np.uint8), "not uint8[3, 0, 8]"),
    ],
)
def test_arrays_that_are_no_images_are_refused(image: np.ndarray, reason: str, tmp_path: Path) -> None:
    toy = _square(8)
    toy.images["test"][1] = image
    assert reason in _reason(toy, tmp_path)


def test_a_broken_plugin_is_named_and_nothing_stays(tmp_path: Path) -> None:
    assert "plugin toys failed: IndexError: 7" in _reason(_damaged(IndexError("7"), 271), tmp_path)


# --- images that cannot be read


def _damaged(error: Exception, *rows: int, batches: bool = False) -> Toy:
    """Return a dataset of 300 and 4 images of which some of the training images raise an error."""
    toy = _square(8, train=300)

    def image(split: str, i: int) -> np.ndarray:
        toy.reads += 1
        if split == "train" and i in rows:
            raise error
        return toy.images[split][i]

    def open_set(*, root: Path | None, split: str, download: bool) -> SimpleNamespace:
        offer = (
            {"images": lambda index: np.stack([image(split, i) for i in index])}
            if batches
            else {"image": lambda i: image(split, i)}
        )
        return SimpleNamespace(labels=toy.labels[split], class_names=("cat", "dog"), **offer)

    toy._image = image
    if batches:
        toy.open = open_set
    return toy


@pytest.mark.parametrize("batches", [False, True])
def test_an_unreadable_image_is_left_out_of_the_split_that_it_was_cut_into(batches: bool, tmp_path: Path) -> None:
    toy = _damaged(ValueError("lost"), 3, 7, batches=batches)
    toy.images["test"], given = None, toy.open
    toy.open = lambda **asked: given(**asked) if asked["split"] == "train" else None
    toy.extra["names"] = [image.tobytes().hex() for image in toy.images["train"]]  # named after what they show
    root = tmp_path / "toy"
    root.mkdir()
    located = toy.located(root)
    info = cache_dataset(
        located, sides=(FOLLOW,), cache_root=tmp_path / "cache", say=lambda line: None, skip_unreadable=True
    )[FOLLOW]
    assert (sum(info.sizes.values()), info.left_out) == (298, 2)
    whole = {image.tobytes(): int(label) for image, label in zip(toy.images["train"], toy.labels["train"], strict=True)}
    for split in ("train", "test"):
        for image, label in zip(_read(info, f"{split}-images"), _read(info, f"{split}-labels"), strict=True):
            assert whole.pop(image.tobytes()) == label
    assert [*whole] == [toy.images["train"][row].tobytes() for row in (3, 7)]
    if not batches:  # which have no names
        named = image_names(info, "test", info.sizes["test"])
        assert named == [image.tobytes().hex() for image in _read(info, "test-images")]


BROKEN = ValueError("cannot read image /pets/cat/1.jpg:\n truncated")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BROKEN, "/pets/cat/1.jpg: truncated"),
        (OSError(), "OSError"),
        (ValueError("a\udce9.png"), "a\\udce9.png"),
    ],
)
def test_all_images_that_cannot_be_read_are_named_in_one_line(error: Exception, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableError) as caught:
        _cache(_damaged(error, 3, 271), tmp_path)
    assert str(caught.value) == (
        f"dataset toy: 2 of 304 images cannot be read: {reason}; {reason}; "
        "repair or remove them, or leave them out with --skip-unreadable"
    )


def test_of_very_many_images_that_cannot_be_read_some_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match=r"^dataset toy: 200 of 304 images") as caught:
        _cache(_damaged(BROKEN, *range(200)), tmp_path)
    assert str(caught.value).count("truncated") == MOST_NAMED
    assert f"and {200 - MOST_NAMED} more;" in str(caught.value)


@pytest.mark.parametrize("batches", [False, True])
def test_images_that_cannot_be_read_are_left_out_where_that_is_asked_for(batches: bool, tmp_path: Path) -> None:
    whole = _square(8, train=300)
    lost = [3, 64, 299]

    located = _damaged(BROKEN, *lost, batches=batches).located()
    [info] = cache_dataset(
        located, sides=[FOLLOW], cache_root=tmp_path / "cache", say=lambda line: None, skip_unreadable=True
    ).values()

    kept = np.delete(np.arange(300), lost)
    assert info.sizes == {"train": 297, "test": 4}
    assert np.array_equal(_read(info, "train-images"), np.array(whole.images["train"])[kept])
    assert np.array_equal(_read(info, "train-labels"), kept % 2)
    assert (info.left_out, info.doubts) == (3, ("3 of 304 images cannot be read and are skipped",))
    assert info.notes[-1].startswith("left out: 3 of 304 images cannot be read: /pets/cat/1.jpg: truncated; ")
    without = Toy([whole.images["train"][row] for row in kept], whole.images["test"])
    without.labels["train"] = kept % 2
    assert _cache(without, tmp_path)[FOLLOW].fingerprint == info.fingerprint


def test_what_was_left_out_is_tried_again_unless_it_is_to_be_left_out(tmp_path: Path) -> None:
    toy, root = _damaged(BROKEN, 5), _with_root(tmp_path)

    def cached(skip: bool) -> DataInfo:
        return cache_dataset(
            toy.located(root), sides=[FOLLOW], cache_root=tmp_path / "cache", say=print, skip_unreadable=skip
        )[FOLLOW]

    with pytest.raises(UnusableError, match="1 of 304 images cannot be read"):
        cached(skip=False)
    reads = toy.reads
    assert cached(skip=True).left_out == 1
    assert toy.reads == reads
    toy._image = lambda split, i: toy.images[split][i]  # the network is back
    assert cached(skip=False).left_out == 0
    assert cached(skip=True).left_out == 0


def test_a_split_or_a_class_that_is_lost_whole_is_said(tmp_path: Path) -> None:
    located = _damaged(BROKEN, *range(300)).located()
    with pytest.raises(UnusableError, match=r"toy: none of the train images can be read; the first: .*truncated"):
        cache_dataset(located, sides=[FOLLOW], cache_root=tmp_path / "a", say=print, skip_unreadable=True)
    located = _damaged(BROKEN, *range(0, 300, 2)).located()
    [info] = cache_dataset(located, sides=[FOLLOW], cache_root=tmp_path / "b", say=print, skip_unreadable=True).values()
    assert "class 'cat' without any train image" in info.notes


@pytest.mark.parametrize(("batches", "limit"), [(False, 20), (True, 0.1)])
def test_a_limit_reads_what_it_leaves_and_chooses_as_without_one(
    batches: bool, limit: int | float, tmp_path: Path
) -> None:
    toy, root = _damaged(BROKEN, batches=batches), _with_root(tmp_path)
    chosen = {name: limited(labels, limit) for name, labels in toy.labels.items()}
    few = _cache(toy, tmp_path, root=root, limit=limit)[FOLLOW]
    assert toy.reads <= sum(map(len, chosen.values())) + len(chosen) * 16 + 1, "and what the glance reads"
    reads = toy.reads
    assert _cache(toy, tmp_path, root=root, limit=limit)[FOLLOW] == few
    assert toy.reads == reads
    whole = _cache(toy, tmp_path, root=root)[FOLLOW]
    assert (few.sizes, few.limit, whole.limit) == (whole.sizes, limit, None)
    assert few.fingerprint != whole.fingerprint
    for info in (few, whole):
        splits = load_splits(info, limit=limit)
        for name, split in (("test", splits.test), ("train", splits.train), ("train", splits.val)):
            assert np.isin(split.index, chosen[name]).all()
            assert np.array_equal(split.images[split.index], np.array(toy.images[name])[split.index])
            assert np.array_equal(split.labels, toy.labels[name][split.index])
    assert [np.array_equal(*pair) for pair in zip(*map(_indices, (few, whole), (limit, limit)), strict=True)] == [
        True
    ] * 3
    with pytest.raises(ValueError, match="of the limit"):
        load_splits(few, limit=None)


def _indices(info: DataInfo, limit: int | float) -> list[np.ndarray]:
    splits = load_splits(info, limit=limit)
    return [splits.train.index, splits.val.index, splits.test.index]


def test_the_fingerprint_under_a_limit_is_of_what_it_leaves_whatever_else_is_cached(tmp_path: Path) -> None:
    limit, found = 20, []
    for number in range(3):
        toy = _square(8, train=300)
        left = np.setdiff1d(np.arange(300), limited(toy.labels["train"], limit))
        if number:  # an image that is not chosen, or the label of one
            toy.images["train"][left[0]] = toy.images["train"][left[0]] ^ 1
        if number == 1:
            _cache(toy, tmp_path / str(number))
        if number == 2:
            toy.labels["train"][left[-1]] ^= 1
        found.append(_cache(toy, tmp_path / str(number), limit=limit)[FOLLOW].fingerprint)
    assert found[0] == found[1] != found[2]


def test_data_under_a_limit_that_leaves_all_images_are_not_taken_for_the_whole(tmp_path: Path) -> None:
    whole, cut = (_cache(_square(8), tmp_path, limit=limit)[FOLLOW] for limit in (None, 100))
    assert cut.sizes == whole.sizes
    assert cut.fingerprint != whole.fingerprint


def test_under_a_limit_nothing_says_whether_the_images_are_the_published_ones(tmp_path: Path) -> None:
    toy, root = _square(8, train=300), _with_root(tmp_path)
    content = _cache(toy, tmp_path, root=root)[FOLLOW].content
    for published in ((content,), ("other",), ()):
        changes = {"published": published, "verified": False}
        few = _cache(toy, tmp_path, root=root, limit=20, **changes)[FOLLOW]
        assert (few.verified, few.known_by, few.content) == (False, "", "")
        assert few.title.endswith(f" (unverified, {few.fingerprint[:8]})")


def test_under_a_limit_the_images_that_are_read_decide_the_size_which_is_said(tmp_path: Path) -> None:
    few = _cache(_square(8, train=300), tmp_path, root=_with_root(tmp_path), limit=20)[FOLLOW]
    assert not any("input size" in note for note in few.notes)
    toy = Toy(_images([(3, 40, 40), (3, 40, 48)] * 150), _images([(3, 40, 40)] * 4))
    notes = [_cache(toy, tmp_path / str(limit), limit=limit)[FOLLOW].notes for limit in (20, None)]
    assert ["input size chosen from the images read" in each for each in notes] == [True, False]


@pytest.mark.parametrize("row", ["chosen", "other"])
def test_a_damaged_cache_of_a_limit_is_made_again_where_its_images_are_touched(row: str, tmp_path: Path) -> None:
    toy, root = _square(8, train=300), _with_root(tmp_path)
    info = _cache(toy, tmp_path, root=root, limit=20)[FOLLOW]
    chosen = limited(toy.labels["train"], 20)
    place = chosen[0] if row == "chosen" else np.setdiff1d(np.arange(300), chosen)[0]
    images = np.load(Path(info.cache) / "train-images.npy", mmap_mode="r+")
    images[place] ^= 1
    images.flush()
    reads = toy.reads
    assert _cache(toy, tmp_path, root=root, limit=20)[FOLLOW] == info
    assert (toy.reads > reads) == (row == "chosen")
    assert np.array_equal(_read(info, "train-images")[chosen], np.array(toy.images["train"])[chosen])


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitbench.data.decoding._WORTH_A_WORD", 0)
    toy = _square(8, train=300)

    def say(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_dataset(toy.located(), sides=[FOLLOW], cache_root=tmp_path / "cache", say=say)
    assert _folders(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "download", "reason"),
    [
        (FileNotFoundError("no folder x"), False, "not found (no folder x); give its location with --data toy=PATH"),
        (OSError("no way"), True, "cannot be downloaded (no way); give its location with --data toy=PATH"),
        (ValueError("a bad\nfile"), False, "a bad file"),
        (KeyError("data"), False, "plugin toys failed: KeyError: 'data'"),
    ],
)  # fmt: skip
def test_a_set_that_does_not_open_says_where_and_what_to_do(
    error: Exception, download: bool, reason: str, tmp_path: Path
) -> None:
    def open_broken(**_: object) -> None:
        raise error

    spec = DatasetSpec(name="toy", open=open_broken, summary="Toy")
    root = tmp_path / "nowhere"
    message = _reason(_square(8), tmp_path, spec=spec, root=root, download=download)
    assert message == f"dataset toy in {root}: {reason}"
    assert not root.exists()


@pytest.mark.parametrize("kind", [UsageError, UnusableError])
def test_what_a_set_refuses_in_words_of_its_own_names_it(kind: type[VitbenchError], tmp_path: Path) -> None:
    def refuse(**_: object) -> None:
        raise kind("fold and severity do not go together")

    spec = DatasetSpec(name="toy", open=refuse, summary="Toy", needs_root=False)
    with pytest.raises(kind, match=r"^dataset toy: fold and severity do not go together$"):
        _cache(_square(8), tmp_path, spec=spec)


def test_a_class_without_images_in_a_split_is_a_note(tmp_path: Path) -> None:
    toy = _square(8)
    toy.names = {"train": ("cat", "dog", "emu"), "test": ("cat", "dog", "emu")}
    toy.labels["train"][0] = 2
    assert _cache(toy, tmp_path)[FOLLOW].notes == ("class 'emu' without any test image",)


def test_a_cache_that_cannot_be_written_says_which_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UnusableError, match=r"image cache .*cache cannot be written: .*; set VITBENCH_CACHE"):
        _cache(_square(8), tmp_path)


def test_a_disk_without_room_is_noticed_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "GB are needed and 0.0 GB are free" in _reason(_square(8), tmp_path)


@pytest.mark.parametrize(
    ("told", "of_spec", "stated", "lineage"),
    [
        ("", "", "", ""),
        ("archives", "TFDS", "", "archives"),
        ("", "TFDS", "", "TFDS"),
        ("", "", "TFDS", "TFDS (stated)"),
        ("TFDS", "", "TFDS", "TFDS"),
    ],
)
def test_files_say_their_lineage_before_the_spec_and_what_the_user_states_is_marked(
    told: str, of_spec: str, stated: str, lineage: str, tmp_path: Path
) -> None:
    toy = Toy(_images([(1, 4, 4)] * 4), _images([(1, 4, 4)] * 4, seed=1))
    toy.extra = {"lineage": told}
    located = toy.located(lineage=stated)
    located = replace(located, spec=replace(located.spec, lineage=of_spec))
    info = cache_dataset(located, sides=[FOLLOW], cache_root=tmp_path, say=print)[FOLLOW]
    assert info.lineage == lineage
