"""`/v1/events`: the event log, in order, without gaps."""

from __future__ import annotations

from dataclasses import dataclass

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.db.store import Tx
from identity_service.errors import Refused
from identity_service.services.clients import Scope
from identity_service.services.journal import Event


@operation(
    "GET",
    "/v1/events",
    tag="Events",
    summary="Read the event log",
    scope=Scope.EVENTS_READ,
    query=s.EventsQuery,
    answers={200: render.EventPageOut},
    refusals=("cursor_invalid",),
)
def list_events(call: Call) -> Work:
    """Events after `after` (an event's id, its `seq`, or a `next_cursor`), oldest first.

    `next_cursor` is always given, so that a reader can come back for what happens next; with `types` it moves
    on over events of other types. `seq` has no gaps.
    """
    query: s.EventsQuery = call.query
    types = tuple(part.strip() for part in (query.types or "").split(",") if part.strip())

    def read(tx: Tx) -> _Read:
        after = _position(tx, call, query.after)
        # Asked before the events: what is numbered in between is found by this read or by the next one.
        head = call.services.journal.head(tx)
        found = call.services.journal.events(tx, after=after, types=types, limit=query.limit + 1)
        has_more = len(found) > query.limit
        return _Read(
            events=found[: query.limit], has_more=has_more, after=after if has_more else max(after, head)
        )

    return Work(read, _render)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    events: list[Event]
    has_more: bool
    after: int
    """Up to where the log holds nothing more of what was asked for, where there are no further events."""


def _render(found: _Read) -> s.Output:
    last = max(found.events[-1].seq if found.events else 0, found.after)
    return render.out(
        render.EventPageOut,
        data=[render.event(told) for told in found.events],
        next_cursor=str(last),
        has_more=found.has_more,
    )


def _position(tx: Tx, call: Call, after: str | None) -> int:
    if after is None:
        return 0
    if after.isascii() and after.isdigit() and len(after) <= 18:
        return int(after)
    seq = call.services.journal.seq_of(tx, after) if after.startswith("evt_") else None
    if seq is None:
        raise Refused("cursor_invalid", "`after` is an event's id, its seq, or a next_cursor.")
    return seq
