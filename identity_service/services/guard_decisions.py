"""The guard's decisions: each made once with its reasons, in force for a unit, listed, ended, reversible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, delete, func, select, update

from identity_service.crypto import Seal, SealBroken
from identity_service.db.store import Statement, Tx, binds, insert_if_new, per_dialect
from identity_service.db.tables import guard_decisions, guard_units
from identity_service.errors import not_found
from identity_service.ports import Ids, Instant
from identity_service.services.journal import Journal
from identity_service.services.paging import Page, Paging, page_of
from sms.guard import Ended, Finding, Standing

MOST_KEYS: Final = 8
_units, _made = guard_units.c, guard_decisions.c
_now = bindparam("now_", type_=BigInteger)
_FIND = Statement(
    select(_units.unit_key, _units.mode, _units.grade, _units.until, _units.evidence_from).where(
        _units.unit_key.in_([bindparam(f"key_{n}") for n in range(MOST_KEYS)])
    )
)
_MAKE = insert_if_new(  # one in force a unit: the index decides between two that find the same at once
    guard_decisions,
    (
        "id",
        "unit",
        "unit_key",
        "sealed_name",
        "country",
        "answer",
        "grade",
        "reasons",
        "actor",
        "at",
        "until",
    ),
)


def _put(new: Any) -> Any:
    """Put a unit's standing.  A judgement overrides neither an operator nor a block that still runs."""
    names = ("unit_key", "mode", "grade", "until", "evidence_from", "decision_id")
    row = new(guard_units).values(binds(names))
    by_hand = row.excluded.mode != "judged"
    ended = (guard_units.c.mode == "judged") & (guard_units.c.until <= _now)
    return row.on_conflict_do_update(
        index_elements=["unit_key"],
        set_={name: row.excluded[name] for name in names if name not in ("unit_key", "evidence_from")},
        where=by_hand | ended,
    )


_PUT = per_dialect(_put)
_IN_FORCE = Statement(select(_made.id).where(_made.unit_key == bindparam("key"), _made.ended_at.is_(None)))
_END = Statement(
    update(guard_decisions)
    .where(_made.id == bindparam("decision"), _made.ended_at.is_(None))
    .values(ended_at=_now, ended=bindparam("how"), end_actor=bindparam("by"), end_reason=bindparam("why"))
    .returning(_made.unit_key)
)
_FREE = Statement(
    update(guard_units)
    .where(_units.unit_key == bindparam("key"))
    .values(mode="judged", grade=0, until=_now, evidence_from=bindparam("from_"), decision_id=None)
)
_STALE = Statement(
    select(_units.unit_key, _units.decision_id)
    .where(_units.until < bindparam("before", type_=BigInteger), _units.mode == "judged")
    .order_by(_units.until)
    .limit(bindparam("limit"))
)
_DROP = Statement(
    delete(guard_units).where(
        _units.unit_key == bindparam("key"),
        _units.mode == "judged",
        _units.until < bindparam("before", type_=BigInteger),
    )
)
_COUNT = Statement(
    select(_made.unit, func.count().label("n")).where(_made.ended_at.is_(None)).group_by(_made.unit)
)
_VIEW = select(guard_decisions)
_GET = Statement(_VIEW.where(_made.id == bindparam("id")))
GUARD: Final = "guard"
"""Who decided, where no operator did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a decision is about."""

    unit: str
    key: str
    name: str
    """The beginning of a number, a member's or phone's id, a country: sealed where it is kept."""
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """A decision as an operator sees it."""

    id: str
    unit: str
    name: str
    country: str | None
    answer: str
    grade: int
    reasons: list[dict[str, Any]]
    actor: str
    at: Instant
    until: Instant | None
    state: str
    ended_at: Instant | None
    end_actor: str | None
    end_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force for a unit."""

    mode: str
    standing: Standing | None
    evidence_from: Instant


class GuardDecisions:
    def __init__(self, *, ids: Ids, seal: Seal, journal: Journal) -> None:
        self._ids, self._seal, self._journal = ids, seal, journal

    def in_force(self, tx: Tx, keys: Sequence[str]) -> dict[str, InForce]:
        """Return what is in force for these units, by key."""
        given = [*keys, *[keys[0]] * (MOST_KEYS - len(keys))]
        rows = tx.all(_FIND, **{f"key_{n}": key for n, key in enumerate(given)})
        return {
            row.unit_key: InForce(
                mode=row.mode,
                standing=Standing(grade=row.grade, until=row.until) if row.grade else None,
                evidence_from=row.evidence_from,
            )
            for row in rows
        }

    def block(
        self, tx: Tx, subject: Subject, standing: Standing, findings: Sequence[Finding], *, monitored: bool
    ) -> None:
        """Block a unit for the reasons found; of two who find the same at once, one decides."""
        reasons = [asdict(found) | {"answer": found.answer.name.lower()} for found in findings]
        answer = "monitor" if monitored else "block"
        self._decide(tx, subject, answer, "judged", standing, reasons, GUARD)

    def set(self, tx: Tx, subject: Subject, mode: str, reason: str) -> str:
        """Let an operator allow or block a unit until it is released."""
        return self._decide(
            tx, subject, mode, mode, Standing(grade=0, until=tx.now), [{"detail": reason}], tx.actor.name
        )

    def _decide(
        self,
        tx: Tx,
        subject: Subject,
        answer: str,
        mode: str,
        standing: Standing,
        reasons: list[dict[str, Any]],
        actor: str,
    ) -> str:
        for row in tx.all(_IN_FORCE, key=subject.key):
            tx.run(_END, decision=row.id, how=Ended.ESCALATED, by=actor, why=None, now_=tx.now)
        decision_id = self._ids.new("gdn")
        made = tx.run(
            _MAKE,
            id=decision_id,
            unit=subject.unit,
            unit_key=subject.key,
            sealed_name=self._seal.close(subject.name.encode(), decision_id),
            country=subject.country,
            answer=answer,
            grade=standing.grade,
            reasons=json.dumps(reasons),
            actor=actor,
            at=tx.now,
            until=standing.until if mode == "judged" else None,
        )
        if not made:
            return decision_id
        tx.run(
            _PUT,
            unit_key=subject.key,
            mode=mode,
            grade=standing.grade,
            until=standing.until,
            evidence_from=0,
            decision_id=decision_id,
            now_=tx.now,
        )
        self._tell(tx, "guard.decided", decision_id, unit=subject.unit, answer=answer, grade=standing.grade)
        return decision_id

    def heal(self, tx: Tx, key: str, since: Instant) -> None:
        """A unit has answered often enough: what was before its block is forgotten."""
        tx.run(_FREE, key=key, from_=since, now_=tx.now)
        for row in tx.all(_IN_FORCE, key=key):
            self._end(tx, row.id, Ended.HEALED, GUARD, None)

    def release(self, tx: Tx, decision_id: str, reason: str) -> DecisionView:
        """Undo a decision; the evidence of before does not count any more.  Again changes nothing.

        Raises:
            Refused: `not_found`.
        """
        row = tx.one(_GET, id=decision_id)
        if row is None:
            raise not_found("decision")
        if row.ended_at is None:
            self._free(tx, row.id, Ended.RELEASED, tx.actor.name, reason, tx.now)
        return self.get(tx, decision_id)

    def _free(self, tx: Tx, decision_id: str, how: Ended, by: str, why: str | None, since: Instant) -> None:
        key = self._end(tx, decision_id, how, by, why)
        if key is not None:
            tx.run(_FREE, key=key, from_=since, now_=tx.now)

    def _end(self, tx: Tx, decision_id: str, how: Ended, by: str, why: str | None) -> str | None:
        row = tx.one(_END, decision=decision_id, how=how, by=by, why=why, now_=tx.now)
        if row is None:
            return None
        self._tell(tx, f"guard.{how}", decision_id, reason=why)
        return str(row.unit_key)

    def sweep(self, tx: Tx, before: Instant, limit: int = 200) -> int:
        """Forget units whose last block ended before an instant; nothing remembers it any more."""
        rows = tx.all(_STALE, before=before, limit=limit)
        for row in rows:
            if tx.run(_DROP, key=row.unit_key, before=before) and row.decision_id is not None:
                self._end(tx, row.decision_id, Ended.FORGOTTEN, GUARD, None)
        return len(rows)

    # -- for operators --------------------------------------------------------------------------------

    def counts(self, tx: Tx) -> dict[str, int]:
        """Return how many decisions are in force, by unit."""
        return {row.unit: row.n for row in tx.all(_COUNT)}

    def get(self, tx: Tx, decision_id: str) -> DecisionView:
        row = tx.one(_GET, id=decision_id)
        if row is None:
            raise not_found("decision")
        return self._view(row, tx.now)

    def page(
        self, tx: Tx, paging: Paging, *, in_force: bool = False, country: str | None = None
    ) -> Page[DecisionView]:
        """List decisions, newest first."""
        query = _VIEW
        if in_force:
            query = query.where(_made.ended_at.is_(None))
        if country is not None:
            query = query.where(_made.country == country)
        rows = tx.select(paging.apply(query, _made.id, newest_first=True))
        return page_of([self._view(row, tx.now) for row in rows], paging)

    def _view(self, row: Any, now: Instant) -> DecisionView:
        state = row.ended or "in_force"
        if row.ended is None and row.until is not None and row.until <= now:
            state = "probation"
        return DecisionView(
            id=row.id,
            unit=row.unit,
            name=self._name(row),
            country=row.country,
            answer=row.answer,
            grade=row.grade,
            reasons=json.loads(row.reasons),
            actor=row.actor,
            at=row.at,
            until=row.until,
            state=state,
            ended_at=row.ended_at,
            end_actor=row.end_actor,
            end_reason=row.end_reason,
        )

    def _name(self, row: Any) -> str:
        try:
            return self._seal.open(bytes(row.sealed_name), row.id).decode()
        except SealBroken:
            return "?"

    def _tell(self, tx: Tx, kind: str, decision_id: str, **detail: Any) -> None:
        self._journal.tell(tx, kind, decision_id, {"decision_id": decision_id}, detail=detail, public=False)
