"""A stand-in for Twilio's Messages API: stateful, on loopback, with its wire format and errors.

`tests/sms/test_standin_follows_description.py` holds it to Twilio's own description. It signs its
status callbacks by Twilio's published recipe, written out here and not taken from the client, so
that the client's check is tested against a second reading of it.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlencode

from tests.standins.loopback import Answer, Fault, LoopbackServer, Request

ACCOUNT_SID: Final = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN: Final = "stand-in-token-of-32-characters-"
MESSAGING_SERVICE_SID: Final = "MG" + "fedcba9876543210" * 2

_VERSION: Final = "/2010-04-01"
_MESSAGES: Final = re.compile(rf"{_VERSION}/Accounts/(AC[0-9a-f]{{32}})/Messages\.json")
_MESSAGE: Final = re.compile(rf"{_VERSION}/Accounts/(AC[0-9a-f]{{32}})/Messages/(SM[0-9a-f]{{32}})\.json")
_FEEDBACK: Final = re.compile(
    rf"{_VERSION}/Accounts/(AC[0-9a-f]{{32}})/Messages/(SM[0-9a-f]{{32}})/Feedback\.json"
)
_PRICES: Final = re.compile(r"/v1/Messaging/Countries/([A-Z]{2})")
_E164: Final = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)

# Twilio's words for its codes, shortened; `{}` is the number, as in the real ones.
_WORDS: Final = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    20503: "Service Unavailable",
    21211: "Invalid 'To' Phone Number: {}",
    21408: "Permission to send an SMS has not been enabled for the region of {}",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21610: "Attempt to send to unsubscribed recipient {}",
    21614: "'To' number {} is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit",
}


@dataclass(kw_only=True)
class StoredMessage:
    """One message as Twilio's side knows it; `sent_*` are what came in, before redaction."""

    sid: str
    sent_to: str
    sent_body: str
    parameters: dict[str, str]
    made_at: datetime
    status: str = "queued"
    error_code: int | None = None
    price: str | None = None
    outcomes: list[str] = field(default_factory=list)


class TwilioStandIn(LoopbackServer):
    """Takes messages, remembers them, and reports on them when told to."""

    def __init__(
        self, port: int = 0, *, account_sid: str = ACCOUNT_SID, auth_token: str = AUTH_TOKEN
    ) -> None:
        super().__init__(port)
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.messages: dict[str, StoredMessage] = {}
        self.prices: dict[str, dict[str, str]] = {}
        self._refused_numbers: dict[str, int] = {}

    def refuse_number(self, number: str, code: int) -> None:
        """Answer every message to a number with an error code, e.g. 21610."""
        with self.lock:
            self._refused_numbers[number] = code

    def move(self, sid: str, status: str, *, error_code: int | None = None, price: str | None = None) -> None:
        """Change what the stand-in says of a message."""
        with self.lock:
            message = self.messages[sid]
            message.status, message.error_code, message.price = status, error_code, price

    # Status callbacks

    def callback(
        self, sid: str, status: str, *, error_code: int | None = None
    ) -> tuple[str, dict[str, str], dict[str, str]]:
        """Build one status callback: address, form and headers, signed."""
        message = self.messages[sid]
        address = message.parameters.get("StatusCallback", "")
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": _VERSION.strip("/"),
            "From": message.parameters.get("From", "+15005550006"),
            "MessageSid": sid,
            "MessageStatus": status,
            "SmsSid": sid,
            "SmsStatus": status,
            "To": message.sent_to,
        }
        if error_code is not None:
            form["ErrorCode"] = str(error_code)
        return address, form, {"X-Twilio-Signature": self.sign(address, form)}

    def sign(self, address: str, form: dict[str, str]) -> str:
        """HMAC-SHA1 over the address and the sorted names and values, in base64."""
        text = address + "".join(f"{name}{form[name]}" for name in sorted(form))
        return base64.b64encode(
            hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()
        ).decode()

    def report(self, sid: str, statuses: Sequence[str], *, error_code: int | None = None) -> list[int]:
        """Call the message's `StatusCallback` once for each status, in the order given.

        Repeat a status for a duplicate, and order them as the network would not. The last of them
        that is an error carries the code. Returns the receiver's HTTP statuses.
        """
        answers = []
        for status in statuses:
            code = error_code if status in {"failed", "undelivered"} else None
            address, form, headers = self.callback(sid, status, error_code=code)
            request = urllib.request.Request(address, data=urlencode(form).encode(), headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    answers.append(response.status)
            except urllib.error.HTTPError as refused:
                answers.append(refused.code)
        return answers

    # The API

    def answer(self, request: Request) -> Answer:
        if match := _MESSAGES.fullmatch(request.path):
            return self._guarded(request, match[1]) or self._messages(request)
        if match := _MESSAGE.fullmatch(request.path):
            return self._guarded(request, match[1]) or self._message(request, match[2])
        if match := _FEEDBACK.fullmatch(request.path):
            return self._guarded(request, match[1]) or self._feedback(request, match[2])
        if match := _PRICES.fullmatch(request.path):
            return self._guarded(request, self.account_sid) or self._prices_of(match[1])
        return _error(404, 20404)

    def _prices_of(self, country: str) -> Answer:
        with self.lock:
            networks = self.prices.get(country)
        if networks is None:
            return _error(404, 20404)
        facts = {
            "country": country,
            "iso_country": country,
            "price_unit": "USD",
            "url": f"https://pricing.twilio.com/v1/Messaging/Countries/{country}",
            "inbound_sms_prices": [],
            "outbound_sms_prices": [
                {
                    "carrier": carrier,
                    "mcc": "250",
                    "mnc": "01",
                    "prices": [{"number_type": "mobile", "base_price": price, "current_price": price}],
                }
                for carrier, price in networks.items()
            ],
        }
        return _json(200, facts)

    def error_answer(self, fault: Fault) -> Answer:
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        if fault.code is None:
            return Answer(status=fault.status, body=b"upstream error", headers=headers)
        return _error(fault.status, int(fault.code), headers=headers)

    def _guarded(self, request: Request, account_sid: str) -> Answer | None:
        expected = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}" or account_sid != self.account_sid:
            return _error(401, 20003)
        return None

    def _messages(self, request: Request) -> Answer:
        if request.method == "POST":
            return self._create(request.form)
        with self.lock:
            wanted = request.query.get("To")
            found = [one for one in self.messages.values() if wanted in {None, one.sent_to}]
            return _json(200, {"messages": [self._resource(one) for one in reversed(found)]})

    def _create(self, form: dict[str, str]) -> Answer:
        number = form.get("To", "")
        code = self._objection(form, number)
        if code is not None:
            return _error(400, code, number)
        message = StoredMessage(
            sid="SM" + secrets.token_hex(16),
            sent_to=number,
            sent_body=form["Body"],
            parameters=form,
            made_at=datetime.now(UTC),
            status="accepted" if "MessagingServiceSid" in form else "queued",
        )
        with self.lock:
            self.messages[message.sid] = message
            return _json(201, self._resource(message))

    def _objection(self, form: dict[str, str], number: str) -> int | None:
        if not number:
            return 21604
        if _E164.fullmatch(number) is None:
            return 21211
        if number in self._refused_numbers:
            return self._refused_numbers[number]
        if not form.get("Body"):
            return 21602
        if len(form["Body"]) > 1600:
            return 21617
        if "From" not in form and "MessagingServiceSid" not in form:
            return 21603
        return None

    def _message(self, request: Request, sid: str) -> Answer:
        with self.lock:
            message = self.messages.get(sid)
            if message is None:
                return _error(404, 20404)
            if request.method == "DELETE":
                del self.messages[sid]
                return Answer(status=204)
            if request.method == "POST" and request.form.get("Body") == "":
                message.parameters["ContentRetention"] = "discard"
            return _json(200, self._resource(message))

    def _feedback(self, request: Request, sid: str) -> Answer:
        with self.lock:
            message = self.messages.get(sid)
            if message is None:
                return _error(404, 20404)
            outcome = request.form.get("Outcome", "confirmed")
            message.outcomes.append(outcome)
            now = format_datetime(datetime.now(UTC))
            path = f"{_VERSION}/Accounts/{self.account_sid}/Messages/{sid}/Feedback.json"
            facts = {
                "account_sid": self.account_sid,
                "message_sid": sid,
                "outcome": outcome,
                "date_created": now,
                "date_updated": now,
                "uri": path,
            }
            return _json(200, facts)

    def _resource(self, message: StoredMessage) -> dict[str, Any]:
        parameters = message.parameters
        forgotten = parameters.get("ContentRetention") == "discard"
        hidden = parameters.get("AddressRetention") == "obfuscate"
        path = f"{_VERSION}/Accounts/{self.account_sid}/Messages/{message.sid}"
        made_at = format_datetime(message.made_at)
        return {
            "account_sid": self.account_sid,
            "api_version": _VERSION.strip("/"),
            "body": "" if forgotten else message.sent_body,
            "date_created": made_at,
            "date_sent": made_at if message.status in {"sent", "delivered", "undelivered"} else None,
            "date_updated": made_at,
            "direction": "outbound-api",
            "error_code": message.error_code,
            "error_message": None,
            "from": parameters.get("From"),
            "messaging_service_sid": parameters.get("MessagingServiceSid"),
            "num_media": "0",
            # A messaging service has no sender yet, and so no segments.
            "num_segments": "0" if message.status == "accepted" else "1",
            "price": message.price,
            "price_unit": "USD" if message.price else None,
            "sid": message.sid,
            "status": message.status,
            "subresource_uris": {"media": f"{path}/Media.json"},
            "to": message.sent_to[:-4] + "XXXX" if hidden else message.sent_to,
            "uri": f"{path}.json",
        }


def _json(status: int, facts: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(facts).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def _error(status: int, code: int, number: str = "", headers: dict[str, str] | None = None) -> Answer:
    facts = {
        "code": code,
        "message": _WORDS.get(code, "Refused").format(number),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return _json(status, facts, headers)
