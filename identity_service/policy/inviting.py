"""The right to invite: rules over frozen facts, each with its value, threshold and earliest date.

One function decides for `POST /v1/invites`, for `GET …/invite-eligibility` and for whoever asks why.
"""

from __future__ import annotations

from dataclasses import dataclass

from identity_service.ports import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class InviterFacts:
    state: str
    invites_frozen: bool
    available: int
    barred_until: Instant | None = None
    """When the sanction that bars the member ends by itself; None where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule's outcome.  `earliest_at` is when waiting alone will meet it; None where it will not."""

    rule: str
    value: str | int | bool
    threshold: str | int | bool
    passed: bool
    code: str
    detail: str
    earliest_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    allowed: bool
    rules: tuple[RuleResult, ...]
    version: str

    @property
    def first_failed(self) -> RuleResult | None:
        return next((rule for rule in self.rules if not rule.passed), None)


def may_invite(facts: InviterFacts, *, uses: int, version: str) -> Decision:
    """Decide whether a member may give `uses` invites now.  Every rule is evaluated, not only the first."""
    rules = (
        RuleResult(
            rule="member_active",
            value=facts.state,
            threshold="active",
            passed=facts.state == "active",
            code="issuer_not_active",
            detail="Only an active member may invite.",
            earliest_at=facts.barred_until if facts.state == "suspended" else None,
        ),
        RuleResult(
            rule="invites_not_frozen",
            value=facts.invites_frozen,
            threshold=False,
            passed=not facts.invites_frozen,
            code="invites_frozen",
            detail="This member's right to invite is frozen by a sanction.",
            earliest_at=facts.barred_until if facts.invites_frozen else None,
        ),
        RuleResult(
            rule="quota_available",
            value=facts.available,
            threshold=uses,
            passed=facts.available >= uses,
            code="quota_exhausted",
            detail=f"This needs {uses} of the member's invites; {facts.available} are left.",
        ),
    )
    return Decision(allowed=all(rule.passed for rule in rules), rules=rules, version=version)


def may_still_vouch(state: str | None, frozen: int | None) -> bool:
    """Whether the invites that a member gave earlier still work: checked again at each redemption."""
    return state == "active" and not frozen
