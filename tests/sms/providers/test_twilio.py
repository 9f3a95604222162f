"""The Twilio adapter: the contract, Twilio's codes, its parameters, its signature."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, NoReturn
from urllib.parse import urlencode

import pytest

from sms.numbers import E164
from sms.providers.base import Callback, FailureKind, Price, ProviderFailure, ReceiptRefusal, ReceiptRefused
from sms.providers.exchange import NoReply, Timeouts
from sms.providers.twilio import TwilioProvider
from sms.providers.twilio_errors import TWILIO_ERRORS
from sms.states import DeliveryState, advance
from tests.sms.provider_contract import (
    BODY,
    CALLBACK_URL,
    CODE,
    PHONE,
    ReceiptContract,
    RemoteProviderContract,
    RemoteRig,
    failure_of,
    outgoing,
    price,
)
from tests.standins.loopback import Answer, Fault, LoopbackServer, Request, Trouble
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, MESSAGING_SERVICE_SID, TwilioStandIn

# Which kind each code must have, written a second time and independently of the table: a slip in
# either shows. The rest of the table is held to these kinds by `test_every_code...`.
EXPECTED: Final = {
    "21211": FailureKind.WRONG_NUMBER,
    "21610": FailureKind.WRONG_NUMBER,
    "21614": FailureKind.WRONG_NUMBER,
    "21408": FailureKind.REJECTED,
    "20003": FailureKind.REJECTED,
    "20429": FailureKind.THROTTLED,
    "21611": FailureKind.THROTTLED,
    "30002": FailureKind.REJECTED,
    "30003": FailureKind.UNAVAILABLE,
    "30005": FailureKind.WRONG_NUMBER,
    "30006": FailureKind.WRONG_NUMBER,
    "30007": FailureKind.REJECTED,
    "30008": FailureKind.UNAVAILABLE,
    "30036": FailureKind.UNAVAILABLE,
    "30450": FailureKind.FRAUD,
    "30453": FailureKind.FRAUD,
}


def provider_at(
    base_url: str, timeouts: Timeouts | None = None, *, feedback: bool = False, from_service: bool = True
) -> TwilioProvider:
    return TwilioProvider(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=MESSAGING_SERVICE_SID if from_service else None,
        sender="+15005550006",
        api_base_url=base_url,
        feedback=feedback,
        timeouts=timeouts or Timeouts(),
    )


@pytest.fixture
def twilio() -> Iterator[TwilioStandIn]:
    with TwilioStandIn() as standin:
        yield standin


@pytest.fixture
def provider(twilio: TwilioStandIn) -> TwilioProvider:
    return provider_at(twilio.base_url)


class TestTwilioKeepsTheContract(RemoteProviderContract, ReceiptContract):
    throttled_code = "20429"
    journey = ("queued", "sent", "delivered")
    journey_ends = DeliveryState.DELIVERED
    failing_word = "undelivered"

    @pytest.fixture
    def rig(self, twilio: TwilioStandIn, provider: TwilioProvider) -> RemoteRig:
        return RemoteRig(
            provider=provider,
            arrived=lambda: [(one.sent_to, one.sent_body) for one in twilio.messages.values()],
            far_side=twilio,
            at=provider_at,
        )

    def callback(self, rig: RemoteRig, provider_id: str, word: str) -> Callback:
        assert isinstance(rig.far_side, TwilioStandIn)
        code = 30003 if word == self.failing_word else None
        address, form, headers = rig.far_side.callback(provider_id, word, error_code=code)
        return Callback(public_url=address, params=form, headers=headers)

    def tampered(self, callback: Callback) -> Sequence[Callback]:
        signature = callback.headers["X-Twilio-Signature"]
        return [
            replace(callback, params={**callback.params, "MessageStatus": "delivered"}),
            replace(callback, params={**callback.params, "Added": "1"}),
            replace(callback, public_url=callback.public_url.replace("att_1", "att_2")),
            replace(callback, public_url=callback.public_url.replace("id.example.org", "evil.example.org")),
            replace(callback, headers={}),
            replace(callback, headers={"X-Twilio-Signature": ""}),
            replace(callback, headers={"X-Twilio-Signature": signature[:-2] + "A="}),
            replace(callback, headers={"X-Twilio-Signature": "é" * len(signature)}),
        ]


def test_the_request_asks_twilio_to_forget_and_names_the_attempt(
    twilio: TwilioStandIn, provider: TwilioProvider
) -> None:
    accepted = provider.send(outgoing(validity_seconds=540))

    stored = twilio.messages[accepted.provider_id]
    assert stored.parameters == {
        "To": PHONE,
        "Body": BODY,
        "MessagingServiceSid": MESSAGING_SERVICE_SID,
        "StatusCallback": CALLBACK_URL,
        "ValidityPeriod": "540",
        "ContentRetention": "discard",
        "AddressRetention": "obfuscate",
    }


def test_without_a_messaging_service_the_sender_is_named(twilio: TwilioStandIn) -> None:
    accepted = provider_at(twilio.base_url, from_service=False).send(outgoing(callback_url=None))

    parameters = twilio.messages[accepted.provider_id].parameters
    assert parameters["From"] == "+15005550006"
    assert "MessagingServiceSid" not in parameters
    assert "StatusCallback" not in parameters
    assert accepted.segments == 1


@pytest.mark.parametrize(("asked", "told"), [(0, "1"), (600, "600"), (90_000, "36000")])
def test_the_validity_period_stays_in_twilios_bounds(
    twilio: TwilioStandIn, provider: TwilioProvider, asked: int, told: str
) -> None:
    accepted = provider.send(outgoing(validity_seconds=asked))

    assert twilio.messages[accepted.provider_id].parameters["ValidityPeriod"] == told


def test_without_another_address_it_speaks_to_twilio_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def nobody(method: str, url: str, **_: object) -> NoReturn:
        asked.append(f"{method} {url}")
        raise NoReply("not in a test", may_have_been_sent=False)

    monkeypatch.setattr("sms.providers.twilio.exchange", nobody)
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "f" * 32)
    real = TwilioProvider(account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN, sender="+15005550006")

    failure_of(real, outgoing())

    assert asked == [f"POST https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"]


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_a_code_has_the_kind_that_its_meaning_asks_for(code: str) -> None:
    assert TWILIO_ERRORS[code].kind is EXPECTED[code]


@pytest.mark.parametrize("code", [code for code in sorted(TWILIO_ERRORS) if code < "30000"])
def test_every_code_that_answers_a_request_is_told_apart(
    twilio: TwilioStandIn, provider: TwilioProvider, code: str
) -> None:
    twilio.go_wrong(Fault(trouble=Trouble.ERROR, status=400, code=code))

    failure = failure_of(provider, outgoing())

    assert (failure.kind, failure.plain) == (TWILIO_ERRORS[code].kind, TWILIO_ERRORS[code].plain)
    assert failure.provider_code == code
    assert failure.may_have_been_sent is False


@pytest.mark.parametrize("code", [code for code in sorted(TWILIO_ERRORS) if code > "30000"])
def test_every_code_of_a_receipt_is_told_apart(
    twilio: TwilioStandIn, provider: TwilioProvider, code: str
) -> None:
    sid = provider.send(outgoing()).provider_id
    address, form, headers = twilio.callback(sid, "undelivered", error_code=int(code))

    receipt = provider.parse_receipt(Callback(public_url=address, params=form, headers=headers))

    assert (receipt.failure, receipt.plain) == (TWILIO_ERRORS[code].kind, TWILIO_ERRORS[code].plain)
    assert receipt.provider_code == code


def test_a_number_that_sent_stop_is_a_wrong_number_in_words_an_inviter_understands(
    twilio: TwilioStandIn, provider: TwilioProvider
) -> None:
    twilio.refuse_number("+447400123457", 21610)

    failure = failure_of(provider, outgoing(to=E164("+447400123457")))

    assert failure.kind is FailureKind.WRONG_NUMBER
    assert "no messages" in failure.plain


def test_wrong_credentials_are_ours_to_mend(twilio: TwilioStandIn) -> None:
    stranger = TwilioProvider(
        account_sid=ACCOUNT_SID, auth_token="wrong", sender="+15005550006", api_base_url=twilio.base_url
    )

    failure = failure_of(stranger, outgoing())

    assert (failure.kind, failure.provider_code) == (FailureKind.REJECTED, "20003")


def test_a_message_that_failed_at_once_is_a_failure(
    twilio: TwilioStandIn, provider: TwilioProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = twilio._resource

    def failed(message: object) -> dict[str, object]:
        return {**resource(message), "status": "failed", "error_code": 30007}  # type: ignore[arg-type]

    monkeypatch.setattr(twilio, "_resource", failed)

    assert failure_of(provider, outgoing()).provider_code == "30007"


def test_status_and_price_can_be_asked_for(twilio: TwilioStandIn, provider: TwilioProvider) -> None:
    sid = provider.send(outgoing()).provider_id
    twilio.move(sid, "delivered", price="-0.00750")

    receipt = provider.fetch(sid)

    assert receipt.state is DeliveryState.DELIVERED
    assert receipt.price == price("0.00750", "USD")
    assert receipt.segments == 1


def test_twilio_was_asked_to_forget_and_what_it_tells_holds_no_code(
    twilio: TwilioStandIn, provider: TwilioProvider
) -> None:
    provider.send(outgoing())
    (stored,) = twilio.messages.values()

    resource = twilio._resource(stored)

    assert CODE not in str(resource)
    assert PHONE not in str(resource)


def test_an_unknown_message_can_not_be_fetched(provider: TwilioProvider) -> None:
    with pytest.raises(ProviderFailure) as caught:
        provider.fetch("SM" + "0" * 32)
    assert caught.value.provider_code == "20404"


@pytest.mark.parametrize(("came_back", "outcome"), [(True, "confirmed"), (False, "unconfirmed")])
def test_whether_the_code_came_back_is_reported(twilio: TwilioStandIn, came_back: bool, outcome: str) -> None:
    provider = provider_at(twilio.base_url, feedback=True)
    sid = provider.send(outgoing()).provider_id

    provider.report_outcome(sid, code_came_back=came_back)

    assert twilio.messages[sid].outcomes == [outcome]
    assert twilio.messages[sid].parameters["ProvideFeedback"] == "true"


class Receiver(LoopbackServer):
    """A callback endpoint of its own public address, as the service will have one."""

    def __init__(self, provider: TwilioProvider) -> None:
        super().__init__()
        self.provider = provider
        self.states: list[DeliveryState] = [DeliveryState.QUEUED]

    def answer(self, request: Request) -> Answer:
        query = "?" + urlencode(request.query) if request.query else ""
        callback = Callback(
            public_url=self.base_url + request.path + query, params=request.form, headers=request.headers
        )
        try:
            receipt = self.provider.parse_receipt(callback)
        except ReceiptRefused:
            return Answer(status=403)
        self.states.append(advance(self.states[-1], receipt.state))
        return Answer(status=204)


@pytest.mark.parametrize(
    "told",
    [
        ("sent", "delivered"),
        ("delivered", "sent"),
        ("delivered", "delivered", "queued", "sent", "sent"),
        ("undelivered", "sent", "delivered", "undelivered"),
    ],
    ids=" ".join,
)
def test_callbacks_over_the_wire_end_the_same_in_every_order(
    twilio: TwilioStandIn, provider: TwilioProvider, told: tuple[str, ...]
) -> None:
    with Receiver(provider) as receiver:
        message = outgoing(callback_url=f"{receiver.base_url}/callbacks/twilio/status?attempt=att_1")
        sid = provider.send(message).provider_id

        assert twilio.report(sid, told, error_code=30003) == [204] * len(told)

        assert receiver.states[-1] is DeliveryState.DELIVERED


def test_callbacks_over_the_wire_of_a_stranger_are_turned_away(twilio: TwilioStandIn) -> None:
    stranger = TwilioProvider(account_sid=ACCOUNT_SID, auth_token="another token", sender="+15005550006")
    with Receiver(stranger) as receiver:
        message = outgoing(callback_url=f"{receiver.base_url}/callbacks/twilio/status?attempt=att_1")
        sid = provider_at(twilio.base_url).send(message).provider_id

        assert twilio.report(sid, ["delivered"]) == [403]

        assert receiver.states == [DeliveryState.QUEUED]


def test_a_signature_of_another_account_is_forged(twilio: TwilioStandIn) -> None:
    sid = provider_at(twilio.base_url).send(outgoing()).provider_id
    address, form, headers = twilio.callback(sid, "delivered")
    other = TwilioProvider(account_sid=ACCOUNT_SID, auth_token="another token", sender="+15005550006")

    with pytest.raises(ReceiptRefused) as caught:
        other.parse_receipt(Callback(public_url=address, params=form, headers=headers))
    assert caught.value.code is ReceiptRefusal.FORGED


def test_the_signature_matches_twilios_published_example() -> None:
    # The worked example of "Validating requests are coming from Twilio" in Twilio's documentation.
    provider = TwilioProvider(account_sid=ACCOUNT_SID, auth_token="12345", sender="+15005550006")
    params = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    address = "https://mycompany.com/myapp.php?foo=1&bar=2"

    assert provider.verify_signature(address, params, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not provider.verify_signature(address, params, "RSOYDt4T1cUTdK1PDd93/VVr8B9=")


@pytest.mark.parametrize(
    "address", ["ftp://x", "localhost:1", "https://", "https://u:p@host", "https://h/?q=1"]
)
def test_an_address_that_is_none_is_refused_at_start(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        provider_at(address)


def test_a_provider_without_a_sender_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="sender"):
        TwilioProvider(account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN)


# -- its price list -------------------------------------------------------------------------------------


def test_a_countrys_price_is_that_of_its_dearest_network(
    twilio: TwilioStandIn, provider: TwilioProvider
) -> None:
    twilio.prices["RU"] = {"one": "0.4100", "another": "0.4450", "third": "0.0720"}
    price = provider.price_in("RU")
    assert price == Price(amount=Decimal("0.4450"), currency="USD")


def test_a_country_without_a_price_has_none(twilio: TwilioStandIn, provider: TwilioProvider) -> None:
    twilio.prices["AQ"] = {}
    assert provider.price_in("AQ") is None
    with pytest.raises(ProviderFailure):
        provider.price_in("XK")


def test_a_price_that_is_no_number_is_a_failure_and_no_crash(
    twilio: TwilioStandIn, provider: TwilioProvider
) -> None:
    twilio.prices["RU"] = {"one": "a lot"}
    with pytest.raises(ProviderFailure):
        provider.price_in("RU")
