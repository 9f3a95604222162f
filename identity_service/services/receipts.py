"""What providers say later: their reports, and what they answer when they are asked.

A state only moves up, so that duplicates, late and reordered reports change nothing for the worse.  A report
is about a message if it carries the provider's own name for it, or an attempt that we made: so it finds its
message even when the provider's answer was lost.  Whether it is genuine was decided before (`api/meta.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, and_, bindparam, case, or_, select, update

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import messages
from identity_service.services.policy_book import PolicyBook
from identity_service.services.pricing import in_micros
from identity_service.services.timeline import Timeline
from sms.fate import Happening
from sms.providers.base import Receipt
from sms.states import DeliveryState, advance

_now = bindparam("now_", type_=BigInteger)
UNJUDGED = and_(messages.c.kind == "otp", messages.c.came_back_at.is_(None))
"""A one-time code that is not entered in its life was lost, or nobody wanted it: it is judged then."""
_BY_ATTEMPT = Statement(
    select(
        messages.c.id,
        messages.c.state,
        messages.c.attempts,
        messages.c.attempt_id,
        messages.c.provider,
        messages.c.provider_ref,
    ).where(
        or_(
            messages.c.id == bindparam("message"),
            (messages.c.provider == bindparam("by")) & (messages.c.provider_ref == bindparam("ref")),
        )
    )
)
_FOLLOW = Statement(
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.state == bindparam("was"))
    .values(
        state=bindparam("reached"),
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        provider=bindparam("by"),
        provider_ref=bindparam("ref"),
        judge_at=case(
            (UNJUDGED & (messages.c.not_after > _now), messages.c.not_after), else_=messages.c.judge_at
        ),
        sealed_code=None,
        lease_until=None,
        updated_at=_now,
    )
)
_PRICED = Statement(
    update(messages).where(messages.c.id == bindparam("message")).values(charged=bindparam("charged_"))
)
_TO_FOLLOW = (
    select(messages.c.id)
    .where(messages.c.follow_at <= _now)
    .order_by(messages.c.follow_at)
    .limit(bindparam("limit"))
)
_FOLLOW_UP = Statement(
    update(messages)
    .where(messages.c.id.in_(_TO_FOLLOW), messages.c.follow_at <= _now)  # again: another took it meanwhile
    .values(follow_at=None)
    .returning(
        messages.c.id,
        messages.c.kind,
        messages.c.provider,
        messages.c.provider_ref,
        messages.c.attempt_id,
        messages.c.came_back_at,
    )
)
_ANY_TO_FOLLOW = Statement(select(messages.c.id).where(messages.c.follow_at <= _now).limit(1))
STATE_OF: Final = {
    DeliveryState.NONE: "sent",
    DeliveryState.QUEUED: "sent",  # the provider has it; to us it is on its way
    DeliveryState.SENT: "sent",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.UNDELIVERED: "undelivered",
    DeliveryState.FAILED: "failed",
}
_REPORTED: Final = {
    DeliveryState.SENT: Happening.SENT,
    DeliveryState.DELIVERED: Happening.DELIVERED,
    DeliveryState.UNDELIVERED: Happening.UNDELIVERED,
    DeliveryState.FAILED: Happening.FAILED,
}
_REACHED: Final = {
    "queued": DeliveryState.NONE,
    "sending": DeliveryState.NONE,
    "dead": DeliveryState.NONE,
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A message whose provider is asked what became of it; whether its code came back, where it had one."""

    attempt_id: str
    provider: str
    provider_ref: str
    code_came_back: bool | None


class Receipts:
    def __init__(self, *, policies: PolicyBook, timeline: Timeline) -> None:
        self._policies, self._timeline = policies, timeline

    def receive(self, tx: Tx, attempt_id: str, receipt: Receipt) -> bool:
        """Merge a provider's report; duplicates, late and reordered ones change nothing for the worse.

        Returns:
            Whether the message is known here.
        """
        named = {"by": receipt.provider, "ref": receipt.provider_id}
        message_id, _, number = attempt_id.partition(".")
        for _ in DeliveryState:  # overtaken that often by states that only move up? hardly
            row = tx.one(_BY_ATTEMPT, message=message_id, **named)
            if row is None or not _is_of(row, attempt_id, receipt):
                return False
            attempt = int(number) if row.id == message_id else row.attempts
            self._note_receipt(tx, row.id, attempt, receipt)
            if attempt < row.attempts and receipt.state is not DeliveryState.DELIVERED:
                return True  # a later attempt is under way; of an earlier one only good news still counts
            reached = STATE_OF[advance(_REACHED[row.state], receipt.state)]
            if reached == row.state or tx.run(
                _FOLLOW,
                message=row.id,
                was=row.state,
                reached=reached,
                why=receipt.plain,
                kind_=receipt.failure and receipt.failure.value,
                now_=tx.now,
                **named,
            ):
                return True
            # Another report, or the worker's own mark, came between: merge with what it left.
        return True

    def _note_receipt(self, tx: Tx, message_id: str, attempt: int, receipt: Receipt) -> None:
        what = _REPORTED.get(receipt.state)
        if what is not None:
            self._timeline.note(
                tx,
                message_id,
                what,
                attempt=attempt,
                provider=receipt.provider,
                failure=receipt.failure,
                provider_code=receipt.provider_code,
                plain=receipt.plain,
            )
        charged = in_micros(receipt.price, self._policies.of(tx).prices.usd_per)
        if charged is not None:
            tx.run(_PRICED, message=message_id, charged_=charged)

    # -- asked later --------------------------------------------------------------------------------

    def has_followers(self, tx: Tx) -> bool:
        """Whether it is time to ask a provider what became of a message."""
        return tx.one(_ANY_TO_FOLLOW, now_=tx.now) is not None

    def take_followers(self, tx: Tx, limit: int) -> list[Followed]:
        """Take messages whose providers are to be asked; each once: what is lost in a crash stays unasked."""
        return [
            Followed(
                attempt_id=row.attempt_id,
                provider=row.provider,
                provider_ref=row.provider_ref,
                code_came_back=None if row.kind != "otp" else row.came_back_at is not None,
            )
            for row in tx.all(_FOLLOW_UP, now_=tx.now, limit=limit)
        ]


def _is_of(row: Any, attempt_id: str, receipt: Receipt) -> bool:
    """Whether a report is about this message: by the provider's own name for it, or by an attempt we made."""
    if row.provider == receipt.provider and row.provider_ref == receipt.provider_id:
        return True
    message_id, _, number = attempt_id.partition(".")
    made = number.isascii() and number.isdigit() and len(number) < 4 and 1 <= int(number) <= row.attempts
    return bool(row.id == message_id and made)
