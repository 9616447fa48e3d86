"""What vitbench and a plugin agree on whatever either's version is: arguments by name, and room for unknown fields.

A plugin's function gets those of the offered arguments that it names, and all of its options. So vitbench may offer
more one day, and a function that was written before keeps working. pluggy does the same with the arguments of hooks
(https://pluggy.readthedocs.io/en/stable/#opt-in-arguments).

A plugin says for which contract it was written, in its attribute ``vitbench_api``. A field or a hook that this vitbench
does not know is a mistake, with the nearest known name, unless the plugin was written for a later contract.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from vitbench.errors import did_you_mean

__all__ = ["API", "OFFERED", "Gathering", "call", "gathering", "tolerant"]

API = 1
"""Version of the contract that this vitbench keeps. It grows with a field or a hook, and never when only an argument
is offered more."""

OFFERED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "build": ("num_classes", "image_size", "in_channels"),
        "resolve": ("name",),
        "members": ("pattern",),
        "open": ("root", "split", "download"),
        "detect": ("root",),
        "fit": ("model", "data", "run"),
        "step": ("model", "run"),
        "measure": ("subject",),
    }
)
"""What each role's function is offered since contract 1. No option may have such a name; an argument that is offered
later gives way to an option of its name."""

Made = TypeVar("Made")


def call(function: Callable[..., Any], offered: Mapping[str, object], own: Mapping[str, object] | None = None) -> Any:
    """Call a plugin's function with those of the offered arguments that it names, and with all of its own.

    Args:
        function: of a plugin. What it collects in ``**keywords`` are its own arguments alone: what is offered grows.
        offered: by vitbench, by name.
        own: the plugin's options and fixed arguments; they go before what is offered.

    Raises:
        TypeError: it asks for an argument that is not offered.
    """
    own = own or {}
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, and silent about its arguments
        return function(**offered, **own)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {parameter.name for parameter in parameters if parameter.kind in by_name}
    for parameter in parameters:
        variadic = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if variadic or parameter.default is not parameter.empty or {parameter.name} <= {*offered, *own} & named:
            continue
        name, known = getattr(function, "__qualname__", repr(function)), ", ".join([*offered, *own])
        hint = did_you_mean(parameter.name, [*offered, *own])
        raise TypeError(f"{name} asks for {parameter.name!r}, which it is not given.{hint} It may name: {known}")
    return function(**{each: value for each, value in offered.items() if each in named and each not in own}, **own)


@dataclass(kw_only=True, slots=True)
class Gathering:
    """What goes wrong with single specs while a plugin gives them."""

    api: int
    """The contract that the plugin was written for."""
    faults: list[tuple[object, Exception]] = field(default_factory=list)
    """Specs that break a rule, and which."""
    remarks: list[str] = field(default_factory=list)
    """Fields that were left out, since a later vitbench alone knows them."""


_GATHERING: ContextVar[Gathering | None] = ContextVar("gathering", default=None)


@contextmanager
def gathering(api: int) -> Iterator[Gathering]:
    """Let a spec that breaks a rule be made, and note it: raised where it is made, it would end the plugin's generator.

    Args:
        api: the contract that the plugin was written for.
    """
    found = Gathering(api=api)
    token = _GATHERING.set(found)
    try:
        yield found
    finally:
        _GATHERING.reset(token)


def tolerant(cls: type[Made]) -> type[Made]:
    """Decorate a dataclass of this contract: an unknown field is told with its nearest name, or left out; see above."""
    known = [each.name for each in fields(cls)]  # type: ignore[arg-type]
    make = cls.__init__

    @functools.wraps(make)
    def __init__(self: Made, *args: Any, **given: Any) -> None:  # noqa: N807 - it takes the place of one
        now = _GATHERING.get()
        unknown = [name for name in given if name not in known]
        owner = " ".join(filter(None, (cls.__name__, str(given.get("name", "")))))
        try:
            if unknown and (now is None or now.api <= API):
                lacks = f"{owner}: there is no field {unknown[0]!r}."
                raise TypeError(f"{lacks}{did_you_mean(unknown[0], known)} There are: {', '.join(known)}")
            make(self, *args, **{name: value for name, value in given.items() if name in known})
            if now is not None:
                _refuse_faulty(now, given, owner)
        except Exception as error:
            if now is None:
                raise
            now.faults.append((self, error))
        else:
            if now is not None:
                now.remarks += [
                    f"{owner}: the field {name!r} needs contract {now.api}, and this vitbench keeps {API}; left out"
                    for name in unknown
                ]

    cls.__init__ = __init__  # type: ignore[method-assign, assignment]
    return cls


def _refuse_faulty(now: Gathering, given: Mapping[str, object], owner: str) -> None:
    """Raise ValueError where a part, such as an option, is one of the faulty."""
    for name, value in given.items():
        parts = [value, *(value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ())]
        for faulty, error in now.faults:
            if any(part is faulty for part in parts):
                raise ValueError(f"{owner}, {name}: {error}")
