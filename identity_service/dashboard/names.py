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
from identity_service.errors import not_found
from identity_service.services.dashboard_access import Role

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PLACE: Final = "dashboard.member"
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
        return base64.urlsafe_b64encode(self._seal.close(member_id.encode(), _PLACE)).decode().rstrip("=")

    def id_of(self, ref: str) -> str:
        """Raises: Refused `not_found`."""
        if self._open:
            return ref
        try:
            sealed = base64.urlsafe_b64decode(ref + "=" * (-len(ref) % 4))
            return self._seal.open(sealed, _PLACE).decode()
        except (binascii.Error, ValueError, IndexError, SealBroken):
            raise not_found("member") from None
