"""Both ends of `vitbench check`: the checks of each offer run in a child process of their own.

A plugin that crashes the interpreter, or hangs, fails the check that was under way; those that were to follow on the
same subject are skipped, and the other subjects go on. The child writes each outcome into a file as it comes, so that
none is lost with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from vitbench.catalog import PluginSelection
from vitbench.execution import messages as jobs
from vitbench.execution.executor import Ending, LocalExecutor
from vitbench.testing.cases import PluginCase
from vitbench.testing.checks import Check, Outcome, run_checks
from vitbench.testing.plan import checks_of, select

__all__ = ["CheckJob", "check_in_child", "check_plugin"]

SECONDS = 300.0
"""For all checks of one subject; those of the largest model that is run take ten on one core."""


class CheckJob(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one subject, on their way to the child."""

    plugin: str
    models: tuple[str, ...]
    data: dict[str, str]
    plugins: PluginSelection
    subject: str
    outcomes: str
    """File for the outcomes, one JSON object a line."""


def check_plugin(
    plugin: str, *, models: Sequence[str], data: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[list[Outcome]]:
    """Run the checks of a plugin and give the outcomes of one subject after the other, as they come.

    Args:
        plugin, models, data: as in `checks_of`, which raises before the first outcome.
        say: gets each subject before its checks run.
    """
    name, plugins = select(plugin)
    checks = checks_of(name, models=models, data=data, plugins=plugins)
    executor = LocalExecutor()
    for subject in dict.fromkeys(check.subject for check in checks):
        say(f"Checking {subject}.")
        own = [check for check in checks if check.subject == subject]
        if all(isinstance(check.case, PluginCase) for check in own):  # which start processes themselves
            yield run_checks(own)
            continue
        with tempfile.TemporaryDirectory(prefix="vitbench-check-") as folder:
            job = CheckJob(
                plugin=name,
                models=tuple(models),
                data={name: str(Path(path).expanduser().absolute()) for name, path in data.items()},
                plugins=plugins,
                subject=subject,
                outcomes=str(Path(folder, "outcomes.jsonl")),
            )
            log = Path(folder, "log.txt")
            ending = executor.run(
                f"{__name__}:{check_in_child.__name__}", job, on_message=lambda _: None, timeout=SECONDS, log=log
            )
            yield _complete(own, _read(Path(job.outcomes)), ending, log)


def _read(path: Path) -> list[Outcome]:
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Outcome) for line in lines]


def _complete(checks: Sequence[Check], outcomes: list[Outcome], ending: Ending, log: Path) -> list[Outcome]:
    """Add the check that ended the process, and those that it kept from running."""
    if len(outcomes) == len(checks):
        return outcomes
    guilty, *others = checks[len(outcomes) :]
    reason = _why(ending, log)
    return [
        *outcomes,
        Outcome(check=guilty.name, subject=guilty.subject, status="failed", reason=reason, seconds=ending.seconds),
        *(
            Outcome(check=other.name, subject=other.subject, status="skipped", reason=f"not run: {guilty.name} failed")
            for other in others
        ),
    ]


def _why(ending: Ending, log: Path) -> str:
    if ending.kind == "timeout":
        return f"the checks took more than {SECONDS:g} s until this one; does it wait for something?"
    said = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(said) if line.strip()), "")
    return f"{ending.reason.partition(';')[0]}" + (f"; its last words: {last}" if last else "")


def check_in_child(request: bytes, send: Callable[[msgspec.Struct], None]) -> jobs.Outcome:
    """Decode a job, run its checks, and write down what comes of each."""
    job = msgspec.json.decode(request, type=CheckJob)
    checks = checks_of(job.plugin, models=job.models, data=job.data, plugins=job.plugins)
    with Path(job.outcomes).open("ab", buffering=0) as file:
        for check in checks:
            if check.subject == job.subject:
                file.write(msgspec.json.encode(run_checks([check])[0]) + b"\n")
    return jobs.Outcome(status="ok")
