"""Asked models become resolved ones: family, options, checkpoint, required modules, and whether the hub answers."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vitbench.catalog import Catalog, Plugin
from vitbench.catalog.options import model_options
from vitbench.catalog.provenance import first_missing
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.suite import AskedModel
from vitbench.records import canonical_name
from vitbench.specs import ModelSpec, OptionValue

__all__ = ["ResolvedModel", "hub_answers", "hub_environment", "needs_hub", "resolve_model"]

HUB_SECONDS = 5.0
"""How long the one try to reach the hub may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model with its family resolved and its options complete."""

    name: str
    plugin: Plugin
    spec: ModelSpec
    options: dict[str, OptionValue]
    label: str
    checkpoint_sha256: str = ""
    unavailable: str = ""
    """Why it is not available here: a required module is not installed, or its family's `resolve` fails."""


def resolve_model(asked: AskedModel, recipe_name: str, catalog: Catalog) -> ResolvedModel:
    """Complete a family's member, its options and its label; hash its checkpoint.

    Raises:
        UsageError: the family does not know the member, an option is wrong, or there are no weights to score.
        UnusableError: a checkpoint cannot be read.
    """
    offer = catalog.model(asked.name)
    spec, options, label = offer.spec, asked.options, asked.label
    recipe = catalog.recipe(recipe_name).spec
    missing = first_missing(spec.requires)
    unavailable = f"it needs {missing}; pip install {missing}" if missing else ""
    if asked.family and not unavailable:
        try:
            spec = catalog.member(asked.name)
        except UnusableError as error:  # its cells fail, with this reason
            unavailable = str(error).partition(": ")[2]
    if asked.family and not unavailable:
        options = model_options(f"model {asked.name}", spec, recipe, options)
        label = label or canonical_name(asked.name, options, spec.defaults)
    checkpoint = str(options.get("checkpoint", ""))
    if options.get("pretrained") is True and not checkpoint and not spec.pretrained_on and not unavailable:
        raise UsageError(f"model {asked.name} has no pretrained weights; give :pretrained=false or :checkpoint=PATH.")
    sha256 = ""
    if checkpoint:
        path = Path(checkpoint).expanduser().resolve()
        options = {**options, "checkpoint": str(path)}
        sha256 = _file_sha256(path, asked.name)
    trained = sha256 or (spec.pretrained_on and options.get("pretrained", True))
    if not (recipe.trains or trained or unavailable or spec.is_baseline):
        raise UsageError(f"model {asked.name} has no trained weights to score; give :checkpoint=PATH.")
    return ResolvedModel(
        name=asked.name,
        plugin=offer.plugin,
        spec=spec,
        options=options,
        label=label or asked.name,
        checkpoint_sha256=sha256,
        unavailable=unavailable,
    )


def needs_hub(spec: ModelSpec, options: Mapping[str, OptionValue], checkpoint_sha256: str) -> bool:
    """Return whether a model's weights come from the hub."""
    return spec.downloads and bool(options.get("pretrained", True)) and not checkpoint_sha256


def hub_environment(needed: bool, say: Callable[[str], None]) -> dict[str, str]:
    """Return the variables of child processes: where the hub is needed and does not answer, it is asked once only."""
    return {"HF_HUB_OFFLINE": "1"} if needed and not hub_answers(say) else {}


def hub_answers(say: Callable[[str], None]) -> bool:
    """Try the hub once, for at most 5 s: in a thread, since looking up its name may hang longer than a socket may."""
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    answers: list[bool] = []

    def ask() -> None:
        address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS).close()
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError):
            return
        else:
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if not answers:
        say("The model hub cannot be reached; pretrained models run only from a local cache or a checkpoint.")
    return bool(answers)


def _file_sha256(path: Path, model: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableError(
            f"model {model}: the checkpoint {path} cannot be read ({error.strerror}); check the option checkpoint."
        ) from error
