"""VTAB's tasks open from every form of their files, and refuse wrong ones in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vitbench_vtab
import vtab_files
from vitbench_datasets import archives
from vitbench_vtab.opening import open_task, size_notes
from vitbench_vtab.tasks import TASKS, task

from vitbench.protocols import ImageSet
from vitbench.specs import SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def opened(name: str, root: Path) -> dict[str, Any]:
    return {split: open_task(task=task(name), root=root, split=split) for split in SPLITS}


def written(name: str, root: Path, write: Callable[..., None] | None = None, **changes: Any) -> dict[str, Any]:
    (write or vtab_files.PUBLISHED[name])(task(name), root, **changes)
    return opened(name, root)


def pixels(images: ImageSet) -> list[np.ndarray]:
    return [images.image(i) for i in range(len(images.labels))]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [each.name for each in TASKS])
def test_each_task_opens_whole_from_the_form_that_its_files_have(name: str, tmp_path: Path) -> None:
    form = {"lists": vtab_files.lists, "parquet": vtab_files.parquet, "tars": vtab_files.tars}
    splits = written(name, tmp_path, None if name in vtab_files.PUBLISHED else form[vtab_files.FORMS[name]])
    for split, images in splits.items():
        assert len(images.class_names) == task(name).classes
        assert 0 <= min(images.labels) <= max(images.labels) < task(name).classes
        assert any("VTAB-1k's" in note for note in images.notes), split
        [*shapes] = {(image.dtype, image.ndim, image.shape[0]) for image in pixels(images)}
        assert len(shapes) == 1
        assert shapes[0][:2] == (np.uint8, 3)
        assert images.lineage == ("own files" if vtab_files.FORMS.get(name) == "lists" else "own split")
    seen = [image.tobytes() for split in SPLITS for image in pixels(splits[split])]
    assert len(seen) >= 20
    assert len({*seen}) > len(seen) * 0.9, "splits share images"


def test_the_labels_of_published_files_follow_the_rules(tmp_path: Path) -> None:
    counts = written("clevr-count-1k", tmp_path / "count")["test"]
    assert counts.labels.tolist() == [0, 1, 7, 0, 1, 7, 0, 1]
    nearest = opened("clevr-distance-1k", tmp_path / "count")["test"]
    assert nearest.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]  # 7.5, 8.1, 8.7, 9.3, 9.9, 10.5

    frames = written("kitti-distance-1k", tmp_path / "kitti")
    found = {name: label for each in frames.values() for name, label in zip(each.names, each.labels, strict=True)}
    assert len(found) == 20
    # Every fourth frame has no vehicle, one at 5 m beside one at 30 m, one at 12 m, one at 40 m.
    assert all(label == (3, 0, 1, 2)[int(Path(name).stem) % 4] for name, label in found.items())

    digits = written("svhn-1k", tmp_path / "svhn")["test"]
    assert digits.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]

    elevations = written("smallnorb-elevation-1k", tmp_path / "norb")
    assert elevations["val"].labels.tolist() == [row % 9 for row in range(10)]
    assert elevations["test"].labels.tolist() == [row % 9 for row in range(10, 20)]
    azimuths = opened("smallnorb-azimuth-1k", tmp_path / "norb")
    assert azimuths["test"].labels.tolist() == [row % 18 for row in range(10, 20)]


def test_images_of_dsprites_are_those_of_their_rows(tmp_path: Path) -> None:
    sprites = written("dsprites-orientation-1k", tmp_path)
    with np.load(next(tmp_path.glob("*.npz"))) as file:
        images, latents = file["imgs"], file["latents_classes"]
    for split in SPLITS:
        for image, label in zip(pixels(sprites[split]), sprites[split].labels, strict=True):
            [row] = np.flatnonzero((images * 255 == image).all(axis=(1, 2)))
            assert label == int(latents[row, 3] / 2.5)


def test_images_of_smallnorb_are_those_of_the_first_camera(tmp_path: Path) -> None:
    images = written("smallnorb-azimuth-1k", tmp_path)["test"]
    [path] = tmp_path.glob("*testing-dat.mat")
    whole = np.frombuffer(path.read_bytes()[24:], np.uint8).reshape(20, 2, 96, 96)
    assert np.array_equal(np.stack(pixels(images)), whole[10:, :1])


def test_the_800_and_the_200_of_a_hub_are_at_vtabs_places_in_the_order_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vtab_files, "labels_of", lambda task, count: [number * 37 % 100 for number in range(count)])
    splits = written("cifar100-1k", tmp_path, vtab_files.parquet)
    assert splits["train"].labels.tolist() == [number * 37 % 100 for number in range(9)]
    assert splits["val"].labels.tolist() == [number * 37 % 100 for number in range(9, 12)]
    assert "in the order of the files, which may not be that of TensorFlow Datasets" in splits["train"].notes[0]


def test_files_that_lie_class_by_class_are_shuffled_first(tmp_path: Path) -> None:
    splits = written("caltech101-1k", tmp_path)
    assert len(np.unique(splits["train"].labels)) > 50
    assert [len(splits[split].labels) for split in SPLITS] == [81, 21, 102]  # one of two images of each class tests


def test_a_task_is_found_in_a_folder_of_all_archives(tmp_path: Path) -> None:
    vtab_files.lists(task("dmlab-1k"), tmp_path / "dmlab")
    assert len(opened("dmlab-1k", tmp_path)["train"].labels) == 8


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [("caltech101-1k", 6_085, "6,085 test images; VTAB-1k's Caltech101 has 6,084"), ("kitti-distance-1k", 632, "711")],
)
def test_another_number_of_test_images_is_said(name: str, count: int, said: str) -> None:
    assert said in size_notes(task(name), "test", count)[0]
    assert size_notes(task(name), "test", task(name).test) == ()


def _no_files(root: Path) -> str:
    root.mkdir()
    return "clevr-count-1k"


def _lists_without_a_test(root: Path) -> str:
    vtab_files.lists(task("dmlab-1k"), root)
    (root / "test.txt").unlink()
    return "dmlab-1k"


def _a_label_too_high(root: Path) -> str:
    vtab_files.lists(task("dmlab-1k"), root)
    path = root / "test.txt"
    path.write_text(path.read_text().replace(" 3\n", " 6\n", 1))
    return "dmlab-1k"


def _too_many_objects(root: Path) -> str:
    vtab_files.clevr(task("clevr-count-1k"), root, objects=(3, 11))
    return "clevr-count-1k"


def _a_scene_that_leaves_the_folder(root: Path) -> str:
    vtab_files.clevr(task("clevr-count-1k"), root)
    path = root / "CLEVR_v1.0/scenes/CLEVR_val_scenes.json"
    scenes = json.loads(path.read_text())
    scenes["scenes"][0]["image_filename"] = "../../../secret.png"
    path.write_text(json.dumps(scenes))
    return "clevr-count-1k"


def _a_list_that_leaves_the_folder(root: Path) -> str:
    vtab_files.pets(task("pets-1k"), root)
    (root.parent / "secret.jpg").write_bytes((root / "images/Breed_3.jpg").read_bytes())
    path = root / "annotations/test.txt"
    path.write_text(path.read_text() + "../../secret 1 1 1\n")
    return "pets-1k"


def _a_cut_array(root: Path) -> str:
    vtab_files.smallnorb(task("smallnorb-azimuth-1k"), root)
    [path] = root.glob("*testing-dat.mat")
    path.write_bytes(path.read_bytes()[:-1])
    return "smallnorb-azimuth-1k"


def _packed_arrays(root: Path) -> str:
    vtab_files.smallnorb(task("smallnorb-azimuth-1k"), root)
    for path in root.glob("*-dat.mat"):
        path.rename(path.with_name(f"{path.name}.gz"))
    return "smallnorb-azimuth-1k"


def _a_missing_label(root: Path) -> str:
    vtab_files.kitti(task("kitti-distance-1k"), root)
    (root / "training/label_2/000003.txt").unlink()
    return "kitti-distance-1k"


def _a_missing_image(root: Path) -> str:
    vtab_files.pets(task("pets-1k"), root)
    (root / "images/Breed_3.jpg").unlink()
    return "pets-1k"


def _no_zip(root: Path) -> str:
    root.mkdir()
    (root / "dsprites_ndarray_x.npz").write_bytes(b"PK\x03\x04 no zip")
    return "dsprites-location-1k"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_files, r"there are no files of CLEVR count; it is read from file lists \(train800.txt"),
        (_lists_without_a_test, r"there is no list of test images \(test.txt\)"),
        (_a_label_too_high, r"test.txt line \d+: label 6 is not in 0..5"),
        (_too_many_objects, "cannot read .*CLEVR_train_scenes.json: a scene has 11 objects; CLEVR's have 3 to 10"),
        (_a_scene_that_leaves_the_folder, "secret.png leads outside the dataset folder"),
        (_a_list_that_leaves_the_folder, "secret.jpg leads outside the dataset folder"),
        (_a_cut_array, "testing-dat.mat has 368,639 bytes of data, not 368,640; it is damaged"),
        (_packed_arrays, "are compressed; decompress them with gunzip"),
        (_a_missing_label, "cannot read .*label_2/000003.txt: No such file"),
        (_a_missing_image, "1 of 12 images are missing, the first is .*Breed_3.jpg"),
        (_no_zip, "cannot read .*dsprites_ndarray_x.npz"),
    ],
)
def test_wrong_files_are_refused_in_a_line(spoil: Callable[[Path], str], said: str, tmp_path: Path) -> None:
    root = tmp_path / "task"
    name = spoil(root)
    with pytest.raises(ValueError, match=said) as caught:
        opened(name, root)
    assert "\n" not in str(caught.value)


def test_the_published_files_of_five_tasks_are_fetched_where_there_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = {spec.name.removesuffix("-1k") for spec in vitbench_vtab.vitbench_datasets() if spec.downloads}
    assert fetched == {*archives.PUBLISHED}
    monkeypatch.setattr(
        archives, "fetch", lambda name, root: vtab_files.PUBLISHED[f"{name}-1k"](task(f"{name}-1k"), root)
    )
    opened = open_task(task=task("pets-1k"), root=tmp_path / "pets", split="test", download=True)
    assert opened is not None
    assert len(opened.labels) == 8
    for name, download in (("pets-1k", False), ("resisc45-1k", True)):
        with pytest.raises(FileNotFoundError):
            open_task(task=task(name), root=tmp_path / "absent", split="test", download=download)


def test_a_missing_folder_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        opened("dmlab-1k", tmp_path / "absent")
