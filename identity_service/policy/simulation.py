"""What another policy would change, for whom: two ladders put to the same members, and what they differ in.

Pure: batches of facts come in, sums and the most affected members come out.  The rules themselves are those
of `levels.py` and `many.py`; nothing here knows one of them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from identity_service.policy.levels import PHONE_KINDS, Conditions, Ladder, MemberFacts, verdicts
from identity_service.policy.many import ManyFacts, place_many
from identity_service.ports import DAY, Instant

UNKNOWN: Final = "-"
"""The country of members who have none."""
_MEMBERS: Final = frozenset(("active", "suspended"))
_KIND_AT: Final = {kind: at for at, kind in enumerate(PHONE_KINDS)}
_WEEK: Final = 7 * DAY
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What of a policy a simulation looks at."""

    ladder: Ladder
    adjudicated_reasons: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Members as they were read.

    Attributes:
        rows: one a member, with the columns of `services/simulation.py`.
        outcomes: (joined, banned) of the invitees of those who have any.
        judged: reason codes of the sanctions in force.
    """

    rows: Sequence[Any]
    outcomes: Mapping[str, tuple[int, int]]
    judged: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a policy makes of many members: places of levels, and what may be earned and given."""

    level: _Ints
    allowance: _Ints
    may_earn: npt.NDArray[np.bool_]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums over a group of members.

    Attributes:
        raised, lowered: how many change to a level at a higher or lower place.
        gained, lost: how many may give earned invites only under the one or the other policy.
        earning_before, earning_after: how many may.
        a_week_before, a_week_after: invites that the group can earn in a week, caps aside.
    """

    members: int = 0
    raised: int = 0
    lowered: int = 0
    gained: int = 0
    lost: int = 0
    earning_before: int = 0
    earning_after: int = 0
    a_week_before: float = 0.0
    a_week_after: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    @property
    def lost_share(self) -> float:
        """Share of those who may earn now that would lose it; 0 where nobody may."""
        return self.lost / self.earning_before if self.earning_before else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Affected:
    """A member for whom much changes.  Sorts by how much, and the earliest member of equals comes first."""

    severity: int
    rank: int
    id: str = field(compare=False)
    external_id: str | None = field(compare=False)
    country: str | None = field(compare=False)
    level_before: str = field(compare=False)
    level_after: str = field(compare=False)
    earns_before: int = field(compare=False)
    earns_after: int = field(compare=False)
    because: tuple[str, ...] = field(compare=False)
    """The rules that it fails: under the new policy where it loses, under the old one where it gains."""


def facts_of(batch: Batch, rows: Sequence[Any], rules: Rules) -> ManyFacts:
    """Turn some of a batch's rows into facts as these rules look at them."""
    columns = dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))
    outcomes = [batch.outcomes.get(member, (0, 0)) for member in columns["id"]]
    since = zip(columns["level_since"], columns["joined_at"], strict=True)

    def floats(name: str) -> npt.NDArray[np.float64]:
        return np.array(columns[name], dtype=np.float64)  # None becomes NaN

    def ints(values: Iterable[int]) -> _Ints:
        return np.fromiter(values, dtype=np.int64, count=len(rows))

    return ManyFacts(
        joined_at=ints(columns["joined_at"]),
        last_seen_at=ints(columns["last_seen_at"]),
        log_odds=floats("trust_log_odds"),
        conduct=floats("trust_conduct"),
        standing=floats("trust_standing"),
        from_inviter=floats("trust_from_inviter"),
        phone_verified=np.array([at is not None for at in columns["phone_verified_at"]], dtype=np.bool_),
        phone_kind=ints(_KIND_AT.get(kind, -1) for kind in columns["phone_kind"]),
        invitees=ints(joined for joined, _ in outcomes),
        invitees_banned=ints(banned for _, banned in outcomes),
        level_since=ints(joined if at is None else at for at, joined in since),
        **_by_rules(batch, rows, rules),
    )


def _by_rules(batch: Batch, rows: Sequence[Any], rules: Rules) -> dict[str, Any]:
    """Return the facts that depend on the policy: where a level stands in it, and which reasons judge."""
    reasons = rules.adjudicated_reasons
    judged = {member for member, codes in batch.judged.items() if not reasons.isdisjoint(codes)}
    places = {name: rules.ladder.place_of(name) for name in {row.level for row in rows}}
    return {
        "level": np.fromiter((places[row.level] for row in rows), dtype=np.int64, count=len(rows)),
        "adjudicated": np.fromiter((row.id in judged for row in rows), dtype=np.bool_, count=len(rows)),
    }


def judge(ladder: Ladder, many: ManyFacts, free: npt.NDArray[np.bool_], now: Instant) -> Judged:
    """Put a ladder to members, of whom only those who are `free` of sanctions may earn."""
    placed = place_many(ladder, many, now)
    return Judged(
        level=placed.level,
        allowance=np.where(free, placed.allowance, 0),
        may_earn=placed.may_spend_earned & free,
    )


class Comparison:
    """Sums up batch after batch.

    Attributes:
        total, by_country, by_cohort: the sums; a cohort is the month (UTC) of joining.
        moves: how many go from which level to which.
    """

    def __init__(self, before: Rules, after: Rules, *, now: Instant, listed: int = 0) -> None:
        self.before, self.after, self.now, self._listed = before, after, now, listed
        self.total = Tally()
        self.by_country: dict[str, Tally] = {}
        self.by_cohort: dict[str, Tally] = {}
        self.moves: Counter[tuple[str, str]] = Counter()
        self._affected: list[Affected] = []
        self._seen = 0

    def add(self, batch: Batch) -> None:
        rows = [row for row in batch.rows if row.state in _MEMBERS]
        if not rows:
            return
        free = np.array([row.state == "active" and not row.invites_frozen for row in rows])
        old_facts = facts_of(batch, rows, self.before)
        new_facts = replace(old_facts, **_by_rules(batch, rows, self.after))
        old = judge(self.before.ladder, old_facts, free, self.now)
        new = judge(self.after.ladder, new_facts, free, self.now)
        columns = self._columns(old, new)
        self._sum([self.total], np.zeros(len(rows), dtype=np.int64), columns)
        self._group(self.by_country, np.array([row.country or UNKNOWN for row in rows]), columns)
        self._group(self.by_cohort, _months(old_facts.joined_at), columns)
        self._move(old.level, new.level)
        self._keep_most_affected(rows, (old_facts, new_facts), (old, new))
        self._seen += len(rows)

    def most_affected(self) -> list[Affected]:
        return sorted(self._affected, reverse=True)

    # -- sums -------------------------------------------------------------------------------------------

    def _columns(self, old: Judged, new: Judged) -> dict[str, npt.NDArray[Any]]:
        """Return what is summed, by the names of `Tally`."""
        old_week = _WEEK / self.before.ladder.rules.period
        new_week = _WEEK / self.after.ladder.rules.period
        return {
            "members": np.ones(len(old.level), dtype=np.int64),
            "raised": new.level > old.level,
            "lowered": new.level < old.level,
            "gained": new.may_earn & ~old.may_earn,
            "lost": old.may_earn & ~new.may_earn,
            "earning_before": old.may_earn,
            "earning_after": new.may_earn,
            "a_week_before": old.allowance * old_week,
            "a_week_after": new.allowance * new_week,
        }

    def _group(
        self, tallies: dict[str, Tally], keys: npt.NDArray[Any], columns: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        names, group = np.unique(keys, return_inverse=True)
        self._sum([tallies.setdefault(str(name), Tally()) for name in names], group, columns)

    def _sum(self, tallies: Sequence[Tally], group: _Ints, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, values in columns.items():
            sums = np.bincount(group, weights=values, minlength=len(tallies))
            for tally, more in zip(tallies, sums.tolist(), strict=True):
                is_count = isinstance(getattr(tally, name), int)
                setattr(tally, name, getattr(tally, name) + (int(more) if is_count else more))

    def _move(self, old: _Ints, new: _Ints) -> None:
        old_names = [level.name for level in self.before.ladder.levels]
        new_names = [level.name for level in self.after.ladder.levels]
        counts = np.bincount(old * len(new_names) + new, minlength=len(old_names) * len(new_names))
        for place in np.flatnonzero(counts).tolist():
            was, is_ = divmod(place, len(new_names))
            self.moves[old_names[was], new_names[is_]] += int(counts[place])

    # -- the most affected --------------------------------------------------------------------------------

    def _keep_most_affected(
        self, rows: Sequence[Any], facts: tuple[ManyFacts, ManyFacts], judged: tuple[Judged, Judged]
    ) -> None:
        """Losing the right weighs most, then gaining it, then how many invites, then how many levels."""
        old, new = judged
        severity = (
            (old.may_earn & ~new.may_earn) * 4_000_000
            + (new.may_earn & ~old.may_earn) * 2_000_000
            + np.abs(new.allowance - old.allowance) * 100
            + np.abs(new.level - old.level)
        )
        worst = np.argsort(-severity, kind="stable")[: self._listed]
        found = (
            self._told(rows[at], at, int(severity[at]), facts, judged)
            for at in worst.tolist()
            if severity[at]
        )
        self._affected = heapq.nlargest(self._listed, [*self._affected, *found])

    def _told(
        self,
        row: Any,
        at: int,
        severity: int,
        facts: tuple[ManyFacts, ManyFacts],
        judged: tuple[Judged, Judged],
    ) -> Affected:
        old, new = judged
        places = int(old.level[at]), int(new.level[at])
        before, after = self.before.ladder, self.after.ladder
        loses = (new.may_earn[at], new.allowance[at], places[1]) < (
            old.may_earn[at],
            old.allowance[at],
            places[0],
        )
        ladder, place, many = (after, places[0], facts[1]) if loses else (before, places[1], facts[0])
        because = dict.fromkeys(self._failed(ladder, place, many, at))
        if old.may_earn[at] != new.may_earn[at]:
            because |= dict.fromkeys(self._failed_to_earn(ladder, many, at))
        return Affected(
            severity=severity,
            rank=-(self._seen + at),
            id=row.id,
            external_id=row.external_id,
            country=row.country,
            level_before=before.levels[places[0]].name,
            level_after=after.levels[places[1]].name,
            earns_before=int(old.allowance[at]),
            earns_after=int(new.allowance[at]),
            because=tuple(because),
        )

    def _failed(self, ladder: Ladder, place: int, many: ManyFacts, at: int) -> Iterator[str]:
        """Yield the rules by which a member has not the level at a place (or the highest below it)."""
        one = one_of(many, ladder, at)
        bar = ladder.rules.restricted_below
        if bar is not None and one.standing < bar:
            yield "not_restricted"
        place = min(place, len(ladder.levels) - 1)
        level = ladder.levels[place]
        asked = level.kept_by if ladder.place_of(one.level) >= place else level.enter
        yield from self._unmet(ladder, asked, one)

    def _failed_to_earn(self, ladder: Ladder, many: ManyFacts, at: int) -> Iterator[str]:
        """Yield the rules by which a member may not give what it earned, whatever its level."""
        one = one_of(many, ladder, at)
        asked = ladder.spending(one)
        if asked is None:
            yield "no_level_earns"
        else:
            yield from self._unmet(ladder, asked, one)

    def _unmet(self, ladder: Ladder, asked: Conditions, one: MemberFacts) -> Iterator[str]:
        for verdict in verdicts(asked, one, ladder.rules, self.now):
            if not verdict.passed:
                yield verdict.rule.value


def _months(at: _Ints) -> npt.NDArray[Any]:
    """Return the month (UTC) of each instant, such as 2026-11."""
    return at.astype("datetime64[us]").astype("datetime64[M]")


def one_of(many: ManyFacts, ladder: Ladder, at: int) -> MemberFacts:
    """Return the facts of one of many."""
    kind = int(many.phone_kind[at])
    return MemberFacts(
        joined_at=int(many.joined_at[at]),
        last_seen_at=int(many.last_seen_at[at]),
        log_odds=float(many.log_odds[at]),
        conduct=float(many.conduct[at]),
        standing=float(many.standing[at]),
        from_inviter=float(many.from_inviter[at]),
        phone_verified=bool(many.phone_verified[at]),
        phone_kind=None if kind < 0 else PHONE_KINDS[kind],
        invitees=int(many.invitees[at]),
        invitees_banned=int(many.invitees_banned[at]),
        adjudicated=bool(many.adjudicated[at]),
        level=ladder.levels[int(many.level[at])].name,
        level_since=int(many.level_since[at]),
    )
