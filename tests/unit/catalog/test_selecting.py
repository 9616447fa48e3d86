"""What ``vitbench ls`` is asked for: names that fit a pattern, members of families, and the options of one offer."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from vitbench.catalog import Catalog, Offer, Plugin, Problem
from vitbench.catalog.selecting import select, with_options
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import DatasetSpec, FigureSpec, ModelSpec, RecipeSpec

Members = Callable[[str], Iterable[object]]
MIXERS = ("mixer-b16", "mixer-s16", "mixer-s32", "mixer-listed")


def plugin(name: str) -> Plugin:
    return Plugin(name=name, distribution=f"vitbench-{name}", version="1", module=name)


def model(name: str, **fields: Any) -> Offer[ModelSpec]:
    owner, _, short = name.partition("/")
    spec = ModelSpec(**{"name": short, "build": "a:b", "summary": "A net", **fields})
    return Offer(name=name, plugin=plugin(owner), spec=spec)


def resolve(name: str) -> ModelSpec:
    if name not in MIXERS:
        raise LookupError(f"there is no mixer {name}")
    return ModelSpec(name=name, build="a:b", summary="A mixer", options={"depth": len(name)})


def catalog(members: Members | str | None = lambda pattern: MIXERS) -> Catalog:
    models = [
        model("a/vit-s", options={"width": 8}),
        model("a/vit-b"),
        model("b/vit-s"),
        model("b/both"),
        model("zoo/mixer-listed"),
        model("zoo/mixer-*", resolve=resolve, members=members),
    ]
    dataset = DatasetSpec(name="both", open="a:b", summary="Data", options={"fold": 1})
    recipe = RecipeSpec(name="sgd", fit="a:b", summary="SGD", options={"lr": 0.1})
    figure = FigureSpec(name="both", draw="a:b", summary="A figure", options={"layer": 0})
    return Catalog(
        plugins=(plugin("a"), plugin("b"), plugin("zoo")),
        problems=(Problem(plugin="broken", distribution="d", version="1", stage="load", error="no torch"),),
        left_out=("gone",),
        models={each.name: each for each in models},
        datasets={"b/both": Offer(name="b/both", plugin=plugin("b"), spec=dataset)},
        recipes={"b/sgd": Offer(name="b/sgd", plugin=plugin("b"), spec=recipe)},
        figures={"b/both": Offer(name="b/both", plugin=plugin("b"), spec=figure)},
    )


@pytest.mark.parametrize(
    ("pattern", "offers", "members"),
    [
        ("a/*", ["a/vit-s", "a/vit-b"], []),
        ("vit-s", ["a/vit-s", "b/vit-s"], []),
        ("vit-[ab]", ["a/vit-b"], []),
        ("?/vit-s", ["a/vit-s", "b/vit-s"], []),
        ("zoo/mixer-s*", [], ["zoo/mixer-s16", "zoo/mixer-s32"]),
        ("*16", [], ["zoo/mixer-b16", "zoo/mixer-s16"]),
        ("zoo/mixer-b16", [], ["zoo/mixer-b16"]),
        ("z*/mixer-?16", [], ["zoo/mixer-b16", "zoo/mixer-s16"]),
        ("zoo/*", ["zoo/mixer-listed", "zoo/mixer-*"], ["zoo/mixer-b16", "zoo/mixer-s16", "zoo/mixer-s32"]),
    ],
)
def test_offers_and_members_fit_by_their_names(pattern: str, offers: list[str], members: list[str]) -> None:
    found = select(catalog(), "models", pattern)
    assert (list(found.catalog.models), list(found.members), found.notes) == (offers, members, ())
    assert {family.name for family in found.members.values()} <= {"zoo/mixer-*"}


@pytest.mark.parametrize("pattern", ["vit-s", "a/*", "[ab]/*", "b/vit-?", "mixer-listed"])
def test_a_family_without_members_that_could_fit_is_not_asked(pattern: str) -> None:
    assert select(catalog("no_such_module:members"), "models", pattern).notes == ()


@pytest.mark.parametrize("pattern", ["mixer-s16", "zoo/x*", "a/mixer*"])
def test_nor_is_it_asked_where_nothing_else_fits(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(catalog("no_such_module:members"), "models", pattern)
    assert "not listed" not in str(caught.value)


def test_a_family_is_asked_for_the_pattern_of_its_members_and_gives_what_it_likes() -> None:
    asked = []

    def members(pattern: str) -> Iterable[object]:
        asked.append(pattern)
        yield from ("mixer-s16", "other", 7, "mixer-s16", "mixer-b16")

    assert list(select(catalog(members), "models", "zoo/mixer-s*").members) == ["zoo/mixer-s16"]
    select(catalog(members), "models", "*")
    assert asked == ["mixer-s*", "mixer-*"]


def test_a_family_whose_library_is_missing_is_told_and_the_rest_is_listed() -> None:
    found = select(catalog("no_such_module:members"), "models", "*")
    assert len(found.catalog.models) == 6
    words = "cannot import no_such_module:members: ModuleNotFoundError: No module named 'no_such_module'"
    assert found.notes == (f"the members of zoo/mixer-* are not listed: {words}",)
    with pytest.raises(UsageError, match=r"no models match .*not listed: cannot import no_such_module"):
        select(catalog("no_such_module:members"), "models", "zoo/mixer-s*")


def test_what_a_family_raises_or_prints_stays_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def members(pattern: str) -> Iterable[str]:
        print("loading")
        yield "mixer-s16"
        raise SystemExit(3)

    assert select(catalog(members), "models", "*").notes == (
        "the members of zoo/mixer-* are not listed: SystemExit: 3",
    )
    assert capsys.readouterr() == ("", "loading\n")

    def interrupted(pattern: str) -> Iterable[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select(catalog(interrupted), "models", "*")


def test_other_kinds_are_selected_without_asking_families() -> None:
    found = select(catalog("no_such_module:members"), "recipes", "*")
    assert (list(found.catalog.recipes), found.members, found.notes) == (["b/sgd"], {}, ())


def test_plugins_are_selected_with_their_problems() -> None:
    found = select(catalog(), "plugins", "b*").catalog
    assert [each.name for each in found.plugins] == ["b"]
    assert [problem.plugin for problem in found.problems] == ["broken"]
    assert found.left_out == ()
    assert select(catalog(), "plugins", "g*").catalog.left_out == ("gone",)


@pytest.mark.parametrize(
    ("kind", "pattern", "words"),
    [
        ("models", "vti-s*", 'no models match "vti-s*". Did you mean "vit-s"?'),
        ("models", "a/vti-s", 'no models match "a/vti-s". Did you mean "a/vit-s"?'),
        ("recipes", "qqqq", 'no recipes match "qqqq". See "vitbench ls recipes".'),
        ("metrics", "*", 'no metrics match "*". See "vitbench ls metrics".'),
        ("plugins", "zooo", 'no plugins match "zooo". Did you mean "zoo"?'),
    ],
)
def test_nothing_that_fits_is_a_mistake(kind: str, pattern: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(catalog(), kind, pattern)
    assert str(caught.value) == words


def test_a_name_means_its_offers_of_every_kind() -> None:
    assert [(one.kind, one.name) for one in with_options(catalog(), "both")] == [
        ("model", "b/both"),
        ("dataset", "b/both"),
        ("figure", "b/both"),
    ]
    [recipe] = with_options(catalog(), "sgd")
    assert (recipe.kind, recipe.spec.declared["lr"].default) == ("recipe", 0.1)
    [dataset] = with_options(catalog(), "both", ["dataset"])
    assert dataset.spec.defaults == {"fold": 1}


def test_a_plugin_that_lost_one_offer_still_tells_the_options_of_another() -> None:
    lost = Problem(plugin="a", distribution="d", version="1", stage="validate", error="model worse has no summary")
    hurt = dataclasses.replace(catalog(), problems=(lost,))
    assert [(one.kind, one.name) for one in with_options(hurt, "a/vit-s")] == [("model", "a/vit-s")]
    with pytest.raises(UnusableError, match="model worse has no summary"):
        with_options(hurt, "a/worse")


def test_a_member_has_the_options_that_its_family_says_and_a_family_its_own() -> None:
    [member] = with_options(catalog(), "zoo/mixer-s16")
    assert (member.name, member.spec.defaults) == ("zoo/mixer-s16", {"depth": 9})
    [family] = with_options(catalog(), "zoo/mixer-*")
    assert (family.name, family.spec.defaults) == ("zoo/mixer-*", {})


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (
            "sgdd",
            UsageError,
            'metric, figure or exporter is called "sgdd". Did you mean "sgd"?',
        ),
        (
            "qqqqq",
            UsageError,
            'metric, figure or exporter is called "qqqqq". See "vitbench ls".',
        ),
        ("vit-s", UsageError, 'model "vit-s" is ambiguous; give one of: a/vit-s, b/vit-s.'),
        ("zoo/mixer-x", UsageError, "model zoo/mixer-x: there is no mixer mixer-x"),
        ("broken/net", UnusableError, "plugin broken (d 1), load: no torch"),
    ],
)
def test_a_name_without_options_says_why(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        with_options(catalog(), name)
    assert words in str(caught.value)


def test_one_kind_that_lacks_the_name_says_so_itself() -> None:
    with pytest.raises(UsageError, match='unknown dataset "sgd"'):
        with_options(catalog(), "sgd", ["dataset"])


def test_a_library_is_imported_for_members_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "selecting_library.py").write_text("def members(pattern):\n    return ['mixer-s16']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = catalog("selecting_library:members")
    select(found, "models", "a/*")
    assert "selecting_library" not in sys.modules
    assert list(select(found, "models", "zoo/mixer-s*").members) == ["zoo/mixer-s16"]
    monkeypatch.delitem(sys.modules, "selecting_library")
