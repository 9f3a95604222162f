"""Granting quota to many: by ids, by file, by filter; each member gets a result of its own."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select

from identity_service.db.store import Tx
from identity_service.db.tables import campaigns, members
from identity_service.errors import Refused, invalid
from identity_service.policy.where import Condition, WhereInvalid, parse_where
from identity_service.ports import DAY, Instant
from identity_service.services.quota import Grant, Granted, QuotaLedger

MAX_AMOUNT: Final = 1_000_000
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantMany:
    """Exactly one of `member_ids` and `where`."""

    amount: int
    reason: str
    member_ids: tuple[str, ...] | None = None
    where: str | None = None
    batch_id: str | None = None
    expires_at: Instant | None = None


class Grants:
    def __init__(self, *, quota: QuotaLedger) -> None:
        self._quota = quota

    def targets(self, tx: Tx, wanted: GrantMany, *, most: int | None = None) -> tuple[str, ...]:
        """Return whom a grant is for; of a filter no more than `most`.

        Raises:
            Refused: `validation_failed`.
        """
        if (wanted.member_ids is None) == (wanted.where is None):
            raise invalid(
                "/member_ids", "one_of_members_and_filter", "Give exactly one of member_ids and filter."
            )
        if wanted.member_ids is not None:
            return tuple(dict.fromkeys(wanted.member_ids))
        assert wanted.where is not None
        return self.matching(tx, wanted.where, most=most)

    def matching(self, tx: Tx, where: str, *, most: int | None = None) -> tuple[str, ...]:
        """Return the members that a filter names, the erased left out, in the order in which they joined."""
        try:
            conditions = parse_where(where)
        except WhereInvalid as error:
            raise invalid("/filter", "filter_invalid", str(error)) from None
        query = select(members.c.id).where(members.c.state != "erased")
        query = query.where(*(_sql(condition, tx.now) for condition in conditions)).order_by(members.c.id)
        return tuple(row.id for row in tx.select(query.limit(most)))

    def grant_one(self, tx: Tx, member_id: str, wanted: GrantMany) -> Granted:
        return self._quota.grant(
            tx,
            Grant(
                member_id=member_id,
                amount=wanted.amount,
                reason=wanted.reason,
                batch_id=wanted.batch_id,
                expires_at=wanted.expires_at,
            ),
        )

    def grant(self, tx: Tx, wanted: GrantMany) -> Sequence[Granted]:
        """Grant to every target in this transaction; a member that cannot have it has its own refusal."""
        self.check(tx, wanted)
        targets = self.targets(tx, wanted)
        # Rows are taken in one order, whatever order was asked for: two grants at once never deadlock.
        results = {member_id: self.grant_one(tx, member_id, wanted) for member_id in sorted(targets)}
        return [results[member_id] for member_id in targets]

    def preview(self, tx: Tx, wanted: GrantMany) -> Sequence[Granted]:
        """Tell what `grant` would do.  The work is really done and then undone, so that it cannot differ."""
        results: list[Granted] = []
        try:
            with tx.savepoint():
                results.extend(self.grant(tx, wanted))
                raise _Undo  # noqa: TRY301 - the savepoint is left by an exception
        except _Undo:
            return results

    def check(self, tx: Tx, wanted: GrantMany) -> None:
        if not 1 <= wanted.amount <= MAX_AMOUNT:
            raise invalid("/amount", "out_of_range", f"amount must be 1 to {MAX_AMOUNT}.")
        if wanted.expires_at is not None and wanted.expires_at <= tx.now:
            raise invalid("/expires_at", "in_the_past", "A grant expires in the future.")


class _Undo(Refused):
    def __init__(self) -> None:
        super().__init__("undo", "a dry run")


def _sql(condition: Condition, now: Instant) -> ColumnElement[bool]:
    compare = _COMPARE[condition.operator]
    value: Any = condition.value
    match condition.field:
        case "country":
            return compare(members.c.country, value)  # type: ignore[no-any-return]
        case "age_days":
            return compare(now - members.c.joined_at, int(value * DAY))  # type: ignore[no-any-return]
        case "generation":
            return compare(members.c.generation, value)  # type: ignore[no-any-return]
        case "level":
            return compare(members.c.level, value)  # type: ignore[no-any-return]
        case "score":
            return _score(condition.operator, value)
        case "available":
            return compare(members.c.quota_available, value)  # type: ignore[no-any-return]
        case "state":
            return compare(members.c.state, value)  # type: ignore[no-any-return]
        case "invitees":
            child = members.alias("child")
            count = select(func.count()).where(child.c.inviter_id == members.c.id).scalar_subquery()
            return compare(count, value)  # type: ignore[no-any-return]
        case "campaign":
            named = select(campaigns.c.id).where(campaigns.c.name == value).scalar_subquery()
            if condition.operator == "=":
                return members.c.campaign_id == named
            return and_(func.coalesce(members.c.campaign_id, "") != func.coalesce(named, "-"))
        case other:
            raise AssertionError(f"no SQL for the field {other}")


def _score(compare: str, score: float) -> ColumnElement[bool]:
    """Compare in log-odds, where the store has an index to use and no exponential to compute."""
    if score <= 0:
        bound = -math.inf
    elif score >= 1:
        bound = math.inf
    else:
        bound = math.log(score / (1 - score))
    bound = max(min(bound, 1e6), -1e6)
    return and_(members.c.trust_log_odds.is_not(None), _COMPARE[compare](members.c.trust_log_odds, bound))
