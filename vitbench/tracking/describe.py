"""``python -m vitbench.tracking.describe``: what this environment's vitbench would measure of some models.

It reads a request on stdin and writes a description to stdout, where nothing else may write.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import sys
import sysconfig
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog, Plugin, load_catalog
from vitbench.catalog.options import complete_model, parse_model, parse_size
from vitbench.errors import UnusableError, VitbenchError, reason_of
from vitbench.planning.keying import Keyer
from vitbench.planning.resolve import ResolvedModel, lack_of
from vitbench.planning.suite import Conditions
from vitbench.records import canonical_name
from vitbench.specs import OptionValue
from vitbench.tracking.messages import PROTOCOL, Described, Description, Greeting, Refusal, Request

__all__ = ["describe", "main"]

IN_CHANNELS = 3
"""Of a model that follows the data."""
_UNTRAINED: Mapping[str, OptionValue] = {"pretrained": False}
"""Random weights take as long as trained ones, and nothing is downloaded."""


def main() -> None:
    """Answer the request on stdin."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what plugins print
    text = sys.stdin.buffer.read()
    known = msgspec.json.decode(text, type=Greeting).protocol == PROTOCOL
    answer = describe(msgspec.json.decode(text, type=Request)) if known else Greeting()
    with answers:
        answers.write(msgspec.json.encode(answer))


def describe(request: Request) -> Description:
    """Return what this environment would measure; what a model lacks is told with the model."""
    from vitbench import environment

    try:
        device = environment.resolve_device(request.device)
    except VitbenchError as error:
        return Description(refusal=_refusal(error))
    described = environment.describe(device)
    catalog = load_catalog()
    keyer = Keyer.of(Conditions(threads=request.threads), device=device, described=described)
    planner = _Planner(request=request, catalog=catalog, keyer=keyer)
    return Description(
        python=described.python,
        versions=described.versions,
        problems={problem.plugin: str(problem) for problem in catalog.losses()},
        elsewhere=tuple(sorted(_installed_from(Path(request.tree)) - _installed_from(Path(request.folder)))),
        models={text: planner.plan(text) for text in request.models or planner.own()},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planner:
    """What the cells of all models share."""

    request: Request
    catalog: Catalog
    keyer: Keyer

    def own(self) -> list[str]:
        """Return the full names of the models whose code is the checkout's, but families and baselines."""
        return [
            name
            for name, offer in self.catalog.models.items()
            if offer.spec.resolve is None and not offer.spec.is_baseline and self._of_checkout(offer.plugin)
        ]

    def plan(self, text: str) -> Described | Refusal:
        try:
            name, given = parse_model(text)
            offer = self.catalog.model(name)
            if lack := lack_of(offer.spec.requires):
                raise UnusableError(f"model {offer.name} {lack}.")
            spec = self.catalog.member(offer.name)
            untrained = {option: value for option, value in _UNTRAINED.items() if option in spec.defaults}
            defaults = {**spec.defaults, **untrained}
            options = complete_model(f"model {offer.name}", spec, given, over=defaults)
        except Exception as error:  # a plugin's, too
            return _refusal(error)
        model = ResolvedModel(
            name=offer.name,
            plugin=offer.plugin,
            spec=dataclasses.replace(spec, image_size=parse_size(options.get("image_size")) or spec.input_size),
            options=options,
            label=canonical_name(offer.name, options, defaults),
        )
        size = self.request.image_size
        cells = (
            self.keyer.speed(
                model,
                num_classes=self.request.num_classes,
                data_shape=(IN_CHANNELS, size, size),
                batch_size=self.request.batch_size,
                mode=mode,
            )
            for mode in self.request.modes
        )
        return Described(cells=tuple(cells), of_checkout=self._of_checkout(offer.plugin))

    def _of_checkout(self, plugin: Plugin) -> bool:
        """Whether a plugin's code is the checkout's; a copy of it in place may be an old one."""
        folder = Path(self.request.folder)
        in_place = self.request.folder == self.request.tree
        return _lies_in(folder, plugin) or (not in_place and plugin.distribution in _installed_from(folder))


def _lies_in(checkout: Path, plugin: Plugin) -> bool:
    """Return whether a plugin's code lies in a checkout; an environment that lies there holds copies."""
    found = importlib.util.find_spec(plugin.package)
    assert found is not None  # the catalog has loaded it
    places = [Path(place).resolve() for place in found.submodule_search_locations or [found.origin or os.devnull]]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    folder = checkout.resolve()
    return any(folder in place.parents and not installed & set(place.parents) for place in places)


@functools.cache
def _installed_from(folder: Path) -> frozenset[str]:
    """Return the names of the distributions that were installed from a folder or one below it, by PEP 610."""
    found: dict[str, bool] = {}  # of two with one name the first on the path is the one that is used
    for distribution in importlib.metadata.distributions():
        found.setdefault(distribution.name or "", _is_from(distribution, folder))
    return frozenset(name for name, is_from in found.items() if is_from)


def _is_from(distribution: importlib.metadata.Distribution, folder: Path) -> bool:
    try:
        url = msgspec.json.decode(distribution.read_text("direct_url.json") or "{}").get("url", "")
    except (msgspec.DecodeError, AttributeError, OSError, UnicodeDecodeError):
        return False
    scheme, _, path = url.partition("://")
    place = Path(urllib.request.url2pathname(path)).resolve()
    return scheme == "file" and (place == folder.resolve() or folder.resolve() in place.parents)


def _refusal(error: Exception) -> Refusal:
    code = error.exit_code if isinstance(error, VitbenchError) else UnusableError.exit_code
    return Refusal(message=reason_of(error), exit_code=code)


if __name__ == "__main__":
    main()
