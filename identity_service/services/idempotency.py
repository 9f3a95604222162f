"""Idempotency keys: the first answer again, stored in the transaction of the effect that it tells.

Because the answer commits with the effect, a crash leaves either both or neither, and nothing can stay
"in flight" after one.  The scope is the client; the fingerprint, an HMAC of method, path and body, tells a
repeat from a misuse; the stored answer is sealed.  What is stored: 2xx, and 4xx that had an effect.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from identity_service.crypto import Hasher, Seal
from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import idempotency
from identity_service.errors import Refused
from identity_service.ports import DAY, SECOND

KEPT = DAY

_FIND = Statement(
    select(idempotency.c.fingerprint, idempotency.c.answer).where(
        idempotency.c.key_hash == bindparam("key_hash"), idempotency.c.expires_at > bindparam("now_")
    )
)


def _keep(insert: Any) -> Any:
    row = insert(idempotency).values(binds(("key_hash", "fingerprint", "answer", "expires_at")))
    return row.on_conflict_do_update(  # an expired row that housekeeping has not met yet
        index_elements=["key_hash"],
        set_={name: row.excluded[name] for name in ("fingerprint", "answer", "expires_at")},
        where=idempotency.c.expires_at <= bindparam("now_"),
    )


_KEEP = per_dialect(_keep)
_LOCK = Statement(
    select(func.pg_try_advisory_xact_lock(bindparam("number")).label("mine")),
)
_PURGE = Statement(delete(idempotency).where(idempotency.c.expires_at <= bindparam("now_")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One request that carries a key."""

    client_id: str
    key: str
    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


class Idempotency:
    def __init__(self, *, hasher: Hasher, seal: Seal) -> None:
        self._hasher, self._seal = hasher, seal

    def _fingerprints(self, claim: Claim) -> tuple[bytes, bytes]:
        body = hashlib.sha256(claim.body).hexdigest()
        return self._hasher.live("idempotency.fingerprint", f"{claim.method} {claim.path}\n{body}")

    def _key_hashes(self, claim: Claim) -> tuple[bytes, bytes]:
        return self._hasher.live("idempotency.key", f"{claim.client_id}\n{claim.key}")

    def begin(self, tx: Tx, claim: Claim) -> Answer | None:
        """Return the stored answer, or None where this call is the first.

        Raises:
            Refused: `idempotency_key_reused` or `idempotency_in_flight`.
        """
        hashes = self._key_hashes(claim)
        if tx.dialect == "postgresql":
            # Writers are not queued there: hold the key until the transaction ends.  A collision of two
            # keys in 64 bits only makes one of them say "in flight" for a moment.
            name = hashlib.sha256(
                f"{claim.client_id}\n{claim.key}".encode()
            ).digest()  # no key that could rotate
            number = int.from_bytes(name[:8], signed=True)
            if not tx.one(_LOCK, number=number).mine:
                raise _in_flight(tx)
        for key_hash in dict.fromkeys(hashes):
            row = tx.one(_FIND, key_hash=key_hash, now_=tx.now)
            if row is None:
                continue
            if row.fingerprint not in self._fingerprints(claim):
                raise Refused(
                    "idempotency_key_reused", "This Idempotency-Key was used for another path or body."
                )
            stored = json.loads(self._seal.open(row.answer, key_hash.hex()))
            return Answer(status=stored["status"], headers=stored["headers"], body=stored["body"])
        return None

    def keep(self, tx: Tx, claim: Claim, answer: Answer) -> None:
        """Store the answer, in the transaction of its effect."""
        key_hash = self._key_hashes(claim)[0]
        plain = json.dumps({"status": answer.status, "headers": answer.headers, "body": answer.body})
        kept = tx.run(
            _KEEP,
            key_hash=key_hash,
            fingerprint=self._fingerprints(claim)[0],
            answer=self._seal.close(plain.encode(), key_hash.hex()),
            expires_at=tx.now + KEPT,
            now_=tx.now,
        )
        if not kept:  # another call with this key was first; nothing of this one is kept
            raise _in_flight(tx)

    def purge(self, tx: Tx) -> int:
        return tx.run(_PURGE, now_=tx.now)


def _in_flight(tx: Tx) -> Refused:
    return Refused(
        "idempotency_in_flight",
        "The first call with this Idempotency-Key has not finished yet.",
        retry_at=tx.now + SECOND,
    )
