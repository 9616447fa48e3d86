"""What belongs to a model's weights and its input, wherever it is said: in the model's name, a file, or its spec.

It decides how images are made and which output is which class. Where weights are scored, none of it is taken from the
data at hand.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vitbench import contract
from vitbench.catalog.options import parse_size
from vitbench.data.geometry import channels_fit
from vitbench.errors import UnusableError, UsageError, reason_of
from vitbench.files import read_file
from vitbench.protocols import Split
from vitbench.records import KeyedCell
from vitbench.specs import CropMode, ModelSpec, OptionValue, Preprocess, load_target
from vitbench.training import statistics
from vitbench.training.card import Card, read_card

__all__ = [
    "BY_FILE",
    "BY_NAME",
    "BY_SPEC",
    "ClassNamesError",
    "Weights",
    "names_of_spec",
    "preprocess_of",
    "weights_of",
]

_MOST_BYTES = 64 * 2**20
"""Of a file of class names."""
PLAIN = Preprocess(mean=(0.0,), std=(1.0,))
"""Of weights that are scored and of which nothing is known: their images are scaled to 0..1."""
BY_NAME, BY_FILE, BY_SPEC = "the model's name", "the checkpoint", "the model's spec"
UNKNOWN = "nothing that says it"
NOT_TOLD = "not stated by the checkpoint"
"""What a checkpoint was trained on that says nothing of it."""


class ClassNamesError(UnusableError):
    """A spec's `class_names` fails, or gives something else than names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """What is known of a model's weights."""

    spec: ModelSpec
    """The model's, with the size of its input, and with the preprocessing and the channels of its weights; no
    preprocessing where the training split gives it."""
    crop_mode: CropMode = "center"
    """How images of another shape come into its input."""
    outputs: tuple[tuple[str, ...], ...] = ()
    """The names of the class of each output of their head, the usual one first; empty where nothing says them."""
    names_source: str = ""
    """What says them."""
    source: str = ""
    """Where the normalisation comes from; empty: from the training split."""
    pretrained_on: str = ""
    """The data that they were trained on, in words; empty: random weights."""
    pretrained_fingerprint: str = ""
    """Of these data, where a checkpoint says it."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The usual name of each output's class."""
        return tuple(names[0] if names else "" for names in self.outputs)


def weights_of(spec: ModelSpec, options: Mapping[str, OptionValue], *, trains: bool) -> Weights:
    """Return what is known of the weights of a model with these options.

    Args:
        spec: of the model.
        options: complete, and those of `vitbench.specs.INPUT_OPTIONS` and `WEIGHTS_OPTIONS` that were given.
        trains: whether they are trained further; else they are scored as they are.

    Raises:
        UsageError: what the name says does not go together.
        UnusableError: the checkpoint, or the file of class names, cannot be read, or says what cannot be used.
    """
    given = {name: value for name, value in options.items() if name in spec.stated}
    path = options.get("checkpoint")
    card = read_card(str(path)) if path else Card()
    own = spec.preprocess or (spec.checkpoint_preprocess if path else None)
    mean, std = (cast(tuple[float, ...], given.get(name) or ()) for name in ("mean", "std"))
    if bool(mean) != bool(std):
        raise UsageError(f"model {spec.name}: mean and std are given together, one value for each channel.")
    if mean:
        source = BY_NAME
    elif card.mean:
        mean, std, source = card.mean, card.std, BY_FILE
    elif own is not None:
        mean, std, source = own.mean, own.std, BY_SPEC
    elif trains:
        if any(given.get(name) for name in ("interpolation", "crop_fraction")):
            raise UsageError(f"model {spec.name}: give mean and std together with how its images are resized.")
        mean, std, source = (), (), ""
    else:
        mean, std, source = PLAIN.mean, PLAIN.std, UNKNOWN
    fallback = own or PLAIN
    how: dict[str, Any] = {
        name: given.get(name) or getattr(card, name) or getattr(fallback, name)
        for name in ("interpolation", "crop_fraction", "crop_mode", "fill")
    }
    try:
        changed = dataclasses.replace(
            spec,
            preprocess=Preprocess(mean=tuple(mean), std=tuple(std), **how) if mean else None,
            image_size=parse_size(given.get("image_size")) or _own_size(spec, card, trains=trains),
            any_size=spec.takes_sizes,
            in_channels=cast("int | None", given.get("channels")) or spec.in_channels or card.in_channels,
        )
    except ValueError as error:
        told = UsageError if source == BY_NAME or given else UnusableError
        raise told(f"what is stated about the weights of model {spec.name} is inconsistent: {error}") from error
    stated = given.get("class_names")
    named = _read_names(str(stated)) if stated else card.class_names
    outputs: tuple[tuple[str, ...], ...] = tuple((name,) for name in named)
    names_source = (BY_NAME if stated else BY_FILE) if named else ""
    if not (named or trains or spec.class_names is None):
        outputs, names_source = names_of_spec(spec, options), BY_SPEC
    pretrained = bool(options.get("pretrained", True))
    trained_on = str(card.trained.get("dataset") or NOT_TOLD) if path else spec.pretrained_on if pretrained else ""
    return Weights(
        spec=changed,
        crop_mode=how["crop_mode"],
        outputs=tuple(tuple(unicodedata.normalize("NFC", name) for name in names) for names in outputs),
        names_source=names_source,
        source=source,
        pretrained_on=trained_on,
        pretrained_fingerprint=str(card.trained.get("data_fingerprint") or ""),
    )


def preprocess_of(weights: Weights, planned: KeyedCell, train: Split | None) -> Preprocess:
    """Return the weights' preprocessing; where it lacks values for the channels, with those of the training split.

    Args:
        weights: of the model.
        planned: says the channels of its input.
        train: the training split; None where weights are scored: what is at hand does not normalise their input, and
            what says no normalisation leaves 0..1 as it is.
    """
    own = weights.spec.preprocess
    if own is not None and channels_fit(len(own.mean), planned.in_channels):
        return own
    found = statistics(train) if train is not None else PLAIN
    if own is None:  # a border is black in the cache, which was made before the split's mean was known
        return dataclasses.replace(found, crop_mode=weights.crop_mode, fill=(0.0,) * (weights.crop_mode == "border"))
    return dataclasses.replace(own, mean=found.mean, std=found.std, fill=own.fill or own.mean)


def _own_size(spec: ModelSpec, card: Card, *, trains: bool) -> tuple[int, int] | None:
    """Return the size of a model's input where its name says none: that of weights that are scored, else the spec's."""
    of_weights = None if trains else card.image_size
    return (of_weights or spec.input_size) if spec.takes_sizes else spec.input_size


def _read_names(path: str) -> tuple[str, ...]:
    try:
        text = read_file(Path(path), most=_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnusableError(f"the class names {path} cannot be read as text: {reason}") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(set(names)) < len(names):
        raise UnusableError(f"the class names {path} contain a name twice; give one line per output")
    return names


def names_of_spec(spec: ModelSpec, options: Mapping[str, OptionValue]) -> tuple[tuple[str, ...], ...]:
    """Return what a model's spec, which has a `class_names`, calls the classes of its weights.

    Raises:
        ClassNamesError: its function fails, or gives something else than names.
    """
    assert spec.class_names is not None
    try:
        found = contract.call(load_target(spec.class_names), {}, spec.build_arguments(options))
        outputs = tuple((names,) if isinstance(names, str) else tuple(names) for names in found)
        if not all(isinstance(name, str) for names in outputs for name in names):
            raise TypeError("it returns something other than text")
    except Exception as error:
        raise ClassNamesError(f"its class_names cannot be used: {reason_of(error)}") from error
    return outputs
