"""Errors in one line, their exit codes, and the closest name."""

from __future__ import annotations

import pytest

from vitbench.errors import (
    NothingSelectedError,
    StoreError,
    UnusableError,
    UsageError,
    VitbenchError,
    did_you_mean,
    error_of,
    reason_of,
)


@pytest.mark.parametrize("kind", [UsageError, UnusableError, StoreError, NothingSelectedError])
def test_a_refusal_in_another_process_is_the_same_error_here(kind: type[VitbenchError]) -> None:
    error = error_of(kind.exit_code, "what is wrong")
    assert (type(error), str(error)) == (kind, "what is wrong")


@pytest.mark.parametrize("code", [0, 1, 99])
def test_a_code_that_no_error_has_means_unusable(code: int) -> None:
    assert type(error_of(code, "x")) is UnusableError


def test_each_exit_code_means_one_thing() -> None:
    kinds = VitbenchError.__subclasses__()
    assert len({VitbenchError.exit_code, *(kind.exit_code for kind in kinds)}) >= 5
    own = [kind.exit_code for kind in (VitbenchError, UsageError, UnusableError, StoreError, NothingSelectedError)]
    assert own == [1, 2, 3, 4, 5]


def test_a_reason_is_one_line_with_a_type_where_it_is_not_a_sentence_of_ours() -> None:
    assert reason_of(UsageError("give it\n  a name.")) == "give it a name."
    assert reason_of(ValueError("two\n  lines")) == "ValueError: two lines"
    assert reason_of(KeyError()) == "KeyError"


def test_did_you_mean_offers_the_closest_name_or_nothing() -> None:
    assert did_you_mean("digit", ["digits", "cifar10"]) == ' Did you mean "digits"?'
    assert did_you_mean("zzz", ["digits", "cifar10"]) == ""


def test_a_name_that_starts_so_goes_before_one_that_is_as_close() -> None:
    assert did_you_mean("seed", ["speed", "seeds"]) == ' Did you mean "seeds"?'
