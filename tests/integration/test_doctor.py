"""`vitbench doctor` on the real machine, whatever that finds; the parent stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import psutil
import pytest
import torch

from vitbench.environment import machine_class

SCRIPT = """
import json, sys
from vitbench.cli import main

def run(*arguments):
    sys.argv = ["vitbench", "doctor", *arguments]
    try:
        main()
    except SystemExit as ended:
        return ended.code

codes = [run("--device", "cpu", "--json"), run("--device", "gpu"), run("--device", "cuda:99")]
heavy = sorted({"torch", "numpy", "psutil", "pandas"} & set(sys.modules))
print(json.dumps({"codes": codes, "heavy": heavy}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def finished() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-"], input=SCRIPT, capture_output=True, text=True, check=True, timeout=120)


def test_the_machine_is_examined_in_a_child(finished: subprocess.CompletedProcess[str]) -> None:
    told = json.loads(finished.stderr.splitlines()[-1])
    answer = json.loads(finished.stdout)
    assert told["heavy"] == []
    assert list(answer) == ["machine_class", "noise_floor", "checks"]
    assert answer["machine_class"] == machine_class("cpu")
    assert 0 <= answer["noise_floor"] < 10
    found = [check["name"] for check in answer["checks"]]
    assert len(set(found)) == len(found)
    expected = {"cores", "threads", "timer", "memory", "other processes", "processor", "host", "noise floor"}
    assert expected <= set(found)
    assert not {"driver", "gpu"} & set(found), "runs on the CPU need no GPU"
    assert ("power" in found) == (psutil.sensors_battery() is not None)
    assert told["codes"][0] == (0 if all(check["ok"] for check in answer["checks"]) else 1)
    for check in answer["checks"]:
        assert check["found"]
        assert bool(check["advice"]) == (not check["ok"])


def test_an_unusable_device_is_one_line_and_its_exit_code(finished: subprocess.CompletedProcess[str]) -> None:
    first, *lines = finished.stderr.splitlines()
    assert first == "Checking the machine; this takes a few seconds."
    usage, unusable, told = [line for line in lines if line != first][-3:]
    assert json.loads(told)["codes"][1:] == [2, 3]
    assert usage.startswith("Error: unknown device 'gpu': give auto, cpu, cuda, cuda:N or mps.")
    assert unusable.startswith("Error: --device cuda:99: ")
    assert torch.cuda.is_available() == ("this machine has cuda:0" in unusable)
