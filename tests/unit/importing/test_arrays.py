"""Files beside records: taken where they are those of their record, and written anew; else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
import torch
from comparisons import right

from vitbench.array_files import read_arrays, write_arrays
from vitbench.importing.arrays import bring_predictions, bring_scores, check_weights
from vitbench.importing.checking import UnfitError
from vitbench.measuring.predictions import save_predictions
from vitbench.worker.scores import save_scores

DATA = msgspec.structs.replace(factories.data_info(), class_names=tuple(f"class {k}" for k in range(10)))
RECORD = factories.quality("vit", 30, data=DATA)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Write the predictions and the scores of a record."""
    scores, truth = right(30, images=40), np.arange(40) % 10
    answers = factories.predictions(torch.eye(10)[np.where(scores, truth, (truth + 1) % 10)], truth)
    save_predictions(tmp_path / "p.npz", answers)
    save_scores(tmp_path / "s.npz", {"top1": {"scores": scores}}, answers)
    return tmp_path / "p.npz", tmp_path / "s.npz"


def _arrays(path: Path) -> dict[str, Any]:
    found = read_arrays(path, lambda file: {name: file[name] for name in file.files if name != "names"})
    assert found is not None
    return found


def test_what_belongs_to_a_record_is_taken_as_it_is(files: tuple[Path, Path], tmp_path: Path) -> None:
    images, count = bring_predictions(files[0], tmp_path / "new-p.npz", RECORD)
    bring_scores(files[1], tmp_path / "new-s.npz", RECORD, images, count)
    for old, new in zip(files, ("new-p.npz", "new-s.npz"), strict=True):
        before, after = _arrays(old), _arrays(tmp_path / new)
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.full(40, 10)},
        {"labels": np.zeros(39, np.int64)},
        {"labels": np.zeros((40, 1), np.int64)},
        {"labels": np.zeros(40)},
        {"index": np.full(40, -1)},
        {"top_classes": np.full((40, 5), 99)},
        {"top_logits": np.full((40, 5), np.nan)},
        {"log_normaliser": np.full(40, np.inf)},
        {"class_names": np.array(["<b>"] * 10)},
        {"more": np.zeros(1)},
        {"logits": np.zeros((40, 11), np.float32)},
    ],
)
def test_predictions_that_are_others_are_refused(
    change: dict[str, Any], files: tuple[Path, Path], tmp_path: Path
) -> None:
    write_arrays(files[0], _arrays(files[0]) | change)
    with pytest.raises(UnfitError, match="not those of its record"):
        bring_predictions(files[0], tmp_path / "new.npz", RECORD)
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"images": np.array("0" * 64)},
        {"count": np.int64(41)},
        {"count": np.zeros(3)},
        {"top1/scores": np.zeros(39, bool)},
        {"top1/scores": np.full(40, np.nan)},
        {"../../x/scores": np.zeros(40)},
        {"top1/more": np.zeros(40)},
        {"top1/value": np.zeros(2)},
    ],
)
def test_scores_that_are_others_are_refused(change: dict[str, Any], files: tuple[Path, Path], tmp_path: Path) -> None:
    images, count = bring_predictions(files[0], tmp_path / "p-new.npz", RECORD)
    write_arrays(files[1], _arrays(files[1]) | change)
    with pytest.raises(UnfitError, match="not those of its record"):
        bring_scores(files[1], tmp_path / "new.npz", RECORD, images, count)


def test_what_is_compressed_pickled_or_no_file_of_arrays_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    arrays = _arrays(files[0])
    np.savez_compressed(tmp_path / "compressed.npz", **arrays, names=np.array(sorted(arrays)))
    np.savez(tmp_path / "pickled.npz", **arrays | {"labels": np.array([{}], object)}, names=np.array(sorted(arrays)))
    (tmp_path / "none.npz").write_bytes(b"PK")
    for name in ("compressed", "pickled", "none"):
        with pytest.raises(UnfitError):
            bring_predictions(tmp_path / f"{name}.npz", tmp_path / "new.npz", RECORD)


NO_WEIGHTS = [b"", b"\x80\x04}q\x00.", b"PK\x03\x04" + bytes(40), (2**40).to_bytes(8, "little") + b"{}"]


@pytest.mark.parametrize("content", NO_WEIGHTS)
def test_weights_are_a_safetensors_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UnfitError, match="is not a safetensors file"):
        check_weights(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    check_weights(tmp_path / "w.safetensors")
