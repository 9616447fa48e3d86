"""vitbench.data.forms: what models are judged on is as it always was, and photographs are larger to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vitbench.data.cache import cache_dataset
from vitbench.data.fitting import fitted
from vitbench.data.forms import Form, Geometry, WantedSize, forms_of
from vitbench.data.locate import Located
from vitbench.data.splits import load_splits
from vitbench.errors import UnusableError
from vitbench.records import DataInfo
from vitbench.specs import DatasetSpec, Preprocess
from vitbench.training import Augmentation, preprocess
from vitbench.training.draws import Draws

SPLITS = ("train", "test")
PHOTOGRAPHS = Geometry(channels=3, uniform=None, short_side=375)


def _forms(geometry: Geometry, splits: tuple[str, ...] = SPLITS, **side: Any) -> tuple[Form, Form | None]:
    return forms_of(WantedSize(**side), geometry, splits, train_images=None)


@pytest.mark.parametrize(
    ("size", "kept"),
    [((224, 224), (256, 256)), ((113, 113), (256, 256)), ((112, 112), (128, 128)), ((225, 225), (384, 384)),
     ((96, 160), (128, 213)), (None, (256, 256)), ((375, 375), None), ((448, 448), None)],
)  # fmt: skip
def test_photographs_keep_a_margin_to_be_cropped_from_as_far_as_they_have_it(
    size: tuple[int, int] | None, kept: tuple[int, int] | None
) -> None:
    evaluation, training = _forms(PHOTOGRAPHS, image_size=size, crop_fraction=0.875)
    assert (evaluation.height, evaluation.width) == (size or (224, 224))
    assert (training and (training.height, training.width, training.crop_fraction)) == (kept and (*kept, 1.0))


@pytest.mark.parametrize(
    ("uniform", "size", "kept"),
    [((32, 32), (32, 32), None), ((32, 32), (224, 224), None), ((32, 32), None, None), ((32, 32), (24, 24), (32, 32)),
     ((250, 250), (224, 224), (250, 250)), ((400, 300), (224, 224), (256, 256)), ((400, 240), (224, 224), (240, 240))],
)  # fmt: skip
def test_images_of_one_size_are_never_enlarged_to_be_learnt_from(
    uniform: tuple[int, int], size: tuple[int, int] | None, kept: tuple[int, int] | None
) -> None:
    training = _forms(Geometry(channels=3, uniform=uniform, short_side=min(uniform)), image_size=size)[1]
    assert (training and training.shape[1:]) == kept


def test_images_that_lose_their_label_when_cropped_have_no_margin_to_learn_from() -> None:
    forms = forms_of(WantedSize(image_size=(224, 224)), PHOTOGRAPHS, SPLITS, train_images=None, crops=False)
    assert (forms.evaluation.part, forms.training) == ("all", None)


def test_without_training_images_there_is_one_form_as_it_was() -> None:
    evaluation, training = _forms(PHOTOGRAPHS, ("test",), image_size=(224, 224))
    assert (evaluation.part, training) == ("all", None)


# --- what is in them


class Photographs:
    """Photographs of mixed sizes in memory, which count how often they are read."""

    def __init__(self, **counts: int) -> None:
        random = np.random.default_rng(0)
        sizes = random.integers(44, 90, (sum(counts.values()), 2))
        images = iter([random.integers(0, 256, (3, *size), dtype=np.uint8) for size in sizes])
        self.images = {name: [next(images) for _ in range(count)] for name, count in counts.items()}
        self.reads = 0
        self.broken: dict[str, int] = {}

    def open(self, *, root: Path | None, split: str, download: bool) -> SimpleNamespace | None:
        if split not in self.images:
            return None
        labels = np.arange(len(self.images[split])) % 2
        return SimpleNamespace(labels=labels, class_names=("a", "b"), image=lambda i: self._image(split, i))

    def _image(self, split: str, row: int) -> np.ndarray:
        self.reads += 1
        if row == self.broken.get(split):
            raise ValueError("broken")
        return self.images[split][row]

    def cached(
        self, cache: Path, *sides: WantedSize, skip_unreadable: bool = False, **changes: Any
    ) -> Mapping[WantedSize, DataInfo]:
        spec = DatasetSpec(name="toy", open=self.open, summary="Toy", needs_root=False, splits=tuple(self.images))
        located = Located(
            name="toy", spec=spec, plugin="toys", root=None,
            verified=None, download=False, classes=None, **{"augmentations": ("crop",), **changes},
        )  # fmt: skip
        return cache_dataset(
            located, sides=sides, cache_root=cache, say=lambda line: None, skip_unreadable=skip_unreadable
        )


SMALL, LARGE = WantedSize(image_size=(20, 20), crop_fraction=0.9), WantedSize(image_size=(28, 28))


@pytest.mark.parametrize(
    ("counts", "changes", "limit"),
    [({"train": 40, "test": 6}, {}, None), ({"train": 40, "test": 6}, {"train_images": 20}, None),
     ({"train": 40, "val": 5, "test": 6}, {}, None), ({"train": 40, "test": 16}, {"limit": 10}, 10),
     ({"train": 40, "test": 6}, {"skip_unreadable": True}, 24)],
    ids=["plain", "fewer training images", "a validation split", "limit", "limit chosen later"],
)  # fmt: skip
def test_two_sizes_share_the_training_photographs_and_judge_on_what_they_always_did(
    counts: dict[str, int], changes: dict[str, Any], limit: int | None, tmp_path: Path
) -> None:
    toy = Photographs(**counts)
    infos = toy.cached(tmp_path / "cache", SMALL, LARGE, **changes)
    read = len(toy.images) * 10 if limit == 10 else sum(counts.values())
    glanced = sum(min(16, 10 if limit == 10 else count) for count in counts.values())
    assert toy.reads == glanced + read, "one pass"
    assert len({info.train_cache for info in infos.values()}) == 1
    for side, info in infos.items():
        splits = load_splits(info, limit=limit)
        assert splits.train.images.shape == (counts["train"], 3, 32, 32)
        for name, split in (("val" if "val" in counts else "train", splits.val), ("test", splits.test)):
            assert len(split)
            for row, image in zip(split.index, split.images[split.index], strict=True):
                assert np.array_equal(image, _resized(toy.images[name][row], (20, 20) if side == SMALL else (28, 28)))
        for row, image in zip(splits.train.index, splits.train.images[splits.train.index], strict=True):
            assert np.array_equal(image, _resized(toy.images["train"][row], (32, 32)))
        assert not set(splits.train.index) & set(splits.val.index) or "val" in counts
        if "skip_unreadable" not in changes:
            _check_that_nothing_else_is_held(info, splits.val.index, own="val" in counts)
    assert toy.cached(tmp_path / "cache", LARGE, **changes)[LARGE] == infos[LARGE]


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    fraction = 0.9 if size == (20, 20) else 1.0
    how: dict[str, Any] = {"interpolation": "bicubic", "crop_mode": "center", "fill": (0, 0, 0)}
    return fitted(image, size, crop_fraction=fraction, **how)


def _check_that_nothing_else_is_held(info: DataInfo, held_out: np.ndarray, *, own: bool) -> None:
    place = Path(info.cache, "train-images.npy")
    assert place.exists() != own
    if not own:
        images = np.load(place)
        assert images.any(axis=(1, 2, 3)).nonzero()[0].tolist() == held_out.tolist()
    assert sorted(path.name for path in Path(info.train_cache).glob("*.npy")) == [
        "train-images.npy",
        "train-labels.npy",
    ]


def test_photographs_that_may_not_be_cropped_are_learnt_from_as_they_are_judged(tmp_path: Path) -> None:
    info = Photographs(train=40, val=5, test=6).cached(tmp_path, LARGE, augmentations=())[LARGE]
    splits = load_splits(info, limit=None)
    assert info.train_cache == ""
    assert {split.images.shape[1:] for split in (splits.train, splits.val, splits.test)} == {(3, 28, 28)}


def test_another_choice_of_validation_images_shares_what_is_learnt_from(tmp_path: Path) -> None:
    toy = Photographs(train=40, test=6)
    whole, fewer = (toy.cached(tmp_path / "cache", LARGE, train_images=n)[LARGE] for n in (None, 20))
    assert whole.train_cache == fewer.train_cache
    assert whole.cache != fewer.cache
    assert load_splits(whole, limit=None).val.images.shape == load_splits(fewer, limit=None).val.images.shape


def test_where_an_image_cannot_be_read_nothing_is_kept_of_which_other_images_would_be_held_out(tmp_path: Path) -> None:
    toy = Photographs(train=40, test=6)
    toy.broken = {"train": 0}
    with pytest.raises(UnusableError, match="1 of 46 images cannot be read"):
        toy.cached(tmp_path / "cache", LARGE)
    assert [path.name.rpartition("-")[2] for path in (tmp_path / "cache").glob("*/*-*")] == ["train"]
    splits = load_splits(toy.cached(tmp_path / "cache", LARGE, skip_unreadable=True)[LARGE], limit=None)
    for row, image in zip(splits.val.index, splits.val.images[splits.val.index], strict=True):
        assert np.array_equal(image, _resized(toy.images["train"][row + 1], (28, 28)))


def test_the_room_that_is_needed_is_that_of_the_images_that_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Photographs(train=40, test=6)
    needed = 3 * (40 * 32**2 + (4 + 6) * 28**2)
    for free in (needed - 1, needed):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        if free < needed:
            with pytest.raises(UnusableError, match="are needed"):
                toy.cached(tmp_path / "cache", LARGE)
        else:
            toy.cached(tmp_path / "cache", LARGE)


def test_crops_are_cut_out_of_the_larger_images_and_without_one_they_come_into_the_input(tmp_path: Path) -> None:
    toy = Photographs(train=40, test=6)
    train = load_splits(toy.cached(tmp_path / "cache", LARGE)[LARGE], limit=None).train
    images, draws = torch.from_numpy(train.images[train.index[:4]]), Draws(0, 0, torch.arange(4), torch.zeros(4).long())
    whole = Augmentation(crop="resized", scale=(1.0, 1.0), ratio=(1.0, 1.0)).images(images, draws, image_size=(28, 28))
    resized = torch.nn.functional.interpolate(images, (28, 28), mode="bilinear", antialias=True)
    assert torch.equal(whole, resized)
    how = Preprocess(mean=(0.0,), std=(1.0,), crop_fraction=0.9)
    inputs = preprocess(images, how, image_size=(28, 28), in_channels=3)
    expected = fitted(
        images[0].numpy(), (28, 28), interpolation="bicubic", crop_fraction=0.9, crop_mode="center", fill=(0, 0, 0)
    )
    assert np.array_equal((inputs[0] * 255).round().byte().numpy(), expected)
