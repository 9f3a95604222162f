"""Messages that a worker takes for one attempt each: claimed with a lease, and put back untried.

A claim is one statement; who loses the race for a row gets others.  A worker that dies leaves a lease that
runs out, and the message is claimed again: at least once, at most one duplicate a crash.  The attempt id is
the provider's idempotency key where it has one, and stands in the callback's address.  What became of an
attempt is written by `outcomes.py`; nothing here talks to a provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, String, bindparam, cast, select, union_all, update

from identity_service.crypto import Seal
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import messages
from identity_service.ports import MINUTE, Instant
from identity_service.services.endings import STILL_OURS, Endings
from identity_service.services.phones import Phones
from identity_service.services.spending import Spending
from sms.numbers import E164
from sms.texts import TextKind

LEASE: Final = MINUTE
MOST_CLAIMS: Final = 30
"""Far above the attempts that are made: those whose worker died count here, too."""
_now = bindparam("now_", type_=BigInteger)
_due = (
    select(messages.c.id)
    .where(messages.c.state == "queued", messages.c.next_at <= _now)
    .order_by(messages.c.next_at)
    .limit(bindparam("limit"))
)
_CLAIM_FIELDS = (
    messages.c.id,
    messages.c.subject_id,
    messages.c.phone_id,
    messages.c.kind,
    messages.c.sealed_code,
    messages.c.locale,
    messages.c.channel,
    messages.c.hours,
    messages.c.attempts,
    messages.c.attempt_id,
    messages.c.not_after,
    messages.c.decoy,
    messages.c.segments,
    messages.c.cost,
)


def _claim(due: Any) -> Any:
    return (
        update(messages)
        .where(messages.c.id.in_(due), messages.c.state == "queued")
        .values(
            state="sending",
            lease_until=bindparam("lease_until"),
            # A name for this attempt that no other attempt of any message has.
            attempt_id=messages.c.id + "." + cast(messages.c.attempts + 1, String),
            attempts=messages.c.attempts + 1,
            updated_at=_now,
        )
        .returning(*_CLAIM_FIELDS)
    )


# PostgreSQL's workers step over each other's rows; SQLite's take turns at the write lock.
_CLAIM = Statement(_claim(_due), postgresql=_claim(_due.with_for_update(skip_locked=True)))
_ANY_DUE = Statement(
    union_all(
        select(messages.c.id).where(messages.c.state == "queued", messages.c.next_at <= _now),
        select(messages.c.id).where(messages.c.state == "sending", messages.c.lease_until <= _now),
    ).limit(1)
)
_REQUEUE_LOST = Statement(
    update(messages)
    .where(messages.c.state == "sending", messages.c.lease_until <= _now)
    .values(state="queued", next_at=_now, lease_until=None)
    .returning(messages.c.id, messages.c.phone_id, messages.c.cost)
)
_PUT_BACK = Statement(
    update(messages)
    .where(*STILL_OURS)
    .values(
        state="queued",
        attempts=messages.c.attempts - 1,
        next_at=bindparam("again_at"),
        lease_until=None,
        updated_at=_now,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that this worker may hand over until its lease runs out."""

    id: str
    subject_id: str
    phone_id: str
    to: E164
    country: str
    kind: TextKind
    code: str | None
    locale: str | None
    hours: int | None
    attempts: int
    attempt_id: str
    not_after: Instant
    decoy: bool
    segments: int
    charged: int
    """What its caps were charged with, in millionths of a dollar."""


class Claims:
    def __init__(self, *, seal: Seal, phones: Phones, spending: Spending, endings: Endings) -> None:
        self._seal, self._phones = seal, phones
        self._spending, self._endings = spending, endings

    def is_due(self, tx: Tx) -> bool:
        """Whether a message waits, or a lease has run out."""
        return tx.one(_ANY_DUE, now_=tx.now) is not None

    def claim(self, tx: Tx, limit: int) -> list[Claimed]:
        """Take due messages for one attempt each.

        What can never be sent ends here, and stops nobody else: its time is over, its workers died again and
        again, or it cannot be opened.
        """
        for row in tx.all(_REQUEUE_LOST, now_=tx.now):
            self._spending.count_again(tx, row)  # its worker died: it may have been sent, and paid for
        claimed = []
        for row in tx.all(_CLAIM, now_=tx.now, lease_until=tx.now + LEASE, limit=limit):
            if row.not_after <= tx.now:
                self._endings.end(tx, row, "failed", "Its time was over before it could be sent.")
            elif row.attempts > MOST_CLAIMS:
                self._endings.end(tx, row, "dead", "Sending it was broken off too often.")
            else:
                opened = self._opened(tx, row)
                if opened is None:
                    self._endings.end(tx, row, "dead", "The message could not be read.")
                else:
                    claimed.append(opened)
        return claimed

    def _opened(self, tx: Tx, row: Any) -> Claimed | None:
        """Open a message's number and code; None where a key is gone or another release wrote it."""
        try:
            number, country = self._phones.number(tx, row.phone_id)
            return Claimed(
                id=row.id,
                subject_id=row.subject_id,
                phone_id=row.phone_id,
                to=number,
                country=country,
                kind=TextKind(row.kind),
                code=row.sealed_code and self._seal.open(row.sealed_code, row.id).decode(),
                locale=row.locale,
                hours=row.hours,
                attempts=row.attempts,
                attempt_id=row.attempt_id,
                not_after=row.not_after,
                decoy=bool(row.decoy),
                segments=row.segments or 1,
                charged=row.cost or 0,
            )
        except (ValueError, TypeError):
            return None

    def put_back(self, tx: Tx, claimed: Claimed, again_at: Instant) -> None:
        """Give a claimed message back untried: its provider has no room.  Its attempt was none."""
        tx.run(
            _PUT_BACK,
            message=claimed.id,
            attempt=claimed.attempt_id,
            again_at=min(again_at, claimed.not_after),
            now_=tx.now,
        )
