"""What a member keeps: recovery codes (shown once) and device tokens.  Stored only as keyed hashes."""

from __future__ import annotations

import base64
import hmac
from typing import Any, Final

from sqlalchemy import Integer, bindparam, insert, select, update

from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import devices, recovery_codes
from identity_service.ports import Entropy, Ids
from identity_service.services.policy_book import PolicyBook

_FORGIVEN: Final = str.maketrans("oil", "011", "- ")
_HASH_BYTES: Final = 16
_CODE_BYTES: Final = 10  # 80 bits: no budget is needed against guessing, and none can be burnt
# RFC 4648's base 32 in Crockford's symbols, which hold no letter that looks like a digit.
_CROCKFORD: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")


def _keep(insert: Any) -> Any:
    row = insert(recovery_codes).values(binds(("member_id", "hashes", "key_id", "used_mask", "created_at")))
    fresh = {name: row.excluded[name] for name in ("hashes", "key_id", "used_mask", "created_at")}
    return row.on_conflict_do_update(index_elements=["member_id"], set_=fresh)


_KEEP = per_dialect(_keep)
_OF = Statement(
    select(recovery_codes.c.hashes, recovery_codes.c.key_id, recovery_codes.c.used_mask).where(
        recovery_codes.c.member_id == bindparam("member")
    )
)
_bit = bindparam("bit", type_=Integer)
_USE = Statement(
    update(recovery_codes)
    .where(
        recovery_codes.c.member_id == bindparam("member"),
        recovery_codes.c.used_mask.op("&")(_bit) == 0,
    )
    .values(used_mask=recovery_codes.c.used_mask.op("|")(_bit))
)
_ADD_DEVICE = Statement(
    insert(devices).values(binds(("id", "member_id", "token_hash", "device_hash", "created_at")))
)


class Credentials:
    def __init__(self, *, policies: PolicyBook, ids: Ids, entropy: Entropy, hasher: Hasher) -> None:
        self._policies, self._ids, self._entropy, self._hasher = policies, ids, entropy, hasher

    def new_recovery_codes(self, tx: Tx, member_id: str) -> tuple[str, ...]:
        """Make a fresh set, which replaces any older one; the only time that it is seen."""
        codes = tuple(self._draw() for _ in range(self._policies.of(tx).recovery.codes))
        key_id, hashes = self._hasher.many(f"recovery.{member_id}", [_plain(code) for code in codes])
        tx.run(
            _KEEP,
            member_id=member_id,
            hashes=b"".join(digest[:_HASH_BYTES] for digest in hashes),
            key_id=key_id,
            used_mask=0,
            created_at=tx.now,
        )
        return codes

    def _draw(self) -> str:
        text = base64.b32encode(self._entropy.token(_CODE_BYTES)).translate(_CROCKFORD).decode()
        return f"{text[:4]}-{text[4:8]}-{text[8:12]}-{text[12:]}"

    def use_recovery_code(self, tx: Tx, member_id: str, code: str) -> bool:
        """Use a code up; False where it is none of this member's, or was used."""
        row = tx.one(_OF, member=member_id)
        if row is None:
            return False
        known = dict(self._hasher.rows(f"recovery.{member_id}", _plain(code)))
        digest = known.get(row.key_id)
        if digest is None:
            return False
        found = None
        for n in range(0, len(row.hashes), _HASH_BYTES):  # all are compared: time tells nothing
            if hmac.compare_digest(row.hashes[n : n + _HASH_BYTES], digest[:_HASH_BYTES]):
                found = n // _HASH_BYTES
        return found is not None and bool(tx.run(_USE, member=member_id, bit=1 << found))

    def new_device(self, tx: Tx, member_id: str, device_id: str | None) -> str:
        """Make a token by which this device is known again (a lane of its own, nothing more)."""
        token = f"dev_{self._entropy.token(20).hex()}"
        tx.run(
            _ADD_DEVICE,
            id=self._ids.new("dvc"),
            member_id=member_id,
            token_hash=self._hasher.current("device", token),
            device_hash=device_id and self._hasher.current("device_id", device_id),
            created_at=tx.now,
        )
        return token


def _plain(code: str) -> str:
    """Forgive case, dashes, blanks, and the letters that look like digits."""
    return code.lower().translate(_FORGIVEN)
