"""Steps that the tests of the services share: an answer taken apart, a member sanctioned, a code guessed wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from werkzeug.test import TestResponse

from identity_service.ports import Instant, instant_of, rfc3339
from tests.support.world import Api, World

Body = dict[str, Any]


def ok(response: TestResponse, status: int = 200) -> Body:
    """The body of an answer that went well."""
    assert response.status_code == status, response.text
    return dict(response.json)  # type: ignore[arg-type]


def no(response: TestResponse, status: int, code: str) -> Body:
    """The problem document of a refusal."""
    assert (response.status_code, response.json["code"]) == (status, code), response.text  # type: ignore[index]
    assert response.content_type == "application/problem+json"
    return dict(response.json)  # type: ignore[arg-type]


def at(text: str) -> Instant:
    return instant_of(datetime.fromisoformat(text))


def later(world: World, microseconds: Instant) -> str:
    """A time of the future, as the API takes it."""
    return rfc3339(world.clock.now() + microseconds)


def link(api: Api, issuer_id: str, **fields: Any) -> Body:
    """A link invite of a member's."""
    return ok(api.post("/v1/invites", {"issuer_id": issuer_id, "channel": "link", **fields}), 201)


def campaign_link(api: Api, name: str = "spring", **fields: Any) -> Body:
    return ok(api.post("/v1/invites", {"campaign": name, "channel": "link", **fields}), 201)


def sms(api: Api, issuer_id: str, phone: str, **fields: Any) -> Body:
    """An invite by SMS of a member's."""
    body = {"issuer_id": issuer_id, "channel": "sms", "phone": phone, **fields}
    return ok(api.post("/v1/invites", body), 201)


def start(api: Api, phone: str, purpose: str = "login", **fields: Any) -> Body:
    return ok(api.post("/v1/verifications", {"purpose": purpose, "phone": phone, **fields}), 202)


def check(api: Api, verification_id: str, code: str) -> TestResponse:
    return api.post(f"/v1/verifications/{verification_id}/check", {"code": code})


def wrong(code: str) -> str:
    """Another code of the same length."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def quota(api: Api, member_id: str) -> Body:
    return ok(api.get(f"/v1/members/{member_id}/quota"))


def entries(api: Api, member_id: str) -> list[Body]:
    """A member's whole ledger."""
    return pages(api, f"/v1/members/{member_id}/quota/entries?limit=200")


def pages(api: Api, path: str) -> list[Body]:
    """Every item of a list, page by page."""
    found: list[Body] = []
    cursor = ""
    while True:
        page = ok(api.get(path + cursor))
        found += page["data"]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        assert page["data"]
        cursor = f"{'&' if '?' in path else '?'}cursor={page['next_cursor']}"


def sanction(api: Api, member_id: str, action: str, **fields: Any) -> Body:
    body = {"action": action, "reason_code": "spam", "explanation": "Strangers complained.", **fields}
    return ok(api.post(f"/v1/members/{member_id}/sanctions", body), 201)


def audit(world: World, subject_id: str) -> list[Any]:
    """Everything that the audit trail tells about a subject."""
    return list(world.query(lambda tx: world.services.journal.about(tx, subject_id)))


def messages_to(world: World, phone: str) -> list[str]:
    """The texts that a phone received, newest first."""
    return [message["body"] for message in world.inbox(phone)]
