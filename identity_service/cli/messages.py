"""Messages that could not be delivered."""

from __future__ import annotations

import rich_click as click

from identity_service.cli.command import Topic
from identity_service.cli.output import message, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.ports import rfc3339


@click.group(cls=Topic)
def messages() -> None:
    """Messages that no provider took."""


@messages.command()
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@pass_session
def dead(session: Session, limit: int) -> None:
    """List dead letters: messages that were tried as often as it makes sense."""
    rows = session.read(lambda tx: session.services.endings.dead_letters(tx, limit))
    shapes = [
        {
            "id": row.id,
            "subject_id": row.subject_id,
            "kind": row.kind,
            "phone": row.masked,
            "attempts": row.attempts,
            "reason": row.reason,
            "updated_at": rfc3339(row.updated_at),
        }
        for row in rows
    ]
    if session.as_json:
        print_json({"data": shapes})
    else:
        print_table(
            ("id", "subject_id", "kind", "phone", "attempts", "reason", "updated_at"),
            (shape.values() for shape in shapes),
        )


@messages.command()
@click.argument("message_id")
@pass_session
def replay(session: Session, message_id: str) -> None:
    """Queue a dead letter again, if its time is not over."""
    session.do(lambda tx: session.services.endings.replay(tx, message_id))
    message(f"{message_id} is queued again.")
