"""Steps that the tests of the services share: answers taken apart, things made by one call."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import altcha
from werkzeug.test import TestResponse

from identity_service.policy.rules import default_text
from identity_service.ports import Instant, SystemClock, instant_of, rfc3339
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


def solve(challenge: Body) -> str:
    """Do a proof of work, as a browser's widget would."""
    solution = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
    assert solution is not None
    payload = {"challenge": challenge, "solution": solution.to_dict()}
    return base64.b64encode(json.dumps(payload).encode()).decode()


class _StoppedClock(SystemClock):
    def __init__(self, at_: Instant) -> None:
        self._at = at_

    def now(self) -> Instant:
        return self._at


def stop_clock(world: World) -> None:
    """Let time pass only by `world.clock.advance`, so that two runs can be compared to the microsecond."""
    world.clock._system = _StoppedClock(world.clock.now() - world.clock.ahead)


def policy_with(**changes: str) -> str:
    """A policy file like the default one with some rules changed; its path, for the setting."""
    lines = []
    for line in default_text().splitlines():
        name = line.partition(" = ")[0]
        lines.append(f"{name} = {changes.pop(name)}" if name in changes else line)
    assert not changes, f"no such rule: {changes}"
    path = Path("policy.toml").resolve()
    path.write_text("\n".join(lines))
    return str(path)
