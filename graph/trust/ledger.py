"""The live evidence of a whole forest: two bytes a member, and a dict entry for each report or vouch.

What it answers depends only on the set of live evidence, never on the order in which it came, so that a
followed ledger and a rebuilt one are equal to the last bit. It checks who may speak: nobody about
themselves, and no voucher from the member's own subtree or branch, because whoever made a tree can make it
speak. Whoever is muted is not heard while that lasts, whenever they spoke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadEvidence, BadParameter, MemberKey
from graph.forest import NOBODY, InviteForest
from graph.ids import grown, item_view
from graph.lineage import branch_index
from graph.trust.evidence import AlphaEpoch, Evidence, EvidenceKind, EvidencePolicy, Facts

ANONYMOUS = -2
"""The one branch that all anonymous reports share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    branch: int
    source: int
    at: float | None


# By member, then by reference, or by source where there is none.
_Spoken = dict[int, dict[str | int, _Piece]]


class EvidenceLedger:
    """Evidence by member; grows with its forest.

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0, 0, 1], names=["ada", "bob", "cyd", "dee"])
    >>> ledger = EvidenceLedger(forest)
    >>> ledger.record(Evidence(kind=EvidenceKind.REPORT, member="cyd", source="bob"))
    2
    >>> ledger.record(Evidence(kind=EvidenceKind.REPORT, member="cyd", source="dee"))  # of bob's branch too
    2
    >>> ledger.facts(2).report_branches, ledger.travelling(2)
    (1, -0.7)
    """

    def __init__(self, forest: InviteForest, policy: EvidencePolicy | None = None) -> None:
        self.forest = forest
        self.policy = policy or EvidencePolicy()
        self._epoch = AlphaEpoch()
        # Weights depend on few distinct facts, and every query asks for them.
        self._weights: dict[tuple[int, int, int], tuple[float, float]] = {}
        self._flags: NDArray[np.uint16] = np.zeros(16, dtype=np.uint16)
        self._flag_view: memoryview[int] = item_view(self._flags)
        self._reports: _Spoken = {}
        self._vouches: _Spoken = {}
        self._flag_times: dict[tuple[int, EvidenceKind], float] = {}
        self._edge_weights: dict[int, float] = {}
        self._clamped: set[int] = set()
        self._muted: set[int] = set()
        # Of whom each source has spoken: muting one must not look through everybody's reports.
        self._spoken_of: dict[int, set[int]] = {}

    # -- writing -------------------------------------------------------------------------------------------

    def record(self, evidence: Evidence) -> int:
        """Count a piece of evidence; return the member's index. O(1), with a source O(depth).

        The same piece again (its reference, or its source where there is none) changes nothing.

        Raises
        ------
        UnknownMember
            If the member or the source is not there.
        BadEvidence
            If it must not count: on a campaign, on oneself, a vouch without or from within.
        BadParameter
            If its time is not finite.
        """
        index = self._target(evidence)
        if not evidence.kind.has_source:
            self._grow()
            self._flag_view[index] |= evidence.kind.bit
            if evidence.kind is EvidenceKind.SOLD_INVITES:
                self._clamped.add(index)
            if evidence.at is not None and self.policy.forgiven_after(evidence.kind) is not None:
                self._flag_times[index, evidence.kind] = evidence.at
            return index
        source, branch = self._branch(index, evidence)
        pieces = self._spoken(evidence.kind).setdefault(index, {})
        pieces.setdefault(_key(evidence, source), _Piece(branch=branch, source=source, at=evidence.at))
        if source != NOBODY:
            self._spoken_of.setdefault(source, set()).add(index)
        return index

    def record_many(self, kind: EvidenceKind, members: Sequence[MemberKey] | NDArray[Any]) -> None:
        """Count one kind of undated evidence for many members, as when loading a store. O(k), vectorised.

        Raises
        ------
        UnknownMember
            If one is not there; then none is counted.
        BadEvidence
            If the kind needs a source, or one of them is a campaign.
        """
        if kind.has_source and len(members):
            raise BadEvidence(members[0], f"a {kind} is recorded with its source")
        indexes = self.forest.indexes(members)
        for campaign in self.forest.campaigns():
            if (indexes == campaign).any():
                raise BadEvidence(self.forest.name(campaign), "a campaign is no member")
        self._grow()
        self._flags[indexes] |= np.uint16(kind.bit)
        if kind is EvidenceKind.SOLD_INVITES:
            self._clamped.update(indexes.tolist())

    def withdraw(self, evidence: Evidence) -> int:
        """Take a piece back (a lifted ban, a forgiven report).

        Return the member's index. Absent ones are ignored.
        """
        index = self._target(evidence)
        if not evidence.kind.has_source:
            self._grow()
            self._flag_view[index] &= ~evidence.kind.bit & 0xFFFF
            self._flag_times.pop((index, evidence.kind), None)
            if evidence.kind is EvidenceKind.SOLD_INVITES:
                self._clamped.discard(index)
            return index
        source = NOBODY if evidence.source is None else self.forest.index(evidence.source)
        pieces = self._spoken(evidence.kind).get(index, {})
        pieces.pop(_key(evidence, source), None)
        if not pieces:
            self._spoken(evidence.kind).pop(index, None)
        if not self._has_spoken(source, index):
            self._spoken_of.get(source, set()).discard(index)
        return index

    def mute(self, source: MemberKey) -> list[int]:
        """Let nothing count that `source` says or has said of others, until `unmute`.

        Return the indexes of whom it has spoken, whose evidence may have changed. O(1) and those.
        """
        muted = self.forest.index(source)
        self._muted.add(muted)
        return sorted(self._spoken_of.get(muted, ()))

    def unmute(self, source: MemberKey) -> list[int]:
        """Let everything count again that `source` has said; return the indexes of whom."""
        heard = self.forest.index(source)
        self._muted.discard(heard)
        return sorted(self._spoken_of.get(heard, ()))

    def set_edge_weight(self, member: MemberKey, weight: float) -> int:
        """Let the edge above `member` count with `weight` in [0, 1]; return the member's index.

        A re-sponsored member's old edge is set to 0, a long-past one to `EvidencePolicy.old_edge_weight`.
        """
        index = self.forest.index(member)
        if not 0 <= weight <= 1:  # NaN is neither
            raise BadParameter("weight", weight, f"the edge above {member!r} weighs between 0 and 1")
        if self.forest.inviter(index) == NOBODY:
            raise BadEvidence(member, "nobody is above a root")
        if weight == 1:
            self._edge_weights.pop(index, None)
        else:
            self._edge_weights[index] = float(weight)
        return index

    # -- reading -------------------------------------------------------------------------------------------

    def facts(self, index: int) -> Facts:
        """Return what is known about one member. O(reports)."""
        return Facts(
            flags=self._flag_view[index] if index < len(self._flags) else 0,
            report_branches=self._branches(self._reports, index),
            vouch_branches=self._branches(self._vouches, index),
        )

    @property
    def epoch(self) -> AlphaEpoch:
        """The epoch whose alpha is in force; whoever sets it rebuilds what was computed before."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: AlphaEpoch) -> None:
        self._epoch = epoch
        self._weights.clear()

    def weights(self, index: int) -> tuple[float, float]:
        """Return (travelling, private) of one member at this epoch. O(reports)."""
        flags = self._flag_view[index] if index < len(self._flags) else 0
        reports, vouches = self._branches(self._reports, index), self._branches(self._vouches, index)
        found = self._weights.get((flags, reports, vouches))
        if found is None:
            facts = Facts(flags=flags, report_branches=reports, vouch_branches=vouches)
            found = self.policy.travelling(facts, self._epoch.alpha), self.policy.private(facts)
            self._weights[flags, reports, vouches] = found
        return found

    def travelling(self, index: int) -> float:
        """Return lambda of one member at this epoch."""
        return self.weights(index)[0]

    def is_adjudicated(self, index: int) -> bool:
        """Whether the member is adjudicated to have sold invites."""
        return index in self._clamped

    @property
    def clamped(self) -> set[int]:
        """Indexes of the adjudicated, for loops that ask at every step."""
        return self._clamped

    def sources(self, kind: EvidenceKind, index: int) -> list[tuple[MemberKey | None, MemberKey | None]]:
        """Return (source, head of its branch) of each live report or vouch that counts.

        ``None`` where it is anonymous.
        """
        return [
            (self._name(piece.source), self._name(piece.branch))
            for piece in self._spoken(kind).get(index, {}).values()
            if piece.source not in self._muted
        ]

    @property
    def edge_weights(self) -> dict[int, float]:
        """Weights of the edges that do not count fully, by the index below them."""
        return self._edge_weights

    def adjudicated(self) -> NDArray[np.bool_] | None:
        """Return who is adjudicated, shape (n,), or ``None`` for nobody."""
        if not self._clamped:
            return None
        marked = np.zeros(len(self.forest), dtype=bool)
        marked[list(self._clamped)] = True
        return marked

    def travelling_all(self) -> NDArray[np.float64]:
        """Return lambda of every node, shape (n,). O(n + reports), vectorised."""
        return self._looked_up(lambda facts: self.policy.travelling(facts, self._epoch.alpha))

    def private_all(self) -> NDArray[np.float64]:
        """Return the evidence that counts for each node's own score alone, shape (n,). O(n + reports)."""
        return self._looked_up(self.policy.private)

    def next_epoch(self, matured: NDArray[np.bool_] | None = None) -> AlphaEpoch:
        """Return the epoch that centres the population as it is: alpha = -(mean lambda over matured members).

        `matured`, shape (n,), says who counts as matured from this epoch on, in place of who does now.

        Lambda is taken without alpha itself, and alpha is kept in [0, `EvidencePolicy.matured_limit`]:
        verified members must not make ripeness a blemish, and a wave of reports must not make it a
        treasure.
        """

        def without_alpha(facts: Facts) -> float:
            return self.policy.travelling(facts, 0.0)

        if matured is None:
            matured = self.having(EvidenceKind.MATURED)
        count = int(np.count_nonzero(matured))
        alpha = -float(self._looked_up(without_alpha)[matured].mean()) if count else 0.0
        return AlphaEpoch(
            version=self.epoch.version + 1,
            alpha=max(0.0, min(self.policy.matured_limit, alpha)),
            matured=count,
        )

    def having(self, kind: EvidenceKind) -> NDArray[np.bool_]:
        """Return who has evidence of a kind without a source, shape (n,)."""
        return np.asarray((self._column() & np.uint16(kind.bit)) != 0)

    def branches(self, kind: EvidenceKind) -> Iterator[tuple[int, int]]:
        """Yield (index, number of distinct branches that count) of whoever has live reports or vouches."""
        spoken = self._spoken(kind)
        for index in spoken:
            yield index, self._branches(spoken, index)

    def flags(self) -> NDArray[np.uint16]:
        """Return the bits of the kinds without a source of each node, shape (n,): not to be written."""
        return self._column()

    def due(self, now: float) -> list[Evidence]:
        """Return what is old enough to be forgiven at `now` (seconds since 1970). O(dated evidence).

        The caller writes each to the log and then withdraws it: forgiveness is an event, never a matter of
        when somebody happened to look.
        """
        return [*self._due_spoken(now), *self._due_flags(now)]

    # -- how it works --------------------------------------------------------------------------------------

    def _due_spoken(self, now: float) -> Iterator[Evidence]:
        for kind in (EvidenceKind.REPORT, EvidenceKind.VOUCH):
            members = self._spoken(kind)
            after = self.policy.forgiven_after(kind)
            for index, pieces in members.items() if after is not None else ():
                for key, piece in pieces.items():
                    if piece.at is not None and after is not None and piece.at + after <= now:
                        yield Evidence(
                            kind=kind,
                            member=self.forest.name(index),
                            source=self._name(piece.source),
                            reference=key if isinstance(key, str) else None,
                            at=piece.at,
                        )

    def _due_flags(self, now: float) -> Iterator[Evidence]:
        for (index, kind), at in self._flag_times.items():
            after = self.policy.forgiven_after(kind)
            if after is not None and at + after <= now:
                yield Evidence(kind=kind, member=self.forest.name(index), at=at)

    def _target(self, evidence: Evidence) -> int:
        index = self.forest.index(evidence.member)
        if self.forest.is_campaign(index):
            raise BadEvidence(evidence.member, "a campaign is no member")
        if evidence.at is not None and not -1e15 < evidence.at < 1e15:  # NaN is neither
            raise BadParameter("at", evidence.at, "it is no time")
        return index

    def _branch(self, index: int, evidence: Evidence) -> tuple[int, int]:
        if evidence.source is None:
            if evidence.kind is EvidenceKind.VOUCH:
                raise BadEvidence(evidence.member, "a vouch needs a voucher")
            return NOBODY, ANONYMOUS
        source = self.forest.index(evidence.source)
        if source == index:
            raise BadEvidence(evidence.member, "nobody speaks for or against themselves")
        if self.forest.is_campaign(source):
            raise BadEvidence(evidence.member, "a campaign cannot speak")
        branch = branch_index(self.forest, index, source)
        if evidence.kind is EvidenceKind.VOUCH and (
            branch == branch_index(self.forest, index, index) or self._is_below(index, source)
        ):
            raise BadEvidence(evidence.member, "a voucher comes from another branch than the member")
        return source, branch

    def _is_below(self, top: int, index: int) -> bool:
        limit = self.forest.depth(top)
        while self.forest.depth(index) > limit:
            index = self.forest.inviter(index)
        return index == top

    def _spoken(self, kind: EvidenceKind) -> _Spoken:
        return self._reports if kind is EvidenceKind.REPORT else self._vouches

    def _has_spoken(self, source: int, index: int) -> bool:
        spoken = self._reports.get(index, {}), self._vouches.get(index, {})
        return any(piece.source == source for pieces in spoken for piece in pieces.values())

    def _branches(self, spoken: _Spoken, index: int) -> int:
        pieces = spoken.get(index)
        if not pieces:
            return 0
        return len({piece.branch for piece in pieces.values() if piece.source not in self._muted})

    def _name(self, index: int) -> MemberKey | None:
        return None if index < 0 else self.forest.name(index)

    def _grow(self) -> None:
        if len(self._flags) < len(self.forest):
            self._flags = grown(self._flags, len(self.forest))
            self._flag_view = item_view(self._flags)

    def _column(self) -> NDArray[np.uint16]:
        self._grow()
        return self._flags[: len(self.forest)]

    def _looked_up(self, weight: Callable[[Facts], float]) -> NDArray[np.float64]:
        """Weights depend on few distinct sets of flags.

        Compute each once, then correct those with reports.
        """
        column = self._column()
        table = np.zeros(int(column.max(initial=0)) + 1)
        for flags in np.flatnonzero(np.bincount(column)).tolist() if len(column) else []:
            table[flags] = weight(Facts(flags=flags))
        result = table[column]
        for index in self._reports.keys() | self._vouches.keys():
            result[index] = weight(self.facts(index))
        return result


def _key(evidence: Evidence, source: int) -> str | int:
    return source if evidence.reference is None else evidence.reference
