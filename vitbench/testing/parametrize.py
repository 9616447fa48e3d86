"""The pytest front of the conformance kit. pytest is imported when it is used, so that nothing else needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.errors import Skip
from vitbench.testing.checks import NO_FAILURES, Check, CheckFailed, Round, expected_reasons
from vitbench.testing.plan import NO_DATA, checks_of

if TYPE_CHECKING:
    import pytest

__all__ = ["parametrize_checks"]


def parametrize_checks(
    plugin: str,
    *,
    models: Sequence[str] = (),
    data: Mapping[str, str | Path] = NO_DATA,
    expected_failures: Mapping[str, str] = NO_FAILURES,
) -> pytest.MarkDecorator:
    """Return a decorator that calls ``def test_conformance(check): check()`` once for each check of a plugin.

    A check that depends on one that fails is skipped, and says so, whichever tests are selected, and in which order.

    A check that is expected to fail is ``xfail(strict=True, raises=CheckFailed)``: if it passes, or raises any other
    error, the test fails.

    Args:
        plugin, models, data: as in `checks_of`.
        expected_failures: the checks that fail, as ``check_name`` or ``model: check_name``, each with its reason.

    Raises:
        UsageError, UnusableError: as `checks_of` and `run_checks` do.
    """
    import pytest

    checks, run = checks_of(plugin, models=models, data=data), Round()
    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(
                partial(_call, run, check),
                id=f"{check.short_subject}-{check.name}",
                marks=[pytest.mark.xfail(strict=True, raises=CheckFailed, reason=reason)] if reason else [],
            )
            for check, reason in zip(checks, expected_reasons(checks, expected_failures), strict=True)
        ],
    )


def _call(run: Round, check: Check) -> None:
    import pytest

    try:
        run(check)
    except Skip as skip:
        pytest.skip(str(skip))
