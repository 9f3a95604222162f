"""What a message costs before it is sent: a price for each segment, by provider and place.

A price book is data: rows of a provider (or `*`, any), a place (a country, a prefix of numbers with its
`+`, or `*`, anywhere) and an amount, each with the day it was true. A provider's own row wins over one
of any; among these the most exact place. The rows that come with this package are in `prices.csv`; its
first lines say what they are worth. Amounts are whole millionths of a US dollar: sums are exact.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Final

import phonenumbers

from sms.numbers import E164

MICROS: Final = 1_000_000
ANY: Final = "*"
COLUMNS: Final = ("provider", "place", "usd", "as_of")
_PROVIDER: Final = re.compile(r"\*|[a-z][a-z0-9_]{0,29}", re.ASCII)
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,9}", re.ASCII)
_DEAREST: Final = Decimal(10)


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPrice:
    """What one segment costs with a provider in a place, as of a day."""

    provider: str
    place: str
    micros: int
    as_of: date


class PriceBook:
    """Prices by provider and place.

    Parameters
    ----------
    prices
        In any order; a later one replaces an earlier one of the same provider and place.
    """

    def __init__(self, prices: Iterable[ListedPrice]) -> None:
        self._by_key: Mapping[tuple[str, str], ListedPrice] = {
            (price.provider, price.place): price for price in prices
        }
        self._longest = max((len(place) for _, place in self._by_key), default=0)

    def __iter__(self) -> Iterator[ListedPrice]:
        return iter(sorted(self._by_key.values(), key=lambda price: (price.provider, price.place)))

    def of(self, provider: str, to: E164, country: str) -> ListedPrice | None:
        """Return the price of one segment to a number; `None` where nothing is known.

        Examples
        --------
        >>> day = date(2026, 11, 1)
        >>> rows = [("*", "*", 9), ("*", "GB", 5), ("twilio", "+447", 4), ("twilio", "*", 7)]
        >>> book = PriceBook(
        ...     ListedPrice(provider=who, place=where, micros=cost, as_of=day) for who, where, cost in rows
        ... )
        >>> number = E164("+447911123456")
        >>> book.of("twilio", number, "GB").micros, book.of("vonage", number, "GB").micros
        (4, 5)
        >>> book.of("twilio", E164("+33612345678"), "FR").micros
        7
        """
        lengths = range(min(len(to), self._longest), 1, -1)
        places = (*(to[:length] for length in lengths), country, ANY)
        for who in (provider, ANY):
            for place in places:
                found = self._by_key.get((who, place))
                if found is not None:
                    return found
        return None


def parse_prices(text: str) -> list[ListedPrice]:
    """Read a CSV of prices: a header `provider,place,usd,as_of`, then a row each; `#` begins a comment line.

    Raises
    ------
    ValueError
        Says which line is wrong and why.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not numbered or tuple(next(csv.reader([numbered[0][1]]))) != COLUMNS:
        raise ValueError(f"the first line must be {','.join(COLUMNS)}")
    prices = []
    for number, line in numbered[1:]:
        try:
            prices.append(_read(next(csv.reader([line]))))
        except (ValueError, InvalidOperation) as error:
            raise ValueError(f"line {number}: {error}") from None
    return prices


def _read(cells: list[str]) -> ListedPrice:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"there must be {len(COLUMNS)} columns")
    provider, place, usd, as_of = (cell.strip() for cell in cells)
    if _PROVIDER.fullmatch(provider) is None:
        raise ValueError(f"{provider!r} is no provider")
    if place != ANY and place not in phonenumbers.SUPPORTED_REGIONS and _PREFIX.fullmatch(place) is None:
        raise ValueError(f"{place!r} is neither a country, nor a prefix such as +4479, nor *")
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        raise ValueError(f"{usd!r} is no amount") from None
    return ListedPrice(
        provider=provider, place=place, micros=micros_of(amount), as_of=date.fromisoformat(as_of)
    )


def micros_of(amount: Decimal) -> int:
    """Return an amount in dollars as whole millionths, rounded up: an estimate must not be too low.

    Raises
    ------
    ValueError
        When it is negative, not finite, or more than ten dollars for one segment: a slipped comma.
    """
    if not amount.is_finite() or not 0 <= amount <= _DEAREST:
        raise ValueError(f"{amount} is not between 0 and {_DEAREST} dollars")
    return int((amount * MICROS).to_integral_value(ROUND_CEILING))


@cache
def builtin_prices() -> tuple[ListedPrice, ...]:
    """Return the prices that come with this package."""
    return tuple(parse_prices((files("sms") / "prices.csv").read_text(encoding="utf-8")))
