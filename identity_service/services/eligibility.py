"""The right to invite, decided: reads what the rules look at and puts it to `policy/inviting.py`.

The one place where a member's facts are read from the store, for refusing, for telling, and for granting.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnClause,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import invites, members, phones, sanctions
from identity_service.errors import not_found
from identity_service.policy.inviting import Decision, InviterFacts, may_invite
from identity_service.policy.levels import MOST_INVITEES, MemberFacts
from identity_service.ports import Instant
from identity_service.services.policy_book import PolicyBook
from identity_service.services.quota import QuotaLedger

_now = bindparam("now_", type_=BigInteger)
_member: BindParameter[str] = bindparam("member")
_of_phone = select(phones.c.kind).where(phones.c.id == members.c.phone_id).scalar_subquery()
_child = members.alias("child")
_one: ColumnClause[int] = literal_column("1")
JUDGED_BY: Final = (
    members.c.state,
    members.c.invites_frozen,
    members.c.joined_at,
    members.c.last_seen_at,
    members.c.phone_verified_at,
    members.c.trust_log_odds,
    members.c.trust_conduct,
    members.c.trust_standing,
    members.c.trust_from_inviter,
    members.c.level,
    members.c.level_since,
)
"""Columns of a member's own row that decide; whoever judges many members (`population.py`) reads the same."""
# Most members have neither sanctions nor invitees: the row itself says for whom there is more to ask.
FACTS_OF: Final = Statement(
    select(
        members.c.id,
        *JUDGED_BY,
        members.c.earn_from,
        members.c.review_at,
        members.c.quota_earned,
        _of_phone.label("phone_kind"),
        exists(select(_one).where(sanctions.c.member_id == members.c.id)).label("sanctioned"),
        exists(select(_one).where(_child.c.inviter_id == members.c.id)).label("inviting"),
    ).where(members.c.id == _member)
)
"""What is read of a member to judge it; `Eligibility.member` turns it into facts."""
# PostgreSQL holds the row until the end, as SQLite holds the whole store: what is decided stays true.  The
# facts are read by a statement of their own: one that waited for the row would still see the sanctions and
# invitees of the moment at which it began to wait.
_row = select(members.c.id).where(members.c.id == _member)
_LOCK = Statement(_row, postgresql=_row.with_for_update(key_share=True))
_BARS = Statement(  # when the sanctions that keep a member from inviting have all ended by themselves
    select(
        func.max(sanctions.c.expires_at).label("last_end"),
        func.sum(case((sanctions.c.expires_at.is_(None), 1), else_=0)).label("endless"),
    ).where(
        sanctions.c.member_id == _member,
        or_(sanctions.c.action == "suspend", sanctions.c.action == "freeze_invites"),
        sanctions.c.lifted_at.is_(None),
        or_(sanctions.c.expires_at.is_(None), sanctions.c.expires_at > _now),
    )
)
_JUDGED = Statement(
    select(sanctions.c.reason_code, sanctions.c.expires_at).where(
        sanctions.c.member_id == _member,
        sanctions.c.lifted_at.is_(None),
        or_(sanctions.c.expires_at.is_(None), sanctions.c.expires_at > _now),
    )
)
_newest = (
    select(members.c.state)
    .where(members.c.inviter_id == _member)
    .order_by(members.c.id.desc())
    .limit(literal_column(str(MOST_INVITEES)))
    .subquery()
)
_OUTCOMES = Statement(
    select(
        func.count().label("joined"),
        func.coalesce(func.sum(case((_newest.c.state == "banned", 1), else_=0)), 0).label("banned"),
    ).select_from(_newest)
)
_open = (invites.c.issuer_id == _member, invites.c.state == "open", invites.c.expires_at > _now)
_OPEN_USES = Statement(
    select(func.coalesce(func.sum(invites.c.max_uses - invites.c.uses), 0).label("uses")).where(*_open)
)
_OPEN_ENDS = Statement(
    select(invites.c.expires_at, (invites.c.max_uses - invites.c.uses).label("uses"))
    .where(*_open)
    .order_by(invites.c.expires_at)
)


class Eligibility:
    def __init__(self, *, policies: PolicyBook, quota: QuotaLedger) -> None:
        self._policies, self._quota = policies, quota

    def decide(self, tx: Tx, member_id: str, uses: int = 1) -> Decision:
        """Evaluate every rule of the right to give `uses` invites now.

        Raises:
            Refused: `not_found`.
        """
        return self._decide(tx, tx.one(FACTS_OF, member=member_id), uses)

    def decide_locked(self, tx: Tx, member_id: str, uses: int) -> Decision:
        """Decide, and hold the member's row: what is allowed can be taken in this transaction.

        Raises:
            Refused: `not_found`.
        """
        tx.one(_LOCK, member=member_id)
        return self._decide(tx, tx.one(FACTS_OF, member=member_id), uses)

    def _decide(self, tx: Tx, row: Any, uses: int) -> Decision:
        if row is None:
            raise not_found("member")
        policy = self._policies.of(tx)
        facts = self._inviter(tx, row, uses)
        return may_invite(facts, uses=uses, ladder=policy.ladder, version=policy.version, now=tx.now)

    def _inviter(self, tx: Tx, row: Any, uses: int) -> InviterFacts:
        unspent = self._quota.unspent(tx, row.id)
        member = replace(self.member(tx, row), earned=unspent.earned)
        barred = row.state == "suspended" or bool(row.invites_frozen)
        cap = self._policies.of(tx).ladder.open_cap(member)
        open_uses = tx.one(_OPEN_USES, member=row.id, now_=tx.now).uses
        full = cap is not None and open_uses + uses > cap
        return InviterFacts(
            state=row.state,
            invites_frozen=bool(row.invites_frozen),
            member=member,
            granted=unspent.granted,
            barred_until=self._barred_until(tx, row.id) if barred else None,
            open_uses=int(open_uses),
            room_at=self._room_at(tx, row.id, open_uses + uses - (cap or 0)) if full else None,
        )

    def member(self, tx: Tx, row: Any) -> MemberFacts:
        """Return what levels look at, of a member of whom `FACTS` were read; `earned` is the caller's."""
        judged, judged_until = self._judged(tx, row.id) if row.sanctioned else (False, None)
        outcomes = tx.one(_OUTCOMES, member=row.id) if row.inviting else None
        return MemberFacts(
            joined_at=row.joined_at,
            last_seen_at=row.last_seen_at,
            log_odds=_odds(row.trust_log_odds),
            conduct=_odds(row.trust_conduct),
            standing=_odds(row.trust_standing),
            from_inviter=_odds(row.trust_from_inviter),
            phone_verified=row.phone_verified_at is not None,
            phone_kind=row.phone_kind,
            invitees=0 if outcomes is None else int(outcomes.joined),
            invitees_banned=0 if outcomes is None else int(outcomes.banned),
            adjudicated=judged,
            adjudicated_until=judged_until,
            level=row.level,
            level_since=row.joined_at if row.level_since is None else row.level_since,
            earn_from=row.earn_from,
        )

    def _judged(self, tx: Tx, member_id: str) -> tuple[bool, Instant | None]:
        """Return whether a sanction in force judges how the member invited, and when the last such ends."""
        reasons = self._policies.of(tx).trust.adjudicated_reasons
        ends = [
            row.expires_at
            for row in tx.all(_JUDGED, member=member_id, now_=tx.now)
            if row.reason_code in reasons
        ]
        return bool(ends), None if None in ends else max(ends, default=None)

    def _barred_until(self, tx: Tx, member_id: str) -> Instant | None:
        row = tx.one(_BARS, member=member_id, now_=tx.now)
        return None if row.endless else row.last_end

    def _room_at(self, tx: Tx, member_id: str, needed: int) -> Instant | None:
        """Return when so many uses of open invites have expired."""
        for row in tx.all(_OPEN_ENDS, member=member_id, now_=tx.now):
            needed -= row.uses
            if needed <= 0:
                return int(row.expires_at)
        return None


def _odds(value: float | None) -> float:
    return math.nan if value is None else value
