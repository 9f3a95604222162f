"""A whole service for one test: the real application, store, worker and inbox, with a clock that is ours."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from identity_service.app import create_app, services_of
from identity_service.config import Settings
from identity_service.container import Container
from identity_service.errors import Actor
from identity_service.policy.rules import Policy, load_policy
from identity_service.ports import DAY, Instant, SystemClock
from identity_service.services.members import MemberView
from identity_service.services.quota import Grant
from identity_service.worker import Worker
from sms.numbers import parse

OPERATOR = Actor(kind="operator", name="tester")
_OTP = re.compile(r"(?<!\d)(\d{6}|\d{8})(?!\d)")
_INVITE = re.compile(r"\b([0-9A-Z]{3,}(?:-[0-9A-Z]{3,})+)\b")


class MovableClock:
    """The system's clock, moved by as much as a test likes."""

    def __init__(self) -> None:
        self.ahead: Instant = 0
        self._system = SystemClock()

    def now(self) -> Instant:
        return self._system.now() + self.ahead

    def advance(self, microseconds: Instant) -> None:
        self.ahead += microseconds


@dataclass
class Api:
    """A client of the REST API that carries a key."""

    http: FlaskClient
    key: str
    client_id: str

    def call(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> TestResponse:
        given = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        return self.http.open(path, method=method, json=json, headers=given)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json=json, **options)


class World:
    """One service, empty at first.

    Attributes:
        app, services: the real ones.
        guarded: whether the pumping guard is on.  Most tests write to many neighbours who never answer.
        clock: moves only forward, by `advance`.
        store: ``sqlite`` or ``postgresql``.
    """

    _names = itertools.count(1)

    def __init__(self, url: str, *, guarded: bool = False, **settings: Any) -> None:
        self.clock = MovableClock()
        self.settings = Settings(database_url=url, log_level="WARNING", **settings)
        self.app: Flask = create_app(self.settings, clock=self.clock, policy=self._policy(guarded))
        self.services: Container = services_of(self.app)
        self.store = "sqlite" if self.services.store.is_sqlite else "postgresql"
        self.worker = Worker(self.services)
        self._phones = itertools.count(1)

    def _policy(self, guarded: bool) -> Policy:
        policy = load_policy(self.settings.policy_file)
        if guarded:
            return policy
        return policy.model_copy(update={"guard": policy.guard.model_copy(update={"enabled": False})})

    def close(self) -> None:
        self.services.store.engine.dispose()

    # -- who calls --------------------------------------------------------------------------------------

    def api(self, *scopes: str) -> Api:
        """A new client with these scopes (default: admin)."""
        name = f"client-{next(self._names)}"
        key = self.transact(lambda tx: self.services.clients.create(tx, name, scopes or ("admin",)))
        return Api(http=self.app.test_client(), key=key.key, client_id=key.client_id)

    def transact(self, use_case: Any) -> Any:
        return self.services.store.transact(OPERATOR, use_case)

    def query(self, read: Any) -> Any:
        return self.services.store.query(OPERATOR, read)

    # -- who is there -----------------------------------------------------------------------------------

    def phone(self) -> str:
        """A fresh, valid mobile number (Russia)."""
        return f"+7916{next(self._phones):07d}"

    def seed(self, quota: int = 0, phone: str | None = None) -> MemberView:
        number = parse(phone or self.phone())
        member: MemberView = self.transact(lambda tx: self.services.members.create_seed(tx, number, None))
        if quota:
            self.grant(member.id, quota)
        return member

    def grant(self, member_id: str, amount: int) -> None:
        grant = Grant(member_id=member_id, amount=amount, reason="test")
        self.transact(lambda tx: self.services.quota.grant(tx, grant))

    # -- what happens -----------------------------------------------------------------------------------

    def work(self) -> None:
        """Let the worker do everything that is due now."""
        while self.worker.step():
            pass
        self.worker.housekeep()
        while self.worker.sequence() or self.worker.trust.step():
            pass

    def inbox(self, phone: str | None = None) -> list[dict[str, str]]:
        """Deliver what is queued, and return what the phone received, newest first."""
        while self.worker.deliver():
            pass
        provider: Any = self.services.providers["inbox"]
        return list(provider.messages(to=phone))

    def otp(self, phone: str) -> str:
        """The newest one-time code on a phone."""
        found = _OTP.search(self.inbox(phone)[0]["body"])
        assert found is not None
        return found[1]

    def invite_code(self, phone: str) -> str:
        """The newest invite code on a phone."""
        found = _INVITE.search(self.inbox(phone)[0]["body"])
        assert found is not None
        return found[1]

    def verify(self, api: Api, phone: str, purpose: str, **fields: Any) -> str:
        """Prove a phone by its code; return the proof."""
        started = api.post("/v1/verifications", {"purpose": purpose, "phone": phone, **fields})
        assert started.status_code == 202, started.text
        checked = api.post(f"/v1/verifications/{started.json['id']}/check", {"code": self.otp(phone)})  # type: ignore[index]
        assert checked.status_code == 200, checked.text
        proof: str = checked.json["proof"]  # type: ignore[index]
        return proof

    def join(self, api: Api, inviter_id: str, phone: str | None = None, **fields: Any) -> dict[str, Any]:
        """Make a member by a link invite from `inviter_id` (whose quota must allow it); the whole answer."""
        phone = phone or self.phone()
        invite = api.post("/v1/invites", {"issuer_id": inviter_id, "channel": "link"})
        assert invite.status_code == 201, invite.text
        code = invite.json["code"]  # type: ignore[index]
        proof = self.verify(api, phone, "registration", invite_code=code)
        made = api.post("/v1/registrations", {"invite_code": code, "proof": proof, **fields})
        assert made.status_code == 201, made.text
        return dict(made.json)  # type: ignore[arg-type]

    def files(self) -> list[Path]:
        """Every file that the service keeps on this store (for SQLite), its logs and journals included."""
        return [path for path in Path("var").rglob("*") if path.is_file()]


LONG_AGO = 91 * DAY
