"""The journal: what happened, who did it and why, in one append-only table.

Two readings of the same rows: the *event log* (rows marked public, `/v1/events`) and the *audit trail*
(all rows, with the detail that only operators see).  A row is written in the transaction of what it tells,
without a number.  One sequencer (`sequence`, run by the worker) numbers and chains rows after their commit:
the log has no gaps, and business transactions never queue on a counter.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, func, insert, select, update

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import journal
from identity_service.ports import Ids, Instant
from identity_service.services.paging import Page, Paging, page_of

SEQUENCE_BATCH: Final = 500
_ROW: Final = (
    journal.c.id,
    journal.c.type,
    journal.c.public,
    journal.c.at,
    journal.c.actor_kind,
    journal.c.actor,
    journal.c.subject_id,
    journal.c.data,
    journal.c.detail,
    journal.c.request_id,
    journal.c.seq,
    journal.c.event_seq,
    journal.c.chain,
)

_WRITE = Statement(
    insert(journal).values(
        id=bindparam("id"),
        type=bindparam("type"),
        public=bindparam("public"),
        at=bindparam("at"),
        actor_kind=bindparam("actor_kind"),
        actor=bindparam("actor"),
        subject_id=bindparam("subject_id"),
        data=bindparam("data"),
        detail=bindparam("detail"),
        request_id=bindparam("request_id"),
    )
)
_UNNUMBERED = Statement(
    select(*_ROW).where(journal.c.seq.is_(None)).order_by(journal.c.id).limit(bindparam("limit"))
)
_ANY_NEW = Statement(select(journal.c.id).where(journal.c.seq.is_(None)).limit(1))
_HEAD = Statement(
    select(journal.c.seq, journal.c.chain)
    .where(journal.c.seq.is_not(None))
    .order_by(journal.c.seq.desc())
    .limit(1)
)
_EVENT_HEAD = Statement(
    select(func.coalesce(func.max(journal.c.event_seq), 0).label("last")).where(
        journal.c.event_seq.is_not(None)
    )
)
_NUMBER = Statement(
    update(journal)
    .where(journal.c.id == bindparam("id_"), journal.c.seq.is_(None))
    .values(seq=bindparam("seq_"), event_seq=bindparam("event_seq_"), chain=bindparam("chain_"))
)
_CHAINED = Statement(
    select(*_ROW)
    .where(journal.c.seq > bindparam("after", type_=BigInteger))
    .order_by(journal.c.seq)
    .limit(bindparam("limit"))
)
_LATEST = Statement(
    select(*_ROW).where(journal.c.seq.is_not(None)).order_by(journal.c.seq.desc()).limit(bindparam("limit"))
)
_TOLD = Statement(
    select(journal.c.id)
    .where(journal.c.subject_id == bindparam("subject"), journal.c.type == bindparam("type"))
    .limit(1)
)
_OF_SUBJECT = Statement(
    select(*_ROW)
    .where(journal.c.subject_id == bindparam("subject"))
    .order_by(journal.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A numbered public row, as other services read it."""

    id: str
    seq: int
    type: str
    at: Instant
    subject_id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where the audit chain does not hold."""

    seq: int
    journal_id: str
    why: str


class Journal:
    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def tell(
        self,
        tx: Tx,
        kind: str,
        subject_id: str,
        data: dict[str, Any],
        *,
        detail: dict[str, Any] | None = None,
        public: bool = True,
    ) -> None:
        """Write what happened, in the transaction in which it happens.

        Parameters:
            kind: dotted, past tense, e.g. ``member.joined``.
            data: what other services may know; no phone, code or free text of an operator.
            detail: for the audit alone (reasons, explanations, what was refused and why).
        """
        tx.run(
            _WRITE,
            id=self._ids.new("evt"),
            type=kind,
            public=int(public),
            at=tx.now,
            actor_kind=tx.actor.kind,
            actor=tx.actor.name,
            subject_id=subject_id,
            data=json.dumps(data, separators=(",", ":")),
            detail=None if detail is None else json.dumps(detail, separators=(",", ":"), ensure_ascii=False),
            request_id=tx.actor.request_id,
        )

    def has_told(self, tx: Tx, kind: str, subject_id: str) -> bool:
        """Whether such a thing was ever told of a subject."""
        return tx.one(_TOLD, type=kind, subject=subject_id) is not None

    def has_new(self, tx: Tx) -> bool:
        """Whether rows wait for their number."""
        return tx.one(_ANY_NEW) is not None

    def sequence(self, tx: Tx) -> int:
        """Number and chain the next rows; return how many.  One caller at a time (the worker's lease).

        The chain's link is SHA-256 over the link before and everything the row says: a row changed, removed
        or slipped in later breaks it (`verify`).
        """
        rows = tx.all(_UNNUMBERED, limit=SEQUENCE_BATCH)
        if not rows:
            return 0
        head = tx.one(_HEAD)
        seq, chain = (0, b"") if head is None else (head.seq, head.chain)
        event_seq = self.head(tx)
        numbered = []
        for row in rows:
            seq += 1
            event_seq += row.public
            number = event_seq if row.public else None
            chain = link(chain, row, seq, number)
            numbered.append({"id_": row.id, "seq_": seq, "event_seq_": number, "chain_": chain})
        tx.run_many(_NUMBER, numbered)
        return len(rows)

    def events(self, tx: Tx, *, after: int, types: tuple[str, ...], limit: int) -> list[Event]:
        """Return public rows numbered after `after`, in order."""
        query = (
            select(*_ROW)
            .where(journal.c.event_seq > after, journal.c.public == 1)
            .order_by(journal.c.event_seq)
            .limit(limit)
        )
        if types:
            query = query.where(journal.c.type.in_(types))
        return [_event(row) for row in tx.select(query)]

    def head(self, tx: Tx) -> int:
        """Return the number of the newest event; 0 where there is none."""
        return int(tx.one(_EVENT_HEAD).last)

    def newest_events(self, tx: Tx, *, types: tuple[str, ...], limit: int) -> list[Event]:
        """Return the last public rows that are numbered, oldest first."""
        query = (
            select(*_ROW)
            .where(journal.c.event_seq.is_not(None))
            .order_by(journal.c.event_seq.desc())
            .limit(limit)
        )
        if types:
            query = query.where(journal.c.type.in_(types))
        return [_event(row) for row in reversed(tx.select(query))]

    def seq_of(self, tx: Tx, event_id: str) -> int | None:
        """Return an event's number, or None where there is no such numbered event."""
        rows = tx.select(select(journal.c.event_seq).where(journal.c.id == event_id))
        return None if not rows else rows[0].event_seq

    def latest(self, tx: Tx, limit: int) -> list[Any]:
        return tx.all(_LATEST, limit=limit)

    def page(
        self, tx: Tx, paging: Paging, *, public: bool, type_prefix: str = "", subject_id: str = ""
    ) -> Page[Any]:
        """Return a page of rows, newest first, numbered or not.

        Parameters:
            public: only what other services may read; otherwise everything.
            type_prefix: the beginning of a kind, such as ``invite.``.
        """
        query = select(*_ROW)
        if public:
            query = query.where(journal.c.public == 1)
        if type_prefix:
            query = query.where(journal.c.type.startswith(type_prefix, autoescape=True))
        if subject_id:
            query = query.where(journal.c.subject_id == subject_id)
        return page_of(tx.select(paging.apply(query, journal.c.id, newest_first=True)), paging)

    def after(self, tx: Tx, seq: int, limit: int) -> list[Any]:
        return tx.all(_CHAINED, after=seq, limit=limit)

    def about(self, tx: Tx, subject_id: str, limit: int = 1000) -> list[Any]:
        """Return everything told about one subject, numbered or not, oldest first."""
        return tx.all(_OF_SUBJECT, subject=subject_id, limit=limit)

    def verify(self, tx: Tx, batch: int = 5000) -> tuple[int, Break | None]:
        """Walk the whole chain; return how many rows hold, and the first that does not."""
        seq, chain, event_seq = 0, b"", 0
        while rows := tx.all(_CHAINED, after=seq, limit=batch):
            for row in rows:
                if row.seq != seq + 1:
                    return seq, Break(seq=seq + 1, journal_id=row.id, why="a row is missing before this one")
                event_seq += row.public
                if row.event_seq != (event_seq if row.public else None):
                    return seq, Break(seq=row.seq, journal_id=row.id, why="the event number does not follow")
                chain = link(chain, row, row.seq, row.event_seq)
                if row.chain != chain:
                    return seq, Break(
                        seq=row.seq, journal_id=row.id, why="the row or one before it was altered"
                    )
                seq = row.seq
        return seq, None


def _event(row: Any) -> Event:
    return Event(
        id=row.id,
        seq=row.event_seq,
        type=row.type,
        at=row.at,
        subject_id=row.subject_id,
        data=json.loads(row.data),
    )


def link(before: bytes, row: Any, seq: int, event_seq: int | None) -> bytes:
    """Return the chain's next link: SHA-256 over the one before and every field, unambiguously joined."""
    fields = [
        seq,
        event_seq,
        row.id,
        row.type,
        row.public,
        row.at,
        row.actor_kind,
        row.actor,
        row.subject_id,
        row.data,
        row.detail,
        row.request_id,
    ]
    return hashlib.sha256(before + json.dumps(fields, ensure_ascii=True).encode()).digest()
