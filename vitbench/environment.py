"""The machine and the software that the numbers come from.

Cores and memory are those that this process may use: CPU affinity and the control group's limits count, not what the
host has. Control groups: https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``, ``memory.max``) and
version 1 (``cpu.cfs_quota_us``, ``memory.limit_in_bytes``). Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.installed import CUDNN, version_of
from vitbench.records import Environment

__all__ = [
    "commit_of",
    "control_groups",
    "cpu_name",
    "cpu_quota",
    "describe",
    "gpu_settings",
    "machine_class",
    "memory_bytes",
    "resolve_device",
    "usable_cores",
]

PACKAGES = ("vitbench", "torch", "torchvision", "timm", "numpy", "pillow")
"""The packages whose versions can change a number."""


def usable_cores() -> int:
    """Return how many cores this process may use at once: its CPU affinity, cut by the control group's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    # Rounded down: one thread more than the quota is stopped for a part of each period.
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores the control group allows, or None without a quota.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    quotas = []
    for folder in control_groups(root, "cpu"):
        if limit := read_or_empty(folder / "cpu.max"):
            quota, period = limit.split()
        else:
            quota, period = read_or_empty(folder / "cpu.cfs_quota_us"), read_or_empty(folder / "cpu.cfs_period_us")
        if quota and period and quota not in ("max", "-1"):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may use: the machine's, cut by the control group's limit.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    import psutil

    limits = [int(psutil.virtual_memory().total)]
    for folder in control_groups(root, "memory"):
        limit = read_or_empty(folder / "memory.max") or read_or_empty(folder / "memory.limit_in_bytes")
        if limit and limit != "max":
            limits.append(int(limit))
    return min(limits)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's control group and those above it, each of which may set a limit.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
        controller: as version 1 names it, such as ``cpu`` or ``memory``.
    """
    mount = root / "sys/fs/cgroup"
    for line in read_or_empty(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount
        inner = top / path.lstrip("/")
        yield inner
        # A container may see its group's files at the mount's top while the path is still the host's.
        yield from (folder for folder in inner.parents if folder.is_relative_to(top))


def read_or_empty(path: Path) -> str:
    """Return a file's text without space around it; an empty one where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpu_name() -> str:
    """Return the processor's model, without trade marks and clock."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        found = re.search(r"^model name\s*:\s*(.+)$", read_or_empty(Path("/proc/cpuinfo")), flags=re.MULTILINE)
        name = found.group(1) if found else platform.processor() or platform.machine()
    name = re.sub(r"\((R|TM)\)|@.*|\b\d+-Core\b|\b(CPU|Processor)\b", " ", name, flags=re.IGNORECASE)
    return " ".join(name.split())


def machine_class(device: str) -> str:
    """Return a short, stable name for the hardware; only results of one class are compared.

    Args:
        device: as `resolve_device` gives it.

    Returns:
        ``"AMD EPYC 9B14, 2 cores"`` or ``"NVIDIA H200 (driver 580), AMD EPYC 9B14, 16 cores"``.
    """
    cores = usable_cores()
    host = f"{cpu_name()}, {cores} core{'s' if cores != 1 else ''}"
    if device.startswith("cuda"):
        name, driver = _gpu(device)
        return f"{name} (driver {driver.split('.')[0]}), {host}" if driver else f"{name}, {host}"
    return f"MPS, {host}" if device == "mps" else host


def _gpu(device: str) -> tuple[str, str]:
    """Return the name of a CUDA device and the version of its driver, empty where NVML is not there."""
    import torch

    from vitbench.nvidia import driver_version

    return torch.cuda.get_device_name(torch.device(device)), driver_version()


def gpu_settings(device: str) -> dict[str, float]:
    """Return how a CUDA device is set, as `vitbench.nvidia.gpu_settings` does, and how many this process sees."""
    import torch

    from vitbench import nvidia

    uuid = str(torch.cuda.get_device_properties(torch.device(device)).uuid)
    return {"gpus_visible": float(torch.cuda.device_count()), **nvidia.gpu_settings(nvidia.handle_of(uuid))}


def describe(device: str = "cpu") -> Environment:
    """Return the machine and the software as a record; torch is imported for a CUDA device only.

    Args:
        device: as `resolve_device` gives it.
    """
    gpu, driver = _gpu(device) if device.startswith("cuda") else ("", "")
    return Environment(
        machine=machine_class(device),
        cpu=cpu_name(),
        cores=usable_cores(),
        quota=cpu_quota(),
        memory_bytes=memory_bytes(),
        gpu=gpu,
        driver=driver,
        gpu_settings=gpu_settings(device) if gpu else {},
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=_versions() | _cuda_versions(device),
        commit=commit_of("vitbench", Path(__file__).parents[1]),
    )


def commit_of(distribution: str, folder: Path) -> str:
    """Return the commit that a distribution was installed from, or that a checkout is at; empty where nothing says.

    Read from what pip writes (PEP 610) and from git's own files (gitrepository-layout), without starting git.
    """
    import json
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import distribution as installed

    try:
        told = json.loads(installed(distribution).read_text("direct_url.json") or "{}")
        if commit := told.get("vcs_info", {}).get("commit_id", ""):
            return str(commit)
    except (PackageNotFoundError, OSError, ValueError, AttributeError):
        pass
    git = folder / ".git"
    if git.is_file():  # of a worktree
        git = Path(read_or_empty(git).removeprefix("gitdir: "))
    head = read_or_empty(git / "HEAD")
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    shared = git / read_or_empty(git / "commondir")
    packed = (line.partition(" ") for line in read_or_empty(shared / "packed-refs").splitlines())
    listed = next((commit for commit, _, of in packed if of == name), "")
    return read_or_empty(git / name) or read_or_empty(shared / name) or listed


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version_of(package)
        except PackageNotFoundError:
            continue
    return found


def _cuda_versions(device: str) -> dict[str, str]:
    if not device.startswith("cuda"):
        return {}
    import torch

    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return {CUDNN: str(cudnn)} if cudnn else {}


def resolve_device(asked: str) -> str:
    """Return the device that the user means: ``cpu``, ``cuda`` (the first), ``cuda:N`` from the second on, or ``mps``.

    ``auto`` is CUDA where there is one, then MPS, then the CPU.

    Raises:
        UsageError: the word names no kind of device.
        UnusableError: this machine, or the installed torch, does not have it.
    """
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if asked == "cpu":
        return asked
    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise UnusableError("--device mps: this machine has no MPS device; use --device cpu or auto.")
        return asked
    found = re.fullmatch(r"cuda(?::(\d+))?", asked)
    if found is None:
        hint = ' Did you mean "cuda"?' if asked == "gpu" else did_you_mean(asked, ["auto", "cpu", "cuda", "mps"])
        raise UsageError(f"unknown device {asked!r}: give auto, cpu, cuda, cuda:N or mps.{hint}")
    if not torch.cuda.is_available():
        why = "torch finds no CUDA device" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise UnusableError(f"--device {asked}: {why}; use --device cpu or auto.")
    index, count = int(found.group(1) or 0), torch.cuda.device_count()
    if index >= count:
        raise UnusableError(f"--device {asked}: this machine has cuda:0 to cuda:{count - 1}.")
    return f"cuda:{index}" if index else "cuda"
