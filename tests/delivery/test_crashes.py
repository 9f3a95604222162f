"""Workers that die, and workers that meet: nothing is lost, and a crash costs at most one message more."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from identity_service.ports import DAY, MINUTE
from identity_service.services import claims
from identity_service.services.claims import LEASE
from identity_service.services.invites import IssueInvite
from identity_service.services.outcomes import Asked
from sms.numbers import parse
from sms.providers.base import Accepted, FailureKind, ProviderFailure
from sms.states import DeliveryState
from tests.delivery.rig import Rig, twilio_settings
from tests.races.contenders import race
from tests.races.processes import start
from tests.standins.loopback import Fault, Trouble
from tests.standins.twilio import TwilioStandIn
from tests.support.world import World

CRASHES = 20
LONG_LEASE = 60 * MINUTE
_PATIENCE = 20.0
_HELD = 20
"""As many messages as a worker claims at once."""


class Killed(BaseException):
    """Like SIGKILL to the code that runs: not an error that anything handles."""


def work_until_killed(url: str, ahead: int, settings: dict[str, Any]) -> None:
    """In a process of its own: a worker that is not told to stop.

    Its leases are as long as the whole test on a busy machine: what runs out by itself is another test's.
    """
    claims.LEASE = LONG_LEASE  # type: ignore[misc]
    world = World(url, **settings)
    world.clock.advance(ahead)
    world.worker.run()


def work_until_stopped(url: str, ahead: int, settings: dict[str, Any]) -> None:
    """In a process of its own: a worker that finishes what it began when it is told to stop."""
    claims.LEASE = LONG_LEASE  # type: ignore[misc]
    world = World(url, **settings)
    world.clock.advance(ahead)
    world.worker.stop_on_signals()
    world.worker.run()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_a_worker_killed_between_the_providers_yes_and_its_own_mark_loses_nothing(
    rig: Rig, store_url: str, twilio: TwilioStandIn
) -> None:
    """Fault: `kill -9`, out of memory, a pulled plug, twenty times, each in the worst moment.

    Real processes: no `finally`, no closing of connections. PostgreSQL and SQLite must let go by themselves.
    """
    phones = [rig.world.phone() for _ in range(CRASHES)]
    for taken, phone in enumerate(phones):
        rig.invite(phone)
        twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_SLOWLY, seconds=_PATIENCE))
        worker = start(work_until_killed, store_url, rig.world.clock.ahead, twilio_settings(twilio.base_url))
        wait_for(lambda expected=taken + 1: len(twilio.messages) == expected)  # type: ignore[misc]
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(_PATIENCE)
        assert worker.exitcode == -signal.SIGKILL
    assert {row.state for row in rig.rows()} == {"sending"}
    assert rig.deliver() == 0, "a lease was broken before its time"
    rig.world.clock.advance(LONG_LEASE)
    while rig.deliver():
        pass
    assert {row.state for row in rig.rows()} == {"sent"}
    assert [rig.sent_to(phone) for phone in phones] == [2] * CRASHES, "at most one more for each crash"
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0


@pytest.mark.race
def test_a_worker_killed_among_others_loses_nothing_and_only_what_it_held_goes_twice(
    rig: Rig, store_url: str, twilio: TwilioStandIn
) -> None:
    """Fault: two workers in a rush, and one of them is killed with a batch in its hands."""
    phones = [rig.world.phone() for _ in range(40)]
    for phone in phones:
        rig.world.transact(partial(_invite_by_campaign, rig, phone))
        twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_SLOWLY, seconds=0.3))
    settings = twilio_settings(twilio.base_url)
    ahead = rig.world.clock.ahead
    killed = start(work_until_killed, store_url, ahead, settings)
    other = start(work_until_stopped, store_url, ahead, settings)
    assert killed.pid is not None
    assert other.pid is not None
    try:
        wait_for(lambda: len(twilio.messages) >= 4)
        os.kill(killed.pid, signal.SIGKILL)
        wait_for(lambda: all(row.state in ("sending", "sent") for row in rig.rows()))
    finally:
        os.kill(other.pid, signal.SIGTERM)
        for worker in (killed, other):
            worker.join(_PATIENCE)
    held = sum(row.state == "sending" for row in rig.rows())
    assert held <= _HELD, "a worker that is told to stop finishes what it began"
    rig.world.clock.advance(LONG_LEASE)
    while rig.deliver():
        pass
    assert {row.state for row in rig.rows()} == {"sent"}
    times = [rig.sent_to(phone) for phone in phones]
    assert set(times) <= {1, 2}
    assert times.count(2) <= held


def test_a_receipt_saves_the_message_that_a_dead_worker_could_not_mark(rig: Rig) -> None:
    """Fault: as above, but Twilio's callback came before the lease ran out: the phone need not ring twice."""
    provider = rig.world.services.providers["twilio"]
    send = provider.send

    def send_and_die(message: Any) -> Accepted:
        send(message)
        raise Killed

    phone = rig.world.phone()
    invite = rig.invite(phone)
    provider.send = send_and_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        rig.deliver()
    provider.send = send  # type: ignore[method-assign]
    assert rig.row().state == "sending"
    assert rig.call_back(rig.sent().sid, "delivered") == [204]
    rig.world.clock.advance(LEASE)
    assert rig.deliver() == 0
    assert rig.sent_to(phone) == 1
    assert rig.told(invite)["state"] == "delivered"


def test_a_worker_that_comes_back_from_the_dead_does_not_mark_its_successors_attempt(rig: Rig) -> None:
    """Fault: a worker that was stopped for minutes (swap, a frozen machine) tells the outcome of an attempt
    that is not its own any more, while the next one is under way."""
    rig.invite()
    taking, outcomes = rig.world.services.claims, rig.world.services.outcomes
    [first] = rig.world.transact(lambda tx: taking.claim(tx, 10))
    rig.world.clock.advance(LEASE)
    [second] = rig.world.transact(lambda tx: taking.claim(tx, 10))
    assert second.attempt_id != first.attempt_id
    under_way = rig.row()
    yes = Accepted(provider="twilio", provider_id="SMlate", state=DeliveryState.QUEUED, segments=1)
    no = ProviderFailure(kind=FailureKind.WRONG_NUMBER, provider="twilio", plain="no such number")
    asked = Asked(provider="twilio", why="first_in_route", took_ms=40)
    rig.world.transact(lambda tx: outcomes.mark_accepted(tx, first, yes, asked))
    rig.world.transact(lambda tx: outcomes.mark_failed(tx, first, no, asked))
    assert rig.row() == under_way
    rig.world.transact(lambda tx: outcomes.mark_accepted(tx, second, yes, asked))
    rig.world.transact(lambda tx: outcomes.mark_failed(tx, first, no, asked))
    assert (rig.row().state, rig.row().provider_ref) == ("sent", "SMlate")


@pytest.mark.race
@pytest.mark.parametrize("count", [2, 4])
def test_workers_that_run_side_by_side_send_each_message_once(
    rig: Rig, new_world: Callable[..., World], twilio: TwilioStandIn, count: int
) -> None:
    """Fault: two workers that claim one row. Each claim is one statement, and the loser gets other rows."""
    phones = [rig.world.phone() for _ in range(48)]
    for phone in phones[:24]:
        rig.world.transact(partial(_invite_by_campaign, rig, phone))
    workers = [new_world(**twilio_settings(twilio.base_url)).worker for _ in range(count)]
    running = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
    for thread in running:
        thread.start()
    for phone in phones[24:]:  # and more come in while they work
        rig.world.transact(partial(_invite_by_campaign, rig, phone))
    try:
        wait_for(lambda: len(twilio.messages) >= len(phones))
        wait_for(lambda: {row.state for row in rig.rows()} == {"sent"})
    finally:
        for worker in workers:
            worker.stop()
        for thread in running:
            thread.join(_PATIENCE)
    assert [rig.sent_to(phone) for phone in phones] == [1] * len(phones)
    assert {row.attempts for row in rig.rows()} == {1}


def _invite_by_campaign(rig: Rig, phone: str, tx: Any) -> None:
    """A campaign's invite: a member's would end with its day's twenty messages."""
    rig.world.services.invites.issue(tx, IssueInvite(campaign="launch", channel="sms", number=parse(phone)))


@pytest.mark.race
def test_dead_leases_are_taken_up_by_one_of_several_workers(
    rig: Rig, new_world: Callable[..., World], twilio: TwilioStandIn
) -> None:
    """Fault: a lease runs out and every worker notices at once. The second attempt, too, is one only."""
    for _ in range(12):
        rig.invite()
    taking = rig.world.services.claims
    assert len(rig.world.transact(lambda tx: taking.claim(tx, 20))) == 12
    others = [new_world(**twilio_settings(twilio.base_url)) for _ in range(4)]
    for other in others:
        other.clock.advance(LEASE)
    claimed = race([other.worker.deliver for other in others])
    assert sum(claimed) == 12
    assert len(twilio.messages) == 12
    assert {(row.state, row.attempts) for row in rig.rows()} == {("sent", 2)}
