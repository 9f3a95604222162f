"""The database's schema: bring it up to date, and tell whether it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from identity_service.cli.command import REFUSED, Topic
from identity_service.cli.output import message, print_fields, print_json
from identity_service.cli.session import Session, pass_session
from identity_service.config import Settings
from identity_service.db import migrate


@click.group(cls=Topic)
def db() -> None:
    """Migrate the database, or check it."""


@db.command()
@click.option("--dry-run", is_flag=True, help="Tell which version it would come to.")
@pass_session
def upgrade(session: Session, dry_run: bool) -> None:
    r"""Bring the database to this release's version.  Two that start at once take turns.

    \b
    Example:
      identity db upgrade
    """
    make_room(session.settings)
    engine = session.store.engine
    before = migrate.version(engine)
    # A newer release was here: its tables suit this one, too, and nothing goes backwards.
    behind = migrate.is_behind(engine)
    after = migrate.upgrade(engine) if behind and not dry_run else before
    _tell(session, {"revision": after, "newest": migrate.newest(), "was": before, "dry_run": dry_run})
    message("Nothing to do." if not behind else "Would migrate." if dry_run else "Migrated.")


@db.command()
@click.pass_context
@pass_session
def check(session: Session, ctx: click.Context) -> None:
    """Compare the database with this release: its version and every table.  Exit code 1 where they differ."""
    engine = session.store.engine
    at, newest = migrate.version(engine), migrate.newest()
    differences = migrate.differences(engine) if at is not None else ["it has never been migrated"]
    _tell(session, {"revision": at, "newest": newest, "differences": differences})
    if at != newest or differences:
        message("The database differs; `identity db upgrade` brings it up to date.")
        ctx.exit(REFUSED)


def make_room(settings: Settings) -> None:
    """Make the folder of a SQLite file, which SQLite does not."""
    if settings.is_sqlite and (name := settings.store_url.partition(":///")[2].partition("?")[0]):
        Path(name).parent.mkdir(parents=True, exist_ok=True)


def _tell(session: Session, facts: dict[str, Any]) -> None:
    if session.as_json:
        print_json(facts)
        return
    print_fields({name: "; ".join(v) or None if isinstance(v, list) else v for name, v in facts.items()})
