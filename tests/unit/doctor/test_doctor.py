"""How the child's answers and its silence end."""

from __future__ import annotations

import pytest

from vitbench.doctor import doctor
from vitbench.doctor.messages import Examined, MachineCheck
from vitbench.errors import UnusableError, UsageError
from vitbench.execution.executor import Ending
from vitbench.execution.local import LocalExecutor

WELL = MachineCheck(name="clock", ok=True, found="it resolves 40 ns")
EXAMINED = Examined(machine_class="AMD EPYC, 2 cores", checks=(WELL,), noise_floor=0.0625)


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
    answer["ending"] = Ending(kind="answered", seconds=1, answer=EXAMINED)
    assert doctor.examine("cuda:1") == EXAMINED
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
