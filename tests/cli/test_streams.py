"""`events tail`, `audit`, `messages`."""

from __future__ import annotations

import os
import subprocess
import sys

from sqlalchemy import text

from tests.cli.conftest import Terminal
from tests.support.world import World


def test_events_are_printed_in_order_as_the_api_tells_them(run: Terminal, world: World) -> None:
    api = world.api()
    seeds = [world.seed() for _ in range(3)]
    world.work()
    told = run.lines("events", "tail")
    listed = api.get("/v1/events").json
    assert listed is not None
    assert told == listed["data"]
    assert [event["subject_id"] for event in told] == [seed.id for seed in seeds]
    assert run.lines("events", "tail", "--limit", "1") == told[-1:]
    assert run.lines("events", "tail", "--after", told[0]["id"]) == told[1:]
    assert run.lines("events", "tail", "--after", "0", "--limit", "2") == told[:2]
    assert run.lines("events", "tail", "--types", "quota.granted") == []
    assert "member.joined" in run("events", "tail").stdout
    assert "cursor_invalid" in run("events", "tail", "--after", "evt_none", code=1).stderr


def test_the_audit_is_followed_as_it_grows(run: Terminal, world: World) -> None:
    first = world.seed()
    world.work()
    environment = os.environ | {"IDENTITY_DATABASE_URL": run.url}
    command = [sys.executable, "-m", "identity_service.cli", "audit", "tail", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as following:
        assert following.stdout is not None
        try:
            assert first.id in following.stdout.readline()
            second = world.seed()
            world.work()
            assert second.id in following.stdout.readline()
        finally:
            following.terminate()


def test_a_whole_audit_is_verified_and_an_altered_row_is_found(run: Terminal, world: World) -> None:
    for _ in range(3):
        world.seed()
    world.work()
    assert run.json("audit", "verify") == {"ok": True, "rows": 3, "break": None}
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE journal SET actor = 'nobody' WHERE seq = 2"))
    told = run.json("audit", "verify", code=1)
    assert (told["ok"], told["rows"], told["break"]["seq"]) == (False, 1, 2)
    assert "Broken at row 2" in run("audit", "verify", code=1).stderr


def test_a_dead_letter_is_seen_and_replayed(run: Terminal, world: World) -> None:
    phone = world.phone()
    run("invites", "issue", "--campaign", "spring", "--phone", phone)
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE messages SET state = 'dead', reason = 'nobody answers'"))
    dead = run.json("messages", "dead")["data"]
    assert [(letter["kind"], letter["reason"]) for letter in dead] == [("invite", "nobody answers")]
    assert phone not in str(dead)
    run("messages", "replay", dead[0]["id"])
    assert run.json("messages", "dead")["data"] == []
    assert world.invite_code(phone)
    assert "not_found" in run("messages", "replay", dead[0]["id"], code=1).stderr
