"""What a report is made of: a definition that explains it, and tables that any face can show.

A page, a terminal and a CSV file are given the same thing, so that they cannot disagree. A cell is a plain
value; an estimate takes three columns, its own and the two that carry its limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from graph.growth.intervals import Estimate
from graph.said import Said

Cell = str | int | float | bool | None


class Unit(StrEnum):
    """What the numbers of a column are, so that each face can write them its own way."""

    COUNT = "count"
    SHARE = "share"
    """0 to 1."""
    RATIO = "ratio"
    SPAN = "span"
    """Microseconds."""
    INSTANT = "instant"
    """Microseconds since the epoch."""
    MONEY = "money"
    """US dollars."""
    MEMBER = "member"
    """A member's row; whoever publishes the report puts the member's name in its place."""
    TEXT = "text"
    FLAG = "flag"


class Chart(StrEnum):
    """How a table is best drawn."""

    LINE = "line"
    BAR = "bar"
    FUNNEL = "funnel"
    HEAT = "heat"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    low, high : names of the columns that hold its 95 % interval, where it is an estimate
    """

    name: str
    title: str
    unit: Unit = Unit.COUNT
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns.

    Attributes
    ----------
    chart, x, y : how to draw it: what goes along, and which columns go up
    by : the column that parts the rows into lines of their own
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    chart: Chart = Chart.NONE
    x: str | None = None
    y: tuple[str, ...] = ()
    by: str | None = None

    def column(self, name: str) -> list[Cell]:
        """Return the cells of one column."""
        place = next(place for place, column in enumerate(self.columns) if column.name == name)
        return [row[place] for row in self.rows]

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows as dictionaries."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of a report, explained."""

    name: str
    title: str
    formula: str
    denominator: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a report answers, and how."""

    name: str
    title: str
    question: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An answer.

    Attributes
    ----------
    n : how many members, invites or entries it is about; `of` says which
    maturing : something in it is not over yet and may still change
    """

    definition: Definition
    n: int
    of: str
    tables: tuple[Table, ...]
    maturing: bool = False
    notes: tuple[Said, ...] = ()

    def table(self, name: str) -> Table:
        """Return a table by its name."""
        return next(table for table in self.tables if table.name == name)


def estimated(name: str, title: str, unit: Unit) -> tuple[Column, Column, Column]:
    """Return the three columns of an estimate."""
    low, high = f"{name}_low", f"{name}_high"
    return (
        Column(name=name, title=title, unit=unit, low=low, high=high),
        Column(name=low, title=f"{title}, at least", unit=unit),
        Column(name=high, title=f"{title}, at most", unit=unit),
    )


def spread(estimate: Estimate) -> tuple[Cell, Cell, Cell]:
    """Return the three cells of an estimate."""
    return estimate.value, estimate.low, estimate.high


def table(
    name: str,
    title: str,
    columns: Iterable[Column | tuple[Column, ...]],
    rows: Iterable[Sequence[Cell]],
    **drawn: Any,
) -> Table:
    """Make a table; an estimate's three columns may stand as one."""
    flat: list[Column] = []
    for column in columns:
        flat += [column] if isinstance(column, Column) else column
    return Table(name=name, title=title, columns=tuple(flat), rows=tuple(map(tuple, rows)), **drawn)
