"""What is refused before anything is prepared: names that only look like models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from vitbench.catalog import Catalog, load_catalog
from vitbench.errors import UsageError
from vitbench.execution.local import LocalExecutor
from vitbench.planning import plan as module
from vitbench.planning.expand import expand
from vitbench.planning.plan import plan
from vitbench.planning.suite import Selection, SpeedPlan, Suite
from vitbench.planning.suite_file import read_suite


def refused(selection: Selection) -> None:
    plan(selection, executor=LocalExecutor(), strict_plugins=False, say=print)


@pytest.mark.parametrize(
    ("suite", "datasets", "model", "message"),
    [
        (
            None,
            ("cifar10",),
            "vit-p4",
            '"vit-p4" is a label of the suite quick; give ',
        ),
        ("cifar", (), "vit-p4", '"vit-p4" is a label of the suite quick; give '),
        (
            "quick",
            (),
            "vit-p4:depth=3",
            '"vit-p4" is a label of the suite quick and takes no options; give ',
        ),
        ("quick", (), "vit-p5", 'unknown model "vit-p5". Did you mean "vit-p'),
        ("quick", (), "scratch/vitt", 'unknown model "scratch/vitt". Did you mean "scratch/vit'),
        ("quick", (), "resnet9-w61", 'unknown model "resnet9-w61". Did you mean "resnet9-w16"?'),
    ],
)
def test_a_label_out_of_place_is_explained(
    suite: str | None, datasets: tuple[str, ...], model: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        refused(Selection(suite=suite or "", models=(model,), datasets=datasets))
    assert str(raised.value).startswith(message)


def test_a_broken_suite_of_another_plugin_does_not_answer_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "aaa-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aaa\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[vitbench]\naaa = fake_with_a_broken_suite\n")
    (tmp_path / "broken.toml").write_text('name = "broken"\nsummary = "x"\nno_such_key = 1\n')
    (tmp_path / "fake_with_a_broken_suite.py").write_text(
        "import vitbench\n\n@vitbench.hookimpl\ndef vitbench_suites():\n"
        f"    return ['{tmp_path}/absent.toml', '{tmp_path}/broken.toml']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for model, words in (("resnt18", 'unknown model "resnt18". Did you mean "resnet18'), ("vit-p4", '"vit-p4" is a ')):
        with pytest.raises(UsageError) as raised:
            refused(Selection(suite="cifar", models=(model,)))
        assert str(raised.value).startswith(words)


def test_data_of_an_ambiguous_name_is_refused() -> None:
    datasets = load_catalog().datasets
    other = dataclasses.replace(datasets["datasets/cifar10"], name="other/cifar10")
    catalog = Catalog(datasets={**datasets, "other/cifar10": other})

    def paths(name: str, suite: str = "", home: str = "") -> list[str]:
        found = Suite(name="s", summary="x", data={suite: "in"} if suite else {})
        return list(module._data_paths(found, None, Selection(data={name: "there"}), catalog, home)[0])

    assert paths("datasets/cifar10") == ["datasets/cifar10"]
    assert paths("cifar100") == ["datasets/cifar100"]
    assert paths("mine", "cifar10", home="other") == ["other/cifar10", "mine"]
    with pytest.raises(UsageError, match="is ambiguous; give one of: datasets/cifar10, other/cifar10"):
        paths("cifar10")


def test_the_suite_file_that_gives_a_folder_is_known_unless_the_user_gives_another() -> None:
    suite, path = Suite(name="s", summary="x", data={"mine": "in", "yours": "in"}), Path("far/s.toml")
    _, given_in = module._data_paths(suite, path, Selection(data={"yours": "there"}), load_catalog(), "")
    assert given_in == {"mine": "far/s.toml"}


def test_a_recipe_that_goes_by_the_clock_needs_a_budget() -> None:
    with pytest.raises(UsageError, match=r"^by_time = true of the recipe supervised needs a budget; add --budget"):
        refused(Selection(models=("vit-p4",), settings={"supervised": {"by_time": "true"}}))


def test_a_partial_run_says_how_many_models_it_does_not_time() -> None:
    catalog = load_catalog()
    suite = read_suite(Path(catalog.suite("quick").spec.path))

    def said(suite: Suite = suite, **selection: object) -> list[str]:
        asked = msgspec.convert(selection, Selection)
        return list(module._not_timed(suite, asked, expand(suite, catalog, asked)))

    assert said() == []
    [line] = said(conditions={"limit": 9})
    assert line == "Partial run: speeds of 4 models are skipped; --speeds all measures them."
    assert "speeds of 1 model are" in said(conditions={"limit": 9}, models=["vit-p2"])[0]
    assert said(conditions={"limit": 9}, models=["majority"]) == []
    assert said(conditions={"limit": 9}, speeds="all") == said(conditions={"limit": 9}, speeds="none") == []
    untimed = msgspec.structs.replace(suite, speed=SpeedPlan(batch_sizes=()))
    assert said(untimed, conditions={"limit": 9}) == []
