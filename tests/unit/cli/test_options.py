"""Finite numbers, NAME=VALUE pairs, and the options that select plugins: the same for every command."""

from __future__ import annotations

from typing import Any

import click
import pytest

from vitbench.cli.options import FiniteRange, plugin_options, read_pairs


@click.command()
@click.option("--seconds", type=FiniteRange(min=0, min_open=True))
@click.option("--data", multiple=True, metavar="NAME=PATH", callback=read_pairs)
@plugin_options
def command(**given: Any) -> dict[str, Any]:
    return given


def given(*arguments: str) -> dict[str, Any]:
    found = command.main(arguments, standalone_mode=False)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a finite number|is not in the range"):
        given("--seconds", text)


def test_a_number_may_have_an_exponent_and_keeps_its_range() -> None:
    assert given("--seconds", "1e-3")["seconds"] == 0.001
    with pytest.raises(click.BadParameter, match="not in the range x>0"):
        given("--seconds", "0")


def test_a_value_may_be_empty_where_that_means_none() -> None:
    for empty, accepted in (("a=", True), ("=b", False), ("a", False)):
        try:
            pairs = read_pairs(click.Context(command), command.params[1], [empty], may_be_empty=True)
        except click.BadParameter:
            assert not accepted
        else:
            assert (pairs, accepted) == ({"a": ""}, True)
    with pytest.raises(click.BadParameter, match='"a=" must be written NAME=PATH'):
        given("--data", "a=")


def test_pairs_keep_their_order_and_a_value_may_hold_anything_even_an_equals_sign() -> None:
    assert given("--data", "b=x=y", "--data", "a= ")["data"] == {"b": "x=y", "a": " "}
    assert list(given("--data", "b=1", "--data", "a=2")["data"]) == ["b", "a"]
    assert given()["data"] == {}


def test_a_name_is_given_once() -> None:
    with pytest.raises(click.BadParameter, match=r'^"a" is given twice$'):
        given("--data", "a=1", "--data", "a=1")


@pytest.mark.parametrize("text", ["pets", "pets=", "=path", "="])
def test_half_a_pair_is_refused_as_it_was_written(text: str) -> None:
    with pytest.raises(click.BadParameter, match=f'^"{text}" must be written NAME=PATH$'):
        given("--data", text)


def test_plugins_are_selected_by_three_options() -> None:
    assert given() == {"seconds": None, "data": {}, "plugin_files": (), "no_plugins": (), "strict_plugins": False}
    found = given("--plugin", "b.py", "--plugin", "a.py", "--no-plugin", "timm", "--strict-plugins")
    assert (found["plugin_files"], found["no_plugins"], found["strict_plugins"]) == (("b.py", "a.py"), ("timm",), True)
