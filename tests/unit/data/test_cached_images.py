"""Images and names as they are found again in a cache, and not found where it has changed."""

from __future__ import annotations

import factories
import msgspec
import numpy as np
import pages

from vitbench.data.cached_images import cached_images, image_names


def test_images_are_found_while_they_are_those_of_the_labels(tmp_path):
    info = pages.with_images(factories.data_info(), tmp_path, 20)
    whole = np.load(tmp_path / "cache" / "test-images.npy")
    found = cached_images(info, "test", [3, 12], [3, 2])
    assert found is not None
    assert [image.tolist() for image in found] == whole[[3, 12]].tolist()
    assert cached_images(info, "test", [3, 12], [3, 3]) is None  # another dataset lies there by now
    assert cached_images(info, "test", [3, 20], [3, 0]) is None
    assert cached_images(info, "train", [3], [3]) is None
    (tmp_path / "cache" / "test-images.npy").write_bytes(b"\x93NUMPY")
    assert cached_images(info, "test", [3, 12], [3, 2]) is None


def test_names_are_found_where_there_are_as_many_as_are_asked_for(tmp_path):
    info = pages.with_images(factories.data_info(), tmp_path, 20)
    names = image_names(info, "test", 20)
    assert names is not None
    assert names[4] == f"test/{pages.HOSTILE[0]}-4.png"
    assert image_names(info, "test", 21) is None
    assert image_names(info, "val", 1) is None
    assert image_names(msgspec.structs.replace(info, names=""), "test", 1) is None
    (tmp_path / "cache" / "test.json").write_text("[1]")
    assert image_names(info, "test", 1) is None
