"""Each cause is injected, and beside it the case where all is well, which must not be marked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psutil
import pytest

from vitbench.doctor import host_checks
from vitbench.doctor.messages import MachineCheck

GIB = 1 << 30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def is_well(check: MachineCheck) -> bool:
    """Whether a check found nothing; advice must come with a finding and only then."""
    assert check.ok == (not check.advice)
    return check.ok


class TestCores:
    @pytest.mark.parametrize(
        ("affinity", "quota", "usable", "found"),
        [
            (8, None, 8, "8 usable of 8; no quota"),
            (2, None, 2, "2 usable of 8; affinity allows 2, no quota"),
            (8, 2.0, 2, "2 usable of 8; the quota is 2"),
            (8, 2.5, 2, "2 usable of 8; the quota is 2.5"),
            (8, 1.0, 1, "1 usable of 8; the quota is 1"),
        ],
    )
    def test_limits_are_told_and_are_no_fault(
        self, affinity: int, quota: float | None, usable: int, found: str
    ) -> None:
        check = host_checks.cores_check(affinity=affinity, processors=8, quota=quota, usable=usable)
        assert is_well(check)
        assert check.found == found

    def test_less_than_one_core_stops_even_one_thread(self) -> None:
        check = host_checks.cores_check(affinity=8, processors=8, quota=0.4, usable=1)
        assert not is_well(check)
        assert check.found == "1 usable of 8; the quota is 0.4: even one thread is throttled for 60% of the time"


class TestThreads:
    @pytest.mark.parametrize("default", [1, 2])
    def test_no_more_than_the_cores_is_well(self, default: int) -> None:
        check = host_checks.threads_check(default=default, usable=2, variable=None)
        assert is_well(check)
        assert check.found == f"torch starts {default} by itself; a run uses 2 unless --threads is given"

    def test_more_than_the_cores(self) -> None:
        check = host_checks.threads_check(default=8, usable=2, variable="8")
        assert not is_well(check)
        assert check.found.startswith("torch starts 8 by itself (OMP_NUM_THREADS=8), on 2 usable cores")
        assert check.advice == "Set OMP_NUM_THREADS=2."


class TestFrequency:
    def files(self, *governors: str) -> dict[str, str]:
        place = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
        return {place.format(core): f"{governor}\n" for core, governor in enumerate(governors)}

    def test_the_performance_governor_is_well(self, tmp_path: Path) -> None:
        check = host_checks.frequency_check({0, 1}, write(tmp_path, self.files("performance", "performance")))
        assert is_well(check)
        assert check.found == "governor performance"

    def test_another_governor_on_any_usable_core(self, tmp_path: Path) -> None:
        check = host_checks.frequency_check({0, 1}, write(tmp_path, self.files("performance", "schedutil")))
        assert not is_well(check)
        assert check.found.startswith("governor performance and schedutil: the clock follows the load")

    def test_cores_that_are_not_ours_do_not_count(self, tmp_path: Path) -> None:
        assert is_well(host_checks.frequency_check({0}, write(tmp_path, self.files("performance", "powersave"))))

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("intel_pstate/no_turbo", "0\n", "turbo on"),
            ("intel_pstate/no_turbo", "1\n", "turbo off"),
            ("cpufreq/boost", "1\n", "turbo on"),
            ("cpufreq/boost", "0\n", "turbo off"),
        ],
    )
    def test_turbo_is_told_and_is_no_fault(self, name: str, text: str, words: str, tmp_path: Path) -> None:
        root = write(tmp_path, {**self.files("performance"), f"sys/devices/system/cpu/{name}": text})
        check = host_checks.frequency_check({0}, root)
        assert is_well(check)
        assert check.found == f"governor performance, {words}"

    def test_what_cannot_be_read_is_said_and_is_no_fault(self, tmp_path: Path) -> None:
        check = host_checks.frequency_check({0}, tmp_path)
        assert is_well(check)
        assert check.found == "cannot be read here (a virtual machine or a container?)"


class TestNeighbours:
    def test_a_quiet_machine_is_well(self) -> None:
        check = host_checks.neighbours_check({"editor (pid 7)": 0.03}, load=1.2, usable=2, processors=2)
        assert is_well(check)
        assert check.found == "they use 3% of one core: editor (pid 7) 3%; load average 1.2 on 2 cores"

    def test_the_busiest_three_are_named(self) -> None:
        shares = {"cc (pid 1)": 0.9, "ld (pid 2)": 0.5, "as (pid 3)": 0.1, "sh (pid 4)": 0.02}
        check = host_checks.neighbours_check(shares, load=0.5, usable=2, processors=2)
        assert not is_well(check)
        assert check.found.startswith("they use 152% of one core: cc (pid 1) 90%, ld (pid 2) 50%, as (pid 3) 10%;")
        assert check.advice == "Stop them, or wait for them to finish."

    @pytest.mark.parametrize(("usable", "well"), [(2, False), (8, True)])
    def test_what_counts_is_the_share_of_the_usable_cores(self, usable: int, well: bool) -> None:
        assert is_well(host_checks.neighbours_check({"a": 0.3}, load=0.1, usable=usable, processors=8)) == well

    @pytest.mark.parametrize(("load", "well"), [(5.0, True), (5.1, False)])
    def test_a_load_that_a_measurement_would_warn_of(self, load: float, well: bool) -> None:
        check = host_checks.neighbours_check({}, load=load, usable=2, processors=4)
        assert is_well(check) == well
        assert well or "Wait" in check.advice

    @pytest.mark.process
    def test_a_busy_process_is_seen_by_name_and_id_only(self) -> None:
        command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass", "secret-of-the-command-line"]
        before = host_checks.processor_seconds()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as busy:
            try:
                assert busy.stdout is not None
                busy.stdout.readline()
                while sum(psutil.Process(busy.pid).cpu_times()[:2]) < 0.2:
                    pass
                shares = host_checks.busy_shares(before, host_checks.processor_seconds(), 1.0)
            finally:
                busy.kill()
        [(name, share)] = [item for item in shares.items() if f"(pid {busy.pid})" in item[0]]
        assert share >= 0.2
        assert "python" in name
        assert not any("secret" in name for name in shares)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)

    def test_time_spent_before_does_not_count_nor_this_process(self) -> None:
        parent = next(process for process in host_checks.processor_seconds() if process.pid == os.getppid())
        parent.info["name"] = "shell"
        name = f"shell (pid {parent.pid})"
        assert host_checks.busy_shares({parent: 5.0}, {parent: 5.5}, 2.0) == {name: 0.25}
        assert host_checks.busy_shares({}, {parent: 0.5}, 2.0) == {name: 0.25}, "it started between the readings"
        assert os.getpid() not in {process.pid for process in host_checks.processor_seconds()}


@pytest.mark.parametrize(("share", "well"), [(1.0, True), (0.95, True), (0.94, False), (0.5, False)])
def test_a_thread_that_waits_for_a_core(share: float, well: bool) -> None:
    check = host_checks.processor_check(share)
    assert is_well(check) == well
    assert f"had a core for {share:.0%} of the time" in check.found


@pytest.mark.parametrize(("share", "well"), [(0.0, True), (0.05, True), (0.06, False)])
def test_a_host_that_takes_the_processors(share: float, well: bool) -> None:
    check = host_checks.steal_check(share)
    assert is_well(check) == well
    assert check.found == f"the host of a virtual machine took {share:.1%} of the processors"


@pytest.mark.parametrize(("share", "well"), [(0.0, True), (0.01, True), (0.011, False)])
def test_a_quota_that_stops_the_group(share: float, well: bool) -> None:
    check = host_checks.throttling_check(share)
    assert is_well(check) == well
    assert f"for {share:.1%} of the time" in check.found


class TestMemory:
    def check(self, **changes: int) -> MachineCheck:
        values = {"available": 8 * GIB, "total": 16 * GIB, "limit": 16 * GIB, "swap_used": 0, "swapped": 0} | changes
        return host_checks.memory_check(**values)

    def test_enough_is_well(self) -> None:
        check = self.check()
        assert is_well(check)
        assert check.found == "8.0 GiB free of 16.0 GiB; no swap in use"

    def test_swap_that_lies_still_and_a_limit_are_told_and_are_no_fault(self) -> None:
        check = self.check(swap_used=GIB, limit=4 * GIB)
        assert is_well(check)
        assert check.found == "8.0 GiB free of 16.0 GiB, of which the control group allows 4.0 GiB; 1.0 GiB in swap"

    def test_swapping(self) -> None:
        check = self.check(swap_used=GIB, swapped=4096)
        assert not is_well(check)
        assert "swapped while it was watched" in check.found

    def test_little_memory_left(self) -> None:
        assert is_well(self.check(available=2 * GIB))
        assert not is_well(self.check(available=1 * GIB))


class TestTimer:
    @staticmethod
    def clock(cost: int, tick: int) -> Iterator[int]:
        """Readings that cost so many nanoseconds each, of a clock with so long a tick."""
        return (now // tick * tick for now in count(0, cost))

    def test_a_fine_and_cheap_clock_is_well(self, tmp_path: Path) -> None:
        check = host_checks.timer_check(self.clock(40, 1).__next__, tmp_path)
        assert is_well(check)
        assert check.found == "it resolves 40 ns"

    @pytest.mark.parametrize(("cost", "tick", "apart"), [(3000, 1, 3000), (20_000, 15_000_000, 15_000_000)])
    def test_a_dear_or_a_coarse_clock(self, cost: int, tick: int, apart: int, tmp_path: Path) -> None:
        source = "sys/devices/system/clocksource/clocksource0/current_clocksource"
        check = host_checks.timer_check(self.clock(cost, tick).__next__, write(tmp_path, {source: "acpi_pm\n"}))
        assert not is_well(check)
        assert check.found.startswith(f"it resolves {apart} ns (clock source acpi_pm), too coarse")

    def test_an_interruption_is_not_taken_for_the_tick(self, tmp_path: Path) -> None:
        readings = (40 * number + 10_000_000 * (number > 50) for number in count())
        assert is_well(host_checks.timer_check(readings.__next__, tmp_path))


def test_battery() -> None:
    assert is_well(host_checks.power_check(plugged=True))
    assert not is_well(host_checks.power_check(plugged=False))


class TestFolder:
    def test_a_folder_that_is_yet_to_be_made_is_well(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []
        usage = namedtuple("usage", "free")(3 * GIB)
        monkeypatch.setattr(shutil, "disk_usage", lambda place: asked.append(place) or usage)
        check = host_checks.folder_check("results folder", tmp_path / "a" / "b")
        assert is_well(check)
        assert check.name == "results folder"
        assert check.found == f"3.0 GiB free at {tmp_path / 'a' / 'b'}"
        assert asked == [tmp_path]
        assert not (tmp_path / "a").exists()

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: namedtuple("usage", "free")(GIB // 2))
        check = host_checks.folder_check("results folder", tmp_path)
        assert not is_well(check)
        assert check.found.startswith("0.5 GiB free")

    def test_a_folder_of_somebody_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda place, mode: False)
        check = host_checks.folder_check("results folder", tmp_path)
        assert not is_well(check)
        assert check.found == f"{tmp_path} cannot be written"

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert not is_well(host_checks.folder_check("results folder", tmp_path / "file"))
        assert not is_well(host_checks.folder_check("results folder", tmp_path / "file" / "below"))


@pytest.mark.parametrize(("floor", "well"), [(0.004, True), (0.03, True), (0.031, False), (0.062, False)])
def test_noise_beyond_the_threshold_of_a_comparison(floor: float, well: bool) -> None:
    check = host_checks.noise_check(floor)
    assert is_well(check) == well
    assert f"vary by {floor:.1%} (IQR over median" in check.found
    assert ("need `vitbench compare A B --measure`" in check.found) == (not well)
