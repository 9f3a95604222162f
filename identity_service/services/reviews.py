"""Reviews: a member's level and what a period earns, settled at the instants at which they can change.

Nobody walks over all members.  Each has a `review_at`, the earliest instant at which time alone can change
something; whatever else may change it (a sanction, a score that crosses a threshold, a member who shows up
again, another policy) makes the member due.  A worker takes due members in small batches, steps over those
that another worker has, and settles each by one guarded statement: a period is paid once, whatever crashes.

Counts of invitees are read at each review: a level for which only they were missing comes at the next one, at
the latest when the next period begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, bindparam, select, update

from identity_service.db.store import Statement, Tx, insert_if_new, per_dialect
from identity_service.db.tables import marks, members
from identity_service.policy.levels import MemberFacts, Placement
from identity_service.ports import HOUR, Instant
from identity_service.services.eligibility import FACTS_OF, Eligibility
from identity_service.services.journal import Journal
from identity_service.services.policy_book import PolicyBook
from identity_service.services.quota import Earned, QuotaLedger

BATCH: Final = 100
"""So many members a transaction: SQLite's other writers wait for a few hundredths of a second."""
SPREAD: Final = 1_000
"""So many members are made due at once after a change of policy."""
_AT_ONCE: Final = 0
"""The `review_at` of whoever is to be looked at now."""
_MARK: Final = "reviews.policy"
_AGAIN: Final = HOUR
"""So often, at most, everybody is made due for one policy of the settings: while two releases run beside each
other, each with its own, neither undoes for ever what the other has spread."""
_now = bindparam("now_", type_=BigInteger)
# Claimed first and read afterwards: the facts of a member are those of a moment at which its row is ours.
_due = (
    select(members.c.id)
    .where(members.c.review_at <= _now)
    .order_by(members.c.review_at)
    .limit(bindparam("limit"))
)
_DUE = Statement(_due, postgresql=_due.with_for_update(skip_locked=True, key_share=True))
_ANY_DUE = Statement(select(members.c.id).where(members.c.review_at <= _now).limit(1))
# Of two that look at one member, the second finds another `review_at`.
_SETTLE = Statement(
    update(members)
    .where(members.c.id == bindparam("member"), members.c.review_at == bindparam("seen_at"))
    .values(
        level=bindparam("level_"),
        level_since=bindparam("since"),
        earn_from=bindparam("earn_from_"),
        review_at=bindparam("next_at"),
    )
)
_LOOK_AT = Statement(update(members).where(members.c.id == bindparam("member")).values(review_at=_AT_ONCE))
_LATER = Statement(
    update(members).where(members.c.id == bindparam("member")).values(review_at=bindparam("next_at"))
)
_NEXT = Statement(
    select(members.c.id)
    .where(members.c.id > bindparam("after"))
    .order_by(members.c.id)
    .limit(bindparam("limit"))
)
_LOOK_AT_ALL = Statement(
    update(members)
    .where(members.c.id > bindparam("after"), members.c.id <= bindparam("until"))
    .values(review_at=_AT_ONCE)
)
_HOW_FAR = Statement(select(marks.c.value, marks.c.text).where(marks.c.name == _MARK))
_BEGIN = insert_if_new(marks, ("name", "value", "text"))
_GO_ON = Statement(
    update(marks)
    .where(marks.c.name == _MARK, marks.c.text == bindparam("seen"))
    .values(value=bindparam("value_"), text=bindparam("text_"))
)
_TURN = Statement(select(marks.c.value).where(marks.c.name == bindparam("turn")))
_TAKE_TURN = per_dialect(
    lambda insert: (
        insert(marks)
        .values(name=bindparam("turn"), value=_now)
        .on_conflict_do_update(index_elements=[marks.c.name], set_={"value": _now})
    )
)


class ScoreMoved(Protocol):
    """A member's scores (L, conduct, standing, what the inviter adds) as they were written and will be."""

    @property
    def member(self) -> Any: ...
    @property
    def before(self) -> Sequence[float]: ...
    @property
    def now(self) -> Sequence[float]: ...


class Reviews:
    def __init__(
        self, *, policies: PolicyBook, eligibility: Eligibility, quota: QuotaLedger, journal: Journal
    ) -> None:
        self._policies, self._eligibility = policies, eligibility
        self._quota, self._journal = quota, journal

    def is_due(self, tx: Tx) -> bool:
        """Whether there is anything to do: a few look-ups by an index, however many members there are."""
        if not self._policies.edition(tx).readable:
            return False
        return tx.one(_ANY_DUE, now_=tx.now) is not None or self._unspread(tx) is not None

    def step(self, tx: Tx, limit: int = BATCH) -> int:
        """Settle due members, or spread a change of policy a little further; return how many members.

        A policy that this release cannot read is left to the processes that can: judged by the one before
        it, members would count as looked at.
        """
        if not self._policies.edition(tx).readable:
            return 0
        rows = tx.all(_DUE, now_=tx.now, limit=limit)
        for row in rows:
            self._review(tx, tx.one(FACTS_OF, member=row.id))
        return len(rows) or self._spread(tx)

    def set_aside(self, tx: Tx) -> int:
        """Look at the first due member an hour later: it could not be settled, and others wait behind it."""
        rows = tx.all(_DUE, now_=tx.now, limit=1)
        return sum(tx.run(_LATER, member=row.id, next_at=tx.now + HOUR) for row in rows)

    def on_scores_moved(self, tx: Tx, moved: Iterable[ScoreMoved]) -> None:
        """Make those due whose scores cross a threshold of the policy; called by what writes the scores."""
        ladder = self._policies.of(tx).ladder
        due = sorted(str(one.member) for one in moved if ladder.crosses(one.before, one.now))
        tx.run_many(_LOOK_AT, [{"member": member} for member in due])  # in one order: no deadlock

    # -- one member -------------------------------------------------------------------------------------

    def _review(self, tx: Tx, row: Any) -> None:
        if row.state == "erased":
            self._settle(tx, row, row.level, row.level_since, row.earn_from, None)
            return
        ladder = self._policies.of(tx).ladder
        facts = self._eligibility.member(tx, row)
        placed = ladder.place(facts, tx.now)
        if placed.level.name != facts.level:
            facts = replace(facts, level=placed.level.name, level_since=tx.now)
        if row.quota_earned:
            facts = replace(facts, earned=self._quota.unspent(tx, row.id).earned)
        period_at = self._period(tx, row, facts)
        amount = 0 if period_at is None else ladder.earns(facts, tx.now)
        if period_at is not None:
            facts = replace(facts, earn_from=ladder.next_period(facts.earn_from, tx.now))
        next_at = ladder.next_change(facts, tx.now)
        if not self._settle(tx, row, facts.level, facts.level_since, facts.earn_from, next_at):
            return
        if facts.level != row.level:
            self._tell_level(tx, row, placed)
        if period_at is not None and amount:
            self._earn(tx, row.id, amount, period_at, facts.level)

    def _period(self, tx: Tx, row: Any, facts: MemberFacts) -> Instant | None:
        """Return the beginning of the period that is to be paid now, or None where none is."""
        if row.state != "active" or row.invites_frozen:
            return None
        if not self._policies.of(tx).ladder.period_is_due(facts, tx.now):
            return None
        return tx.now if facts.earn_from is None else facts.earn_from

    def _settle(
        self,
        tx: Tx,
        row: Any,
        level: str,
        since: Instant | None,
        earn_from: Instant | None,
        next_at: Instant | None,
    ) -> bool:
        return bool(
            tx.run(
                _SETTLE,
                member=row.id,
                seen_at=row.review_at,
                level_=level,
                since=since,
                earn_from_=earn_from,
                next_at=next_at,
            )
        )

    def _tell_level(self, tx: Tx, row: Any, placed: Placement) -> None:
        told = {
            "member_id": row.id,
            "before": row.level,
            "after": placed.level.name,
            "cause": placed.cause,
            "policy_version": self._policies.of(tx).version,
        }
        self._journal.tell(tx, "member.level_changed", row.id, told)

    def _earn(self, tx: Tx, member_id: str, amount: int, period_at: Instant, level: str) -> None:
        policy = self._policies.of(tx)
        earned = Earned(
            member_id=member_id,
            amount=amount,
            period_at=period_at,
            expires_at=tx.now + policy.earning.expires_in,
            reason=f"the allowance of the level {level} by the policy {policy.version}",
        )
        self._quota.earn(tx, earned)

    # -- a change of policy -------------------------------------------------------------------------------

    def _unspread(self, tx: Tx) -> tuple[str | None, str] | None:
        """Return (what the mark says, the member up to which everybody was made due) while that goes on."""
        row = tx.one(_HOW_FAR)
        if row is None:
            return None, ""
        label, _, after = row.text.partition(" ")
        if label == self._label(tx):
            return None if row.value else (row.text, after)
        number, spread = self._policies.edition(tx).number, int(label.partition(".")[0])
        # Numbers in force only grow: a smaller one than the mark's is a process that lags behind.
        if number > spread or (number == spread == 0 and self._has_turn(tx)):
            return row.text, ""
        return None

    def _has_turn(self, tx: Tx) -> bool:
        row = tx.one(_TURN, turn=self._turn(tx))
        return row is None or bool(row.value <= tx.now - _AGAIN)

    def _turn(self, tx: Tx) -> str:
        """The mark that says when this policy of the settings was last spread."""
        return f"{_MARK}.{self._label(tx)}"

    def _label(self, tx: Tx) -> str:
        edition = self._policies.edition(tx)
        return f"{edition.number}.{edition.sha256.hex()[:16]}"

    def _spread(self, tx: Tx) -> int:
        """Make the next members due where another policy has come into force since all were."""
        left = self._unspread(tx)
        if left is None:
            return 0
        seen, after = left
        label = self._label(tx)
        if seen is None:  # a new store: whoever joins is due from the first moment
            return tx.run(_BEGIN, name=_MARK, value=1, text=f"{label} ")
        found = tx.all(_NEXT, after=after, limit=SPREAD)
        until = found[-1].id if found else after
        if not tx.run(_GO_ON, seen=seen, value_=int(not found), text_=f"{label} {until}"):
            return 0  # another worker is at it
        if not after:
            tx.run(_TAKE_TURN, turn=self._turn(tx), now_=tx.now)
        if found:
            tx.run(_LOOK_AT_ALL, after=after, until=until)
        return max(1, len(found))
