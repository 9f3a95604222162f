from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import IntegrityError

from identity_service.db import migrate
from sms.health import Condition
from tests.cli.conftest import Terminal
from tests.support.world import World


@pytest.fixture
def empty(run: Terminal, world: World) -> Terminal:
    """The command line before the very first migration."""
    with world.services.store.engine.begin() as connection:
        if world.store == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
            return run
    world.close()
    for file in Path("var").glob("identity.sqlite3*"):
        file.unlink()
    return run


def test_an_empty_database_is_migrated_once(empty: Terminal) -> None:
    assert empty.json("db", "check", code=1)["revision"] is None
    rehearsed = empty.json("db", "upgrade", "--dry-run")
    assert (rehearsed["was"], rehearsed["revision"], rehearsed["dry_run"]) == (None, None, True)
    done = empty.json("db", "upgrade")
    assert (done["was"], done["revision"]) == (None, done["newest"])
    assert empty.json("db", "check") == {
        "revision": done["newest"],
        "newest": done["newest"],
        "differences": [],
    }
    again = empty("db", "upgrade")
    assert again.stderr == "Nothing to do.\n"
    empty("members", "create", "--seed", "--phone", "+61491570156")


def test_a_table_that_was_changed_by_hand_is_told(run: Terminal, world: World) -> None:
    with world.services.store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE campaigns ADD COLUMN colour VARCHAR(9)"))
    assert "colour" in str(run.json("db", "check", code=1)["differences"])
    assert "colour" in run("doctor", code=1).stdout


def test_a_newer_release_may_have_been_here(run: Terminal, world: World) -> None:
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    run("members", "list")
    assert run("db", "upgrade").stderr == "Nothing to do.\n"
    run("db", "check", code=1)


def test_the_folder_of_a_sqlite_file_is_made(run: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/place/identity.sqlite3"
    run("db", "upgrade", IDENTITY_DATABASE_URL=url)
    run("members", "list", IDENTITY_DATABASE_URL=url)


# -- the doctor ---------------------------------------------------------------------------------------


def _results(run: Terminal, code: int, **env: str) -> dict[str, bool | None]:
    told = json.loads(run("doctor", "--json", code=code, **env).stdout)
    assert told["ok"] is (code == 0)
    return {check["name"]: check["ok"] for check in told["checks"]}


def test_a_service_that_runs_is_well(run: Terminal, world: World) -> None:
    world.work()
    # A throwaway server may run without fsync, which a doctor must not call well.
    lasting = "=off" not in world.services.store.durability()
    found = _results(run, 0 if lasting else 1)
    assert [name for name, ok in found.items() if not ok] == ([] if lasting else ["durability"])
    assert {"settings", "keyring", "policy", "providers", "store", "durability", "schema", "worker"} < set(
        found
    )


def test_a_worker_that_is_gone_is_noticed(run: Terminal, world: World) -> None:
    assert _results(run, 1)["worker"] is False
    world.clock.advance(-60_000_000)
    world.work()
    assert _results(run, 1)["worker"] is False


def test_dead_letters_are_noticed(run: Terminal, world: World) -> None:
    run("invites", "issue", "--campaign", "spring", "--phone", world.phone())
    world.work()
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE messages SET state = 'dead'"))
    assert _results(run, 1)["dead letters"] is False


def test_every_fault_of_the_settings_is_listed(run: Terminal) -> None:
    told = run("doctor", code=1, IDENTITY_ENV="production").stdout
    for name in ("IDENTITY_SMS_ROUTE", "IDENTITY_KEYRING", "IDENTITY_PUBLIC_URL"):
        assert name in told


def test_a_keyring_that_others_may_read_or_that_is_none_is_noticed(run: Terminal, world: World) -> None:
    world.work()
    Path("var/keyring.json").chmod(0o644)
    assert _results(run, 1)["keyring"] is False
    Path("var/keyring.json").chmod(0o600)
    Path("var/keyring.json").write_text("{}")
    found = _results(run, 1)
    assert (found["keyring"], found["schema"], found["worker"]) == (False, True, None)


def test_a_bad_policy_a_missing_store_and_weak_durability_are_noticed(run: Terminal, world: World) -> None:
    assert _results(run, 1, IDENTITY_POLICY_FILE="none.toml")["policy"] is False
    gone = _results(run, 1, IDENTITY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (gone["store"], gone["worker"]) == (False, None)
    if world.store == "sqlite":
        assert _results(run, 1, IDENTITY_SQLITE_SYNCHRONOUS="NORMAL")["durability"] is False


def test_a_doctor_makes_nothing(run: Terminal) -> None:
    before = sorted(Path("var").rglob("*")) if Path("var").exists() else []
    run("doctor", code=1)
    made = set(Path("var").rglob("*") if Path("var").exists() else []) - set(before)
    assert not [path for path in made if path.name == "keyring.json"]


def test_a_database_with_members_and_quota_keeps_them_as_granted_and_everybody_is_looked_at(
    empty: Terminal, new_world: Callable[..., World]
) -> None:
    """A store of the release before earning: what lay in lots was granted, nothing was earned."""
    engine = create_engine(empty.url, poolclass=NullPool)
    with engine.connect() as connection:
        command.upgrade(migrate._config(connection), "0006")
        connection.commit()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO members (id, state, generation, joined_at, last_seen_at, level, quota_available,"
                " quota_granted) VALUES ('mem_1', 'active', 0, 1, 1, 'new', 3, 3)"
            )
        )
        connection.execute(
            text("INSERT INTO quota_lots (id, member_id, remaining) VALUES ('lot_1', 'mem_1', 3)")
        )
        connection.execute(
            text(
                "INSERT INTO quota_entries (id, member_id, lot_id, kind, amount, actor, reason, created_at)"
                " VALUES ('qle_1', 'mem_1', 'lot_1', 'grant', 3, 'olga', 'x', 1)"
            )
        )
    empty("db", "upgrade")
    empty("db", "check")  # the schema is that of tables.py
    world = new_world()
    assert world.query(lambda tx: world.services.quota.unspent(tx, "mem_1")).granted == 3
    assert world.query(world.services.reviews.is_due)
    while world.worker.review():
        pass
    assert world.api().post("/v1/invites", {"issuer_id": "mem_1", "channel": "link"}).status_code == 201
    earned = "UPDATE members SET quota_earned = 9"
    with pytest.raises(IntegrityError, match="quota_earned_within"), engine.begin() as connection:
        connection.execute(text(earned))
    engine.dispose()


def test_what_was_known_of_the_providers_outlives_an_upgrade(
    empty: Terminal, new_world: Callable[..., World]
) -> None:
    engine = create_engine(empty.url, poolclass=NullPool)
    with engine.connect() as connection:
        command.upgrade(migrate._config(connection), "0010")
        connection.commit()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO route_health (provider, country, at, answers_good, answers_bad, receipts_good,"
                " receipts_bad, codes_good, codes_bad, took_ms, condition, because, since, probes, share)"
                " VALUES ('twilio', 'RU', 1, 1, 9, 0, 0, 0, 0, 200, 'unwell', 'errors', 1, 0, 0.05)"
            )
        )
    engine.dispose()
    empty("db", "upgrade")
    empty("db", "check")
    world = new_world()
    known = world.query(world.services.routing.vitals)["twilio", "RU"]
    assert (known.condition, known.share, known.answers.bad) == (Condition.UNWELL, 0.05, 9)


def test_money_that_was_spent_before_an_upgrade_counts_after_it(
    empty: Terminal, new_world: Callable[..., World]
) -> None:
    """A store of the release whose hours were the clock's: none of the money comes back too early."""
    hour = int(time.time()) // 3600
    engine = create_engine(empty.url, poolclass=NullPool)
    with engine.connect() as connection:
        command.upgrade(migrate._config(connection), "0010")
        connection.commit()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO spend (scope, subject, shard, hour_at, hour_spent, hour_own, hour_cap, day_at,"
                " day_spent, day_own, day_cap) VALUES ('country', 'RU', 0, :hour, 7, 2, 10, :day, 8, 2, 20)"
            ),
            {"hour": hour, "day": hour // 24},
        )
    empty("db", "upgrade")
    empty("db", "check")
    world = new_world()
    [spent] = world.query(world.services.spending.now)
    assert (spent.hour, spent.hour_own, spent.day, spent.day_own) == (9, 2, 10, 2)
    too_much = "UPDATE spend SET hour_spent_3 = 4"
    with pytest.raises(IntegrityError, match="hour_within_cap"), engine.begin() as connection:
        connection.execute(text(too_much))
    engine.dispose()
