"""The whole story of one invite: who issued it, who tried it, what was sent, who joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rich_click as click

from identity_service.api import render
from identity_service.cli.audit import row_shape
from identity_service.cli.command import Command
from identity_service.cli.members import print_members
from identity_service.cli.output import message, plain, print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.cli.sms import story_shape, summary
from identity_service.db.store import Tx
from identity_service.errors import not_found
from identity_service.ports import rfc3339
from identity_service.services.invites import InviteView
from identity_service.services.members import MemberView
from identity_service.services.paging import Paging
from identity_service.services.timeline import Story

_MOST = 1_000


@dataclass(frozen=True, kw_only=True)
class _Story:
    invite: InviteView
    issuer: MemberView | None
    holds: list[Any]
    joined: list[MemberView]
    messages: list[Story]
    journal: list[Any]


@click.command(cls=Command)
@click.argument("code_or_id")
@pass_session
def trace(session: Session, code_or_id: str) -> None:
    r"""Tell everything about one invite: who issued it, the phones that tried it, messages, who joined.

    By its id, its link or its code, as sloppily as people type codes.

    \b
    Example:
      identity invites trace "7kq4m 2xd9p ta3hr"
    """
    story = session.read(lambda tx: _read(session, tx, code_or_id.strip()))
    if session.as_json:
        print_json(_shape(story))
    else:
        _print(story)


def _read(session: Session, tx: Tx, code_or_id: str) -> _Story:
    services = session.services
    invite_id = code_or_id if code_or_id.startswith("inv_") else _find(session, tx, code_or_id)
    invite = services.invites.get(tx, invite_id)
    return _Story(
        invite=invite,
        issuer=None if invite.issuer_id is None else services.members.get(tx, invite.issuer_id),
        holds=services.holds.of_invite(tx, invite_id, _MOST),
        joined=list(services.members.page(tx, Paging(limit=_MOST), invite_id=invite_id).data),
        messages=services.timeline.of_subject(tx, invite_id),
        journal=services.journal.about(tx, invite_id, _MOST),
    )


def _find(session: Session, tx: Tx, text: str) -> str:
    """Find an invite by its code, or by the link that ends with it."""
    code = session.services.invite_codes.read(text.rstrip("/").rpartition("/")[2])
    row = session.services.invite_codes.find(tx, code)
    if row is None:
        raise not_found("invite")
    return str(row.id)


def _shape(story: _Story) -> dict[str, Any]:
    return {
        "invite": plain(render.invite(story.invite)),
        "issuer": None if story.issuer is None else plain(render.member(story.issuer)),
        "holds": [_hold(row) for row in story.holds],
        "joined": [plain(render.member(view)) for view in story.joined],
        "messages": [story_shape(one) for one in story.messages],
        "journal": [row_shape(row) for row in story.journal],
    }


def _hold(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "phone": row.masked,
        "state": row.state,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }


def _message(story: Story) -> dict[str, Any]:
    shown = ("id", "kind", "state", "reason", "provider", "attempts", "created_at", "updated_at")
    return {name: value for name, value in summary(story).items() if name in shown}


def _print(story: _Story) -> None:
    told = plain(render.invite(story.invite))
    delivery = told.pop("delivery")
    issuer = story.issuer and f"{story.issuer.external_id or story.issuer.id} ({story.issuer.state})"
    print_fields(told | {"issuer": issuer, "delivery": delivery["state"]})
    for title, rows in (
        ("Tried by", [_hold(row) for row in story.holds]),
        ("Messages", [_message(one) for one in story.messages]),
    ):
        if rows:
            click.echo(f"\n{title}")
            print_table(tuple(rows[0]), (row.values() for row in rows))
    if story.joined:
        click.echo("\nJoined by it")
        print_members(story.joined)
    click.echo("\nJournal")
    rows = [row_shape(row) for row in story.journal]
    print_table(
        ("at", "what", "who", "detail"),
        ((row["at"], row["type"], f"{row['actor_kind']}:{row['actor']}", row["detail"]) for row in rows),
    )
    if len(story.joined) == _MOST:
        message(f"Only the first {_MOST} who joined are shown.")
