"""Which outputs of a head mean which class of some data, and a model whose outputs are put in the order of these.

Names are matched as they are written: of a class that goes by several, such as a WordNet id and words, any. A class map
says what names do not.

Shapes: B images in a batch, C channels, H height, W width, K classes of the data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError, did_you_mean

__all__ = ["BY_NAME", "GroupedOutputs", "Outputs", "match", "match_map"]

Outputs = tuple[tuple[int, ...], ...]
"""For each class of the data the outputs that mean it."""
BY_NAME, BY_NUMBER = "by name", "by number"
_REMEDY = (
    "map outputs to classes with vitbench score --class-map FILE, or name the outputs with :class_names=FILE, one "
    "line per output"
)


class GroupedOutputs(nn.Module):
    """A model whose outputs are chosen and put in another order; those of one class become one.

    The logit of a class that several outputs mean is the log of the sum of their exponentials, so that softmax gives it
    the sum of their probabilities.
    """

    def __init__(self, model: nn.Module, groups: Outputs) -> None:
        """Take a model, and the outputs that make each class."""
        super().__init__()
        self.model = model
        most = max(map(len, groups))
        padded = [[*outputs, *[outputs[0]] * (most - len(outputs))] for outputs in groups]
        absent = [[False] * len(outputs) + [True] * (most - len(outputs)) for outputs in groups]
        self.register_buffer("order", torch.tensor(padded), persistent=False)
        self.register_buffer("absent", torch.tensor(absent), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[B, K]`` of images ``[B, C, H, W]``."""
        logits, order = cast(Tensor, self.model(images)), cast(Tensor, self.order)
        if order.shape[1] == 1:
            return logits[:, order[:, 0]]
        chosen = logits.float()[:, order]
        return chosen.masked_fill(cast(Tensor, self.absent), -torch.inf).logsumexp(dim=2)


def match(data: Sequence[str], outputs: Sequence[Sequence[str]], count: int) -> tuple[Outputs, str]:
    """Return which output means which class of some data, and by what they were matched, in words.

    Args:
        data: the names of its classes.
        outputs: the names of each output's class; empty where nothing says them.
        count: how many outputs there are.

    Returns:
        No outputs where they are the data's classes in the same order, or where nothing names them and their number is
        the same.

    Raises:
        UnusableError: a class of the data has no output, or several, or two of them have the same; nothing names the
            outputs, and their number is not that of the data's classes.
    """
    if not any(outputs):
        if count != len(data):
            classes = f"{count:,} class{'' if count == 1 else 'es'} without a name"
            raise UnusableError(f"its head has {classes}, but the data has {len(data):,}; {_REMEDY}")
        return (), ""
    known = _by_name(outputs)
    missing = [name for name in data if name not in known]
    if len(missing) == len(data) and {*data} == {*map(str, range(count))}:
        found, how = [int(name) for name in data], BY_NUMBER
    elif missing:
        raise UnusableError(
            f"{_some(missing)} of the data's {len(data):,} classes {'is' if len(missing) == 1 else 'are'} not among "
            f"the {count:,} of its head ({_some(_usual(outputs))}).{_nearest(missing, known)} "
            f"{_REMEDY[0].upper()}{_REMEDY[1:]}"
        )
    else:
        found, how = [_only(name, known) for name in data], BY_NAME
    _check_distinct((name, output) for name, output in zip(data, found, strict=True))
    return (() if found == [*range(count)] else tuple((output,) for output in found)), how


def match_map(
    data: Sequence[str], outputs: Sequence[Sequence[str]], count: int, given: Mapping[str, Sequence[str | int]]
) -> Outputs:
    """Return which outputs mean which class of some data by a class map.

    Args:
        data: the names of its classes.
        outputs: the names of each output's class; empty where nothing says them.
        count: how many outputs there are.
        given: for each class of the data the outputs that mean it, each by a name or by its number, from 0; a number in
            text is one where no output has it for a name.

    Raises:
        UnusableError: a class of the data is not in the map, or the map names one that the data or the head do not
            have, or one of the head twice.
    """
    if unknown := [name for name in given if name not in data]:
        raise UnusableError(
            f"the data has no class {_some(unknown)}, which the class map names.{_nearest(unknown, data)}"
        )
    if missing := [name for name in data if not given.get(name)]:
        raise UnusableError(f"the class map has no entry for {_some(missing)} of the data's {len(data):,} classes")
    known = _by_name(outputs)
    found = tuple(tuple(_output(each, known, count) for each in given[name]) for name in data)
    _check_distinct((name, output) for name, some in zip(data, found, strict=True) for output in some)
    return () if found == tuple((output,) for output in range(count)) else found


def _output(given: str | int, known: Mapping[str, Sequence[int]], count: int) -> int:
    """Return the output that an entry of a class map means."""
    number = given if isinstance(given, int) else int(given) if given.isdecimal() and given.isascii() else None
    if isinstance(given, str) and given in known:
        output = _only(given, known)
        if number is not None and number != output and number < count:
            raise UnusableError(
                f"{given} in the class map is the name of the head's output {output} and the number of another; "
                "write the map as JSON, where names are quoted and numbers are not"
            )
        return output
    if number is None:
        hint = _nearest([str(given)], known) if known else " Its classes have no names: give their numbers, from 0"
        raise UnusableError(f"its head has no class {_some([str(given)])}, which the class map names.{hint}")
    if not 0 <= number < count:
        raise UnusableError(
            f"its head has no output {number}, which the class map names: its {count:,} outputs are 0 to {count - 1}"
        )
    return number


def _by_name(outputs: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Return the outputs that go by each name."""
    known = defaultdict[str, list[int]](list)
    for output, names in enumerate(outputs):
        for name in dict.fromkeys(names):
            known[name].append(output)
    return dict(known)


def _only(name: str, known: Mapping[str, Sequence[int]]) -> int:
    """Return the one output of a name."""
    if len(known[name]) > 1:
        several = " and ".join(map(str, known[name]))
        raise UnusableError(
            f'"{name}" is the name of the outputs {several} of its head; give a class map with their numbers'
        )
    return known[name][0]


def _check_distinct(pairs: Iterable[tuple[str, int]]) -> None:
    """Refuse an output that means two classes, or one class twice."""
    meant: dict[int, str] = {}
    for name, output in pairs:
        if output in meant:
            both = f"the class {name} twice" if meant[output] == name else f"the classes {meant[output]} and {name}"
            raise UnusableError(f"output {output} of its head is mapped to {both}; an output can mean only one class")
        meant[output] = name


def _usual(outputs: Sequence[Sequence[str]]) -> list[str]:
    return [names[0] for names in outputs if names]


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(f'"{name}"' for name in names[:most]) + (
        f" and {len(names) - most:,} more" if len(names) > most else ""
    )


def _nearest(missing: Sequence[str], known: Iterable[str]) -> str:
    """Return what the first of some names may have meant, if any did."""
    names = [*known]
    return next(filter(None, (did_you_mean(name, names) for name in missing[:3])), "")
