"""One code, many takers: holds, redemptions and the life-long number of verifications."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.ports import MINUTE
from tests.races.contenders import Answer, Request, contend, tally
from tests.races.soundness import number
from tests.support.world import Api, World

pytestmark = pytest.mark.race
REFUSED = "422 invite_not_redeemable"


def link_invite(world: World, api: Api, *, uses: int = 1) -> dict[str, Any]:
    issuer = world.seed(quota=uses)
    made = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "link", "max_uses": uses})
    assert made.status_code == 201, made.text
    return dict(made.json)  # type: ignore[arg-type]


def starts(world: World, api: Api, code: str, phones: list[str]) -> list[Answer]:
    """Start one verification for each phone, all at once."""
    body = {"purpose": "registration", "invite_code": code}
    return contend(
        world, [Request(api=api, path="/v1/verifications", json=body | {"phone": phone}) for phone in phones]
    )


def proofs_of(world: World, api: Api, phones: list[str], answers: list[Answer]) -> dict[str, str]:
    """Answer every started verification with the code that came; the proof of each phone."""
    proofs = {}
    for phone, answer in zip(phones, answers, strict=True):
        if answer.status == 202:
            checked = api.post(f"/v1/verifications/{answer.body['id']}/check", {"code": world.otp(phone)})
            assert checked.status_code == 200, checked.text
            proofs[phone] = checked.json["proof"]  # type: ignore[index]
    return proofs


def invite_row(world: World, invite: dict[str, Any]) -> tuple[int, int]:
    """(uses, held) of an invite, as stored."""
    where = f"FROM invites WHERE id = '{invite['id']}'"
    return number(world, f"SELECT uses {where}"), number(world, f"SELECT held {where}")


def test_one_single_use_code_is_held_for_one_of_64_phones_and_makes_one_member(world: World) -> None:
    """Attack: a link posted in a forum, opened by everybody at once.

    Without the guarded counter two transactions both read `uses = 0`, and one invite lets a crowd in.
    """
    api, phones = world.api(), [world.phone() for _ in range(64)]
    invite = link_invite(world, api)
    answers = starts(world, api, invite["code"], phones)
    assert tally(answers) == {"202": 1, REFUSED: 63}
    assert invite_row(world, invite) == (0, 1)
    assert len(world.inbox()) == 1, "a phone without a hold got a message"

    [(winner, proof)] = proofs_of(world, api, phones, answers).items()
    register = Request(
        api=api, path="/v1/registrations", json={"invite_code": invite["code"], "proof": proof}
    )
    outcomes = tally(contend(world, [register] * 64))
    assert outcomes["201"] == 1
    # Whoever comes late meets the code's end, the phone's member or the proof's end, in that order.
    assert outcomes.keys() <= {"201", REFUSED, "409 phone_taken", "409 proof_consumed"}
    assert outcomes.total() == 64
    assert invite_row(world, invite) == (1, 0)
    assert number(world, "SELECT count(*) FROM members WHERE invite_id IS NOT NULL") == 1
    assert number(world, "SELECT count(*) FROM verifications WHERE proof_used_at IS NOT NULL") == 1
    again = api.post(
        "/v1/verifications", {"purpose": "registration", "phone": winner, "invite_code": invite["code"]}
    )
    assert (again.status_code, again.json["code"]) == (422, "invite_not_redeemable")  # type: ignore[index]


def test_one_sms_invite_sent_64_times_at_once_makes_one_member(world: World) -> None:
    """Fault: an app whose "join" button repeats the call on every tap and every lost reply."""
    api, issuer, phone = world.api(), world.seed(quota=1), world.phone()
    made = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "sms", "phone": phone})
    code = world.invite_code(phone)
    register = Request(api=api, path="/v1/registrations", json={"invite_code": code, "phone": phone})
    outcomes = tally(contend(world, [register] * 64))
    assert outcomes["201"] == 1
    assert outcomes.keys() <= {"201", REFUSED, "409 phone_taken"}
    assert outcomes.total() == 64
    assert invite_row(world, dict(made.json)) == (1, 0)  # type: ignore[arg-type]


def test_a_five_use_code_holds_five_of_64_phones_and_ends_with_five_members(world: World) -> None:
    """Attack: more verifications than uses, so that a code's SMS are paid for people it can never let in.

    Holds that time out or fail come back and serve others; none is lost and none is made up.
    """
    api, phones = world.api(), [world.phone() for _ in range(64)]
    invite = link_invite(world, api, uses=5)
    first = starts(world, api, invite["code"], phones)
    assert tally(first) == {"202": 5, REFUSED: 59}
    assert invite_row(world, invite) == (0, 5)
    joining = [phone for phone, answer in zip(phones, first, strict=True) if answer.status == 202][:2]
    proofs = proofs_of(world, api, phones, first)
    for phone in joining:
        body = {"invite_code": invite["code"], "proof": proofs[phone]}
        assert api.post("/v1/registrations", body).status_code == 201
    assert invite_row(world, invite) == (2, 3)

    world.clock.advance(31 * MINUTE)  # three holds time out, and no sweep has run
    others = [phone for phone in phones if phone not in joining]
    second = starts(world, api, invite["code"], others[:40])
    assert tally(second) == {"202": 3, REFUSED: 37}
    proofs = proofs_of(world, api, others[:40], second)
    answers = contend(
        world,
        [
            Request(api=api, path="/v1/registrations", json={"invite_code": invite["code"], "proof": proof})
            for proof in proofs.values()
            for _ in range(8)
        ],
    )
    outcomes = tally(answers)
    assert outcomes["201"] == 3
    assert outcomes.keys() <= {"201", REFUSED, "409 phone_taken", "409 proof_consumed"}
    assert invite_row(world, invite) == (5, 0)
    assert number(world, "SELECT count(*) FROM members WHERE invite_id IS NOT NULL") == 5


def test_one_phone_that_starts_20_times_at_once_holds_one_use(world: World) -> None:
    """Fault: the same phone starting again takes over its own hold, and never eats a second use."""
    api, phone = world.api(), world.phone()
    invite = link_invite(world, api, uses=5)
    outcomes = tally(starts(world, api, invite["code"], [phone] * 20))
    assert outcomes == {"202": 1, "429 send_cooldown": 19}
    assert invite_row(world, invite) == (0, 1)
    world.clock.advance(MINUTE)
    assert tally(starts(world, api, invite["code"], [phone] * 20))["202"] == 1
    assert invite_row(world, invite) == (0, 1)


def test_a_code_starts_no_more_than_3_and_twice_its_uses_in_its_life(world: World) -> None:
    """Attack: SMS pumping. A fraudster who owns a range of numbers lets holds run out and starts anew,
    for ever, with one cheap code. Its life's number of messages is bounded, raced or not."""
    api = world.api()
    invite = link_invite(world, api, uses=5)  # 3 + 2 × 5 = 13
    for expected in (5, 5, 3, 0):
        outcomes = tally(starts(world, api, invite["code"], [world.phone() for _ in range(24)]))
        assert (outcomes["202"], outcomes[REFUSED]) == (expected, 24 - expected)
        world.clock.advance(31 * MINUTE)
    assert number(world, f"SELECT starts FROM invites WHERE id = '{invite['id']}'") == 13
    assert number(world, "SELECT count(*) FROM messages") == 13


def test_a_guesser_who_burns_a_verification_gives_its_use_back_once(world: World) -> None:
    """Attack: failing five times on purpose, at once, to release one hold more than once."""
    api, phones = world.api(), [world.phone() for _ in range(2)]
    invite = link_invite(world, api, uses=2)
    answers = starts(world, api, invite["code"], phones)
    assert tally(answers) == {"202": 2}
    wrong = "000000" if world.otp(phones[0]) != "000000" else "111111"
    guess = Request(api=api, path=f"/v1/verifications/{answers[0].body['id']}/check", json={"code": wrong})
    assert tally(contend(world, [guess] * 20))["422 code_incorrect"] == 5
    assert invite_row(world, invite) == (0, 1)


def test_a_second_verification_that_fails_does_not_burn_the_hold_of_the_first(world: World) -> None:
    """Attack: who knows the link starts a second verification of the phone and fails it on purpose.

    Both share one hold. The first one's proof must still find it, and no count may fall below none.
    """
    api, phone = world.api(), world.phone()
    invite = link_invite(world, api)
    proof = world.verify(api, phone, "registration", invite_code=invite["code"])
    world.clock.advance(MINUTE)
    [second] = starts(world, api, invite["code"], [phone])
    wrong = "000000" if world.otp(phone) != "000000" else "111111"
    guess = Request(api=api, path=f"/v1/verifications/{second.body['id']}/check", json={"code": wrong})
    register = Request(
        api=api, path="/v1/registrations", json={"invite_code": invite["code"], "proof": proof}
    )
    outcomes = tally(contend(world, [*[guess] * 6, register, *[guess] * 6]))
    assert outcomes == {"422 code_incorrect": 5, "409 verification_over": 7, "201": 1}
    assert invite_row(world, invite) == (1, 0)
