"""What an operator would regret: rules that are well-formed and still do harm or nothing.

Told by `identity policy check`, never enforced: a policy is its operator's decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from identity_service.policy.changes import line_of
from identity_service.policy.levels import AT_LEAST, AT_MOST, Conditions, Level
from identity_service.policy.rules import Fault, Policy, parse_policy
from identity_service.ports import DAY, Instant

SAFE_LOG_ODDS: Final = (0.5, 1.5)
"""Between these thresholds the measured economy held (docs/trust.md)."""
_LEAST_CONDUCT: Final = 0.0
_MOST_RESTRICTED: Final = -2.5
"""Reports alone, of three branches about a member with a VoIP phone, come to -2.25."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to think about.  `location` leads to its line in the file."""

    location: tuple[int | str, ...]
    detail: str


def advice_on(text: str) -> Iterator[Fault]:
    """Yield what an operator should think about before a policy file takes force, each with its place.

    Raises:
        Misconfigured: the text is no policy.
    """
    for one in advice(parse_policy(text, "this file")):
        rule = ".".join(map(str, one.location))
        yield Fault(line=line_of(text, one.location), rule=rule, detail=one.detail)


def advice(policy: Policy) -> Iterator[Advice]:
    if policy.ladder.floor is None:
        yield Advice(location=("levels",), detail="no level earns anything: only grants bring invites")
    for place, level in enumerate(policy.levels):
        yield from _of_level(policy, place, level)
    yield from _unreachable(policy)
    if policy.earning.expires_in < policy.earning.period:
        yield Advice(
            location=("earning", "expires_in"), detail="what is earned lapses before the next period begins"
        )
    bar = policy.earning.restricted_below
    if bar is not None and bar > _MOST_RESTRICTED:
        told = f"above {_MOST_RESTRICTED:g} it restricts honest members whom somebody merely reported"
        yield Advice(location=("earning", "restricted_below"), detail=told)


def _of_level(policy: Policy, place: int, level: Level) -> Iterator[Advice]:
    at = ("levels", place)
    if level.allowance and level.unspent_cap < level.allowance:
        told = f"at most {level.unspent_cap} may lie unspent: a period's {level.allowance} never come whole"
        yield Advice(location=(*at, "unspent_cap"), detail=told)
    if level.open_cap is not None and level.open_cap < level.allowance:
        told = f"only {level.open_cap} may be open at once, fewer than a period brings"
        yield Advice(location=(*at, "open_cap"), detail=told)
    if not level.allowance:
        return
    for name, conditions in (("enter", level.enter), ("keep", level.kept_by)):
        yield from _of_scores((*at, name), conditions)
    yield from _of_waiting(policy, at, level)
    if not level.enter.not_adjudicated:
        told = "a member who was judged to sell invites goes on earning them"
        yield Advice(location=(*at, "enter"), detail=told)


def _of_scores(at: tuple[int | str, ...], conditions: Conditions) -> Iterator[Advice]:
    low, high = SAFE_LOG_ODDS
    if conditions.log_odds is None:
        if at[-1] == "enter":
            yield Advice(location=at, detail="without log_odds the score of trust keeps nobody from earning")
    elif not low <= conditions.log_odds <= high:
        told = (
            f"{conditions.log_odds:g} is outside {low:g} to {high:g}, where it was measured to keep "
            "bad accounts out and honest ones in"
        )
        yield Advice(location=(*at, "log_odds"), detail=told)
    if conditions.conduct is not None and conditions.conduct < _LEAST_CONDUCT:
        told = "below 0 members earn whose invitees speak against them"
        yield Advice(location=(*at, "conduct"), detail=told)


def _of_waiting(policy: Policy, at: tuple[int | str, ...], level: Level) -> Iterator[Advice]:
    shows, age = policy.trust.matured_after, level.enter.age
    if age is None or age < shows:
        told = (
            f"members earn after {_days(age)}, before trouble has had time to show ({_days(shows)}, "
            "trust.matured_after): careful attackers multiply meanwhile"
        )
        yield Advice(location=(*at, "enter", "age"), detail=told)


def _unreachable(policy: Policy) -> Iterator[Advice]:
    """Find levels that nobody stays at, because whoever meets them meets the next one, too; and dead ends."""
    for place in range(1, len(policy.levels) - 1):
        level, above = policy.levels[place], policy.levels[place + 1]
        if _is_implied(above.enter, by=level.enter):
            told = f"nobody stays at {level.name}: whoever reaches it reaches {above.name} as well"
            yield Advice(location=("levels", place), detail=told)
    for place, level in enumerate(policy.levels[1:], 1):
        wanted = level.enter.invitees_joined
        below = policy.levels[:place]
        if wanted is not None and not any(one.allowance for one in below):
            told = f"it asks for {wanted} invitees and no level below earns an invite: only grants lead there"
            yield Advice(location=("levels", place, "enter", "invitees_joined"), detail=told)


def _is_implied(conditions: Conditions, *, by: Conditions) -> bool:
    """Whether whoever meets `by` meets `conditions` (by thresholds; a probation counts as a condition)."""
    for name in conditions.model_fields_set:
        wanted, given = getattr(conditions, name), getattr(by, name)
        if wanted is None:
            continue
        if given is None:
            return False
        if name in AT_LEAST:
            implied = given >= wanted
        elif name in AT_MOST:
            implied = given <= wanted
        else:
            implied = given == wanted
        if not implied:
            return False
    return True


def _days(span: Instant | None) -> str:
    return "no time at all" if span is None else f"{span / DAY:g} days"
