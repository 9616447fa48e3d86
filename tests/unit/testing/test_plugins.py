"""Checks of whole plugins: a good one passes them all, and each bad one is caught, imported before or not."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from vitbench.errors import UnusableError
from vitbench.testing import Outcome, checks_of, plugins, run_checks
from vitbench.testing.cases import PluginCase
from vitbench.testing.plan import CHECKS

Install = Callable[..., str]
_numbers = itertools.count()

pytestmark = pytest.mark.process

PLUGIN = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(
        name="net", build="%(module)s_net:build", summary="A net", recipe="{recipe}", recipe_options={own}
    )
    yield vitbench.ModelSpec(name="zoo", build="%(module)s_zoo:build", summary="A net", requires=("no_such_zoo",))

@vitbench.hookimpl
def vitbench_recipes():
    yield vitbench.RecipeSpec(name="slowly", fit="%(module)s_fit:fit", summary="A recipe")

@vitbench.hookimpl
def vitbench_figures():
    yield vitbench.FigureSpec(name="look", draw="%(module)s_look:draw", summary="A figure")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin called mine; `first` stands before its code, and each of the others is a module that it names.

    Returns the name of its module.
    """

    def write(
        first: str = "",
        *,
        recipe: str = "slowly",
        own: str = "{}",
        net: str = "",
        fit: str = "",
        look: str = "",
        zoo: str = "",
    ) -> str:
        module = f"conformance_plugin_{next(_numbers)}"
        info = tmp_path / "vitbench_mine-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-mine\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[vitbench]\nmine = {module}\n")
        code = PLUGIN.replace("{recipe}", recipe).replace("{own}", own).replace("%(module)s", module)
        (tmp_path / f"{module}.py").write_text(f"{first}\n{code}")
        for name, content in (("net", net), ("fit", fit), ("look", look), ("zoo", zoo)):
            (tmp_path / f"{module}_{name}.py").write_text(content)
        monkeypatch.syspath_prepend(str(tmp_path))
        return module

    return write


def outcomes(only: str = "") -> dict[str, Outcome]:
    checks = [check for check in checks_of("mine") if isinstance(check.case, PluginCase) and only in check.name]
    if only:  # without what it depends on, which takes a process each
        checks = [replace(check, depends_on=()) for check in checks]
    found = run_checks(checks)
    assert {outcome.subject for outcome in found} == {"mine"}
    return {outcome.check: outcome for outcome in found}


def failed(only: str = "") -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes(only).items() if outcome.status == "failed"}


def test_a_good_plugin_passes_all(install: Install) -> None:
    install(net="import torch\nfrom random import random\nGENERATOR = torch.Generator().manual_seed(3)\n")
    found = outcomes()
    assert list(found) == list(CHECKS[PluginCase][1])
    assert {outcome.status for outcome in found.values()} == {"passed"}


LOADING = {
    "prints": ("print('hello')", 'wrote to stdout, which was sent to stderr: "hello"'),
    "moves": ("import os\nos.chdir('/')", "changed the working directory to /; it was restored"),
    "sets a variable and takes one": (
        "import os\nos.environ['MINE'] = '1'\nos.environ.pop('PATH')",
        "changed environment variables (MINE, PATH); ",
    ),
    "adds a folder": ("import sys\nsys.path.append('/mine')", "changed the module path (sys.path)"),
    "draws": ("import random\nrandom.random()", "loading it changes the generator of random; do not change state"),
    "hushes": (
        "import warnings\nwarnings.simplefilter('ignore', ResourceWarning)",
        "loading it changes the warning filters of all modules; ",
    ),
    "needs the tests": ("import sys\nif 'pytest' not in sys.modules:\n    no_such_name", "name 'no_such_name' is not"),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("case", LOADING)
def test_what_loading_does_is_caught_though_the_plugin_is_loaded_already(
    case: str, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin() -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", "before")
        monkeypatch.setenv("MINE", "before")

    begin()
    monkeypatch.setattr(sys, "path", list(sys.path))
    first, words = LOADING[case]
    import_module(install(first))
    begin()
    assert words in failed("check_plugin_loads_quietly")["check_plugin_loads_quietly"]


def test_a_plugin_may_filter_warnings_of_its_own(install: Install) -> None:
    install(
        "import warnings\nwarnings.filterwarnings('ignore', module='mine')\nwarnings.filterwarnings('ignore', 'so')"
    )
    assert failed() == {}


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("", ""),
        ("warnings.simplefilter('ignore', ImportWarning)", "loading it changes the warning filters of all modules; "),
    ],
    ids=["the library alone", "the plugin, too"],
)
def test_what_an_installed_library_changes_is_not_the_plugins_doing(
    then: str, reason: str, install: Install, tmp_path: Path
) -> None:
    """As numpy and torch set filters when they are imported."""
    info = tmp_path / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("loud_library\n")
    (tmp_path / "loud_library.py").write_text("import warnings\nwarnings.simplefilter('ignore', ResourceWarning)\n")
    install(f"import sys, warnings\nimport loud_library\nif 'pytest' not in sys.modules:\n    {then or 'pass'}")
    found = outcomes("check_plugin_loads_quietly")["check_plugin_loads_quietly"]
    assert found.status == ("failed" if reason else "passed")
    assert found.reason.startswith(reason)


def test_a_plugin_that_imports_torch_when_it_is_listed_is_caught(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setitem(sys.modules, "torch", torch)  # put back after the light one
    install("import torch")
    (tmp_path / "torch.py").touch()  # a light one, for the process that lists
    assert failed()["check_plugin_lists_lightly"] == (
        "listing it imports torch; import them in the modules that its import strings name"
    )


def test_a_plugin_that_ends_or_holds_the_process_is_caught(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("import os, sys, time\nif 'pytest' not in sys.modules:\n    time.sleep(0.5)\n    os._exit(3)")
    assert failed() == {"check_plugin_loads": "listing it ended with exit code 3"}
    monkeypatch.setattr(plugins, "SECONDS", 0.1)
    (reason,) = failed().values()
    assert "listing it takes more than 0.1 s" in reason


@pytest.mark.parametrize(
    ("where", "code", "words"),
    [
        ("net", "import torch\ntorch.set_default_dtype(torch.float64)", "_net:build changes torch's default_dtype; do"),
        ("fit", "import numpy\nnumpy.random.rand()", "_fit:fit draws from or seeds the generator of numpy; do it"),
        ("look", "import random\nrandom.seed(1)", "_look:draw draws from or seeds the generator of random; do it"),
        ("net", "import os\nos._exit(4)", "importing what its import strings name: the process ended with exit code 4"),
    ],
)
def test_what_importing_its_functions_does_is_caught(where: str, code: str, words: str, install: Install) -> None:
    install(**{where: f"{code}\ndef build(**_): ...\ndef fit(*_): ...\ndef draw(*_): ...\n"})
    found = failed()
    assert list(found) == ["check_plugin_imports_quietly"]
    assert words in found["check_plugin_imports_quietly"]


def test_what_cannot_be_imported_or_is_not_installed_is_left_to_other_checks(install: Install) -> None:
    install(net="import no_such_module_anywhere", zoo="import torch\ntorch.manual_seed(0)")
    assert failed() == {}


TAKEN = """
import vitbench

@vitbench.hookimpl
def vitbench_metrics():
    yield vitbench.MetricSpec(name="ece", measure="m:m", summary="x", unit="", better="lower", needs="predictions")
    yield vitbench.MetricSpec(name="odd name", measure="m:m", summary="x", unit="", better="lower", needs="predictions")
    yield vitbench.MetricSpec(name="own", measure="m:m", summary="x", unit="", better="lower", needs="predictions")
"""


def test_a_spec_that_is_lost_fails_one_check_whether_or_not_another_plugin_is_the_cause(install: Install) -> None:
    install(TAKEN)
    found = failed()
    assert list(found) == ["check_plugin_offers"]
    assert "odd name" in found["check_plugin_offers"]
    assert 'metric ece gives "ece", as metrics/ece does; choose another name' in found["check_plugin_offers"]
    assert outcomes()["check_plugin_recipes_known"].reason == "depends on check_plugin_offers, which failed"
    assert {check.subject for check in checks_of("mine")} == {
        "mine",
        *(f"mine/{name}" for name in ("net", "zoo", "slowly", "own", "look")),
    }
    assert {check.subject for check in checks_of("mine/own")} == {"mine/own"}
    with pytest.raises(UnusableError, match=r"plugin mine \(vitbench-mine 1.2\), validate: .*odd name"):
        checks_of("mine/odd name")


@pytest.mark.parametrize("recipe", ["slowly", "mine/slowly", "supervised", "recipes/finetune"])
def test_a_model_may_name_its_own_recipes_and_installed_ones(recipe: str, install: Install) -> None:
    install(recipe=recipe)
    assert outcomes("check_plugin_recipes_known")["check_plugin_recipes_known"].status == "passed"


def test_a_recipe_that_there_is_not_is_caught(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(recipe="supervized")
    assert failed() == {
        "check_plugin_recipes_known": 'model mine/net: unknown recipe "supervized". Did you mean "supervised"? '
        "If another package offers it, require it."
    }
    monkeypatch.setenv("VITBENCH_PLUGINS", "mine")
    skipped = outcomes("check_plugin_recipes_known")["check_plugin_recipes_known"]
    assert (skipped.status, skipped.reason[:22]) == ("skipped", "plugins are left out: ")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ('{"supervised": {"lr": 0.1}, "mine/slowly": {}, "other/sgd": {"any": 1}}', ""),
        ('{"supervised": {"rl": 0.1}}', 'recipe_options: recipe recipes/supervised has no option "rl".'),
        ('{"supervized": {"lr": 0.1}}', 'neither mine nor vitbench offers it. Did you mean "supervised"?'),
        ('{"mine/slow": {}}', 'recipe_options name the recipe "mine/slow", and neither mine nor vitbench offers it.'),
    ],
)
def test_what_a_model_sets_of_a_recipe_is_checked_where_that_is_installed(
    own: str, words: str, install: Install
) -> None:
    install(recipe="", own=own)
    found = failed("check_plugin_recipes_known")
    assert list(found) == ["check_plugin_recipes_known"] * bool(words)
    assert words in found.get("check_plugin_recipes_known", "")


def test_models_without_recipes_name_none(install: Install) -> None:
    install(recipe="")
    assert outcomes("check_plugin_recipes_known")["check_plugin_recipes_known"].reason == "its models name no recipe"
