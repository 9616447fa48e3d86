"""Whether the data that a model's weights were trained on may hold the images that it is tested on.

A small table of what is published, with its sources. It doubts; it proves nothing, and what it does not know it does
not doubt. ImageNet's training split contains no image of its validation split, so that models of ImageNet-1k are not
doubted there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vitbench.records import DataInfo

__all__ = ["overlap"]

_CRAWLS = (
    *("laion", "coyo", "webli", "jft", "instagram", "yfcc", "wit", "lvd", "datacomp", "dfn", "metaclip"),
    *("cc3m", "cc12m", "merged2b", "seer"),
)
"""What names of sets of images from all over the web begin with: they may hold any image that was published."""
_PUBLISHED = (
    *("cifar", "mnist", "fashionmnist", "kmnist", "emnist", "svhn", "stl10", "imagenet", "imagenette", "imagewoof"),
    *("imagewang", "tinyimagenet", "objectnet", "food101", "flowers", "oxford", "pets", "caltech", "stanford", "cars"),
    *("fgvc", "aircraft", "cub", "birdsnap", "inat", "dtd", "sun397", "places", "eurosat", "resisc", "gtsrb", "pcam"),
    *("voc", "coco", "country211", "vtab"),
)
"""What names of published datasets begin with, where a user brings them as a folder of their own."""
_OF_IMAGENET = (
    *("imagenette", "imagewoof", "imagewang"),  # https://github.com/fastai/imagenette
    "tinyimagenet",  # http://cs231n.stanford.edu/tiny-imagenet-200.zip
    "stl10",  # Coates et al. 2011: "acquired from labeled examples on ImageNet"
    "stanforddogs",  # Khosla et al. 2011: built from ImageNet
    "cub",  # Wah et al. 2011 warn of the overlap
)
_HOLDS: Mapping[str, tuple[str, ...]] = {
    "imagenet1k": _OF_IMAGENET,
    "imagenet12k": _OF_IMAGENET,
    "imagenet21k": _OF_IMAGENET,
    "tinyimages": ("cifar",),  # Krizhevsky 2009, of which both CIFAR sets are subsets
}
"""By what weights were trained on, what the names of datasets begin with whose test images it may hold."""
_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("imagenet", "in1k", "ilsvrc", "ilsvrc2012", "imagenet2012"), "imagenet1k"),
    **dict.fromkeys(("in21k", "in22k", "imagenet22k", "imagenet21kp"), "imagenet21k"),
    **dict.fromkeys(("in12k",), "imagenet12k"),
    **dict.fromkeys(("80milliontinyimages", "tinyimages80m"), "tinyimages"),
}


def overlap(pretrained_on: str, fingerprint: str, data: DataInfo, *, limited: bool = False, val: bool = False) -> str:
    """Return why the test images may have been among those that weights were trained on; empty: no reason is known.

    Training on the training split of the very data is none, as these contain no test image.

    Args:
        pretrained_on: what the weights were trained on, in words; several are separated by commas.
        fingerprint: of these data, where it is known.
        data: what the model is tested on.
        val: whether it is judged on validation images, which others may have trained on.
        limited: whether either is a part of its data, whose fingerprint says nothing then.
    """
    images = f"which may hold the {'validation' if val else 'test'} images"
    tested = {_key(data.name), _key(data.title)}
    for words, key in _named(pretrained_on):
        if key.startswith(_CRAWLS) and (data.known_by != "owner" or _begin(tested, _PUBLISHED)):
            return f"its weights were trained on {words}, images from the web, {images}"
        if _begin(tested, _HOLDS.get(key, ())):
            return f"its weights were trained on {words}, {images}"
        if key not in tested or limited or fingerprint == data.fingerprint:
            continue
        # Published data have one test split, whatever options leave out of the training images.
        if fingerprint and data.known_by not in ("checksums", "package"):
            return f"its weights were trained on a different version of {words}, {images}"
        if val or (
            data.known_by == "owner" and not _begin(tested, _PUBLISHED)
        ):  # nobody says that others split it alike
            return f"its weights were trained on {words}, {images}"
    return ""


def _named(words: str) -> Iterator[tuple[str, str]]:
    """Yield each set of data that is named, with its key."""
    for each in re.split(r"[,;+]", words):
        if key := _key(each):
            yield each.strip(), key


def _key(name: str) -> str:
    """Return a name as the tables have it: without plugin, options, remarks and signs."""
    bare = name.rpartition("/")[2].partition(":")[0].partition("(")[0]
    key = re.sub(r"[^a-z0-9]", "", bare.lower())
    return _ALIASES.get(key, key)


def _begin(names: set[str], beginnings: tuple[str, ...]) -> bool:
    return bool(beginnings) and any(name.startswith(beginnings) for name in names)
