"""What can be judged and blocked: a phone, the numbers around it, and who has it sent to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sms.numbers import E164, country_code


class Unit(StrEnum):
    """From the narrowest to the widest.  There is no unit for a country: none is ever blocked by evidence."""

    PHONE = "phone"
    PREFIX = "prefix"
    """A number without its last four digits: ten thousand neighbours."""
    RANGE = "range"
    """Without its last six: what one carrier of a country is given at once, about."""
    INVITER = "inviter"
    BRANCH = "branch"
    """An inviter's inviter, and all whom that one let in."""
    CAMPAIGN = "campaign"
    """A campaign within one country; never blocked, but its messages are judged more strictly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """The digits by which a number's neighbours are known; to be hashed before they are kept."""

    hundred: str
    prefix: str
    range: str


def units_of(number: E164) -> Units:
    """Cut a number down to its neighbourhoods.

    The country code always stays, and of a short number at least one digit behind it.

    Examples
    --------
    >>> units_of(E164("+79161234567"))
    Units(hundred='+791612345', prefix='+7916123', range='+79161')
    >>> units_of(E164("+6834002")).range
    '+6834'
    """
    fewest = 2 + len(country_code(number))
    return Units(
        hundred=number[: max(fewest, len(number) - 2)],
        prefix=number[: max(fewest, len(number) - 4)],
        range=number[: max(fewest, len(number) - 6)],
    )
