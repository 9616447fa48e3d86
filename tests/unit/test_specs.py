"""The types that plugins offer refuse what could not work, in a sentence that names its owner."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.errors import UnusableError
from vitbench.specs import (
    DatasetSpec,
    FigureSpec,
    MeasurementSpec,
    MetricSpec,
    ModelSpec,
    Option,
    Preprocess,
    RecipeSpec,
    SuiteSpec,
    load_target,
    sources_of,
)


def model(**fields: object) -> ModelSpec:
    return ModelSpec(**{"name": "net", "build": "mine.net:build", "summary": "A net", **fields})


def metric(**fields: object) -> MetricSpec:
    given = {"name": "error", "measure": "m:f", "unit": "1", "better": "lower", "needs": "timing", "summary": "x"}
    return MetricSpec(**{**given, **fields})


def figure(**fields: object) -> FigureSpec:
    return FigureSpec(**{"name": "looks", "draw": "m:f", "summary": "Where it looks", **fields})


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a:b", "a\n", "é", None, "*a"])
def test_a_wrong_name_is_refused(name: object) -> None:
    for make in (
        lambda: model(name=name),
        lambda: DatasetSpec(name=name, open="a:b", summary="x"),
        lambda: RecipeSpec(name=name, fit="a:b", summary="x"),
        lambda: metric(name=name),
        lambda: figure(name=name),
        lambda: SuiteSpec(name=name, path="/a.toml", summary="x"),
    ):
        with pytest.raises(ValueError, match="must be letters, digits"):
            make()


@pytest.mark.parametrize("name", ["vit-p4-d8", "vit_base_patch16_224.augreg_in21k", "3d", "A"])
def test_a_usual_name_is_taken(name: str) -> None:
    assert model(name=name).name == name


@pytest.mark.parametrize("target", ["mine.net", "mine.net:", ":build", "mine net:build", "mine:1", None])
def test_a_target_is_an_import_string_or_a_function(target: object) -> None:
    with pytest.raises(ValueError, match="model net: build must be an import string"):
        model(build=target)
    assert model(build=len).build is len


@pytest.mark.parametrize("summary", ["", "  ", "two\nlines", None])
def test_a_summary_is_one_line(summary: object) -> None:
    with pytest.raises(ValueError, match="model net: summary must be one line"):
        model(summary=summary)


@pytest.mark.parametrize(("given", "size"), [(None, None), (32, (32, 32)), ((32, 64), (32, 64)), ([64, 32], (64, 32))])
def test_an_image_size_is_a_height_and_a_width(given: object, size: tuple[int, int] | None) -> None:
    spec = model(image_size=given)
    assert (spec.image_size, spec.input_size) == (size, size)
    assert dataclasses.replace(spec, summary="again").input_size == size


@pytest.mark.parametrize("in_channels", [None, 1, 13])
def test_a_model_takes_any_number_of_channels(in_channels: int | None) -> None:
    assert model(in_channels=in_channels).in_channels == in_channels
    values = (0.5,) * (in_channels or 5)
    model(in_channels=in_channels, preprocess=Preprocess(mean=values, std=values))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": {"patch-size": 4}}, "option 'patch-size' must be a Python identifier"),
        ({"options": {"class": 4}}, "option 'class' must be a Python identifier"),
        ({"options": {"depth": 2**70}}, "option depth has a default that it refuses: is too large"),
        ({"options": {"teacher": Option("", kind="model")}}, "option teacher is of kind model, which only a recipe"),
        ({"options": None}, "model net: options must be a dict, not None"),
        ({"options": ["depth"]}, "model net: options must be a dict"),
        ({"arguments": ("depth",)}, "model net: arguments must be a dict"),
        ({"preprocess": (0.5, 0.5)}, "model net: preprocess must be a vitbench.Preprocess or None, not .0.5, 0.5."),
        ({"options": {"sizes": (1, "2")}}, "option sizes must default to int"),
        ({"options": {"sizes": {1}}}, "option sizes must default to a bool, int, float, str"),
        ({"options": {"depth": None}}, "option depth needs a type"),
        ({"options": {"num_classes": 3}}, "option num_classes has the name of an argument of build"),
        *(
            ({"image_size": size}, "image_size must be positive, a side or .height, width., or None, not")
            for size in (0, True, "32", (32,), (32, 0), (32.0, 32))
        ),
        ({"in_channels": 0}, "in_channels must be a positive whole number or None, not 0"),
        (
            {"in_channels": 4, "preprocess": Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3)},
            "preprocess has values for 3 channels, and in_channels is 4",
        ),
        ({"name": "*"}, "a family's name ends in '.', and it has a resolve"),
        ({"name": "mixer-*"}, "a family's name ends in"),
        ({"resolve": "mine:resolve"}, "a family's name ends in"),
        ({"members": "mine:members"}, "only a family has members"),
        ({"name": "*", "resolve": "mine:resolve", "members": "nonsense"}, "members must be an import string"),
        ({"arguments": {"depth": 2}, "options": {"depth": 4}}, "arguments hold depth, which is an option, too"),
        ({"arguments": {"num_classes": 2}}, "arguments hold num_classes, which build is offered"),
        ({"recipe_options": {"lr": 0.1}}, "recipe_options of lr must be a dict, not 0.1"),
        ({"recipe_options": {"a b": {}}}, 'recipe_options must name recipes, "name" or "plugin/name", not \'a b\''),
        ({"recipe_options": {"sgd": {"l-r": 1}}}, "recipe_options of sgd: 'l-r' must be the name of an option"),
        ({"recipe_options": {"sgd": {"lr": {1}}}}, "recipe_options of sgd: lr must be a bool, int, float, str, None"),
        ({"name": "*", "resolve": "nonsense"}, "resolve must be an import string"),
    ],
)
def test_a_wrong_model_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model(**fields)


@pytest.mark.parametrize("words", ["timm", None, (1,), {"a": 1}])
@pytest.mark.parametrize(
    ("make", "role"),
    [
        (model, "tags"),
        (lambda **fields: DatasetSpec(name="d", open="a:b", summary="x", **fields), "requires"),
        (lambda **fields: DatasetSpec(name="d", open="a:b", summary="x", **fields), "augmentations"),
    ],
)
def test_several_texts_are_a_tuple(make: Callable[..., object], role: str, words: object) -> None:
    with pytest.raises(ValueError, match=rf'{role} must be a tuple of strings, such as \("one",\) with its comma'):
        make(**{role: words})
    texts = ["crop"]
    spec = make(**{role: texts})
    texts.append("other")
    assert getattr(spec, role) == ("crop",)


def test_the_sources_of_a_spec_are_those_of_its_import_strings_and_functions() -> None:
    family = model(name="*", build="one.net:build", resolve="two:resolve")
    assert sources_of(family) == {"one", "two"}
    assert sources_of(DatasetSpec(name="d", open="one:a", detect="two.b:c", summary="x")) == {"one", "two"}
    assert sources_of(RecipeSpec(name="r", fit=dataclasses.replace, summary="x")) == {"dataclasses"}
    assert sources_of(metric(measure="m.n:f")) == {"m"}
    assert sources_of(figure(draw="m.n:f")) == {"m"}
    assert sources_of(SuiteSpec(name="s", path="/a.toml", summary="x")) == set()
    assert sources_of(model(build=functools.partial(dataclasses.replace))) == {"dataclasses"}


@pytest.mark.parametrize("splits", [(), ("train", "dev"), "test"])
def test_a_data_set_has_known_splits(splits: object) -> None:
    with pytest.raises(ValueError, match="dataset d: splits m"):
        DatasetSpec(name="d", open="a:b", summary="x", splits=splits)


def test_a_data_set_knows_only_harmless_augmentations() -> None:
    with pytest.raises(ValueError, match="augmentations may hold 'crop' and 'flip'"):
        DatasetSpec(name="d", open="a:b", summary="x", augmentations=("rotate",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": 0.5}, r"mean, std and fill must be tuples, such as \(0.5,\)"),
        ({"std": "1"}, "must be tuples"),
        ({"mean": (0.5,), "std": (0.5, 0.5, 0.5)}, "one value per channel"),
        ({"mean": (), "std": ()}, "for one channel or more"),
        ({"std": (0.0,)}, "std must be positive"),
        ({"interpolation": "nearest"}, "bilinear or bicubic"),
        ({"crop_fraction": 0.0}, "above 0"),
        ({"crop_fraction": 2.1}, "at most 2"),
        ({"crop_mode": "middle"}, "center, squash or border"),
    ],
)
def test_a_wrong_preprocessing_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocess(**{"mean": (0.5,), "std": (0.5,), **fields})


@pytest.mark.parametrize("name", ["rank", "verdict", "img_size"])
def test_a_measurement_that_a_fixed_column_would_hide_is_refused(name: str) -> None:
    words = f"{name} is the name of a column that every table has; choose another name$"
    fields = {"measure": "a:b", "unit": "1", "better": "higher", "needs": "predictions", "summary": "x"}
    for given in ({"name": name}, {"name": "it", "measurements": (name,)}):
        with pytest.raises(ValueError, match=words):
            MetricSpec(**{**fields, **given})  # type: ignore[arg-type]
    assert MetricSpec(**fields, name=name, measurements=("it",)).gives[0].name == "it"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"draw": "m"}, "figure looks: draw must be an import string"),
        ({"summary": "two\nlines"}, "figure looks: summary must be one line of text"),
        ({"needs": "kept"}, "figure looks: needs must be a tuple of strings"),
        ({"needs": ("images",)}, "figure looks: needs must be among predictions, kept, not 'images'"),
        ({"requires": "torchcam"}, "figure looks: requires must be a tuple of strings"),
        ({"options": {"subject": 1}}, "figure looks: option subject has the name of an argument of draw"),
        ({"options": {"teacher": Option("", kind="model")}}, "figure looks: option teacher is of kind model"),
    ],
)
def test_a_wrong_figure_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        figure(**fields)


def test_a_spec_cannot_change_after_it_is_given() -> None:
    options = {"depth": 4}
    spec = model(options=options)
    options["depth"] = 8
    assert (spec.options, spec.defaults) == ({"depth": Option(4)}, {"depth": 4})
    with pytest.raises(TypeError):
        spec.options["depth"] = 8  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]


def test_specs_take_keywords_only() -> None:
    with pytest.raises(TypeError):
        ModelSpec("net", "mine.net:build", "A net")  # type: ignore[misc]


def test_a_layout_and_a_baseline_are_known_by_their_fields() -> None:
    assert DatasetSpec(name="folder", open="a:b", detect="a:c", summary="x").is_layout
    assert not DatasetSpec(name="digits", open="a:b", summary="x").is_layout
    assert model(tags=("baseline",)).is_baseline
    assert not model(tags=("vision",)).is_baseline


def test_a_target_is_loaded_through_classes_too() -> None:
    assert load_target("pathlib:Path.cwd")() == Path.cwd()
    assert load_target(len) is len


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("pathlib:no_such_thing", "AttributeError"),
        ("specs_target_that_fails:f", "ZeroDivisionError"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_named(
    target: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "specs_target_that_fails.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnusableError, match=f"cannot import {target}: {words}"):
        load_target(target)
    assert "specs_target_that_fails" not in sys.modules


def test_a_target_that_is_no_function_says_so() -> None:
    with pytest.raises(UnusableError, match=r"^sys:maxsize is not a function but of type int$"):
        load_target("sys:maxsize")


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "kind", "several", "optional"),
    [
        (Option(4), "int", False, False),
        (Option(0.5), "float", False, False),
        (Option(True), "bool", False, False),
        (Option(""), "str", False, False),
        (Option((2, 2)), "int", True, False),
        (Option((), type="float"), "float", True, False),
        (Option(None, type="int"), "int", False, True),
    ],
)
def test_the_default_says_what_an_option_is(option: Option, kind: str, several: bool, optional: bool) -> None:
    assert (option.value_type, option.several, option.optional) == (kind, several, optional)


@pytest.mark.parametrize(
    ("default", "fields", "words"),
    [
        (None, {}, 'needs a type, such as type="int", since its default is None'),
        ((), {}, "needs a type"),
        ({}, {}, "must default to a bool, int, float, str, None or a tuple of one kind, not {}"),
        ((1, (2,)), {}, "must default to a bool"),
        ((1, 2.0), {}, "must default to int, not"),
        (1, {"type": "float"}, "must default to float, not 1"),
        (1, {"type": "complex"}, "has the type 'complex'; it must be bool, int, float or str"),
        ("", {"kind": "folder"}, "has the kind 'folder'; it must be value, file or model"),
        (4, {"kind": "file"}, "of kind file must default to text, not 4"),
        (None, {"kind": "model", "type": "str"}, "of kind model must default to text, not None"),
        (4, {"help": "two\nlines"}, "must have a help of one line"),
        (4, {"minimum": 5}, "has a default that it refuses: must be at least 5, not 4"),
        (4, {"maximum": 3.5}, "has a default that it refuses: must be at most 3.5, not 4"),
        ("b", {"choices": ("a", "c")}, "has a default that it refuses: must be one of a, c, not b"),
        ((1, 3), {"choices": (1, 2)}, "must be one of 1, 2, not 3"),
        (float("nan"), {}, "must be a finite number, not nan"),
        (2**63, {}, "has a default that it refuses: is too large: 9223372036854775808"),
        (4, {"help": None}, "must have a help of one line of text, not None"),
        (None, {"type": "int", "minimum": 5, "maximum": 1}, "has a minimum above its maximum: 5 and 1"),
        (4, {"minimum": "2"}, "has a minimum that is not a number: '2'"),
        (4, {"maximum": True}, "has a maximum that is not a number: True"),
        (4, {"minimum": float("nan")}, "has a minimum that is not a number: nan"),
        ("a", {"minimum": 1}, "has a minimum, which only numbers have, and is str"),
        (True, {"maximum": 1}, "has a maximum, which only numbers have, and is bool"),
        ("a", {"choices": "abc"}, "has choices that are not a tuple, such as (\"one\",) with its comma: 'abc'"),
        (4, {"choices": 4}, "has choices that are not a tuple"),
        (None, {"type": "int", "choices": ("1", "2")}, "has choices that are not all int: '1', '2'"),
        (1, {"choices": (1, True)}, "has choices that are not all int: 1, True"),
    ],
)
def test_a_wrong_option_is_refused(default: object, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Option(default, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, ""), (2.5, ""), (None, ""), (0, "must be at least 1, not 0"), (9, "must be at most 8, not 9")],
)
def test_an_option_says_what_is_wrong_with_a_value(value: float | None, words: str) -> None:
    assert Option(4, minimum=1, maximum=8).fault(value) == words


def test_limits_hold_for_each_item_of_a_tuple() -> None:
    assert Option((2, 2), minimum=1).fault((3, 0)) == "must be at least 1, not 0"


def test_whole_numbers_may_be_choices_and_limits_of_any_number() -> None:
    option = Option(0.5, choices=[0.5, 1], minimum=0, maximum=math.inf)
    assert (option.choices, option.fault(1.0), option.fault(0.25)) == ((0.5, 1), "", "must be one of 0.5, 1, not 0.25")


def test_the_checkpoint_of_a_model_is_a_file() -> None:
    assert model(options={"checkpoint": ""}).declared["checkpoint"].kind == "file"
    own = Option("", kind="file", help="Of the encoder")
    assert model(options={"checkpoint": own}).declared["checkpoint"] == own


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: model(options={"in_channels": 3}),
            "model net: option in_channels has the name of an argument of build",
        ),
        (
            lambda: DatasetSpec(name="d", open="a:b", summary="x", options={"split": "a"}),
            "dataset d: option split has the name of an argument of open",
        ),
        (
            lambda: RecipeSpec(name="r", fit="a:b", summary="x", model_options={"image_size": 3}),
            "recipe r: option image_size has the name of an argument of build",
        ),
        (lambda: RecipeSpec(name="r", fit="a:b", summary="x", options={"a": {}}), "recipe r: option a must default to"),
    ],
)
def test_an_option_belongs_to_whom_it_is_declared_by(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# Datasets and recipes -------------------------------------------------------------------------------------------------


def test_a_dataset_has_options_and_a_target() -> None:
    spec = DatasetSpec(name="d", open="a:b", summary="x", options={"fold": Option(1, minimum=1, maximum=5), "seed": 0})
    assert (spec.defaults, spec.declared["fold"].maximum) == ({"fold": 1, "seed": 0}, 5)
    assert spec.target == "single_label"
    with pytest.raises(ValueError, match="dataset d: target must be single_label, not 'several_labels'"):
        DatasetSpec(name="d", open="a:b", summary="x", target="several_labels")  # type: ignore[arg-type]


def test_a_recipe_says_under_which_options_it_chooses_by_validation_images() -> None:
    options = {"keep": Option("last", choices=("last", "best")), "k": 5}
    spec = RecipeSpec(name="r", fit="a:b", summary="x", options=options, chooses={"keep": "best"})
    assert spec.chooses_under({"keep": "best", "k": 5}) == "keep=best"
    assert spec.chooses_under({"keep": "last", "k": 5}) == ""
    assert RecipeSpec(name="r", fit="a:b", summary="x").chooses_under({}), "it does not say"
    assert RecipeSpec(name="r", fit="a:b", summary="x", chooses=False).chooses_under({}) == ""
    for wrong, words in (({"epochs": 1}, "names epochs"), ({"keep": "bset"}, "one of last, best"), ("keep", "a dict")):
        with pytest.raises(ValueError, match=f"recipe r: chooses.* {words}"):
            RecipeSpec(name="r", fit="a:b", summary="x", options=options, chooses=wrong)  # type: ignore[arg-type]


def test_a_recipe_has_a_step_and_says_what_it_requires() -> None:
    spec = RecipeSpec(name="r", fit="one:fit", step="two:step", summary="x", requires=["peft"])
    assert spec.requires == ("peft",)
    assert sources_of(spec) == {"one", "two"}
    assert RecipeSpec(name="r", fit="a:b", summary="x").step is None
    with pytest.raises(ValueError, match="recipe r: step must be an import string"):
        RecipeSpec(name="r", fit="a:b", step="nonsense", summary="x")
    with pytest.raises(ValueError, match="recipe r: requires must be a tuple of strings"):
        RecipeSpec(name="r", fit="a:b", summary="x", requires="peft")  # type: ignore[arg-type]


# Metrics --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "parts", "at"),
    [
        ({"needs": "timing"}, ("timing",), ("fixed_batch",)),
        ({"needs": "timing", "at": "batch_1"}, ("timing",), ("batch_1",)),
        ({"needs": ("timing", "energy"), "at": ("training", "fixed_batch")}, ("timing", "energy"), None),
        ({"needs": "startup"}, ("startup",), ("batch_1",)),
        ({"needs": "architecture"}, ("architecture",), ("fixed_batch", "batch_1", "training", "quality")),
        ({"needs": "predictions"}, ("predictions",), ("quality",)),
        ({"needs": ["predictions", "images"]}, ("predictions", "images"), ("quality",)),
        ({"needs": ("architecture", "training")}, ("architecture", "training"), ("quality",)),
        ({"needs": "agreement"}, ("agreement",), ("quality", "fixed_batch")),
    ],
)
def test_a_metric_is_taken_where_it_says_or_where_its_parts_are(
    fields: dict[str, object], parts: tuple[str, ...], at: tuple[str, ...] | None
) -> None:
    spec = metric(**fields)
    assert (spec.parts, spec.taken_at) == (parts, at or fields["at"])


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"needs": "timing"}, True),
        ({"needs": ("predictions", "memory")}, True),
        ({"needs": "predictions"}, False),
        ({"needs": "architecture"}, False),
        ({"needs": "training", "machine_bound": False}, False),
        ({"needs": "predictions", "machine_bound": True}, True),
    ],
)
def test_a_time_holds_for_its_machine(fields: dict[str, object], bound: bool) -> None:
    assert metric(**fields).holds_for_machine is bound


def test_a_metric_gives_itself_or_what_it_names() -> None:
    assert metric().gives == (MeasurementSpec(name="error"),)
    other = MeasurementSpec(name="b", unit="s", better="higher", title="B", scale=1e3, shown_unit="ms", columns="wide")
    assert metric(measurements=["a", other]).gives == (MeasurementSpec(name="a"), other)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": {"level": 0.9}}, r'title must mention the option level, such as "to \{level\}", not \'\''),
        ({"options": {"level": 0.9}, "title": "to {levle}"}, "title 'to {levle}' cannot be formatted: KeyError"),
        ({"options": {"subject": 0.9}}, "option subject has the name of an argument of measure"),
        ({"options": {"f": Option("", kind="file")}, "title": "{f}"}, "option f must be a value, not of kind file"),
        ({"needs": "speed"}, "needs must be one of architecture"),
        ({"needs": ()}, "metric error: needs must name a part"),
        ({"needs": ("timing", "speed")}, "metric error: needs must be one of architecture, .*, not 'speed'"),
        ({"needs": 3}, "metric error: needs must be a tuple of strings"),
        ({"at": "batch_2"}, "metric error: at must be one of quality, batch_1, .*, not 'batch_2'"),
        ({"better": "up"}, "metric error: better must be higher, lower or neither, not 'up'"),
        ({"columns": "some"}, "metric error: columns must be main, wide, all, not 'some'"),
        ({"scale": 0}, "metric error: scale must be a positive number, not 0"),
        ({"scale": float("inf")}, "metric error: scale must be a positive number, not inf"),
        ({"title": "two\nlines"}, "metric error: title must be one line of text"),
        ({"unit": 3}, "metric error: unit must be one line of text, not 3"),
        ({"measurements": "one"}, "metric error: measurements must be a tuple, such as"),
        ({"measurements": (1,)}, "metric error: measurements must contain names or MeasurementSpec"),
        ({"measurements": ("a", "a")}, "metric error: measurements must contain each name once"),
        ({"measurements": ("a b",)}, "measurement name 'a b' must be letters"),
        ({"requires": "scipy"}, "metric error: requires must be a tuple of strings"),
    ],
)
def test_a_metric_that_could_not_be_shown_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metric(**fields)


@pytest.mark.parametrize("name", ["*", "mixer-*", "a*"])
def test_a_family_is_known_by_its_name(name: str) -> None:
    spec = model(name=name, resolve="mine:resolve", members="mine:members")
    assert spec.is_family
    assert not model().is_family


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"summary": "half of \ud83d"}, "model m: summary must be text that UTF-8 can encode"),
        ({"tags": ("\udce9",)}, "model m: tags must be text that UTF-8 can encode"),
        (
            {"options": {"size": "\udce9"}},
            "model m: option size has a default that it refuses: must be text that UTF-8",
        ),
        ({"options": {"size": 10**5000}}, "option size has a default that it refuses: is too large: 0x"),
    ],
)
def test_what_cannot_be_stored_is_told_of_its_spec(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ModelSpec(name="m", build="a:b", **{"summary": "x", **fields})
