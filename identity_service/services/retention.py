"""What is old is forgotten: messages with their timelines, verifications, and numbers that nothing refers to.

Each run does a bounded piece.  Sums (`message_days`), the journal, invites, members and the ledger stay: the
tree needs them.  What reports count of a row that goes stays as well: when and in which country, and whether
it was approved or what it cost.  A row that points at what goes is told so first (`message_id`,
`verification_id` become NULL): what became of a message three months ago is no longer told.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BindParameter, Table, bindparam, delete, exists, func, or_, select, update

from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import (
    forgotten_messages,
    forgotten_verifications,
    invites,
    marks,
    message_events,
    messages,
    metadata,
    phone_index,
    phones,
    recoveries,
    verifications,
)
from identity_service.ports import DAY, Instant, id_floor
from identity_service.services.policy_book import PolicyBook

BATCH: Final = 200
_WALK: Final = "retention.phones"
_id: BindParameter[str] = bindparam("id_")
_OLD_MESSAGES = Statement(
    select(messages.c.id)
    .where(messages.c.id < bindparam("before"))
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)


def _left(insert: Any, left: Table, row: Table, where: Any, last: Any) -> Any:
    """Write down what the reports count of a row, once, however often the row is forgotten."""
    columns = (row.c.id, phones.c.country, row.c.created_at, last)
    found = select(*columns).join(phones, phones.c.id == row.c.phone_id).where(row.c.id == _id, where)
    return insert(left).from_select([column.name for column in left.c], found).on_conflict_do_nothing()


_cost = func.coalesce(messages.c.charged, messages.c.cost)
_FORGET_MESSAGE: Final = (
    per_dialect(lambda insert: _left(insert, forgotten_messages, messages, _cost.is_not(None), _cost)),
    Statement(update(invites).where(invites.c.message_id == _id).values(message_id=None)),
    Statement(delete(message_events).where(message_events.c.message_id == _id)),
    Statement(delete(messages).where(messages.c.id == _id)),
)
_OLD_VERIFICATIONS = Statement(
    select(verifications.c.id)
    .where(verifications.c.id < bindparam("before"))
    .order_by(verifications.c.id)
    .limit(bindparam("limit"))
)
_registers = verifications.c.purpose == "registration"
_FORGET_VERIFICATION: Final = (
    per_dialect(
        lambda insert: _left(
            insert, forgotten_verifications, verifications, _registers, verifications.c.approved_at
        )
    ),
    Statement(update(recoveries).where(recoveries.c.verification_id == _id).values(verification_id=None)),
    Statement(delete(verifications).where(verifications.c.id == _id)),
)


def _refers() -> Any:
    """Whether any row of any table, a later release's included, refers to a phone; its index row does not."""
    columns = [
        key.parent
        for table in metadata.tables.values()
        if table is not phone_index
        for key in table.foreign_keys
        if key.column is phones.c.id
    ]
    return or_(*(exists().where(column == phones.c.id) for column in columns))


_PHONES = Statement(
    select(phones.c.id, _refers().label("referred_to"))
    .where(phones.c.id > bindparam("after"), phones.c.id < bindparam("before"))
    .order_by(phones.c.id)
    .limit(bindparam("limit"))
)
# Who would refer to it now waits for us, and then starts again without it (see `Store.transact`).
_LOCK_PHONE = Statement(select(phones.c.id).where(phones.c.id == _id).with_for_update())
_STILL_UNUSED = Statement(select(phones.c.id).where(phones.c.id == _id, ~_refers()))
_FORGET_PHONE: Final = (
    Statement(delete(phone_index).where(phone_index.c.phone_id == _id)),
    Statement(delete(phones).where(phones.c.id == _id)),
)
_WHERE_WE_WERE = Statement(select(marks.c.value, marks.c.text).where(marks.c.name == bindparam("name")))


def _mark(insert: Any) -> Any:
    row = insert(marks).values(binds(("name", "value", "text")))
    return row.on_conflict_do_update(
        index_elements=["name"], set_={"value": row.excluded.value, "text": row.excluded.text}
    )


_REMEMBER = per_dialect(_mark)


class Retention:
    def __init__(self, policies: PolicyBook) -> None:
        self._policies = policies

    def forget_messages(self, tx: Tx, limit: int = BATCH) -> int:
        """Forget old messages and what happened to them; return how many."""
        before = id_floor("msg", tx.now - self._policies.of(tx).retention.messages)
        return _forget(tx, tx.all(_OLD_MESSAGES, before=before, limit=limit), _FORGET_MESSAGE)

    def forget_verifications(self, tx: Tx, limit: int = BATCH) -> int:
        """Forget old verifications; return how many.  Nothing looks back at one for so long."""
        before = id_floor("ver", tx.now - self._policies.of(tx).retention.verifications)
        return _forget(tx, tx.all(_OLD_VERIFICATIONS, before=before, limit=limit), _FORGET_VERIFICATION)

    def forget_phones(self, tx: Tx, limit: int = BATCH) -> int:
        """Walk on through the old phones and forget those that nothing refers to; return how many.

        One pass a day: where the last run stopped is remembered, and a pass that came to its end rests.
        """
        mark = tx.one(_WHERE_WE_WERE, name=_WALK)
        after, rests_until = ("", 0) if mark is None else (mark.text or "", mark.value)
        if tx.now < rests_until:
            return 0
        before = id_floor("phn", tx.now - self._policies.of(tx).retention.phones)
        rows = tx.all(_PHONES, after=after, before=before, limit=limit)
        gone = sum(self._forget_phone(tx, row) for row in rows if not row.referred_to)
        whole = len(rows) < limit
        tx.run(
            _REMEMBER,
            name=_WALK,
            value=_tomorrow(tx.now) if whole else 0,
            text="" if whole else rows[-1].id,
        )
        return gone

    def _forget_phone(self, tx: Tx, row: Any) -> int:
        tx.one(_LOCK_PHONE, id_=row.id)
        if tx.one(_STILL_UNUSED, id_=row.id) is None:
            return 0
        return _forget(tx, [row], _FORGET_PHONE)


def _tomorrow(now: Instant) -> Instant:
    return now + DAY


def _forget(tx: Tx, rows: list[Any], statements: tuple[Statement, ...]) -> int:
    ids = [{"id_": row.id} for row in rows]
    for statement in statements:
        tx.run_many(statement, ids)
    return len(ids)
