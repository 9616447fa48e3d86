"""Asked models become resolved ones: family, options, files, required modules, and whether the hub answers.

So do recipes, with the models that their options name.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.catalog.options import complete_model, model_options, parse_model
from vitbench.catalog.provenance import first_missing, revision_of
from vitbench.errors import UnusableError, UsageError
from vitbench.planning.files import hash_files
from vitbench.planning.recipe_options import own_recipe_options
from vitbench.planning.suite import AskedModel
from vitbench.records import canonical_name
from vitbench.specs import CropMode, ModelSpec, OptionValue, RecipeSpec

__all__ = [
    "Fault",
    "ResolvedModel",
    "ResolvedRecipe",
    "hub_answers",
    "hub_environment",
    "lack_of",
    "needs_hub",
    "resolve_model",
    "resolve_recipe",
    "with_revision",
    "with_revisions",
]

_AWAY = (
    "its weights are not cached and the Hugging Face hub is unreachable; run the same command later, or give "
    ":checkpoint=PATH"
)
HUB_SECONDS = 5.0
"""How long the one try to reach the hub may take."""
_PROXY_WANTS_A_NAME = 407


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why cells cannot run here; they end as failed, and the others run."""

    reason: str
    exit_code: int = 0
    """What the command ends with, before anything is written, where no other cell is left; 0: with failed cells."""
    passes: bool = False
    """Whether it is gone when the hub answers: until then the cells wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model with its family resolved and its options complete."""

    name: str
    plugin: Plugin
    spec: ModelSpec
    options: dict[str, OptionValue]
    label: str
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files that options name, by option; ``revision`` of weights from the hub."""
    own_size: tuple[int, int] | None = None
    """The size of its input where its name says none; None follows the data."""
    crop_mode: CropMode = "center"
    """How images of another shape come into its input."""
    outputs: tuple[tuple[str, ...], ...] = ()
    """The names of each output's class, where its weights are scored; empty where nothing says them."""
    names_source: str = ""
    """What says them."""
    recipe_options: dict[str, OptionValue] = field(default_factory=dict)
    """Its own defaults for the options of its recipe."""
    normalised_by: str = ""
    """What says how the images of its weights are normalised; empty: the training split does."""
    pretrained_on: str = ""
    """The data that its weights were trained on; empty: it starts from random ones."""
    pretrained_fingerprint: str = ""
    """Of these data, where a checkpoint says it."""
    licence: str = ""
    """Of these weights."""
    fault: Fault | None = None
    """Why it is not available here: a required module is not installed, or its family's `resolve` fails."""

    @property
    def is_trained(self) -> bool:
        """Whether it starts from trained weights."""
        pretrained = bool(self.spec.pretrained_on) and bool(self.options.get("pretrained", True))
        return "checkpoint" in self.files or pretrained


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedRecipe:
    """A recipe with its options complete, and the models that these name."""

    name: str
    plugin: Plugin
    spec: RecipeSpec
    options: dict[str, OptionValue]
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files that options name, by option; ``teacher.checkpoint`` for that of a model, and
    ``teacher.revision`` of its weights from the hub."""
    models: tuple[ResolvedModel, ...] = ()
    """In the order of the options that name them."""
    fault: Fault | None = None
    """Why it cannot be called here."""

    @property
    def requires(self) -> tuple[str, ...]:
        """The modules that it and its models need."""
        return (*self.spec.requires, *(module for model in self.models for module in model.spec.requires))


def resolve_model(asked: AskedModel, recipe_name: str, catalog: Catalog) -> ResolvedModel:
    """Complete a family's member, its options and its label; hash its files, and take its defaults for the recipe.

    Raises:
        UsageError: the family does not know the member, an option is wrong, or there are no weights to score.
        UnusableError: a checkpoint cannot be read.
    """
    offer = catalog.recipe(recipe_name)
    recipe = offer.spec
    model = _resolved(asked, catalog, lambda owner, spec, given: model_options(owner, spec, recipe, given))
    model = _with_recipe_options(model, offer, catalog)
    if not (recipe.trains or model.is_trained or model.fault or model.spec.is_baseline):
        raise UsageError(f"model {asked.name} has no trained weights to score; give :checkpoint=PATH.")
    if model.fault:
        return model
    from vitbench.worker.weights import ClassNamesError, weights_of

    trains = recipe.trains or model.spec.is_baseline
    try:
        known = weights_of(model.spec, model.options, trains=trains)
    except ClassNamesError as error:  # a plugin's fault costs its own cells
        return dataclasses.replace(model, fault=Fault(reason=str(error), exit_code=error.exit_code))
    return dataclasses.replace(
        model,
        spec=known.spec,
        own_size=model.spec.input_size,
        crop_mode=known.crop_mode,
        outputs=() if trains else known.outputs,
        names_source="" if trains else known.names_source,
        normalised_by=known.source,
        pretrained_on=known.pretrained_on,
        pretrained_fingerprint=known.pretrained_fingerprint,
        # That of its plugin is of its own weights.
        licence=asked.licence or ("" if "checkpoint" in model.files or not model.is_trained else model.spec.licence),
    )


def _with_recipe_options(model: ResolvedModel, recipe: Offer[RecipeSpec], catalog: Catalog) -> ResolvedModel:
    """Return a model with its own defaults for a recipe; wrong ones cost its own cells."""
    if model.fault:
        return model
    try:
        own = own_recipe_options(model.spec, model.plugin, recipe, catalog)
    except (UsageError, UnusableError) as error:
        return dataclasses.replace(model, fault=Fault(reason=str(error), exit_code=error.exit_code))
    return dataclasses.replace(model, recipe_options=own)


def resolve_recipe(name: str, options: Mapping[str, OptionValue], catalog: Catalog) -> ResolvedRecipe:
    """Hash the files that a recipe's options name, and resolve the models that they name.

    Args:
        name: full.
        options: complete; models under their full names.
        catalog: what the names mean.

    Raises:
        UsageError: the family of such a model does not know it, or it has other options.
        UnusableError: a file cannot be read.
    """
    offer = catalog.recipe(name)
    spec = offer.spec
    complete, files = hash_files(f"recipe {name}", spec.declared, options)
    lack = lack_of(spec.requires)
    fault = Fault(reason=f"recipe {name} {lack}") if lack else None
    models: list[ResolvedModel] = []
    for option in (each for each, declared in spec.declared.items() if declared.kind == "model" and complete[each]):
        model_name, given = parse_model(str(complete[option]))
        asked = AskedModel(
            name=model_name, options={**given}, family=catalog.model(model_name).spec.resolve is not None
        )
        model = _resolved(asked, catalog, complete_model)
        models.append(model)
        complete[option] = canonical_name(model_name, model.options, {} if model.fault else model.spec.defaults)
        files |= {f"{option}.{file}": sha256 for file, sha256 in model.files.items()}
        if model.fault and not fault:
            fault = _fault_of_named(name, option, model_name, model.fault)
    return ResolvedRecipe(
        name=name, plugin=offer.plugin, spec=spec, options=complete, files=files, models=tuple(models), fault=fault
    )


def _resolved(
    asked: AskedModel,
    catalog: Catalog,
    complete: Callable[[str, ModelSpec, Mapping[str, OptionValue]], dict[str, OptionValue]],
) -> ResolvedModel:
    """Resolve a model whose options `complete` completes."""
    offer, owner = catalog.model(asked.name), f"model {asked.name}"
    spec, options, label = offer.spec, asked.options, asked.label
    fault = _fault_of(spec)
    if asked.family and not fault:
        try:
            spec = catalog.member(asked.name)
        except UnusableError as error:  # its cells fail, with this reason
            fault = Fault(reason=str(error).partition(": ")[2], exit_code=error.exit_code)
    if not fault:
        options = complete(owner, spec, options)
        label = label or canonical_name(asked.name, options | asked.written, spec.defaults)
        fault = _fault_of(spec)
    if options.get("pretrained") is True and not options.get("checkpoint") and not spec.pretrained_on and not fault:
        raise UsageError(f"{owner} has no pretrained weights; give :pretrained=false or :checkpoint=PATH.")
    options, files = hash_files(owner, {**spec.declared, **spec.stated}, options)
    return ResolvedModel(
        name=asked.name,
        plugin=offer.plugin,
        spec=spec,
        options=options,
        label=label or asked.name,
        files=files,
        fault=fault,
    )


def _fault_of(spec: ModelSpec) -> Fault | None:
    lack = lack_of(spec.requires)
    return Fault(reason=f"it {lack}") if lack else None


def needs_hub(spec: ModelSpec, options: Mapping[str, OptionValue]) -> bool:
    """Return whether a model's weights come from the hub."""
    return spec.downloads and bool(options.get("pretrained", True)) and not options.get("checkpoint")


def with_revision(model: ResolvedModel, *, online: bool) -> ResolvedModel:
    """Return a model with the revision of its weights, where they come from the hub; with a fault where they are away.

    Args:
        model: of any kind.
        online: whether the hub may be asked; else what was downloaded counts.
    """
    if model.fault or not needs_hub(model.spec, model.options):
        return model
    try:
        revision = revision_of(f"model {model.name}", model.spec, model.options, online=online)
    except UnusableError as error:  # its cells fail, with this reason
        fault = Fault(reason=str(error).partition(": ")[2], exit_code=error.exit_code)
        return dataclasses.replace(model, fault=fault)
    if model.spec.revision is not None and not (revision or online):
        return dataclasses.replace(model, fault=Fault(reason=_AWAY, exit_code=UnusableError.exit_code, passes=True))
    return dataclasses.replace(model, files={**model.files, **({"revision": revision} if revision else {})})


def with_revisions(recipe: ResolvedRecipe, *, online: bool) -> ResolvedRecipe:
    """Return a recipe whose models have the revisions of their weights, see `with_revision`."""
    models = tuple(with_revision(model, online=online) for model in recipe.models)
    named = [name for name, option in recipe.spec.declared.items() if option.kind == "model" and recipe.options[name]]
    files, fault = dict(recipe.files), recipe.fault
    for option, model in zip(named, models, strict=True):
        files |= {f"{option}.{file}": sha256 for file, sha256 in model.files.items()}
        if model.fault and not fault:
            fault = _fault_of_named(recipe.name, option, model.name, model.fault)
    return dataclasses.replace(recipe, models=models, files=files, fault=fault)


def _fault_of_named(recipe: str, option: str, model: str, fault: Fault) -> Fault:
    words = f"option {option} of recipe {recipe}, model {model}: {fault.reason}"
    return dataclasses.replace(fault, reason=words)


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
        except urllib.error.HTTPError as error:  # not that of a proxy, which speaks for a hub that it cannot reach
            answers.extend([True] * (error.code < 500 and error.code != _PROXY_WANTS_A_NAME))
        except (OSError, ValueError):
            return
        else:
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    if not answers:
        say("The model hub cannot be reached; pretrained models can run only from a local cache or a checkpoint.")
    return bool(answers)


def lack_of(modules: Iterable[str]) -> str:
    """Return in words, after its owner's name, that a module is not installed; empty where all are.

    An import name is not always that of a package, so nothing says what to install.
    """
    missing = first_missing(modules)
    return f"needs the module {missing}, which is not installed" if missing else ""
