"""One phone, one external id, one recovery code, one standing: what a member can have only once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from identity_service.errors import Refused
from identity_service.ports import DAY, MINUTE, SECOND
from tests.races.contenders import Answer, Request, contend, contend_with, race, tally
from tests.races.soundness import number
from tests.support.world import LONG_AGO, OPERATOR, Api, World

pytestmark = pytest.mark.race


def post_when_allowed(world: World, api: Api, path: str, body: dict[str, Any]) -> Any:
    """Call again as often as the refusals say that it may succeed; the answer's body."""
    while True:
        answer = api.post(path, body)
        if answer.status_code != 429:
            assert answer.status_code < 300, answer.text
            return answer.json
        world.clock.advance(int(answer.headers["Retry-After"]) * SECOND)


def test_one_phone_invited_by_20_codes_becomes_one_member(world: World) -> None:
    """Attack: one person, many invites: as many accounts as friends, if two registrations of a phone can
    both find it free. The unique constraint decides, and the losers' codes stay good for others."""
    api, phone = world.api(), world.phone()
    codes = []
    for _ in range(20):
        invite = {"issuer_id": world.seed(quota=1).id, "channel": "sms", "phone": phone}
        post_when_allowed(world, api, "/v1/invites", invite)
        codes.append(world.invite_code(phone))
    requests = [
        Request(api=api, path="/v1/registrations", json={"invite_code": code, "phone": phone})
        for code in codes
    ]
    assert tally(contend(world, requests)) == {"201": 1, "409 phone_taken": 19}
    assert number(world, "SELECT count(*) FROM members WHERE invite_id IS NOT NULL") == 1
    assert number(world, "SELECT count(*) FROM invites WHERE state = 'redeemed'") == 1
    assert number(world, "SELECT count(*) FROM invites WHERE state = 'open' AND uses + held = 0") == 19


def test_one_phone_with_five_proofs_becomes_one_member_and_frees_the_other_holds(world: World) -> None:
    """Fault: who loses the race for a phone keeps its hold, and a good code is dead for half an hour."""
    api, phone = world.api(), world.phone()
    registrations = []
    for _ in range(5):
        invite = {"issuer_id": world.seed(quota=1).id, "channel": "link"}
        code = api.post("/v1/invites", invite).json["code"]  # type: ignore[index]
        body = {"purpose": "registration", "phone": phone, "invite_code": code}
        started = post_when_allowed(world, api, "/v1/verifications", body)
        checked = api.post(f"/v1/verifications/{started['id']}/check", {"code": world.otp(phone)})
        proof = checked.json["proof"]  # type: ignore[index]
        body = {"invite_code": code, "proof": proof}
        registrations.append(Request(api=api, path="/v1/registrations", json=body))
    assert number(world, "SELECT sum(held) FROM invites") == 5
    assert tally(contend(world, registrations)) == {"201": 1, "409 phone_taken": 4}
    assert number(world, "SELECT sum(uses) FROM invites") == 1
    assert number(world, "SELECT sum(held) FROM invites") == 0
    others = "SELECT count(*) FROM invites WHERE state = 'open' AND uses + held = 0"
    assert number(world, others) == 4


def test_one_external_id_becomes_one_member_and_costs_the_losers_nothing(world: World) -> None:
    """Fault: two sign-ups of one account of the calling service. The loser may go on under another id."""
    api, issuer = world.api(), world.seed(quota=20)
    requests = []
    for _ in range(20):
        code = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "link"}).json["code"]  # type: ignore[index]
        proof = world.verify(api, world.phone(), "registration", invite_code=code)
        body = {"invite_code": code, "proof": proof, "external_id": "account-1"}
        requests.append(Request(api=api, path="/v1/registrations", json=body))
    answers = contend(world, requests)
    assert tally(answers) == {"201": 1, "409 external_id_taken": 19}
    assert number(world, "SELECT sum(uses) FROM invites") == 1
    assert number(world, "SELECT sum(held) FROM invites") == 19
    losers = [one.json for one, answer in zip(requests, answers, strict=True) if answer.status == 409]
    again = [
        Request(api=api, path="/v1/registrations", json=body | {"external_id": f"account-{turn + 2}"})
        for turn, body in enumerate(losers)
    ]
    assert tally(contend(world, again)) == {"201": 19}


def dormant_member(world: World, api: Api) -> tuple[str, list[str]]:
    """A member who was away for long: its phone and recovery codes."""
    phone = world.phone()
    joined = world.join(api, world.seed(quota=1).id, phone)
    world.clock.advance(LONG_AGO)
    return phone, joined["recovery_codes"]


def test_one_recovery_code_releases_one_recovery_once(world: World) -> None:
    """Attack: one leaked recovery code, sent many times at once, for as many assertions."""
    api = world.api()
    phone, codes = dormant_member(world, api)
    held = api.post("/v1/recoveries", {"proof": world.verify(api, phone, "recovery")})
    assert (held.status_code, held.json["state"]) == (201, "held")  # type: ignore[index]
    path = f"/v1/recoveries/{held.json['id']}/recovery-code"  # type: ignore[index]
    answers = contend(world, [Request(api=api, path=path, json={"code": codes[0]})] * 20)
    outcomes = tally(answers)
    assert outcomes["200"] == 1
    assert outcomes.keys() <= {"200", "409 recovery_over", "422 recovery_code_incorrect"}
    assert sum("assertion" in answer.body for answer in answers) == 1
    assert number(world, "SELECT used_mask FROM recovery_codes") == 1
    assert number(world, "SELECT count(*) FROM recoveries WHERE state = 'granted'") == 1


def test_eight_recovery_codes_at_once_spend_one(world: World) -> None:
    """Fault: a user who pastes the whole list. One code opens the account, the other seven stay."""
    api = world.api()
    phone, codes = dormant_member(world, api)
    held = api.post("/v1/recoveries", {"proof": world.verify(api, phone, "recovery")})
    path = f"/v1/recoveries/{held.json['id']}/recovery-code"  # type: ignore[index]
    outcomes = tally(contend(world, [Request(api=api, path=path, json={"code": code}) for code in codes]))
    assert outcomes == {"200": 1, "409 recovery_over": 7}
    mask = number(world, "SELECT used_mask FROM recovery_codes")
    assert mask.bit_count() == 1


def test_several_proofs_of_one_dormant_member_open_one_held_recovery(world: World) -> None:
    """Attack: opening a second recovery beside the vetoed or watched one. One is open a member."""
    api = world.api()
    phone, _ = dormant_member(world, api)
    proofs = []
    for wait in (0, 1, 1, 1):
        world.clock.advance(wait * MINUTE)
        proofs.append(world.verify(api, phone, "recovery"))
    requests = [Request(api=api, path="/v1/recoveries", json={"proof": proof}) for proof in proofs]
    answers = contend(world, requests * 4)
    assert tally(answers) == {"201": 4, "409 proof_consumed": 12}
    assert len({answer.body["id"] for answer in answers if answer.status == 201}) == 1
    assert number(world, "SELECT count(*) FROM recoveries") == 1


def sanction(api: Api, member: str, action: str) -> Request:
    body = {"action": action, "reason_code": "spam", "explanation": "Many of your invitees sent spam."}
    return Request(api=api, path=f"/v1/members/{member}/sanctions", json=body)


def lift(api: Api, answer: Answer) -> Request:
    path = f"/v1/sanctions/{answer.body['id']}/lift"
    return Request(api=api, path=path, json={"explanation": "Appeal upheld."})


def standing(world: World, member: str) -> tuple[str, int]:
    row = f"FROM members WHERE id = '{member}'"
    banned = number(world, f"SELECT count(*) {row} AND state = 'banned'")
    suspended = number(world, f"SELECT count(*) {row} AND state = 'suspended'")
    state = "banned" if banned else "suspended" if suspended else "active"
    return state, number(world, f"SELECT invites_frozen {row}")


def test_a_members_state_is_what_its_sanctions_amount_to_whatever_the_order(world: World) -> None:
    """Fault: two moderators at once; the one who reads before and writes after undoes the other's ban."""
    api, member = world.api(), world.seed().id
    wanted = ["ban", "suspend", "freeze_invites", "freeze_invites", "warn"] * 2
    imposed = contend(world, [sanction(api, member, action) for action in wanted])
    assert tally(imposed) == {"201": 10}
    assert standing(world, member) == ("banned", 4)
    bans, others = ([a for a in imposed if (a.body["action"] == "ban") is is_ban] for is_ban in (True, False))
    lifted = contend(world, [lift(api, answer) for answer in bans * 4])
    assert tally(lifted) == {"200": 8}
    assert standing(world, member) == ("suspended", 4)
    # All the rest is lifted while a new ban comes in: whatever the order, the ban alone remains.
    mixed = contend(world, [*[lift(api, answer) for answer in others], sanction(api, member, "ban")])
    assert tally(mixed) == {"200": 8, "201": 1}
    assert standing(world, member) == ("banned", 0)
    contend(world, [lift(api, mixed[-1])] * 8)
    assert standing(world, member) == ("active", 0)
    told = "SELECT count(*) FROM journal WHERE type = 'sanction.lifted'"
    assert number(world, told) == 11


def test_a_sanction_that_ends_by_itself_while_another_begins_leaves_the_other(world: World) -> None:
    """Fault: the worker's sweep reads the sanctions in force just before a moderator adds one."""
    api, members = world.api(), [world.seed().id for _ in range(8)]
    ends = "2030-01-01T00:00:00Z"
    for member in members:
        body = sanction(api, member, "suspend").json | {"expires_at": ends}
        assert api.post(f"/v1/members/{member}/sanctions", body).status_code == 201
    world.clock.advance(number(world, "SELECT max(expires_at) FROM sanctions") - world.clock.now() + DAY)
    freezes = [sanction(api, member, "freeze_invites") for member in members]
    assert tally(contend_with(world, freezes, world.worker.housekeep, world.worker.housekeep)) == {"201": 8}
    world.worker.housekeep()
    assert {standing(world, member) for member in members} == {("active", 1)}


def test_two_rotations_of_a_key_at_once_leave_two_live_keys(world: World) -> None:
    """Fault: both count the keys before either has made its own, and a client ends up with three."""
    clients, store = world.services.clients, world.services.store
    store.transact(OPERATOR, lambda tx: clients.create(tx, "shop", ("members:read",)))

    def rotate() -> str:
        try:
            store.transact(OPERATOR, lambda tx: clients.rotate(tx, "shop", overlap=DAY))
        except Refused as refused:
            return refused.code
        return "made"

    assert Counter(race([rotate] * 8)) == {"made": 1, "too_many_keys": 7}
    assert (
        number(
            world,
            "SELECT count(*) FROM api_keys k JOIN clients c ON c.id = k.client_id"
            " WHERE c.name = 'shop' AND k.revoked_at IS NULL",
        )
        == 2
    )
