"""What ``vitbench ls`` prints: the catalog as aligned text, or as JSON. Standard library and msgspec only."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.catalog.loading import KINDS
from vitbench.catalog.selecting import WithOptions
from vitbench.printable import plain, short_size
from vitbench.specs import ModelSpec, Option

__all__ = ["as_data", "as_text", "options_data", "options_text"]

_NO_MEMBERS: Mapping[str, Offer[ModelSpec]] = MappingProxyType({})


def as_text(catalog: Catalog, kind: str, members: Mapping[str, Offer[ModelSpec]] = _NO_MEMBERS) -> str:
    """Return one line for each offer of a kind: name, summary, and its options below where it has some.

    Args:
        catalog: what is listed.
        kind: ``models``, ``datasets``, ``recipes``, ``metrics``, ``figures``, ``exporters``, ``suites`` or ``plugins``.
        members: of families, by full name, each with its family; their names alone follow.
    """
    if kind == "plugins":
        return _plugins_text(catalog)
    offers: dict[str, Offer[Any]] = dict(getattr(catalog, kind))
    if not offers and not members:
        return f"no {kind}"
    width = max(map(len, offers), default=0)
    lines: list[str] = []
    for name, offer in offers.items():
        lines.append(_line(name, width, plain(offer.spec.summary)))
        details = plain(_details(offer.spec))
        if details:
            lines.append(_line("", width, details))
    return "\n".join([*lines, *map(plain, members)])


def as_data(catalog: Catalog, kind: str, members: Mapping[str, Offer[ModelSpec]] = _NO_MEMBERS) -> str:
    """Return the offers of a kind as a JSON list, each with its provenance, and after them the members of families."""
    content: Any
    if kind == "plugins":
        content = {
            "plugins": [_fields(plugin) for plugin in catalog.plugins],
            "problems": [_fields(problem) for problem in catalog.problems],
            "left_out": catalog.left_out,
        }
    else:
        content = [
            *({**_fields(offer.spec), **_origin(name, offer)} for name, offer in getattr(catalog, kind).items()),
            *({"family": family.name, **_origin(name, family)} for name, family in members.items()),
        ]
    return _json(content)


def options_text(found: Iterable[WithOptions]) -> str:
    """Return the options of some offers: type, default, what is taken and meant; and a model's own for recipes."""
    blocks: list[str] = []
    for one in found:
        options = {**one.spec.declared, **getattr(one.spec, "stated", {})}
        width = max(map(len, options), default=0) + 2
        told = [_line(f"  {name}", width, plain(_option_words(option))) for name, option in options.items()]
        head = f"{one.kind} {one.name}:"
        own = [
            _line(start := f"  its defaults for recipe {recipe}:", len(start), plain(_values(values)))
            for recipe, values in getattr(one.spec, "recipe_options", {}).items()
        ]
        blocks.append("\n".join([_line(head, len(head), plain(one.spec.summary)), *(told or ["  no options"]), *own]))
    return "\n\n".join(blocks)


def options_data(found: Iterable[WithOptions]) -> str:
    """Return the same as a JSON list."""
    return _json(
        [
            {
                "kind": one.kind,
                "name": one.name,
                "options": _plain(one.spec.declared),
                **({"recipe_options": _plain(one.spec.recipe_options)} if isinstance(one.spec, ModelSpec) else {}),
            }
            for one in found
        ],
    )


def _option_words(option: Option) -> str:
    kind = option.value_type if option.kind == "value" else option.kind
    parts = [f"several {kind}" if option.several else kind, f"default {_shown(option.default)}"]
    if option.choices:
        parts.append(f"one of {', '.join(map(_shown, option.choices))}")
    if option.minimum is not None:
        parts.append(f"at least {option.minimum:g}")
    if option.maximum is not None:
        parts.append(f"at most {option.maximum:g}")
    return "; ".join(parts) + (f". {option.help}" if option.help else "")


def _json(content: object) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _origin(name: str, offer: Offer[Any]) -> dict[str, str]:
    plugin = offer.plugin
    return {"name": name, "plugin": plugin.name, "distribution": plugin.distribution, "version": plugin.version}


def _fields(values: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON can hold them."""
    return {field.name: _plain(getattr(values, field.name)) for field in dataclasses.fields(values)}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: functions by their names, what JSON does not know as Python shows it."""
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, (str, PurePath)):
        return str(value).encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, Option):  # its type in words, whether it was said or follows from the default
        return {**_fields(value), "type": value.value_type}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return repr(value)


def _details(spec: Any) -> str:
    parts: list[str] = []
    if isinstance(spec, ModelSpec):
        if spec.input_size:
            parts.append(f"{short_size(spec.input_size)} px")
        if spec.pretrained_on:
            parts.append(f"pretrained on {spec.pretrained_on}")
    parts.extend(given.name for given in getattr(spec, "measurements", ()))
    parts.append(_values(getattr(spec, "defaults", {})))
    return "  ".join(filter(None, parts))


def _values(options: Mapping[str, object]) -> str:
    return "  ".join(f"{name}={_shown(value)}" for name, value in options.items())


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(_shown, value)) or "''"
    return "none" if value is None else str(value) or "''"


def _line(head: str, width: int, text: str) -> str:
    columns = max(60, shutil.get_terminal_size((100, 24)).columns)
    indent = " " * (width + 2)
    return textwrap.fill(
        text, columns, initial_indent=f"{head:<{width}}  ", subsequent_indent=indent, break_on_hyphens=False
    )


def _plugins_text(catalog: Catalog) -> str:
    counts = {
        plugin.name: ", ".join(
            f"{count} {kind if count > 1 else kind[:-1]}"
            for kind in KINDS
            if (count := sum(offer.plugin.name == plugin.name for offer in getattr(catalog, kind).values()))
        )
        for plugin in catalog.plugins
    }
    width = max((len(plugin.name) for plugin in catalog.plugins), default=0)
    lines = [
        _line(plain(plugin.name), width, plain(f"{plugin.owner}: {counts[plugin.name] or 'offers nothing'}"))
        for plugin in catalog.plugins
    ]
    if catalog.left_out:
        lines += ["", _line("Left out:", len("Left out:"), plain(", ".join(catalog.left_out)))]
    if catalog.problems:
        lines += ["", "Problems:", *(f"  {plain(str(problem))}" for problem in catalog.problems)]
    return "\n".join(lines) or "no plugins"
