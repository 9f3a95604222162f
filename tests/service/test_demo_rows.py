"""The generated demo: the store holds what was drawn, every rule holds, and the same seed gives the same."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from graph.growth.facts import DAY, NEVER
from graph.growth.synthetic import synthetic
from identity_service.errors import SYSTEM, Refused
from identity_service.services.demo_rows import generate
from identity_service.services.report_columns import NOTHING, read_since
from tests.races.soundness import broken_rules
from tests.support.world import World

SIZE = 2_000


def fill(world: World, until: int, seed: int = 1, size: int = SIZE) -> None:
    store = world.services.store
    generate(store, SYSTEM, count=size, seed=seed, until=until, level="new", moved=lambda rows: None)


@pytest.fixture
def until(world: World) -> int:
    return world.clock.now() // DAY * DAY


def test_every_rule_holds_and_what_was_drawn_is_what_is_read(world: World, until: int) -> None:
    fill(world, until)
    assert broken_rules(world) == {}
    if world.store == "sqlite":
        assert world.query(lambda tx: tx.select(text("PRAGMA foreign_key_check"))) == []
    with world.services.store.read_at_one_instant(SYSTEM) as tx:
        read = read_since(tx, NOTHING).facts.known_at(until)
    drawn = synthetic(SIZE, 1, until).facts
    named = [read.countries[place] for place in read.members.country]
    assert named == [drawn.countries[place] for place in drawn.members.country]
    for part, names in (
        ("members", ("joined", "inviter", "invite", "activated")),
        (
            "invites",
            ("issued", "issuer", "by_sms", "uses", "sent", "delivered", "opened", "verified", "revoked"),
        ),
        ("bans", ("imposed", "member", "is_ban", "expires")),
        ("entries", ("at", "member", "kind", "amount", "invite")),
        ("checks", ("asked", "approved")),
        ("costs", ("at", "micros")),
    ):
        one, other = (
            list(zip(*(getattr(getattr(facts, part), name).tolist() for name in names), strict=True))
            for facts in (read, drawn)
        )
        # What happened at one instant stands in no order.
        assert (one == other) if part in ("members", "invites") else (sorted(one) == sorted(other)), part


def test_the_schema_is_whole_again(world: World, until: int) -> None:
    from identity_service.db import migrate

    engine = world.services.store.engine
    before = migrate.differences(engine)
    fill(world, until)
    assert migrate.differences(engine) == before == []
    seed = world.seed(quota=1)
    assert world.join(world.api(), seed.id)["member"]["inviter_id"] == seed.id


def test_a_store_with_members_is_left_alone(world: World, until: int) -> None:
    member = world.seed()
    with pytest.raises(Refused, match="has members"):
        fill(world, until)
    assert world.query(lambda tx: world.services.members.get(tx, member.id)).id == member.id
    assert world.query(lambda tx: tx.select(text("SELECT count(*) FROM members")))[0][0] == 1


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_small_network_is_one_too(world: World, until: int, size: int) -> None:
    fill(world, until, size=size)
    assert broken_rules(world) == {}


def test_a_seed_gives_one_network_and_another_seed_another() -> None:
    one, again, other = (synthetic(500, seed, 20_000 * DAY).facts for seed in (1, 1, 2))
    assert np.array_equal(one.members.joined, again.members.joined)
    assert np.array_equal(one.entries.amount, again.entries.amount)
    assert not np.array_equal(one.members.joined, other.members.joined)


def test_nothing_happens_before_its_cause() -> None:
    facts = synthetic(5_000, 3, 20_000 * DAY).facts
    people, sent = facts.members, facts.invites
    invited = people.inviter >= 0
    assert (people.joined[people.inviter[invited]] < people.joined[invited]).all()
    assert (sent.issued[people.invite[invited]] < people.joined[invited]).all()
    assert (people.joined[invited] <= sent.expires[people.invite[invited]]).all()
    assert (sent.issuer[people.invite[invited]] == people.inviter[invited]).all()
    by_member = sent.issuer >= 0
    assert (people.joined[sent.issuer[by_member]] <= sent.issued[by_member]).all()
    for before, after in (
        (sent.sent, sent.delivered),
        (sent.issued, sent.sent),
        (sent.requested, sent.verified),
    ):
        both = after != NEVER
        assert (before[both] < after[both]).all()
    balance = np.zeros(len(people), dtype=np.int64)
    for member, amount in zip(facts.entries.member.tolist(), facts.entries.amount.tolist(), strict=True):
        balance[member] += amount
        assert balance[member] >= 0
