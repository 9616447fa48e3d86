"""What ``vitbench ls`` prints: the catalog as aligned text, or as JSON. Standard library and msgspec only."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.printable import plain, short_size
from vitbench.specs import ModelSpec

__all__ = ["as_data", "as_text"]


def as_text(catalog: Catalog, kind: str) -> str:
    """Return one line for each offer of a kind: name, summary, and its options below where it has some."""
    if kind == "plugins":
        return _plugins_text(catalog)
    offers: dict[str, Offer[Any]] = dict(getattr(catalog, kind))
    if not offers:
        return f"no {kind}"
    width = max(map(len, offers))
    lines: list[str] = []
    for name, offer in offers.items():
        lines.append(_line(name, width, plain(offer.spec.summary)))
        details = plain(_details(offer.spec))
        if details:
            lines.append(_line("", width, details))
    return "\n".join(lines)


def as_data(catalog: Catalog, kind: str) -> str:
    """Return the offers of a kind as a JSON list, each with its provenance."""
    content: Any
    if kind == "plugins":
        content = {
            "plugins": [_fields(plugin) for plugin in catalog.plugins],
            "problems": [_fields(problem) for problem in catalog.problems],
            "left_out": catalog.left_out,
        }
    else:
        content = [
            {
                **_fields(offer.spec),
                "name": name,
                "plugin": offer.plugin.name,
                "distribution": offer.plugin.distribution,
                "version": offer.plugin.version,
            }
            for name, offer in getattr(catalog, kind).items()
        ]
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


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
    defaults: dict[str, object] = getattr(spec, "defaults", {})
    parts.extend(f"{name}={_shown(value)}" for name, value in defaults.items())
    return "  ".join(parts)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "''"


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
            for kind in ("models", "datasets", "recipes", "metrics", "suites")
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
