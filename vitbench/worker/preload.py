"""What the fork server imports once, so that a cell starts in a tenth of a second. It does not touch CUDA,
which a forked child could not use then.
"""

import safetensors.torch  # noqa: F401
import torch
import torch._dynamo  # the first optimiser imports it, in two seconds
import torch.utils.flop_counter  # noqa: F401

import vitbench.catalog
import vitbench.worker.cell  # noqa: F401
