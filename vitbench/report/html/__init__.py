"""The leaderboard as a page: one file that opens from disk, needs no network, and can be read without its scripts.

Mark-up is made by jinja2 with autoescape; data for scripts stand as JSON in elements that no browser runs. Every name
goes through `vitbench.printable.plain` on its way out.
"""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from vitbench.errors import UnusableError
from vitbench.findings.findings import Findings
from vitbench.leaderboard.leaderboard import Condition, Leaderboard, Row, in_order
from vitbench.printable import plain
from vitbench.records import KnownBy
from vitbench.report.findings_sentences import (
    FigureWords,
    ResultWords,
    claim_results,
    findings_notes,
    findings_title,
    published_figures,
)
from vitbench.report.html.board import board_views
from vitbench.report.html.charts import Chart
from vitbench.report.html.curves_chart import curves_chart
from vitbench.report.html.details import Details, RowDetail, RunDetail
from vitbench.report.html.filtering import filter_data
from vitbench.report.html.gallery import Gallery, gallery
from vitbench.report.html.heading import heading
from vitbench.report.html.panels import Panel, evidence_in_words, panel, panel_id
from vitbench.report.html.pareto_chart import Picture, pictures
from vitbench.report.html.scripts import chart_library, json_text, policy, table_library
from vitbench.report.html.specs import CONFIG, TEMPLATES
from vitbench.report.html.table import TableColumn, columns
from vitbench.report.metric_styles import styles_of
from vitbench.report.naming import conditions_in_words, row_labels, titles
from vitbench.report.ranking_notes import ranking_notes, reference_note
from vitbench.report.sentence import closing_sentences
from vitbench.report.tables import (
    device_notes,
    fold_notes,
    head_notes,
    length_notes,
    missing,
    missing_title,
    normalisation_notes,
    pretraining_notes,
    recipe_notes,
    step_notes,
)
from vitbench.report.terminal_text import EN_DASH, rank_range
from vitbench.report.verdict_notes import verdict_notes

if TYPE_CHECKING:
    from jinja2 import Environment

    from vitbench.report.html.figures import PanelFigures

__all__ = ["FOLDER", "render_html", "render_page"]

_NEEDED = ("itables", "jinja2", "vl_convert")
MOST_CLASS_NAMES = 20
"""Class names that the list of datasets gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    """The rows of one condition."""

    title: str
    conditions: str
    rows: tuple[Row, ...]
    ranks: tuple[str, ...]
    places: tuple[int, ...]
    """Of the rows in the order of their ranks."""
    columns: tuple[TableColumn, ...]
    pictures: tuple[Picture, ...]
    training: Chart | None
    looks: PanelFigures
    """The same images through all models."""
    gallery: Gallery | None
    """None where no answers to single images are stored."""
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]


FOLDER = "figures"
"""Beside a page, of the pictures for which it has no room."""


def render_html(board: Leaderboard, details: Details) -> str:
    """Return the leaderboard as one HTML file that refers to no other.

    Args:
        board: what the tables say.
        details: of the same rows.

    Raises:
        UnusableError: the packages of the extra ``html`` are not installed.
    """
    return _page(board, details, _sections(board, details), linked=False)


def render_page(board: Leaderboard, details: Details, have: Container[str] = ()) -> tuple[str, dict[str, bytes]]:
    """Return the page as `render_html` does, and what goes into a folder `FOLDER` beside it: pictures by file name.

    Without the extra ``plots`` there are none, and the page says what draws them.

    Args:
        board: what the tables say.
        details: of the same rows.
        have: names of the files that lie there: a name is of one picture for ever.

    Raises:
        UnusableError: the packages of the extra ``html`` are not installed.
    """
    from vitbench.report.figures.drawing import png

    sections = _sections(board, details)
    linked = importlib.util.find_spec("matplotlib") is not None
    page = _page(board, details, sections, linked=linked)
    shown = (each for section in sections for each in (section.looks, *(panel.figures for panel in section.panels)))
    left_out = [one for each in shown for figure in each.figures for one in figure.left_out]
    return page, {one.file: png(one.picture) for one in left_out if linked and one.file not in have}


def _page(board: Leaderboard, details: Details, sections: list[_Section], *, linked: bool) -> str:
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise UnusableError(f'the page needs {", ".join(lacking)}; install it: pip install "vitbench[html]"')
    script = "".join(map(_source, ("where.js", "filtering.js", "page.js")))
    return (
        _templates()
        .get_template("page.html")
        .render(
            board=board,
            details=details,
            sections=sections,
            columns=list({column.key: column for section in sections for column in section.columns}.values()),
            heading=heading(details),
            summary=closing_sentences(board),
            missing=missing(board),
            missing_title=missing_title(board),
            suites=_suites(details.runs),
            most_class_names=MOST_CLASS_NAMES,
            linked=linked,
            folder=FOLDER,
            boards=board_views(details.boards),
            findings=_findings(details.findings),
            charts=_Charts(),
            filter_data=json_text(filter_data([section.rows for section in sections])),
            libraries={"datatables": table_library(), "vega": chart_library()},
            policy=policy(script),
            script=script,
            style=_source("page.css"),
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Findings:
    """What became of what the suite states, in words."""

    title: str
    results: tuple[ResultWords, ...]
    figures: tuple[FigureWords, ...]
    notes: tuple[str, ...]


def _findings(found: Findings | None) -> _Findings | None:
    if found is None:
        return None
    return _Findings(
        title=findings_title(found),
        results=tuple(claim_results(found)),
        figures=tuple(published_figures(found)),
        notes=tuple(findings_notes(found)),
    )


class _Charts:
    """The charts of a page, numbered as the templates place them."""

    def __init__(self) -> None:
        self._charts: list[Chart] = []

    def number(self, chart: Chart) -> int:
        """Keep a chart; return its number."""
        self._charts.append(chart)
        return len(self._charts) - 1

    def json(self, sections: list[_Section]) -> str:
        """Return the data of all charts so far, and of models side by side, for the page's script."""
        charts = [chart.compact() for chart in self._charts]
        beside = [
            section.gallery.pairs.data if section.gallery and section.gallery.pairs else None for section in sections
        ]
        return json_text({"config": CONFIG, "templates": TEMPLATES, "charts": charts, "beside": beside})


def _sections(board: Leaderboard, details: Details) -> list[_Section]:
    by_condition = board.by_condition()
    names = titles(by_condition)
    detail_of = dict(zip(map(id, board.rows), details.rows, strict=True))
    return [
        _section(
            board,
            condition,
            names[condition],
            rows,
            [detail_of[id(row)] for row in rows],
            gallery(f"s{number}", details.albums.get(condition), len(rows), images=details.images),
        )
        for number, (condition, rows) in enumerate(by_condition.items())
    ]


def _section(
    board: Leaderboard,
    condition: Condition,
    title: str,
    rows: list[Row],
    details: list[RowDetail],
    shown: Gallery | None,
) -> _Section:
    from vitbench.report.html.figures import board_figures

    styles = styles_of(rows, board.rank_by)
    names, ranks = row_labels(rows), [rank_range(row, dash=EN_DASH, unranked=EN_DASH) for row in rows]
    return _Section(
        title=title,
        conditions=conditions_in_words(condition, board.by_condition()),
        rows=tuple(rows),
        ranks=tuple(ranks),
        places=_places(rows, board.rank_by),
        columns=tuple(columns(rows, board.rank_by, board.columns)),
        pictures=tuple(pictures(rows, board.rank_by, [panel_id(row) for row in rows])),
        training=curves_chart([(name, detail.curves) for name, detail in zip(names, details, strict=True)]),
        looks=board_figures(
            f"all-{panel_id(rows[0])}", [(name, each.figures) for name, each in zip(names, details, strict=True)]
        ),
        gallery=shown,
        panels=tuple(
            panel(row, name, detail, rank, board.rank_by)
            for row, name, detail, rank in zip(rows, names, details, ranks, strict=True)
        ),
        notes=(
            *ranking_notes(rows, board.rank_by, board.resolutions.get(condition)),
            *reference_note(board.references.get(condition, {}), rows),
            *device_notes(rows, names),
            *length_notes(rows, names),
            *head_notes(rows, names),
            *fold_notes(rows, names),
            *recipe_notes(rows, names),
            *step_notes(rows, names),
            *pretraining_notes(rows, names),
            *normalisation_notes(rows, names),
            *verdict_notes(rows, names, [style for style in styles if not style.detail]),
        ),
    )


def _places(rows: list[Row], rank_by: str) -> tuple[int, ...]:
    """Return where each row stands by rank, however they are sorted."""
    places = {id(row): place for place, row in enumerate(in_order(rows, rank_by))}
    return tuple(places[id(row)] for row in rows)


def _suites(runs: tuple[RunDetail, ...]) -> list[tuple[str, list[str]]]:
    """Return each suite text once: the runs that used it, and its lines."""
    used: dict[str, list[str]] = {}
    for run in runs:
        if run.suite:
            used.setdefault(run.suite, []).append(run.begun.id)
    return [(", ".join(ids), text.expandtabs(4).splitlines()) for text, ids in used.items()]


_NOT_VERIFIED = "not verified: a name alone proves nothing"
_KNOWN_BY: dict[KnownBy, str] = {
    "checksums": "verified against the published checksums",
    "package": "ships with a package",
    "owner": "the user's own data, with no published checksums to verify them against",
    "": "not verified: no checksums were compared",
}


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Make invisible characters of a name visible, whichever expression brings it."""
        if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
            return value
        return plain(value)

    found = Environment(
        loader=PackageLoader("vitbench.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["utc"] = lambda seconds: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    found.filters["known_by"] = lambda data: _KNOWN_BY[data.known_by] if data.verified else _NOT_VERIFIED
    found.filters["evidence"] = evidence_in_words

    def breaking(name: str) -> Markup:
        """Let a long name break after its hyphens and the like, and not within its words."""
        return Markup("<wbr>").join(re.findall(r"[^-_/:,]*[-_/:,]|[^-_/:,]+", plain(name)))

    found.filters["breaking"] = breaking
    return found


@cache
def _source(name: str) -> str:
    from importlib.resources import files

    return (files("vitbench.report.html") / "templates" / name).read_text(encoding="utf-8")
