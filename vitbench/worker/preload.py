"""What the fork server imports once, so that a cell starts in a tenth of a second. It does not touch CUDA,
which a forked child could not use then.
"""

import atexit
import gc
import os
import sys

import safetensors.torch  # noqa: F401
import torch
import torch._dynamo  # the first optimiser imports it, in two seconds
import torch.utils.flop_counter  # noqa: F401

import vitbench.catalog
import vitbench.worker.cell  # noqa: F401

if any("multiprocessing.forkserver" in word for word in sys.orig_argv):  # and not in a test that imports all there is
    # Each timing begins with a collection: a fifth of a second, were the modules looked at again each time.
    gc.collect()
    gc.freeze()
    atexit.register(os._exit, 0)  # to take torch apart keeps it alive for seconds after its parent
