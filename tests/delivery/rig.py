"""One service that sends through Twilio's own client to a stand-in on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import text
from werkzeug.test import TestResponse

from identity_service.ports import SECOND
from tests.standins.loopback import Fault, Trouble
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, MESSAGING_SERVICE_SID, StoredMessage, TwilioStandIn
from tests.support.world import Api, World

PUBLIC_URL = "https://id.example"


def twilio_settings(standin_url: str, route: str = "twilio") -> dict[str, Any]:
    """What an operator would set, with the address of the stand-in."""
    return {
        "sms_route": route,
        "public_url": PUBLIC_URL,
        "twilio_account_sid": ACCOUNT_SID,
        "twilio_auth_token": AUTH_TOKEN,
        "twilio_messaging_service_sid": MESSAGING_SERVICE_SID,
        "twilio_api_base_url": standin_url,
    }


@dataclass(frozen=True, kw_only=True)
class Row:
    """A message as the outbox knows it."""

    id: str
    state: str
    reason: str | None
    attempts: int
    attempt_id: str | None
    next_at: int
    provider: str | None
    provider_ref: str | None
    has_code: bool


_ROWS = text(
    "SELECT id, state, reason, attempts, attempt_id, next_at, provider, provider_ref,"
    " sealed_code IS NOT NULL AS has_code FROM messages ORDER BY id"
)


class Rig:
    """A world, the stand-in that it sends to, and one client and inviter."""

    def __init__(self, world: World, twilio: TwilioStandIn) -> None:
        self.world, self.twilio = world, twilio
        self.api: Api = world.api()
        self.issuer = world.seed(quota=100).id

    def invite(self, phone: str | None = None, **more: Any) -> str:
        """Invite a phone by SMS; the invite's id."""
        body = {"issuer_id": self.issuer, "channel": "sms", "phone": phone or self.world.phone(), **more}
        made = self.api.post("/v1/invites", body)
        assert made.status_code == 201, made.text
        return str(made.json["id"])  # type: ignore[index]

    def told(self, invite: str) -> dict[str, Any]:
        """What the inviter reads of the delivery."""
        delivery: dict[str, Any] = self.api.get(f"/v1/invites/{invite}").json["delivery"]  # type: ignore[index]
        return delivery

    def deliver(self) -> int:
        """One round of the worker's: how many messages it claimed."""
        return self.world.worker.deliver()

    def rows(self) -> list[Row]:
        found = self.world.query(lambda tx: tx.select(_ROWS))
        return [Row(**dict(row._mapping) | {"has_code": bool(row.has_code)}) for row in found]

    def row(self) -> Row:
        """The only message."""
        [row] = self.rows()
        return row

    def sent(self) -> StoredMessage:
        """The only message that the stand-in took."""
        [message] = self.twilio.messages.values()
        return message

    def sent_to(self, phone: str) -> int:
        """How often a phone rang."""
        return sum(message.sent_to == phone for message in list(self.twilio.messages.values()))

    def fail(self, status: int, code: str | None = None, retry_after: str | None = None) -> None:
        """Let the next request be refused."""
        self.twilio.go_wrong(Fault(trouble=Trouble.ERROR, status=status, code=code, retry_after=retry_after))

    def wait_until_due(self) -> None:
        """Move the clock to the next attempt of the only message."""
        self.world.clock.advance(max(0, self.row().next_at - self.world.clock.now()) + SECOND)

    # -- callbacks ------------------------------------------------------------------------------------

    def call_back(self, sid: str, *statuses: str, error_code: int | None = None) -> list[int]:
        """Report statuses as Twilio would, in the order given; the answers' statuses."""
        answers = []
        for status in statuses:
            code = error_code if status in {"failed", "undelivered"} else None
            answers.append(self.post(*self.twilio.callback(sid, status, error_code=code)).status_code)
        return answers

    def post(self, address: str, form: dict[str, str], headers: dict[str, str]) -> TestResponse:
        """Bring a callback to the service by the address that Twilio was given."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC_URL
        return self.world.app.test_client().post(
            f"{parts.path}?{parts.query}",
            data=urlencode(form),
            content_type="application/x-www-form-urlencoded",
            headers=headers,
        )
