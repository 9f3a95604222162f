"""What a terminal shows of a report's long tables."""

from __future__ import annotations

from graph.growth.report import Chart, Column, Table, Unit, table
from identity_service.cli.reports import _cell, _kept


def in_time(*, by: str | None = None) -> Table:
    weeks: list[str | None] = [None, *(f"2026-01-{day:02d}" for day in range(1, 31))]
    rows = [(week, days) for days in (7, 30, 90) for week in weeks]
    columns = (
        Column(name="since", title="From", unit=Unit.INSTANT),
        Column(name="window_days", title="Window"),
    )
    kept = rows if by else [(week, 7) for week in weeks] * 2
    return table("k", "K", columns, kept, chart=Chart.LINE, x="since", by=by)


def test_each_line_keeps_its_last_rows_and_its_sum() -> None:
    kept = [(row["since"], row["window_days"]) for row in _kept(in_time(by="window_days"))]
    for days in (7, 30, 90):
        of_line = [since for since, one in kept if one == days]
        assert of_line == [None, *(f"2026-01-{day:02d}" for day in range(18, 31))]


def test_a_table_in_time_keeps_its_newest_rows_and_another_its_first() -> None:
    long = in_time()
    assert [row["since"] for row in _kept(long)][-1] == "2026-01-30"
    countries = [Column(name="country", title="", unit=Unit.TEXT)]
    ranked = table("a", "", countries, [(f"C{n}",) for n in range(99)], chart=Chart.BAR, x="country")
    assert [row["country"] for row in _kept(ranked)] == [f"C{n}" for n in range(40)]


def test_figures_are_written_as_people_read_them() -> None:
    newcomers = Column(name="newcomers", title="Newcomers", unit=Unit.RATIO)
    assert _cell({"newcomers": 3416.0}, newcomers) == "3,416"
    assert _cell({"newcomers": 0.5}, newcomers) == "0.50"
    step = Column(name="step", title="Step", unit=Unit.TEXT)
    assert _cell({"step": "code_requested"}, step) == "code requested"
    name = Column(name="campaign", title="Campaign", unit=Unit.TEXT)
    assert _cell({"campaign": "code_requested"}, name) == "code_requested"
