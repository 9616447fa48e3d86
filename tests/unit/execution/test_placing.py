"""Jobs find machines: timings first and alone, series on one machine, the others where there is room."""

from __future__ import annotations

from vitbench.execution.placing import Machine, Placing, Request


def placing(*machines: Machine) -> Placing:
    found = Placing()
    for machine in machines:
        found.add(machine)
    return found


def begun(placing: Placing, now: float = 0.0) -> dict[int, str]:
    return {request.number: machine.name for request, machine in placing.placed(now)}


def submit(placing: Placing, *numbers: int, **asked: object) -> None:
    for number in numbers:
        placing.submit(Request(number=number, **asked))


def test_trainings_share_machines_by_gpus_and_cores_and_go_where_most_is_free() -> None:
    found = placing(Machine(name="a", cores=4, gpus=2), Machine(name="b", cores=4, gpus=1))
    submit(found, 0, 1, 2, 3, gpu=True)
    assert begun(found) == {0: "a", 1: "b", 2: "a"}
    found.end(0)
    assert begun(found) == {3: "a"}
    submit(found, 4, cores=3)
    submit(found, 5, cores=2)
    assert begun(found) == {4: "b", 5: "a"}


def test_a_job_of_more_cores_than_a_machine_has_takes_them_all() -> None:
    found = placing(Machine(name="a", cores=2))
    submit(found, 0, 1, cores=16)
    assert begun(found) == {0: "a"}
    found.end(0)
    assert begun(found) == {1: "a"}


def test_a_timing_drains_the_machine_that_is_empty_the_soonest_and_runs_alone() -> None:
    found = placing(Machine(name="a", cores=4), Machine(name="b", cores=4))
    submit(found, 0, seconds=100)
    submit(found, 1, seconds=10)
    assert begun(found) == {0: "a", 1: "b"}
    submit(found, 2, 3, alone=True, series="s")
    submit(found, 4)
    assert begun(found, now=5) == {4: "a"}  # b is drained: nothing new begins there
    found.end(1)
    assert begun(found, now=10) == {2: "b"}
    submit(found, 5)
    assert begun(found, now=11) == {5: "a"}
    found.end(2)
    assert begun(found, now=12) == {3: "b"}  # of the same series, on the same machine
    found.end(3)
    submit(found, 6)
    assert begun(found, now=13) == {6: "a"}  # b stays the series' until it is released
    found.release("s")
    submit(found, 7)
    assert begun(found, now=14) == {7: "b"}


def test_timings_go_first_and_each_series_has_a_machine_of_its_own() -> None:
    found = placing(Machine(name="big", cores=8, gpus=8), Machine(name="small", cores=2, gpus=1))
    submit(found, 0, gpu=True)
    submit(found, 1, alone=True, series="s")
    assert begun(found) == {1: "small", 0: "big"}  # a timing computes on one GPU: the others idle
    submit(found, 2, alone=True, series="t")
    assert begun(found) == {}
    found.end(0)
    assert begun(found) == {2: "big"}


def test_a_timing_without_a_series_frees_its_machine_as_it_ends() -> None:
    found = placing(Machine(name="a", cores=4))
    submit(found, 0, alone=True)
    submit(found, 1)
    assert begun(found) == {0: "a"}
    found.end(0)
    assert begun(found) == {1: "a"}


def test_a_machine_that_goes_takes_its_jobs_with_it_and_a_series_gets_another() -> None:
    found = placing(Machine(name="a", cores=4), Machine(name="b", cores=4))
    submit(found, 0, alone=True, series="s")
    assert begun(found) == {0: "a"}
    assert found.remove("a") == [0]
    found.end(0)
    submit(found, 1, alone=True, series="s")
    assert begun(found) == {1: "b"}
    assert found.remove("a") == []


def test_a_job_that_is_not_wanted_any_more_gives_back_the_machine_that_was_drained_for_it() -> None:
    found = placing(Machine(name="a", cores=4))
    submit(found, 0)
    assert begun(found) == {0: "a"}
    submit(found, 1, alone=True)
    submit(found, 2)
    assert begun(found) == {}
    found.end(1)
    assert begun(found) == {2: "a"}
