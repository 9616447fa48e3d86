"""One run per output folder at a time, and the other is told which."""

import os
import subprocess
import sys

import pytest

from vitbench.errors import StoreError
from vitbench.files import lock

HOLDER = """
import sys
from pathlib import Path
from vitbench.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_run_holds_a_folder_and_the_other_is_told_which(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with pytest.raises(StoreError) as error, lock(tmp_path):
        pass
    message = str(error.value)
    assert message.startswith(f"vitbench run (pid {child.pid} on ")
    assert message.endswith(f"is using {tmp_path}; wait for it or give another --output")
    child.kill()
    child.communicate()
    with lock(tmp_path, command="vitbench import"):
        assert (tmp_path / "lock").read_text().startswith(f"vitbench import (pid {os.getpid()} on ")


def test_the_lock_is_dropped_at_the_end_also_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), lock(tmp_path):
        raise RuntimeError("stop")
    with lock(tmp_path), pytest.raises(StoreError, match=f"pid {os.getpid()}"), lock(tmp_path):
        pass
