"""What stands before a verification: addresses, the breaker with its proof of work, and the invite's hold."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from identity_service.db.tables import invites
from identity_service.ports import HOUR, MINUTE, SECOND
from tests.service.steps import (
    campaign_link,
    check,
    link,
    messages_to,
    no,
    ok,
    policy_with,
    solve,
    start,
    stop_clock,
)
from tests.support.world import Api, World

NewWorld = Callable[..., World]


def test_starts_from_one_address_are_limited_where_the_caller_tells_it(new_world: NewWorld) -> None:
    world = new_world(policy_file=policy_with(starts_an_ip_an_hour="3"))
    api = world.api()
    for _ in range(3):
        start(api, world.phone(), client_ip="192.0.2.7")
    body = {"purpose": "login", "phone": world.phone(), "client_ip": "::ffff:192.0.2.7"}
    no(api.post("/v1/verifications", body), 429, "ip_budget_spent")
    start(api, world.phone(), client_ip="192.0.2.8")
    start(api, world.phone())
    world.clock.advance(HOUR + SECOND)
    ok(api.post("/v1/verifications", body), 202)


def test_one_households_ipv6_network_counts_as_one_address(new_world: NewWorld) -> None:
    world = new_world(policy_file=policy_with(starts_an_ip_an_hour="2"))
    api = world.api()
    for host in ("1", "2"):
        start(api, world.phone(), client_ip=f"2001:db8:1:2::{host}")
    body = {"purpose": "login", "phone": world.phone(), "client_ip": "2001:db8:1:2:ffff::3"}
    no(api.post("/v1/verifications", body), 429, "ip_budget_spent")
    start(api, world.phone(), client_ip="2001:db8:1:3::1")


# -- the breaker -----------------------------------------------------------------------------------------


def _break(world: World, api: Api) -> None:
    """Exhaust one verification: enough for a breaker of one."""
    made = start(api, world.phone())
    for _ in range(5):
        no(check(api, made["id"], "000000"), 422, "code_incorrect")


def _broken(new_world: NewWorld) -> World:
    return new_world(policy_file=policy_with(wrong_guesses_an_hour_break="5"))


def test_the_breaker_asks_for_work_and_a_solution_passes_once(new_world: NewWorld) -> None:
    world = _broken(new_world)
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    start(api, world.phone())
    _break(world, api)
    body = {"purpose": "login", "phone": phone}
    challenge = no(api.post("/v1/verifications", body), 403, "proof_of_work_required")["challenge"]
    assert messages_to(world, phone) == []
    solved = solve(challenge)
    start(api, phone, altcha=solved)
    assert len(messages_to(world, phone)) == 1
    again = no(
        api.post("/v1/verifications", {"purpose": "login", "phone": world.phone(), "altcha": solved}),
        403,
        "proof_of_work_required",
    )
    start(api, world.phone(), altcha=solve(again["challenge"]))


def test_work_that_is_forged_or_unsolved_does_not_pass_and_breaks_nothing(new_world: NewWorld) -> None:
    world = _broken(new_world)
    api = world.api()
    _break(world, api)
    body = {"purpose": "login", "phone": world.phone()}
    challenge = no(api.post("/v1/verifications", body), 403, "proof_of_work_required")["challenge"]
    easier = json.loads(json.dumps(challenge))
    easier["parameters"]["cost"] = 1
    easier["parameters"]["keyPrefix"] = "00"

    def pack(value: Any) -> str:
        return base64.b64encode(json.dumps(value).encode()).decode()

    oddities: list[Any] = [
        [],
        {},
        1,
        None,
        {"challenge": [], "solution": []},
        {"challenge": "x", "solution": 1},
    ]
    hostile: list[str] = [
        solve(easier),
        pack({"challenge": challenge, "solution": {"counter": 0, "derivedKey": "00"}}),
        *(pack(value) for value in oddities),
        pack({"challenge": {"parameters": 1, "signature": 1}, "solution": {}}),
        pack(
            {
                "challenge": {"parameters": {"nonce": 1, "salt": [], "expiresAt": "x"}, "signature": "x"},
                "solution": {},
            }
        ),
        "not base64!",
        "é",
        "A" * 4096,
        base64.b64encode(b"[" * 3000).decode(),
        base64.b64encode(b"\xff\xfe").decode(),
    ]
    for payload in hostile:
        no(api.post("/v1/verifications", body | {"altcha": payload}), 403, "proof_of_work_required")


def test_the_breaker_never_refuses_a_known_device(new_world: NewWorld) -> None:
    world = _broken(new_world)
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    device = world.join(api, seed.id, phone)["device_token"]
    _break(world, api)
    no(api.post("/v1/verifications", {"purpose": "login", "phone": phone}), 403, "proof_of_work_required")
    start(api, phone, device_token=device)


def test_the_breaker_closes_again_after_a_quiet_hour(new_world: NewWorld) -> None:
    world = _broken(new_world)
    api, phone = world.api(), world.phone()
    _break(world, api)
    no(api.post("/v1/verifications", {"purpose": "login", "phone": phone}), 403, "proof_of_work_required")
    world.clock.advance(HOUR + MINUTE)
    start(api, phone)


# -- the hold ----------------------------------------------------------------------------------------------


def _counts(world: World, invite_id: str) -> tuple[int, int, int]:
    query = select(invites.c.uses, invites.c.held, invites.c.starts).where(invites.c.id == invite_id)
    row = world.query(lambda tx: tx.select(query))[0]
    return row.uses, row.held, row.starts


def _register(api: Api, code: str, phone: str) -> Any:
    return api.post("/v1/verifications", {"purpose": "registration", "phone": phone, "invite_code": code})


def test_a_use_is_held_for_one_phone_while_it_is_verified(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    invite = link(api, seed.id)
    ok(_register(api, invite["code"], world.phone()), 202)
    late = world.phone()
    no(_register(api, invite["code"], late), 422, "invite_not_redeemable")
    assert messages_to(world, late) == []
    assert _counts(world, invite["id"]) == (0, 1, 1)
    assert ok(api.post("/v1/invites/lookup", {"code": invite["code"]}))["redeemable"] is False


def test_a_hold_ends_when_the_guesses_are_spent(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    invite = link(api, seed.id)
    made = ok(_register(api, invite["code"], world.phone()), 202)
    for _ in range(5):
        no(check(api, made["id"], "00000000"), 422, "code_incorrect")
    assert _counts(world, invite["id"]) == (0, 0, 1)
    ok(_register(api, invite["code"], world.phone()), 202)


@pytest.mark.parametrize("swept", [True, False])
def test_a_hold_ends_when_its_time_is_over(world: World, swept: bool) -> None:
    api, seed = world.api(), world.seed(quota=1)
    invite = link(api, seed.id)
    ok(_register(api, invite["code"], world.phone()), 202)
    world.clock.advance(30 * MINUTE + SECOND)
    if swept:
        world.work()
        assert _counts(world, invite["id"]) == (0, 0, 1)
    joined = world.phone()
    proof = world.verify(api, joined, "registration", invite_code=invite["code"])
    ok(api.post("/v1/registrations", {"invite_code": invite["code"], "proof": proof}), 201)
    assert _counts(world, invite["id"])[:2] == (1, 0)


def test_the_same_phone_takes_over_its_own_hold_after_the_cool_down(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    invite = link(api, seed.id)
    ok(_register(api, invite["code"], phone), 202)
    no(_register(api, invite["code"], phone), 429, "send_cooldown")
    assert _counts(world, invite["id"]) == (0, 1, 1)  # what was refused counts as no start
    world.clock.advance(31 * SECOND)
    proof = world.verify(api, phone, "registration", invite_code=invite["code"])
    assert _counts(world, invite["id"]) == (0, 1, 2)
    ok(api.post("/v1/registrations", {"invite_code": invite["code"], "proof": proof}), 201)
    assert _counts(world, invite["id"]) == (1, 0, 2)


def test_guesses_spent_on_an_older_code_do_not_end_the_hold_that_a_newer_one_uses(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    invite = link(api, seed.id)
    older = ok(_register(api, invite["code"], phone), 202)
    world.clock.advance(31 * SECOND)
    newer = ok(_register(api, invite["code"], phone), 202)
    code = world.otp(phone)
    for _ in range(5):
        no(check(api, older["id"], "00000000"), 422, "code_incorrect")
    proof = ok(check(api, newer["id"], code))["proof"]
    ok(api.post("/v1/registrations", {"invite_code": invite["code"], "proof": proof}), 201)


def test_a_code_starts_a_bounded_number_of_verifications_in_its_life(world: World) -> None:
    api, phone = world.api(), world.phone()
    stop_clock(world)
    invite = campaign_link(api, max_uses=2)
    for turn in range(7):  # 3 + 2 * max_uses
        ok(_register(api, invite["code"], phone if turn < 3 else world.phone()), 202)
        world.clock.advance(31 * MINUTE)
    problem = no(_register(api, invite["code"], world.phone()), 422, "invite_not_redeemable")
    assert "errors" not in problem
    assert _counts(world, invite["id"])[2] == 7


def test_a_hold_of_a_multi_use_invite_leaves_the_other_uses_free(world: World) -> None:
    api, seed = world.api(), world.seed(quota=3)
    invite = link(api, seed.id, max_uses=3)
    for _ in range(3):
        ok(_register(api, invite["code"], world.phone()), 202)
    no(_register(api, invite["code"], world.phone()), 422, "invite_not_redeemable")
    assert _counts(world, invite["id"]) == (0, 3, 3)
