"""The forest that one worker holds: the tree, its evidence, its scores, and what of them has been written.

It knows nothing of stores: members and events are handed to it, and it tells what must be written.  What it
holds depends on the set of members and events alone, never on the order or the day in which they came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, assert_never

import numpy as np
from numpy.typing import NDArray

from graph import NOBODY, InviteForest
from graph.ids import grown
from graph.trust import (
    AlphaEpoch,
    Evidence,
    EvidenceKind,
    EvidenceLedger,
    EvidencePolicy,
    Moved,
    PublishedScores,
    PublishedStates,
    TrustArrays,
    TrustFollower,
    TrustParameters,
)
from identity_service.policy.rules import TrustRules
from identity_service.ports import DAY, SECOND, Instant
from identity_service.services.trust_log import (
    EdgeWeighed,
    EpochStarted,
    Imposed,
    Lifted,
    PhoneChanged,
    Shown,
    Spoken,
    TrustEvent,
)

PHONE_KINDS: Final = {"mobile": EvidenceKind.PHONE_MOBILE, "voip": EvidenceKind.PHONE_VOIP}
_NEVER: Final = np.iinfo(np.int64).max // 2
"""When a campaign joined: it neither ripens nor ages."""
_MANY: Final = 20
"""Where more than one in so many nodes is touched, everything is computed anew: that is faster."""
_SAME: Final = 1e-11
_IN_LOG_ODDS: Final = (3, 4, 5)
"""Which of a state's columns are log-odds: own, received, message."""
State = tuple[str, int, int, int, float, float, float, float]
"""A row of `trust_states`, in the columns' order."""


def evidence_policy(rules: TrustRules) -> EvidencePolicy:
    """Return the model's table of weights as the policy has it; bans end with their sanction alone."""
    return EvidencePolicy(
        **rules.evidence.model_dump(),
        report_days=rules.reports_forgiven_after / DAY,
        edge_days=rules.edges_fade_after / DAY,
        ban_days=None,
    )


def trust_parameters(rules: TrustRules) -> TrustParameters:
    return TrustParameters(**rules.model.model_dump())


def fingerprint(rules: TrustRules) -> str:
    """Return a short name of these rules: rows that were written by others must be written again."""
    return hashlib.sha256(rules.model_dump_json().encode()).hexdigest()[:16]


def phone_flags(kind: str | None) -> int:
    """Return the bits that a phone's kind sets."""
    found = PHONE_KINDS.get(kind or "")
    return 0 if found is None else found.bit


class TrustTree:
    """A growing forest under the log.

    Fill it (`add_many`, `record`), then `open` it; from then on `add` and `follow` tell what to write.

    Attributes:
        rules: the policy's, by which everything here is judged.
        as_of: the instant of the last epoch; None before the first.
    """

    def __init__(self, rules: TrustRules) -> None:
        self.rules = rules
        self.forest = InviteForest()
        self.ledger = EvidenceLedger(self.forest, evidence_policy(rules))
        self.as_of: Instant | None = None
        self._joined: NDArray[np.int64] = np.full(16, _NEVER, dtype=np.int64)
        # What each sanction in force is evidence of, and which sanctions stand behind each piece.
        self._bearing: dict[str, tuple[int, tuple[EvidenceKind, ...]]] = {}
        self._behind: dict[tuple[int, EvidenceKind], set[str]] = {}
        # Clocks differ between processes: a lift may be numbered before what it lifts.
        self._lifted: set[str] = set()
        self._weighed: dict[int, float] = {}

    # -- growing ----------------------------------------------------------------------------------------

    def add_campaigns(self, ids: Iterable[str]) -> None:
        for campaign in ids:
            self.forest.add_campaign(campaign)
        self._grow()

    def add_many(
        self,
        ids: Sequence[str],
        inviters: Sequence[str | None],
        joined: Sequence[Instant],
        phone_kinds: Sequence[str | None],
    ) -> NDArray[np.int64]:
        """Add members at once, in any order; return their indexes.

        Raises:
            GraphError: what is stored is no forest.
        """
        indexes = self.forest.extend(ids, inviters)
        self._grow()
        self._joined[indexes] = joined
        kinds = np.array([kind or "" for kind in phone_kinds], dtype=object)
        for name, kind in PHONE_KINDS.items():
            chosen = np.flatnonzero(kinds == name)
            self.ledger.record_many(kind, [ids[place] for place in chosen.tolist()])
        return indexes

    def add(self, member_id: str, inviter_id: str | None, joined: Instant, phone_kind: str | None) -> int:
        """Add one member; the inviter (or campaign) is there already.  Returns its index."""
        if inviter_id is None:
            index = self.forest.add_seed(member_id)
        else:
            index = self.forest.add(member_id, inviter=inviter_id)
        self._grow()
        self._joined[index] = joined
        self.set_phone(index, phone_kind)
        if self.as_of is not None:
            self._ripen(index, self.as_of)
        return index

    def set_phone(self, index: int, kind: str | None) -> None:
        """Let the member's phone be of this kind, or be gone."""
        member = self.forest.name(index)
        for name, evidence in PHONE_KINDS.items():
            piece = Evidence(kind=evidence, member=member)
            if name == kind:
                self.ledger.record(piece)
            else:
                self.ledger.withdraw(piece)

    # -- evidence ---------------------------------------------------------------------------------------

    def record(self, event: TrustEvent) -> Iterable[int]:
        """Count an event in the ledger; return the indexes whose evidence may have changed.

        Raises:
            UnknownMember: it speaks of somebody who has not been added.
            BadEvidence: it must not count (a vouch from the member's own branch).
            BadParameter: a weight or a time that is none.
        """
        match event:
            case Spoken():
                return self._record_spoken(event)
            case Shown():
                return [self.ledger.record(Evidence(kind=event.kind, member=event.member_id))]
            case Imposed():
                return self._record_sanction(event)
            case Lifted():
                return self._record_lift(event.sanction_id)
            case EpochStarted():
                return self._start_epoch(event)
            case EdgeWeighed():
                return self._weigh_edge(event)
            case PhoneChanged():
                return [self.forest.index(event.member_id)]
            case _:
                assert_never(event)

    def _record_spoken(self, event: Spoken) -> list[int]:
        if event.kind is EvidenceKind.REPORT and self._is_forgiven(event.at):
            return [self.forest.index(event.member_id)]
        evidence = Evidence(
            kind=event.kind,
            member=event.member_id,
            source=event.source_id,
            reference=event.signal_id,
            at=event.at / SECOND,
        )
        return [self.ledger.record(evidence)]

    def _is_forgiven(self, at: Instant) -> bool:
        # In the very numbers by which the ledger finds what is due.
        after = self.ledger.policy.forgiven_after(EvidenceKind.REPORT)
        return self.as_of is not None and after is not None and at / SECOND + after <= self.as_of / SECOND

    def _record_sanction(self, event: Imposed) -> list[int]:
        if not event.kinds:
            return []
        index = self.forest.index(event.member_id)
        if event.sanction_id in self._lifted or event.sanction_id in self._bearing:
            return []
        self._bearing[event.sanction_id] = (index, event.kinds)
        for kind in event.kinds:
            self._behind.setdefault((index, kind), set()).add(event.sanction_id)
            self.ledger.record(Evidence(kind=kind, member=event.member_id))
        # Else three throw-away members could bring anybody down, and banning them would undo nothing.
        return [index, *(self.ledger.mute(event.member_id) if EvidenceKind.BAN in event.kinds else ())]

    def _record_lift(self, sanction_id: str) -> list[int]:
        self._lifted.add(sanction_id)
        bearing = self._bearing.pop(sanction_id, None)
        if bearing is None:
            return []
        index, kinds = bearing
        touched = [index]
        for kind in kinds:
            standing = self._behind[index, kind]
            standing.discard(sanction_id)
            if not standing:
                del self._behind[index, kind]
                self.ledger.withdraw(Evidence(kind=kind, member=self.forest.name(index)))
                if kind is EvidenceKind.BAN:
                    touched += self.ledger.unmute(self.forest.name(index))
        return touched

    def _weigh_edge(self, event: EdgeWeighed) -> list[int]:
        index = self.ledger.set_edge_weight(event.member_id, event.weight)
        self._weighed[index] = event.weight
        if self.as_of is not None:
            self._fade(index, self.as_of)
        return [index]

    # -- time -------------------------------------------------------------------------------------------

    def _start_epoch(self, event: EpochStarted) -> Iterable[int]:
        """Judge as of a new instant what depends on time; instants only go forward."""
        if self.as_of is not None and event.as_of <= self.as_of:
            return []
        self.as_of = event.as_of
        self.ledger.epoch = event.epoch
        due = self.ledger.due(event.as_of / SECOND)
        for piece in due:
            self.ledger.withdraw(piece)
        touched = [np.array([self.forest.index(piece.member) for piece in due], dtype=np.int64)]
        for kind, after in self._ripening():
            ripe = np.flatnonzero(self._since(after) & ~self.ledger.having(kind))
            self.ledger.record_many(kind, self.forest.names(ripe))
            touched.append(ripe)
        old = self._since(self.rules.edges_fade_after) & (self.forest.parents != NOBODY)
        fading = np.array(
            [index for index in np.flatnonzero(old).tolist() if self._fade(index, event.as_of)],
            dtype=np.int64,
        )
        merged: list[int] = np.unique(np.concatenate([*touched, fading])).tolist()
        return merged

    def _ripening(self) -> tuple[tuple[EvidenceKind, Instant], ...]:
        rules = self.rules
        return (EvidenceKind.MATURED, rules.matured_after), (EvidenceKind.AGED, rules.aged_after)

    def _since(self, after: Instant) -> NDArray[np.bool_]:
        """Who has been a member for so long, as of the epoch."""
        assert self.as_of is not None
        return np.asarray(self._joined[: len(self.forest)] + after <= self.as_of)

    def _ripen(self, index: int, as_of: Instant) -> None:
        """Judge one newcomer by the epoch in force: whoever is brought in may have joined long ago."""
        joined = int(self._joined[index])
        for kind, after in self._ripening():
            if joined + after <= as_of:
                self.ledger.record(Evidence(kind=kind, member=self.forest.name(index)))
        if self.forest.inviter(index) != NOBODY:
            self._fade(index, as_of)

    def _fade(self, index: int, as_of: Instant) -> bool:
        """Let an old edge count less; return whether it did count more before."""
        if int(self._joined[index]) + self.rules.edges_fade_after > as_of:
            return False
        faded = min(self._weighed.get(index, 1.0), self.ledger.policy.old_edge_weight)
        if self.ledger.edge_weights.get(index, 1.0) == faded:
            return False
        self.ledger.set_edge_weight(self.forest.name(index), faded)
        return True

    def next_epoch(self, as_of: Instant) -> AlphaEpoch:
        """Return the epoch that starts at an instant: alpha anew, unless it would hardly move."""
        matured = self._joined[: len(self.forest)] + self.rules.matured_after <= as_of
        found, now = self.ledger.next_epoch(matured), self.ledger.epoch
        if abs(found.alpha - now.alpha) >= self.rules.alpha_step:
            return found
        return AlphaEpoch(version=now.version, alpha=now.alpha, matured=found.matured)

    # -- scores -----------------------------------------------------------------------------------------

    def open(self) -> TrustArrays:
        """Compute everything; from here on scores and states are followed.  Returns the arrays."""
        self._follower = TrustFollower(
            self.forest, parameters=trust_parameters(self.rules), ledger=self.ledger
        )
        self.scores = PublishedScores(self._follower, tolerance=self.rules.tolerance)
        self.states = PublishedStates(self._follower)
        return self._follower.rebuild()

    @property
    def follower(self) -> TrustFollower:
        return self._follower

    def follow(self, touched: Iterable[int], *, everything: bool = False) -> TrustArrays | None:
        """Carry changed evidence through the tree.

        Returns:
            The arrays, where everything was computed anew; None where only the ways to the roots were.
        """
        indexes = list(touched)
        if everything or len(indexes) * _MANY > len(self.forest):
            return self._follower.rebuild()
        for index in indexes:
            self._follower.renew(index)
        return None

    def state(self, index: int) -> State:
        """Return what is to be written of a node's exact state."""
        facts, follower = self.ledger.facts(index), self._follower
        return (
            str(self.forest.name(index)),
            facts.flags,
            facts.report_branches,
            facts.vouch_branches,
            self.ledger.travelling(index),
            follower.heard(index),
            follower.message(index),
            self.ledger.edge_weights.get(index, 1.0),
        )

    def states_behind(
        self, arrays: TrustArrays, stored: Iterable[Sequence[Any]]
    ) -> tuple[NDArray[np.int64], float]:
        """Compare everybody's exact state with the rows of a store.

        Who has no row has nothing to tell.  Remembers what the store holds.

        Returns:
            The indexes that differ, and the largest difference in log-odds.
        """
        size = len(self.forest)
        columns = [np.zeros(size) for _ in range(6)] + [np.ones(size)]
        for rows in stored:
            indexes = np.array([self.forest.find(row[0]) for row in rows], dtype=np.int64)
            known = indexes >= 0
            for place, column in enumerate(columns, start=1):
                column[indexes[known]] = np.array([row[place] for row in rows], dtype=np.float64)[known]
        self.states.recall(np.arange(size), columns[5])
        differs, largest = np.zeros(size, dtype=bool), 0.0
        for place, now in enumerate(self._state_columns(arrays)):
            distance = np.abs(columns[place] - now)
            differs |= ~(distance <= _SAME)
            if place in _IN_LOG_ODDS:
                largest = max(largest, float(distance.max(initial=0.0)))
        return np.union1d(np.flatnonzero(differs), self.states.behind(arrays)), largest

    def _state_columns(self, arrays: TrustArrays) -> Iterator[NDArray[np.float64]]:
        size = len(self.forest)
        yield self.ledger.flags().astype(np.float64)
        for kind in (EvidenceKind.REPORT, EvidenceKind.VOUCH):
            branches = np.zeros(size)
            for index, count in self.ledger.branches(kind):
                branches[index] = count
            yield branches
        yield arrays.own
        yield arrays.received
        yield arrays.up
        weights = np.ones(size)
        if self.ledger.edge_weights:
            weights[list(self.ledger.edge_weights)] = list(self.ledger.edge_weights.values())
        yield weights

    def members_only(self, moved: Iterable[Moved]) -> list[Moved]:
        """Leave campaigns out: their scores are nobody's."""
        return [one for one in moved if not self.forest.is_campaign(one.index)]

    def _grow(self) -> None:
        self._joined = grown(self._joined, len(self.forest), fill=_NEVER)
