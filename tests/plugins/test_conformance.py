"""All built-in plugins keep the contracts of their hooks, by the conformance kit that every package can use.

Large models have their shapes checked as they are, and their values at smaller options, so that this takes seconds.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from idx_files import write_idx
from PIL import Image

from vitbench.catalog import load_catalog
from vitbench.testing import Check, ModelCase, building, checks_of, run_checks

pytestmark = pytest.mark.process

PLUGINS = {"baseline", "datasets", "exporters", "figures", "metrics", "recipes", "scratch", "suites", "timm", "vtab"}
SMALLER = (
    "vit-p4-d12:depth=1,dropout=0.1",
    "resnet18:width=16",
    "resnet50:width=8",
    "hybrid:depth=1,width=64,heads=4",
    "hybrid:depth=1,width=64,heads=4,frozen=false",
)
SAVES_NOTHING = ("check_recipe_budget", "check_recipe_resumes")
"""What a recipe that learns a head alone, and makes no passes to train, would skip at the end."""
LEFT_OUT = {
    "recipes/linear-probe": SAVES_NOTHING,
    "recipes/knn": SAVES_NOTHING,
    "recipes/prototype": SAVES_NOTHING,
    # Each trains for hundreds of epochs; their own tests see them learn.
    "recipes/supervised": ("check_recipe_loss_falls",),
    "recipes/masked-patches": ("check_recipe_loss_falls",),
    # Shapes are symmetric: 4 of 2,000 test images equal a training image, as in dSprites; a run says so.
    "vtab/dsprites-lookalike-location": ("check_dataset_splits_disjoint",),
    # Its images are those of location.
    "vtab/dsprites-lookalike-orientation": ("check_dataset_splits_disjoint", "check_dataset_order_stable"),
}
OF_DEFAULTS = ("check_model_builds", "check_model_declared_size", "check_model_logits")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(building, "MOST_PARAMETERS", 3_000_000)
    monkeypatch.setattr(building, "MOST_MACS", 800_000_000)


def subjects() -> dict[str, list[Check]]:
    """Return the checks of each offer, and of each plugin.

    A model that another builds with other options keeps its promises where that one does: its own are its size and its
    defaults.
    """
    checks = [check for plugin in sorted(PLUGINS) for check in checks_of(plugin)]
    checks += checks_of("scratch", models=SMALLER)
    checks += checks_of("timm", models=("test_vit", "test_resnet"))  # which timm has for its own tests
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(check.subject, []).append(check)
    found["exporters/mlflow"] = found["exporters/mlflow"][:1]  # each store takes seconds to make
    for subject, names in LEFT_OUT.items():
        assert {*names} <= {check.name for check in found[subject]}
        found[subject] = [check for check in found[subject] if check.name not in names]
    whole: dict[object, str] = {}
    for subject, own in found.items():
        case = own[0].case
        if isinstance(case, ModelCase) and not case.options and whole.setdefault(case.spec.build, subject) != subject:
            found[subject] = [check for check in own if check.name in OF_DEFAULTS]
    return found


SUBJECTS = subjects()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_it_keeps_its_contracts(subject: str) -> None:
    outcomes = run_checks(SUBJECTS[subject])
    assert [(one.check, one.reason) for one in outcomes if one.status not in ("passed", "skipped")] == []
    passed = {one.check for one in outcomes if one.status == "passed"}
    assert passed or {one.reason.partition(":")[0] for one in outcomes} == {"needs its files"}


def test_no_built_in_plugin_is_left_out() -> None:
    assert {plugin.name for plugin in load_catalog().plugins if plugin.distribution == "vitbench"} == PLUGINS


def picture(seed: int) -> bytes:
    side = 6 + seed % 3
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 1, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path) -> None:
    for number, (split, name) in enumerate((s, n) for s in ("train", "test") for n in ("cat", "dog", "<b>")):
        (root / split / name).mkdir(parents=True)
        for image in range(5):
            (root / split / name / f"{image}.png").write_bytes(picture(10 * number + image))


def write_parquet(root: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split, first in (("train", 0), ("test", 100)):
        images = [{"bytes": picture(first + row), "path": None} for row in range(12)]
        table = pa.table({"image": images, "label": [row % 3 for row in range(12)]})
        pq.write_table(table, root / f"{split}-00000-of-00001.parquet", row_group_size=5)


def write_lists(root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        for row in range(12):
            (root / f"{split}{row}.png").write_bytes(picture(first + row))
        (root / f"{split}.txt").write_text("".join(f"{split}{row}.png {row % 3}\n" for row in range(12)))


def write_webdataset(root: Path) -> None:
    for split, first in (("train", 0), ("test", 100)):
        with tarfile.open(root / f"{split}-0.tar", "w") as archive:
            for row in range(12):
                for suffix, content in (("png", picture(first + row)), ("cls", str(row % 3).encode())):
                    member = tarfile.TarInfo(f"{row}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


WRITERS = {
    "folder": write_folder,
    "file-list": write_lists,
    "parquet": write_parquet,
    "webdataset": write_webdataset,
    "idx": write_idx,
}


@pytest.mark.parametrize(("layout", "write"), WRITERS.items())
def test_layouts_with_files(layout: str, write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path)
    outcomes = run_checks(checks_of(f"datasets/{layout}", data={layout: tmp_path}))
    skipped = {"check_dataset_sizes": "it declares neither classes nor shape nor sizes"}
    if layout != "idx":
        skipped["check_dataset_batches_agree"] = "it offers only image(i)"
    assert {outcome.check: outcome.reason for outcome in outcomes if outcome.status != "passed"} == skipped
