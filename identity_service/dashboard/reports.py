"""Reports on pages: whatever tables a report has, one template shows them, by what they say of themselves.

A growth role is given no group of fewer than five members, and members under pseudonyms, in the pages as in
the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from flask import Response

from graph.growth.periods import Period
from graph.growth.report import Cell, Chart, Column, Definition, Metric, Table, Unit
from identity_service.dashboard.discretion import discreet
from identity_service.dashboard.frame import Say, Viewer, asked, dashboard, page, signed_in
from identity_service.dashboard.shapes import NOTHING, country, money, number, percent
from identity_service.errors import Refused, invalid
from identity_service.ports import Instant, instant_of
from identity_service.services.reports import Answer, Preparing, Wanted, as_csv, table_named

FILTERS: Final = ("from", "to", "cohort", "root_id", "campaign", "country", "as_of")
_DRAWN_LINES: Final = 6
_DRAWN_BARS: Final = 40
_EXPLAINED_BY: Final = {
    "active_7": "active",
    "active_28": "active",
    "ban_rate_shrunk": "ban_rate",
    "cost_a_member": "cost",
    "cycle_p50": "cycle",
    "dark_share": "dark",
    "good": "score",
    "i": "inviting",
    "of_made": "waste",
    "of_row": "matrix",
    "p90_time": "median_time",
    "quick_ratio": "accounting",
    "taken": "conversion",
}
"""Columns that a figure of another name explains."""
_DRAWN: Final = frozenset({Chart.LINE, Chart.BAR, Chart.FUNNEL})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """A cell as it is read: its text, the limits beside it, and where it leads."""

    text: str
    interval: str = ""
    ref: str = ""
    is_number: bool = False
    heat: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A heading, and what it means where the report explains it."""

    title: str
    is_number: bool
    metric: Metric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTable:
    """A table for the page: headings, cells, and the drawing's data as JSON, where it is drawn."""

    name: str
    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[ShownCell, ...], ...]
    drawing: str | None
    as_tiles: bool


@dashboard.get("/reports")
@signed_in()
def reports(viewer: Viewer) -> Response:
    return page("reports.html", found=viewer.services.reports.catalogue())


@dashboard.get("/reports/<name>")
@signed_in()
def report(viewer: Viewer, name: str) -> Response:
    """One report, as the filters want it."""
    given = {one: asked(one) for one in FILTERS}
    try:
        answer = _answer(viewer, name, given)
    except Refused as refused:
        if refused.code == "not_found":
            raise
        return _page(viewer, name, given, 422, refusal=refused)
    if isinstance(answer, Preparing):
        waiting = _page(viewer, name, given, 202, preparing=answer)
        waiting.headers["Refresh"] = "2"
        return waiting
    shown = _all_shown(viewer, answer)
    return _page(viewer, name, given, answer=answer, tables=shown)


@dashboard.get("/reports/<name>/<table>.csv")
@signed_in()
def report_csv(viewer: Viewer, name: str, table: str) -> Response:
    """One table as a file; its texts are inert in a spreadsheet."""
    answer = _answer(viewer, name, {one: asked(one) for one in FILTERS})
    if isinstance(answer, Preparing):
        raise Refused("report_preparing", "The network is still being read; ask again in a moment.")
    found = table_named(answer.report, table)
    made = Response(as_csv(_named(viewer, found)), mimetype="text/csv")
    made.headers["Content-Disposition"] = f'attachment; filename="{name}-{found.name}.csv"'
    return made


def report_tables(viewer: Viewer, name: str) -> list[ShownTable]:
    """Return a report's tables without any filter, for another page; none while the network is being read."""
    answer = _answer(viewer, name, dict.fromkeys(FILTERS, ""))
    return [] if isinstance(answer, Preparing) else _all_shown(viewer, answer)


def _page(viewer: Viewer, name: str, given: dict[str, str], status: int = 200, /, **more: Any) -> Response:
    periods = [period.value for period in Period]
    choices = {"definitions": viewer.services.reports.catalogue(), "periods": periods}
    return page("report.html", status, name=name, given=given, **(choices | {"answer": None} | more))


def _answer(viewer: Viewer, name: str, given: dict[str, str]) -> Answer | Preparing:
    wanted = _wanted(viewer, given)
    answer = viewer.read(lambda tx: viewer.services.reports.answer(tx, name, wanted))
    if isinstance(answer, Preparing) or viewer.is_admin:
        return answer
    return replace(answer, report=discreet(answer.report))


def _wanted(viewer: Viewer, given: dict[str, str]) -> Wanted:
    if given["cohort"] and given["cohort"] not in {period.value for period in Period}:
        raise invalid("/cohort", "unknown", "A cohort is a day, a week or a month.")
    return Wanted(
        start=_instant(given["from"], "/from"),
        end=_instant(given["to"], "/to"),
        cohort=Period(given["cohort"]) if given["cohort"] else Period.WEEK,
        root_id=_root(viewer, given["root_id"]),
        campaign=given["campaign"] or None,
        country=given["country"].upper() or None,
        as_of=_instant(given["as_of"], "/as_of"),
    )


def _root(viewer: Viewer, ref: str) -> str | None:
    if not ref:
        return None
    try:
        return viewer.names.id_of(ref)
    except Refused:
        detail = "There is no such member; a member's page leads to the reports of its branch."
        raise invalid("/root_id", "member_unknown", detail) from None


def _instant(text: str, pointer: str) -> Instant | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(pointer, "malformed", "A day is YYYY-MM-DD.") from None
    return instant_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# -- as it is read -----------------------------------------------------------------------------------------


def _all_shown(viewer: Viewer, answer: Answer) -> list[ShownTable]:
    return [_shown(viewer, table, answer.report.definition) for table in answer.report.tables]


def _shown(viewer: Viewer, table: Table, definition: Definition) -> ShownTable:
    if table.chart is Chart.HEAT and table.x is not None and table.by is not None:
        return _crossed(viewer, table, table.x, table.by)
    limits = {name for column in table.columns for name in (column.low, column.high) if name}
    places = {column.name: place for place, column in enumerate(table.columns)}
    columns = [column for column in table.columns if column.name not in limits]
    metrics = {metric.name: metric for metric in definition.metrics}
    return ShownTable(
        name=table.name,
        title=viewer.say.told(table.title),
        heads=tuple(
            Head(
                title=viewer.say.told(column.title),
                is_number=_is_number(column),
                metric=metrics.get(_EXPLAINED_BY.get(column.name, column.name)),
            )
            for column in columns
        ),
        rows=tuple(tuple(_cell(viewer, column, row, places) for column in columns) for row in table.rows),
        drawing=_drawing(viewer, table),
        as_tiles=len(table.rows) == 1 and table.chart is Chart.NONE,
    )


def _crossed(viewer: Viewer, table: Table, x: str, by: str) -> ShownTable:
    """Lay a table of pairs out as a square: what parts the rows goes down, what goes along goes across."""
    columns = {column.name: column for column in table.columns}
    value, hottest = columns[table.y[0]], _hottest(table)
    records = table.records()
    down, across = ([one for one in dict.fromkeys(table.column(name)) if one is not None] for name in (by, x))
    found = {(one[by], one[x]): one[value.name] for one in records}

    def cell(pair: tuple[Cell, Cell]) -> ShownCell:
        here = found.get(pair)
        if here is None:
            return ShownCell(text=NOTHING if pair in found else "", is_number=True)
        heat = round(9 * float(here) / hottest) if hottest > 0 else None
        return ShownCell(text=_text(viewer.say, value, here), is_number=True, heat=heat)

    rows = tuple(
        (ShownCell(text=_label(viewer, columns[by], one)), *(cell((one, place)) for place in across))
        for one in down
    )
    corner = f"{viewer.say.told(columns[by].title)} ↓ {viewer.say.told(columns[x].title)} →"
    heads = (
        Head(title=corner, is_number=False),
        *(Head(title=_label(viewer, columns[x], place), is_number=True) for place in across),
    )
    title = viewer.say.told(table.title)
    return ShownTable(name=table.name, title=title, heads=heads, rows=rows, drawing=None, as_tiles=False)


def _is_number(column: Column) -> bool:
    return column.unit not in (Unit.TEXT, Unit.MEMBER, Unit.INSTANT, Unit.FLAG)


def _hottest(table: Table) -> float:
    return max((float(cell) for cell in table.column(table.y[0]) if cell is not None), default=0.0)


def _cell(viewer: Viewer, column: Column, row: tuple[Cell, ...], places: dict[str, int]) -> ShownCell:
    cell = row[places[column.name]]
    if column.unit is Unit.MEMBER and cell is not None:
        member_id = str(cell)
        return ShownCell(text=viewer.names.label(member_id), ref=viewer.names.ref(member_id))
    interval = ""
    if column.low is not None and column.high is not None and cell is not None:
        low, high = row[places[column.low]], row[places[column.high]]
        if low is not None and high is not None:
            interval = f"{_text(viewer.say, column, low)} – {_text(viewer.say, column, high)}"
    return ShownCell(text=_text(viewer.say, column, cell), interval=interval, is_number=_is_number(column))


def _text(say: Say, column: Column, cell: Cell) -> str:
    if cell is None:
        return NOTHING
    match column.unit:
        case Unit.SHARE:
            return percent(float(cell), say.locale)
        case Unit.MONEY:
            return money(float(cell), say.locale)
        case Unit.SPAN:
            return _span(say, float(cell))
        case Unit.INSTANT:
            return str(cell)[:10]
        case Unit.FLAG:
            return say("report.maturing") if cell else ""
        case Unit.TEXT if column.name in ("country", "inviter", "invitee"):
            return country(str(cell), say.locale)
        case Unit.TEXT:
            return say.known(f"value.{cell}", str(cell))
        case _:
            return number(float(cell), say.locale)


def _span(say: Say, seconds: float) -> str:
    for size, key in ((86_400, "span.d"), (3_600, "span.h"), (60, "span.min")):
        if seconds >= size:
            return say(key, n=number(round(seconds / size, 1), say.locale))
    return say("span.s", n=number(round(seconds, 1), say.locale))


def _named(viewer: Viewer, table: Table) -> Table:
    """Put what members are called on the pages into a file, where ids are not for the viewer."""
    if viewer.is_admin:
        return table
    members = [column.unit is Unit.MEMBER for column in table.columns]
    rows = tuple(
        tuple(
            viewer.names.label(str(cell)) if is_member and cell is not None else cell
            for cell, is_member in zip(row, members, strict=True)
        )
        for row in table.rows
    )
    return replace(table, rows=rows)


# -- as it is drawn ----------------------------------------------------------------------------------------


def _drawing(viewer: Viewer, table: Table) -> str | None:
    """Return what the chart's script draws, or None where there is nothing to draw."""
    if table.chart not in _DRAWN or table.x is None or not table.rows:
        return None
    columns = {column.name: column for column in table.columns}
    along = _along(table, columns[table.x])
    labels = [_label(viewer, columns[table.x], place) for place in along]
    lines = _lines(viewer.say, table, columns, along)
    drawn: dict[str, Any] = {
        "kind": table.chart.value,
        "labels": labels,
        "lines": lines,
        "unit": columns[table.y[0]].unit.value,
        "named": columns[table.x].unit in (Unit.TEXT, Unit.MEMBER),
    }
    if "maturing" in columns and table.by is None:
        at = {one[table.x]: one["maturing"] for one in table.records()}
        drawn["open"] = [bool(at[place]) for place in along]
    return json.dumps(drawn)


def _along(table: Table, x: Column) -> list[Cell]:
    """Return the places of the drawing; a row without one (the sum over all) is for the table alone."""
    places: list[Cell] = [place for place in dict.fromkeys(table.column(x.name)) if place is not None]
    if table.chart is not Chart.LINE:
        return places[:_DRAWN_BARS]
    # Each group brings its own places: only their order, not the rows', is that of the axis.
    return sorted(places, key=lambda place: str(place) if x.unit is Unit.INSTANT else float(place or 0))


def _label(viewer: Viewer, column: Column, cell: Cell) -> str:
    if column.unit is Unit.MEMBER and cell is not None:
        return viewer.names.label(str(cell))
    return _text(viewer.say, column, cell)


def _part(say: Say, column: Column, group: Cell) -> str:
    """Name the group that a line is of."""
    return say("span.d", n=group) if column.name == "window_days" else _text(say, column, group)


def _lines(say: Say, table: Table, columns: dict[str, Column], along: list[Cell]) -> list[dict[str, Any]]:
    """Return each line with a value, or a gap, for every place."""
    records = table.records()
    groups = list(dict.fromkeys(one[table.by] for one in records)) if table.by else [None]
    lines = []
    for group in groups:
        at = {one[table.x or ""]: one for one in records if table.by is None or one[table.by] == group}

        def values(name: str, at: dict[Cell, dict[str, Cell]] = at) -> list[Cell]:
            return [at[place][name] if place in at else None for place in along]

        for name in table.y:
            column = columns[name]
            title = say.told(column.title)
            line = {
                "name": title if group is None else f"{title}, {_part(say, columns[table.by or ''], group)}",
                "values": values(name),
            }
            if column.low is not None and column.high is not None:
                line |= {"low": values(column.low), "high": values(column.high)}
            lines.append(line)
    return lines[:_DRAWN_LINES]
