"""Twilio Programmable Messaging, through Twilio's own client.

Only the client's HTTP layer is replaced: so that its base address can point at another host, so
that nothing is logged or kept (the stock layer logs requests and keeps the last one, number and
code included), and so that a lost reply is told apart from a refused connection.

Twilio's Messages resource has no idempotency key. After a lost reply the only proof that a message
exists is its status callback: put the attempt's id into `callback_url`.
"""

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from twilio.base.exceptions import TwilioException  # type: ignore[import-untyped]
from twilio.http import HttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

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
from sms.providers.twilio_errors import TWILIO_ERRORS
from sms.states import DeliveryState

# https://www.twilio.com/docs/messaging/api/message-resource, "Message Status values".
STATES: Final[Mapping[str, DeliveryState]] = {
    "accepted": DeliveryState.QUEUED,
    "scheduled": DeliveryState.QUEUED,
    "queued": DeliveryState.QUEUED,
    "sending": DeliveryState.QUEUED,
    "sent": DeliveryState.SENT,
    "partially_delivered": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.FAILED,
    "canceled": DeliveryState.FAILED,
}

_NAME: Final = "twilio"
_SIGNATURE_HEADER: Final = "X-Twilio-Signature"
_LONGEST_VALIDITY: Final = 36_000


class TwilioProvider:
    """Sends by Twilio's REST API, from a messaging service or a fixed sender.

    Parameters
    ----------
    account_sid, auth_token
        The account. The token also signs status callbacks.
    messaging_service_sid, sender
        Where messages come from; one of the two is needed, and the service wins.
    api_base_url
        Another host to speak to, such as a stand-in; the real one when `None`.
    redact
        Ask Twilio to keep neither the body nor the last digits of the number.
    feedback
        Tell Twilio with every message that `report_outcome` will follow.
    timeouts
        See `Timeouts`.

    Raises
    ------
    ValueError
        When there is no sender or the address is none.
    """

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        messaging_service_sid: str | None = None,
        sender: str | None = None,
        api_base_url: str | None = None,
        redact: bool = True,
        feedback: bool = False,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        if not messaging_service_sid and not sender:
            raise ValueError("Twilio needs a messaging service or a sender")
        self._validator = RequestValidator(auth_token)
        # A non-empty environment of our own keeps the client from reading the process's, where an
        # edge or region would send messages elsewhere than the settings say.
        self._client = Client(
            account_sid,
            auth_token,
            http_client=_Wire(check_base_url(api_base_url) if api_base_url else None, timeouts),
            environment={"TWILIO_ACCOUNT_SID": account_sid},
        )
        self._fixed: dict[str, Any] = {"provide_feedback": True} if feedback else {}
        if messaging_service_sid:
            self._fixed["messaging_service_sid"] = messaging_service_sid
        else:
            self._fixed["from_"] = sender
        if redact:
            self._fixed |= {"content_retention": "discard", "address_retention": "obfuscate"}

    @property
    def name(self) -> str:
        """`twilio`."""
        return _NAME

    def send(self, message: OutgoingMessage) -> Accepted:
        """Create one message.

        Raises
        ------
        ProviderFailure
        """
        parameters = dict(self._fixed)
        if message.callback_url is not None:
            parameters["status_callback"] = message.callback_url
        validity = max(1, min(message.validity_seconds, _LONGEST_VALIDITY))
        with _failures_told():
            created = _facts(
                self._client.messages.create(
                    to=message.to, body=message.body, validity_period=validity, **parameters
                )
            )
        if created.failure is not None:
            raise ProviderFailure(
                kind=created.failure,
                provider=_NAME,
                provider_code=created.provider_code,
                plain=created.plain or meaning(created.failure).plain,
            )
        return Accepted(
            provider=_NAME,
            provider_id=created.provider_id,
            state=created.state,
            segments=created.segments,
            price=created.price,
        )

    def fetch(self, provider_id: str) -> Receipt:
        """Ask what became of a message: for lost callbacks, and for its price, which comes late.

        Raises
        ------
        ProviderFailure
        """
        with _failures_told():
            return _facts(self._client.messages(provider_id).fetch())

    def price_in(self, country: str) -> Price | None:
        """Ask Twilio's price list what one segment to a country costs; its dearest network counts.

        Raises
        ------
        ProviderFailure
        """
        with _failures_told():
            listed = self._client.pricing.v1.messaging.countries(country).fetch()
            amounts = [
                Decimal(str(price["current_price"]))
                for network in listed.outbound_sms_prices or ()
                for price in network["prices"]
            ]
            if not amounts:
                return None
            return Price.parse(str(max(amounts)), str(listed.price_unit))

    def report_outcome(self, provider_id: str, *, code_came_back: bool) -> None:
        """Tell Twilio whether the code was entered; its routing learns from that.

        Raises
        ------
        ProviderFailure
        """
        outcome = "confirmed" if code_came_back else "unconfirmed"
        with _failures_told():
            self._client.messages(provider_id).feedback.create(outcome=outcome)

    def verify_signature(self, public_url: str, params: Mapping[str, str], signature: str | None) -> bool:
        """Say whether Twilio signed this request to this address with our token."""
        return bool(signature) and bool(self._validator.validate(public_url, dict(params), signature))

    def parse_receipt(self, callback: Callback) -> Receipt:
        """Check and read a status callback.

        Raises
        ------
        ReceiptRefused
            `receipt_forged`, or `receipt_malformed` for one that Twilio signed but that names no
            message or no known status.
        """
        if not self.verify_signature(
            callback.public_url, callback.params, callback.header(_SIGNATURE_HEADER)
        ):
            raise ReceiptRefused(ReceiptRefusal.FORGED, "the signature is not Twilio's")
        sid, status = callback.params.get("MessageSid", ""), callback.params.get("MessageStatus", "")
        if not sid or status not in STATES:
            raise ReceiptRefused(ReceiptRefusal.MALFORMED, "no MessageSid or no known MessageStatus")
        return _receipt(sid, status, callback.params.get("ErrorCode"))

    def close(self) -> None:
        """Nothing is held open between calls."""


class _Refused(Exception):
    """Twilio answered with an error. Its message is dropped: it quotes the number."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.status))
        self.status = reply.status
        self.retry_after = reply.retry_after
        self.code = _error_code(reply.body)


class _Wire(HttpClient):  # type: ignore[misc]
    """The client's HTTP layer: one exchange a call, nothing logged, nothing kept."""

    def __init__(self, base_url: str | None, timeouts: Timeouts) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self._base_url = base_url
        self._timeouts = timeouts

    def request(
        self,
        method: str,
        uri: str,
        *,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_set_for_the_provider: object,
    ) -> Response:
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        reply = exchange(
            method,
            self._address(uri, params),
            headers=sent,
            body=urlencode(data or {}, doseq=True).encode(),
            timeouts=self._timeouts,
        )
        if reply.status >= 400:
            raise _Refused(reply)
        return Response(reply.status, reply.body.decode(), dict(reply.headers))

    def _address(self, uri: str, params: Mapping[str, object] | None) -> str:
        parts = urlsplit(uri)
        base = self._base_url or f"{parts.scheme}://{parts.netloc}"
        query = urlencode({key: value for key, value in (params or {}).items() if value is not None})
        return base + parts.path + (f"?{query}" if query else "")


@contextmanager
def _failures_told() -> Iterator[None]:
    """Turn whatever goes wrong in a call into a `ProviderFailure` that carries nothing private."""
    try:
        yield
    except NoReply as lost:
        unsure = lost.may_have_been_sent
        raise _failure(unanswered(may_have_been_sent=unsure), code=None, may_have_been_sent=unsure) from None
    except _Refused as refused:
        known = TWILIO_ERRORS.get(refused.code or "", meaning_of_status(refused.status))
        raise _failure(
            known,
            code=refused.code or f"http_{refused.status}",
            retry_after=refused.retry_after,
            may_have_been_sent=may_have_acted(refused.status),
        ) from None
    except (TwilioException, InvalidOperation, ValueError, KeyError, TypeError, AttributeError):
        # An answer of success that can not be read: the message is probably on its way.
        unclear = unanswered(may_have_been_sent=True)
        raise _failure(unclear, code="unreadable", may_have_been_sent=True) from None


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


def _error_code(body: bytes) -> str | None:
    try:
        code = json.loads(body)["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(code) if isinstance(code, int) else None


def _facts(instance: Any) -> Receipt:
    """Read a Message resource as the client parsed it."""
    if not instance.sid or instance.status not in STATES:
        raise ValueError("no sid or no known status")
    receipt = _receipt(instance.sid, instance.status, instance.error_code)
    segments = int(instance.num_segments or 0)
    # A messaging service answers 0 segments until it has chosen a sender.
    return replace(receipt, segments=segments or None, price=_price(instance.price, instance.price_unit))


def _receipt(sid: str, status: str, code: object) -> Receipt:
    state = STATES[status]
    if state not in {DeliveryState.FAILED, DeliveryState.UNDELIVERED}:
        return Receipt(provider=_NAME, provider_id=sid, state=state, reported=status)
    named = str(code) if code else None
    known = TWILIO_ERRORS.get(named or "", meaning(FailureKind.UNAVAILABLE))
    return Receipt(
        provider=_NAME,
        provider_id=sid,
        state=state,
        reported=status,
        failure=known.kind,
        provider_code=named,
        plain=known.plain,
    )


def _price(amount: str | None, currency: str | None) -> Price | None:
    # The price is filled in after sending; until then both are null.
    try:
        return Price.parse(amount, currency) if amount and currency else None
    except ValueError:
        return None
