"""Features are extracted once, kept by what they are made of, and extracted anew where the files are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
import torch
import toy_training
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench.errors import UsageError
from vitbench.execution.messages import Progress
from vitbench.protocols import Split
from vitbench.records import KeyedCell
from vitbench.training import labelled
from vitbench.worker import features as module
from vitbench.worker.features import FeatureCache


class Net(nn.Module):
    """Counts the images that it sees."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.seen = nn.Linear(64, 5), nn.Linear(5, 2), 0
        with torch.no_grad():
            self.body.weight.mul_(factor)

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return self.body(images.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class Loud(Net):
    """Ends in float32, as layer normalisation does."""

    def features(self, images: Tensor) -> Tensor:
        return super().features(images).float() * 1e7


class Place:
    """A cell whose images lie in a cache."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "v3" / "abc-8"
        self.cache.mkdir(parents=True)
        images, labels = toy_training.bars(96)
        np.save(self.cache / "train-images.npy", images)
        pool = np.load(self.cache / "train-images.npy", mmap_mode="r")
        rows = np.random.default_rng(0).permutation(96)
        self.train = Split(images=pool, index=rows[:80], labels=labels[rows[:80]])
        self.val = Split(images=pool, index=rows[80:], labels=labels[rows[80:]])
        self.said: list[str] = []
        self.sent: list[object] = []

    def extracted(
        self,
        model: nn.Module | None = None,
        split: Split | None = None,
        *,
        image_size: tuple[int, int] = (8, 8),
        **cell: Any,
    ) -> tuple[NDArray[np.float32], int]:
        """Return the features of a new process, and how many of them were there before."""
        planned = factories.quality_cell("a", **cell)
        assert planned.data is not None
        planned = msgspec.structs.replace(planned, data=msgspec.structs.replace(planned.data, cache=str(self.cache)))
        model = model or Net()
        seen = toy_training.train_val(self.train, self.val, image_size=image_size)
        extract = FeatureCache(planned, model, seen, self.sent.append, self.said.append)
        return extract(model, split or self.train), extract.read

    @property
    def files(self) -> list[Path]:
        return sorted((self.cache.parents[1] / "features").rglob("*.npz"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_features_are_extracted_once_and_a_larger_part_adds_what_is_new(place: Place) -> None:
    few = labelled(place.train, 20.0)
    part, known = place.extracted(split=few)
    assert known == 0
    model = Net()
    whole, known = place.extracted(model)
    assert known == 20
    assert model.seen == 64  # 60 are filled up
    assert whole.dtype == np.float32
    assert np.array_equal(whole[np.isin(place.train.index, few.index)], part)
    again, known = place.extracted(model := Net())
    assert np.array_equal(again, whole)
    assert (known, model.seen) == (80, 0)
    assert place.extracted(split=place.val)[1] == 0
    assert any(isinstance(each, Progress) and each.stage == "extracting features" for each in place.sent)


def test_what_features_are_made_of_is_in_their_key(place: Place) -> None:
    place.extracted()
    changes: list[dict[str, Any]] = [
        {"model": Net(1.5)},
        {"image_size": (4, 16)},
        {"precision": "float16"},
        {"code": "beef"},
        {"options": {"depth": 2}},
    ]
    for changed in changes:
        assert place.extracted(**changed)[1] == 0, changed


def test_a_damaged_file_is_extracted_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES_PER_FILE", 32)
    whole, _ = place.extracted()
    first, second, third = place.files
    content = first.read_bytes()
    first.write_bytes(content[: len(content) // 2])  # of a disk that was full
    second.write_bytes(b"")
    found, known = place.extracted()
    assert np.array_equal(found, whole)
    assert known == len(np.load(third)["rows"])
    assert place.files == [first, second, third]
    assert place.extracted()[1] == 80


def test_where_nothing_can_be_written_features_are_extracted_all_the_same(place: Place) -> None:
    (place.cache.parents[1] / "features").write_text("in the way")
    place.extracted()
    [said] = place.said
    assert "its features are not stored in" in said


def test_images_of_no_cache_have_features_that_are_not_kept(place: Place) -> None:
    loose = Split(images=np.array(place.train.images), index=place.train.index, labels=place.train.labels)
    assert np.array_equal(place.extracted(split=loose)[0], place.extracted()[0])
    assert len(place.files) == 1


def test_a_baseline_and_what_float16_cannot_hold_are_refused_in_words(place: Place) -> None:
    planned: KeyedCell = factories.quality_cell("a", baseline=True)
    extract = FeatureCache(planned, Net(), toy_training.bars_data(), place.sent.append, place.said.append)
    with pytest.raises(UsageError, match="is a baseline, which has no features; leave it out"):
        extract(Net(), place.train)
    with pytest.raises(UsageError, match="features exceed the range of float16; compute in float32 or bfloat16"):
        place.extracted(Loud(), precision="float16")
