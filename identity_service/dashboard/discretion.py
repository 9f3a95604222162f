"""What of a report somebody sees who is to see no persons: no figure that one could count on a hand.

Owns which figures are blanked, in the pages as in the files; refuses to know how a report is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from graph.growth.report import (
    SMALLEST_SHOWN,
    Cell,
    Chart,
    Report,
    Table,
    Unit,
    names_a_row,
    without_small_groups,
)

_PERSONS: Final = ("members", "newcomers")
"""Columns that count the persons of a row, the first one that a table has."""
_NOBODY: Final = frozenset({"trees", "generations"})
"""Counts that are none of persons or invites."""
_MADE_OF: Final = {
    "active": ("retention",),
    "approved": ("conversion",),
    "banned": ("ban_rate", "ban_rate_shrunk"),
    "churned": ("quick_ratio",),
    "dark": ("dark_share",),
    "granted": ("return",),
    "invitations": ("of_made", "return"),
    "invited": ("r",),
    "inviters": ("branching",),
    "mature": ("k", "inviting", "invites_an_inviter", "i", "conversion", "k_good"),
    "new": ("quick_ratio",),
    "newcomers": ("return",),
    "reached": ("of_previous", "of_issued", "median_time", "p90_time"),
    "refunded": ("used",),
    "resurrected": ("quick_ratio",),
    "taken": ("conversion",),
}
"""Figures from which a count could be worked out again, or that tell of so few."""


def discreet(report: Report) -> Report:
    """Return a report without its small groups and small figures."""
    counted = {}
    for table in report.tables:
        names = {column.name for column in table.columns if column.unit is Unit.COUNT}
        persons = next((name for name in _PERSONS if name in names), None)
        if persons is not None:
            counted[table.name] = persons
    shown = without_small_groups(report, counted)
    return replace(shown, tables=tuple(_without_small_figures(table) for table in shown.tables))


def _without_small_figures(table: Table) -> Table:
    """Blank counts of 1 to 4, and what is made of them; rows about one member are under a pseudonym."""
    if any(column.unit is Unit.MEMBER for column in table.columns):
        return table
    places = {column.name: place for place, column in enumerate(table.columns)}
    counts = [
        column.name
        for column in table.columns
        if column.unit is Unit.COUNT and not names_a_row(table, column) and column.name not in _NOBODY
    ]
    small = [{name for name in counts if _is_small(row[places[name]])} for row in table.rows]
    if table.chart is Chart.LINE and {"joined", "members"} <= places.keys() and any(map(len, small)):
        # A stock told before and after tells what came between.
        small = [names | {"members"} for names in small]
    limits = {column.name: (column.low, column.high) for column in table.columns}
    rows = []
    for row, names in zip(table.rows, small, strict=True):
        derived = {one for name in names for one in _MADE_OF.get(name, ()) if one in places}
        blanked = names | derived | {limit for one in derived for limit in limits[one] if limit}
        rows.append(tuple(None if name in blanked else row[place] for name, place in places.items()))
    return replace(table, rows=tuple(rows))


def _is_small(cell: Cell) -> bool:
    return isinstance(cell, int) and 0 < cell < SMALLEST_SHOWN
