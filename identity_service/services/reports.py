"""Growth reports: asked by name and filters, answered from columns that are kept up to date.

A process keeps one `Snapshot`.  A small network is read anew whenever a report is asked for; a large one is
read in the background, and a report is then told of the snapshot that there is.  What a report counts is
`graph.growth`'s; this module finds the rows behind names, and writes members' ids and times into the answer.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import structlog

from graph.growth.catalog import REPORTS
from graph.growth.facts import Facts
from graph.growth.periods import Period
from graph.growth.report import Cell, Definition, Report, Table, Unit
from graph.growth.view import Query, View
from identity_service.db.store import Store, Tx
from identity_service.errors import SYSTEM, Refused, Unavailable, invalid, not_found
from identity_service.ports import SECOND, Instant, rfc3339
from identity_service.services.kept_columns import KeptColumns
from identity_service.services.report_columns import (
    NOTHING,
    Snapshot,
    Told,
    count_members,
    goes_on,
    read_since,
)
from sms.typed import COUNTRIES

log = structlog.get_logger("reports")
SMALL: Final = 20_000
"""Up to so many members are read while the caller waits."""
FRESH: Final = 10 * SECOND
"""A larger network's snapshot may be so old before it is read further."""
_NO_SUCH: Final = -2
_MOST_VIEWS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked; the same names mean the same in every report."""

    start: Instant | None = None
    end: Instant | None = None
    cohort: Period = Period.WEEK
    root_id: str | None = None
    campaign: str | None = None
    country: str | None = None
    as_of: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A report about a time, ready to be shown: its cells are plain values, times RFC 3339, spans seconds."""

    report: Report
    wanted: Wanted
    as_of: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """The network is being read; ask again."""

    rows_read: int
    rows_expected: int
    retry_at: Instant

    @property
    def progress(self) -> float:
        return min(0.99, self.rows_read / max(1, self.rows_expected))


class Reports:
    """The reports of one process.

    Parameters:
        store: for reading in the background.
        kept: what an earlier process has read.
    """

    def __init__(self, store: Store, kept: KeptColumns | None = None) -> None:
        self._store, self._kept = store, kept or KeptColumns(None)
        self._snapshot = NOTHING
        self._lock = threading.Lock()
        self._running: threading.Thread | None = None
        self._rows_read = self._rows_expected = 0
        self._known: dict[Instant, Facts] = {}

    def catalogue(self) -> tuple[Definition, ...]:
        return tuple(definition for definition, _ in REPORTS.values())

    def answer(self, tx: Tx, name: str, wanted: Wanted) -> Answer | Preparing:
        """Answer one report, or tell that the network is still being read.

        Raises:
            Refused: `not_found`, `validation_failed`.
        """
        if name not in REPORTS:
            raise not_found("report")
        snapshot = self._current(tx)
        if isinstance(snapshot, Preparing):
            return snapshot
        return self.compute(snapshot, name, wanted)

    def compute(self, snapshot: Snapshot, name: str, wanted: Wanted) -> Answer:
        """Answer one report from a snapshot."""
        _check(wanted)
        facts = self._facts(snapshot, wanted.as_of)
        _, compute = REPORTS[name]
        report = compute(View(facts, _query(snapshot, facts, wanted)))
        tables = tuple(_published(table, snapshot) for table in report.tables)
        return Answer(report=replace(report, tables=tables), wanted=wanted, as_of=facts.as_of)

    def countries_of_many(self, tx: Tx, fewest: int) -> frozenset[str]:
        """Return the countries that so many members are of; none while the network is being read."""
        snapshot = self._current(tx)
        if isinstance(snapshot, Preparing):
            return frozenset()
        facts = snapshot.facts
        known = facts.members.country[facts.members.country >= 0]
        counts = np.bincount(known, minlength=len(facts.countries)).tolist()
        return frozenset(name for name, n in zip(facts.countries, counts, strict=True) if n >= fewest)

    def read_now(self, told: Told | None = None) -> Snapshot:
        """Read everything that is new, while the caller waits."""
        with self._lock:
            with self._store.read_at_one_instant(SYSTEM) as tx:
                self._settle(tx, told or self._count)
            self._kept.keep(self._snapshot)
            return self._snapshot

    # -- the snapshot ------------------------------------------------------------------------------------

    def _current(self, tx: Tx) -> Snapshot | Preparing:
        if count_members(tx, SMALL + 1) <= SMALL:
            with self._lock:
                self._settle(tx, self._count)
                return self._snapshot
        if self._snapshot is NOTHING or tx.now - self._snapshot.read_at >= FRESH:
            self._read_behind()
        if self._snapshot is NOTHING:
            return Preparing(
                rows_read=self._rows_read, rows_expected=self._rows_expected, retry_at=tx.now + SECOND
            )
        return self._snapshot

    def _settle(self, tx: Tx, told: Told) -> None:
        """Replace the snapshot; from the start where rows came in that ids do not lead to."""
        before = self._kept.load() if self._snapshot is NOTHING else self._snapshot
        fresh = read_since(tx, before, told) if goes_on(tx, before) else None
        if fresh is None or len(fresh.member_ids) != count_members(tx):
            self._kept.forget()
            fresh = read_since(tx, NOTHING, told)
        self._snapshot = fresh
        self._known.clear()

    def _read_behind(self) -> None:
        if self._lock.acquire(blocking=False):
            self._rows_read = self._rows_expected = 0
            self._running = threading.Thread(target=self._run, name="reports", daemon=True)
            self._running.start()

    def _run(self) -> None:
        try:
            with self._store.read_at_one_instant(SYSTEM) as tx:
                # A row of each table for about three invites a member.
                self._rows_expected = 16 * count_members(tx) if self._snapshot is NOTHING else 0
                self._settle(tx, self._count)
            self._kept.keep(self._snapshot)
        except Unavailable as error:
            log.warning("store_unavailable", error=str(error))
        except Exception as error:  # noqa: BLE001 - a thread's error is told or lost
            log.error("reports_not_read", error_type=type(error).__name__)  # noqa: TRY400
        finally:
            self._lock.release()

    def _count(self, rows: int) -> None:
        self._rows_read += rows

    def _facts(self, snapshot: Snapshot, as_of: Instant | None) -> Facts:
        """Return the facts as known at an instant; the last few are kept, with what was derived from them."""
        if as_of is None or as_of >= snapshot.read_at:
            return snapshot.facts
        found = self._known.get(as_of)
        if found is None:
            found = snapshot.facts.known_at(as_of)
            while len(self._known) >= _MOST_VIEWS:
                self._known.pop(next(iter(self._known)), None)
            self._known[as_of] = found
        return found


def _check(wanted: Wanted) -> None:
    if wanted.start is not None and wanted.end is not None and wanted.start >= wanted.end:
        raise invalid("/to", "not_after_from", "`to` comes after `from`.")


def _query(snapshot: Snapshot, facts: Facts, wanted: Wanted) -> Query:
    """Find the rows behind the names."""
    root = None
    if wanted.root_id is not None:
        root = snapshot.row_of(wanted.root_id)
        if root is None or root >= len(facts.members):
            raise invalid("/root_id", "member_unknown", "There is no such member, or there was none then.")
    campaign = None
    if wanted.campaign is not None:
        if wanted.campaign not in facts.campaigns:
            raise invalid("/campaign", "campaign_unknown", "There is no such campaign.")
        campaign = facts.campaigns.index(wanted.campaign)
    country = None
    if wanted.country is not None:
        known = wanted.country in facts.countries
        if not known and wanted.country not in COUNTRIES:
            raise invalid("/country", "country_unknown", "A country is two letters, as SE.")
        country = facts.countries.index(wanted.country) if known else _NO_SUCH
    return Query(
        start=wanted.start,
        end=wanted.end,
        cohort=wanted.cohort,
        root=root,
        campaign=campaign,
        country=country,
    )


def _published(table: Table, snapshot: Snapshot) -> Table:
    units = [column.unit for column in table.columns]
    rows = tuple(
        tuple(_cell(cell, unit, snapshot) for cell, unit in zip(row, units, strict=True))
        for row in table.rows
    )
    return replace(table, rows=rows)


def _cell(cell: Cell, unit: Unit, snapshot: Snapshot) -> Cell:
    if cell is None:
        return None
    match unit:
        case Unit.MEMBER:
            return snapshot.member_id(int(cell))
        case Unit.INSTANT:
            return rfc3339(int(cell))
        case Unit.SPAN:
            return round(float(cell) / SECOND, 3)
        case Unit.RATIO | Unit.SHARE | Unit.MONEY:
            return round(float(cell), 6)
        case _:
            return cell


# -- CSV ---------------------------------------------------------------------------------------------------

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(table: Table) -> str:
    """Return a table as CSV (RFC 4180), its texts made inert: no spreadsheet takes one for a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column.name for column in table.columns])
    writer.writerows(_inert(row) for row in table.rows)
    return out.getvalue()


def _inert(row: Iterable[Cell]) -> list[Cell]:
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row]


def table_named(report: Report, name: str | None) -> Table:
    """Return one table of a report, the first by default.

    Raises:
        Refused: `validation_failed`.
    """
    if name is None:
        return report.tables[0]
    for table in report.tables:
        if table.name == name:
            return table
    names = ", ".join(table.name for table in report.tables)
    raise Refused("query_parameter_invalid", f"This report has no such table; it has {names}.")
