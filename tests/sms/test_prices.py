"""Prices: read strictly, the most exact wins, and what comes with the package is whole."""

from datetime import date
from decimal import Decimal

import phonenumbers
import pytest

from sms.numbers import E164
from sms.prices import MICROS, ListedPrice, PriceBook, builtin_prices, micros_of, parse_prices

HEAD = "provider,place,usd,as_of\n"
DAY = date(2026, 11, 1)


def test_every_country_has_a_price_by_what_is_built_in() -> None:
    book = PriceBook(builtin_prices())
    for region in phonenumbers.SUPPORTED_REGIONS:
        price = book.of("twilio", E164("+0000000000"), region)
        assert price is not None, region
        assert 0 < price.micros <= MICROS


def test_the_inbox_costs_nothing_wherever_it_goes() -> None:
    book = PriceBook(builtin_prices())
    free = [book.of("inbox", E164("+79161234567"), "RU"), book.of("null", E164("+14155552671"), "US")]
    assert [price and price.micros for price in free] == [0, 0]


def test_a_providers_own_wins_over_any_and_then_the_longest_prefix_and_the_country() -> None:
    rows = [("*", "*", 1), ("*", "RU", 2), ("a", "RU", 3), ("*", "+7916", 4), ("a", "+791", 5), ("a", "*", 6)]
    book = PriceBook(ListedPrice(provider=p, place=w, micros=m, as_of=DAY) for p, w, m in rows)

    def of(provider: str, number: str, country: str) -> int | None:
        price = book.of(provider, E164(number), country)
        return None if price is None else price.micros

    assert of("a", "+79161234567", "RU") == 5
    assert of("b", "+79161234567", "RU") == 4
    assert of("a", "+79031234567", "RU") == 3
    assert of("b", "+79031234567", "RU") == 2
    assert of("a", "+33612345678", "FR") == 6
    assert of("b", "+33612345678", "FR") == 1
    assert PriceBook([]).of("a", E164("+33612345678"), "FR") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "first line"),
        ("place,usd\n", "first line"),
        (HEAD + "twilio,RU,0.4\n", "line 2: there must be 4"),
        (HEAD + "\n# so\ntwilio,XX,0.4,2026-11-01\n", "line 4: 'XX'"),
        (HEAD + "Twilio,RU,0.4,2026-11-01\n", "'Twilio'"),
        (HEAD + "twilio,+0,0.4,2026-11-01\n", r"'\+0'"),
        (HEAD + "twilio,RU,cheap,2026-11-01\n", "'cheap'"),
        (HEAD + "twilio,RU,NaN,2026-11-01\n", "between 0 and 10"),
        (HEAD + "twilio,RU,-1,2026-11-01\n", "between 0 and 10"),
        (HEAD + "twilio,RU,41,2026-11-01\n", "between 0 and 10"),
        (HEAD + "twilio,RU,0.4,yesterday\n", "line 2"),
    ],
)
def test_a_wrong_line_is_named(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_prices(text)


def test_a_price_is_rounded_up_to_a_millionth() -> None:
    assert micros_of(Decimal("0.0079")) == 7_900
    assert micros_of(Decimal("0.00000001")) == 1
    assert micros_of(Decimal(0)) == 0
