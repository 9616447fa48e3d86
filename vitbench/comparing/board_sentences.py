"""What the board of two models says, in sentences: their scores, the difference, and whether it holds over datasets."""

from __future__ import annotations

from collections.abc import Iterator

from vitbench.comparing.board_contrast import BoardContrast
from vitbench.comparing.comparison import Comparison
from vitbench.comparing.sentences import called
from vitbench.report.board_sections import board_title
from vitbench.report.metric_styles import MetricStyle, gap_in_words, in_words, p_value, signed
from vitbench.report.terminal_text import few

__all__ = ["board_head", "board_notes", "board_verdict"]

_MOST_NAMED = 6


def board_head(comparison: Comparison, found: BoardContrast) -> str:
    """Return what stands above it: the models, unless the comparison is of these two, the suite and what is unusual."""
    names = (found.first, found.second)
    model = "" if names == comparison.names else f"{' and '.join(dict.fromkeys(names))}, "
    title = board_title(found.board)
    if model:
        title = title[0].lower() + title[1:]
    return f"{model}{title}"


def board_notes(comparison: Comparison, found: BoardContrast) -> list[str]:
    """Return the scores, how they are made and compared, and what the datasets say as a sample of tasks."""
    board = found.board
    over = (
        f"mean over {len(board.groups)} groups ({', '.join(board.groups)}) of the mean {board.metric} of each"
        if board.score == "mean of groups"
        else f"mean {board.metric} over {len(board.datasets)} datasets"
    )
    style = MetricStyle.of(board.metric, board.style)
    names = called(comparison, found.first, found.second)
    scores = [found.row(side).score for side in "AB"]
    shown = [
        f"{name} {'has none' if score is None else in_words(style, score.value, _decimals(found, style))}"
        for name, score in zip(names, scores, strict=True)
    ]
    notes = [f"Score, the {over} ({board.better} is better): {', '.join(shown)}."]
    if found.reasons:
        return [*notes, f"No difference of scores: {'; '.join(few(found.reasons, _MOST_NAMED))}."]
    assert found.pair is not None
    if found.pair.p_value is None:
        notes.append("Scores are compared by 95 % intervals: scores of the same images are not stored.")
    else:
        notes.append("Paired bootstrap over images within datasets, and the errors of seeds where there are several.")
    return [*notes, *_over(found, names)]


def board_verdict(comparison: Comparison, found: BoardContrast) -> str:
    """Return whether the second is better over these datasets, by how much, and how sure that is."""
    first, second = called(comparison, found.first, found.second)
    pair = found.pair
    if pair is None:
        return "The scores cannot be compared."
    style = MetricStyle.of(found.board.metric, found.board.style)
    decimals = _decimals(found, style)
    size = gap_in_words(style, pair.difference, decimals)
    sure = ""
    if pair.p_value is not None and pair.low is not None and pair.high is not None:
        low, high = (signed(style, end, decimals) for end in (pair.low, pair.high))
        sure = f"95 % interval of the difference {low} to {high}, p {p_value(pair.p_value)}"
        if found.together > 1:
            sure += f"; corrected over {found.together} boards: p up to {found.level:.2g} counts"
        sure = f" ({sure})"
    if found.finding == "same":
        return "The scores are the same on every image of these datasets."
    if found.finding in ("better", "worse"):
        return f"{second} is {found.finding} than {first} over these datasets: {size} of score{sure}."
    more = "more" if pair.difference > 0 else "less" if pair.difference < 0 else "difference"
    return f"Whether the scores differ is not resolved: {second} has {size} {more}{sure}."


def _over(found: BoardContrast, names: tuple[str, str]) -> Iterator[str]:
    over, pair = found.board.over_datasets, found.over
    assert over is not None
    assert pair is not None
    ties = over.datasets - pair.wins - pair.losses
    counts = f"{names[1]} is ahead on {pair.wins} of {over.datasets} datasets and behind on {pair.losses}"
    tied = f", level on {ties}" if ties else ""
    if over.can_decide:
        yield f"{counts}{tied} (signed-rank test over datasets: p {p_value(pair.p_value)})."
    else:
        yield (
            f"{counts}{tied}; {over.datasets} datasets are too few for the signed-rank test to decide "
            f"(p {p_value(pair.p_value)}, the smallest possible is {p_value(over.least_p)})."
        )
    by_label = dict(zip("AB", names, strict=True))
    if over.decides:
        named = few(
            [f"without {one.dataset} {by_label[one.second]} is ahead of {by_label[one.first]}" for one in over.decides],
            _MOST_NAMED,
        )
        yield f"A single dataset decides: {'; '.join(named)}."


def _decimals(found: BoardContrast, style: MetricStyle) -> int:
    """Return two where the interval is narrow enough for a second decimal of a percentage to mean something."""
    pair = found.pair
    if pair is None or pair.low is None or pair.high is None:
        return 1
    return 2 if style.scale * (pair.high - pair.low) / 2 < 1 else 1
