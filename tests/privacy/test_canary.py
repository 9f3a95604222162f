"""A whole journey with known numbers and codes, and then a search for them in all that is kept or said."""

from __future__ import annotations

import base64
import io
import json as jsonlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from identity_service.cli.root import identity
from identity_service.db.tables import marks
from identity_service.ports import DAY, HOUR, MINUTE
from sms.providers.base import PLAIN_WORDS, FailureKind, OutgoingMessage, ProviderFailure
from sms.providers.inbox import Inbox
from tests.privacy.search import Canaries, found, raw_store, tables
from tests.service.steps import check, link, no, ok, sms, start, wrong
from tests.support import logs
from tests.support.world import Api, World

# Real shapes of several countries: (E.164, the national part).
PHONES = [
    ("+79037412958", "9037412958"),
    ("+79265803174", "9265803174"),
    ("+14155552671", "4155552671"),
    ("+447911123456", "7911123456"),
    ("+380671234567", "671234567"),
    ("+4915123456789", "15123456789"),
    ("+5511987654321", "11987654321"),
    ("+919876543210", "9876543210"),
]
ADDRESS = "203.0.113.77"


@dataclass
class Recorder(Api):
    """A caller that keeps the refusals it got, headers and all."""

    refusals: list[bytes] = field(default_factory=list)

    def call(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> TestResponse:
        answer = super().call(method, path, json=json, headers=headers)
        if answer.status_code >= 400:
            self.refusals.append(str(answer.headers).encode() + answer.data)
        return answer


class Journey:
    """Everything that a member and an attacker do, with each secret noted as a canary."""

    def __init__(self, world: World) -> None:
        self.world, self.canaries = world, Canaries()
        api = world.api()
        self.api = Recorder(http=api.http, key=api.key, client_id=api.client_id)
        self.canaries.add("API key", api.key)
        self.canaries.add("address", ADDRESS)
        for phone, national in PHONES:
            self.canaries.add_phone(phone, national)
        self._phones = (phone for phone, _ in PHONES)

    def phone(self) -> str:
        return next(self._phones)

    def run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inviter = self.world.seed(quota=50, phone=self.phone())
        member_phone = self._join_by_link()
        self._join_by_sms()
        self._come_back(member_phone)
        self._err(member_phone)
        self._leave_a_dead_letter(monkeypatch)
        self.world.work()

    def _otp(self, phone: str) -> str:
        code = self.world.otp(phone)
        self.canaries.add_otp(code)
        return code

    def _joined(self, made: Any) -> Any:
        body = ok(made, 201)
        self.canaries.add_token("assertion", body["assertion"])
        self.canaries.add("device token", body["device_token"], body["device_token"].removeprefix("dev_"))
        for code in body["recovery_codes"]:
            self.canaries.add_dashed("recovery code", code)
        return body

    def _prove(self, phone: str, purpose: str, **fields: Any) -> str:
        made = start(self.api, phone, purpose, client_ip=ADDRESS, **fields)
        code = self._otp(phone)
        no(check(self.api, made["id"], wrong(code)), 422, "code_incorrect")
        proof = str(ok(check(self.api, made["id"], code))["proof"])
        self.canaries.add_token("proof", proof)
        return proof

    def _join_by_link(self) -> str:
        phone = self.phone()
        code = link(self.api, self.inviter.id)["code"]
        self.canaries.add_dashed("invite code", code)
        proof = self._prove(phone, "registration", invite_code=code)
        body = {"invite_code": code, "proof": proof, "device_id": "device-of-the-canary"}
        made = self.api.post("/v1/registrations", body, headers={"Idempotency-Key": phone})
        self.member = self._joined(made)
        ok(self.api.post("/v1/registrations", body, headers={"Idempotency-Key": phone}), 201)
        self.canaries.add("device id", "device-of-the-canary")
        return phone

    def _join_by_sms(self) -> None:
        phone = self.phone()
        sms(self.api, self.inviter.id, phone)
        code = self.world.invite_code(phone)
        self.canaries.add_dashed("invite code", code)
        self._joined(self.api.post("/v1/registrations", {"invite_code": code, "phone": phone}))

    def _come_back(self, phone: str) -> None:
        logged_in = ok(self.api.post("/v1/logins", {"proof": self._prove(phone, "login")}))
        self.canaries.add_token("assertion", logged_in["assertion"])
        ok(self.api.post("/v1/members/lookup", {"phone": phone}))
        self.world.clock.advance(91 * DAY)
        no(self.api.post("/v1/logins", {"proof": self._prove(phone, "login")}), 409, "recovery_required")
        held = ok(self.api.post("/v1/recoveries", {"proof": self._prove(phone, "recovery")}), 201)
        path = f"/v1/recoveries/{held['id']}/recovery-code"
        no(
            self.api.post(path, {"code": self.member["recovery_codes"][0][:-1]}),
            422,
            "recovery_code_incorrect",
        )
        granted = ok(self.api.post(path, {"code": self.member["recovery_codes"][0]}))
        self.canaries.add_token("assertion", granted["assertion"])

    def _err(self, known: str) -> None:
        """Every way to be refused while the secret stands in the request."""
        api, unknown, code = self.api, self.phone(), link(self.api, self.inviter.id)["code"]
        self.canaries.add_dashed("invite code", code)
        mistyped = code[:-1] + ("0" if code[-1] != "0" else "1")
        self.canaries.add_dashed("invite code", mistyped)
        start(api, unknown, "login")
        for path, body in (
            ("/v1/verifications", {"purpose": "login", "phone": unknown}),
            ("/v1/verifications", {"purpose": "login", "phone": unknown + "9999"}),
            ("/v1/verifications", {"purpose": "login", "phone": "tel:" + unknown}),
            ("/v1/verifications", {"purpose": "login", "phone": int(unknown[1:])}),
            ("/v1/verifications", {"purpose": unknown, "phone": unknown}),
            ("/v1/verifications", {"purpose": "login", "phone": known, "client_ip": ADDRESS + "." + unknown}),
            ("/v1/registrations", {"invite_code": mistyped, "phone": unknown}),
            ("/v1/registrations", {"invite_code": code, "phone": unknown}),
            ("/v1/registrations", {"invite_code": code, "proof": unknown}),
            ("/v1/invites/lookup", {"code": mistyped}),
            ("/v1/invites", {"issuer_id": unknown, "channel": "link"}),
            ("/v1/quota-grants", {"amount": 1, "reason": "x", "filter": f"state={unknown} {code}"}),
            (f"/v1/members/{self.inviter.id}/sanctions", {"action": code, "reason_code": unknown}),
            (f"/v1/members/{self.inviter.id}/signals", {"kind": "activity", "occurred_at": unknown}),
        ):
            answer = api.post(path, body)
            assert answer.status_code in (409, 422, 429), (path, answer.text)
        for path in (
            f"/v1/members?state={unknown[1:]}",
            f"/v1/members?limit={unknown[1:]}",
            f"/v1/members/{unknown[1:]}",
            f"/v1/events?after={code}",
            f"/v1/invites?cursor={code}",
            f"/nowhere/{unknown[1:]}",
            f"/i/{mistyped.replace('-', '')}/nowhere",
        ):
            assert api.get(path).status_code in (400, 404), path
        api.get(f"/i/{code.replace('-', '')}")
        raw = f'{{"phone": "{unknown}", "phone": "{code}"'.encode()
        answer = api.http.post(
            "/v1/verifications",
            data=raw,
            headers={"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"},
        )
        api.refusals.append(answer.data)
        stranger = Recorder(http=api.http, key=api.key + "x", client_id="")
        no(stranger.get("/v1/members"), 401, "unauthenticated")
        api.refusals.extend(stranger.refusals)

    def _leave_a_dead_letter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        phone, world = self.phone(), self.world
        kept: list[OutgoingMessage] = []

        def fail(_: Inbox, message: OutgoingMessage) -> None:
            kept.append(message)
            kind = FailureKind.UNAVAILABLE
            raise ProviderFailure(kind=kind, provider="inbox", provider_code="503", plain=PLAIN_WORDS[kind])

        world.inbox()  # what waited before goes out
        with monkeypatch.context() as patch:
            patch.setattr(Inbox, "send", fail)
            sms(self.api, self.inviter.id, phone)
            for _ in range(8):
                while world.worker.deliver():
                    pass
                world.clock.advance(10 * MINUTE)
        dead = world.query(world.services.endings.dead_letters)
        assert [row.kind for row in dead] == ["invite"]
        self.canaries.add_dashed("invite code", kept[0].body.rpartition(" ")[2])

    def explode(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bug of ours, whose message quotes what it should not."""
        phone = PHONES[0][0]

        def broken(*_: object, **__: object) -> None:
            raise ValueError(f"cannot handle {phone}")

        with monkeypatch.context() as patch:
            patch.setattr(type(self.world.services.members), "page", broken)
            no(self.api.get("/v1/members"), 500, "internal")


def _said_by_commands(world: World) -> dict[str, bytes]:
    """What the command line shows to an operator."""
    environment = {"IDENTITY_DATABASE_URL": world.settings.database_url}
    said = {}
    for words in (("doctor",), ("messages", "dead"), ("audit", "tail"), ("audit", "tail", "--json")):
        result = CliRunner().invoke(identity, words, env=environment, prog_name="identity")
        assert result.output, (words, result.exception)
        said[f"identity {' '.join(words)}"] = result.output.encode()
    return said


@pytest.fixture
def journey(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Journey, io.StringIO]]:
    made = Journey(world)
    with logs.caught("INFO") as stream:
        made.run(monkeypatch)
        made.explode(monkeypatch)
        yield made, stream


def test_no_number_code_key_or_token_is_kept_or_said_in_clear(journey: tuple[Journey, io.StringIO]) -> None:
    made, stream = journey
    world, canaries = made.world, made.canaries
    assert len(canaries.texts) > 100
    assert len(canaries.digits) >= 4
    said = {
        "the log": stream.getvalue().encode(),
        "the refusals": b"\n".join(made.api.refusals),
        "the metrics": world.app.test_client().get("/metrics").data,
        **_said_by_commands(world),
    }
    assert len(made.api.refusals) > 20
    assert said["the log"].count(b'"event": "request"') > 40
    assert b"message_failed" in said["the log"]
    assert b"identity_requests_total" in said["the metrics"]
    assert found(canaries, said | tables(world) | raw_store(world)) == []


def test_after_everything_has_expired_nothing_is_found_either(journey: tuple[Journey, io.StringIO]) -> None:
    made, _ = journey
    world = made.world
    for _ in range(3):
        world.clock.advance(15 * DAY)
        world.work()
    assert found(made.canaries, tables(world) | raw_store(world)) == []


def test_codes_that_are_over_are_not_even_kept_sealed(journey: tuple[Journey, io.StringIO]) -> None:
    made, _ = journey
    world = made.world
    world.clock.advance(HOUR)
    world.work()
    hay = tables(world)
    assert set(hay["verifications.sealed_code"].split(b"\n")) == {b"None"}


# -- would the search find anything? -------------------------------------------------------------------

_PLANTS: dict[str, Callable[[str], str]] = {
    "clear": str,
    "inside": lambda value: f"to {value}, twice",
    "hex": lambda value: value.encode().hex(),
    "upper hex": lambda value: value.encode().hex().upper(),
    "base64": lambda value: _base64(value, 0),
    "base64, shifted by one": lambda value: _base64(value, 1),
    "base64, shifted by two": lambda value: _base64(value, 2),
    "JSON": lambda value: jsonlib.dumps({"phone": value}),
}


def _base64(value: str, shift: int) -> str:
    return base64.b64encode(b"?" * shift + value.encode() + b"!!").decode()


@pytest.mark.parametrize("plant", _PLANTS)
def test_the_search_finds_what_was_planted_in_any_encoding(plant: str) -> None:
    canaries = Canaries()
    canaries.add_phone("+79037412958", "9037412958")
    canaries.add_otp("271828")
    canaries.add_dashed("invite code", "7KQ4M-2XD9P-TA3HK")
    for value in ("+79037412958", "9037412958", "271828", "7KQ4M-2XD9P-TA3HK", "7kq4m2xd9pta3hk"):
        assert found(canaries, {"here": b"\x00\x01" + _PLANTS[plant](value).encode() + b"\xff"}), value
    assert found(canaries, {"here": b"1795000000271828 at 79037412 7KQ4M"}) == []
    assert found(canaries, {"here": b"\x12" + (79037412958).to_bytes(6) + b"\x00"})


def test_the_search_finds_a_number_planted_in_a_table_and_in_the_store_itself(world: World) -> None:
    journey = Journey(world)
    seed = world.seed(quota=1)
    world.join(journey.api, seed.id)
    world.worker.step()
    hay = tables(world)
    assert found(journey.canaries, hay | raw_store(world)) == []
    for at, value in enumerate(("+79037412958", b"79037412958".hex())):
        world.transact(
            lambda tx, n=at, v=value: tx.change(marks.insert().values(name=f"plant{n}", value=n, text=v))
        )
        assert [f for f in found(journey.canaries, tables(world)) if "marks.text" in f]
        assert found(journey.canaries, raw_store(world))
        world.transact(lambda tx: tx.change(marks.update().values(text="gone")))
    number = marks.insert().values(name="number", value=79037412958)
    world.transact(lambda tx: tx.change(number))
    assert found(journey.canaries, tables(world))
    assert found(journey.canaries, raw_store(world))
