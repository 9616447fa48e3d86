"""What doctor prints, and how the child's answers and its silence end."""

from __future__ import annotations

import json

import pytest

from vitbench.doctor import doctor
from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.errors import UnusableError, UsageError
from vitbench.execution.executor import Ending
from vitbench.execution.local import LocalExecutor

WELL = MachineCheck(name="clock", ok=True, found="it resolves 40 ns")
BAD = MachineCheck(name="noise floor", ok=False, found="blocks vary by 6.2%", advice="Compare speeds in lockstep.")


def examined(*checks: MachineCheck) -> Examined:
    return Examined(machine_class="AMD EPYC, 2 cores", checks=checks, noise_floor=0.0625)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Let the executor end as the test says; what it was asked is kept."""
    kept: dict[str, object] = {}

    def run(self: LocalExecutor, target: str, request: object, answer: type[Examined], **_: object) -> Ending:
        kept["request"] = (target, request.device)  # type: ignore[attr-defined]
        return kept["ending"]  # type: ignore[return-value]

    monkeypatch.setattr(LocalExecutor, "run", run)
    return kept


def test_the_answer_of_the_child_is_returned(answer: dict[str, object]) -> None:
    answer["ending"] = Ending(kind="answered", seconds=1, answer=examined(WELL))
    assert doctor.examine("cuda:1") == examined(WELL)
    assert answer["request"] == ("vitbench.doctor.examine:examine_in_child", "cuda:1")


@pytest.mark.parametrize(("code", "kind"), [(2, UsageError), (3, UnusableError)])
def test_a_refusal_is_an_error_with_its_exit_code(code: int, kind: type[Exception], answer: dict[str, object]) -> None:
    answer["ending"] = Ending(kind="refused", seconds=1, reason="no such device", exit_code=code)
    with pytest.raises(kind, match=r"^no such device$"):
        doctor.examine("cuda")


@pytest.mark.parametrize(
    "ending",
    [
        Ending(kind="crashed", seconds=1, reason="the process was killed by SIGKILL"),
        Ending(kind="timeout", seconds=60, reason="took more than 60 s"),
    ],
)
def test_a_child_without_an_answer_is_an_error(ending: Ending, answer: dict[str, object]) -> None:
    answer["ending"] = ending
    with pytest.raises(UnusableError, match=f"examining the machine failed: {ending.reason}"):
        doctor.examine("cpu")


def test_the_text_has_the_class_first_then_a_line_a_check_with_its_advice_below() -> None:
    assert doctor.as_text(examined(WELL, BAD)).splitlines() == [
        "AMD EPYC, 2 cores",
        "",
        "ok  clock        it resolves 40 ns",
        " !  noise floor  blocks vary by 6.2%",
        "                 -> Compare speeds in lockstep.",
        "",
        "1 of 2 checks found something.",
    ]


def test_the_text_of_a_good_machine_says_so() -> None:
    assert doctor.as_text(examined(WELL)).splitlines()[-1] == "All is well: 1 checks."


def test_long_findings_are_wrapped_under_themselves_and_tear_no_path() -> None:
    path = "/a/long-path/" * 12
    lines = doctor.as_text(examined(MachineCheck(name="disk", ok=False, found=f"full at {path}", advice="word " * 40)))
    assert path in lines.split()
    indented = lines.splitlines()[3:-2]
    assert all(line.startswith(" " * 10) for line in indented)
    assert sum("->" in line for line in indented) == 1


def test_names_of_processes_cannot_move_the_cursor() -> None:
    text = doctor.as_text(examined(MachineCheck(name="other processes", ok=True, found="a\x1b[2Jb\nc 3%")))
    assert "a\\x1b[2Jb\\nc 3%" in text


def test_the_json_has_the_noise_floor_as_a_number() -> None:
    assert json.loads(doctor.as_data(examined(WELL, BAD))) == {
        "machine_class": "AMD EPYC, 2 cores",
        "noise_floor": 0.0625,
        "checks": [
            {"name": "clock", "ok": True, "found": WELL.found, "advice": ""},
            {"name": "noise floor", "ok": False, "found": BAD.found, "advice": BAD.advice},
        ],
    }
