"""One worker's following of the log: a lease, the forest in memory, and rows written in bounded steps.

Any number of workers may try; one follows.  What it writes and the mark of how far it has come are one
transaction, which also asks whether the lease and the mark are still its own: whoever was overtaken (by
another worker, by `trust rebuild`, by a restored database) lets go of what it holds and begins anew.  A start
reads everybody and the evidence in the log, computes everything, and writes what differs from the rows: so
nothing depends on where the last worker was killed.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from graph import GraphError, UnknownMember
from graph.errors import BadEvidence
from graph.trust import EvidenceKind, Moved, TrustArrays
from identity_service import telemetry
from identity_service.db.store import Store, Tx
from identity_service.errors import SYSTEM, Refused, Unavailable
from identity_service.policy.rules import TrustRules
from identity_service.ports import SECOND, Instant
from identity_service.services import trust_log, trust_rows
from identity_service.services.journal import Journal
from identity_service.services.lease_keeping import kept
from identity_service.services.policy_book import PolicyBook
from identity_service.services.trust_log import BrokenEvent, LogRow, PhoneChanged, Spoken, TrustEvent
from identity_service.services.trust_rows import Mark
from identity_service.services.trust_tree import State, TrustTree, fingerprint
from identity_service.services.worker_state import WorkerState

T = TypeVar("T")
log = structlog.get_logger("trust")
LEASE: Final = "trust.lease"
LEASE_SECONDS: Final = 30
_RENEW_AFTER: Final = 10 * SECOND
_BEAT_SECONDS: Final = 10
"""How often the lease is renewed while one step runs; by the time that passes, whatever the clock says."""
_WHILE_ANOTHER_FOLLOWS: Final = SECOND
_AFTER_A_FAULT: Final = 5 * SECOND
_EVENTS: Final = 500
_NEWCOMERS: Final = 2_000
_ROWS: Final = 2_000
"""Rows a transaction: short enough for those who wait for SQLite's one writer."""


class ScoresMoved(Protocol):
    def __call__(self, tx: Tx, moved: Sequence[Moved]) -> None:
        """Look at members whose written scores are about to change, in the transaction that changes them."""


def no_one_listens(tx: Tx, moved: Sequence[Moved]) -> None:
    """Stand in where nothing depends on scores."""


class _Overtaken(Exception):
    """The lease or the mark is another's: what this worker holds is no longer the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ignored:
    """A signal that does not count, and why: told in the audit, never to its sender."""

    row: LogRow
    member_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What stands in the store, asked before anything is done."""

    mark: Mark | None
    waiting: bool
    epoch_due: bool
    rules: TrustRules


@dataclass(slots=True)
class _Chunk:
    """Rows of one transaction."""

    moved: list[Moved]
    states: list[State]

    def __len__(self) -> int:
        return len(self.moved) + len(self.states)


@dataclass(slots=True)
class _Unwritten:
    """What the last step moved, and the mark that holds when all of it has been written."""

    chunks: deque[Callable[[], _Chunk]]
    mark: Mark
    ignored: list[_Ignored]
    prepared: _Chunk | None = None


@dataclass(slots=True)
class _Batch:
    """What one step read."""

    upto: int
    event_id: str | None
    rows: list[LogRow]
    newcomers: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far the rows are from what the log says.

    Attributes:
        members: how many there are.
        scores, states: how many rows are to be written again.
        furthest_score: the largest distance of a written score; the policy's tolerance is allowed.
        furthest_state: the largest distance of an exact state.
    """

    members: int
    scores: int
    states: int
    furthest_score: float
    furthest_state: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """Everything as the log has it, and which rows say otherwise."""

    tree: TrustTree
    mark: Mark | None
    arrays: TrustArrays
    scores: NDArray[np.int64]
    states: NDArray[np.int64]
    difference: Difference
    ignored: list[_Ignored]
    batch: _Batch

    @property
    def rows(self) -> int:
        return len(self.scores) + len(self.states)


class TrustFollowing:
    """One worker's part in it.  `step` does a bounded piece of work.

    Parameters:
        policies: where the trust section of the policy changes, everything is computed anew.
        name: the worker's, as the lease knows it.
        on_scores_moved: asked to look at members before their new scores are written.
    """

    def __init__(
        self,
        *,
        store: Store,
        policies: PolicyBook,
        journal: Journal,
        worker_state: WorkerState,
        name: str,
        on_scores_moved: ScoresMoved = no_one_listens,
    ) -> None:
        self._store, self._policies, self._journal = store, policies, journal
        self._worker_state, self._name, self._on_scores_moved = worker_state, name, on_scores_moved
        self._tree: TrustTree | None = None
        self._mark: Mark | None = None
        self._unwritten: _Unwritten | None = None
        self._leased_at: Instant = 0
        self._rest_until: Instant = 0

    @property
    def follows(self) -> bool:
        """Whether this worker holds the forest."""
        return self._tree is not None

    def step(self) -> int:
        """Do what is due, a bounded piece of it; return how much was done."""
        if self._store.clock.now() < self._rest_until:
            return 0
        try:
            return self._step()
        except _Overtaken:
            self.let_go()
            return 0
        except Unavailable:
            # What is prepared and not written is kept; what was only half read is not.
            if self._unwritten is None:
                self.let_go()
            raise
        except Exception:
            self.let_go()
            self._rest(_AFTER_A_FAULT)
            raise

    def _rest(self, span: Instant) -> None:
        self._rest_until = self._store.clock.now() + span

    def let_go(self) -> None:
        """Forget the forest; the next step reads it anew."""
        self._tree = self._mark = self._unwritten = None

    def _step(self) -> int:
        if self._unwritten is not None:
            return self._write(self._unwritten)
        look = self._store.query(SYSTEM, self._look)
        if self._tree is None:
            return self._begin(look)
        if look.mark != self._mark or look.rules != self._tree.rules:
            raise _Overtaken
        if self._store.clock.now() - self._leased_at > _RENEW_AFTER and not self._take_lease():
            raise _Overtaken
        if look.epoch_due:
            return self._start_epoch(self._tree)
        return self._follow(self._tree) if look.waiting else 0

    def _begin(self, look: _Look) -> int:
        """Become the one who follows, where there is something to do and nobody else does it."""
        stale = look.mark is not None and look.mark.rules != fingerprint(look.rules)
        if not (look.waiting or look.epoch_due or stale):
            return 0
        if not self._take_lease():
            self._rest(_WHILE_ANOTHER_FOLLOWS)
            return 0
        self._load(look.rules)
        return 1

    def _look(self, tx: Tx) -> _Look:
        rules = self._policies.of(tx).trust
        mark = trust_rows.read_mark(tx)
        waiting = trust_log.has_more(tx, 0 if mark is None else mark.seq) or trust_rows.has_unscored(tx)
        epoch_due = _is_epoch_due(tx, rules)
        return _Look(mark=mark, waiting=waiting, epoch_due=epoch_due, rules=rules)

    @contextmanager
    def _keeping_lease(self) -> Iterator[None]:
        """Renew the lease while a step runs that may outlast it.

        Raises:
            _Overtaken: at its end, when the lease was lost on the way.
        """
        with kept(self._take_lease, every=_BEAT_SECONDS) as lost:
            yield
        if lost.is_set():
            raise _Overtaken

    def _take_lease(self) -> bool:
        def take(tx: Tx) -> Instant | None:
            return tx.now if self._worker_state.take_lease(tx, LEASE, self._name, LEASE_SECONDS) else None

        taken_at = self._store.transact(SYSTEM, take)
        self._leased_at = taken_at or 0
        return taken_at is not None

    # -- time -------------------------------------------------------------------------------------------

    def _start_epoch(self, tree: TrustTree) -> int:
        """Say in the log what time it is; everything that depends on time is judged when that is followed."""

        def start(tx: Tx) -> int:
            self._assert_mine(tx)
            as_of = tx.now // 1000 * 1000  # as the log writes times
            if not trust_rows.take_epoch(tx, as_of, before=tx.now - tree.rules.epoch):
                return 0
            told = trust_log.told_epoch(as_of, tree.next_epoch(as_of))
            self._journal.tell(tx, trust_log.EPOCH_STARTED, trust_log.EPOCH_SUBJECT, told)
            return 1

        return self._store.transact(SYSTEM, start)

    def _assert_mine(self, tx: Tx) -> None:
        """Renew the lease, and see that the rows are as this worker left them.

        Raises:
            _Overtaken: they are not.
        """
        if not self._worker_state.take_lease(tx, LEASE, self._name, LEASE_SECONDS):
            raise _Overtaken
        if trust_rows.read_mark(tx) != self._mark:
            raise _Overtaken

    # -- a start ----------------------------------------------------------------------------------------

    def _load(self, rules: TrustRules) -> _Loaded:
        """Read the tree and the log, compute everything, and find what the rows must say otherwise."""
        with self._keeping_lease(), self._store.read_at_one_instant(SYSTEM) as tx, _without_collecting():
            loaded = self._read_all(tx, rules)
        tree = self._tree = loaded.tree
        self._mark = loaded.mark
        mark_then = self._mark_after(tree, loaded.batch)
        log.info("trust_loaded", nodes=len(tree.forest), scores=len(loaded.scores), states=len(loaded.states))
        if loaded.rows or mark_then != loaded.mark:
            chunks = _chunks_of_all(tree, loaded.arrays, loaded.scores, loaded.states)
            self._unwritten = _Unwritten(chunks=deque(chunks), mark=mark_then, ignored=loaded.ignored)
        return loaded

    def _read_all(self, tx: Tx, rules: TrustRules, *, as_of_mark: bool = False) -> _Loaded:
        tree = TrustTree(rules)
        # The end of the log first: what is numbered later is followed afterwards.
        upto = trust_log.head(tx)
        mark = trust_rows.read_mark(tx)
        told_before = 0 if mark is None else mark.seq
        written = _read_members(tx, tree)
        if as_of_mark:
            upto = min(upto, told_before)
        ignored = self._read_log(tx, tree, upto=upto, told_before=told_before)
        arrays = tree.open()
        for indexes, parts in written:
            tree.scores.recall(indexes, parts)
        states, furthest_state = tree.states_behind(arrays, trust_rows.states(tx))
        scores = tree.scores.behind(arrays)
        if campaigns := tree.forest.campaigns():
            scores = np.setdiff1d(scores, campaigns)
        return _Loaded(
            tree=tree,
            mark=mark,
            arrays=arrays,
            scores=scores,
            states=states,
            difference=Difference(
                members=tree.forest.member_count,
                scores=len(scores),
                states=len(states),
                furthest_score=tree.scores.furthest(arrays),
                furthest_state=furthest_state,
            ),
            ignored=ignored,
            batch=_Batch(upto=upto, event_id=trust_log.public_head(tx, upto), rows=[]),
        )

    def compare(self) -> Difference:
        """Tell how far the rows are from what the log says up to the event that they are told as of."""
        # At one instant: a worker that follows meanwhile is no difference.
        with self._store.read_at_one_instant(SYSTEM) as tx, _without_collecting():
            return self._read_all(tx, self._policies.of(tx).trust, as_of_mark=True).difference

    def rebuild(self, wrote: Callable[[int, int], None]) -> Difference:
        """Compute everything from the log, and write what differs; a worker that follows begins anew.

        Parameters:
            wrote: told how many rows were written, and how many there are to write in all.

        Raises:
            Refused: `trust_rebuild_overtaken`: somebody else began a rebuild meanwhile.
        """

        def seize(tx: Tx) -> TrustRules:
            self._worker_state.seize_lease(tx, LEASE, self._name, LEASE_SECONDS)
            return self._policies.of(tx).trust

        rules = self._store.transact(SYSTEM, seize)
        try:
            loaded = self._load(rules)
            while self._unwritten is not None:
                wrote(self._write(self._unwritten), loaded.rows)
        except _Overtaken:
            detail = "Another rebuild began meanwhile, or another worker follows."
            raise Refused("trust_rebuild_overtaken", detail) from None
        finally:
            self.retire()
        return loaded.difference

    def retire(self) -> None:
        """Let another worker follow at once."""
        if self._tree is not None:
            self.let_go()
            self._store.transact(SYSTEM, lambda tx: self._worker_state.end_lease(tx, LEASE, self._name))

    def _read_log(self, tx: Tx, tree: TrustTree, *, upto: int, told_before: int) -> list[_Ignored]:
        """Record all evidence in the log; return what was ignored and not told before."""
        ignored, after = [], 0
        while rows := trust_log.read_rows(tx, after=after, upto=upto, limit=_EVENTS * 20):
            for row in rows:
                _, why = self._record(tx, tree, row, count=row.seq > told_before)
                if why is not None and row.seq > told_before:
                    ignored.append(why)
            after = rows[-1].seq
        return ignored

    # -- following --------------------------------------------------------------------------------------

    def _follow(self, tree: TrustTree) -> int:
        """Count what the log says since, and who has joined; write what it moved."""
        with self._keeping_lease():
            self._unwritten = self._carry(tree)
        return self._write(self._unwritten)

    def _carry(self, tree: TrustTree) -> _Unwritten:
        """Carry through the tree what the log says since, and who has joined."""
        after = 0 if self._mark is None else self._mark.seq
        touched: dict[int, None] = {}
        ignored: list[_Ignored] = []
        alpha = tree.ledger.epoch.alpha
        with self._store.read(SYSTEM) as tx:
            batch = self._read_batch(tx, after)
            newcomers = [_add(tx, tree, place) for place in batch.newcomers]
            touched |= dict.fromkeys(newcomers)
            for row in batch.rows:
                indexes, why = self._record(tx, tree, row, count=True)
                touched |= dict.fromkeys(indexes)
                if why is not None:
                    ignored.append(why)
        # The store says that these were never written, whatever is remembered of them.
        tree.scores.forget(newcomers)
        revalued = tree.ledger.epoch.alpha != alpha
        arrays = tree.follow(touched, everything=revalued)
        if arrays is None:
            chunks = _chunks_of_few(tree, touched)
        else:
            own_changed = np.fromiter(touched, dtype=np.int64)
            if revalued:
                own_changed = np.union1d(
                    own_changed, np.flatnonzero(tree.ledger.having(EvidenceKind.MATURED))
                )
            states = np.union1d(tree.states.behind(arrays), own_changed)
            chunks = _chunks_of_all(tree, arrays, tree.scores.behind(arrays), states)
        return _Unwritten(chunks=deque(chunks), mark=self._mark_after(tree, batch), ignored=ignored)

    def _read_batch(self, tx: Tx, after: int) -> _Batch:
        upto = trust_log.head(tx)
        rows = trust_log.read_rows(tx, after=after, upto=upto, limit=_EVENTS)
        if len(rows) == _EVENTS:
            upto = rows[-1].seq
        return _Batch(
            upto=upto,
            event_id=trust_log.public_head(tx, upto),
            rows=rows,
            newcomers=trust_rows.unscored(tx, _NEWCOMERS),
        )

    def _mark_after(self, tree: TrustTree, batch: _Batch) -> Mark:
        return Mark(
            seq=batch.upto,
            event_id=batch.event_id,
            epoch=tree.ledger.epoch,
            as_of=tree.as_of,
            rules=fingerprint(tree.rules),
        )

    def _record(
        self, tx: Tx, tree: TrustTree, row: LogRow, *, count: bool
    ) -> tuple[Iterable[int], _Ignored | None]:
        """Record one row of the log; what is wrong with it stops nothing."""
        event = None
        try:
            event = row.read(tree.rules.adjudicated_reasons)
            return () if event is None else _recorded(tx, tree, event), None
        except BadEvidence as refused:
            if isinstance(event, Spoken):
                return (), _Ignored(row=row, member_id=event.member_id, reason=refused.reason)
            self._tell_broken(row, refused, count=count)
        except (GraphError, BrokenEvent) as broken:
            self._tell_broken(row, broken, count=count)
        return (), None

    def _tell_broken(self, row: LogRow, error: Exception, *, count: bool) -> None:
        if count:
            telemetry.FAULTS.labels("trust_event").inc()
            log.error("event_broken", event_id=row.id, event_type=row.type, error_type=type(error).__name__)

    # -- writing ----------------------------------------------------------------------------------------

    def _write(self, unwritten: _Unwritten) -> int:
        """Write the next rows; with the last of them, how far the log has been followed."""
        if unwritten.prepared is None:
            # Once only: what is told is remembered as told.  It is kept where the store is out of reach.
            unwritten.prepared = unwritten.chunks.popleft()() if unwritten.chunks else _Chunk([], [])
        chunk, is_last = unwritten.prepared, not unwritten.chunks

        def write(tx: Tx) -> None:
            self._assert_mine(tx)
            self._on_scores_moved(tx, chunk.moved)
            trust_rows.write_scores(tx, [(str(one.member), *one.now) for one in chunk.moved])
            trust_rows.write_states(tx, chunk.states)
            if is_last:
                for one in unwritten.ignored:
                    self._tell_ignored(tx, one)
                trust_rows.write_mark(tx, unwritten.mark)

        self._store.transact(SYSTEM, write)
        unwritten.prepared = None
        self._leased_at = self._store.clock.now()
        telemetry.SCORES.inc(len(chunk.moved))
        if is_last:
            self._mark, self._unwritten = unwritten.mark, None
        return max(1, len(chunk))

    def _tell_ignored(self, tx: Tx, one: _Ignored) -> None:
        self._journal.tell(
            tx,
            "trust.evidence_ignored",
            one.member_id,
            {"event_id": one.row.id, "member_id": one.member_id},
            detail={"reason": one.reason},
            public=False,
        )


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Put the search for unreachable circles off: reading everybody makes none, and much to search."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _is_epoch_due(tx: Tx, rules: TrustRules) -> bool:
    last = trust_rows.epoch_started_at(tx)
    if last is None:
        # Nothing can have ripened before the network is an epoch old.
        last = trust_rows.first_joined(tx)
    return last is not None and last + rules.epoch <= tx.now


# -- what to write --------------------------------------------------------------------------------------


def _chunks_of_few(tree: TrustTree, touched: Iterable[int]) -> list[Callable[[], _Chunk]]:
    """What a walk along the ways to the roots, and below where conduct has moved, has found."""
    moved = tree.members_only(tree.scores.moved(touched))
    states = tree.states.moved(touched)
    return _chunks(moved, states, list, tree)


def _chunks_of_all(
    tree: TrustTree, arrays: TrustArrays, scores: NDArray[np.int64], states: NDArray[np.int64]
) -> list[Callable[[], _Chunk]]:
    """What a comparison of everybody has found."""
    if campaigns := tree.forest.campaigns():
        scores = np.setdiff1d(scores, campaigns)

    def tell(part: Sequence[int]) -> list[Moved]:
        return tree.scores.tell(np.asarray(part, dtype=np.int64), arrays)

    return _chunks(scores.tolist(), states.tolist(), tell, tree)


def _chunks(
    scores: list[T], states: list[int], tell: Callable[[Sequence[T]], list[Moved]], tree: TrustTree
) -> list[Callable[[], _Chunk]]:
    """Cut rows into transactions; each is prepared when its turn comes."""

    def prepared(start: int) -> _Chunk:
        part = slice(start, start + _ROWS)
        return _Chunk(tell(scores[part]), [tree.state(index) for index in states[part]])

    return [partial(prepared, start) for start in range(0, max(len(scores), len(states)), _ROWS)]


# -- places ---------------------------------------------------------------------------------------------


def _read_members(tx: Tx, tree: TrustTree) -> list[tuple[Any, list[Any]]]:
    """Put everybody into the tree; return the written scores by index."""
    ids: list[str] = []
    inviters: list[str | None] = []
    joined: list[Instant] = []
    kinds: list[str | None] = []
    scores: list[NDArray[np.float32]] = []
    for rows in trust_rows.places(tx):
        columns = list(zip(*rows, strict=True))
        ids += columns[0]
        inviters += [inviter or campaign for inviter, campaign in zip(columns[1], columns[2], strict=True)]
        joined += columns[3]
        kinds += columns[4]
        scores.append(np.array(columns[5:9], dtype=np.float32))  # None becomes NaN: never written
    # After those who came through them: a campaign that is made meanwhile must not be missing.
    tree.add_campaigns(trust_rows.campaign_ids(tx))
    if not ids:
        return []
    indexes = tree.add_many(ids, inviters, joined, kinds)
    return [(indexes, list(np.concatenate(scores, axis=1)))]


def _add(tx: Tx, tree: TrustTree, place: Any) -> int:
    """Add a member, and before it whoever of those above it is not there yet."""
    waiting = [place]
    while (above := waiting[-1].inviter_id) is not None and above not in tree.forest:
        waiting.append(trust_rows.place(tx, above))
    top = waiting[-1]
    if top.campaign_id is not None:
        tree.add_campaigns([top.campaign_id])
    index = -1
    while waiting:
        one = waiting.pop()
        index = tree.add(one.id, one.inviter_id or one.campaign_id, one.joined_at, one.phone_kind)
    return index


def _recorded(tx: Tx, tree: TrustTree, event: TrustEvent) -> Iterable[int]:
    """Record an event; whoever it speaks of and is not in the tree yet is added first.

    Raises:
        GraphError: it must not count, or there is nobody of that name.
    """
    while True:
        try:
            if isinstance(event, PhoneChanged):
                _reread_phone(tx, tree, event.member_id)
            return tree.record(event)
        except UnknownMember as unknown:
            place = trust_rows.place(tx, str(unknown.member))
            if place is None:
                raise
            _add(tx, tree, place)


def _reread_phone(tx: Tx, tree: TrustTree, member_id: str) -> None:
    index = tree.forest.index(member_id)
    place = trust_rows.place(tx, member_id)
    if place is not None:
        tree.set_phone(index, place.phone_kind)
