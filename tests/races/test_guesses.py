"""One-time codes: attempts counted once each, and a phone's budget of wrong ones over everything."""

from __future__ import annotations

import pytest

from identity_service.ports import HOUR, SECOND
from tests.races.contenders import Request, contend, tally
from tests.races.soundness import number
from tests.support.world import Api, World

pytestmark = pytest.mark.race


def start(api: Api, phone: str, purpose: str = "login", **more: str) -> str:
    started = api.post("/v1/verifications", {"purpose": purpose, "phone": phone, **more})
    assert started.status_code == 202, started.text
    return str(started.json["id"])  # type: ignore[index]


def check(api: Api, verification: str, code: str) -> Request:
    return Request(api=api, path=f"/v1/verifications/{verification}/check", json={"code": code})


def wrong_for(code: str) -> str:
    return ("1" if code[0] == "0" else "0") + code[1:]


def test_50_right_answers_at_once_get_one_proof_and_burn_nothing(world: World) -> None:
    """Fault: an app that submits on the last digit, on "done" and on paste. Each must get the same proof,
    or the slowest reply would void the one that the app kept."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    verification = start(api, phone)
    answers = contend(world, [check(api, verification, world.otp(phone))] * 50)
    assert tally(answers) == {"200": 50}
    assert len({answer.body["proof"] for answer in answers}) == 1
    assert number(world, "SELECT attempts FROM verifications") == 0
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane LIKE 'guess.%'") == 0


def test_one_proof_shown_20_times_at_once_logs_in_once(world: World) -> None:
    """Attack: replaying an intercepted proof. One consumption, by one guarded UPDATE."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    verification = start(api, phone)
    code = world.otp(phone)
    proof = api.post(f"/v1/verifications/{verification}/check", {"code": code}).json["proof"]  # type: ignore[index]
    login = Request(api=api, path="/v1/logins", json={"proof": proof})
    assert tally(contend(world, [login] * 20)) == {"200": 1, "409 proof_consumed": 19}
    again = tally(contend(world, [check(api, verification, code)] * 10))
    assert again == {"409 proof_consumed": 10}, "the right code again: 409, once its proof is gone"
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane LIKE 'guess.%'") == 0


def test_50_wrong_answers_at_once_are_five_and_then_even_the_right_one_is_refused(world: World) -> None:
    """Attack: guessing in parallel, so that all guesses read `attempts = 0` (the classic OTP race)."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    verification = start(api, phone)
    code = world.otp(phone)
    outcomes = tally(contend(world, [check(api, verification, wrong_for(code))] * 50))
    assert outcomes == {"422 code_incorrect": 5, "409 verification_over": 45}
    assert number(world, "SELECT attempts FROM verifications") == 5
    refused = api.post(f"/v1/verifications/{verification}/check", {"code": code})
    assert (refused.status_code, refused.json["code"]) == (409, "verification_over")  # type: ignore[index]
    assert number(world, "SELECT count(*) FROM verifications WHERE sealed_code IS NOT NULL") == 0


def test_one_right_answer_among_wrong_ones_wins_or_finds_the_code_burnt(world: World) -> None:
    """Fault: a right guess that is uncounted while wrong ones are counted; the sum must come out even."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    verification = start(api, phone)
    code = world.otp(phone)
    guesses = [wrong_for(code)] * 12 + [code] * 4 + [wrong_for(code)] * 12
    outcomes = tally(contend(world, [check(api, verification, guess) for guess in guesses]))
    assert outcomes["422 code_incorrect"] == 5 or outcomes["200"] == 4
    assert outcomes.keys() <= {"200", "422 code_incorrect", "409 verification_over"}
    spent = number(world, "SELECT count(*) FROM budget_uses WHERE lane = 'guess.anonymous'")
    assert spent == outcomes["422 code_incorrect"] == number(world, "SELECT attempts FROM verifications")


def five_verifications(world: World, apis: list[Api], phone: str) -> list[tuple[Api, str, str]]:
    """Five verifications of one phone that live at the same time, of both purposes, by every client."""
    made = []
    for turn, wait in enumerate((0, 30, 60, 120, 240)):
        world.clock.advance(wait * SECOND)
        api, purpose = apis[turn % len(apis)], ("login", "recovery")[turn % 2]
        verification = start(api, phone, purpose)
        made.append((api, verification, world.otp(phone)))
    return made


def test_a_phones_ten_wrong_guesses_hold_over_sessions_purposes_and_clients(world: World) -> None:
    """Attack: many verifications of one phone, each with five fresh guesses, spread over purposes and
    clients, tried in parallel. What counts is the phone."""
    apis, phone = [world.api(), world.api(), world.api()], world.phone()
    world.seed(phone=phone)
    live = five_verifications(world, apis, phone)
    guesses = [
        check(api, verification, wrong_for(code)) for api, verification, code in live for _ in range(5)
    ]
    outcomes = tally(contend(world, guesses))
    # Ten in the day's budget, one in the trickle, and not one more.
    assert outcomes == {"422 code_incorrect": 11, "429 guess_budget_spent": 14}
    assert number(world, "SELECT sum(attempts) FROM verifications") == 11
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane = 'guess.anonymous'") == 10
    assert number(world, "SELECT count(*) FROM budget_uses WHERE lane = 'guess.anonymous.trickle'") == 1


def test_a_trickle_of_one_guess_in_six_hours_stays_and_a_right_one_costs_nothing(world: World) -> None:
    """Attack: burning a stranger's guesses to lock the owner out. One guess in six hours is left to the
    owner, who knows the code; and one in six hours is worth nothing to who does not."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    live = five_verifications(world, [api], phone)
    contend(
        world,
        [check(api, verification, wrong_for(code)) for _, verification, code in live for _ in range(5)],
    )
    world.clock.advance(6 * HOUR)
    verification = start(api, phone)
    code = world.otp(phone)
    right = contend(world, [check(api, verification, code)] * 10)
    assert tally(right) == {"200": 10}, "a right guess takes the trickle and gives it back"
    wrong = contend(world, [check(api, verification, wrong_for(code))] * 10)
    assert tally(wrong) == {"422 code_incorrect": 1, "429 guess_budget_spent": 9}
    wait = min(int(answer.headers["Retry-After"]) for answer in wrong if answer.status == 429)
    assert 0 < wait <= 6 * 3600


def test_guesses_that_burn_a_hold_meet_starts_that_extend_it(world: World) -> None:
    """Fault: the failing check lets the hold go while the same phone starts again and takes it over.

    Taken in different orders, the invite's row and the hold's are a deadlock on PostgreSQL.
    """
    api, phone, issuer = world.api(), world.phone(), world.seed(quota=1)
    code = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "link"}).json["code"]  # type: ignore[index]
    body = {"purpose": "registration", "phone": phone, "invite_code": code}
    for turn in range(4):
        verification = start(api, phone, "registration", invite_code=code)
        guess = check(api, verification, wrong_for(world.otp(phone)))
        world.clock.advance(30 * SECOND << turn)
        again = Request(api=api, path="/v1/verifications", json=body)
        outcomes = tally(contend(world, [guess, guess, again, guess, guess, again, guess]))
        assert not any(outcome.startswith("5") for outcome in outcomes), outcomes
        world.clock.advance(60 * SECOND << turn)
        if outcomes["422 code_incorrect"] < 5:
            return  # the budget of the phone is spent
