"""Asked cells become keyed cells: resolve families, check options, device and data, hash what each cell is made of.

It runs in one child, before anything is written into the output folder. Its errors are exit 2 or 3.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from vitbench.catalog import Catalog, load_catalog
from vitbench.errors import UnusableError, UsageError, VitbenchError, error_of, reason_of
from vitbench.execution.executor import Send
from vitbench.execution.messages import Say
from vitbench.planning.datasets import (
    ResolvedDataset,
    data_key,
    describe_data,
    describe_weights,
    learns,
    open_data,
    unfit,
    wanted_size,
)
from vitbench.planning.heads import OwnHead, describe_head, own_head, resolve_head
from vitbench.planning.keying import Keyer
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.recipe_options import with_own_recipe_options
from vitbench.planning.resolve import (
    Fault,
    ResolvedModel,
    ResolvedRecipe,
    hub_environment,
    needs_hub,
    resolve_model,
    resolve_recipe,
    with_revision,
    with_revisions,
)
from vitbench.planning.suite import AskedCell
from vitbench.planning.trial import Trial, try_build
from vitbench.records import DataInfo, Head, KeyedCell, digest
from vitbench.specs import load_target
from vitbench.variables import check_variables

__all__ = ["prepare", "prepare_in_child"]


def prepare_in_child(content: bytes, folder: Path | None, send: Send) -> Prepared:
    """Decode a request and prepare it.

    Raises:
        VitbenchError: a user's mistake, or a plugin's.
    """
    from vitbench.worker.heartbeat import signs_of_life

    try:
        request = msgspec.msgpack.decode(content, type=PrepareRequest)
        with signs_of_life(send, "preparing"):  # a dataset may have to be fetched
            return prepare(request, load_catalog(request.plugins), lambda text: send(Say(text=text)))
    except VitbenchError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        words = f"preparing the run failed: {reason_of(error)}"
        raise UnusableError(f"{words} ({place.filename}:{place.lineno})") from error


def prepare(request: PrepareRequest, catalog: Catalog, say: Callable[[str], None]) -> Prepared:
    """Return the keyed cells of a request, without repetitions.

    A model or a recipe that cannot be used makes its own cells unavailable, and raises only where no other is left.

    Raises:
        UsageError: an unknown member of a family, or an option that it does not have.
        UnusableError: a device, a dataset or a file that is missing or cannot be used.
    """
    from vitbench import environment
    from vitbench.worker.runtime import check_precision

    asked_models = {_asked_key(cell): cell for cell in request.cells}
    models = {key: resolve_model(cell.model, cell.recipe, catalog) for key, cell in asked_models.items()}
    complete = tuple(with_own_recipe_options(cell, models[_asked_key(cell)].recipe_options) for cell in request.cells)
    request = msgspec.structs.replace(request, cells=complete)
    recipes = _resolve_recipes(request, catalog)
    device = environment.resolve_device(request.conditions.device)
    check_precision(request.conditions.precision, device)
    check_variables(device=device, precision=request.conditions.precision, compiled=bool(request.conditions.compile))
    described = environment.describe(device)
    data = open_data(request, models.values(), catalog, say)
    notes = describe_data(data.values(), request.conditions.limit, request.conditions.split, [*models.values()])
    named = [model for recipe in recipes.values() for model in recipe.models]
    for label in dict.fromkeys(model.label for model in named if not (model.is_trained or model.fault)):
        say(f"warning: {label}, which a recipe builds, starts from random weights; give it :checkpoint=PATH.")
    child_environment = hub_environment(any(needs_hub(m.spec, m.options) for m in (*models.values(), *named)), say)
    online = not child_environment
    models = {key: with_revision(model, online=online) for key, model in models.items()}
    recipes = {key: with_revisions(recipe, online=online) for key, recipe in recipes.items()}
    keyer = Keyer.of(request.conditions, device=device, described=described)
    cells: dict[str, KeyedCell] = {}
    faults: dict[str, Fault | None] = {}
    heads: dict[tuple[bytes, bytes], OwnHead] = {}
    built: dict[str, Trial] = {}
    said: dict[str, None] = {}
    for asked in request.cells:
        model, recipe, dataset = models[_asked_key(asked)], recipes.get(_recipe_key(asked)), data[data_key(asked)]
        recipe = recipe if _calls_recipe(asked, catalog) else None
        info = dataset.infos[wanted_size(model)]
        scored = _scores(asked, model, catalog)
        head, matched, misfit = _head_of(asked, model, info, heads) if scored else (None, "", None)
        keyed = _keyed(asked, model, recipe, dataset, info, keyer, head)
        away = model.fault is not None and model.fault.passes
        # A speed needs no trained weights, where the model can be had without.
        random = away and asked.kind == "speed" and "pretrained" in model.options
        fault = None if random else model.fault
        fault = misfit or fault or unfit(model.spec, info, learns=learns(asked, catalog))
        if recipe and not fault:
            fault = recipe.fault
        hub = needs_hub(model.spec, model.options) or any(needs_hub(m.spec, m.options) for m in _named(recipe))
        form = digest((keyed.cell.model, model.options, keyed.outputs, keyed.image_size, keyed.in_channels))
        whole = needs_hub(model.spec, model.options) and "pretrained" not in model.options  # it fetches its weights
        if request.build and not fault and (online or not whole):
            if form not in built:
                built[form] = try_build(keyed, model)
            fault = built[form].fault
            said |= dict.fromkeys(f"model {model.label}: {words}" for words in built[form].said)
        if random and not fault:
            words = "its speed would be measured with random weights; the hub is not reachable"
            said[f"model {model.label}: {words}"] = None
        if asked.kind == "quality" and head and not fault:
            said |= dict.fromkeys((*describe_weights(model), *describe_head(model, info, head, matched)))
        if asked.kind == "quality" and keyed.id in cells and cells[keyed.id].label != keyed.label:
            labels = f"{cells[keyed.id].label} and {keyed.label}"
            raise UsageError(f"{labels} are the same model with the same recipe; remove one.")
        if keyed.id not in cells or faults[keyed.id]:  # a speed that several data ask for, of which one fits
            faults[keyed.id] = fault
            cells[keyed.id] = msgspec.structs.replace(
                keyed,
                unavailable=fault.reason if fault else "",
                hub="away" if random or (fault and fault.passes) else "needed" if hub else "",
            )
    _refuse_where_none_is_left(cells.values(), faults)
    return Prepared(
        cells=tuple(cells.values()),
        environment=described,
        child_environment=child_environment,
        notes=(*notes, *said),
        roots=_roots(data.values(), [*models.values(), *named], recipes.values()),
    )


def _scores(asked: AskedCell, model: ResolvedModel, catalog: Catalog) -> bool:
    """Whether a cell is of a model with its own head; weights that wait for the hub have one all the same."""
    lost = model.fault is not None and not model.fault.passes
    return not (lost or model.spec.is_baseline or catalog.recipe(asked.recipe).spec.trains)


def _head_of(
    asked: AskedCell, model: ResolvedModel, data: DataInfo, known: dict[tuple[bytes, bytes], OwnHead]
) -> tuple[Head | None, str, Fault | None]:
    """Return the head of weights that are scored and by what its classes were matched, or why they were not.

    Args:
        asked: the cell; what is timed is matched with nothing.
        model: of the cell.
        data: of the cell.
        known: heads by model and data, since finding one may mean to read a checkpoint; it is added to.
    """
    key = _asked_key(asked), data_key(asked)
    try:
        own = known[key] = known.get(key) or own_head(model, data)
        if asked.kind == "speed":
            return Head(outputs=own.outputs), "", None
        return *resolve_head(own, data, asked.recipe_options), None
    except UnusableError as error:
        return None, "", Fault(reason=str(error), exit_code=error.exit_code)


def _named(recipe: ResolvedRecipe | None) -> tuple[ResolvedModel, ...]:
    return recipe.models if recipe else ()


def _roots(
    data: Collection[ResolvedDataset], models: Iterable[ResolvedModel], recipes: Iterable[ResolvedRecipe]
) -> tuple[str, ...] | None:
    """Return `Prepared.roots`. Data without a folder are published ones, or may be others at each look."""
    if any(model.files or needs_hub(model.spec, model.options) for model in models):
        return None
    if any(each.files for each in data) or any(recipe.files for recipe in recipes):
        return None
    if any(each.root is None and not each.published for each in data):
        return None
    return tuple(dict.fromkeys(str(each.root) for each in data if each.root is not None))


def _refuse_where_none_is_left(cells: Iterable[KeyedCell], faults: Mapping[str, Fault | None]) -> None:
    """Raise the first fault where none of the cells can run and a plugin's code is the cause."""
    stopped = [(cell, fault) for cell in cells if (fault := faults[cell.id]) and fault.exit_code]
    if not stopped or not all(faults.values()):
        return
    cell, fault = stopped[0]
    place = f" on {cell.data.title}" if cell.data else ""
    others = [label for label in dict.fromkeys(other.label for other, _ in stopped) if label != cell.label]
    more = f"; nor can {', '.join(others)} be used" if others else ""
    raise error_of(fault.exit_code, f"model {cell.label}{place}: {fault.reason}{more}")


def _resolve_recipes(request: PrepareRequest, catalog: Catalog) -> dict[bytes, ResolvedRecipe]:
    """Resolve each recipe with each set of options once; one that cannot be imported costs its own cells."""
    recipes: dict[bytes, ResolvedRecipe] = {}
    for cell in request.cells:
        key = _recipe_key(cell)
        if key in recipes or not _calls_recipe(cell, catalog):
            continue
        recipe = resolve_recipe(cell.recipe, cell.recipe_options, catalog)
        fault = recipe.fault or (_import_fault(recipe) if request.build else None)
        recipes[key] = dataclasses.replace(recipe, fault=fault)
    return recipes


def _calls_recipe(cell: AskedCell, catalog: Catalog) -> bool:
    """Whether a cell calls its recipe: to train, or to time a training step that the recipe says."""
    if cell.kind == "quality":
        return True
    return cell.mode == "training" and catalog.recipe(cell.recipe).spec.step is not None


def _import_fault(recipe: ResolvedRecipe) -> Fault | None:
    try:
        load_target(recipe.spec.fit)
        if recipe.spec.step is not None:
            load_target(recipe.spec.step)
    except UnusableError as error:
        return Fault(reason=f"recipe {recipe.name}: {reason_of(error)}", exit_code=error.exit_code)
    except KeyboardInterrupt:
        raise
    except BaseException:  # its cells will say
        return None
    return None


def _asked_key(cell: AskedCell) -> bytes:
    return msgspec.json.encode((cell.model, cell.recipe), order="deterministic")


def _recipe_key(cell: AskedCell) -> bytes:
    return msgspec.json.encode((cell.recipe, cell.recipe_options), order="deterministic")


def _keyed(
    asked: AskedCell,
    model: ResolvedModel,
    recipe: ResolvedRecipe | None,
    dataset: ResolvedDataset,
    data: DataInfo,
    keyer: Keyer,
    head: Head | None,
) -> KeyedCell:
    if asked.kind == "speed":
        return keyer.speed(
            model,
            num_classes=head.outputs if head else len(data.class_names),
            data_shape=data.shape,
            batch_size=asked.batch_size,
            mode=asked.mode,
            largest_batch=asked.largest_batch,
            sustained=asked.sustained,
            step_of=recipe,
        )
    assert recipe is not None
    return keyer.quality(asked, model, data, recipe=recipe, dataset=dataset, head=head)
