"""Keys change while two processes serve, for every purpose, and nothing stops working."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from identity_service.crypto import Hasher, KeyState, Purpose, dump_keys, fresh_keys
from identity_service.db import tables
from identity_service.errors import Refused
from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from identity_service.services.imports import Newcomer
from identity_service.services.rotation import BATCH
from sms.numbers import parse
from tests.service.steps import Body, check, link, no, ok, sms, start
from tests.support.world import Api, World

NewWorld = Callable[..., World]


def _settle() -> None:
    """Wait until every process has looked at the keyring again."""
    time.sleep(0.7)


def _as_seen_by(world: World, api: Api) -> Api:
    return Api(http=world.app.test_client(), key=api.key, client_id=api.client_id)


@dataclass
class _Made:
    """Things made under the keys of before, each of which must go on working."""

    member: Body
    phone: str
    link_code: str
    sms_code: str
    sms_phone: str
    pending: str
    otp: str
    proof: str
    stored: tuple[Body, bytes]

    @classmethod
    def make(cls, world: World, api: Api, key: str) -> _Made:
        phone, invited, running = world.phone(), world.phone(), world.phone()
        seed = world.seed(quota=9)
        member = world.join(api, seed.id, phone)
        sms(api, seed.id, invited)
        world.seed(phone=running)
        pending = start(api, running)["id"]
        body = {"issuer_id": seed.id, "channel": "link"}
        stored = api.post("/v1/invites", body, headers={"Idempotency-Key": key}).data
        return cls(
            member=member,
            phone=phone,
            link_code=link(api, seed.id)["code"],
            sms_code=world.invite_code(invited),
            sms_phone=invited,
            pending=pending,
            otp=world.otp(running),
            proof=world.verify(api, phone, "login"),
            stored=(body, stored),
        )

    def use(self, world: World, api: Api, key: str) -> None:
        """Use each once, on the given process."""
        here = _as_seen_by(world, api)
        ok(here.post("/v1/logins", {"proof": self.proof}))
        ok(check(here, self.pending, self.otp))
        ok(here.post("/v1/registrations", {"invite_code": self.sms_code, "phone": self.sms_phone}), 201)
        again = here.post("/v1/invites", self.stored[0], headers={"Idempotency-Key": key})
        assert (again.data, again.headers["Idempotency-Replayed"]) == (self.stored[1], "true")
        self.use_what_lasts(world, api)

    def use_what_lasts(self, world: World, api: Api) -> None:
        """The number, the device, the invite code: what is still good days later."""
        here = _as_seen_by(world, api)
        assert ok(here.post("/v1/members/lookup", {"phone": self.phone}))["id"] == self.member["member"]["id"]
        proof = world.verify(here, self.phone, "registration", invite_code=self.link_code)
        no(
            here.post("/v1/registrations", {"invite_code": self.link_code, "proof": proof}),
            409,
            "phone_taken",
        )
        known = start(here, self.phone, device_token=self.member["device_token"])
        token = ok(check(here, known["id"], world.otp(self.phone)))["proof"]
        ok(here.post("/v1/logins", {"proof": token}))


def _move_everything(world: World) -> None:
    rotation = world.services.rotation
    place: str | None = ""
    while place is not None:
        place = world.transact(lambda tx, at=place: rotation.move_sealed(tx, at))
    hasher = Hasher(world.services.keyring, Purpose.PHONE_LOOKUP)
    after: str | None = ""
    while after is not None:
        after = world.transact(lambda tx, at=after: rotation.move_index(tx, at, hasher))


def _retiring(world: World, purpose: Purpose) -> str:
    keys = world.services.keyring.live(purpose)
    return next(key.id for key in keys if key.state is KeyState.RETIRING)


def test_every_purpose_rotates_live(new_world: NewWorld) -> None:
    one, two = new_world(), new_world()
    rotation = one.services.rotation
    api = one.api()
    in_between, lasting = _Made.make(one, api, "k1"), _Made.make(one, api, "k2")
    before = {purpose: one.services.keyring.current(purpose).id for purpose in Purpose}

    for purpose in Purpose:
        one.transact(lambda tx, p=purpose: rotation.start(tx, p))
        with pytest.raises(Refused, match="rotation_running"):
            one.transact(lambda tx, p=purpose: rotation.start(tx, p))
    _settle()
    assert two.services.keyring.all() == one.services.keyring.all()
    in_between.use(two, api, "k1")

    with pytest.raises(Refused, match="key_in_use"):  # the index is not complete yet
        one.transact(lambda tx: rotation.promote(tx, Purpose.PHONE_LOOKUP))
    for purpose in (Purpose.SEAL, Purpose.CODE_HASH, Purpose.SIGNING, Purpose.ASSERTION):
        with pytest.raises(Refused, match="key_in_use"):
            one.transact(lambda tx, p=purpose: rotation.retire(tx, _retiring(one, p)))
    _move_everything(one)
    one.transact(lambda tx: rotation.promote(tx, Purpose.PHONE_LOOKUP))
    _settle()

    for world in (one, two):
        world.clock.advance(DAY + HOUR)
    one.work()
    for purpose in (Purpose.SEAL, Purpose.PHONE_LOOKUP, Purpose.SIGNING, Purpose.ASSERTION):
        _move_everything(one)  # what was made in the last second by a process that had not looked yet
        one.transact(lambda tx, p=purpose: rotation.retire(tx, _retiring(one, p)))
    _settle()
    live = {key.id for key in two.services.keyring.all()}
    assert live & set(before.values()) == {before[Purpose.CODE_HASH]}
    lasting.use_what_lasts(two, api)
    no(two.app.test_client().get("/v1/members"), 401, "unauthenticated")


def test_dropping_the_old_code_key_by_force_ends_what_was_made_with_it(new_world: NewWorld) -> None:
    world = new_world()
    rotation, old = world.services.rotation, world.api()
    seed = world.seed(quota=2)
    before = link(old, seed.id)["code"]
    world.clock.advance(SECOND)
    world.transact(lambda tx: rotation.start(tx, Purpose.CODE_HASH))
    world.clock.advance(MINUTE)
    new = world.api()
    after = link(new, seed.id)["code"]
    world.transact(lambda tx: rotation.retire(tx, _retiring(world, Purpose.CODE_HASH), force=True))
    _settle()
    assert ok(new.post("/v1/invites/lookup", {"code": after}))["redeemable"]
    assert not ok(new.post("/v1/invites/lookup", {"code": before}))["redeemable"]
    no(old.get("/v1/members"), 401, "unauthenticated")


def test_a_current_key_cannot_be_dropped_and_an_unknown_one_not_be_found(world: World) -> None:
    rotation, keyring = world.services.rotation, world.services.keyring
    for key_id, code in ((keyring.current(Purpose.SEAL).id, "key_in_use"), ("seal-none", "not_found")):
        with pytest.raises(Refused, match=code):
            world.transact(lambda tx, k=key_id: rotation.retire(tx, k, force=True))
    with pytest.raises(Refused, match="rotation_not_running"):
        world.transact(lambda tx: rotation.promote(tx, Purpose.PHONE_LOOKUP))


def test_keys_that_the_environment_holds_cannot_be_rotated_from_inside(new_world: NewWorld) -> None:
    from pydantic import SecretStr

    settings: dict[str, Any] = {"keyring": SecretStr(dump_keys(fresh_keys(0)))}
    world = new_world(**settings)
    with pytest.raises(Refused, match="keyring_fixed"):
        world.transact(lambda tx: world.services.rotation.start(tx, Purpose.SEAL))


def test_a_rotation_is_written_into_the_audit_without_any_key(world: World) -> None:
    key = world.transact(lambda tx: world.services.rotation.start(tx, Purpose.SEAL))
    told = world.query(lambda tx: world.services.journal.about(tx, "keyring"))
    assert [row.type for row in told] == ["keys.changed"]
    assert key.id in told[0].data
    assert key.secret.hex() not in told[0].data


def test_each_value_is_sealed_again_once_however_many_there_are(world: World) -> None:
    """Every batch goes on behind the one before: the work grows with the number of values, not its square."""
    rotation, phones, count = world.services.rotation, world.services.phones, 2 * BATCH + 7
    numbers = [parse(f"+7916{n:07d}") for n in range(count)]
    tree = [Newcomer(external_id=number.e164, joined_at=0, number=number) for number in numbers]
    world.transact(lambda tx: world.services.imports.bring(tx, tree, "imp_x"))
    old = world.services.keyring.current(Purpose.SEAL).id
    world.transact(lambda tx: rotation.start(tx, Purpose.SEAL))

    def left() -> int:
        found: int = world.query(lambda tx: rotation._sealed_with(tx, tables.phones.c.sealed, old))
        return found

    seen, place = [left()], ""
    for _ in range(3):
        place = world.transact(lambda tx, at=place: rotation.move_sealed(tx, at))
        seen.append(left())
    assert seen == [count, count - BATCH, count - 2 * BATCH, 0]
    found = world.query(lambda tx: phones.find_many(tx, numbers))
    opened = world.query(lambda tx: phones.number(tx, found[numbers[-1].e164].id))
    assert opened == (numbers[-1].e164, "RU")
