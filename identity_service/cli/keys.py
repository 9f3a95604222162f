"""The keyring: rotate its keys while the service runs, see where a rotation stands, drop old keys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import rich_click as click

from identity_service.cli.command import REFUSED, Topic, tell_refusal
from identity_service.cli.output import message, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.crypto import Hasher, Key, KeyState, Purpose, dump_keys, fresh_keys, write_private
from identity_service.db.store import Tx
from identity_service.errors import Refused
from identity_service.ports import SystemClock
from identity_service.services.rotation import BATCH

SPREAD_SECONDS: Final = 2.0
"""So long after the file has changed every process has read it (each looks twice a second)."""


@click.group(cls=Topic)
def keys() -> None:
    """The keyring: rotate keys while the service runs, and drop old ones."""


@keys.command()
@click.argument("purpose", required=False, type=click.Choice([purpose.value for purpose in Purpose]))
@click.option(
    "--new",
    "new_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a fresh keyring to FILE instead, for a new production service.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be rotated.")
@click.pass_context
@pass_session
def rotate(
    session: Session, ctx: click.Context, purpose: str | None, new_file: Path | None, dry_run: bool
) -> None:
    r"""Give one purpose, or each, a new key; the old one still reads until `keys retire`.

    What stands under the old key is written again under the new one where that can be done (phone numbers
    and their index, sealed values).  Broken off, it goes on where it was when it is called again.

    \b
    Examples:
      identity keys rotate phone_lookup
      identity keys rotate --new keyring.json      (then set IDENTITY_KEYRING=keyring.json)
    """
    if new_file is not None:
        _write_new(new_file, purpose)
        return
    purposes = list(Purpose) if purpose is None else [Purpose(purpose)]
    if dry_run:
        _tell(session, [key for p in purposes for key in session.services.keyring.live(p)])
        message("Nothing was changed.")
        return
    refused = None
    for one in purposes:
        try:
            _rotate(session, one)
        except Refused as why:
            tell_refusal(why, as_json=session.as_json)
            refused = why
    _tell(session, [key for p in purposes for key in session.services.keyring.live(p)])
    if refused is not None:
        ctx.exit(REFUSED)


@keys.command("list")
@pass_session
def list_keys(session: Session) -> None:
    """List the live keys by purpose, and what still needs an old one.  Never a secret."""
    _tell(session, session.services.keyring.all())


@keys.command()
@click.argument("key_id")
@click.option("--force", is_flag=True, help="Also where codes or tokens made with it stop working.")
@click.option("--dry-run", is_flag=True, help="Only tell what still needs it.")
@pass_session
def retire(session: Session, key_id: str, force: bool, dry_run: bool) -> None:
    r"""Drop an old key.  Refused while anything still needs it.

    \b
    Example:
      identity keys retire seal-2026-11-22-a1b2c3
    """
    rotation, keyring = session.services.rotation, session.services.keyring
    key = keyring.by_id(key_id)
    if key is None:
        raise Refused("not_found", f"There is no key {key_id}.")
    if dry_run:
        _tell(session, [key])
        return
    session.do(lambda tx: rotation.retire(tx, key_id, force=force))
    message(f"{key_id} is retired.")


def _write_new(path: Path, purpose: str | None) -> None:
    """Write a fresh keyring: needs no settings, which in production could not be complete without it."""
    if purpose is not None:
        raise click.UsageError("--new writes keys for every purpose; name none.")
    if path.exists():
        raise click.UsageError(f"{path} is there already; a keyring is never overwritten.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, dump_keys(fresh_keys(SystemClock().now())), exclusive=True)
    click.echo(path)
    message("Keep a copy in a safe place: without it no phone number can be read again.")


def _rotate(session: Session, purpose: Purpose) -> None:
    rotation, keyring = session.services.rotation, session.services.keyring
    keyring.reload()
    other = next((key for key in keyring.live(purpose) if key.state is not KeyState.CURRENT), None)
    if other is None:
        added = session.do(lambda tx: rotation.start(tx, purpose))
        message(f"{purpose}: {added.id} added")
    elif other.state is KeyState.NEXT:
        message(f"{purpose}: going on with {other.id}")
    elif purpose is Purpose.SEAL and session.read(lambda tx: rotation.still_needs(tx, other)) is not None:
        message(f"{purpose}: going on, away from {other.id}")
    else:
        raise Refused(
            "rotation_running", f"{other.id} is still there; `identity keys retire {other.id}` first."
        )
    match purpose:
        case Purpose.PHONE_LOOKUP:
            time.sleep(SPREAD_SECONDS)  # from now on every process writes new phones under both keys
            _move_index(session)
            current = session.do(lambda tx: rotation.promote(tx, purpose))
            message(f"{purpose}: {current.id} is current")
        case Purpose.SEAL:
            time.sleep(SPREAD_SECONDS)  # from now on nothing is sealed with the old key any more
            _move_sealed(session)
        case Purpose.CODE_HASH | Purpose.SIGNING | Purpose.ASSERTION:
            pass  # what was made with the old key cannot be made again; it is read until it is over


def _move_index(session: Session) -> None:
    rotation = session.services.rotation
    hasher = Hasher(session.services.keyring, Purpose.PHONE_LOOKUP)
    after: str | None = ""
    with progress("Phones indexed", None) as bar:
        while after is not None:
            after = session.do(partial(rotation.move_index, after=after, hasher=hasher))
            bar(BATCH if after is not None else 0)


def _move_sealed(session: Session) -> None:
    after: str | None = ""
    with progress("Values sealed again", None) as bar:
        while after is not None:
            after = session.do(partial(session.services.rotation.move_sealed, after=after))
            bar(BATCH if after is not None else 0)


def _tell(session: Session, shown: Sequence[Key]) -> None:
    def needed(tx: Tx) -> list[str | None]:
        return [
            session.services.rotation.still_needs(tx, key) if key.state is KeyState.RETIRING else None
            for key in shown
        ]

    rows = [
        {
            "id": key.id,
            "purpose": key.purpose.value,
            "state": key.state.value,
            "created_at": key.created_at,
            "still_needed": why,
        }
        for key, why in zip(shown, session.read(needed), strict=True)
    ]
    if session.as_json:
        print_json({"data": rows})
    else:
        print_table(("id", "purpose", "state", "created_at", "still_needed"), (row.values() for row in rows))
