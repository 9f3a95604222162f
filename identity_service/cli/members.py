"""Members: seeds, their standing, sanctions."""

from __future__ import annotations

from collections.abc import Iterable

import rich_click as click

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.cli.command import SPAN, Topic, checked, checked_value
from identity_service.cli.output import message, print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.ports import Instant, rfc3339
from identity_service.services.members import MemberView
from identity_service.services.paging import Paging, read_cursor
from identity_service.services.sanctions import Action, Impose, Preview, SanctionView

_STATES = ("active", "suspended", "banned", "erased")


@click.group(cls=Topic)
def members() -> None:
    """Members: seeds, their standing, sanctions."""


@members.command()
@click.option(
    "--seed", is_flag=True, required=True, help="A root of the tree; everyone else joins by an invite."
)
@click.option("--phone", required=True, help="In E.164: + and digits.")
@click.option("--external-id", help="Your own name for the member.")
@pass_session
def create(session: Session, seed: bool, phone: str, external_id: str | None) -> None:
    r"""Make a seed member: verified on your word, without allowance of its own.

    \b
    Example:
      identity members create --seed --phone +61491570156 --external-id user-1
    """
    assert seed
    if external_id is not None:
        checked_value(s.ExternalId, "--external-id", external_id)
    number = session.services.phones.read(phone, "/phone")
    _tell(session, session.do(lambda tx: session.services.members.create_seed(tx, number, external_id)))


@members.command()
@click.argument("member_id")
@pass_session
def show(session: Session, member_id: str) -> None:
    """Show a member, and what it was sanctioned for."""

    def read(tx: Tx) -> tuple[MemberView, tuple[SanctionView, ...]]:
        view = session.services.members.get(tx, member_id)
        return view, session.services.sanctions.standing(tx, member_id).sanctions

    view, sanctions = session.read(read)
    _tell(session, view)
    if sanctions and not session.as_json:
        print_table(
            ("sanction", "action", "state", "reason_code", "explanation", "since", "until"),
            (
                (x.id, x.action, x.state, x.reason_code, x.explanation, rfc3339(x.created_at), _until(x))
                for x in sanctions
            ),
        )


@members.command("list")
@click.option("--state", type=click.Choice(_STATES))
@click.option("--inviter", metavar="ID", help="Only those whom this member invited.")
@click.option("--external-id", help="Only the one with this external id.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--cursor", help="Where the page before ended (next_cursor).")
@pass_session
def list_members(
    session: Session,
    state: str | None,
    inviter: str | None,
    external_id: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List members in the order in which they joined."""
    paging = Paging(limit=limit, after=None if cursor is None else read_cursor(cursor))
    page = session.read(
        lambda tx: session.services.members.page(
            tx, paging, external_id=external_id, state=state, inviter_id=inviter
        )
    )
    if session.as_json:
        print_json(render.page(render.MemberPageOut, render.member)(page))
        return
    print_members(page.data)
    if page.next_cursor:
        message(f"There are more: --cursor {page.next_cursor}")


@members.command()
@click.argument("member_id")
@click.option("--action", required=True, type=click.Choice([action.value for action in Action]))
@click.option("--reason-code", required=True, help="Lower case and stable, e.g. spam.")
@click.option("--explanation", required=True, help="What the member is told.")
@click.option("--expires-in", type=SPAN, help="When it ends by itself, such as 30d.  [default: never]")
@click.option("--dry-run", is_flag=True, help="Only tell what would happen.")
@pass_session
def sanction(
    session: Session,
    member_id: str,
    action: str,
    reason_code: str,
    explanation: str,
    expires_in: Instant | None,
    dry_run: bool,
) -> None:
    r"""Warn a member, freeze its invites, suspend or ban it.

    \b
    Example:
      identity members sanction mem_… --action suspend --reason-code spam \
          --explanation "Ten strangers reported your invites." --expires-in 30d --dry-run
    """
    checked(s.SanctionIn, action=action, reason_code=reason_code, explanation=explanation)
    sanctions = session.services.sanctions

    def impose(tx: Tx) -> SanctionView | Preview:
        wanted = Impose(
            member_id=member_id,
            action=Action(action),
            reason_code=reason_code,
            explanation=explanation,
            expires_at=expires_in and tx.now + expires_in,
        )
        return sanctions.preview(tx, wanted) if dry_run else sanctions.impose(tx, wanted)

    result = render.sanction_or_preview(session.do(impose))
    if session.as_json:
        print_json(result)
    else:
        print_fields(result.model_dump())


@members.command()
@click.argument("sanction_id")
@click.option("--explanation", required=True, help="Why, for the member and the audit.")
@pass_session
def lift(session: Session, sanction_id: str, explanation: str) -> None:
    """End a sanction before its time."""
    checked(s.LiftIn, explanation=explanation)
    lifted = session.do(lambda tx: session.services.sanctions.lift(tx, sanction_id, explanation))
    result = render.sanction(lifted)
    if session.as_json:
        print_json(result)
    else:
        print_fields(result.model_dump())


def print_members(views: Iterable[MemberView]) -> None:
    print_table(
        ("id", "external_id", "state", "generation", "inviter", "country", "level", "quota", "joined"),
        (
            (
                view.id,
                view.external_id,
                view.state,
                view.generation,
                view.inviter_id or view.campaign,
                view.country,
                view.level,
                view.available,
                rfc3339(view.joined_at),
            )
            for view in views
        ),
    )


def _until(sanction: SanctionView) -> str | None:
    ended = sanction.lifted_at or sanction.expires_at
    return None if ended is None else rfc3339(ended)


def _tell(session: Session, view: MemberView) -> None:
    if session.as_json:
        print_json(render.member(view))
        return
    print_fields(
        {
            "id": view.id,
            "external_id": view.external_id,
            "state": view.state,
            "inviter": view.inviter_id,
            "invite": view.invite_id,
            "campaign": view.campaign,
            "generation": view.generation,
            "joined": rfc3339(view.joined_at),
            "phone": view.masked,
            "country": view.country,
            "level": view.level,
            "score": view.score,
            "quota": view.available,
        }
    )
