"""The audit trail: who did what, and whether anybody has altered it since."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import rich_click as click

from identity_service.cli.command import REFUSED, Topic
from identity_service.cli.output import message, print_json, print_json_line, printable
from identity_service.cli.session import Session, pass_session
from identity_service.ports import rfc3339

POLL_SECONDS: Final = 0.5
_BATCH: Final = 500


@click.group(cls=Topic)
def audit() -> None:
    """Who did what, and whether the record is whole."""


@audit.command()
@click.pass_context
@pass_session
def verify(session: Session, ctx: click.Context) -> None:
    """Walk the whole chain of the audit.  Exit code 1 where a row was altered, removed or slipped in."""
    held, broken = session.read(session.services.journal.verify)
    if session.as_json:
        fault = broken and {"seq": broken.seq, "journal_id": broken.journal_id, "why": broken.why}
        print_json({"ok": broken is None, "rows": held, "break": fault})
    if broken is not None:
        message(
            f"Broken at row {broken.seq} ({broken.journal_id}): {broken.why}; {held} rows before it hold."
        )
        ctx.exit(REFUSED)
    message(f"All {held} rows hold.")


@audit.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until Ctrl-C.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(0, 10_000))
@pass_session
def tail(session: Session, follow: bool, limit: int) -> None:
    r"""Print the newest rows, oldest first; with --json one object a line.

    \b
    Example:
      identity audit tail --follow --json | jq 'select(.actor_kind == "operator")'
    """
    journal = session.services.journal
    rows = list(reversed(session.read(lambda tx: journal.latest(tx, max(1, limit)))))
    after = rows[-1].seq if rows else 0
    _print_rows(session, rows if limit else ())
    while follow:
        fresh = session.read(partial(journal.after, seq=after, limit=_BATCH))
        _print_rows(session, fresh)
        if fresh:
            after = fresh[-1].seq
        else:
            time.sleep(POLL_SECONDS)


def row_shape(row: Any) -> dict[str, Any]:
    """Return a row of the journal as it is printed."""
    return {
        "seq": row.seq,
        "id": row.id,
        "type": row.type,
        "at": rfc3339(row.at),
        "actor_kind": row.actor_kind,
        "actor": row.actor,
        "subject_id": row.subject_id,
        "data": json.loads(row.data),
        "detail": None if row.detail is None else json.loads(row.detail),
        "request_id": row.request_id,
        "public": bool(row.public),
    }


def _print_rows(session: Session, rows: Iterable[Any]) -> None:
    for row in rows:
        shape = row_shape(row)
        if session.as_json:
            print_json_line(shape)
            continue
        told = shape["data"] | (shape["detail"] or {})
        facts = " ".join(f"{name}={value}" for name, value in told.items() if value is not None)
        line = (
            f"{row.seq}  {shape['at']}  {row.actor_kind}:{row.actor}  {row.type}  {row.subject_id}  {facts}"
        )
        click.echo(printable(line))
