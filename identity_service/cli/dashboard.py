"""The dashboard's doors: sign-in links and open sessions."""

from __future__ import annotations

import rich_click as click

from identity_service.cli.command import SPAN, Topic
from identity_service.cli.output import message, print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.ports import Instant, rfc3339
from identity_service.services.dashboard_access import DashboardSession, Role


@click.group(cls=Topic)
def dashboard() -> None:
    """Who may look at the dashboard."""


@dashboard.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="growth: numbers and shapes, members under pseudonyms.  admin: everything.",
)
@click.option("--name", help="Who will be signed in, for the audit.  [default: who asks]")
@click.option("--expires-in", type=SPAN, default="15m", show_default=True, help="Its life, 1d at most.")
@pass_session
def link(session: Session, role: str, name: str | None, expires_in: Instant) -> None:
    r"""Make a link that signs one person in, once.

    \b
    Example:
      identity dashboard link --role growth --name maria --expires-in 1h
    """
    made = session.do(
        lambda tx: session.services.dashboard.make_link(
            tx, Role(role), name or session.actor.name, expires_in
        )
    )
    shape = {
        "link_id": made.id,
        "url": f"{session.settings.dashboard_sign_in}#{made.token}",
        "role": made.role.value,
        "name": made.name,
        "expires_at": rfc3339(made.expires_at),
    }
    if session.as_json:
        print_json(shape)
    else:
        print_fields(shape)
    message("Whoever opens the link first is signed in; it works once.")


@dashboard.group(cls=Topic)
def sessions() -> None:
    """Who is signed in."""


@sessions.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@pass_session
def list_sessions(session: Session, limit: int) -> None:
    """List the newest sessions, those that are over included."""
    found = session.read(lambda tx: session.services.dashboard.sessions(tx, limit))
    shapes = [_shape(one) for one in found]
    if session.as_json:
        print_json({"data": shapes})
    else:
        columns = ("id", "state", "role", "name", "created_at", "seen_at", "expires_at")
        print_table(columns, ([shape[column] for column in columns] for shape in shapes))


@sessions.command()
@click.argument("session_id", required=False)
@click.option("--all", "everyone", is_flag=True, help="End every open session and every unused link.")
@click.option("--dry-run", is_flag=True, help="Only say what would be ended.")
@pass_session
def revoke(session: Session, session_id: str | None, everyone: bool, dry_run: bool) -> None:
    """End one session, or --all; the next click of whoever holds it leads to the door."""
    if (session_id is None) == (not everyone):
        raise click.UsageError("Give one session's id, or --all.")
    doors = session.services.dashboard
    if session_id is None:
        count = session.run(doors.end_all, dry_run=dry_run)
    else:
        session.run(lambda tx: doors.end(tx, session_id), dry_run=dry_run)
        count = 1
    if session.as_json:
        print_json({"ended": count, "dry_run": dry_run})
    else:
        message(f"Sessions {'that would be ' if dry_run else ''}ended: {count}.")


def _shape(one: DashboardSession) -> dict[str, str]:
    return {
        "id": one.id,
        "state": one.state,
        "role": one.role.value,
        "name": one.name,
        "created_at": rfc3339(one.created_at),
        "seen_at": rfc3339(one.seen_at),
        "expires_at": rfc3339(one.expires_at),
    }
