"""Earning: levels that are reached and lost, allowances once a period, and what they may be spent on."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.db.tables import members
from identity_service.policy.rules import default_text
from identity_service.ports import DAY, HOUR, SECOND, Instant, rfc3339
from tests.service.steps import Body, entries, link, no, ok, quota, sanction, stop_clock
from tests.service.test_policy_book import announce, events
from tests.support.world import Api, World

GOOD = {"trust_log_odds": 3.0, "trust_conduct": 3.0, "trust_standing": 1.0, "trust_from_inviter": 2.0}


def write(world: World, member_id: str, **columns: Any) -> None:
    """Write columns of a member's row as the trust model or time would."""
    world.transact(lambda tx: tx.change(members.update().where(members.c.id == member_id).values(**columns)))


def review(world: World) -> None:
    """Let the worker look at whoever is due."""
    while world.worker.review():
        pass


def seen(api: Api, member_id: str) -> None:
    ok(api.post(f"/v1/members/{member_id}/signals", {"kind": "activity"}), 202)


def settle(world: World, api: Api, member_id: str, **columns: Any) -> None:
    """A member of good standing who was here a moment ago, looked at."""
    write(world, member_id, **(GOOD | columns), review_at=0)
    seen(api, member_id)
    review(world)


def eligible(api: Api, member_id: str) -> Body:
    return ok(api.get(f"/v1/members/{member_id}/invite-eligibility"))


def rule(told: Body, name: str) -> Body:
    return next(dict(one) for one in told["rules"] if one["rule"] == name)


def level(api: Api, member_id: str) -> str:
    return str(ok(api.get(f"/v1/members/{member_id}"))["trust"]["level"])


def earned(api: Api, member_id: str) -> list[int]:
    return [entry["amount"] for entry in entries(api, member_id) if entry["kind"] == "earn"]


def grant_for_a_while(world: World, api: Api, member_id: str, amount: int) -> None:
    """Grant what expires before anything that is earned."""
    soon = rfc3339(world.clock.now() + 9 * DAY)
    ok(
        api.post(
            "/v1/quota-grants",
            {"member_ids": [member_id], "amount": amount, "reason": "x", "expires_at": soon},
        )
    )


def issue(api: Api, member_id: str, **fields: Any) -> Any:
    return api.post("/v1/invites", {"issuer_id": member_id, "channel": "link", **fields})


@pytest.fixture
def grown(world: World) -> tuple[Api, str]:
    """A member of 31 days, in good standing, who was just looked at: a first invite is earned."""
    stop_clock(world)
    api, seed = world.api(), world.seed()
    world.clock.advance(31 * DAY)
    settle(world, api, seed.id)
    return api, seed.id


def test_a_newcomer_earns_nothing_and_is_told_when_the_first_invite_comes(world: World) -> None:
    stop_clock(world)
    api, seed = world.api(), world.seed()
    settle(world, api, seed.id)
    told = eligible(api, seed.id)
    first = seed.joined_at + 30 * DAY
    assert (told["allowed"], told["available"], told["level"]) == (False, 0, "new")
    assert rule(told, "age")["earliest_at"] == told["next_grant_at"] == rfc3339(first)
    no(issue(api, seed.id), 409, "quota_exhausted")
    # `seen_within` is thirty days as well: on the day itself the member is still active.
    world.clock.advance(30 * DAY - SECOND)
    review(world)
    assert (eligible(api, seed.id)["allowed"], level(api, seed.id)) == (False, "new")
    world.clock.advance(SECOND)
    review(world)
    told = eligible(api, seed.id)
    assert (told["allowed"], told["earned"], told["level"]) == (True, 1, "member")
    assert ok(issue(api, seed.id), 201)["issuer_id"] == seed.id


def test_an_allowance_comes_once_a_period_up_to_the_cap_and_lapses(
    world: World, grown: tuple[Api, str]
) -> None:
    api, member = grown
    for _ in range(3):
        review(world)
    assert earned(api, member) == [1]
    for _ in range(6):
        world.clock.advance(7 * DAY)
        seen(api, member)
        review(world)
    assert earned(api, member) == [1] * 4, "the cap of a member is four"
    assert eligible(api, member)["next_grant_at"] is None
    for _ in range(3):
        ok(issue(api, member), 201)
    world.clock.advance(7 * DAY)
    review(world)
    assert earned(api, member) == [1] * 5
    world.clock.advance(61 * DAY)
    world.worker.housekeep()
    assert quota(api, member)["available"] == 0, "what was earned lapses after sixty days"


def test_missed_periods_are_not_made_up_for(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    world.clock.advance(50 * DAY)
    review(world)
    assert earned(api, member) == [1], "who is away earns nothing"
    seen(api, member)
    review(world)
    assert earned(api, member) == [1, 1], "who comes back earns the period that is running"
    world.clock.advance(7 * DAY - SECOND)
    review(world)
    assert earned(api, member) == [1, 1]
    world.clock.advance(SECOND)
    review(world)
    assert earned(api, member) == [1, 1, 1]


def test_a_level_that_is_reached_and_lost_is_told(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    write(world, member, trust_log_odds=0.1, review_at=0)
    review(world)
    assert level(api, member) == "member", "the minimum stay"
    world.clock.advance(14 * DAY)
    review(world)
    assert level(api, member) == "new"
    world.worker.sequence()  # and not the trust model, which would mend the score
    told = [event["data"] for event in events(api, "member.level_changed")]
    assert [(one["before"], one["after"], one["cause"]) for one in told] == [
        ("new", "member", "rules"),
        ("member", "new", "rules"),
    ]


def test_what_was_earned_cannot_be_spent_while_a_condition_fails_and_what_was_granted_can(
    world: World, grown: tuple[Api, str]
) -> None:
    api, member = grown
    write(world, member, trust_log_odds=0.1)
    told = eligible(api, member)
    assert (told["allowed"], told["available"], told["may_give_earned"]) == (False, 1, False)
    refused = no(issue(api, member), 409, "trust_too_low")
    assert (refused["rule"], refused["value"], refused["threshold"]) == ("log_odds", 0.1, 0.5)
    assert refused["policy_version"] == "2026-11-1"
    world.grant(member, 2)
    assert eligible(api, member)["allowed"]
    no(issue(api, member, max_uses=3), 409, "trust_too_low")
    made = link(api, member, max_uses=2)
    assert eligible(api, member)["available"] == 1
    no(issue(api, member), 409, "trust_too_low")
    ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "x"}))
    told = eligible(api, member)
    assert (told["granted"], told["earned"], told["allowed"]) == (2, 1, True)
    write(world, member, trust_log_odds=3.0)
    link(api, member, max_uses=3)
    assert quota(api, member)["available"] == 0


def test_what_expires_first_is_spent_first_whether_granted_or_earned(
    world: World, grown: tuple[Api, str]
) -> None:
    api, member = grown
    grant_for_a_while(world, api, member, 1)
    world.grant(member, 1)  # for ever
    for granted, left in ((1, 1), (1, 0), (0, 0)):
        link(api, member)
        told = eligible(api, member)
        assert (told["granted"], told["earned"]) == (granted, left)


def test_an_earned_invite_that_is_revoked_comes_back_as_earned(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    made = link(api, member)
    ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "x"}))
    assert (eligible(api, member)["granted"], eligible(api, member)["earned"]) == (0, 1)
    write(world, member, trust_conduct=-1.0)
    no(issue(api, member), 409, "conduct_too_low")


def test_a_sanction_stops_earning_at_once_and_its_end_starts_it_again(
    world: World, grown: tuple[Api, str]
) -> None:
    api, member = grown
    until = rfc3339(world.clock.now() + 10 * DAY)
    sanction(api, member, "freeze_invites", expires_at=until)
    told = eligible(api, member)
    assert (told["allowed"], told["next_grant_at"]) == (False, None)
    assert rule(told, "invites_not_frozen")["earliest_at"] == until
    world.clock.advance(9 * DAY)
    review(world)
    assert earned(api, member) == [1]
    world.clock.advance(DAY)
    world.worker.housekeep()
    review(world)
    assert earned(api, member) == [1, 1]
    assert eligible(api, member)["allowed"]


def test_a_judged_seller_of_invites_earns_none_and_gives_none_until_the_sanction_ends(
    world: World, grown: tuple[Api, str]
) -> None:
    api, member = grown
    until = rfc3339(world.clock.now() + 20 * DAY)
    sanction(api, member, "warn", reason_code="sold_invites", expires_at=until)
    refused = no(issue(api, member), 409, "invites_misused")
    assert refused["earliest_at"] == until
    assert refused["rule"] == "not_adjudicated"


def test_invitees_who_are_banned_cost_the_right_to_earn(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    grant_for_a_while(world, api, member, 4)
    for _ in range(4):
        sanction(api, world.join(api, member)["member"]["id"], "ban")
    share = rule(eligible(api, member), "invitees_banned_share")
    assert (share["value"], share["threshold"], share["passed"]) == (pytest.approx(0.3), 0.2, False)
    no(issue(api, member), 409, "invitees_banned")


def test_open_invites_are_capped_for_earned_ones(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    grant_for_a_while(world, api, member, 8)
    link(api, member, max_uses=8, expires_in="5d")
    refused = no(issue(api, member), 409, "too_many_open_invites")
    assert refused["value"] == 8
    assert refused["earliest_at"] == rfc3339(world.clock.now() + 5 * DAY)
    world.clock.advance(5 * DAY)
    link(api, member)


def test_a_score_that_crosses_a_threshold_makes_the_member_due_and_another_move_does_not(
    world: World, grown: tuple[Api, str]
) -> None:
    _, member = grown

    class Moved:
        def __init__(self, before: float, now: float) -> None:
            self.member = member
            self.before, self.now = (before, 3.0, 1.0, 2.0), (now, 3.0, 1.0, 2.0)

    def is_due(before: float, now: float) -> bool:
        reviews = world.services.reviews
        world.transact(lambda tx: reviews.on_scores_moved(tx, [Moved(before, now)]))
        found = bool(world.query(reviews.is_due))
        review(world)
        return found

    assert not is_due(3.0, 2.9)
    assert is_due(0.9, 0.7)
    assert is_due(0.7, 0.9)
    assert is_due(float("nan"), 2.0)


def test_another_policy_makes_everybody_due_and_takes_effect(world: World, grown: tuple[Api, str]) -> None:
    api, member = grown
    stricter = default_text().replace("2026-11-1", "strict")
    for old, new in (("log_odds = 0.8", "log_odds = 4.0"), ("log_odds = 0.5", "log_odds = 3.5")):
        stricter = stricter.replace(old, new, 1)  # of the level member, which comes first
    announce(world, stricter.replace('minimum_stay = "14d"', "", 1))
    world.clock.advance(2 * SECOND)
    review(world)
    assert level(api, member) == "new"
    assert rule(eligible(api, member), "log_odds")["threshold"] == 4.0
    no(issue(api, member), 409, "trust_too_low")


def test_a_seed_with_a_grant_invites_at_once(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    assert eligible(api, seed.id)["allowed"]
    link(api, seed.id)


def test_time_alone_is_asked_for_when_it_can_change_something_and_not_before(
    world: World, grown: tuple[Api, str]
) -> None:
    _, member = grown

    def review_at() -> Instant | None:
        row = members.select().where(members.c.id == member)
        found: Instant | None = world.query(lambda tx: tx.select(row))[0].review_at
        return found

    assert review_at() == world.clock.now() + 7 * DAY
    assert not world.query(world.services.reviews.is_due)
    write(world, member, state="erased", phone_id=None, review_at=0)
    review(world)
    assert review_at() is None


def test_one_member_that_cannot_be_settled_stops_nobody_else(
    world: World, grown: tuple[Api, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, member = grown
    broken = world.seed()
    world.clock.advance(7 * DAY)
    write(world, broken.id, review_at=0)
    reviews = world.services.reviews
    look = type(reviews)._review

    def fails(self: Any, tx: Any, row: Any) -> None:
        if row.id == broken.id:
            raise ArithmeticError
        look(self, tx, row)

    monkeypatch.setattr(type(reviews), "_review", fails)
    world.worker._guarded("review", world.worker.review)
    assert earned(api, member) == [1, 1]
    assert not world.query(reviews.is_due)
    monkeypatch.undo()
    world.clock.advance(HOUR)
    assert world.query(reviews.is_due)
