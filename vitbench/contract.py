"""What vitbench and a plugin agree on regardless of their versions: arguments by name, and room for unknown fields.

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
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, TypeVar, cast

from vitbench.errors import did_you_mean

__all__ = [
    "API",
    "OFFERED",
    "Declared",
    "ImageSize",
    "Judgement",
    "call",
    "gathering",
    "is_torn",
    "judge",
    "parts_of",
    "tolerant",
]

API = 1
"""Version of the contract that this vitbench implements. It grows when a field or a hook is added, but not when only
another argument is offered.
"""

OFFERED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "build": ("num_classes", "image_size", "in_channels"),
        "revision": ("online",),
        "class_names": (),
        "resolve": ("name",),
        "members": ("pattern",),
        "open": ("root", "split", "download"),
        "detect": ("root",),
        "fit": ("model", "data", "run"),
        "step": ("model", "run"),
        "measure": ("subject",),
        "draw": ("subject",),
        "write": ("results", "output"),
    }
)
"""What each role's function is offered since contract 1: this never grows. No option may have such a name; an argument
that is offered later gives way to an option of its name."""

Made = TypeVar("Made")


class ImageSize(tuple[int, int]):
    """Height and width of an image; a square also computes as its side: ``image_size // 16``, ``image_size**2``.

    Most networks know squares alone; one that computes with the side of a rectangle gets a sentence, and no number.
    """

    @property
    def side(self) -> int:
        """The side of a square.

        Raises:
            ValueError: it is a rectangle.
        """
        height, width = self
        if height != width:
            raise ValueError(f"the input is {height}x{width}, not a square: use image_size[0] and image_size[1]")
        return height

    def __pow__(self, power: int) -> int:
        """Return a power of the side."""
        return int(self.side**power)

    def __floordiv__(self, number: int) -> int:
        """Return how often a number goes into the side."""
        return self.side // number

    def __mod__(self, number: int) -> int:
        """Return what is left of the side then."""
        return self.side % number

    def __int__(self) -> int:
        """Return the side."""
        return self.side


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
        own: the plugin's options and fixed arguments; they take precedence over what is offered.
        later: what vitbench offers since a later version, by name.

    Raises:
        TypeError: it takes an argument that is not offered, or does not take one of its own.
    """
    declares = own is not None
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
    if isinstance(size := given.get("image_size"), tuple):
        given["image_size"] = ImageSize(size)
    positional: list[object] = []
    for parameter in outer:
        if parameter.name not in given and parameter.default is parameter.empty and parameter.kind not in _VARIADIC:
            asks = f"{_name_of(function)} takes {parameter.name!r}, which it is not given."
            known = [*offered, *later, *own]
            remedy = "; declare its own arguments in the spec's `options`, or a model's `arguments`" if declares else ""
            raise TypeError(f"{asks}{did_you_mean(parameter.name, known)} It may take: {', '.join(known)}{remedy}")
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
            f"{_name_of(function)} has no signature that Python can read; wrap it in a Python function"
        ) from error


def _set_by_partial(function: object) -> set[str]:
    return set(function.keywords) if isinstance(function, functools.partial) else set()


def _name_of(function: object) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    return getattr(inner, "__qualname__", type(inner).__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trouble:
    """What is wrong with a spec, found when it was made."""

    unknown: tuple[str, ...] = ()
    """Fields that this vitbench does not know."""
    lacking: tuple[str, ...] = ()
    """Required fields that were not given."""
    error: Exception | None = None
    """The rule that it breaks."""


_NO_TROUBLE = _Trouble()


class Declared:
    """Base of the types that plugins make: one that was made in `gathering` keeps what is wrong with it."""

    __slots__ = ("_trouble",)


_GATHERED: ContextVar[list[Declared] | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[list[Declared]]:
    """Let a spec that breaks a rule be made: raised where it is made, the error would end the plugin's generator.

    Yields a list that gets all specs with whom something is wrong; `judge` says what.
    """
    gathered: list[Declared] = []
    token = _GATHERED.set(gathered)
    try:
        yield gathered
    finally:
        _GATHERED.reset(token)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """Whether a spec may be used."""

    fault: Exception | None = None
    """Why not; None: it may."""
    remarks: tuple[str, ...] = ()
    """Its fields that were left out, each with the contract that it needs."""


def judge(spec: Declared, api: int) -> Judgement:
    """Judge a spec and its parts, such as its options.

    Args:
        spec: that a plugin made.
        api: the contract that the plugin was written for. Unknown fields are left out where it is a later one.
    """
    faults, remarks = _judged(spec, _owner(type(spec), getattr(spec, "name", "")), api)
    return Judgement(fault=faults[0] if faults else None, remarks=tuple(remarks))


_SCALARS = frozenset({bool, int, float, str})


def parts_of(spec: Declared) -> Iterator[tuple[str, Declared]]:
    """Give the specs within a spec, an option with its name."""
    for each in fields(spec):  # type: ignore[arg-type]
        value = getattr(spec, each.name, None)
        if value is None or type(value) in _SCALARS:  # as most are: the slow questions below need not be asked
            continue
        if isinstance(value, Mapping):
            yield from ((str(name), part) for name, part in value.items() if isinstance(part, Declared))
        else:
            several = value if isinstance(value, (tuple, list)) else (value,)
            yield from (("", part) for part in several if isinstance(part, Declared))


def _judged(spec: Declared, owner: str, api: int) -> tuple[list[Exception], list[str]]:
    """Return the faults, those of the parts first, since they cause others, and the remarks."""
    faults, remarks = list[Exception](), list[str]()
    for name, part in parts_of(spec):
        inner = _owner(type(part), name or getattr(part, "name", ""))
        some, more = _judged(part, f"{owner}: {inner}", api)
        faults += some
        remarks += more
    trouble: _Trouble = getattr(spec, "_trouble", _NO_TROUBLE)
    known = [each.name for each in fields(spec)]  # type: ignore[arg-type]
    if trouble.unknown and api <= API:
        faults.append(_unknown(owner, trouble.unknown, known))
    elif trouble.unknown:
        remarks += [
            f"{owner}: the field {name!r} needs contract {api}, but this vitbench implements {API}; it is ignored"
            for name in trouble.unknown
        ]
    if trouble.lacking:
        faults.append(_lacking(owner, trouble.lacking))
    if trouble.error is not None:
        outer, _, inner = owner.rpartition(": ")
        # An option does not know its name; other parts begin with theirs.
        whose = f"{owner} " if inner.startswith("option ") else f"{outer}: " if outer else ""
        kind = ValueError if isinstance(trouble.error, ValueError) else TypeError
        faults.append(kind(f"{whose}{trouble.error}").with_traceback(trouble.error.__traceback__))
    return faults, remarks


def _owner(cls: type, name: object) -> str:
    """Return what a spec is called in messages: ``model net``, ``option depth``."""
    return f"{cls.__name__.removesuffix('Spec').lower()} {name}".strip()


def _unknown(owner: str, names: tuple[str, ...], known: list[str]) -> TypeError:
    hint = did_you_mean(names[0], known)
    return TypeError(f"{owner} has no field {names[0]!r}.{hint} There are: {', '.join(known)}")


def _lacking(owner: str, names: tuple[str, ...]) -> TypeError:
    return TypeError(f"{owner} lacks {' and '.join(names)}")


def is_torn(text: str) -> bool:
    """Whether a text holds a lone surrogate, half of a character: it can be neither stored nor printed."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_texts(owner: str, made: object, names: list[str]) -> None:
    """Raise ValueError where a field of a spec holds a text that cannot be stored."""
    for name in names:
        value = getattr(made, name, None)
        parts = [*value, *value.values()] if isinstance(value, Mapping) else value
        for part in parts if isinstance(parts, (tuple, list)) else (parts,):
            if isinstance(part, str) and is_torn(part):
                raise ValueError(f"{owner}: {name} must be text that UTF-8 can encode, not {part!a}")


def tolerant(cls: type[Made]) -> type[Made]:
    """Decorate a dataclass of this contract, whose base is `Declared`: a mistake is told in words, or kept to be told.

    An instance that is made outside `gathering` raises TypeError for unknown and lacking fields, and whatever its
    rules raise.
    """
    every = fields(cls)  # type: ignore[arg-type]
    known = [each.name for each in every]
    required = [each.name for each in every if each.default is MISSING and each.default_factory is MISSING]
    make = cls.__init__

    @functools.wraps(make)
    def __init__(self: Made, *args: Any, **given: Any) -> None:  # noqa: N807 - it takes the place of one
        gathered = _GATHERED.get()
        taken = {**dict(zip(known, args, strict=False)), **given}
        unknown = tuple(name for name in given if name not in known)
        lacking = tuple(name for name in required if name not in taken)
        owner = _owner(cls, taken.get("name", ""))
        error: Exception | None = None
        if gathered is None and unknown:
            raise _unknown(owner, unknown, known)
        if gathered is None and lacking:
            raise _lacking(owner, lacking)
        try:
            if not lacking:
                make(self, *args, **{name: value for name, value in given.items() if name in known})
                _check_texts(owner, self, known)
        except Exception as raised:
            if gathered is None:
                raise
            error = raised
        if gathered is not None and (unknown or lacking or error):
            for name in known:  # for a plugin that goes on with what it made
                if not hasattr(self, name):
                    object.__setattr__(self, name, taken.get(name))
            object.__setattr__(self, "_trouble", _Trouble(unknown=unknown, lacking=lacking, error=error))
            gathered.append(cast(Declared, self))

    cls.__init__ = __init__  # type: ignore[method-assign, assignment]
    return cls
