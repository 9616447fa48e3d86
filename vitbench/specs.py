"""What plugins offer: one frozen, keyword-only type for each kind of thing. Standard library only.

A callable field is an import string ``"package.module:function"``, so that listing a plugin imports
nothing heavy; tests may pass the function itself. Such a function gets the offered arguments that it names
(`vitbench.contract`).
"""

from __future__ import annotations

import importlib
import keyword
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from vitbench.contract import OFFERED, Declared, is_torn, tolerant
from vitbench.errors import UnusableError
from vitbench.settings import RESERVED

__all__ = [
    "INPUT_OPTIONS",
    "WEIGHTS_OPTIONS",
    "At",
    "Columns",
    "DatasetSpec",
    "ExporterSpec",
    "FigureSpec",
    "MeasurementSpec",
    "MetricSpec",
    "ModelSpec",
    "Option",
    "OptionValue",
    "Part",
    "Preprocess",
    "RecipeSpec",
    "Scalar",
    "SplitName",
    "SuiteSpec",
    "load_target",
    "sources_of",
    "unstorable",
]

Scalar = bool | int | float | str
"""A single value of an option."""
OptionValue = Scalar | None | tuple[Scalar, ...]
"""What an option may be set to; the items of a tuple are of one type."""
Target = str | Callable[..., Any]
Augmentation = Literal["crop", "flip"]
CropMode = Literal["center", "squash", "border"]
"""How an image of another shape comes into a model's input: its centre, all of it out of shape, or all of it in shape
with a border around it."""
SplitName = Literal["train", "val", "test"]
"""A part of a dataset: for training, for choosing, for scoring."""
Part = Literal[
    "architecture",
    "predictions",
    "images",
    "training",
    "timing",
    "sustained",
    "memory",
    "startup",
    "loading",
    "energy",
    "agreement",
]
"""The parts of a subject that a metric may read."""
FigurePart = Literal["predictions", "kept"]
"""What a figure may need beside weights and images."""
At = Literal["quality", "batch_1", "fixed_batch", "training", "largest_batch"]
"""The cells that a metric may be taken at: the evaluation of a trained model; its inference on single images, at the
fixed batch that a table compares at, and at the largest that fits; its training steps."""
Columns = Literal["main", "wide", "all"]
"""Where a measurement has a column: in every table; only where there is room (Markdown, the page); only where all
measurements are (JSON, CSV, data frames, the page's list of all)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_MODEL_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*\*?|\*)\Z")
_RECIPE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


def sources_of(spec: object) -> set[str]:
    """Return the top-level modules that a spec's import strings name, or that functions in their place come from."""
    modules = []
    for role in OFFERED:
        target = getattr(spec, role, None)
        code = getattr(target, "func", target)  # of a functools.partial
        modules.append(code.partition(":")[0] if isinstance(code, str) else getattr(code, "__module__", ""))
    return {module.partition(".")[0] for module in modules if module}


def load_target(target: Target) -> Callable[..., Any]:
    """Return the function that a spec's import string names.

    Raises:
        UnusableError: the module or the function does not exist, it is not a function, or the module fails to import.
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
    if not callable(found):
        raise UnusableError(f"{target} is not a function but of type {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def unstorable(item: object) -> str:
    """Return why a value cannot be stored, worded to follow its owner's name; empty: it can."""
    if isinstance(item, int) and not -(2**63) <= item < 2**63:
        return f"is too large: {hex(item)[:20]}..." if abs(item) >= 10**100 else f"is too large: {item}"
    if isinstance(item, float) and not math.isfinite(item):
        return f"must be a finite number, not {item}"
    if isinstance(item, str) and is_torn(item):
        return f"must be text that UTF-8 can encode, not {item!a}"
    return ""


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


def _is_count(value: object) -> bool:
    """Whether a value is a positive whole number."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _freeze_words(owner: str, role: str, words: object) -> tuple[str, ...]:
    """Return several texts as a tuple; one alone would be taken letter by letter."""
    if not isinstance(words, (tuple, list)) or not all(isinstance(word, str) for word in words):
        raise ValueError(f'{owner}: {role} must be a tuple of strings, such as ("one",) with its comma, not {words!r}')
    return tuple(words)


def _freeze_mapping(owner: str, role: str, given: object) -> Mapping[str, Any]:
    """Return a copy that nobody changes."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{owner}: {role} must be a dict, not {given!r}")
    return MappingProxyType(dict(given))


def _freeze_options(
    owner: str, options: Mapping[str, OptionValue | Option], *roles: str
) -> Mapping[str, OptionValue | Option]:
    """Return options by name, bare defaults as `Option`; `roles` are the functions whose arguments they become."""
    found: dict[str, OptionValue | Option] = {}
    for name, value in _freeze_mapping(owner, "options", options).items():
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{owner}: option {name!r} must be a Python identifier")
        if taken := [role for role in roles if name in OFFERED[role]]:
            raise ValueError(f"{owner}: option {name} has the name of an argument of {taken[0]}; rename it")
        try:
            found[name] = option = value if isinstance(value, Option) else Option(value)
        except ValueError as error:
            raise ValueError(f"{owner}: option {name} {error}") from error
        if option.kind == "model" and roles:
            raise ValueError(f"{owner}: option {name} is of kind model, which only a recipe can build")
    return MappingProxyType(found)


def _freeze_recipe_options(owner: str, given: object) -> Mapping[str, Mapping[str, OptionValue]]:
    """Return a model's own defaults for recipes; whether a recipe takes them is seen where it is known."""
    found: dict[str, Mapping[str, OptionValue]] = {}
    for recipe, options in _freeze_mapping(owner, "recipe_options", given).items():
        if not isinstance(recipe, str) or not _RECIPE_NAME.match(recipe):
            raise ValueError(f'{owner}: recipe_options must name recipes, "name" or "plugin/name", not {recipe!r}')
        role = f"recipe_options of {recipe}"
        values: dict[str, OptionValue] = {}
        for name, value in _freeze_mapping(owner, role, options).items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(f"{owner}: {role}: {name!r} must be the name of an option")
            items = value if isinstance(value, (tuple, list)) else () if value is None else (value,)
            if not all(isinstance(item, (bool, int, float, str)) for item in items):
                raise ValueError(
                    f"{owner}: {role}: {name} must be a bool, int, float, str, None or a tuple of these, not {value!r}"
                )
            values[name] = tuple(value) if isinstance(value, list) else value
        found[recipe] = MappingProxyType(values)
    return MappingProxyType(found)


@tolerant
@dataclass(frozen=True, slots=True)
class Option(Declared):
    """The default, type and limits of an option. A bare default in its place stands for ``Option(default)``."""

    default: OptionValue
    """Its type is the option's: a bool, int, float or str, a tuple of one of these, or None (see `type`)."""
    _: KW_ONLY
    help: str = ""
    """One line for ``vitbench ls --options NAME``."""
    kind: Literal["value", "file", "model"] = "value"
    """``file``: the path of a file, whose SHA-256 belongs to the key of the cells, or empty for none. ``model``, for a
    recipe: the name of another model, with its options, which `FitRun.build` makes; its code and its files are part of
    the key as well. Both are strings.
    """
    type: Literal["", "bool", "int", "float", "str"] = ""
    """Type of the value, or of the items of a tuple, if the default is None or empty. Empty: the default's type."""
    choices: tuple[Scalar, ...] = ()
    """The values, or items of a tuple, that are accepted; empty: any."""
    minimum: float | None = None
    """The smallest number that is accepted."""
    maximum: float | None = None
    """The largest number that is accepted."""

    def __post_init__(self) -> None:
        default, items = self.default, self.items
        if not all(isinstance(item, (bool, int, float, str)) for item in items):
            raise ValueError(f"must default to a bool, int, float, str, None or a tuple of one kind, not {default!r}")
        if self.type not in ("", "bool", "int", "float", "str"):
            raise ValueError(f"has the type {self.type!r}; it must be bool, int, float or str")
        if not items and not self.type:
            raise ValueError(f'needs a type, such as type="int", since its default is {default!r}')
        if any(type(item).__name__ != self.value_type for item in items):
            raise ValueError(f"must default to {self.value_type}, not {default!r}")
        if self.kind not in ("value", "file", "model"):
            raise ValueError(f"has the kind {self.kind!r}; it must be value, file or model")
        if self.kind != "value" and not isinstance(default, str):
            raise ValueError(f"of kind {self.kind} must default to text, not {default!r}")
        if not isinstance(self.help, str) or "\n" in self.help:
            raise ValueError(f"must have a help of one line of text, not {self.help!r}")
        self._check_bounds()
        if fault := self.fault(default):
            raise ValueError(f"has a default that it refuses: {fault}")

    def _check_bounds(self) -> None:
        """Check that what may be taken is of the option's type, and that there is something."""
        if not isinstance(self.choices, (tuple, list)):
            raise ValueError(f'has choices that are not a tuple, such as ("one",) with its comma: {self.choices!r}')
        wanted = ("int", "float") if self.value_type == "float" else (self.value_type,)
        if any(type(choice).__name__ not in wanted for choice in self.choices):
            raise ValueError(f"has choices that are not all {self.value_type}: {', '.join(map(repr, self.choices))}")
        object.__setattr__(self, "choices", tuple(self.choices))
        for role, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is None:
                continue
            if self.value_type not in ("int", "float"):
                raise ValueError(f"has a {role}, which only numbers have, and is {self.value_type}")
            if isinstance(bound, bool) or not isinstance(bound, (int, float)) or math.isnan(bound):
                raise ValueError(f"has a {role} that is not a number: {bound!r}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"has a minimum above its maximum: {self.minimum:g} and {self.maximum:g}")

    @property
    def several(self) -> bool:
        """Whether its value is a tuple."""
        return isinstance(self.default, tuple)

    @property
    def optional(self) -> bool:
        """Whether its value may be None."""
        return self.default is None

    @property
    def items(self) -> tuple[Scalar, ...]:
        """The default's items; the default itself if it is one value; none if it is None."""
        if isinstance(self.default, tuple):
            return self.default
        return () if self.default is None else (self.default,)

    @property
    def value_type(self) -> str:
        """Name of the type of its value, or of the items of a tuple: bool, int, float or str."""
        return self.type or type(self.items[0]).__name__

    def fault(self, value: OptionValue) -> str:
        """Return what is wrong with a value of the right type, worded to follow its owner's name; empty: nothing."""
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            if fault := unstorable(item):
                return fault
            if self.choices and item not in self.choices:
                return f"must be one of {', '.join(map(str, self.choices))}, not {item}"
            if isinstance(item, (int, float)):
                if self.minimum is not None and item < self.minimum:
                    return f"must be at least {self.minimum:g}, not {item}"
                if self.maximum is not None and item > self.maximum:
                    return f"must be at most {self.maximum:g}, not {item}"
        return ""


INPUT_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "image_size": Option(
            None, type="str", help="Size of its input in pixels: the side of a square, or height x width as in 96x160"
        ),
        "crop_mode": Option(
            None, type="str", choices=get_args(CropMode), help="How images of other shapes are fitted to the input"
        ),
    }
)
"""What a user can set for the input of any model: its size, if the model takes other sizes, and how images of other
shapes are fitted to it. `build` gets the size as its `image_size`.
"""
WEIGHTS_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "mean": Option((), type="float", help="Mean of each channel of the weights' images, scaled to 0..1"),
        "std": Option((), type="float", help="Their standard deviations"),
        "interpolation": Option(None, type="str", choices=("bilinear", "bicubic"), help="Filter used to resize them"),
        "crop_fraction": Option(
            None,
            type="float",
            minimum=0.01,
            maximum=2,
            help="Ratio of the side of the input to that of the resized image",
        ),
        "channels": Option(None, type="int", minimum=1, help="Channels of their input"),
        "class_names": Option("", kind="file", help="A text file: the name of each output's class, one per line"),
    }
)
"""What a user can state about a model's weights, for any model that takes a ``checkpoint`` and has no option of that
name. `build` does not get them.
"""


DATASET_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "train_images": Option(
            None,
            type="int",
            minimum=2,
            help="Training images to use, validation among them, chosen class by class; none: all",
        ),
        "lineage": Option(
            None,
            type="str",
            help="Which edition of the dataset the files are, such as TFDS, if they do not say",
        ),
    }
)
"""What a user can ask of any dataset that has no option of its own of that name. `open` does not get them."""


def _declared(options: Mapping[str, OptionValue | Option]) -> Mapping[str, Option]:
    return cast(Mapping[str, Option], options)


def _defaults(options: Mapping[str, OptionValue | Option]) -> dict[str, OptionValue]:
    return {name: option.default for name, option in _declared(options).items()}


class WithOptions(Declared):
    """Base of what has options."""

    __slots__ = ()
    options: Mapping[str, OptionValue | Option]

    @property
    def declared(self) -> Mapping[str, Option]:
        """The options, each as an `Option`."""
        return _declared(self.options)

    @property
    def defaults(self) -> dict[str, OptionValue]:
        """The default of each option."""
        return _defaults(self.options)


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess(Declared):
    """How uint8 images become a model's input: resize, centre crop, scale to 0..1, normalise."""

    mean: tuple[float, ...]
    """Mean per channel, of images scaled to 0..1; one serves all channels, three serve gray images as their luminance.
    Data with any other number of channels is normalised by the statistics of the training split."""
    std: tuple[float, ...]
    """Standard deviation per channel."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """The filter for resizing, with antialiasing."""
    crop_fraction: float = 1.0
    """The input's side divided by that to which images are resized before the centre crop; above 1, images are smaller
    than the input and get a margin. It has no effect if `image_size` follows the data.
    """
    crop_mode: CropMode = "center"
    """``center`` resizes an image until it covers, ``squash`` each side by itself, ``border`` until all of it
    fits, with a border around it."""
    fill: tuple[float, ...] = ()
    """Colour of the border, per channel, scaled to 0..1; empty: the mean."""

    def __post_init__(self) -> None:
        if not all(isinstance(values, (tuple, list)) for values in (self.mean, self.std, self.fill)):
            raise ValueError("preprocess: mean, std and fill must be tuples, such as (0.5,) with its comma")
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError("preprocess: mean and std need one value per channel, for one channel or more")
        if min(self.std) <= 0:
            raise ValueError("preprocess: std must be positive")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"preprocess: interpolation must be bilinear or bicubic, not {self.interpolation!r}")
        if not 0 < self.crop_fraction <= 2:
            raise ValueError("preprocess: crop_fraction must be above 0 and at most 2")
        if self.crop_mode not in get_args(CropMode):
            raise ValueError(f"preprocess: crop_mode must be center, squash or border, not {self.crop_mode!r}")


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec(WithOptions):
    """A model, or an open family of models."""

    name: str
    """Short name, unique in the plugin. One that ends in ``*``, such as ``mixer-*``, is an open family, whose members
    `resolve` completes; if several match, the longest wins.
    """
    build: Target
    """``build(*, num_classes, image_size, in_channels, **arguments, **options) -> nn.Module``, which maps float
    images ``[B, C, H, W]`` to logits ``[B, K]``; image_size is ``(H, W)``. It may set ``facts: dict[str, str]`` on the
    module for the record."""
    summary: str
    """One line for ``vitbench ls models``."""
    source: str = ""
    """The paper or the code that the model follows."""
    image_size: int | tuple[int, int] | None = None
    """Height and width of the input in pixels, or the side of a square one; None follows the data."""
    any_size: bool = False
    """Whether `build` also takes sizes other than `image_size`, which users can then choose:
    ``zoo/net:image_size=160``. A model that follows the data takes any. build` raises UsageError for a size that it
    cannot take.
    """
    in_channels: int | None = None
    """Input channels. Gray images are repeated if a model needs more channels, and colour becomes luminance if it needs
    one; other data does not fit. None follows the data, except that gray images are repeated to the channels that
    `preprocess` has values for.
    """
    preprocess: Preprocess | None = None
    """Input normalisation; None takes the statistics of the training split."""
    checkpoint_preprocess: Preprocess | None = None
    """That of checkpoints which do not state theirs, for a model that is normalised by the training split when it
    starts from random weights.
    """
    recipe: str = ""
    """The recipe to use if a suite names none, a full name or one of the same plugin; empty: vitbench's default for new
    or for pretrained models.
    """
    recipe_options: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    """Its own defaults for the options of recipes, by the recipe's name, written as in `recipe`:
    ``{"supervised": {"lr": 0.1}}``. A suite overrides them, and ``--set`` overrides that. Those of a recipe that is not
    installed are ignored.
    """
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name: bare defaults, whose types they keep, or `Option`. ``checkpoint`` is a file."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that `build` always gets and users cannot set."""
    pretrained_on: str = ""
    """The data its weights were trained on; empty when it starts from random weights."""
    licence: str = ""
    """Licence of these weights, by SPDX identifier if it has one: ``Apache-2.0``."""
    downloads: bool = False
    """Its weights come from the Hugging Face hub, unless option ``pretrained`` is false or ``checkpoint`` is given."""
    revision: Target | None = None
    """``revision(*, online: bool, **arguments, **options) -> str`` returns which weights from the hub `build` would
    use: the hash of their file or commit, which goes into the key of a cell. If `online` is false, it must not use the
    network. Empty: not known, since nothing has been downloaded yet.
    """
    class_names: Target | None = None
    """``class_names(**arguments, **options) -> Iterable[str | Iterable[str]]`` names the classes of the head of its
    trained weights, in the order of the outputs: several names for a class that has several, such as a WordNet id and
    words, and none for a class that has none. It is called if a recipe trains nothing and neither the model's name nor
    the checkpoint names the classes. None: nothing is known.
    """
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("timm",)``."""
    tags: tuple[str, ...] = ()
    """Free words; ``baseline`` marks a model that gets no speed cells and is shown as a baseline."""
    resolve: Target | None = None
    """For a family: ``resolve(name) -> ModelSpec``; raises LookupError with a message for an unknown name."""
    members: Target | None = None
    """For a family: ``members(pattern) -> Iterable[str]`` returns the names that match a pattern such as ``vit*``, for
    ``vitbench ls models 'timm/vit*'``; None: its members are not listed."""

    def __post_init__(self) -> None:
        _check_name("model", self.name, _MODEL_NAME)
        owner = f"model {self.name}"
        _check_target(owner, "build", self.build)
        _check_summary(owner, self.summary)
        if self.is_family != (self.resolve is not None):
            raise ValueError(f"{owner}: a family's name ends in '*', and it has a resolve; another model has neither")
        if self.members is not None and not self.is_family:
            raise ValueError(f"{owner}: only a family has members")
        if self.revision is not None and not self.downloads:
            raise ValueError(f"{owner}: revision is of weights from the hub, and downloads is false")
        for role in ("revision", "class_names", "resolve", "members"):
            if getattr(self, role) is not None:
                _check_target(owner, role, getattr(self, role))
        size = self.image_size
        if size is not None:
            sides = (size, size) if isinstance(size, int) else size
            if not isinstance(sides, (tuple, list)) or len(sides) != 2 or not all(map(_is_count, sides)):
                raise ValueError(
                    f"{owner}: image_size must be positive, a side or (height, width), or None, not {size!r}"
                )
            object.__setattr__(self, "image_size", tuple(sides))
        if self.in_channels is not None and not _is_count(self.in_channels):
            raise ValueError(f"{owner}: in_channels must be a positive whole number or None, not {self.in_channels!r}")
        mean, channels = getattr(self.preprocess, "mean", None), self.in_channels
        values = len(mean) if isinstance(mean, tuple) else 1  # it has none where it is faulty, which is told by itself
        if channels is not None and values not in (1, channels) and (values, channels) != (3, 1):
            raise ValueError(f"{owner}: preprocess has values for {values} channels, and in_channels is {channels}")
        if self.preprocess is not None and not isinstance(self.preprocess, Preprocess):
            raise ValueError(f"{owner}: preprocess must be a vitbench.Preprocess or None, not {self.preprocess!r}")
        other = self.checkpoint_preprocess
        if other is not None and not isinstance(other, Preprocess):
            raise ValueError(f"{owner}: checkpoint_preprocess must be a vitbench.Preprocess or None, not {other!r}")
        options = dict(_freeze_mapping(owner, "options", self.options))
        if isinstance(options.get("checkpoint"), str):
            options["checkpoint"] = Option(str(options["checkpoint"]), kind="file", help="Weights to start from")
        object.__setattr__(self, "options", _freeze_options(owner, options, "build", "revision"))
        object.__setattr__(self, "recipe_options", _freeze_recipe_options(owner, self.recipe_options))
        object.__setattr__(self, "arguments", _freeze_mapping(owner, "arguments", self.arguments))
        for name in self.arguments:
            offered = [role for role in ("build", "revision") if name in OFFERED[role]]
            if name in options or offered:
                whose = "is an option, too" if name in options else f"{offered[0]} is offered"
                raise ValueError(f"{owner}: arguments hold {name}, which {whose}")
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        object.__setattr__(self, "tags", _freeze_words(owner, "tags", self.tags))

    @property
    def is_family(self) -> bool:
        """Whether it stands for all models whose names begin like its own."""
        return self.name.endswith("*")

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width of the input in pixels; None follows the data."""
        return cast("tuple[int, int] | None", self.image_size)

    @property
    def takes_sizes(self) -> bool:
        """Whether a user may choose the size of its input."""
        return self.image_size is None or self.any_size

    @property
    def stated(self) -> Mapping[str, Option]:
        """What a user can set for its input and its weights, in addition to its options."""
        known = {**INPUT_OPTIONS, **(WEIGHTS_OPTIONS if "checkpoint" in self.options else {})}
        if not self.takes_sizes:
            del known["image_size"]
        return {name: option for name, option in known.items() if name not in self.options}

    def build_arguments(self, options: Mapping[str, OptionValue]) -> dict[str, Any]:
        """Return the keyword arguments that `build` gets in addition to what it is offered, given complete options."""
        others = {*self.stated, *INPUT_OPTIONS} - {*self.options}
        return {**self.arguments, **{name: value for name, value in options.items() if name not in others}}

    @property
    def is_baseline(self) -> bool:
        """Whether it is a row to beat rather than a candidate."""
        return "baseline" in self.tags


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec(WithOptions):
    """A dataset with a train and a test split, and possibly others, or a layout that any folder of images can have."""

    name: str
    """Short name, unique in the plugin."""
    open: Target
    """``open(*, root: Path | None, split: "train" | "test", download: bool, **options) -> ImageSet | None``; root is
    None where `needs_root` is false. Raises `FileNotFoundError` if there is nothing at root, ValueError with one
    sentence (and the path) if what is there cannot be used. Returns None if these files have no such split. It may also
    take ``classes: int | None``: the number of classes of the dataset that is asked for by name, or None if any number
    is accepted.
    """
    summary: str
    """One line for ``vitbench ls datasets``."""
    classes: int | None = None
    """Number of classes; None: known when opened."""
    shape: tuple[int, int, int] | None = None
    """Channels, height, width; None: known when opened, or mixed."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of images in each split, if fixed."""
    splits: tuple[SplitName, ...] = ("train", "test")
    """The splits that `open` is asked for; if "val" is among them, no validation split is taken from train."""
    downloads: bool = False
    """Whether `open` can download it into root."""
    needs_root: bool = True
    """Whether it reads files at root; false for data that ships with a package."""
    detect: Target | None = None
    """For a layout: ``detect(root: Path) -> bool`` returns whether a folder has it."""
    augmentations: tuple[Augmentation, ...] = ("crop", "flip")
    """Changes to an image that preserve its label."""
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name, such as the fold or the severity of a corruption: ``--dataset mine/shades:fold=2``."""
    target: Literal["single_label"] = "single_label"
    """What the labels mean: one class per image."""
    licence: str = ""
    """Licence or terms of the images."""
    source: str = ""
    """Where the data comes from."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("pyarrow",)``."""
    lineage: str = ""
    """Which files its images and splits come from, where there are several makings of one dataset whose scores differ,
    such as ``TFDS``; what the images that `open` gives say of it takes precedence. Rows of two are never ranked
    together."""
    published: tuple[str, ...] = ()
    """The `content` that a record of the published images has in its `data`; several where their classes go by several
    names. Whatever files hold these pixels under these classes are the published dataset; others are *unverified*."""

    def __post_init__(self) -> None:
        _check_name("dataset", self.name)
        owner = f"dataset {self.name}"
        _check_target(owner, "open", self.open)
        _check_summary(owner, self.summary)
        if self.detect is not None:
            _check_target(owner, "detect", self.detect)
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        object.__setattr__(self, "published", _freeze_words(owner, "published", self.published))
        object.__setattr__(self, "augmentations", _freeze_words(owner, "augmentations", self.augmentations))
        if not set(self.augmentations) <= {"crop", "flip"}:
            raise ValueError(f"{owner}: augmentations may hold 'crop' and 'flip', not {self.augmentations!r}")
        object.__setattr__(self, "sizes", _freeze_mapping(owner, "sizes", self.sizes))
        object.__setattr__(self, "splits", _freeze_words(owner, "splits", self.splits))
        if not self.splits or not set(self.splits) <= {"train", "val", "test"}:
            raise ValueError(f"{owner}: splits may hold 'train', 'val' and 'test', not {self.splits!r}")
        object.__setattr__(self, "options", _freeze_options(owner, self.options, "open"))
        if self.target != "single_label":
            raise ValueError(f"{owner}: target must be single_label, not {self.target!r}; others are not measured yet")

    @property
    def stated(self) -> Mapping[str, Option]:
        """What a user can set for any dataset, in addition to its options."""
        return {name: option for name, option in DATASET_OPTIONS.items() if name not in self.options}

    @property
    def is_layout(self) -> bool:
        """Whether it opens any folder that has its layout, rather than one dataset."""
        return self.detect is not None


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeSpec(WithOptions):
    """How a built model becomes the model that is evaluated."""

    name: str
    """Short name, unique in the plugin."""
    fit: Target
    """``fit(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module``, the module to evaluate."""
    summary: str
    """One line for ``vitbench ls recipes``."""
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name: bare defaults, whose types they keep, or `Option`."""
    step: Target | None = None
    """``step(model: nn.Module, run: FitRun) -> TrainStep``: the step that `fit` takes, including the optimiser; the
    training speed of its models is measured with it. The model is ready to be called: on its device, compiled if the
    run says so (the second that `vitbench.training.on_device` returns). None: training speed is measured with a step of
    fused AdamW, and tables say so.
    """
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("peft",)``."""
    model_options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Defaults of a model under this recipe, if it has options of these names."""
    trains: bool = True
    """Whether `fit` changes weights; if not, they are not stored again."""
    chooses: bool | Mapping[str, OptionValue] = True
    """Whether `fit` chooses anything by the validation images, such as the best epoch: always, never, or if one of its
    options has the value given here, as in ``{"keep": "best"}``. Scores on images used for choosing are too high, and
    ``--split val`` marks them. By default a recipe is assumed to choose.
    """

    def __post_init__(self) -> None:
        _check_name("recipe", self.name)
        owner = f"recipe {self.name}"
        _check_target(owner, "fit", self.fit)
        _check_summary(owner, self.summary)
        if self.step is not None:
            _check_target(owner, "step", self.step)
        object.__setattr__(self, "options", _freeze_options(owner, self.options))
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        wanted = _freeze_options(owner, self.model_options, "build")
        object.__setattr__(self, "model_options", MappingProxyType(_defaults(wanted)))
        if not isinstance(self.chooses, bool):
            object.__setattr__(self, "chooses", _freeze_mapping(owner, "chooses", self.chooses))
            for name, value in self.chooses.items():
                if name not in self.options:
                    raise ValueError(f"{owner}: chooses names {name}, which is none of its options")
                if fault := self.declared[name].fault(value):
                    raise ValueError(f"{owner}: chooses: {name} {fault}")

    def chooses_under(self, options: Mapping[str, OptionValue]) -> str:
        """Return what makes `fit` choose by the validation images under some options, as text; empty: nothing does."""
        if isinstance(self.chooses, bool):
            return "as it always does" if self.chooses else ""
        return ", ".join(f"{name}={value}" for name, value in self.chooses.items() if options.get(name) == value)


_OF_EVALUATION = frozenset({"predictions", "images", "training", "loading"})
_OF_MACHINE = frozenset({"training", "timing", "sustained", "memory", "startup", "loading", "energy"})
_ANYWHERE: tuple[At, ...] = ("fixed_batch", "batch_1", "training", "quality")


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class MeasurementSpec(Declared):
    """One of several measurements of a metric. Fields that are None are taken from the metric."""

    name: str
    """The measurement's name, unique among all metrics: tables, JSON and CSV identify it by name only. It must not
    begin with ``largest_batch``.
    """
    unit: str | None = None
    """Unit of the value."""
    better: Literal["higher", "lower", "neither"] | None = None
    """Which direction is better."""
    title: str | None = None
    """Header of its column; None: its name."""
    shown_unit: str | None = None
    """The unit shown to users."""
    scale: float | None = None
    """What its value is multiplied by for `shown_unit`."""
    columns: Columns | None = None
    """In which tables it has a column."""
    order: int | None = None
    """Its position among the columns, smallest first."""

    def __post_init__(self) -> None:
        _check_measurement(f"measurement {self.name}", self.name)
        _check_shown(f"measurement {self.name}", self)


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec(WithOptions):
    """One or more measurements, computed from parts of a cell."""

    name: str
    """Short name, unique in the plugin."""
    measure: Target
    """``measure(subject: Subject, **options) -> Iterable``, of `Measurement`, `ImageScores`, `ConfusionScore` or
    `SampleScore`; may raise `Skip` with a reason."""
    unit: str
    """Unit of the value: ``fraction``, ``nat``, ``s``, ``B``, ``images/s``, ``1``."""
    better: Literal["higher", "lower", "neither"]
    """Which direction is better."""
    needs: Part | tuple[Part, ...]
    """The parts of the subject that it reads, all of which the cell must have."""
    summary: str
    """One line for ``vitbench ls metrics``."""
    measurements: tuple[str | MeasurementSpec, ...] = ()
    """Its measurements, if there are several; empty: one measurement, with the metric's name."""
    at: At | tuple[At, ...] = ()
    """The cells at which it is measured. Of several cells, a row takes the first that has it. Empty: where the parts
    are: of ``architecture`` alone any cell, of ``startup`` single images, of other parts of a speed cell the fixed
    batch.
    """
    exact: bool = False
    """Whether it is known exactly, like a number of parameters."""
    machine_bound: bool | None = None
    """Whether it holds only for the machine that measured it; None: if one of the parts is a time, memory or energy."""
    title: str | None = None
    """Header of its column; None: its name."""
    shown_unit: str | None = None
    """The unit shown to users; None: ``%`` for a fraction, else `unit`."""
    scale: float | None = None
    """What its value is multiplied by for `shown_unit`; None: 100 for a fraction, else 1."""
    columns: Columns = "main"
    """In which tables it has a column."""
    order: int = 1000
    """Its position among the columns, smallest first; those of vitbench's own metrics are below 1000."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable; without one it has no value. A metric that needs only predictions and training
    is computed once the module is there, others when their cells run again.
    """
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name, such as a level, set by ``[metrics.NAME]`` of a suite or by ``--set NAME.OPTION=VALUE``. They
    are in the name of each value, ``time:level=0.9``, and in the title of its column, which must have all of them in
    braces (``"time to {level:g}"``): values of two settings never share a column."""

    def __post_init__(self) -> None:
        _check_name("metric", self.name)
        owner = f"metric {self.name}"
        _check_target(owner, "measure", self.measure)
        _check_summary(owner, self.summary)
        if self.better not in ("higher", "lower", "neither"):
            raise ValueError(f"{owner}: better must be higher, lower or neither, not {self.better!r}")
        for role, kinds in (("needs", Part), ("at", At)):
            given = getattr(self, role)
            several = _freeze_words(owner, role, (given,) if isinstance(given, str) else given)
            if wrong := [each for each in several if each not in get_args(kinds)]:
                raise ValueError(f"{owner}: {role} must be one of {', '.join(get_args(kinds))}, not {wrong[0]!r}")
            object.__setattr__(self, role, several)
        if not self.needs:
            raise ValueError(f"{owner}: needs must name a part")
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        _check_shown(owner, self)
        if not isinstance(self.measurements, (tuple, list)):
            raise ValueError(f'{owner}: measurements must be a tuple, such as ("one",), not {self.measurements!r}')
        if not self.measurements:
            _check_measurement(owner, self.name)
        given = tuple(MeasurementSpec(name=m) if isinstance(m, str) else m for m in self.measurements)
        if not all(isinstance(each, MeasurementSpec) for each in given):
            raise ValueError(f"{owner}: measurements must contain names or MeasurementSpec, not {self.measurements!r}")
        if len({each.name for each in given}) < len(given):
            raise ValueError(f"{owner}: measurements must contain each name once")
        object.__setattr__(self, "measurements", given)
        object.__setattr__(self, "options", _freeze_options(owner, self.options, "measure"))
        self._check_titles(owner)

    def _check_titles(self, owner: str) -> None:
        """Check that the head of each column tells the options, which nobody could compare over otherwise."""
        for name, option in self.declared.items():
            if option.kind != "value":
                raise ValueError(f"{owner}: option {name} must be a value, not of kind {option.kind}")
            for each in self.gives:
                title = (each.title if self.measurements else self.title) or ""
                try:
                    title.format(**self.defaults)
                except (KeyError, IndexError, ValueError) as error:
                    raise ValueError(f"{owner}: title {title!r} cannot be formatted: {error!r}") from error
                if not re.search(rf"\{{{name}[:}}!]", title):
                    raise ValueError(
                        f'{owner}: title must mention the option {name}, such as "to {{{name}}}", not {title!r}'
                    )

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that it reads."""
        return cast("tuple[Part, ...]", self.needs)

    @property
    def gives(self) -> tuple[MeasurementSpec, ...]:
        """Its measurements; a single one has the metric's name."""
        return cast("tuple[MeasurementSpec, ...]", self.measurements) or (MeasurementSpec(name=self.name),)

    @property
    def taken_at(self) -> tuple[At, ...]:
        """The cells at which it is measured, in order of preference."""
        parts = set(self.parts)
        if self.at:
            return cast("tuple[At, ...]", self.at)
        if parts == {"architecture"}:
            return _ANYWHERE
        if parts & _OF_EVALUATION:
            return ("quality",)
        if "startup" in parts:
            return ("batch_1",)
        return ("quality", "fixed_batch") if parts <= {"agreement", "architecture"} else ("fixed_batch",)

    @property
    def holds_for_machine(self) -> bool:
        """Whether it holds only for the machine that measured it."""
        return bool(_OF_MACHINE & set(self.parts)) if self.machine_bound is None else self.machine_bound


def _check_measurement(owner: str, name: str) -> None:
    """Check the name of a measurement."""
    _check_name("measurement", name)
    if name in RESERVED:
        raise ValueError(f"{owner}: {name} is the name of a column that every table has; choose another name")


def _check_shown(owner: str, spec: MetricSpec | MeasurementSpec) -> None:
    """Check how it is shown."""
    if spec.better is not None and spec.better not in ("higher", "lower", "neither"):
        raise ValueError(f"{owner}: better must be higher, lower or neither, not {spec.better!r}")
    if spec.columns is not None and spec.columns not in get_args(Columns):
        raise ValueError(f"{owner}: columns must be {', '.join(get_args(Columns))}, not {spec.columns!r}")
    if spec.scale is not None and not (isinstance(spec.scale, (int, float)) and 0 < spec.scale < math.inf):
        raise ValueError(f"{owner}: scale must be a positive number, not {spec.scale!r}")
    for role in ("title", "shown_unit", "unit"):
        text = getattr(spec, role)
        if text is not None and (not isinstance(text, str) or "\n" in text):
            raise ValueError(f"{owner}: {role} must be one line of text, not {text!r}")


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSpec(WithOptions):
    """A look into a trained model: pictures, and optionally measurements of how far to trust them."""

    name: str
    """Short name, unique in the plugin."""
    draw: Target
    """``draw(subject: vitbench.figures.FigureSubject, **options) -> Iterable``, of `vitbench.figures.Figure`, which
    the core draws, and of `Measurement`, which go into the record; may raise `Skip` with a reason."""
    summary: str
    """One line for ``vitbench ls figures``."""
    needs: tuple[FigurePart, ...] = ()
    """What it requires: ``predictions``, or ``kept`` tensors of the recipe. Weights and test images are always
    available.
    """
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name. ``layer``, ``head`` and ``target`` (a class) are those that ``vitbench explain`` sets."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("torchcam",)``."""

    def __post_init__(self) -> None:
        _check_name("figure", self.name)
        owner = f"figure {self.name}"
        _check_target(owner, "draw", self.draw)
        _check_summary(owner, self.summary)
        object.__setattr__(self, "needs", _freeze_words(owner, "needs", self.needs))
        if wrong := [each for each in self.needs if each not in get_args(FigurePart)]:
            raise ValueError(f"{owner}: needs must be among {', '.join(get_args(FigurePart))}, not {wrong[0]!r}")
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        object.__setattr__(self, "options", _freeze_options(owner, self.options, "draw"))


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class ExporterSpec(WithOptions):
    """A format that `vitbench export` writes, for another tool to read."""

    name: str
    """Short name, unique in the plugin."""
    write: Target
    """``write(results: vitbench.exporting.ExportedResults, output: pathlib.Path, **options)``: writes files to the
    existing folder `output`, and nowhere else. It may return notes for the user, one line each: what it left out, or
    how to open the files. UsageError and UnusableError end the command with their sentence.
    """
    summary: str
    """One line for ``vitbench ls exporters``."""
    options: Mapping[str, OptionValue | Option] = field(default_factory=dict)
    """Options by name."""
    requires: tuple[str, ...] = ()
    """Modules that must be importable, such as ``("mlflow",)``."""
    install: str = ""
    """The command that installs them, for the message if one is missing, such as ``pip install mlflow``."""

    def __post_init__(self) -> None:
        _check_name("exporter", self.name)
        owner = f"exporter {self.name}"
        _check_target(owner, "write", self.write)
        _check_summary(owner, self.summary)
        object.__setattr__(self, "requires", _freeze_words(owner, "requires", self.requires))
        if not isinstance(self.install, str) or "\n" in self.install:
            raise ValueError(f"{owner}: install must be one line of text, not {self.install!r}")
        object.__setattr__(self, "options", _freeze_options(owner, self.options, "write"))


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteSpec(Declared):
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
