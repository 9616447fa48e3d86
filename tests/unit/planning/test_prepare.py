"""Before a run: what a model or a recipe lacks costs its own cells; what the user mistyped ends the preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pytest

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.data import cache
from vitbench.errors import UnusableError, UsageError
from vitbench.leaderboard.grouping import identity, timed_model
from vitbench.planning.expand import expand
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.prepare import prepare
from vitbench.planning.suite import Conditions, ModelEntry, Selection, SpeedPlan, Suite
from vitbench.records import Head, KeyedCell, QualityCell, SpeedCell
from vitbench.specs import DatasetSpec, ModelSpec, Option, RecipeSpec

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m", sha256="5ha")


def raising(error: BaseException) -> Callable[..., object]:
    def function(*_: object, **__: object) -> object:
        raise error

    return function


# A whole request.


class Shades:
    """Grays whose order says the class; a fold begins with another gray."""

    class_names = ("dark", "light")

    def __init__(self, fold: int) -> None:
        self.labels = np.arange(12) % 2
        self._fold = fold

    def images(self, index: np.ndarray) -> np.ndarray:
        grays = (200 * self.labels[index] + self._fold).astype(np.uint8)
        return np.broadcast_to(grays[:, None, None, None], (len(index), 1, 8, 8))


HUB: dict[bool, str | Exception] = {}
"""What the hub has where it answers, and what was downloaded."""


def revision(online: bool, width: int, pretrained: bool) -> str:
    found = HUB[online]
    if isinstance(found, Exception):
        raise found
    return found and f"{found}, width {width}"


def net(*, num_classes: int, in_channels: int, width: int = 1, pretrained: bool = False) -> Any:
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))


def open_shades(*, fold: int, index: str) -> Shades:
    return Shades(fold + (len(Path(index).read_text()) if index else 0))


def open_inks(root: Path, shift: int) -> Shades:
    (root / "inks").read_bytes()
    return Shades(40 + shift)


def open_scored(split: str, kept: str) -> Shades | None:
    """One split alone."""
    return Shades(7) if split == kept else None


def fit(model: Any) -> Any:
    return model


def offers(*specs: Any) -> dict[str, Offer[Any]]:
    return {f"zoo/{spec.name}": Offer(name=f"zoo/{spec.name}", plugin=PLUGIN, spec=spec) for spec in specs}


CATALOG = Catalog(
    plugins=(PLUGIN,),
    models=offers(
        ModelSpec(name="sound", build=net, summary="x", options={"width": 1, "checkpoint": ""}),
        ModelSpec(name="own", build=net, summary="x", recipe_options={"steps": {"rate": 0.5}}),
        ModelSpec(name="wrong", build=net, summary="x", recipe_options={"zoo/steps": {"rat": 0.5}}),
        ModelSpec(name="absent", build="no_such_module:build", summary="x"),
        ModelSpec(name="odd", build=raising(UsageError("width is odd")), summary="x"),
        ModelSpec(
            name="hub",
            build=net,
            summary="x",
            options={"width": 1, "pretrained": True},
            pretrained_on="x",
            downloads=True,
            revision=revision,
        ),
        ModelSpec(
            name="unnamed",
            build=net,
            summary="x",
            options={"pretrained": True},
            pretrained_on="x",
            class_names=raising(KeyError("cat")),
        ),
        ModelSpec(name="lacks", build=net, summary="x", requires=("no_such_module",)),
        ModelSpec(name="*", build=net, resolve=raising(ValueError("no network")), summary="x"),
    ),
    recipes=offers(
        RecipeSpec(name="sgd", fit=fit, summary="x"),
        RecipeSpec(
            name="score",
            fit=fit,
            summary="x",
            trains=False,
            options={"class_map": Option("", kind="file"), "classes": "subset"},
        ),
        RecipeSpec(name="lacking", fit=fit, summary="x", requires=("no_such_module",)),
        RecipeSpec(name="gone", fit="no_such_module:fit", summary="x"),
        RecipeSpec(
            name="steps", fit=fit, step=fit, summary="x", options={"teacher": Option("", kind="model"), "rate": 0.1}
        ),
        RecipeSpec(
            name="distil",
            fit=fit,
            summary="x",
            options={"teacher": Option("", kind="model"), "table": Option("", kind="file")},
        ),
    ),
    datasets=offers(
        DatasetSpec(
            name="shades",
            open=open_shades,
            summary="x",
            needs_root=False,
            options={"fold": Option(1, minimum=1), "index": Option("", kind="file")},
        ),
        DatasetSpec(
            name="grays",
            open=lambda fold: Shades(fold),
            detect=lambda root: (root / "grays").is_file(),
            summary="x",
            options={"fold": Option(1, minimum=1)},
        ),
        DatasetSpec(name="scored", open=open_scored, summary="x", needs_root=False, options={"kept": "test"}),
        DatasetSpec(name="inks", open=open_inks, summary="x", options={"shift": Option(0)}),
    ),
)
SUITE = Suite(name="s", summary="x", recipe="sgd", speed=SpeedPlan(batch_sizes=(1,), modes=("inference",)))


def prepared(
    *models: str,
    datasets: Sequence[str] = ("shades",),
    recipe: str = "sgd",
    speed: SpeedPlan = SUITE.speed,
    data: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
    speeds: Literal["all", "only"] = "all",
    **settings: dict[str, str],
) -> Prepared:
    suite = Suite(name="s", summary="x", recipe=recipe, speed=speed)
    short = {name.partition("/")[2] or name: path for name, path in data.items()}
    selection = Selection(models=models, datasets=tuple(datasets), settings=settings, data=short, speeds=speeds)
    cells = tuple(expand(suite, CATALOG, selection))
    request = PrepareRequest(cells=cells, conditions=Conditions(threads=1), data_paths=dict(data))
    return prepare(request, CATALOG, say)


def reasons(found: Prepared) -> dict[tuple[str, str], str]:
    return {(cell.label.partition("/")[2], type(cell.cell).__name__): cell.unavailable for cell in found.cells}


@pytest.mark.parametrize(
    ("name", "value", "conditions"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", Conditions(threads=1)),
        ("TORCHDYNAMO_DISABLE", "1", Conditions(threads=1, compile="default")),
    ],
)
def test_a_variable_that_makes_a_request_untrue_ends_the_preparation(
    name: str, value: str, conditions: Conditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UnusableError, match=f"{name}={value}"):
        prepare(PrepareRequest(cells=(), conditions=conditions), CATALOG, lambda _: None)


def test_a_variable_that_changes_results_makes_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = prepared("zoo/sound").cells
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    changed = prepared("zoo/sound").cells
    assert len(plain) == len(changed) == 2
    assert not {cell.id for cell in plain} & {cell.id for cell in changed}


def test_what_decodes_images_is_recorded_with_the_quality_cells_alone() -> None:
    software = {type(cell.cell): cell.provenance.software for cell in prepared("zoo/sound").cells}
    assert software[QualityCell]["pillow"] == version("pillow")
    assert "pillow" not in software[SpeedCell]


def test_the_cache_is_told_whose_code_and_which_decoders_open_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    cache_dataset = cache.cache_dataset

    def keep(located: Any, **named: Any) -> Any:
        opened.append(located)
        return cache_dataset(located, **named)

    monkeypatch.setattr(cache, "cache_dataset", keep)
    prepared("zoo/sound")
    [located] = opened
    assert located.code == PLUGIN.sha256
    assert located.decoders["pillow"] == version("pillow")


def test_each_bad_model_costs_its_own_cells() -> None:
    found = reasons(prepared("zoo/sound", "zoo/absent", "zoo/odd", "zoo/lacks", "zoo/far"))
    for (name, kind), reason in found.items():
        words = {
            "sound": "",
            "absent": "cannot import no_such_module:build: ModuleNotFoundError: No module named 'no_such_module'",
            "odd": "width is odd",
            "lacks": "it needs the module no_such_module, which is not installed",
            "far": "its family could not be queried: ValueError: no network",
        }[name]
        assert reason == words, (name, kind)
    assert len(found) == 10


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (["zoo/absent"], UnusableError, "^model zoo/absent on shades: cannot import no_such_module:build"),
        (["zoo/odd", "zoo/far"], UsageError, "^model zoo/odd on shades: width is odd; nor can zoo/far be used$"),
        (["zoo/lacks", "zoo/absent"], UnusableError, "^model zoo/absent on shades: cannot import"),
    ],
)
def test_where_nothing_is_left_the_first_error_ends_the_command(
    names: list[str], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        prepared(*names)


def test_modules_that_are_not_installed_alone_end_as_failed_cells() -> None:
    assert set(reasons(prepared("zoo/lacks")).values()) == {
        "it needs the module no_such_module, which is not installed"
    }


def test_a_recipe_that_lacks_a_module_or_cannot_be_imported_costs_the_training_alone() -> None:
    found = reasons(prepared("zoo/sound", recipe="lacking"))
    words = "recipe zoo/lacking needs the module no_such_module, which is not installed"
    assert found == {("sound", "QualityCell"): words, ("sound", "SpeedCell"): ""}
    found = reasons(prepared("zoo/sound", recipe="gone"))
    assert found["sound", "QualityCell"].startswith("recipe zoo/gone: cannot import no_such_module:fit")
    assert found["sound", "SpeedCell"] == ""


def test_a_models_own_options_of_a_recipe_are_in_its_cells_and_wrong_ones_cost_its_own() -> None:
    training = SpeedPlan(batch_sizes=(8,), modes=("training",))
    found = prepared("sound", "own", "wrong", recipe="steps", speed=training)
    rates = {(cell.label, cell.cell.recipe_options.get("rate")) for cell in found.cells if not cell.unavailable}
    assert rates == {("zoo/sound", 0.1), ("zoo/own", 0.5)}
    lost = {(cell.label, cell.unavailable) for cell in found.cells if cell.unavailable}
    words = 'plugin zoo (d 1), recipe_options: recipe zoo/steps has no option "rat". Did you mean "rate"?'
    assert lost == {("zoo/wrong", f"{words} Its options: rate, teacher.")}
    with pytest.raises(UsageError, match=r"^model zoo/wrong on shades: plugin zoo \(d 1\), recipe_options: "):
        prepared("wrong", recipe="steps")


def test_two_labels_of_one_model_under_one_recipe_are_refused() -> None:
    entries = (ModelEntry(name="own", label="a"), ModelEntry(name="own", label="b", recipe_options={"rate": 0.5}))
    suite = Suite(name="s", summary="x", recipe="steps", speed=SUITE.speed, models=entries, datasets=("shades",))
    cells = tuple(expand(suite, CATALOG, Selection()))
    with pytest.raises(UsageError, match=r"^a and b are the same model with the same recipe; remove one\.$"):
        prepare(PrepareRequest(cells=cells, conditions=Conditions(threads=1)), CATALOG, lambda _: None)


def test_two_values_of_an_option_are_two_data_sets() -> None:
    found = prepared("zoo/sound", datasets=["shades", "zoo/shades:fold=2"])
    cells = [cell for cell in found.cells if isinstance(cell.cell, QualityCell)]
    assert [cell.data.title for cell in cells if cell.data] == ["shades", "shades:fold=2"]
    assert [cell.cell.dataset_options for cell in cells] == [{"fold": 1, "index": ""}, {"fold": 2, "index": ""}]
    assert len({cell.data.fingerprint for cell in cells if cell.data}) == 2
    assert len({cell.id for cell in cells}) == 2
    assert sum(not isinstance(cell.cell, QualityCell) for cell in found.cells) == 1, "they are timed alike"


def test_a_file_that_an_option_of_a_dataset_names_is_hashed_and_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("index").write_text("ab")
    cell = prepared("zoo/sound", datasets=["shades:index=index"]).cells[0]
    assert isinstance(cell.cell, QualityCell)
    assert cell.cell.dataset_options["index"] == str(tmp_path / "index")
    assert cell.provenance.files.keys() == {"dataset.index"}
    Path("index").write_text("cd")
    assert prepared("zoo/sound", datasets=["shades:index=index"]).cells[0].key != cell.key
    with pytest.raises(UnusableError, match=r"^dataset shades: the index .*no cannot be read \(No such file"):
        prepared("zoo/sound", datasets=["shades:index=no"])


def test_the_options_of_a_layout_serve_a_folder_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "grays").touch()
    mine = {"mine": str(tmp_path)}
    found = prepared("zoo/sound", datasets=["mine", "mine:fold=2"], data=mine)
    cells = [cell for cell in found.cells if isinstance(cell.cell, QualityCell)]
    assert [cell.data.title for cell in cells if cell.data] == ["mine", "mine:fold=2"]
    assert [cell.cell.dataset_options for cell in cells] == [{"fold": 1}, {"fold": 2}]
    for name, words in (("mine:fald=2", 'has no option "fald"'), ("mine:fold=0", "option fold must be at least 1")):
        with pytest.raises(UsageError, match=f"^dataset mine, opened by the layout grays.*{words}"):
            prepared("zoo/sound", datasets=[name], data=mine)


def test_a_layout_in_place_of_a_named_dataset_takes_what_was_changed(tmp_path: Path) -> None:
    (tmp_path / "grays").touch()
    shades = {"zoo/shades": str(tmp_path)}
    [cell, _] = prepared("zoo/sound", datasets=["shades:fold=3"], data=shades).cells
    assert isinstance(cell.cell, QualityCell)
    assert cell.cell.dataset_options == {"fold": 3}
    assert cell.data is not None
    assert cell.data.title.startswith("shades:fold=3 (unverified, ")
    with pytest.raises(UsageError, match=r'^dataset zoo/shades, opened by the layout grays has no option "index"'):
        prepared("zoo/sound", datasets=["shades:index=no"], data=shades)


def test_a_named_dataset_opens_its_own_folder_though_a_layout_detects_it(tmp_path: Path) -> None:
    for name in ("grays", "inks"):
        (tmp_path / name).touch()
    found = prepared("zoo/sound", datasets=["inks", "inks:shift=2"], data={"zoo/inks": str(tmp_path)})
    cells = [cell for cell in found.cells if isinstance(cell.cell, QualityCell)]
    assert [cell.data.title for cell in cells if cell.data] == ["inks", "inks:shift=2"]
    assert [cell.cell.dataset_options for cell in cells] == [{"shift": 0}, {"shift": 2}]


def test_a_layout_opens_the_folder_that_a_named_dataset_refuses(tmp_path: Path) -> None:
    (tmp_path / "grays").touch()
    [cell, _] = prepared("zoo/sound", datasets=["inks"], data={"zoo/inks": str(tmp_path)}).cells
    assert isinstance(cell.cell, QualityCell)
    assert cell.cell.dataset_options == {"fold": 1}
    assert cell.data is not None
    assert cell.data.title.startswith("inks (unverified, ")


def test_a_plan_rests_on_folders_where_nothing_else_may_change_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data without a folder that no checksum verifies, files that options name, and the hub may."""
    monkeypatch.setattr("vitbench.planning.resolve.hub_answers", lambda _: True)
    monkeypatch.setitem(HUB, True, "")
    (tmp_path / "inks").write_text("")
    at_home = {"datasets": ["inks"], "data": {"zoo/inks": str(tmp_path)}}
    assert prepared("zoo/sound", "zoo/hub:pretrained=false", **at_home).roots == (str(tmp_path),)
    assert prepared("zoo/sound").roots is None
    assert prepared("zoo/hub", **at_home).roots is None
    table = {"table": str(tmp_path / "inks")}
    assert prepared("zoo/sound", recipe="distil", **at_home, distil=table).roots is None
    assert prepared("zoo/sound", recipe="distil", **at_home).roots


def test_where_nothing_is_trained_all_images_are_scored(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("one")
    model = f"zoo/sound:checkpoint={tmp_path}/weights.pt"
    for kept in ("test", "train"):
        found = prepared(model, datasets=[f"scored:kept={kept}"], recipe="score")
        assert [cell.unavailable for cell in found.cells if isinstance(cell.cell, QualityCell)] == [""]
        assert found.notes[0] == f"scored{':kept=train' if kept == 'train' else ''}: 12 test images in 2 classes"


def test_a_run_of_speeds_alone_does_not_say_what_is_scored(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("one")
    model = f"zoo/sound:checkpoint={tmp_path}/weights.pt"
    told = "no test split, and no model is trained"
    scored = prepared(model, datasets=["scored:kept=train"], recipe="score")
    assert any(told in note for note in scored.notes)
    timed = prepared(model, datasets=["scored:kept=train"], recipe="score", speeds="only")
    assert timed.cells
    assert not any(told in note for note in timed.notes)


def test_a_head_of_more_classes_is_scored_on_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("one")
    (tmp_path / "names.txt").write_text("light\nred\ndark\n")
    (tmp_path / "map.csv").write_text("dark,2\nlight,0\n")
    model = f"zoo/sound:checkpoint={tmp_path}/weights.pt,class_names={tmp_path}/names.txt"

    def scored(**options: str) -> list[KeyedCell]:
        return list(prepared(model, datasets=["scored"], recipe="score", score=options).cells)

    subset, speed = scored()
    assert subset.head == Head(outputs=3, of_classes=((2,), (0,)))
    assert (speed.head, speed.cell.num_classes, timed_model(speed)) == (None, 3, timed_model(subset))
    [whole, _] = scored(classes="all")
    assert whole.head == Head(outputs=3, of_classes=((2,), (0,)), others=("red",))
    [mapped, _] = scored(class_map=str(tmp_path / "map.csv"))
    assert mapped.head == subset.head
    (tmp_path / "map.csv").write_text("dark,2\nlight,0\nlight,1\n")
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")  # speed needs no match
    [again, timed] = scored(class_map=str(tmp_path / "map.csv"))
    assert again.head == Head(outputs=3, of_classes=((2,), (0, 1)))
    assert (again.id == mapped.id, again.key == mapped.key) == (True, False)
    assert (timed.cell.num_classes, timed.unavailable) == (3, "")
    assert len({cell.id for cell in (subset, whole, mapped)}) == 3
    others = [identity(cell, cell.cell).task.other_classes for cell in (subset, whole, mapped)]
    assert others == [0, 1, 0]
    (tmp_path / "names.txt").write_text("light\nred\n")
    found = prepared(model, datasets=["scored"], recipe="score")
    assert [cell.unavailable[:40] for cell in found.cells] == ['"dark" of the data\'s 2 classes is not am', ""]
    with pytest.raises(
        UnusableError, match=r'^model zoo/sound.* on scored: "dark" of the data.s 2 classes is not among'
    ):
        prepared(model, datasets=["scored"], recipe="score", speed=SpeedPlan(batch_sizes=()))


def test_a_model_whose_classes_cannot_be_named_costs_its_own_cells(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("one")
    sound = f"zoo/sound:checkpoint={tmp_path}/weights.pt"
    found = prepared(sound, "zoo/unnamed", datasets=["scored"], recipe="score", speed=SpeedPlan(batch_sizes=()))
    assert [cell.unavailable for cell in found.cells] == ["", "its class_names cannot be used: KeyError: 'cat'"]


def test_a_model_that_learns_is_refused_data_without_training_images() -> None:
    found = prepared("zoo/sound", datasets=["scored"])
    assert reasons(found)["sound", "QualityCell"] == "it learns, but there are no training images"
    assert reasons(found)["sound", "SpeedCell"] == ""

    found = prepared("zoo/sound", datasets=["scored:kept=train"])
    assert found.notes[0].endswith(": 8 training, 2 validation, 2 test images in 2 classes")


def test_a_changed_teacher_is_another_key(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"

    def distilled(teacher: str) -> Any:
        found = prepared("zoo/lacks", "zoo/sound", recipe="distil", distil={"teacher": teacher})
        [cell] = [c for c in found.cells if c.label == "zoo/sound" and isinstance(c.cell, QualityCell)]
        return cell

    weights.write_text("one")
    first = distilled(f"sound:checkpoint={weights}")
    assert first.cell.recipe_options["teacher"] == f"zoo/sound:checkpoint={weights}"
    assert first.provenance.files.keys() == {"recipe.teacher.checkpoint"}
    assert [origin.plugin for origin in first.provenance.others] == ["zoo"]
    assert distilled(f"zoo/sound:width=1,checkpoint={weights}").key == first.key, "the same model"
    weights.write_text("two")
    assert distilled(f"sound:checkpoint={weights}").id == first.id
    assert distilled(f"sound:checkpoint={weights}").key != first.key
    alone = distilled("")
    assert (alone.provenance.others, alone.provenance.files) == ((), {})
    with pytest.raises(UnusableError, match=r"^model zoo/sound: the checkpoint .* cannot be read"):
        distilled("sound:checkpoint=nowhere.pt")


def test_a_teacher_without_weights_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    prepared("zoo/sound", recipe="distil", say=said.append, distil={"teacher": "sound"})
    [warning] = [words for words in said if words.startswith("warning")]
    assert warning.startswith("warning: zoo/sound, which a recipe builds, starts from random weights")
    said.clear()
    (tmp_path / "weights.pt").write_text("one")
    prepared(
        "zoo/sound", recipe="distil", say=said.append, distil={"teacher": f"sound:checkpoint={tmp_path}/weights.pt"}
    )
    assert not [words for words in said if words.startswith("warning")]


def test_a_teacher_that_cannot_be_had_costs_the_cells_that_learn_of_it() -> None:
    found = reasons(prepared("zoo/sound", recipe="distil", distil={"teacher": "zoo/far"}))
    words = "option teacher of recipe zoo/distil, model zoo/far: its family could not be queried: ValueError"
    assert found["sound", "QualityCell"].startswith(words)
    assert found["sound", "SpeedCell"] == ""


def test_a_file_of_a_recipe_is_hashed(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("x")
    cell = prepared("zoo/sound", recipe="distil", distil={"table": str(table)}).cells[0]
    assert cell.provenance.files.keys() == {"recipe.table"}
    with pytest.raises(UnusableError, match=r"^recipe zoo/distil: the table .* cannot be read \(Is a directory\)"):
        prepared("zoo/sound", recipe="distil", distil={"table": str(tmp_path)})


@pytest.mark.parametrize(("online", "other"), [(True, False), (False, True)])
def test_other_weights_on_the_hub_are_another_key(online: bool, other: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitbench.planning.resolve.hub_answers", lambda _: online)
    monkeypatch.setitem(HUB, other, "of no account")

    def cells(name: str, found: str | Exception, **settings: Any) -> list[KeyedCell]:
        monkeypatch.setitem(HUB, online, found)
        return list(prepared("zoo/sound", name, recipe="distil", **settings).cells)

    def of_hub(*given: Any) -> list[KeyedCell]:
        return [cell for cell in cells("zoo/hub:width=2", *given) if cell.label.startswith("zoo/hub")]

    first, second, unknown = of_hub("one"), of_hub("two"), of_hub("")
    assert [cell.provenance.files for cell in first] == [{"model.revision": "one, width 2"}, {}]
    assert [cell.id for cell in first] == [cell.id for cell in second] == [cell.id for cell in unknown]
    assert first[0].key != second[0].key
    assert first[1].key == second[1].key == unknown[1].key, "a speed is that of any weights"
    assert [cell.provenance.files for cell in unknown] == [{}, {}]
    assert [cell.hub for cell in first] == ["needed"] * 2
    assert {cell.unavailable for cell in of_hub(ValueError("no"))} == {
        "the revision of its weights cannot be found: ValueError: no"
    }
    teacher = [cells("zoo/odd", found, distil={"teacher": "hub"})[0] for found in ("one", "two", ValueError("no"))]
    assert teacher[0].provenance.files == {"recipe.teacher.revision": "one, width 1"}
    assert (teacher[0].id == teacher[1].id, teacher[0].key == teacher[1].key) == (True, False)
    assert teacher[2].unavailable.startswith("option teacher of recipe zoo/distil, model zoo/hub: the revision")


def test_without_a_hub_a_speed_is_measured_with_random_weights_and_all_else_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[None] = []
    monkeypatch.setattr("vitbench.planning.resolve.hub_answers", lambda _: asked.append(None))
    monkeypatch.setitem(HUB, False, "")
    found = prepared("zoo/sound", "zoo/hub", "zoo/hub:width=2", recipe="distil", distil={"teacher": "hub:width=3"})
    assert len(asked) == 1
    by_kind = {(cell.label.partition("/")[2], type(cell.cell).__name__): cell for cell in found.cells}
    away = "its weights are not cached and the Hugging Face hub is unreachable"
    teacher = f"option teacher of recipe zoo/distil, model zoo/hub: {away}"
    for (label, kind), cell in by_kind.items():
        words = "" if kind == "SpeedCell" else teacher if label == "sound" else away
        assert cell.unavailable.startswith(words)
        assert bool(cell.unavailable) == bool(words)
        assert cell.hub == ("" if (label, kind) == ("sound", "SpeedCell") else "away")
    assert "model zoo/hub: its speed would be measured with random weights; the hub is not reachable" in found.notes
    assert found.child_environment == {"HF_HUB_OFFLINE": "1"}
    with pytest.raises(UnusableError, match=f"^model zoo/hub on shades: {away}.*; run the same command later"):
        prepared("zoo/hub", speed=SpeedPlan(batch_sizes=()))


def test_weights_that_do_not_come_from_the_hub_have_no_revision() -> None:
    found = prepared("zoo/hub:pretrained=false").cells  # `revision` would raise: nothing stands in HUB
    assert {str(cell.provenance.files) + cell.unavailable for cell in found} == {"{}"}


TRAINING = SpeedPlan(batch_sizes=(1,), modes=("training",))


@pytest.mark.parametrize(
    ("recipe", "speed", "timed"),
    [("steps", TRAINING, "zoo/steps"), ("sgd", TRAINING, ""), ("steps", SUITE.speed, "")],
)
def test_a_recipe_is_timed_where_it_trains_and_says_its_step(recipe: str, speed: SpeedPlan, timed: str) -> None:
    [_, cell] = prepared("zoo/sound", recipe=recipe, speed=speed).cells
    assert isinstance(cell.cell, SpeedCell)
    assert cell.cell.recipe == timed
    assert cell.cell.recipe_options == ({"teacher": "", "rate": 0.1} if timed else {})
    assert (cell.provenance.recipe is not None) == bool(timed)


def test_a_step_that_cannot_be_had_costs_the_timing_of_training_too(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_text("one")
    both = SpeedPlan(batch_sizes=(1,), modes=("training", "inference"))
    settings = {"steps": {"teacher": f"sound:checkpoint={weights}"}}
    of_training = [
        cell for cell in prepared("zoo/sound", recipe="steps", speed=both, **settings).cells if cell.provenance.recipe
    ]
    assert len(of_training) == 2
    assert all(cell.provenance.files.keys() == {"recipe.teacher.checkpoint"} for cell in of_training)
    found = prepared("zoo/sound", recipe="steps", speed=both, steps={"teacher": "zoo/lacks"})
    assert [bool(cell.unavailable) for cell in found.cells] == [True, False, True], "quality, inference, training"
