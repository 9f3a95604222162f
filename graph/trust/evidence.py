"""What counts as evidence, how much, and for how long. Callers name a kind; the weight is the policy's.

What an attacker can fake must not travel: in the study behind the model, letting phone, age and activity
travel along the tree dropped the AUC against attackers who showed them from .79-.97 to .56-.73. So these
count for the member's own score and for nobody else's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import assert_never

from graph.errors import BadEvidence, BadParameter, MemberKey
from graph.said import Said


class EvidenceKind(StrEnum):
    """Kinds of evidence. Names are stable: they stand in logs, in the REST API and in explanations."""

    REPORT = "report"
    VOUCH = "vouch"
    BAN = "ban"
    SOLD_INVITES = "sold_invites"
    STAFF_VERIFIED = "staff_verified"
    MATURED = "matured"
    PHONE_MOBILE = "phone_mobile"
    PHONE_VOIP = "phone_voip"
    AGED = "aged"
    ACTIVATED = "activated"
    ACTIVITY = "activity"

    @property
    def has_source(self) -> bool:
        """Whether another member gives it: it is counted by inviter branch, everything else once a member."""
        return self is EvidenceKind.REPORT or self is EvidenceKind.VOUCH

    @property
    def bit(self) -> int:
        """Place in the flags of `Facts`; kinds with a source have none."""
        return _BITS[self.value]


# Appended to, never reordered: the bits are kept in columns.
_FLAG_ORDER = (
    EvidenceKind.BAN,
    EvidenceKind.SOLD_INVITES,
    EvidenceKind.STAFF_VERIFIED,
    EvidenceKind.MATURED,
    EvidenceKind.PHONE_MOBILE,
    EvidenceKind.PHONE_VOIP,
    EvidenceKind.AGED,
    EvidenceKind.ACTIVATED,
    EvidenceKind.ACTIVITY,
)

_BITS = {kind.value: 0 for kind in EvidenceKind} | {kind.value: 1 << i for i, kind in enumerate(_FLAG_ORDER)}

PRIVATE_KINDS = _FLAG_ORDER[4:]
"""What counts for the member's own score alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One piece of evidence as it stands in the log.

    Attributes
    ----------
    kind : EvidenceKind
        Or its name.
    member : int or str
        Whom it is about.
    source : int or str, optional
        Who reported or vouched; ``None`` for an anonymous report.
    reference : str, optional
        The caller's name for it: the same reference counts once, and withdraws it.
    at : float, optional
        When, in seconds since 1970; what has no time is never forgiven by age.

    Raises
    ------
    BadEvidence
        If there is no such kind.
    """

    kind: EvidenceKind
    member: MemberKey
    source: MemberKey | None = None
    reference: str | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        kind: object = self.kind  # perhaps a text, from a caller without a type checker
        if not isinstance(kind, EvidenceKind):
            if not isinstance(kind, str) or kind not in _BITS:
                raise BadEvidence(self.member, f"there is no kind {kind!r}")
            object.__setattr__(self, "kind", EvidenceKind(kind))


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All live evidence on one member, as far as weights depend on it.

    ``flags`` are the bits of the kinds without a source; branches are counted distinct.
    """

    flags: int = 0
    report_branches: int = 0
    vouch_branches: int = 0

    def has(self, kind: EvidenceKind) -> bool:
        """Whether a kind without a source is there."""
        return bool(self.flags & kind.bit)

    @property
    def is_adjudicated(self) -> bool:
        """Whether the member is adjudicated to have sold invites."""
        return self.has(EvidenceKind.SOLD_INVITES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One line of own evidence: how much a kind adds to the member's own log-odds, and why so much."""

    kind: EvidenceKind
    log_odds: float
    detail: Said


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidencePolicy:
    """Weights (natural log-odds), caps and forgiveness. Validated; never taken from a caller of the API.

    Attributes
    ----------
    report, report_branches
        Weight of a report, and from how many distinct inviter branches reports count.
    vouch, vouch_branches, vouch_travels
        Weight of a vouch, from how many branches vouches count, and how much of their sum travels along the
        tree. The rest counts for the member alone: friends could lend each other a whole tree's worth
        otherwise.
    ban, staff_verified
        A confirmed ban; a check by staff or by a seed.
    phone_mobile, phone_voip, aged, activated, activity, private_cap
        Evidence that never travels, and the most that it may add or take in all.
    matured_limit
        Largest weight alpha of "matured and unreported" that an epoch may set.
    report_days, edge_days, ban_days
        Age at which reports are forgiven, an edge becomes long-past, a ban lapses; ``None``: never.
    old_edge_weight
        Weight in [0, 1] of a long-past edge.
    """

    report: float = -0.7
    report_branches: int = 3
    vouch: float = 0.25
    vouch_branches: int = 3
    vouch_travels: float = 0.25
    ban: float = -5.0
    staff_verified: float = 4.6
    phone_mobile: float = 0.1
    phone_voip: float = -0.15
    aged: float = 0.05
    activated: float = 0.05
    activity: float = 0.05
    private_cap: float = 0.25
    matured_limit: float = 0.25
    report_days: float | None = 180.0
    edge_days: float | None = 365.0
    ban_days: float | None = None
    old_edge_weight: float = 0.5

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.name.endswith("_days"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadParameter(entry.name, value, "it must be a finite number")
        bad = ("report", "ban", "phone_voip")
        for name in (entry.name for entry in fields(self)):
            value = getattr(self, name)
            if value is not None and (value > 0 if name in bad else value < 0):
                raise BadParameter(name, value, "its sign would turn the meaning round")
        for name in ("report_branches", "vouch_branches"):
            if not isinstance(getattr(self, name), int):
                raise BadParameter(name, getattr(self, name), "branches are counted in whole numbers")
        for name in ("report", "ban", "staff_verified"):
            if abs(getattr(self, name)) > 30:
                raise BadParameter(
                    name, getattr(self, name), "beyond 30 a weight is a certainty, not evidence"
                )
        if self.vouch > 0.25:
            raise BadParameter("vouch", self.vouch, "a friend's word is cheap: at most 0.25")
        if self.old_edge_weight > 1:
            raise BadParameter("old_edge_weight", self.old_edge_weight, "an edge counts at most once")

    def travelling(self, facts: Facts, alpha: float) -> float:
        """Return lambda: the sum of the evidence that flows along the tree."""
        total = self.report * min(facts.report_branches, self.report_branches)
        total += min(self._vouched(facts), self.vouch_travels)
        if facts.has(EvidenceKind.BAN):
            total += self.ban
        if facts.has(EvidenceKind.STAFF_VERIFIED):
            total += self.staff_verified
        if is_unblemished(facts):
            total += alpha
        return total

    def private(self, facts: Facts) -> float:
        """Return the sum of the evidence that counts for the member's own score alone."""
        kept = self._vouched(facts)
        return self._capped(facts) + kept - min(kept, self.vouch_travels)

    def shares(self, facts: Facts, alpha: float) -> list[Share]:
        """Return every line of own evidence; they add up to ``travelling + private``."""
        lines: list[Share] = []
        for kind in EvidenceKind:
            line = self._share(kind, facts, alpha)
            if line is not None:
                lines.append(line)
        excess = self._capped(facts) - sum(self._private_weight(kind, facts) for kind in PRIVATE_KINDS)
        if excess and lines:
            # The cap is a line of its own: spreading it would show weights that no table has.
            detail = Said("phone, age and activity count at most {cap:+g} in all", cap=self.private_cap)
            lines.append(Share(kind=PRIVATE_KINDS[-1], log_odds=excess, detail=detail))
        return lines

    def weight_of(self, kind: EvidenceKind) -> float:
        """Return the table's weight of one piece.

        Adjudication clamps conduct and "matured" has its epoch's.
        """
        match kind:
            case EvidenceKind.REPORT:
                return self.report
            case EvidenceKind.VOUCH:
                return self.vouch
            case EvidenceKind.BAN:
                return self.ban
            case EvidenceKind.STAFF_VERIFIED:
                return self.staff_verified
            case EvidenceKind.PHONE_MOBILE:
                return self.phone_mobile
            case EvidenceKind.PHONE_VOIP:
                return self.phone_voip
            case EvidenceKind.AGED:
                return self.aged
            case EvidenceKind.ACTIVATED:
                return self.activated
            case EvidenceKind.ACTIVITY:
                return self.activity
            case EvidenceKind.MATURED | EvidenceKind.SOLD_INVITES:
                return 0.0
            case _:
                assert_never(kind)

    def forgiven_after(self, kind: EvidenceKind) -> float | None:
        """Return the age in seconds at which a piece of this kind is forgiven, or ``None``."""
        match kind:
            case EvidenceKind.REPORT:
                return None if self.report_days is None else self.report_days * 86_400
            case EvidenceKind.BAN:
                return None if self.ban_days is None else self.ban_days * 86_400
            case _:
                return None

    def _vouched(self, facts: Facts) -> float:
        return self.vouch * min(facts.vouch_branches, self.vouch_branches)

    def _private_weight(self, kind: EvidenceKind, facts: Facts) -> float:
        return self.weight_of(kind) if facts.has(kind) else 0.0

    def _capped(self, facts: Facts) -> float:
        total = sum(self._private_weight(kind, facts) for kind in PRIVATE_KINDS)
        return max(-self.private_cap, min(self.private_cap, total))

    def _share(self, kind: EvidenceKind, facts: Facts, alpha: float) -> Share | None:
        match kind:
            case EvidenceKind.REPORT:
                counted = min(facts.report_branches, self.report_branches)
                detail = Said(
                    "reports from {n} inviter branches, {counted} counted",
                    n=facts.report_branches,
                    counted=counted,
                )
                return _line(kind, self.report * counted, detail) if counted else None
            case EvidenceKind.VOUCH:
                counted = min(facts.vouch_branches, self.vouch_branches)
                detail = Said(
                    "vouches from {n} inviter branches, {counted} counted",
                    n=facts.vouch_branches,
                    counted=counted,
                )
                return _line(kind, self.vouch * counted, detail) if counted else None
            case EvidenceKind.MATURED:
                if not is_unblemished(facts):
                    return None
                return _line(kind, alpha, Said("a member for the waiting time without a report"))
            case EvidenceKind.SOLD_INVITES:
                return None  # it speaks about conduct and is told where conduct is told
            case _:
                return _line(kind, self.weight_of(kind), _WORDS[kind.value]) if facts.has(kind) else None


_WORDS = {
    EvidenceKind.BAN.value: Said("a confirmed ban"),
    EvidenceKind.STAFF_VERIFIED.value: Said("checked by the staff or by a seed"),
    EvidenceKind.PHONE_MOBILE.value: Said("a mobile number"),
    EvidenceKind.PHONE_VOIP.value: Said("a number that is not tied to a SIM card"),
    EvidenceKind.AGED.value: Said("a member for long"),
    EvidenceKind.ACTIVATED.value: Said("completed the first steps"),
    EvidenceKind.ACTIVITY.value: Said("active"),
}


def _line(kind: EvidenceKind, log_odds: float, detail: Said) -> Share:
    return Share(kind=kind, log_odds=log_odds, detail=detail)


def is_unblemished(facts: Facts) -> bool:
    """Whether "matured and unreported" holds: alpha counts for them, and nobody else."""
    return facts.has(EvidenceKind.MATURED) and not facts.report_branches and not facts.has(EvidenceKind.BAN)


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaEpoch:
    """The weight of "matured and unreported" between two epochs.

    It is set once an epoch and stands in the log, so that what is followed and what is rebuilt use the same
    one.

    Attributes
    ----------
    version : int
    alpha : float
        Log-odds; 0 before the first epoch.
    matured : int
        How many matured members it was computed over.
    """

    version: int = 0
    alpha: float = 0.0
    matured: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha) or self.alpha < 0:
            raise BadParameter("alpha", self.alpha, "it must be finite and not negative")
