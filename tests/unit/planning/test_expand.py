"""A suite and a selection become cells, in order and completely."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from vitbench.catalog import Catalog, Offer, Plugin, load_catalog
from vitbench.errors import NothingSelectedError, UsageError
from vitbench.planning.expand import default_recipe, expand
from vitbench.planning.suite import AskedCell, ModelEntry, Selection, SpeedPlan, Suite
from vitbench.planning.suite_file import read_suite
from vitbench.specs import DatasetSpec, ModelSpec, Option, OptionValue, RecipeSpec

HEAD = 'name = "mine"\nsummary = "a suite"\n'
DEFAULTS: Mapping[str, OptionValue] = {"patch_size": 4, "dropout": 0.0, "frozen": True, "head": ""}


def _offer(name: str, spec: object) -> Offer:
    plugin = Plugin(name=name.partition("/")[0], distribution="d", version="1", module="m")
    return Offer(name=name, plugin=plugin, spec=spec)


def _catalog() -> Catalog:
    def model(name: str, **fields: object) -> Offer[ModelSpec]:
        return _offer(name, ModelSpec(name=name.partition("/")[2], build="a:b", summary="x", **fields))

    def recipe(name: str, **fields: object) -> Offer[RecipeSpec]:
        return _offer(name, RecipeSpec(name=name.partition("/")[2], fit="a:b", summary="x", **fields))

    def dataset(name: str, **fields: object) -> Offer[DatasetSpec]:
        return _offer(name, DatasetSpec(name=name.partition("/")[2], open="a:b", summary="x", **fields))

    models = [
        model("s/vit", options=DEFAULTS),
        model("s/resnet"),
        model("s/own-head", options={"head": "new"}, recipe="evaluate"),
        model("s/pretrained", pretrained_on="ImageNet"),
        model("b/majority", tags=("baseline",), recipe="counting"),
        model("zoo/*", resolve="a:resolve", pretrained_on="x"),
    ]
    recipes = [
        recipe("recipes/supervised", options={"epochs": 100, "lr": 0.001}),
        recipe("recipes/finetune", options={"steps": 500}),
        recipe("recipes/evaluate", model_options={"head": "own"}),
        recipe("b/counting"),
    ]
    datasets = [dataset("d/digits"), dataset("d/cifar10"), dataset("d/folder", detect="a:b")]
    return Catalog(
        models={offer.name: offer for offer in models},
        recipes={offer.name: offer for offer in recipes},
        datasets={offer.name: offer for offer in datasets},
    )


CATALOG = _catalog()
SUITE = Suite(
    name="mine",
    summary="x",
    datasets=("digits",),
    models=(
        ModelEntry(name="vit", options={"patch_size": 2}, label="vit-p2", recipe_options={"epochs": 5}),
        ModelEntry(name="resnet"),
        ModelEntry(name="majority"),
    ),
    recipes={"supervised": {"lr": 0.01, "epochs": 20}},
)


def asked(suite: Suite = SUITE, **selection: object) -> list[AskedCell]:
    return expand(suite, CATALOG, Selection(**selection))


def quality(suite: Suite = SUITE, **selection: object) -> list[AskedCell]:
    return [cell for cell in asked(suite, **selection) if cell.kind == "quality"]


# Options


def with_options() -> Catalog:
    """Return the catalog with options of many kinds."""
    recipe = RecipeSpec(
        name="distil",
        fit="a:b",
        summary="x",
        options={
            "teacher": Option("vit", kind="model"),
            "sizes": (1, 2),
            "limit": Option(None, type="int", minimum=1),
        },
    )
    shades = DatasetSpec(
        name="shades", open="a:b", summary="x", options={"fold": Option(1, choices=(1, 2, 3)), "tags": ("a",)}
    )
    return Catalog(
        models=CATALOG.models,
        recipes={**CATALOG.recipes, "s/distil": _offer("s/distil", recipe)},
        datasets={**CATALOG.datasets, "d/shades": _offer("d/shades", shades)},
    )


def recipe_options(**given: OptionValue) -> dict[str, OptionValue]:
    suite = Suite(name="m", summary="x", datasets=("digits",), models=(ModelEntry(name="resnet", recipe="distil"),))
    [cell, *_] = expand(suite, with_options(), Selection(settings={"distil": given}))
    return cell.recipe_options


def test_several_values_none_and_models_are_read_from_text_and_taken_as_they_are() -> None:
    assert recipe_options() == {"teacher": "s/vit", "sizes": (1, 2), "limit": None}
    read = recipe_options(teacher="vit:patch-size=2,head=own,dropout=0", sizes="3,4,5", limit="7")
    assert read == {"teacher": "s/vit:head=own,patch_size=2", "sizes": (3, 4, 5), "limit": 7}
    assert recipe_options(teacher="", sizes="", limit="none") == {"teacher": "", "sizes": (), "limit": None}
    taken = recipe_options(teacher="s/vit:patch_size=4", sizes=(3,), limit=None)
    assert taken == {"teacher": "s/vit", "sizes": (3,), "limit": None}


def test_a_member_of_a_family_that_an_option_names_waits_for_prepare() -> None:
    assert recipe_options(teacher="zoo/far:depth=2")["teacher"] == "zoo/far:depth=2"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"teacher": "vti"}, 'option teacher of recipe s/distil: unknown model "vti". Did you mean "vit"?'),
        ({"teacher": "vit:patchsize=2"}, 'model s/vit has no option "patchsize". Did you mean "patch_size"?'),
        ({"teacher": "vit:patch_size"}, 'model "vit:patch_size": option "patch_size" must be written key=value'),
        ({"sizes": "1,two"}, "option sizes must be whole numbers, not 'two'"),
        ({"limit": 0}, "option limit must be at least 1, not 0"),
    ],
)
def test_a_wrong_value_of_a_recipe_is_refused(given: dict[str, OptionValue], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe_options(**given)
    assert words in str(caught.value)


def of_datasets(*names: str, data: Mapping[str, str] | None = None) -> list[tuple[str, dict[str, OptionValue]]]:
    suite = Suite(name="m", summary="x", models=(ModelEntry(name="resnet"),))
    cells = expand(suite, with_options(), Selection(datasets=names, data=dict(data or {})))
    return [(cell.dataset, cell.dataset_options) for cell in cells if cell.kind == "quality"]


def test_a_dataset_has_its_options_and_two_values_are_two_data_sets() -> None:
    assert of_datasets("shades", "d/shades:fold=2", "shades:fold=3,tags=b,c") == [
        ("d/shades", {"fold": 1, "tags": ("a",)}),
        ("d/shades", {"fold": 2, "tags": ("a",)}),
        ("d/shades", {"fold": 3, "tags": ("b", "c")}),
    ]
    assert of_datasets("shades:fold=2", data={"shades": "/d"}) == [("d/shades", {"fold": 2, "tags": ("a",)})]


def test_options_of_a_layout_wait_for_prepare() -> None:
    assert of_datasets("pets:fold=2", "pets", data={"pets": "/p"}) == [("pets", {"fold": "2"}), ("pets", {})]


@pytest.mark.parametrize(
    ("names", "data", "words"),
    [
        (["shades:fold=4"], {}, "dataset d/shades: option fold must be one of 1, 2, 3, not 4"),
        (["shades:fald=1"], {}, 'dataset d/shades has no option "fald". Did you mean "fold"?'),
        (["shades:fold"], {}, 'dataset "shades:fold": option "fold" must be written key=value'),
        (["shades", "d/shades:fold=1"], {}, 'dataset "d/shades:fold=1" is selected twice'),
        (["pets:a=1", "pets:a=1"], {"pets": "/p"}, 'dataset "pets:a=1" is selected twice'),
        (["digits:fold=1"], {}, 'dataset d/digits has no option "fold". Its options: lineage, train_images.'),
        (
            ["shades"],
            {"shades:fold=2": "/p"},
            '--data takes the name of a dataset without options: shades, not "shades:',
        ),
    ],
)
def test_a_wrong_dataset_is_refused(names: list[str], data: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        of_datasets(*names, data=data)
    assert words in str(caught.value)


# Expansion


def test_quality_cells_come_first_then_speed_cells_grouped_by_what_is_compared() -> None:
    cells = asked()
    shown = [
        (cell.kind, cell.model.label, cell.mode if cell.kind == "speed" else "", cell.batch_size) for cell in cells
    ]
    assert shown == [
        ("quality", "vit-p2", "", 0),
        ("quality", "s/resnet", "", 0),
        ("quality", "b/majority", "", 0),
        ("speed", "vit-p2", "inference", 1),
        ("speed", "s/resnet", "inference", 1),
        ("speed", "vit-p2", "inference", 32),
        ("speed", "s/resnet", "inference", 32),
        ("speed", "vit-p2", "training", 32),
        ("speed", "s/resnet", "training", 32),
    ]


def test_the_largest_batch_is_searched_on_request_from_the_fixed_batch_on() -> None:
    def searches(**selection: object) -> list[tuple[int, str]]:
        return [(cell.batch_size, cell.mode) for cell in asked(**selection) if cell.largest_batch]

    assert searches() == []
    assert searches(largest_batch=True, models=("vit-p2",)) == [(32, "inference")]
    assert searches(largest_batch=True, models=("vit-p2",), batch_size=8) == [(8, "inference")]


def test_a_sustained_window_belongs_to_the_cells_of_throughput() -> None:
    speed = SpeedPlan(batch_sizes=(1, 8), sustained=20.0)
    cells = asked(msgspec.structs.replace(SUITE, speed=speed), models=("vit-p2",))
    found = {(cell.batch_size, cell.mode): cell.sustained for cell in cells if cell.kind == "speed"}
    assert found == {(1, "inference"): 0, (8, "inference"): 20, (8, "training"): 20}


@pytest.mark.parametrize(
    ("selection", "times"),
    [
        ({}, True),
        ({"speeds": "none"}, False),
        ({"conditions": {"limit": 9}}, False),
        ({"conditions": {"epochs": 1}}, False),
        ({"conditions": {"epochs": 1}, "speeds": "all"}, True),
        ({"conditions": {"epochs": 1}, "batch_size": 8}, True),
        ({"conditions": {"epochs": 1}, "largest_batch": True}, True),
        ({"conditions": {"epochs": 1}, "speeds": "only"}, True),
    ],
    ids=str,
)
def test_a_partial_run_measures_speeds_where_something_asks_for_them(selection: object, times: bool) -> None:
    wanted = msgspec.convert(selection, Selection)
    found = expand(SUITE, CATALOG, wanted)
    assert ("speed" in {cell.kind for cell in found}) is times
    assert ("quality" in {cell.kind for cell in found}) is (wanted.speeds != "only")


def test_nothing_but_speeds_of_what_has_none_is_refused() -> None:
    with pytest.raises(NothingSelectedError, match="has no speeds of these models"):
        asked(msgspec.structs.replace(SUITE, speed=SpeedPlan(batch_sizes=(), modes=())), speeds="only")


@pytest.mark.parametrize("asked_for", [{"batch_size": 8}, {"largest_batch": True}], ids=str)
def test_a_batch_size_is_of_no_use_without_speeds(asked_for: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="sets the speed cells, which --speeds none skips"):
        asked(**asked_for, speeds="none")


def test_the_count_of_cells_is_the_product() -> None:
    cells = asked(datasets=("digits", "cifar10"), seeds=(0, 1, 2))
    assert sum(cell.kind == "quality" for cell in cells) == 3 * 2 * 3
    assert sum(cell.kind == "speed" for cell in cells) == 2 * 2 * 3
    assert {cell.dataset for cell in cells} == {"d/digits", "d/cifar10"}


def test_training_speed_is_asked_for_with_the_recipe_and_its_options() -> None:
    cells = asked(models=("resnet",), settings={"supervised": {"lr": "0.5"}})
    assert [(cell.mode, cell.recipe, cell.recipe_options) for cell in cells if cell.kind == "speed"] == [
        ("inference", "recipes/supervised", {}),
        ("inference", "recipes/supervised", {}),
        ("training", "recipes/supervised", {"epochs": 20, "lr": 0.5}),
    ]


def test_baselines_get_no_speed_cells() -> None:
    (cell,) = asked(models=("majority",))
    assert (cell.kind, cell.model.baseline, cell.recipe) == ("quality", True, "b/counting")


def test_the_options_of_a_recipe_are_layered() -> None:
    vit, resnet, _ = quality()
    assert vit.recipe_options == {"epochs": 5, "lr": 0.01}
    assert resnet.recipe_options == {"epochs": 20, "lr": 0.01}
    vit, resnet, _ = quality(settings={"recipes/supervised": {"epochs": "7"}})
    assert vit.recipe_options == resnet.recipe_options == {"epochs": 7, "lr": 0.01}


def test_a_model_that_the_suite_lists_keeps_the_suites_settings() -> None:
    for name in ("vit-p2", "vit:patch_size=2", "vit:patch-size=2"):
        (cell,) = quality(models=(name,))
        assert (cell.model.label, cell.model.options["patch_size"]) == ("vit-p2", 2)
        assert cell.recipe_options["epochs"] == 5


def test_a_name_means_an_entry_without_a_label_and_not_a_labelled_variant() -> None:
    (cell,) = quality(models=("vit",))
    assert (cell.model.label, cell.model.options) == ("s/vit", DEFAULTS)
    unlabelled = Suite(
        name="m",
        summary="x",
        datasets=("digits",),
        models=(ModelEntry(name="vit", options={"patch_size": 2}, recipe_options={"epochs": 7}),),
    )
    (cell,) = quality(unlabelled, models=("s/vit",))
    assert (cell.model.options["patch_size"], cell.recipe_options["epochs"]) == (2, 7)


NEEDY = msgspec.structs.replace(
    SUITE,
    models=(
        *SUITE.models,
        ModelEntry(name="vit", options={"patch_size": 8}, label="started", needs=("head",), recipe="finetune"),
    ),
)


def test_a_model_that_needs_something_of_the_user_waits_for_it() -> None:
    assert [cell.model.label for cell in quality(NEEDY)] == [cell.model.label for cell in quality()]
    (cell,) = quality(NEEDY, models=("started:head=given",))
    assert (cell.model.label, cell.recipe) == ("started", "recipes/finetune")
    assert cell.model.options == {**DEFAULTS, "patch_size": 8, "head": "given"}
    # Its other options are no road to it: they mean another model.
    (cell,) = quality(NEEDY, models=("vit:patch_size=8",))
    assert (cell.model.label, cell.recipe) == ("s/vit:patch_size=8", "recipes/supervised")


@pytest.mark.parametrize("asked_for", ["started", "started:dropout=0.1", "started:head=given,dropout=0.1"])
def test_a_model_that_needs_something_gets_that_and_no_more(asked_for: str) -> None:
    with pytest.raises(UsageError, match=r'"started" of the suite needs head, .* --model started:head=\.\.\.'):
        quality(NEEDY, models=(asked_for,))


def test_any_dataset_can_be_asked_for_fewer_training_images() -> None:
    (cell,) = quality(models=("resnet",), datasets=("digits:train-images=200",))
    assert cell.dataset_options == {"train_images": 200}
    with pytest.raises(UsageError, match="train_images must be at least 2"):
        quality(datasets=("digits:train_images=1",))
    own = _offer("d/own", DatasetSpec(name="own", open="a:b", summary="x", options={"train_images": "few"}))
    catalog = dataclasses.replace(CATALOG, datasets={**CATALOG.datasets, "d/own": own})
    (cell, *_) = expand(SUITE, catalog, Selection(datasets=("own",)))
    assert cell.dataset_options == {"train_images": "few"}, "an option of the dataset's own goes before"


def test_another_model_takes_its_own_recipe_and_name() -> None:
    (cell,) = quality(models=("vit:patch_size=8",))
    assert (cell.model.label, cell.model.options) == ("s/vit:patch_size=8", {**DEFAULTS, "patch_size": 8})
    assert cell.recipe_options["epochs"] == 20
    (cell,) = quality(models=("pretrained",))
    assert (cell.recipe, cell.recipe_options) == ("recipes/finetune", {"steps": 500})


def test_a_recipe_that_is_asked_for_goes_before_all_others_but_not_before_a_baselines() -> None:
    entries = (
        ModelEntry(name="vit", recipe="supervised", recipe_options={"epochs": 3}),
        ModelEntry(name="pretrained", recipe_options={"steps": 7}),
        ModelEntry(name="majority"),
    )
    suite = Suite(name="m", summary="x", datasets=("digits",), recipe="evaluate", models=entries)
    cells = [(cell.recipe, cell.recipe_options) for cell in quality(suite, recipe="finetune")]
    assert cells == [("recipes/finetune", {"steps": 500})] * 2 + [("b/counting", {})]
    suite = msgspec.structs.replace(suite, recipe="")  # the second's own is the one that is asked for
    assert [cell.recipe_options.get("steps") for cell in quality(suite, recipe="finetune")] == [500, 7, None]


def test_a_recipe_that_wants_another_head_gets_it() -> None:
    (cell,) = quality(models=("own-head",))
    assert (cell.recipe, cell.model.options) == ("recipes/evaluate", {"head": "own"})


def test_the_recipe_of_the_whole_suite_serves_models_that_ask_for_none() -> None:
    suite = Suite(
        name="m",
        summary="x",
        datasets=("digits",),
        recipe="finetune",
        models=(
            ModelEntry(name="resnet"),
            ModelEntry(name="own-head"),  # whose spec names another
            ModelEntry(name="vit", recipe="supervised"),
            ModelEntry(name="majority"),
        ),
    )
    assert [cell.recipe for cell in quality(suite)] == [
        *("recipes/finetune", "recipes/finetune", "recipes/supervised", "b/counting")
    ]


def test_a_member_of_a_family_waits_for_prepare_with_what_was_given() -> None:
    (cell,) = quality(models=("zoo/some_net:pretrained=false",))
    assert cell.model.family
    assert (cell.model.name, cell.model.options) == ("zoo/some_net", {"pretrained": "false"})


def test_the_batch_size_replaces_the_suites_beside_one() -> None:
    timed = [(cell.mode, cell.batch_size) for cell in asked(models=("resnet",), batch_size=64) if cell.kind == "speed"]
    assert timed == [("inference", 1), ("inference", 64), ("training", 64)]
    timed = [(cell.mode, cell.batch_size) for cell in asked(models=("resnet",), batch_size=1) if cell.kind == "speed"]
    assert timed == [("inference", 1), ("training", 1)]


def test_data_can_define_a_set_and_a_suite_too() -> None:
    assert {cell.dataset for cell in asked(datasets=("pets",), data={"pets": "/p"})} == {"pets"}
    suite = Suite(name="m", summary="x", datasets=("pets",), models=(ModelEntry(name="vit"),), data={"pets": "p"})
    assert {cell.dataset for cell in asked(suite)} == {"pets"}


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"models": ("vti",)}, 'unknown model "vti". Did you mean "vit"?'),
        ({"models": ("vit:patchsize=2",)}, 'has no option "patchsize". Did you mean "patch_size"?'),
        ({"models": ("resnet:depth=2",)}, 'has no option "depth". Its options: crop_mode, image_size.'),
        ({"models": ("vit", "s/vit:patch_size=2", "vit:patch_size=4", "vit:patch-size=4")}, "are the same model"),
        (
            {"datasets": ("digit",)},
            'unknown dataset "digit". Did you mean "digits"? For a folder of your own, add --data digit=PATH.',
        ),
        ({"datasets": ("digits", "d/digits")}, 'dataset "d/digits" is selected twice'),
        ({"datasets": ("folder",)}, '"folder" is a layout, not a dataset'),
        ({"data": {"pets": "/p"}}, '--data defines the dataset "pets", but nothing selects it; add --dataset pets.'),
        ({"settings": {"supervized": {"epochs": "1"}}}, 'unknown recipe "supervized". Did you mean "supervised"?'),
        ({"settings": {"supervised": {"epoch": "1"}}}, 'has no option "epoch". Did you mean "epochs"?'),
        ({"settings": {"supervised": {"epochs": "few"}}}, "option epochs must be a whole number, not 'few'"),
        ({"settings": {"finetune": {"steps": "1"}}}, "--set names the recipe recipes/finetune, which no"),
    ],
)
def test_a_wrong_selection_is_refused(selection: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(**selection)
    assert words in str(caught.value)


def test_two_equal_models_in_a_suite_are_refused_with_their_places() -> None:
    entries = (ModelEntry(name="vit"), ModelEntry(name="resnet"), ModelEntry(name="s/vit", options={"patch-size": 4}))
    suite = Suite(name="m", summary="x", datasets=("digits",), models=entries)
    with pytest.raises(UsageError, match=r"models\[0\] and models\[2\] are the same model"):
        asked(suite)


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        (Suite(name="m", summary="x", datasets=("digits",)), "no models; give --model"),
        (Suite(name="m", summary="x", models=(ModelEntry(name="vit"),)), "no datasets; give --dataset"),
    ],
)
def test_a_suite_that_selects_nothing_says_what_to_give(suite: Suite, words: str) -> None:
    with pytest.raises(NothingSelectedError, match=words):
        asked(suite)


def test_ten_thousand_cells_expand_completely_and_without_repetition() -> None:
    depths, seeds = range(1, 51), range(200)
    offer = _offer("s/deep", ModelSpec(name="deep", build="a:b", summary="x", options={"depth": 0}))
    catalog = Catalog(models={"s/deep": offer}, recipes=CATALOG.recipes, datasets=CATALOG.datasets)
    suite = Suite(
        name="m",
        summary="x",
        datasets=("digits",),
        seeds=tuple(seeds),
        models=tuple(ModelEntry(name="deep", options={"depth": depth}) for depth in depths),
        speed=SpeedPlan(modes=()),
    )
    cells = expand(suite, catalog, Selection())
    assert [(cell.model.options["depth"], cell.seed) for cell in cells] == list(itertools.product(depths, seeds))
    assert len(cells) == 10_000


def recipe_of(catalog, suite, model):
    [cell] = [cell for cell in expand(suite, catalog, Selection(models=(model,))) if cell.kind == "quality"]
    return cell.recipe


def test_a_member_of_a_pretrained_family_is_fine_tuned_unless_it_starts_from_nothing():
    suite = Suite(name="s", summary="A suite", datasets=("digits",))
    catalog = load_catalog()
    assert recipe_of(catalog, suite, "timm/resnet18.a1_in1k") == "recipes/finetune"
    assert recipe_of(catalog, suite, "timm/resnet18:pretrained=false") == "recipes/supervised"


def doubled(*plugins):
    """Return the catalog with plugins that offer the same short names, too."""
    offers = {kind: dict(getattr(CATALOG, kind)) for kind in ("models", "recipes", "datasets")}
    for plugin in plugins:
        offers["models"][f"{plugin}/vit"] = _offer(
            f"{plugin}/vit", ModelSpec(name="vit", build="a:b", summary="x", recipe="finetune")
        )
        for name in ("supervised", "finetune"):
            offers["recipes"][f"{plugin}/{name}"] = _offer(
                f"{plugin}/{name}", RecipeSpec(name=name, fit="a:b", summary="x", options={"epochs": 1})
            )
        offers["datasets"][f"{plugin}/digits"] = _offer(
            f"{plugin}/digits", DatasetSpec(name="digits", open="a:b", summary="x")
        )
    return Catalog(**offers)


def test_a_suites_short_names_are_those_of_its_own_plugin():
    suite = Suite(
        name="s",
        summary="x",
        datasets=("digits",),
        models=(ModelEntry(name="vit"), ModelEntry(name="s/resnet", recipe="finetune")),
        recipes={"finetune": {"epochs": 7}},
    )
    cells = [cell for cell in expand(suite, doubled("mine"), Selection(), home="mine") if cell.kind == "quality"]
    assert [(cell.model.name, cell.recipe, cell.dataset) for cell in cells] == [
        ("mine/vit", "mine/finetune", "mine/digits"),
        ("s/resnet", "mine/finetune", "mine/digits"),
    ]
    assert [cell.recipe_options for cell in cells] == [{"epochs": 7}] * 2
    with pytest.raises(UsageError, match="is ambiguous; give one of: "):
        expand(suite, doubled("mine"), Selection())


def test_the_users_short_names_are_nobodys_own():
    suite = Suite(name="s", summary="x", datasets=("mine/digits",), models=(ModelEntry(name="mine/vit"),))
    for selection in ({"datasets": ("digits",)}, {"models": ("vit",)}, {"settings": {"finetune": {"epochs": "1"}}}):
        with pytest.raises(UsageError, match="is ambiguous; give one of: "):
            expand(suite, doubled("mine"), Selection(**selection), home="mine")


def test_a_model_finds_its_own_recipe_and_the_defaults_are_vitbenchs_own():
    suite = Suite(name="s", summary="x", datasets=("d/digits",))
    catalog = doubled("mine", "other")
    assert recipe_of(catalog, suite, "mine/vit") == "mine/finetune"
    assert recipe_of(catalog, suite, "s/resnet") == "recipes/supervised"
    assert recipe_of(catalog, suite, "s/pretrained") == "recipes/finetune"
    assert recipe_of(catalog, suite, "zoo/net:pretrained=false") == "recipes/supervised"


@pytest.mark.parametrize("name", ["quick", "cifar", "score"])
def test_another_plugin_takes_no_name_of_the_suites_that_vitbench_ships(name):
    catalog = load_catalog()
    offers = {kind: dict(getattr(catalog, kind)) for kind in ("models", "recipes", "datasets")}
    for each in offers.values():
        for offer in list(each.values()):
            other = f"other/{offer.spec.name}"
            each[other] = dataclasses.replace(offer, name=other)
    both = dataclasses.replace(catalog, **offers)
    suite = read_suite(Path(catalog.suite(name).spec.path))
    models, datasets = (("scratch/vit-tiny",), ("datasets/digits",)) if name == "score" else ((), ())
    selection = Selection(models=models, datasets=datasets)
    assert expand(suite, both, selection, home="suites") == expand(suite, catalog, selection, home="suites")


@pytest.mark.parametrize(
    ("fields", "given", "recipe"),
    [
        ({}, {}, "recipes/supervised"),
        ({"pretrained_on": "ImageNet"}, {}, "recipes/finetune"),
        ({"pretrained_on": "ImageNet"}, {"pretrained": "false"}, "recipes/supervised"),
        ({"pretrained_on": "ImageNet", "recipe": "mine"}, {}, "mine"),
        ({"options": {"checkpoint": ""}}, {"checkpoint": ""}, "recipes/supervised"),
        ({"options": {"checkpoint": ""}}, {"checkpoint": "w.pt"}, "recipes/finetune"),
        ({"options": {"checkpoint": ""}}, {"checkpoint": "w.pt", "pretrained": "false"}, "recipes/finetune"),
        ({"options": {"checkpoint": ""}, "recipe": "mine"}, {"checkpoint": "w.pt"}, "mine"),
    ],
)
def test_the_recipe_that_a_model_takes_by_itself(fields, given, recipe):
    assert default_recipe(ModelSpec(name="net", build="a:b", summary="x", **fields), given) == recipe


def test_files_that_a_suite_names_are_relative_to_it_and_the_users_are_not(tmp_path: Path) -> None:
    """Of models, of members of a family, of recipes, of the models that these name, and of datasets."""
    model = ModelSpec(name="net", build="a:b", summary="x", options={"checkpoint": "", "width": 1})
    family = ModelSpec(name="t*", build="a:b", summary="x", resolve="a:r", options={"checkpoint": ""})
    options = {"table": Option("", kind="file"), "teacher": Option("", kind="model"), "note": "n.txt"}
    distil = RecipeSpec(name="distil", fit="a:b", summary="x", options=options)
    shades = DatasetSpec(name="shades", open="a:b", summary="x", options={"index": Option("", kind="file")})
    catalog = Catalog(
        models={f"s/{spec.name}": _offer(f"s/{spec.name}", spec) for spec in (model, family)},
        recipes={"s/distil": _offer("s/distil", distil)},
        datasets={"s/shades": _offer("s/shades", shades)},
    )
    suite = Suite(
        name="mine",
        summary="x",
        datasets=("shades:index=i.csv",),
        recipe="distil",
        recipes={"distil": {"table": "t.csv", "teacher": 'net:checkpoint="a,b=c.pt"'}},
        models=(
            ModelEntry(name="net", options={"checkpoint": "w.pt"}),
            ModelEntry(name="net", options={"checkpoint": str(tmp_path / "abs.pt")}),
            ModelEntry(name="s/tiny", options={"checkpoint": "../w.pt"}),
        ),
    )
    cells = [cell for cell in expand(suite, catalog, Selection(), base=tmp_path) if cell.kind == "quality"]

    assert [cell.model.options["checkpoint"] for cell in cells] == [
        str(tmp_path / name) for name in ("w.pt", "abs.pt", "../w.pt")
    ]
    assert [cell.model.label for cell in cells[:2]] == ["s/net:checkpoint=w.pt", f"s/net:checkpoint={tmp_path}/abs.pt"]
    assert cells[2].model.written == {"checkpoint": "../w.pt"}
    assert cells[0].dataset_options == {"index": str(tmp_path / "i.csv")}
    assert cells[0].recipe_options == {
        "table": str(tmp_path / "t.csv"),
        "teacher": f's/net:checkpoint="{tmp_path / "a,b=c.pt"}"',
        "note": "n.txt",
    }

    chosen = Selection(models=("net:checkpoint=w.pt", "net:checkpoint=mine.pt"), datasets=("shades:index=i.csv",))
    theirs, users = (cell for cell in expand(suite, catalog, chosen, base=tmp_path) if cell.kind == "quality")
    assert (theirs.model, users.model.options["checkpoint"]) == (cells[0].model, "mine.pt")
    assert users.dataset_options == {"index": "i.csv"}
