"""Messages on their way: what happened to them, how the routes are, what they cost."""

from __future__ import annotations

from typing import Any

import rich_click as click

from identity_service.cli.command import Topic
from identity_service.cli.output import print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.errors import not_found
from identity_service.ports import rfc3339, rfc3339_or_none
from identity_service.services.timeline import Story


@click.group(cls=Topic)
def sms() -> None:
    """Messages on their way: what happened to them, how the routes are, what they cost."""


@sms.command()
@click.argument("id_", metavar="ID")
@pass_session
def timeline(session: Session, id_: str) -> None:
    r"""Tell everything that happened to a message, or to all about an invite, a verification or a member.

    \b
    Examples:
      identity sms timeline msg_…
      identity sms timeline inv_… --json
    """
    stories = session.read(lambda tx: _find(session, tx, id_))
    if session.as_json:
        print_json({"data": [story_shape(story) for story in stories]})
        return
    for story in stories:
        print_fields(summary(story))
        click.echo()
        print_table(
            ("at", "what", "attempt", "provider", "why", "ms", "code", "words"),
            (
                (
                    rfc3339(entry.at),
                    entry.what.value,
                    entry.attempt,
                    entry.provider,
                    entry.why,
                    entry.took_ms,
                    entry.provider_code,
                    entry.words,
                )
                for entry in story.entries
            ),
        )
        click.echo()


def _find(session: Session, tx: Tx, id_: str) -> list[Story]:
    told = session.services.timeline
    if id_.startswith("msg_"):
        story = told.of_message(tx, id_)
        found = [] if story is None else [story]
    else:
        found = told.of_subject(tx, id_)
    if not found:
        raise not_found("message")
    return found


def summary(story: Story) -> dict[str, Any]:
    """Return what a message is, without its story."""
    return {
        "id": story.id,
        "subject_id": story.subject_id,
        "kind": story.kind,
        "phone": story.masked,
        "country": story.country,
        "state": story.state,
        "reason": story.reason,
        "provider": story.provider,
        "attempts": story.attempts,
        "segments": story.segments,
        "cost": dollars(story.cost),
        "charged": dollars(story.charged),
        "created_at": rfc3339(story.created_at),
        "updated_at": rfc3339(story.updated_at),
        "came_back_at": rfc3339_or_none(story.came_back_at),
    }


def dollars(micros: int | None) -> float | None:
    """Return millionths of a dollar as dollars."""
    return None if micros is None else micros / 1_000_000


def story_shape(story: Story) -> dict[str, Any]:
    timeline = [
        {
            "at": rfc3339(entry.at),
            "what": entry.what.value,
            "words": entry.words,
            "attempt": entry.attempt,
            "provider": entry.provider,
            "confirmed_by": entry.confirmed_by and entry.confirmed_by.value,
            "failure": entry.failure and entry.failure.value,
            "provider_code": entry.provider_code,
            "why": entry.why,
            "took_ms": entry.took_ms,
        }
        for entry in story.entries
    ]
    return summary(story) | {"timeline": timeline}
