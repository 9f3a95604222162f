"""Clients and their API keys: who may call, with which scopes, until when.  Keys are stored hashed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, insert, or_, select, update

from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx, binds, insert_if_new
from identity_service.db.tables import api_keys, clients
from identity_service.errors import Refused, not_found
from identity_service.ports import Entropy, Ids, Instant
from identity_service.services.journal import Journal

KEY_PREFIX: Final = "isk_"
LIVE_KEYS: Final = 2
_now = bindparam("now_", type_=BigInteger)


class Scope(StrEnum):
    INVITES_READ = "invites:read"
    INVITES_WRITE = "invites:write"
    VERIFICATIONS_WRITE = "verifications:write"
    REGISTRATIONS_WRITE = "registrations:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    MEMBERS_PII = "members:pii"
    RECOVERIES_WRITE = "recoveries:write"
    QUOTA_WRITE = "quota:write"
    SIGNALS_WRITE = "signals:write"
    SANCTIONS_WRITE = "sanctions:write"
    REQUESTS_WRITE = "requests:write"
    REPORTS_READ = "reports:read"
    EVENTS_READ = "events:read"
    WEBHOOKS_WRITE = "webhooks:write"
    ADMIN = "admin"


_ADD_CLIENT = Statement(
    insert(clients).values(id=bindparam("id"), name=bindparam("name"), created_at=bindparam("created_at"))
)
_ADD_BUILT_IN = insert_if_new(clients, ("id", "name", "created_at"))
_BY_NAME = Statement(
    select(clients.c.id, clients.c.name, clients.c.disabled_at).where(
        or_(clients.c.name == bindparam("name"), clients.c.id == bindparam("name"))
    )
)
# Takes the client's row first, so that two rotations queue here and the second counts the first one's key.
_LOCK_CLIENT = Statement(
    update(clients).where(clients.c.id == bindparam("client")).values(disabled_at=clients.c.disabled_at)
)
_KEY = ("id", "client_id", "secret_hash", "hint", "scopes", "created_at", "expires_at")
_ADD_KEY = Statement(insert(api_keys).values(binds(_KEY)))
_live = (
    api_keys.c.client_id == bindparam("client"),
    api_keys.c.revoked_at.is_(None),
    or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > _now),
)
_LIVE = Statement(select(api_keys.c.id, api_keys.c.scopes).where(*_live).order_by(api_keys.c.id))
_REVOKE_KEY = Statement(
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"), api_keys.c.revoked_at.is_(None))
    .values(revoked_at=_now)
    .returning(api_keys.c.client_id)
)
_REVOKE_ALL = Statement(update(api_keys).where(*_live).values(revoked_at=_now))
_END_KEY = Statement(
    update(api_keys)
    .where(
        api_keys.c.id == bindparam("key"),
        # An overlap shortens a key's life and never makes it longer.
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > bindparam("end_", type_=BigInteger)),
    )
    .values(expires_at=bindparam("end_", type_=BigInteger))
)
_FIND = Statement(
    select(
        api_keys.c.id,
        api_keys.c.client_id,
        api_keys.c.scopes,
        api_keys.c.expires_at,
        clients.c.name,
    )
    .join(clients, clients.c.id == api_keys.c.client_id)
    .where(
        or_(api_keys.c.secret_hash == bindparam("now_hash"), api_keys.c.secret_hash == bindparam("old_hash")),
        api_keys.c.revoked_at.is_(None),
        clients.c.disabled_at.is_(None),
    )
)
_LIST = Statement(
    select(
        clients.c.id.label("client_id"),
        clients.c.name,
        api_keys.c.id,
        api_keys.c.hint,
        api_keys.c.scopes,
        api_keys.c.created_at,
        api_keys.c.expires_at,
        api_keys.c.revoked_at,
    )
    .select_from(clients)
    .outerjoin(api_keys, api_keys.c.client_id == clients.c.id)
    .order_by(clients.c.name, api_keys.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key, in clear for the only time."""

    client_id: str
    client: str
    key_id: str
    key: str
    scopes: tuple[str, ...]
    expires_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    client_id: str
    client: str
    key_id: str
    scopes: frozenset[str]
    expires_at: Instant | None

    def may(self, scope: Scope) -> bool:
        return Scope.ADMIN in self.scopes or scope in self.scopes


def parse_scopes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises: Refused `scope_unknown`."""
    for name in names:
        if name not in Scope._value2member_map_:
            raise Refused("scope_unknown", f"There is no scope {name!r}; known: {', '.join(Scope)}.")
    return tuple(dict.fromkeys(names))


class Clients:
    def __init__(self, *, ids: Ids, entropy: Entropy, hasher: Hasher, journal: Journal) -> None:
        self._ids, self._entropy, self._hasher, self._journal = ids, entropy, hasher, journal

    def create(self, tx: Tx, name: str, scopes: tuple[str, ...], expires_at: Instant | None = None) -> NewKey:
        """Make a client and its first key.

        Raises:
            Refused: `client_exists`, `scope_unknown`.
        """
        scopes = parse_scopes(scopes)
        if tx.one(_BY_NAME, name=name) is not None:
            raise Refused("client_exists", f"There is a client {name!r} already; rotate its key instead.")
        client_id = self._ids.new("cli")
        tx.run(_ADD_CLIENT, id=client_id, name=name, created_at=tx.now)
        return self._new_key(tx, client_id, name, scopes, expires_at)

    def built_in(self, tx: Tx, name: str) -> str:
        """Return the id of a client of our own that has no key, made at its first use.

        Pages act in its name.  No command can name a client so: the names of ours stand in brackets.
        """
        tx.run(_ADD_BUILT_IN, id=self._ids.new("cli"), name=name, created_at=tx.now)
        return str(self._named(tx, name).id)

    def rotate(
        self,
        tx: Tx,
        name: str,
        *,
        overlap: Instant,
        expires_at: Instant | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> NewKey:
        """Make a new key; the old one lives on for `overlap` at most.  Two are live at most.

        Parameters:
            scopes: of the new key; without them it has those of the newest live one.

        Raises:
            Refused: `not_found`, `too_many_keys`.
        """
        client = self._named(tx, name)
        tx.run(_LOCK_CLIENT, client=client.id)
        live = tx.all(_LIVE, client=client.id, now_=tx.now)
        if len(live) >= LIVE_KEYS:
            raise Refused("too_many_keys", "Two keys are live; revoke one, or wait until one has expired.")
        if not live and scopes is None:
            raise Refused("not_found", "This client has no live key whose scopes a new one could take over.")
        for row in live:
            tx.run(_END_KEY, key=row.id, end_=tx.now + overlap)
        wanted = tuple(live[-1].scopes.split()) if scopes is None else parse_scopes(scopes)
        return self._new_key(tx, client.id, client.name, wanted, expires_at)

    def _new_key(
        self, tx: Tx, client_id: str, name: str, scopes: tuple[str, ...], expires_at: Instant | None
    ) -> NewKey:
        key = KEY_PREFIX + base64.b32encode(self._entropy.token(25)).decode().lower()
        key_id = self._ids.new("key")
        tx.run(
            _ADD_KEY,
            id=key_id,
            client_id=client_id,
            secret_hash=self._hasher.current("api_key", key),
            hint=key[:8],
            scopes=" ".join(scopes),
            created_at=tx.now,
            expires_at=expires_at,
        )
        self._journal.tell(
            tx, "client.key_made", key_id, {"client_id": client_id, "key_id": key_id}, public=False
        )
        return NewKey(
            client_id=client_id, client=name, key_id=key_id, key=key, scopes=scopes, expires_at=expires_at
        )

    def revoke(self, tx: Tx, name_or_key: str) -> int:
        """Revoke one key (`key_…`) or all of a client's; return how many.  Every worker refuses within 1 s.

        Raises:
            Refused: `not_found`.
        """
        if name_or_key.startswith("key_"):
            row = tx.one(_REVOKE_KEY, key=name_or_key, now_=tx.now)
            if row is None:
                raise not_found("live key")
            count, client_id = 1, row.client_id
        else:
            client_id = self._named(tx, name_or_key).id
            count = tx.run(_REVOKE_ALL, client=client_id, now_=tx.now)
        self._journal.tell(
            tx, "client.key_revoked", client_id, {"client_id": client_id, "keys": count}, public=False
        )
        return count

    def keys(self, tx: Tx) -> list[Any]:
        return tx.all(_LIST)

    def authenticate(self, tx: Tx, key: str) -> Principal | None:
        """Return whose key this is, or None for an unknown, expired or revoked one."""
        if not key.startswith(KEY_PREFIX) or len(key) > 100:
            return None
        now_hash, old_hash = self._hasher.live("api_key", key)
        row = tx.one(_FIND, now_hash=now_hash, old_hash=old_hash)
        if row is None or (row.expires_at is not None and row.expires_at <= tx.now):
            return None
        return Principal(
            client_id=row.client_id,
            client=row.name,
            key_id=row.id,
            scopes=frozenset(row.scopes.split()),
            expires_at=row.expires_at,
        )

    def _named(self, tx: Tx, name: str) -> Any:
        row = tx.one(_BY_NAME, name=name)
        if row is None:
            raise not_found("client")
        return row
