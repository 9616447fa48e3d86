"""Models with known behaviour, ``[B, C, H, W] -> [B, K]``, that a measurement must read right or find out.

All give the same small linear logits but for what their docstring says; tests import them by name.
"""

from __future__ import annotations

import time
from collections import OrderedDict

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """Well-behaved: the pixels' averages in each channel, mapped to logits."""

    def __init__(self, *, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.mean(dim=(2, 3)))
        return logits


class Sleeper(Linear):
    """Takes `seconds` for a batch, and no processor: sleeping is never shorter, and hardly longer on a busy machine."""

    def __init__(self, seconds: float, **shape: int) -> None:
        super().__init__(**shape)
        self.seconds = seconds

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return super().forward(images)


class Drifter(Sleeper):
    """Takes `growth` longer at each call."""

    def __init__(self, seconds: float, growth: float, **shape: int) -> None:
        super().__init__(seconds, **shape)
        self.growth = growth

    def forward(self, images: Tensor) -> Tensor:
        self.seconds *= 1 + self.growth
        return super().forward(images)


class TwoSpeeds(Linear):
    """Takes the one or the other time, in pairs: 1 1 2 2 1 1 ..."""

    def __init__(self, first: float, second: float, **shape: int) -> None:
        super().__init__(**shape)
        self.times, self.calls = (first, first, second, second), 0

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.times[self.calls % 4])
        self.calls += 1
        return super().forward(images)


class NaNRow(Linear):
    """Gives NaN for the images whose first pixel is above `threshold`; by default, for one in six of normal noise."""

    def __init__(self, threshold: float = 1.0, **shape: int) -> None:
        super().__init__(**shape)
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).masked_fill(images[:, :1, 0, 0] > self.threshold, torch.nan)


class Caching(Sleeper):
    """Keeps the results of the last inputs that it has seen, by their content, and takes `seconds` for a new one."""

    def __init__(self, seconds: float, *, size: int = 64, **shape: int) -> None:
        super().__init__(seconds, **shape)
        self.results: OrderedDict[bytes, Tensor] = OrderedDict()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        key = images.cpu().numpy().tobytes()
        if key not in self.results:
            self.results[key] = super().forward(images)
            if len(self.results) > self.size:
                self.results.popitem(last=False)
        return self.results[key]


class OnMeta(Linear):
    """Gives logits without values, which cost nothing to compute."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).to("meta")


class DynamicShape(Linear):
    """Gives one class less from the `after`-th call on."""

    def __init__(self, after: int = 0, **shape: int) -> None:
        super().__init__(**shape)
        self.after, self.calls = after, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        logits = super().forward(images)
        return logits if self.calls <= self.after else logits[:, :-1]


class FlagFlipper(Linear):
    """Changes the threads, cuDNN's benchmark flag and the default type of everything that runs after it."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        torch.set_num_threads(3)
        torch.backends.cudnn.benchmark = True
        torch.set_default_dtype(torch.float64)
        return logits


class Reseeder(Linear):
    """Sets torch's seed at each call, so that what follows is less random than it seems."""

    def forward(self, images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(images)


class TrainModeKeeper(Linear):
    """Has a dropout that `eval()` leaves in train mode."""

    def __init__(self, **shape: int) -> None:
        super().__init__(**shape)
        self.dropout = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> TrainModeKeeper:
        super().train(mode)
        self.dropout.train()
        return self

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(images.mean(dim=(2, 3))))
        return logits


class OrderDependent(Linear):
    """Takes the mean of the batch off, so that an image's logits depend on its neighbours."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(dim=0))


class Allocator(Linear):
    """Holds `mib` MiB of touched memory for `seconds` within each call."""

    def __init__(self, mib: int, seconds: float = 0.002, **shape: int) -> None:
        super().__init__(**shape)
        self.mib, self.seconds = mib, seconds

    def forward(self, images: Tensor) -> Tensor:
        block = torch.ones(self.mib << 20, dtype=torch.uint8, device=images.device)
        time.sleep(self.seconds)
        del block
        return super().forward(images)
