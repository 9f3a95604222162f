"""What workers share through the store: a heartbeat, and the lease of the one that numbers the journal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, bindparam, select

from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import marks
from identity_service.ports import SECOND, Instant

_BEAT = "worker.beat"
_now = bindparam("now_", type_=BigInteger)


def _upsert(insert: Any) -> Any:
    row = insert(marks).values(binds(("name", "value", "text")))
    return row.on_conflict_do_update(
        index_elements=["name"], set_={"value": row.excluded.value, "text": row.excluded.text}
    )


def _lease(insert: Any) -> Any:
    """Take or renew a lease: only its holder may, or anyone once it has run out."""
    row = insert(marks).values(binds(("name", "value", "text")))
    return row.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": row.excluded.value, "text": row.excluded.text},
        where=(marks.c.value <= _now) | (marks.c.text == bindparam("text")),
    )


_SET = per_dialect(_upsert)
_TAKE = per_dialect(_lease)
_GET = Statement(select(marks.c.value).where(marks.c.name == bindparam("name")))


class WorkerState:
    def beat(self, tx: Tx, worker: str) -> None:
        tx.run(_SET, name=_BEAT, value=tx.now, text=worker)

    def last_beat(self, tx: Tx) -> Instant | None:
        row = tx.one(_GET, name=_BEAT)
        return None if row is None else int(row.value)

    def take_lease(self, tx: Tx, name: str, worker: str, seconds: int) -> bool:
        """Take or renew a lease for `seconds`; one statement decides between workers."""
        return bool(tx.run(_TAKE, name=name, value=tx.now + seconds * SECOND, text=worker, now_=tx.now))

    def seize_lease(self, tx: Tx, name: str, worker: str, seconds: int) -> None:
        """Take a lease from whoever holds it: its holder finds that out in its next transaction."""
        tx.run(_SET, name=name, value=tx.now + seconds * SECOND, text=worker)

    def end_lease(self, tx: Tx, name: str, worker: str) -> None:
        """Let a lease end now, if it is still the worker's."""
        self.take_lease(tx, name, worker, 0)
