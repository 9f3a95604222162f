"""The event log, as other services read it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Final

import rich_click as click

from identity_service.api import render
from identity_service.cli.audit import POLL_SECONDS
from identity_service.cli.command import Topic
from identity_service.cli.output import plain, print_json_line, printable
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.errors import Refused
from identity_service.ports import rfc3339
from identity_service.services.journal import Event

_BATCH: Final = 500


@click.group(cls=Topic)
def events() -> None:
    """What happened, as other services are told."""


@events.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until Ctrl-C.")
@click.option("--after", help="Start after this event (its id or seq); 0 is the very beginning.")
@click.option("--types", default="", help="Only these types, joined by commas.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1, 10_000))
@pass_session
def tail(session: Session, follow: bool, after: str | None, types: str, limit: int) -> None:
    r"""Print the newest events, or those after one, in order; with --json one object a line.

    \b
    Examples:
      identity events tail --follow --types member.joined,sanction.imposed
      identity events tail --after 0 --limit 1000 --json
    """
    journal = session.services.journal
    wanted = tuple(part.strip() for part in types.split(",") if part.strip())

    def first(tx: Tx) -> tuple[list[Event], int]:
        if after is None:
            return journal.newest_events(tx, types=wanted, limit=limit), 0
        start = _position(session, tx, after)
        return journal.events(tx, after=start, types=wanted, limit=limit), start

    found, start = session.read(first)
    _print_events(session, found)
    last = found[-1].seq if found else start
    while follow:
        fresh = session.read(partial(journal.events, after=last, types=wanted, limit=_BATCH))
        _print_events(session, fresh)
        if fresh:
            last = fresh[-1].seq
        else:
            time.sleep(POLL_SECONDS)


def _position(session: Session, tx: Tx, after: str) -> int:
    if after.isascii() and after.isdigit() and len(after) <= 18:
        return int(after)
    seq = session.services.journal.seq_of(tx, after)
    if seq is None:
        raise Refused("cursor_invalid", "--after is an event's id or its seq.")
    return seq


def _print_events(session: Session, found: Iterable[Event]) -> None:
    for event in found:
        if session.as_json:
            print_json_line(plain(render.event(event)))
            continue
        facts = " ".join(f"{name}={value}" for name, value in event.data.items() if value is not None)
        click.echo(printable(f"{event.seq}  {rfc3339(event.at)}  {event.type}  {event.subject_id}  {facts}"))
