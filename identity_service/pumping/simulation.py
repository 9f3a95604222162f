"""One run: honest people and one attacker, by time, in front of one door; and what came of it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from identity_service.policy.rules import Policy
from identity_service.ports import DAY, HOUR, MINUTE, Instant
from identity_service.pumping.attacks import ATTACKS
from identity_service.pumping.doors import (
    Door,
    Outcome,
    OwnDoor,
    Passed,
    PerAddress,
    PerNumber,
    SimpleDoor,
    WholeApplication,
)
from identity_service.pumping.world import START, Intent, Scale, World, delay_of
from sms.guard import Signal

DOORS: Final = ("none", "per_address", "whole_application", "per_number", "ours")
WITHOUT: Final = tuple(f"ours_without_{signal}" for signal in Signal)
_BUCKET: Final = 10 * MINUTE
_CALM: Final = 6
_RESEND: Final = 45 * 1_000_000
_RETRIES: Final = (5 * MINUTE, HOUR, 6 * HOUR, DAY - 10 * MINUTE)
"""When an owner who was refused comes back; who then has no code was locked out for a day."""


@dataclass(slots=True)
class Honest:
    """What honest people met."""

    people: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    worked: int = 0
    waited: int = 0
    owners: int = 0
    locked_out: int = 0

    @property
    def share(self) -> float:
        return self.blocked.total() / max(1, self.people.total())

    @property
    def worst(self) -> tuple[str, float]:
        """The country with the largest share of blocked people."""
        shares = {country: self.blocked[country] / n for country, n in self.people.items()}
        country = max(shares, key=lambda name: shares[name])
        return country, shares[country]


@dataclass(slots=True)
class Result:
    """What one run came to."""

    door: str
    attack: str
    seed: int
    planned: int = 0
    planned_cost: float = 0.0
    lost: int = 0
    lost_cost: float = 0.0
    contained_after: Instant | None = None
    honest: Honest = field(default_factory=Honest)

    @property
    def avoided(self) -> float:
        """The share of the money that no defence would have lost."""
        return 1 - self.lost_cost / self.planned_cost if self.planned_cost else 1.0


def make_door(name: str, policy: Policy, world: World) -> Door:
    """Open the door of a name."""
    makers: dict[str, Callable[[], Door]] = {
        "none": SimpleDoor,
        "per_address": lambda: PerAddress(policy),
        "whole_application": WholeApplication,
        "per_number": PerNumber,
        "ours": lambda: OwnDoor(policy, world.parents),
    }
    if name in makers:
        return makers[name]()
    left_out = Signal(name.removeprefix("ours_without_"))
    return OwnDoor(policy, world.parents, without=frozenset({left_out}))


class Run:
    """One world with one attack behind one door."""

    def __init__(self, policy: Policy, seed: int, attack: str, door: str, scale: Scale) -> None:
        self._random = Random(seed * 13 + 3)
        self._queue: list[tuple[Instant, int, Callable[[Instant], None]]] = []
        self._count = 0
        world = self.world = World(seed, scale)
        planned = []
        if attack != "peace":
            chosen = ATTACKS[attack]
            world.targets = chosen.rent(seed, world)
            planned = list(chosen.plan(Random(seed * 17 + 7), world, world.targets))
        self.result = Result(door=door, attack=attack, seed=seed)
        self._door = make_door(door, policy, world)
        self._honest = self.result.honest
        self._tried: Counter[int] = Counter()
        self._through: Counter[int] = Counter()
        self._until = START + scale.days * DAY
        self._not_before: dict[str, Instant] = {}
        for intent in (*world.honest(), *planned):
            if intent.at < self._until:
                self._at(intent.at, self._begin(intent))

    @property
    def door(self) -> Door:
        return self._door

    def _at(self, at: Instant, act: Callable[[Instant], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (at, self._count, act))

    def run(self) -> Result:
        while self._queue:
            at, _, act = heapq.heappop(self._queue)
            if at >= self._until:
                break
            self._door.tick(at)
            act(at)
        self.result.contained_after = self._contained()
        return self.result

    def _begin(self, intent: Intent) -> Callable[[Instant], None]:
        return lambda now: self._attack(now, intent) if intent.attack else self._come(now, intent)

    # -- attackers ------------------------------------------------------------------------------------

    def _attack(self, now: Instant, intent: Intent) -> None:
        result, bucket = self.result, (now - START) // _BUCKET
        result.planned += 1
        result.planned_cost += intent.country.price
        self._tried[bucket] += 1
        number, prefix = intent.number, intent.number[:-4]
        if max(self._not_before.get(number, 0), self._not_before.get(prefix, 0)) > now:
            return  # it was told when to come back, and reads that
        passed = self._door.ask(now, intent, None)
        if passed.retry_at is not None and intent.kind != "invite":
            # A block may be the phone's alone, where the same phone is asked for again and again.
            alone = passed.outcome is Outcome.WAIT or intent.attack_on_few
            self._not_before[number if alone else prefix] = passed.retry_at
        if passed.outcome in (Outcome.SENT, Outcome.SENT_FOR_WORK):
            result.lost += 1
            result.lost_cost += intent.country.price
            self._through[bucket] += 1
            self._maybe_answer(now, intent, passed)

    def _contained(self) -> Instant | None:
        """Return how long it took until, for an hour on end, at most 5 % of what was tried got through."""
        if not self._tried:
            return None
        first, calm = min(self._tried), 0
        for bucket in range(first, max(self._tried) + 1):
            calm = calm + 1 if self._through[bucket] <= 0.05 * self._tried[bucket] else 0
            if calm == _CALM:
                return (bucket - _CALM + 1 - first) * _BUCKET
        return None

    # -- honest people --------------------------------------------------------------------------------

    def _come(self, now: Instant, intent: Intent) -> None:
        self._honest.people[intent.country.iso] += 1
        self._honest.owners += intent.owner
        passed = self._door.ask(now, intent, None)
        match passed.outcome:
            case Outcome.BLOCKED:
                self._honest.blocked[intent.country.iso] += 1
                if intent.owner:
                    self._come_back(now, intent, 0)
            case Outcome.WAIT:
                self._honest.waited += 1
            case Outcome.SENT | Outcome.SENT_FOR_WORK:
                self._honest.worked += passed.outcome is Outcome.SENT_FOR_WORK
                self._wait_for_it(now, intent, passed)

    def _come_back(self, now: Instant, intent: Intent, turn: int) -> None:
        """An owner who got no code tries again, up to a day; then counts as locked out."""
        if turn == len(_RETRIES):
            self._honest.locked_out += 1
            return

        def again(then: Instant) -> None:
            passed = self._door.ask(then, intent, None)
            if passed.outcome is Outcome.BLOCKED:
                self._come_back(now, intent, turn + 1)
            elif passed.outcome is not Outcome.WAIT:
                self._wait_for_it(then, intent, passed)

        self._at(now + _RETRIES[turn], again)

    def _wait_for_it(self, now: Instant, intent: Intent, passed: Passed) -> None:
        if self._maybe_answer(now, intent, passed) or not intent.patience:
            return
        intent.patience -= 1

        def resend(then: Instant) -> None:
            again = self._door.ask(then, intent, passed.subject)
            if again.outcome in (Outcome.SENT, Outcome.SENT_FOR_WORK):
                self._wait_for_it(then, intent, passed)

        self._at(now + int(_RESEND * (1 + self._random.random()) * (1 + intent.resends)), resend)
        intent.resends += 1

    def _maybe_answer(self, now: Instant, intent: Intent, passed: Passed) -> bool:
        """Let the code come back, where it does; a resend reaches some whom the first did not."""
        likely = intent.answers * (0.3 if intent.resends and not intent.attack else 1)
        if self._random.random() >= likely:
            return False
        then = now + delay_of(self._random, intent)
        self._at(then, lambda at: self._door.answered(at, passed.subject, intent))
        return True
