"""What plugins offer: one frozen, keyword-only type for each kind of thing. Standard library only.

A callable field holds an import string ``"package.module:function"``, so that listing a plugin imports
nothing heavy; tests may give the function itself.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from vitbench.errors import UnusableError

__all__ = [
    "DatasetSpec",
    "MetricSpec",
    "ModelSpec",
    "OptionValue",
    "Preprocess",
    "RecipeSpec",
    "SuiteSpec",
    "load_target",
    "sources_of",
]

OptionValue = bool | int | float | str
Target = str | Callable[..., Any]
Augmentation = Literal["crop", "flip"]
Part = Literal[
    "architecture", "predictions", "training", "timing", "memory", "startup", "loading", "energy", "agreement"
]
"""The parts of a subject that a metric may read."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_MODEL_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*|\*)\Z")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


def sources_of(spec: object) -> set[str]:
    """Return the top-level modules that a spec's import strings name, or that functions in their place come from."""
    modules = []
    for role in ("build", "resolve", "open", "detect", "fit", "measure"):
        target = getattr(spec, role, None)
        code = getattr(target, "func", target)  # of a functools.partial
        modules.append(code.partition(":")[0] if isinstance(code, str) else getattr(code, "__module__", ""))
    return {module.partition(".")[0] for module in modules if module}


def load_target(target: Target) -> Callable[..., Any]:
    """Return the function that a spec's import string names.

    Raises:
        UnusableError: the module or the function does not exist, or the module fails to import.
    """
    if not isinstance(target, str):
        return target
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise UnusableError(f"cannot import {target}: {type(error).__name__}: {error}") from error
    return found  # type: ignore[no-any-return]


def _check_name(owner: str, name: object, pattern: re.Pattern[str] = _NAME) -> None:
    if not isinstance(name, str) or not pattern.match(name):
        raise ValueError(
            f"{owner} name {name!r} must be letters, digits, '.', '_' or '-', starting with one of the first two"
        )


def _check_target(owner: str, role: str, target: object) -> None:
    if callable(target) or (isinstance(target, str) and _TARGET.match(target)):
        return
    raise ValueError(f'{owner}: {role} must be an import string "module:function" or a function, not {target!r}')


def _check_summary(owner: str, summary: object) -> None:
    if not isinstance(summary, str) or not summary.strip() or "\n" in summary:
        raise ValueError(f"{owner}: summary must be one line of text")


def _freeze_words(owner: str, role: str, words: object) -> tuple[str, ...]:
    """Return several texts as a tuple; one alone would be taken letter by letter."""
    if not isinstance(words, (tuple, list)) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'{owner}: {role} must be a tuple of texts, such as ("one",) with its comma, not {words!r}')
    return tuple(words)


def _freeze_options(owner: str, options: Mapping[str, OptionValue]) -> Mapping[str, OptionValue]:
    for name, value in options.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"{owner}: option {name!r} must be a Python identifier")
        if not isinstance(value, (bool, int, float, str)):
            raise ValueError(f"{owner}: option {name} must default to a bool, int, float or str, not {value!r}")
    return MappingProxyType(dict(options))


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """How uint8 images become a model's input: resize, centre crop, scale to 0..1, normalise."""

    mean: tuple[float, ...]
    """Mean per channel, of images scaled to 0..1."""
    std: tuple[float, ...]
    """Standard deviation per channel."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """The filter for resizing, with antialiasing."""
    crop_fraction: float = 1.0
    """The share of the resized shorter side that the centre crop keeps, where images are larger than the input."""

    def __post_init__(self) -> None:
        if not all(isinstance(values, (tuple, list)) for values in (self.mean, self.std)):
            raise ValueError("preprocess: mean and std must be tuples, such as (0.5,) with its comma")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError("preprocess: mean and std need one value per channel, for one or three channels")
        if min(self.std) <= 0:
            raise ValueError("preprocess: std must be positive")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"preprocess: interpolation must be bilinear or bicubic, not {self.interpolation!r}")
        if not 0 < self.crop_fraction <= 1:
            raise ValueError("preprocess: crop_fraction must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model, or an open family of models."""

    name: str
    """Short name, unique in the plugin; ``*`` for an open family that `resolve` completes."""
    build: Target
    """``build(*, num_classes, image_size, in_channels, **arguments, **options) -> nn.Module``, which maps float
    images ``[B, C, H, W]`` to logits ``[B, K]``. It may set ``facts: dict[str, str]`` on the module for the record."""
    summary: str
    """One line for ``vitbench ls models``."""
    source: str = ""
    """The paper or the code that the model follows."""
    image_size: int | None = None
    """Side of the square input in pixels; None follows the data."""
    in_channels: int | None = None
    """Input channels; None follows the data. Gray data are repeated where a model asks for three."""
    preprocess: Preprocess | None = None
    """Input normalisation; None takes the statistics of the training split."""
    recipe: str = ""
    """The recipe it takes where a suite names none, full or of the same plugin; empty: ``recipes/supervised``, or
    ``recipes/finetune`` when pretrained."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options with their defaults, whose types they keep. ``checkpoint`` is a path; its SHA-256 is recorded."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that `build` always gets and that no user sets."""
    pretrained_on: str = ""
    """The data its weights were trained on; empty when it starts from random weights."""
    downloads: bool = False
    """Its weights come from the Hugging Face hub, unless option ``pretrained`` is false or ``checkpoint`` is given."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("timm",)``."""
    tags: tuple[str, ...] = ()
    """Free words; ``baseline`` marks a model that gets no speed cells and is shown as a baseline."""
    resolve: Target | None = None
    """For a family: ``resolve(name) -> ModelSpec``; raises LookupError with a sentence for a name it does not know."""

    def __post_init__(self) -> None:
        _check_name("model", self.name, _MODEL_NAME)
        owner = f"model {self.name}"
        _check_target(owner, "build", self.build)
        _check_summary(owner, self.summary)
        if (self.name == "*") != (self.resolve is not None):
            raise ValueError(f"{owner}: a family is named '*' and has a resolve function; another model has neither")
        if self.resolve is not None:
            _check_target(owner, "resolve", self.resolve)
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"{owner}: image_size must be positive or None, not {self.image_size!r}")
        if self.in_channels not in (None, 1, 3):
            raise ValueError(f"{owner}: in_channels must be None, 1 or 3, not {self.in_channels!r}")
        object.__setattr__(self, "options", _freeze_options(owner, self.options))
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        object.__setattr__(self, "tags", _freeze_words(owner, "tags", self.tags))

    @property
    def is_baseline(self) -> bool:
        """Whether it is a row to beat rather than a candidate."""
        return "baseline" in self.tags

    @property
    def default_recipe(self) -> str:
        """The recipe it takes where nothing names one."""
        return self.recipe or ("recipes/finetune" if self.pretrained_on else "recipes/supervised")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """A dataset with a train and a test split, or a layout that any folder of images can have."""

    name: str
    """Short name, unique in the plugin."""
    open: Target
    """``open(*, root: Path | None, split: "train" | "test", download: bool) -> ImageSet``; root is None where
    `needs_root` is false. Raises `FileNotFoundError` when
    nothing is at root, ValueError with one sentence (and the path) when what is there cannot be used."""
    summary: str
    """One line for ``vitbench ls datasets``."""
    classes: int | None = None
    """Number of classes; None: known when opened."""
    shape: tuple[int, int, int] | None = None
    """Channels, height, width; None: known when opened, or mixed."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Images in each split, where fixed."""
    downloads: bool = False
    """Whether `open` can download it into root."""
    needs_root: bool = True
    """Whether it reads files at root; false for data that ship with a package."""
    detect: Target | None = None
    """For a layout: ``detect(root: Path) -> bool`` says whether a folder has it."""
    augmentations: tuple[Augmentation, ...] = ("crop", "flip")
    """The changes of an image that keep its label."""
    licence: str = ""
    """Licence or terms of the images."""
    source: str = ""
    """Where the data come from."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("pyarrow",)``."""

    def __post_init__(self) -> None:
        _check_name("dataset", self.name)
        owner = f"dataset {self.name}"
        _check_target(owner, "open", self.open)
        _check_summary(owner, self.summary)
        if self.detect is not None:
            _check_target(owner, "detect", self.detect)
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        object.__setattr__(self, "augmentations", _freeze_words(owner, "augmentations", self.augmentations))
        if not set(self.augmentations) <= {"crop", "flip"}:
            raise ValueError(f"{owner}: augmentations may hold 'crop' and 'flip', not {self.augmentations!r}")
        object.__setattr__(self, "sizes", MappingProxyType(dict(self.sizes)))

    @property
    def is_layout(self) -> bool:
        """Whether it opens any folder in its layout, and is no dataset by itself."""
        return self.detect is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSpec:
    """A way to get from a built model to the model that is evaluated."""

    name: str
    """Short name, unique in the plugin."""
    fit: Target
    """``fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module``, the module to evaluate."""
    summary: str
    """One line for ``vitbench ls recipes``."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options with their defaults, whose types they keep."""
    model_options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Defaults that a model has under this recipe, where it offers options of these names."""
    trains: bool = True
    """Whether `fit` changes weights; where it does not, they are not stored again."""

    def __post_init__(self) -> None:
        _check_name("recipe", self.name)
        owner = f"recipe {self.name}"
        _check_target(owner, "fit", self.fit)
        _check_summary(owner, self.summary)
        object.__setattr__(self, "options", _freeze_options(owner, self.options))
        object.__setattr__(self, "model_options", _freeze_options(owner, self.model_options))


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """A figure that is made of one part of a cell."""

    name: str
    """Short name, unique in the plugin."""
    measure: Target
    """``measure(subject: Subject) -> Iterable[Measurement]``; may raise `Skip` with a reason."""
    unit: str
    """Unit of the value: ``fraction``, ``nat``, ``s``, ``B``, ``images/s``, ``1``."""
    better: Literal["higher", "lower", "neither"]
    """Which direction is better."""
    needs: Part
    """The part of the subject that it reads."""
    summary: str
    """One line for ``vitbench ls metrics``."""
    figures: tuple[str, ...] = ()
    """Names of its measurements, where there are several; empty: one, of the metric's name."""

    def __post_init__(self) -> None:
        _check_name("metric", self.name)
        owner = f"metric {self.name}"
        _check_target(owner, "measure", self.measure)
        _check_summary(owner, self.summary)
        if self.better not in ("higher", "lower", "neither"):
            raise ValueError(f"{owner}: better must be higher, lower or neither, not {self.better!r}")
        if self.needs not in get_args(Part):
            raise ValueError(f"{owner}: needs must be one of {', '.join(get_args(Part))}, not {self.needs!r}")
        object.__setattr__(self, "figures", _freeze_words(owner, "figures", self.figures))


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteSpec:
    """A suite that a plugin ships."""

    name: str
    """Short name, unique in the plugin; equal to the ``name`` in the file."""
    path: str
    """Absolute path of the TOML file."""
    summary: str
    """One line for ``vitbench ls suites``."""

    def __post_init__(self) -> None:
        _check_name("suite", self.name)
        _check_summary(f"suite {self.name}", self.summary)
