"""What ``vitbench ls`` prints: the catalog as aligned text, or as JSON. Standard library and msgspec only."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from typing import Any

import msgspec

from vitbench.catalog import Catalog, Offer
from vitbench.specs import ModelSpec
from vitbench.text import plain

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
            "plugins": [dataclasses.asdict(plugin) for plugin in catalog.plugins],
            "problems": [dataclasses.asdict(problem) for problem in catalog.problems],
        }
    else:
        content = [
            {
                **{field.name: getattr(offer.spec, field.name) for field in dataclasses.fields(offer.spec)},
                "name": name,
                "plugin": offer.plugin.name,
                "distribution": offer.plugin.distribution,
                "version": offer.plugin.version,
            }
            for name, offer in getattr(catalog, kind).items()
        ]
    encoded = msgspec.json.encode(content, enc_hook=_plain)
    return msgspec.json.format(encoded, indent=2).decode()


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it knows: read-only mappings, functions."""
    if hasattr(value, "items"):
        return dict(value)
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _details(spec: Any) -> str:
    parts: list[str] = []
    if isinstance(spec, ModelSpec):
        if spec.image_size:
            parts.append(f"{spec.image_size} px")
        if spec.pretrained_on:
            parts.append(f"pretrained on {spec.pretrained_on}")
    parts.extend(getattr(spec, "figures", ()))
    options = dict(getattr(spec, "options", {}))
    parts.extend(f"{name}={_shown(value)}" for name, value in options.items())
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
    if catalog.problems:
        lines += ["", "Problems:", *(f"  {plain(str(problem))}" for problem in catalog.problems)]
    return "\n".join(lines) or "no plugins"
