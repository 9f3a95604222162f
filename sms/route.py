"""Which provider sends: an ordered route, and the choice with its reason.

A route is what an operator wrote (`twilio,vonage`): the first that was not tried yet for this
message sends. The choice is returned together with why, so that an operator's question "why did
it go that way" has a recorded answer.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sms.providers.base import Provider

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


class ChoiceReason(StrEnum):
    """Why a provider was chosen, or none was."""

    FIRST_IN_ROUTE = "first_in_route"
    EARLIER_TRIED = "earlier_tried"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A provider and the reason for it.

    `provider` is `None` when nothing is left (`reason` is then `exhausted`). `skipped` are the
    providers of the route that came before it, in order.
    """

    provider: Provider | None
    reason: ChoiceReason
    skipped: tuple[str, ...] = ()


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


def choose(route: Sequence[str], providers: Mapping[str, Provider], *, tried: Collection[str] = ()) -> Choice:
    """Pick the provider for the next attempt at one message.

    Parameters
    ----------
    route
        Names in order of preference, as `parse_route` gave them.
    providers
        The configured adapters by name. Every name of the route must be there.
    tried
        Names that already failed for this message (or this verification): skipped.

    Returns
    -------
    Choice

    Raises
    ------
    KeyError
        When the route names a provider that is not configured: a start-up check was left out.
    """
    skipped: list[str] = []
    for name in route:
        if name in tried:
            skipped.append(name)
            continue
        reason = ChoiceReason.EARLIER_TRIED if skipped else ChoiceReason.FIRST_IN_ROUTE
        return Choice(provider=providers[name], reason=reason, skipped=tuple(skipped))
    return Choice(provider=None, reason=ChoiceReason.EXHAUSTED, skipped=tuple(skipped))
