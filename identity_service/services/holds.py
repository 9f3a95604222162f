"""Uses of an invite: held while a phone is being verified, taken at registration, let go on failure.

`invites.uses` and `invites.held` are moved only by the guarded statements below, and a CHECK keeps
``uses + held <= max_uses``.  Every path takes the invite's row first, so that two callers of one code queue
there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, insert, null, select, update

from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import invite_holds as holds
from identity_service.db.tables import invites, phones
from identity_service.ports import Ids, Instant
from identity_service.services.spending import Payer

_now = bindparam("now_", type_=BigInteger)
_n = bindparam("n", type_=BigInteger)
_invite: BindParameter[str] = bindparam("invite")
_open = (invites.c.id == _invite, invites.c.state == "open", invites.c.expires_at > _now)

_START = Statement(
    update(invites)
    .where(*_open, invites.c.starts < 3 + 2 * invites.c.max_uses)
    .values(
        starts=invites.c.starts + 1,
        requested_at=func.coalesce(invites.c.requested_at, _now),
        moved_at=case((invites.c.requested_at.is_(None), _now), else_=invites.c.moved_at),
    )
    .returning(invites.c.held)
)
_SENT_AGAIN = Statement(
    update(invites)
    .where(
        invites.c.id == select(holds.c.invite_id).where(holds.c.id == bindparam("hold")).scalar_subquery(),
        invites.c.starts < 3 + 2 * invites.c.max_uses,
    )
    .values(starts=invites.c.starts + 1)
    .returning(invites.c.issuer_id, invites.c.campaign_id)
)
_OWN = Statement(
    select(holds.c.id).where(
        holds.c.invite_id == _invite, holds.c.phone_id == bindparam("phone"), holds.c.state == "held"
    )
)
_EXTEND = Statement(
    update(holds)
    .where(holds.c.id == bindparam("hold"), holds.c.state == "held")
    .values(expires_at=bindparam("until"))
)
_RELEASE_OVERDUE = Statement(
    update(holds)
    .where(holds.c.invite_id == _invite, holds.c.state == "held", holds.c.expires_at <= _now)
    .values(state="released")
)
_HOLD_ONE = Statement(
    update(invites)
    .where(*_open, invites.c.uses + invites.c.held - _n < invites.c.max_uses)
    .values(held=invites.c.held - _n + 1)
)
_ADD = Statement(
    insert(holds).values(state="held", **binds(("id", "invite_id", "phone_id", "created_at", "expires_at")))
)
_USE_HOLD = Statement(
    update(holds)
    .where(
        holds.c.id == bindparam("hold"),
        holds.c.invite_id == _invite,
        holds.c.phone_id == bindparam("phone"),
        holds.c.state == "held",
        holds.c.expires_at > _now,
    )
    .values(state="used")
)


def _used(spare: object) -> dict[str, object]:
    last = invites.c.uses + 1 >= invites.c.max_uses
    return {
        "uses": invites.c.uses + 1,
        "held": spare,
        "state": case((last, "redeemed"), else_="open"),
        "ended_at": case((last, _now), else_=null()),
        "sealed_code": case((last, null()), else_=invites.c.sealed_code),
    }


# `held` may be none: another verification of this phone failed and let the hold go that both shared.
_USE_HELD = Statement(update(invites).where(*_open, invites.c.held > 0).values(_used(invites.c.held - 1)))
_USE_FREE = Statement(
    update(invites)
    .where(*_open, invites.c.uses + invites.c.held - _n < invites.c.max_uses)
    .values(_used(invites.c.held - _n))
)
_USE_UNHELD = Statement(
    update(invites)
    .where(*_open, invites.c.held == 0, invites.c.uses < invites.c.max_uses)
    .values(_used(invites.c.held))
)
_INVITE_OF = Statement(
    select(holds.c.invite_id).where(holds.c.id == bindparam("hold"), holds.c.state == "held")
)
_RELEASE = Statement(
    update(holds).where(holds.c.id == bindparam("hold"), holds.c.state == "held").values(state="released")
)
_LET_GO = Statement(
    update(invites).where(invites.c.id == _invite, invites.c.held >= _n).values(held=invites.c.held - _n)
)
_RELEASE_ALL = Statement(
    update(holds).where(holds.c.invite_id == _invite, holds.c.state == "held").values(state="released")
)
_OVERDUE = Statement(
    select(holds.c.invite_id)
    .where(holds.c.state == "held", holds.c.expires_at <= _now)
    .distinct()
    .limit(bindparam("limit"))
)
_OF_INVITE = Statement(
    select(holds.c.id, holds.c.state, holds.c.created_at, holds.c.expires_at, phones.c.masked)
    .join(phones, phones.c.id == holds.c.phone_id)
    .where(holds.c.invite_id == _invite)
    .order_by(holds.c.id)
    .limit(bindparam("limit"))
)
_LOCK = Statement(update(invites).where(invites.c.id == _invite).values(held=invites.c.held))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    id: str
    expires_at: Instant


class Holds:
    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def hold(self, tx: Tx, invite_id: str, phone_id: str, until: Instant) -> Held | None:
        """Count a verification that this code starts, and keep a use for this phone.

        Its own running hold is taken over.

        Returns:
            None where the code's number of starts is spent, no use is free, or the invite is over.
        """
        started = tx.one(_START, invite=invite_id, now_=tx.now)
        if started is None:
            return None
        overdue = 0
        if started.held:  # read under the row's lock: nobody else changes the holds from here on
            own = tx.one(_OWN, invite=invite_id, phone=phone_id)
            if own is not None and tx.run(_EXTEND, hold=own.id, until=until):
                return Held(id=own.id, expires_at=until)
            overdue = tx.run(_RELEASE_OVERDUE, invite=invite_id, now_=tx.now)
        if not tx.run(_HOLD_ONE, invite=invite_id, n=overdue, now_=tx.now):
            return None
        held = Held(id=self._ids.new("hld"), expires_at=until)
        tx.run(
            _ADD,
            id=held.id,
            invite_id=invite_id,
            phone_id=phone_id,
            created_at=tx.now,
            expires_at=until,
        )
        return held

    def send_again(self, tx: Tx, hold_id: str) -> Payer | None:
        """Count a code sent again as one more of the messages that an invite pays for (docs/adr/0013).

        Returns:
            Who pays; None where the invite has paid for as many as it may.
        """
        row = tx.one(_SENT_AGAIN, hold=hold_id)
        return None if row is None else Payer(issuer_id=row.issuer_id, campaign_id=row.campaign_id)

    def use_held(self, tx: Tx, invite_id: str, phone_id: str, hold_id: str) -> bool:
        """Turn a held use into a redeemed one; False where the hold or the invite is over."""
        if not tx.run(_USE_HELD, invite=invite_id, now_=tx.now):
            return False
        return bool(tx.run(_USE_HOLD, hold=hold_id, invite=invite_id, phone=phone_id, now_=tx.now))

    def use_free(self, tx: Tx, invite_id: str, phone_id: str) -> bool:
        """Redeem a use without a verification: this phone's own hold where it has one, else a free use."""
        if tx.run(_USE_UNHELD, invite=invite_id, now_=tx.now):
            return True  # nearly always: one statement
        if not tx.run(_LOCK, invite=invite_id):
            return False
        own = tx.one(_OWN, invite=invite_id, phone=phone_id)
        if own is not None and tx.run(_USE_HOLD, hold=own.id, invite=invite_id, phone=phone_id, now_=tx.now):
            return bool(tx.run(_USE_HELD, invite=invite_id, now_=tx.now))
        overdue = tx.run(_RELEASE_OVERDUE, invite=invite_id, now_=tx.now)
        return bool(tx.run(_USE_FREE, invite=invite_id, n=overdue, now_=tx.now))

    def release(self, tx: Tx, hold_id: str) -> None:
        """Let a held use go; nothing where it is used or gone already."""
        row = tx.one(_INVITE_OF, hold=hold_id)
        if row is None:
            return
        tx.run(_LOCK, invite=row.invite_id)  # the invite before its holds, as everywhere: no deadlock
        tx.run(_LET_GO, invite=row.invite_id, n=tx.run(_RELEASE, hold=hold_id))

    def release_all(self, tx: Tx, invite_id: str) -> None:
        """End every hold of an invite that is over."""
        released = tx.run(_RELEASE_ALL, invite=invite_id)
        tx.run(_LET_GO, invite=invite_id, n=released)

    def of_invite(self, tx: Tx, invite_id: str, limit: int = 1000) -> list[Any]:
        """Return every hold that an invite ever had, oldest first, the phones masked."""
        return tx.all(_OF_INVITE, invite=invite_id, limit=limit)

    def sweep(self, tx: Tx, limit: int = 200) -> int:
        """Release overdue holds; return of how many invites."""
        rows = tx.all(_OVERDUE, now_=tx.now, limit=limit)
        for row in rows:
            tx.run(_LOCK, invite=row.invite_id)
            released = tx.run(_RELEASE_OVERDUE, invite=row.invite_id, now_=tx.now)
            tx.run(_LET_GO, invite=row.invite_id, n=released)
        return len(rows)
