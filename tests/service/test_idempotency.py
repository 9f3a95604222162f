"""Idempotency keys: one effect, one answer, however often it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from identity_service.ports import DAY, HOUR, SECOND
from tests.service.steps import link, messages_to, no, ok, quota, start, wrong
from tests.support.world import Api, World

KEY = {"Idempotency-Key": "order-1"}


def test_the_same_key_and_body_give_the_first_answer_again_and_one_effect(world: World) -> None:
    api, seed = world.api(), world.seed(quota=5)
    body = {"issuer_id": seed.id, "channel": "link"}
    first = api.post("/v1/invites", body, headers=KEY)
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    for _ in range(3):
        again = api.post("/v1/invites", body, headers=KEY)
        assert (again.status_code, again.data) == (201, first.data)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert quota(api, seed.id)["available"] == 4


@pytest.mark.parametrize("change", ["body", "path", "spelling"])
def test_the_same_key_for_something_else_is_refused(world: World, change: str) -> None:
    api, seed = world.api(), world.seed(quota=5)
    body = {"issuer_id": seed.id, "channel": "link"}
    ok(api.post("/v1/invites", body, headers=KEY), 201)
    match change:
        case "body":
            answer = api.post("/v1/invites", body | {"max_uses": 2}, headers=KEY)
        case "path":
            answer = api.post("/v1/invites/lookup", {"code": "x"}, headers=KEY)
        case _:
            raw = '{"channel":"link", "issuer_id":"' + seed.id + '"}'
            sent = KEY | {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
            answer = api.http.post("/v1/invites", data=raw, headers=sent)
    no(answer, 422, "idempotency_key_reused")
    assert quota(api, seed.id)["available"] == 4


def test_a_key_is_each_clients_own(world: World) -> None:
    one, two, seed = world.api(), world.api(), world.seed(quota=5)
    body = {"issuer_id": seed.id, "channel": "link"}
    made = {ok(api.post("/v1/invites", body, headers=KEY), 201)["id"] for api in (one, two)}
    assert len(made) == 2
    two.post("/v1/invites/lookup", {"code": "x"}, headers={"Idempotency-Key": "order-2"})
    ok(one.post("/v1/invites/lookup", {"code": "y"}, headers={"Idempotency-Key": "order-2"}))


def test_the_answer_survives_a_restart_on_another_process(new_world: Callable[..., World]) -> None:
    first = new_world()
    api, seed = first.api(), first.seed(quota=2)
    body = {"issuer_id": seed.id, "channel": "link"}
    made = api.post("/v1/invites", body, headers=KEY)
    second = new_world()
    again = Api(http=second.app.test_client(), key=api.key, client_id=api.client_id).post(
        "/v1/invites", body, headers=KEY
    )
    assert again.data == made.data
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_refusal_that_had_an_effect_is_stored_with_it(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    made = start(api, phone)
    path = f"/v1/verifications/{made['id']}"
    body = {"code": wrong(world.otp(phone))}
    answers = [api.post(f"{path}/check", body, headers=KEY) for _ in range(4)]
    assert [no(answer, 422, "code_incorrect")["attempts_left"] for answer in answers] == [4] * 4
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [
        None,
        "true",
        "true",
        "true",
    ]
    assert ok(api.get(path))["attempts_left"] == 4


def test_a_refusal_without_an_effect_is_not_stored(world: World) -> None:
    api, seed = world.api(), world.seed()
    body = {"issuer_id": seed.id, "channel": "link"}
    no(api.post("/v1/invites", body, headers=KEY), 409, "quota_exhausted")
    world.grant(seed.id, 1)
    made = api.post("/v1/invites", body, headers=KEY)
    assert made.status_code == 201
    assert "Idempotency-Replayed" not in made.headers


def test_too_many_requests_is_not_stored(world: World) -> None:
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    start(api, phone)
    body = {"purpose": "login", "phone": phone}
    no(api.post("/v1/verifications", body, headers=KEY), 429, "send_cooldown")
    world.clock.advance(31 * SECOND)
    ok(api.post("/v1/verifications", body, headers=KEY), 202)
    world.clock.advance(HOUR)
    assert api.post("/v1/verifications", body, headers=KEY).headers["Idempotency-Replayed"] == "true"
    assert len(messages_to(world, phone)) <= 2


def test_a_key_is_forgotten_after_24_hours(world: World) -> None:
    api, seed = world.api(), world.seed(quota=5)
    body = {"issuer_id": seed.id, "channel": "link"}
    first = api.post("/v1/invites", body, headers=KEY)
    world.clock.advance(DAY - HOUR)
    world.work()
    assert api.post("/v1/invites", body, headers=KEY).data == first.data
    world.clock.advance(HOUR)
    fresh = api.post("/v1/invites", body, headers=KEY)  # the sweep has not met the old row yet
    assert fresh.data != first.data
    assert api.post("/v1/invites", body, headers=KEY).data == fresh.data
    world.clock.advance(2 * DAY)
    world.work()
    ok(api.post("/v1/invites", body | {"max_uses": 2}, headers=KEY), 201)


def test_a_registration_repeated_makes_one_member_and_shows_its_codes_again(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    code = link(api, seed.id)["code"]
    proof = world.verify(api, world.phone(), "registration", invite_code=code)
    body = {"invite_code": code, "proof": proof}
    first = ok(api.post("/v1/registrations", body, headers=KEY), 201)
    again = ok(api.post("/v1/registrations", body, headers=KEY), 201)
    assert first == again
    assert len(ok(api.get("/v1/members"))["data"]) == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(world: World, key: str) -> None:
    api, seed = world.api(), world.seed(quota=1)
    body = {"issuer_id": seed.id, "channel": "link"}
    headers = {"Idempotency-Key": key.encode().decode("latin-1")}
    no(api.post("/v1/invites", body, headers=headers), 400, "header_invalid")
    assert quota(api, seed.id)["available"] == 1


def test_a_key_of_255_characters_is_taken(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    body = {"issuer_id": seed.id, "channel": "link"}
    ok(api.post("/v1/invites", body, headers={"Idempotency-Key": "k" * 255}), 201)
