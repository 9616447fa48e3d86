"""Which outputs of a head mean which class of the data, and the logits that come of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vitbench.errors import UnusableError
from vitbench.worker.heads import BY_NAME, GroupedOutputs, match, match_map

HEAD = (("n01", "tench", "Tinca"), ("n02", "crane"), ("n03", "crane"), ("n04",), ())
COUNT = len(HEAD)


@pytest.mark.parametrize(
    ("data", "outputs", "count", "expected"),
    [
        (("a", "b"), (), 2, ((), "")),
        (("a", "b"), (("a",), ("b",)), 2, ((), BY_NAME)),
        (("a", "b", "c"), (("c",), ("a",), ("b",)), 3, (((1,), (2,), (0,)), BY_NAME)),
        (("n04", "Tinca"), HEAD, COUNT, (((3,), (0,)), BY_NAME)),
        # ImageNetV2 as other tools sort it, and weights that were trained on folders of that kind.
        (("0", "1", "10", "2", *map(str, range(3, 10))), (("x",),) * 11, 11, None),
        (("1", "0"), (("0",), ("1",), ("2",)), 3, (((1,), (0,)), BY_NAME)),
    ],
)
def test_classes_are_matched_by_name_else_by_all_numbers(data: Any, outputs: Any, count: int, expected: Any) -> None:
    expected = expected or (tuple((int(name),) for name in data), "by number")
    assert match(data, outputs, count) == expected


@pytest.mark.parametrize(
    ("data", "outputs", "words"),
    [
        (("a", "b"), (), "head has 5 classes without a name, but the data has 2; map outputs"),
        (("n01", "trench"), HEAD, r'"trench" of the data.s 2 classes is not among the 5 of its head .*mean "tench"\?'),
        (("0", "1"), HEAD, '"0", "1" of the data.s 2 classes are not among'),  # digits are not the first of ImageNet
        ((*map(str, range(4)), "n01"), HEAD, "not among"),
        (("n01", "crane"), HEAD, '"crane" is the name of the outputs 1 and 2 of its head; give a class map'),
        (("n01", "tench"), HEAD, "output 0 of its head is mapped to the classes n01 and tench"),
        (("a", "b", "c"), (("a",), ("b",)), '"c" of the data.s 3 classes is not among the 2'),
    ],
)
def test_what_does_not_meet_is_refused(data: Any, outputs: Any, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        match(data, outputs, COUNT if outputs in ((), HEAD) else len(outputs))


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        (HEAD, {"a": ("tench", "n02"), "b": (4,)}, ((0, 1), (4,))),
        (HEAD, {"b": ("4",), "a": ("0",)}, ((0,), (4,))),
        ((), {"a": (1,), "b": ("0", 2)}, ((1,), (0, 2))),
        # JSON tells names from numbers.
        ((("0",), ("2",), ("1",)), {"a": ("1",), "b": (1,)}, ((2,), (1,))),
    ],
)
def test_a_class_map_names_outputs_by_name_or_number(outputs: Any, given: Any, expected: Any) -> None:
    if outputs and outputs[0] == ("0",):  # as text that is two things, unless it is the same
        with pytest.raises(UnusableError, match="1 in the class map is the name of the head's output 2 and the number"):
            match_map(("a", "b"), outputs, 3, given)
        given, expected = {"a": ("0",), "b": (1,)}, ((0,), (1,))
        assert match_map(("a", "b"), outputs[:2], 2, given) == ()
    assert match_map(("a", "b"), outputs, len(outputs) or 3, given) == expected


def test_a_map_of_each_output_to_its_own_class_changes_nothing() -> None:
    assert match_map(("a", "b"), (), 2, {"a": (0,), "b": (1,)}) == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": ("n01",)}, 'the class map has no entry for "b" of the data.s 2 classes'),
        ({"a": ("n01",), "b": ("n02",), "bb": ("n03",)}, 'the data has no class "bb", which the class map names'),
        ({"a": ("n01",), "b": ("n0",)}, 'head has no class "n0", which .* Did you mean "n0'),
        ({"a": ("n01",), "b": (5,)}, "has no output 5, .* its 5 outputs are 0 to 4"),
        ({"a": ("n01",), "b": (-1,)}, "has no output -1"),
        ({"a": ("n01",), "b": (0,)}, "output 0 of its head is mapped to the classes a and b"),
        ({"a": ("n01", "tench"), "b": (1,)}, "output 0 of its head is mapped to the class a twice"),
        ({"a": ("n01",), "b": ("crane",)}, "is the name of the outputs 1 and 2"),
    ],
)
def test_a_class_map_that_does_not_meet_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UnusableError, match=words):
        match_map(("a", "b"), HEAD, COUNT, given)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_several_outputs_of_a_class_have_the_sum_of_their_probabilities(kind: torch.dtype) -> None:
    logits = (40 * torch.randn(7, 5, generator=torch.Generator().manual_seed(0))).to(kind)
    groups = ((3, 0), (1,), (4, 2))
    judged = GroupedOutputs(nn.Identity(), groups)(logits)
    whole = logits.double().softmax(dim=1)
    expected = torch.stack([whole[:, list(group)].sum(dim=1) for group in groups], dim=1)
    torch.testing.assert_close(judged.double().softmax(dim=1), expected, rtol=1e-5, atol=1e-12)
    assert torch.isfinite(judged).all()


def test_outputs_that_mean_one_class_each_are_chosen_as_they_are() -> None:
    logits = torch.tensor([[30.0, 10.0, 20.0]], dtype=torch.bfloat16)
    assert torch.equal(GroupedOutputs(nn.Identity(), ((2,), (0,)))(logits), logits[:, [2, 0]])
    assert not GroupedOutputs(nn.Linear(1, 1, bias=False), ((0,),)).state_dict().keys() - {"model.weight"}
