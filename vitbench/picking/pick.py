"""Pick a model for some images within a budget, and say how sure that is (docs/pick.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench.api import say
from vitbench.catalog import load_catalog, select_plugins
from vitbench.durations import parse_duration
from vitbench.errors import NothingSelectedError, UnusableError, UsageError
from vitbench.execution.choice import chosen_executor
from vitbench.execution.stopping import stoppable
from vitbench.picking.answer import Answer, answered
from vitbench.picking.candidates import listed
from vitbench.picking.course import Course
from vitbench.picking.dry_run import DryRun, dry_run_of
from vitbench.picking.ongoing import Asked, OngoingPick
from vitbench.picking.report import pick_data, pick_text, sentence
from vitbench.picking.stages import Stages
from vitbench.picking.wants import parse_want
from vitbench.planning.place import place_of
from vitbench.store import default_output

__all__ = ["Picked", "dry_run", "pick"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picked:
    """The result of a pick."""

    sentence: str
    """The answer."""
    answer: Answer
    """The finalists, the pick, and how it compares with the others."""
    course: Course
    """What was measured on the way, and which candidates dropped out."""
    folder: Path
    """The output folder, which `vitbench.load` reads."""
    seconds: float
    """Seconds of the budget that were used, including earlier attempts."""
    exit_code: int
    """0; 1 if a cell ended without a result; 5 if no finalist meets --want."""

    @property
    def model(self) -> str | None:
        """The pick's name, as ``vitbench.run(models=...)`` takes it; None if there is none."""
        return self.answer.pick.name if self.answer.pick else None

    def __str__(self) -> str:
        """Return what the command prints."""
        return self.text()

    def text(self, *, unicode: bool = True) -> str:
        """Return it for a terminal of 100 columns, which may not show more than ASCII."""
        return pick_text(self, unicode=unicode)

    def data(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return pick_data(self)


def pick(
    data: str | Path,
    *,
    budget: str | float = "1h",
    models: Sequence[str | Path] = (),
    want: str = "",
    output: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    skip_unreadable: bool = False,
    plugins: Sequence[str | Path] = (),
    no_plugins: Sequence[str] = (),
    strict_plugins: bool = False,
    quiet: bool = False,
) -> Picked:
    """Pick a model for some images within a budget, as ``vitbench pick`` does (docs/pick.md).

    Args:
        data: a folder of images, an installed dataset such as ``"digits"``, or ``"NAME=PATH"``.
        budget: how long it may take, such as ``"30m"``, or a number of seconds.
        models: names, or the path of a suite file that lists them; empty: vitbench's own list.
        want: a condition on what is measured, such as ``"throughput > 500 and peak_memory < 1 GiB"``.
        output: folder for the results; None: ``VITBENCH_OUTPUT``, else ``vitbench-results``.
        device: auto, cpu, cuda, cuda:N or mps.
        threads: torch threads; None: all usable cores.
        skip_unreadable: skip images that cannot be read.
        plugins: plugin files, in addition to the installed plugins.
        no_plugins: installed plugins to leave out.
        strict_plugins: treat any problem with a plugin as an error.
        quiet: print nothing on stderr.

    Raises:
        VitbenchError: the user made a mistake or something is missing; its ``exit_code`` is that of the command line.
        KeyboardInterrupt: it was interrupted; the same call resumes.
    """
    with stoppable():
        going = _begun(**{**locals(), "data": str(data)})
        try:
            answer = answered(going.finals(going.race(going.time())), going.want)
            going.beside_the_majority(answer)
        finally:
            going.keep()
    lacks = bool(answer.finals) and answer.pick is None
    return Picked(
        sentence=sentence(answer, going.course),
        answer=answer,
        course=going.course,
        folder=Path(output) if output else default_output(),
        seconds=going.clock.used,
        exit_code=NothingSelectedError.exit_code if lacks else int(going.course.failed or answer.pick is None),
    )


def dry_run(data: str | Path, **asked: Any) -> DryRun:
    """Return what `pick` would choose among and how it would divide its time; nothing is written but the image cache.

    Args:
        data: as `pick` takes it, like all others.
        asked: arguments of `pick`.

    Raises:
        VitbenchError: as `pick` does.
    """
    with stoppable():
        return dry_run_of(_begun(data=str(data), **asked))


def _begun(
    *,
    data: str,
    budget: str | float,
    models: Sequence[str | Path],
    want: str,
    output: str | Path | None,
    strict_plugins: bool,
    quiet: bool,
    plugins: Sequence[str | Path],
    no_plugins: Sequence[str],
    **conditions: Any,
) -> OngoingPick:
    if isinstance(models, (str, Path)):
        raise UsageError(f"vitbench.pick(): models must be a list, not {models!r}")
    try:
        seconds = parse_duration(budget if isinstance(budget, str) else f"{budget:f}")
    except (TypeError, ValueError) as error:
        raise UsageError(f"vitbench.pick(): budget: {error}") from error
    asked = Asked(
        data=data,
        budget=seconds,
        models=tuple(map(str, models)),
        want=want,
        conditions={**conditions, "plugins": tuple(map(str, plugins)), "no_plugins": tuple(no_plugins)},
    )
    catalog = load_catalog(select_plugins(asked.conditions["plugins"], asked.conditions["no_plugins"]))
    for problem in catalog.fatal(strict=strict_plugins):
        raise UnusableError(str(problem))
    condition = parse_want(want, catalog)
    place, names = place_of(data, catalog), listed(asked.models, catalog)
    stages = Stages(
        asked={
            "suite": names.suite,
            "datasets": (place.dataset,),
            "data": place.data,
            "seeds": (0,),
            **asked.conditions,
        },
        folder=(Path(output) if output else default_output()).absolute(),
        executor=chosen_executor(),
        strict_plugins=strict_plugins,
        quiet=quiet,
        say=(lambda _: None) if quiet else say,
    )
    return OngoingPick(asked, stages, catalog, names, condition)
