"""Everything about vitbench that can only be checked on a GPU, in one command: the tests marked `gpu`, a run, a table.

    python benchmarks/gpu_check.py --wheels wheels --output gpu_check.json

The script is meant for a machine that has an NVIDIA GPU for a few minutes, a Python with torch and pytest, and no
network. The results are written to a single JSON file. vitbench need not be installed there: a copy of the checkout is
enough. Packages that vitbench needs and the machine lacks are given as a folder of wheels, which the script unpacks (a
wheel is a zip file whose contents can be imported directly); it reports what is still missing. If timm, pandas, Pillow,
scikit-learn, safetensors, psutil, click, pluggy and the like are installed, few wheels are needed:

    pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux2014_x86_64 \
        -d wheels msgspec platformdirs wcwidth nvidia-ml-py

Plugins are found by their entry points, which are metadata of an installed package. A checkout has none, so the script
writes a `vitbench-VERSION.dist-info` with the entry points of pyproject.toml into a temporary folder. This folder, the
checkout, its plugins and the unpacked wheels are on PYTHONPATH, for the script itself and for all processes that it
starts.

There are four parts, each in its own process with a time limit, so that a crash or a hang affects only that part. The
file is rewritten after each:

- `machine`: GPU, driver, GPU settings, versions, and what `vitbench doctor` finds;
- `tests`: those marked `gpu`, with each failure in full;
- `run`: `vitbench run` of one model on digits, trained and timed, with its whole output including the table;
- `speeds`: throughput, latency and memory of a few models in several precisions, also compiled, and a sustained window.
  Each row comes from one process: it shows whether everything works and the order of magnitude of a speed, and ranks
  nothing.

Without a GPU, the script prints `no GPU` and exits with 0. `--device cpu` rehearses everything on the CPU, with small
models; tests that need a GPU are skipped. Exit codes: 0 success, or no GPU; 1 a part failed; 3 a package is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 330.0
"""For all parts together, so that it ends within six minutes."""
PARTS = {"machine": 45.0, "tests": 150.0, "run": 110.0, "speeds": 110.0}
"""At most for each of these seconds; what is left of the whole, where that is less."""
LEAST = 10.0
"""Seconds without which a part is not started."""
MODULES = {
    "nvidia-ml-py": "pynvml",
    "pillow": "PIL",
    "pytest-benchmark": "pytest_benchmark",
    "scikit-learn": "sklearn",
}
"""Of packages whose modules have other names."""
OF_TESTS = ("pytest", "hypothesis")
"""What the tests need beside what vitbench needs."""
LARGE = ("timm/vit_small_patch16_224.augreg_in21k:pretrained=false", 224, 128)
CONVOLUTIONAL = ("timm/resnet50.a1_in1k:pretrained=false", 224, 128)
SMALL = ("scratch/vit", 32, 256)
TINY = ("scratch/vit:depth=1,width=32,heads=2", 8, 8)
"""A model, the side of its images, and the batch."""
ROWS = (
    (SMALL, "inference", "float32", False),
    (SMALL, "training", "bfloat16", False),
    (LARGE, "inference", "float32", False),
    (LARGE, "inference", "tf32", False),
    (LARGE, "inference", "bfloat16", False),
    (LARGE, "training", "bfloat16", False),
    (CONVOLUTIONAL, "inference", "float32", False),
    (CONVOLUTIONAL, "inference", "bfloat16", False),
    (CONVOLUTIONAL, "training", "bfloat16", False),
    (LARGE, "latency", "float32", False),
    (LARGE, "latency", "bfloat16", False),
    (LARGE, "inference", "bfloat16", True),
    (LARGE, "training", "float32", False),
    (CONVOLUTIONAL, "training", "float16", False),
)
"""Model, what is timed, precision, and whether it is compiled; the most telling first."""
ROWS_ON_CPU = (
    (TINY, "inference", "float32", False),
    (TINY, "latency", "float32", False),
    (TINY, "training", "bfloat16", False),
)
SUITE = """
name = "gpu-check"
summary = "one model on digits"
datasets = ["digits"]
[[models]]
name = "scratch/vit"
options = {depth = 2, width = 64, heads = 2}
[recipes.supervised]
epochs = 2
[speed]
batch_sizes = [32]
modes = ["inference"]
sustained = 3
"""
EXPECTED = {"top1", "throughput", "sustained_throughput", "peak_memory", "params"}
"""Some figures that the run must give."""


# The parent: what starts with nothing but a Python


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, or as the child the one that is named."""
    options = _options(arguments)
    if options.part:
        return _child(options)
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    with tempfile.TemporaryDirectory(prefix="vitbench-gpu-check-") as folder:
        paths = [
            ROOT,
            ROOT / "plugins",
            ROOT / "tests",
            write_metadata(Path(folder)),
            *_unpacked(options, Path(folder)),
        ]
        sys.path[:0] = [str(path) for path in paths]
        if missing := missing_packages():
            print(
                f"missing: {', '.join(missing)}; put their wheels into a folder, and give --wheels FOLDER",
                file=sys.stderr,
            )
            return 3
        if options.device.startswith("cuda") and not _has_gpu():
            print("no GPU")
            return 0
        return _run_parts(options, Path(folder), paths)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"), help="file to write [gpu_check.json]")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that are not installed")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal [cuda]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for all parts together [{SECONDS:g}]")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which, of {', '.join(PARTS)} [all]")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"--parts: unknown {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    if options.wheels and not options.wheels.is_dir():
        parser.error(f"--wheels: {options.wheels} is not a directory")
    return options


def missing_packages(root: Path = ROOT) -> list[str]:
    """Return the packages that vitbench or its tests need and that cannot be imported."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [re.split(r"[<>=!~ \[;]", each)[0] for each in project["dependencies"]]
    return [package for package in (*needed, *OF_TESTS) if find_spec(MODULES.get(package, package)) is None]


def write_metadata(folder: Path, root: Path = ROOT) -> Path:
    """Write what an installation would say of vitbench, and return the folder to be put on the path."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = folder / "metadata" / f"{project['name']}-{project['version']}.dist-info"
    place.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (place / "METADATA").write_text(head, encoding="utf-8")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in of.items()) for group, of in groups.items()
    ]
    (place / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return place.parent


def _unpacked(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Unpack the wheels, and return the folder that they are in."""
    if not options.wheels:
        return []
    place = folder / "wheels"
    for wheel in sorted(options.wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(place)
    return [place]


def prepare(options: argparse.Namespace, folder: Path) -> int | None:
    """Make the checkout what is imported and started, for a script beside this one; return what it is to end with.

    Args:
        options: ``wheels`` and ``device`` of the script.
        folder: an empty one, for metadata and unpacked wheels.

    Returns:
        None where all is there; else the exit code, when what is missing has been said.
    """
    paths = [ROOT, ROOT / "plugins", write_metadata(folder), *_unpacked(options, folder)]
    sys.path[:0] = [str(path) for path in paths]
    if missing := [each for each in missing_packages() if each not in OF_TESTS]:
        print(f"missing: {', '.join(missing)}; put their wheels into a folder, and give --wheels FOLDER")
        return 3
    if options.device.startswith("cuda") and not _has_gpu():
        print("no GPU")
        return 0
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    os.environ["HF_HUB_OFFLINE"] = "1"
    return None


def output_of(*words: str) -> str:
    """Return what a command of vitbench says: its output, or where there is none its errors."""
    done = subprocess.run([sys.executable, "-m", "vitbench", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _run_parts(options: argparse.Namespace, folder: Path, paths: list[Path]) -> int:
    """Run the parts one after the other, and write what is known after each."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "VITBENCH_CACHE": str(folder / "cache"),
        "VITBENCH_TEST_DEVICE": options.device,
        "HF_HUB_OFFLINE": "1",
    }
    began = time.monotonic()
    found: dict[str, Any] = {"format": 1, "device": options.device, "seconds": {}, "failed": []}
    for part in options.parts.split(","):
        limit = min(PARTS[part] * options.seconds / SECONDS, options.seconds - (time.monotonic() - began))
        started = time.monotonic()
        print(f"{part}: at most {limit:.0f} s", file=sys.stderr, flush=True)
        found[part] = _part(part, options, limit, folder, environment)
        found["seconds"][part] = round(time.monotonic() - started, 1)
        if "error" in found[part]:
            found["failed"].append(part)
        found["seconds"]["all"] = round(time.monotonic() - began, 1)
        _write(options.output, found)
        print(f"{part}: {found[part].get('error') or 'ok'} ({found['seconds'][part]} s)", file=sys.stderr, flush=True)
    print(f"{options.output}: " + (f"failed: {', '.join(found['failed'])}" if found["failed"] else "all is well"))
    return 1 if found["failed"] else 0


def _part(
    part: str, options: argparse.Namespace, limit: float, folder: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """Run a part in a process group of its own, and return what it wrote until its time was up."""
    if limit < LEAST:
        return {"error": "no time was left for it"}
    output, log = folder / f"{part}.json", folder / f"{part}.log"
    command = [sys.executable, __file__, "--part", part, "--output", str(output), "--device", options.device]
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [*command, "--limit", str(limit - 5)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as child,
    ):
        try:
            code = child.wait(limit)
            ended = "" if code == 0 else f"it ended with code {code}"
        except subprocess.TimeoutExpired:
            ended = f"it took more than {limit:.0f} s"
        with suppress(ProcessLookupError):  # it may have left others
            os.killpg(child.pid, signal.SIGKILL)
    found: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        found = json.loads(output.read_text(encoding="utf-8"))
    if ended and "error" not in found:
        found["error"] = ended
    if "error" in found:
        found["log"] = log.read_text(encoding="utf-8", errors="replace")[-6000:]
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


# The children: one part each


def _child(options: argparse.Namespace) -> int:
    """Run a part, writing what is known so far whenever that is more."""
    found: dict[str, Any] = {}
    parts: dict[str, Callable[[argparse.Namespace], Iterator[dict[str, Any]]]] = {
        "machine": _machine,
        "tests": _tests,
        "run": _run,
        "speeds": _speeds,
    }
    try:
        for more in parts[options.part](options):
            found |= more
            _write(options.output, found)
    except Exception as error:
        traceback.print_exc()
        _write(options.output, {**found, "error": f"{type(error).__name__}: {error}"})
    return 0


def _machine(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import msgspec
    import torch

    from vitbench.environment import describe, resolve_device

    device = resolve_device(options.device)
    yield {"environment": msgspec.to_builtins(describe(device)), "cuda": torch.version.cuda}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(torch.device(device))
        yield {"properties": str(properties), "capability": torch.cuda.get_device_capability(torch.device(device))}
        from vitbench.measuring.gpu import observe_gpu

        moment = observe_gpu(torch.device(device))
        seconds = []
        for _ in range(10):
            start = time.perf_counter()
            observe_gpu(torch.device(device))
            seconds.append(time.perf_counter() - start)
        yield {"moment": str(moment), "seconds_to_ask_nvml": sorted(seconds)}
    command = [sys.executable, "-m", "vitbench", "doctor", "--device", options.device, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield {"doctor": json.loads(done.stdout) if done.stdout else done.stderr[-2000:]}


def _tests(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run the tests; where their time is up before they end, the log says how far they came."""
    results = options.output.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-v", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "--durations=10", f"--junitxml={results}"], check=False)
    yield {"code": done.returncode}
    cases = list(ET.parse(results).iter("testcase"))
    failures = [
        {"test": f"{case.get('classname')}::{case.get('name')}", "message": (part.text or "")[-3000:]}
        for case in cases
        for part in (*case.iter("failure"), *case.iter("error"))
    ]
    skipped = {f"{case.get('name')}": part.get("message") for case in cases for part in case.iter("skipped")}
    seconds = {f"{case.get('name')}": float(case.get("time") or 0) for case in cases}
    yield {"tests": len(cases), "failures": failures, "skipped": skipped, "seconds": seconds}
    if failures or done.returncode not in (0, 5):
        yield {"error": f"{len(failures)} of {len(cases)} tests failed"}


def _run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    folder = options.output.parent / "run"
    folder.mkdir()
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")
    command = [sys.executable, "-m", "vitbench", "run", "--suite", "suite.toml", "--device", options.device, "--json"]
    small = ["--limit", "200", "--epochs", "1"] if options.device == "cpu" else []
    done = subprocess.run(  # what it says on stderr goes into the log
        [*command, "--output", "results", *small], cwd=folder, stdout=subprocess.PIPE, text=True, check=False
    )
    yield {"code": done.returncode, "leaderboard": json.loads(done.stdout) if done.stdout else None}
    if done.returncode:
        yield {"error": f"vitbench run ended with code {done.returncode}"}
        return
    import msgspec

    from vitbench import load

    records = load(folder / "results").records
    given = {one.name for record in records for one in record.measurements if one.value is not None}
    if lacking := EXPECTED - given:
        yield {"error": f"no value of {', '.join(sorted(lacking))}"}
    for record in records:
        kind = record.planned.cell.__struct_config__.tag
        yield {kind: {"evidence": record.evidence, "course": record.course, "seconds": record.seconds}}
        yield {f"{kind}_measurements": msgspec.to_builtins(_without_samples(record.measurements))}


def _without_samples(measurements: Any) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "value": one.value, "low": one.low, "high": one.high, "reasons": one.verdict.reasons}
        for one in measurements
    ]


def _speeds(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time a row after the other until the time is up; a row that fails says why."""
    until = time.monotonic() + options.limit - 25
    rows: list[dict[str, Any]] = []
    table = ROWS_ON_CPU if options.device == "cpu" else ROWS
    for number, ((model, side, batch), what, precision, compiled) in enumerate(table):
        started = time.monotonic()
        if started > until:
            yield {"left_out": len(table) - number}
            break
        row: dict[str, Any] = {"model": model, "timed": what, "precision": precision, "compile": compiled}
        try:
            row |= _row(model, side, 1 if what == "latency" else batch, what, precision, compiled, options.device)
        except Exception as error:
            traceback.print_exc()
            row["error"] = f"{type(error).__name__}: {error}"[:1000]
        rows.append({**row, "seconds": round(time.monotonic() - started, 1)})
        yield {"rows": rows}
    if any("error" in row for row in rows):
        yield {"error": f"{sum('error' in row for row in rows)} of {len(rows)} rows failed"}
    yield {"sustained": _window(*(TINY if options.device == "cpu" else LARGE), options.device)}


def _row(model: str, side: int, batch: int, what: str, precision: str, compiled: bool, device: str) -> dict[str, Any]:
    """Benchmark a model as the pytest fixture does, in this process."""
    import torch

    from vitbench.measuring.steps import Step
    from vitbench.pytest_plugin.benchmark import benchmark_model
    from vitbench.pytest_plugin.model import BenchmarkConditions, Given, given_model

    conditions = BenchmarkConditions(
        mode="training" if what == "training" else "inference",
        batch_size=batch,
        device=device,
        precision=precision,  # type: ignore[arg-type]
        num_classes=1000,
        image_size=side,
    )
    given = given_model(model, conditions)
    if compiled:
        given = Given(
            label=given.label,
            build=lambda: torch.compile(given_model(model, conditions).build()),  # type: ignore[arg-type,return-value]
            num_classes=given.num_classes,
            image_size=given.image_size,
            in_channels=given.in_channels,
        )

    def rounds(step: Step, count: int, calls: int, after: Callable[[], None]) -> list[float]:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            for _ in range(calls):
                step()
            seconds.append((time.perf_counter() - start) / calls)
            after()
        return seconds

    found = benchmark_model(given, conditions, rounds, timed=True)
    names = ("batch_size", "images_per_second", "latency_p50", "peak_memory", "params", "verdict", "reasons")
    return {name: found[name] for name in names}


def _window(model: str, side: int, batch: int, device: str) -> dict[str, Any]:
    """Time a sustained window of forward passes in bfloat16."""
    import torch

    from vitbench.environment import resolve_device
    from vitbench.pytest_plugin.model import BenchmarkConditions, given_model
    from vitbench.worker.bench import Bench
    from vitbench.worker.runtime import runtime

    conditions = BenchmarkConditions(
        mode="inference", batch_size=batch, device=device, precision="bfloat16", num_classes=1000, image_size=side
    )
    place = resolve_device(device)
    given = given_model(model, conditions)
    with runtime(precision="bfloat16", threads=torch.get_num_threads(), seed=0, device=place):
        bench = Bench(
            model=given.build().to(place),
            mode="inference",
            precision="bfloat16",
            device=torch.device(place),
            input_shape=(given.in_channels, *given.image_size),
            batch_size=batch,
            num_classes=given.num_classes,
        )
        found = bench.sustain(bench.inputs(), 2.0 if device == "cpu" else 12.0)
    return {"course": found.course, "warnings": found.warnings, "errors": found.errors}


if __name__ == "__main__":
    sys.exit(main())
