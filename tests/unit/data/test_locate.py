"""vitbench.data.locate: which spec opens a name, and where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vitbench.data.locate import Located, default_cache_root, default_data_root, locate
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import DatasetSpec


def _open(**_: object) -> None:
    raise AssertionError("locating opens nothing")


LAYOUTS = [
    (
        f"{name}-plugin",
        DatasetSpec(
            name=name, open=_open, summary=f"has a file {name}", detect=lambda root, name=name: (root / name).exists()
        ),
    )
    for name in ("boxes", "rows")
]
NAMED = DatasetSpec(
    name="shapes", open=_open, summary="Shapes", classes=4, downloads=True, augmentations=("crop",), needs_root=True
)
SHIPPED = DatasetSpec(name="shipped", open=_open, summary="In a package", needs_root=False)


def _locate(name: str, spec: DatasetSpec | None, path: Path | None, tmp_path: Path) -> Located:
    return locate(name, spec=spec, plugin="mine", layouts=LAYOUTS, data_path=path, data_root=tmp_path / "data")


def test_a_named_set_lies_under_the_data_root_and_may_be_downloaded_there_and_a_shipped_one_has_no_root(
    tmp_path: Path,
) -> None:
    located = _locate("shapes", NAMED, None, tmp_path)

    assert located.root == tmp_path / "data" / "shapes"
    assert not located.root.exists()
    assert (located.spec, located.plugin, located.verified, located.download) == (NAMED, "mine", None, True)

    assert _locate("shipped", SHIPPED, None, tmp_path).root is None


def test_a_named_set_opens_its_folder_before_a_layout_that_detects_it(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()

    located = _locate("shapes", NAMED, tmp_path, tmp_path)

    assert (located.spec, located.plugin, located.root) == (NAMED, "mine", tmp_path)
    assert (located.verified, located.download) == (None, False)


def test_a_detected_layout_would_stand_in_for_a_named_set_and_is_unverified(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()

    found = _locate("shapes", NAMED, tmp_path, tmp_path).otherwise

    assert found is not None
    assert (found.spec.name, found.plugin, found.root) == ("rows", "rows-plugin", tmp_path)
    assert found.verified is False
    assert (found.augmentations, found.classes, found.download, found.otherwise) == (("crop",), 4, False, None)


def test_a_layout_opens_the_folder_given_for_a_shipped_set(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()

    located = _locate("shipped", SHIPPED, tmp_path, tmp_path)

    assert (located.spec.name, located.verified, located.otherwise) == ("rows", False, None)


def test_the_first_layout_that_detects_a_folder_opens_it(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()
    (tmp_path / "boxes").touch()

    located = _locate("mine", None, tmp_path, tmp_path)
    assert (located.spec.name, located.unused) == ("boxes", ("rows-plugin/rows",))


def test_a_folder_of_no_layout_is_opened_by_the_named_set_itself(tmp_path: Path) -> None:
    (tmp_path / "batch").touch()

    located = _locate("shapes", NAMED, tmp_path, tmp_path)

    assert (located.spec, located.plugin, located.verified, located.download) == (NAMED, "mine", None, False)
    assert located.otherwise is None


def test_a_new_name_takes_the_layout_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "boxes").touch()

    located = _locate("pets", None, tmp_path, tmp_path)

    assert (located.name, located.spec.name, located.verified, located.classes) == ("pets", "boxes", None, None)
    assert located.unused == ()


def test_a_layout_asked_for_by_name_is_the_only_one_tried(tmp_path: Path) -> None:
    (tmp_path / "boxes").touch()

    with pytest.raises(UnusableError, match=r"^dataset rows: .* matches no known layout: rows \(has a file rows\)$"):
        _locate("rows", LAYOUTS[1][1], tmp_path, tmp_path)


def test_a_misspelt_option_is_named_rather_than_the_layouts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    rows = replace(LAYOUTS[1][1], options={"labels": ""})

    with pytest.raises(UsageError, match=r'no layout has an option "labls"\. Did you mean "labels"\?$'):
        locate(
            "pets",
            spec=None,
            plugin="",
            layouts=[("own", rows)],
            data_path=tmp_path,
            data_root=tmp_path,
            options=["labls"],
        )


@pytest.mark.parametrize("spec", [None, SHIPPED])
def test_a_folder_of_no_layout_names_the_layouts(spec: DatasetSpec | None, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(UnusableError) as caught:
        _locate("pets", spec, tmp_path, tmp_path)

    assert str(caught.value) == (
        "dataset pets: put the images into one folder per class, or give their labels in a file (docs/datasets.md): "
        f"{tmp_path} matches no known layout: boxes (has a file boxes); rows (has a file rows)"
    )


def test_a_layout_that_fails_to_look_is_named(tmp_path: Path) -> None:
    def detect(root: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(root / "cat"))

    (tmp_path / "cat").touch()
    layout = DatasetSpec(name="odd", open=_open, summary="Odd", detect=detect)
    with pytest.raises(
        UnusableError, match=f"layout mine/odd failed at {tmp_path}: PermissionError: .*Permission denied"
    ):
        locate("pets", spec=layout, plugin="mine", layouts=[], data_path=tmp_path, data_root=tmp_path)


def test_unusable_paths_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, reason in (("missing", "there is no folder"), ("file", "is not a folder"), ("empty", "is empty")):
        with pytest.raises(UnusableError, match=reason) as caught:
            _locate("pets", None, tmp_path / name, tmp_path)
        assert str(tmp_path / name) in str(caught.value)


def test_a_wrong_folder_is_corrected_where_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match=r"correct --data pets=PATH$"):
        _locate("pets", None, tmp_path / "missing", tmp_path)
    given: dict[str, Any] = {"spec": None, "plugin": "mine", "layouts": LAYOUTS, "data_root": tmp_path}
    with pytest.raises(UnusableError, match=r"correct \[data\] in s\.toml$"):
        locate("pets", **given, data_path=tmp_path / "missing", given_in="s.toml")


def test_a_name_that_nobody_knows_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data pets=PATH"):
        _locate("pets", None, None, tmp_path)


def test_the_default_roots_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VITBENCH_DATA", str(tmp_path / "d"))
    monkeypatch.setenv("VITBENCH_CACHE", str(tmp_path / "c"))
    assert (default_data_root(), default_cache_root()) == (tmp_path / "d", tmp_path / "c")

    monkeypatch.delenv("VITBENCH_DATA")
    monkeypatch.delenv("VITBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_data_root().name == "data"
    assert default_cache_root() == default_data_root().with_name("images")


def test_options_that_one_layout_alone_has_choose_it(tmp_path: Path) -> None:
    (tmp_path / "boxes").touch()
    rows = replace(LAYOUTS[1][1], options={"column": ""})
    given = {"spec": None, "plugin": "", "layouts": [LAYOUTS[0], ("rows-plugin", rows)]}
    given |= {"data_path": tmp_path, "data_root": tmp_path}
    assert locate("pets", **given, options=["column"]).spec is rows
    assert locate("pets", **given, options=["fold"]).spec.name == "boxes"
