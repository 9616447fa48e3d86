"""A resolved cell becomes a keyed one: its id hashes what was asked, its key also what that is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from vitbench.catalog import Plugin
from vitbench.catalog.provenance import core_hash, key_of, library_versions, origin
from vitbench.installed import CUDNN
from vitbench.planning.datasets import ResolvedDataset
from vitbench.planning.resolve import ResolvedModel, ResolvedRecipe
from vitbench.planning.suite import AskedCell, Conditions
from vitbench.records import (
    REFERENCE,
    Cell,
    DataInfo,
    Environment,
    Head,
    KeyedCell,
    Mode,
    PluginOrigin,
    Provenance,
    QualityCell,
    SpeedCell,
    id_of,
)
from vitbench.variables import Variables, variables_set

__all__ = ["Keyer"]

_SOFTWARE = ("torchvision", CUDNN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyer:
    """What all keyed cells of a run share."""

    conditions: Conditions
    device: str
    machine: str
    threads: int
    torch: str
    """Its version with the build; empty where it is not installed."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Versions of what else computes, whatever the model."""
    vitbench: str = ""
    """Hash of vitbench's own code."""
    variables: Variables = field(default_factory=Variables)
    """Environment variables that change numbers."""
    origin: Callable[[Plugin], PluginOrigin]
    versions: Callable[[tuple[str, ...]], dict[str, str]] = library_versions
    """Gives those of the packages behind some modules."""

    @classmethod
    def of(cls, conditions: Conditions, *, device: str, described: Environment) -> Keyer:
        """Return the keyer of cells under some conditions, on a device of the machine that was described."""
        return cls(
            conditions=conditions,
            device=device,
            machine=described.machine,
            threads=conditions.threads or described.cores,
            torch=described.versions.get("torch", ""),
            software={name: described.versions[name] for name in _SOFTWARE if name in described.versions},
            vitbench=core_hash(),
            variables=variables_set(device, compiled=bool(conditions.compile)),
            origin=cache(origin),
            versions=cache(library_versions),  # it takes long to ask
        )

    def quality(
        self,
        asked: AskedCell,
        model: ResolvedModel,
        data: DataInfo,
        *,
        recipe: ResolvedRecipe,
        dataset: ResolvedDataset,
        head: Head | None = None,
    ) -> KeyedCell:
        """Key a model that a recipe trains, or loads with its own head, and that a dataset judges."""
        cell = QualityCell(
            model=model.name,
            options=model.options,
            recipe=recipe.name,
            recipe_options=recipe.options,
            dataset=dataset.name,
            dataset_options=dataset.options,
            seed=asked.seed,
            limit=self.conditions.limit,
            epochs=self.conditions.epochs,
            budget=self.conditions.budget,
            split=self.conditions.split,
            **self._shared(),
        )
        keyed = self._keyed(cell, model, _input_shape(model, data.shape), recipe=recipe, dataset=dataset, data=data)
        return msgspec.structs.replace(keyed, head=head)

    def speed(
        self,
        model: ResolvedModel,
        *,
        num_classes: int,
        data_shape: tuple[int, int, int],
        batch_size: int,
        mode: Mode,
        largest_batch: bool = False,
        sustained: float = 0.0,
        step_of: ResolvedRecipe | None = None,
    ) -> KeyedCell:
        """Key a model that is timed; where it fixes no size or no channels, its input is as the data, ``(C, H, W)``.

        Args:
            model: what is timed.
            num_classes: K.
            data_shape: of the data.
            batch_size: of each step.
            mode: forward passes or training steps.
            largest_batch: whether to search the largest batch from there.
            sustained: seconds of a long window that is timed, too.
            step_of: the recipe whose training step is timed; None: that of plain AdamW.
        """
        shape = _input_shape(model, data_shape)
        cell = SpeedCell(
            model=model.name,
            options=model.options,
            num_classes=num_classes,
            input_shape=shape,
            device=self.device,
            batch_size=batch_size,
            mode=mode,
            machine=self.machine,
            largest_batch=largest_batch,
            sustained=sustained,
            timing_variables=dict(self.variables.timing),
            recipe=step_of.name if step_of else "",
            recipe_options=step_of.options if step_of else {},
            **self._shared(),
        )
        return self._keyed(cell, model, shape, recipe=step_of)

    def _shared(self) -> dict[str, Any]:
        """Return the settings that both kinds of cells have."""
        names = ("precision", "compile", "channels_last")
        settings = {name: getattr(self.conditions, name) for name in names}
        return settings | {"threads": self.threads, "variables": dict(self.variables.arithmetic)}

    def _keyed(
        self,
        cell: Cell,
        model: ResolvedModel,
        input_shape: tuple[int, int, int],
        *,
        recipe: ResolvedRecipe | None = None,
        dataset: ResolvedDataset | None = None,
        data: DataInfo | None = None,
    ) -> KeyedCell:
        others = {self.origin(other.plugin) for other in recipe.models} if recipe else set()
        if isinstance(cell, SpeedCell) and "pretrained" in model.options:  # no faster with other weights
            files = {name: value for name, value in model.files.items() if name != "revision"}
            model = dataclasses.replace(model, files=files)
        fault = model.fault or (recipe.fault if recipe else None)
        made_of = Provenance(
            model=self.origin(model.plugin),
            recipe=self.origin(recipe.plugin) if recipe else None,
            dataset=self.origin(dataset.plugin) if dataset else None,
            others=tuple(sorted(others, key=lambda origin: origin.plugin)),
            data_fingerprint=data.fingerprint if data else "",
            files={
                f"{role}.{option}": sha256
                for role, part in (("model", model), ("recipe", recipe), ("dataset", dataset))
                for option, sha256 in (part.files.items() if part else ())
            },
            libraries=self.versions(model.spec.requires),
            recipe_libraries=self.versions(recipe.requires if recipe else ()),
            torch=self.torch,
            software={**self.software, **(dataset.decoders if dataset else {"reference network": REFERENCE})},
            vitbench=self.vitbench,
        )
        cell_id = id_of(cell)
        return KeyedCell(
            cell=cell,
            id=cell_id,
            key=key_of(cell_id, made_of),
            label=model.label,
            baseline=model.spec.is_baseline,
            provenance=made_of,
            data=data,
            image_size=input_shape[1:],
            in_channels=input_shape[0],
            pretrained_on=model.pretrained_on,
            pretrained_fingerprint=model.pretrained_fingerprint,
            licence=model.licence,
            machine=self.machine,
            device=self.device,
            timing_variables=dict(self.variables.timing),
            unavailable=fault.reason if fault else "",
        )


def _input_shape(model: ResolvedModel, data_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return channels, height and width of a model's input: its own, else the data's."""
    spec = model.spec
    height, width = spec.input_size or data_shape[1:]
    channels = spec.in_channels or data_shape[0]
    if spec.in_channels is None and channels == 1 and spec.preprocess:
        channels = len(spec.preprocess.mean)  # gray is repeated to those that the weights know
    return channels, height, width
