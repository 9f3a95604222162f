"""The right to invite: rules over frozen facts, each with its value, threshold and earliest date.

One function decides for `POST /v1/invites`, for `GET …/invite-eligibility` and for whoever asks why.  What an
operator granted can be given at once unless a sanction forbids it; what was earned only while the conditions
of the lowest earning level hold (`policy/levels.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from identity_service.policy.levels import Ladder, MemberFacts, Rule, Verdict, verdicts
from identity_service.ports import DAY, Instant


class Gates(StrEnum):
    """What a rule stands before: every invite, or only those that were earned."""

    ALL = "all"
    EARNED = "earned"


@dataclass(frozen=True, slots=True, kw_only=True)
class InviterFacts:
    """What the right to invite looks at."""

    state: str
    invites_frozen: bool
    member: MemberFacts
    granted: int
    """Invites that an operator granted and that are unspent; `member.earned` are the earned ones."""
    barred_until: Instant | None = None
    """When the sanction that bars the member ends by itself; None where it does not."""
    open_uses: int = 0
    """Uses of the member's open invites that are not taken yet."""
    room_at: Instant | None = None
    """When so many open invites have expired that one more fits under the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule's outcome.  `earliest_at` is when waiting alone will meet it; None where it will not."""

    rule: str
    value: str | float | bool | None
    threshold: str | float | bool
    passed: bool
    code: str
    detail: str
    gates: Gates
    earliest_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Every rule, and what follows from them.

    `reason` is the rule that a refusal names.  `next_grant_at` is when waiting alone brings earned invites.
    """

    allowed: bool
    may_spend_earned: bool
    rules: tuple[RuleResult, ...]
    reason: RuleResult | None
    version: str
    level: str
    granted: int
    earned: int
    next_grant_at: Instant | None


def may_invite(facts: InviterFacts, *, uses: int, ladder: Ladder, version: str, now: Instant) -> Decision:
    """Decide whether a member may give `uses` invites now.  Every rule is evaluated, not only the first."""
    standing = (_active(facts), _not_frozen(facts))
    free = all(rule.passed for rule in standing)
    coming = ladder.next_grant(facts.member, now) if free else None
    balance = _balance(facts, uses, coming)
    earning = tuple(_earning(facts, ladder, uses, now))
    earned = bool(earning) and all(rule.passed for rule in earning)
    allowed = free and (facts.granted >= uses or (balance.passed and earned))
    failed = [rule for rule in (*standing, balance, *earning) if not rule.passed]
    return Decision(
        allowed=allowed,
        may_spend_earned=earned,
        rules=(*standing, balance, *earning),
        reason=None if allowed else failed[0],
        version=version,
        level=facts.member.level,
        granted=facts.granted,
        earned=facts.member.earned,
        next_grant_at=None if coming is None else coming[0],
    )


def _active(facts: InviterFacts) -> RuleResult:
    return RuleResult(
        rule="member_active",
        value=facts.state,
        threshold="active",
        passed=facts.state == "active",
        code="issuer_not_active",
        detail="Only an active member may invite.",
        gates=Gates.ALL,
        earliest_at=facts.barred_until if facts.state == "suspended" else None,
    )


def _not_frozen(facts: InviterFacts) -> RuleResult:
    return RuleResult(
        rule="invites_not_frozen",
        value=facts.invites_frozen,
        threshold=False,
        passed=not facts.invites_frozen,
        code="invites_frozen",
        detail="This member's right to invite is frozen by a sanction.",
        gates=Gates.ALL,
        earliest_at=facts.barred_until if facts.invites_frozen else None,
    )


def _balance(facts: InviterFacts, uses: int, coming: tuple[Instant, int] | None) -> RuleResult:
    available = facts.granted + facts.member.earned
    enough = available >= uses
    return RuleResult(
        rule="quota_available",
        value=available,
        threshold=uses,
        passed=enough,
        code="quota_exhausted",
        detail=f"This needs {uses} of the member's invites; {available} are left.",
        gates=Gates.ALL,
        # What is left may lapse before: only a grant that is enough by itself is promised.
        earliest_at=coming[0] if coming is not None and not enough and coming[1] >= uses else None,
    )


def _earning(facts: InviterFacts, ladder: Ladder, uses: int, now: Instant) -> Iterator[RuleResult]:
    """Put the rules to the member that gate what was earned; none where the policy lets nobody earn."""
    member, conditions = facts.member, ladder.spending(facts.member)
    if conditions is None:
        return
    for verdict in verdicts(conditions, member, ladder.rules, now):
        yield _told(verdict, member)
    bar = ladder.rules.restricted_below
    if bar is not None:
        yield RuleResult(
            rule="not_restricted",
            value=_number(member.standing),
            threshold=bar,
            passed=not member.standing < bar,
            code="inviting_restricted",
            detail="What is known of this member itself, its inviter left out, is too bad to earn invites.",
            gates=Gates.EARNED,
        )
    cap = ladder.open_cap(member)
    if cap is not None:
        fits = facts.open_uses + uses <= cap
        yield RuleResult(
            rule="open_invites",
            value=facts.open_uses,
            threshold=cap,
            passed=fits,
            code="too_many_open_invites",
            detail=f"With this invite more than {cap} uses of the member's invites would wait to be taken.",
            gates=Gates.EARNED,
            earliest_at=None if fits else facts.room_at,
        )


_CODES: Final = {
    Rule.AGE: ("member_too_new", "Earned invites may be given after {threshold:g} days of membership."),
    Rule.LOG_ODDS: ("trust_too_low", "The member's trust (log-odds) must be at least {threshold:g}."),
    Rule.CONDUCT: (
        "conduct_too_low",
        "What became of the member's invitees (log-odds) must speak for at least {threshold:g}.",
    ),
    Rule.STANDING: ("standing_too_low", "The member's standing (log-odds) must be at least {threshold:g}."),
    Rule.FROM_INVITER: (
        "inviter_trust_too_low",
        "What the member's inviter adds (log-odds) must be at least {threshold:g}.",
    ),
    Rule.PHONE_VERIFIED: ("phone_unverified", "The member's phone must be verified."),
    Rule.PHONE_KIND: ("phone_kind_unfit", "The member's phone must be one of: {threshold}."),
    Rule.SEEN_WITHIN: ("member_inactive", "The member must have been seen within {threshold:g} days."),
    Rule.INVITEES_JOINED: (
        "too_few_invitees",
        "At least {threshold} of the member's invitees must have joined.",
    ),
    Rule.INVITEES_BANNED_SHARE: (
        "invitees_banned",
        "The share of the member's invitees who were banned must be at most {threshold:g}.",
    ),
    Rule.NOT_ADJUDICATED: ("invites_misused", "A sanction says that the member misused its invites."),
}


def _told(verdict: Verdict, member: MemberFacts) -> RuleResult:
    """Tell one condition as people read it: spans in days, a score that is not computed yet as nothing."""
    value, threshold = verdict.value, verdict.threshold
    match verdict.rule:
        case Rule.AGE | Rule.SEEN_WITHIN:
            value, threshold = _days(value), _days(threshold)
        case Rule.PHONE_KIND:
            threshold = " ".join(threshold)
        case Rule.LOG_ODDS | Rule.CONDUCT | Rule.STANDING | Rule.FROM_INVITER | Rule.INVITEES_BANNED_SHARE:
            value = _number(value)
    code, detail = _CODES[verdict.rule]
    return RuleResult(
        rule=verdict.rule.value,
        value=value,
        threshold=threshold,
        passed=bool(verdict.passed),
        code=code,
        detail=detail.format(threshold=threshold),
        gates=Gates.EARNED,
        earliest_at=None if verdict.passed else _earliest_at(verdict, member),
    )


def _earliest_at(verdict: Verdict, member: MemberFacts) -> Instant | None:
    match verdict.rule:
        case Rule.AGE:
            return member.joined_at + int(verdict.threshold)
        case Rule.NOT_ADJUDICATED:
            return member.adjudicated_until
        case _:
            return None


def _days(span: Any) -> float:
    return int(span * 10_000 // DAY) / 10_000  # rounded down: what has not passed is not shown as passed


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def may_still_vouch(state: str | None, frozen: int | None) -> bool:
    """Whether the invites that a member gave earlier still work: checked again at each redemption."""
    return state == "active" and not frozen
