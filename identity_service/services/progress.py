"""First times and active days: what the reports need to know later, written where it happens.

Messages, holds and verifications are forgotten after a time, and a member's last day hides those before.
So the first instant of each step stands at the invite, and the days of a member in a bit mask. Nothing here
decides anything; each statement changes nothing the second time.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, update

from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import activity, invite_holds, invites, messages
from identity_service.ports import DAY, Instant
from sms.fate import Happening

BLOCK_DAYS: Final = 28
FIRST_MONDAY: Final = 3
"""Days are counted from the Monday before the epoch, so that a row holds four whole weeks."""

_now = bindparam("now_", type_=BigInteger)
_of_message = select(messages.c.subject_id).where(messages.c.id == bindparam("message")).scalar_subquery()
_of_hold = select(invite_holds.c.invite_id).where(invite_holds.c.id == bindparam("hold")).scalar_subquery()
_SENT = Statement(
    update(invites)
    .where(invites.c.id == _of_message, invites.c.sent_at.is_(None))
    .values(sent_at=_now, moved_at=_now)
)
_DELIVERED = Statement(
    update(invites)
    .where(invites.c.id == _of_message, invites.c.delivered_at.is_(None))
    .values(delivered_at=_now, moved_at=_now)
)
_VERIFIED = Statement(
    update(invites)
    .where(invites.c.id == _of_hold, invites.c.verified_at.is_(None))
    .values(verified_at=_now, moved_at=_now)
)
_STEP: Final = {Happening.ACCEPTED: _SENT, Happening.SENT: _SENT, Happening.DELIVERED: _DELIVERED}


def _set_bit(insert: Any) -> Any:
    row = insert(activity).values(binds(("block", "member_id", "days")))
    return row.on_conflict_do_update(
        index_elements=["block", "member_id"],
        set_={"days": activity.c.days.op("|")(row.excluded.days)},
        # A day that is there already is not written again.
        where=activity.c.days.op("&")(row.excluded.days) == 0,
    )


_SHOWED_UP = per_dialect(_set_bit)


def message_went(tx: Tx, message_id: str, what: Happening) -> None:
    """Note at the invite, if the message is about one, that it was sent or delivered."""
    step = _STEP.get(what)
    if step is not None:
        tx.run(step, message=message_id, now_=tx.now)


def phone_verified(tx: Tx, hold_id: str) -> None:
    """Note at the invite that a phone which it lets in was verified."""
    tx.run(_VERIFIED, hold=hold_id, now_=tx.now)


def showed_up(tx: Tx, member_id: str) -> None:
    """Note that a member was active today.

    It is the day on which we heard of it, so that a report can tell what was known on any day.
    """
    block, day = divmod(day_of(tx.now), BLOCK_DAYS)
    tx.run(_SHOWED_UP, block=block, member_id=member_id, days=1 << day)


def day_of(at: Instant) -> int:
    """Return the day of an instant, counted from Monday, 1969-12-29."""
    return at // DAY + FIRST_MONDAY
