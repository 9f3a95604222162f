"""The filter language of quota grants: comparisons joined by `and`.

    country=RU and age_days>=30 and available=0

Fields and operators are a closed list; a value is a bare word or a quoted one.  Parsed here into frozen
conditions; `services/grants.py` turns those into SQL with bound values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FIELDS: Final = {
    "country": str,
    "age_days": float,
    "generation": int,
    "level": str,
    "score": float,
    "available": int,
    "invitees": int,
    "state": str,
    "campaign": str,
}
STATES: Final = ("active", "suspended", "banned", "erased")
OPERATORS: Final = ("!=", "<=", ">=", "=", "<", ">")
_CONDITION: Final = re.compile(
    r"""\s*(?P<field>[a-z_]+)\s*(?P<operator>!=|<=|>=|=|<|>)\s*(?:"(?P<quoted>[^"]{0,200})"|(?P<bare>[^\s"'<>=!]{1,200}))\s*""",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)  # float() reads far more
_AND: Final = re.compile(r"and\b", re.ASCII | re.IGNORECASE)
MAX_CONDITIONS: Final = 20
# What both stores can compare: a 32-bit column, and an age in microseconds of 64 bits.
_LARGEST: Final = 2**31 - 1
_LONGEST_AGE: Final = 1_000_000


class WhereInvalid(ValueError):
    """Not a filter; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    field: str
    operator: str
    value: str | int | float


def parse_where(text: str) -> tuple[Condition, ...]:
    """Parse a filter.

    Raises:
        WhereInvalid: an unknown field or operator, a value of the wrong type, or anything left over.

    Examples:
        >>> parse_where('country=RU and age_days>=30')[1].value
        30.0
    """
    conditions, at = [], 0
    while True:
        match = _CONDITION.match(text, at)
        if match is None:
            raise WhereInvalid(f"expected `field operator value` at {text[at : at + 30]!r}")
        conditions.append(_condition(match))
        at = match.end()
        if at == len(text):
            return tuple(conditions)
        joint = _AND.match(text, at)
        if joint is None or len(conditions) >= MAX_CONDITIONS:
            raise WhereInvalid(
                f"expected `and` at {text[at : at + 30]!r} (at most {MAX_CONDITIONS} conditions)"
            )
        at = joint.end()


def _condition(match: re.Match[str]) -> Condition:
    field, operator = match["field"], match["operator"]
    if field not in FIELDS:
        raise WhereInvalid(f"there is no field {field!r}; known: {', '.join(FIELDS)}")
    kind = FIELDS[field]
    raw = match["quoted"] if match["quoted"] is not None else match["bare"]
    if kind is str:
        if operator not in ("=", "!="):
            raise WhereInvalid(f"{field} is compared with = or !=")
        if field == "state" and raw not in STATES:
            raise WhereInvalid(f"there is no such state; known: {', '.join(STATES)}")
        return Condition(field=field, operator=operator, value=raw)
    try:
        value = kind(raw if _NUMBER.fullmatch(raw) else "")
    except ValueError:
        raise WhereInvalid(f"{field} is compared with a number, not {raw!r}") from None
    if value != value or abs(value) > (_LONGEST_AGE if field == "age_days" else _LARGEST):
        raise WhereInvalid(f"{field}: {raw} is out of range")
    return Condition(field=field, operator=operator, value=value)
