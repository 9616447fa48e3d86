"""What of the GPU spoils a measurement: a driver that torch cannot use, another program on it, heat.

NVIDIA's rule for versions: a driver runs programs built for a later minor version of the CUDA that it offers, not for
a later major one (https://docs.nvidia.com/deploy/cuda-compatibility/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pynvml
import torch

from vitbench.doctor.messages import MachineCheck, judged
from vitbench.measuring.gpu import GpuMoment, gpu_disturbances

__all__ = ["Driver", "driver_check", "gpu_check", "read_driver", "settings_check"]

LEAST_POWER = 0.98
"""Share of the default power limit below which a GPU is a slower one."""
_VENDOR, _DISPLAY = "0x10de", "0x03"
"""PCI's numbers for NVIDIA, and for the class of display controllers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """What NVIDIA's driver says of itself."""

    fault: str = ""
    """Why it cannot be asked, in NVML's words; the rest is then empty."""
    version: str = ""
    cuda: tuple[int, int] = (0, 0)
    """The CUDA version that it offers: major, minor."""
    gpus: tuple[str, ...] = ()


def read_driver() -> Driver | None:
    """Ask NVIDIA's driver; None where its library is not installed."""
    try:
        pynvml.nvmlInit()
        number = pynvml.nvmlSystemGetCudaDriverVersion_v2()  # 1000 * major + 10 * minor
        handles = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount()))
        return Driver(
            version=str(pynvml.nvmlSystemGetDriverVersion()),
            cuda=(number // 1000, number % 1000 // 10),
            gpus=tuple(str(pynvml.nvmlDeviceGetName(handle)) for handle in handles),
        )
    except pynvml.NVMLError_LibraryNotFound:
        return None
    except pynvml.NVMLError as error:
        return Driver(fault=str(error))


def driver_check(driver: Driver | None, environment: Mapping[str, str], root: Path = Path("/")) -> MachineCheck:
    """Judge whether torch can use the GPUs that the machine has.

    Args:
        driver: as `read_driver` gives it.
        environment: variables, of which CUDA_VISIBLE_DEVICES hides GPUs.
        root: the folder that holds ``sys``.
    """
    ours = _torch_words()
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        offers = f"; driver {driver.version} (CUDA {_dotted(driver.cuda)})" if driver and driver.version else ""
        return judged("driver", True, f"{names}{offers}; {ours}")
    if driver is None and _nvidia_on_bus(root):
        return judged(
            "driver",
            False,
            f"there is an NVIDIA GPU, but no driver; {ours}",
            "Install NVIDIA's driver; in a container, start it with `--gpus all`.",
        )
    if driver is None or not (driver.fault or driver.gpus):
        return judged("driver", True, f"no NVIDIA GPU; {ours}")
    if driver.fault:
        return judged(
            "driver",
            False,
            f"NVIDIA's driver is installed but does not answer: {driver.fault}",
            "Reboot, as a driver update requires; if that does not help, reinstall the driver.",
        )
    return _unused(driver, environment, ours)


def _unused(driver: Driver, environment: Mapping[str, str], ours: str) -> MachineCheck:
    """Say why torch does not use GPUs that the driver has."""
    theirs = f"{', '.join(driver.gpus)}, driver {driver.version}"
    if torch.version.cuda is None:
        advice = "Install a torch built for CUDA: https://pytorch.org/get-started/locally/."
        return judged("driver", False, f"{theirs}, but {ours}", advice)
    if environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return judged("driver", True, f"{theirs}, hidden by CUDA_VISIBLE_DEVICES; {ours}")
    if driver.cuda[0] < int(torch.version.cuda.split(".")[0]):
        advice = f"Update the driver, or install a torch built for CUDA {driver.cuda[0]}."
        return judged("driver", False, f"{theirs}, which offers CUDA {_dotted(driver.cuda)} only; {ours}", advice)
    advice = "`python -c 'import torch; torch.cuda.init()'` shows why; check CUDA_VISIBLE_DEVICES and /dev/nvidia*."
    return judged("driver", False, f"{theirs}, but torch finds no device; {ours}", advice)


def gpu_check(start: GpuMoment | None, end: GpuMoment | None) -> MachineCheck:
    """Judge the GPU by two moments between which vitbench leaves it alone.

    Args:
        start: as `vitbench.measuring.gpu.observe_gpu` gives it; None where NVML is not there.
        end: the same, some seconds later.
    """
    if start is None or end is None:
        return judged("gpu", True, "clocks and other processes cannot be read (no NVML)")
    reasons = [reason for found in gpu_disturbances(start, end) for reason in found]
    if reasons:
        advice = "`nvidia-smi` shows what runs there; stop it, or let the GPU cool down."
        return judged("gpu", False, "; ".join(reasons), advice)
    facts = [
        f"{end.temperature_c} °C" if end.temperature_c is not None else "",
        "no other process on it" if end.other_processes is not None else "its other processes cannot be seen",
    ]
    return judged("gpu", True, ", ".join(filter(None, facts)))


def settings_check(settings: Mapping[str, float]) -> MachineCheck:
    """Judge how a GPU is set, as `vitbench.nvidia.gpu_settings` gives it.

    A limit below the default makes it another GPU than others of its name. Persistence mode is shown and not judged:
    without it a cold start may have the loading of the driver in it, and no other figure changes.
    """
    faults, advice, found = [], [], []
    limit, default = settings.get("power_limit_w"), settings.get("default_power_limit_w")
    if limit is not None:
        found.append(f"power limit {limit:.0f} W")
        if default is not None and limit < LEAST_POWER * default:
            faults.append(f"its power limit is {limit:.0f} W, by default {default:.0f} W")
            advice.append(f"`nvidia-smi -pl {default:.0f}` sets the default")
    width, most = settings.get("pcie_width"), settings.get("max_pcie_width")
    if width is not None and most is not None and width < most:
        faults.append(f"its PCIe link has {width:.0f} of {most:.0f} lanes")
        advice.append("reseat the card in its slot")
    shown = {"persistence": "persistence mode", "ecc": "ecc", "mig": "mig"}
    found += [f"{words} {'on' if settings[name] else 'off'}" for name, words in shown.items() if name in settings]
    if faults:
        return judged(
            "gpu settings", False, "; ".join(faults), f"{'; '.join(advice)}; or compare only results from this machine."
        )
    return judged("gpu settings", True, ", ".join(found) or "cannot be read (no NVML)")


def _torch_words() -> str:
    if torch.version.cuda:
        return f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
    if torch.version.hip:
        return f"torch {torch.__version__} is built for ROCm {torch.version.hip}"
    return f"torch {torch.__version__} is built without CUDA"


def _nvidia_on_bus(root: Path) -> bool:
    """Whether the PCI bus has a display controller of NVIDIA's; other cards of theirs are for the network."""
    return any(
        (card / "vendor").read_text().strip() == _VENDOR and (card / "class").read_text().startswith(_DISPLAY)
        for card in (root / "sys/bus/pci/devices").glob("*")
    )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
