"""The store's rows as columns: read once, then kept up to date by reading only what came since.

`read_since` returns a `Snapshot` that knows everything later than another one.  Rows are found by id, which
sorts by time, and by `moved_at` where they change; the last minutes are read again each time, because a
transaction may commit a little later than its ids say. Nothing here counts anything (see `graph.growth`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, bindparam, func, select

from graph.growth.facts import (
    Activity,
    Bans,
    Checks,
    Costs,
    Entries,
    Facts,
    Invites,
    Members,
)
from identity_service.db.columns import NAME_WIDTH, ColumnStatement, Kind, Names, read_columns
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import (
    campaigns,
    invites,
    journal,
    members,
    messages,
    quota_entries,
    sanctions,
    verifications,
)
from identity_service.ports import HOUR, MINUTE, Instant, first_id
from identity_service.services import report_rows as rows
from identity_service.services.progress import BLOCK_DAYS, day_of
from identity_service.services.row_places import Labels, Merge, Places

BATCH: Final = 10_000
OVERLAP: Final = 10 * MINUTE
"""No transaction takes so long, nor do two machines' clocks differ so much."""
_SETTLES: Final = HOUR
"""A verification is approved or over by then, and what a message cost is known."""

_limit: BindParameter[int] = bindparam("limit")
_COUNT = Statement(select(func.count().label("n")).select_from(members))
_COUNT_FEW = Statement(
    select(func.count().label("n")).select_from(select(members.c.id).limit(_limit).subquery())
)
_CAMPAIGNS = Statement(select(campaigns.c.id, campaigns.c.name).order_by(campaigns.c.id))
# What goes on from here is known by its newest rows: a store that lacks one of them is another one, or was
# set back to an earlier day.
_KEPT_TABLES: Final = (members, invites, quota_entries, sanctions, verifications, messages, journal)
_NEWEST: Final = {table.name: Statement(select(func.max(table.c.id).label("id"))) for table in _KEPT_TABLES}
_IS_THERE: Final = {
    table.name: Statement(select(table.c.id).where(table.c.id == bindparam("id_"))) for table in _KEPT_TABLES
}
_LAST_MOVED = Statement(
    select(invites.c.id, invites.c.moved_at)
    .where(invites.c.moved_at.is_not(None))
    .order_by(invites.c.moved_at.desc())
    .limit(1)
)
_HAS_MOVED = Statement(
    select(invites.c.id).where(invites.c.id == bindparam("id_"), invites.c.moved_at >= bindparam("at"))
)
_STEPS: Final = ("sent", "delivered", "opened", "requested", "verified", "expires", "revoked")

Told = Callable[[int], None]
"""Is called with the number of rows that were read since the last time."""
Reading = Callable[[Any], NDArray[Any]]
"""What becomes of a column of a page: rows instead of ids, small numbers instead of texts."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The facts, and what is needed to go on reading.

    Attributes:
        facts: what the reports count.
        members, invites: where each id stands.
        campaign_ids: in the order of `facts.campaigns`.
        settled: how many rows of each append-only table need not be read again.
        newest: the greatest id of each table.
        moved: the invite that moved last, and when.
    """

    facts: Facts
    members: Places
    invites: Places
    campaign_ids: tuple[str, ...]
    settled: dict[str, int]
    newest: dict[str, str]
    moved: tuple[str, Instant] | None = None

    @property
    def read_at(self) -> Instant:
        return self.facts.as_of

    @property
    def member_ids(self) -> Names:
        return self.members.ids

    @property
    def invite_ids(self) -> Names:
        return self.invites.ids

    def row_of(self, member_id: str) -> int | None:
        """Return a member's row; None where there is no such member."""
        row = int(self.members.find(np.array([member_id.encode()], dtype=self.member_ids.dtype))[0])
        return None if row < 0 else row

    def member_id(self, row: int) -> str:
        return str(self.member_ids[row].decode())


_EMPTY: Final = Places(np.zeros(0, dtype=f"S{NAME_WIDTH}"))
NOTHING: Final = Snapshot(
    facts=Facts(as_of=0), members=_EMPTY, invites=_EMPTY, campaign_ids=(), settled={}, newest={}
)


def count_members(tx: Tx, most: int | None = None) -> int:
    """Return how many members there are; counting stops at `most`."""
    return int(tx.one(_COUNT).n if most is None else tx.one(_COUNT_FEW, limit=most).n)


def goes_on(tx: Tx, before: Snapshot) -> bool:
    """Whether the store is the one of a snapshot, later: what was read then is still so, but for what moved.

    A store that was set back holds fewer rows, or rows that moved less far.  What was read so long ago that
    later rows may have been forgotten since is no beginning either.
    """
    if before.read_at > tx.now:
        return False
    if any(tx.one(_IS_THERE[table], id_=newest) is None for table, newest in before.newest.items()):
        return False
    if before.moved is not None and tx.one(_HAS_MOVED, id_=before.moved[0], at=before.moved[1]) is None:
        return False
    return not any(
        (tx.one(statement).id or "") >= first_id(prefix, before.read_at - _SETTLES)
        for prefix, statement in rows.LAST_FORGOTTEN.items()
    )


def read_since(tx: Tx, before: Snapshot, told: Told = lambda rows: None) -> Snapshot:  # noqa: ARG005
    """Return a snapshot that knows what `before` knew and everything since; `NOTHING` knows nothing.

    The transaction must see the store as it was at one instant.
    """
    return _Reader(tx, before, told).read()


class _Reader:
    """One reading of everything that is new.

    Parameters:
        told: moves a progress bar.
    """

    def __init__(self, tx: Tx, before: Snapshot, told: Told) -> None:
        self._tx, self._before, self._told = tx, before, told
        self._first = before is NOTHING
        self._countries, self._batches = Labels(before.facts.countries), Labels(before.facts.batches)
        self._campaign_ids = Labels(before.campaign_ids)

    def read(self) -> Snapshot:
        tx, old = self._tx, self._before.facts
        campaign_rows = tx.rows(_CAMPAIGNS)
        self._campaign_ids.of(tuple(row[0] for row in campaign_rows))
        names = dict(campaign_rows)
        read: dict[int, Reading] = {4: self._campaign_ids.of, 5: self._countries.of}
        people = self._keyed("mem", rows.MEMBERS, rows.ACTIVATED, read)
        who = Merge(self._before.members, old.members.joined, people[0], people[1], first=self._first)
        read = {2: who.places.find, 3: self._campaign_ids.of, 4: _as_flags, 5: _as_small}
        issued = self._keyed("inv", rows.INVITES, rows.MOVED, read)
        what = Merge(self._before.invites, old.invites.issued, issued[0], issued[1], first=self._first)
        settled: dict[str, int] = {}
        facts = Facts(
            as_of=tx.now,
            members=self._members(people, who, what),
            invites=self._invites(issued, who, what),
            bans=self._bans(who),
            entries=self._entries(who, what, settled),
            checks=self._checks(settled),
            costs=self._costs(settled),
            activity=self._activity(who),
            countries=self._countries.names(),
            campaigns=tuple(names[one] for one in self._campaign_ids.names()),
            batches=self._batches.names(),
        )
        return Snapshot(
            facts=facts,
            members=who.places,
            invites=what.places,
            campaign_ids=self._campaign_ids.names(),
            settled=settled,
            **self._latest(),
        )

    def _latest(self) -> dict[str, Any]:
        newest = {table: self._tx.one(statement).id for table, statement in _NEWEST.items()}
        moved = self._tx.one(_LAST_MOVED)
        return {
            "newest": {table: one for table, one in newest.items() if one is not None},
            "moved": None if moved is None else (moved.id, moved.moved_at),
        }

    # -- rows --------------------------------------------------------------------------------------------

    def _pages(
        self, statement: ColumnStatement, after: str, read: dict[int, Reading], **given: Any
    ) -> list[NDArray[Any]]:
        """Read page after page; return the columns of all rows.

        Parameters:
            read: what becomes of some columns.
        """
        pages: list[list[NDArray[Any]]] = []
        while page := read_columns(self._tx, statement, after=after, limit=BATCH, **given):
            pages.append(self._page(page.columns, read))
            self._told(page.size)
            if page.size < BATCH:
                break
            after = page.last
        return self._together(statement, pages, read)

    def _page(self, columns: list[Any], read: dict[int, Reading]) -> list[NDArray[Any]]:
        return [read[place](column) if place in read else column for place, column in enumerate(columns)]

    def _together(
        self, statement: ColumnStatement, pages: list[list[NDArray[Any]]], read: dict[int, Reading]
    ) -> list[NDArray[Any]]:
        if not pages:
            nothing: dict[Kind, Any] = {
                Kind.NAME: _EMPTY.ids,
                Kind.NUMBER: np.zeros(0, dtype=np.int64),
                Kind.TEXT: (),
            }
            pages = [self._page([nothing[kind] for kind in statement.kinds], read)]
        columns = []
        for place in range(len(statement.kinds)):
            columns.append(np.concatenate([page[place] for page in pages]))
            for page in pages:  # each part goes as soon as it stands in the whole
                page[place] = _NONE
        return columns

    def _from(self, prefix: str, back: Instant = OVERLAP) -> str:
        """Return the id after which a table is to be read."""
        return "" if self._first else first_id(prefix, self._before.read_at - back)

    def _keyed(
        self, prefix: str, by_id: ColumnStatement, moved: ColumnStatement, read: dict[int, Reading]
    ) -> list[NDArray[Any]]:
        """Read the rows of a table whose rows change."""
        columns = self._pages(by_id, self._from(prefix), read)
        if not self._first:
            page = read_columns(self._tx, moved, since=self._before.read_at - OVERLAP)
            if page is not None:
                changed = self._page(page.columns, read)
                columns = [np.concatenate(pair) for pair in zip(columns, changed, strict=True)]
        return columns

    # -- tables ------------------------------------------------------------------------------------------

    def _members(self, read: list[NDArray[Any]], who: Merge, what: Merge) -> Members:
        old = self._before.facts.members
        _, joined, inviter, invite, campaign, country, activated = read
        return Members(
            joined=who.column(old.joined, joined),
            inviter=who.column(who.followed(old.inviter), who.places.find(inviter)),
            invite=who.column(what.followed(old.invite), what.places.find(invite)),
            campaign=who.column(old.campaign, campaign),
            country=who.column(old.country, country),
            activated=who.column(old.activated, activated),
        )

    def _invites(self, read: list[NDArray[Any]], who: Merge, what: Merge) -> Invites:
        old = self._before.facts.invites
        _, issued, issuer, campaign, by_sms, uses, *steps = read
        return Invites(
            issued=what.column(old.issued, issued),
            issuer=what.column(who.followed(old.issuer), issuer),
            campaign=what.column(old.campaign, campaign),
            by_sms=what.column(old.by_sms, by_sms),
            uses=what.column(old.uses, uses),
            **{
                name: what.column(getattr(old, name), values)
                for name, values in zip(_STEPS, steps, strict=True)
            },
        )

    def _bans(self, who: Merge) -> Bans:
        # All of them, each time: they are few, and may be lifted at any time.
        _, imposed, member, is_ban, expires, lifted = self._pages(
            rows.SANCTIONS, "", {2: who.places.find, 3: _as_flags}
        )
        return Bans(imposed=imposed, member=member, is_ban=is_ban, expires=expires, lifted=lifted)

    def _appended(
        self, name: str, is_settled: NDArray[np.bool_], old: Any, new: Any, settled: dict[str, int]
    ) -> Any:
        """Put what was read behind what need not be read again."""
        kept = self._before.settled.get(name, 0)
        settled[name] = kept + int(np.count_nonzero(is_settled))
        if len(old) == kept and not len(new):
            return old
        columns = {
            column.name: np.concatenate([getattr(old, column.name)[:kept], getattr(new, column.name)])
            for column in fields(new)
        }
        return replace(new, **columns)

    def _settled(self, prefix: str, back: Instant = OVERLAP) -> Reading:
        """Return what tells which rows of a page need not be read again."""
        again = first_id(prefix, self._tx.now - back).encode()
        return lambda ids: ids <= again

    def _entries(self, who: Merge, what: Merge, settled: dict[str, int]) -> Entries:
        read: dict[int, Reading] = {0: self._settled("qle"), 2: who.places.find, 3: _as_small, 4: _as_small}
        read[5] = what.places.find
        if self._first:
            lots, batch_of = self._pages(rows.LOTS, "", {1: self._batches.of})
            lot_places = Places(lots)
            read[6] = lambda ids: batch_of[lot_places.find(ids)]
            found = self._pages(rows.ALL_ENTRIES, "", read)
        else:
            read[6] = self._batches.of
            found = self._pages(rows.ENTRIES, self._from("qle"), read)
        is_settled, at, member, kind, amount, invite, batch = found
        old = self._before.facts.entries
        return self._appended(  # type: ignore[no-any-return]
            "entries",
            is_settled,
            replace(old, member=who.followed(old.member), invite=what.followed(old.invite)),
            Entries(
                at=at,
                member=member,
                kind=kind,
                amount=amount,
                invite=invite,
                batch=batch,
            ),
            settled,
        )

    def _with_forgotten(
        self, forgotten: ColumnStatement, kept: ColumnStatement, after: str, read: dict[int, Reading]
    ) -> list[NDArray[Any]]:
        """Read the rows of a table, and the first time also what is left of those that were forgotten."""
        found = self._pages(kept, after, read)
        if not self._first:
            return found
        return [np.concatenate(pair) for pair in zip(self._pages(forgotten, "", read), found, strict=True)]

    def _checks(self, settled: dict[str, int]) -> Checks:
        read: dict[int, Reading] = {0: self._settled("ver", _SETTLES), 2: self._countries.of}
        found = self._with_forgotten(rows.FORGOTTEN_CHECKS, rows.CHECKS, self._from("ver", _SETTLES), read)
        is_settled, asked, country, approved = found
        new = Checks(asked=asked, country=country, approved=approved)
        return self._appended("checks", is_settled, self._before.facts.checks, new, settled)  # type: ignore[no-any-return]

    def _costs(self, settled: dict[str, int]) -> Costs:
        read: dict[int, Reading] = {0: self._settled("msg", _SETTLES), 2: self._countries.of}
        found = self._with_forgotten(rows.FORGOTTEN_COSTS, rows.COSTS, self._from("msg", _SETTLES), read)
        is_settled, at, country, micros = found
        new = Costs(at=at, country=country, micros=micros)
        return self._appended("costs", is_settled, self._before.facts.costs, new, settled)  # type: ignore[no-any-return]

    def _activity(self, who: Merge) -> Activity:
        """Read the blocks that may have changed: a report looks at whole days only, so once a day."""
        old = self._before.facts.activity
        old = replace(old, member=who.followed(old.member))
        today = day_of(self._tx.now)
        if self._first:
            begins = self._tx.one(rows.FIRST_BLOCK).block
            first = today // BLOCK_DAYS + 1 if begins is None else begins
        else:
            heard = day_of(self._before.read_at)
            if heard == today:
                return old
            first = heard // BLOCK_DAYS
        parts = [old.picked(old.block < first)]
        for block in range(first, today // BLOCK_DAYS + 1):
            member, days = self._pages(rows.ACTIVITY, "", {0: who.places.find, 1: _as_small}, block=block)
            parts.append(
                Activity(
                    member=member,
                    block=np.full(len(member), block, dtype=np.int32),
                    days=days,
                )
            )
        return Activity(
            member=np.concatenate([part.member for part in parts]),
            block=np.concatenate([part.block for part in parts]),
            days=np.concatenate([part.days for part in parts]),
        )


def _as_small(numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    return numbers.astype(np.int32)


def _as_flags(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    return numbers.astype(np.bool_)


_NONE: Final[NDArray[Any]] = np.zeros(0)
