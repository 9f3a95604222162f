"""Who may look at the dashboard: one-time links from an operator, and the sessions they open.

Owns the life of both.  A link's token and a session's token stand here as keyed hashes only.  A link opens
one session, taken by one guarded statement; a session ends by itself when nobody uses it, at the latest after
half a day, or at once when an operator ends it.  Refuses to know a cookie.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, delete, insert, or_, select, update

from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import dashboard_links as links
from identity_service.db.tables import dashboard_sessions as sessions
from identity_service.errors import invalid, not_found
from identity_service.ports import DAY, HOUR, MINUTE, Entropy, Ids, Instant
from identity_service.services.journal import Journal

LINK_LIFE: Final = 15 * MINUTE
LONGEST_LINK_LIFE: Final = DAY
IDLE: Final = HOUR
LONGEST: Final = 12 * HOUR
_TOUCH_EVERY: Final = MINUTE  # a reading of pages must not write a row a click
_KEPT: Final = 30 * DAY  # what is over is listed for a while; the journal tells it for ever
_LONGEST_TOKEN: Final = 100
_LONGEST_NAME: Final = 100
_now = bindparam("now_", type_=BigInteger)


class Role(StrEnum):
    GROWTH = "growth"
    """Sees numbers and shapes: members under pseudonyms, no phone, no small cells."""
    ADMIN = "admin"


_LINK = ("id", "token_hash", "role", "name", "made_by", "created_at", "expires_at")
_ADD_LINK = Statement(insert(links).values(binds(_LINK)))
_USE_LINK = Statement(
    update(links)
    .where(
        or_(links.c.token_hash == bindparam("now_hash"), links.c.token_hash == bindparam("old_hash")),
        links.c.used_at.is_(None),
        links.c.expires_at > _now,
    )
    .values(used_at=_now)
    .returning(links.c.id, links.c.role, links.c.name)
)
_SESSION = ("id", "token_hash", "role", "name", "created_at", "seen_at", "expires_at")
_ADD_SESSION = Statement(insert(sessions).values(binds(_SESSION)))
_live = (
    sessions.c.revoked_at.is_(None),
    sessions.c.expires_at > _now,
    sessions.c.seen_at > bindparam("idle_since", type_=BigInteger),
)
_view = select(
    sessions.c.id,
    sessions.c.role,
    sessions.c.name,
    sessions.c.created_at,
    sessions.c.seen_at,
    sessions.c.expires_at,
    sessions.c.revoked_at,
)
_FIND = Statement(
    _view.where(
        or_(sessions.c.token_hash == bindparam("now_hash"), sessions.c.token_hash == bindparam("old_hash")),
        *_live,
    )
)
_TOUCH = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.seen_at < _now, *_live)
    .values(seen_at=_now)
)
_LIST = Statement(_view.order_by(sessions.c.id.desc()).limit(bindparam("limit")))
_END = Statement(
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.revoked_at.is_(None))
    .values(revoked_at=_now)
    .returning(sessions.c.name)
)
_END_ALL = Statement(
    update(sessions)
    .where(sessions.c.revoked_at.is_(None), sessions.c.expires_at > _now)
    .values(revoked_at=_now)
)
_END_LINKS = Statement(
    update(links).where(links.c.used_at.is_(None), links.c.expires_at > _now).values(expires_at=_now)
)
_FORGET_LINKS = Statement(delete(links).where(links.c.expires_at <= _now))
_FORGET_SESSIONS = Statement(delete(sessions).where(sessions.c.expires_at <= _now))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink:
    """A link's token, in clear for the only time."""

    id: str
    token: str
    role: Role
    name: str
    expires_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardSession:
    """Who is signed in.

    Attributes:
        stale: nobody has been seen for a minute or more; `touch` says that somebody is there.
    """

    id: str
    role: Role
    name: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant
    state: str
    stale: bool


class DashboardAccess:
    def __init__(self, *, ids: Ids, entropy: Entropy, hasher: Hasher, journal: Journal) -> None:
        self._ids, self._entropy, self._hasher, self._journal = ids, entropy, hasher, journal

    def make_link(self, tx: Tx, role: Role, name: str, life: Instant = LINK_LIFE) -> SignInLink:
        """Make a link that signs one person in, once.

        Raises:
            Refused: `validation_failed`.
        """
        if not 0 < life <= LONGEST_LINK_LIFE:
            raise invalid("/expires_in", "out_of_range", "A link lives for a day at most.")
        if not name.isprintable() or not 1 <= len(name) <= _LONGEST_NAME:
            raise invalid("/name", "name_invalid", f"A name is at most {_LONGEST_NAME} printable characters.")
        link = SignInLink(
            id=self._ids.new("dsl"), token=self._token(), role=role, name=name, expires_at=tx.now + life
        )
        tx.run(
            _ADD_LINK,
            id=link.id,
            token_hash=self._hasher.current("dashboard_link", link.token),
            role=role.value,
            name=name,
            made_by=tx.actor.name,
            created_at=tx.now,
            expires_at=link.expires_at,
        )
        told = {"link_id": link.id, "role": role.value, "name": name}
        self._journal.tell(tx, "dashboard.link_made", link.id, told, public=False)
        return link

    def sign_in(self, tx: Tx, token: str) -> str:
        """Use a link up and open a session; return the session's token.

        Raises:
            Refused: `not_found`, for a link that is unknown, used or over: they look the same.
        """
        if len(token) > _LONGEST_TOKEN:
            raise not_found("sign-in link")
        now_hash, old_hash = self._hasher.live("dashboard_link", token)
        link = tx.one(_USE_LINK, now_hash=now_hash, old_hash=old_hash, now_=tx.now)
        if link is None:
            raise not_found("sign-in link")
        session_id, session_token = self._ids.new("dss"), self._token()
        tx.run(
            _ADD_SESSION,
            id=session_id,
            token_hash=self._hasher.current("dashboard_session", session_token),
            role=link.role,
            name=link.name,
            created_at=tx.now,
            seen_at=tx.now,
            expires_at=tx.now + LONGEST,
        )
        told = {"session_id": session_id, "link_id": link.id, "role": link.role, "name": link.name}
        self._journal.tell(tx, "dashboard.signed_in", session_id, told, public=False)
        return session_token

    def session(self, tx: Tx, token: str) -> DashboardSession | None:
        """Return whose session this is, or None where it is unknown or over."""
        if not 1 <= len(token) <= _LONGEST_TOKEN:
            return None
        now_hash, old_hash = self._hasher.live("dashboard_session", token)
        row = tx.one(_FIND, now_hash=now_hash, old_hash=old_hash, now_=tx.now, idle_since=tx.now - IDLE)
        return None if row is None else _session(row, tx.now)

    def touch(self, tx: Tx, session_id: str) -> None:
        """Note that somebody is there; what is over stays over."""
        tx.run(_TOUCH, session=session_id, now_=tx.now, idle_since=tx.now - IDLE)

    def form_token(self, token: str) -> str:
        """Return what each form of a session carries, so that no other site can send one for its owner."""
        return self._hasher.current("dashboard_form", token).hex()

    def form_tokens(self, token: str) -> tuple[str, str]:
        """Return what a form may carry: during a key rotation the one before, too."""
        now_hash, old_hash = self._hasher.live("dashboard_form", token)
        return now_hash.hex(), old_hash.hex()

    def sessions(self, tx: Tx, limit: int = 100) -> list[DashboardSession]:
        """Return the newest sessions, those that are over included."""
        return [_session(row, tx.now) for row in tx.all(_LIST, limit=limit)]

    def end(self, tx: Tx, session_id: str) -> None:
        """End a session; it is refused from the next request on.

        Raises:
            Refused: `not_found`.
        """
        row = tx.one(_END, session=session_id, now_=tx.now)
        if row is None:
            raise not_found("open session")
        told = {"session_id": session_id, "name": row.name}
        self._journal.tell(tx, "dashboard.session_ended", session_id, told, public=False)

    def end_all(self, tx: Tx) -> int:
        """End every session and every link that would open another; return how many sessions."""
        count, waiting = tx.run(_END_ALL, now_=tx.now), tx.run(_END_LINKS, now_=tx.now)
        told = {"sessions": count, "links": waiting}
        self._journal.tell(tx, "dashboard.sessions_ended", "dashboard", told, public=False)
        return count

    def forget_old(self, tx: Tx) -> int:
        """Remove links and sessions that were over a month ago; return how many."""
        before = tx.now - _KEPT
        return tx.run(_FORGET_LINKS, now_=before) + tx.run(_FORGET_SESSIONS, now_=before)

    def _token(self) -> str:
        return base64.b32encode(self._entropy.token(25)).decode().lower()


def _session(row: Any, now: Instant) -> DashboardSession:
    if row.revoked_at is not None:
        state = "ended"
    elif row.expires_at <= now or row.seen_at <= now - IDLE:
        state = "over"
    else:
        state = "open"
    return DashboardSession(
        id=row.id,
        role=Role(row.role),
        name=row.name,
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        state=state,
        stale=now - row.seen_at >= _TOUCH_EVERY,
    )
