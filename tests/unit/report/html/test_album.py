"""Which images a page shows, against answers written by hand."""

from __future__ import annotations

import factories
import numpy as np
import pages
import pytest

from vitbench.leaderboard.answers import Answers
from vitbench.report.html.album import Answerer, album, choose


def answers(classes, confidence=None, labels=None) -> Answers:
    count = len(classes)
    return Answers(
        labels=np.zeros(count, dtype=np.int64) if labels is None else np.array(labels),
        classes=np.array(classes),
        confidence=np.full(count, 0.5) if confidence is None else np.array(confidence),
        index=np.arange(count),
    )


def test_images_that_one_model_or_none_has_right_are_found_baselines_aside():
    first = answers([0, 1, 1, 1, 0], [0.9, 0.2, 0.3, 0.8, 0.4])
    second = answers([1, 0, 1, 2, 0], [0.5, 0.6, 0.9, 0.9, 0.4])
    chance = answers([0, 0, 0, 0, 0])
    found = choose([first, chance, second], [False, True, False], room=100)
    assert found.mistakes == ((3, 2, 1), (), (2, 3, 0))
    assert (found.alone, found.alone_count) == (((0, 0), (1, 2)), 2)
    assert (found.none, found.none_count) == ((3, 2), 2)  # of 3 the models are the surer
    assert found.places() == [0, 1, 2, 3]


def test_one_model_has_mistakes_alone():
    found = choose([answers([1, 0])], [False], room=100)
    assert (found.mistakes, found.alone_count, found.none_count) == (((0,),), 0, 0)


def test_no_model_takes_all_places_of_what_it_alone_has_right():
    able = np.ones(40, dtype=int)
    able[:30] = 0
    other = 1 - able
    found = choose([answers(able), answers(other)], [False, False], room=1000)
    assert {model for _, model in found.alone[:2]} == {0, 1}
    assert (len(found.alone), found.alone_count) == (12, 40)


def test_of_each_two_models_there_is_an_image_on_which_they_differ():
    random = np.random.default_rng(1)
    said = [answers(random.integers(0, 2, 3000), random.random(3000)) for _ in range(5)]
    shown = choose(said, [False] * 5, room=100).places()
    for first in said:
        for second in said:
            if first is not second:
                assert np.count_nonzero((first.right & ~second.right)[shown]) >= 3


@pytest.mark.parametrize("models", [2, 60])
def test_a_page_has_no_more_images_than_its_room_but_one_of_each_model(models):
    random = np.random.default_rng(0)
    said = [answers(random.integers(0, 2, 3000), random.random(3000)) for _ in range(models)]
    found = choose(said, [False] * models, room=40)
    assert all(found.mistakes)
    assert len(found.places()) <= max(40, 3 * models)


def of(said, row=0, name="m"):
    return Answerer(row=row, name=name, baseline=False, class_names=tuple("0123456789"), seeds=(said,))


def test_the_first_cache_that_holds_the_images_serves(tmp_path):
    there = pages.with_images(factories.data_info(), tmp_path, 20)
    model = of(answers([1, 1, 0], labels=[0, 1, 2]))
    found = album([model], [factories.data_info(), there], "test", images=True, room=100)
    assert found is not None
    assert (found.places, found.gone) == ((0, 2), False)
    assert found.names == (f"test/{pages.HOSTILE[0]}-0.png", f"test/{pages.HOSTILE[2]}-2.png")
    assert [image.tolist() for image in found.pixels] == np.load(tmp_path / "cache" / "test-images.npy")[
        [0, 2]
    ].tolist()
    private = album([model], [there], "test", images=False, room=100)
    assert private is not None
    assert (private.places, private.pixels, private.names, private.gone) == ((), (), (), False)


def test_models_that_were_judged_on_other_images_are_left_out():
    usual = [of(answers([1, 0, 1]), row) for row in (0, 2)]
    found = album([usual[0], of(answers([1, 0]), 1), usual[1]], [factories.data_info()], "test", images=True, room=100)
    assert found is not None
    assert [model.row for model in found.models] == [0, 2]
    assert found.gone  # there is no such cache
