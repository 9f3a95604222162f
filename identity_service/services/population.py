"""Every member as the levels look at it, batch by batch: what a policy is simulated on.

The bulk form of what `eligibility.py` reads of one member; a test holds the two to each other.  Reads only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, literal_column, or_, select

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members, phones, sanctions
from identity_service.policy.levels import MOST_INVITEES
from identity_service.ports import Instant
from identity_service.services.eligibility import JUDGED_BY

BATCH: Final = 10_000
_first: BindParameter[str] = bindparam("first")
_last: BindParameter[str] = bindparam("last")
_MEMBERS = Statement(
    select(
        members.c.id,
        members.c.external_id,
        members.c.country,
        *JUDGED_BY,
        phones.c.kind.label("phone_kind"),
    )
    .select_from(members)
    .outerjoin(phones, phones.c.id == members.c.phone_id)
    .where(members.c.id > bindparam("after"))
    .order_by(members.c.id)
    .limit(literal_column(str(BATCH)))
)
_banned = func.coalesce(func.sum(case((members.c.state == "banned", 1), else_=0)), 0).label("banned")
_OUTCOMES = Statement(
    select(members.c.inviter_id, func.count().label("joined"), _banned)
    .where(members.c.inviter_id >= _first, members.c.inviter_id <= _last)
    .group_by(members.c.inviter_id)
)
_newest = (
    select(members.c.state)
    .where(members.c.inviter_id == bindparam("member"))
    .order_by(members.c.id.desc())
    .limit(literal_column(str(MOST_INVITEES)))
    .subquery()
)
_OF_NEWEST = Statement(
    select(func.coalesce(func.sum(case((_newest.c.state == "banned", 1), else_=0)), 0).label("banned"))
)
_JUDGED = Statement(
    select(sanctions.c.member_id, sanctions.c.reason_code).where(
        sanctions.c.member_id >= _first,
        sanctions.c.member_id <= _last,
        sanctions.c.lifted_at.is_(None),
        or_(
            sanctions.c.expires_at.is_(None),
            sanctions.c.expires_at > bindparam("now_", type_=BigInteger),
        ),
    )
)
_HOW_MANY = Statement(select(func.count().label("n")).select_from(members))


class Population:
    """Reads the members for a simulation."""

    def size(self, tx: Tx) -> int:
        return int(tx.one(_HOW_MANY).n)

    def batches(self, tx: Tx) -> Iterator[tuple[list[Any], dict[str, tuple[int, int]], dict[str, list[str]]]]:
        """Yield (rows, outcomes of invitees by member, reason codes in force by member)."""
        after = ""
        while rows := tx.all(_MEMBERS, after=after):
            first, after = rows[0].id, rows[-1].id
            yield rows, self._outcomes(tx, first, after), self._judged(tx, first, after, tx.now)

    def _outcomes(self, tx: Tx, first: str, last: str) -> dict[str, tuple[int, int]]:
        found = {}
        for row in tx.all(_OUTCOMES, first=first, last=last):
            joined, banned = int(row.joined), int(row.banned)
            if joined > MOST_INVITEES:
                joined, banned = MOST_INVITEES, int(tx.one(_OF_NEWEST, member=row.inviter_id).banned)
            found[row.inviter_id] = joined, banned
        return found

    def _judged(self, tx: Tx, first: str, last: str, now: Instant) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for row in tx.all(_JUDGED, first=first, last=last, now_=now):
            found[row.member_id].append(row.reason_code)
        return found
