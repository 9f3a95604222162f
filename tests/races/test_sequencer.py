"""The journal under load: numbered without gaps or doubles, chained, and unforgeable in place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import text

from identity_service.db.store import Tx
from tests.races.contenders import race
from tests.races.soundness import number
from tests.support.world import World

pytestmark = pytest.mark.race


def numbers(world: World, column: str) -> list[int]:
    query = text(f"SELECT {column} FROM journal WHERE {column} IS NOT NULL ORDER BY {column}")
    return [row[0] for row in world.query(lambda tx: tx.select(query))]


def test_three_workers_number_what_writers_write_without_gaps_or_doubles(
    world: World, new_world: Callable[..., World]
) -> None:
    """Fault: two sequencers that both read the head, or a reader who passes a number whose row commits
    later and never sees it. Numbers are given after the commit, by one lease holder at a time."""
    issuers = [world.seed(quota=12) for _ in range(4)]
    workers = [world, new_world(), new_world()]
    done = threading.Event()

    def write(issuer: str) -> int:
        api = world.api()
        answers = [api.post("/v1/invites", {"issuer_id": issuer, "channel": "link"}) for _ in range(12)]
        return sum(answer.status_code == 201 for answer in answers)

    def work(one: World) -> int:
        counted = 0
        while not done.is_set():
            counted += one.worker.sequence()
        return counted

    def write_all() -> int:
        try:
            return sum(race([partial(write, issuer.id) for issuer in issuers]))
        finally:
            done.set()

    seen: list[int] = []

    def follow() -> int:
        """Another service, which reads on from the last number that it saw, as the API lets it."""
        api = world.api()
        while not done.is_set():
            page = api.get("/v1/events?limit=100" + (f"&after={follow_from[0]}" if follow_from else "")).json
            for event in page["data"]:  # type: ignore[index]
                seen.append(event["seq"])
                follow_from[:] = [event["id"]]
        return len(seen)

    follow_from: list[str] = []
    calls: list[Callable[[], int]] = [write_all, *[partial(work, one) for one in workers], follow]
    results = race(calls)
    assert results[0] == 48
    # The lease is its holder's alone until it runs out: the others only waited.
    assert sum(count > 0 for count in results[1:4]) == 1
    holder = next(one for one, count in zip(workers, results[1:4], strict=True) if count)
    while holder.worker.sequence():
        pass
    total = number(world, "SELECT count(*) FROM journal")
    public = number(world, "SELECT count(*) FROM journal WHERE public = 1")
    assert numbers(world, "seq") == list(range(1, total + 1))
    assert numbers(world, "event_seq") == list(range(1, public + 1))
    assert seen == list(range(1, len(seen) + 1)), "the follower skipped or repeated an event"
    assert world.query(world.services.journal.verify) == (total, None)


def test_a_sequencer_that_dies_is_followed_by_another_when_its_lease_runs_out(
    world: World, new_world: Callable[..., World]
) -> None:
    """Fault: the worker that holds the lease is killed. The log may wait ten seconds, not stop."""
    other = new_world()
    world.seed()
    assert world.worker.sequence() == 1
    world.seed()
    assert other.worker.sequence() == 0
    other.clock.advance(11_000_000)
    assert other.worker.sequence() == 1
    world.seed()
    assert world.worker.sequence() == 0, "the one that came back is not the holder any more"
    assert world.query(world.services.journal.verify) == (2, None)


TAMPERINGS = {
    "detail altered": ('UPDATE journal SET detail = \'{"why":"nothing"}\' WHERE seq = 4', 4),
    "actor altered": ("UPDATE journal SET actor = 'somebody else' WHERE seq = 2", 2),
    "row removed": ("DELETE FROM journal WHERE seq = 4", 4),
    "row hidden from the event log": ("UPDATE journal SET public = 0, event_seq = NULL WHERE seq = 2", 2),
    "row unnumbered": ("UPDATE journal SET seq = NULL WHERE seq = 5", 5),
    "link forged": ("UPDATE journal SET chain = (SELECT chain FROM journal WHERE seq = 1) WHERE seq = 6", 6),
}


class Undone(Exception):
    """Ends a transaction that is to leave nothing."""


def test_a_row_altered_behind_the_services_back_is_found(world: World) -> None:
    """Attack: an operator with the database's password tidies the audit trail up."""
    for _ in range(6):
        world.seed(quota=1)
    world.work()
    verify = world.services.journal.verify
    found: dict[str, tuple[int, int | None]] = {}

    def tamper(name: str, tx: Tx) -> None:
        assert tx.change(text(TAMPERINGS[name][0])) == 1
        holds, broken = verify(tx)
        found[name] = (holds, None if broken is None else broken.seq)
        raise Undone

    for name in TAMPERINGS:
        with pytest.raises(Undone):
            world.transact(partial(tamper, name))
    assert found == {name: (seq - 1, seq) for name, (_, seq) in TAMPERINGS.items()}
    assert world.query(verify) == (12, None)
