"""Services that may call the REST API, and their keys."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any, Final

import rich_click as click

from identity_service.cli.command import SPAN, Topic
from identity_service.cli.output import message, print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.ports import Instant, rfc3339_or_none
from identity_service.services.clients import NewKey, Scope

# A name is written into the audit and the logs, and must not be taken for an id.
_NAME: Final = re.compile(r"(?!key_|cli_)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@click.group(cls=Topic)
def clients() -> None:
    """Services that may call the REST API, and their keys."""


@clients.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="SCOPE",
    help=f"What it may do; repeatable: {', '.join(Scope)}.",
)
@click.option("--expires-in", type=SPAN, help="The key's life, such as 90d.  [default: no end]")
@pass_session
def create(session: Session, name: str, scopes: tuple[str, ...], expires_in: Instant | None) -> None:
    r"""Make a client and its first key, which is printed now and never again.

    \b
    Example:
      identity clients create shop --scope invites:write --scope invites:read
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError("NAME is letters, digits, dots and dashes, and not an id.")
    made = session.do(
        lambda tx: session.services.clients.create(tx, name, scopes, expires_in and tx.now + expires_in)
    )
    _tell_key(session, made)


@clients.command()
@click.argument("name")
@click.option(
    "--overlap", type=SPAN, default="24h", show_default=True, help="How long the old key still works."
)
@click.option("--expires-in", type=SPAN, help="The new key's life.")
@pass_session
def rotate(session: Session, name: str, overlap: Instant, expires_in: Instant | None) -> None:
    r"""Make a client's next key, with the same scopes.  At most two are live at once.

    \b
    Example:
      identity clients rotate shop --overlap 1h
    """
    made = session.do(
        lambda tx: session.services.clients.rotate(
            tx, name, overlap=overlap, expires_at=expires_in and tx.now + expires_in
        )
    )
    _tell_key(session, made)


@clients.command()
@click.argument("name_or_key")
@click.option("--dry-run", is_flag=True, help="Only count the keys.")
@pass_session
def revoke(session: Session, name_or_key: str, dry_run: bool) -> None:
    """Revoke one key (key_…), or every key of a client.  All processes refuse it within a second."""
    count = session.run(lambda tx: session.services.clients.revoke(tx, name_or_key), dry_run=dry_run)
    if session.as_json:
        print_json({"revoked": count, "dry_run": dry_run})
    else:
        message(f"{count} {'key' if count == 1 else 'keys'} {'would be ' if dry_run else ''}revoked.")


@clients.command("list")
@pass_session
def list_clients(session: Session) -> None:
    """List clients with their keys: which are live, with which scopes, until when."""
    rows = session.read(session.services.clients.keys)
    now = session.services.clock.now()
    if not session.as_json:
        print_table(
            ("client", "key", "state", "hint", "expires", "scopes"),
            ((r.name, r.id, _state(r, now), r.hint, rfc3339_or_none(r.expires_at), r.scopes) for r in rows),
        )
        return
    print_json(
        {
            "data": [
                {"client_id": client_id, "client": name, "keys": [_key(r, now) for r in keys if r.id]}
                for (client_id, name), keys in groupby(rows, key=lambda r: (r.client_id, r.name))
            ]
        }
    )


def _state(row: Any, now: Instant) -> str | None:
    if row.id is None:
        return None
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "live"


def _key(row: Any, now: Instant) -> dict[str, object]:
    return {
        "id": row.id,
        "state": _state(row, now),
        "hint": row.hint,
        "scopes": row.scopes.split(),
        "created_at": rfc3339_or_none(row.created_at),
        "expires_at": rfc3339_or_none(row.expires_at),
        "revoked_at": rfc3339_or_none(row.revoked_at),
    }


def _tell_key(session: Session, made: NewKey) -> None:
    shape = {
        "client_id": made.client_id,
        "client": made.client,
        "key_id": made.key_id,
        "key": made.key,
        "scopes": list(made.scopes),
        "expires_at": rfc3339_or_none(made.expires_at),
    }
    if session.as_json:
        print_json(shape)
    else:
        print_fields(shape | {"scopes": " ".join(made.scopes)})
    message("Keep the key now: it is stored only as a hash.")
