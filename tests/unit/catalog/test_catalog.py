"""Plugins are found as real distributions are, and what is wrong with one of them stays its own problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.catalog import Catalog, Offer, Plugin, PluginSelection, Problem, load_catalog
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import ModelSpec

Install = Callable[..., str]

GOOD = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="good:build", summary="A good net")
"""


def loaded(*names: str, exclude: tuple[str, ...] = ()) -> Catalog:
    """Load these installed plugins alone."""
    return load_catalog(PluginSelection(allowed=names, excluded=exclude))


def models(body: str) -> str:
    return f"import vitbench\n\n@vitbench.hookimpl\ndef vitbench_models():\n    {body}\n"


def test_two_distributions_that_claim_one_name_are_both_refused_and_named(install: Install) -> None:
    install("twin", GOOD, distribution="first-dist", version="1.0")
    install("twin", GOOD, distribution="second-dist", version="2.0")
    install("good", GOOD)
    catalog = loaded("twin", "good")
    assert list(catalog.models) == ["good/net"]
    assert {problem.distribution for problem in catalog.problems} == {"first-dist", "second-dist"}
    for problem in catalog.problems:
        assert problem.stage == "name"
        assert "first-dist" in problem.error
        assert "second-dist" in problem.error


def test_a_bad_plugin_name_is_refused_before_its_code_runs(install: Install) -> None:
    install("bad name", "raise SystemExit('must not run')")
    (problem,) = loaded("bad name").problems
    assert problem.stage == "name"
    assert 'the name "bad name" may hold letters' in problem.error


def test_a_plugin_can_be_a_class_or_an_instance_in_a_module(install: Install, tmp_path: Path) -> None:
    module = install(
        "obj",
        "import vitbench\n\nclass P:\n    @vitbench.hookimpl\n    def vitbench_models(self):\n"
        '        return [vitbench.ModelSpec(name="n", build="a:b", summary="x")]\n\nplugin = P()\n',
    )
    (entry_points,) = tmp_path.rglob("entry_points.txt")
    entry_points.write_text(f"[vitbench]\nobj = {module}:plugin\n")
    catalog = loaded("obj")
    assert catalog.problems == ()
    assert list(catalog.models) == ["obj/n"]


def test_an_offer_knows_where_it_comes_from(install: Install) -> None:
    module = install("good", GOOD)
    catalog = loaded("good")
    plugin = Plugin(name="good", distribution="vitbench-good", version="1.2", module=module, sources=("good",))
    assert catalog.plugins == (plugin,)
    assert catalog.models["good/net"].plugin == plugin


def test_a_function_that_is_imported_may_be_called_as_it_is(install: Install) -> None:
    other = install("other", "def vitbench_greeting():\n    pass\n")
    install("good", f"from {other} import vitbench_greeting\nvitbench_version = 3\n{GOOD}")
    assert loaded("good").problems == ()


def test_a_misspelt_method_without_its_marker_is_a_problem(install: Install, tmp_path: Path) -> None:
    module = install("obj", "class P:\n    def vitbench_model(self):\n        pass\n\nplugin = P()\n")
    [entry_points] = tmp_path.rglob("entry_points.txt")
    entry_points.write_text(f"[vitbench]\nobj = {module}:plugin\n")
    [problem] = loaded("obj").problems
    assert problem.stage == "register"
    assert "vitbench_model is not a hook" in problem.error


def test_the_allow_list_decides_what_is_loaded(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("good", GOOD)
    install("bad", "raise SystemExit('must not run')")
    monkeypatch.setenv("VITBENCH_PLUGINS", " good , scratch")
    catalog = load_catalog()
    assert [plugin.name for plugin in catalog.plugins] == ["good", "scratch"]
    assert catalog.problems == ()


def test_an_excluded_plugin_is_not_loaded_and_its_names_say_so(install: Install) -> None:
    install("good", GOOD)
    install("bad", "raise SystemExit('must not run')")
    catalog = loaded("good", "bad", exclude=("bad",))
    assert catalog.problems == ()
    assert list(catalog.models) == ["good/net"]
    with pytest.raises(UsageError, match=r'model "bad/net": plugin bad is left out \(VITBENCH_PLUGINS, --no-plugin\)'):
        catalog.model("bad/net")


def test_to_exclude_a_plugin_that_is_not_there_is_a_mistake(install: Install) -> None:
    install("good", GOOD)
    with pytest.raises(UsageError, match=r'no installed plugin is called "godo"\. Did you mean "good"'):
        load_catalog(PluginSelection(excluded=("godo",)))


@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", models("raise KeyboardInterrupt")])
def test_an_interruption_is_no_problem_of_the_plugin(code: str, install: Install) -> None:
    install("slow", code)
    with pytest.raises(KeyboardInterrupt):
        loaded("slow")


def test_an_empty_allow_list_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITBENCH_PLUGINS", "")
    catalog = load_catalog()
    assert (catalog.plugins, catalog.problems, dict(catalog.models)) == ((), (), {})


def test_an_allowed_plugin_that_is_not_installed_is_a_problem() -> None:
    assert [str(problem) for problem in loaded("absent").problems] == [
        "plugin absent (unknown distribution), name: VITBENCH_PLUGINS names it, but it is not installed"
    ]


def test_the_built_in_plugins_come_by_the_same_road_and_are_sound() -> None:
    catalog = load_catalog()
    assert catalog.problems == ()
    assert {plugin.name for plugin in catalog.plugins} >= {
        *("scratch", "timm", "datasets", "recipes", "baseline", "metrics", "figures", "exporters", "suites")
    }


def offers(*names: str) -> dict[str, Offer[ModelSpec]]:
    def offer(name: str) -> Offer[ModelSpec]:
        plugin, _, short = name.partition("/")
        resolve = "a:resolve" if short.endswith("*") else None
        spec = ModelSpec(name=short, build="a:b", summary="x", resolve=resolve)
        return Offer(name=name, plugin=Plugin(name=plugin, distribution="d", version="1", module="m"), spec=spec)

    return {name: offer(name) for name in names}


def test_what_is_left_out_is_told_to_who_asks_for_what_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        loaded("scratch").suite("quick")
    assert 'unknown suite "quick".' in str(caught.value)
    assert "(Left out by VITBENCH_PLUGINS or --no-plugin: baseline, datasets, " in str(caught.value)


BROKEN_PLUGIN = Problem(plugin="broken", distribution="vitbench-broken", version="2", stage="load", error="no torch")
CATALOG = Catalog(
    models=offers("a/net", "b/net", "a/vit", "zoo/*", "zoo/own", "zoo/mixer-*", "zoo/mixer-deep-*", "zoo/mixer-own"),
    problems=(BROKEN_PLUGIN,),
)


def test_a_full_name_and_a_unique_short_name_find_a_model() -> None:
    assert CATALOG.model("a/vit").name == CATALOG.model("vit").name == "a/vit"
    assert CATALOG.model("b/net").name == "b/net"


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("zoo/mixer-s16", "mixer-*"),
        ("zoo/mixer-deep-s16", "mixer-deep-*"),
        ("zoo/mixer-", "mixer-*"),
        ("zoo/mixer", "*"),
        ("zoo/mixer-own", "mixer-own"),
        ("zoo/mixer-own2", "mixer-*"),
        ("zoo/own", "own"),
        ("zoo/anything_224.v1", "*"),
        ("zoo/mixer-*", "mixer-*"),
    ],
)
def test_of_several_families_the_longest_pattern_counts_and_what_is_listed_goes_before(name: str, spec: str) -> None:
    found = CATALOG.model(name)
    assert (found.name, found.spec.name) == (name, spec)


def family(resolve: Callable[..., object], api: int = 1) -> Catalog:
    plugin = Plugin(name="zoo", distribution="d", version="1", module="m", api=api)
    spec = ModelSpec(name="mixer-*", build="a:b", summary="Mixers", resolve=resolve)
    return Catalog(models={"zoo/mixer-*": Offer(name="zoo/mixer-*", plugin=plugin, spec=spec)})


def spec_of(name: str, **fields: object) -> ModelSpec:
    return ModelSpec(**{"name": name, "build": "a:b", "summary": "A mixer", **fields})


def unknown(name: str) -> ModelSpec:
    raise LookupError(f"there is no mixer {name}; there are mixer-s16 and mixer-b16")


@pytest.mark.parametrize(
    ("resolve", "error", "words"),
    [
        (unknown, UsageError, "model zoo/mixer-s16: there is no mixer mixer-s16; there are mixer-s16 and mixer-b16"),
        (
            lambda name: None,
            UnusableError,
            "could not be queried: TypeError: resolve returned NoneType, not a ModelSpec",
        ),
        (
            lambda name: spec_of("mixer-b16"),
            UnusableError,
            (
                "could not be queried: ValueError: resolve returned the model mixer-b16 for mixer-s16; return the "
                "member of that n"
            ),
        ),
        (
            lambda name: spec_of("mixer-*", resolve="a:b"),
            UnusableError,
            "could not be queried: ValueError: resolve returned the model mixer-* for mixer-s16; return the member of",
        ),
        (
            lambda name: spec_of(name, image_sizes=8),
            UnusableError,
            "could not be queried: TypeError: model mixer-s16 has no field 'image_sizes'. Did you mean \"image_size\"?",
        ),
        (
            lambda names: spec_of(names),
            UnusableError,
            "takes 'names', which it is not given. Did you mean \"name\"?",
        ),
        ("no_such_module:resolve", UnusableError, "could not be queried: cannot import no_such_module:resolve"),
    ],
)
def test_a_family_that_gives_no_member_is_told_in_one_line(
    resolve: Callable[..., object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        family(resolve).member("zoo/mixer-s16")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_family_itself_is_no_model() -> None:
    catalog = family(lambda name: spec_of(name))
    with pytest.raises(
        UsageError, match=r"^zoo/mixer-\* is a family of models; name one of them, see .*'zoo/mixer-\*'"
    ):
        catalog.member("zoo/mixer-*")


def test_a_family_of_a_later_contract_may_give_fields_of_it() -> None:
    resolve = lambda name: spec_of(name, homepage="https://example.org")  # noqa: E731
    assert family(resolve, api=2).member("zoo/mixer-s16").name == "mixer-s16"
    with pytest.raises(UnusableError, match="has no field 'homepage'"):
        family(resolve).member("zoo/mixer-s16")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("net", UsageError, 'model "net" is ambiguous; give one of: a/net, b/net.'),
        ("vti", UsageError, 'unknown model "vti". Did you mean "vit"?'),
        ("a/vti", UsageError, 'Did you mean "a/vit"?'),
        ("qqqqqq", UsageError, 'unknown model "qqqqqq". See "vitbench ls models".'),
        ("qqqqqq", UsageError, '(Broken plugins: broken; see "vitbench plugins".)'),
        ("broken/net", UnusableError, "plugin broken (vitbench-broken 2), load: no torch"),
    ],
)
def test_a_name_that_finds_nothing_says_what_to_do(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        CATALOG.model(name)
    assert words in str(caught.value)


METRICS = """
import vitbench

@vitbench.hookimpl
def vitbench_metrics():
    for name, figures in {offers}.items():
        yield vitbench.MetricSpec(
            name=name, measure="a:b", unit="1", better="lower", needs="predictions", summary="x", measurements=figures
        )
"""


def test_a_figure_of_vitbench_stays_its_own(install: Install) -> None:
    install("copy", METRICS.format(offers={"top1": (), "mine": ("mine_a", "ece"), "sound": ("a", "b")}))
    catalog = loaded("metrics", "copy")
    assert [name for name in catalog.metrics if name.startswith("copy/")] == ["copy/sound"]
    assert {"metrics/top1", "metrics/ece"} <= set(catalog.metrics)
    assert [(problem.plugin, problem.stage, problem.severity) for problem in catalog.problems] == [
        ("copy", "validate", "error")
    ] * 2
    words = 'vitbench_metrics: metric mine gives "ece", as metrics/ece does; choose another name'
    assert words in [problem.error for problem in catalog.problems]


def test_names_of_the_largest_batch_are_vitbenchs_own(install: Install) -> None:
    """What the core names so would be merged with a plugin's figure of the same name."""
    names = ("largest_batch", "largest_batch_throughput", "largest_batches")
    install("mine", METRICS.format(offers=dict.fromkeys(names, ())))
    catalog = loaded("mine")
    assert list(catalog.metrics) == ["mine/largest_batches"]
    assert [problem.error for problem in catalog.problems] == [
        f'vitbench_metrics: metric {name} gives "{name}"; such names are reserved for the largest batch'
        for name in names[:2]
    ]


def test_of_two_foreign_metrics_with_one_figure_neither_is_used(install: Install) -> None:
    install("left", METRICS.format(offers={"f1": ("f1", "f2")}))
    install("right", METRICS.format(offers={"other": ("f2",), "own": ("f3", "f4")}))
    catalog = loaded("left", "right")
    assert list(catalog.metrics) == ["right/own"]
    assert [problem.plugin for problem in catalog.problems] == ["left", "right"]


@pytest.mark.parametrize("kind", ["model", "dataset", "recipe"])
def test_a_short_name_means_an_offer_of_its_own_plugin_first(kind: str) -> None:
    spec = ModelSpec(name="same", build="a:b", summary="x")  # the name is all that is looked at
    plugin = Plugin(name="p", distribution="d", version="1", module="m")
    offers = {name: Offer(name=name, plugin=plugin, spec=spec) for name in ("left/same", "right/same", "right/one")}
    find = getattr(Catalog(**{f"{kind}s": offers}), kind)
    assert find("same", home="right").name == "right/same"
    assert find("left/same", home="right").name == "left/same"
    assert find("one", home="left").name == "right/one"
    for home in ("", "third"):
        with pytest.raises(UsageError, match=f'{kind} "same" is ambiguous; give one of: left/same, right/same'):
            find("same", home=home)
