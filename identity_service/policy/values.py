"""What the sections of a policy file are made of: frozen, nothing unknown, times with a unit."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

from identity_service.ports import DAY, HOUR, MINUTE, SECOND, Instant

_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")


def span(text: object) -> Instant:
    """Return the microseconds of a text such as ``30m`` or ``7d``.

    Raises:
        ValueError: anything else.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("a time span is a whole number and a unit: s, m, h or d")
    return int(match[1]) * _UNITS[match[2]]


Span = Annotated[Instant, BeforeValidator(span)]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ignored_types=(cached_property,)
    )
