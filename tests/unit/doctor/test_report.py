"""What doctor prints."""

from __future__ import annotations

import json

from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.doctor.report import as_data, as_text

WELL = MachineCheck(name="clock", ok=True, found="it tells moments 40 ns apart")
BAD = MachineCheck(name="noise floor", ok=False, found="blocks vary by 6.2%", advice="Compare speeds in lockstep.")


def examined(*checks: MachineCheck) -> Examined:
    return Examined(machine_class="AMD EPYC, 2 cores", checks=checks, noise_floor=0.0625)


def test_the_text_has_the_class_first_then_a_line_a_check_with_its_advice_below() -> None:
    assert as_text(examined(WELL, BAD)).splitlines() == [
        "AMD EPYC, 2 cores",
        "",
        "ok  clock        it tells moments 40 ns apart",
        " !  noise floor  blocks vary by 6.2%",
        "                 -> Compare speeds in lockstep.",
        "",
        "1 of 2 checks found a problem.",
    ]


def test_the_text_of_a_good_machine_says_so() -> None:
    assert as_text(examined(WELL)).splitlines()[-1] == "1 checks, no problems found."


def test_long_findings_are_wrapped_under_themselves_and_tear_no_path() -> None:
    path = "/a/long-path/" * 12
    lines = as_text(examined(MachineCheck(name="disk", ok=False, found=f"full at {path}", advice="word " * 40)))
    assert path in lines.split()
    indented = lines.splitlines()[3:-2]
    assert all(line.startswith(" " * 10) for line in indented)
    assert sum("->" in line for line in indented) == 1


def test_names_of_processes_cannot_move_the_cursor() -> None:
    text = as_text(examined(MachineCheck(name="other processes", ok=True, found="a\x1b[2Jb\nc 3%")))
    assert "a\\x1b[2Jb\\nc 3%" in text


def test_the_json_has_the_noise_floor_as_a_number() -> None:
    assert json.loads(as_data(examined(WELL, BAD))) == {
        "machine_class": "AMD EPYC, 2 cores",
        "noise_floor": 0.0625,
        "checks": [
            {"name": "clock", "ok": True, "found": WELL.found, "advice": ""},
            {"name": "noise floor", "ok": False, "found": BAD.found, "advice": BAD.advice},
        ],
    }
