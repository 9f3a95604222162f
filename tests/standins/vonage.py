"""A stand-in for Vonage's SMS API: its form, its answers of status, its signed delivery receipts."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Final

from tests.standins.loopback import Answer, Fault, LoopbackServer, Request

API_KEY: Final = "abcd1234"
API_SECRET: Final = "standInSecret1"
SIGNATURE_SECRET: Final = "stand-in-signature-secret-0123456789"
_PART_PRICE: Final = "0.03330000"


@dataclass(frozen=True, kw_only=True)
class StoredMessage:
    """One message as Vonage's side knows it."""

    message_id: str
    parameters: dict[str, str]


class VonageStandIn(LoopbackServer):
    """Takes messages and builds their receipts."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.messages: dict[str, StoredMessage] = {}

    def answer(self, request: Request) -> Answer:
        if request.path != "/sms/json" or request.method != "POST":
            return Answer(status=404, body=b"not found")
        expected = base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {expected}":
            # Vonage says no in the body, with 200 on the outside.
            return _refused("4", "Bad Credentials")
        return self._create(request.form)

    def error_answer(self, fault: Fault) -> Answer:
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        if fault.code is None:
            return Answer(status=fault.status, body=b"upstream error", headers=headers)
        return _refused(fault.code, "refused", headers)

    def receipt(self, message_id: str, status: str, *, err_code: str = "0") -> dict[str, str]:
        """Build one signed delivery receipt."""
        message = self.messages[message_id]
        params = {
            "msisdn": message.parameters["to"],
            "to": message.parameters["from"],
            "network-code": "23415",
            "messageId": message_id,
            "price": _PART_PRICE,
            "status": status,
            "scts": "2611220130",
            "err-code": err_code,
            "api-key": API_KEY,
            "client-ref": message.parameters.get("client-ref", ""),
            "message-timestamp": "2026-11-22 01:30:00",
            "timestamp": "1795311000",
            "nonce": secrets.token_hex(16),
        }
        return {**params, "sig": sign(params)}

    def _create(self, form: dict[str, str]) -> Answer:
        for name in ("from", "to", "text"):
            if not form.get(name):
                return _refused("2", f"Missing {name} param")
        if not form["to"].isdigit():
            return _refused("3", "Invalid to param")
        single, several = (160, 153) if form.get("type") == "text" else (70, 67)
        length = len(form["text"])
        parts = 1 if length <= single else -(-length // several)
        facts = []
        with self.lock:
            for _ in range(parts):
                message = StoredMessage(message_id=secrets.token_hex(8).upper(), parameters=form)
                self.messages[message.message_id] = message
                facts.append(
                    {
                        "to": form["to"],
                        "message-id": message.message_id,
                        "status": "0",
                        "remaining-balance": "15.53590000",
                        "message-price": _PART_PRICE,
                        "network": "23415",
                        "client-ref": form.get("client-ref", ""),
                    }
                )
        return _json({"message-count": str(parts), "messages": facts})


def sign(params: dict[str, str]) -> str:
    """HMAC-SHA256 over `&name=value` of every parameter in alphabetical order, in hexadecimal."""
    text = ""
    for name in sorted(params):
        if name != "sig":
            text += "&" + name + "=" + params[name].replace("&", "_").replace("=", "_")
    return hmac.new(SIGNATURE_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def _refused(status: str, words: str, headers: dict[str, str] | None = None) -> Answer:
    return _json({"message-count": "1", "messages": [{"status": status, "error-text": words}]}, headers)


def _json(facts: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status=200,
        body=json.dumps(facts).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
