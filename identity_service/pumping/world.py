"""Who lives in the simulated world: countries, carriers, numbers, and honest people with their habits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from identity_service.ports import DAY, HOUR, MINUTE, SECOND, Instant

START: Final = 1_790_000_000 * SECOND
MEMBERS: Final = 3_000
"""Who may have invited somebody; each was let in by another one."""
CAMPAIGNS: Final = ("public", "partner", "school", "press")
"""Whose links stand on pages that anyone may read: who was not invited by a member comes by one of these."""
_CAMPAIGN_WEIGHTS: Final = (8, 3, 2, 1)
_LATE: Final = 9 * MINUTE
_SHARED_ADDRESS: Final = 0.2
_RESIDENTS_OF_RENTED_RANGES: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country: its people's share of the traffic, how many codes come back, what a message costs."""

    iso: str
    code: str
    digits: int
    weight: float
    conversion: float
    price: float
    ranges: int


# Weights, conversion and prices are assumptions in the span that the field knows: large and small countries,
# 60 to 95 % of codes coming back, a cent to a quarter of a dollar.
COUNTRIES: Final = tuple(
    Country(
        iso=iso, code=code, digits=digits, weight=weight, conversion=conversion, price=price, ranges=ranges
    )
    for iso, code, digits, weight, conversion, price, ranges in (
        ("US", "1", 10, 14.0, 0.90, 0.008, 200),
        ("RU", "7", 10, 12.0, 0.86, 0.055, 160),
        ("IN", "91", 10, 10.0, 0.78, 0.040, 200),
        ("BR", "55", 11, 7.0, 0.82, 0.045, 120),
        ("DE", "49", 11, 6.0, 0.93, 0.090, 80),
        ("GB", "44", 10, 6.0, 0.94, 0.045, 80),
        ("FR", "33", 9, 5.0, 0.93, 0.070, 60),
        ("MX", "52", 10, 4.0, 0.80, 0.050, 60),
        ("ID", "62", 11, 4.0, 0.70, 0.190, 80),
        ("TR", "90", 10, 3.5, 0.84, 0.030, 50),
        ("UA", "380", 9, 3.5, 0.85, 0.110, 40),
        ("PL", "48", 9, 3.0, 0.93, 0.040, 40),
        ("ES", "34", 9, 3.0, 0.92, 0.070, 40),
        ("IT", "39", 10, 3.0, 0.92, 0.080, 40),
        ("KZ", "7", 10, 2.0, 0.82, 0.110, 20),
        ("PK", "92", 10, 2.0, 0.64, 0.210, 40),
        ("NG", "234", 10, 2.0, 0.66, 0.160, 40),
        ("EG", "20", 10, 1.5, 0.68, 0.200, 30),
        ("AR", "54", 11, 1.5, 0.80, 0.060, 30),
        ("PH", "63", 10, 1.5, 0.74, 0.140, 30),
        ("BD", "880", 10, 1.0, 0.63, 0.230, 20),
        ("UZ", "998", 9, 0.8, 0.72, 0.240, 12),
        ("AZ", "994", 9, 0.7, 0.74, 0.250, 10),
        ("GE", "995", 9, 0.6, 0.83, 0.090, 8),
        ("AM", "374", 8, 0.5, 0.84, 0.110, 8),
        ("KG", "996", 9, 0.5, 0.71, 0.180, 8),
        ("TJ", "992", 9, 0.4, 0.62, 0.250, 8),
        ("EE", "372", 8, 0.4, 0.95, 0.070, 6),
        ("LV", "371", 8, 0.4, 0.94, 0.050, 6),
        ("MD", "373", 8, 0.4, 0.88, 0.090, 6),
    )
)
BY_ISO: Final = {country.iso: country for country in COUNTRIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large a world is run: honest verifications a day, and how much of each attack."""

    days: int = 14
    honest_a_day: int = 1_000
    attack: float = 1.0


@dataclass(slots=True, kw_only=True)
class Intent:
    """What somebody wants: one message, and what they do when it does not come."""

    at: Instant
    kind: str
    country: Country
    number: str
    address: str
    answers: float
    """How likely the code comes back once it was sent."""
    inviter: str | None = None
    campaign: str | None = None
    attack: bool = False
    attack_on_few: bool = False
    """The attacker comes back to the same numbers."""
    resends: int = 0
    owner: bool = False
    patience: int = 2
    delay: tuple[float, float] = (35 * SECOND, 0.9)
    """Median and spread of the answer's delay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Numbers that an attacker earns from: whole rented prefixes in rented ranges."""

    country: Country
    prefixes: tuple[str, ...]


@dataclass
class World:
    """One world.  The same seed gives the same honest people whatever is attacked and whoever defends."""

    seed: int
    scale: Scale
    targets: tuple[Targets, ...] = ()
    members: list[str] = field(default_factory=list)
    parents: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._ranges: dict[str, list[str]] = {}
        self._weights: dict[str, list[float]] = {}
        self._carriers: dict[str, float] = {}
        for country in COUNTRIES:
            self._populate(country)
        for n in range(MEMBERS):
            self.members.append(f"mem_{n:04d}")
            self.parents[self.members[-1]] = self._random.choice(self.members[:n]) if n else None
        chosen = self._random.sample([c for c in COUNTRIES if c.weight >= 2], 7)
        self.failing = {country.iso for country in chosen}
        """Whose messages go by the provider that fails."""
        self.spike = self._random.choice([c for c in COUNTRIES if 0.5 <= c.weight <= 6])
        days = self.scale.days
        self.spike_from = START + int(days * 0.45) * DAY + 9 * HOUR
        self.outage_from = START + int(days * 0.7) * DAY + 11 * HOUR
        self.outage_until = self.outage_from + 5 * HOUR

    def _populate(self, country: Country) -> None:
        """Give a country its ranges, a few carriers of which deliver badly."""
        random, width = self._random, country.digits - 6
        lowest = 10 ** (width - 1)
        numbers = random.sample(range(lowest, 10 * lowest), min(country.ranges, 9 * lowest))
        first = {"RU": "9", "KZ": "7"}.get(country.iso, "")  # the two share a country code
        names = [f"+{country.code}{first}{str(number)[len(first) :]}" for number in numbers]
        self._ranges[country.iso] = list(dict.fromkeys(names))
        self._weights[country.iso] = [1 / (n + 3) ** 0.7 for n in range(len(self._ranges[country.iso]))]
        for name in self._ranges[country.iso]:
            share = random.gauss(country.conversion, 0.04)
            if random.random() < 0.04:
                share *= 0.65
            self._carriers[name] = min(0.98, max(0.3, share))

    def ranges_of(self, country: Country) -> list[str]:
        return self._ranges[country.iso]

    # -- honest people --------------------------------------------------------------------------------

    def honest(self) -> Iterator[Intent]:
        """Yield what honest people want, day by day; not in order of time."""
        random = Random(self.seed * 7 + 1)
        weights = [country.weight for country in COUNTRIES]
        for day in range(self.scale.days):
            for _ in range(self.scale.honest_a_day):
                country = random.choices(COUNTRIES, weights)[0]
                at = START + day * DAY + self._time_of_day(random)
                yield from self._person(random, country, at)
        yield from self._spike(random)

    def _time_of_day(self, random: Random) -> Instant:
        while True:
            at = random.random()
            if random.random() < (1 + 0.85 * math.sin(2 * math.pi * (at - 0.3))) / 1.85:
                return int(at * DAY)

    def _person(self, random: Random, country: Country, at: Instant) -> Iterator[Intent]:
        number = self._number(random, country)
        what = random.random()
        if what < 0.62:
            yield from self._newcomers(random, country, number, at)
        elif what < 0.85:
            yield self._own(random, country, number, at)
        else:
            yield self._invited(random, country, number, at)

    def _number(self, random: Random, country: Country) -> str:
        for targets in self.targets:
            if targets.country is country and random.random() < _RESIDENTS_OF_RENTED_RANGES:
                chosen = random.choice(targets.prefixes)[:-2]
                return f"{chosen}{random.randrange(10**6):06d}"
        chosen = random.choices(self._ranges[country.iso], self._weights[country.iso])[0]
        return f"{chosen}{random.randrange(10**6):06d}"

    def _address(self, random: Random, country: Country) -> str:
        """Most have an address of their own; some share one with half a carrier."""
        if random.random() < _SHARED_ADDRESS:
            return f"nat-{country.iso}-{random.randrange(10)}"
        return f"home-{random.randrange(10**9)}"

    def _answers(self, number: str, country: Country, at: Instant) -> float:
        if country.iso in self.failing and self.outage_from <= at < self.outage_until:
            return 0.02
        return self._carriers.get(number[:-6], country.conversion)

    def _newcomers(self, random: Random, country: Country, number: str, at: Instant) -> Iterator[Intent]:
        """One newcomer, or a family with adjacent numbers; some mistype theirs first."""
        inviter = random.choice(self.members) if random.random() < 0.85 else None
        campaign = None if inviter else random.choices(CAMPAIGNS, _CAMPAIGN_WEIGHTS)[0]
        family = random.choice((2, 3, 4, 5)) if random.random() < 0.05 else 1
        for n in range(family):
            when = at + n * random.randrange(2 * MINUTE, 20 * MINUTE)
            near = number[:-2] + f"{(int(number[-2:]) + n) % 100:02d}"
            address = self._address(random, country)
            if random.random() < 0.04:
                wrong = self._number(random, country)
                if random.random() < 0.7:  # a digit, not the whole number
                    digit = random.randrange(4, 7)
                    wrong = near[:-digit] + str((int(near[-digit]) + 1) % 10) + near[len(near) - digit + 1 :]
                yield self._intent(random, "code", country, wrong, address, when, 0.0, inviter, campaign)
                when += random.randrange(MINUTE, 4 * MINUTE)
            answers = self._answers(near, country, when)
            yield self._intent(random, "code", country, near, address, when, answers, inviter, campaign)

    def _intent(
        self,
        random: Random,
        kind: str,
        country: Country,
        number: str,
        address: str,
        at: Instant,
        answers: float,
        inviter: str | None,
        campaign: str | None = None,
    ) -> Intent:
        return Intent(
            at=at,
            kind=kind,
            country=country,
            number=number,
            address=address,
            answers=answers,
            inviter=inviter,
            campaign=campaign,
            patience=random.choice((0, 0, 1, 1, 2)),
        )

    def _own(self, random: Random, country: Country, number: str, at: Instant) -> Intent:
        """Somebody logs in; the number answered before, so it is reached more often than not."""
        answers = self._answers(number, country, at)
        better = answers if answers < 0.1 else 1 - (1 - answers) * 0.6
        intent = self._intent(
            random, "own", country, number, self._address(random, country), at, better, None
        )
        intent.owner = True
        return intent

    def _invited(self, random: Random, country: Country, number: str, at: Instant) -> Intent:
        """A member invites a friend by SMS; half of them come, most within the day."""
        answers = self._answers(number, country, at) * 0.62
        intent = self._intent(random, "invite", country, number, "", at, answers, random.choice(self.members))
        intent.delay, intent.patience = (2.5 * HOUR, 1.2), 0
        return intent

    def _spike(self, random: Random) -> Iterator[Intent]:
        """Somebody well known invites: ten times a country's traffic, much of it in one city's ranges."""
        country = self.spike
        city = random.sample(self._ranges[country.iso], min(6, len(self._ranges[country.iso])))
        usual = self.scale.honest_a_day * country.weight / sum(c.weight for c in COUNTRIES)
        for _ in range(int(10 * usual)):
            at = self.spike_from + int(random.random() * 10 * HOUR)
            number = f"{random.choice(city)}{random.randrange(10**6):06d}"
            if random.random() < 0.3:
                number = self._number(random, country)
            yield from self._newcomers(random, country, number, at)


def delay_of(random: Random, intent: Intent) -> Instant:
    """Return how long an answer takes."""
    median, spread = intent.delay
    latest = 20 * DAY if intent.kind == "invite" else _LATE
    return min(latest, int(random.lognormvariate(math.log(median), spread)))
