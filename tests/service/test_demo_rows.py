"""The generated demo: the store holds what was drawn, every rule holds, and the same seed gives the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import text

from graph.growth.facts import DAY, NEVER
from graph.growth.synthetic import synthetic
from identity_service.db import migrate
from identity_service.errors import SYSTEM, Refused
from identity_service.services.demo_rows import generate
from identity_service.services.report_columns import NOTHING, read_since
from tests.races.soundness import broken_rules, number
from tests.support.world import World

SIZE = 2_000


def fill(world: World, until: int, seed: int = 1, size: int = SIZE) -> None:
    store = world.services.store
    generate(store, SYSTEM, count=size, seed=seed, until=until, level="new", told=lambda what, done, of: None)


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


# Everything that a schema is, in the store's own words.
_SCHEMA = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%'"
    " ORDER BY type, name",
    "postgresql": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT table_name, column_name, data_type, concat(is_nullable, column_default)
            FROM information_schema.columns WHERE table_schema = 'public'
        ORDER BY 1, 2, 3""",
}


def schema(world: World) -> list[tuple[str, ...]]:
    rows = world.query(lambda tx: tx.select(text(_SCHEMA[world.store])))
    return [tuple(" ".join(str(part).split()) for part in row) for row in rows]


def test_the_schema_is_the_same_to_the_letter_and_the_store_lives(world: World, until: int) -> None:
    before = schema(world)
    fill(world, until)
    assert schema(world) == before
    assert migrate.differences(world.services.store.engine) == []
    seed = world.seed(quota=1)
    assert world.join(world.api(), seed.id)["member"]["inviter_id"] == seed.id


_KILLED = """
import os, signal, sys
from sqlalchemy import event
from identity_service.config import Settings
from identity_service.container import build, open_engine
from identity_service.errors import SYSTEM
from identity_service.services.demo_rows import generate

url, stage = sys.argv[1:]
settings = Settings(database_url=url)
engine = open_engine(settings)
if engine.dialect.name == "sqlite":  # a cache so small that much is in the file before the end
    event.listen(engine, "checkout", lambda raw, *_: raw.execute("PRAGMA cache_size=20"))

def told(what, done, of):
    if what == stage and done:
        os.kill(os.getpid(), signal.SIGKILL)

generate(build(settings, engine).store, SYSTEM, count=2_000, seed=1, until=1_750_000_000_000_000,
         level="new", told=told)
"""


@pytest.mark.parametrize("stage", ["quota entries", "indexes and keys"])
def test_what_is_killed_on_its_way_leaves_an_empty_store(
    world: World, store_url: str, until: int, stage: str
) -> None:
    before = schema(world)
    world.services.store.engine.dispose()
    command = [sys.executable, "-c", _KILLED, store_url, stage]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=100)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    # On SQLite the file holds a part by then, and beside it stands what undoes that.
    assert [path.suffix for path in world.files() if "journal" in path.name] == (
        [".sqlite3-journal"] if world.store == "sqlite" else []
    )
    for table in ("members", "invites", "phones", "quota_entries", "clients"):
        assert number(world, f"SELECT count(*) FROM {table}") == 0
    assert schema(world) == before
    fill(world, until, size=50)
    assert broken_rules(world) == {}


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
