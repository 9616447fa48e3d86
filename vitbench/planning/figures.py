"""A figure that is asked of a training becomes a keyed cell: in its key is the training, and the code that draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog
from vitbench.catalog.options import complete_options, parse_model
from vitbench.catalog.provenance import core_hash, key_of, library_versions, origin
from vitbench.errors import UnusableError, UsageError
from vitbench.files import sha256_of
from vitbench.installed import version_of
from vitbench.records import FigureCell, KeyedCell, QualityCell, id_of
from vitbench.specs import OptionValue

__all__ = ["AskedFigure", "asked_figures", "figure_cells"]

Given = Mapping[str, OptionValue]


class AskedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its options."""

    name: str
    """Full."""
    options: dict[str, OptionValue] = {}
    """Complete."""


def asked_figures(
    texts: Iterable[str], catalog: Catalog, *, home: str = "", given: Given | None = None
) -> list[AskedFigure]:
    """Return the figures that some texts ask for.

    Args:
        texts: each ``NAME[:k=v,...]``.
        catalog: what names mean.
        home: the plugin that ships the suite they are in.
        given: options of all of them, which a figure's own text overrides.

    Raises:
        UsageError: a name is unknown, or an option is wrong, or two texts ask for the same.
        UnusableError: a name belongs to a plugin that is broken.
    """
    found: list[AskedFigure] = []
    for text in texts:
        name, options = parse_model(text)
        offer = catalog.figure(name, home=home)
        complete = complete_options(f"figure {offer.name}", offer.spec.declared, {**(given or {}), **options})
        asked = AskedFigure(name=offer.name, options=complete)
        if asked in found:
            raise UsageError(f"figure {text} is asked for twice; remove one.")
        found.append(asked)
    return found


def figure_cells(
    trainings: Iterable[KeyedCell], asked: Sequence[AskedFigure], catalog: Catalog, *, images: Sequence[Path] = ()
) -> Iterator[KeyedCell]:
    """Yield the cells of some figures of some trainings; a baseline, which is not a network, has none.

    Args:
        trainings: keyed quality cells; others are passed over.
        asked: of each of them.
        catalog: what names mean.
        images: the user's own, to be looked at in place of those that the trainings are judged on.

    Raises:
        UnusableError: an image, or the code of a plugin, cannot be read.
    """
    by = cache(origin)
    pictures = {_text(path.absolute()): _sha256(path) for path in images}
    for planned in trainings:
        cell = planned.cell
        if not isinstance(cell, QualityCell) or planned.baseline:
            continue
        for each in asked:
            offer = catalog.figure(each.name)
            figure = FigureCell(figure=offer.name, figure_options=each.options, of=cell, images=pictures)
            recipe, files = catalog.recipes.get(cell.recipe), planned.provenance.files
            if recipe and recipe.spec.trains:  # its weights are stored, whatever the hub has by now
                files = {name: value for name, value in files.items() if name != "model.revision"}
            made_of = msgspec.structs.replace(
                planned.provenance,
                files=files,
                model=by(catalog.model(cell.model).plugin),
                # What the training was made of is in its key, and may have changed since; here it does not run.
                recipe=None,
                recipe_libraries={},
                others=(by(offer.plugin),),
                libraries=library_versions((*planned.provenance.libraries, *offer.spec.requires)),
                torch=version_of("torch"),
                vitbench=core_hash("attention", "figures"),
            )
            yield msgspec.structs.replace(
                planned,
                cell=figure,
                id=(cell_id := id_of(figure)),
                key=key_of(f"{cell_id} of {planned.key}", made_of),
                shows=planned.key,
                provenance=made_of,
                allotted=None,
                hub="",
            )


def _text(path: Path) -> str:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UnusableError(
            f"image {path} cannot be stored in a record, since its name is not UTF-8; rename it, or use a link "
            "with another name"
        ) from None
    return str(path)


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except (OSError, ValueError) as error:
        raise UnusableError(f"image {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
