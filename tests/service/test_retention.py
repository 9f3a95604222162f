"""What is old is forgotten, in small pieces; what the tree, the ledger and the sums need stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from identity_service.errors import SYSTEM
from identity_service.ports import DAY, HOUR, Instant
from identity_service.services.costs import By
from identity_service.services.reports import Reports, Wanted
from sms.numbers import parse
from tests.races.soundness import broken_rules, number
from tests.service.steps import check, link, ok, sms, start
from tests.support.world import World

OLD = 91 * DAY


def count(world: World, table: str) -> int:
    return number(world, f"SELECT count(*) FROM {table}")


def sweep(world: World) -> dict[str, int]:
    """Everything that is due, as the worker does it piece by piece."""
    done: dict[str, int] = {}
    for name in ("forget_messages", "forget_verifications", "forget_phones"):
        task = world.services.housekeeping.tasks[name]
        done[name] = world.transact(task)
    return done


def lived_in(world: World) -> dict[str, Any]:
    """A member who joined by a link, another by SMS, a stranger who never came back, and a recovery."""
    api, seed = world.api(), world.seed(quota=5)
    joined = world.join(api, seed.id)["member"]
    invited = world.phone()
    invite = sms(api, seed.id, invited)["id"]
    ok(api.post("/v1/registrations", {"invite_code": world.invite_code(invited), "phone": invited}), 201)
    stranger = world.phone()
    start(api, stranger, "registration", invite_code=link(api, seed.id)["code"])
    start(api, world.phone())
    phone = world.phone()
    member = world.seed(phone=phone)
    ok(api.post("/v1/recoveries", {"proof": world.verify(api, phone, "recovery")}), 201)
    world.work()
    return {"api": api, "invite": invite, "members": [seed.id, joined["id"], member.id], "stranger": stranger}


def test_nothing_is_forgotten_before_its_time(world: World) -> None:
    lived_in(world)
    world.clock.advance(20 * DAY)
    assert set(sweep(world).values()) == {0}


def test_old_messages_and_verifications_go_and_the_tree_the_journal_and_the_sums_stay(world: World) -> None:
    made = lived_in(world)
    members, entries = count(world, "members"), count(world, "quota_entries")
    journal = count(world, "journal")
    costs = world.services.costs

    def sums() -> Any:
        now = world.clock.now()
        return world.query(lambda tx: costs.by(tx, By.PURPOSE, since=now - 200 * DAY, until=now + DAY))

    before = sums()
    assert before
    world.clock.advance(OLD)
    done = sweep(world)
    assert done["forget_messages"] > 0
    assert done["forget_verifications"] > 0
    for table in ("messages", "message_events", "verifications"):
        assert count(world, table) == 0, table
    assert (count(world, "members"), count(world, "quota_entries")) == (members, entries)
    assert count(world, "journal") == journal
    assert sums() == before
    assert broken_rules(world) == {}
    told = ok(made["api"].get(f"/v1/invites/{made['invite']}"))
    assert told["delivery"]["state"] == "none"
    assert ok(made["api"].get(f"/v1/invites/{made['invite']}/messages"))["data"] == []
    for member in made["members"]:
        assert ok(made["api"].get(f"/v1/members/{member}"))["phone"]["masked"]


def geography(world: World, as_of: Instant) -> Any:
    """The report on countries as of an instant, by a process that reads everything anew."""
    known = Reports(world.services.store)
    return known.compute(known.read_now(), "geography", Wanted(as_of=as_of)).report


def test_what_a_report_told_of_an_instant_stays_when_its_rows_are_forgotten(world: World) -> None:
    api = lived_in(world)["api"]
    running = Reports(world.services.store)
    running.read_now()
    world.clock.advance(DAY // 2)
    midway = world.clock.now()
    start(api, world.phone(), "registration", invite_code=link(api, world.seed(quota=1).id)["code"])
    world.work()
    world.transact(lambda tx: tx.cursor.execute("UPDATE messages SET cost = 50000 WHERE kind = 'otp'"))
    world.transact(lambda tx: tx.cursor.execute("UPDATE messages SET charged = 7 WHERE kind = 'invite'"))
    world.clock.advance(DAY)
    days = (midway, world.clock.now())
    before = [geography(world, day) for day in days]
    told = before[1].table("countries").records()
    assert [row["started"] for row in told] == [3]
    assert told[0]["cost"] > 0
    assert before[0] != before[1]
    world.clock.advance(OLD - DAY)
    assert sweep(world)["forget_verifications"] > 0
    # Some are forgotten, the rest a little later.
    assert [geography(world, day) for day in days] == before
    world.clock.advance(OLD)
    sweep(world)
    assert count(world, "verifications") == count(world, "messages") == 0
    assert [geography(world, day) for day in days] == before
    # A process that knew the rows of the first day has not seen those of the next: it begins anew.
    snapshot = running.read_now()
    assert [running.compute(snapshot, "geography", Wanted(as_of=day)).report for day in days] == before


def test_a_row_that_two_forget_at_once_is_counted_once(world: World) -> None:
    """Race: two workers find the same old rows."""
    api, seed = world.api(), world.seed(quota=20)
    for _ in range(12):
        start(api, world.phone(), "registration", invite_code=link(api, seed.id)["code"])
    world.work()
    world.clock.advance(OLD)
    store, gate = world.services.store, threading.Barrier(2)
    tasks = [world.services.housekeeping.tasks[name] for name in ("forget_messages", "forget_verifications")]

    def forget() -> None:
        for task in tasks:
            gate.wait(60)
            store.transact(SYSTEM, task)

    with ThreadPoolExecutor(2) as pool:
        for worker in [pool.submit(forget) for _ in range(2)]:
            worker.result()
    assert count(world, "forgotten_verifications") == count(world, "forgotten_messages") == 12
    assert count(world, "verifications") == count(world, "messages") == 0


def test_a_number_that_nothing_refers_to_is_forgotten_and_can_come_again(world: World) -> None:
    made = lived_in(world)
    known = count(world, "phones")
    find = parse(made["stranger"])
    world.clock.advance(OLD)
    gone = sweep(world)["forget_phones"]
    # The stranger's hold still names the first; the decoy's number was named by its verification alone.
    assert gone == known - count(world, "phones") == 1
    assert world.query(lambda tx: world.services.phones.find(tx, find)) is not None
    for member in made["members"]:
        ok(made["api"].get(f"/v1/members/{member}"))
    again = start(made["api"], world.phone())
    assert again["state"] == "pending"


def test_a_pass_through_the_numbers_rests_until_the_next_day(world: World) -> None:
    phones = world.services.phones
    for _ in range(7):
        number_ = parse(world.phone())
        world.transact(lambda tx, number_=number_: phones.of(tx, number_))
    world.seed()
    world.clock.advance(31 * DAY)
    retention = world.services.housekeeping.tasks["forget_phones"]
    step = retention.__self__.forget_phones  # type: ignore[attr-defined]
    assert [world.transact(lambda tx: step(tx, 3)) for _ in range(4)] == [3, 3, 1, 0]
    assert count(world, "phones") == 1
    world.transact(lambda tx: phones.of(tx, parse("+447400123456")))
    world.clock.advance(23 * HOUR)
    assert world.transact(retention) == 0


def test_a_bounded_piece_is_done_at_once(world: World) -> None:
    api = world.api()
    for _ in range(5):
        start(api, world.phone())
    world.clock.advance(OLD)
    messages = world.services.housekeeping.tasks["forget_messages"]
    step = messages.__self__.forget_messages  # type: ignore[attr-defined]
    assert [world.transact(lambda tx: step(tx, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_number_forgotten_between_being_found_and_being_used_is_made_anew(world: World) -> None:
    """Race: a verification finds an old number; housekeeping forgets it; the verification names it."""
    if world.store == "sqlite":
        pytest.skip("one writer at a time")
    store, phones = world.services.store, world.services.phones
    old = parse(world.phone())
    world.transact(lambda tx: phones.of(tx, old))
    world.clock.advance(31 * DAY)
    forget = world.services.housekeeping.tasks["forget_phones"]
    turns: list[str] = []

    def name_it(tx: Any) -> str:
        phone = phones.of(tx, old)
        if not turns:
            store.transact(SYSTEM, forget)
        turns.append(phone.id)
        tx.cursor.execute(
            "INSERT INTO invite_holds (id, invite_id, phone_id, state, created_at, expires_at)"
            f" SELECT 'hld_1', i.id, '{phone.id}', 'released', 0, 0 FROM invites i LIMIT 1"
        )
        return phone.id

    link(world.api(), world.seed(quota=1).id)
    try:
        found = store.transact(SYSTEM, name_it)
    except psycopg.errors.ForeignKeyViolation:
        pytest.fail("the lost number reached the caller")
    assert len(turns) == 2
    assert found == turns[1] != turns[0]


def test_what_an_owner_proves_after_all_that_time_still_works(world: World) -> None:
    made = lived_in(world)
    phone = world.phone()
    world.seed(phone=phone)
    world.clock.advance(OLD)
    sweep(world)
    again = start(made["api"], phone)
    assert ok(check(made["api"], again["id"], world.otp(phone)))["proof"]


def test_the_worker_forgets_by_itself(new_world: Callable[..., World]) -> None:
    world = new_world()
    start(world.api(), world.phone())
    world.clock.advance(OLD)
    world.work()
    assert count(world, "messages") == count(world, "verifications") == count(world, "phones") == 0
