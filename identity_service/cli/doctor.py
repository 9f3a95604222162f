"""`identity doctor`: is everything as it should be, and if not, what is to be done?"""

from __future__ import annotations

import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rich_click as click

from identity_service.cli.command import REFUSED, Command
from identity_service.cli.output import message, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.config import Settings
from identity_service.crypto import Keyring, KeyState
from identity_service.db import migrate
from identity_service.errors import Misconfigured, Unavailable
from identity_service.policy.rules import load_policy, policy_text
from identity_service.ports import SECOND
from identity_service.providers import make_providers
from identity_service.services.policy_book import digest

_BEATS_WITHIN: Final = 30 * SECOND


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at; `ok` is None where it could not be."""

    name: str
    ok: bool | None
    detail: str


@click.command(cls=Command)
@click.pass_context
@pass_session
def doctor(session: Session, ctx: click.Context) -> None:
    """Check settings, store, keys, policy, worker and providers.  Exit code 1 where something is wrong."""
    checks = list(_examine(session))
    well = all(check.ok for check in checks)
    if session.as_json:
        listed = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
        print_json({"ok": well, "checks": listed})
    else:
        marks = {True: "ok", False: "WRONG", None: "not checked"}
        print_table(("check", "result", "detail"), ((c.name, marks[c.ok], c.detail) for c in checks))
    if not well:
        message("Something is wrong.")
        ctx.exit(REFUSED)


def _examine(session: Session) -> Iterator[Check]:
    """Look at one thing after the other; what rests on something broken is told as not checked."""
    try:
        settings = session.settings
    except Misconfigured as wrong:
        yield from (Check(name="settings", ok=False, detail=fault) for fault in wrong.faults)
        return
    yield Check(name="settings", ok=True, detail=f"IDENTITY_ENV={settings.env.value}")
    keyring_fits = yield from _keyring(settings)
    policy_fits = yield from _policy(settings)
    yield _providers(settings)
    migrated = yield from _store(session)
    if keyring_fits and policy_fits and migrated:
        yield _policy_in_force(session)
        yield from _running(session)
    else:
        yield Check(name="worker", ok=None, detail="what is wrong above comes first")


def _keyring(settings: Settings) -> Generator[Check, None, bool]:
    try:
        # Looked at, never made: a doctor changes nothing.
        keyring = Keyring.load(settings.keyring_source)
    except Misconfigured as wrong:
        yield from (Check(name="keyring", ok=False, detail=fault) for fault in wrong.faults)
        return False
    open_to = _others_may_read(keyring.path)
    rotating = [key.id for key in keyring.all() if key.state is not KeyState.CURRENT]
    detail = f"{len(keyring.all())} keys" + (f"; in rotation: {', '.join(rotating)}" if rotating else "")
    if open_to:
        yield Check(name="keyring", ok=False, detail=f"others may read {keyring.path}: chmod 600")
    else:
        yield Check(name="keyring", ok=True, detail=detail)
    return True


def _others_may_read(path: Path | None) -> bool:
    return path is not None and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _policy(settings: Settings) -> Generator[Check, None, bool]:
    try:
        policy = load_policy(settings.policy_file)
    except Misconfigured as wrong:
        yield from (Check(name="policy", ok=False, detail=fault) for fault in wrong.faults)
        return False
    yield Check(name="policy", ok=True, detail=f"version {policy.version}")
    return True


def _policy_in_force(session: Session) -> Check:
    """Say which policy the processes serve by, and whether the setting names another that nobody reads."""
    book = session.services.policies
    edition = session.read(book.edition)
    if not edition.number:
        return Check(name="policy in force", ok=True, detail=f"{edition.version}, of the settings")
    if not edition.readable:
        told = f"{edition.version} cannot be read by this release; the one before it is in force"
        return Check(name="policy in force", ok=False, detail=told)
    file = session.settings.policy_file
    if file and digest(policy_text(file)) != edition.sha256:
        told = (
            f"{edition.version}, of the database; IDENTITY_POLICY_FILE names another text, which is not read:"
            " apply it or unset it"
        )
        return Check(name="policy in force", ok=True, detail=told)
    return Check(name="policy in force", ok=True, detail=f"{edition.version}, of the database")


def _providers(settings: Settings) -> Check:
    route = ", ".join(settings.providers)
    try:
        make_providers(settings)
    except ValueError as error:
        return Check(name="providers", ok=False, detail=f"{route}: {error}")
    return Check(name="providers", ok=True, detail=route)


def _store(session: Session) -> Generator[Check, None, bool]:
    try:
        store = session.store
    except Unavailable as error:
        yield Check(name="store", ok=False, detail=str(error))
        return False
    yield Check(name="store", ok=True, detail="SQLite" if store.is_sqlite else "PostgreSQL")
    lasting = store.durability()
    weak = any(word in lasting.lower() for word in ("=off", "=normal"))
    yield Check(name="durability", ok=not weak, detail=lasting)
    at = migrate.version(store.engine)
    if migrate.is_behind(store.engine):
        yield Check(name="schema", ok=False, detail=f"at {at}; run `identity db upgrade`")
        return False
    drift = migrate.differences(store.engine)
    yield Check(name="schema", ok=not drift, detail="; ".join(drift) or f"at {at}")
    return True


def _running(session: Session) -> Iterator[Check]:
    services = session.services
    beat = session.read(services.worker_state.last_beat)
    now = services.clock.now()
    if beat is None:
        yield Check(name="worker", ok=False, detail="none has ever run; start `identity worker`")
    else:
        seen = f"last seen {max(0, now - beat) // SECOND} s ago"
        yield Check(name="worker", ok=now - beat <= _BEATS_WITHIN, detail=seen)
    dead = len(session.read(lambda tx: services.endings.dead_letters(tx, 1000)))
    told = f"{dead}; see `identity messages dead`" if dead else "none"
    yield Check(name="dead letters", ok=not dead, detail=told)
