"""What the core fills in of a measurement, and at which cells a metric is called."""

from __future__ import annotations

import factories as f
import pytest

from vitbench.measurements import at_largest_batch, at_of, blank, plain_name, taken_in, under_options
from vitbench.records import Style
from vitbench.specs import MeasurementSpec, MetricSpec


def spec(**fields: object) -> MetricSpec:
    said = {"name": "it", "measure": "m:f", "unit": "s", "better": "lower", "needs": "timing", "summary": "x"}
    return MetricSpec(**{**said, **fields})


@pytest.mark.parametrize(
    ("planned", "at"),
    [
        (f.quality_cell(), "quality"),
        (f.speed_cell(batch_size=1), "batch_1"),
        (f.speed_cell(batch_size=2), "fixed_batch"),
        (f.speed_cell(batch_size=1, mode="training"), "training"),
        (f.speed_cell(batch_size=1, largest_batch=True), "largest_batch"),
    ],
)
def test_each_cell_is_of_one_kind(planned, at):
    assert at_of(planned.cell) == at


def test_the_largest_batch_takes_what_is_taken_at_the_fixed_one_and_is_not_exact():
    taken = {
        "fixed": spec(),
        "single": spec(at="batch_1"),
        "exact": spec(needs="architecture", exact=True),
        "own": spec(at="largest_batch"),
    }
    assert {name for name, each in taken.items() if taken_in(each, "largest_batch")} == {"fixed", "own"}
    assert {name for name, each in taken.items() if taken_in(each, "fixed_batch")} == {"fixed", "exact"}


def test_a_spec_that_says_the_least():
    found = blank(spec(), "it")
    assert (found.name, found.value, found.unit, found.better) == ("it", None, "s", "lower")
    assert (found.at, found.exact, found.machine_bound) == (("fixed_batch",), False, True)
    assert found.style == Style(title="it", unit="s", scale=1.0, columns="main", order=1000)


@pytest.mark.parametrize(
    ("fields", "unit", "scale"),
    [
        ({"unit": "fraction"}, "%", 100),
        ({"unit": "fraction", "shown_unit": "of 1"}, "of 1", 1),
        ({"unit": "fraction", "scale": 1000, "shown_unit": "per mille"}, "per mille", 1000),
        ({"unit": "1"}, "", 1),
        ({"unit": "1", "shown_unit": "M", "scale": 1e-6}, "M", 1e-6),
        ({"unit": "s", "shown_unit": ""}, "", 1),
    ],
)
def test_the_unit_for_people(fields, unit, scale):
    style = blank(spec(**fields), "it").style
    assert (style.unit, style.scale) == (unit, scale)


def test_one_of_several_says_more_than_its_metric():
    several = spec(
        measurements=(
            "plain",
            MeasurementSpec(name="other", unit="fraction", better="higher", title="", columns="wide", order=3),
        ),
        title="of one alone",
        shown_unit="ms",
        scale=1e3,
        columns="all",
        order=7,
    )
    plain, other = blank(several, "plain"), blank(several, "other")
    assert plain.style == Style(title="plain", unit="ms", scale=1e3, columns="all", order=7)
    assert other.style == Style(title="", unit="%", scale=100, columns="wide", order=3)
    assert (plain.unit, plain.better, other.unit, other.better) == ("s", "lower", "fraction", "higher")
    with pytest.raises(ValueError, match='it returned "it", but its spec declares plain, other'):
        blank(several, "it")


def test_another_unit_than_the_specs_is_shown_as_it_is():
    found = blank(spec(shown_unit="ms", scale=1e3), "it", "B")
    assert (found.unit, found.style.unit, found.style.scale) == ("B", "B", 1)


@pytest.mark.parametrize(("columns", "there"), [("main", "wide"), ("wide", "all"), ("all", "all")])
def test_at_the_largest_batch_a_measurement_has_a_name_and_a_column_of_its_own(columns, there):
    found = at_largest_batch(blank(spec(columns=columns, title=""), "it"))
    assert (found.name, found.at, found.machine_bound) == ("largest_batch_it", ("largest_batch",), True)
    assert (found.style.title, found.style.unit, found.style.columns) == ("at largest", "s", there)


def test_what_is_taken_at_the_largest_batch_alone_keeps_its_name():
    found = blank(spec(at="largest_batch"), "it")
    assert at_largest_batch(found) is found


def test_under_options_name_and_title_tell_them():
    told = spec(title="to {level:.0%}{late}", options={"level": 0.9, "late": False})
    of_half = under_options(blank(told, "it"), {"level": 0.5, "late": True})
    assert (of_half.name, of_half.style.title) == ("it:late=true,level=0.5", "to 50%True")
    assert plain_name(of_half.name) == "it"
    plain = blank(spec(), "it")
    assert under_options(plain, {}) is plain
