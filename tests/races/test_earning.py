"""Earning: a period is paid once, by however many workers; what was earned is spent once, and by right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from identity_service.db.store import Tx
from identity_service.db.tables import members
from identity_service.errors import SYSTEM, Refused
from identity_service.ports import DAY
from identity_service.services.invites import IssueInvite
from identity_service.services.reviews import Reviews
from identity_service.services.sanctions import Action, Impose
from tests.races.contenders import Request, contend, contend_with, race, tally
from tests.races.soundness import number
from tests.service.test_earning import GOOD
from tests.support.world import OPERATOR, Api, World

pytestmark = pytest.mark.race
_LATER = 31 * DAY
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_EARNED = "SELECT count(*) FROM quota_entries WHERE kind = 'earn'"


def ready(world: World, count: int) -> list[str]:
    """Members who joined 31 days ago, are in good standing, and are due."""
    ids = [world.seed().id for _ in range(count)]
    world.clock.advance(_LATER)
    now = world.clock.now()
    change = members.update().values(**GOOD, last_seen_at=now, review_at=0)
    world.transact(lambda tx: tx.change(change))
    return ids


def review_all(world: World, limit: int = 7) -> int:
    """What a worker does, in small batches, until nobody is due."""
    services, done = world.services, 0
    step: Callable[[Tx], int] = partial(services.reviews.step, limit=limit)
    while services.store.query(SYSTEM, services.reviews.is_due):
        done += services.store.transact(SYSTEM, step)
    return done


def test_a_period_is_paid_once_by_8_workers(world: World) -> None:
    """Fault: two workers take the same member, or one takes it again before the other has committed."""
    ids = ready(world, 40)
    race([partial(review_all, world)] * 8)
    assert number(world, _EARNED) == len(ids)
    assert number(world, "SELECT min(quota_available) FROM members") == 1
    assert number(world, "SELECT max(quota_available) FROM members") == 1
    told = "SELECT count(*) FROM journal WHERE type = 'member.level_changed'"
    assert number(world, told) == len(ids)
    world.clock.advance(7 * DAY)
    race([partial(review_all, world)] * 8)
    assert number(world, _EARNED) == 2 * len(ids)


def test_a_worker_that_dies_before_the_commit_pays_nothing_and_the_next_one_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: the claim of a member outlives the worker that claimed it."""
    ids = ready(world, 12)
    look, looked = Reviews._review, 0

    def dies(self: Reviews, tx: Tx, row: object) -> None:
        nonlocal looked
        look(self, tx, row)
        looked += 1
        if looked % 5 == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Reviews, "_review", dies)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            world.transact(world.services.reviews.step)
    monkeypatch.undo()
    assert number(world, _EARNED) == 0
    review_all(world)
    assert number(world, _EARNED) == len(ids)


def test_a_second_payment_of_a_period_breaks_a_constraint(world: World) -> None:
    """Behind the guard on the member's row stands a unique rule of the store."""
    ready(world, 1)
    review_all(world)
    again = members.update().values(earn_from=None, review_at=0)
    world.transact(lambda tx: tx.change(again))
    paid = number(world, "SELECT period_at FROM quota_entries WHERE kind = 'earn'")
    world.transact(lambda tx: tx.change(members.update().values(earn_from=paid)))
    with pytest.raises(Exception, match=r"uq_quota_entries_period|UNIQUE"):
        world.transact(world.services.reviews.step)
    assert number(world, _EARNED) == 1


def invite(api: Api, issuer_id: str) -> Request:
    return Request(api=api, path="/v1/invites", json={"issuer_id": issuer_id, "channel": "link"})


def test_the_last_earned_and_the_last_granted_invite_go_to_two_of_40(world: World) -> None:
    """Attack: double spending where a member's invites are of two kinds."""
    api, (issuer,) = world.api(), ready(world, 1)
    review_all(world)
    world.grant(issuer, 1)
    outcomes = tally(contend(world, [invite(api, issuer)] * 40))
    assert outcomes == {"201": 2, "409 quota_exhausted": 38}
    assert number(world, "SELECT quota_earned FROM members") == 0


def test_earned_invites_are_not_spent_after_the_conditions_fail(world: World) -> None:
    """Attack: spending at the moment at which a score falls; what is granted stays spendable."""
    api, (issuer,) = world.api(), ready(world, 1)
    for _ in range(3):
        review_all(world)
        world.clock.advance(7 * DAY)
        fresh = members.update().values(last_seen_at=world.clock.now(), review_at=0)
        world.transact(lambda tx, fresh=fresh: tx.change(fresh))
    review_all(world)
    world.grant(issuer, 2)
    fall = members.update().values(trust_log_odds=-1.0)
    answers = contend_with(
        world, [invite(api, issuer)] * 20, lambda: world.transact(lambda tx: tx.change(fall))
    )
    outcomes = tally(answers)
    spent = outcomes["201"]
    assert 2 <= spent <= 6
    assert set(outcomes) <= {"201", "409 trust_too_low", "409 quota_exhausted"}
    assert number(world, "SELECT quota_available FROM members") == 6 - spent
    left = tally(contend(world, [invite(api, issuer)] * 5))
    assert left.keys() <= {"409 trust_too_low", "409 quota_exhausted"}


def test_reviews_grants_sanctions_and_invites_at_once_leave_the_ledger_sound(world: World) -> None:
    """Fault: locks taken in different orders, or a sum computed from a row that another has changed."""
    api, ids = world.api(), ready(world, 10)
    grant = {"batch_id": "b", "member_ids": ids[::-1], "amount": 2, "reason": "x"}
    freeze = {"action": "freeze_invites", "reason_code": "x", "explanation": "A test."}
    requests = [
        *(invite(api, one) for one in ids for _ in range(2)),
        Request(api=api, path="/v1/quota-grants", json=grant),
        *(Request(api=api, path=f"/v1/members/{one}/sanctions", json=freeze) for one in ids[:3]),
    ]
    answers = contend_with(world, requests, *[partial(review_all, world)] * 3)
    assert all(answer.status < 500 for answer in answers)
    review_all(world)
    assert number(world, _EARNED) <= len(ids)


def test_whoever_waits_for_the_members_row_judges_by_the_sanction_that_held_it(world: World) -> None:
    """Fault: PostgreSQL locks the row after the wait and reads the sanctions as they were before it."""
    if world.store == "sqlite":
        pytest.skip("SQLite has one writer")
    [member] = ready(world, 1)
    review_all(world)
    services, told = world.services, list[str]()
    judged = Impose(
        member_id=member, action=Action.WARN, reason_code="sold_invites", explanation="sold what was given"
    )

    def spend() -> None:
        try:
            services.store.transact(
                OPERATOR, lambda tx: services.invites.issue(tx, IssueInvite(issuer_id=member))
            )
            told.append("issued")
        except Refused as refused:
            told.append(refused.code)

    spender = threading.Thread(target=spend)
    with services.store.write(OPERATOR) as tx:
        services.sanctions.impose(tx, judged)
        spender.start()
        patience = time.monotonic() + 10
        while not number(world, _WAITING) and time.monotonic() < patience:
            time.sleep(0.02)
    spender.join()
    assert len(told) == 1
    assert told != ["issued"]
    assert number(world, "SELECT quota_available FROM members") == 1
