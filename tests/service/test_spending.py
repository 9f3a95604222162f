"""Caps in money: each scope by itself, exactly, and never against an owner."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from identity_service.db.tables import SPEND_PARTS
from identity_service.errors import Refused
from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from identity_service.services.spending import Payer
from sms.numbers import parse
from sms.prices import parse_prices
from tests.service.steps import campaign_link, link, no, ok, policy_with, sms, start, stop_clock
from tests.support.world import Api, World

MakeWorld = Callable[..., World]
PART = HOUR // SPEND_PARTS


def make(new_world: MakeWorld, route: str = "inbox", **caps: str) -> World:
    """A world where a message by the inbox costs 10 cents, with caps of the test's choice."""
    wide = {"prefix": "[100, 100]", "inviter": "[100, 100]", "branch": "[100, 100]", "country": "[100, 100]"}
    world = new_world(policy_file=policy_with(**(wide | {"all": "[100, 100]"} | caps)), sms_route=route)
    stop_clock(world)
    world.clock.advance(HOUR - world.clock.now() % HOUR)
    prices = parse_prices("provider,place,usd,as_of\ninbox,*,0.10,2026-11-22\n")
    world.transact(lambda tx: world.services.prices.keep(tx, prices, "test"))
    return world


def spent(world: World, scope: str) -> list[tuple[float, float]]:
    """What was spent of the hour in a scope, and the part of members' own."""
    found = world.query(world.services.spending.now)
    return [(one.hour / 1e6, one.hour_own / 1e6) for one in found if one.scope == scope]


def invite(api: Api, issuer: str, phone: str) -> int:
    body = {"issuer_id": issuer, "channel": "sms", "phone": phone}
    return api.post("/v1/invites", body).status_code


def test_an_inviter_is_refused_when_the_hours_money_is_spent_and_goes_on_with_the_next(
    new_world: MakeWorld,
) -> None:
    world = make(new_world, prefix="[0.5, 0.5]", inviter="[0.5, 0.9]")
    api, issuer = world.api(), world.seed(quota=50).id
    phones = [f"+7916{n:03d}0000" for n in range(100, 130)]
    assert [invite(api, issuer, phone) for phone in phones[:6]] == [201] * 5 + [429]
    body = {"issuer_id": issuer, "channel": "sms", "phone": phones[6]}
    problem = no(api.post("/v1/invites", body), 429, "spend_cap_reached")
    assert problem["scope"] == "inviter"
    wait = int(api.post("/v1/invites", body).headers["Retry-After"]) * SECOND
    assert HOUR <= wait <= HOUR + PART
    assert spent(world, "inviter") == [(0.5, 0)]
    world.clock.advance(wait - SECOND)
    assert invite(api, issuer, phones[6]) == 429
    world.clock.advance(SECOND)
    assert [invite(api, issuer, phone) for phone in phones[7:12]] == [201] * 4 + [429], "the day's 90 cents"
    refused = api.post("/v1/invites", body)
    assert int(refused.headers["Retry-After"]) > 20 * 3600, "not before tomorrow"
    assert world.seed(quota=1).id
    assert invite(api, world.seed(quota=1).id, phones[20]) == 201, "another inviter is free"
    world.clock.advance(int(refused.headers["Retry-After"]) * SECOND)
    assert invite(api, issuer, phones[21]) == 201


def test_no_hour_costs_more_than_its_cap_wherever_it_begins_and_money_comes_back(
    new_world: MakeWorld,
) -> None:
    """Fault: hours by the clock let twice a cap through around a full hour, and days around midnight."""
    world = make(new_world, prefix="[0.5, 0.9]")
    draws, taken = random.Random(7), []
    for _ in range(250):
        world.clock.advance(draws.randrange(0, 12 * MINUTE))
        if charged(world):
            taken.append(world.clock.now())
    assert len(taken) >= 8
    for window, most in ((HOUR, 5), (DAY, 9)):
        for first in taken:
            assert sum(first <= at < first + window for at in taken) <= most
    day, since = 4 * HOUR, taken[0]
    assert sum(since <= at < since + DAY + day for at in taken) >= 9, "all that a day allows is had"


def test_what_was_spent_in_an_hours_last_minute_counts_in_the_next(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.5, 9]")
    world.clock.advance(HOUR - MINUTE)
    assert [charged(world) for _ in range(6)] == [True] * 5 + [False]
    for minutes in (2, 30, 27):
        world.clock.advance(minutes * MINUTE)
        assert not charged(world)
    world.clock.advance(MINUTE + PART)
    assert [charged(world) for _ in range(6)] == [True] * 5 + [False]


def test_a_process_whose_clock_is_behind_charges_the_part_that_runs(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.5, 9]")
    assert charged(world)
    world.clock.advance(-2 * PART)
    assert [charged(world) for _ in range(5)] == [True] * 4 + [False]
    world.clock.advance(2 * PART)
    assert not charged(world)
    assert spent(world, "prefix") == [(0.5, 0)]


def charged(world: World) -> bool:
    """Charge ten cents to one prefix; whether its caps had room."""
    number = parse("+79165550001").e164

    def charge(tx: Any) -> None:
        world.services.spending.charge(tx, to=number, country="RU", payer=Payer(), micros=100_000)

    try:
        world.transact(charge)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("scope", "alike", "other"),
    [
        ("prefix", "+7916555{:04d}", "+79165560001"),
        ("country", "+7916{:03d}0000", "+447400123456"),
        ("all", "+7916{:03d}0000", None),
    ],
)
def test_a_prefix_a_country_and_all_have_caps_of_their_own(
    new_world: MakeWorld, scope: str, alike: str, other: str | None
) -> None:
    narrower = {"prefix": "[0.3, 0.3]"} if scope == "prefix" else {}
    order = ["prefix", "inviter", "branch", "country", "all"]
    caps = narrower or dict.fromkeys(order[: order.index(scope) + 1], "[0.3, 0.3]")
    world = make(new_world, **caps)
    api = world.api()
    issuers = [world.seed(quota=2).id for _ in range(5)]
    for n in range(3):
        assert invite(api, issuers[n], alike.format(100 + n)) == 201
    body = {"issuer_id": issuers[3], "channel": "sms", "phone": alike.format(200)}
    assert no(api.post("/v1/invites", body), 429, "spend_cap_reached")["scope"] == scope
    if other is not None:
        assert invite(api, issuers[4], other) == 201


def test_a_branch_is_what_invitees_cause_three_steps_down(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.2, 9]", inviter="[0.2, 9]", branch="[0.4, 9]")
    api = world.api()
    root = world.seed(quota=1)
    children = [world.seed(quota=9, phone=f"+7916{n}0000000"[:12]).id for n in range(3)]
    _hang_below(world, root.id, children)
    assert [invite(api, children[0], f"+7916{n}0000") for n in (101, 102, 103)] == [201, 201, 429]
    assert [invite(api, children[1], f"+7916{n}0000") for n in (104, 105)] == [201, 201]
    body = {"issuer_id": children[2], "channel": "sms", "phone": "+79161060000"}
    assert no(api.post("/v1/invites", body), 429, "spend_cap_reached")["scope"] == "branch"
    assert invite(api, root.id, "+79161070000") == 201, "the root's own messages are its own"


def _hang_below(world: World, parent: str, children: list[str]) -> None:
    from sqlalchemy import update

    from identity_service.db.tables import members

    for child in children:
        world.transact(
            lambda tx, child=child: tx.change(
                update(members).where(members.c.id == child).values(inviter_id=parent)
            )
        )


def test_a_campaign_has_a_branchs_caps(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.1, 9]", inviter="[0.2, 9]", branch="[0.2, 9]")
    api = world.api()
    code = campaign_link(api, max_uses=50)["code"]
    for n in range(2):
        start(api, f"+7916{n}330000", "registration", invite_code=code)
    body = {"purpose": "registration", "phone": "+79169990000", "invite_code": code}
    assert no(api.post("/v1/verifications", body), 429, "spend_cap_reached")["scope"] == "campaign"


def test_the_global_breaker_leaves_members_their_own_numbers(new_world: MakeWorld) -> None:
    """Attack: burning all the money with invites, so that nobody can log in or recover any more."""
    caps = dict.fromkeys(("prefix", "inviter", "branch", "country", "all"), "[0.2, 0.2]")
    world = make(new_world, **caps)
    api, issuer, owner = world.api(), world.seed(quota=20).id, world.phone()
    world.seed(phone=owner)
    code = link(api, issuer)["code"]
    assert [invite(api, issuer, world.phone()) for _ in range(3)] == [201, 201, 429]
    body = {"purpose": "registration", "phone": world.phone(), "invite_code": code}
    no(api.post("/v1/verifications", body), 429, "spend_cap_reached")
    made = start(api, owner)
    assert world.otp(owner)
    start(api, world.phone(), "recovery")
    assert made["state"] == "pending"
    assert spent(world, "all") == [(0.3, 0.1)]


def test_a_refusal_takes_nothing_of_anything(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.1, 0.1]")
    api, issuer = world.api(), world.seed(quota=5).id
    assert invite(api, issuer, "+79165550001") == 201
    assert invite(api, issuer, "+79165550002") == 429
    assert spent(world, "all") == spent(world, "country") == spent(world, "inviter") == [(0.1, 0)]
    assert ok(api.get(f"/v1/members/{issuer}/quota"))["available"] == 4


def test_a_decoy_costs_nothing_and_is_refused_by_nothing(new_world: MakeWorld) -> None:
    caps = dict.fromkeys(("prefix", "inviter", "branch", "country", "all"), "[0.1, 0.1]")
    world = make(new_world, **caps)
    api = world.api()
    for _ in range(3):
        start(api, world.phone())
    assert spent(world, "all") == [(0, 0)]


def test_a_message_that_no_cap_has_room_for_is_refused_at_once(new_world: MakeWorld) -> None:
    world = make(new_world, prefix="[0.05, 0.05]")
    assert invite(world.api(), world.seed(quota=1).id, world.phone()) == 429


def test_prefixes_stand_only_as_keyed_hashes(new_world: MakeWorld) -> None:
    world = make(new_world)
    invite(world.api(), world.seed(quota=1).id, "+79165550001")
    [subject] = [one.subject for one in world.query(world.services.spending.now) if one.scope == "prefix"]
    assert "916555" not in subject


def test_shards_of_a_wide_scope_add_up_to_its_cap_and_no_more(new_world: MakeWorld) -> None:
    """16 shards of $2.50, filled from one side: every one is asked before anybody is refused."""
    wide = "[40, 100]"
    world = make(new_world, prefix=wide, inviter=wide, branch=wide, country=wide, all=wide)
    spending, number = world.services.spending, parse("+79165550001")

    def charge(tx: Any) -> None:
        spending.charge(tx, to=number.e164, country="RU", payer=Payer(), micros=500_000)

    for _ in range(80):
        world.transact(charge)
    with pytest.raises(Refused):
        world.transact(charge)
    assert spent(world, "all") == [(40, 0)]


def test_old_windows_are_forgotten(new_world: MakeWorld) -> None:
    world = make(new_world)
    invite(world.api(), world.seed(quota=1).id, world.phone())
    assert world.transact(world.services.spending.purge) == 0
    world.clock.advance(10 * DAY)
    assert world.transact(world.services.spending.purge) == 4
    assert world.query(world.services.spending.now) == []


def test_each_message_knows_its_price(new_world: MakeWorld) -> None:
    world = make(new_world)
    api, issuer, phone = world.api(), world.seed(quota=1).id, world.phone()
    made = sms(api, issuer, phone)["id"]
    [queued] = world.query(lambda tx: world.services.timeline.of_subject(tx, made))
    assert (queued.segments, queued.cost) == (1, 100_000)
    world.inbox()
    [sent] = world.query(lambda tx: world.services.timeline.of_subject(tx, made))
    assert (sent.segments, sent.cost, sent.charged) == (1, 100_000, None)


def test_a_free_provider_before_a_priced_one_does_not_switch_the_caps_off(new_world: MakeWorld) -> None:
    """Fault: only the first provider's price counted, whatever it fails over to."""
    world = make(new_world, route="null,inbox", prefix="[0.2, 0.2]", inviter="[0.2, 0.2]")
    api, issuer = world.api(), world.seed(quota=9).id
    assert [invite(api, issuer, world.phone()) for _ in range(3)] == [201, 201, 429]
    world.worker.deliver()
    assert spent(world, "inviter") == [(0.2, 0)]
    rows = world.query(lambda tx: tx.select(text("SELECT provider, cost FROM messages")))
    assert {(row.provider, row.cost) for row in rows} == {("null", 0)}, "what it cost is told by who took it"
