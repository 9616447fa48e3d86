"""The order in which cells begin on several machines, and the parts in which they take turns."""

from __future__ import annotations

import factories
import pytest

from vitbench.running.scheduling import divided, longest_first


def test_timings_go_first_then_the_longest_and_what_nothing_is_known_of_before_these() -> None:
    short, long, unknown = (factories.quality_cell(name) for name in ("short", "long", "unknown"))
    timed = factories.speed_cell("timed")
    seconds = {short.key: 1.0, long.key: 100.0, timed.key: 5.0}
    ordered = longest_first([[short], [unknown], [long], [timed]], seconds)
    assert ordered == [[timed], [unknown], [long], [short]]


@pytest.mark.parametrize(
    ("cells", "machines", "sizes"),
    [(10, 1, [10]), (10, 3, [4, 3, 3]), (10, 100, [2] * 5), (3, 2, [3]), (1, 9, [1])],
)
def test_speeds_are_divided_evenly_and_take_turns_by_two_at_least(cells: int, machines: int, sizes: list[int]) -> None:
    group = [factories.speed_cell(f"model-{number}") for number in range(cells)]
    parts = divided(group, machines)
    assert [len(part) for part in parts] == sizes
    assert [planned for part in parts for planned in part] == group
