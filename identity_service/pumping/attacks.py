"""How messages are pumped.  Each attack is a plan: what would be sent if nobody stopped it.

An attacker uses the link of a public campaign that has no limit, by which honest people come too, solves
every proof of work, and has as many addresses as the attack says; inviters and members have to be bought or
captured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from identity_service.ports import DAY, HOUR, MINUTE, SECOND, Instant
from identity_service.pumping.world import BY_ISO, CAMPAIGNS, START, Intent, Targets, World

_BEGINS: Final = 2 * DAY
"""So long the guard has watched honest people; the first days of a service are in docs/guard.md."""
_EXPENSIVE: Final = ("UZ", "AZ", "BD", "PK", "EG", "ID", "NG", "TJ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack: what it earns from and what it asks for."""

    name: str
    countries: int
    ranges: int
    prefixes: int
    plan: Callable[[Random, World, tuple[Targets, ...]], Iterator[Intent]]

    def rent(self, seed: int, world: World) -> tuple[Targets, ...]:
        """Rent prefixes: mostly in ranges where nobody else lives, some in the midst of honest people."""
        random = Random(seed * 11 + 5)
        chosen = random.sample(_EXPENSIVE, self.countries)
        rented = []
        for n, iso in enumerate(chosen):
            country = BY_ISO[iso]
            ranges = [self._range(random, world, iso) for _ in range(self._share(self.ranges, n))]
            prefixes = dict.fromkeys(
                f"{ranges[i % len(ranges)]}{random.randrange(100):02d}"
                for i in range(self._share(self.prefixes, n))
            )
            rented.append(Targets(country=country, prefixes=tuple(prefixes)))
        return tuple(rented)

    def _share(self, whole: int, n: int) -> int:
        return max(1, whole // self.countries + (n < whole % self.countries))

    def _range(self, random: Random, world: World, iso: str) -> str:
        country = BY_ISO[iso]
        if random.random() < 0.1:
            return random.choice(world.ranges_of(country))
        width = country.digits - 6
        return f"+{country.code}{random.randrange(10 ** (width - 1), 10**width)}"


def _prefixes(targets: tuple[Targets, ...]) -> list[tuple[Targets, str]]:
    return [(target, prefix) for target in targets for prefix in target.prefixes]


def _intent(
    target: Targets, number: str, at: Instant, address: str, **more: float | str | int | None
) -> Intent:
    intent = Intent(
        at=at,
        kind="code",
        country=target.country,
        number=number,
        address=address,
        answers=0.0,
        attack=True,
        campaign=CAMPAIGNS[0],
        patience=0,
    )
    for name, value in more.items():
        setattr(intent, name, value)
    return intent


def _spread(
    random: Random,
    world: World,
    targets: tuple[Targets, ...],
    *,
    requests: int,
    span: Instant,
    addresses: int,
) -> Iterator[Intent]:
    """Evenly over all prefixes and the whole span."""
    everywhere = _prefixes(targets)
    for _ in range(int(requests * world.scale.attack)):
        target, prefix = random.choice(everywhere)
        yield _intent(
            target,
            f"{prefix}{random.randrange(10**4):04d}",
            START + _BEGINS + int(random.random() * span),
            f"bot-{random.randrange(addresses)}",
        )


def _burst(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """One prefix, twenty thousand messages in six hours, numbers in a row."""
    target, prefix = _prefixes(targets)[0]
    count = int(20_000 * world.scale.attack)
    for n in range(count):
        at = START + _BEGINS + 5 * HOUR + n * 6 * HOUR // count
        yield _intent(target, f"{prefix}{n % 10**4:04d}", at, f"bot-{random.randrange(200)}")


def _slow(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Two thousand prefixes, each one and a half times a day."""
    span = (world.scale.days - 3) * DAY
    yield from _spread(
        random, world, targets, requests=3_000 * (world.scale.days - 3), span=span, addresses=400
    )


def _rotating(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Five thousand addresses, eight messages from each."""
    yield from _spread(random, world, targets, requests=40_000, span=5 * DAY, addresses=5_000)


def _maximiser(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Few numbers, each asked for again as often as it goes: two hundred, forty times a day."""
    everywhere = _prefixes(targets)
    numbers = [(*everywhere[n % len(everywhere)], n) for n in range(int(200 * world.scale.attack) or 1)]
    for target, prefix, n in numbers:
        number = f"{prefix}{(n * 7919) % 10**4:04d}"
        for turn in range(40 * 6):
            at = START + _BEGINS + turn * 36 * MINUTE + random.randrange(20 * MINUTE)
            yield _intent(target, number, at, f"bot-{n}", resends=turn % 4, attack_on_few=True)


def _amplifier(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Sixty inviters, half of them captured anywhere, half bought from one branch, sixty SMS each a day."""
    everywhere = _prefixes(targets)
    seller = world.members[5]
    bought = [f"mem_b{n:03d}" for n in range(30)]
    world.parents.update(dict.fromkeys(bought, seller))
    inviters = [*bought, *random.sample(world.members, 30)]
    for inviter in inviters:
        for day in range(8):
            for _ in range(int(60 * world.scale.attack)):
                target, prefix = random.choice(everywhere)
                at = START + _BEGINS + day * DAY + int(random.random() * DAY)
                number = f"{prefix}{random.randrange(10**4):04d}"
                yield _intent(target, number, at, "", kind="invite", inviter=inviter, campaign=None)


def _members(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Logins and recoveries of the attacker's own members, every two minutes, from many addresses."""
    everywhere = _prefixes(targets)
    for n in range(max(4, int(40 * world.scale.attack))):
        target, prefix = everywhere[n % len(everywhere)]
        number = f"{prefix}{random.randrange(10**4):04d}"
        for turn in range(3 * 720):
            at = START + _BEGINS + turn * 2 * MINUTE + random.randrange(60 * SECOND)
            yield _intent(
                target,
                number,
                at,
                f"bot-{random.randrange(50)}",
                kind="own",
                campaign=None,
                attack_on_few=True,
            )


def _colluder(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """Completes three of ten, to look like a bad carrier."""
    for intent in _spread(random, world, targets, requests=30_000, span=8 * DAY, addresses=2_000):
        intent.answers = 0.3
        yield intent


def _staged(random: Random, world: World, targets: tuple[Targets, ...]) -> Iterator[Intent]:
    """An outage on a stage: three numbers of each range answer each morning, then all of them are silent.

    The guard is to believe that carriers fail, and to excuse those ranges.  Four thousand a day.
    """
    everywhere = _prefixes(targets)
    ranges = {prefix[:-2]: (target, prefix) for target, prefix in everywhere}
    for day in range(6):
        begins = START + _BEGINS + day * DAY
        for target, prefix in ranges.values():
            for _ in range(3):
                number = f"{prefix}{random.randrange(10**4):04d}"
                at = begins + int(random.random() * 2 * HOUR)
                yield _intent(target, number, at, f"bot-{random.randrange(1_000)}", answers=1.0)
        for _ in range(int(4_000 * world.scale.attack)):
            target, prefix = random.choice(everywhere)
            at = begins + 3 * HOUR + int(random.random() * 20 * HOUR)
            yield _intent(
                target, f"{prefix}{random.randrange(10**4):04d}", at, f"bot-{random.randrange(1_000)}"
            )


ATTACKS: Final = {
    attack.name: attack
    for attack in (
        Attack(name="burst", countries=1, ranges=1, prefixes=1, plan=_burst),
        Attack(name="slow", countries=6, ranges=50, prefixes=2_000, plan=_slow),
        Attack(name="rotating", countries=4, ranges=12, prefixes=120, plan=_rotating),
        Attack(name="resends", countries=2, ranges=4, prefixes=25, plan=_maximiser),
        Attack(name="amplifier", countries=3, ranges=5, prefixes=40, plan=_amplifier),
        Attack(name="members", countries=2, ranges=3, prefixes=10, plan=_members),
        Attack(name="colluder", countries=3, ranges=5, prefixes=40, plan=_colluder),
        Attack(name="staged", countries=2, ranges=16, prefixes=80, plan=_staged),
    )
}
