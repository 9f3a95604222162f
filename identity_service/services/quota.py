"""The quota ledger: how many invites a member may still give, and how that came to be.

Append-only entries (grant, earn, spend, refund, expire) with actor, reason and expiry.  Grants stand in
*lots*, because each may expire on its own day; spending takes from the lot that expires first.  A lot was
granted by somebody or earned by the rules; what was earned may be spent only by whom the rules allow it
(`eligibility.py` decides, in the same transaction).  The sums on the member's row are what the guards read,
and CHECKs hold them to the ledger's arithmetic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, bindparam, exists, func, insert, literal_column, or_, select, update

from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import members
from identity_service.db.tables import quota_entries as entries
from identity_service.db.tables import quota_lots as lots
from identity_service.errors import not_found
from identity_service.ports import Ids, Instant, rfc3339
from identity_service.services.journal import Journal
from identity_service.services.paging import Page, Paging, page_of

_n = bindparam("n", type_=BigInteger)
_earned = bindparam("earned", type_=BigInteger)
"""How many of `n` are earned ones."""
_now = bindparam("now_", type_=BigInteger)
# What is earned and unspent, as the lots say.  A process of the release before draws earned lots and knows no
# `quota_earned`: whoever counts takes the sum anew, under the row's lock, and so puts right what that left.
_earned_left = (
    select(func.coalesce(func.sum(lots.c.remaining), 0))
    .where(lots.c.member_id == bindparam("member"), lots.c.remaining > 0, lots.c.kind == "earn")
    .scalar_subquery()
)
_overdue = exists(
    select(literal_column("1")).where(
        lots.c.member_id == bindparam("member"), lots.c.remaining > 0, lots.c.expires_at <= _now
    )
)
_free = (
    members.c.id == bindparam("member"),
    members.c.state == "active",
    members.c.invites_frozen == 0,
    ~_overdue,
)
# Asks for the balance and the standing at once, so that a ban cannot slip in between.  Lots that are over but
# not yet swept must not be spent: the guard sees them.  Whoever has earned invites goes the longer way.
_SPEND_GRANTED = Statement(
    update(members)
    .where(*_free, members.c.quota_earned == 0, members.c.quota_available >= _n)
    .values(quota_available=members.c.quota_available - _n, quota_spent=members.c.quota_spent + _n)
)
_SPEND = Statement(
    update(members)
    .where(
        *_free,
        _earned_left >= _earned,
        members.c.quota_available - _earned_left >= _n - _earned,
    )
    .values(
        quota_available=members.c.quota_available - _n,
        quota_spent=members.c.quota_spent + _n,
        quota_earned=_earned_left - _earned,
    )
)
_OVERDUE = Statement(
    select(lots.c.id, lots.c.remaining, lots.c.kind).where(
        lots.c.member_id == bindparam("member"), lots.c.remaining > 0, lots.c.expires_at <= _now
    )
)
_LIVE_LOTS = Statement(
    select(lots.c.id, lots.c.remaining, lots.c.kind)
    .where(
        lots.c.member_id == bindparam("member"),
        lots.c.remaining > 0,
        or_(lots.c.expires_at.is_(None), lots.c.expires_at > _now),
    )
    .order_by(lots.c.expires_at.is_(None), lots.c.expires_at, lots.c.id)
)
_first_lot = (
    select(lots.c.id)
    .where(lots.c.member_id == bindparam("member"), lots.c.remaining > 0)
    .order_by(lots.c.expires_at.is_(None), lots.c.expires_at, lots.c.id)
    .limit(1)
    .scalar_subquery()
)
_DRAW_FIRST = Statement(
    update(lots)
    .where(lots.c.id == _first_lot, lots.c.remaining >= _n)
    .values(remaining=lots.c.remaining - _n)
    .returning(lots.c.id)
)
_DRAW = Statement(
    update(lots)
    .where(lots.c.id == bindparam("lot"), lots.c.remaining >= _n)
    .values(remaining=lots.c.remaining - _n)
)
_PUT_BACK = Statement(
    update(lots)
    .where(lots.c.id == bindparam("lot"))
    .values(remaining=lots.c.remaining + _n)
    .returning(lots.c.expires_at, lots.c.kind)
)
_EXPIRE_LOT = Statement(
    update(lots).where(lots.c.id == bindparam("lot"), lots.c.remaining == _n).values(remaining=0)
)
_COUNT_EXPIRED = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values(
        quota_available=members.c.quota_available - _n,
        quota_expired=members.c.quota_expired + _n,
        quota_earned=_earned_left,
    )
)
_COUNT_GRANTED = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values(
        quota_available=members.c.quota_available + _n,
        quota_granted=members.c.quota_granted + _n,
        quota_earned=_earned_left,
    )
)
_COUNT_REFUNDED = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values(
        quota_available=members.c.quota_available + _n,
        quota_refunded=members.c.quota_refunded + _n,
        quota_earned=_earned_left,
    )
)
_ADD_LOT = Statement(
    insert(lots).values(binds(("id", "member_id", "remaining", "expires_at", "batch_id", "kind")))
)
_ENTRY_COLUMNS = (
    "id",
    "member_id",
    "lot_id",
    "kind",
    "amount",
    "invite_id",
    "batch_id",
    "actor",
    "reason",
    "created_at",
    "expires_at",
    "period_at",
)
_ADD_ENTRY = Statement(insert(entries).values(binds(_ENTRY_COLUMNS)))
_SPENT_ON = Statement(
    select(entries.c.lot_id, func.sum(-entries.c.amount).label("taken"))
    .where(
        entries.c.invite_id == bindparam("invite"), or_(entries.c.kind == "spend", entries.c.kind == "refund")
    )
    .group_by(entries.c.lot_id)
    .order_by(func.max(entries.c.id).desc())
)
_BALANCE = Statement(
    select(
        members.c.id,
        members.c.state,
        members.c.quota_available.label("available"),
        members.c.quota_granted.label("granted"),
        members.c.quota_spent.label("spent"),
        members.c.quota_refunded.label("refunded"),
        members.c.quota_expired.label("expired"),
    ).where(members.c.id == bindparam("member"))
)
_BATCH_DONE = Statement(
    select(entries.c.amount).where(
        entries.c.batch_id == bindparam("batch"),
        entries.c.member_id == bindparam("member"),
        entries.c.kind == "grant",
    )
)
_LOCK_MEMBER = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values(quota_available=members.c.quota_available)
    .returning(members.c.state)
)
_DUE = Statement(
    select(lots.c.member_id)
    .where(lots.c.remaining > 0, lots.c.expires_at.is_not(None), lots.c.expires_at <= _now)
    .distinct()
    .limit(bindparam("limit"))
)
_LOT = Statement(
    select(lots.c.id, lots.c.member_id, lots.c.remaining, lots.c.kind).where(lots.c.id == bindparam("lot"))
)
_BATCH_LOTS = Statement(
    select(lots.c.id, lots.c.member_id, lots.c.remaining)
    .where(lots.c.batch_id == bindparam("batch"), lots.c.remaining > 0)
    .order_by(lots.c.member_id)
)


class LotKind(StrEnum):
    """How a lot came: by somebody's word, or by the rules."""

    GRANT = "grant"
    EARN = "earn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    available: int
    granted: int
    spent: int
    refunded: int
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    member_id: str
    amount: int
    reason: str
    batch_id: str | None = None
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What a period brings to a member by the rules."""

    member_id: str
    amount: int
    period_at: Instant
    expires_at: Instant
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unspent:
    """What may still be spent, by how it came."""

    granted: int
    earned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What became of one member's grant: `granted`, `duplicate` (this batch was here before) or `refused`."""

    member_id: str
    result: str
    amount: int
    available: int | None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What was taken from one lot."""

    lot_id: str
    amount: int


class QuotaLedger:
    def __init__(self, *, ids: Ids, journal: Journal) -> None:
        self._ids, self._journal = ids, journal

    def balance(self, tx: Tx, member_id: str) -> Quota:
        row = tx.one(_BALANCE, member=member_id)
        if row is None:
            raise not_found("member")
        overdue = sum(lot.remaining for lot in tx.all(_OVERDUE, member=member_id, now_=tx.now))
        return Quota(
            available=row.available - overdue,
            granted=row.granted,
            spent=row.spent,
            refunded=row.refunded,
            expired=row.expired + overdue,
        )

    def entries(self, tx: Tx, member_id: str, paging: Paging) -> Page[Any]:
        """Return a page of the member's ledger, oldest first."""
        self.balance(tx, member_id)
        query = select(entries).where(entries.c.member_id == member_id)
        return page_of(tx.select(paging.apply(query, entries.c.id)), paging)

    def grant(self, tx: Tx, grant: Grant) -> Granted:
        """Add to a member's quota; a batch id that this member had before grants nothing."""
        # Taking the row first makes two grants of one batch queue here, so that the second sees the first.
        row = tx.one(_LOCK_MEMBER, member=grant.member_id)
        if row is None or row.state == "erased":
            code = "member_unknown" if row is None else "member_erased"
            return Granted(member_id=grant.member_id, result="refused", amount=0, available=None, code=code)
        if grant.batch_id and tx.one(_BATCH_DONE, batch=grant.batch_id, member=grant.member_id) is not None:
            available = self.balance(tx, grant.member_id).available
            return Granted(member_id=grant.member_id, result="duplicate", amount=0, available=available)
        lot = self._ids.new("lot")
        tx.run(
            _ADD_LOT,
            id=lot,
            member_id=grant.member_id,
            remaining=grant.amount,
            expires_at=grant.expires_at,
            batch_id=grant.batch_id,
            kind=LotKind.GRANT.value,
        )
        self._enter(
            tx,
            grant.member_id,
            lot,
            "grant",
            grant.amount,
            reason=grant.reason,
            batch_id=grant.batch_id,
            expires_at=grant.expires_at,
        )
        tx.run(_COUNT_GRANTED, member=grant.member_id, n=grant.amount)
        self._journal.tell(
            tx,
            "quota.granted",
            grant.member_id,
            {"member_id": grant.member_id, "amount": grant.amount, "batch_id": grant.batch_id},
            detail={"reason": grant.reason},
        )
        available = self.balance(tx, grant.member_id).available
        return Granted(member_id=grant.member_id, result="granted", amount=grant.amount, available=available)

    def earn(self, tx: Tx, earned: Earned) -> None:
        """Add what a period brought; the caller has the member's row and has settled that it is due.

        A period that was paid already breaks a unique rule and the whole transaction with it.
        """
        lot = self._ids.new("lot")
        tx.run(
            _ADD_LOT,
            id=lot,
            member_id=earned.member_id,
            remaining=earned.amount,
            expires_at=earned.expires_at,
            batch_id=None,
            kind=LotKind.EARN.value,
        )
        self._enter(
            tx,
            earned.member_id,
            lot,
            "earn",
            earned.amount,
            reason=earned.reason,
            expires_at=earned.expires_at,
            period_at=earned.period_at,
        )
        tx.run(_COUNT_GRANTED, member=earned.member_id, n=earned.amount)
        told = {
            "member_id": earned.member_id,
            "amount": earned.amount,
            "expires_at": rfc3339(earned.expires_at),
        }
        self._journal.tell(tx, "quota.earned", earned.member_id, told, detail={"reason": earned.reason})

    def unspent(self, tx: Tx, member_id: str) -> Unspent:
        """Return what may still be spent; lots that are over do not count, swept or not."""
        found = Counter[str]()
        for lot in tx.all(_LIVE_LOTS, member=member_id, now_=tx.now):
            found[lot.kind] += lot.remaining
        return Unspent(granted=found[LotKind.GRANT], earned=found[LotKind.EARN])

    def take_granted(self, tx: Tx, member_id: str, n: int) -> list[Draw] | None:
        """Take `n` from a member who has nothing but grants, the lots that expire first first.

        `enter_spend` writes what it was for.

        Returns:
            None where the member may not invite, has not so many left, or has earned invites as well; then
            nothing was changed, but that lots whose time is over have expired.
        """
        if not tx.run(_SPEND_GRANTED, member=member_id, n=n, now_=tx.now) and not (
            self.sweep(tx, member_id) and tx.run(_SPEND_GRANTED, member=member_id, n=n, now_=tx.now)
        ):
            return None
        first = tx.one(_DRAW_FIRST, member=member_id, n=n)
        return self._draw(tx, member_id, n) if first is None else [Draw(lot_id=first.id, amount=n)]

    def take(self, tx: Tx, member_id: str, n: int, *, earned: bool) -> list[Draw] | None:
        """Take `n`, of earned invites only where that is allowed, the lots that expire first first.

        The caller has locked the member's row and asked the rules under that lock.
        """
        plan = self._plan(tx, member_id, n, earned=earned)
        if plan is None:
            return None
        of_earned = sum(amount for lot, amount in plan if lot.kind == LotKind.EARN)
        if not tx.run(_SPEND, member=member_id, n=n, earned=of_earned, now_=tx.now):
            return None
        draws = [Draw(lot_id=lot.id, amount=amount) for lot, amount in plan]
        if not all(tx.run(_DRAW, lot=draw.lot_id, n=draw.amount) for draw in draws):
            raise AssertionError(f"the lots of {member_id} changed under the lock of its row")
        return draws

    def _draw(self, tx: Tx, member_id: str, n: int) -> list[Draw]:
        """Take from several lots.  The member's row is ours, so nobody else draws meanwhile."""
        plan = self._plan(tx, member_id, n, earned=True)
        if plan is None:
            raise AssertionError(f"the lots of {member_id} do not add up to the balance")
        for lot, amount in plan:
            tx.run(_DRAW, lot=lot.id, n=amount)
        return [Draw(lot_id=lot.id, amount=amount) for lot, amount in plan]

    def _plan(self, tx: Tx, member_id: str, n: int, *, earned: bool) -> list[tuple[Any, int]] | None:
        """Return from which lots `n` would come, or None where they are not so many."""
        plan = []
        for lot in tx.all(_LIVE_LOTS, member=member_id, now_=tx.now):
            part = min(n, lot.remaining) if earned or lot.kind == LotKind.GRANT else 0
            if part:
                plan.append((lot, part))
                n -= part
        return None if n else plan

    def enter_spend(self, tx: Tx, member_id: str, draws: list[Draw], *, invite_id: str) -> None:
        for draw in draws:
            self._enter(
                tx, member_id, draw.lot_id, "spend", -draw.amount, invite_id=invite_id, reason="invite issued"
            )

    def refund(self, tx: Tx, member_id: str, n: int, *, invite_id: str, reason: str) -> None:
        """Give back `n` of what an invite took, to the lots it came from; one that is over expires it."""
        left = n
        tx.one(_LOCK_MEMBER, member=member_id)
        for spent in tx.all(_SPENT_ON, invite=invite_id):
            part = min(left, int(spent.taken))
            if part <= 0:
                continue
            lot = tx.one(_PUT_BACK, lot=spent.lot_id, n=part)
            self._enter(tx, member_id, spent.lot_id, "refund", part, invite_id=invite_id, reason=reason)
            tx.run(_COUNT_REFUNDED, member=member_id, n=part)
            if lot.expires_at is not None and lot.expires_at <= tx.now:
                self.sweep(tx, member_id)
            left -= part
        if left:
            raise AssertionError(f"{invite_id} would be given back more than it took")

    def sweep(self, tx: Tx, member_id: str) -> int:
        """Expire what is left in a member's lots that are over; return how much that was."""
        total = 0
        overdue = tx.all(_OVERDUE, member=member_id, now_=tx.now)
        if overdue:
            tx.one(_LOCK_MEMBER, member=member_id)  # member before lots, as in `spend`: no deadlock
        for lot in overdue:
            total += self._expire(tx, member_id, lot, "the grant's time was over")
        return total

    def sweep_due(self, tx: Tx, limit: int = 100) -> int:
        """Expire the due lots of up to `limit` members; return how many members that were."""
        due = tx.all(_DUE, now_=tx.now, limit=limit)
        for row in due:
            self.sweep(tx, row.member_id)
        return len(due)

    def revoke_batch(self, tx: Tx, batch_id: str, *, reason: str) -> list[Granted]:
        """Take back what is unspent of a batch; what was spent stays spent."""
        results = []
        for found in tx.all(_BATCH_LOTS, batch=batch_id):
            tx.one(_LOCK_MEMBER, member=found.member_id)
            lot = tx.one(_LOT, lot=found.id)  # read again under the lock: it may have been spent from
            taken = self._expire(tx, lot.member_id, lot, reason)
            available = self.balance(tx, lot.member_id).available
            results.append(
                Granted(member_id=lot.member_id, result="revoked", amount=taken, available=available)
            )
        return results

    def _expire(self, tx: Tx, member_id: str, lot: Any, reason: str) -> int:
        if not lot.remaining or not tx.run(_EXPIRE_LOT, lot=lot.id, n=lot.remaining):
            return 0  # spent or swept by another transaction meanwhile
        tx.run(_COUNT_EXPIRED, member=member_id, n=lot.remaining)
        self._enter(tx, member_id, lot.id, "expire", -lot.remaining, reason=reason)
        self._journal.tell(
            tx,
            "quota.expired",
            member_id,
            {"member_id": member_id, "amount": lot.remaining},
            detail={"reason": reason},
        )
        return int(lot.remaining)

    def _enter(
        self,
        tx: Tx,
        member_id: str,
        lot_id: str,
        kind: str,
        amount: int,
        *,
        reason: str,
        invite_id: str | None = None,
        batch_id: str | None = None,
        expires_at: Instant | None = None,
        period_at: Instant | None = None,
    ) -> None:
        tx.run(
            _ADD_ENTRY,
            id=self._ids.new("qle"),
            member_id=member_id,
            lot_id=lot_id,
            kind=kind,
            amount=amount,
            invite_id=invite_id,
            batch_id=batch_id,
            actor=tx.actor.name,
            reason=reason,
            created_at=tx.now,
            expires_at=expires_at,
            period_at=period_at,
        )
