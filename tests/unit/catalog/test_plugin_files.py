"""A plugin in one file: how it is called, what it may not be called, and that the text which was read is what runs."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitbench.catalog import Catalog, load_catalog, select_plugins
from vitbench.catalog.plugin_files import PluginFile, load_file, read_files
from vitbench.catalog.provenance import origin
from vitbench.errors import UsageError
from vitbench.specs import load_target

MODEL = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="{name}:build", summary="A net")

def build():
    return "{word}"
"""


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """Forget the modules that a test made."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


def write(path: Path, word: str = "first") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODEL.format(name=path.stem, word=word))
    return path


def catalog_with(*files: Path) -> Catalog:
    return load_catalog(select_plugins(files))


def test_a_file_is_a_plugin_of_its_stem_with_its_path_and_hash_as_origin(tmp_path: Path) -> None:
    path = write(tmp_path / "fake_one.py")
    catalog = catalog_with(path)
    assert catalog.problems == ()
    offer = catalog.model("fake_one/net")
    assert load_target(offer.spec.build)() == "first"
    found = origin(offer.plugin)
    assert (found.plugin, found.distribution, found.version) == ("fake_one", str(path), "")
    assert found.code_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.owner == str(path)


def test_a_path_below_the_working_folder_is_shown_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "models" / "fake_one.py")
    monkeypatch.chdir(tmp_path)
    [file] = read_files(["./models/../models/fake_one.py"])
    assert (file.shown, file.path) == ("models/fake_one.py", str(tmp_path / "models" / "fake_one.py"))


@pytest.mark.parametrize(
    ("stem", "name"),
    [("fake-two", "fake_two"), ("fake two (1)", "fake_two__1_"), ("fake.two", "fake_two"), ("fakeé", "fake_")],
)
def test_what_no_module_name_may_hold_becomes_an_underscore(stem: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.py"
    path.write_text(MODEL.format(name=name, word="x"))
    assert load_target(catalog_with(path).model(f"{name}/net").spec.build)() == "x"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2nets.py", "must begin with a letter"),
        ("_net.py", "must begin with a letter"),
        ("模型.py", "must begin with a letter"),
        ("net.txt", 'must end in ".py"'),
        ("json.py", '"json" is the name of an installed module'),
        ("torch.py", '"torch" is the name of an installed module'),
        ("sys.py", '"sys" is the name of an installed module'),
    ],
)
def test_a_name_that_would_not_do_is_refused_before_anything_runs(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("raise SystemExit")
    with pytest.raises(UsageError, match=words):
        read_files([tmp_path / name])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent.py cannot be read: No such file"):
        read_files([tmp_path / "absent.py"])
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match=r"folder.py cannot be read: Is a directory"):
        read_files([tmp_path / "folder.py"])


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"plugin file ~no-such-user/x.py cannot be found: Could not determine home"):
        read_files(["~no-such-user/x.py"])
    path = write(tmp_path / "fake_one.py")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match=r"plugin file x.py cannot be found: No such file"):
        read_files(["x.py"])
    [file] = read_files([path])
    assert file.shown == str(path)


def test_two_files_of_one_name_are_refused_and_one_file_twice_is_one(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a" / "fake_one.py"), write(tmp_path / "b" / "fake_one.py")
    with pytest.raises(UsageError, match=r'a/fake_one.py and .*b/fake_one.py: both are called "fake_one"'):
        read_files([first, second])
    assert len(read_files([first, str(first), tmp_path / "b" / ".." / "a" / "fake_one.py"])) == 1


def test_a_file_on_the_module_path_is_not_taken_for_another_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "fake_one.py")
    monkeypatch.syspath_prepend(tmp_path)  # as the working folder is, in a notebook
    assert [file.name for file in read_files([path])] == ["fake_one"]
    with pytest.raises(UsageError, match="name of an installed module"):
        read_files([write(tmp_path / "b" / "fake_one.py")])


def test_a_changed_file_is_loaded_anew_and_so_is_another_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "fake_one.py")
    first = catalog_with(path).model("fake_one/net")
    write(path, "second")
    second = catalog_with(path).model("fake_one/net")
    assert load_target(second.spec.build)() == "second"
    assert origin(first.plugin).code_hash != origin(second.plugin).code_hash
    elsewhere = catalog_with(write(tmp_path / "b" / "fake_one.py", "third")).model("fake_one/net")
    assert load_target(elsewhere.spec.build)() == "third"


def test_the_text_that_was_read_is_what_runs(tmp_path: Path) -> None:
    path = write(tmp_path / "fake_one.py")
    selection = select_plugins([path])
    path.write_text("raise SystemExit('edited meanwhile')")
    assert load_target(load_catalog(selection).model("fake_one/net").spec.build)() == "first"
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("code", ["1 / 0", "def (", "raise SystemExit(3)", "import no_such_module_anywhere"])
def test_a_file_that_breaks_is_fatal_and_leaves_no_module(code: str, tmp_path: Path) -> None:
    path = tmp_path / "fake_bad.py"
    path.write_text(code)
    catalog = catalog_with(path)
    [problem] = catalog.fatal(strict=False)
    assert (problem.plugin, problem.stage, problem.distribution) == ("fake_bad", "load", str(path))
    assert str(problem).startswith(f"plugin fake_bad ({path}), load: ")
    assert "fake_bad" not in sys.modules
    assert "scratch/vit" in catalog.models


def test_what_was_undone_is_not_fatal_unless_plugins_are_taken_strictly(tmp_path: Path) -> None:
    path = write(tmp_path / "fake_one.py")
    path.write_text("print('hello')\n" + path.read_text())
    catalog = catalog_with(path)
    assert [problem.severity for problem in catalog.problems] == ["warning"]
    assert catalog.fatal(strict=False) == ()
    assert catalog.fatal(strict=True) == catalog.problems


def test_a_file_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "fake_sibling.py").touch()
    file = PluginFile(path=str(tmp_path / "fake_one.py"), shown="fake_one.py", source=b"import fake_sibling")
    with pytest.raises(
        ModuleNotFoundError,
        match=(
            r"a plugin file must be self-contained, and fake_sibling.py "
            r"next to it"
        ),
    ):
        load_file(file)
