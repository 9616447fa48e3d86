"""The hash of a plugin's code: whose files count, and that it is that of the files as they are."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import factories as f
import msgspec
import pytest

from vitbench.catalog import PluginSelection, load_catalog, provenance
from vitbench.catalog.plugin_files import read_files
from vitbench.catalog.provenance import core_hash, first_missing, key_of, metric_versions, origin
from vitbench.errors import UnusableError
from vitbench.records import PluginOrigin, digest

Install = Callable[..., Path]
_numbers = itertools.count()

HOOKS = """
import vitbench

@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="{build}", summary="A net")

@vitbench.hookimpl
def vitbench_metrics():
    yield vitbench.MetricSpec(
        name="m", measure="{build}", unit="1", better="lower", needs="predictions", summary="A metric"
    )
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution of a package with the plugin `mine`; return the package's folder."""

    def write(value: str = "{}", build: str = "{}:build") -> Path:
        name = f"vitbench_traced_{next(_numbers)}"
        info = tmp_path / name / "mine_dist-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-dist\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[vitbench]\nmine = {value.format(name)}\n")
        package = info.parent / name
        package.mkdir()
        (package / "__init__.py").write_text(HOOKS.format(build=build.format(name)))
        monkeypatch.syspath_prepend(str(info.parent))
        return package

    return write


def bring(package: Path, module: str, *, distribution: str) -> Path:
    """Install a module beside a package, as pip does for this distribution; "" is by hand. Return its file."""
    file = package.parent / f"{module}.py"
    file.write_text("def build(): ...\n")
    if distribution:
        info = package.parent / f"{distribution.replace('-', '_')}-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (info / "RECORD").write_text(f"{module}.py,,\n")
    return file


def code_hash() -> str:
    [plugin] = load_catalog(PluginSelection(allowed=("mine",))).plugins
    return origin(plugin).code_hash


def test_a_change_is_seen_in_the_same_process(install: Install) -> None:
    package = install()
    [plugin] = load_catalog(PluginSelection(allowed=("mine",))).plugins
    before = origin(plugin)
    assert (before.owner, before.is_file) == ("mine-dist 1", False)
    catalog = load_catalog(PluginSelection(allowed=("mine",)))
    assert metric_versions(catalog) == {"mine/m": before.code_hash}
    (package / "net.py").write_text("x = 1\n")
    assert origin(plugin).code_hash != before.code_hash
    assert metric_versions(catalog) == {"mine/m": origin(plugin).code_hash}


def test_hidden_files_and_what_is_no_file_do_not_count(install: Install) -> None:
    package = install()
    before = code_hash()
    (package / ".#net.py").symlink_to("somebody@a-machine.42:1")  # the lock of Emacs
    (package / "net.py").symlink_to("absent.py")
    (package / "folder.py").mkdir()
    (package / ".ipynb_checkpoints").mkdir()
    (package / ".ipynb_checkpoints" / "net-checkpoint.py").write_text("x = 1\n")
    assert code_hash() == before


@pytest.mark.parametrize("name", ["sizes.json", "sizes.yaml", "kernel.so", "deep/table.toml"])
def test_data_beside_the_code_count(name: str, install: Install) -> None:
    file = install() / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("1")
    before = code_hash()
    file.write_text("2")
    assert code_hash() != before


def test_a_helper_that_no_package_brings_counts(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install()
    helper = tmp_path / "on_path" / f"{package.name}_helper.py"
    helper.parent.mkdir()
    helper.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(helper.parent))
    (package / "net.py").write_text(f"def build():\n    from {helper.stem} import x\n")
    before = code_hash()
    helper.write_text("x = 2\n")
    assert code_hash() != before


def test_a_helper_of_a_plugin_file_counts_and_without_one_the_hash_is_the_files_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / f"traced_helper_{next(_numbers)}.py"
    helper.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "elsewhere" / f"traced_file_{next(_numbers)}.py"
    file.parent.mkdir()

    def hashed(text: str) -> tuple[str, str]:
        file.write_text(text)
        catalog = load_catalog(PluginSelection(allowed=(file.stem,), files=read_files([file])))
        [plugin] = [plugin for plugin in catalog.plugins if plugin.name == file.stem]
        return origin(plugin).code_hash, plugin.sha256

    alone, own = hashed(HOOKS.format(build="json:loads"))
    assert alone == own
    before, own = hashed(f"import {helper.stem}\n" + HOOKS.format(build="json:loads"))
    assert before != own
    helper.write_text("x = 2\n")
    assert hashed(f"import {helper.stem}\n" + HOOKS.format(build="json:loads"))[0] != before


def test_a_package_in_a_hidden_folder_counts(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install()
    place = tmp_path / ".local"
    package.parent.rename(place)
    monkeypatch.syspath_prepend(str(place))
    before = code_hash()
    (place / package.name / "net.py").write_text("x = 1\n")
    assert code_hash() != before


def test_a_source_that_cannot_be_read_is_one_sentence(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install()

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        UnusableError, match=r"plugin mine \(mine-dist 1\): its source .*__init__.py cannot be read: Perm"
    ):
        code_hash()
    assert package.exists()


def test_code_that_is_gone_is_an_error_and_no_hash_of_nothing(install: Install) -> None:
    package = install()
    [plugin] = load_catalog(PluginSelection(allowed=("mine",))).plugins
    (package / "__init__.py").unlink()
    with pytest.raises(UnusableError, match=rf"plugin mine \(mine-dist 1\): the source of {package.name} is not found"):
        origin(plugin)


def test_an_entry_point_with_blanks_has_the_hash_of_its_package(install: Install) -> None:
    package = install(value="{} : plugin")
    (package / "__init__.py").write_text("class plugin: ...\n")
    before = code_hash()
    (package / "net.py").write_text("x = 1\n")
    assert code_hash() != before


@pytest.mark.compute
@pytest.mark.parametrize(
    ("distribution", "counts"),
    [("", True), ("mine-dist", True), ("other-dist", False)],
    ids=["by hand", "own", "other"],
)
def test_a_module_beside_the_plugin_counts_unless_another_package_brings_it(
    distribution: str, counts: bool, install: Install
) -> None:
    package = install(build="{}_net:build")
    file = bring(package, f"{package.name}_net", distribution=distribution)
    before = code_hash()
    file.write_text("def build(): return 1\n")
    assert (code_hash() != before) == counts


@pytest.mark.parametrize("build", ["json:loads", "vitbench.api:run", "{}.net:build"])
def test_other_modules_are_looked_for_only_where_specs_name_some(build: str, install: Install) -> None:
    install(build=build)
    [plugin] = load_catalog(PluginSelection(allowed=("mine",))).plugins
    assert plugin.sources == ()


def test_the_place_of_a_plugin_file_is_not_in_the_key_and_its_code_is() -> None:
    made_of = f.quality_cell().provenance

    def key(distribution: str, code: str = "c0de") -> str:
        file = PluginOrigin(plugin="mine", distribution=distribution, version="", code_hash=code)
        return key_of("id", msgspec.structs.replace(made_of, model=file, recipe=file, dataset=file, others=(file,)))

    assert key("mine.py") == key("/elsewhere/mine.py")
    assert key("mine.py") != key("mine.py", "other")


def test_the_key_of_installed_plugins_holds_all_that_they_are_made_of() -> None:
    made_of = f.quality_cell().provenance
    assert key_of("id", made_of) == digest(("id", made_of))
    assert key_of("id", made_of) != key_of("other", made_of)
    renamed = msgspec.structs.replace(made_of.model, distribution="another")
    assert key_of("id", made_of) != key_of("id", msgspec.structs.replace(made_of, model=renamed))


def test_a_module_below_a_package_that_fails_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "provenance_that_fails"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('no driver')")
    (package / "part.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert first_missing(["json.decoder", "provenance_that_fails.part"]) == "provenance_that_fails.part"
    assert first_missing(["no_such_module_here.part"]) == "no_such_module_here.part"
    assert first_missing(["json.decoder"]) == ""


def test_the_hash_of_the_core_is_that_of_all_that_makes_numbers() -> None:
    root = Path(provenance.__file__).parents[1]
    assert all((root / name).exists() for name in (*provenance._CORE_FOLDERS, *provenance._CORE_FILES))
    assert {"data", "measuring", "training", "worker", "statistics.py"} <= {
        *provenance._CORE_FOLDERS,
        *provenance._CORE_FILES,
    }


def test_an_edit_of_vitbenchs_own_code_is_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(provenance.__file__).parents[1]
    copy = tmp_path / "vitbench"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(copy / "catalog" / "provenance.py"))
    hashes = [core_hash.__wrapped__()]
    assert hashes == [core_hash()]
    for name in ("data/cache.py", "measuring/timing.py", "training/inputs.py", "worker/bench.py"):
        with (copy / name).open("a") as file:
            file.write("# an edit\n")
        hashes.append(core_hash.__wrapped__())
    assert len(set(hashes)) == len(hashes)
