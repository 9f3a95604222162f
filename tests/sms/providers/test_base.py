"""The facts that cross the provider line hide what is private."""

from decimal import Decimal

import pytest

from sms.providers.base import PLAIN_WORDS, Callback, FailureKind, Price, ProviderFailure
from tests.sms.provider_contract import CODE, PHONE, outgoing


def test_a_message_in_a_log_line_shows_neither_number_nor_text() -> None:
    shown = repr(outgoing())

    assert PHONE[1:] not in shown
    assert CODE not in shown
    assert "att_1" in shown


def test_a_callback_in_a_log_line_shows_no_number() -> None:
    callback = Callback(public_url="https://a.example/x", params={"To": PHONE}, body=PHONE.encode())

    assert PHONE[1:] not in repr(callback)


def test_headers_are_looked_up_without_regard_to_case() -> None:
    callback = Callback(public_url="x", headers={"x-twilio-SIGNATURE": "s"})

    assert callback.header("X-Twilio-Signature") == "s"
    assert callback.header("X-Other") is None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_failure_has_words_for_an_inviter(kind: FailureKind) -> None:
    words = PLAIN_WORDS[kind]

    assert words.endswith(".")
    assert not any(character.isdigit() for character in words)


def test_a_failure_prints_its_code_and_not_its_story() -> None:
    failure = ProviderFailure(kind=FailureKind.FRAUD, provider="twilio", provider_code="30450", plain="words")

    assert str(failure) == "twilio: fraud (30450)"


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [("-0.00750", "usd", "0.00750"), ("0", "EUR", "0"), ("1e-3", "EUR", "0.001")],
)
def test_a_price_is_read_without_its_sign(amount: str, currency: str, value: str) -> None:
    assert Price.parse(amount, currency) == Price(amount=Decimal(value), currency=currency.upper())


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("", "EUR"), ("NaN", "EUR"), ("Infinity", "EUR"), ("1,5", "EUR"), ("1", ""), ("1", "€€€")],
)
def test_what_is_no_price_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match="price"):
        Price.parse(amount, currency)
