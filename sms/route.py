"""Which provider sends: ordered routes by country or prefix, and the choice with its reason.

A route is what an operator wrote (`twilio,vonage`): the first that is well and was not tried yet
sends. The choice is returned together with why, so that an operator's question "why did it go that
way" has a recorded answer. How well a provider is comes from `sms.health`.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
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

    `probe` it is not well, or was not until lately, and it was this message's turn to find out;
    `least_unwell` none that is left is well.
    """

    FIRST_IN_ROUTE = "first_in_route"
    EARLIER_TRIED = "earlier_tried"
    EARLIER_UNWELL = "earlier_unwell"
    PROBE = "probe"
    LEAST_UNWELL = "least_unwell"
    EXHAUSTED = "exhausted"


class SkipReason(StrEnum):
    """Why a provider was passed over."""

    TRIED = "tried"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Routes:
    """The default route, and those of countries and prefixes."""

    default: tuple[str, ...]
    countries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider that some route names, the default's first."""
        every = (self.default, *self.countries.values(), *self.prefixes.values())
        return tuple(dict.fromkeys(name for route in every for name in route))

    def of(self, to: E164, country: str) -> tuple[str, ...]:
        """Return the route of a number: its longest prefix, else its country's, else the default.

        Examples
        --------
        >>> routes = parse_routes("RU=webhook; +4479=vonage,twilio", default="twilio")
        >>> routes.of(E164("+447911123456"), "GB"), routes.of(E164("+79161234567"), "RU")
        (('vonage', 'twilio'), ('webhook',))
        >>> routes.of(E164("+33612345678"), "FR")
        ('twilio',)
        """
        for length in range(len(to), 1, -1):
            found = self.prefixes.get(to[:length])
            if found is not None:
                return found
        return self.countries.get(country, self.default)


def parse_route(setting: str) -> tuple[str, ...]:
    """Read a route such as `twilio,vonage`.

    Raises
    ------
    ValueError
        When it is empty, a name is no name, or one stands twice. Says which.

    Examples
    --------
    >>> parse_route("twilio, vonage")
    ('twilio', 'vonage')
    """
    names = tuple(part.strip() for part in setting.split(","))
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} in the route is not a provider's name")
    if len(set(names)) < len(names):
        raise ValueError("a provider stands twice in the route")
    return names


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
    countries: dict[str, tuple[str, ...]] = {}
    prefixes: dict[str, tuple[str, ...]] = {}
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
    shares: Mapping[str, float] | None = None,
    seed: str = "",
) -> Choice:
    """Pick the provider for the next attempt at one message.

    Parameters
    ----------
    route
        Names in order of preference, as `parse_route` gave them.
    providers
        The configured adapters by name. Every name of the route must be there.
    tried
        Names that already failed for this message (or this verification): skipped.
    shares
        The part of the messages, 0 to 1, that each provider should get; 1 where it is not named.
        See `sms.health`.
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
    for name in route:
        share = shares.get(name, 1.0)
        if name in tried:
            skipped.append(Skipped(name=name, reason=SkipReason.TRIED))
        elif share >= 1.0 or draw(seed, name) < share:
            reason = ChoiceReason.PROBE if share < 1.0 else _why(skipped)
            return Choice(provider=providers[name], reason=reason, skipped=tuple(skipped))
        else:
            skipped.append(Skipped(name=name, reason=SkipReason.UNWELL))
    left = [one.name for one in skipped if one.reason is SkipReason.UNWELL]
    if not left:
        return Choice(provider=None, reason=ChoiceReason.EXHAUSTED, skipped=tuple(skipped))
    best = max(left, key=lambda name: shares[name])
    return Choice(
        provider=providers[best],
        reason=ChoiceReason.LEAST_UNWELL,
        skipped=tuple(one for one in skipped if one.name != best),
    )


def _why(skipped: Sequence[Skipped]) -> ChoiceReason:
    if not skipped:
        return ChoiceReason.FIRST_IN_ROUTE
    unwell = any(one.reason is SkipReason.UNWELL for one in skipped)
    return ChoiceReason.EARLIER_UNWELL if unwell else ChoiceReason.EARLIER_TRIED


def draw(seed: str, name: str) -> float:
    """Return a number from 0 up to 1 that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}\x00{name}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
