"""What a growth role is told of few cannot be worked out from everything else that it is told.

The attack is that of a patient reader with a solver: every count on every page, for the whole network and
for each country, is an unknown within what is told of it, and everything that is known to add up is an
equation.  A figure that is left out is found if only one value is possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from graph.growth.catalog import REPORTS
from graph.growth.facts import Facts
from graph.growth.report import Cell, Chart, Column, Definition, Report, Table, Unit, estimated, table
from graph.growth.view import Query, View
from graph.said import Said
from identity_service.dashboard.discretion import FEWEST, STEP, discreet, told_count
from tests.dashboard.conftest import Visitor
from tests.graph.growth.networks import network
from tests.support.network import plant
from tests.support.world import World

Key = tuple[Cell, ...]
Discretion = Callable[[Report], Report]
PLENTY = 10_000
NO_FIGURES = {"window_days", "age", "trees", "generations"}
"""Counts that are of no persons."""


def bounds_of(told: int | None) -> tuple[int, int]:
    """Return between which counts a told one lies; one that is left out is of few."""
    return (0, FEWEST - 1) if told is None else (told - STEP // 2, told + STEP // 2 - 1)


# -- what is told ------------------------------------------------------------------------------------------


def reported(*tables: Table, n: int = 9, notes: tuple[Said, ...] = ()) -> Report:
    nothing = Definition(name="x", title="", question="", metrics=())
    return Report(definition=nothing, n=n, of="members", tables=tables, notes=notes)


def test_groups_are_counted_by_their_persons() -> None:
    countries = [
        Column(name="country", title="", unit=Unit.TEXT),
        Column(name="members", title=""),
        Column(name="started", title=""),
    ]
    sent = [Column(name="step", title="", unit=Unit.TEXT), Column(name="sent", title="")]
    rows = [("SE", 5, 77), ("RU", 4, 77), ("BR", 0, 77)]
    shown = discreet(reported(table("a", "", countries, rows), table("b", "", sent, [("x", 1)]))).tables
    assert shown[0].rows == (("SE", 10, 80), ("RU", None, None), ("BR", None, None))
    assert shown[1].rows == (("x", None),)


def test_shares_are_made_of_counts_as_they_are_told() -> None:
    step = [
        Column(name="step", title="", unit=Unit.TEXT),
        Column(name="reached", title=""),
        *estimated("of_issued", "", Unit.SHARE),
        Column(name="median_time", title="", unit=Unit.SPAN),
    ]
    rows = [
        ("issued", 204, 1.0, 0.98, 1.0, None),
        ("sent", 101, 101 / 204, 0.42, 0.56, 123.456),
        ("opened", 3, 3 / 204, 0.0, 0.04, 5.5),
    ]
    issued, sent, opened = discreet(reported(table("all", "", step, rows))).tables[0].rows
    assert issued[:3] == ("issued", 200, 1.0)
    assert sent[:3] == ("sent", 100, 0.5)
    assert sent[3] < 0.5 < sent[4]  # type: ignore[operator]
    assert sent[5] == 120
    assert opened == ("opened", None, None, None, None, None)
    few = [("issued", 90, 1.0, 0.9, 1.0, None), ("sent", 45, 0.5, 0.4, 0.6, 9.0)]
    assert discreet(reported(table("all", "", step, few))).tables[0].rows[1] == (
        "sent",
        50,
        None,
        None,
        None,
        9.0,
    )


def test_a_stock_is_left_out_where_what_came_is() -> None:
    series = [
        Column(name="since", title="", unit=Unit.INSTANT),
        Column(name="joined", title=""),
        Column(name="members", title=""),
    ]
    weeks = [("2026-01-05", 62, 62), ("2026-01-12", 2, 64), ("2026-01-19", 9, 73)]
    shown = discreet(reported(table("series", "", series, weeks))).tables[0].rows
    assert shown == (("2026-01-05", 60, 60), ("2026-01-12", None, None), ("2026-01-19", 10, 70))


def test_rows_about_a_member_tell_no_small_count_either() -> None:
    columns = [
        Column(name="place", title=""),
        Column(name="member", title="", unit=Unit.MEMBER),
        Column(name="score", title="", unit=Unit.RATIO),
        Column(name="good", title=""),
        Column(name="descendants", title=""),
    ]
    rows = [(1, "mem_a", 12.345, 17, 31), (2, "mem_b", 2.5, 3, 7)]
    shown = (
        discreet(reported(table("leaders", "", columns, rows, chart=Chart.BAR, x="member"))).tables[0].rows
    )
    assert shown == ((1, "mem_a", 12.0, 20, 30), (2, "mem_b", None, None, 10))


def test_notes_and_n_are_told_like_counts() -> None:
    open_yet = Said("{n:,} are open.", n=17)
    assert discreet(reported(n=1234, notes=(open_yet,))).n == 1230
    assert discreet(reported(notes=(open_yet,))).notes == ("20 are open.",)
    assert discreet(reported(n=3, notes=(Said("{n:,} are open.", n=3), Said("Fine.")))).notes == ("Fine.",)


# -- one sum -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
@settings(max_examples=300)
def test_no_hidden_part_of_a_sum_is_pinned(parts: list[int]) -> None:
    low, high = bounds_of(told_count(sum(parts)))
    known = [bounds_of(told_count(part)) for part in parts]
    lowest, highest = (sum(one[end] for one in known) for end in (0, 1))
    for (least, most), part in zip(known, parts, strict=True):
        if part < FEWEST:
            at_least = max(least, low - (highest - most))
            at_most = min(most, high - (lowest - least))
            assert at_least < at_most, parts


# -- everything together -------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Unknowns with what is told of them, and what is known to add up; `exactly`: nothing is rounded."""

    exactly: bool = False
    exact: list[int] = field(default_factory=list)
    bounds: list[tuple[int, int]] = field(default_factory=list)
    hidden: dict[Key, int] = field(default_factory=dict)
    places: dict[Key, int] = field(default_factory=dict)
    rows: list[dict[int, int]] = field(default_factory=list)
    least: list[float] = field(default_factory=list)

    def learn(self, key: Key, exact: Cell, told: Cell, *, is_few: bool) -> None:
        """Take one cell from a page; in a row that is left out whole only its count of persons is of few."""
        assert isinstance(exact, int)
        self.places[key] = len(self.exact)
        self.exact.append(exact)
        if told is not None:
            assert isinstance(told, int)
            self.bounds.append((told, told) if self.exactly else bounds_of(told))
            return
        self.hidden[key] = self.places[key]
        few = (1, FEWEST - 1) if self.exactly else bounds_of(None)
        self.bounds.append(few if is_few else (0, PLENTY))

    def add_up(self, total: Key, parts: Iterable[Key], *, at_most: bool = False) -> None:
        """Learn that parts make a total, or are no more than it."""
        row = {self.places[total]: -1}
        for part in parts:
            if part not in self.places:
                return
            row[self.places[part]] = row.get(self.places[part], 0) + 1
        self.rows.append(row)
        self.least.append(-np.inf if at_most else 0.0)

    def found(self) -> dict[Key, int]:
        """Return the hidden figures of which only one value is possible."""
        cells = [(at, place, sign) for at, row in enumerate(self.rows) for place, sign in row.items()]
        where, columns, signs = (np.array(one) for one in zip(*cells, strict=True))
        matrix = csr_array((signs, (where, columns)), shape=(len(self.rows), len(self.exact)))
        truth = matrix @ np.array(self.exact)
        assert ((truth <= 0) & (truth >= np.array(self.least))).all(), "what adds up, adds up"
        low, high = (np.array(one) for one in zip(*self.bounds, strict=True))
        assert ((low <= self.exact) & (high >= self.exact)).all(), "what is told is true"
        constraint = LinearConstraint(matrix, np.array(self.least), 0.0)

        def possible(aim: NDArray[np.float64]) -> NDArray[np.int64]:
            """Return counts that fit everything, as far in one direction as they go."""
            solved = milp(
                aim, constraints=constraint, bounds=Bounds(low, high), integrality=np.ones(len(aim))
            )
            assert solved.success
            counts: NDArray[np.int64] = np.round(solved.x).astype(np.int64)
            return counts

        # Counts that fit and differ from the true ones clear every figure in which they differ.
        truly, left = np.array(self.exact), np.array(sorted(self.hidden.values()))
        tried = 0
        while len(left) and tried < 2:
            before = len(left)
            for sign in (1.0, -1.0):
                aim = np.zeros(len(truly))
                aim[left] = sign
                left = left[possible(aim)[left] == truly[left]]
            tried = 0 if len(left) < before else tried + 1
        pinned = set()
        for place in left.tolist():
            aim = np.zeros(len(truly))
            aim[place] = 1.0
            if possible(aim)[place] == truly[place] == possible(-aim)[place]:
                pinned.add(place)
        return {key: self.exact[place] for key, place in self.hidden.items() if place in pinned}


def counted(reader: Reader, about: str, exact: Report, told: Report) -> None:
    """Learn every count of a report."""
    name = exact.definition.name
    for before in exact.tables:
        after = {column.name: place for place, column in enumerate(told.table(before.name).columns)}
        units = {column.name: column.unit for column in before.columns}
        for number, record in enumerate(before.records()):
            row = told.table(before.name).rows[number]
            few = next((one for one in ("members", "newcomers") if one in record), None)
            whole_row_gone = few is not None and row[after[few]] is None
            for column, cell in record.items():
                if units[column] is not Unit.COUNT or column in ({before.x, before.by} | NO_FIGURES):
                    continue
                key = (about, name, before.name, *_row_of(record, number), column)
                is_few = not whole_row_gone or column == few
                stock = name == "overview" and before.name == "series" and column == "members"
                reader.learn(key, cell, row[after[column]], is_few=is_few and not stock)


def _row_of(record: dict[str, Cell], number: int) -> Key:
    named = tuple(
        record[one]
        for one in ("since", "age", "generation", "window_days", "step", "country", "inviter", "invitee")
        if one in record
    )
    return named or (number,)


def knows(reader: Reader, about: str) -> None:
    """Learn how the figures of one selection hang together."""
    keys = list(reader.places)

    def all_of(report: str, part: str, column: str) -> list[Key]:
        return [key for key in keys if key[:3] == (about, report, part) and key[-1] == column]

    members, joined = (
        (about, "overview", "summary", 0, "members"),
        (about, "overview", "summary", 0, "joined"),
    )
    reader.add_up(members, [(about, "tree", "summary", 0, "members")])
    for report, part in (
        ("tree", "generations"),
        ("tree", "branching"),
        ("cohorts", "generations"),
        ("geography", "countries"),
    ):
        reader.add_up(members, all_of(report, part, "members"))
    reader.add_up(joined, all_of("overview", "series", "joined"))
    for one, series in (("issued", "issued"), ("taken", "taken")):
        reader.add_up((about, "overview", "summary", 0, one), all_of("overview", "series", series))
    for less, more in (
        ("active_7", "active_28"),
        ("active_28", "members"),
        ("banned", "members"),
        ("mature", "joined"),
    ):
        summary = (about, "overview", "summary", 0)
        reader.add_up((*summary, more), [(*summary, less)], at_most=True)
    before = None
    for key in all_of("overview", "series", "joined"):
        since = key[3]
        stock = (*key[:-1], "members")
        for other in (
            (about, "cohorts", "retention", since, 0, "members"),
            (about, "cohorts", "retention", since, 0, "active"),
            (about, "cohorts", "accounting", since, "new"),
            *((about, "k-factor", "cohorts", since, days, "members") for days in (7, 30, 90)),
        ):
            if other in reader.places:
                reader.add_up(key, [other])
        if before is not None:
            reader.add_up(stock, [before, key])
        before = stock
        now = (about, "cohorts", "accounting", since)
        reader.add_up((*now, "active"), [(*now, one) for one in ("new", "retained", "resurrected")])
        reader.add_up((*now, "active"), [(*key[:-1], "active")])
    for key in all_of("funnel", "all", "reached"):
        reader.add_up(key, [(about, "funnel", channel, *key[3:]) for channel in ("sms", "link")])
    for key in all_of("cohorts", "retention", "active"):
        reader.add_up((*key[:-1], "members"), [key], at_most=True)


def everything(facts: Facts, discretion: Discretion, *, exactly: bool = False) -> Reader:
    """Read every report, of the whole and of each country."""
    reader = Reader(exactly=exactly)
    selections = {"": Query(), **{name: Query(country=place) for place, name in enumerate(facts.countries)}}
    for about, query in selections.items():
        for name, (_, compute) in REPORTS.items():
            if name == "quota":
                continue  # of rights to invite, not of persons
            exact = compute(View(facts, query))
            exact = replace(
                exact, tables=tuple(one for one in exact.tables if not _names_members(one.columns))
            )
            counted(reader, about, exact, discretion(exact))
        knows(reader, about)
    for column in ("members", "joined", "suspended", "banned", "active_28", "mature"):
        whole = ("", "overview", "summary", 0, column)
        parts: list[Key] = [(name, "overview", "summary", 0, column) for name in facts.countries]
        reader.add_up(whole, parts, at_most=True)
        if column == "members":
            reader.add_up(whole, [*parts, ("", "geography", "countries", "?", "members")])
    for place in facts.countries:
        reader.add_up(
            (place, "overview", "summary", 0, "members"), [("", "geography", "countries", place, "members")]
        )
    return reader


def _names_members(columns: tuple[Column, ...]) -> bool:
    return any(column.unit is Unit.MEMBER for column in columns)


def with_rare_countries(facts: Facts) -> Facts:
    """Everybody is of a country, and three are of one that nobody else is of."""
    country = np.abs(facts.members.country)
    country[[20, 50, 90]] = 3
    members = replace(facts.members, country=country.astype(np.int32))
    return replace(facts, members=members, countries=("RU", "SE", "US", "IS")).known_at(facts.as_of)


def without_small_figures(report: Report) -> Report:
    """What is not enough: leave out what is of few, and tell the rest exactly."""
    tables = tuple(
        replace(
            one,
            rows=tuple(
                tuple(
                    None
                    if column.unit is Unit.COUNT and isinstance(cell, int) and 0 < cell < FEWEST
                    else cell
                    for cell, column in zip(row, one.columns, strict=True)
                )
                for row in one.rows
            ),
        )
        for one in report.tables
    )
    return replace(report, tables=tables)


@pytest.mark.parametrize("seed", range(1, 5))
def test_nothing_that_is_left_out_is_found_from_all_the_rest(seed: int) -> None:
    reader = everything(with_rare_countries(network(seed, 120, days=90)), discreet)
    assert len(reader.hidden) > 50
    assert reader.found() == {}


def test_the_same_reader_finds_what_is_left_out_where_totals_are_told() -> None:
    reader = everything(with_rare_countries(network(1, 120, days=90)), without_small_figures, exactly=True)
    rare = ("", "geography", "countries", "IS", "members")
    reader.hidden = {rare: reader.hidden[rare]}
    assert reader.found() == {rare: 3}


def test_a_country_of_few_names_nobody(world: World, admin: Visitor, growth: Visitor) -> None:
    countries = {number: "IS" if number == 3 else "SE" for number in range(1, 12)}
    ids = plant(
        world, {number: None if number == 1 else 1 for number in countries}, country=countries.__getitem__
    )
    assert "Iceland" in admin.get("/members").text
    assert "Iceland" in admin.get(f"/tree.json?root={ids[1]}").text
    listed = growth.get("/members").text
    assert "Sweden" in listed
    assert "Iceland" not in listed
    for ref in set(re.findall(r'href="/dashboard/members/([\w-]{40,})"', listed)):
        assert "Iceland" not in growth.get(f"/members/{ref}").text
        assert "Iceland" not in growth.get(f"/members/{ref}/invitees").text
        assert "Iceland" not in growth.get(f"/tree.json?root={ref}").text
