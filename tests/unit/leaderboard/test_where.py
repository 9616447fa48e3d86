"""Conditions as they are written: what they mean, what is refused, and that they are read back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from where_examples import MEANS, REFUSED, UNITS, VALUES

from vitbench.errors import UsageError
from vitbench.leaderboard.units import DIMENSIONS
from vitbench.leaderboard.where import parse_where


@pytest.mark.parametrize("text", MEANS)
def test_what_a_text_means(text):
    assert str(parse_where(text, UNITS)) == MEANS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_is_told_with_its_place(text):
    with pytest.raises(UsageError) as error:
        parse_where(text, UNITS)

    words = str(error.value)
    assert REFUSED[text] in words
    assert words.isprintable()
    assert words.endswith((".", "?"))


@pytest.mark.parametrize(("asked", "meant"), [("latency < 5 ms", "latency_p50"), ("peak_memry < 1 B", "peak_memory")])
def test_the_nearest_metric_is_suggested(asked, meant):
    with pytest.raises(UsageError, match=f'Did you mean "{meant}"'):
        parse_where(asked, UNITS)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("top1 > 57%", 57 / 100),  # 57 * 0.01 is more
        ("top1 > 12.7 %", 0.127),
        ("latency_p50 > 1.1ms", 0.0011),
        ("latency_p50 > 3e2us", 0.0003),
        ("latency_p50 > 2min", 120.0),
        ("peak_memory > 1.5GiB", 1.5 * 2**30),
        ("peak_memory > 1.1 kB", 1100.0),
        ("params > 0.3M", 300_000.0),
        ("macs > 1.2 GMACs", 1.2e9),
    ],
)
def test_a_unit_gives_the_nearest_number_in_the_base_unit(written, value):
    assert parse_where(written, UNITS).comparisons[0].value == value


def test_without_known_metrics_any_unit_fits_any_name():
    where = parse_where("Speed > 5 ms and other < 1 GiB")

    assert where.metrics == ("Speed", "other")
    assert [each.value for each in where.comparisons] == [0.005, 2.0**30]


def _spaced(*words):
    return st.tuples(*(st.sampled_from(["", " ", "\t "]) for _ in words)).map(
        lambda gaps: "".join(gap + word for gap, word in zip(gaps, words, strict=True))
    )


def _unit(metric):
    units = list(DIMENSIONS[UNITS[metric]].units) if UNITS[metric] in DIMENSIONS else [UNITS[metric]]
    return st.sampled_from(units).flatmap(lambda unit: st.sampled_from([unit, unit.lower(), unit.upper()]))


@st.composite
def _comparison(draw):
    metric, operator = draw(st.sampled_from(list(UNITS))), draw(st.sampled_from(["<", "<=", ">", ">="]))
    number = draw(st.sampled_from(["0", "1", "0.5", "57", "2.5e3", "+.1", "3."]))
    text = draw(_spaced(metric, operator, number, draw(_unit(metric))))
    (one,) = parse_where(text, UNITS).comparisons  # a single comparison is tested above
    tests = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}

    def holds(values):
        value = values.get(metric)
        return None if value is None or value != value else tests[operator](value, one.value)

    return text, holds


def _not(part):
    text, holds = part
    return f"not({text})", lambda values: None if holds(values) is None else not holds(values)


def _joined(word, parts):
    def holds(values):
        said = [each(values) for _, each in parts]
        if (word == "or") in said:
            return word == "or"
        return None if None in said else word == "and"

    return "(" + f" {word} ".join(text for text, _ in parts) + ")", holds


_CONDITIONS = st.recursive(
    _comparison(),
    lambda inner: st.one_of(
        inner.map(_not),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)).map(lambda a: _joined(*a)),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(_CONDITIONS)
def test_a_condition_holds_as_its_parts_say_and_is_read_back_as_it_is_written(condition):
    text, holds = condition
    where = parse_where(text, UNITS)

    assert parse_where(str(where), UNITS) == where
    for values in VALUES:
        assert where.holds(values) is holds(values)
        assert where.holds(values) is not None or where.lacking(values)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*"()<>=!&,|%;:.-5e\x00\u2264\u00e9", " and ", "not ", "top1", "ms", " "])).map("".join)
)
def test_any_text_is_read_or_refused_in_one_printable_line(text):
    said = []
    try:
        where = parse_where(text, UNITS)
    except UsageError as error:
        said.append(str(error))
    else:
        assert parse_where(str(where), UNITS) == where
    assert all(words.isprintable() for words in said)
