"""What a message of ours says: the settings' brand and addresses around what the message is about."""

from __future__ import annotations

import functools
from typing import Final, assert_never

from identity_service.config import Settings
from sms.texts import Text, TextKind, render

_STAND_IN: Final = {6: "000000", 7: "0000000", 8: "00000000"}


class Wording:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sizes = functools.lru_cache(maxsize=1024)(self._size)

    def text(self, kind: TextKind, locale: str | None, *, code: str | None, hours: int | None) -> Text:
        """Write a message.

        Raises:
            ValueError: a part is missing or has not its shape.
        """
        return render(
            kind,
            locale,
            code=code,
            host=self._host(kind),
            app_hash=self._settings.sms_app_hash or None,
            brand=self._settings.brand,
            hours=hours,
        )

    def segments(self, kind: TextKind, locale: str | None, *, code: str | None, hours: int | None) -> int:
        """Return how many segments a message takes: the same for every one-time code of a length."""
        if kind is TextKind.OTP and code is not None:
            code = _STAND_IN.get(len(code), code)
        elif code is not None:
            return self._size(kind, locale, code, hours)  # an invite's code is a secret: not kept in a cache
        return self._sizes(kind, locale, code, hours)

    def _size(self, kind: TextKind, locale: str | None, code: str | None, hours: int | None) -> int:
        return self.text(kind, locale, code=code, hours=hours).segments.segments

    def _host(self, kind: TextKind) -> str | None:
        """Return the address that a text names: where a code belongs, or where an invitee goes."""
        match kind:
            case TextKind.OTP:
                return self._settings.otp_host
            case TextKind.INVITE:
                return self._settings.join_host
            case TextKind.RECOVERY_HELD | TextKind.RECOVERY_GRANTED:
                return None
            case _:
                assert_never(kind)
