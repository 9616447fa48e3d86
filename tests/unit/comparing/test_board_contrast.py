"""Two models compared over several datasets: their scores, what is missing, and what the datasets say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import factories as f
import msgspec
import pytest
from comparisons import quality, right, write

from vitbench.boards.boards import read_boards
from vitbench.comparing.board_contrast import BoardContrast
from vitbench.comparing.compare import compare_folders, compare_models
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.folder import open_folder
from vitbench.comparing.report import render_comparison
from vitbench.comparing.report_json import render_comparison_json
from vitbench.records import DataInfo


def data(name: str, **changes: Any) -> DataInfo:
    return msgspec.structs.replace(f.data_info(name), **changes)


def parts(label: str, correct: dict[str, int], **fields: Any) -> list[Any]:
    return [quality(label, right(n, start=3), data=data(name), **fields) for name, n in correct.items()]


def models(folder: Path, *records: Any, suite: str = "", **settings: Any) -> Comparison:
    return compare_models(open_folder(write(folder, *records, suite=suite)), ("p4", "p8"), **settings)


def folders(path: Path, first: list[Any], second: list[Any], **stored: bool) -> Comparison:
    write(path / "first", *first)
    write(path / "second", *second, **stored)
    return compare_folders(open_folder(path / "first"), open_folder(path / "second"))


def only(found: Comparison) -> BoardContrast:
    (board,) = found.boards
    return board


def words(found: Comparison) -> str:
    return " ".join(render_comparison(found).split())


def test_it_is_the_pair_of_the_board_turned_to_b(tmp_path: Path) -> None:
    """p8 is behind on a alone, by more than it is ahead on b and c."""
    first, second = parts("p4", {"a": 300, "b": 200, "c": 100}), parts("p8", {"a": 200, "b": 210, "c": 110})
    found = models(tmp_path, *first, *second)
    [board] = read_boards(tmp_path)
    [wanted] = board.pairs
    one = only(found)
    assert one.pair is not None
    assert one.over is not None
    assert (wanted.first, one.pair.first) == ("p4", "B")
    assert wanted.low is not None
    assert wanted.high is not None
    assert one.pair.difference == pytest.approx(-80 / 400 / 3)
    assert (one.pair.difference, one.pair.low, one.pair.high, one.pair.p_value) == pytest.approx(
        (-wanted.difference, -wanted.high, -wanted.low, wanted.p_value)
    )
    assert (one.finding, one.over.wins, one.over.losses) == ("worse", 2, 1)
    said = words(found)
    assert "Score, the mean top1 over 3 datasets (higher is better): p4 50.0 %, p8 43.3 %." in said
    assert "p8 is ahead on 2 of 3 datasets and behind on 1; 3 datasets are too few for the signed-rank test" in said
    assert "A single dataset decides: without a p8 is ahead of p4." in said
    assert "Verdict: p8 is worse than p4 over these datasets: 6.7 points of score (95 % interval" in said


def test_with_another_third_model_only_these_two_count(tmp_path: Path) -> None:
    """What neither was asked for on is no column, unless the suite states it; the third model's Holm is not theirs."""
    both = [*parts("p4", {"a": 300, "b": 200}), *parts("p8", {"a": 305, "b": 205})]
    third = parts("p9", {"a": 10, "b": 10, "c": 10})
    one = only(models(tmp_path / "plain", *both, *third))
    assert [each.name for each in one.board.datasets] == ["a", "b"]
    assert (one.finding, one.reasons) == ("better", ())
    suite = 'name = "three"\nsummary = "x"\ndatasets = ["a", "b", "c"]\nscore = "mean"\n'
    stated = only(models(tmp_path / "stated", *both, *third, suite=suite))
    assert stated.pair is None
    assert stated.reasons == ("A has no value on c (not asked for)", "B has no value on c (not asked for)")


def test_other_conditions_have_no_score_in_common(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first, second = ({"a": 300, "b": 200}, {"a": 200, "b": 100})
    found = models(place, *parts("p4", first), *parts("p8", second, precision="bfloat16"))
    assert (found.outcome, found.boards) == ("not comparable", ())


def test_a_missing_dataset_leaves_no_difference_and_says_why(tmp_path: Path) -> None:
    failed = f.record(f.quality_cell("p8", data=data("c")), [], status="failed", reason="out of memory")
    first, second = parts("p4", {"a": 300, "b": 200, "c": 100}), parts("p8", {"a": 200, "b": 210})
    found = models(tmp_path, *first, *second, [failed])
    one = only(found)
    assert (one.pair, one.over, one.finding) == (None, None, "no data")
    assert one.reasons == ("B has no value on c (failed: out of memory)",)
    assert "No difference of scores: B has no value on c (failed: out of memory)." in words(found)
    [content] = json.loads(render_comparison_json(found))["boards"]
    assert (content["difference"], content["over_datasets"], content["b"]["score"]) == (None, None, None)
    assert content["b"]["missing"] == [{"dataset": "c", "reason": "failed: out of memory"}]


def test_the_score_takes_no_part_in_the_outcome(tmp_path: Path) -> None:
    """Five images fewer on each dataset are resolved on neither, and on both together."""
    found = models(tmp_path, *parts("p4", {"a": 300, "b": 200}), *parts("p8", {"a": 295, "b": 195}))
    assert (found.outcome, only(found).finding) == ("not resolved", "worse")


def test_enough_datasets_can_decide(tmp_path: Path) -> None:
    place = tmp_path / "place"
    names = "abcdef"
    found = models(place, *parts("p4", dict.fromkeys(names, 200)), *parts("p8", dict.fromkeys(names, 201)))
    over = only(found).over
    assert over is not None
    assert (over.wins, over.losses, over.p_value) == (6, 0, 2 / 2**6)
    assert "p8 is ahead on 6 of 6 datasets and behind on 0 (signed-rank test over datasets: p 0.031)." in words(found)


def test_groups_and_partial_results_count_as_on_a_board(tmp_path: Path) -> None:
    suite = (
        'name = "three"\nsummary = "x"\ndatasets = ["a", "b", "c"]\nscore = "mean of groups"\n'
        '[groups]\nlow = ["a"]\nhigh = ["b", "c"]\n'
    )
    first, second = ({"a": 40, "b": 300, "c": 300}, {"a": 80, "b": 300, "c": 280})
    found = models(tmp_path, *parts("p4", first, epochs=1), *parts("p8", second, epochs=1), suite=suite)
    one = only(found)
    assert one.pair is not None
    assert one.pair.difference == pytest.approx((40 - 10) / 400 / 2)
    said = words(found)
    assert "Board over three: 3 datasets, partial: epochs 1 a, b, c" in said
    assert "the mean over 2 groups (low, high) of the mean top1 of each" in said


@pytest.mark.parametrize("settings", [{"dataset": "a"}, {}])
def test_one_dataset_is_no_board(tmp_path: Path, settings: dict[str, str]) -> None:
    names = "ab" if settings else "a"
    found = models(tmp_path, *parts("p4", dict.fromkeys(names, 9)), *parts("p8", dict.fromkeys(names, 9)), **settings)
    assert found.boards == ()
    assert "Score" not in words(found)


def test_two_folders_compare_each_model_with_itself(tmp_path: Path) -> None:
    """Four images of p8 would be enough alone: Holm's correction runs over all boards."""
    one = [*parts("p4", {"a": 300, "b": 200}), *parts("p8", {"a": 100, "b": 100}), *parts("p9", {"a": 7, "b": 9})]
    other = [*parts("p4", {"a": 295, "b": 195}), *parts("p8", {"a": 102, "b": 102}), *parts("p9", {"a": 7, "b": 9})]
    found = folders(tmp_path, one, other)
    shown = {each.first: (each.finding, each.together, round(each.level, 4)) for each in found.boards}
    assert shown == {
        "p4": ("worse", 3, 0.025),
        "p8": ("not resolved", 3, 0.025),
        "p9": ("same", 3, 0.025),
    }
    p8 = next(each.pair for each in found.boards if each.first == "p8")
    assert p8 is not None
    assert p8.p_value is not None
    assert 0.025 < p8.p_value < 0.05  # alone it would have been significant
    said = words(found)
    assert "The scores are the same on every image of these datasets." in said
    assert "p9 on a, p9 on b" in said


def test_two_folders_without_the_same_images_say_why_not(tmp_path: Path) -> None:
    good, fewer = {"a": 300, "b": 200}, {"a": 250, "b": 150}
    bare = only(folders(tmp_path / "bare", parts("p4", good), parts("p4", fewer), predictions=False))
    assert (bare.finding, bare.pair) == ("not comparable", None)
    assert bare.reasons == tuple(f"the scores of single images on {name} are not stored for B" for name in "ab")
    changed = [quality("p4", right(250), data=data("a", fingerprint="other")), *parts("p4", {"b": 150})]
    others = only(folders(tmp_path / "others", parts("p4", good), changed))
    assert (others.finding, others.pair) == ("no data", None)
    assert others.reasons == ("A and B were judged on different images of a",)
    fewer_sets = only(folders(tmp_path / "fewer", parts("p4", good | {"c": 9}), parts("p4", good)))
    assert (fewer_sets.finding, fewer_sets.reasons) == ("no data", ("B has no value on c (not asked for)",))


def test_models_of_one_folder_without_scores_of_images_are_compared_by_intervals(tmp_path: Path) -> None:
    apart = [*parts("p4", {"a": 300, "b": 300}), *parts("p8", {"a": 200, "b": 200})]
    folder = write(tmp_path, *apart, *parts("p9", {"a": 295, "b": 295}), predictions=False)
    for name, finding in (("p8", "worse"), ("p9", "not resolved")):
        found = compare_models(open_folder(folder), ("p4", name))
        one = only(found)
        assert one.pair is not None
        assert (one.finding, one.pair.p_value) == (finding, None)
        assert "Scores are compared by 95 % intervals: scores of the same images are not stored." in words(found)
