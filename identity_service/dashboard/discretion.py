"""What of a report is told to whoever is to see no persons: nothing from which a figure of few is worked out.

Owns how counts are told to such a role, in pages as in files; refuses to know how a report is made.

To leave out the small figures is not enough: totals less the other parts tell them again.  So nothing exact
is told at all.  (That is rounding as statisticians use it; leaving out further cells instead would need to
know every sum that anybody can form.)

- A count of nought to four is left out, with the whole row where it counts the row's persons.
- Any other count is told to the nearest ten.
- Shares, means and costs are made anew of the counts as they are told, and left out where they are of fewer
  than a hundred.

Why these numbers.  The counts behind a told one begin at a number that ends in 5 and end at one in 4, those
behind one that is left out are 0 to 4.  Take any sum whose total is told: what the total and the parts that
are told leave for a part that is left out has an odd lower bound and an upper one of 4 or more, so that three
and four are always both possible.  Had nought been told apart, fourteen ones would betray themselves.

What this does not stop: somebody who asks for one day more at a time, and waits for a figure to jump.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final

from graph.growth.intervals import share
from graph.growth.report import Cell, Column, Report, Table, Unit
from graph.said import Said

FEWEST: Final = 5
"""Smaller counts are left out."""
STEP: Final = 10
FEWEST_SHARED: Final = 100
"""Rounding says too much or too little of shares of fewer."""
_PERSONS: Final = ("members", "newcomers")
"""Columns that count the persons of a row, the first one that a table has."""
_PLACES: Final = frozenset({"age", "generation", "place", "window_days"})
"""Counts that say which row it is."""
_NOBODY: Final = frozenset({"trees", "generations"})
"""Counts that are none of persons or invites."""
_COUNTED: Final = frozenset({"newcomers"})
"""Counts whatever their unit is: an invite that several batches paid for is divided among them."""
_UNTOLD: Final = frozenset({"ban_rate_shrunk"})
"""Figures that cannot be made of counts alone."""
_ABOUT: Final = ("reached", "members", "newcomers", "good")
"""Whose times, shapes and scores a row tells."""
_DIGITS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quotient:
    """What a figure is made of: products of columns.  Without `under` the figure itself says of how many."""

    over: tuple[str, ...]
    under: tuple[str, ...] = ()

    def fits(self, names: Container[str]) -> bool:
        return all(name in names for name in (*self.over, *self.under))


def _of(over: str, under: str = "") -> _Quotient:
    return _Quotient(over=tuple(over.split()), under=tuple(under.split()))


_MADE_OF: Final[dict[str, tuple[_Quotient, ...]]] = {
    "ban_rate": (_of("banned", "members"),),
    "branching": (_of("branching inviters", "inviters"),),
    "conversion": (_of("taken", "issued"), _of("approved", "started"), _of("k mature", "i mature")),
    "cost_a_member": (_of("cost", "members"),),
    "dark_share": (_of("dark", "available"),),
    "i": (_of("i mature", "mature"),),
    "invites_an_inviter": (_of("i mature", "inviting mature"),),
    "inviting": (_of("inviting mature", "mature"),),
    "k": (_of("k mature", "mature"),),
    "k30": (_of("k30 mature", "mature"),),
    "k_good": (_of("k_good mature", "mature"),),
    "of_issued": (_of("reached"),),
    "of_made": (_of("invitations"),),
    "of_previous": (_of("reached"),),
    "of_row": (_of("members"),),
    "quick_ratio": (_of("quick_ratio churned", "churned"),),
    "r": (_of("invited", "members"),),
    "retention": (_of("active", "members"),),
    "return": (_of("newcomers", "granted"), _of("newcomers", "invitations")),
    "top_share": (_of("top_share branching inviters", "branching inviters"),),
}


def discreet(report: Report) -> Report:
    """Return a report as it is told to whoever is to see no persons; its `n` is 0 where it is of few."""
    return replace(
        report,
        n=told_count(report.n) or 0,
        tables=tuple(map(_discreet, report.tables)),
        notes=tuple(said for note in report.notes if (said := _said(note)) is not None),
    )


def told_count(exact: float) -> int | None:
    """Return a count as it is told.

    >>> [told_count(n) for n in (0, 4, 5, 14, 15, 60)]
    [None, None, 10, 10, 20, 60]
    """
    count = round(exact)
    return None if count < FEWEST else (count + STEP // 2) // STEP * STEP


def _said(note: Said) -> Said | None:
    """Say a note with its counts as they are told; None where it is about few."""
    values = {name: told_count(value) for name, value in note.values.items()}
    told = {name: value for name, value in values.items() if value is not None}
    return Said(note.template, **told) if len(told) == len(values) else None


def _discreet(table: Table) -> Table:
    names = {column.name for column in table.columns}
    persons = next((name for name in _PERSONS if name in names), None)
    shown = tuple(column for column in table.columns if column.name not in _UNTOLD)
    rows = []
    for cells in table.rows:
        exact = dict(zip((column.name for column in table.columns), cells, strict=True))
        told = dict.fromkeys(exact) if _is_few(exact.get(persons or "")) else _told(exact, shown)
        rows.append(
            told | {column.name: exact[column.name] for column in shown if _names_a_row(table, column)}
        )
    if {"joined", "members"} <= names:
        _leave_out_stocks(rows)
    return replace(
        table, columns=shown, rows=tuple(tuple(row[column.name] for column in shown) for row in rows)
    )


def _names_a_row(table: Table, column: Column) -> bool:
    """Tell whether a column says which row it is, and not how much: a date tells about nobody."""
    return (
        column.unit in (Unit.TEXT, Unit.INSTANT, Unit.MEMBER, Unit.FLAG)
        or column.name in (table.x, table.by)
        or column.name in _PLACES
    )


def _told(exact: Mapping[str, Cell], columns: Sequence[Column]) -> dict[str, Cell]:
    """Return a row as it is told: counts rounded, and everything else made of counts."""
    told: dict[str, Cell] = {}
    for column in columns:
        cell = exact[column.name]
        if column.name in told or isinstance(cell, str | bool):
            continue  # the limits of an estimate that stands before them
        if cell is None:
            told[column.name] = None
        elif column.name in _MADE_OF:
            told |= _estimate(column, cell, exact)
        elif column.name in _NOBODY:
            told[column.name] = cell
        elif column.unit is Unit.COUNT or column.name in _COUNTED:
            told[column.name] = told_count(cell)
        else:
            told[column.name] = None if any(_is_few(exact.get(name)) for name in _ABOUT) else _rounded(cell)
    return told


def _estimate(column: Column, cell: float, exact: Mapping[str, Cell]) -> dict[str, Cell]:
    """Make an estimate anew of counts as they are told, and its limits beside it."""
    names = [name for name in (column.name, column.low, column.high) if name is not None]
    made_of = next((one for one in _MADE_OF[column.name] if one.fits(exact)), None)
    if made_of is None:
        return dict.fromkeys(names)
    over = _product(made_of.over, exact)
    above = _rounded(over) if "cost" in made_of.over else told_count(over)
    below = told_count(_product(made_of.under, exact) if made_of.under else over / cell if cell else 0)
    if above is None or below is None or below < FEWEST_SHARED:
        return dict.fromkeys(names)
    if column.low is None or column.high is None:
        return {column.name: round(above / below, 6)}
    if column.unit is Unit.SHARE:
        of_told = share(min(round(above), below), below)
        return dict(zip(names, (of_told.value, of_told.low, of_told.high), strict=True))
    low, high = exact[column.low], exact[column.high]
    half = 0.0 if low is None or high is None else _rounded((float(high) - float(low)) / 2)
    value = above / below
    return dict(
        zip(names, (round(value, 6), round(max(0.0, value - half), 6), round(value + half, 6)), strict=True)
    )


def _product(names: Sequence[str], exact: Mapping[str, Cell]) -> float:
    return prod(float(exact[name] or 0) for name in names)


def _is_few(count: Cell) -> bool:
    return isinstance(count, int | float) and told_count(count) is None


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _leave_out_stocks(rows: Sequence[dict[str, Cell]]) -> None:
    """A stock before and after tells what came between: where that is left out, the stock is, too."""
    for row in rows if len(rows) > 1 else ():
        if row["joined"] is None:
            row["members"] = None
