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
"""What each role's function is offered since contract 1: this never grows. No option may have such a name; an argument
that is offered later gives way to an option of its name."""

Made = TypeVar("Made")


def call(
    function: Callable[..., Any],
    offered: Mapping[str, object],
    own: Mapping[str, object] | None = None,
    *,
    later: Mapping[str, object] | None = None,
) -> Any:
    """Call a plugin's function with those of the offered arguments that it names, and with all of its own.

    What it collects in ``**keywords`` is what it was offered from the first and its own arguments, and never grows. A
    decorated function names what the function inside does, where the decorator passes keywords on. What a
    ``functools.partial`` has set is not offered.

    Args:
        function: of a plugin.
        offered: by vitbench since contract 1, by name.
        own: the plugin's options and fixed arguments; they go before what is offered.
        later: what vitbench offers since a later version, by name; nothing so far.

    Raises:
        TypeError: it asks for an argument that is not offered, or has no place for one of its own.
    """
    own, later = own or {}, later or {}
    outer = _parameters(function, wrapped=False)
    collects = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in outer)
    named = {parameter.name for parameter in outer if parameter.kind not in _VARIADIC}
    if lost := [name for name in own if name not in named and not collects]:
        raise TypeError(f"{_name_of(function)} does not take {lost[0]!r}, which its spec declares")
    if collects:  # a wrapper without ** takes what it names itself; one with it, what the function inside takes
        inner = _parameters(function, wrapped=True)
        named |= {parameter.name for parameter in inner if parameter.kind in _BY_NAME}
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in inner):
            named |= {*offered}
    wanted = named - _set_by_partial(function)
    given = {**{name: value for name, value in {**offered, **later}.items() if name in wanted}, **own}
    positional: list[object] = []
    for parameter in outer:
        if parameter.name not in given and parameter.default is parameter.empty and parameter.kind not in _VARIADIC:
            asks = f"{_name_of(function)} asks for {parameter.name!r}, which it is not given."
            known = [*offered, *later, *own]
            raise TypeError(f"{asks}{did_you_mean(parameter.name, known)} It may name: {', '.join(known)}")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(given.pop(parameter.name, parameter.default))
    return function(*positional, **given)


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _parameters(function: Callable[..., Any], *, wrapped: bool) -> list[inspect.Parameter]:
    """Return the parameters of a function; `wrapped`: of the one that it says it wraps, as functools.wraps does."""
    try:
        return list(inspect.signature(function, follow_wrapped=wrapped).parameters.values())
    except ValueError as error:  # written in C
        raise TypeError(
            f"{_name_of(function)} does not say which arguments it takes; wrap it in a Python function"
        ) from error


def _set_by_partial(function: object) -> set[str]:
    return set(function.keywords) if isinstance(function, functools.partial) else set()


def _name_of(function: object) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__qualname__", type(inner).__name__)


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
