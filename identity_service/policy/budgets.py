"""How often something may be done: rates, lanes, cool-downs, as pure values.

`services/budgets.py` takes from them in the store; here stands what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from identity_service.ports import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `times` in any rolling `window` (microseconds)."""

    times: int
    window: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Limits that hold together, and the trickle that stays when they are spent.

    The trickle is why an attacker who burns a stranger's budget does not lock its owner out for good.
    """

    limits: tuple[Limit, ...]
    trickle: Limit | None = None
    """For each requester."""
    trickles: Limit | None = None
    """For all requesters together."""


class Lane(StrEnum):
    """Who asks.  Each lane has budgets of its own, so that one cannot spend another's."""

    ANONYMOUS = "anonymous"
    """Anyone who typed the number."""
    KNOWN_DEVICE = "known_device"
    """A device that has proved to be the owner's before."""
    INVITE = "invite"
    """An inviter who named the number."""


def cooldown_after(step: int, *, first: Instant, longest: Instant) -> Instant:
    """Return how long to wait after the `step`-th unconfirmed send (from 1): doubling, capped."""
    return min(first << min(step - 1, 60), longest)
