"""Live key rotation: every purpose changes its key while the service runs, and nothing stops working.

A rotation is three steps, each safe to repeat: *start* (a new key beside the old), *move* (what stands under
the old key is written again under the new one), *retire* (the old key is dropped, refused while anything
still needs it).  For the look-up of phones the new key is first only written (`next`), because uniqueness
must hold under one key that all processes share, and becomes current when the index is complete.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, LargeBinary, bindparam, delete, false, func, or_, select, update

from identity_service.crypto import (
    Hasher,
    Key,
    Keyring,
    KeyState,
    Purpose,
    Seal,
    dump_keys,
    new_key,
    parse_keys,
    write_private,
)
from identity_service.db.store import Statement, Tx, insert_if_new
from identity_service.db.tables import (
    api_keys,
    devices,
    idempotency,
    invites,
    messages,
    phone_index,
    phones,
    recovery_codes,
    verifications,
)
from identity_service.errors import Refused
from identity_service.ports import DAY, Instant, instant_of
from identity_service.services.journal import Journal
from identity_service.services.phones import Phones

BATCH: Final = 500
_SEALED: Final = (
    (phones, phones.c.sealed),
    (invites, invites.c.sealed_code),
    (verifications, verifications.c.sealed_code),
    (messages, messages.c.sealed_code),
)
_PHONES_AFTER = Statement(
    select(phones.c.id, phones.c.sealed)
    .where(phones.c.id > bindparam("after"), phones.c.sealed.is_not(None))
    .order_by(phones.c.id)
    .limit(BATCH)
)
_INDEX = insert_if_new(phone_index, ("lookup", "phone_id", "key_id"))
_UNINDEXED = Statement(
    select(func.count().label("n")).where(
        phones.c.sealed.is_not(None),
        ~select(phone_index.c.lookup)
        .where(phone_index.c.phone_id == phones.c.id, phone_index.c.key_id == bindparam("key"))
        .exists(),
    )
)
_DROP_INDEX = Statement(delete(phone_index).where(phone_index.c.key_id == bindparam("key")))


class Rotation:
    def __init__(self, *, keyring: Keyring, phones: Phones, seal: Seal, journal: Journal) -> None:
        self._keyring, self._phones, self._seal, self._journal = keyring, phones, seal, journal

    def start(self, tx: Tx, purpose: Purpose) -> Key:
        """Put a new key beside the current one.

        Raises:
            Refused: `rotation_running`, `keyring_fixed`.
        """
        self._keyring.reload()
        if len(self._keyring.live(purpose)) > 1:
            raise Refused("rotation_running", f"A rotation of {purpose} is under way; finish it first.")
        waits = purpose is Purpose.PHONE_LOOKUP
        key = new_key(purpose, KeyState.NEXT if waits else KeyState.CURRENT, tx.now)
        keys = self._keyring.all()
        if not waits:
            keys = self._demoted(keys, purpose)
        self._save(tx, (*keys, key), f"{purpose}: {key.id} added")
        return key

    def promote(self, tx: Tx, purpose: Purpose) -> Key:
        """Make the `next` key current, once its index is complete.

        Raises:
            Refused: `rotation_not_running`, `key_in_use`.
        """
        self._keyring.reload()
        coming = next((k for k in self._keyring.live(purpose) if k.state is KeyState.NEXT), None)
        if coming is None:
            raise Refused("rotation_not_running", f"There is no new {purpose} key to promote.")
        missing = tx.one(_UNINDEXED, key=coming.id).n
        if missing:
            raise Refused("key_in_use", f"{missing} phones are not indexed under {coming.id} yet.")
        keys = tuple(
            replace(k, state=KeyState.CURRENT) if k.id == coming.id else k
            for k in self._demoted(self._keyring.all(), purpose)
        )
        self._save(tx, keys, f"{purpose}: {coming.id} is current")
        return coming

    def retire(self, tx: Tx, key_id: str, *, force: bool = False) -> None:
        """Drop an old key.

        Parameters:
            force: also where something was made with it that cannot be made again (invite codes, tokens);
                that stops working.

        Raises:
            Refused: `not_found`, `key_in_use`.
        """
        self._keyring.reload()
        key = self._keyring.by_id(key_id)
        if key is None:
            raise Refused("not_found", f"There is no key {key_id}.")
        if key.state is not KeyState.RETIRING:
            raise Refused("key_in_use", f"{key_id} is {key.state}; only a retiring key can be dropped.")
        reason = self.still_needs(tx, key)
        if reason is not None and not force:
            raise Refused("key_in_use", reason)
        if key.purpose is Purpose.PHONE_LOOKUP:
            tx.run(_DROP_INDEX, key=key.id)
        self._save(tx, tuple(k for k in self._keyring.all() if k.id != key_id), f"{key_id} retired")

    def still_needs(self, tx: Tx, key: Key) -> str | None:
        """Return what would break without a key, or None."""
        match key.purpose:
            case Purpose.SEAL:
                count = sum(self._sealed_with(tx, column, key.id) for _, column in _SEALED)
                if count:
                    return f"{count} values are sealed with {key.id}; move them first."
                answers = self._sealed_with(tx, idempotency.c.answer, key.id)
                return f"{answers} stored answers need {key.id}, for a day at most." if answers else None
            case Purpose.PHONE_LOOKUP:
                missing = tx.one(_UNINDEXED, key=self._keyring.current(key.purpose).id).n
                return f"{missing} phones are indexed only under {key.id}." if missing else None
            case Purpose.CODE_HASH:
                made_before = self._made_before_rotation(tx)
                return (
                    f"{made_before} codes, keys and tokens may be of {key.id}, and cannot be made again."
                    if made_before
                    else None
                )
            case Purpose.SIGNING | Purpose.ASSERTION:
                age = tx.now - _instant_of_key(self._keyring.current(key.purpose))
                return None if age > DAY else "What was signed with it may be in use for a day."

    def _sealed_with(self, tx: Tx, column: object, key_id: str) -> int:
        query = select(func.count().label("n")).where(self._starts(column, key_id))
        return int(tx.select(query)[0].n)

    def _starts(self, column: object, key_id: str) -> ColumnElement[bool]:
        """Whether a value is sealed with a key: its name stands first."""
        prefix = bytes([len(key_id)]) + key_id.encode()
        return func.substr(column, 1, len(prefix)) == bindparam(None, prefix, type_=LargeBinary)

    def _made_before_rotation(self, tx: Tx) -> int:
        since = _instant_of_key(self._keyring.current(Purpose.CODE_HASH))
        queries = (
            select(func.count().label("n")).where(invites.c.state == "open", invites.c.created_at < since),
            select(func.count().label("n")).where(
                api_keys.c.revoked_at.is_(None), api_keys.c.created_at < since
            ),
            select(func.count().label("n")).where(
                devices.c.revoked_at.is_(None), devices.c.created_at < since
            ),
            select(func.count().label("n")).where(recovery_codes.c.created_at < since),
        )
        return sum(int(tx.select(query)[0].n) for query in queries)

    def move_sealed(self, tx: Tx, after: str) -> str | None:
        """Seal a batch of values again with the current key; return where to go on, or None at the end.

        Parameters:
            after: where the batch before ended; empty at the start.
        """
        at, _, last = after.partition(":")
        place = int(at or 0)
        if place >= len(_SEALED):
            return None
        table, column = _SEALED[place]
        old = [key for key in self._keyring.live(Purpose.SEAL) if key.state is KeyState.RETIRING]
        is_old = or_(false(), *(self._starts(column, key.id) for key in old))
        query = select(table.c.id, column.label("sealed")).where(table.c.id > last, is_old)
        rows = tx.select(query.order_by(table.c.id).limit(BATCH))
        for row in rows:
            fresh = self._seal.close(self._seal.open(row.sealed, row.id), row.id)
            # Only if nobody wrote it meanwhile.
            same = (table.c.id == row.id, column == row.sealed)
            tx.change(update(table).where(*same).values({column.name: fresh}))
        return f"{place}:{rows[-1].id}" if len(rows) == BATCH else f"{place + 1}:"

    def move_index(self, tx: Tx, after: str, hasher: Hasher) -> str | None:
        """Index a batch of phones under every live key; return where to go on, or None at the end."""
        rows = tx.all(_PHONES_AFTER, after=after)
        for row in rows:
            number = self._seal.open(row.sealed, row.id).decode()
            for key_id, lookup in hasher.rows("phone", number):
                tx.run(_INDEX, lookup=lookup, phone_id=row.id, key_id=key_id)
        return rows[-1].id if rows else None

    def _demoted(self, keys: tuple[Key, ...], purpose: Purpose) -> tuple[Key, ...]:
        return tuple(
            replace(key, state=KeyState.RETIRING)
            if key.purpose is purpose and key.state is KeyState.CURRENT
            else key
            for key in keys
        )

    def _save(self, tx: Tx, keys: tuple[Key, ...], what: str) -> None:
        path = self._keyring.path
        if path is None:
            raise Refused(
                "keyring_fixed", "IDENTITY_KEYRING holds the keys themselves; only a file can be rotated."
            )
        text = dump_keys(keys)
        parse_keys(text)
        write_private(path, text)
        self._keyring.reload()
        self._journal.tell(tx, "keys.changed", "keyring", {"what": what}, public=False)


def _instant_of_key(key: Key) -> Instant:
    return instant_of(datetime.fromisoformat(key.created_at))
