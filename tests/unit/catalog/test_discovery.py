"""Which plugins there are, by metadata alone: names, versions wanted, and what the user selects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import vitbench
from vitbench.catalog.discovery import Discovery, PluginSelection, discover, select_plugins
from vitbench.errors import UsageError

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write the metadata of a distribution with one plugin; there is no code."""

    def write(name: str, *requires: str, value: str = "no_code", metadata: bool = True) -> None:
        info = tmp_path / name / f"{name}_dist-1.2.dist-info"
        info.mkdir(parents=True)
        if metadata:
            lines = ["Metadata-Version: 2.1", f"Name: {name}-dist", "Version: 1.2"]
            (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires), ""]))
        (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(str(info.parent))

    return write


def found(*names: str) -> Discovery:
    return discover(PluginSelection(allowed=names))


@pytest.mark.parametrize(
    "line",
    [
        "vitbench",
        f"vitbench=={vitbench.__version__}",
        "VitBench[html] (>=0.0.1)",
        'vitbench>=99; extra == "next"',
        'vitbench>=99; python_version < "3"',
        "vitbench-extras>=99",
        "numpy>=99",
    ],
)
def test_a_requirement_that_holds_or_is_not_on_this_vitbench_is_no_problem(line: str, install: Install) -> None:
    install("mine", line)
    [candidate] = found("mine").candidates
    assert candidate.plugin.owner == "mine-dist 1.2"


@pytest.mark.parametrize(
    "line",
    ["vitbench>=99", "VitBench[html] (>=99)", "vitbench<0.0.1"],
)
def test_a_requirement_that_this_vitbench_does_not_meet_is_a_problem(line: str, install: Install) -> None:
    install("mine", line)
    discovery = found("mine")
    assert discovery.candidates == ()
    [problem] = discovery.problems
    assert (problem.stage, problem.severity) == ("require", "error")
    assert problem.error == f"it needs {line}, and this is vitbench {vitbench.__version__}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vitbench>=>1", "requirement vitbench>=>1 cannot be read: InvalidRequirement"),
        ('vitbench>=0.0.1; os_name ~= "posix"', 'os_name ~= "posix" cannot be read: UndefinedComparison'),
    ],
)
def test_a_requirement_that_cannot_be_read_is_a_problem_of_its_package(line: str, words: str, install: Install) -> None:
    install("mine", line)
    discovery = found("mine", "scratch")
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["scratch"]
    [problem] = discovery.problems
    assert (problem.stage, words in problem.error) == ("require", True), problem.error


def test_metadata_that_are_no_text_are_a_problem_of_their_package(install: Install, tmp_path: Path) -> None:
    install("mine")
    (tmp_path / "mine" / "mine_dist-1.2.dist-info" / "METADATA").write_bytes(b"Name: mine-dist\nAuthor: \xe9\n")
    [problem] = found("mine", "scratch").problems
    assert (problem.stage, problem.distribution) == ("require", "")
    assert problem.error.startswith("its metadata cannot be read: UnicodeDecodeError")


def test_a_prerelease_of_this_vitbench_meets_what_it_will_meet(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitbench.catalog.discovery.__version__", "2.0.dev1")
    install("mine", "vitbench>=1.5")
    assert found("mine").problems == ()


def test_an_entry_point_that_names_no_module_is_a_problem(install: Install) -> None:
    install("mine", value="no module : here")
    [problem] = found("mine").problems
    assert (problem.stage, problem.error) == (
        "name",
        'the entry point "no module : here" is not of the form "module" or "module:attribute"',
    )


def test_damaged_metadata_leave_the_owner_unknown(install: Install) -> None:
    install("mine", metadata=False)
    [candidate] = found("mine").candidates
    assert (candidate.plugin.distribution, candidate.plugin.owner) == ("", "unknown distribution")


def test_the_selection_is_made_of_the_variable_the_options_and_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert select_plugins() == PluginSelection()
    (tmp_path / "mine.py").write_text("x = 1\n")
    monkeypatch.setenv("VITBENCH_PLUGINS", " scratch ,, mine")
    selection = select_plugins([tmp_path / "mine.py"], ["timm"])
    assert (selection.allowed, selection.excluded) == (("scratch", "mine"), ("timm",))
    assert [file.source for file in selection.files] == [b"x = 1\n"]
    assert msgspec.json.decode(msgspec.json.encode(selection), type=PluginSelection) == selection


def test_what_is_left_out_is_told() -> None:
    discovery = discover(PluginSelection(allowed=("timm", "scratch"), excluded=("timm",)))
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["scratch"]
    assert set(discovery.left_out) >= {"timm", "datasets"}
    assert "scratch" not in discovery.left_out


def test_a_file_comes_after_the_installed_plugins_whatever_the_allow_list_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITBENCH_PLUGINS", "scratch")
    (tmp_path / "alone.py").touch()
    discovery = discover(select_plugins([tmp_path / "alone.py"]))
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["scratch", "alone"]
    assert "alone" not in discovery.left_out


def test_an_allow_list_may_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITBENCH_PLUGINS", "scratch,alone,absent")
    (tmp_path / "alone.py").touch()
    discovery = discover(select_plugins([tmp_path / "alone.py"]))
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["scratch", "alone"]
    assert [problem.plugin for problem in discovery.problems] == ["absent"]


def test_a_file_may_not_be_called_as_an_installed_plugin_is_unless_that_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "scratch.py").touch()
    selection = select_plugins([tmp_path / "scratch.py"])
    with pytest.raises(UsageError, match=r'scratch.py: an installed plugin is called "scratch".*--no-plugin scratch'):
        discover(selection)
    discovery = discover(msgspec.structs.replace(selection, excluded=("scratch",)))
    assert [c.plugin.distribution for c in discovery.candidates if c.plugin.name == "scratch"] == [
        str(tmp_path / "scratch.py")
    ]


@pytest.mark.parametrize("text", [b"[vitbench]\nno_value\n", b"\xff\xfe[vitbench]"], ids=["no value", "no text"])
def test_a_package_with_damaged_entry_points_does_not_hide_the_others(
    text: bytes, install: Install, tmp_path: Path
) -> None:
    install("mine")
    install("damaged")
    (tmp_path / "damaged" / "damaged_dist-1.2.dist-info" / "entry_points.txt").write_bytes(text)
    discovery = found("mine", "scratch")
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["mine", "scratch"]
    [problem] = discovery.problems
    assert (problem.distribution, problem.version, problem.stage) == ("damaged-dist", "1.2", "name")
    assert problem.error.startswith("its entry_points.txt cannot be read: ")


def test_beside_damaged_entry_points_no_package_without_metadata_is_lost(install: Install, tmp_path: Path) -> None:
    install("mine", metadata=False)
    install("other", metadata=False)
    install("twice")
    older = tmp_path / "mine" / "Twice_Dist-1.0.dist-info"  # behind the other on the path, and spelt otherwise
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Twice_Dist\nVersion: 1.0\n")
    (older / "entry_points.txt").write_text("[vitbench]\ntwice = old_code\n")
    install("damaged")
    (tmp_path / "damaged" / "damaged_dist-1.2.dist-info" / "entry_points.txt").write_text("[vitbench]\nno_value\n")
    discovery = found("mine", "other", "twice")
    assert [candidate.plugin.name for candidate in discovery.candidates] == ["mine", "other", "twice"]
    assert [problem.distribution for problem in discovery.problems] == ["damaged-dist"]


@pytest.mark.parametrize("value", ["pack", "pack.hooks:plugin", "pack.hooks : plugin", " pack:p [extra]"])
def test_a_plugin_knows_its_package(value: str, install: Install) -> None:
    install("mine", value=value)
    [candidate] = found("mine").candidates
    assert candidate.plugin.package == "pack"
