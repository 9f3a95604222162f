"""Invites: issue, list, revoke, send again, and follow one through its life."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import rich_click as click

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.cli.command import SPAN, Topic, ask_first, checked
from identity_service.cli.output import message, plain, print_fields, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.ports import Instant, rfc3339
from identity_service.services.invites import InviteView, IssueInvite
from identity_service.services.paging import Paging, read_cursor

CHUNK = 500
"""So many invites are made in one transaction: all of them, or none."""


@click.group(cls=Topic)
def invites() -> None:
    """Invites: issue them, and see what became of them."""


@invites.command()
@click.option("--issuer", metavar="ID", help="The member who invites; spends its quota.")
@click.option("--campaign", metavar="NAME", help="Or a campaign, made at its first use.")
@click.option("--phone", help="Send it to this phone by SMS; without it a link is made.")
@click.option(
    "--count", default=1, show_default=True, type=click.IntRange(1, 10_000), help="How many invites."
)
@click.option("--max-uses", default=1, show_default=True, help="How often each can be redeemed.")
@click.option("--expires-in", type=SPAN, help="Life of the invite, such as 7d.  [default: the policy's]")
@click.option("--locale", help="The language of the message, e.g. ru.")
@click.option("--note", help="For yourself.")
@click.option("--dry-run", is_flag=True, help="Only look whether it could be done.")
@click.option("--yes", is_flag=True, help="Do not ask before making more than a hundred.")
@pass_session
def issue(
    session: Session,
    issuer: str | None,
    campaign: str | None,
    phone: str | None,
    count: int,
    max_uses: int,
    expires_in: Instant | None,
    locale: str | None,
    note: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    r"""Make invites, by a member or for a campaign.  The code of a link is printed now and never again.

    With --json: one invite, or with --count {"data": [...]}.  Made in transactions of 500 at most.

    \b
    Examples:
      identity invites issue --issuer mem_… --phone +61491570157
      identity invites issue --campaign spring-2027 --count 50 --expires-in 7d
    """
    if (issuer is None) == (campaign is None):
        raise click.UsageError("Name exactly one of --issuer and --campaign.")
    if phone is not None and count > 1:
        raise click.UsageError("--count is for links: a phone is sent one invite.")
    channel = "link" if phone is None else "sms"
    checked(
        s.IssueInviteIn,
        issuer_id=issuer,
        campaign=campaign,
        channel=channel,
        max_uses=max_uses,
        locale=locale,
        note=note,
    )
    if not dry_run:
        ask_first(count, f"Make {count} invites?", yes=yes)
    wanted = IssueInvite(
        issuer_id=issuer,
        campaign=campaign,
        channel=channel,
        number=None if phone is None else session.services.phones.read(phone, "/phone"),
        max_uses=max_uses,
        expires_in=expires_in,
        locale=locale,
        note=note,
    )
    made: list[InviteView] = []
    try:
        with progress("Invites", count) as bar:
            while len(made) < count:
                part = min(CHUNK, count - len(made))
                made += session.run(partial(_issue, session, wanted, part), dry_run=dry_run)
                bar(part)
    finally:
        # A later part may be refused; what was made before it stays made, and its codes are told only here.
        _tell_issued(session, made, single=count == 1, dry_run=dry_run)


def _issue(session: Session, wanted: IssueInvite, count: int, tx: Tx) -> list[InviteView]:
    return [session.services.invites.issue(tx, wanted) for _ in range(count)]


def _tell_issued(session: Session, made: list[InviteView], *, single: bool, dry_run: bool) -> None:
    if dry_run:
        message(f"{len(made)} could be made; nothing was.")
        return
    if session.as_json:
        if single and made:
            print_json(render.invite(made[0]))
        elif not single:
            print_json({"data": [plain(render.invite(view)) for view in made]})
    elif made:
        print_table(
            ("id", "code", "link", "phone", "expires"),
            ((view.id, view.code, view.link, view.phone, rfc3339(view.expires_at)) for view in made),
        )


@invites.command("list")
@click.option("--issuer", metavar="ID", help="Only those of this member.")
@click.option("--campaign", metavar="NAME", help="Only those of this campaign.")
@click.option("--state", type=click.Choice(("open", "redeemed", "expired", "revoked")))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--cursor", help="Where the page before ended (next_cursor).")
@pass_session
def list_invites(
    session: Session,
    issuer: str | None,
    campaign: str | None,
    state: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List invites, newest first.  Their codes are stored only as hashes."""
    paging = Paging(limit=limit, after=None if cursor is None else read_cursor(cursor))
    page = session.read(
        lambda tx: session.services.invites.page(tx, paging, issuer_id=issuer, campaign=campaign, state=state)
    )
    if session.as_json:
        print_json(render.page(render.InvitePageOut, render.invite)(page))
        return
    _print_invites(page.data)
    if page.next_cursor:
        message(f"There are more: --cursor {page.next_cursor}")


@invites.command()
@click.argument("invite_id")
@pass_session
def show(session: Session, invite_id: str) -> None:
    """Show an invite.  `trace` tells its whole story."""
    tell_invite(session, session.read(lambda tx: session.services.invites.get(tx, invite_id)))


@invites.command()
@click.argument("invite_id")
@click.option("--reason", required=True, help="Why, for the audit.")
@pass_session
def revoke(session: Session, invite_id: str, reason: str) -> None:
    """End an open invite.  What was not redeemed of it goes back to the member's quota."""
    checked(s.RevokeIn, reason=reason)
    tell_invite(session, session.do(lambda tx: session.services.invites.revoke(tx, invite_id, reason)))


@invites.command()
@click.argument("invite_id")
@pass_session
def resend(session: Session, invite_id: str) -> None:
    """Send an SMS invite again: the same code to the same phone."""
    tell_invite(session, session.do(lambda tx: session.services.invites.resend(tx, invite_id)))


def tell_invite(session: Session, view: InviteView) -> None:
    if session.as_json:
        print_json(render.invite(view))
        return
    told = plain(render.invite(view))
    delivery = told.pop("delivery")
    print_fields(told | {"delivery": delivery["state"], "delivery_reason": delivery["reason"]})


def _print_invites(views: Iterable[InviteView]) -> None:
    print_table(
        ("id", "state", "by", "channel", "phone", "uses", "delivery", "expires"),
        (
            (
                view.id,
                view.state,
                view.issuer_id or view.campaign,
                view.channel,
                view.phone,
                f"{view.uses}/{view.max_uses}",
                view.delivery_state,
                rfc3339(view.expires_at),
            )
            for view in views
        ),
    )
