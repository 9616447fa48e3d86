"""Claims and published numbers, compared with results folders of made-up scores."""

from __future__ import annotations

from pathlib import Path

import factories as f
import msgspec
import pytest
from comparisons import quality, right, write

from vitbench.errors import NothingSelectedError, StoreError
from vitbench.findings.findings import ClaimResult, read_findings
from vitbench.records import Record

HEAD = 'name = "study"\nsummary = "for tests"\ndatasets = ["digits"]\n'
MODELS = "".join(f'[[models]]\nname = "scratch/{name}"\n' for name in ("p4", "p8", "resnet", "pretrained"))


def claim(rows: list[str], against: list[str], more: str = "") -> str:
    return f'[[claims]]\nname = "a"\ntext = "A claim"\nrows = {rows}\nagainst = {against}\n{more}\n'


PATCH = claim(["p4"], ["p8"])


def only(folder: Path) -> ClaimResult:
    (result,) = read_findings(folder).claims
    return result


def missing(result: ClaimResult) -> list[tuple[str, str]]:
    return [(row.name, row.reason) for row in result.missing]


@pytest.mark.parametrize(
    ("p4", "p8", "outcome", "code"),
    [(300, 200, "confirmed", 0), (200, 300, "refuted", 10), (300, 299, "not resolved", 13)],
)
def test_a_claim_is_tested_on_the_rows_that_it_names(tmp_path: Path, p4: int, p8: int, outcome: str, code: int) -> None:
    write(tmp_path, quality("p4", right(p4)), quality("p8", right(p8)), suite=HEAD + MODELS + PATCH)
    found = read_findings(tmp_path)
    (result,) = found.claims
    (pair,) = result.pairs
    assert (result.outcome, found.exit_code, result.missing) == (outcome, code, ())
    assert pair.paired is not None
    assert pair.paired.value == pytest.approx((p4 - p8) / 400)  # the row less what it is held against


def test_a_margin_is_in_points_and_seeds_are_all_used(tmp_path: Path) -> None:
    scores = [("p4", 300), ("p4", 301), ("p8", 300), ("p8", 302)]
    parts = [quality(name, right(count), seed=i % 2) for i, (name, count) in enumerate(scores)]
    for folder, margin, outcome in (("wide", 20.0, "confirmed"), ("narrow", 0.01, "not resolved")):
        text = claim(["p4"], ["p8"], f'relation = "equal"\nmargin = {margin}')
        result = only(write(tmp_path / folder, *parts, suite=HEAD + MODELS + text))
        assert result.outcome == outcome
        paired = result.pairs[0].paired
        assert paired is not None
        assert (paired.seeds, paired.value) == ((2, 2), pytest.approx(-0.5 / 400))


def test_rows_that_are_missing_are_named_with_what_became_of_them(tmp_path: Path) -> None:
    text = HEAD + MODELS + claim(["resnet"], ["p4", "p8", "pretrained"])
    failed = f.record(f.quality_cell("p4"), status="oom", reason="out of memory")
    known = [quality("resnet", right(390)), quality("p8", right(200))]
    result = only(write(tmp_path / "a", *known, [failed], pending=[f.quality_cell("pretrained")], suite=text))
    assert (result.outcome, missing(result)) == ("not run", [("p4", "oom"), ("pretrained", "pending")])
    assert [pair.sign for pair in result.pairs] == ["for"]
    # One comparison that is there refutes a claim, whatever the others would say.
    result = only(write(tmp_path / "b", quality("resnet", right(100)), quality("p8", right(200)), suite=text))
    assert (result.outcome, missing(result)) == ("refuted", [("p4", "not asked for"), ("pretrained", "not asked for")])


def test_without_any_of_its_rows_a_claim_is_not_run_on_the_data_that_were_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "place"
    result = only(write(place, quality("resnet", right(390)), suite=HEAD + MODELS + PATCH))
    assert (result.dataset, result.condition, result.outcome) == ("digits", None, "not run")
    assert [name for name, _ in missing(result)] == ["p4", "p8"]


def test_each_condition_is_tested_by_itself(tmp_path: Path) -> None:
    """A row of other data, of another machine or of a partial run is never compared with one of this."""
    partial = [quality(name, right(count), limit=40) for name, count in (("p4", 200), ("p8", 300))]
    alone = quality("p8", right(100), precision="bfloat16")
    full = [quality(name, right(count)) for name, count in (("p4", 300), ("p8", 200))]
    found = read_findings(write(tmp_path, *full, *partial, alone, suite=HEAD + MODELS + PATCH))
    told = {(r.condition.precision, r.condition.partial): r.outcome for r in found.claims if r.condition}
    assert told == {
        ("float32", False): "confirmed",
        ("float32", True): "refuted",
        ("bfloat16", False): "not run",
    }


def test_a_claim_is_tested_as_its_own_suite_has_it_whatever_ran_later_into_the_folder(tmp_path: Path) -> None:
    """The newest run states nothing, ranks by another metric, and calls the same cells otherwise."""
    models = '[[models]]\nname = "p4"\nlabel = "small"\npublished = {digits = 50}\n[[models]]\nname = "p8"\n'
    record, scores = quality("p4", right(300))
    write(
        tmp_path,
        *((labelled(record, "small"), scores), quality("p8", right(200))),
        suite=HEAD + models + claim(["small"], ["p8"]),
    )
    later = HEAD + '[[models]]\nname = "p4"\nlabel = "other"\n[[models]]\nname = "zoo"\nlabel = "small"\n'
    other = labelled(quality("zoo", right(10))[0], "small")
    write(tmp_path, [labelled(record, "other"), other], suite=later, rank_by="ece")
    found = read_findings(tmp_path)
    (result,), (figure,) = found.claims, found.figures
    assert (found.rank_by, result.outcome, result.pairs[0].row.model) == ("top1", "confirmed", "small")
    assert figure.difference == pytest.approx(0.25)


def labelled(record: Record, label: str) -> Record:
    return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, label=label))


def test_what_cannot_be_tested_says_why(tmp_path: Path) -> None:
    suite = HEAD + MODELS + PATCH
    other = quality("p8", right(200))
    invalid = write(tmp_path / "a", quality("p4", right(300), verdict="invalid"), other, suite=suite)
    unknown = write(tmp_path / "b", quality("p4", right(300)), other, suite=suite, predictions=False)
    twice = [quality("p4", right(300), recipe_options={"lr": lr}) for lr in (0.1, 0.2)]
    doubled = write(tmp_path / "c", *twice, other, suite=suite)
    reasons = []
    for folder in (invalid, unknown, doubled):
        result = only(folder)
        assert result.outcome == "not resolved"
        reasons.append(result.pairs[0].reason)
    assert reasons == [
        "top1 of p4 is invalid",
        "the top1 of single images is not stored for both",
        "2 rows are called p4",
    ]


def test_a_folder_that_states_nothing_is_refused_in_a_sentence(tmp_path: Path) -> None:
    place = tmp_path / "place"
    write(place / "a", quality("p4", right(300)), suite=HEAD + MODELS)
    with pytest.raises(NothingSelectedError, match=r"no suite that was run here states claims"):
        read_findings(place / "a")
    with pytest.raises(StoreError):
        read_findings(place)


def test_published_figures_stand_beside_the_runs_own(tmp_path: Path) -> None:
    models = (
        '[[models]]\nname = "p4"\npublished = {digits = 71.9}\n[[models]]\nname = "p8"\npublished = {digits = 50}\n'
    )
    judged_otherwise = quality("p4", right(320), split="val")
    folder = write(tmp_path, quality("p4", right(300)), judged_otherwise, suite=HEAD + models)
    own, missing = read_findings(folder).figures
    assert own.metric is not None
    assert (own.shown, own.metric.value, own.difference) == (71.9, 0.75, pytest.approx(0.75 - 0.719))
    assert (missing.name, missing.metric, missing.difference) == ("p8", None, None)
