"""Which provider sends: ordered routes by country or prefix, and the choice with its reason.

A route is what an operator wrote (`twilio,vonage`): the first that is well and was not tried yet
sends. Providers of equal rank (`twilio|vonage,webhook`) are put in order by their price. The choice is
returned together with why, so that an operator's question "why did it go that way" has a recorded
answer. How well a provider is comes from `sms.health`.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import phonenumbers

from sms.numbers import E164
from sms.providers.base import Provider

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,9}", re.ASCII)


class ChoiceReason(StrEnum):
    """Why a provider was chosen, or none was.

    `cheapest_of_rank` another of its rank was written first, and costs more; `earlier_full` those
    before it have no place for a while; `earlier_away` one of them asked for patience; `probe` it is
    not well, or was not until lately, and it was this message's turn to find out; `least_unwell` none
    that is left is well.
    """

    FIRST_IN_ROUTE = "first_in_route"
    CHEAPEST_OF_RANK = "cheapest_of_rank"
    EARLIER_TRIED = "earlier_tried"
    EARLIER_FULL = "earlier_full"
    EARLIER_AWAY = "earlier_away"
    EARLIER_UNWELL = "earlier_unwell"
    PROBE = "probe"
    LEAST_UNWELL = "least_unwell"
    EXHAUSTED = "exhausted"


class SkipReason(StrEnum):
    """Why a provider was passed over."""

    TRIED = "tried"
    FULL = "full"
    AWAY = "away"
    UNWELL = "unwell"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A provider of the route that came before the chosen one."""

    name: str
    reason: SkipReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A provider and the reason for it.

    `provider` is `None` when nothing is left (`reason` is then `exhausted`).
    """

    provider: Provider | None
    reason: ChoiceReason
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Providers by rank: those of an earlier rank before those of a later one."""

    ranks: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every provider, as it was written."""
        return tuple(name for rank in self.ranks for name in rank)

    def ordered(self, price: Callable[[str], int | None]) -> tuple[str, ...]:
        """Return every provider, those of equal rank cheapest first; whose price is not known comes last.

        Equal prices stay as they were written.

        Examples
        --------
        >>> prices = {"twilio": 9, "vonage": 7, "webhook": 1}
        >>> parse_route("twilio|vonage,webhook").ordered(prices.get)
        ('vonage', 'twilio', 'webhook')
        """
        found: list[str] = []
        for rank in self.ranks:
            known = {name: price(name) for name in rank} if len(rank) > 1 else {}
            found += sorted(rank, key=lambda name, known=known: _or_last(known.get(name)))  # type: ignore[misc]
        return tuple(found)


def _or_last(price: int | None) -> tuple[bool, int]:
    return price is None, price or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Routes:
    """The default route, and those of countries and prefixes."""

    default: Route
    countries: Mapping[str, Route] = field(default_factory=dict)
    prefixes: Mapping[str, Route] = field(default_factory=dict)

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider that some route names, the default's first."""
        every = (self.default, *self.countries.values(), *self.prefixes.values())
        return tuple(dict.fromkeys(name for route in every for name in route.names))

    def of(self, to: E164, country: str) -> Route:
        """Return the route of a number: its longest prefix, else its country's, else the default.

        Examples
        --------
        >>> routes = parse_routes("RU=webhook; +4479=vonage,twilio", default="twilio")
        >>> routes.of(E164("+447911123456"), "GB").names, routes.of(E164("+79161234567"), "RU").names
        (('vonage', 'twilio'), ('webhook',))
        >>> routes.of(E164("+33612345678"), "FR").names
        ('twilio',)
        """
        prefix = self._prefix_of(to)
        return self.countries.get(country, self.default) if prefix is None else self.prefixes[prefix]

    def place_of(self, to: E164, country: str) -> str:
        """Return where a number belongs: the longest prefix that has a route of its own, else its country.

        What is known of a provider is known of such a place.
        """
        return self._prefix_of(to) or country

    def written_for(self, to: E164, country: str) -> str | None:
        """Return whose route a number takes: a prefix's or a country's; `None` for the default."""
        return self._prefix_of(to) or (country if country in self.countries else None)

    def _prefix_of(self, to: E164) -> str | None:
        beginnings = (to[:length] for length in range(len(to), 1, -1))
        return next((prefix for prefix in beginnings if prefix in self.prefixes), None)


def parse_route(setting: str) -> Route:
    """Read a route such as `twilio,vonage`; `|` stands between providers of equal rank.

    Raises
    ------
    ValueError
        When it is empty, a name is no name, or one stands twice. Says which.

    Examples
    --------
    >>> parse_route("twilio | vonage, webhook").ranks
    (('twilio', 'vonage'), ('webhook',))
    """
    route = Route(tuple(tuple(name.strip() for name in rank.split("|")) for rank in setting.split(",")))
    names = route.names
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} in the route is not a provider's name")
    if len(set(names)) < len(names):
        raise ValueError("a provider stands twice in the route")
    return route


def parse_routes(setting: str, *, default: str) -> Routes:
    """Read routes such as `RU=webhook,twilio; +4479=vonage,twilio`.

    Parameters
    ----------
    setting
        Parts joined by `;`. Each is a country (ISO 3166-1, upper case) or a prefix of numbers with
        its `+`, an equals sign, and a route. May be empty.
    default
        The route of every number that none of them is about.

    Raises
    ------
    ValueError
        Says which part is wrong and why.
    """
    countries: dict[str, Route] = {}
    prefixes: dict[str, Route] = {}
    for part in (text.strip() for text in setting.split(";")):
        if not part:
            continue
        place, equals, route = (text.strip() for text in part.partition("="))
        if not equals:
            raise ValueError(f"{part!r} is no `place=route`")
        if place in phonenumbers.SUPPORTED_REGIONS:
            routes = countries
        elif _PREFIX.fullmatch(place):
            routes = prefixes
        else:
            raise ValueError(f"{place!r} in {part!r} is neither a country nor a prefix such as +4479")
        if place in routes:
            raise ValueError(f"{place!r} stands twice")
        try:
            routes[place] = parse_route(route)
        except ValueError as error:
            raise ValueError(f"{part!r}: {error}") from None
    return Routes(default=parse_route(default), countries=countries, prefixes=prefixes)


def choose(
    route: Sequence[str],
    providers: Mapping[str, Provider],
    *,
    tried: Collection[str] = (),
    full: Collection[str] = (),
    away: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
    written: Sequence[str] = (),
    seed: str = "",
) -> Choice:
    """Pick the provider for the next attempt at one message.

    Parameters
    ----------
    route
        Names in order of preference, as `Route.ordered` gave them.
    providers
        The configured adapters by name. Every name of the route must be there.
    tried
        Names that already failed for this message (or this verification): skipped.
    full
        Names that will have no place for a while: passed over for one that is as well, and chosen
        where there is none. The message then waits.
    away
        Names that asked for patience: the last resort, after those that are not well.
    shares
        The part of the messages, 0 to 1, that each provider should get; 1 where it is not named.
        See `sms.health`.
    written
        The route before its ranks were put in order by price, so that the reason can tell.
    seed
        What the draw for a provider that should get only a part depends on: the attempt's id. The
        same seed draws the same, so that a choice can be explained afterwards.

    Returns
    -------
    Choice

    Raises
    ------
    KeyError
        When the route names a provider that is not configured: a start-up check was left out.
    """
    shares = shares or {}
    skipped: list[Skipped] = []
    waits: Choice | None = None
    for name in route:
        share = shares.get(name, 1.0)
        passed_over = _passed_over(name, tried, away, lacks=share < 1.0 and draw(seed, name) >= share)
        if passed_over is None:
            reason = ChoiceReason.PROBE if share < 1.0 else _why(skipped, name, written)
            choice = Choice(provider=providers[name], reason=reason, skipped=tuple(skipped))
            if name not in full:
                return choice
            waits, passed_over = waits or choice, SkipReason.FULL
        skipped.append(Skipped(name=name, reason=passed_over))
    return waits or _last_resort(providers, skipped, shares)


def _passed_over(
    name: str, tried: Collection[str], away: Collection[str], *, lacks: bool
) -> SkipReason | None:
    if name in tried:
        return SkipReason.TRIED
    if name in away:
        return SkipReason.AWAY
    return SkipReason.UNWELL if lacks else None


def _last_resort(
    providers: Mapping[str, Provider], skipped: Sequence[Skipped], shares: Mapping[str, float]
) -> Choice:
    """Pick the best of those that are not well; after them one that is away."""
    left = [one for one in skipped if one.reason is not SkipReason.TRIED]
    if not left:
        return Choice(provider=None, reason=ChoiceReason.EXHAUSTED, skipped=tuple(skipped))
    best = max(left, key=lambda one: (one.reason is SkipReason.UNWELL, shares.get(one.name, 1.0)))
    return Choice(
        provider=providers[best.name],
        reason=ChoiceReason.LEAST_UNWELL,
        skipped=tuple(one for one in skipped if one is not best),
    )


_REASON_OF: Final = {
    SkipReason.UNWELL: ChoiceReason.EARLIER_UNWELL,
    SkipReason.AWAY: ChoiceReason.EARLIER_AWAY,
    SkipReason.FULL: ChoiceReason.EARLIER_FULL,
    SkipReason.TRIED: ChoiceReason.EARLIER_TRIED,
}
"""The weightiest first."""


def _why(skipped: Sequence[Skipped], name: str, written: Sequence[str]) -> ChoiceReason:
    if not skipped:
        moved = bool(written) and written[0] != name
        return ChoiceReason.CHEAPEST_OF_RANK if moved else ChoiceReason.FIRST_IN_ROUTE
    met = {one.reason for one in skipped}
    return next(reason for passed_over, reason in _REASON_OF.items() if passed_over in met)


def draw(seed: str, name: str) -> float:
    """Return a number from 0 up to 1 that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\x00{name}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
