"""What the offered callables take and return. Light at run time: torch is named in annotations only.

Shapes: B images in a batch, N images in a split, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from vitbench.errors import Skip, UsageError
from vitbench.records import Compile, Judged, Ratio

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from vitbench.specs import Augmentation, Preprocess

__all__ = [
    "Agreement",
    "Budget",
    "ConfusionScore",
    "EnergyUse",
    "FitRun",
    "ImageScores",
    "ImageSet",
    "InTurn",
    "Loading",
    "MemoryUse",
    "Predictions",
    "SampleScore",
    "Split",
    "Startup",
    "Subject",
    "Sustained",
    "Timing",
    "TrainStep",
    "TrainVal",
    "TrainingLog",
]


@runtime_checkable
class ImageSet(Protocol):
    """What a dataset's `open` returns: one split, in a stable order.

    It offers either ``image(i)``, for images of any size, or ``images(index)``, if all have the same size:

    * ``image(i: int) -> uint8[C, H, W]``
    * ``images(index: int64[B]) -> uint8[B, C, H, W]``

    Both raise ValueError for an image that cannot be read, with the image's name. C is the same for all images of a
    dataset, except that there may be gray images among the others. 16-bit images may be returned as uint16: they are
    scaled by the number of bits that the dataset uses.

    Several threads call it at once. It may have more attributes: ``verified: bool``, whether the files were found to be
    the published ones; ``notes: Sequence[str]``, sentences that the user should read; ``names: Sequence[str]``, what
    each image is called, such as its path in the folder; ``lineage: str``, which files images and splits come from,
    where a dataset has several makings; and ``conversions: Mapping[str, int]``, read when all images were: how many of
    them are what, in words.
    """

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64[N], each in 0..K-1."""

    @property
    def class_names(self) -> Sequence[str]:
        """K names, in the order of the labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Images and labels of one split, as the core cached them."""

    images: NDArray[np.uint8]
    """uint8[M, C, H, W], memory-mapped: all cached images, of which `index` names this split's."""
    index: NDArray[np.int64]
    """int64[N], rows of `images`."""
    labels: NDArray[np.int64]
    """int64[N], the label of each row in `index`."""

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainVal:
    """What a recipe may see: a training and a validation split. There is no test split here.

    Both are empty if the data has no training images; only a recipe that trains nothing sees this.
    """

    train: Split
    """Images to learn from. Its array may differ from that of `val` and hold larger images, to be cropped."""
    val: Split
    """Images to choose by: the dataset's own validation split, else a tenth of the training images, the same for all
    models and seeds."""
    class_names: tuple[str, ...]
    """K names, in the order of the labels."""
    image_size: tuple[int, int]
    """Height and width of the model's input in pixels; cached images may have another size."""
    in_channels: int
    """Channels of the model's input."""
    preprocess: Preprocess
    """How `vitbench.training.preprocess` turns cached images into the model's input."""
    augmentations: tuple[Augmentation, ...] = ()
    """Changes to an image that preserve its label: crop, flip."""
    target: Literal["single_label"] = "single_label"
    """What the labels mean: one class per image."""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What the user allows; it overrides the recipe's own options."""

    epochs: int | None = None
    """Passes over the training split; None: set by the recipe's options."""
    steps: int | None = None
    """Maximum number of optimiser steps, which ``--budget`` fixes before training; None: no limit. The record notes
    a recipe that takes more. `vitbench.training.total_steps` and `TrainingLength` keep to it.
    """
    seconds: float | None = None
    """The time that ``--budget`` allows for training. Only recipes that train by the clock use it, as
    `vitbench.training.TrainingLength` does if the recipe's option ``by_time`` is true."""


def _build_nothing(text: str) -> nn.Module:
    raise UsageError(f'"{text}" cannot be built here: models are built by name only in a run')


def _nothing_saved() -> None:
    return None


def _save_nothing(step: int, state: Mapping[str, Any]) -> None:
    """Stand in where a training is not kept."""


def _keep_nothing(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Stand in where a training is not kept."""


def _no_features(model: nn.Module, split: Split) -> NDArray[np.float32]:
    raise UsageError("features are extracted only in a run")


def _note_nothing(index: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
    """Stand in where nobody asks what a recipe said of images that it held out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRun:
    """The conditions of one training run."""

    device: torch.device
    """Where to train; `vitbench.training.on_device` moves the model there."""
    precision: Literal["float32", "bfloat16", "float16", "tf32"]
    """Precision to compute in; `vitbench.training.train_step` and `autocast` apply it."""
    seed: int
    """Seed for the recipe's own generators; torch, NumPy and Python are already seeded with it."""
    budget: Budget
    """What the user allows; a recipe that continues beyond it fails."""
    options: Mapping[str, Any]
    """The recipe's options, complete and of their declared types."""
    log: Callable[..., None]
    """``log(epoch=3, epochs=20, loss=0.4, lr=0.001, val_top1=0.9)`` reports progress, and adds a row to the training
    curve if `epoch` is a whole number and any value is given. ``log()`` alone is a sign of life. It raises an error if
    `epoch` is beyond the budget: do not catch it. The keys:

    * ``epoch``: epochs completed, 1 at the end of the first; a fraction only reports progress within an epoch
    * ``epochs``: total number of epochs
    * ``loss``: mean training loss of the epoch
    * ``val_top1``: share of the validation images that are classified correctly
    * ``lr``: the learning rate at the end of the epoch
    * ``images_per_second``, ``wait_seconds``, ``train_seconds``: how fast the steps of the epoch were, how long they
      waited for their batches, and the seconds of training since it began, without evaluation;
      `vitbench.training.EpochClock` returns all three. Metrics of the time to an accuracy need the last
    * any other name: a number, which becomes a column of the curve

    The page has a chart of each except ``epochs``; ``--plots`` draws ``loss`` and ``val_top1``."""
    build: Callable[[str], nn.Module] = _build_nothing
    """``build(run.options["teacher"])`` builds the model that an option of kind ``model`` names, for the same classes:
    on the CPU, with its weights, in the mode in which its plugin returns it (call ``eval()`` on a teacher). It takes
    the same inputs as the model in training; if its own size, channels or normalisation differ, it converts them.
    Raises UsageError for a name that is not the value of such an option: what is built is part of the cell's key.
    """
    resume: Callable[[], tuple[int, Mapping[str, Any]] | None] = _nothing_saved
    """``run.resume()`` returns what an earlier, killed attempt at this training saved last: the step and the state,
    with its tensors on the CPU. It returns None if there is nothing, or if it is damaged, which the user is told. State
    saved by an attempt that raised an error is not returned."""
    save: Callable[[int, Mapping[str, Any]], None] = _save_nothing
    """``run.save(step, state)`` replaces what was saved before, atomically. The state may hold tensors,
    numbers, strings, None, and lists, tuples and dicts of these; if it cannot be saved, the user is told and training
    continues. It is deleted once the cell has ended without being killed. `vitbench.training.TrainingState` gathers it
    and says when it is time."""
    save_seconds: float = 30.0
    """Minimum time between two saves by `vitbench.training.TrainingState`; 0: it saves at each step."""
    keep: Callable[[str, Mapping[str, torch.Tensor]], None] = _keep_nothing
    """``run.keep("decoder", tensors)`` stores tensors beside the weights, as safetensors, with their SHA-256 in the
    record: whatever a recipe trains in addition to the model. Using a name again replaces its tensors."""
    features: Callable[[nn.Module, Split], NDArray[np.float32]] = _no_features
    """``run.features(model, data.train)`` gives float32[N, D], what enters the model's head for each image of a split,
    in eval mode and without augmentation (`vitbench.training.features`). It is extracted once for a model, its weights,
    the data and the preprocessing, and kept beside the image cache."""
    out_of_fold: Callable[[NDArray[np.int64], NDArray[np.float32]], None] = _note_nothing
    """``run.out_of_fold(index, logits)``: int64[N] rows of ``data.train.images``, and float32[N, K] logits for them
    from models that were not trained on these images; includes rows of ``data.val`` if these are drawn from train. It
    may be called once per fold, with each row once. A cell that is judged on validation images scores these
    predictions; one that is judged on test images does not keep them."""
    compile: Compile = ""
    """The mode of torch.compile, empty: do not compile; `vitbench.training.on_device` heeds it."""
    channels_last: bool = False
    """Whether to use the channels-last memory format; `vitbench.training.on_device` does."""
    judged: Judged = "test"
    """What the model is judged on afterwards. If it is ``val``, a recipe must not learn from ``data.val``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainStep:
    """What a recipe does at each step, including its optimiser; `fit` takes such steps, and they are what is timed."""

    optimizer: torch.optim.Optimizer
    """Has the recipe's learning rates; when steps are timed, they are set so low that no weight changes much."""
    take: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """``take(inputs, labels) -> loss``: forward, loss, backward and the step for inputs float32[B, C, H, W] and labels
    int64[B]; the loss is a scalar on the device. The model is in train mode."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What a step changes besides the model and the optimiser, by name, such as an average of the weights: each with
    ``state_dict()`` and ``load_state_dict(state)``, for `vitbench.training.TrainingState`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What a model predicted for the images that it is judged on, from logits computed once; also what is
    stored.

    All logits are kept unless they take more than 256 MiB. The T likeliest classes are always kept: all K, or 100 if
    there are more.
    """

    labels: NDArray[np.int64]
    """int64[N]"""
    index: NDArray[np.int64]
    """int64[N], the position of each image in its split of the dataset, which a limit does not change: in the test
    split, or for validation images in the split that has them, which is train where they are drawn from it."""
    class_names: tuple[str, ...]
    """K names, in the order of the labels."""
    logits: NDArray[np.float32] | None
    """float32[N, K]; None if there are too many."""
    top_classes: NDArray[np.int64]
    """int64[N, T], likeliest first; for equal logits, the lower class first."""
    top_logits: NDArray[np.float32]
    """float32[N, T], the logits of `top_classes`."""
    log_normaliser: NDArray[np.float64]
    """float64[N], ``ln(sum over classes of exp(logit))``: a logit less this is the logarithm of its probability."""
    true_logit: NDArray[np.float32]
    """float32[N], the logit of the true label."""

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def top_probabilities(self) -> NDArray[np.float32]:
        """float32[N, T], the probabilities of `top_classes`, of a softmax in float64."""
        import numpy as np

        return np.exp(self.top_logits - self.log_normaliser[:, None]).astype(np.float32)

    @property
    def true_log_probability(self) -> NDArray[np.float32]:
        """float32[N], natural logarithm of the probability given to the true label."""
        import numpy as np

        return (self.true_logit - self.log_normaliser).astype(np.float32)

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probabilities of all classes, float64[N, K].

        Raises:
            Skip: the logits were too many to be kept whole.
        """
        import numpy as np

        if self.logits is None:
            raise Skip(
                f"the logits of {len(self.labels)} images and {self.num_classes} classes were not kept whole: "
                f"only those of the {self.top_classes.shape[1]} likeliest classes were"
            )
        return np.exp(self.logits - self.log_normaliser[:, None])


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """A metric that is the mean of one value per test image; the core computes its interval and its paired tests.

    Values that are right or wrong (bool) get Wilson's interval and McNemar's test, other numbers a bootstrap over
    images. The interval of a fraction is clipped to 0..1.
    """

    name: str
    """Name of the measurement."""
    values: NDArray[np.bool_] | NDArray[np.floating[Any]]
    """bool[N] or float[N], in the order of the predictions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusionScore:
    """A metric that is a function of the confusion matrix; the core resamples the images, paired between models.

    With more than 5000 classes, no matrix is computed and the metric has no value.
    """

    name: str
    """Name of the measurement."""
    score: Callable[[NDArray[np.int64]], float]
    """Takes int64[K, K]: how many images of each class (rows) were predicted as each class (columns). A resample may
    lack a class: return NaN to leave it out. If more than one in twenty are left out, the metric has no interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleScore:
    """A metric of some of the test images; the core calls it on resamples of them, paired between models.

    Resampling does not work for a value that a single image decides, such as the largest error: equal models would be
    reported as different far too often. Quantiles, areas and ratios are fine.
    """

    name: str
    """Name of the measurement."""
    score: Callable[[NDArray[np.intp]], float]
    """Takes intp[N], positions of images, some of them several times, others never; the first call gets all of them in
    order. Return NaN to leave a resample out, as for `ConfusionScore`. It is called a thousand times, for at most a
    minute in all: precompute what you can, such as a sort order of all images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingLog:
    """What `fit` did."""

    seconds: float
    """Wall time of `fit`."""
    images: int
    """Images in the training split."""
    steps: int = 0
    """Steps that the optimiser took; 0: no torch optimiser was used, or steps were not counted."""
    curve: tuple[Mapping[str, float], ...] = ()
    """One row for each logged epoch."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed the wall time, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Raw times of one speed cell in one process."""

    mode: Literal["inference", "training"]
    """What a call is: a forward pass, or a training step."""
    batch_size: int
    """Images in each call."""
    block_seconds: tuple[float, ...]
    """Wall time of each timed block, calls pipelined, synchronised at its end."""
    calls_per_block: int
    """Calls in each timed block."""
    call_seconds: tuple[float, ...]
    """Wall time of single calls, each synchronised; inference only."""
    warmup_seconds: tuple[float, ...]
    """Wall time of each warm-up block."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed the measurement, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """What was observed of the machine around the timed region, by name; see `vitbench.measuring.evidence`."""
    in_turn: InTurn | None = None
    """The same blocks compared with the reference network's; None if there was no room for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InTurn:
    """Times of the model and the reference network, run in alternating blocks in one process."""

    reference: str
    """The reference network's name and version."""
    reference_batch_size: int
    """Images in each of its calls."""
    reference_seconds: tuple[float, ...]
    """Wall time of each of its blocks, or of each single call if the model is timed by single calls."""
    reference_calls: int
    """Calls in each of these."""
    speed_ratio: float
    """The model's images per second over the reference's: the median over the quads that count."""
    speed_ratio_of_all: float
    """The same over all quads, including the disturbed ones."""
    quads: int
    """Groups of four blocks: the model's, the reference's two, the model's again."""
    left_out: int
    """The quads among these that the kernel reports as disturbed; never more than half."""
    warnings: tuple[str, ...] = ()
    """What makes the ratio doubtful, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""

    def of_speed(self) -> Ratio:
        """Return the ratio of the model's images per second to the reference's."""
        images = self.reference_batch_size * self.reference_calls
        samples = tuple(images / seconds for seconds in self.reference_seconds)
        return self._ratio(self.speed_ratio, self.speed_ratio_of_all, samples)

    def of_seconds(self, batch_size: int) -> Ratio:
        """Return the ratio of the seconds of one call of the model to those of one call of the reference.

        Args:
            batch_size: images in a call of the model.
        """
        images = batch_size / self.reference_batch_size
        samples = tuple(seconds / self.reference_calls for seconds in self.reference_seconds)
        return self._ratio(images / self.speed_ratio, images / self.speed_ratio_of_all, samples)

    def _ratio(self, value: float, value_of_all: float, samples: tuple[float, ...]) -> Ratio:
        return Ratio(
            value=value,
            value_of_all=value_of_all,
            reference=median(samples),
            network=self.reference,
            quads=self.quads,
            left_out=self.left_out,
            samples=(samples,),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sustained:
    """Raw times of a long window of pipelined calls, in one process."""

    mode: Literal["inference", "training"]
    """What a call is: a forward pass, or a training step."""
    batch_size: int
    """Images in each call."""
    seconds: float
    """Wall time of the window."""
    block_seconds: tuple[float, ...]
    """Wall time of each block, synchronised at its end."""
    calls_per_block: int
    """Calls in each block."""
    counts_from: int
    """The first block of the window's second half; only the blocks from there on count."""
    course: tuple[Mapping[str, float], ...] = ()
    """For each block: its end in seconds, its images per second, and any clocks, temperature and power readings."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed it, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Startup:
    """From nothing to a first answer, once in a fresh process that has imported torch and the model's code."""

    connect_seconds: float = 0.0
    """Start using the device: on CUDA, create the driver's and torch's context; nothing on the CPU."""
    build_seconds: float
    """Build the model, load its weights, and move it to its device."""
    first_call_seconds: float
    """The first forward pass, including compilation if the cell asks for it."""
    second_call_seconds: float
    """The second one, which compiles and sets up nothing."""
    compiled: bool
    """Whether the first call compiles the model."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed it, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """How fast images are loaded, with and without a model; parts of the split that is judged, read from the cache."""

    batch_size: int
    """Images in each batch."""
    data_seconds: tuple[float, ...]
    """Wall time of each full batch: read from the cache, moved to the device, preprocessed."""
    end_to_end_seconds: tuple[float, ...]
    """Wall time of each full batch: the same, and the forward pass."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed it, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyUse:
    """Energy of forward passes, measured in a separate pass."""

    joules: float
    """Total energy that the device drew."""
    idle_watts: float
    """Power drawn when idle."""
    seconds: float
    """Wall time of the passes."""
    images: int
    """Number of images that went through the model."""
    warnings: tuple[str, ...] = ()
    """What may have disturbed it, in words."""
    errors: tuple[str, ...] = ()
    """What makes it invalid, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How closely a variant (another precision, compiled, channels last) agrees with plain float32."""

    images: int
    """Images, or samples of noise, that were compared."""
    same_top1: int
    """Images with the same likeliest class, or whose classes are so close in float32 that rounding decides."""
    largest_error: float
    """Largest difference between centred logits (a logit less the mean of its image's logits), divided by the largest
    centred logit in float32; infinite if the variant's logits are not finite, NaN if those of float32 are all equal or
    not finite."""
    tolerance: float
    """What rounding explains of it at this precision, beside such an offset as the logits share."""
    real_images: bool
    """False for noise, for which the likeliest class means nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryUse:
    """Memory of one speed cell, measured in a separate pass."""

    mode: Literal["inference", "training"]
    """Forward passes, or training steps."""
    peak_bytes: int
    """CPU: rise of the peak resident set over the baseline before the model was built. CUDA: peak allocated."""
    absolute_peak_bytes: int
    """CPU: the peak resident set. CUDA: peak reserved."""
    baseline_bytes: int
    """What was in use before the model was built."""
    device_bytes: int | None = None
    """CUDA: what this process holds by the device's own counter; None if there is no such counter."""
    weights_bytes: int | None = None
    """Parameters and buffers."""
    gradient_bytes: int | None = None
    """Training only, as are the next two: gradients of all parameters."""
    optimiser_bytes: int | None = None
    """State of the optimiser."""
    activation_bytes: int | None = None
    """What the forward pass keeps for the backward pass, not counting weights and inputs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a metric reads. A metric sees the part that its `needs` names; the others are None."""

    num_classes: int
    """K."""
    input_shape: tuple[int, int, int]
    """Channels, height, width of the model's input."""
    device: str
    """Where the model ran: ``cpu``, ``cuda:0``."""
    precision: str
    """Precision that it computed in: ``float32``, ``bfloat16``, ``float16`` or ``tf32``."""
    architecture: Callable[[], nn.Module] | None = None
    """Builds the model afresh on the meta device, without memory or weights, in eval mode; None for a baseline."""
    predictions: Predictions | None = None
    """In a quality cell: the model's predictions for the images that it is judged on."""
    images: Split | None = None
    """These images, in the order of the predictions; present when a model is evaluated, but not when metrics are
    recomputed from stored predictions."""
    training: TrainingLog | None = None
    """In a quality cell whose recipe trains: what `fit` did."""
    timing: Timing | None = None
    """In a speed cell: raw times."""
    memory: MemoryUse | None = None
    """In a speed cell: memory."""
    sustained: Sustained | None = None
    """In a speed cell at the fixed batch or of training steps, if the suite asks for it: times of a long window."""
    startup: Startup | None = None
    """In a speed cell of inference at batch 1: from nothing to a first answer."""
    loading: Loading | None = None
    """In a quality cell: how fast images are loaded."""
    energy: EnergyUse | None = None
    """In a speed cell on a device with an energy counter: energy of forward passes."""
    agreement: Agreement | None = None
    """In a cell that does not compute in plain float32: how closely it agrees with plain float32."""
