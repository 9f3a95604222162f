"""A stand-in for an operator's own sender, written with the Standard Webhooks library.

The adapter signs and checks with code of its own; the library on this side is the second opinion.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

from tests.standins.loopback import Answer, Fault, LoopbackServer, Request

SECRET: Final = "whsec_" + base64.b64encode(b"a stand-in's secret of 32 bytes!").decode()


class WebhookSenderStandIn(LoopbackServer):
    """Checks signatures, drops attempts that it has seen, and signs receipts."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.messages: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> Answer:
        try:
            facts = Webhook(SECRET).verify(request.body, dict(request.headers))
        except WebhookVerificationError:
            return _json(401, {"error": "rejected", "code": "signature"})
        with self.lock:
            self.messages.setdefault(facts["attempt_id"], facts)
        return _json(202, {"id": "own-" + facts["attempt_id"], "state": "queued", "segments": 1})

    def error_answer(self, fault: Fault) -> Answer:
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        if fault.code is None:
            return Answer(status=fault.status, body=b"upstream error", headers=headers)
        return _json(fault.status, {"error": fault.code, "code": f"own_{fault.code}"}, headers)

    def receipt(self, facts: dict[str, Any], *, at: datetime | None = None) -> tuple[bytes, dict[str, str]]:
        """Build one signed receipt: body and headers."""
        body = json.dumps(facts)
        moment = at or datetime.now(UTC)
        headers = {
            "webhook-id": "rcp_1",
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("rcp_1", moment, body),
        }
        return body.encode(), headers


def _json(status: int, facts: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(facts).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
