"""Levels: what a member must be like to earn invites, how many, and when that may change.

Pure functions over frozen facts.  The same conditions judge one member, each rule with its value, threshold
and earliest date, and a million in arrays (`policy/many.py`), so that what is simulated is what is done.

A member rises to the highest level whose `enter` conditions hold.  It falls only when the looser `keep`
conditions of its level fail *and* its `minimum_stay` is over: nobody flaps at a threshold.  A restriction
reads standing alone (the score with the inviter left out), never the whole score: in a sold subtree the tree
cannot tell honest buyers from bad ones (docs/trust.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field, model_validator

from identity_service.policy.values import Section, Span
from identity_service.ports import Instant
from sms.numbers import NumberKind

PHONE_KINDS: Final = tuple(kind.value for kind in NumberKind)
MOST_INVITEES: Final = 1_000
"""How many of a member's newest invitees are looked at: a bound on the work."""
_Odds = Annotated[float, Field(ge=-30, le=30, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]


class Probation(Section):
    """A longer waiting time for those whose inviter vouches badly: `t`, what the inviter adds, is below."""

    below: _Odds
    age: Span


class Conditions(Section):
    """What a level asks for; what is left out is not asked.

    `log_odds` is the whole score L, `conduct` Ly, `standing` S, `from_inviter` t, all as docs/trust.md says.
    """

    age: Span | None = None
    probation: Probation | None = None
    log_odds: _Odds | None = None
    conduct: _Odds | None = None
    standing: _Odds | None = None
    from_inviter: _Odds | None = None
    phone_verified: Literal[True] | None = None
    phone_kinds: Annotated[tuple[NumberKind, ...], Field(min_length=1)] | None = None
    seen_within: Span | None = None
    invitees_joined: Annotated[int, Field(ge=1, le=MOST_INVITEES)] | None = None
    invitees_banned_share: _Share | None = None
    not_adjudicated: Literal[True] | None = None

    def overlaid(self, other: Conditions) -> Conditions:
        """Return these conditions with those of `other` in place of their own."""
        given = {name: getattr(other, name) for name in other.model_fields_set}
        return self.model_copy(update=given)


AT_LEAST: Final = ("age", "log_odds", "conduct", "standing", "from_inviter", "invitees_joined")
AT_MOST: Final = ("seen_within", "invitees_banned_share")


class Level(Section):
    """One level.

    `allowance` is how many invites it earns a period, `unspent_cap` how many earned ones may lie unspent,
    `open_cap` how many invites may be open at once when an earned one is given.
    """

    name: Annotated[str, Field(min_length=1, max_length=30, pattern=r"^[a-z][a-z0-9_-]*$")]
    allowance: Annotated[int, Field(ge=0, le=1_000)] = 0
    unspent_cap: Annotated[int, Field(ge=0, le=10_000)] = 0
    open_cap: Annotated[int, Field(ge=1, le=100_000)] | None = None
    minimum_stay: Span | None = None
    enter: Conditions = Conditions()
    keep: Conditions = Conditions()

    @cached_property
    def kept_by(self) -> Conditions:
        """The conditions under which a member stays: `enter`, as far as `keep` does not loosen it."""
        return self.enter.overlaid(self.keep)

    @model_validator(mode="after")
    def _keep_is_looser(self) -> Level:
        for name in self.keep.model_fields_set:
            wanted, kept = getattr(self.enter, name), getattr(self.keep, name)
            if wanted is None:
                raise ValueError(f"keep.{name} loosens nothing: enter does not ask for {name}")
            stricter = (name in AT_LEAST and kept > wanted) or (name in AT_MOST and kept < wanted)
            if stricter:
                raise ValueError(f"keep.{name} is stricter than enter.{name}: members would flap")
        return self


class EarningRules(Section):
    """When invites are earned, how long they last, and how invitees' outcomes are counted.

    The share of banned invitees is shrunk: (banned + prior · weight) / (joined + weight), so that one bad
    invitee of two is a misfortune and ten of twenty are a habit.
    """

    period: Span
    expires_in: Span
    banned_share_prior: _Share
    banned_share_weight: Annotated[float, Field(gt=0, le=1_000)]
    restricted_below: Annotated[
        _Odds | None, Field(description="Standing (S) below which a member has the first level at once.")
    ] = None


class Rule(StrEnum):
    """The conditions by the names under which they are told."""

    AGE = "age"
    LOG_ODDS = "log_odds"
    CONDUCT = "conduct"
    STANDING = "standing"
    FROM_INVITER = "from_inviter"
    PHONE_VERIFIED = "phone_verified"
    PHONE_KIND = "phone_kind"
    SEEN_WITHIN = "seen_within"
    INVITEES_JOINED = "invitees_joined"
    INVITEES_BANNED_SHARE = "invitees_banned_share"
    NOT_ADJUDICATED = "not_adjudicated"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """What levels look at, of one member.  A score that is not computed yet is NaN and meets no threshold."""

    joined_at: Instant
    last_seen_at: Instant
    log_odds: float = math.nan
    conduct: float = math.nan
    standing: float = math.nan
    from_inviter: float = math.nan
    phone_verified: bool = False
    phone_kind: str | None = None
    invitees: int = 0
    """Of the newest `MOST_INVITEES`."""
    invitees_banned: int = 0
    adjudicated: bool = False
    adjudicated_until: Instant | None = None
    level: str
    level_since: Instant
    earned: int = 0
    """Earned invites that lie unspent."""
    earn_from: Instant | None = None
    """When the next period begins; None where nothing was earned yet."""

    @property
    def clean(self) -> bool:
        return not self.adjudicated

    def has_kind(self, kinds: Sequence[str]) -> bool:
        return self.phone_kind in kinds

    def waits(self, conditions: Conditions) -> Instant:
        """Return the waiting time that holds for this member."""
        probation, age = conditions.probation, conditions.age or 0
        return max(age, probation.age) if probation and self.from_inviter < probation.below else age


class Subject(Protocol):
    """Whom conditions are put to: one member's facts, or many members' in arrays (`policy/many.py`)."""

    @property
    def joined_at(self) -> Any: ...
    @property
    def last_seen_at(self) -> Any: ...
    @property
    def log_odds(self) -> Any: ...
    @property
    def conduct(self) -> Any: ...
    @property
    def standing(self) -> Any: ...
    @property
    def from_inviter(self) -> Any: ...
    @property
    def phone_verified(self) -> Any: ...
    @property
    def phone_kind(self) -> Any: ...
    @property
    def invitees(self) -> Any: ...
    @property
    def invitees_banned(self) -> Any: ...
    @property
    def clean(self) -> Any: ...
    def has_kind(self, kinds: Sequence[str]) -> Any: ...
    def waits(self, conditions: Conditions) -> Any: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition put to one member (or to many: then value, threshold and passed may be arrays)."""

    rule: Rule
    value: Any
    threshold: Any
    passed: Any


def verdicts(conditions: Conditions, of: Subject, rules: EarningRules, now: Instant) -> Iterator[Verdict]:
    """Put every condition that is asked to a member, or to many at once."""
    if conditions.age is not None or conditions.probation is not None:
        age, wait = now - of.joined_at, of.waits(conditions)
        yield Verdict(Rule.AGE, age, wait, age >= wait)
    for rule, value, least in (
        (Rule.LOG_ODDS, of.log_odds, conditions.log_odds),
        (Rule.CONDUCT, of.conduct, conditions.conduct),
        (Rule.STANDING, of.standing, conditions.standing),
        (Rule.FROM_INVITER, of.from_inviter, conditions.from_inviter),
        (Rule.INVITEES_JOINED, of.invitees, conditions.invitees_joined),
    ):
        if least is not None:
            yield Verdict(rule, value, least, value >= least)
    if conditions.phone_verified is not None:
        wanted = conditions.phone_verified
        yield Verdict(Rule.PHONE_VERIFIED, of.phone_verified, wanted, of.phone_verified)
    if conditions.phone_kinds is not None:
        kinds = conditions.phone_kinds
        yield Verdict(Rule.PHONE_KIND, of.phone_kind, kinds, of.has_kind(kinds))
    if conditions.seen_within is not None:
        away = now - of.last_seen_at
        yield Verdict(Rule.SEEN_WITHIN, away, conditions.seen_within, away <= conditions.seen_within)
    if conditions.invitees_banned_share is not None:
        most = conditions.invitees_banned_share
        prior, weight = rules.banned_share_prior, rules.banned_share_weight
        share = (of.invitees_banned + prior * weight) / (of.invitees + weight)
        yield Verdict(Rule.INVITEES_BANNED_SHARE, share, most, share <= most)
    if conditions.not_adjudicated is not None:
        yield Verdict(Rule.NOT_ADJUDICATED, of.clean, conditions.not_adjudicated, of.clean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a member belongs, and by what: `rules`, `restricted` or `minimum_stay`."""

    level: Level
    place: int
    cause: str


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The levels, lowest first, with the rules of earning."""

    levels: tuple[Level, ...]
    rules: EarningRules

    @cached_property
    def floor(self) -> int | None:
        """The place of the lowest level that earns; its conditions gate the spending of what was earned."""
        return next((place for place, level in enumerate(self.levels) if level.allowance), None)

    def place_of(self, name: str) -> int:
        """Return a level's place; one that this policy does not know counts as the first."""
        return self._places.get(name, 0)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {level.name: place for place, level in enumerate(self.levels)}

    def holds(self, conditions: Conditions, facts: MemberFacts, now: Instant) -> bool:
        return all(verdict.passed for verdict in verdicts(conditions, facts, self.rules, now))

    def place(self, facts: MemberFacts, now: Instant) -> Placement:
        """Return the level that a member has from now on."""
        bar = self.rules.restricted_below
        if bar is not None and facts.standing < bar:
            return self._placed(0, "restricted")
        at = self.place_of(facts.level)
        for place in range(len(self.levels) - 1, at, -1):
            if self.holds(self.levels[place].enter, facts, now):
                return self._placed(place, "rules")
        stay = self.levels[at].minimum_stay or 0
        for place in range(at, 0, -1):
            if self.holds(self.levels[place].kept_by, facts, now):
                return self._placed(place, "rules")
            if place == at and now < facts.level_since + stay:
                return self._placed(at, "minimum_stay")
        return self._placed(0, "rules")

    def _placed(self, place: int, cause: str) -> Placement:
        return Placement(level=self.levels[place], place=place, cause=cause)

    def spending(self, facts: MemberFacts) -> Conditions | None:
        """Return what gates the spending of earned invites; None where this policy lets nobody earn.

        Those who have the lowest earning level, or a higher one, need its looser conditions.
        """
        if self.floor is None:
            return None
        level = self.levels[self.floor]
        return level.kept_by if self.place_of(facts.level) >= self.floor else level.enter

    def open_cap(self, facts: MemberFacts) -> int | None:
        """Return how many uses may be open when an earned invite is given: of the level, or one above."""
        above = self.levels[self.place_of(facts.level) :]
        return next((level.open_cap for level in above if level.open_cap is not None), None)

    def may_spend_earned(self, facts: MemberFacts, now: Instant) -> bool:
        conditions = self.spending(facts)
        bar = self.rules.restricted_below
        if conditions is None or (bar is not None and facts.standing < bar):
            return False
        return self.holds(conditions, facts, now)

    def earns(self, facts: MemberFacts, now: Instant) -> int:
        """Return how many invites a review at this instant grants to a member with its level settled."""
        level = self.levels[self.place_of(facts.level)]
        if facts.earn_from is not None and now < facts.earn_from:
            return 0
        if not level.allowance or not self.may_spend_earned(facts, now):
            return 0
        return max(0, min(level.allowance, level.unspent_cap - facts.earned))

    def period_is_due(self, facts: MemberFacts, now: Instant) -> bool:
        """Whether a period begins that this member may use, even where the cap leaves nothing to grant."""
        level = self.levels[self.place_of(facts.level)]
        begun = facts.earn_from is None or now >= facts.earn_from
        return begun and bool(level.allowance) and self.may_spend_earned(facts, now)

    def next_period(self, earn_from: Instant | None, now: Instant) -> Instant:
        """Return when the period after this one begins; periods that were missed are not made up for."""
        grid = (now if earn_from is None else earn_from) + self.rules.period
        return grid if grid > now else now + self.rules.period

    def crosses(self, before: Sequence[float], now: Sequence[float]) -> bool:
        """Whether scores (L, conduct, standing, from the inviter) move over a threshold, or are new."""
        return any(
            math.isnan(was) or any((was < cut) != (is_ < cut) for cut in cuts)
            for was, is_, cuts in zip(before, now, self._cuts, strict=True)
        )

    @cached_property
    def _cuts(self) -> tuple[frozenset[float], ...]:
        """The thresholds of each score, over all levels."""
        asked = [c for level in self.levels for c in (level.enter, level.kept_by)]
        probation = [c.probation.below for c in asked if c.probation is not None]
        found: list[list[float | None]] = [
            [c.log_odds for c in asked],
            [c.conduct for c in asked],
            [*(c.standing for c in asked), self.rules.restricted_below],
            [*(c.from_inviter for c in asked), *probation],
        ]
        return tuple(frozenset(cut for cut in cuts if cut is not None) for cuts in found)

    @cached_property
    def shortest_absence(self) -> Instant | None:
        """The shortest time after which not having been seen counts against a member."""
        asked = [c.seen_within for level in self.levels for c in (level.enter, level.kept_by)]
        return min((span for span in asked if span is not None), default=None)

    # -- what time alone will change ------------------------------------------------------------------

    def next_change(self, facts: MemberFacts, now: Instant) -> Instant | None:
        """Return the earliest later instant at which waiting alone can change level or earning."""
        later = [at for at in self._instants(facts) if at > now]
        return min(later, default=None)

    def _instants(self, facts: MemberFacts) -> Iterator[Instant]:
        at = self.place_of(facts.level)
        for place, level in enumerate(self.levels):
            for conditions in {id(c): c for c in (level.enter, level.kept_by)}.values():
                if conditions.age is not None or conditions.probation is not None:
                    yield facts.joined_at + facts.waits(conditions)
                if conditions.seen_within is not None:
                    yield facts.last_seen_at + conditions.seen_within + 1  # the first instant of "too long"
            if place == at and place and level.minimum_stay is not None:
                yield facts.level_since + level.minimum_stay
        if self.levels[at].allowance and facts.earn_from is not None:
            yield facts.earn_from

    def next_grant(self, facts: MemberFacts, now: Instant) -> tuple[Instant, int] | None:
        """Return when waiting alone brings earned invites, and how many; `now` where the worker is next.

        Looks ahead by playing the member's reviews; None where none of them would grant anything.
        """
        at: Instant | None = now
        for _ in range(_LOOK_AHEAD):
            if at is None:
                return None
            placed = self.place(facts, at)
            if placed.level.name != facts.level:
                facts = replace(facts, level=placed.level.name, level_since=at)
            if amount := self.earns(facts, at):
                return at, amount
            if self.period_is_due(facts, at):  # the cap is full: the period passes
                return None
            at = self.next_change(facts, at)
        return None


_LOOK_AHEAD: Final = 64
