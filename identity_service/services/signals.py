"""Signals about members from other services: taken in, counted once, kept for the trust model.

A signal carries a kind, never a weight; what a kind weighs is the policy's.  Bans are not signals.  Of one
member's reports only so many in a window count: the others are kept, and nobody outside is told which.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, case, select, update

from identity_service.db.store import Statement, Tx, insert_if_new
from identity_service.db.tables import members, signals
from identity_service.errors import invalid, not_found
from identity_service.ports import MINUTE, Ids, Instant
from identity_service.services import budgets, progress
from identity_service.services.journal import Journal
from identity_service.services.policy_book import PolicyBook

_CLOCK_SKEW: Final = 5 * MINUTE


class SignalKind(StrEnum):
    ACTIVITY = "activity"
    ACTIVATED = "activated"
    REPORT = "report"
    VOUCH = "vouch"
    STAFF_VERIFIED = "staff_verified"


_NEW = ("id", "member_id", "kind", "reporter_id", "reference", "client_id", "occurred_at", "created_at")
_ADD = insert_if_new(signals, _NEW)
_EXISTS = Statement(select(members.c.id).where(members.c.id == bindparam("id"), members.c.state != "erased"))
_SEEN = Statement(
    update(members)
    .where(members.c.id == bindparam("member"), members.c.last_seen_at < bindparam("at_", type_=BigInteger))
    .values(
        last_seen_at=bindparam("at_", type_=BigInteger),
        # Who was away for long is looked at again: activity is a condition of earning.
        review_at=case(
            (members.c.last_seen_at < bindparam("away_since", type_=BigInteger), 0),
            else_=members.c.review_at,
        ),
    )
)
_ACTIVATED = Statement(
    update(members)
    .where(members.c.id == bindparam("member"), members.c.activated_at.is_(None))
    .values(activated_at=bindparam("at_", type_=BigInteger))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    member_id: str
    kind: SignalKind
    reporter_id: str | None = None
    reference: str | None = None
    occurred_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    id: str | None
    duplicate: bool


class Signals:
    def __init__(self, *, policies: PolicyBook, ids: Ids, journal: Journal) -> None:
        self._policies, self._ids, self._journal = policies, ids, journal

    def receive(self, tx: Tx, signal: Signal) -> Received:
        """Keep a signal; the same client's same `reference` for one member and kind counts once.

        Raises:
            Refused: `not_found`, `validation_failed`.
        """
        if tx.one(_EXISTS, id=signal.member_id) is None:
            raise not_found("member")
        self._check(tx, signal)
        occurred_at = tx.now if signal.occurred_at is None else min(signal.occurred_at, tx.now)
        signal_id = self._ids.new("sig")
        made = tx.run(
            _ADD,
            id=signal_id,
            member_id=signal.member_id,
            kind=signal.kind.value,
            reporter_id=signal.reporter_id,
            reference=signal.reference,
            client_id=tx.actor.client_id,
            occurred_at=occurred_at,
            created_at=tx.now,
        )
        if not made:
            return Received(id=None, duplicate=True)
        if signal.kind is SignalKind.ACTIVITY:
            away_since = tx.now - (self._policies.of(tx).ladder.shortest_absence or tx.now)
            tx.run(_SEEN, member=signal.member_id, at_=occurred_at, away_since=away_since)
            progress.showed_up(tx, signal.member_id)
            self._tell_first_activity(tx, signal.member_id)
        else:
            if signal.kind is SignalKind.ACTIVATED:
                tx.run(_ACTIVATED, member=signal.member_id, at_=tx.now)
            data = {"signal_id": signal_id, "member_id": signal.member_id, "kind": signal.kind.value}
            # Who reported stands in the audit alone; the trust model follows it from there.
            detail: dict[str, Any] = {"reporter_id": signal.reporter_id, "occurred_at": occurred_at}
            if not self._counts(tx, signal):
                detail["counts"] = False
            self._journal.tell(tx, "signal.received", signal.member_id, data, detail=detail)
        return Received(id=signal_id, duplicate=False)

    def _counts(self, tx: Tx, signal: Signal) -> bool:
        """Whether the trust model hears it: who reports everybody is not heard about everybody."""
        if signal.kind is not SignalKind.REPORT or signal.reporter_id is None:
            return True
        limit = self._policies.of(tx).trust.reports_a_reporter
        return budgets.take_within(tx, "report", signal.reporter_id, limit)

    def _tell_first_activity(self, tx: Tx, member_id: str) -> None:
        """Activity is too frequent to tell everyone; that a member has begun to be active is told once.

        Two first signs at the same moment may tell it twice, which says nothing else.
        """
        if not self._journal.has_told(tx, "member.became_active", member_id):
            self._journal.tell(tx, "member.became_active", member_id, {"member_id": member_id})

    def _check(self, tx: Tx, signal: Signal) -> None:
        needs_reporter = signal.kind in (SignalKind.REPORT, SignalKind.VOUCH)
        if needs_reporter and signal.reporter_id is None:
            raise invalid("/reporter_id", "missing", f"A {signal.kind} names the member it comes from.")
        if signal.reporter_id is not None:
            if signal.reporter_id == signal.member_id:
                raise invalid("/reporter_id", "self", "Nobody reports or vouches for themselves.")
            if tx.one(_EXISTS, id=signal.reporter_id) is None:
                raise invalid("/reporter_id", "member_unknown", "There is no such member.")
        if signal.occurred_at is not None and signal.occurred_at > tx.now + _CLOCK_SKEW:
            raise invalid("/occurred_at", "in_the_future", "A signal tells what has happened.")
