"""Checks of suites: what a listed model does not use is looked up, too, and a family's member with its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.catalog import load_catalog
from vitbench.specs import SuiteSpec
from vitbench.testing import SuiteCase, checks_for, run_checks, suites

SUITE = """
name = "mine"
summary = "a suite"
datasets = ["digits"]
[recipes.finetune]
steps = 50
[[models]]
name = "timm/test_vit"
options = { pretrained = false }
[[models]]
name = "scratch/vit"
"""


def outcome(tmp_path: Path, text: str) -> tuple[str, str]:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    case = SuiteCase(spec=SuiteSpec(name="mine", path=str(path), summary="a suite"), catalog=load_catalog())
    (found,) = run_checks([check for check in checks_for("mine/mine", case) if check.name == "check_suite_names"])
    return found.status, found.reason


def test_a_good_suite_passes(tmp_path: Path) -> None:
    assert outcome(tmp_path, SUITE) == ("passed", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SUITE.replace("pretrained", "pretraned"), 'model timm/test_vit has no option "pretraned". Did you mean'),
        (SUITE.replace("false", "'maybe'"), "option pretrained must be true or false"),
        (SUITE.replace("steps", "stpes"), '[recipes] of the suite: recipe finetune has no option "stpes". Did you'),
        (SUITE.replace("50", "'many'"), "option steps must be a whole number"),
        (SUITE.replace("finetune", "fintune"), 'unknown recipe "fintune"'),
    ],
)
def test_each_bad_name_is_caught(text: str, words: str, tmp_path: Path) -> None:
    status, reason = outcome(tmp_path, text)
    assert status == "failed"
    assert words in reason


def test_a_family_that_is_not_installed_hides_no_other_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "first_missing", lambda modules: "timm")
    assert outcome(tmp_path, SUITE) == ("skipped", "timm/test_vit needs the module timm, which is not installed.")
    assert outcome(tmp_path, SUITE.replace("steps", "stpes"))[0] == "failed"
