"""vitbench.data.oddities: copies, blank and dark images, and published data, by digests alone."""

from __future__ import annotations

import numpy as np
import pytest

from vitbench.data.oddities import Read, bits_used, content_of, copies, looks, unreadable_images


def _read(name: str, images: str, labels: str, **found: object) -> Read:
    """Return a split whose images are letters, and whose labels are digits."""
    digests = np.zeros((len(images), 32), np.uint8)
    digests[:, 0] = [ord(letter) for letter in images]
    digests[:, 31] = 1
    return Read(name=name, labels=np.array(list(map(int, labels)), np.int64), digests=digests, **found)


def test_copies_are_counted_by_kind_in_one_note() -> None:
    notes, of_test, of_val = copies([_read("train", "aabcd", "00101"), _read("test", "beeaa", "11100")])
    assert notes == (
        "identical pixel by pixel: 1 of 5 training images is a copy of another in train; "
        "3 of 5 test images are also in train; 2 of 5 test images are copies of others in test",
    )
    assert of_test == ("3 of 5 test images are also in train",)
    drawn = "1 of 5 training images is a copy of another in train, from which the validation images are drawn"
    assert of_val == (drawn,)


def test_a_given_validation_split_counts_too() -> None:
    splits = [_read("train", "aabc", "0010"), _read("val", "cd", "00"), _read("test", "de", "01")]
    [note], of_test, of_val = copies(splits)
    assert "1 of 2 validation images is also in train; 1 of 2 test images is also in val" in note
    assert of_test == ("1 of 2 test images is also in val",)
    assert of_val == ("1 of 2 validation images is also in train",)


def test_an_image_under_two_labels_is_told() -> None:
    [note], of_test, of_val = copies([_read("train", "aabc", "0101"), _read("test", "de", "01")])
    assert note.endswith("; 1 image has more than one label")
    assert of_test == ()
    assert "2 of 4 training images have a copy with a different label" in of_val
    [note], of_test, of_val = copies([_read("train", "ab", "01"), _read("test", "abc", "100")])
    assert note.endswith("; 2 images have more than one label")
    assert of_test == ("2 of 3 test images are also in train", "2 of 3 test images have a copy with a different label")
    assert of_val == ("2 of 2 training images have a copy with a different label",)


def test_files_are_named_with_what_to_do() -> None:
    train = _read("train", "aabcde", "010000", names=[f"train/{n}.png" for n in range(6)])
    test = _read("test", "fbcde", "00000", names=[f"test/{n}.png" for n in range(5)])
    [note], of_test, _ = copies([train, test])
    assert (
        "4 of 5 test images are also in train (test/1.png, test/2.png, test/3.png and 1 more): remove them from test "
        "or train; 1 image has more than one label (train/0.png = train/1.png): correct the labels, or remove the copy"
    ) in note
    assert of_test == ("4 of 5 test images are also in train",)  # which every score repeats
    [note], *_ = copies([_read("train", "ab", "00"), _read("test", "bc", "00", names=["x.png", "y.png"])])
    assert note.endswith(": 1 of 2 test images is also in train (x.png): remove it from test or train")


def test_a_few_copies_are_said_and_mark_nothing() -> None:
    """CIFAR-100 as published has 10 of its 10,000 test images in train, too."""
    digests = np.random.default_rng(0).integers(0, 256, (1001, 32), dtype=np.uint8)
    train = Read(name="train", labels=np.zeros(2, np.int64), digests=digests[:2])
    test = Read(name="test", labels=np.zeros(1000, np.int64), digests=digests[1:])
    assert copies([train, test]) == (("identical pixel by pixel: 1 of 1,000 test images is also in train",), (), ())


def test_what_came_out_is_one_note_over_both_splits() -> None:
    train = _read("train", "abc", "010", uniform=1)
    test = _read("test", "de", "01", uniform=1, dark=1)
    assert looks([train, test], [{"transparent": 2}, {"transparent": 1, "odd": 1}]) == [
        "of 5 images: 2 of a single colour; 1 nearly black (no value reaches 16 of 255); 3 transparent; 1 odd"
    ]
    assert looks([_read("train", "a", "0"), _read("test", "b", "0")]) == []


@pytest.mark.parametrize(
    ("highest", "bits"), [(-1, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (16383, 14), (65535, 16)]
)
def test_bits_are_those_of_cameras(highest: int, bits: int) -> None:
    assert bits_used(highest) == bits


def test_content_tells_labels_images_and_splits_apart() -> None:
    def content(train: str, labels: str, test: str = "ef", names: str = "01") -> str:
        return content_of([_read("train", train, labels), _read("test", test, "01")], names)

    whole = content("abcd", "0101")
    assert content("badc", "1010") == whole
    others = [
        content("abcd", "0110"),
        content("abcc", "0101"),
        content("abcd", "0101", "eg"),
        content("abcd", "0101", names="02"),
    ]
    assert len({whole, *others}) == 5


def test_of_damaged_images_the_named_come_first() -> None:
    assert (
        unreadable_images(["cannot read image a: cut", "b"], 5, 9)
        == "5 of 9 images cannot be read: a: cut; b; and 3 more"
    )
