"""The state of a training: gathered and saved when it is time, put back where a training goes on that was killed.

What an epoch shows is a function of the seed and the epoch (`vitbench.training.shuffled`), so the number of steps done
is all that the order needs. What is left is what the recipe changes as it goes, its parts, and the generators that
dropout and stochastic depth draw from: torch's own, and Python's and NumPy's, which a model may use. On the CPU a
training that goes on ends with the same bits as one that was never stopped.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from vitbench.protocols import FitRun
from vitbench.training.module_state import load_whole_state, whole_state

__all__ = ["Stateful", "TrainingState"]

_LEAST_PERIOD = 50
"""Between the beginnings of two saves, in times of what a save takes: saving takes less than 2 % of a training."""


class Stateful(Protocol):
    """Anything with a state, such as modules, optimisers, gradient scalers, weight averages and `MeanLoss`."""

    def state_dict(self) -> Any:
        """Return the state: tensors, numbers, strings, None, and lists, tuples and dicts of these."""

    def load_state_dict(self, state_dict: Any, /) -> object:
        """Load a state whose tensors are on the CPU."""


class TrainingState:
    """What a training run needs in order to resume: its parts, and the state of all global generators.

    Save before each step, not after it, so that what follows an epoch's last step (its row of the curve, a best epoch)
    is done before it is passed over::

        state = TrainingState(run, model=model, optimizer=optimizer, losses=losses)
        done = state.restore()
        for epoch in range(done // steps, epochs):
            for batch in shuffled(train, ..., epoch=epoch, start=done % steps):
                state.save(done)
                losses.add(...)  # the step
                done += 1
    """

    def __init__(self, run: FitRun, **parts: Stateful | torch.Generator | None) -> None:
        """Register everything that changes from step to step, on its device.

        Args:
            run: keeps the state, and says how often at most.
            parts: by name; a generator of torch's is taken as it is, and None is left out. Give the model itself, not
                what torch.compile returned. What `vitbench.training.shuffled` and `Draws` give needs no state.
        """
        self._run = run
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._began, self._wait = time.monotonic(), run.save_seconds

    def restore(self) -> int:
        """Restore what a killed attempt at this training saved last; return the number of steps done, 0 if none.

        Call it immediately before the loop, after anything that draws random numbers, such as the initialisation.
        """
        found = self._run.resume()
        if found is None:
            return 0
        step, state = found
        for name, part in self._parts.items():
            saved = state["parts"][name]
            if isinstance(part, torch.Generator):
                part.set_state(saved)
            elif isinstance(part, nn.Module):
                load_whole_state(part, saved)
            else:
                part.load_state_dict(saved)
        _set_generators(state["generators"], self._run.device)
        return step

    def save(self, step: int) -> None:
        """Save the state if it is time to: `FitRun.save_seconds` after the last time, or 50 times what that took.

        Args:
            step: how many steps are done.
        """
        began = time.monotonic()
        if began - self._began < self._wait:
            return
        parts = {name: _state_of(part) for name, part in self._parts.items()}
        self._run.save(step, {"parts": parts, "generators": _generators(self._run.device)})
        took, shortest = time.monotonic() - began, self._run.save_seconds
        self._began, self._wait = began, max(shortest, _LEAST_PERIOD * took) if shortest else 0.0


def _state_of(part: Stateful | torch.Generator) -> Any:
    if isinstance(part, torch.Generator):
        return part.get_state()
    return whole_state(part) if isinstance(part, nn.Module) else part.state_dict()


def _generators(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators."""
    numpy = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "device": _device_state(device),
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": key}},
    }


def _set_generators(states: Mapping[str, Any], device: torch.device) -> None:
    numpy = states["numpy"]
    key = numpy["state"]["key"].numpy().astype(np.uint32)
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["device"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["device"])
    random.setstate(states["python"])
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})


def _device_state(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None
