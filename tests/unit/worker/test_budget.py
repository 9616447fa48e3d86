"""A recipe that goes on after its budget is stopped in one sentence; one that keeps it, in its own way, is not."""

from __future__ import annotations

import copy

import factories
import msgspec
import pytest
import torch
from torch import Tensor, nn

from vitbench.records import Allotted, KeyedCell
from vitbench.specs import OptionValue, RecipeSpec
from vitbench.worker.budget import MOST_PASSES, OverBudgetError, check_epoch, cut_short, held_to_images, over_budget

IMAGES, BATCH = 32, 8


class Net(nn.Module):
    """Takes its images by name, too."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs)


def epochs(model: nn.Module, count: float, *, by_name: bool = False) -> None:
    for _ in range(int(count * IMAGES / BATCH)):
        batch = torch.zeros(BATCH, 4)
        _ = model(inputs=batch) if by_name else model(batch)


def test_an_epoch_after_the_last_is_refused() -> None:
    for epoch in (0, 0.25, 2.999, 3, 3.0):
        check_epoch("mine/sgd", epoch, 3)
    words = "^recipe mine/sgd ignores its budget of 3 epochs: it logs epoch 4; it must end after run.budget.epochs$"
    with pytest.raises(OverBudgetError, match=words):
        check_epoch("mine/sgd", 4, 3)
    with pytest.raises(OverBudgetError, match=r"of 1 epoch: it logs epoch 1\.25"):
        check_epoch("mine/sgd", 1.25, 1)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_recipe_that_tells_nothing_is_stopped_by_the_images_it_shows(by_name: bool) -> None:
    model = Net()
    with held_to_images(model, "mine/sgd", epochs=2, images=IMAGES):
        epochs(model, 2 * MOST_PASSES, by_name=by_name)
        with pytest.raises(OverBudgetError, match="recipe mine/sgd ignores its budget of 2 epochs: the model has seen"):
            epochs(model, 1, by_name=by_name)
    epochs(model, 1)  # afterwards nobody counts


def test_images_in_eval_mode_of_a_copied_average_and_without_a_budget_do_not_count() -> None:
    model = Net().eval()
    with held_to_images(model, "mine/sgd", epochs=1, images=IMAGES):
        epochs(model, 2 * MOST_PASSES)
    with held_to_images(model.train(), "mine/sgd", epochs=None, images=IMAGES):
        epochs(model, 2 * MOST_PASSES)

    model = Net()
    with held_to_images(model, "mine/sgd", epochs=1, images=IMAGES):
        epochs(copy.deepcopy(model).eval(), 2 * MOST_PASSES)


def test_a_compiled_model_stays_in_one_piece_and_is_compiled_once() -> None:
    model, compiled = Net(), []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        compiled.append(graph)
        return graph.forward

    with held_to_images(model, "mine/sgd", epochs=1, images=IMAGES):
        net = torch.compile(model, backend=backend, fullgraph=True)
        epochs(net, 2)
    assert len(compiled) == 1


def given(steps: int | None, *, budget: float | None = 60.0, **options: OptionValue) -> KeyedCell:
    planned = factories.quality_cell("vit")
    cell = msgspec.structs.replace(planned.cell, budget=budget, recipe_options=options)
    allotted = Allotted(steps=steps, planned_steps=steps, step_seconds=1.0, seconds=50.0) if steps else None
    return msgspec.structs.replace(planned, cell=cell, allotted=allotted)


def test_a_recipe_that_takes_more_steps_than_it_was_given_is_told_of() -> None:
    sgd = RecipeSpec(name="sgd", fit="a:b", summary="x")
    words = "recipe recipes/supervised ignores the budget: it took 51 steps of 50"
    assert over_budget(given(50), sgd, 51) == (words,)
    assert over_budget(given(50), sgd, 50) == over_budget(given(50), sgd, 3) == ()
    assert over_budget(given(50, by_time=True), sgd, 900) == ()
    assert over_budget(given(None, budget=None), sgd, 900) == ()
    for planned in (given(50), given(None)):
        [unknown] = over_budget(planned, sgd, 0)
        assert "takes no steps of a torch optimiser" in unknown
    assert over_budget(given(None), RecipeSpec(name="sgd", fit="a:b", summary="x", trains=False), 0) == ()


def test_a_training_that_lost_most_of_its_steps_to_what_ran_before_is_told_of() -> None:
    def left(steps: int) -> KeyedCell:
        planned = given(steps)
        assert planned.allotted is not None
        return msgspec.structs.replace(planned, allotted=msgspec.structs.replace(planned.allotted, planned_steps=1000))

    [words] = cut_short(left(1))
    assert words.startswith("the budget left it 1 of 1,000 planned steps")
    assert cut_short(left(500)) == cut_short(left(1200)) == cut_short(given(None)) == ()
