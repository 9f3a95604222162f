"""One Idempotency-Key, many senders: one effect, and the same answer for all who get one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.races.contenders import Request, contend, send, tally
from tests.races.soundness import number
from tests.support.world import World

pytestmark = pytest.mark.race
IN_FLIGHT = "409 idempotency_in_flight"
REUSED = "422 idempotency_key_reused"


def test_one_key_sent_50_times_at_once_has_one_effect_and_one_answer(world: World) -> None:
    """Fault: a proxy that repeats a POST on a slow reply. Fifty invites would be issued and paid for."""
    api, issuer = world.api(), world.seed(quota=50)
    body = {"issuer_id": issuer.id, "channel": "link", "note": "once"}
    request = Request(api=api, path="/v1/invites", json=body, headers={"Idempotency-Key": "order-1"})
    answers = contend(world, [request] * 50)
    outcomes = tally(answers)
    assert outcomes.keys() <= {"201", IN_FLIGHT}
    assert outcomes.total() == 50
    told = [answer for answer in answers if answer.status == 201]
    first = [answer for answer in told if "Idempotency-Replayed" not in answer.headers]
    assert len(first) == 1
    assert all(answer.body == first[0].body for answer in told)
    assert {answer.headers["Idempotency-Replayed"] for answer in told if answer not in first} <= {"true"}
    assert number(world, "SELECT count(*) FROM invites") == 1
    assert number(world, "SELECT quota_spent FROM members") == 1

    [late] = contend(world, [request])
    assert (late.outcome, late.headers["Idempotency-Replayed"], late.body) == ("201", "true", first[0].body)
    assert number(world, "SELECT count(*) FROM idempotency") == 1


def test_one_key_with_two_bodies_at_once_does_one_of_them(world: World) -> None:
    """Attack: hiding a second effect behind a key that was answered before."""
    api, issuer = world.api(), world.seed(quota=50)
    path, headers = "/v1/invites", {"Idempotency-Key": "order-2"}
    one, other = (
        Request(
            api=api, path=path, headers=headers, json={"issuer_id": issuer.id, "channel": "link", "note": n}
        )
        for n in ("one", "other")
    )
    outcomes = tally(contend(world, [one, other] * 20))
    assert outcomes.keys() <= {"201", IN_FLIGHT, REUSED}
    assert outcomes["201"] >= 1
    assert number(world, "SELECT count(*) FROM invites") == 1
    assert tally([send(world, one), send(world, other)]) == {"201": 1, REUSED: 1}


def test_two_clients_with_one_key_do_not_meet(world: World) -> None:
    """Attack: reading another client's answers by guessing its keys. A key's scope is its client."""
    issuer = world.seed(quota=50)
    body = {"issuer_id": issuer.id, "channel": "link"}
    headers = {"Idempotency-Key": "1"}
    requests = [Request(api=world.api(), path="/v1/invites", json=body, headers=headers) for _ in range(4)]
    answers = contend(world, requests * 5)
    assert tally(answers).keys() <= {"201", IN_FLIGHT}
    assert number(world, "SELECT count(*) FROM invites") == 4


def test_a_wrong_guess_repeated_under_one_key_is_counted_once(world: World) -> None:
    """Fault: the retry of a refusal that had an effect. It must not burn the user's attempts."""
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    started = api.post("/v1/verifications", {"purpose": "login", "phone": phone})
    path = f"/v1/verifications/{started.json['id']}/check"  # type: ignore[index]
    wrong = ("1" if world.otp(phone)[0] == "0" else "0") + world.otp(phone)[1:]
    guess = Request(api=api, path=path, json={"code": wrong}, headers={"Idempotency-Key": "guess-1"})
    outcomes = tally(contend(world, [guess] * 20))
    assert outcomes.keys() <= {"422 code_incorrect", IN_FLIGHT}
    assert number(world, "SELECT attempts FROM verifications") == 1
    assert tally(contend(world, [replace(guess, headers={"Idempotency-Key": "guess-2"})])) == {
        "422 code_incorrect": 1
    }
    assert number(world, "SELECT attempts FROM verifications") == 2


def test_a_refusal_without_effect_is_not_kept_and_its_key_works_later(world: World) -> None:
    """Fault: a stored "no quota" that outlives the grant which the caller asked for in between."""
    api, issuer = world.api(), world.seed()
    body = {"issuer_id": issuer.id, "channel": "link"}
    request = Request(api=api, path="/v1/invites", json=body, headers={"Idempotency-Key": "later"})
    outcomes = tally(contend(world, [request] * 10))
    assert outcomes.keys() <= {"409 quota_exhausted", IN_FLIGHT}
    world.grant(issuer.id, 5)
    assert tally(contend(world, [request] * 10))["201"] >= 1
    assert number(world, "SELECT count(*) FROM invites") == 1
