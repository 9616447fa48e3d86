"""The types that plugins offer refuse what could not work, in a sentence that names its owner."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.errors import UnusableError
from vitbench.specs import (
    DatasetSpec,
    MetricSpec,
    ModelSpec,
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


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", ".a", "a:b", "a\n", "é", None, 3, "*a"])
def test_a_wrong_name_is_refused(name: object) -> None:
    for make in (
        lambda: model(name=name),
        lambda: DatasetSpec(name=name, open="a:b", summary="x"),
        lambda: RecipeSpec(name=name, fit="a:b", summary="x"),
        lambda: metric(name=name),
        lambda: SuiteSpec(name=name, path="/a.toml", summary="x"),
    ):
        with pytest.raises(ValueError, match="must be letters, digits"):
            make()


@pytest.mark.parametrize("name", ["vit-p4-d8", "vit_base_patch16_224.augreg_in21k", "3d", "A"])
def test_a_usual_name_is_taken(name: str) -> None:
    assert model(name=name).name == name


@pytest.mark.parametrize("target", ["mine.net", "mine.net:", ":build", "mine net:build", "mine:1", 7, None])
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


@pytest.mark.parametrize("in_channels", [None, 1, 2, 4, 13])
def test_a_model_takes_any_number_of_channels(in_channels: int | None) -> None:
    assert model(in_channels=in_channels).in_channels == in_channels
    values = (0.5,) * (in_channels or 5)
    model(in_channels=in_channels, preprocess=Preprocess(mean=values, std=values))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"options": {"patch-size": 4}}, "option 'patch-size' must be a Python identifier"),
        ({"options": {"sizes": (1, "2")}}, "option sizes must default to int"),
        ({"options": {"sizes": {1}}}, "option sizes must default to a bool, int, float, str"),
        ({"options": {"depth": None}}, "option depth needs a type"),
        ({"options": {"num_classes": 3}}, "option num_classes has the name of an argument of build"),
        *(
            ({"image_size": size}, "image_size must be positive, a side or .height, width., or None, not")
            for size in (0, -8, True, "32", (32,), (32, 0), (1, 2, 3), (32.0, 32))
        ),
        ({"in_channels": 0}, "in_channels must be a positive whole number or None, not 0"),
        (
            {"in_channels": 4, "preprocess": Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3)},
            "preprocess has values for 3 channels, and in_channels is 4",
        ),
        ({"name": "*"}, "a family is named"),
        ({"resolve": "mine:resolve"}, "a family is named"),
        ({"name": "*", "resolve": "nonsense"}, "resolve must be an import string"),
    ],
)
def test_a_wrong_model_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"better": "up"}, "better must be higher, lower or neither"),
        ({"needs": "speed"}, "needs must be one of architecture"),
    ],
)
def test_a_wrong_metric_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metric(**fields)


@pytest.mark.parametrize("words", ["timm", None, 3, (1,), {"a": 1}])
@pytest.mark.parametrize(
    ("make", "role"),
    [
        (model, "requires"),
        (model, "tags"),
        (lambda **fields: DatasetSpec(name="d", open="a:b", summary="x", **fields), "requires"),
        (lambda **fields: DatasetSpec(name="d", open="a:b", summary="x", **fields), "augmentations"),
    ],
)
def test_several_texts_are_a_tuple(make: Callable[..., object], role: str, words: object) -> None:
    with pytest.raises(ValueError, match=rf'{role} must be a tuple of texts, such as \("one",\) with its comma'):
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
    assert sources_of(SuiteSpec(name="s", path="/a.toml", summary="x")) == set()
    assert sources_of(model(build=functools.partial(dataclasses.replace))) == {"dataclasses"}


def test_a_data_set_knows_only_harmless_augmentations() -> None:
    with pytest.raises(ValueError, match="augmentations may hold 'crop' and 'flip'"):
        DatasetSpec(name="d", open="a:b", summary="x", augmentations=("rotate",))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mean": 0.5}, r"mean and std must be tuples, such as \(0.5,\)"),
        ({"std": "1"}, "must be tuples"),
        ({"mean": (0.5,), "std": (0.5, 0.5, 0.5)}, "one value per channel"),
        ({"mean": (), "std": ()}, "for one channel or more"),
        ({"std": (0.0,)}, "std must be positive"),
        ({"interpolation": "nearest"}, "bilinear or bicubic"),
        ({"crop_fraction": 0.0}, "above 0"),
        ({"crop_fraction": 1.1}, "at most 1"),
    ],
)
def test_a_wrong_preprocessing_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Preprocess(**{"mean": (0.5,), "std": (0.5,), **fields})


def test_a_spec_cannot_change_after_it_is_given() -> None:
    options = {"depth": 4}
    spec = model(options=options)
    options["depth"] = 8
    assert spec.options == {"depth": 4}
    with pytest.raises(TypeError):
        spec.options["depth"] = 8  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]


def test_specs_take_keywords_only() -> None:
    with pytest.raises(TypeError):
        ModelSpec("net", "mine.net:build", "A net")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "recipe"),
    [
        ({}, "recipes/supervised"),
        ({"pretrained_on": "ImageNet"}, "recipes/finetune"),
        ({"pretrained_on": "ImageNet", "recipe": "evaluate"}, "evaluate"),
    ],
)
def test_the_recipe_follows_the_weights(fields: dict[str, str], recipe: str) -> None:
    assert model(**fields).default_recipe == recipe


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
