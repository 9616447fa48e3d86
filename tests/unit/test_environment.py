"""The machine: cores, quota and memory as control groups of both versions tell them, and the words for devices."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from vitbench import environment, nvidia
from vitbench.errors import UnusableError, UsageError


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_no_control_group_means_no_quota(tmp_path: Path) -> None:
    assert environment.cpu_quota(tmp_path) is None
    assert environment.memory_bytes(tmp_path) == psutil.virtual_memory().total


def test_version_2_quota_is_the_smallest_on_the_way_up(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/memory.max": "1048576\n",
        },
    )
    assert environment.cpu_quota(root) == 1.5
    assert environment.memory_bytes(root) == 1048576


def test_version_1_quota_in_a_container_that_sees_the_host_path(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/ab12\n3:cpu,cpuacct:/docker/ab12\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152",
        },
    )
    assert environment.cpu_quota(root) == 2.0
    assert environment.memory_bytes(root) == 2097152


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert environment.cpu_quota(root) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.5, 2), (0.5, 1), (16.0, 4)])
def test_usable_cores_are_affinity_cut_by_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(environment, "cpu_quota", lambda: quota)
    assert environment.usable_cores() == cores


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "Intel Xeon E5-2680 v4"),
        ("AMD EPYC 9B14", "AMD EPYC 9B14"),
        ("AMD Ryzen 9 5950X 16-Core Processor", "AMD Ryzen 9 5950X"),
    ],
)
def test_cpu_name_loses_trade_marks_and_clock(monkeypatch: pytest.MonkeyPatch, model: str, name: str) -> None:
    monkeypatch.setattr(environment.platform, "system", lambda: "Linux")
    monkeypatch.setattr(
        environment, "read_or_empty", lambda path: f"processor\t: 0\nmodel name\t: {model}\nflags\t: fpu"
    )
    assert environment.cpu_name() == name


def test_machine_class_names_what_may_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_name", lambda: "AMD EPYC 9B14")
    monkeypatch.setattr(environment, "usable_cores", lambda: 16)
    monkeypatch.setattr(environment, "_gpu", lambda device: ("NVIDIA H200", "580.65.06"))
    assert environment.machine_class("cpu") == "AMD EPYC 9B14, 16 cores"
    assert environment.machine_class("cuda:1") == "NVIDIA H200 (driver 580), AMD EPYC 9B14, 16 cores"
    monkeypatch.setattr(environment, "usable_cores", lambda: 1)
    assert environment.machine_class("cpu") == "AMD EPYC 9B14, 1 core"


def test_how_a_gpu_is_set_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_gpu", lambda device: ("NVIDIA H200", "580.65.06"))
    monkeypatch.setattr(environment, "_cuda_versions", lambda device: {})
    properties = {torch.device("cuda:1"): SimpleNamespace(uuid="of cuda:1")}
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(nvidia, "handle_of", lambda uuid: f"handle {uuid}")
    monkeypatch.setattr(
        nvidia, "gpu_settings", lambda handle: {"power_limit_w": 700.0} if handle == "handle of cuda:1" else {}
    )
    assert environment.describe("cuda:1").gpu_settings == {"gpus_visible": 2, "power_limit_w": 700}


@pytest.mark.process
def test_describe_gives_versions_without_importing_torch() -> None:
    code = (
        "import sys, vitbench.environment as e; d = e.describe();"
        "assert not {'torch', 'numpy'} & set(sys.modules), 'heavy import';"
        "print(d.versions['torch'], d.cores, d.machine)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cores = environment.usable_cores()
    assert answer.stdout.split(maxsplit=2)[:2] == [str(torch.__version__), str(cores)], "with the build"
    assert answer.stdout.strip().endswith(f"{cores} core" + "s" * (cores != 1))


class TestResolveDevice:
    @pytest.fixture
    def two_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    @pytest.fixture
    def no_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    @pytest.mark.usefixtures("two_gpus")
    @pytest.mark.parametrize(
        ("asked", "meant"),
        [("auto", "cuda"), ("cuda", "cuda"), ("cuda:0", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
    )
    def test_with_cuda(self, asked: str, meant: str) -> None:
        assert environment.resolve_device(asked) == meant

    @pytest.mark.usefixtures("two_gpus")
    def test_index_out_of_range(self) -> None:
        with pytest.raises(UnusableError, match=r"cuda:2: this machine has cuda:0 to cuda:1\.$"):
            environment.resolve_device("cuda:2")

    @pytest.mark.usefixtures("no_gpu")
    def test_auto_without_a_gpu_is_the_cpu(self) -> None:
        assert environment.resolve_device("auto") == "cpu"

    @pytest.mark.usefixtures("no_gpu")
    @pytest.mark.parametrize("asked", ["cuda", "cuda:0", "mps"])
    def test_a_missing_device_is_never_replaced(self, asked: str) -> None:
        with pytest.raises(UnusableError, match=f"^--device {asked}: .*use --device cpu or auto"):
            environment.resolve_device(asked)

    @pytest.mark.parametrize("asked", ["cudda", "cuda:", "cuda:x", "gpu", "", "CUDA:0 "])
    def test_unknown_words(self, asked: str) -> None:
        with pytest.raises(UsageError, match="give auto, cpu, cuda, cuda:N or mps"):
            environment.resolve_device(asked)

    def test_did_you_mean(self) -> None:
        with pytest.raises(UsageError, match='Did you mean "cuda"'):
            environment.resolve_device("cudda")


def test_the_commit_of_a_checkout_is_read_from_gits_own_files(tmp_path):
    git, worktree, none = tmp_path / "a" / ".git", tmp_path / "w", tmp_path / "none"
    for folder in (git / "refs" / "heads", git / "worktrees" / "w", worktree, none):
        folder.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack-refs\nc0ffee refs/heads/main\nbad refs/heads/other\n")
    read = partial(environment.commit_of, "no-such-distribution")
    assert read(tmp_path / "a") == "c0ffee"
    (git / "refs" / "heads" / "main").write_text("decade\n")
    assert read(tmp_path / "a") == "decade"
    (worktree / ".git").write_text(f"gitdir: {git / 'worktrees' / 'w'}\n")
    (git / "worktrees" / "w" / "commondir").write_text("../..\n")
    (git / "worktrees" / "w" / "HEAD").write_text("ref: refs/heads/main\n")
    assert read(worktree) == "decade"
    (git / "worktrees" / "w" / "HEAD").write_text("facade\n")
    assert read(worktree) == "facade"
    assert read(none) == ""
