"""Labels from a table beside images: CSV, JSON, JSON lines and text, found or named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from listed_images import write_images
from vitbench_datasets import folder
from vitbench_datasets.file_list import detect, open_file_list

PAIRS = {"a.png": "cat", "b.png": "dog"}
RECORDS = [{"file_name": name, "label": label} for name, label in PAIRS.items()]


def _opened(root: Path, **options: str) -> dict[str, dict[str, str]]:
    """Return the class of each image by its name, for each split that is there."""
    found = {}
    for split in ("train", "val", "test"):
        images = open_file_list(root=root, split=split, **options)
        if images:
            names = [images.class_names[label] for label in images.labels]
            found[split] = dict(zip(images.names, names, strict=True))
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "filename,label\na.png,cat\nb.png,dog\n"),
        ("labels.csv", "\ufeffImage ID;Breed\r\na;cat\r\nb;dog\r\n"),
        ("labels.tsv", ",path,class,size\n0,a.png,cat,5\n1,b.png,dog,6\n".replace(",", "\t")),
        ("anything.csv", "a.png,cat\nb.png,dog\n"),
        ("trainLabels.csv", "image,level\na,cat\nb,dog\n"),
        ("labels.json", json.dumps(PAIRS)),
        ("labels.json", json.dumps(RECORDS)),
        ("dataset.json", json.dumps({"labels": [*PAIRS.items()]})),
        ("metadata.jsonl", "\n".join(map(json.dumps, RECORDS))),
        ("labels.txt", "a.png cat\nb.png dog\n"),
    ],
)  # fmt: skip
def test_a_table_beside_images_gives_their_labels(name: str, text: str, tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.png", "images/b.png", "images/c.png", "masks/a.png")
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "sample_submission.csv").write_text("filename,label\na.png,cat\n")
    assert detect(tmp_path)
    assert not folder.detect(tmp_path)
    assert _opened(tmp_path) == {"train": {"images/a.png": "cat", "images/b.png": "dog"}}


def test_a_column_or_one_file_each_splits_the_images(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "labels.csv").write_text("path,label,split\na.png,1,train\nb.png,10,Validation\nc.png,2,test\n")
    assert _opened(tmp_path) == {"train": {"a.png": "1"}, "val": {"b.png": "10"}, "test": {"c.png": "2"}}
    train = open_file_list(root=tmp_path, split="train")
    assert train
    assert train.class_names == ("1", "2", "10")
    assert train.notes[1] == "labels.csv: path from column path, label from label, split from split"


def test_kaggles_folders_are_read_and_a_table_without_labels_is_left_out(tmp_path: Path) -> None:
    write_images(tmp_path, "train/1.png", "train/2.png", "test/1.png")
    (tmp_path / "train.csv").write_text("id,age,target\n1,5,x\n2,6,y\n")
    (tmp_path / "test.csv").write_text("id,age\n1,5\n")  # two columns, of which one might be the label
    assert detect(tmp_path)
    assert _opened(tmp_path) == {"train": {"train/1.png": "x", "train/2.png": "y"}}
    train = open_file_list(root=tmp_path, split="train")
    assert train
    assert train.notes[-1] == "test.csv has no labels and is not used"

    (tmp_path / "test.csv").write_text("id,age,target\n1,5,y\n")  # another image than that of train
    assert _opened(tmp_path)["test"] == {"test/1.png": "y"}


def test_a_table_in_each_splits_folder_starts_there(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_images(tmp_path, f"{split}/a.png", f"{split}/b.png")
        (tmp_path / split / "metadata.csv").write_text("file_name,label\na.png,cat\nb.png,dog\n")
    assert _opened(tmp_path)["test"] == {"test/a.png": "cat", "test/b.png": "dog"}


def test_the_user_names_the_file_and_its_columns(tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", "x/a.png", "x/b.png")
    table = tmp_path / "mine.csv"
    table.write_text("where,what,sort\nx/a.png,0,cat\nx/b.png,1,dog\n")
    given = {"labels": str(table), "path_column": "where", "label_column": "sort"}
    assert _opened(root, **given) == {"train": {"x/a.png": "cat", "x/b.png": "dog"}}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("labels.csv", "path,label\na.png,cat\nx.png,dog\n", "labels.csv line 3: there is no file x.png"),
        ("labels.csv", "path,label\na.png,cat\nb.png,\n", "labels.csv line 3: it has no label"),
        ("labels.csv", "path,label\na.png,cat\nb.png\n", "labels.csv line 3: 1 values for 2 columns"),
        ("labels.csv", "path,label,split\na.png,cat,holdout\n", "line 2: split is 'holdout'; it must be train, val or"),
        ("labels.csv", "path,sort,size\na.png,cat,1\n", "which column holds the labels, sort, size"),
        ("labels.csv", "which,sort,size\na.png,cat,1\n", "none of its columns .which, sort, size. is recognised"),
        ("labels.csv", "path,path\na.png,cat\n", "line 1: the first line of a CSV file names its columns"),
        ("labels.csv", "path,label\n", "labels.csv: it has no rows"),
        ("labels.csv", "path,label\n../../a.png,cat\n", "line 2: ../../a.png leads outside the dataset folder"),
        ("labels.csv", "path,label\na,cat\nd,dog\n", r"line 3: d may be d.jpg, d.png; add the suffix"),
        ("labels.json", '[{"path": "a.png", "label": ["cat", "dog"]}]', "entry 1: label has several values"),
        ("labels.json", '{"a.png": ', "cannot read labels.json"),
        ("labels.json", '["a.png"]', "entry 1: it must be a record"),
        ("labels.jsonl", "{}\n{", "labels.jsonl"),
        ("labels.txt", "cat a.png\n", "line 1: the label comes before the path"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_its_line(name: str, text: str, reason: str, tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", "a.png", "b.png", "d.png", "d.jpg")
    (root / name).write_text(text)
    with pytest.raises(ValueError, match=reason):
        open_file_list(root=root, split="train", labels=str(root / name))


def test_several_tables_are_told_apart_by_the_user_alone(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("path,label\na.png,cat\nb.png,dog\n")
    assert detect(tmp_path)
    with pytest.raises(ValueError, match=r"several files may contain the labels: one.csv, two.csv; choose one"):
        open_file_list(root=tmp_path, split="train")


def test_class_folders_need_no_table(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.png", "dog/b.png")
    (tmp_path / "labels.csv").write_text("path,label\ncat/a.png,tom\ndog/b.png,rex\n")
    assert not detect(tmp_path)
    assert folder.detect(tmp_path)


def test_images_without_any_labels_are_refused_with_what_to_do(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.png", "images/b.png")
    assert not detect(tmp_path)
    with pytest.raises(ValueError, match=r"images/ contains images without labels; put them"):
        folder.open_folder(root=tmp_path, split="train")
