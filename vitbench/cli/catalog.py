"""`vitbench ls` and `vitbench plugins`: what plugins offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vitbench.cli.options import plugin_options
from vitbench.cli.streams import echo, note
from vitbench.errors import did_you_mean
from vitbench.printable import plain

if TYPE_CHECKING:
    from vitbench.catalog import Catalog

__all__ = ["ls", "plugins"]

KINDS = ("models", "datasets", "recipes", "metrics", "figures", "exporters", "suites", "plugins")
WITH_OPTIONS = ("models", "datasets", "recipes", "metrics", "figures", "exporters")


class _Kind(click.Choice[str]):
    """One of the kinds; what is none of them is told with the nearest, and the list once."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in KINDS:
            raise click.UsageError(
                f'there is no kind "{value}".{did_you_mean(value, KINDS)} Kinds: {", ".join(KINDS)}.'
            )
        return value


@click.command()
@click.argument("kind", type=_Kind(KINDS), required=False)
@click.argument("pattern", required=False)
@click.option(
    "--options",
    "options_of",
    metavar="NAME",
    help="List the options of this model, dataset, recipe, metric, figure or exporter.",
)
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ls(
    kind: str | None,
    pattern: str | None,
    options_of: str | None,
    as_json: bool,
    plugin_files: tuple[str, ...],
    no_plugins: tuple[str, ...],
    strict_plugins: bool,
) -> int:
    """List what plugins offer: everything of a kind, or what matches a PATTERN such as 'timm/vit*'.

    Members of a family are listed only for a PATTERN.
    """
    if options_of is None and kind is None:
        raise click.UsageError(f"Missing argument 'KIND': {', '.join(KINDS)}; or --options NAME.")
    if options_of is not None and (pattern is not None or kind not in (None, *WITH_OPTIONS)):
        raise click.UsageError(
            f"--options takes no PATTERN, and KIND must be one of {', '.join(WITH_OPTIONS)}, or none."
        )
    catalog = _loaded(plugin_files, no_plugins)
    if options_of is not None:
        _tell(catalog)
        echo(_options(catalog, options_of, kind, as_json))
        return _code(catalog, strict_plugins)
    return _list(catalog, kind or "", pattern, as_json, strict_plugins)


@click.command()
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool, plugin_files: tuple[str, ...], no_plugins: tuple[str, ...], strict_plugins: bool) -> int:
    """List the plugins and their problems; same as `vitbench ls plugins`."""
    return _list(_loaded(plugin_files, no_plugins), "plugins", None, as_json, strict_plugins)


def _loaded(files: tuple[str, ...], without: tuple[str, ...]) -> Catalog:
    from vitbench.catalog import load_catalog, select_plugins

    return load_catalog(select_plugins(files, without))


def _list(catalog: Catalog, kind: str, pattern: str | None, as_json: bool, strict: bool) -> int:
    from vitbench.catalog.listing import as_data, as_text
    from vitbench.catalog.selecting import Selected, select

    if kind != "plugins":
        _tell(catalog)
    found = Selected(catalog=catalog) if pattern is None else select(catalog, kind, pattern)
    echo((as_data if as_json else as_text)(found.catalog, kind, found.members))
    for words in found.notes:
        note(f"note: {plain(words)}")
    return _code(catalog, strict)


def _options(catalog: Catalog, name: str, kind: str | None, as_json: bool) -> str:
    from vitbench.catalog.listing import options_data, options_text
    from vitbench.catalog.selecting import with_options

    kinds = [one.removesuffix("s") for one in WITH_OPTIONS if kind in (None, one)]
    return (options_data if as_json else options_text)(with_options(catalog, name, kinds))


def _tell(catalog: Catalog) -> None:
    for problem in catalog.problems:
        note(f"warning: {plain(str(problem))}")


def _code(catalog: Catalog, strict: bool) -> int:
    return 3 if catalog.fatal(strict=strict) else 0
