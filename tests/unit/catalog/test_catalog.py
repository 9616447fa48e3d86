"""Plugins are found as real distributions are, and what is wrong with one of them stays its own problem."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from vitbench.catalog import Catalog, Offer, Plugin, PluginSelection, Problem, load_catalog
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import ModelSpec

Install = Callable[..., str]
_numbers = itertools.count()

GOOD = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="good:build", summary="A good net")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin and return its module's name, which no other test has."""

    def write(name: str, code: str, *, distribution: str = "", version: str = "1.2") -> str:
        number = next(_numbers)
        module = f"vitbench_fake_{number}"
        distribution = distribution or f"vitbench-{name}"
        info = tmp_path / str(number) / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = {module}\n")
        (info.parent / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(info.parent))
        return module

    return write


def loaded(*names: str, exclude: tuple[str, ...] = ()) -> Catalog:
    """Load these installed plugins alone."""
    return load_catalog(PluginSelection(allowed=names, excluded=exclude))


def models(body: str, decorator: str = "@vitbench.hookimpl", hook: str = "vitbench_models") -> str:
    return f"import vitbench\n\n{decorator}\ndef {hook}():\n    {body}\n"


SPEC = 'vitbench.ModelSpec(name="net", build="bad:build", summary="x")'

BROKEN = {
    "an import that fails": ("import no_such_module_anywhere", "load", "ModuleNotFoundError: No module named"),
    "a syntax error": ("def (", "load", "SyntaxError"),
    "an exit at import": ("raise SystemExit(3)", "load", "SystemExit: 3"),
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
    "an error in a hook": (models("1 / 0"), "call", "vitbench_models: ZeroDivisionError: division by zero"),
    "an exit in a hook": (models("raise SystemExit"), "call", "vitbench_models: SystemExit"),
    "a generator that raises midway": (models(f"yield {SPEC}; 1 / 0"), "call", "vitbench_models: ZeroDivisionError"),
    "a spec that refuses itself": (
        models('yield vitbench.ModelSpec(name="a b", build="b:b", summary="x")'),
        "call",
        "vitbench_models: ValueError: model name 'a b' must be letters",
    ),
    "no return": (models("pass"), "call", "vitbench_models: TypeError: must return an iterable, not None"),
    "a lone spec": (models(f"return {SPEC}"), "call", "must return an iterable, not ModelSpec"),
    "a lone text": (models('return "net"'), "call", "must return an iterable, not str"),
    "a tuple without its comma": (
        models('yield vitbench.ModelSpec(name="n", build="b:b", summary="x", requires=("timm"))'),
        "call",
        "vitbench_models: ValueError: model n: requires must be a tuple of texts",
    ),
    "another type": (models('return ["net"]'), "validate", "vitbench_models: TypeError: gave str where ModelSpec"),
    "one name twice": (models(f"return [{SPEC}, {SPEC}]"), "validate", 'gave the name "net" 2 times; none is used'),
    "a suite that is not there": (
        models('return ["/no/such/suite.toml"]', hook="vitbench_suites"),
        "validate",
        "vitbench_suites: FileNotFoundError",
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


def test_a_panic_in_a_hook_is_a_problem(install: Install) -> None:
    install("panic", models("raise type('Panic', (BaseException,), {})('index')"))
    (problem,) = loaded("panic").problems
    assert (problem.stage, problem.error) == ("call", "vitbench_models: Panic: index")


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
        *("scratch", "timm", "datasets", "recipes", "baseline", "metrics", "suites")
    }


def offers(*names: str) -> dict[str, Offer[ModelSpec]]:
    def offer(name: str) -> Offer[ModelSpec]:
        plugin, _, short = name.partition("/")
        resolve = "a:resolve" if short == "*" else None
        spec = ModelSpec(name=short, build="a:b", summary="x", resolve=resolve)
        return Offer(name=name, plugin=Plugin(name=plugin, distribution="d", version="1", module="m"), spec=spec)

    return {name: offer(name) for name in names}


def test_what_is_left_out_is_told_to_who_asks_for_what_is_not_there() -> None:
    with pytest.raises(UsageError) as caught:
        loaded("scratch").suite("quick")
    assert 'unknown suite "quick".' in str(caught.value)
    assert "(Left out by VITBENCH_PLUGINS or --no-plugin: baseline, datasets, " in str(caught.value)


BROKEN_PLUGIN = Problem(plugin="broken", distribution="vitbench-broken", version="2", stage="load", error="no torch")
CATALOG = Catalog(models=offers("a/net", "b/net", "a/vit", "zoo/*", "zoo/own"), problems=(BROKEN_PLUGIN,))


def test_a_full_name_and_a_unique_short_name_find_a_model() -> None:
    assert CATALOG.model("a/vit").name == CATALOG.model("vit").name == "a/vit"
    assert CATALOG.model("b/net").name == "b/net"


def test_a_member_of_a_family_is_found_under_its_own_name() -> None:
    member = CATALOG.model("zoo/anything_224.v1")
    assert (member.name, member.spec.name) == ("zoo/anything_224.v1", "*")
    assert CATALOG.model("zoo/own").spec.name == "own"


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
    words = 'vitbench_metrics: metric mine gives the figure "ece", as metrics/ece does; choose another name'
    assert words in [problem.error for problem in catalog.problems]


def test_of_two_foreign_metrics_with_one_figure_neither_is_used(install: Install) -> None:
    install("left", METRICS.format(offers={"f1": ("f1", "f2")}))
    install("right", METRICS.format(offers={"other": ("f2",), "own": ("f3", "f3")}))
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
