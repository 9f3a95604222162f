"""Messages that end unsent: failed, which nothing can mend, or dead, which an operator can send again.

An end is written only for the attempt that it is about, once, with a line in the story and one in the
journal.  A failed message forgets its code; a dead one keeps it while its time lasts, to be replayed.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, update

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import messages, phones
from identity_service.errors import not_found
from identity_service.services.journal import Journal
from identity_service.services.spending import Spending
from identity_service.services.timeline import Timeline
from sms.fate import Happening
from sms.providers.base import ProviderFailure

_now = bindparam("now_", type_=BigInteger)
STILL_OURS: Final = (
    messages.c.id == bindparam("message"),
    messages.c.attempt_id == bindparam("attempt"),
    messages.c.state == "sending",
)
"""An attempt that is still its worker's: its lease may have run out, and the message been claimed again."""
_MARK_OVER = Statement(
    update(messages)
    .where(*STILL_OURS)
    .values(
        state=bindparam("end"),
        lease_until=None,
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        provider=bindparam("by"),
        updated_at=_now,
    )
)
_WIPE = Statement(update(messages).where(messages.c.id == bindparam("message")).values(sealed_code=None))
_DEAD = Statement(
    select(
        messages.c.id,
        messages.c.subject_id,
        messages.c.kind,
        messages.c.attempts,
        messages.c.reason,
        messages.c.updated_at,
        phones.c.masked,
    )
    .join(phones, phones.c.id == messages.c.phone_id)
    .where(messages.c.state == "dead")
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)
_REPLAY = Statement(
    update(messages)
    .where(
        messages.c.id == bindparam("message"),
        messages.c.state == "dead",
        messages.c.not_after > _now,
    )
    .values(state="queued", next_at=_now, reason=None, failure=None, updated_at=_now)
    .returning(messages.c.id, messages.c.phone_id, messages.c.cost, messages.c.attempts)
)


class Endings:
    def __init__(self, *, timeline: Timeline, spending: Spending, journal: Journal) -> None:
        self._timeline, self._spending, self._journal = timeline, spending, journal

    def end(self, tx: Tx, message: Any, state: str, why: str, failure: ProviderFailure | None = None) -> bool:
        """End a message whose attempt is still ours; return whether it was."""
        kind = None if failure is None else failure.kind.value
        if not tx.run(
            _MARK_OVER,
            message=message.id,
            attempt=message.attempt_id,
            end=state,
            why=why,
            kind_=kind,
            by=None if failure is None else failure.provider,
            now_=tx.now,
        ):
            return False
        if state == "failed":
            tx.run(_WIPE, message=message.id)
        what = Happening.FAILED if state == "failed" else Happening.GIVEN_UP
        self._timeline.note(
            tx, message.id, what, attempt=message.attempts, plain=why if state == "failed" else None
        )
        data = {"message_id": message.id}
        self._journal.tell(tx, f"message.{state}", message.id, data, detail={"why": why}, public=False)
        return True

    def dead_letters(self, tx: Tx, limit: int = 100) -> list[Any]:
        return tx.all(_DEAD, limit=limit)

    def replay(self, tx: Tx, message_id: str) -> None:
        """Queue a dead letter for one more attempt.

        Raises:
            Refused: `not_found`; also where its time is over.
        """
        row = tx.one(_REPLAY, message=message_id, now_=tx.now)
        if row is None:
            raise not_found("dead message whose time is not over")
        self._spending.count_again(tx, row)  # what it was charged with is of another hour
        self._timeline.note(tx, message_id, Happening.REPLAYED, attempt=row.attempts)
        self._journal.tell(tx, "message.replayed", message_id, {"message_id": message_id}, public=False)
