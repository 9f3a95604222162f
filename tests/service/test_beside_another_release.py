"""Two releases beside each other on one store: neither undoes the other's work, and both go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from identity_service.app import create_app, services_of
from identity_service.container import Container
from identity_service.db.tables import marks
from identity_service.errors import SYSTEM, Misconfigured
from identity_service.policy.rules import default_text
from identity_service.ports import HOUR, SECOND
from identity_service.services import policy_book
from identity_service.services.policy_book import Announce
from tests.races.soundness import number
from tests.service.steps import ok, stop_clock
from tests.service.test_earning import GOOD, issue, review, seen, settle, write
from tests.support.world import World


@pytest.fixture
def other(world: World, tmp_path: Path) -> Iterator[Container]:
    """The service with another policy in its settings, on the same store."""
    stop_clock(world)
    file = tmp_path / "policy.toml"
    file.write_text(default_text().replace('aged_after = "180d"', 'aged_after = "181d"'))
    services = services_of(
        create_app(world.settings.model_copy(update={"policy_file": str(file)}), clock=world.clock)
    )
    yield services
    services.store.engine.dispose()


def step_in_turn(world: World, other: Container, most: int) -> int:
    """Let both review in turn until neither has anything to do; return how many turns that took."""
    for turn in range(most):
        due = [one for one in (world.services, other) if one.store.query(SYSTEM, one.reviews.is_due)]
        for one in due:
            one.store.transact(SYSTEM, one.reviews.step)
        if not due:
            return turn
    return most


def mark(world: World) -> str:
    query = marks.select().where(marks.c.name == "reviews.policy")
    return str(world.query(lambda tx: tx.select(query))[0].text)


def test_two_policies_of_settings_are_each_spread_once_an_hour_and_the_work_ends(
    world: World, other: Container
) -> None:
    for _ in range(5):
        world.seed()
    assert step_in_turn(world, other, 60) < 30
    world.clock.advance(HOUR)
    assert 0 < step_in_turn(world, other, 60) < 30, "whoever is left after an upgrade has the last word"


def test_a_process_that_knows_only_the_settings_does_not_spread_them_over_what_was_announced(
    world: World, other: Container
) -> None:
    world.seed()
    step_in_turn(world, other, 60)
    announced = default_text().replace('version = "2026-11-1"', 'version = "next"')
    world.transact(
        lambda tx: world.services.policies.announce(tx, Announce(text=announced, reason="x", after=0))
    )
    world.clock.advance(2 * SECOND)
    assert step_in_turn(world, other, 60) < 30
    assert mark(world).startswith("1.")


def test_a_policy_that_a_release_cannot_read_is_left_to_those_that_can(
    world: World, other: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.seed()
    step_in_turn(world, other, 60)
    announced = default_text().replace('version = "2026-11-1"', 'version = "next"')
    world.transact(
        lambda tx: world.services.policies.announce(tx, Announce(text=announced, reason="x", after=0))
    )
    world.clock.advance(2 * SECOND)

    def cannot(text: str, name: str) -> None:
        raise Misconfigured(f"{name}: a rule of the next release")

    with monkeypatch.context() as older:
        older.setattr(policy_book, "parse_stored", cannot)
        before = mark(world)
        assert not other.store.query(SYSTEM, other.reviews.is_due)
        assert other.store.transact(SYSTEM, other.reviews.step) == 0
        assert mark(world) == before
    review(world)
    assert mark(world).startswith("1."), "the newer release makes everybody due"


@pytest.mark.parametrize("then", ["invite", "expire"])
def test_what_a_process_without_quota_earned_drew_is_counted_right_by_the_next_that_draws(
    world: World, then: str
) -> None:
    stop_clock(world)
    api, member = world.api(), world.seed().id
    write(world, member, **GOOD, joined_at=world.clock.now() - 40 * 24 * HOUR)
    settle(world, api, member)
    assert number(world, "SELECT quota_earned FROM members") == 1
    soon = 90 * 24 * HOUR if then == "invite" else 61 * 24 * HOUR
    world.grant(member, 1)
    lapses = "UPDATE quota_lots SET expires_at = :at WHERE kind = 'grant'"
    world.transact(lambda tx: tx.connection.execute(text(lapses), {"at": world.clock.now() + soon}))
    draw = "UPDATE members SET quota_available = quota_available - 1, quota_spent = quota_spent + 1"
    lot = "UPDATE quota_lots SET remaining = remaining - 1 WHERE kind = 'earn'"
    for statement in (draw, lot):  # as the release before did: the sum, then the first lot
        world.transact(lambda tx, one=statement: tx.connection.execute(text(one)))
    assert number(world, "SELECT quota_earned FROM members") == 1, "the drift"
    if then == "invite":
        seen(api, member)
        ok(issue(api, member), 201)
    else:
        world.clock.advance(soon + SECOND)
        world.worker.housekeep()
    assert number(world, "SELECT quota_available FROM members") == 0
    assert number(world, "SELECT quota_earned FROM members") == 0
