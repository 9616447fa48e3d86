"""A plugin is loaded alone and asked; what it gives is taken one by one, by the contract that it was written for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import vitbench
from vitbench import contract, hookspecs
from vitbench.catalog import Catalog, Offer, PluginSelection, catalog, load_catalog, loading
from vitbench.contract import tolerant
from vitbench.specs import ModelSpec, Option, load_target

Install = Callable[..., str]
DISTRIBUTIONS = Path(__file__).parents[2] / "fixtures" / "distributions"

GOOD = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="good:build", summary="A good net")
"""


def loaded(*names: str) -> Catalog:
    """Load these installed plugins alone."""
    return load_catalog(PluginSelection(allowed=names))


def models(body: str, decorator: str = "@vitbench.hookimpl", hook: str = "vitbench_models") -> str:
    return f"import vitbench\n\n{decorator}\ndef {hook}():\n    {body}\n"


SPEC = 'vitbench.ModelSpec(name="net", build="bad:build", summary="x")'

BROKEN = {
    "an import that fails": ("import no_such_module_anywhere", "load", "ModuleNotFoundError: No module named"),
    "a syntax error": ("def (", "load", "SyntaxError"),
    "a panic at import": ("raise type('Panic', (BaseException,), {})('index')", "load", "Panic: index"),
    "a misspelt hook": (models(f"return [{SPEC}]", hook="vitbench_model"), "register", "vitbench_model"),
    "a hook with an argument": (
        "import vitbench\n\n@vitbench.hookimpl\ndef vitbench_models(config):\n    return []\n",
        "register",
        "config",
    ),
    "a hook without its marker": (models(f"return [{SPEC}]", decorator=""), "register", "lacks the decorator"),
    "a misspelt hook without its marker": (
        models(f"return [{SPEC}]", decorator="", hook="vitbench_model"),
        "register",
        'vitbench_model is not a hook, and only hooks may be named vitbench_... Did you mean "vitbench_models"?',
    ),
    "an error whose text is an error": (
        "class E(Exception):\n    def __str__(self):\n        raise RuntimeError('no text')\n\nraise E",
        "load",
        "E",
    ),
    "a panic in a hook": (
        models("raise type('Panic', (BaseException,), {})('index')"),
        "call",
        "vitbench_models: Panic: index",
    ),
    "an error in a hook": (models("1 / 0"), "call", "vitbench_models: ZeroDivisionError: division by zero"),
    "no number of a contract": (
        f'vitbench_api = "2"\n{GOOD}',
        "register",
        "vitbench_api must be the number of a contr",
    ),
    "a contract before the first": (f"vitbench_api = 0\n{GOOD}", "register", "such as 1, not 0"),
    "a truth for a contract": (f"vitbench_api = True\n{GOOD}", "register", "such as 1, not True"),
    "no return": (models("pass"), "call", "vitbench_models: TypeError: must return an iterable, not None"),
    "a lone spec": (models(f"return {SPEC}"), "call", "must return an iterable, not ModelSpec"),
    "a lone text": (models('return "net"'), "call", "must return an iterable, not str"),
    "one name twice": (models(f"return [{SPEC}, {SPEC}]"), "validate", 'returned the name "net" 2 times; none is used'),
    "a suite that is not there": (
        models('return ["/no/such/suite.toml"]', hook="vitbench_suites"),
        "validate",
        "vitbench_suites: there is no suite file /no/such/suite.toml",
    ),
    "a suite by a relative path": (
        models('return ["no_such.toml"]', hook="vitbench_suites"),
        "validate",
        'no_such.toml; return an absolute path, such as Path(__file__).with_name("no_such.toml")',
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_a_problem_and_the_others_go_on(case: str, install: Install) -> None:
    code, stage, words = BROKEN[case]
    install("bad", code)
    install("good", GOOD)
    catalog = loaded("bad", "good")
    assert list(catalog.models) == ["good/net"]
    (problem,) = catalog.problems
    assert (problem.plugin, problem.distribution, problem.version) == ("bad", "vitbench-bad", "1.2")
    assert (problem.stage, words in problem.error) == (stage, True), problem.error
    assert "\n" not in str(problem)
    assert str(problem).startswith(f"plugin bad (vitbench-bad 1.2), {stage}: ")
    if stage in ("load", "call"):
        assert "Traceback" in problem.traceback or "SyntaxError" in problem.traceback


def test_what_a_partly_broken_plugin_offers_well_is_kept(install: Install) -> None:
    install(
        "half",
        models("1 / 0")
        + '\n@vitbench.hookimpl\ndef vitbench_recipes():\n    return [vitbench.RecipeSpec(name="r", fit="a:b", '
        'summary="x"), "nonsense"]\n',
    )
    catalog = loaded("half")
    assert list(catalog.recipes) == ["half/r"]
    assert [problem.stage for problem in catalog.problems] == ["call", "validate"]


# One bad spec costs one spec ------------------------------------------------------------------------------------------


def spec(name: str, fields: str = "") -> str:
    return f'vitbench.ModelSpec(name="{name}", build="bad:build", summary="x", {fields})'


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (spec("a b"), "vitbench_models: ValueError: model name 'a b' must be letters"),
        (spec("bad", "bild=1"), "vitbench_models: TypeError: model bad has no field 'bild'. Did you mean \"build\"?"),
        ('vitbench.ModelSpec(name="bad", summary="x")', "vitbench_models: TypeError: model bad lacks build"),
        (spec("bad", "options={'depth': vitbench.Option(4, hlep='x')}"), "model bad: option depth has no field 'hlep'"),
        (spec("bad", "preprocess=vitbench.Preprocess(mean=(1.0,), std=(0.0,))"), "model bad: preprocess: std must be"),
        ("'net'", "vitbench_models: TypeError: returned str where ModelSpec is expected"),
        ("1 / 0", "vitbench_models: ZeroDivisionError"),
    ],
)
def test_one_bad_spec_costs_itself(bad: str, words: str, install: Install) -> None:
    install("mixed", models(f"yield {spec('before')}; yield {bad}; yield {spec('after')}"))
    catalog = loaded("mixed")
    rest = ["mixed/before"] if "1 / 0" in bad else ["mixed/after", "mixed/before"]
    assert list(catalog.models) == rest
    [problem] = catalog.problems
    assert (problem.stage, problem.severity) == ("call" if "1 / 0" in bad else "validate", "error")
    assert words in problem.error


def test_code_that_stumbles_over_its_own_bad_spec_hears_of_both(install: Install) -> None:
    install("mixed", models(f"yield {spec('before')}; bad = {spec('bad', 'bild=1')}; bad.bild"))
    catalog = loaded("mixed")
    assert list(catalog.models) == ["mixed/before"]
    assert [problem.stage for problem in catalog.problems] == ["call", "validate"]
    assert "AttributeError" in catalog.problems[0].error
    assert "model bad has no field 'bild'" in catalog.problems[1].error


def test_a_bad_part_of_a_bad_spec_is_told_once(install: Install) -> None:
    bad = spec("bad", "image_size=0, options={'depth': vitbench.Option(4, hlep='x')}")
    install("mixed", models(f"yield {bad}"))
    [problem] = loaded("mixed").problems
    assert "model bad: option depth has no field 'hlep'" in problem.error


def test_a_bad_spec_of_the_module_itself_costs_itself_each_time(install: Install) -> None:
    install("module", f"import vitbench\nSPECS = [{SPEC}, {spec('bad', 'bild=1')}]\n" + models("return SPECS"))
    for _ in range(2):  # the second time the module is not run again
        catalog = loaded("module")
        assert list(catalog.models) == ["module/net"]
        assert ["has no field 'bild'" in problem.error for problem in catalog.problems] == [True]


# Contracts ------------------------------------------------------------------------------------------------------------


def test_a_plugin_says_for_which_contract_it_was_written(install: Install) -> None:
    install("plain", GOOD)
    install("later", f"vitbench_api = 2\n{GOOD}")
    catalog = loaded("plain", "later")
    assert {plugin.name: plugin.api for plugin in catalog.plugins} == {"plain": 1, "later": 2}
    assert catalog.problems == ()
    assert catalog.models["later/net"].plugin.api == 2


NOTES = "\n@vitbench.hookimpl{marks}\ndef vitbench_notes():\n    yield 'a note'\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("vitbench_api = 3\n" + GOOD + NOTES.format(marks=""), "needs contract 3, but this vitbench implements 1"),
        (
            GOOD + NOTES.format(marks="(optionalhook=True)"),
            "needs a later contract than 1, but this vitbench implements 1",
        ),
    ],
)
def test_a_hook_of_a_later_contract_is_left_out_with_a_warning(code: str, words: str, install: Install) -> None:
    install("later", code)
    catalog = loaded("later")
    assert list(catalog.models) == ["later/net"]
    [problem] = catalog.problems
    assert (problem.stage, problem.severity) == ("register", "warning")
    assert problem.error == f"the hook 'vitbench_notes' {words}; it is ignored."


def test_a_hook_that_looks_misspelt_is_told_as_that_even_where_a_later_contract_is_declared(install: Install) -> None:
    install("later", "vitbench_api = 2\n" + models("return []", hook="vitbench_modles"))
    [problem] = loaded("later").problems
    assert problem.severity == "warning"
    assert problem.error.endswith('it is ignored. Did you mean "vitbench_models"?')


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec2(ModelSpec):
    """A model of a made-up contract 2."""

    homepage: str = ""


@tolerant
@dataclass(frozen=True, slots=True)
class Option2(Option):
    """An option of a made-up contract 2."""

    group: str = field(default="", kw_only=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog2(Catalog):
    """What plugins offer under a made-up contract 2."""

    notes: Mapping[str, Offer[Any]] = field(default_factory=dict)


@tolerant
@dataclass(frozen=True, kw_only=True, slots=True)
class Note(contract.Declared):
    """What the hook of a made-up contract 2 gives."""

    name: str


def vitbench_notes() -> Iterable[Note]:  # type: ignore[empty-body]
    """Give notes."""


@pytest.fixture
def _contract_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this vitbench one that keeps contract 2: a field, an option's field, a hook."""
    monkeypatch.setattr(contract, "API", 2)
    monkeypatch.setattr(vitbench, "API", 2)
    monkeypatch.setattr(vitbench, "ModelSpec", ModelSpec2)
    monkeypatch.setattr(vitbench, "Option", Option2)
    monkeypatch.setattr(vitbench, "Note", Note, raising=False)
    monkeypatch.setattr(hookspecs, "vitbench_notes", hookspecs.hookspec(vitbench_notes), raising=False)
    kinds = MappingProxyType({**loading.KINDS, "notes": ("vitbench_notes", Note)})
    monkeypatch.setattr(loading, "KINDS", kinds)
    monkeypatch.setattr(catalog, "KINDS", kinds)
    monkeypatch.setattr(catalog, "Catalog", Catalog2)


@pytest.fixture
def two_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package that is written for contract 2 and of use under contract 1; it is imported anew."""
    monkeypatch.syspath_prepend(str(DISTRIBUTIONS / "later_contract"))
    monkeypatch.delitem(__import__("sys").modules, "fake_later_contract", raising=False)


def built(found: Catalog, **later: object) -> list[str]:
    """Build the package's model and return the names of its layers."""
    spec = found.model("later/mlp").spec
    offered = {"num_classes": 3, "image_size": (8, 8), "in_channels": 1}
    model = contract.call(load_target(spec.build), offered, spec.defaults, later=later)
    return [type(layer).__name__ for layer in model]


LAYERS = ["AdaptiveAvgPool2d", "Flatten", "Linear", "Linear"]


@pytest.mark.usefixtures("two_contracts")
def test_a_package_of_a_later_contract_is_of_use_with_warnings() -> None:
    found = loaded("later")
    spec = found.model("later/mlp").spec
    assert type(spec) is ModelSpec
    assert (spec.defaults, spec.declared["width"].minimum) == ({"width": 8}, 1)
    assert built(found) == LAYERS
    keeps = "needs contract 2, but this vitbench implements 1; it is ignored"
    assert [(problem.severity, problem.error) for problem in found.problems] == [
        ("warning", f"the hook 'vitbench_notes' {keeps}."),
        ("warning", f"vitbench_models: model mlp: option width: the field 'group' {keeps}"),
        ("warning", f"vitbench_models: model mlp: the field 'homepage' {keeps}"),
    ]


@pytest.mark.usefixtures("_contract_2", "two_contracts")
def test_the_same_package_uses_what_the_later_contract_has() -> None:
    found = loaded("later")
    assert found.problems == ()
    spec = found.model("later/mlp").spec
    assert (spec.homepage, spec.declared["width"].group) == ("https://example.org", "size")
    assert list(found.notes) == ["later/trained-on-nothing"]
    assert built(found, task="multi_label") == [*LAYERS, "Sigmoid"]


@pytest.mark.usefixtures("_contract_2")
def test_a_package_of_contract_1_is_the_same_under_a_later_one(install: Install) -> None:
    module = install("plain", GOOD)
    found = loaded("plain")
    assert found.problems == ()
    assert found.models["plain/net"].plugin.module == module
