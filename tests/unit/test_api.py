"""`vitbench.run()` checks what it takes as the command line does; `vitbench.load()` gives what a folder holds."""

from __future__ import annotations

from pathlib import Path

import factories
import msgspec
import pytest

import vitbench
from vitbench.api import plan_of, scored, select
from vitbench.errors import StoreError, UsageError
from vitbench.execution.local import LocalExecutor
from vitbench.planning.suite import Conditions, Selection
from vitbench.records import KeyedCell, Record
from vitbench.store import Store


def fill(folder: Path, *records: Record, plan: list[KeyedCell] | None = None) -> None:
    """Write records of one run, and its plan."""
    with Store.open(folder, create=True) as store:
        run = store.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by="top1"
        )
        store.plan(run, [record.planned for record in records] if plan is None else plan)
        for record in records:
            store.append(msgspec.structs.replace(record, run=run))


def test_each_public_name_is_there_and_no_other() -> None:
    names: dict[str, object] = {}
    exec("from vitbench import *", names)
    assert names.keys() - {"__builtins__"} == set(vitbench.__all__)
    assert set(vitbench.__all__) <= set(dir(vitbench))
    with pytest.raises(AttributeError, match="module 'vitbench' has no attribute 'nothing'"):
        vitbench.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"precision": "float8"}, "precision"),
        ({"limit": 0}, "limit"),
        ({"limit": 2.5}, "limit"),
        ({"seeds": [-1]}, r"seeds\[0\]: expected `int` >= 0"),
        ({"seeds": 5}, "seeds: expected `list`, got `int`"),
        ({"plugins": [None]}, r"plugins\[0\]: expected `str`, got `None`"),
        ({"data": ["digits"]}, "data: expected `dict`, got `list`"),
        (
            {"settings": {"supervised": {"lr": float("inf")}}},
            "settings: lr of supervised must be a finite number, not inf",
        ),
        (
            {"settings": {"supervised": {"lr": (0.1, float("nan"))}}},
            "settings: lr of supervised must be a finite number, not \\(0.1, nan\\)",
        ),
        ({"settings": {"supervised": {"epochs": 2**70}}}, "option epochs is too large"),
        ({"data": {"mine": "d\udcff"}}, "is not UTF-8 and cannot be stored"),
        ({"models": "majority"}, "models: expected `list`, got `str`"),
        ({"rerun": "faild"}, "rerun"),
        ({"plugins": "mine.py"}, "plugins must be a list"),
        ({"plugins": [Path("absent.py")]}, "plugin file absent.py cannot be read"),
        ({"no_plugins": "timm"}, "no_plugins must be a list"),
        ({"no_plugins": ["tim"]}, 'called "tim". Did you mean "timm"'),
        ({"epochs": "3"}, r"epochs: expected `int \| None`, got `str`"),
        ({"speeds": "some"}, "speeds"),
        ({"speeds": "none", "rerun": "speed"}, "--rerun speed measures speeds, but --speeds none skips them"),
        ({"timeout": float("nan")}, "timeout"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_run_refuses_what_the_command_line_refuses(arguments: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        vitbench.run(output=tmp_path / "results", **arguments)
    assert not (tmp_path / "results").exists()


def test_what_is_left_out_is_as_by_default() -> None:
    assert select() == Selection()
    assert select(suite=None, data=None, settings=None) == Selection()


def test_paths_are_text_lists_are_tuples_and_conditions_have_a_place_of_their_own() -> None:
    found = select(
        suite=Path("mine.toml"),
        models=["a", "b"],
        data={"pets": Path("a b")},
        plugins=[Path("net.py")],
        device="cuda:1",
        limit=0.5,
        compile=True,
    )
    assert found == Selection(
        suite="mine.toml",
        models=("a", "b"),
        data={"pets": "a b"},
        plugins=("net.py",),
        conditions=Conditions(device="cuda:1", limit=0.5, compile="default"),
    )


def test_a_seed_given_twice_is_one_and_their_order_stays() -> None:
    assert select(seeds=[3, 0, 3]).seeds == (3, 0)


def test_an_argument_that_run_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"vitbench\.run\(\): .*`epoch`"):
        select(epoch=3)


def test_speeds_that_are_to_be_measured_again_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Selection] = []
    monkeypatch.setattr("vitbench.planning.plan.plan", lambda selection, **_: asked.append(selection))
    for rerun in ("speed", "failed"):
        plan_of(LocalExecutor(), rerun=rerun, strict_plugins=False, quiet=True, limit=9)
    assert [selection.times for selection in asked] == [True, False]


def test_scoring_is_a_run_of_its_suite_with_options_of_its_recipe(tmp_path: Path) -> None:
    asked = scored(tmp_path, ["net"])
    assert asked == {
        "suite": "score",
        "models": ("net",),
        "datasets": (tmp_path.name,),
        "data": {tmp_path.name: str(tmp_path)},
        "settings": {},
    }
    mapped = scored("digits", ["net"], classes="all", class_map=Path("map.csv"))
    assert mapped["settings"] == {"recipes/evaluate": {"classes": "all", "class_map": "map.csv"}}
    assert select(**mapped).datasets == ("digits",)
    for models in ((), "net"):
        with pytest.raises(UsageError, match="needs models"):
            scored("digits", models)


def test_load_gives_rows_and_measurements(tmp_path: Path) -> None:
    fill(tmp_path, factories.quality("vit", 340), *factories.speed("vit", 900))
    results = vitbench.load(tmp_path)
    [row] = results.rows().to_dict("records")
    assert (row["model"], row["rank"], row["partial"], row["throughput"]) == ("vit", 1, False, 900)
    table = results.measurements()
    [top1] = table[table["metric"] == "top1"].to_dict("records")
    assert (top1["kind"], top1["value"], top1["verdict"]) == ("quality", 340 / 360, "valid")
    assert set(table["batch_size"].dropna()) == {1, 32}


def test_a_table_of_failures_alone_has_its_columns(tmp_path: Path) -> None:
    fill(tmp_path, factories.record(factories.quality_cell(), status="failed"))
    table = vitbench.load(tmp_path).rows()
    assert len(table) == 0
    assert {"rank", "model", "dataset"} <= set(table.columns)


def test_an_interrupted_repetition_hides_no_measurement(tmp_path: Path) -> None:
    done = factories.quality("vit", 340)
    fill(tmp_path, done, msgspec.structs.replace(done, status="interrupted", measurements=()), plan=[done.planned])
    assert "top1" in set(vitbench.load(tmp_path).measurements()["metric"])


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing here"):
        vitbench.load(tmp_path / "nothing here")
