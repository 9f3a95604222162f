"""Nobody can spend, lock or watch what is another's."""

from __future__ import annotations

from collections.abc import Callable

from identity_service.ports import DAY, HOUR, MINUTE
from tests.service.steps import no, ok, policy_with, start, stop_clock
from tests.support.world import Api, World


def _spend_the_day(world: World, api: Api, phone: str, **fields: str) -> None:
    for _ in range(5):
        start(api, phone, "login", **fields)
        world.clock.advance(10 * MINUTE)


def test_a_stranger_at_another_address_cannot_take_the_owners_trickle(world: World) -> None:
    stop_clock(world)
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    stranger, owner = {"client_ip": "203.0.113.7"}, {"client_ip": "198.51.100.9"}
    _spend_the_day(world, api, phone, **stranger)
    start(api, phone, "login", **stranger)  # the stranger's trickle
    world.clock.advance(HOUR)
    no(
        api.post("/v1/verifications", {"purpose": "login", "phone": phone, **stranger}),
        429,
        "send_budget_spent",
    )
    start(api, phone, "login", **owner)  # the owner's own
    assert len(world.inbox(phone)) == 1  # the newest; the codes before it were over when the worker came


def test_many_strangers_together_get_no_more_than_a_few(world: World) -> None:
    stop_clock(world)
    api, phone = world.api(), world.phone()
    world.seed(phone=phone)
    _spend_the_day(world, api, phone)
    taken = 0
    for n in range(12):
        body = {"purpose": "login", "phone": phone, "client_ip": f"203.0.113.{n}"}
        taken += api.post("/v1/verifications", body).status_code == 202
        world.clock.advance(50 * MINUTE)  # past any cool-down in between, and within the day
    assert taken <= 6


def test_that_the_owner_came_by_a_known_device_shows_nobody_in_another_lane(world: World) -> None:
    stop_clock(world)
    owner, watcher, phone = world.api(), world.api(), world.phone()
    seed = world.seed(quota=1)
    token = world.join(owner, seed.id, phone)["device_token"]
    world.clock.advance(DAY)
    start(watcher, phone, "login")
    world.clock.advance(31 * 1_000_000)
    start(watcher, phone, "login")
    world.verify(owner, phone, "login", device_token=token)
    refused = watcher.post("/v1/verifications", {"purpose": "login", "phone": phone})
    no(refused, 429, "send_cooldown")
    assert int(refused.headers["Retry-After"]) > 30


def test_the_breaker_counts_every_wrong_guess_not_only_the_fifth(new_world: Callable[..., World]) -> None:
    world = new_world(policy_file=policy_with(wrong_guesses_an_hour_break="8"))
    api = world.api()
    for _ in range(2):
        phone = world.phone()
        world.seed(phone=phone)
        started = start(api, phone, "login")
        wrong = "000000" if world.otp(phone) != "000000" else "000001"
        for _ in range(4):
            no(api.post(f"/v1/verifications/{started['id']}/check", {"code": wrong}), 422, "code_incorrect")
    refused = api.post("/v1/verifications", {"purpose": "login", "phone": world.phone()})
    assert "challenge" in no(refused, 403, "proof_of_work_required")


def test_a_callback_may_not_send_without_end(world: World) -> None:
    http = world.app.test_client()
    answer = http.post("/callbacks/twilio/status", data={"x": "y" * 70_000})
    assert answer.status_code in (404, 413)
    assert answer.mimetype == "application/problem+json"
    assert ok(http.get("/healthz"))
