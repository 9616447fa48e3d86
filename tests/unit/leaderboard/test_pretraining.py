"""Which test images a model's weights may have seen."""

from __future__ import annotations

import factories as f
import msgspec
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.pretraining import overlap
from vitbench.records import DataInfo

WEB = "images from the web, which may hold the test images"


def data(name: str, known_by: str = "owner", title: str = "") -> DataInfo:
    return msgspec.structs.replace(f.data_info(name.rpartition("/")[2], title=title), name=name, known_by=known_by)


@pytest.mark.parametrize(
    ("pretrained_on", "tested", "doubt"),
    [
        # crawls: published images may be in them, a user's own are not known to be
        ("LAION-2B, ImageNet-12k", data("datasets/cifar10", "checksums"), f"LAION-2B, {WEB}"),
        ("JFT-300M", data("digits", "package"), f"JFT-300M, {WEB}"),
        ("WebLI", data("Food-101"), f"WebLI, {WEB}"),
        ("LAION-2B", data("our-parts"), ""),
        # ImageNet: its own validation images are in no training split of it
        ("ImageNet-1k", data("imagenet"), ""),
        ("ImageNet-21k, ImageNet-1k", data("ImageNet-1k"), ""),
        ("ImageNet-21k", data("imagenet-a"), ""),
        ("ImageNet-1k", data("imagenette2-160"), "ImageNet-1k, which may hold"),
        ("in22k", data("stl10"), "in22k, which may hold"),
        ("ImageNet-1k", data("cifar10", "checksums"), ""),
        ("80 Million Tiny Images", data("cifar100", "checksums"), "Tiny Images, which may hold"),
        # the same name: of published data the test split is apart; of a user's own nobody says so
        ("CIFAR-10", data("datasets/cifar10", "checksums"), ""),
        ("Our Parts", data("our-parts"), "Our Parts, which may hold"),
        ("see timm's tag mae", data("cifar10", "checksums"), ""),
        ("", data("cifar10", "checksums"), ""),
    ],
)
def test_what_may_hold_the_test_images(pretrained_on: str, tested: DataInfo, doubt: str) -> None:
    said = overlap(pretrained_on, "", tested)
    assert doubt in said
    assert bool(said) is bool(doubt)


def test_a_checkpoint_of_the_same_data_has_not_seen_the_test_split_and_of_another_state_it_may_have() -> None:
    published = data("cifar10", "checksums", title="cifar10:train_images=100")
    assert overlap("cifar10", "0" * 64, published) == ""
    tested = data("cifar10", "", title="cifar10 (unverified, ab)")
    assert overlap("cifar10", tested.fingerprint, tested) == ""
    assert "a different version of cifar10" in overlap("cifar10", "0" * 64, tested)
    assert overlap("cifar10", "0" * 64, tested, limited=True) == ""  # a part of it has a fingerprint of its own


def test_validation_images_may_be_among_the_training_images_of_others() -> None:
    tested = data("imagenet", "checksums")
    assert overlap("ImageNet-1k", "", tested, val=True).endswith("ImageNet-1k, which may hold the validation images")
    assert overlap("imagenet", tested.fingerprint, tested, val=True) == ""  # vitbench cuts them off alike


def test_scores_are_doubted_and_speeds_are_not() -> None:
    tested = data("cifar10", "checksums")
    records = [
        msgspec.structs.replace(
            one, planned=msgspec.structs.replace(one.planned, pretrained_on="LAION-2B", licence="MIT")
        )
        for one in (f.quality("clip", 340, data=tested), *f.speed("clip"))
    ]
    [row] = build(records, [], "top1").rows
    assert (row.pretrained_on, row.licence, row.rank) == ("LAION-2B", "MIT", 1)
    assert {name for name, metric in row.metrics.items() if metric.verdict == "warn"} == {"top1", "nll"}
    assert row.metrics["top1"].reasons == (f"its weights were trained on LAION-2B, {WEB}",)
