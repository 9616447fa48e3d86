"""What the fork server imports once, so that a cell starts in a tenth of a second. It must not touch CUDA."""

import safetensors.torch  # noqa: F401
import torch
import torch._dynamo  # the first optimiser imports it, in two seconds
import torch.utils.flop_counter

import vitbench.catalog
import vitbench.worker.cell  # noqa: F401

assert not torch.cuda.is_initialized(), "a forked child cannot use CUDA when its parent has"
