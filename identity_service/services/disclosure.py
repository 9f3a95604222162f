"""Reading a full phone number: an act of its own, with a reason, journalled before it is told."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members
from identity_service.errors import invalid, not_found
from identity_service.services.journal import Journal
from identity_service.services.phones import Phones
from sms.numbers import E164

LONGEST_REASON: Final = 500
_SHORTEST_REASON: Final = 5  # a word at least: an empty reason is none
_PHONE_OF = Statement(select(members.c.phone_id).where(members.c.id == bindparam("member")))


class Disclosure:
    def __init__(self, *, phones: Phones, journal: Journal) -> None:
        self._phones, self._journal = phones, journal

    def number_of(self, tx: Tx, member_id: str, reason: str) -> E164:
        """Return a member's full number.

        Raises:
            Refused: `not_found`, also for a member without a phone; `validation_failed`.
        """
        reason = reason.strip()
        if not _SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            detail = f"Say why, in {_SHORTEST_REASON} to {LONGEST_REASON} characters."
            raise invalid("/reason", "reason_missing", detail)
        row = tx.one(_PHONE_OF, member=member_id)
        if row is None or row.phone_id is None:
            raise not_found("member with a phone")
        told = {"member_id": member_id}
        self._journal.tell(tx, "member.number_read", member_id, told, detail={"reason": reason}, public=False)
        return self._phones.number(tx, row.phone_id)[0]
