"""A random life of a small network, and what its members' trust must be by all that has happened.

What must be is worked out by plain loops over what the test itself has done, and scored by the batch: nothing
here reads the log, the rows or the worker's memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graph import InviteForest
from graph.trust import TrustArrays, TrustParameters, solve
from identity_service.db.store import Tx
from identity_service.policy.rules import load_policy
from identity_service.ports import DAY, Instant
from identity_service.services.members import NewMember
from identity_service.services.sanctions import Action, Impose
from identity_service.services.signals import Signal, SignalKind
from identity_service.services.trust import MemberTrust
from identity_service.services.trust_rows import Mark, read_mark
from sms.numbers import parse
from tests.support.world import World


@dataclass
class Known:
    """A member as the test knows it."""

    id: str
    parent: int
    joined_at: Instant
    has_phone: bool
    reports: list[tuple[int, Instant]] = field(default_factory=list)
    vouches: list[int] = field(default_factory=list)
    spoke_at: list[Instant] = field(default_factory=list)  # its own reports that count
    shown: set[SignalKind] = field(default_factory=set)
    sanctions: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    arrays: TrustArrays
    private: np.ndarray[Any, np.dtype[np.float64]]

    def of(self, index: int) -> tuple[float, float, float, float]:
        """(L, conduct, standing, from the inviter)."""
        arrays = self.arrays
        return (
            float(arrays.log_odds()[index] + self.private[index]),
            float(arrays.conduct[index]),
            float(arrays.standing()[index]),
            float(arrays.from_inviter[index]),
        )


class TrustHistory:
    """Joins, signals, sanctions and passing time; index 0 is the campaign `spring`."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random = world, random.Random(seed)
        invite = world.api().post("/v1/invites", {"campaign": "spring", "channel": "link", "max_uses": 9})
        assert invite.status_code == 201
        self.campaign_id = self._campaign_id()
        self.known = [Known(id=self.campaign_id, parent=-1, joined_at=1 << 60, has_phone=False)]
        for _ in range(2):
            self.join(-1)

    def _campaign_id(self) -> str:
        from sqlalchemy import select

        from identity_service.db.tables import campaigns

        return str(self.world.query(lambda tx: tx.select(select(campaigns.c.id)))[0].id)

    # -- what happens -----------------------------------------------------------------------------------

    def join(self, parent: int) -> None:
        services, has_phone = self.world.services, self.random.random() < 0.3
        number = parse(self.world.phone())

        def add(tx: Tx) -> Any:
            new = NewMember(
                phone=services.phones.of(tx, number) if has_phone else None,
                level="new",
                generation=0 if parent <= 0 else 1,
                inviter_id=self.known[parent].id if parent > 0 else None,
                campaign_id=self.campaign_id if parent == 0 else None,
            )
            return services.members.add(tx, new)

        made = self.world.transact(add)
        self.known.append(Known(id=made.id, parent=parent, joined_at=made.joined_at, has_phone=has_phone))

    def step(self) -> None:
        """Let something happen."""
        happenings: list[tuple[float, Callable[[], None]]] = [
            (
                4,
                lambda: self.join(
                    self.random.choice([0, *range(max(1, len(self.known) - 12), len(self.known))])
                ),
            ),
            (4, self.speak),
            (2, self.show),
            (2, self.impose),
            (1, self.lift),
            (0.7, lambda: self.world.clock.advance(self.random.randint(1, 45) * DAY)),
        ]
        weights, calls = zip(*happenings, strict=True)
        self.random.choices(calls, weights)[0]()

    def _someone(self) -> int:
        return self.random.randrange(1, len(self.known))

    def speak(self) -> None:
        kind = self.random.choice([SignalKind.REPORT, SignalKind.REPORT, SignalKind.VOUCH])
        source, member = self._someone(), self._someone()
        if source == member:
            return
        now = self.world.clock.now()
        occurred = now - self.random.choice([0, 0, 100, 400]) * DAY
        signal = Signal(
            member_id=self.known[member].id,
            kind=kind,
            reporter_id=self.known[source].id,
            occurred_at=occurred,
        )
        self.world.transact(lambda tx: self.world.services.signals.receive(tx, signal))
        if kind is SignalKind.REPORT:
            limit, spoke_at = load_policy("").trust.reports_a_reporter, self.known[source].spoke_at
            if sum(at > now - limit.window for at in spoke_at) < limit.times:
                spoke_at.append(now)
                self.known[member].reports.append((source, occurred))
        elif not self._is_within(member, source):
            self.known[member].vouches.append(source)

    def show(self) -> None:
        kind = self.random.choice([SignalKind.ACTIVITY, SignalKind.ACTIVATED, SignalKind.STAFF_VERIFIED])
        member = self.known[self._someone()]
        signal = Signal(member_id=member.id, kind=kind)
        self.world.transact(lambda tx: self.world.services.signals.receive(tx, signal))
        member.shown.add(kind)

    def impose(self) -> None:
        member = self.known[self._someone()]
        action = self.random.choice([Action.BAN, Action.SUSPEND, Action.WARN])
        reason = self.random.choice(["spam", "sold_invites"])
        ends = self.random.choice([None, self.world.clock.now() + 20 * DAY])
        wanted = Impose(
            member_id=member.id, action=action, reason_code=reason, explanation="test", expires_at=ends
        )
        made = self.world.transact(lambda tx: self.world.services.sanctions.impose(tx, wanted))
        member.sanctions[made.id] = (action.value, reason)

    def lift(self) -> None:
        imposed = [one for member in self.known for one in member.sanctions]
        if imposed:
            sanction_id = self.random.choice(imposed)
            self.world.transact(lambda tx: self.world.services.sanctions.lift(tx, sanction_id, "test"))

    # -- what must be -----------------------------------------------------------------------------------

    def mark(self) -> Mark:
        mark: Mark | None = self.world.query(read_mark)
        assert mark is not None
        return mark

    def expected(self) -> Expected:
        mark, rules = self.mark(), load_policy("").trust
        as_of = -1 if mark.as_of is None else mark.as_of
        forest = InviteForest.from_parents(
            [one.parent for one in self.known], names=[one.id for one in self.known]
        )
        forest._campaigns.add(0)
        own, private = np.zeros(len(self.known)), np.zeros(len(self.known))
        clamped = np.zeros(len(self.known), dtype=bool)
        weights: dict[int, float] = {}
        in_force = self._in_force()
        banned = {
            index
            for index, one in enumerate(self.known)
            if any(key in in_force and action == "ban" for key, (action, _) in one.sanctions.items())
        }
        for index, one in enumerate(self.known):
            sold = [
                1
                for key, (_, reason) in one.sanctions.items()
                if key in in_force and reason == "sold_invites"
            ]
            spoken = {
                self._branch(index, source)
                for source, at in one.reports
                if at + rules.reports_forgiven_after > as_of and source not in banned
            }
            vouching = {self._branch(index, source) for source in one.vouches if source not in banned}
            vouched = 0.25 * min(3, len(vouching))
            matured = one.joined_at + rules.matured_after <= as_of
            own[index] = -0.7 * min(3, len(spoken)) + min(vouched, 0.25) - (5.0 if index in banned else 0.0)
            own[index] += 4.6 if SignalKind.STAFF_VERIFIED in one.shown else 0.0
            own[index] += mark.epoch.alpha if matured and not spoken and index not in banned else 0.0
            small = 0.1 * one.has_phone + 0.05 * (one.joined_at + rules.aged_after <= as_of)
            small += 0.05 * (len(one.shown - {SignalKind.STAFF_VERIFIED}))
            private[index] = min(0.25, small) + max(0.0, vouched - 0.25)
            clamped[index] = bool(sold)
            if one.parent >= 0 and one.joined_at + rules.edges_fade_after <= as_of:
                weights[index] = 0.5
        arrays = solve(forest, own, TrustParameters(), clamped=clamped, edge_weights=weights)
        return Expected(arrays=arrays, private=private)

    def _in_force(self) -> set[str]:
        from sqlalchemy import select

        from identity_service.db.tables import sanctions

        query = select(sanctions.c.id).where(sanctions.c.lifted_at.is_(None))
        return {row.id for row in self.world.query(lambda tx: tx.select(query))}

    def _path(self, index: int) -> list[int]:
        path = [index]
        while self.known[path[-1]].parent >= 0:
            path.append(self.known[path[-1]].parent)
        return path[::-1]

    def _branch(self, member: int, source: int) -> int:
        """The child of the member's root (or of the campaign) on the source's path, or the source's root."""
        root, path = self._path(member)[0], self._path(source)
        return path[0] if path[0] not in (root, 0) or len(path) == 1 else path[1]

    def _is_within(self, member: int, source: int) -> bool:
        """Whether the source stands below the member, or in the same branch."""
        return member in self._path(source) or self._branch(member, source) == self._branch(member, member)

    # -- what is ----------------------------------------------------------------------------------------

    def explained(self, index: int) -> MemberTrust:
        trust = self.world.services.trust
        told: MemberTrust = self.world.query(lambda tx: trust.explain(tx, self.known[index].id))
        return told

    def written(self) -> dict[str, tuple[float | None, ...]]:
        from sqlalchemy import select

        from identity_service.db.tables import members as m

        columns = (m.c.trust_log_odds, m.c.trust_conduct, m.c.trust_standing, m.c.trust_from_inviter)
        rows = self.world.query(lambda tx: tx.select(select(m.c.id, *columns)))
        return {row[0]: tuple(row[1:]) for row in rows}
