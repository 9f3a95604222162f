"""One-time codes: sent, sent again, checked, and proved."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from tests.service.steps import at, check, link, messages_to, no, ok, start, stop_clock, wrong
from tests.support.world import Api, World


def test_a_code_is_sent_checked_and_answered_with_a_proof(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    made = start(api, phone)
    assert (made["state"], made["purpose"], made["channel"], made["code_length"]) == (
        "pending",
        "login",
        "sms",
        6,
    )
    assert made["phone"] == {"masked": "+7*********" + phone[-2:], "country": "RU"}
    assert at(made["expires_at"]) // 1000 == (world.clock.now() + 10 * MINUTE) // 1000
    assert made["attempts_left"] == 5
    approved = ok(check(api, made["id"], world.otp(phone)))
    assert approved["state"] == "approved"
    assert approved["next"] == {"resend_at": None, "channel": None, "check_at": None}
    assert "proof" in approved
    assert "proof" not in ok(api.get(f"/v1/verifications/{made['id']}"))


def test_a_recovery_code_has_eight_digits(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    assert start(api, phone, "recovery")["code_length"] == len(world.otp(phone)) == 8


def test_a_resend_repeats_the_same_code_and_extends_nothing(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    made = start(api, phone)
    code = world.otp(phone)
    no(check(api, made["id"], wrong(code)), 422, "code_incorrect")
    no(api.post(f"/v1/verifications/{made['id']}/resend", {}), 429, "send_cooldown")
    world.clock.advance(30 * SECOND)
    again = ok(api.post(f"/v1/verifications/{made['id']}/resend"), 202)
    assert len(messages_to(world, phone)) == 2
    assert world.otp(phone) == code
    assert (again["expires_at"], again["attempts_left"]) == (made["expires_at"], 4)
    world.clock.advance(10 * MINUTE - 30 * SECOND)
    no(check(api, made["id"], code), 409, "verification_over")
    no(api.post(f"/v1/verifications/{made['id']}/resend", {}), 409, "verification_over")


def test_every_answer_tells_when_the_next_step_may_be_taken(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    waits, made = [], start(api, phone)
    for _ in range(3):
        wait = at(made["next"]["resend_at"]) - world.clock.now() // 1000 * 1000
        waits.append(wait // SECOND)
        assert made["next"]["channel"] == "sms"
        refused = api.post(f"/v1/verifications/{made['id']}/resend", {})
        no(refused, 429, "send_cooldown")
        assert refused.headers["Retry-After"] == str(waits[-1])
        world.clock.advance(wait + 1000)
        made = ok(api.post(f"/v1/verifications/{made['id']}/resend", {}), 202)
    assert waits == [30, 60, 120]
    # The next one would come after the code's end: nothing is promised that would not help.
    world.clock.advance(4 * MINUTE + SECOND)
    assert ok(api.post(f"/v1/verifications/{made['id']}/resend", {}), 202)["next"]["resend_at"] is None


def test_wrong_codes_are_counted_and_the_fifth_ends_it(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    left = [no(check(api, made["id"], wrong(code)), 422, "code_incorrect")["attempts_left"] for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert no(check(api, made["id"], code), 409, "verification_over")["state"] == "exhausted"
    read = ok(api.get(f"/v1/verifications/{made['id']}"))
    assert (read["state"], read["attempts_left"]) == ("exhausted", 0)


def test_a_code_of_another_length_or_script_never_matches(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    arabic = "".join(chr(0x0660 + int(digit)) for digit in code)
    for text in (arabic, code + "\n", " " + code, code[:5], code + "000"):
        no(check(api, made["id"], text), 422, "validation_failed")
    assert ok(api.get(f"/v1/verifications/{made['id']}"))["attempts_left"] == 5
    no(check(api, made["id"], code + "00"), 422, "code_incorrect")
    ok(check(api, made["id"], code))


def test_the_right_code_again_gives_the_same_proof_until_it_is_used(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    first = ok(check(api, made["id"], code))["proof"]
    world.clock.advance(MINUTE)
    assert ok(check(api, made["id"], code))["proof"] == first
    ok(api.post("/v1/logins", {"proof": first}))
    for text in (code, wrong(code)):  # the code is gone with its proof: nothing is right or wrong any more
        no(check(api, made["id"], text), 409, "proof_consumed")
    no(api.post("/v1/logins", {"proof": first}), 409, "proof_consumed")


def test_the_right_code_at_the_last_attempt_is_right(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    for _ in range(4):
        no(check(api, made["id"], wrong(code)), 422, "code_incorrect")
    for _ in range(3):
        assert ok(check(api, made["id"], code))["state"] == "approved"


def test_an_approved_verification_is_not_sent_again(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    ok(check(api, made["id"], world.otp(phone)))
    no(api.post(f"/v1/verifications/{made['id']}/resend", {}), 409, "verification_over")


def test_a_proof_is_bound_to_its_purpose_its_client_and_its_time(world: World) -> None:
    api, other, phone = world.api(), world.api(), world.phone()
    seed = world.seed(phone=phone, quota=1)
    proof = world.verify(api, phone, "login")
    no(api.post("/v1/recoveries", {"proof": proof}), 422, "proof_invalid")
    no(other.post("/v1/logins", {"proof": proof}), 422, "proof_invalid")
    code = link(api, seed.id)["code"]
    no(api.post("/v1/registrations", {"invite_code": code, "proof": proof}), 422, "proof_invalid")
    no(api.post("/v1/logins", {"proof": proof[:-3] + "AAA"}), 422, "proof_invalid")
    no(api.post("/v1/logins", {"proof": "nonsense"}), 422, "proof_invalid")
    world.clock.advance(10 * MINUTE + 2 * SECOND)
    no(api.post("/v1/logins", {"proof": proof}), 422, "proof_expired")


def test_a_verification_belongs_to_the_client_that_made_it(world: World) -> None:
    api, other, phone = world.api(), world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    no(other.get(f"/v1/verifications/{made['id']}"), 404, "not_found")
    no(check(other, made["id"], code), 404, "not_found")
    no(other.post(f"/v1/verifications/{made['id']}/resend", {}), 404, "not_found")
    assert ok(api.get(f"/v1/verifications/{made['id']}"))["attempts_left"] == 5


def test_a_registration_code_goes_out_only_for_a_live_invite(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    no(api.post("/v1/verifications", {"purpose": "registration", "phone": phone}), 422, "validation_failed")
    code = link(api, seed.id)["code"]
    given = {"purpose": "login", "phone": phone, "invite_code": code}
    no(api.post("/v1/verifications", given), 422, "validation_failed")
    body = {"purpose": "registration", "phone": phone, "invite_code": "7KQ4M-2XD9P-TA3HZ"}
    no(api.post("/v1/verifications", body), 422, "invite_not_redeemable")
    assert messages_to(world, phone) == []


def test_an_expired_verification_says_so_by_itself(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)
    world.clock.advance(10 * MINUTE)
    assert ok(api.get(f"/v1/verifications/{made['id']}"))["state"] == "expired"
    world.work()
    assert no(check(api, made["id"], code), 409, "verification_over")["state"] == "expired"


def test_a_message_whose_code_is_over_is_not_sent_any_more(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    start(api, phone)
    world.clock.advance(11 * MINUTE)
    assert messages_to(world, phone) == []


@pytest.mark.race
def test_of_many_right_checks_at_once_all_get_the_one_proof(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    code = world.otp(phone)

    def one(_: int) -> str:
        client = type(api)(world.app.test_client(), api.key, api.client_id)
        return str(ok(check(client, made["id"], code))["proof"])

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(4)))) == 1


# -- known and unknown phones ---------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["login", "recovery"])
def test_known_and_unknown_phones_are_told_apart_by_nothing(world: World, purpose: str) -> None:
    known, unknown = world.phone(), world.phone()
    world.seed(phone=known)
    stop_clock(world)
    api = world.api()
    traces: dict[str, list[Any]] = {known: [], unknown: []}
    for turn in range(9):  # past the cool-downs, the day's sends, the guesses, and both trickles
        for phone, trace in traces.items():
            _trace_a_visit(api, phone, purpose, trace)
        world.clock.advance(30 * SECOND << turn if turn < 7 else 7 * HOUR)
        world.work()
    assert traces[known] == traces[unknown]
    seen = {code for _, code, *_ in traces[known]}
    assert {"send_cooldown", "send_budget_spent", "code_incorrect", "guess_budget_spent"} <= seen
    assert messages_to(world, unknown) == []
    assert messages_to(world, known) != []


def _trace_a_visit(api: Api, phone: str, purpose: str, trace: list[Any]) -> None:
    """Start, start again too soon, guess, resend and read; note all that a caller can see but the ids."""
    answers = [api.post("/v1/verifications", {"purpose": purpose, "phone": phone}) for _ in range(2)]
    if answers[0].status_code == 202:
        path = f"/v1/verifications/{answers[0].json['id']}"  # type: ignore[index]
        answers += [api.post(f"{path}/check", {"code": "00000000"}) for _ in range(7)]
        answers += [api.get(path), api.post(f"{path}/resend", {})]
    for answer in answers:
        body = dict(answer.json or {})
        visible = {name: value for name, value in body.items() if name not in ("id", "phone", "request_id")}
        headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
        trace.append((answer.status_code, body.get("code"), visible, headers))


# -- budgets ------------------------------------------------------------------------------------------------


def test_wrong_guesses_add_up_over_verifications_purposes_and_clients(world: World) -> None:
    phone = world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    for purpose in ("login", "recovery"):
        api = world.api()
        made = start(api, phone, purpose)
        for _ in range(5):
            no(check(api, made["id"], "00000000"), 422, "code_incorrect")
        world.clock.advance(2 * MINUTE)
    api = world.api()
    made = start(api, phone)
    code = world.otp(phone)
    no(check(api, made["id"], wrong(code)), 422, "code_incorrect")  # the trickle
    refused = check(api, made["id"], code)
    no(refused, 429, "guess_budget_spent")
    assert refused.headers["Retry-After"] == str(6 * 3600)
    assert '"guess_budget_spent";q=10;w=86400' in refused.headers["RateLimit-Policy"]
    assert ok(api.get(f"/v1/verifications/{made['id']}"))["attempts_left"] == 4
    # The owner is not locked out: six hours later a right code passes, and costs nothing.
    world.clock.advance(6 * HOUR + SECOND)
    made = start(api, phone)
    code = world.otp(phone)
    for _ in range(3):
        ok(check(api, made["id"], code))
    no(check(api, start(api, phone)["id"], "00000000"), 422, "code_incorrect")


def test_a_weeks_wrong_guesses_are_limited_too(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    wrong_ones = 0
    for _ in range(3):
        for _ in range(2):
            made = start(api, phone)
            for _ in range(5):
                no(check(api, made["id"], "00000000"), 422, "code_incorrect")
                wrong_ones += 1
            world.clock.advance(10 * MINUTE)
        world.clock.advance(DAY)
    assert wrong_ones == 30
    made = start(api, phone)
    no(check(api, made["id"], "00000000"), 422, "code_incorrect")  # the trickle
    no(check(api, made["id"], "00000000"), 429, "guess_budget_spent")


def test_five_messages_a_day_then_one_in_six_hours(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    for turn in range(6):
        start(api, phone, "login" if turn % 2 else "recovery")
        assert len(messages_to(world, phone)) == turn + 1
        world.clock.advance(30 * SECOND << turn)
    body = {"purpose": "login", "phone": phone}
    refused = api.post("/v1/verifications", body)
    no(refused, 429, "send_budget_spent")
    assert '"send_budget_spent";q=5;w=86400' in refused.headers["RateLimit-Policy"]
    world.clock.advance(int(refused.headers["Retry-After"]) * SECOND)
    ok(api.post("/v1/verifications", body), 202)


def test_an_approved_code_ends_the_cool_down_but_not_the_days_budget(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    for _ in range(6):
        world.verify(api, phone, "login")
    no(api.post("/v1/verifications", {"purpose": "login", "phone": phone}), 429, "send_budget_spent")


def test_whoever_burns_a_strangers_budget_does_not_lock_out_the_owners_device(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    device = world.join(api, seed.id, phone)["device_token"]
    stop_clock(world)
    attacker = world.api("verifications:write")
    for turn in range(8):
        made = attacker.post("/v1/verifications", {"purpose": "login", "phone": phone})
        if made.status_code == 202:
            for _ in range(5):
                check(attacker, made.json["id"], "00000000")  # type: ignore[index]
        world.clock.advance(30 * SECOND << turn)
    no(attacker.post("/v1/verifications", {"purpose": "login", "phone": phone}), 429, "send_budget_spent")
    proof = world.verify(api, phone, "login", device_token=device)
    ok(api.post("/v1/logins", {"proof": proof}))


def test_a_device_token_opens_its_lane_for_its_own_number_only(world: World) -> None:
    api, seed, other = world.api(), world.seed(quota=1), world.phone()
    device = world.join(api, seed.id)["device_token"]
    world.seed(phone=other)
    start(api, other)
    body = {"purpose": "login", "phone": other}
    no(api.post("/v1/verifications", body | {"device_token": device}), 429, "send_cooldown")
    no(api.post("/v1/verifications", body | {"device_token": "dev_unknown"}), 429, "send_cooldown")


def test_invite_messages_and_verifications_do_not_spend_each_others_budget(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=9), world.phone()
    world.seed(phone=phone)
    stop_clock(world)
    for turn in range(6):
        start(api, phone)
        world.clock.advance(30 * SECOND << turn)
    no(api.post("/v1/verifications", {"purpose": "login", "phone": phone}), 429, "send_budget_spent")
    body = {"issuer_id": seed.id, "channel": "sms", "phone": phone}
    ok(api.post("/v1/invites", body), 201)
