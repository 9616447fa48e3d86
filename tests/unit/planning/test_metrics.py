"""Options of metrics: who sets them, and what a suite ranks by then."""

from __future__ import annotations

from typing import Any

import pytest

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.errors import UsageError
from vitbench.planning.metrics import metric_options, of_recipes, ranked_by
from vitbench.specs import MetricSpec, Option, RecipeSpec


def offer(name: str, spec: Any) -> Offer[Any]:
    plugin = Plugin(name=name.partition("/")[0], distribution="d", version="1", module="m")
    return Offer(name=name, plugin=plugin, spec=spec)


def metric(name: str, **fields: Any) -> MetricSpec:
    return MetricSpec(name=name, measure="a:b", unit="s", better="lower", needs="training", summary="x", **fields)


LEVEL = {"level": Option(0.9, minimum=0, maximum=1)}
CATALOG = Catalog(
    metrics={
        "m/time": offer("m/time", metric("time", options=LEVEL, title="to {level:g}")),
        "m/plain": offer("m/plain", metric("plain")),
        "m/sgd": offer("m/sgd", metric("sgd", options=LEVEL, title="to {level:g}")),
    },
    recipes={"r/sgd": offer("r/sgd", RecipeSpec(name="sgd", fit="a:b", summary="x", options={"lr": 0.1}))},
)


@pytest.mark.parametrize(
    ("suite", "user", "level"),
    [
        ({}, {}, 0.9),
        ({"time": {"level": 0.5}}, {}, 0.5),
        ({"m/time": {"level": 0.5}}, {"time": {"level": "0.7"}}, 0.7),
        ({}, {"m/time": {"level": "1"}, "sgd": {"lr": "0.2"}}, 1.0),
    ],
)
def test_the_user_goes_before_the_suite_and_that_before_the_default(suite: Any, user: Any, level: float) -> None:
    found = metric_options(CATALOG, suite, user)
    assert found == {"m/time": {"level": level}, "m/sgd": {"level": 0.9}}
    assert ranked_by("time", CATALOG, found) == f"time:level={level}"
    assert ranked_by("plain", CATALOG, found) == "plain"
    assert of_recipes(CATALOG, user) == ({"sgd": {"lr": "0.2"}} if "sgd" in user else {})


@pytest.mark.parametrize(
    ("suite", "user", "words"),
    [
        ({"tiem": {}}, {}, 'unknown metric "tiem". Did you mean "time"?'),
        (
            {"time": {"levle": 1}},
            {},
            '[metrics] of the suite: metric m/time has no option "levle". Did you mean "level"',
        ),
        ({"plain": {"level": 0.5}}, {}, 'metric m/plain has no option "level". Its options: none.'),
        ({}, {"tiem": {"level": "2"}}, 'unknown metric "tiem". Did you mean "time"?'),
        ({}, {"time": {"level": "2"}}, "--set: metric m/time: option level must be at most 1, not 2.0."),
    ],
)
def test_a_mistake_is_one_line(suite: Any, user: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        metric_options(CATALOG, suite, user)
    assert words in str(caught.value)
