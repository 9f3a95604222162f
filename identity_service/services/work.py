"""Proof of work (ALTCHA): what an anonymous caller pays when codes are being guessed everywhere.

Self-hosted: a challenge is signed, not stored, and a solution is checked offline; `budgets.take` on the
challenge's id lets each be used once.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from altcha import create_challenge, verify_solution

from identity_service.crypto import Keyring, Purpose
from identity_service.ports import SECOND, Clock

_ALGORITHM: Final = "SHA-256"
_COST: Final = 1_000  # hashes a try; about 256 tries: a second on a phone, half a millisecond to check
_LIFE: Final = timedelta(minutes=10)


class ProofOfWork:
    def __init__(self, *, keyring: Keyring, clock: Clock) -> None:
        self._keyring, self._clock = keyring, clock

    def challenge(self) -> dict[str, Any]:
        """Return a fresh challenge, as the altcha widget and library take it."""
        now = datetime.fromtimestamp(self._clock.now() / SECOND, UTC)
        challenge = create_challenge(
            _ALGORITHM,
            _COST,
            expires_at=now + _LIFE,
            hmac_secret=self._keyring.current(Purpose.SIGNING).secret,
        )
        return dict(challenge.to_dict())

    def solved(self, payload: str) -> str | None:
        """Return the id of the challenge that a payload solves, or None for anything else."""
        for key in self._keyring.live(Purpose.SIGNING):
            if verify_solution(payload, key.secret).verified:
                nonce = json.loads(base64.b64decode(payload))["challenge"]["parameters"]["nonce"]
                return str(nonce)[:64]
        return None
