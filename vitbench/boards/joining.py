"""Rows of a leaderboard to the rows of boards: which of them are one model on several datasets, under equal conditions.

A model is joined on its name, its options, its recipe and that one's options. Conditions are equal in all but the
dataset; where a dataset is there in several versions (other files, another lineage), no board mixes them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from vitbench.boards.statement import BoardStatement
from vitbench.catalog.options import parse_dataset
from vitbench.findings.statements import short
from vitbench.leaderboard.leaderboard import Condition, Failure, Leaderboard, Row
from vitbench.leaderboard.rows import unshared
from vitbench.records import KeyedCell, QualityCell, Record

__all__ = ["NOT_ASKED", "Column", "Contestant", "Joined", "joined"]

NOT_ASKED = "not asked for"
"""Why a model is not on a dataset that it has neither a row nor a failure on."""
ModelKey = tuple[str, bytes, str, bytes, str]
"""Model, its options, its recipe, that one's options, and where its results were imported from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A dataset of a board, in one version."""

    name: str
    """As the suite has it, else its title; without the plugin."""
    title: str
    """Of the rows; empty where no row is of it."""
    group: str
    fingerprint: str
    lineage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A model on the datasets of a board."""

    label: str
    rows: tuple[Row | None, ...]
    """In the order of the columns."""
    reasons: tuple[str, ...]
    """Why each of them is missing, for those that are."""

    @property
    def first(self) -> Row:
        """The first row that there is."""
        return next(row for row in self.rows if row is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """What is to be on one board."""

    condition: Condition
    columns: tuple[Column, ...]
    contestants: tuple[Contestant, ...]
    left_out: tuple[str, ...]


def joined(board: Leaderboard, newest: Mapping[str, Record], statement: BoardStatement | None) -> list[Joined]:
    """Return what the boards of a leaderboard are made of: of each condition with rows on more than one dataset.

    Args:
        board: all rows and all failures.
        newest: the newest attempt at each cell, by id.
        statement: of the suite whose datasets the boards are over; None: over all that have rows or failures.
    """
    by_condition: dict[Condition, list[Row]] = defaultdict(list)
    for row in board.rows:
        if row.condition.dataset and any(isinstance(newest[each].planned.cell, QualityCell) for each in row.ids):
            by_condition[_shared(row.condition)].append(row)
    lacking = (*board.failed, *board.elsewhere)
    failures = [failure for failure in lacking if isinstance(failure.planned.cell, QualityCell)]
    names = _names(statement, [record.planned for record in newest.values()])
    return [
        one
        for condition, rows in by_condition.items()
        for one in _Joiner(condition, rows, failures, newest, statement, names).boards()
    ]


def _shared(condition: Condition) -> Condition:
    return replace(condition, dataset="", fingerprint="", lineage="")


@dataclass(frozen=True, slots=True)
class _Version:
    """One version of a dataset."""

    title: str
    fingerprint: str
    lineage: str

    @classmethod
    def of(cls, condition: Condition) -> _Version:
        return cls(condition.dataset, condition.fingerprint, condition.lineage)

    @property
    def plain(self) -> str:
        """The title, verified or not."""
        return self.title.removesuffix(self.doubt)

    @property
    def doubt(self) -> str:
        return f" (unverified, {self.fingerprint[:8]})"

    @property
    def line(self) -> tuple[str, bool]:
        """What versions on one board share."""
        return self.lineage, self.title.endswith(self.doubt)


@dataclass(frozen=True, slots=True)
class _Joiner:
    """The boards of one condition."""

    condition: Condition
    rows: Sequence[Row]
    failures: Sequence[Failure]
    newest: Mapping[str, Record]
    statement: BoardStatement | None
    names: Mapping[str, str]
    """Title of each dataset of the statement to its name there."""
    versions: dict[str, dict[_Version, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Title of each dataset, verified or not, to its versions with their numbers of rows."""

    def boards(self) -> Iterable[Joined]:
        """Yield one board, or one for each lineage where a dataset comes in several."""
        for row in self.rows:
            version = _Version.of(row.condition)
            self.versions[version.plain][version] += 1
        titles = self._titles()
        if sum(bool(self.versions.get(title)) for title in titles) < 2:
            return
        for versions, left_out in self._lines(titles):
            columns = tuple(self._column(title, versions.get(title)) for title in titles)
            contestants = self._contestants(titles, versions)
            on_several = sum(any(one.rows[d] for one in contestants) for d in range(len(titles))) > 1
            if on_several:
                others = [self._left_out_words()] if self._left_out_words() else []
                yield Joined(
                    condition=self.condition,
                    columns=columns,
                    contestants=contestants,
                    left_out=(*left_out, *others),
                )

    def _titles(self) -> list[str]:
        """Return the datasets of the board, by the suite's groups where it has some."""
        stated = self.statement
        if stated is not None:
            titles = [self._title_of(text) for text in stated.datasets]
            order = [*stated.groups, ""]
            by_group = sorted(range(len(titles)), key=lambda d: order.index(stated.group_of(stated.datasets[d])))
            return [titles[d] for d in by_group]
        failed = [failure.dataset for failure in self.failures if self._concerns(failure)]
        return list(dict.fromkeys([*self.versions, *failed]))

    def _title_of(self, text: str) -> str:
        return next((title for title, name in self.names.items() if name == text), short(text))

    def _column(self, title: str, version: _Version | None) -> Column:
        text = self.names.get(title, title)
        stated = self.statement
        if stated is not None:
            text = next((each for each in stated.datasets if self._title_of(each) == title), text)
        return Column(
            name=short(text) if stated is not None else title,
            title=version.title if version else "",
            group=stated.group_of(text) if stated is not None else "",
            fingerprint=version.fingerprint if version else "",
            lineage=version.lineage if version else "",
        )

    def _lines(self, titles: Sequence[str]) -> Iterable[tuple[dict[str, _Version], list[str]]]:
        """Yield of each dataset the version that is on one board, and what is left out of it for another version."""
        there = [title for title in titles if self.versions.get(title)]
        several = [title for title in there if len({version.line for version in self.versions[title]}) > 1]
        lines = list(dict.fromkeys(version.line for title in several for version in self.versions[title]))
        for line in lines or [("", False)]:
            chosen, left_out = {}, []
            for title in there:
                own = {v: n for v, n in self.versions[title].items() if title not in several or v.line == line}
                if not own:
                    continue
                chosen[title] = max(own, key=lambda version: own[version])
                if len(own) > 1:
                    rows = sum(own.values()) - own[chosen[title]]
                    words = f"{rows} row{'s are' if rows > 1 else ' is'} from different images"
                    left_out.append(f"{title}: {words} than most and not on this board")
            yield chosen, left_out

    def _left_out_words(self) -> str:
        stated = self.statement
        if stated is None:
            return ""
        others = sorted({*self.versions} - {*self._titles()})
        return f"not a dataset of the suite {stated.name}, and not on its board: {', '.join(others)}" if others else ""

    def _contestants(self, titles: Sequence[str], versions: Mapping[str, _Version]) -> tuple[Contestant, ...]:
        by_model: dict[ModelKey, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows:
            version = _Version.of(row.condition)
            if versions.get(version.plain) == version:
                by_model[_model_key(self._planned(row), row.source)][version.plain].append(row)
        if not by_model:
            return ()
        keys = list(by_model)
        firsts = [next(iter(own.values()))[0] for own in by_model.values()]
        labels = _labels([self._planned(row) for row in firsts], [row.source for row in firsts])
        return tuple(
            self._contestant(label, key, by_model[key], titles) for label, key in zip(labels, keys, strict=True)
        )

    def _contestant(
        self, label: str, key: ModelKey, by_title: Mapping[str, list[Row]], titles: Sequence[str]
    ) -> Contestant:
        rows: list[Row | None] = []
        reasons = []
        for title in titles:
            own = by_title.get(title, [])
            if len(own) == 1:
                rows.append(own[0])
                reasons.append("")
            else:
                rows.append(None)
                several = f"{len(own)} rows, with different code or inputs: {', '.join(row.label for row in own)}"
                reasons.append(several if own else self._why(key, title))
        return Contestant(label=label, rows=tuple(rows), reasons=tuple(reasons))

    def _why(self, key: ModelKey, title: str) -> str:
        """Return what became of a model's cells on a dataset."""
        own = [
            failure
            for failure in self.failures
            if _plain_title(failure) == title and _model_key(failure.planned) == key and self._concerns(failure)
        ]
        words = [each.status if each.reason in ("", each.status) else f"{each.status}: {each.reason}" for each in own]
        others = [
            version.lineage
            for row in self.rows
            if (version := _Version.of(row.condition)).plain == title
            and _model_key(self._planned(row), row.source) == key
        ]
        if others and not words:
            words = [f"only on different images{f', lineage {others[0]}' if others[0] else ''}"]
        return ", ".join(dict.fromkeys(words)) or NOT_ASKED

    def _concerns(self, failure: Failure) -> bool:
        """Whether a cell without a result would have been under this condition, as far as the cell says."""
        cell, c = failure.planned.cell, self.condition
        assert isinstance(cell, QualityCell)
        own = (cell.limit, cell.epochs, cell.budget, cell.split, cell.precision, cell.compile, cell.channels_last)
        return own == (c.limit, c.epochs, c.budget, c.split, c.precision, c.compile, c.channels_last)

    def _planned(self, row: Row) -> KeyedCell:
        planned = (self.newest[each].planned for each in row.ids)
        return next(each for each in planned if isinstance(each.cell, QualityCell))


def _plain_title(failure: Failure) -> str:
    data = failure.planned.data
    return _Version(failure.dataset, data.fingerprint if data else "", "").plain


def _model_key(planned: KeyedCell, source: str = "") -> ModelKey:
    cell = planned.cell
    options, of_recipe = (
        msgspec.json.encode(each, order="deterministic") for each in (cell.options, cell.recipe_options)
    )
    return cell.model, options, cell.recipe, of_recipe, source


def _labels(planned: Sequence[KeyedCell], sources: Sequence[str]) -> list[str]:
    """Return what to call each model: its label, with its recipe and with options where several would look the same."""
    labels = [
        each.label + (f" (from {source})" if source else "") for each, source in zip(planned, sources, strict=True)
    ]
    labels = [
        f"{label} [{each.cell.recipe}]" if _doubled(labels, i) else label
        for i, (label, each) in enumerate(zip(labels, planned, strict=True))
    ]
    for of_recipe in (False, True):
        alike = defaultdict(list)
        for i, label in enumerate(labels):
            alike[label].append(i)
        for places in alike.values():
            options = [planned[i].cell.recipe_options if of_recipe else planned[i].cell.options for i in places]
            for i, own in zip(places, unshared(options), strict=True):
                labels[i] += f":{','.join(own)}" if own and len(places) > 1 else ""
    return labels


def _doubled(labels: Sequence[str], place: int) -> bool:
    return Counter(labels)[labels[place]] > 1


def _names(statement: BoardStatement | None, planned: Iterable[KeyedCell]) -> dict[str, str]:
    """Return by the title of each dataset what the suite calls it: its title, else the same name and options."""
    if statement is None:
        return {}
    cells = {
        cell.data.title.removesuffix(f" (unverified, {cell.data.fingerprint[:8]})"): cell.cell
        for cell in planned
        if cell.data is not None and isinstance(cell.cell, QualityCell)
    }
    found = {title: text for title in cells for text in statement.datasets if title in (text, short(text))}
    for text in statement.datasets:
        name, options = parse_dataset(text)
        for title, cell in cells.items():
            own = {key: str(value) for key, value in cell.dataset_options.items()}
            called = short(cell.dataset) == short(name) and options.items() <= own.items()
            if called and options and title not in found and text not in found.values():
                found[title] = text
    return found
