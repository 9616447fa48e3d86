"""How a run talks: one redrawn line on a terminal, one line a cell elsewhere, nothing unless a cell said something."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import factories
import msgspec
import pytest

from vitbench.execution.messages import Progress
from vitbench.records import KeyedCell, Style
from vitbench.running.events import Ended, Noted, Progressed, Started
from vitbench.running.progress import Talker

CLEAR = "\r\x1b[2K"
FIRST, SECOND, THIRD = (factories.quality_cell(name) for name in ("first", "second", "third"))
TIMED = factories.speed_cell("first")


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def take(self) -> str:
        """Return what was written since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("COLUMNS", "200")
    clock = Clock()
    monkeypatch.setattr("vitbench.running.progress.time.monotonic", clock)
    return clock


def talker(
    cells: Sequence[KeyedCell], known: Mapping[str, float] | None = None, *, terminal: bool = True, quiet: bool = False
) -> tuple[Talker, Stream]:
    stream = Stream(terminal)
    return Talker(cells, known or {}, quiet=quiet, stream=stream), stream


def started(planned: KeyedCell, process: int = 0, processes: int = 1) -> Started:
    return Started(planned=planned, process=process, processes=processes)


def ended(planned: KeyedCell, seconds: float = 10.0, **fields: object) -> Ended:
    return Ended(record=msgspec.structs.replace(factories.record(planned, **fields), seconds=seconds))


def test_the_headline_is_what_tables_show_first_and_not_what_is_known_beforehand(clock: Clock) -> None:
    talk, stream = talker([TIMED], terminal=False)
    shown = {"title": "mine", "unit": "ms", "scale": 1e3}
    figures = [
        factories.measurement("params", 9.0),
        factories.measurement("later", 1.0, style=Style(order=20)),
        factories.measurement("none", None, style=Style(order=1)),
        factories.measurement("zeta", 0.002, style=Style(order=10, **shown)),
    ]
    talk(ended(TIMED, 3.0, measurements=figures))
    talk(ended(TIMED, 3.0, measurements=figures[:1]))
    assert [line.partition("1x8x8: ")[2] for line in stream.take().splitlines()] == ["mine 2.00 ms, 3.0 s", "3.0 s"]


def test_a_headline_that_is_not_valid_is_marked_as_in_tables(clock: Clock) -> None:
    talk, stream = talker([TIMED], terminal=False)
    for verdict in ("warn", "invalid"):
        talk(ended(TIMED, 3.0, measurements=[factories.measurement("throughput", 1234.4, verdict=verdict)]))
    assert [line.partition("1x8x8: ")[2] for line in stream.take().splitlines()] == [
        "~1,234 images/s, 3.0 s",
        "!1,234 images/s, 3.0 s",
    ]


def test_a_pipe_gets_one_line_a_cell_and_no_control_characters(clock: Clock) -> None:
    talk, stream = talker([FIRST, TIMED], terminal=False)
    talk(started(FIRST))
    talk(Progressed(planned=FIRST, progress=Progress(epoch=1, epochs=2, stage="training")))
    assert stream.take() == ""
    talk(ended(FIRST, 12.5, measurements=[factories.top1(180)]))
    talk(ended(TIMED, 3.0, measurements=[factories.measurement("throughput", 1234.4)]))
    talk.close()
    assert stream.take().splitlines() == [
        "[1/2] ok      first on digits, supervised, seed 0: top1 50.00 %, 12 s",
        "[2/2] ok      first, inference, batch 32 of 1x8x8: 1,234 images/s, 3.0 s",
    ]


def test_a_failure_gets_its_reason(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND], terminal=False)
    talk(ended(FIRST, 1.0, status="failed", reason="no weights"))
    assert stream.take() == "[1/2] failed  first on digits, supervised, seed 0: no weights, 1.0 s\n"


def test_a_long_line_is_cut_to_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    talk, stream = talker([FIRST])
    talk(started(FIRST))
    assert stream.take() == CLEAR + "0 of 1 cells done | first on digits, sup"[:39]


def test_a_quiet_run_says_nothing(clock: Clock) -> None:
    talk, stream = talker([FIRST], quiet=True)
    for event in (started(FIRST), Noted(text="a note"), ended(FIRST)):
        talk(event)
    talk.close()
    assert stream.take() == ""


def test_a_terminal_gets_one_redrawn_line_and_a_note_on_a_line_of_its_own(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND])
    talk(started(FIRST))
    assert stream.take() == f"{CLEAR}0 of 2 cells done | first on digits, supervised, seed 0"
    talk(Progressed(planned=FIRST, progress=Progress(epoch=3, epochs=20, stage="training")))
    assert stream.take().endswith("first on digits, supervised, seed 0: training, epoch 3.0 of 20")
    talk(ended(FIRST))
    assert stream.take() == f"{CLEAR}[1/2] ok      first on digits, supervised, seed 0: 10 s\n"
    talk.close()
    assert stream.take() == CLEAR

    talk, stream = talker([FIRST])
    talk(Noted(text="a note"))
    assert stream.take() == f"{CLEAR}a note\n"


def test_time_left_is_known_from_earlier_records(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND], {FIRST.id: 40.0, SECOND.id: 50.0})
    talk(started(FIRST))
    assert "about 90 s left" in stream.take()
    clock.now += 30
    talk(Progressed(planned=FIRST, progress=Progress(stage="loading")))
    assert "about 60 s left" in stream.take()
    clock.now += 100
    talk(Progressed(planned=FIRST, progress=Progress(stage="loading")))
    assert "about 50 s left" in stream.take()


def test_time_left_follows_the_epochs_where_they_say_more(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND], {FIRST.id: 1000.0, SECOND.id: 50.0})
    talk(started(FIRST))
    clock.now += 10
    talk(Progressed(planned=FIRST, progress=Progress(epoch=5, epochs=20, stage="training")))
    assert "about 80 s left" in stream.take(), "10 s for a quarter leave 30 s, and 50 s for the other"


def test_time_left_is_taken_from_cells_of_the_same_kind(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND, THIRD])
    talk(started(FIRST))
    assert "left" not in stream.take()
    talk(ended(FIRST, 20.0))
    talk(started(SECOND))
    assert "about 40 s left" in stream.take()
    mixed, stream = talker([FIRST, TIMED])
    mixed(ended(FIRST, 20.0))
    mixed(started(TIMED))
    assert "left" not in stream.take(), "a quality cell says nothing of a speed cell's time"


def test_a_failed_cell_is_no_measure_of_time(clock: Clock) -> None:
    talk, stream = talker([FIRST, SECOND])
    talk(ended(FIRST, 0.1, status="failed", reason="no weights"))
    stream.take()
    talk(started(SECOND))
    assert "left" not in stream.take()


def test_the_processes_of_a_speed_cell_are_counted_and_those_that_ended_are_taken_off(clock: Clock) -> None:
    talk, stream = talker([TIMED])
    talk(started(TIMED, process=1, processes=3))
    assert stream.take().endswith("batch 32 of 1x8x8, process 2 of 3")

    talk, stream = talker([TIMED], {TIMED.id: 30.0})
    talk(started(TIMED, process=1, processes=3))
    assert "about 20 s left" in stream.take()


def test_what_is_known_of_some_cells_is_a_bound(clock: Clock) -> None:
    talk, stream = talker([FIRST, TIMED])
    talk(started(FIRST))
    clock.now += 10
    talk(Progressed(planned=FIRST, progress=Progress(epoch=5, epochs=20, stage="training")))
    assert "more than 30 s left" in stream.take()
