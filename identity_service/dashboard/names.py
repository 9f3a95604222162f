"""What members are called on a page, and what stands in its addresses.

An administrator sees members as they are.  For everybody else a member has a pseudonym, a keyed hash that is
the same on every page and leads nowhere, and addresses carry the id sealed: neither can be matched against
another service's data.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from identity_service.crypto import Hasher, Seal, SealBroken
from identity_service.errors import Refused, not_found
from identity_service.services.dashboard_access import Role

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PLACE: Final = "dashboard.member"
_CURSOR_PLACE: Final = "dashboard.cursor"
_SHOWN_OF_ID: Final = 8


class Names:
    def __init__(self, role: Role, hasher: Hasher, seal: Seal) -> None:
        self._open = role is Role.ADMIN
        self._hasher, self._seal = hasher, seal

    def label(self, member_id: str, external_id: str | None = None) -> str:
        """Return what to call a member: ten symbols of a pseudonym, or its own name."""
        if self._open:
            return external_id or f"{member_id[:4]}…{member_id[-_SHOWN_OF_ID:]}"
        number = int.from_bytes(self._hasher.current("dashboard_name", member_id)[:5])
        shown = "".join(_ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
        return f"M-{shown[:4]}-{shown[4:]}"

    def ref(self, member_id: str) -> str:
        """Return what stands for a member in an address."""
        if self._open:
            return member_id
        return self._closed(member_id, _PLACE)

    def id_of(self, ref: str) -> str:
        """Raises: Refused `not_found`."""
        if self._open:
            return ref
        found = self._opened(ref, _PLACE)
        if found is None:
            raise not_found("member")
        return found

    def cursor(self, cursor: str) -> str:
        """Return what stands for a list's cursor in an address: in clear it is a row's id."""
        return cursor if self._open else self._closed(cursor, _CURSOR_PLACE)

    def cursor_of(self, given: str) -> str:
        """Raises: Refused `cursor_invalid`."""
        found = given if self._open else self._opened(given, _CURSOR_PLACE)
        if found is None:
            raise Refused("cursor_invalid", "This cursor was not made by this page.")
        return found

    def _closed(self, text: str, place: str) -> str:
        return base64.urlsafe_b64encode(self._seal.close(text.encode(), place)).decode().rstrip("=")

    def _opened(self, given: str, place: str) -> str | None:
        try:
            sealed = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
            return self._seal.open(sealed, place).decode()
        except (binascii.Error, ValueError, IndexError, SealBroken):
            return None
