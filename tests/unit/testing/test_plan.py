"""Which checks a plugin gets, what comes of them as values, and the checks of suites."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from vitbench import Skip
from vitbench.catalog import load_catalog
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import SuiteSpec, load_target
from vitbench.testing import (
    Check,
    CheckFailed,
    ModelCase,
    Outcome,
    SuiteCase,
    checks_for,
    checks_of,
    parametrize_checks,
    run_checks,
)
from vitbench.testing.plan import CHECKS

Install = Callable[..., str]
_numbers = itertools.count()

PLUGIN = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="mine.net:build", summary="A net", options={"width": 8})
    yield vitbench.ModelSpec(name="both", build="mine.net:build", summary="A net", recipe="both", tags=("baseline",))
    yield vitbench.ModelSpec(name="*", build="zoo:build", summary="Nets", resolve="%(module)s:resolve")

@vitbench.hookimpl
def vitbench_recipes():
    yield vitbench.RecipeSpec(name="both", fit="mine.fit:fit", summary="A recipe")

@vitbench.hookimpl
def vitbench_datasets():
    yield vitbench.DatasetSpec(name="shapes", open="mine.shapes:open", summary="Shapes")

@vitbench.hookimpl
def vitbench_figures():
    yield vitbench.FigureSpec(name="looks", draw="mine.looks:draw", summary="Where it looks")

def resolve(name):
    if name == "gives-none":
        return None
    if name == "breaks":
        raise ValueError("odd")
    if name != "known":
        raise LookupError(f"no net is called {name}")
    return vitbench.ModelSpec(name=name, build="zoo:build", summary="A member", options={"depth": 2})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin."""

    def write(name: str, code: str = PLUGIN) -> str:
        module = f"conformance_fake_{next(_numbers)}"
        info = tmp_path / module / f"vitbench_{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vitbench-{name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = {module}\n")
        (info.parent / f"{module}.py").write_text(code.replace("%(module)s", module))
        monkeypatch.syspath_prepend(str(info.parent))
        return module

    return write


# Which checks ---------------------------------------------------------------------------------------------------------


def test_each_offer_gets_the_checks_of_its_kind(install: Install) -> None:
    install("mine")
    subjects = dict.fromkeys((check.subject, type(check.case).__name__) for check in checks_of("mine"))
    assert list(subjects) == [
        ("mine", "PluginCase"),
        ("mine/*", "FamilyCase"),
        ("mine/both", "ModelCase"),
        ("mine/net", "ModelCase"),
        ("mine/shapes", "DatasetCase"),
        ("mine/both", "RecipeCase"),
        ("mine/looks", "FigureCase"),
    ]
    names = [check.name for check in checks_of("mine") if check.subject == "mine/net"]
    assert names == list(CHECKS[ModelCase][1])


def test_a_baseline_and_its_recipe_know_each_other(install: Install) -> None:
    install("mine")
    model, recipe = (next(c.case for c in checks_of("mine/both") if c.name.startswith(f"check_{k}")) for k in KINDS)
    assert model.recipe == recipe.spec
    assert recipe.model == model.spec
    assert next(check.case for check in checks_of("mine/net")).recipe is None


KINDS = ("model", "recipe")


def test_one_offer_a_member_and_models_with_options(install: Install) -> None:
    install("mine")
    assert {check.subject for check in checks_of("mine/shapes")} == {"mine/shapes"}
    (member,) = {check.case for check in checks_of("mine/known")}
    assert member.spec.summary == "A member"
    chosen = checks_of("mine", models=["net:width=4", "mine/known:depth=3", "net"])
    assert list(dict.fromkeys(check.subject for check in chosen)) == [
        "mine/net:width=4",
        "mine/known:depth=3",
        "mine/net",
    ]
    assert [dict(case.options) for case in dict.fromkeys(check.case for check in chosen)] == [
        {"width": 4},
        {"depth": 3},
        {},
    ]


FAMILIES = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    for kind in ("mixer", "swin"):
        yield vitbench.ModelSpec(name=f"{kind}-*", build="zoo:build", summary="Nets", resolve="%(module)s:resolve")

def resolve(name):
    return vitbench.ModelSpec(name=name, build="zoo:build", summary=f"It is {name}")
"""


def test_a_family_of_a_pattern_and_its_members_are_found(install: Install) -> None:
    install("zoo", FAMILIES)
    kinds = {check.subject: type(check.case).__name__ for check in checks_of("zoo")}
    assert kinds == {"zoo": "PluginCase", "zoo/mixer-*": "FamilyCase", "zoo/swin-*": "FamilyCase"}
    (case,) = {check.case for check in checks_of("zoo/swin-tiny")}
    assert case.spec.summary == "It is swin-tiny"
    with pytest.raises(UsageError, match='plugin zoo offers no "vit-tiny"'):
        checks_of("zoo/vit-tiny")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"plugin": "mien"}, UsageError, 'unknown plugin "mien". Did you mean "mine"?'),
        ({"plugin": "lone/nte"}, UsageError, 'plugin lone offers no "nte". Did you mean "lone/net"?'),
        ({"plugin": "mine/unknown"}, UsageError, "model mine/unknown: no net is called unknown"),
        ({"plugin": "mine", "models": ["net:widht=3"]}, UsageError, 'model mine/net has no option "widht"'),
        ({"plugin": "mine", "models": ["net:width=wide"]}, UsageError, "option width must be a whole number"),
        ({"plugin": "lone", "models": ["mine/net"]}, UsageError, 'unknown model "lone/mine/net"'),
        (
            {"plugin": "mine", "data": {"circles": "."}},
            UsageError,
            'plugin mine has no dataset "circles". Its datasets',
        ),
        ({"plugin": "lone", "data": {"circles": "."}}, UsageError, 'plugin lone has no dataset "circles".'),
        (
            {"plugin": "mine", "data": {"shapes": "/no/such"}},
            UnusableError,
            "there is no folder /no/such; correct --data",
        ),
        ({"plugin": "bad"}, UnusableError, "plugin bad (vitbench-bad 1.2), load: ModuleNotFoundError"),
        ({"plugin": "./no_such_file.py"}, UsageError, "plugin file no_such_file.py cannot be read"),
        ({"plugin": "./no_such_file.py/net"}, UsageError, "plugin file no_such_file.py cannot be read"),
        ({"plugin": "nothing_alike"}, UsageError, "of yours, install it (pip install -e .). See"),
        ({"plugin": "mine/nope", "models": ["net"]}, UsageError, '"mine/nope" and a model are two things to check'),
        (
            {"plugin": "mine/gives-none"},
            UnusableError,
            "family could not be queried: TypeError: resolve returned NoneType, not a ModelSpec",
        ),
        (
            {"plugin": "mine/breaks"},
            UnusableError,
            "model mine/breaks: its family could not be queried: ValueError: odd",
        ),
    ],
)
def test_what_cannot_be_checked_is_said_before_anything_runs(
    arguments: dict[str, object], error: type[Exception], words: str, install: Install
) -> None:
    install("mine")
    install("lone", "import vitbench\n@vitbench.hookimpl\ndef vitbench_models():\n"
            '    return [vitbench.ModelSpec(name="net", build="a:b", summary="x")]\n')  # fmt: skip
    install("bad", "import no_such_module_anywhere")
    with pytest.raises(error) as caught:
        checks_of(**arguments)
    assert words in str(caught.value)


def test_a_plugin_that_is_left_out_is_not_called_unknown(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("mine")
    monkeypatch.setenv("VITBENCH_PLUGINS", "scratch")
    with pytest.raises(UsageError, match='plugin "mine" is left out by VITBENCH_PLUGINS; add it to that list'):
        checks_of("mine")


def test_data_are_given_by_short_or_full_name(install: Install, tmp_path: Path) -> None:
    install("mine")
    for name in ("shapes", "mine/shapes"):
        assert {check.case.root for check in checks_of("mine/shapes", data={name: tmp_path})} == {tmp_path}


@pytest.mark.process
def test_a_plugin_file_is_checked_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "one_file_plugin.py").write_text(PLUGIN.replace("%(module)s", "one_file_plugin"))
    checks = checks_of(str(tmp_path / "one_file_plugin.py"))
    assert {check.subject for check in checks} >= {"one_file_plugin", "one_file_plugin/net"}
    assert [outcome.status for outcome in run_checks(checks[:2])] == ["passed", "passed"]


def test_one_offer_of_a_plugin_file_is_checked_by_the_files_path_and_its_name(tmp_path: Path) -> None:
    (tmp_path / "other_file_plugin.py").write_text(PLUGIN.replace("%(module)s", "other_file_plugin"))
    assert {check.subject for check in checks_of(f"{tmp_path}/other_file_plugin.py/net")} == {"other_file_plugin/net"}


@pytest.mark.parametrize("kind", CHECKS, ids=lambda kind: kind.__name__)
def test_every_check_function_is_planned_and_none_other(kind: type) -> None:
    name, functions = CHECKS[kind]
    planned = {function for module, others in CHECKS.values() if module == name for function in others}
    assert set(functions) <= planned
    module = import_module(name)
    made_here = {key for key, value in vars(module).items() if getattr(value, "__module__", "") == name}
    assert planned == {key for key in made_here if key.startswith("check_")}
    assert len(set(functions)) == len(functions)
    assert all(getattr(import_module(name), function).__doc__.count("\n") == 0 for function in functions)


def test_every_check_is_documented_with_its_contract() -> None:
    page = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")
    for module, functions in CHECKS.values():
        for function in functions:
            contract = getattr(import_module(module), function).__doc__.rstrip(".").replace("``", "`")
            assert f"| `{function}` | {contract} |" in page


@pytest.mark.process
def test_the_kit_imports_nothing_heavy_before_a_check_runs() -> None:
    script = (
        "import sys, vitbench.testing as kit\n"
        "checks = kit.checks_of('scratch')\n"
        "print(len(checks) > 100, sorted({'torch', 'numpy', 'pytest', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


# What comes of them ---------------------------------------------------------------------------------------------------


def passes(case: object) -> None: ...


def fails(case: object) -> None:
    raise CheckFailed("two\nlines")


def breaks(case: object) -> None:
    raise SystemExit(3)


def not_there(case: object) -> None:
    load_target("no_such_package:build")


def skips(case: object) -> None:
    raise Skip("no weights")


def check(function: Callable[[object], None], subject: str = "mine/net") -> Check:
    return Check(subject=subject, target=f"{__name__}:{function.__name__}", case=None)


def told(outcomes: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(outcome.check, outcome.status, outcome.reason) for outcome in outcomes]


def test_outcomes_are_values_with_a_reason_in_one_line() -> None:
    outcomes = run_checks([check(passes), check(fails), check(breaks), check(skips)])
    assert told(outcomes) == [
        ("passes", "passed", ""),
        ("fails", "failed", "two lines"),
        ("breaks", "failed", outcomes[2].reason),
        ("skips", "skipped", "no weights"),
    ]
    assert outcomes[2].reason.startswith("the check raised SystemExit: 3 (test_plan.py, line ")
    assert all(outcome.subject == "mine/net" and outcome.seconds >= 0 for outcome in outcomes)


@pytest.mark.parametrize("key", ["fails", "net: fails", "mine/net: fails"])
def test_an_expected_failure_is_named_by_check_or_by_subject_and_check(key: str) -> None:
    outcomes = run_checks([check(fails), check(passes)], expected_failures={key: "frozen on purpose"})
    assert told(outcomes) == [("fails", "expected", "frozen on purpose"), ("passes", "passed", "")]


def test_what_is_no_broken_contract_is_no_expected_failure() -> None:
    expected = {"breaks": "a reason", "not_there": "a reason"}
    outcomes = run_checks([check(breaks), check(not_there)], expected_failures=expected)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert outcomes[1].reason.startswith("cannot import no_such_package:build: ModuleNotFoundError")


def test_one_subjects_expected_failure_is_not_anothers() -> None:
    outcomes = run_checks([check(fails), check(fails, "mine/vit")], expected_failures={"vit: fails": "a reason"})
    assert [outcome.status for outcome in outcomes] == ["failed", "expected"]


def test_an_expected_failure_that_passes_or_is_skipped_says_so() -> None:
    expected = {"passes": "a reason", "skips": "another"}
    assert told(run_checks([check(passes), check(skips)], expected_failures=expected)) == [
        ("passes", "unexpectedly passed", "it was expected to fail: a reason"),
        ("skips", "skipped", "no weights"),
    ]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"fals": "x"}, 'names "fals", which is not a check. Did you mean "fails"?'),
        ({"fails": " "}, 'say why "fails" is'),
    ],
)
def test_a_wrong_expectation_is_refused(expected: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run_checks([check(fails)], expected_failures=expected)


# What depends on what -------------------------------------------------------------------------------------------------

calls: list[str] = []


def root(case: object) -> None:
    calls.append("root")
    raise CheckFailed("no root")


def sound_root(case: object) -> None:
    calls.append("sound root")


def leaf(case: object) -> None:
    calls.append("leaf")


def depends(on: Check, function: Callable[[object], None] = leaf) -> Check:
    return replace(check(function), depends_on=(*on.depends_on, on))


def test_what_depends_on_a_failed_check_is_skipped_and_names_it() -> None:
    first = check(root)
    second = depends(first, sound_root)
    assert told(run_checks([first, second, depends(second)])) == [
        ("root", "failed", "no root"),
        ("sound_root", "skipped", "depends on root, which failed"),
        ("leaf", "skipped", "depends on root, which failed"),
    ]


@pytest.mark.parametrize("function", [breaks, not_there])
def test_an_error_of_any_kind_keeps_what_depends_on_it_from_running(function: Callable[[object], None]) -> None:
    first = check(function)
    assert [one.status for one in run_checks([first, depends(first)])] == ["failed", "skipped"]


def test_what_depends_on_a_skipped_check_runs() -> None:
    first = check(skips)
    assert [one.status for one in run_checks([first, depends(first)])] == ["skipped", "passed"]


def test_a_check_alone_says_the_same_as_among_others_and_its_cause_runs_once() -> None:
    first = check(root)
    calls.clear()
    found = told(run_checks([depends(first), depends(first, sound_root)]))
    assert [status for _, status, _ in found] == ["skipped", "skipped"]
    assert calls == ["root"]


def test_a_check_of_one_subject_keeps_none_of_another_from_running() -> None:
    first, other = check(root), check(sound_root, "mine/vit")
    outcomes = run_checks([first, other, replace(check(leaf, "mine/vit"), depends_on=(other,))])
    assert [one.status for one in outcomes] == ["failed", "passed", "passed"]


def test_a_failure_that_is_expected_keeps_what_depends_on_it_from_running() -> None:
    first = check(root)
    outcomes = run_checks([first, depends(first)], expected_failures={"root": "on purpose"})
    assert [one.status for one in outcomes] == ["expected", "skipped"]


@pytest.mark.parametrize("kind", CHECKS, ids=lambda kind: kind.__name__)
def test_what_a_check_depends_on_runs_before_it_the_first_cause_first(kind: type) -> None:
    _, functions = CHECKS[kind]
    order = list(functions)
    for name, causes in functions.items():
        places = [order.index(cause) for cause in causes]
        assert places == sorted(places)
        assert all(place < order.index(name) for place in places)
        for cause in causes:
            assert set(functions[cause]) <= set(causes), "a cause of a cause is a cause"


BROKEN = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="no_such_package:build", summary="A net")
"""


def test_as_tests_of_pytest_a_cause_fails_once_in_any_order_and_alone(install: Install) -> None:
    install("broken", BROKEN)
    params = [p for p in parametrize_checks("broken").mark.args[1] if p.id.startswith("net-")]

    def status(run: Callable[[], None]) -> str:
        try:
            run()
        except pytest.skip.Exception as skip:
            return str(skip)
        except UnusableError as error:
            return str(error)
        return "passed"

    skipped = "depends on check_model_builds, which failed"
    backwards = {param.id: status(param.values[0]) for param in reversed(params)}
    assert backwards.pop("net-check_model_builds").startswith("cannot import no_such_package:build")
    assert backwards.pop("net-check_model_declared_size") in (skipped, "it declares neither image_size nor in_channels")
    assert backwards.pop("net-check_model_class_names") == "it does not name the classes of its weights"
    assert set(backwards.values()) == {skipped}
    (alone,) = [p for p in parametrize_checks("broken").mark.args[1] if p.id == "net-check_model_state_dict"]
    assert status(alone.values[0]) == skipped


def test_the_decorator_names_its_cases_and_expects_failures_strictly(install: Install) -> None:
    install("mine")
    reasons = {"net: check_model_gradients": "frozen on purpose"}
    (name, params), *_ = [parametrize_checks("mine", expected_failures=reasons).mark.args]
    assert name == "check"
    ids = [param.id for param in params]
    assert ids[:6] == [
        "mine-check_plugin_loads",
        "mine-check_plugin_lists_lightly",
        "mine-check_plugin_loads_quietly",
        "mine-check_plugin_imports_quietly",
        "mine-check_plugin_offers",
        "mine-check_plugin_recipes_known",
    ]
    marked = {param.id: param.marks[0] for param in params if param.marks}
    assert list(marked) == ["net-check_model_gradients"]
    assert marked["net-check_model_gradients"].name == "xfail"
    assert marked["net-check_model_gradients"].kwargs == {
        "strict": True,
        "raises": CheckFailed,
        "reason": "frozen on purpose",
    }


@pytest.mark.process
@parametrize_checks("suites")
def test_the_decorator_runs_each_check(check: Callable[[], None]) -> None:
    check()


def test_a_skip_is_pytests_skip() -> None:
    param = next(
        param for param in parametrize_checks("recipes").mark.args[1] if param.id == "evaluate-check_recipe_loss_falls"
    )
    with pytest.raises(pytest.skip.Exception, match="it trains nothing"):
        param.values[0]()


# Suites ---------------------------------------------------------------------------------------------------------------


SUITE = """
name = "mine"
summary = "a suite"
datasets = ["digits"]
[[models]]
name = "scratch/vit"
options = { depth = 2 }
"""


def suite(tmp_path: Path, text: str) -> dict[str, Outcome]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    case = SuiteCase(spec=SuiteSpec(name="mine", path=str(path), summary="a suite"), catalog=load_catalog())
    return {outcome.check: outcome for outcome in run_checks(checks_for("mine/mine", case))}


def test_a_good_suite_passes(tmp_path: Path) -> None:
    assert {outcome.status for outcome in suite(tmp_path, SUITE).values()} == {"passed"}
    left_open = 'name = "mine"\nsummary = "all is left to the user"\nrecipe = "evaluate"\n'
    assert {outcome.status for outcome in suite(tmp_path, left_open).values()} == {"passed"}


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        (
            "check_suite_parses",
            SUITE.replace('"mine"', '"other"'),
            'the file\'s name is "other", the spec\'s is "mine"',
        ),
        ("check_suite_parses", "name = ", "is not valid TOML"),
        ("check_suite_parses", SUITE + "lable = 'x'\n", "unknown key `models[0].lable`. Did you mean"),
        ("check_suite_names", SUITE.replace("scratch/vit", "scratch/vti"), 'unknown model "scratch/vti". Did you mean'),
        ("check_suite_names", SUITE.replace("depth", "dpeth"), 'model scratch/vit has no option "dpeth"'),
        ("check_suite_names", SUITE.replace("digits", "digts"), 'unknown dataset "digts"'),
        ("check_suite_names", 'recipe = "evalute"\nname = "mine"\nsummary = "x"\n', 'unknown recipe "evalute"'),
        ("check_suite_names", 'rank_by = "top2"\n' + SUITE, 'rank_by = "top2": no such metric'),
        (
            "check_suite_names",
            SUITE.replace("scratch/vit", "timm/no_such_net").replace("options", "#"),
            "model timm/no_such_net: timm has no model",
        ),
    ],
)
def test_each_bad_suite_is_caught_by_name(check: str, text: str, words: str, tmp_path: Path) -> None:
    outcome = suite(tmp_path, text)[check]
    assert outcome.status == "failed"
    assert words in outcome.reason
