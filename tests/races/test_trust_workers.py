"""The follower under kills, rivals, restored databases and a broken log: the rows end as the log says."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from identity_service import telemetry
from identity_service.db.store import Store, Tx
from identity_service.ports import DAY, SECOND
from identity_service.services import trust_following, trust_rows
from identity_service.services.trust_following import LEASE, LEASE_SECONDS, TrustFollowing
from identity_service.services.worker_state import WorkerState
from tests.races.contenders import race
from tests.races.processes import start
from tests.service.test_trust_following import assert_told
from tests.service.trust_history import TrustHistory
from tests.support.world import World

pytestmark = pytest.mark.race
_ITS_LEASE_RUNS_OUT = (LEASE_SECONDS + 1) * SECOND


class Killed(BaseException):
    """Nothing that the worker could catch."""


class DyingStore(Store):
    """The store, to a worker that dies at its n-th transaction: nothing of it is kept, or all of it is."""

    def __init__(self, store: Store, number: int, *, committed: bool) -> None:
        super().__init__(store.engine, store.clock)
        self._left, self._committed = number, committed

    def transact(self, actor: Any, use_case: Any) -> Any:
        self._left -= 1
        if self._left:
            return super().transact(actor, use_case)
        if self._committed:
            super().transact(actor, use_case)
        raise Killed


def successor(world: World, new_world: Callable[..., World]) -> World:
    """A worker that starts when the lease of the one before has run out."""
    other = new_world()
    other.clock.ahead = world.clock.ahead + _ITS_LEASE_RUNS_OUT
    return other


def test_twenty_kills_between_any_two_steps_lose_and_double_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: a worker is killed while a change of many rows is half written, or with the mark not moved."""
    monkeypatch.setattr(trust_following, "_ROWS", 3)
    monkeypatch.setattr(trust_following, "_EVENTS", 4)
    history, rng = TrustHistory(world, 31), random.Random(31)
    kills = 0
    for number in range(20):
        for _ in range(4):
            history.step()
        world.worker.sequence()
        world.clock.advance(_ITS_LEASE_RUNS_OUT)
        dying = DyingStore(world.services.store, rng.randint(1, 6), committed=rng.random() < 0.5)
        doomed = world.services.trust_following(f"worker {number}", dying)
        try:
            while doomed.step():
                world.worker.sequence()
        except Killed:
            kills += 1
    assert kills >= 10
    world.clock.advance(_ITS_LEASE_RUNS_OUT)
    world.work()
    assert_told(history)


def follow_until_killed(url: str, ahead: int) -> None:
    """In a process of its own: work on and on."""
    world = World(url)
    world.clock.advance(ahead)
    while True:
        world.worker.step()


def test_workers_that_are_killed_for_good_leave_the_rows_to_the_next_one(
    world: World, new_world: Callable[..., World], store_url: str
) -> None:
    history = TrustHistory(world, 8)
    for _ in range(3):
        world.clock.advance(_ITS_LEASE_RUNS_OUT)
        doomed = start(follow_until_killed, store_url, world.clock.ahead)
        for _ in range(8):
            history.step()
        doomed.kill()
        doomed.join(30)
    last = successor(world, new_world)
    history.world = last
    last.work()
    assert_told(history)


def test_of_two_workers_one_follows_and_the_other_stands_by(
    world: World, new_world: Callable[..., World]
) -> None:
    """Fault: two followers who each write what they believe, in turns."""
    rivals = [new_world(), new_world()]
    history, done = TrustHistory(world, 5), threading.Event()
    wrote = [0, 0]

    def follow(place: int) -> None:
        while not done.is_set():
            wrote[place] += rivals[place].worker.trust.step()

    def live() -> None:
        try:
            for _ in range(15):
                # The clock stands: a lease that runs out would hand over, as it should.
                history.random.choice([history.speak, history.show, history.impose, history.lift])()
                history.join(history.random.randrange(len(history.known)))
                world.worker.sequence()
        finally:
            done.set()

    calls: list[Callable[[], None]] = [partial(follow, 0), partial(follow, 1), live]
    race(calls)
    assert sorted(count > 0 for count in wrote) == [False, True]
    holder = rivals[wrote.index(max(wrote))]
    world.worker.sequence()
    while holder.worker.trust.step():
        pass
    assert_told(history)


def test_a_worker_whose_load_outlasts_its_lease_keeps_it_and_finishes(
    world: World, new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: of two workers each takes the lease while the other still loads, and neither ever finishes."""
    history = TrustHistory(world, 6)
    for _ in range(15):
        history.step()
    world.worker.sequence()
    rival = new_world()
    rival.clock.ahead = world.clock.ahead
    told: list[int] = []
    read_all = TrustFollowing._read_all

    def lease_ends(tx: Tx) -> int:
        return int(tx.select(text("SELECT value FROM marks WHERE name = 'trust.lease'"))[0].value)

    def read_slowly(self: TrustFollowing, *arguments: Any, **options: Any) -> Any:
        for _ in range(4):
            for one in (world, rival):
                one.clock.advance(LEASE_SECONDS * SECOND * 2 // 3)
            patience = time.monotonic() + 60
            while world.query(lease_ends) < world.clock.now() + LEASE_SECONDS * SECOND // 2:
                assert time.monotonic() < patience, "nobody renews the lease"
                time.sleep(0.01)
            told.append(rival.worker.trust.step())
        return read_all(self, *arguments, **options)

    monkeypatch.setattr(trust_following, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(TrustFollowing, "_read_all", read_slowly)
    assert world.worker.trust.step()
    assert (told, rival.worker.trust.follows, world.worker.trust.follows) == ([0] * 4, False, True)
    while world.worker.trust.step():
        pass
    assert_told(history)


def test_a_worker_whose_lease_was_seized_while_it_loaded_lets_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: what was read before somebody else took over is believed."""
    history = TrustHistory(world, 6)
    world.worker.sequence()
    read_all, noticed = TrustFollowing._read_all, threading.Event()
    state = world.services.worker_state

    def take(*arguments: Any) -> bool:
        taken = WorkerState.take_lease(state, *arguments)
        if not taken:
            noticed.set()
        return taken

    def read_slowly(self: TrustFollowing, *arguments: Any, **options: Any) -> Any:
        world.transact(lambda tx: state.seize_lease(tx, LEASE, "another", LEASE_SECONDS))
        assert noticed.wait(60)
        return read_all(self, *arguments, **options)

    monkeypatch.setattr(trust_following, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(state, "take_lease", take)
    with monkeypatch.context() as slowed:
        slowed.setattr(TrustFollowing, "_read_all", read_slowly)
        assert (world.worker.trust.step(), world.worker.trust.follows) == (0, False)
    world.clock.advance(_ITS_LEASE_RUNS_OUT)
    world.work()
    assert_told(history)


def test_who_was_overtaken_writes_nothing_more_and_begins_anew(
    world: World, new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: a worker that slept for a minute wakes up and goes on writing."""
    monkeypatch.setattr(trust_following, "_ROWS", 3)
    history = TrustHistory(world, 3)
    for _ in range(25):
        history.step()
    world.worker.sequence()
    sleeper = world.worker.trust
    assert sleeper.step()
    assert sleeper.step()
    assert sleeper.follows
    other = successor(world, new_world)
    history.world = other
    other.work()
    assert_told(history)
    assert (sleeper.step(), sleeper.follows) == (0, False)
    assert sleeper.step() == 0, "there is nothing to do for it"
    assert_told(history)


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "before it starts"])
def test_a_restored_database_is_brought_up_to_the_log(
    world: World, new_world: Callable[..., World], running: bool
) -> None:
    history = TrustHistory(world, 12)
    for _ in range(20):
        history.step()
    world.work()

    def restore(tx: Tx) -> None:
        tx.change(text("UPDATE marks SET value = value / 2 WHERE name = 'trust.followed'"))
        tx.change(text("UPDATE members SET trust_log_odds = 9 WHERE trust_log_odds < 3"))
        tx.change(text("UPDATE trust_states SET message = 0, received = 0"))

    world.transact(restore)
    if not running:
        history.world = successor(world, new_world)
    history.world.work()
    assert_told(history)


def faults() -> float:
    counted: float = telemetry.FAULTS.labels("trust_event")._value.get()
    return counted


def test_a_broken_event_is_counted_and_skipped(world: World) -> None:
    history = TrustHistory(world, 1)
    for _ in range(10):
        history.step()
    journal = world.services.journal

    def tell(kind: str, data: dict[str, Any], **more: Any) -> None:
        world.transact(lambda tx: journal.tell(tx, kind, history.known[1].id, data, **more))

    before, someone = faults(), history.known[1].id
    tell("signal.received", {})
    tell("signal.received", {"signal_id": "sig_1", "member_id": "mem_none", "kind": "staff_verified"})
    tell(
        "signal.received",
        {"signal_id": "sig_2", "member_id": someone, "kind": "report"},
        detail={"reporter_id": "mem_none", "occurred_at": 1},
    )
    tell("sanction.imposed", {"sanction_id": 5, "member_id": someone, "action": "ban", "reason_code": "x"})
    tell("trust.epoch_started", {"as_of": "soon", "alpha": "much", "version": 1, "matured": 0})
    tell("trust.edge_weighed", {"member_id": someone, "weight": float("nan")})
    world.work()
    assert faults() == before + 6
    history.speak()
    world.work()
    assert_told(history)
    assert faults() == before + 6


def test_a_lift_that_is_numbered_before_what_it_lifts_still_lifts_it(world: World) -> None:
    """Fault: the clocks of two processes differ by a second, and ids sort by the clock."""
    history = TrustHistory(world, 1)
    journal, member = world.services.journal, history.known[1].id
    lifted = {"sanction_id": "san_1", "member_id": member, "member_state": "active"}
    imposed = lifted | {"action": "ban", "reason_code": "spam"}
    world.transact(lambda tx: journal.tell(tx, "sanction.lifted", "san_1", lifted))
    world.transact(lambda tx: journal.tell(tx, "sanction.imposed", "san_1", imposed))
    world.work()
    assert_told(history)


def test_what_was_followed_is_what_is_rebuilt_on_any_day(world: World) -> None:
    history = TrustHistory(world, 21)
    for _ in range(60):
        history.step()
        if history.random.random() < 0.3:
            world.work()
    world.work()
    world.clock.advance(900 * DAY)  # time that the log does not know of changes nothing
    difference = world.services.trust_following("rebuild").compare()
    assert difference.members == len(history.known) - 1
    assert difference.furthest_state < 1e-10
    assert difference.furthest_score < 0.075
    assert difference.states == 0


def meanwhile(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], None]) -> None:
    """Let something happen once, just before a part of everybody's rows is read."""
    read, due = getattr(trust_rows, name), [happens]

    def reads(tx: Tx) -> Any:
        if due:
            due.pop()()
        return read(tx)

    monkeypatch.setattr(trust_rows, name, reads)


def test_a_worker_that_follows_meanwhile_is_no_difference_to_a_dry_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: the log is read before an event, and the rows after the worker has followed it."""
    history = TrustHistory(world, 23)
    for _ in range(20):
        history.step()
    world.work()

    def follow() -> None:
        history.speak()
        history.impose()
        history.show()
        world.work()

    meanwhile(monkeypatch, "states", follow)
    difference = world.services.trust_following("rebuild").compare()
    assert (difference.states, difference.furthest_state < 1e-10) == (0, True)
    assert_told(history)


def test_who_joins_by_a_new_campaign_while_a_worker_loads_is_no_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault: the campaign is not known when its first member is read, and the load begins anew."""
    history = TrustHistory(world, 24)
    world.worker.sequence()

    def join() -> None:
        invite = {"campaign": "autumn", "channel": "link", "max_uses": 9}
        code = world.api().post("/v1/invites", invite).json["code"]  # type: ignore[index]
        phone = world.phone()
        api = world.api()
        proof = world.verify(api, phone, "registration", invite_code=code)
        assert api.post("/v1/registrations", {"invite_code": code, "proof": proof}).status_code == 201

    meanwhile(monkeypatch, "places", join)
    assert world.worker.trust.step()
    assert world.worker.trust.follows
    world.work()
    assert len(history.written()) == len(history.known)
    assert all(None not in row for row in history.written().values())


def test_a_rebuild_mends_rows_while_a_worker_follows_and_the_worker_goes_on(world: World) -> None:
    history = TrustHistory(world, 22)
    for _ in range(25):
        history.step()
    world.work()
    spoilt = "UPDATE members SET trust_log_odds = trust_log_odds + 1, trust_conduct = NULL"
    world.transact(lambda tx: tx.change(text(spoilt)))
    world.transact(lambda tx: tx.change(text("UPDATE trust_states SET own = own + 1")))
    assert world.services.trust_following("rebuild").compare().scores == len(history.known) - 1
    written = []
    difference = world.services.trust_following("rebuild").rebuild(
        lambda done, total: written.append((done, total))
    )
    assert difference.scores == len(history.known) - 1
    assert sum(done for done, _ in written) >= written[0][1] > 0
    assert_told(history)
    history.speak()
    world.work()
    assert_told(history)
