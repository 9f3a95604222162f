"""What happened to each message: written where it happens, read as a story.

Each thing happens once an attempt: the key of a row says so, so that duplicates, late reports and workers
that come back from the dead add nothing.  A message's own row is the first line of its story (`queued`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from identity_service.db.store import Statement, Tx, insert_if_new
from identity_service.db.tables import message_events, messages, phones
from identity_service.errors import not_found
from identity_service.ports import Instant
from identity_service.services import progress
from sms.fate import ConfirmedBy, Happening, confirmed_by, words
from sms.providers.base import FailureKind

_FIELDS: Final = (
    "message_id",
    "attempt",
    "what",
    "at",
    "provider",
    "failure",
    "provider_code",
    "plain",
    "why",
    "took_ms",
)
_NOTE = insert_if_new(message_events, _FIELDS)
_story = (
    select(
        messages.c.id,
        messages.c.subject_id,
        messages.c.kind,
        messages.c.channel,
        messages.c.state,
        messages.c.reason,
        messages.c.failure.label("failed_last"),  # beside each attempt's own
        messages.c.segments,
        messages.c.cost,
        messages.c.charged,
        messages.c.provider.label("by"),
        messages.c.attempts,
        messages.c.created_at,
        messages.c.updated_at,
        messages.c.came_back_at,
        messages.c.not_after,
        phones.c.country,
        phones.c.masked,
        *(message_events.c[name] for name in _FIELDS[1:]),
    )
    .select_from(messages)
    .join(phones, phones.c.id == messages.c.phone_id)
    .outerjoin(message_events, message_events.c.message_id == messages.c.id)
)
_OF_SUBJECT = Statement(
    _story.where(messages.c.subject_id == bindparam("subject")).order_by(messages.c.id, message_events.c.at)
)
_OF_MESSAGE = Statement(
    _story.where(messages.c.id == bindparam("message")).order_by(messages.c.id, message_events.c.at)
)
_SENT_ABOUT = Statement(
    select(messages.c.id, messages.c.provider)
    .where(messages.c.subject_id == bindparam("subject"))
    .order_by(messages.c.id.desc())
)
_CAME_BACK = Statement(
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.came_back_at.is_(None))
    .values(came_back_at=bindparam("now_"), judge_at=None)
)
_NOT_JUDGED = Statement(update(messages).where(messages.c.id == bindparam("message")).values(judge_at=None))
_ORDER: Final = {what: place for place, what in enumerate(Happening)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a story."""

    what: Happening
    at: Instant
    words: str
    attempt: int | None = None
    provider: str | None = None
    confirmed_by: ConfirmedBy | None = None
    failure: FailureKind | None = None
    provider_code: str | None = None
    why: str | None = None
    took_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A message with everything that happened to it, oldest first."""

    id: str
    subject_id: str
    kind: str
    channel: str
    state: str
    reason: str | None
    failure: FailureKind | None
    segments: int | None
    cost: int | None
    charged: int | None
    provider: str | None
    attempts: int
    masked: str
    country: str
    created_at: Instant
    updated_at: Instant
    came_back_at: Instant | None
    entries: tuple[Entry, ...]


class Timeline:
    def note(
        self,
        tx: Tx,
        message_id: str,
        what: Happening,
        *,
        attempt: int = 0,
        provider: str | None = None,
        failure: FailureKind | None = None,
        provider_code: str | None = None,
        plain: str | None = None,
        why: str | None = None,
        took_ms: int | None = None,
    ) -> bool:
        """Write what happened, in the transaction in which it is learnt; return whether it was new."""
        progress.message_went(tx, message_id, what)
        return bool(
            tx.run(
                _NOTE,
                message_id=message_id,
                attempt=attempt,
                what=what.value,
                at=tx.now,
                provider=provider,
                failure=failure and failure.value,
                provider_code=provider_code and provider_code[:40],
                plain=plain and plain[:255],
                why=why,
                took_ms=took_ms,
            )
        )

    def came_back(self, tx: Tx, subject_id: str) -> None:
        """Note that the code of the newest message about something was entered.

        Earlier messages that went by the same provider are not judged; those by another one still are: it had
        its chance, and the code came by the other.
        """
        newest, *earlier = tx.all(_SENT_ABOUT, subject=subject_id) or [None]
        if newest is None or not tx.run(_CAME_BACK, message=newest.id, now_=tx.now):
            return
        self.note(tx, newest.id, Happening.CAME_BACK, provider=newest.provider)
        for row in earlier:
            if row.provider == newest.provider:
                tx.run(_NOT_JUDGED, message=row.id)

    def not_received(self, tx: Tx, subject_id: str) -> None:
        """Note that the reader misses the newest message; again changes nothing."""
        newest = next(iter(tx.all(_SENT_ABOUT, subject=subject_id)), None)
        if newest is not None:
            self.note(tx, newest.id, Happening.NOT_RECEIVED, provider=newest.provider)

    def of_subject(self, tx: Tx, subject_id: str) -> list[Story]:
        """Return the story of every message about an invite, a verification or a member, oldest first."""
        return _stories(tx.all(_OF_SUBJECT, subject=subject_id))

    def of_message(self, tx: Tx, message_id: str) -> Story | None:
        return next(iter(_stories(tx.all(_OF_MESSAGE, message=message_id))), None)

    def must_tell(self, tx: Tx, message_id: str) -> Story:
        """Raises: Refused `not_found`."""
        story = self.of_message(tx, message_id)
        if story is None:
            raise not_found("message")
        return story


def _stories(rows: list[Any]) -> list[Story]:
    return [_tell(list(group)) for _, group in groupby(rows, key=lambda row: row.id)]


def _tell(rows: list[Any]) -> Story:
    first = rows[0]
    queued = Entry(what=Happening.QUEUED, at=first.created_at, words=words(Happening.QUEUED, first.country))
    happened = [_entry(row) for row in rows if row.what is not None]
    return Story(
        id=first.id,
        subject_id=first.subject_id,
        kind=first.kind,
        channel=first.channel,
        state=first.state,
        reason=first.reason,
        failure=first.failed_last and FailureKind(first.failed_last),
        segments=first.segments,
        cost=first.cost,
        charged=first.charged,
        provider=first.by,
        attempts=first.attempts,
        masked=first.masked,
        country=first.country,
        created_at=first.created_at,
        updated_at=first.updated_at,
        came_back_at=first.came_back_at,
        entries=tuple(sorted([queued, *happened], key=lambda entry: (entry.at, _ORDER[entry.what]))),
    )


def _entry(row: Any) -> Entry:
    what = Happening(row.what)
    return Entry(
        what=what,
        at=row.at,
        words=words(what, row.country, row.plain),
        attempt=row.attempt or None,
        provider=row.provider,
        confirmed_by=confirmed_by(row.country) if what is Happening.DELIVERED else None,
        failure=row.failure and FailureKind(row.failure),
        provider_code=row.provider_code,
        why=row.why,
        took_ms=row.took_ms,
    )
