"""What workers share through the store: a heartbeat, and a lease so that one at a time numbers the journal."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import marks
from identity_service.ports import SECOND, Instant

_BEAT = "worker.beat"
_now = bindparam("now_", type_=BigInteger)


def _upsert(dialect_insert: object) -> object:
    row = dialect_insert(marks).values(  # type: ignore[operator]
        name=bindparam("name"), value=bindparam("value"), text=bindparam("text")
    )
    return row.on_conflict_do_update(
        index_elements=["name"], set_={"value": row.excluded.value, "text": row.excluded.text}
    )


def _lease(dialect_insert: object) -> object:
    """Take or renew a lease: only its holder may, or anyone once it has run out."""
    row = dialect_insert(marks).values(  # type: ignore[operator]
        name=bindparam("name"), value=bindparam("value"), text=bindparam("text")
    )
    return row.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": row.excluded.value, "text": row.excluded.text},
        where=(marks.c.value <= _now) | (marks.c.text == bindparam("text")),
    )


_SET = Statement(_upsert(sqlite.insert), postgresql=_upsert(postgresql.insert))  # type: ignore[arg-type]
_TAKE = Statement(_lease(sqlite.insert), postgresql=_lease(postgresql.insert))  # type: ignore[arg-type]
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
