"""Bring your own sender: messages go to an operator's own HTTPS endpoint, signed.

For networks that have a gateway, a modem bank or a contract we know nothing of. Both directions
are signed as Standard Webhooks describes (`webhook-id`, `webhook-timestamp`, `webhook-signature`),
so that any of its libraries can be the other side.

A send is a `POST` of

    {"type": "sms.send", "attempt_id", "to", "body", "channel", "country",
     "validity_seconds", "callback_url"}

whose `webhook-id` is the attempt: the sender drops an id that it has seen and answers as before.
It answers 2xx with `{"id", "state"?, "segments"?, "price"?: {"amount", "currency"}}`, or 4xx/5xx with
`{"error": "<FailureKind>", "code"?}`. A receipt is a signed `POST` to `callback_url` of
`{"id", "state", "error"?, "code"?, "segments"?, "price"?}`.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sms.providers.base import (
    PLAIN_WORDS,
    Accepted,
    Callback,
    FailureKind,
    OutgoingMessage,
    Price,
    ProviderFailure,
    Receipt,
    ReceiptRefusal,
    ReceiptRefused,
)
from sms.providers.errors import Meaning, may_have_acted, meaning, meaning_of_status, unanswered
from sms.providers.exchange import DEFAULT_TIMEOUTS, NoReply, Reply, Timeouts, check_base_url, exchange
from sms.states import DeliveryState

_NAME: Final = "webhook"
_PREFIX: Final = "whsec_"
_TOLERANCE_SECONDS: Final = 300.0


class SignedWebhookProvider:
    """Sends by a signed request to an operator's own sender.

    Parameters
    ----------
    url
        The sender's address.
    secrets
        `whsec_…` keys. The first signs; a receipt may be signed by any, so that keys can rotate.
    timeouts
        As for Twilio.
    now
        Seconds since the epoch, for the signature's timestamp.

    Raises
    ------
    ValueError
        When the address or a secret is none, or a secret is shorter than 24 bytes.
    """

    def __init__(
        self,
        *,
        url: str,
        secrets: Sequence[str],
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = check_base_url(url)
        self._keys = tuple(_key(secret) for secret in secrets)
        if not self._keys:
            raise ValueError("a webhook sender needs a secret")
        self._timeouts = timeouts
        self._now = now

    @property
    def name(self) -> str:
        """`webhook`."""
        return _NAME

    def send(self, message: OutgoingMessage) -> Accepted:
        """Hand one message over.

        Raises
        ------
        ProviderFailure
        """
        body = json.dumps(
            {
                "type": "sms.send",
                "attempt_id": message.attempt_id,
                "to": message.to,
                "body": message.body,
                "channel": message.channel,
                "country": message.country,
                "validity_seconds": message.validity_seconds,
                "callback_url": message.callback_url,
            }
        ).encode()
        timestamp = str(int(self._now()))
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "webhook-id": message.attempt_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": _signature(self._keys[0], message.attempt_id, timestamp, body),
        }
        try:
            reply = exchange("POST", self._url, headers=headers, body=body, timeouts=self._timeouts)
        except NoReply as lost:
            unsure = lost.may_have_been_sent
            raise _failure(
                unanswered(may_have_been_sent=unsure), code=None, may_have_been_sent=unsure
            ) from None
        return _accepted(reply)

    def parse_receipt(self, callback: Callback) -> Receipt:
        """Check and read a receipt.

        Raises
        ------
        ReceiptRefused
        """
        if not self.verify_signature(callback):
            raise ReceiptRefused(ReceiptRefusal.FORGED, "the signature is not the sender's, or too old")
        try:
            facts = json.loads(callback.body)
            state = DeliveryState(facts["state"])
            failed = state in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}
            failure = FailureKind(facts.get("error", FailureKind.UNAVAILABLE)) if failed else None
            return Receipt(
                provider=_NAME,
                provider_id=_text(facts["id"]),
                state=state,
                reported=state.value,
                failure=failure,
                provider_code=_text(facts["code"]) if facts.get("code") else None,
                plain=PLAIN_WORDS[failure] if failure else None,
                segments=_whole(facts.get("segments")),
                price=_price(facts.get("price")),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ReceiptRefused(
                ReceiptRefusal.MALFORMED, "the body is not a receipt as it is described"
            ) from None

    def verify_signature(self, callback: Callback) -> bool:
        """Say whether one of our secrets signed this body, at most five minutes from now."""
        message_id, timestamp = callback.header("webhook-id"), callback.header("webhook-timestamp")
        given = callback.header("webhook-signature")
        if not message_id or not timestamp or not given:
            return False
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return False
        if abs(self._now() - int(timestamp)) > _TOLERANCE_SECONDS:
            return False
        expected = [_signature(key, message_id, timestamp, callback.body).encode() for key in self._keys]
        return any(
            hmac.compare_digest(one.encode(), wanted) for one in given.split(" ") for wanted in expected
        )

    def close(self) -> None:
        """Nothing is held open between calls."""


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is 'whsec_' and base64") from None
    if not secret.startswith(_PREFIX) or len(key) < 24:
        raise ValueError("a webhook secret is 'whsec_' and base64 of at least 24 bytes")
    return key


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _accepted(reply: Reply) -> Accepted:
    if not 200 <= reply.status < 300:
        raise _refusal(reply)
    try:
        facts = json.loads(reply.body)
        accepted = Accepted(
            provider=_NAME,
            provider_id=_text(facts["id"]),
            state=DeliveryState(facts.get("state", DeliveryState.QUEUED)),
            segments=_whole(facts.get("segments")),
            price=_price(facts.get("price")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        unclear = unanswered(may_have_been_sent=True)
        raise _failure(unclear, code="unreadable", may_have_been_sent=True) from None
    if accepted.state in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}:
        raise _refusal(reply)
    return accepted


def _refusal(reply: Reply) -> ProviderFailure:
    known, code = meaning_of_status(reply.status), f"http_{reply.status}"
    try:
        facts = json.loads(reply.body)
        kind = FailureKind(facts["error"])
        known = known if kind is known.kind else meaning(kind)
        code = _text(facts.get("code", code))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return _failure(
        known, code=code, retry_after=reply.retry_after, may_have_been_sent=may_have_acted(reply.status)
    )


def _failure(
    known: Meaning, *, code: str | None, may_have_been_sent: bool, retry_after: float | None = None
) -> ProviderFailure:
    return ProviderFailure(
        kind=known.kind,
        provider=_NAME,
        provider_code=code,
        plain=known.plain,
        retry_after=retry_after,
        may_have_been_sent=may_have_been_sent,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise ValueError("not a short text")
    return value


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 255:
        raise ValueError("not a number of segments")
    return value


def _price(value: Mapping[str, Any] | None) -> Price | None:
    if value is None:
        return None
    return Price.parse(_text(value["amount"]), _text(value["currency"]))
