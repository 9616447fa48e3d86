"""The 19 tasks of VTAB-1k (Zhai et al. 2019, arXiv 1910.04867) as data, as google-research/task_adaptation has them.

Each task is learned from 800 training and 200 validation images and tested on its whole test split. TensorFlow Datasets
(TFDS) has an order of its own for the training images, of which `train800` are the first. Standard library only: the
table is read by whoever lists datasets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["natural", "specialized", "structured"]

TRAIN, VAL = 800, 200
"""Images to learn from, and to choose by."""
SOURCE = "Zhai et al. 2019, arXiv 1910.04867"
"""Of the choice of tasks, splits and label rules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One task."""

    name: str
    """Short name of the dataset: ``vtab/<name>``. All end in ``-1k``: without it, short names would take over whole
    datasets such as ``cifar100``, and images of the user's own, as in ``--data pets=DIR``."""
    title: str
    group: Group
    classes: int
    test: int
    """Images of the test split."""
    label: str
    """What is told apart, and by what rule, in one line."""
    splits: str
    """Where training, validation and test images come from, in one line."""
    pool: int
    """Images of TFDS's split that the 800 come first in."""
    val_at: int | None
    """Where in that split the 200 begin; None: they are the first of a validation split."""
    source: str
    licence: str = "none stated"
    class_names: tuple[str, ...] = ()
    """In the order of the labels, where they are few; empty: as the files say, or numbers."""
    folder: str = ""
    """The folder of its file lists in the archives of the PyTorch forks."""

    @property
    def whole(self) -> str:
        """What the dataset that it is a part of is called, as in `vitbench_datasets.archives.PUBLISHED`."""
        return self.name.removesuffix("-1k")


_DISTANCE_BANDS = ("up to 8", "8 to 8.5", "8.5 to 9", "9 to 9.5", "9.5 to 10", "above 10")
_DMLAB = tuple(map(str, range(6)))
_BINS = tuple(map(str, range(16)))

TASKS: tuple[Task, ...] = (
    Task(
        name="cifar100-1k",
        title="CIFAR-100",
        group="natural",
        classes=100,
        test=10_000,
        label="the fine label of a photograph",
        splits="train[:800], train[45000:45200], test",
        pool=50_000,
        val_at=45_000,
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        folder="cifar",
    ),
    Task(
        name="caltech101-1k",
        title="Caltech101",
        group="natural",
        classes=102,
        test=6_084,
        label="the category of a photograph, background among them",
        splits="train[:800], train[2753:2953], test (30 images of each class train, all others test)",
        pool=3_059,
        val_at=2_753,
        source="https://data.caltech.edu/records/mzrjq-6wc02",
        licence="CC BY 4.0",
        folder="caltech101",
    ),
    Task(
        name="dtd-1k",
        title="DTD",
        group="natural",
        classes=47,
        test=1_880,
        label="the texture, by fold 1",
        splits="train1[:800], val1[:200], test1",
        pool=1_880,
        val_at=None,
        source="https://www.robots.ox.ac.uk/~vgg/data/dtd",
        folder="dtd",
    ),
    Task(
        name="flowers102-1k",
        title="Flowers-102",
        group="natural",
        classes=102,
        test=6_149,
        label="the kind of flower",
        splits="train[:800], validation[:200], test",
        pool=1_020,
        val_at=None,
        source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
        folder="oxford_flowers102",
    ),
    Task(
        name="pets-1k",
        title="Oxford-IIIT Pets",
        group="natural",
        classes=37,
        test=3_669,
        label="the breed of a cat or a dog",
        splits="trainval[:800], trainval[2944:3144], test",
        pool=3_680,
        val_at=2_944,
        source="https://www.robots.ox.ac.uk/~vgg/data/pets",
        licence="CC BY-SA 4.0",
        folder="oxford_iiit_pet",
    ),
    Task(
        name="svhn-1k",
        title="SVHN",
        group="natural",
        classes=10,
        test=26_032,
        label="the digit in the middle",
        splits="train[:800], train[65931:66131], test",
        pool=73_257,
        val_at=65_931,
        source="http://ufldl.stanford.edu/housenumbers",
        class_names=tuple("0123456789"),
        folder="svhn",
    ),
    Task(
        name="sun397-1k",
        title="SUN397",
        group="natural",
        classes=397,
        test=21_750,
        label="the kind of scene, by the split of TFDS",
        splits="train[:800], validation[:200], test",
        pool=76_128,
        val_at=None,
        source="https://vision.princeton.edu/projects/2010/SUN",
        folder="sun397",
    ),
    Task(
        name="patch-camelyon-1k",
        title="PatchCamelyon",
        group="specialized",
        classes=2,
        test=32_768,
        label="whether there is tumour tissue in the middle",
        splits="train[:800], validation[:200], test",
        pool=262_144,
        val_at=None,
        source="https://github.com/basveeling/pcam",
        licence="CC0-1.0",
        class_names=("0", "1"),
        folder="patch_camelyon",
    ),
    Task(
        name="eurosat-1k",
        title="EuroSAT",
        group="specialized",
        classes=10,
        test=5_400,
        label="the use of the land, in red, green and blue",
        splits="of 27,000 images [:800], [16200:16400], [21600:]",
        pool=16_200,
        val_at=16_200,
        source="https://github.com/phelber/EuroSAT",
        licence="MIT",
        class_names=(
            *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
            *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
        ),
        folder="eurosat",
    ),
    Task(
        name="resisc45-1k",
        title="Resisc45",
        group="specialized",
        classes=45,
        test=6_300,
        label="the kind of scene, from above",
        splits="of 31,500 images [:800], [18900:19100], [25200:]",
        pool=18_900,
        val_at=18_900,
        source="https://gcheng-nwpu.github.io (Cheng, Han and Lu, 2017)",
        folder="resisc45",
    ),
    Task(
        name="diabetic-retinopathy-1k",
        title="Diabetic retinopathy",
        group="specialized",
        classes=5,
        test=42_670,
        label="the stage of the disease, 0 to 4; images as in TFDS's btgraham-300",
        splits="train[:800], validation[:200], test",
        pool=35_126,
        val_at=None,
        source="https://www.kaggle.com/c/diabetic-retinopathy-detection",
        class_names=tuple("01234"),
        folder="diabetic_retinopathy",
    ),
    Task(
        name="clevr-count-1k",
        title="CLEVR count",
        group="structured",
        classes=8,
        test=15_000,
        label="the number of objects, 3 to 10",
        splits="train[:800], train[63000:63200], CLEVR's validation split",
        pool=70_000,
        val_at=63_000,
        source="https://cs.stanford.edu/people/jcjohns/clevr",
        licence="CC BY 4.0",
        class_names=tuple(map(str, range(3, 11))),
        folder="clevr_count",
    ),
    Task(
        name="clevr-distance-1k",
        title="CLEVR distance",
        group="structured",
        classes=6,
        test=15_000,
        label="the band that the distance of the closest object lies in: thresholds 8, 8.5, 9, 9.5, 10",
        splits="train[:800], train[63000:63200], CLEVR's validation split",
        pool=70_000,
        val_at=63_000,
        source="https://cs.stanford.edu/people/jcjohns/clevr",
        licence="CC BY 4.0",
        class_names=_DISTANCE_BANDS,
        folder="clevr_dist",
    ),
    Task(
        name="dmlab-1k",
        title="DMLab",
        group="structured",
        classes=6,
        test=22_735,
        label="the kind and the distance of the closest object in a maze",
        splits="train[:800], validation[:200], test",
        pool=65_550,
        val_at=None,
        source="https://github.com/google-research/task_adaptation",
        licence="Apache-2.0",
        class_names=_DMLAB,
        folder="dmlab",
    ),
    Task(
        name="kitti-distance-1k",
        title="KITTI distance",
        group="structured",
        classes=4,
        test=711,
        label="the band that the distance of the closest vehicle lies in: thresholds 8 m and 20 m, or no vehicle",
        splits="train[:800], validation[:200], test; TFDS 3.2.0 splits 7,481 images by their drives",
        pool=6_347,
        val_at=None,
        source="https://www.cvlibs.net/datasets/kitti",
        licence="CC BY-NC-SA 3.0",
        class_names=("up to 8 m", "8 to 20 m", "beyond 20 m", "no vehicle"),
        folder="kitti",
    ),
    Task(
        name="dsprites-location-1k",
        title="dSprites location",
        group="structured",
        classes=16,
        test=73_728,
        label="the horizontal position: 32 in 16 bins",
        splits="of 737,280 images [:800], [589824:590024], [663552:]",
        pool=589_824,
        val_at=589_824,
        source="https://github.com/google-deepmind/dsprites-dataset",
        licence="Apache-2.0",
        class_names=_BINS,
        folder="dsprites_loc",
    ),
    Task(
        name="dsprites-orientation-1k",
        title="dSprites orientation",
        group="structured",
        classes=16,
        test=73_728,
        label="the orientation: 40 in 16 bins",
        splits="of 737,280 images [:800], [589824:590024], [663552:]",
        pool=589_824,
        val_at=589_824,
        source="https://github.com/google-deepmind/dsprites-dataset",
        licence="Apache-2.0",
        class_names=_BINS,
        folder="dsprites_ori",
    ),
    Task(
        name="smallnorb-azimuth-1k",
        title="smallNORB azimuth",
        group="structured",
        classes=18,
        test=12_150,
        label="the azimuth in steps of 20 degrees",
        splits="train[:800], test[:200], test[12150:]",
        pool=24_300,
        val_at=None,
        source="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small",
        class_names=tuple(map(str, range(0, 360, 20))),
        folder="smallnorb_azi",
    ),
    Task(
        name="smallnorb-elevation-1k",
        title="smallNORB elevation",
        group="structured",
        classes=9,
        test=12_150,
        label="the elevation of the camera in steps of 5 degrees",
        splits="train[:800], test[:200], test[12150:]",
        pool=24_300,
        val_at=None,
        source="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small",
        class_names=tuple(map(str, range(30, 75, 5))),
        folder="smallnorb_ele",
    ),
)


def task(name: str) -> Task:
    """Return the task of a name.

    Raises:
        KeyError: there is none.
    """
    return {each.name: each for each in TASKS}[name]
