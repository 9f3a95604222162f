"""The Vonage adapter: the contract, its codes in a body of success, its signature."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from sms.providers.base import Callback, FailureKind, ReceiptRefusal, ReceiptRefused
from sms.providers.exchange import Timeouts
from sms.providers.vonage import VonageProvider
from sms.providers.vonage_errors import RECEIPT_ERRORS, SEND_ERRORS
from sms.states import DeliveryState
from tests.sms.provider_contract import (
    BODY,
    CALLBACK_URL,
    PHONE,
    ReceiptContract,
    RemoteProviderContract,
    RemoteRig,
    failure_of,
    outgoing,
    price,
)
from tests.standins.loopback import Fault, Trouble
from tests.standins.vonage import API_KEY, API_SECRET, SIGNATURE_SECRET, VonageStandIn, sign


def provider_at(
    base_url: str, timeouts: Timeouts | None = None, *, api_secret: str = API_SECRET
) -> VonageProvider:
    return VonageProvider(
        api_key=API_KEY,
        api_secret=api_secret,
        signature_secret=SIGNATURE_SECRET,
        sender="Identity",
        api_base_url=base_url,
        timeouts=timeouts or Timeouts(),
    )


@pytest.fixture
def vonage() -> Iterator[VonageStandIn]:
    with VonageStandIn() as standin:
        yield standin


@pytest.fixture
def provider(vonage: VonageStandIn) -> VonageProvider:
    return provider_at(vonage.base_url)


class TestVonageKeepsTheContract(RemoteProviderContract, ReceiptContract):
    journey = ("buffered", "accepted", "delivered")
    journey_ends = DeliveryState.DELIVERED
    failing_word = "rejected"

    @pytest.fixture
    def rig(self, vonage: VonageStandIn, provider: VonageProvider) -> RemoteRig:
        return RemoteRig(
            provider=provider,
            arrived=lambda: [
                ("+" + one.parameters["to"], one.parameters["text"]) for one in vonage.messages.values()
            ],
            far_side=vonage,
            at=provider_at,
        )

    def callback(self, rig: RemoteRig, provider_id: str, word: str) -> Callback:
        assert isinstance(rig.far_side, VonageStandIn)
        code = "6" if word == self.failing_word else "0"
        return Callback(
            public_url=CALLBACK_URL, params=rig.far_side.receipt(provider_id, word, err_code=code)
        )

    def tampered(self, callback: Callback) -> Sequence[Callback]:
        params = dict(callback.params)
        unsigned = {name: value for name, value in params.items() if name != "sig"}
        return [
            replace(callback, params={**params, "status": "delivered"}),
            replace(callback, params={**params, "client-ref": "att_2"}),
            replace(callback, params={**params, "added": "1"}),
            replace(callback, params={**params, "sig": ""}),
            replace(callback, params={**params, "sig": "ü" * 64}),
            replace(callback, params=unsigned),
        ]


def test_the_request_carries_the_attempt_and_no_secret(
    vonage: VonageStandIn, provider: VonageProvider
) -> None:
    accepted = provider.send(outgoing(validity_seconds=600))

    assert vonage.messages[accepted.provider_id].parameters == {
        "from": "Identity",
        "to": PHONE.removeprefix("+"),
        "text": BODY,
        "type": "text",
        "ttl": "600000",
        "client-ref": "att_1",
        "status-report-req": "true",
        "callback": CALLBACK_URL,
    }
    assert accepted.price == price("0.0333", "EUR")


def test_a_text_outside_gsm_7_is_sent_as_unicode(vonage: VonageStandIn, provider: VonageProvider) -> None:
    accepted = provider.send(outgoing(body="Код 839217"))

    assert vonage.messages[accepted.provider_id].parameters["type"] == "unicode"


def test_a_message_of_two_parts_costs_both(provider: VonageProvider) -> None:
    accepted = provider.send(outgoing(body="ж" * 71))

    assert accepted.segments == 2
    assert accepted.price == price("0.0666", "EUR")


@pytest.mark.parametrize("code", sorted(SEND_ERRORS))
def test_every_code_that_answers_a_send_is_told_apart(
    vonage: VonageStandIn, provider: VonageProvider, code: str
) -> None:
    vonage.go_wrong(Fault(trouble=Trouble.ERROR, code=code))

    failure = failure_of(provider, outgoing())

    assert (failure.kind, failure.plain) == (SEND_ERRORS[code].kind, SEND_ERRORS[code].plain)
    assert failure.provider_code == code
    assert failure.may_have_been_sent is False


@pytest.mark.parametrize("code", sorted(RECEIPT_ERRORS))
def test_every_code_of_a_receipt_is_told_apart(
    vonage: VonageStandIn, provider: VonageProvider, code: str
) -> None:
    message_id = provider.send(outgoing()).provider_id

    receipt = provider.parse_receipt(
        Callback(public_url=CALLBACK_URL, params=vonage.receipt(message_id, "failed", err_code=code))
    )

    assert (receipt.failure, receipt.plain) == (RECEIPT_ERRORS[code].kind, RECEIPT_ERRORS[code].plain)


def test_wrong_credentials_are_ours_to_mend(vonage: VonageStandIn) -> None:
    failure = failure_of(provider_at(vonage.base_url, api_secret="wrong"), outgoing())

    assert (failure.kind, failure.provider_code) == (FailureKind.REJECTED, "4")


def test_a_receipt_sent_as_json_is_read_alike(vonage: VonageStandIn, provider: VonageProvider) -> None:
    message_id = provider.send(outgoing()).provider_id
    params = vonage.receipt(message_id, "delivered")

    as_form = provider.parse_receipt(Callback(public_url=CALLBACK_URL, params=params))
    as_json = provider.parse_receipt(Callback(public_url=CALLBACK_URL, body=json.dumps(params).encode()))

    assert as_form == as_json


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_receipt_is_malformed(provider: VonageProvider, body: bytes) -> None:
    with pytest.raises(ReceiptRefused) as caught:
        provider.parse_receipt(Callback(public_url=CALLBACK_URL, body=body))
    assert caught.value.code is ReceiptRefusal.MALFORMED


def test_two_readings_of_a_separator_do_not_share_a_signature(provider: VonageProvider) -> None:
    # Without the replacement of '&' and '=', both would be signed as "&a=1&b=2".
    joined = {"a": "1&b=2"}
    apart = {"a": "1", "b": "2"}

    assert provider.verify_signature({**apart, "sig": sign(apart)})
    assert not provider.verify_signature({**joined, "sig": sign(apart)})


def test_receipts_need_a_secret_to_be_checked_with() -> None:
    with pytest.raises(ValueError, match="signature secret"):
        VonageProvider(api_key="a", api_secret="b", signature_secret="", sender="c")
