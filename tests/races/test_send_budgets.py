"""What messages may cost: one phone's sends, lane by lane, and one member's, raced."""

from __future__ import annotations

import pytest

from identity_service.ports import DAY, HOUR, SECOND
from tests.races.contenders import Answer, Request, contend, tally
from tests.races.soundness import number
from tests.support.world import Api, World

pytestmark = pytest.mark.race


def wave(world: World, api: Api, phone: str, size: int = 20, **more: str) -> list[Answer]:
    """Ask many times at once for a login code to one phone."""
    body = {"purpose": "login", "phone": phone} | more
    return contend(world, [Request(api=api, path="/v1/verifications", json=body)] * size)


def come_back_when_told(world: World, answers: list[Answer]) -> int:
    """Move the clock by the `Retry-After` of the refusals; how many seconds that was."""
    wait = max(int(answer.headers["Retry-After"]) for answer in answers if answer.status == 429)
    world.clock.advance(wait * SECOND)
    return wait


def test_20_starts_for_one_phone_at_once_send_one_message(world: World) -> None:
    """Attack: SMS bombing, parallel so that every request sees a phone that nothing was sent to yet."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    assert tally(wave(world, api, phone)) == {"202": 1, "429 send_cooldown": 19}
    assert len(world.inbox(phone)) == 1
    assert number(world, "SELECT step FROM cooldowns") == 1


def test_a_phone_gets_five_messages_a_day_and_then_one_in_six_hours(world: World) -> None:
    """Attack: a patient bomber who comes back exactly when each refusal says, twenty abreast.

    The trickle keeps the owner from being locked out by whoever burnt the day's five.
    """
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    waits = []
    for _ in range(5):
        answers = wave(world, api, phone)
        assert tally(answers)["202"] == 1
        assert {answer.status for answer in answers} == {202, 429}
        waits.append(come_back_when_told(world, answers))
    assert [round(wait, -1) for wait in waits] == [30, 60, 120, 240, 480], "the cool-down doubles"
    answers = wave(world, api, phone)
    assert tally(answers) == {"202": 1, "429 send_cooldown": 19}, "the trickle lets one through"
    come_back_when_told(world, answers)
    answers = wave(world, api, phone)
    assert tally(answers) == {"429 send_budget_spent": 20}
    wait = come_back_when_told(world, answers)
    assert wait < 6 * HOUR // SECOND
    assert tally(wave(world, api, phone))["202"] == 1
    assert number(world, "SELECT count(*) FROM messages WHERE kind = 'otp'") == 7
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane = 'send.anonymous'") == 5
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane = 'send.anonymous.trickle'") == 2


def spend_the_anonymous_lane(world: World, api: Api, phone: str) -> None:
    while True:
        answers = wave(world, api, phone, 4)
        if tally(answers)["429 send_budget_spent"]:
            return
        come_back_when_told(world, answers)


def test_lanes_are_independent(world: World) -> None:
    """Attack: burning a stranger's budget, so that the owner's device and an inviter get nothing through."""
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    device = world.join(api, seed.id, phone)["device_token"]
    world.clock.advance(2 * DAY)
    spend_the_anonymous_lane(world, api, phone)
    owner = wave(world, api, phone, device_token=device)
    assert tally(owner) == {"202": 1, "429 send_cooldown": 19}, "the owner's device has a lane of its own"

    friend = world.phone()
    world.grant(seed.id, 20)
    spend_the_anonymous_lane(world, api, friend)
    invite = {"issuer_id": seed.id, "channel": "sms", "phone": friend}
    answers = contend(world, [Request(api=api, path="/v1/invites", json=invite)] * 20)
    assert tally(answers) == {"201": 1, "429 send_cooldown": 19}, "so has an inviter"


def test_a_phone_that_nobody_owns_meets_the_same_limits(world: World) -> None:
    """Attack: telling members from strangers by the limits. The decoy runs the same statements."""
    api, stranger, owned = world.api(), world.phone(), world.phone()
    world.seed(phone=owned)
    for _ in range(3):
        of_stranger, of_owner = wave(world, api, stranger), wave(world, api, owned)
        assert tally(of_stranger) == tally(of_owner) == {"202": 1, "429 send_cooldown": 19}
        come_back_when_told(world, of_stranger)
    assert world.inbox(stranger) == []
    assert number(world, "SELECT count(*) FROM messages WHERE state = 'withheld'") == 3


def test_a_members_day_of_sms_invites_ends_and_no_revocation_gives_it_back(world: World) -> None:
    """Attack: the pump. Invite by SMS, revoke, get the quota back, invite again; the carrier pays a share."""
    api, issuer = world.api(), world.seed(quota=60)

    def invite_30() -> list[Answer]:
        bodies = [{"issuer_id": issuer.id, "channel": "sms", "phone": world.phone()} for _ in range(30)]
        return contend(world, [Request(api=api, path="/v1/invites", json=body) for body in bodies])

    sent = invite_30()
    assert tally(sent) == {"201": 20, "429 member_send_budget_spent": 10}
    made = [answer.body["id"] for answer in sent if answer.status == 201]
    revoked = contend(
        world,
        [Request(api=api, path=f"/v1/invites/{one}/revoke", json={"reason": "pump"}) for one in made],
    )
    assert tally(revoked) == {"200": 20}
    assert api.get(f"/v1/members/{issuer.id}/quota").json == {
        "available": 60,
        "granted": 60,
        "spent": 20,
        "refunded": 20,
        "expired": 0,
    }
    assert tally(invite_30()) == {"429 member_send_budget_spent": 30}
    assert number(world, "SELECT count(*) FROM messages") == 20
    world.clock.advance(DAY)
    assert tally(invite_30())["201"] == 20


def test_a_new_number_met_by_two_lanes_at_once_is_stored_once(world: World) -> None:
    """Fault: two transactions meet a number for the first time. An orphan row would outlive its erasure."""
    api, issuer = world.api(), world.seed(quota=24)
    phones = [world.phone() for _ in range(12)]
    requests = [
        request
        for phone in phones
        for request in (
            Request(api=api, path="/v1/verifications", json={"purpose": "login", "phone": phone}),
            Request(
                api=api, path="/v1/invites", json={"issuer_id": issuer.id, "channel": "sms", "phone": phone}
            ),
        )
    ]
    assert tally(contend(world, requests)) == {"202": 12, "201": 12}
    assert number(world, "SELECT count(*) FROM phones") == 13
