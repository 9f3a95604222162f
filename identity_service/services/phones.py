"""Phone numbers at rest: each stands once, sealed, found by a keyed hash.

Every other table names a phone by its `phn_` id, so that a key rotation, an erasure or a disclosure has one
place to go to.  While a look-up key is rotating, the index holds each phone under both keys; uniqueness
then holds as long as any two writers share one key, which a rotation guarantees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, insert, or_, select

from identity_service.crypto import Hasher, Seal
from identity_service.db.store import Statement, Tx, among, binds, insert_if_new, insert_many
from identity_service.db.tables import phone_index, phones
from identity_service.errors import FieldError, Refused
from identity_service.ports import Ids
from sms.numbers import E164, Number, NumberPolicy, NumberRefused, mask, parse

_FIND = Statement(
    select(phones.c.id, phones.c.country, phones.c.kind, phones.c.masked)
    .join(phone_index, phone_index.c.phone_id == phones.c.id)
    .where(or_(phone_index.c.lookup == bindparam("now_hash"), phone_index.c.lookup == bindparam("old_hash")))
    .limit(1)
)
_NEW: Final = ("id", "sealed", "country", "kind", "masked", "first_seen_at")
_INDEXED: Final = ("lookup", "phone_id", "key_id")
_ADD = Statement(insert(phones).values(binds(_NEW)))
_ADD_MANY = insert_many(phones, _NEW)
_INDEX = insert_if_new(phone_index, _INDEXED)
_INDEX_MANY = insert_many(phone_index, _INDEXED)
_FORGET = Statement(delete(phones).where(phones.c.id == bindparam("id")))
_GET = Statement(
    select(phones.c.id, phones.c.country, phones.c.kind, phones.c.masked).where(
        phones.c.id == bindparam("id")
    )
)
_FIND_MANY = Statement(
    select(phone_index.c.lookup, phones.c.id, phones.c.country, phones.c.kind, phones.c.masked)
    .join(phones, phones.c.id == phone_index.c.phone_id)
    .where(among(phone_index.c.lookup))
)
_SEALED = Statement(select(phones.c.sealed, phones.c.country).where(phones.c.id == bindparam("id")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A phone as the service speaks of it: never the number itself."""

    id: str
    country: str
    kind: str
    masked: str


def read_number(raw: str, pointer: str, policy: NumberPolicy) -> Number:
    """Parse a number from a request.

    Raises:
        Refused: `phone_invalid`, with what is wrong in `errors[]`.
    """
    try:
        return parse(raw, policy)
    except NumberRefused as refused:
        raise Refused(
            "phone_invalid",
            "This is not a phone number that we can send to.",
            errors=(FieldError(pointer=pointer, code=refused.code, detail=refused.detail),),
        ) from None


class Phones:
    def __init__(self, *, hasher: Hasher, seal: Seal, ids: Ids, number_policy: NumberPolicy) -> None:
        self._hasher, self._seal, self._ids = hasher, seal, ids
        self.number_policy = number_policy

    def read(self, raw: str, pointer: str) -> Number:
        return read_number(raw, pointer, self.number_policy)

    def find(self, tx: Tx, number: Number) -> Phone | None:
        now_hash, old_hash = self._hasher.live("phone", number.e164)
        row = tx.one(_FIND, now_hash=now_hash, old_hash=old_hash)
        return (
            None if row is None else Phone(id=row.id, country=row.country, kind=row.kind, masked=row.masked)
        )

    def of(self, tx: Tx, number: Number) -> Phone:
        """Return the row of a number, made now where it is new.

        Two transactions that meet a new number at once: the index row's key decides which of them made it,
        the other uses that one.
        """
        phone = self.find(tx, number)
        if phone is not None:
            return phone
        phone = _phone(self._ids.new("phn"), number)
        tx.run(_ADD, **self._rows(tx, [phone], [number])[0])
        made = [
            tx.run(_INDEX, lookup=lookup, phone_id=phone.id, key_id=key_id)
            for key_id, lookup in self._hasher.rows("phone", number.e164)
        ]
        if all(made):
            return phone
        first = self.find(tx, number)
        if not any(made):
            tx.run(_FORGET, id=phone.id)  # the other's row is the one: a number stands once
        return phone if first is None else first

    def find_many(self, tx: Tx, numbers: Sequence[Number]) -> dict[E164, Phone]:
        """Return the rows of those numbers that are known."""
        return self._found(tx, self._hashes(numbers))

    def of_many(self, tx: Tx, numbers: Sequence[Number]) -> dict[E164, Phone]:
        """Return the rows of different numbers, made now where they are new.

        Raises:
            Refused: `phones_raced`: another transaction met one of them at the same time; begin again.
        """
        hashes = self._hashes(numbers)
        known = self._found(tx, hashes)
        new = [number for number in numbers if number.e164 not in known]
        made = [
            _phone(phone_id, number)
            for number, phone_id in zip(new, self._ids.many("phn", len(new)), strict=True)
        ]
        index: list[dict[str, object]] = []
        for number, phone in zip(new, made, strict=True):
            known[number.e164] = phone
            for key_id, lookup in hashes[number.e164]:
                index.append({"lookup": lookup, "phone_id": phone.id, "key_id": key_id})
        tx.load(_ADD_MANY, self._rows(tx, made, new))
        if tx.load(_INDEX_MANY, index) != len(index):
            raise Refused("phones_raced", "Another transaction met one of these numbers at the same time.")
        return known

    def _found(self, tx: Tx, hashes: Mapping[E164, list[tuple[str, bytes]]]) -> dict[E164, Phone]:
        by_hash = {lookup: e164 for e164, rows in hashes.items() for _, lookup in rows}
        return {
            by_hash[bytes(row.lookup)]: Phone(
                id=row.id, country=row.country, kind=row.kind, masked=row.masked
            )
            for row in tx.among(_FIND_MANY, list(by_hash))
        }

    def _hashes(self, numbers: Sequence[Number]) -> dict[E164, list[tuple[str, bytes]]]:
        e164 = [number.e164 for number in numbers]
        return dict(zip(e164, self._hasher.rows_of_many("phone", e164), strict=True))

    def _rows(self, tx: Tx, made: Sequence[Phone], numbers: Sequence[Number]) -> list[dict[str, object]]:
        plain = [(number.e164.encode(), phone.id) for phone, number in zip(made, numbers, strict=True)]
        return [
            {
                "id": phone.id,
                "sealed": sealed,
                "country": phone.country,
                "kind": phone.kind,
                "masked": phone.masked,
                "first_seen_at": tx.now,
            }
            for phone, sealed in zip(made, self._seal.close_many(plain), strict=True)
        ]

    def get(self, tx: Tx, phone_id: str) -> Phone:
        row = tx.one(_GET, id=phone_id)
        return Phone(id=row.id, country=row.country, kind=row.kind, masked=row.masked)

    def number(self, tx: Tx, phone_id: str) -> tuple[E164, str]:
        """Open a number and its country, to send to it.  Every other full reading is an audited act."""
        row = tx.one(_SEALED, id=phone_id)
        return E164(self._seal.open(row.sealed, phone_id).decode()), row.country


def _phone(phone_id: str, number: Number) -> Phone:
    return Phone(id=phone_id, country=number.country, kind=number.kind.value, masked=mask(number.e164))
