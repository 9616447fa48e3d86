"""Stored speeds measured again, both models in lockstep (vitbench/lockstep/), to resolve what the stored ones do not.

What both have stored is timed, under the same conditions: the forward pass at the fixed batch (throughput), pipelined,
and at batch 1 (latency_p50), each call synchronised, and the training step. Other metrics of speed stay as they are
stored, and that is said. Nothing is timed unless this machine, its device and its torch are those of the records; the
store is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from shlex import quote

from vitbench.catalog import Catalog, PluginSelection, load_catalog
from vitbench.catalog.provenance import origin
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.contrast import Contrast
from vitbench.comparing.folder import NoDataError
from vitbench.comparing.speed_ratio import Judgement, Measured, Speed
from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.execution.choice import chosen_executor
from vitbench.lockstep import LockstepError, Side, compare_speeds
from vitbench.lockstep.progress import pair_talker
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.resolve import hub_environment, needs_hub
from vitbench.planning.suite import Conditions
from vitbench.records import KeyedCell
from vitbench.settings import LIVE_SPEEDS
from vitbench.statistics import Estimate, Finding

__all__ = ["NotComparableError", "remeasure"]

_JUDGEMENTS: Mapping[Finding, Judgement] = {
    "faster": "better",
    "slower": "worse",
    "same": "same",
    "not resolved": "not resolved",
}


class NotComparableError(VitbenchError):
    """What was asked for cannot be measured here."""

    exit_code = 12


def remeasure(comparison: Comparison, say: Callable[[str], None], plugins: PluginSelection | None = None) -> Comparison:
    """Return a comparison with its speeds judged by two live processes in turn.

    A worker that fails loses its own metric only, which then has no data.

    Args:
        comparison: of what is stored.
        say: gets a sentence before what takes long.
        plugins: which to load; None: all that are installed, or those that the environment names.

    Raises:
        UnusableError: a plugin file that does not work.
        NoDataError: no speed is stored of both.
        NotComparableError: this is another machine, device or torch than the records', a model is not installed, or A
            and B are one model here, or one of them is imported.
    """
    for row in (row for pair in comparison.pairs for row in (pair.first, pair.second)):
        if row.source:  # its options may name any file of this machine
            raise NotComparableError(
                f"{row.model} is imported, and imported results are never rerun; run the model here, then compare "
                "yours with it."
            )
    cells = [speed.cells for pair in comparison.pairs for speed in pair.speeds if speed.cells]
    if not cells:
        raise NoDataError(
            f"there is nothing to measure again: A and B have none of {', '.join(LIVE_SPEEDS)} that was stored under "
            "the same conditions."
        )
    say("Preparing: examining this machine before measuring on it.")
    catalog = load_catalog(plugins)
    if problems := catalog.fatal(strict=False):
        raise UnusableError(f"{problems[0]}.")
    _refuse_elsewhere([each for both in cells for each in both])
    for first, second in cells:
        if first.cell == second.cell:
            raise NotComparableError(
                f"--measure runs what is installed here, but A and B are the same {first.label} here; to compare two "
                "versions of its code, install them side by side under two names."
            )
    changed = {each.id: _changed(each, catalog) for both in cells for each in both}
    environment = _child_environment([each for both in cells for each in both], catalog, say)
    side = partial(Side, environment=environment, plugins=plugins)

    def again(pair: Contrast) -> Contrast:
        notes = [changed[cell.id] for speed in pair.speeds for cell in speed.cells or ()]
        others = [speed.metric for speed in pair.speeds if speed.metric not in LIVE_SPEEDS]
        if others:
            notes.append(f"Measured in turn: {', '.join(LIVE_SPEEDS)}; as stored: {', '.join(others)}.")
        return replace(
            pair,
            speeds=tuple(_measured(pair, speed, comparison.threshold, side, say) for speed in pair.speeds),
            notes=(*pair.notes, *dict.fromkeys(filter(None, notes))),
        )

    return replace(comparison, pairs=tuple(map(again, comparison.pairs)))


def _refuse_elsewhere(cells: list[KeyedCell]) -> None:
    """Refuse to measure where records would be compared with another machine's or another torch's values."""
    executor = chosen_executor()
    for device in dict.fromkeys(cell.device for cell in cells):
        # In a child: this process must not touch a GPU that others are to be timed on.
        request = PrepareRequest(cells=(), conditions=Conditions(device=device))
        ending = executor.run("vitbench.planning.prepare:prepare_in_child", request, Prepared)
        if ending.kind == "refused":
            raise NotComparableError(f"the records are of device {device}, which cannot be used here: {ending.reason}")
        here = ending.answered("examining this machine").environment
        for cell in cells:
            for what, stored, now in (
                ("machine", cell.machine, here.machine),
                ("torch", cell.provenance.torch, here.versions.get("torch", "")),
            ):
                if cell.device == device and stored != now:
                    raise NotComparableError(
                        f"{cell.label} was measured with {what} {stored}, but this is {now}: --measure would "
                        "compare neither; run it where the records were made, or run vitbench run here first."
                    )


def _changed(cell: KeyedCell, catalog: Catalog) -> str:
    """Return in words what of a model's code, or of its recipe's, is no longer that of its record; empty: nothing.

    Raises:
        NotComparableError: the model is not installed, or the recipe whose step is timed.
    """
    changes = []
    for what, then in ((cell.label, cell.provenance.model), (cell.cell.recipe, cell.provenance.recipe)):
        if then is None:
            continue
        try:
            offer = catalog.recipe(what) if then is cell.provenance.recipe else catalog.model(cell.cell.model)
        except (UsageError, UnusableError) as error:
            remedy = f" It came from a plugin file: give --plugin {quote(then.distribution)}." * then.is_file
            raise NotComparableError(f"{cell.label} cannot be measured here: {error}{remedy}") from error
        now = origin(offer.plugin)
        if now.code_hash != then.code_hash:
            changes.append(
                f"The code of {what} has changed since its record ({then.owner}, {then.code_hash[:8]}; "
                f"now {now.owner}, {now.code_hash[:8]}): the present code was measured."
            )
    return " ".join(changes)


def _child_environment(cells: list[KeyedCell], catalog: Catalog, say: Callable[[str], None]) -> dict[str, str]:
    """Return the workers' variables, as in a run."""
    from_hub = any(needs_hub(catalog.model(each.cell.model).spec, each.cell.options) for each in cells)
    return hub_environment(from_hub, say)


def _measured(
    pair: Contrast, speed: Speed, threshold: float, side: Callable[..., Side], say: Callable[[str], None]
) -> Speed:
    """Return a speed as it is found in lockstep; one that cannot be compared stays as it is."""
    if speed.cells is None:
        return speed
    names = (pair.first.model, pair.second.model)
    if names[0] == names[1]:
        names = (f"{names[0]} (A)", f"{names[1]} (B)")
    say(f"Measuring {names[0]} and {names[1]} in turn, {speed.metric}; this takes up to five minutes.")
    first, second = (side(planned=planned, label=label) for planned, label in zip(speed.cells, names, strict=True))
    try:
        found = compare_speeds(first, second, threshold=threshold, on_pair=pair_talker(say, speed.metric))
    except LockstepError as error:
        return replace(speed, finding="no data", reason=f"{speed.metric} could not be measured in turn: {error}")
    ratio = Estimate(value=found.ratio, low=found.low, high=found.high)
    if speed.first.better == "lower":  # a time, where images per second were compared
        ratio = Estimate(value=1 / found.ratio, low=1 / found.high, high=1 / found.low)
    measured = Measured(ratio=ratio, pairs=len(found.pairs), quads=found.quads, reasons=found.reasons)
    unresolved = f"{speed.metric}: {len(found.pairs)} pairs of processes in turn do not settle it"
    return replace(
        speed,
        finding=_JUDGEMENTS[found.verdict],
        reason=unresolved if found.verdict == "not resolved" else "",
        measured=measured,
    )
