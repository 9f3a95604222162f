"""Bring your own sender: the contract, and Standard Webhooks in both directions."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from sms.providers.base import Callback, FailureKind, ReceiptRefusal, ReceiptRefused
from sms.providers.exchange import Timeouts
from sms.providers.signed_webhook import SignedWebhookProvider
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
from tests.standins.webhook_sender import SECRET, WebhookSenderStandIn

OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of 32 bytes, kept").decode()


def provider_at(base_url: str, timeouts: Timeouts | None = None) -> SignedWebhookProvider:
    return SignedWebhookProvider(url=f"{base_url}/send", secrets=[SECRET], timeouts=timeouts or Timeouts())


@pytest.fixture
def sender() -> Iterator[WebhookSenderStandIn]:
    with WebhookSenderStandIn() as standin:
        yield standin


@pytest.fixture
def provider(sender: WebhookSenderStandIn) -> SignedWebhookProvider:
    return provider_at(sender.base_url)


def signed(sender: WebhookSenderStandIn, facts: dict[str, Any], *, at: datetime | None = None) -> Callback:
    body, headers = sender.receipt(facts, at=at)
    return Callback(public_url=CALLBACK_URL, headers=headers, body=body)


class TestSignedWebhookKeepsTheContract(RemoteProviderContract, ReceiptContract):
    repeats_are_one_message = True
    journey = ("queued", "sent", "delivered")
    journey_ends = DeliveryState.DELIVERED
    failing_word = "undelivered"

    @pytest.fixture
    def rig(self, sender: WebhookSenderStandIn, provider: SignedWebhookProvider) -> RemoteRig:
        return RemoteRig(
            provider=provider,
            arrived=lambda: [(one["to"], one["body"]) for one in sender.messages.values()],
            far_side=sender,
            at=provider_at,
        )

    def callback(self, rig: RemoteRig, provider_id: str, word: str) -> Callback:
        assert isinstance(rig.far_side, WebhookSenderStandIn)
        facts = {"id": provider_id, "state": word}
        if word == self.failing_word:
            facts |= {"error": "wrong_number", "code": "absent"}
        return signed(rig.far_side, facts)

    def tampered(self, callback: Callback) -> Sequence[Callback]:
        headers = dict(callback.headers)
        return [
            replace(callback, body=callback.body.replace(b"queued", b"delivered")),
            replace(callback, headers={**headers, "webhook-id": "rcp_2"}),
            replace(callback, headers={**headers, "webhook-timestamp": "1"}),
            replace(callback, headers={**headers, "webhook-timestamp": "٣"}),
            replace(callback, headers={**headers, "webhook-signature": "v1,"}),
            replace(callback, headers={**headers, "webhook-signature": "v1,é"}),
            replace(callback, headers={}),
        ]


def test_the_library_on_the_other_side_agrees_with_our_signature(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider
) -> None:
    provider.send(outgoing())

    assert sender.messages["att_1"] == {
        "type": "sms.send",
        "attempt_id": "att_1",
        "to": PHONE,
        "body": BODY,
        "channel": "sms",
        "country": "GB",
        "validity_seconds": 600,
        "callback_url": CALLBACK_URL,
    }


@pytest.mark.parametrize("kind", list(FailureKind))
def test_the_sender_says_the_kind_of_its_refusal(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider, kind: FailureKind
) -> None:
    sender.go_wrong(Fault(trouble=Trouble.ERROR, status=422, code=kind.value))

    failure = failure_of(provider, outgoing())

    assert (failure.kind, failure.provider_code) == (kind, f"own_{kind.value}")


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 86_400])
def test_an_old_or_future_receipt_is_not_believed(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider, seconds: int
) -> None:
    late = signed(sender, {"id": "x", "state": "sent"}, at=datetime.now(UTC) + timedelta(seconds=seconds))

    with pytest.raises(ReceiptRefused) as caught:
        provider.parse_receipt(late)
    assert caught.value.code is ReceiptRefusal.FORGED


def test_a_receipt_signed_with_the_next_key_is_believed_while_keys_rotate(
    sender: WebhookSenderStandIn,
) -> None:
    rotating = SignedWebhookProvider(url=sender.base_url, secrets=[OTHER_SECRET, SECRET])

    assert rotating.parse_receipt(signed(sender, {"id": "x", "state": "sent"})).state is DeliveryState.SENT


def test_one_of_several_signatures_is_enough(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider
) -> None:
    genuine = signed(sender, {"id": "x", "state": "sent"})
    moment = datetime.fromtimestamp(int(genuine.headers["webhook-timestamp"]), UTC)
    other = Webhook(OTHER_SECRET).sign("rcp_1", moment, genuine.body.decode())
    both = f"{other} {genuine.headers['webhook-signature']}"

    receipt = provider.parse_receipt(replace(genuine, headers={**genuine.headers, "webhook-signature": both}))

    assert receipt.provider_id == "x"


def test_a_receipt_tells_segments_and_price(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider
) -> None:
    facts = {"id": "x", "state": "sent", "segments": 2, "price": {"amount": "0.010", "currency": "eur"}}

    receipt = provider.parse_receipt(signed(sender, facts))

    assert (receipt.segments, receipt.price) == (2, price("0.010", "EUR"))


@pytest.mark.parametrize(
    "facts",
    [
        [],
        "x",
        {"id": "x"},
        {"state": "sent"},
        {"id": 7, "state": "sent"},
        {"id": "", "state": "sent"},
        {"id": "x" * 201, "state": "sent"},
        {"id": "x", "state": ["sent"]},
        {"id": "x", "state": "failed", "error": "no such kind"},
        {"id": "x", "state": "sent", "segments": True},
        {"id": "x", "state": "sent", "price": {"amount": "NaN", "currency": "EUR"}},
        {"id": "x", "state": "sent", "price": {"amount": "1"}},
        {"id": "x", "state": "sent", "price": "1 EUR"},
    ],
    ids=lambda facts: json.dumps(facts)[:60],
)
def test_a_signed_body_that_is_no_receipt_is_malformed(
    sender: WebhookSenderStandIn, provider: SignedWebhookProvider, facts: Any
) -> None:
    with pytest.raises(ReceiptRefused) as caught:
        provider.parse_receipt(signed(sender, facts))
    assert caught.value.code is ReceiptRefusal.MALFORMED


@pytest.mark.parametrize(
    "secrets", [[], ["short"], ["whsec_" + "QUJD"], ["whsec_!!"], [SECRET.removeprefix("whsec_")]]
)
def test_a_missing_short_or_broken_secret_is_refused_at_start(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        SignedWebhookProvider(url="https://sender.example.org", secrets=secrets)
