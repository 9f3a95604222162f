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
from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, literal, select

from graph.growth.facts import (
    ENTRY_KINDS,
    NEVER,
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
    activity,
    campaigns,
    invites,
    members,
    messages,
    phones,
    quota_entries,
    quota_lots,
    sanctions,
    verifications,
)
from identity_service.ports import HOUR, MINUTE, Instant, first_id
from identity_service.services.progress import BLOCK_DAYS, day_of
from identity_service.services.row_places import Labels, Merge, Places

BATCH: Final = 10_000
OVERLAP: Final = 10 * MINUTE
"""No transaction takes so long, nor do two machines' clocks differ so much."""
_SETTLES: Final = HOUR
"""A verification is approved or over by then, and what a message cost is known."""

_after: BindParameter[str] = bindparam("after")
_limit: BindParameter[int] = bindparam("limit")
_since = bindparam("since", type_=BigInteger)
_ID, _NUMBER, _TEXT = Kind.NAME, Kind.NUMBER, Kind.TEXT


def _or_never(column: Any) -> Any:
    return func.coalesce(column, literal(NEVER, BigInteger))


_member = {
    members.c.id: _ID,
    members.c.joined_at: _NUMBER,
    members.c.inviter_id: _ID,
    members.c.invite_id: _ID,
    members.c.campaign_id: _TEXT,
    members.c.country: _TEXT,
    _or_never(members.c.activated_at): _NUMBER,
}
_MEMBERS = ColumnStatement(
    select(*_member).where(members.c.id > _after).order_by(members.c.id).limit(_limit), [*_member.values()]
)
_ACTIVATED = ColumnStatement(select(*_member).where(members.c.activated_at > _since), [*_member.values()])
_COUNT = Statement(select(func.count().label("n")).select_from(members))
_COUNT_FEW = Statement(
    select(func.count().label("n")).select_from(select(members.c.id).limit(_limit).subquery())
)
_revoked = case((invites.c.state == "revoked", invites.c.ended_at), else_=NEVER)
_invite = {
    invites.c.id: _ID,
    invites.c.created_at: _NUMBER,
    invites.c.issuer_id: _ID,
    invites.c.campaign_id: _TEXT,
    case((invites.c.channel == "sms", 1), else_=0): _NUMBER,
    invites.c.max_uses: _NUMBER,
    _or_never(invites.c.sent_at): _NUMBER,
    _or_never(invites.c.delivered_at): _NUMBER,
    _or_never(invites.c.opened_at): _NUMBER,
    _or_never(invites.c.requested_at): _NUMBER,
    _or_never(invites.c.verified_at): _NUMBER,
    invites.c.expires_at: _NUMBER,
    _revoked: _NUMBER,
}
_INVITES = ColumnStatement(
    select(*_invite).where(invites.c.id > _after).order_by(invites.c.id).limit(_limit), [*_invite.values()]
)
_MOVED = ColumnStatement(select(*_invite).where(invites.c.moved_at > _since), [*_invite.values()])
_CAMPAIGNS = Statement(select(campaigns.c.id, campaigns.c.name).order_by(campaigns.c.id))
_SANCTIONS = ColumnStatement(
    select(
        sanctions.c.id,
        sanctions.c.created_at,
        sanctions.c.member_id,
        case((sanctions.c.action == "ban", 1), else_=0),
        _or_never(sanctions.c.expires_at),
        _or_never(sanctions.c.lifted_at),
    )
    .where(sanctions.c.id > _after, (sanctions.c.action == "ban") | (sanctions.c.action == "suspend"))
    .order_by(sanctions.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _ID, _NUMBER, _NUMBER, _NUMBER),
)
_entry = (
    quota_entries.c.id,
    quota_entries.c.created_at,
    quota_entries.c.member_id,
    case(*((quota_entries.c.kind == name, place) for place, name in enumerate(ENTRY_KINDS)), else_=-1),
    quota_entries.c.amount,
    quota_entries.c.invite_id,
)
_ENTRY_KINDS: Final = (_ID, _NUMBER, _ID, _NUMBER, _NUMBER, _ID)
_ENTRIES = ColumnStatement(
    select(*_entry, quota_lots.c.batch_id)
    .join(quota_lots, quota_lots.c.id == quota_entries.c.lot_id)
    .where(quota_entries.c.id > _after)
    .order_by(quota_entries.c.id)
    .limit(_limit),
    (*_ENTRY_KINDS, _TEXT),
)
# For all entries it costs half as much to look the lots up here.
_ALL_ENTRIES = ColumnStatement(
    select(*_entry, quota_entries.c.lot_id)
    .where(quota_entries.c.id > _after)
    .order_by(quota_entries.c.id)
    .limit(_limit),
    (*_ENTRY_KINDS, _ID),
)
_LOTS = ColumnStatement(
    select(quota_lots.c.id, quota_lots.c.batch_id)
    .where(quota_lots.c.id > _after)
    .order_by(quota_lots.c.id)
    .limit(_limit),
    (_ID, _TEXT),
)
_CHECKS = ColumnStatement(
    select(
        verifications.c.id,
        verifications.c.created_at,
        phones.c.country,
        _or_never(verifications.c.approved_at),
    )
    .join(phones, phones.c.id == verifications.c.phone_id)
    .where(verifications.c.id > _after, verifications.c.purpose == "registration")
    .order_by(verifications.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
_COSTS = ColumnStatement(
    select(
        messages.c.id,
        messages.c.created_at,
        phones.c.country,
        func.coalesce(messages.c.charged, messages.c.cost),
    )
    .join(phones, phones.c.id == messages.c.phone_id)
    .where(messages.c.id > _after, func.coalesce(messages.c.charged, messages.c.cost).is_not(None))
    .order_by(messages.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
_ACTIVITY = ColumnStatement(
    select(activity.c.member_id, activity.c.days)
    .where(activity.c.block == bindparam("block"), activity.c.member_id > _after)
    .order_by(activity.c.member_id)
    .limit(_limit),
    (_ID, _NUMBER),
)
_FIRST_BLOCK = Statement(select(func.min(activity.c.block).label("block")))
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
    """

    facts: Facts
    members: Places
    invites: Places
    campaign_ids: tuple[str, ...]
    settled: dict[str, int]

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
NOTHING: Final = Snapshot(facts=Facts(as_of=0), members=_EMPTY, invites=_EMPTY, campaign_ids=(), settled={})


def count_members(tx: Tx, most: int | None = None) -> int:
    """Return how many members there are; counting stops at `most`."""
    return int(tx.one(_COUNT).n if most is None else tx.one(_COUNT_FEW, limit=most).n)


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
        people = self._keyed("mem", _MEMBERS, _ACTIVATED, read)
        who = Merge(self._before.members, old.members.joined, people[0], people[1], first=self._first)
        read = {2: who.places.find, 3: self._campaign_ids.of}
        issued = self._keyed("inv", _INVITES, _MOVED, read)
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
        )

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
            nothing: dict[Kind, Any] = {_ID: _EMPTY.ids, _NUMBER: np.zeros(0, dtype=np.int64), _TEXT: ()}
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
            by_sms=what.column(old.by_sms, by_sms.astype(np.bool_)),
            uses=what.column(old.uses, uses.astype(np.int32)),
            **{
                name: what.column(getattr(old, name), values)
                for name, values in zip(_STEPS, steps, strict=True)
            },
        )

    def _bans(self, who: Merge) -> Bans:
        # All of them, each time: they are few, and may be lifted at any time.
        _, imposed, member, is_ban, expires, lifted = self._pages(_SANCTIONS, "", {2: who.places.find})
        return Bans(
            imposed=imposed, member=member, is_ban=is_ban.astype(np.bool_), expires=expires, lifted=lifted
        )

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
        read: dict[int, Reading] = {0: self._settled("qle"), 2: who.places.find, 5: what.places.find}
        if self._first:
            lots, batch_of = self._pages(_LOTS, "", {1: self._batches.of})
            lot_places = Places(lots)
            read[6] = lambda ids: batch_of[lot_places.find(ids)]
            found = self._pages(_ALL_ENTRIES, "", read)
        else:
            read[6] = self._batches.of
            found = self._pages(_ENTRIES, self._from("qle"), read)
        is_settled, at, member, kind, amount, invite, batch = found
        old = self._before.facts.entries
        return self._appended(  # type: ignore[no-any-return]
            "entries",
            is_settled,
            replace(old, member=who.followed(old.member), invite=what.followed(old.invite)),
            Entries(
                at=at,
                member=member,
                kind=kind.astype(np.int32),
                amount=amount.astype(np.int32),
                invite=invite,
                batch=batch,
            ),
            settled,
        )

    def _checks(self, settled: dict[str, int]) -> Checks:
        read: dict[int, Reading] = {0: self._settled("ver", _SETTLES), 2: self._countries.of}
        is_settled, asked, country, approved = self._pages(_CHECKS, self._from("ver", _SETTLES), read)
        new = Checks(asked=asked, country=country, approved=approved)
        return self._appended("checks", is_settled, self._before.facts.checks, new, settled)  # type: ignore[no-any-return]

    def _costs(self, settled: dict[str, int]) -> Costs:
        read: dict[int, Reading] = {0: self._settled("msg", _SETTLES), 2: self._countries.of}
        is_settled, at, country, micros = self._pages(_COSTS, self._from("msg", _SETTLES), read)
        new = Costs(at=at, country=country, micros=micros)
        return self._appended("costs", is_settled, self._before.facts.costs, new, settled)  # type: ignore[no-any-return]

    def _activity(self, who: Merge) -> Activity:
        """Read the blocks that may have changed: a report looks at whole days only, so once a day."""
        old = self._before.facts.activity
        old = replace(old, member=who.followed(old.member))
        today = day_of(self._tx.now)
        if self._first:
            begins = self._tx.one(_FIRST_BLOCK).block
            first = today // BLOCK_DAYS + 1 if begins is None else begins
        else:
            heard = day_of(self._before.read_at)
            if heard == today:
                return old
            first = heard // BLOCK_DAYS
        parts = [old.picked(old.block < first)]
        for block in range(first, today // BLOCK_DAYS + 1):
            member, days = self._pages(_ACTIVITY, "", {0: who.places.find}, block=block)
            parts.append(
                Activity(
                    member=member,
                    block=np.full(len(member), block, dtype=np.int32),
                    days=days.astype(np.int32),
                )
            )
        return Activity(
            member=np.concatenate([part.member for part in parts]),
            block=np.concatenate([part.block for part in parts]),
            days=np.concatenate([part.days for part in parts]),
        )


_NONE: Final[NDArray[Any]] = np.zeros(0)
