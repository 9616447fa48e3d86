"""What a figure does with a subject: what it draws, and what it changes, asks for or reads that it must not.

Figures are drawn without a network, and each of them on a subject of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

import msgspec
import numpy as np
import torch
from torch import nn

from vitbench import contract
from vitbench.errors import Skip, UsageError, reason_of
from vitbench.figures import Figure, FigureSubject
from vitbench.records import Measurement
from vitbench.specs import FigurePart, OptionValue, load_target
from vitbench.testing.cases import FigureCase
from vitbench.testing.checks import CheckFailed, need, raised
from vitbench.testing.figure_subjects import KINDS, FigureScene, subject_of
from vitbench.testing.fitting import tensors_of
from vitbench.worker.runtime import changed_flags, runtime

__all__ = ["Look", "all_looks", "bits", "drawn_looks", "first_drawn", "look_at"]

Given = Figure | Measurement
KINDS_GIVEN = get_args(Given)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What came of one call of `draw`, and what it did beside."""

    where: str
    """The network in words."""
    given: tuple[Given, ...] = ()
    skipped: str | None = None
    """The reason, where it raised Skip."""
    fault: str = ""
    """What broke the contract while it drew."""
    model: str = ""
    """What it changed of the model."""
    inputs: str = ""
    """Which of the other parts it changed."""
    flags: tuple[str, ...] = ()
    """torch's flags that it changed."""
    asked: tuple[str, ...] = ()
    """What it asked of the network."""

    @property
    def figures(self) -> list[Figure]:
        """The pictures."""
        return [one for one in self.given if not isinstance(one, Measurement)]

    @property
    def measurements(self) -> list[Measurement]:
        """The others."""
        return [one for one in self.given if isinstance(one, Measurement)]


@functools.cache
def all_looks(case: FigureCase, *, seed: int = 0, others: int = 0, device: str = "cpu") -> tuple[Look, ...]:
    """Return what `draw` does with each kind of network, kept for the case's other checks."""
    return tuple(look_at(case, scene, seed=seed, others=others, device=device) for scene in KINDS)


def drawn_looks(case: FigureCase) -> list[Look]:
    """Return the looks with pictures; raise the figure's own Skip where it skips all networks."""
    looks = all_looks(case)
    drawn = [look for look in looks if look.skipped is None]
    if not drawn:
        raise Skip(looks[0].skipped or "")
    return drawn


def first_drawn(case: FigureCase) -> FigureScene:
    """Return the first network of which it draws pictures; raises as `drawn_looks`."""
    name = drawn_looks(case)[0].where
    return next(scene for scene in KINDS if scene.name == name)


def look_at(
    case: FigureCase,
    scene: FigureScene,
    options: Mapping[str, OptionValue] | None = None,
    *,
    seed: int = 0,
    others: int = 0,
    device: str = "cpu",
) -> Look:
    """Return what `draw` does with one kind of network.

    Args:
        case: the figure.
        scene: the network.
        options: in place of the figure's own. Values that it refuses by UsageError it skips.
        seed: of all generators.
        others, device: as in `subject_of`.

    Raises:
        Skip: what it requires is not installed.
        UnusableError: it cannot be imported.
    """
    need(case.spec.requires)
    load_target(case.spec.draw)  # what cannot be imported is no broken contract
    needs: tuple[FigurePart, ...] = case.spec.needs
    subject = subject_of(scene, needs, others=others, device=device)
    model, inputs = _ModelState(subject.model), _input_bytes(subject)
    given: tuple[Given, ...] = ()
    fault, skipped = "", None
    with (
        runtime(precision="float32", threads=torch.get_num_threads(), seed=seed, device=device) as flags,
        _offline() as asked,
    ):
        try:
            given = _draw(case, subject, {**case.spec.defaults, **(options or {})})
        except Skip as skip:
            skipped = str(skip)
        except CheckFailed as failure:
            fault = str(failure)
        except Exception as error:
            if options is not None and isinstance(error, UsageError):  # its values go with others
                skipped = str(error)
            elif file := _empty_file(case, error):
                skipped = f"its option {file} needs a file, which the kit does not have: {reason_of(error)}"
            else:
                fault = f"draw raised {raised(error)}; raise Skip if it does not apply"
        changed = changed_flags(flags)
    written = _input_bytes(subject)
    return Look(
        where=scene.name,
        given=given,
        skipped=skipped,
        fault=fault,
        model=model.changed(),
        inputs=next((part for part in inputs if written[part] != inputs[part]), ""),
        flags=changed,
        asked=tuple(asked),
    )


def _draw(case: FigureCase, subject: FigureSubject, options: Mapping[str, OptionValue]) -> tuple[Given, ...]:
    given = contract.call(load_target(case.spec.draw), {"subject": subject}, options)
    if isinstance(given, KINDS_GIVEN) or not isinstance(given, Iterable):
        raise CheckFailed(f"draw returned one {type(given).__name__}; yield it, or return a list of figures")
    several = tuple(given)
    others = [type(one).__name__ for one in several if not isinstance(one, KINDS_GIVEN)]
    if others:
        raise CheckFailed(
            f"draw returned {others[0]}; return vitbench.figures.Grid, Matrix or Points, or vitbench.Measurement"
        )
    return several


def _empty_file(case: FigureCase, error: Exception) -> str:
    """Return the option whose file is missing, where that may be why it raised."""
    files = [name for name, option in case.spec.declared.items() if option.kind == "file" and not option.default]
    return files[0] if files and isinstance(error, (UsageError, FileNotFoundError)) else ""


class _ModelState:
    """What a figure must leave of a model."""

    def __init__(self, model: nn.Module) -> None:
        """Note it."""
        self._model, self._before = model, self._now(model)

    def changed(self) -> str:
        """Return what is no longer as it was, in words; nothing where all is."""
        now = self._now(self._model)
        return next((what for what in {**self._before, **now} if not self._same(what, now)), "")

    def _same(self, what: str, now: Mapping[str, object]) -> bool:
        if what not in now or what not in self._before:
            return False
        before, after = self._before[what], now[what]
        return before is after or (type(before) is type(after) and isinstance(after, (bytes, int)) and before == after)

    @staticmethod
    def _now(model: nn.Module) -> dict[str, object]:
        """Return the state by what the report calls it: values that compare, and objects that must stay the same."""
        state: dict[str, object] = {}
        for name, tensor in tensors_of(model):
            state[f"the values of {name}"] = tensor.detach().cpu().numpy().tobytes()
            state[f"requires_grad of {name}"] = tensor.requires_grad
            state[f"the gradient of {name}"] = tensor.grad
            state[f"the hooks of {name}"] = len(tensor._backward_hooks or ())
        for name, module in model.named_modules():
            owner = f"module {name}" if name else "the whole"
            for key, value in vars(module).items():
                if "hooks" in key and value is not None:
                    state[f"the hooks of {owner}"] = state.get(f"the hooks of {owner}", 0) + len(value)  # type: ignore
                elif not key.startswith("_"):
                    state[f"{'the mode' if key == 'training' else key} of {owner}"] = value
        return state


def _input_bytes(subject: FigureSubject) -> dict[str, object]:
    """Return what else a figure reads, by name, as values that compare."""
    kept = {name: {key: tensor.cpu().numpy() for key, tensor in each.items()} for name, each in subject.kept.items()}
    parts = {"pictures": subject.pictures, "images": subject.images, "predictions": subject.predictions, "kept": kept}
    return {name: _plain(part) for name, part in parts.items()}


def bits(look: Look) -> object:
    """Return what it gave as a value that compares bit by bit."""
    return _plain((look.given, look.skipped))


def _plain(value: object) -> object:
    """Return data as values that compare bit by bit."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return tuple(_plain(getattr(value, each.name)) for each in dataclasses.fields(value))
    if isinstance(value, Measurement):
        return msgspec.json.encode(value)
    if isinstance(value, Mapping):
        return tuple((name, _plain(each)) for name, each in value.items())
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


@contextmanager
def _offline() -> Iterator[list[str]]:
    """Let nothing into the network, and yield a list that gets what was asked of it; sockets of Unix are no network."""
    asked: list[str] = []
    connect, find = socket.socket.connect, socket.getaddrinfo

    def refuse(own: socket.socket, address: Any) -> None:
        if own.family == getattr(socket, "AF_UNIX", None):
            return connect(own, address)
        asked.append(str(address[0]))
        raise OSError("figures are checked without a network")

    def find_nothing(host: Any, *others: Any, **more: Any) -> Any:
        asked.append(str(host))
        raise socket.gaierror("figures are checked without a network")

    socket.socket.connect, socket.getaddrinfo = refuse, find_nothing  # type: ignore[method-assign, assignment]
    try:
        yield asked
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, find  # type: ignore[method-assign]
