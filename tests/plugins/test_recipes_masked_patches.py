"""Masked patch prediction and what follows: it predicts, reads no labels, and is `supervised` in its second phase."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import toy_training
import vitbench_recipes
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from vitbench_recipes import masked_patches, supervised
from vitbench_recipes.masked_task import Task
from vitbench_recipes.masking import Corruption
from vitbench_recipes.reconstruction import Reconstruction
from vitbench_scratch.vit2d import build

from vitbench.errors import UsageError
from vitbench.protocols import Budget, FitRun, TrainVal
from vitbench.specs import RecipeSpec
from vitbench.training import Draws
from vitbench.worker.runtime import seed_all

pytestmark = pytest.mark.compute

SPECS: dict[str, RecipeSpec] = {spec.name: spec for spec in vitbench_recipes.vitbench_recipes()}
SHORT = {
    "epochs": 2,
    "batch_size": 16,
    "lr": 3e-3,
    "pretrain_epochs": 2,
    "pretrain_lr": 3e-3,
    "decoder_width": 16,
    "decoder_depth": 1,
    "policy": "none",
    "erase": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": 0.9,
}
COLOURS: dict[str, Any] = {}
PIXELS = {"target": "pixels", "encoder": "visible", "mask": 0.75}
WAYS = pytest.mark.parametrize(
    "way", [COLOURS, PIXELS, {"target": "pixels"}, {"encoder": "visible"}], ids=("colours", "mae", "pixels", "visible")
)
TWO_WAYS = pytest.mark.parametrize("way", [COLOURS, PIXELS], ids=("colours", "mae"))
TIMES = {"images_per_second", "wait_seconds", "train_seconds", "pretrain_images_per_second", "pretrain_wait_seconds"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def vit(**changes: Any) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"patch_size": 2, "depth": 1, "width": 16, "heads": 2, "mlp_ratio": 2.0, "dropout": 0.0, "drop_path": 0.0}
    forms = {"stem": "patch", "position": "learned", "attention": "full", "pool": "cls", "window": 3}
    shape = {"num_classes": 2, "image_size": (8, 8), "in_channels": 1, "checkpoint": "", "head": "own"}
    return build(**{**sizes, **forms, **shape, **changes})


def run_of(options: Mapping[str, Any] | None = None, **changes: Any) -> FitRun:
    every = {**SPECS["masked-patches"].defaults, **SHORT, **(options or {})}
    return toy_training.run(every, **changes)


def fit(model: nn.Module, *, data: TrainVal | None = None, **changes: Any) -> nn.Module:
    run = run_of(changes.pop("options", None), **changes)
    seed_all(run.seed)
    return masked_patches.fit(model, data or toy_training.bars_data(), run)


def rows_of(model: nn.Module, **changes: Any) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    fit(model, log=lambda **row: rows.append(row) if len(row) > 2 else None, **changes)
    return rows


def reconstruction(model: nn.Module, way: Mapping[str, Any]) -> tuple[Task, Reconstruction, Corruption, Tensor]:
    """A task with its network, and a batch: what is hidden of it and the inputs."""
    run = run_of(way)
    task = Task.of(model, toy_training.bars_data(), run)
    visible = run.options["encoder"] == "visible"
    net = Reconstruction(model, task.layout, outputs=task.outputs, visible=visible, decoder_width=16, decoder_depth=1)
    inputs = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return task, net, task.corruption(Draws(0, 0, torch.arange(6))), inputs


@pytest.mark.parametrize(("channels", "loss"), [(1, 2.079), (3, 6.238)])
def test_the_loss_of_colours_starts_at_the_logarithm_of_their_number(channels: int, loss: float) -> None:
    data = dataclasses.replace(toy_training.bars_data(), in_channels=channels)
    run = run_of()
    task = Task.of(vit(in_channels=channels), data, run)
    net = Reconstruction(
        vit(in_channels=channels), task.layout, outputs=task.outputs, visible=False, decoder_width=4, decoder_depth=1
    )
    hidden = task.corruption(Draws(0, 0, torch.arange(6)))
    inputs = torch.randn(6, channels, 8, 8)
    found = task.loss(net(inputs, *hidden), task.goals(inputs, hidden)).item()
    assert found == pytest.approx(channels * math.log(8), abs=1e-6)
    assert found == pytest.approx(loss, abs=1e-3)


@WAYS
def test_what_is_not_masked_has_no_gradient(way: Mapping[str, Any]) -> None:
    """In the outputs of the encoder for all patches; behind a decoder there are no outputs but of masked ones."""
    model = vit()
    task, net, hidden, inputs = reconstruction(model, way)
    nn.init.normal_(net.head.weight)
    outputs: list[Tensor] = []
    hook = model.norm.register_forward_hook(lambda _, __, output: (output.retain_grad(), outputs.append(output))[0])
    predicted = net(inputs, *hidden)
    hook.remove()
    assert predicted.shape == (6, task.count, task.outputs)
    task.loss(predicted, task.goals(inputs, hidden)).backward()
    [encoded] = outputs
    assert encoded.grad is not None
    if net.decoder is None:
        touched = encoded.grad[:, 1:].abs().sum(2) > 0
        assert torch.equal(touched, torch.zeros_like(touched).scatter(1, hidden.masked, True))
    else:
        assert encoded.shape[1] == 1 + hidden.kept.shape[1], "masked patches are not encoded"


@WAYS
def test_masked_pixels_have_no_influence_but_where_they_are_kept(way: Mapping[str, Any]) -> None:
    _, net, hidden, inputs = reconstruction(vit(), way)
    nn.init.normal_(net.head.weight)
    hidden = hidden._replace(token=torch.zeros_like(hidden.token).scatter(1, hidden.masked, True))
    changed = inputs.unflatten(3, (4, 2)).unflatten(2, (4, 2)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2).clone()
    changed[torch.arange(6)[:, None], hidden.masked] += 1
    changed = changed.unflatten(1, (4, 4)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    assert not torch.equal(changed, inputs)
    assert torch.equal(net(changed, *hidden), net(inputs, *hidden))
    if net.decoder is None:
        shown = hidden._replace(token=torch.zeros_like(hidden.token))
        assert not torch.equal(net(changed, *shown), net(inputs, *shown)), "what is kept is seen"


def test_images_of_one_of_two_colours_are_predicted_without_a_fault() -> None:
    images = np.repeat(np.where(np.arange(96) % 2, 200, 40).astype(np.uint8), 64).reshape(96, 1, 8, 8)
    data = toy_training.train_val(
        toy_training.split(images, np.arange(96) % 2), toy_training.split(images[:32], np.arange(32) % 2)
    )
    rows = rows_of(vit(), data=data, options={"pretrain_epochs": 8, "epochs": 1})
    pretrained = [row for row in rows if "pretrain_accuracy" in row]
    assert pretrained[0]["pretrain_majority"] == 0.5
    assert pretrained[-1]["pretrain_accuracy"] == 1.0


class Unreadable(np.ndarray):
    """Labels that nobody may look at."""

    def __getitem__(self, *_: Any) -> Any:
        raise AssertionError("a label was read")

    __iter__ = __array__ = astype = __getitem__


@TWO_WAYS
def test_pretraining_reads_no_label(way: Mapping[str, Any]) -> None:
    data = toy_training.bars_data()
    hidden = {
        name: dataclasses.replace(split, labels=split.labels.view(Unreadable))
        for name, split in (("train", data.train), ("val", data.val))
    }
    with pytest.raises(AssertionError, match="a label was read"):
        supervised.fit(vit(), dataclasses.replace(data, **hidden), run_of())
    with_labels, without = vit(), vit()
    for model, seen in ((with_labels, data), (without, dataclasses.replace(data, **hidden))):
        torch.manual_seed(0)
        masked_patches.pretrain(model, seen, run_of(way, budget=Budget(steps=7)))
    first, second = with_labels.state_dict(), without.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["patch_embed.proj.weight"], vit().state_dict()["patch_embed.proj.weight"])


def test_both_phases_are_reported_and_what_is_trained_beside_the_model_is_kept() -> None:
    kept: dict[str, Mapping[str, Tensor]] = {}
    rows: list[dict[str, float]] = []
    fit(
        vit(),
        options={**PIXELS, "labels": 48.0, "pretrain_epochs": 3},
        log=lambda **row: rows.append(row) if len(row) > 2 else None,
        keep=lambda name, tensors: kept.update({name: dict(tensors)}),
    )
    assert [(row["epoch"], row["epochs"], "loss" in row) for row in rows] == [
        *((epoch, 3, False) for epoch in (1, 2, 3)),
        *((epoch, 2, True) for epoch in (1, 2)),
    ]
    named = {"loss", "lr", "macs_per_image", "images_per_second", "wait_seconds", "val_loss", "guess_loss"}
    assert rows[0].keys() == {"epoch", "epochs", "train_seconds", *(f"pretrain_{name}" for name in named)}
    assert rows[-1].keys() == {"epoch", "epochs", "loss", "lr", "val_top1"} | (TIMES & rows[-1].keys())
    seconds = [row["train_seconds"] for row in rows]
    assert seconds == sorted(seconds), "one clock for both phases"
    assert [*kept] == ["pretraining", "pretrained"]
    assert {"mask_token", "head.weight", "decoder.embed.weight"} <= kept["pretraining"].keys()
    assert (kept["pretraining"]["masked"], kept["pretraining"]["colours"]) == (12, False)
    assert not any(name.startswith("model.") for name in kept["pretraining"])


def test_macs_of_pretraining_are_those_of_what_passes_the_model() -> None:
    """By the closed form: a ViT on N tokens of width D with MLPs of 2 D, then the head, or a decoder of width E."""

    def blocks(tokens: int, width: int, ratio: int) -> int:
        return (4 + 2 * ratio) * tokens * width**2 + 2 * tokens**2 * width

    task, net, *_ = reconstruction(vit(), COLOURS)
    assert task.macs(net) == 16 * 4 * 16 + blocks(17, 16, 2) + 8 * 16 * 8
    task, net, *_ = reconstruction(vit(), PIXELS)
    assert task.macs(net) == 16 * 4 * 16 + blocks(5, 16, 2) + 5 * 16 * 16 + blocks(17, 16, 4) + 12 * 16 * 4


def test_the_second_phase_is_supervised_from_the_pretrained_weights() -> None:
    kept: dict[str, dict[str, Tensor]] = {}
    run = run_of({"labels": 0.5}, keep=lambda name, each: kept.update({name: {key: each[key].clone() for key in each}}))
    model, twin = vit(), vit()
    seed_all(0)
    first, second = masked_patches.phases(toy_training.bars_data(), run)
    assert (first, second) == (12, 6), "2 passes of 6 steps over 96 images, of 3 over 48"
    masked_patches.pretrain(twin, toy_training.bars_data(), dataclasses.replace(run, budget=Budget(steps=12)))
    first_phase = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    own = supervised.fit(twin, toy_training.bars_data(), run).state_dict()
    seed_all(0)
    found = masked_patches.fit(model, toy_training.bars_data(), run).state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert any(not torch.equal(first_phase[name], own[name]) for name in own)
    assert all(torch.equal(kept["pretrained"][name], first_phase[name]) for name in own), "as it was before the labels"


@pytest.mark.parametrize(
    ("budget", "steps"),
    [(Budget(), (12, 6)), (Budget(epochs=1), (6, 3)), (Budget(steps=9), (6, 3)), (Budget(steps=1), (0, 1))],
)
def test_a_budget_shortens_both_phases(budget: Budget, steps: tuple[int, int]) -> None:
    taken: list[int] = []
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: taken.append(id(optimizer)))
    try:
        fit(vit(), options={"labels": 0.5}, budget=budget)
    finally:
        hook.remove()
    assert len(taken) == sum(steps)
    assert masked_patches.phases(toy_training.bars_data(), run_of({"labels": 0.5}, budget=budget)) == steps


@TWO_WAYS
def test_a_training_that_was_killed_in_either_phase_ends_with_the_same_bits(way: Mapping[str, Any]) -> None:
    saved: dict[int, bytes] = {}
    options = {**way, "micro_batch": 5, "labels": 0.5, "mixup": 0.8, "erase": 0.5, "keep": "best"}

    def save(step: int, state: Mapping[str, Any]) -> None:
        torch.save(state, buffer := io.BytesIO())
        saved[step] = buffer.getvalue()

    def end_of(start: int) -> tuple[dict[str, Tensor], list[dict[str, float]], dict[str, Any]]:
        def resume() -> tuple[int, Mapping[str, Any]] | None:
            return (start, torch.load(io.BytesIO(saved[start]), weights_only=True)) if start else None

        kept: dict[str, Any] = {}
        rows: list[dict[str, float]] = []
        model = fit(
            vit(dropout=0.2),
            data=toy_training.bars_data(augmentations=("crop", "flip")),
            options=options,
            seed=3,
            log=lambda **row: rows.append(row) if len(row) > 2 else None,
            keep=lambda name, tensors: kept.update({name: {key: one.clone() for key, one in tensors.items()}}),
            resume=resume,
            save=(lambda *_: None) if start else save,
            save_seconds=0.0,
        )
        return model.state_dict(), rows, kept

    whole, rows, kept = end_of(0)
    assert sorted(saved) == list(range(18))
    for start, passed in ((1, 0), (6, 1), (11, 1), (12, 2), (17, 3)):
        again, rest, beside = end_of(start)
        assert all(torch.equal(whole[key], again[key]) for key in whole), start
        untimed = [[{key: row[key] for key in row.keys() - TIMES} for row in each] for each in (rows, rest)]
        assert untimed[1] == untimed[0][passed:], start
        assert min(row["train_seconds"] for row in rest) > 0
        if start < 12:
            assert all(torch.equal(kept["pretraining"][key], beside["pretraining"][key]) for key in kept["pretraining"])
        else:
            assert not beside, "it was kept before the kill"


def test_parts_of_a_batch_add_up_to_its_step() -> None:
    whole, parts = vit(), vit()
    for model, size in ((whole, 0), (parts, 5)):
        torch.manual_seed(0)
        masked_patches.pretrain(model, toy_training.bars_data(), run_of({"micro_batch": size}, budget=Budget(steps=2)))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@TWO_WAYS
def test_it_pretrains_in_reduced_precision(way: Mapping[str, Any]) -> None:
    masked_patches.pretrain(vit(), toy_training.bars_data(), run_of(way, precision="bfloat16", budget=Budget(steps=2)))


def untouched() -> nn.Module:
    model = vit()
    model.patch_embed.proj.weight.register_hook(lambda _: pytest.fail("a step was taken before it was refused"))
    return model


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), {}, "Sequential has no tokens of patches"),
        (untouched, {"mask": 0.01}, "mask = 0.01 of 16 patches masks none"),
        (untouched, {"labels": 1e-6}, "leaves 1 of 2 classes without a label"),
        (untouched, {"patience": 2}, "patience = 2 needs keep"),
        (untouched, {"decoder_width": 6, "encoder": "visible"}, "decoder_width must be a multiple of 4, not 6"),
        (lambda: vit(position="relative"), {"encoder": "visible"}, "position relative needs all patches in each block"),
        (lambda: vit(attention="local"), {"encoder": "visible"}, "attention local needs all patches"),
    ],
)
def test_what_cannot_be_is_refused_in_words_before_anything_is_trained(model: Any, options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit(model(), options=options)


@pytest.mark.parametrize("changes", [{"position": "relative"}, {"attention": "axial"}, {"stem": "spt", "pool": "mean"}])
def test_any_spatial_transformer_predicts_with_all_of_its_patches(changes: dict[str, str]) -> None:
    fit(vit(**changes), budget=Budget(steps=3))


def test_attention_that_leaves_a_token_out_works_on_some_patches() -> None:
    fit(vit(attention="lsa", position="sincos"), options=PIXELS, budget=Budget(steps=3))
