"""What both sides have is compared; what one lacks is no data; what differs in more than speed is not comparable."""

from __future__ import annotations

from typing import Any

import factories
import msgspec
import pytest

from vitbench.errors import NothingSelectedError, UnusableError, UsageError, VitbenchError
from vitbench.records import KeyedCell
from vitbench.tracking.matching import Match, matched
from vitbench.tracking.messages import Described, Description, Refusal
from vitbench.tracking.outcome import TrackedModel

UNKNOWN = Refusal(message='unknown model "new".', exit_code=2)


def described(
    label: str = "vit", *, of_checkout: bool = True, modes: tuple[str, ...] = ("inference",), **cell: Any
) -> Described:
    cells = tuple(factories.speed_cell(label, mode=mode, **cell) for mode in modes)
    return Described(cells=cells, of_checkout=of_checkout)


def side(python: str = "3.11.9", **models: Described | Refusal) -> Description:
    return Description(python=python, models=models)


def match(
    base: Description | str,
    head: Description | str,
    *asked: str,
    modes: tuple[str, ...] = ("inference",),
    allow: bool = False,
) -> list[Match | TrackedModel]:
    return matched((base, head), asked, modes, 32, allow_differences=allow)  # type: ignore[arg-type]


def only(found: list[Match | TrackedModel]) -> Match | TrackedModel:
    [one] = found
    return one


def test_what_both_have_is_compared() -> None:
    one = only(match(side(vit=described(code="old")), side(vit=described(code="new")), "vit"))
    assert one == Match(
        model="vit", cells=(factories.speed_cell(code="old"), factories.speed_cell(code="new")), remarks=()
    )


def test_each_mode_is_a_comparison_of_its_own() -> None:
    modes = ("training", "inference")
    both = side(vit=described(modes=modes))
    found = match(both, both, "vit", modes=modes)
    assert [one.cell.mode for one in found if isinstance(one, Match)] == ["training", "inference"]


def test_without_names_it_is_what_either_side_has() -> None:
    found = match(
        side(old=described("old"), both=described("both")), side(both=described("both"), new=described("new"))
    )
    assert [(one.model, isinstance(one, Match)) for one in found] == [("old", False), ("both", True), ("new", False)]


@pytest.mark.parametrize(
    ("base", "head", "reason"),
    [
        (side(), side(vit=described()), "base has no such model in its checkout"),
        (side(vit=described()), side(), "head has no such model in its checkout"),
        (side(vit=UNKNOWN), side(vit=described()), 'base: unknown model "new".'),
        ("base's vitbench is too old to be tracked", side(vit=described()), "base's vitbench is too old to be tracked"),
    ],
)
def test_what_one_side_lacks_is_no_data(base: Description | str, head: Description | str, reason: str) -> None:
    assert only(match(base, head)) == TrackedModel(
        model="vit", mode="inference", batch_size=32, verdict="no data", reasons=(reason,)
    )


@pytest.mark.parametrize(
    ("refusal", "error"), [(UNKNOWN, UsageError), (Refusal(message="needs timm", exit_code=3), UnusableError)]
)
def test_an_asked_model_that_neither_side_has_is_a_mistake(refusal: Refusal, error: type[VitbenchError]) -> None:
    both = side(new=refusal, vit=described())
    with pytest.raises(error, match=r"^head: "):
        match(both, both, "vit", "new")


def test_a_model_that_neither_side_can_build_is_no_mistake_where_it_was_not_asked_for() -> None:
    both = side(new=Refusal(message="needs timm", exit_code=3), vit=described())
    lacking = next(one for one in match(both, both) if isinstance(one, TrackedModel))
    assert (lacking.model, lacking.verdict) == ("new", "no data")
    assert lacking.reasons == ("base: needs timm", "head: needs timm")


def test_where_nothing_is_left_it_is_an_error() -> None:
    """Where nothing is left it is an error."""
    with pytest.raises(NothingSelectedError, match="give --model"):
        match(side(), side())
    with pytest.raises(UnusableError, match=r"^too old; nothing can be compared\.$"):
        match("too old", side())


def test_an_asked_model_of_two_sides_that_cannot_be_asked_is_unusable() -> None:
    with pytest.raises(UnusableError, match="too old"):
        match("too old", "too old", "vit")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"device": "cuda"}, "different device: cpu in base, cuda in head"),
        ({"threads": 2}, "different threads: 1 in base, 2 in head"),
        ({"num_classes": 5}, "different num classes: 10 in base, 5 in head"),
        ({"of_checkout": False}, "head would measure installed code that is not its checkout's; "),
    ],
)
@pytest.mark.parametrize("allow", [True, False])
def test_other_work_is_not_comparable_whatever_is_allowed(changed: dict[str, Any], reason: str, allow: bool) -> None:
    one = only(match(side(vit=described()), side(vit=described(**changed)), allow=allow))
    assert isinstance(one, TrackedModel)
    assert one.verdict == "not comparable"
    assert one.reasons[0].startswith(reason)
    assert len(one.reasons) == 1


def with_provenance(**changed: Any) -> Described:
    def cell() -> KeyedCell:
        planned = factories.speed_cell()
        return msgspec.structs.replace(planned, provenance=msgspec.structs.replace(planned.provenance, **changed))

    return Described(cells=(cell(),), of_checkout=True)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (side("3.12.1", vit=described()), "different Python: 3.11.9 in base, 3.12.1 in head"),
        (side(vit=with_provenance(torch="2.16.0")), "different torch: 2.15.0 in base, 2.16.0 in head"),
        (side(vit=with_provenance(libraries={"timm": "1.1"})), "different timm: none in base, 1.1 in head"),
    ],
)
def test_other_software_is_not_comparable_unless_that_is_allowed(head: Description, reason: str) -> None:
    refused = only(match(side(vit=described()), head))
    assert isinstance(refused, TrackedModel)
    assert (refused.verdict, refused.reasons) == ("not comparable", (reason,))
    allowed = only(match(side(vit=described()), head, allow=True))
    assert isinstance(allowed, Match)
    assert allowed.remarks == (reason,)


def test_other_defaults_are_compared_and_told() -> None:
    one = only(match(side(vit=described(options={"depth": 4})), side(vit=described(options={"depth": 8, "new": True}))))
    assert isinstance(one, Match)
    assert one.remarks == (
        "different option depth: 4 in base, 8 in head",
        "different option new: none in base, true in head",
    )


def test_another_method_is_not_comparable_whatever_is_allowed() -> None:
    one = only(match(side(vit=with_provenance(method=1)), side(vit=with_provenance(method=2)), allow=True))
    assert isinstance(one, TrackedModel)
    assert one.reasons == ("different methods of vitbench: 1 in base, 2 in head",)


def test_a_plugin_that_head_broke_is_an_error_and_no_missing_model() -> None:
    problem = {"scratch": "plugin scratch (vitbench 0.1.0), load: ImportError: gone"}
    base, head = side(vit=described()), side()
    with pytest.raises(UnusableError, match=r"^head: plugin scratch .*, load: ImportError: gone\.$"):
        match(base, msgspec.structs.replace(head, problems=problem))
    with pytest.raises(NothingSelectedError):  # broken before, too, and none of its models is asked for
        match(*(msgspec.structs.replace(head, problems=problem),) * 2)
    other = {"other": "plugin other (x 1), load: ImportError: gone"}
    assert isinstance(only(match(base, msgspec.structs.replace(base, problems=other))), Match)


def test_why_base_lacks_a_model_is_told_where_its_plugin_is_broken() -> None:
    base = Description(
        python="3.11.9", problems={"scratch": "plugin scratch (vitbench 0.1.0), load: ImportError: gone"}
    )
    head = Description(python="3.11.9", models={"scratch/vit": described()})
    one = only(match(base, head))
    assert isinstance(one, TrackedModel)
    [reason] = one.reasons
    assert reason.startswith(
        "base has no such model in its checkout: plugin scratch (vitbench 0.1.0), load: ImportError"
    )


def test_a_package_of_the_repository_that_both_sides_share_is_told() -> None:
    base = msgspec.structs.replace(side(vit=described()), elsewhere=("core",))
    one = only(match(base, side(vit=described())))
    assert isinstance(one, TrackedModel)
    assert one.verdict == "not comparable"
    assert one.reasons == (
        "base would use core of the working tree, not of its checkout; have --install install that too",
    )
    assert isinstance(only(match(base, side(vit=described()), allow=True)), Match)
