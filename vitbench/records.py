"""The data that flows: cells, measurements, records, jobs. Frozen msgspec types, versioned.

A cell is the unit of work. Its *id* is the hash of what was asked; its *key* is the hash of the id and of what the
cell was made of (code, data, checkpoint, torch, our method). Resume compares keys; a leaderboard shows the newest
record of an id.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import msgspec

from vitbench.specs import At, Columns, OptionValue

__all__ = [
    "HELD_OUT",
    "METHOD",
    "OLDEST_SCHEMA",
    "PLAIN_STEP",
    "REFERENCE",
    "SCHEMA",
    "Allotted",
    "Cell",
    "Compile",
    "DataInfo",
    "Environment",
    "Head",
    "Interval",
    "Judged",
    "KeyedCell",
    "KnownBy",
    "Measurement",
    "Place",
    "PluginOrigin",
    "Provenance",
    "QualityCell",
    "Ratio",
    "Record",
    "SpeedCell",
    "Status",
    "Style",
    "Training",
    "Verdict",
    "canonical_name",
    "digest",
    "doubt",
    "id_of",
    "interval_of",
    "kind_of",
    "newest_by_id",
]

SCHEMA = 10
"""Version of the store and its records (vitbench/store.py)."""
OLDEST_SCHEMA = 7
"""The earliest version that is read as it is; what is written into such a store makes it one of this version. All
others are refused."""
METHOD = 6
"""Version of the way numbers are made; part of each key."""
REFERENCE = "conv-attention-1"
"""Name and version of the network that each speed cell times in turn with its model (vitbench/measuring/reference.py);
part of the key of speed cells."""
PLAIN_STEP = "adamw"
"""What tables and records call the training step that is timed where a model's recipe names none."""

Status = Literal[
    "ok", "failed", "timeout", "oom", "crashed", "skipped", "invalid", "interrupted", "withdrawn", "pending"
]
"""How an attempt ended; ``withdrawn`` is what the user said of the attempt before it (`vitbench withdraw`), and
``pending`` waits for weights from the hub."""
Precision = Literal["float32", "bfloat16", "float16", "tf32"]
Mode = Literal["inference", "training"]
Compile = Literal["", "default", "reduce-overhead"]
"""The mode of torch.compile; empty where nothing is compiled."""
HELD_OUT = "out-of-fold"
"""What `Record.splits` calls training images that were judged by models which had not learned from them."""
Judged = Literal["test", "val"]
"""The split that a model is judged on."""
Level = Literal["valid", "warn", "invalid"]
Interval = Literal["95%", "range"]
"""An interval that holds the true value in 95 % of cases, or the range of the values of processes, which does not."""


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records."""


class Verdict(_Data, frozen=True, kw_only=True):
    """Whether a measurement can be trusted, and if not, why."""

    level: Level = "valid"
    """``warn``: with care; ``invalid``: not at all."""
    reasons: tuple[str, ...] = ()
    """Why it is not ``valid``."""


class Style(_Data, frozen=True, kw_only=True):
    """How a measurement is shown to people."""

    title: str = ""
    """Head of its column; may be empty, where the unit says it all."""
    unit: str = ""
    """The unit that it is shown in."""
    scale: float = 1.0
    """What to multiply the value by for this unit."""
    columns: Columns = "main"
    """In which tables it has a column."""
    order: int = 1000
    """Its position among the columns, smallest first."""


class Ratio(_Data, frozen=True, kw_only=True):
    """A figure over the same figure of the reference network, whose blocks took turns with the model's.

    A metric takes it from `vitbench.protocols.InTurn`; what concerns several processes the core fills in.
    """

    value: float
    """The figure over the reference's: of one process, or the geometric mean over several."""
    value_of_all: float
    """The same where quads that were disturbed count, too."""
    reference: float
    """The reference's own figure, in the measurement's unit: of one process, or the median over several."""
    network: str
    """The reference's name and version, such as ``conv-attention-1``."""
    quads: int
    """Groups of four blocks that it rests on, those left out included."""
    left_out: int
    """Of these the disturbed ones, which do not count."""
    samples: tuple[tuple[float, ...], ...] = ()
    """Raw samples of the reference, as the measurement's own: one tuple for each process."""
    low: float | None = None
    """Lower end of the 95 % interval over processes."""
    high: float | None = None
    """Its upper end."""
    processes: tuple[float, ...] = ()
    """The ratio of each process, in the order in which they ran."""
    references: tuple[float, ...] = ()
    """The reference's figure in each process."""
    decides: bool = True
    """Whether it ranks and compares; False on machines where the figure itself is the steadier of the two."""
    measured: Verdict = Verdict()
    """Whether the figure itself may be trusted in one process, where that ranks: what disturbs the machine does not
    divide out of it. The core's."""

    @property
    def half_width(self) -> float | None:
        """Half of the interval, as a share of the ratio; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return math.sqrt(self.high / self.low) - 1


class Measurement(_Data, frozen=True, kw_only=True):
    """One measured value with its interval, its raw samples and its verdict.

    `processes` and the last four fields are set by the core; the last four come from the metric's spec, so that results
    can be read without the plugin.
    """

    name: str
    """That of its metric, or one of the metric's `measurements`."""
    value: float | None
    """None if it is not available; the verdict's reasons say why."""
    unit: str = ""
    """Empty: the unit of the metric's spec."""
    better: Literal["higher", "lower", "neither", ""] = ""
    """Empty: as the metric's spec says."""
    low: float | None = None
    """Lower end of the 95 % interval, or of the range over processes."""
    high: float | None = None
    """Its upper end."""
    n: int | None = None
    """Number of images, samples or processes that the value is based on."""
    samples: tuple[tuple[float, ...], ...] = ()
    """Raw samples, one tuple per process."""
    processes: tuple[float, ...] = ()
    """The value of each process, in the order in which they ran; empty if a single process measured it. Set by the
    core.
    """
    ratio: Ratio | None = None
    """The value divided by the reference network's, used for ranking and comparing; None if it was not measured in
    turn.
    """
    verdict: Verdict = Verdict()
    """Whether the value (the ratio, if it has one) can be trusted."""
    at: tuple[At, ...] = ()
    """The cells from which a row takes it; of several, the first that has it."""
    exact: bool = False
    """Whether it is known exactly."""
    machine_bound: bool = False
    """Whether it holds only for the machine that measured it."""
    style: Style = Style()
    """How it is shown."""

    @property
    def interval(self) -> Interval | None:
        """What `low` and `high` are the ends of."""
        return interval_of(self.low, self.high, self.processes)


class QualityCell(_Data, frozen=True, kw_only=True, tag="quality", tag_field="kind"):
    """Train or load a model, then evaluate it once, on the test split or on the validation split."""

    model: str
    """Full name, ``plugin/name``."""
    options: dict[str, OptionValue] = {}
    """The model's options, complete."""
    recipe: str
    recipe_options: dict[str, OptionValue] = {}
    """The recipe's options, complete."""
    dataset: str
    dataset_options: dict[str, OptionValue] = {}
    """The dataset's options, complete."""
    seed: int
    precision: Precision = "float32"
    threads: int
    limit: int | float | None = None
    """Images (int) or share (float) of each split; None: all."""
    epochs: int | None = None
    """Override of the recipe's length; None: the recipe's own."""
    budget: float | None = None
    """Seconds that the whole run may take, of which each training gets a share (`KeyedCell.allotted`); None: any."""
    compile: Compile = ""
    channels_last: bool = False
    variables: dict[str, str] = {}
    """Environment variables that are set and may change results, see `vitbench.variables`."""
    split: Judged = "test"
    """What it is judged on. ``val``: on validation images, or on what its recipe held out; test images are not read."""

    @property
    def partial(self) -> bool:
        """Whether it was cut short by a limit or by fewer epochs."""
        return self.limit is not None or self.epochs is not None


class SpeedCell(_Data, frozen=True, kw_only=True, tag="speed", tag_field="kind"):
    """Measure the speed and memory of a model, on one device, for one input shape, batch size and mode."""

    model: str
    options: dict[str, OptionValue] = {}
    num_classes: int
    input_shape: tuple[int, int, int]
    """Channels, height, width of the model's input."""
    device: str
    precision: Precision = "float32"
    threads: int
    batch_size: int
    mode: Mode
    machine: str
    """The machine class."""
    compile: Compile = ""
    channels_last: bool = False
    largest_batch: bool = False
    """Search the largest batch that fits, from `batch_size` on; its figures have names of their own."""
    sustained: float = 0.0
    """Seconds of a long window that is timed, too; 0: none is."""
    recipe: str = ""
    """In training the recipe whose step is timed; empty where none says its step, and a plain one is timed."""
    recipe_options: dict[str, OptionValue] = {}
    """The options of that recipe, complete."""
    variables: dict[str, str] = {}
    """Environment variables that are set and may change results, see `vitbench.variables`."""
    timing_variables: dict[str, str] = {}
    """Those that change speed and memory alone."""

    @property
    def train_step(self) -> str | None:
        """Which training step is timed: a recipe's full name, or `PLAIN_STEP`; None in inference."""
        return (self.recipe or PLAIN_STEP) if self.mode == "training" else None

    @property
    def in_words(self) -> str:
        """Mode, with the recipe whose step is timed, and batch."""
        mode = f"{self.mode} ({self.recipe.partition('/')[2]})" if self.recipe else self.mode
        batch = "largest batch" if self.largest_batch else f"batch {self.batch_size}"
        return f"{mode}, {batch}" + (f", {self.sustained:g} s sustained" if self.sustained else "")


class FigureCell(_Data, frozen=True, kw_only=True, tag="figure", tag_field="kind"):
    """Look into a trained model: one figure of what it learned or of where it looks."""

    figure: str
    """Full name, ``plugin/name``."""
    figure_options: dict[str, OptionValue] = {}
    """The figure's options, complete."""
    of: QualityCell
    """What was asked of the training whose model it shows; `KeyedCell.shows` says which training that was."""
    images: dict[str, str] = {}
    """SHA-256 of each of the user's own images, by path; empty: it shows those that the training is judged on."""

    @property
    def model(self) -> str:
        """As of the training, like all that follow."""
        return self.of.model

    @property
    def options(self) -> dict[str, OptionValue]:
        """The model's options, complete."""
        return self.of.options

    @property
    def recipe(self) -> str:
        """The recipe."""
        return self.of.recipe

    @property
    def recipe_options(self) -> dict[str, OptionValue]:
        """The recipe's options, complete."""
        return self.of.recipe_options

    @property
    def seed(self) -> int:
        """The seed."""
        return self.of.seed

    @property
    def threads(self) -> int:
        """Threads that it computes with."""
        return self.of.threads

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that may change results."""
        return self.of.variables

    @property
    def precision(self) -> Precision:
        """What the figure computes in, whatever the training did."""
        return "float32"

    @property
    def compile(self) -> Compile:
        """The model is run as it is: what is compiled cannot be watched."""
        return ""

    @property
    def channels_last(self) -> bool:
        """It is run in torch's own memory format."""
        return False


Cell = QualityCell | SpeedCell | FigureCell


def kind_of(cell: Cell) -> Literal["quality", "speed", "figure"]:
    """Return the kind of a cell, as it is stored."""
    return cast(Literal["quality", "speed", "figure"], cell.__struct_config__.tag)


KnownBy = Literal["checksums", "package", "owner", ""]


class DataInfo(_Data, frozen=True, kw_only=True):
    """A dataset as it was opened and cached."""

    name: str
    """The name that was asked for, without options."""
    title: str
    """The name for tables, with the options that are not as by default; says so where the data are unverified."""
    verified: bool
    """False where there is reason to doubt that the data are what they are called."""
    known_by: KnownBy = ""
    """What says that they are: the published checksums, the package that they ship with, or the user, who named a
    folder. Empty: nothing does."""
    fingerprint: str
    """SHA-256 of labels and decoded pixels of all splits; under a limit of all labels and of the pixels that were
    read."""
    content: str = ""
    """SHA-256 of them whatever the order of images and classes: what `DatasetSpec.published` is held to."""
    cache: str
    """Folder of the memory-mapped uint8 arrays."""
    train_cache: str = ""
    """Folder of those of the training split, where these are larger than what models are judged on; empty: `cache`."""
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    """Channels, height, width of the cached images."""
    uniform: tuple[int, int] | None = None
    """Height and width of all images as they came; None where they differ, or where nothing says."""
    short_side: int = 0
    """Median of their shorter sides in pixels; 0: nothing says."""
    sizes: dict[str, int]
    """Images in each split that was cached: test, and perhaps train and val."""
    augmentations: tuple[str, ...] = ()
    target: str = "single_label"
    """What the labels say of an image."""
    plugin: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    """Why scores on its test images are to be taken with care, such as those that are also in train."""
    val_doubts: tuple[str, ...] = ()
    """The same of its validation images."""
    train_images: int | None = None
    """How many of the training images are used, validation among them where it is cut from them; None: all."""
    left_out: int = 0
    """Images that could not be read and were left out."""
    limit: int | float | None = None
    """The limit whose images alone were read; the others' rows in the cache are empty. None: all were."""
    lineage: str = ""
    """Which files its images and splits come from, such as ``TFDS``; empty where there is one making of it alone, or
    nothing says. What the user states ends in "(stated)"."""
    names: str = ""
    """Folder of the names of the images' files, a list for each split; empty where they have none, or an earlier
    version cached them."""

    def doubts_on(self, split: Judged) -> tuple[str, ...]:
        """Return why scores on a split are to be taken with care."""
        return self.doubts if split == "test" else self.val_doubts


class PreprocessInfo(_Data, frozen=True, kw_only=True):
    """The preprocessing that was applied."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_fraction: float
    image_size: tuple[int, int]
    """Height and width of the input in pixels."""
    in_channels: int
    crop_mode: str = "center"
    source: str = ""
    """Where the normalisation was taken from, in words; empty in records that do not say."""


class PluginOrigin(_Data, frozen=True, kw_only=True):
    """Where a plugin comes from."""

    plugin: str
    distribution: str
    """The package that brings it, or the path of a plugin file."""
    version: str
    """Of the distribution; empty for a plugin file."""
    code_hash: str
    """SHA-256 over the files of the plugin's package, and over helper modules that no package brings."""

    @property
    def is_file(self) -> bool:
        """Whether it is a plugin file."""
        return not self.version and self.distribution.endswith(".py")

    @property
    def owner(self) -> str:
        """Distribution and version in words."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def in_words(self) -> str:
        """All of it in words."""
        return f"plugin {self.plugin} of {self.owner}, code {self.code_hash[:12]}"


class Provenance(_Data, frozen=True, kw_only=True):
    """What a cell is made of, beside what was asked; all of it is in the key."""

    model: PluginOrigin
    recipe: PluginOrigin | None = None
    dataset: PluginOrigin | None = None
    others: tuple[PluginOrigin, ...] = ()
    """Of the models that options of the recipe name, such as a teacher."""
    data_fingerprint: str = ""
    files: dict[str, str] = {}
    """SHA-256 of each file that an option names, by that option: ``model.checkpoint``, ``recipe.teacher.checkpoint``,
    ``dataset.index``; of weights from the hub what their model says, as ``model.revision``."""
    libraries: dict[str, str] = {}
    """Versions of the packages that the model requires, by module."""
    recipe_libraries: dict[str, str] = {}
    """Versions of those that the recipe and other models of it require."""
    torch: str
    """Its version with the build, such as ``2.14.1+cu130``."""
    software: dict[str, str] = {}
    """Versions of what else computes: torchvision, on CUDA cuDNN; of a quality cell what decodes and resizes images."""
    vitbench: str = ""
    """SHA-256 over vitbench's own code that makes the numbers."""
    method: int = METHOD

    @property
    def all_libraries(self) -> dict[str, str]:
        """Versions of all that computes beside torch."""
        return {**self.libraries, **self.recipe_libraries, **self.software}


class Environment(_Data, frozen=True, kw_only=True):
    """The machine and the software, once a run."""

    machine: str
    """The machine class: results of one class may be compared."""
    cpu: str
    cores: int
    """Cores that this process may use, by affinity and quota."""
    quota: float | None = None
    """Cores that the control group allows; None: no quota."""
    memory_bytes: int
    gpu: str = ""
    driver: str = ""
    gpu_settings: dict[str, float] = {}
    """How the GPU is set, as far as it tells: GPUs that are visible, watts of the power limit, ECC, persistence, MIG,
    the PCIe link (`vitbench.nvidia.gpu_settings`)."""
    system: str
    python: str
    versions: dict[str, str]
    """Installed versions of the packages that make the numbers, of torch and torchvision with the build; on CUDA that
    of cuDNN."""
    commit: str = ""
    """The commit of vitbench, where it was installed from git or runs in a checkout; what was not committed is in no
    commit, but in `Provenance.vitbench`."""


class Allotted(_Data, frozen=True, kw_only=True):
    """What the budget of a run gives one training. Of equal steps come equal weights, whatever the budget was."""

    steps: int
    """Steps of the optimiser, fixed before the training begins. One by the clock (`by_time`) has `seconds` instead."""
    planned_steps: int
    """What it was given before the first training of the run; `steps` may be others, by what earlier cells took."""
    length: int | None = None
    """Steps of the recipe's own length, where its options state it; no more are taken."""
    step_seconds: float
    """Seconds per step, as a short probe measured them before the run, validation left out."""
    seconds: float
    """Seconds that the training may take, with the validation after each epoch."""


class Head(_Data, frozen=True, kw_only=True):
    """The head that weights bring with them, and which of its outputs mean which class of the data."""

    outputs: int
    """How many classes it tells apart."""
    of_classes: tuple[tuple[int, ...], ...] = ()
    """For each class of the data the outputs that mean it; several count as one, with the sum of their probabilities.
    Empty: the outputs are the data's classes, in their order."""
    others: tuple[str, ...] = ()
    """Names of the outputs that mean no class of the data, in their order, where they compete with those that do: a
    prediction of one of them is wrong. Empty: they are left out, before softmax."""

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The outputs that make each class of the predictions; empty: the outputs are these classes, in their order."""
        if not self.others:
            return self.of_classes
        used = {output for outputs in self.of_classes for output in outputs}
        return (*self.of_classes, *((output,) for output in range(self.outputs) if output not in used))

    @property
    def in_words(self) -> str:
        """What of it a model is scored on; empty where that is all of it, output by output."""
        used, whole = sum(map(len, self.of_classes)) or self.outputs, f"the head's {self.outputs:,} classes"
        merged = f"merged into {len(self.of_classes):,}" if 0 < len(self.of_classes) < used else ""
        if self.others:
            return f"all of {whole}" + (f", {used:,} of them {merged}" if merged else "")
        if used < self.outputs or merged:
            return f"{used:,} of {whole}" + (f", {merged}" if merged else "")
        return ""


class KeyedCell(_Data, frozen=True, kw_only=True):
    """A cell that is ready to run: resolved, validated and hashed."""

    cell: Cell
    id: str
    key: str
    label: str
    """The model's name for tables."""
    baseline: bool = False
    provenance: Provenance
    data: DataInfo | None = None
    """None for a speed cell."""
    head: Head | None = None
    """Of a quality cell whose recipe trains nothing; None: the model is built with an output for each class."""
    image_size: tuple[int, int]
    """Height and width of the model's input in pixels."""
    in_channels: int
    pretrained_on: str = ""
    """The data that its weights were trained on before, in words; empty: it starts from random weights, or nobody
    knows."""
    pretrained_fingerprint: str = ""
    """Of these data, where a checkpoint says it; see `DataInfo.fingerprint`."""
    licence: str = ""
    """Of these weights."""
    shows: str = ""
    """For a figure cell the key of the training whose model it shows."""
    machine: str
    device: str
    """The device it runs on; for a quality cell this is no part of the id."""
    timing_variables: dict[str, str] = {}
    """Environment variables that change speed and memory alone; for a quality cell these are no part of the id."""
    allotted: Allotted | None = None
    """What the run's budget gives the training; no part of id and key. None: no budget, or nothing to train."""
    unavailable: str = ""
    """Why it cannot run, where prepare found that out; it ends as `failed` with this reason."""
    hub: Literal["", "needed", "away"] = ""
    """Whether weights from the hub are `needed`: where they cannot be fetched, the cell waits as `pending`, and the
    same command tries again. They are `away` where the hub did not answer and they had not been downloaded before: it
    waits without a try, or is timed with random weights."""

    @property
    def judged_on(self) -> str:
        """Title of the data that its model is judged on, and whether on validation images; empty for a speed cell."""
        cell = self.cell
        if isinstance(cell, SpeedCell):
            return ""
        trained = cell if isinstance(cell, QualityCell) else cell.of
        title = self.data.title if self.data else trained.dataset
        return f"{title} (validation)" if trained.split == "val" else title

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of its predictions: those of the data, then others of the head that compete with them."""
        return (*(self.data.class_names if self.data else ()), *(self.head.others if self.head else ()))

    @property
    def outputs(self) -> int:
        """How many outputs the model is built with."""
        if isinstance(self.cell, SpeedCell):
            return self.cell.num_classes
        return self.head.outputs if self.head else len(self.class_names)

    @property
    def in_words(self) -> str:
        """The cell on one line."""
        cell = self.cell
        if not isinstance(cell, SpeedCell):
            trained = cell if isinstance(cell, QualityCell) else cell.of
            training = f"{self.label} on {self.judged_on}, {trained.recipe.partition('/')[2]}, seed {trained.seed}"
            return training if isinstance(cell, QualityCell) else f"{cell.figure} of {training}"
        channels, height, width = cell.input_shape
        return f"{self.label}, {cell.in_words} of {channels}x{height}x{width}"


class Training(_Data, frozen=True, kw_only=True):
    """What a training took, beside its curve: what metrics of it are made of again when they change."""

    seconds: float
    """Wall time of all attempts."""
    images: int
    """Images in the training split."""
    steps: int = 0
    """Steps that the optimiser took in all attempts; 0: none of torch's was used, or nobody counted."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed the wall time, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


class Place(_Data, frozen=True, kw_only=True):
    """Where a cell ran, in a cluster of machines."""

    node: str
    """What the cluster calls the machine."""
    host: str = ""
    """Its own name."""
    label: str = ""
    """The class that the cluster's label puts it in."""
    gpu: str = ""
    """UUID of the GPU; empty where it was given none, or nothing says it."""


class Record(_Data, frozen=True, kw_only=True):
    """One attempt at a cell, and how it ended."""

    schema: int = SCHEMA
    run: str
    """The run that made it."""
    planned: KeyedCell
    status: Status
    reason: str = ""
    started: float
    """Seconds since the epoch."""
    seconds: float
    """Wall time of the attempt, all processes."""
    occasion: str = ""
    """What it shares with the attempts whose processes took turns with its own, and with no others."""
    measurements: tuple[Measurement, ...] = ()
    curve: tuple[dict[str, float], ...] = ()
    """One row for each epoch of the training."""
    training: Training | None = None
    """None where nothing was trained."""
    preprocess: PreprocessInfo | None = None
    environment: str = ""
    """Digest of the Environment, a blob in the store."""
    runtime: dict[str, Any] = {}
    """torch's flags as they were set for the cell."""
    evidence: tuple[dict[str, float], ...] = ()
    """What was observed of the machine around the timed region, for each process."""
    course: tuple[dict[str, float], ...] = ()
    """Of a sustained window a row for each block, in the first process: its end in seconds, its images per second, and
    clocks, temperature and power as far as they were read (`vitbench.measuring.sustained`)."""
    facts: dict[str, str] = {}
    """What the model says of itself, such as its stem."""
    splits: dict[str, int] = {}
    """Images used: train, val and test, of which one that is judged on validation images has none; `HELD_OUT`, where
    what its recipe said of images that it held out is what is scored."""
    doubts: tuple[str, ...] = ()
    """Why its scores are to be taken with care, beside what is said of the data."""
    faults: tuple[str, ...] = ()
    """What the audits of the predictions found; it makes their figures invalid."""
    warnings: tuple[str, ...] = ()
    """What else the model did that it should not, such as changing torch's flags."""
    metrics: dict[str, str] = {}
    """Code hash of each metric that was computed from predictions and training alone; with the metric's options."""
    measured_by: tuple[PluginOrigin, ...] = ()
    """Plugins of the metrics that gave the figures; of one plugin several where its code changed since."""
    kept: dict[str, str] = {}
    """SHA-256 of each file of tensors that the recipe keeps beside the weights, by its name."""
    pictures: int = 0
    """Of a figure cell, how many pictures it has."""
    place: Place | None = None
    """Where it ran; None: on the machine of the run itself."""
    source: str = ""
    """Whose results it was imported from, `vitbench import`; empty: it was made in this folder, or merged into it."""

    @property
    def id(self) -> str:
        """Hash of what was asked."""
        return self.planned.id

    @property
    def key(self) -> str:
        """Hash of what was asked and what it was made of."""
        return self.planned.key

    @property
    def foreign_metrics(self) -> tuple[PluginOrigin, ...]:
        """Of the plugins that gave its figures those that are not vitbench's own."""
        return tuple(origin for origin in self.measured_by if origin.distribution != "vitbench")


def interval_of(low: float | None, high: float | None, processes: Sequence[float]) -> Interval | None:
    """Return what the ends of a value's interval are, given the values of its processes; None where it has none."""
    if low is None or high is None:
        return None
    return "range" if processes and (low, high) == (min(processes), max(processes)) else "95%"


def newest_by_id(records: Iterable[Record]) -> dict[str, Record]:
    """Return the newest of some attempts, given oldest first, by what was asked; in the order of their age.

    An interrupted repetition takes no good result away, nor does one that waits for the hub.
    """
    newest: dict[str, Record] = {}
    for record in records:
        earlier = newest.get(record.id)
        again = record.status == "interrupted" and earlier and earlier.key == record.key
        if earlier and earlier.status == "ok" and (again or record.status == "pending"):
            continue
        newest.pop(record.id, None)
        newest[record.id] = record
    return newest


def digest(value: object) -> str:
    """Return the first 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


def id_of(cell: Cell) -> str:
    """Return the hash of what was asked.

    One that is judged on the test split has the id that it had before there was a choice.
    """
    asked = msgspec.to_builtins(cell, order="deterministic")
    for part in (asked, asked.get("of", {})):
        if part.get("split") == "test":
            del part["split"]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16]


def canonical_name(name: str, options: dict[str, OptionValue], defaults: dict[str, OptionValue]) -> str:
    """Return ``plugin/name:k=v,...`` with the options that differ from their defaults, sorted."""
    changed = sorted(key for key, value in options.items() if defaults.get(key) != value)
    return name + (":" + ",".join(f"{key}={_quoted(_text(options[key]))}" for key in changed) if changed else "")


def _quoted(value: str) -> str:
    """Return a value in quotes where a name with options would be read otherwise without them."""
    if value.startswith('"') or re.search(r",[A-Za-z_][\w-]*=", value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _text(value: OptionValue) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def doubt(
    measurements: Iterable[Measurement], level: Literal["warn", "invalid"], reasons: Iterable[str]
) -> tuple[Measurement, ...]:
    """Return measurements that are trusted no more than `level`, for these reasons; none changes without a reason.

    What is exact does not depend on how the model ran, and stays as it is.
    """
    reasons = tuple(reasons)
    if not reasons:
        return tuple(measurements)
    return tuple(
        one
        if one.exact
        else msgspec.structs.replace(
            one,
            verdict=Verdict(
                level="invalid" if one.verdict.level == "invalid" else level,
                reasons=tuple(dict.fromkeys((*one.verdict.reasons, *reasons))),
            ),
        )
        for one in measurements
    )
