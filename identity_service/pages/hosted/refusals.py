"""What a refusal says to a newcomer: the API's code in words, and no more than the API tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from babel.dates import format_timedelta

from identity_service.api.problems import KINDS
from identity_service.errors import Refused
from identity_service.ports import SECOND, Instant

_OWN_STATUS: Final = 422
_MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A refusal in words.

    Attributes:
        code: the stable code, more exact where the API is.
        seconds: until it may work.
    """

    code: str
    status: int
    words: str
    seconds: int | None = None


def tell(refused: Refused, say: Mapping[str, str], locale: str, now: Instant) -> Told:
    """Say a refusal in words."""
    kind = KINDS.get(refused.code)
    seconds = None if refused.retry_at is None else max(1, -(-(refused.retry_at - now) // SECOND))
    when = "" if seconds is None else in_words(seconds, locale)
    known = [say[key] for key in _keys(refused) if key in say]
    known.append(say["refused.later" if when else "refused.other"])
    sentence = next(words for words in known if when or "{when}" not in words)
    return Told(
        code=refused.code,
        status=_OWN_STATUS if kind is None else kind.status,
        words=sentence.replace("{when}", when),
        seconds=seconds,
    )


def _keys(refused: Refused) -> list[str]:
    """Return the sentences that would do, the most exact first."""
    exact = [f"refused.{refused.code}.{error.code}" for error in refused.errors]
    if "state" in refused.data:
        exact.append(f"refused.{refused.code}.{refused.data['state']}")
    return [*exact, f"refused.{refused.code}"]


def in_words(seconds: int, locale: str) -> str:
    """Say how long it is until something: `in 5 minutes`, rounded up where it is minutes."""
    if seconds > _MINUTE:
        seconds = -(-seconds // _MINUTE) * _MINUTE
    return format_timedelta(timedelta(seconds=seconds), add_direction=True, threshold=1, locale=locale)
