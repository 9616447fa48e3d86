"""The answer, and what is said of it: the best that has what is wanted, how sure, and what would settle the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from factories import quality, speed

from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.leaderboard import build
from vitbench.leaderboard.where import parse_where
from vitbench.picking.answer import Answer, Final, answered
from vitbench.picking.course import Course
from vitbench.picking.pick import Picked
from vitbench.picking.racing import look
from vitbench.picking.report import pick_data, pick_text, sentence, settling

IMAGES = 360
NO_FIELDS: Mapping[str, Any] = {}


def final(name: str, right: range, throughput: float, *, timed: Mapping[str, Any] = NO_FIELDS, **fields: Any) -> Final:
    """Return a finalist that has these images right."""
    scores = np.isin(np.arange(IMAGES), right)
    records = [quality(name, correct=int(scores.sum())), *speed(name, images_per_second=throughput, **timed)]
    (row,) = build(records, (), "top1").rows
    return Final(name=name, label=name, row=row, outcomes=Outcomes(scores=scores, images="x"), **fields)


GOOD = final("a", range(340), 100.0, steps=500)
NEAR = final("b", range(5, 341), 1000.0, steps=500)
FAR = final("c", range(200), 300.0)


def test_the_best_is_picked_and_held_against_the_others() -> None:
    answer = answered([FAR, NEAR, GOOD], None)
    assert answer.pick is GOOD
    assert answer.finals == (GOOD, NEAR, FAR)
    assert [(each.final.label, each.resolved) for each in answer.rivals] == [("b", False), ("c", True)]
    assert answer.front == (GOOD, NEAR)  # c is slower and worse than b


def test_one_model_in_two_recipes_is_no_rival_of_itself() -> None:
    again = final("a", range(330), 100.0)
    assert [each.final.label for each in answered([GOOD, again, NEAR], None).rivals] == ["b"]


def test_without_a_result_there_is_no_pick() -> None:
    assert answered([], None) == Answer(pick=None, finals=())
    assert sentence(Answer(pick=None, finals=()), Course()) == "No pick: no finalist has a result."


def test_what_is_wanted_goes_before_accuracy_and_the_nearest_are_named() -> None:
    assert answered([GOOD, NEAR, FAR], parse_where("throughput > 500")).pick is NEAR
    none = answered([GOOD, NEAR, FAR], parse_where("top1 > 0.99"))
    assert none.pick is None
    assert none.nearest.startswith("a [supervised] (top1 0.944), b")
    assert sentence(none, Course()).startswith("No pick: no finalist meets --want; the nearest: a [supervised]")


def test_the_sentence_says_how_sure_and_what_happened_to_others() -> None:
    course = Course()
    course.leave("d", "race", "it is worse", worse=True)
    course.leave("e", "training", "there was no time to train it", worse=False)
    words = sentence(answered([GOOD, NEAR, FAR], None), course)
    assert words == (
        "Pick a [supervised]: 94.4 % top1 (95 % interval 91.6 to 96.4, 360 test images), 100 images/s; significantly "
        "better than c, not told apart from b (1.1 points ahead), 1 other was significantly behind in the race, 1 was "
        "set aside for lack of time."
    )


def test_what_would_settle_the_rest_is_images_seeds_and_time() -> None:
    course = Course()
    course.leave("e", "training", "there was no time to train it", worse=False)
    images, seeds, time = settling(answered([GOOD, NEAR, FAR], None), course)
    # Connor, at 5/3 %: ((2.394 * sqrt(6/360) + 0.842 * sqrt(6/360 - (4/360)**2)) / (4/360))**2 = 1,411 in all.
    assert images.startswith("About 1,100 more test images would tell a from b, in 80 % of cases")
    assert seeds.startswith("a and b were trained once; a second seed of each")
    assert time.startswith("A larger --budget would also try e")
    level = settling(answered([GOOD, final("b", range(340), 9.0)], None), Course())
    assert level[0] == "a and b are level on the test images: choose by speed."
    assert settling(answered([GOOD, FAR], None), Course()) == []


def text_of(answer: Answer) -> str:
    """Return what is printed, each paragraph's lines joined."""
    picked = Picked(sentence="", answer=answer, course=Course(), folder=Path("out"), seconds=3.0, exit_code=0)
    return " ".join(pick_text(picked).split())


def test_each_condition_is_said_to_be_met_or_not() -> None:
    answer = answered([GOOD, FAR], parse_where("throughput > 50 and (top1 > 0.95 or not_measured < 3 or top1 > 0.5)"))
    assert answer.wanted == (
        "throughput > 50: met (throughput 100)",
        "top1 > 0.95: not met (top1 0.944, uncertain: it may be 0.916 to 0.964)",
        "not_measured < 3: not known, not_measured has no value",
        "top1 > 0.5: met (top1 0.944)",
    )
    assert "The conditions of --want: - throughput > 50: met (throughput 100) - top1" in text_of(answer)


def test_marks_are_explained_with_their_reasons_and_advice() -> None:
    plain = text_of(answered([GOOD, FAR], None))
    assert " ! " not in plain
    assert " ~ " not in plain
    busy = {"verdict": "invalid", "reason": "the times drift by 9 %"}
    answer = answered([final(name, range(300), 9.0, timed=busy) for name in "ab"], None)
    assert (
        "There is no Pareto front of accuracy and speed: no speed is valid. `vitbench doctor` says what disturbs "
        "measurements on this machine; run the pick again with a new --output when the machine is quiet. "
        "! invalid, not to be relied on: the times were not steady." in text_of(answer)
    )


def test_all_of_it_for_people_and_for_programs() -> None:
    course = Course(remarks=["The race ended early."])
    course.leave("d", "race", "it is worse", worse=True)
    course.looks.append((0.125, look({"a": np.ones(9, bool), "d": np.zeros(9, bool)}, level=0.05)))
    answer = answered([GOOD, NEAR, FAR], None)
    picked = Picked(
        sentence=sentence(answer, course), answer=answer, course=course, folder=Path("out"), seconds=3.0, exit_code=0
    )
    text = pick_text(picked)
    assert text.startswith("Pick a [supervised]")
    assert "- d: dropped (probe), it is worse" in text
    assert "supervised, 500 steps" in text
    assert "Remarks:\n- The race ended early." in text
    data = pick_data(picked)
    assert (data["pick"]["model"], data["looks"][0]["behind"]) == ("a", {"d": 0.5**9})
    assert [each["resolved"] for each in data["rivals"]] == [False, True]
    assert picked.model == "a"
