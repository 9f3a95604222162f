"""Vonage (formerly Nexmo) SMS API, as the second carrier path.

Chosen because its API is documented to the field, it is independent of Twilio's routes, it tells
the price of each message at once, and it echoes a reference of ours in every receipt, which finds
a message whose reply was lost.

A message of several parts has an id for each; `provider_id` is the first part's. Texts are kept to
one segment, so that this is the rule and not the exception.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlencode

from sms.providers.base import (
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
from sms.providers.vonage_errors import RECEIPT_ERRORS, SEND_ERRORS
from sms.segments import Encoding, count
from sms.states import DeliveryState

# https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts, "DLR status messages".
STATES: Final[Mapping[str, DeliveryState]] = {
    "buffered": DeliveryState.QUEUED,
    "accepted": DeliveryState.SENT,
    "unknown": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "expired": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "deleted": DeliveryState.FAILED,
    "rejected": DeliveryState.FAILED,
}

_NAME: Final = "vonage"
_API: Final = "https://rest.nexmo.com"
_CURRENCY: Final = "EUR"
# `ttl` is in milliseconds, 20 s to 7 days.
_SHORTEST_TTL: Final = 20_000
_LONGEST_TTL: Final = 604_800_000


class SignatureMethod(StrEnum):
    """How the account signs receipts; chosen in Vonage's dashboard.

    The account's old default, an MD5 of the text with the secret appended, is left out: it is no
    MAC, and whoever sees one signed receipt can extend it.
    """

    HMAC_SHA256 = "sha256"
    HMAC_SHA512 = "sha512"


class VonageProvider:
    """Sends by Vonage's SMS API.

    Parameters
    ----------
    api_key, api_secret
        The account.
    signature_secret
        What receipts are signed with; they are refused without it.
    sender
        A number or an alphanumeric name.
    signature_method
        As chosen in the dashboard.
    api_base_url, timeouts
        As for Twilio.

    Raises
    ------
    ValueError
        When the address is none or the signature secret is empty.
    """

    def __init__(
        self,
        *,
        api_key: str,
        api_secret: str,
        signature_secret: str,
        sender: str,
        signature_method: SignatureMethod = SignatureMethod.HMAC_SHA256,
        api_base_url: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        if not signature_secret:
            raise ValueError("Vonage's receipts can not be checked without a signature secret")
        credentials = base64.b64encode(f"{api_key}:{api_secret}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        self._signature_secret = signature_secret.encode()
        self._signature_method = signature_method
        self._sender = sender
        self._address = check_base_url(api_base_url or _API) + "/sms/json"
        self._timeouts = timeouts

    @property
    def name(self) -> str:
        """`vonage`."""
        return _NAME

    def send(self, message: OutgoingMessage) -> Accepted:
        """Hand one message over.

        Raises
        ------
        ProviderFailure
        """
        try:
            reply = exchange(
                "POST",
                self._address,
                headers=self._headers,
                body=urlencode(self._form(message)).encode(),
                timeouts=self._timeouts,
            )
        except NoReply as lost:
            unsure = lost.may_have_been_sent
            raise _failure(unanswered(may_have_been_sent=unsure), may_have_been_sent=unsure) from None
        return _accepted(reply)

    def parse_receipt(self, callback: Callback) -> Receipt:
        """Check and read a delivery receipt, sent as a form, a query or JSON.

        The signature covers every parameter. Its timestamp is not compared with a clock: receipts
        only ever move a message forward, so an old one that is sent again changes nothing.

        Raises
        ------
        ReceiptRefused
        """
        params = _parameters(callback)
        if not self.verify_signature(params):
            raise ReceiptRefused(ReceiptRefusal.FORGED, "the signature is not Vonage's")
        provider_id, status = params.get("messageId", ""), params.get("status", "")
        if not provider_id or status not in STATES:
            raise ReceiptRefused(ReceiptRefusal.MALFORMED, "no messageId or no known status")
        return _receipt(provider_id, status, params)

    def verify_signature(self, params: Mapping[str, str]) -> bool:
        """Say whether these parameters carry Vonage's signature with our secret."""
        given = params.get("sig", "")
        # '&' and '=' in values would let two different sets of parameters read alike.
        text = "".join(
            f"&{key}={value.replace('&', '_').replace('=', '_')}"
            for key, value in sorted(params.items())
            if key != "sig"
        )
        digest = getattr(hashlib, self._signature_method.value)
        expected = hmac.new(self._signature_secret, text.encode(), digest).hexdigest()
        return hmac.compare_digest(expected.encode(), given.lower().encode())

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _form(self, message: OutgoingMessage) -> dict[str, str]:
        plain = count(message.body).encoding is Encoding.GSM_7
        form = {
            "from": self._sender,
            # Vonage writes E.164 without the plus.
            "to": message.to.removeprefix("+"),
            "text": message.body,
            "type": "text" if plain else "unicode",
            "ttl": str(max(_SHORTEST_TTL, min(message.validity_seconds * 1000, _LONGEST_TTL))),
            "client-ref": message.attempt_id,
        }
        if message.callback_url is not None:
            form |= {"status-report-req": "true", "callback": message.callback_url}
        return form


def _accepted(reply: Reply) -> Accepted:
    """Read the answer, which is 200 for a refusal, too."""
    if reply.status != 200:
        raise _failure(
            meaning_of_status(reply.status),
            code=f"http_{reply.status}",
            retry_after=reply.retry_after,
            may_have_been_sent=may_have_acted(reply.status),
        )
    try:
        parts: list[dict[str, Any]] = json.loads(reply.body)["messages"]
        codes = [str(part["status"]) for part in parts]
        provider_id = str(parts[0]["message-id"]) if codes[0] == "0" else ""
    except (ValueError, KeyError, TypeError, IndexError):
        unclear = unanswered(may_have_been_sent=True)
        raise _failure(unclear, code="unreadable", may_have_been_sent=True) from None
    refused = next((code for code in codes if code != "0"), None)
    if refused is not None:
        raise _failure(
            SEND_ERRORS.get(refused, meaning(FailureKind.REJECTED)),
            code=refused,
            retry_after=reply.retry_after,
            # The first part of two may be on its way when the second is refused.
            may_have_been_sent="0" in codes,
        )
    return Accepted(
        provider=_NAME,
        provider_id=provider_id,
        state=DeliveryState.QUEUED,
        segments=len(parts),
        price=_total([str(part.get("message-price", "")) for part in parts]),
    )


def _failure(
    known: Meaning,
    *,
    code: str | None = None,
    retry_after: float | None = None,
    may_have_been_sent: bool,
) -> ProviderFailure:
    return ProviderFailure(
        kind=known.kind,
        provider=_NAME,
        provider_code=code,
        plain=known.plain,
        retry_after=retry_after,
        may_have_been_sent=may_have_been_sent,
    )


def _parameters(callback: Callback) -> dict[str, str]:
    if callback.params:
        return dict(callback.params)
    try:
        read = json.loads(callback.body)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ReceiptRefused(ReceiptRefusal.MALFORMED, "neither parameters nor a JSON object")
    return {str(key): str(value) for key, value in read.items()}


def _receipt(provider_id: str, status: str, params: Mapping[str, str]) -> Receipt:
    state, price = STATES[status], _total([params.get("price", "")])
    if state not in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}:
        return Receipt(provider=_NAME, provider_id=provider_id, state=state, reported=status, price=price)
    code = params.get("err-code", "")
    known = RECEIPT_ERRORS.get(code, meaning(FailureKind.UNAVAILABLE))
    return Receipt(
        provider=_NAME,
        provider_id=provider_id,
        state=state,
        reported=status,
        failure=known.kind,
        provider_code=code or None,
        plain=known.plain,
        price=price,
    )


def _total(amounts: list[str]) -> Price | None:
    try:
        prices = [Price.parse(amount, _CURRENCY) for amount in amounts]
    except ValueError:
        return None
    return Price(amount=sum((price.amount for price in prices), Decimal(0)), currency=_CURRENCY)
