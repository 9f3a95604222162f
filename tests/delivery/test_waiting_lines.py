"""A provider that is slow or away holds up its own messages, and nobody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import text

from identity_service.ports import SECOND
from identity_service.sending import AT_ONCE, Desk, Sender
from identity_service.services.delivery import Outgoing
from identity_service.services.spending import Payer
from sms.numbers import parse
from sms.providers.base import Accepted, OutgoingMessage, Provider
from sms.texts import TextKind
from tests.service.steps import stop_clock
from tests.support.world import World

MakeWorld = Callable[..., World]


class Stuck:
    """A provider whose answers wait for a gate, and then come from the one behind it."""

    def __init__(self, behind: Provider) -> None:
        self.name, self._behind = behind.name, behind
        self.gate, self.with_it = threading.Event(), 0

    def send(self, message: OutgoingMessage) -> Accepted:
        self.with_it += 1
        self.gate.wait(60)
        return self._behind.send(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)


@contextmanager
def sending(world: World) -> Iterator[tuple[Stuck, Callable[[], bool]]]:
    """The stuck provider of a sender, and what does one round and waits for the others."""
    providers = cast("MutableMapping[str, Provider]", world.services.providers)
    stuck = Stuck(providers["null"])
    providers["null"] = cast("Provider", stuck)
    sender = Sender(world.services)
    pools = {name: ThreadPoolExecutor(AT_ONCE) for name in providers}

    def turn() -> bool:
        busy = sender._round(pools)
        if "inbox" in pools:  # let what was handed over be done
            pools["inbox"].shutdown()
            pools["inbox"] = ThreadPoolExecutor(AT_ONCE)
        return busy

    try:
        yield stuck, turn
    finally:
        stuck.gate.set()
        for pool in pools.values():
            pool.shutdown()


def queue(world: World, *numbers: str) -> list[str]:
    services = world.services

    def add(tx: Any, number: str) -> str:
        message = Outgoing(
            subject_id=f"ver_{number}",
            phone_id=services.phones.of(tx, parse(number)).id,
            kind=TextKind.OTP,
            code="123456",
            not_after=tx.now + 600 * SECOND,
            payer=Payer(own=True),
        )
        return services.delivery.queue(tx, message)

    ids: list[str] = world.transact(lambda tx: [add(tx, number) for number in numbers])
    return ids


def state(world: World, message: str) -> str:
    [row] = world.query(
        lambda tx: tx.select(text("SELECT state FROM messages WHERE id = :id").bindparams(id=message))
    )
    return str(row.state)


def rounds_until_sent(world: World, turn: Callable[[], bool], message: str) -> int:
    for count in range(1, 100):
        turn()
        if state(world, message) == "delivered":
            return count
        world.clock.advance(SECOND // 10)
    return 100


def test_six_hundred_messages_of_a_stuck_provider_delay_nobody_elses(new_world: MakeWorld) -> None:
    """Fault: each round claimed eight of them and put them back: 81 rounds for a stranger."""
    world = new_world(sms_route="inbox", sms_routes="US=null")
    stop_clock(world)
    queue(world, *(f"+1{area}555{n:04d}" for area in (202, 212) for n in range(300)))
    with sending(world) as (stuck, turn):
        [fresh] = queue(world, "+79161234567")
        assert rounds_until_sent(world, turn, fresh) <= 9
        assert stuck.with_it == AT_ONCE
        [next_one] = queue(world, "+79161234568")
        assert rounds_until_sent(world, turn, next_one) <= 3
        stuck.gate.set()


def test_what_would_wait_long_for_a_stuck_provider_goes_to_the_next_of_its_route(
    new_world: MakeWorld,
) -> None:
    """Fault: a provider that hung kept its whole line, while the next of the route stood idle."""
    world = new_world(sms_route="null,inbox")
    stop_clock(world)
    waiting = queue(world, *(f"+7916123{n:04d}" for n in range(60)))
    with sending(world) as (stuck, turn):
        for _ in range(100):
            turn()
            world.clock.advance(SECOND // 4)
        assert stuck.with_it == AT_ONCE
        states = [state(world, one) for one in waiting]
        assert sorted(states) == ["delivered"] * (60 - AT_ONCE) + ["sending"] * AT_ONCE
        reasons = world.query(lambda tx: tx.select(text("SELECT DISTINCT why FROM message_events")))
        assert {row.why for row in reasons} == {"earlier_full"}
        stuck.gate.set()


def test_a_short_wait_sends_nothing_to_a_later_provider() -> None:
    """Fault: a rush that fills a desk for a moment would go to whom an operator wrote down second."""
    desk = Desk("x", at_once=2)
    stuck = [desk.is_stuck]
    assert (desk.take(), desk.take(), desk.take()) == (True, True, False)
    stuck.append(desk.is_stuck)
    for _ in range(100):
        desk.line_up()
    stuck.append(desk.is_stuck)
    desk.free(0.01)
    stuck.append(desk.is_stuck)
    assert stuck == [False, False, True, False]


def test_nothing_is_claimed_while_every_provider_is_full(new_world: MakeWorld) -> None:
    world = new_world(sms_route="null")
    stop_clock(world)
    ids = queue(world, *(f"+7916123{n:04d}" for n in range(AT_ONCE + 1)))
    with sending(world) as (stuck, turn):
        assert turn()
        assert not turn()
        assert stuck.with_it <= AT_ONCE
        states = [state(world, one) for one in ids]
        assert sorted(states) == ["queued"] + ["sending"] * AT_ONCE


def test_those_who_wait_are_told_growing_times_and_those_of_an_absent_provider_its_return() -> None:
    desk = Desk("x", at_once=2)
    waits = [desk.line_up() for _ in range(50)]
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
    desk.be_patient(30)
    assert 29 < desk.line_up() < 60
    assert all(desk.line_up() < 60 for _ in range(1000)), (
        "nobody waits for ever behind a provider that is back"
    )
