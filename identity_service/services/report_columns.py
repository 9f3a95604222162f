"""The store's rows as columns: read once, then kept up to date by reading only what came since.

`read` fills a `Snapshot`; `read_since` returns one that knows everything later. Rows are found by id, which
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
from identity_service.ports import HOUR, ID_LENGTH, MINUTE, Instant, first_id
from identity_service.services.progress import BLOCK_DAYS, day_of

BATCH: Final = 20_000
OVERLAP: Final = 10 * MINUTE
"""No transaction takes so long, nor do two machines' clocks differ so much."""
_SETTLES: Final = HOUR
"""A verification is approved or over by then, and what a message cost is known."""

Names = NDArray[np.bytes_]
_NAME: Final = f"S{ID_LENGTH + 4}"
_after: BindParameter[str] = bindparam("after")
_limit: BindParameter[int] = bindparam("limit")
_since = bindparam("since", type_=BigInteger)


def _or_never(column: Any) -> Any:
    return func.coalesce(column, literal(NEVER, BigInteger))


def _or_none(column: Any) -> Any:
    return func.coalesce(column, "")


_member = (
    members.c.id,
    members.c.joined_at,
    _or_none(members.c.inviter_id),
    _or_none(members.c.invite_id),
    _or_none(members.c.campaign_id),
    _or_none(members.c.country),
    _or_never(members.c.activated_at),
)
_MEMBERS = Statement(select(*_member).where(members.c.id > _after).order_by(members.c.id).limit(_limit))
_ACTIVATED = Statement(select(*_member).where(members.c.activated_at > _since))
_COUNT = Statement(select(func.count().label("n")).select_from(members))
_COUNT_FEW = Statement(
    select(func.count().label("n")).select_from(select(members.c.id).limit(_limit).subquery())
)
_revoked = case((invites.c.state == "revoked", invites.c.ended_at), else_=NEVER)
_invite = (
    invites.c.id,
    invites.c.created_at,
    _or_none(invites.c.issuer_id),
    _or_none(invites.c.campaign_id),
    case((invites.c.channel == "sms", 1), else_=0),
    invites.c.max_uses,
    _or_never(invites.c.sent_at),
    _or_never(invites.c.delivered_at),
    _or_never(invites.c.opened_at),
    _or_never(invites.c.requested_at),
    _or_never(invites.c.verified_at),
    invites.c.expires_at,
    _revoked,
)
_INVITES = Statement(select(*_invite).where(invites.c.id > _after).order_by(invites.c.id).limit(_limit))
_MOVED = Statement(select(*_invite).where(invites.c.moved_at > _since))
_CAMPAIGNS = Statement(select(campaigns.c.id, campaigns.c.name).order_by(campaigns.c.id))
_SANCTIONS = Statement(
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
    .limit(_limit)
)
_ENTRIES = Statement(
    select(
        quota_entries.c.id,
        quota_entries.c.created_at,
        quota_entries.c.member_id,
        quota_entries.c.kind,
        quota_entries.c.amount,
        _or_none(quota_entries.c.invite_id),
        _or_none(quota_lots.c.batch_id),
    )
    .join(quota_lots, quota_lots.c.id == quota_entries.c.lot_id)
    .where(quota_entries.c.id > _after)
    .order_by(quota_entries.c.id)
    .limit(_limit)
)
_CHECKS = Statement(
    select(
        verifications.c.id,
        verifications.c.created_at,
        phones.c.country,
        _or_never(verifications.c.approved_at),
    )
    .join(phones, phones.c.id == verifications.c.phone_id)
    .where(verifications.c.id > _after, verifications.c.purpose == "registration")
    .order_by(verifications.c.id)
    .limit(_limit)
)
_COSTS = Statement(
    select(
        messages.c.id,
        messages.c.created_at,
        phones.c.country,
        func.coalesce(messages.c.charged, messages.c.cost),
    )
    .join(phones, phones.c.id == messages.c.phone_id)
    .where(messages.c.id > _after, func.coalesce(messages.c.charged, messages.c.cost).is_not(None))
    .order_by(messages.c.id)
    .limit(_limit)
)
_ACTIVITY = Statement(
    select(activity.c.member_id, activity.c.days)
    .where(activity.c.block == bindparam("block"), activity.c.member_id > _after)
    .order_by(activity.c.member_id)
    .limit(_limit)
)
_FIRST_BLOCK = Statement(select(func.min(activity.c.block).label("block")))

_STEPS: Final = ("sent", "delivered", "opened", "requested", "verified", "expires", "revoked")

Told = Callable[[int], None]
"""Is called with the number of rows that were read since the last time."""


class Labels:
    """Texts that repeat, as small numbers in the order in which they were met; an empty text is -1."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self._places = {"": -1} | {name: place for place, name in enumerate(known)}

    def of(self, texts: tuple[str, ...]) -> NDArray[np.int32]:
        places = self._places
        for text in set(texts) - places.keys():
            places[text] = len(places) - 1
        return np.array([places[text] for text in texts], dtype=np.int32)

    def names(self) -> tuple[str, ...]:
        return tuple(self._places)[1:]


class Places:
    """Where each id stands, found for whole columns: by a 64-bit mix of its bytes, then compared in full."""

    _FACTORS: Final = np.array(
        [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64
    )

    def __init__(self, ids: Names) -> None:
        mixed = self._mixed(ids)
        self._ids, self._order = ids, np.argsort(mixed)
        self._mixes = mixed[self._order]

    def _mixed(self, ids: Names) -> NDArray[np.uint64]:
        words = np.ascontiguousarray(ids, dtype=_NAME).view(np.uint64).reshape(len(ids), len(self._FACTORS))
        mixed = np.zeros(len(ids), dtype=np.uint64)
        for place, factor in enumerate(self._FACTORS):
            mixed = (mixed ^ words[:, place]) * factor
            mixed ^= mixed >> np.uint64(29)
        return mixed

    def find(self, ids: Names) -> NDArray[np.int32]:
        """Return each id's row, or -1."""
        if not len(self._ids) or not len(ids):
            return np.full(len(ids), -1, dtype=np.int32)
        at = np.searchsorted(self._mixes, self._mixed(ids))
        rows = self._order[np.minimum(at, len(self._ids) - 1)]
        return np.where(self._ids[rows] == ids, rows, -1).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The facts, and what is needed to go on reading.

    Attributes:
        facts: what the reports count.
        member_ids, invite_ids: by row.
        campaign_ids: in the order of `facts.campaigns`.
        settled: how many rows of each append-only table need not be read again.
    """

    facts: Facts
    member_ids: Names
    invite_ids: Names
    campaign_ids: tuple[str, ...]
    settled: dict[str, int]

    @property
    def read_at(self) -> Instant:
        return self.facts.as_of

    def row_of(self, member_id: str) -> int | None:
        """Return a member's row; None where there is no such member."""
        found = np.flatnonzero(self.member_ids == member_id.encode())
        return int(found[0]) if len(found) else None

    def member_id(self, row: int) -> str:
        return str(self.member_ids[row].decode())


_EMPTY: Final = np.zeros(0, dtype=_NAME)
NOTHING: Final = Snapshot(
    facts=Facts(as_of=0), member_ids=_EMPTY, invite_ids=_EMPTY, campaign_ids=(), settled={}
)


def count_members(tx: Tx, most: int | None = None) -> int:
    """Return how many members there are; counting stops at `most`."""
    return int(tx.one(_COUNT).n if most is None else tx.one(_COUNT_FEW, limit=most).n)


def read_since(tx: Tx, before: Snapshot, told: Told = lambda rows: None) -> Snapshot:  # noqa: ARG005
    """Return a snapshot that knows what `before` knew and everything since; `NOTHING` knows nothing.

    The transaction must see the store as it was at one instant.
    """
    return _Reader(tx, before, told).read()


class _Merge:
    """Rows that were known and rows that were read, in one order: by time, then as they were met.

    Attributes:
        ids: of all rows.
        targets: where each row that was read stands now.
    """

    def __init__(
        self, ids: Names, at: NDArray[np.int64], read_ids: Names, read_at: NDArray[np.int64]
    ) -> None:
        # Of what was read twice, either will do: all was read at one instant.
        _, once = np.unique(read_ids, return_index=True)
        new = np.sort(once[Places(ids).find(read_ids[once]) < 0])
        self._size = len(ids)
        together, times = np.concatenate([ids, read_ids[new]]), np.concatenate([at, read_at[new]])
        self._moved: NDArray[np.int64] | None = None
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            self._moved = np.empty(len(order), dtype=np.int64)
            self._moved[order] = np.arange(len(order))
            together = together[order]
        self.ids: Names = together
        self.places = Places(together)
        self.targets = self.places.find(read_ids)

    def column(self, before: NDArray[Any], read: NDArray[Any]) -> NDArray[Any]:
        """Return a column over all rows."""
        merged = np.empty(len(self.ids), dtype=before.dtype)
        merged[slice(self._size) if self._moved is None else self._moved[: self._size]] = before
        merged[self.targets] = read
        return merged

    def followed(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return where rows that were named before stand now."""
        if self._moved is None:
            return rows
        return np.where(rows < 0, rows, self._moved[rows]).astype(np.int32)


class _Reader:
    """One reading of everything that is new.

    Parameters:
        told: moves a progress bar.
    """

    def __init__(self, tx: Tx, before: Snapshot, told: Told) -> None:
        self._tx, self._before, self._told = tx, before, told
        self._first = not before.settled
        self._countries, self._batches = Labels(before.facts.countries), Labels(before.facts.batches)
        self._campaign_ids = Labels(before.campaign_ids)

    def read(self) -> Snapshot:
        tx, old = self._tx, self._before.facts
        campaign_rows = tx.rows(_CAMPAIGNS)
        self._campaign_ids.of(tuple(row[0] for row in campaign_rows))
        names = dict(campaign_rows)
        people = self._keyed("mem", _MEMBERS, _ACTIVATED, len(_member))
        issued = self._keyed("inv", _INVITES, _MOVED, len(_invite))
        at_people, at_issued = self._instants(people[1]), self._instants(issued[1])
        who = _Merge(self._before.member_ids, old.members.joined, self._names(people[0]), at_people)
        what = _Merge(self._before.invite_ids, old.invites.issued, self._names(issued[0]), at_issued)
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
            member_ids=who.ids,
            invite_ids=what.ids,
            campaign_ids=self._campaign_ids.names(),
            settled=settled,
        )

    # -- rows --------------------------------------------------------------------------------------------

    def _pages(self, statement: Statement, after: str, width: int, **given: Any) -> list[list[Any]]:
        """Read page after page; return the columns of all rows."""
        columns: list[list[Any]] = [[] for _ in range(width)]
        while rows := self._tx.rows(statement, after=after, limit=BATCH, **given):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(values)
            self._told(len(rows))
            if len(rows) < BATCH:
                break
            after = rows[-1][0]
        return columns

    def _from(self, prefix: str, back: Instant = OVERLAP) -> str:
        """Return the id after which a table is to be read."""
        return "" if self._first else first_id(prefix, self._before.read_at - back)

    def _keyed(self, prefix: str, by_id: Statement, moved: Statement, width: int) -> list[list[Any]]:
        """Read the rows of a table whose rows change."""
        columns = self._pages(by_id, self._from(prefix), width)
        if not self._first:
            rows = self._tx.rows(moved, since=self._before.read_at - OVERLAP)
            for column, values in zip(columns, zip(*rows, strict=True), strict=False):
                column.extend(values)
        return columns

    def _names(self, values: list[str]) -> Names:
        return np.array(values, dtype=_NAME)

    def _instants(self, values: list[int]) -> NDArray[np.int64]:
        return np.array(values, dtype=np.int64)

    # -- tables ------------------------------------------------------------------------------------------

    def _members(self, read: list[list[Any]], who: _Merge, what: _Merge) -> Members:
        old = self._before.facts.members
        _, joined, inviter, invite, campaign, country, activated = read
        return Members(
            joined=who.column(old.joined, self._instants(joined)),
            inviter=who.column(who.followed(old.inviter), who.places.find(self._names(inviter))),
            invite=who.column(what.followed(old.invite), what.places.find(self._names(invite))),
            campaign=who.column(old.campaign, self._campaign_ids.of(tuple(campaign))),
            country=who.column(old.country, self._countries.of(tuple(country))),
            activated=who.column(old.activated, self._instants(activated)),
        )

    def _invites(self, read: list[list[Any]], who: _Merge, what: _Merge) -> Invites:
        old = self._before.facts.invites
        _, issued, issuer, campaign, by_sms, uses, *steps = read
        plain = zip(
            ("sent", "delivered", "opened", "requested", "verified", "expires", "revoked"), steps, strict=True
        )
        return Invites(
            issued=what.column(old.issued, self._instants(issued)),
            issuer=what.column(who.followed(old.issuer), who.places.find(self._names(issuer))),
            campaign=what.column(old.campaign, self._campaign_ids.of(tuple(campaign))),
            by_sms=what.column(old.by_sms, np.array(by_sms, dtype=np.bool_)),
            uses=what.column(old.uses, np.array(uses, dtype=np.int32)),
            **{name: what.column(getattr(old, name), self._instants(values)) for name, values in plain},
        )

    def _bans(self, who: _Merge) -> Bans:
        # All of them, each time: they are few, and may be lifted at any time.
        _, imposed, member, is_ban, expires, lifted = self._pages(_SANCTIONS, "", 6)
        return Bans(
            imposed=self._instants(imposed),
            member=who.places.find(self._names(member)),
            is_ban=np.array(is_ban, dtype=np.bool_),
            expires=self._instants(expires),
            lifted=self._instants(lifted),
        )

    def _appended(
        self, name: str, ids: list[str], old: Any, new: Any, settled: dict[str, int], back: Instant = OVERLAP
    ) -> Any:
        """Put what was read behind what need not be read again."""
        kept = self._before.settled.get(name, 0)
        again = first_id(ids[0].partition("_")[0], self._tx.now - back) if ids else ""
        settled[name] = kept + int(np.searchsorted(self._names(ids), again.encode(), side="right"))
        head = old.cut(kept)
        columns = {
            column.name: np.concatenate([getattr(head, column.name), getattr(new, column.name)])
            for column in fields(new)
        }
        return replace(new, **columns)

    def _entries(self, who: _Merge, what: _Merge, settled: dict[str, int]) -> Entries:
        ids, at, member, kind, amount, invite, batch = self._pages(_ENTRIES, self._from("qle"), 7)
        kinds = {name: place for place, name in enumerate(ENTRY_KINDS)}
        old = self._before.facts.entries
        return self._appended(  # type: ignore[no-any-return]
            "entries",
            ids,
            replace(old, member=who.followed(old.member), invite=what.followed(old.invite)),
            Entries(
                at=self._instants(at),
                member=who.places.find(self._names(member)),
                kind=np.array([kinds[one] for one in kind], dtype=np.int32),
                amount=np.array(amount, dtype=np.int32),
                invite=what.places.find(self._names(invite)),
                batch=self._batches.of(tuple(batch)),
            ),
            settled,
        )

    def _checks(self, settled: dict[str, int]) -> Checks:
        ids, asked, country, approved = self._pages(_CHECKS, self._from("ver", _SETTLES), 4)
        new = Checks(
            asked=self._instants(asked),
            country=self._countries.of(tuple(country)),
            approved=self._instants(approved),
        )
        return self._appended("checks", ids, self._before.facts.checks, new, settled, _SETTLES)  # type: ignore[no-any-return]

    def _costs(self, settled: dict[str, int]) -> Costs:
        ids, at, country, micros = self._pages(_COSTS, self._from("msg", _SETTLES), 4)
        new = Costs(
            at=self._instants(at), country=self._countries.of(tuple(country)), micros=self._instants(micros)
        )
        return self._appended("costs", ids, self._before.facts.costs, new, settled, _SETTLES)  # type: ignore[no-any-return]

    def _activity(self, who: _Merge) -> Activity:
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
            member, days = self._pages(_ACTIVITY, "", 2, block=block)
            parts.append(
                Activity(
                    member=who.places.find(self._names(member)),
                    block=np.full(len(member), block, dtype=np.int32),
                    days=np.array(days, dtype=np.int32),
                )
            )
        return Activity(
            member=np.concatenate([part.member for part in parts]),
            block=np.concatenate([part.block for part in parts]),
            days=np.concatenate([part.days for part in parts]),
        )
