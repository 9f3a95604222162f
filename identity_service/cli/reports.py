"""Growth reports on a terminal: tables, sparklines, and what each figure means."""

from __future__ import annotations

from typing import Final

import rich_click as click

from graph.growth.catalog import REPORTS
from graph.growth.periods import Period
from graph.growth.report import Cell, Chart, Column, Definition, Report, Table, Unit
from identity_service.api import report_render as render
from identity_service.cli.command import WHEN, Command
from identity_service.cli.output import message, plain, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.ports import Instant, rfc3339
from identity_service.services.reports import Wanted, as_csv, table_named

_BARS: Final = "▁▂▃▄▅▆▇█"
_SHOWN: Final = 40
"""So many rows of a table stand on a terminal; a pipe gets all."""
_WHOLE: Final = 100
"""From so many on nobody reads a ratio's decimals."""
_WORDS: Final = ("step", "became")
"""Columns that hold words of ours."""
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@click.command(cls=Command)
@click.argument("name", metavar="list|NAME", type=click.Choice(("list", *REPORTS)))
@click.option("--from", "start", type=WHEN, help="Joined, issued or entered at or after.")
@click.option("--to", "end", type=WHEN, help="Joined, issued or entered before.")
@click.option("--cohort", type=click.Choice([one.value for one in Period]), default="week", show_default=True)
@click.option("--root", "root_id", metavar="ID", help="Only this member and everyone below.")
@click.option("--campaign", help="Only trees that began with this campaign.")
@click.option("--country", help="Only members who joined with a phone of this country.")
@click.option("--as-of", type=WHEN, help="As it was known then.  [default: now]")
@click.option("--table", "table_name", help="Only this table.")
@click.option("--explain", is_flag=True, help="Tell each figure's formula, denominator and source.")
@click.option("--csv", "csv_wanted", is_flag=True, help="Print one table (the first by default) as CSV.")
@pass_session
def reports(
    session: Session,
    name: str,
    *,
    start: Instant | None,
    end: Instant | None,
    cohort: str,
    root_id: str | None,
    campaign: str | None,
    country: str | None,
    as_of: Instant | None,
    table_name: str | None,
    explain: bool,
    csv_wanted: bool,
) -> None:
    r"""What invitations bring: `list`, or one report.

    \b
    Example:
      identity reports k-factor --from 2026-10-01 --cohort month --explain
    """
    if name == "list" or explain:
        _explain(session, [REPORTS[name][0]] if name in REPORTS else [one for one, _ in REPORTS.values()])
        return
    wanted = Wanted(
        start=start,
        end=end,
        cohort=Period(cohort),
        root_id=root_id,
        campaign=campaign,
        country=None if country is None else country.upper(),
        as_of=as_of,
    )
    with progress("Reading the network", None) as bar:
        snapshot = session.services.reports.read_now(bar)
    found = session.services.reports.compute(snapshot, name, wanted)
    if csv_wanted:
        click.echo(as_csv(table_named(found.report, table_name)), nl=False)
    elif session.as_json:
        print_json(plain(render.report(found)))
    else:
        chosen = None if table_name is None else table_named(found.report, table_name)
        _show(found.report, found.report.tables if chosen is None else (chosen,))
        message(f"As known at {rfc3339(found.as_of)}; n = {found.report.n:,} {found.report.of}.")
        if found.report.maturing:
            message("~ marks what is not over yet and may still change.")
        for note in found.report.notes:
            message(note)


def _explain(session: Session, chosen: list[Definition]) -> None:
    if session.as_json:
        shapes = [plain(render.definition(one)) for one in chosen]
        print_json({"data": shapes})
        return
    if len(chosen) > 1:
        print_table(("report", "question"), ((one.name, one.question) for one in chosen))
        message(
            "One of them: `identity reports NAME`; what its figures mean: `identity reports NAME --explain`."
        )
        return
    for metric in chosen[0].metrics:
        click.secho(f"{metric.title} ({metric.name})", bold=True)
        click.echo(f"  formula      {metric.formula}")
        click.echo(f"  denominator  {metric.denominator}")
        click.echo(f"  source       {metric.source}")


def _show(report: Report, tables: tuple[Table, ...]) -> None:
    click.secho(f"{report.definition.title}: {report.definition.question}", bold=True)
    for table in tables:
        click.echo()
        click.secho(table.title, bold=True)
        if table.chart is Chart.LINE and table.by is None and len(table.rows) > 1:
            for column in table.columns:
                if column.name in table.y:
                    click.echo(f"  {sparkline(table.column(column.name))}  {column.title}")
        columns = [column for column in table.columns if not _is_limit(column, table)]
        rows = _kept(table)
        print_table(
            [column.title for column in columns],
            ([_cell(row, column) for column in columns] for row in rows),
        )
        if len(table.rows) > len(rows):
            message(f"{len(table.rows) - len(rows)} rows more; see --table {table.name} --csv.")


def _kept(table: Table) -> list[dict[str, Cell]]:
    """Return what a terminal shows: of a table in time the sums and the last rows of each line."""
    rows = table.records()
    if len(rows) <= _SHOWN:
        return rows
    if table.chart is not Chart.LINE or table.x is None:
        return rows[:_SHOWN]
    lines = list(dict.fromkeys(row[table.by] for row in rows)) if table.by else [None]
    kept = []
    for line in lines:
        of_line = [row for row in rows if table.by is None or row[table.by] == line]
        sums = [row for row in of_line if row[table.x] is None]
        kept += sums + [row for row in of_line if row[table.x] is not None][-(_SHOWN // len(lines)) :]
    return kept


def _is_limit(column: Column, table: Table) -> bool:
    return any(column.name in (one.low, one.high) for one in table.columns)


def _cell(row: dict[str, Cell], column: Column) -> str | None:
    """Write a cell for people: an estimate with its limits, a share in percent, a span in its unit."""
    value = row[column.name]
    if value is None:
        return None
    if column.unit is Unit.FLAG:
        return "~" if value else ""
    if column.name in _WORDS:
        return str(value).replace("_", " ")
    text = _number(value, column.unit)
    low, high = (row[name] if name else None for name in (column.low, column.high))
    if low is None or high is None:
        return text
    return f"{text} ({_number(low, column.unit)}–{_number(high, column.unit)})"


def _number(value: Cell, unit: Unit) -> str:
    assert value is not None
    match unit:
        case Unit.SHARE:
            return f"{float(value):.1%}"
        case Unit.RATIO:
            return f"{float(value):,.0f}" if abs(float(value)) >= _WHOLE else f"{float(value):.2f}"
        case Unit.MONEY:
            return f"${float(value):.4f}"
        case Unit.COUNT:
            return f"{int(value):,}"
        case Unit.SPAN:
            return _span(float(value))
        case Unit.INSTANT:
            return str(value).removesuffix("T00:00:00.000Z")
        case _:
            return str(value)


def _span(seconds: float) -> str:
    for size, name in _SPANS:
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def sparkline(values: list[Cell]) -> str:
    """Draw numbers as a row of bars; what is unknown is a gap.

    >>> sparkline([0, 1, None, 4])
    '▁▃ █'
    """
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    top = max(numbers, default=0.0) or 1.0
    return "".join(
        _BARS[min(7, int(8 * float(value) / top))] if isinstance(value, int | float) else " "
        for value in values
    )
