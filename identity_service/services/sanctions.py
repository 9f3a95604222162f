"""Sanctions: what is done to a member, always with a reason code and an explanation that the member sees.

A member's state is never set by hand: it is what the sanctions in force amount to, computed here and
nowhere else.  Bans come only from here.  (Subtree sanctions and appeals join this module.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, insert, or_, select, update

from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import invites, members, sanctions
from identity_service.errors import Refused, invalid, not_found
from identity_service.ports import Ids, Instant
from identity_service.services.journal import Journal
from identity_service.services.paging import Page, Paging, page_of

_now = bindparam("now_", type_=BigInteger)


class Action(StrEnum):
    WARN = "warn"
    FREEZE_INVITES = "freeze_invites"
    SUSPEND = "suspend"
    BAN = "ban"


_NEW = (
    "id",
    "member_id",
    "action",
    "scope",
    "reason_code",
    "explanation",
    "actor",
    "created_at",
    "expires_at",
)
_ADD = Statement(insert(sanctions).values(binds(_NEW)))
_VIEW = select(
    sanctions.c.id,
    sanctions.c.member_id,
    sanctions.c.action,
    sanctions.c.scope,
    sanctions.c.reason_code,
    sanctions.c.explanation,
    sanctions.c.created_at,
    sanctions.c.expires_at,
    sanctions.c.lifted_at,
    sanctions.c.lift_explanation,
)
_GET = Statement(_VIEW.where(sanctions.c.id == bindparam("id")))
_IN_FORCE = Statement(
    select(sanctions.c.action).where(
        sanctions.c.member_id == bindparam("member"),
        sanctions.c.lifted_at.is_(None),
        or_(sanctions.c.expires_at.is_(None), sanctions.c.expires_at > _now),
    )
)
# Takes the member's row first, so that two sanctions on one member queue here.
_LOCK = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values(invites_frozen=members.c.invites_frozen)
    .returning(members.c.state)
)
_SET = Statement(
    update(members)
    .where(members.c.id == bindparam("member"), members.c.state != "erased")
    .values(state=bindparam("state_"), invites_frozen=bindparam("frozen"), review_at=0)
    .returning(members.c.inviter_id)
)
# What becomes of invitees is a condition of the inviter's level.
_LOOK_AT_INVITER = Statement(update(members).where(members.c.id == bindparam("member")).values(review_at=0))
_LIFT = Statement(
    update(sanctions)
    .where(sanctions.c.id == bindparam("id_"), sanctions.c.lifted_at.is_(None))
    .values(lifted_at=_now, lift_explanation=bindparam("explanation_"), lift_actor=bindparam("by"))
    .returning(sanctions.c.member_id)
)
_ENDED = Statement(
    select(sanctions.c.id)
    .where(sanctions.c.lifted_at.is_(None), sanctions.c.expires_at <= _now)
    .limit(bindparam("limit"))
)
_OPEN_INVITES = Statement(
    select(func.count().label("n")).where(
        invites.c.issuer_id == bindparam("member"), invites.c.state == "open", invites.c.expires_at > _now
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Impose:
    member_id: str
    action: Action
    reason_code: str
    explanation: str
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SanctionView:
    id: str
    member_id: str
    action: str
    scope: str
    reason_code: str
    explanation: str
    state: str
    created_at: Instant
    expires_at: Instant | None
    lifted_at: Instant | None
    lift_explanation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a sanction would do, asked with `dry_run`; nothing was changed."""

    member_id: str
    state_now: str
    state_after: str
    invites_frozen_after: bool
    open_invites_stopped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    member_id: str
    state: str
    sanctions: tuple[SanctionView, ...]


class Sanctions:
    def __init__(self, *, ids: Ids, journal: Journal) -> None:
        self._ids, self._journal = ids, journal

    def impose(self, tx: Tx, wanted: Impose) -> SanctionView:
        """Impose a sanction on one member.

        Raises:
            Refused: `not_found`, `validation_failed`, `member_erased`.
        """
        self._check(tx, wanted)
        sanction_id = self._ids.new("san")
        tx.run(
            _ADD,
            id=sanction_id,
            member_id=wanted.member_id,
            action=wanted.action.value,
            scope="member",
            reason_code=wanted.reason_code,
            explanation=wanted.explanation,
            actor=tx.actor.name,
            created_at=tx.now,
            expires_at=wanted.expires_at,
        )
        state = self._settle(tx, wanted.member_id)
        self._journal.tell(
            tx,
            "sanction.imposed",
            sanction_id,
            {
                "sanction_id": sanction_id,
                "member_id": wanted.member_id,
                "action": wanted.action.value,
                "reason_code": wanted.reason_code,
                "member_state": state,
            },
            detail={"explanation": wanted.explanation},
        )
        return self.get(tx, sanction_id)

    def preview(self, tx: Tx, wanted: Impose) -> Preview:
        """Tell what `impose` would do, and change nothing."""
        now_state = self._check(tx, wanted)
        actions = [row.action for row in tx.all(_IN_FORCE, member=wanted.member_id, now_=tx.now)]
        after, frozen = _amounts_to([*actions, wanted.action.value])
        stops = (after, bool(frozen)) != _amounts_to(actions) and (after != "active" or frozen > 0)
        return Preview(
            member_id=wanted.member_id,
            state_now=now_state,
            state_after=after,
            invites_frozen_after=bool(frozen),
            open_invites_stopped=tx.one(_OPEN_INVITES, member=wanted.member_id, now_=tx.now).n
            if stops
            else 0,
        )

    def _check(self, tx: Tx, wanted: Impose) -> str:
        row = tx.one(_LOCK, member=wanted.member_id)
        if row is None:
            raise not_found("member")
        if row.state == "erased":
            raise Refused("member_erased", "An erased member cannot be sanctioned.")
        if wanted.expires_at is not None and wanted.expires_at <= tx.now:
            raise invalid("/expires_at", "in_the_past", "A sanction ends in the future.")
        return str(row.state)

    def lift(self, tx: Tx, sanction_id: str, explanation: str) -> SanctionView:
        """End a sanction; ending it again changes nothing.

        Raises:
            Refused: `not_found`.
        """
        row = tx.one(_LIFT, id_=sanction_id, explanation_=explanation, by=tx.actor.name, now_=tx.now)
        if row is not None:
            state = self._settle(tx, row.member_id)
            self._journal.tell(
                tx,
                "sanction.lifted",
                sanction_id,
                {"sanction_id": sanction_id, "member_id": row.member_id, "member_state": state},
                detail={"explanation": explanation},
            )
        return self.get(tx, sanction_id)

    def sweep(self, tx: Tx, limit: int = 100) -> int:
        """Lift the sanctions whose time is over; return how many."""
        rows = tx.all(_ENDED, now_=tx.now, limit=limit)
        for row in rows:
            self.lift(tx, row.id, "its time was over")
        return len(rows)

    def _settle(self, tx: Tx, member_id: str) -> str:
        """Set the member's state to what the sanctions in force amount to; return it."""
        before = tx.one(_LOCK, member=member_id)
        actions = [row.action for row in tx.all(_IN_FORCE, member=member_id, now_=tx.now)]
        state, frozen = _amounts_to(actions)
        row = tx.one(_SET, member=member_id, state_=state, frozen=frozen)
        if row is not None and row.inviter_id is not None and "banned" in {before.state, state}:
            tx.run(_LOOK_AT_INVITER, member=row.inviter_id)
        return state

    def get(self, tx: Tx, sanction_id: str) -> SanctionView:
        row = tx.one(_GET, id=sanction_id)
        if row is None:
            raise not_found("sanction")
        return _view(row, tx.now)

    def page(self, tx: Tx, member_id: str, paging: Paging) -> Page[SanctionView]:
        query = _VIEW.where(sanctions.c.member_id == member_id)
        rows = tx.select(paging.apply(query, sanctions.c.id, newest_first=True))
        return page_of([_view(row, tx.now) for row in rows], paging)

    def standing(self, tx: Tx, member_id: str) -> Standing:
        """Tell a member what it may know: its state, and each sanction with reason and explanation."""
        rows = tx.select(select(members.c.state).where(members.c.id == member_id))
        if not rows:
            raise not_found("member")
        told = tx.select(_VIEW.where(sanctions.c.member_id == member_id).order_by(sanctions.c.id.desc()))
        return Standing(
            member_id=member_id, state=rows[0].state, sanctions=tuple(_view(row, tx.now) for row in told)
        )


def _amounts_to(actions: list[str]) -> tuple[str, int]:
    """Return (state, how many freezes) of the sanctions in force."""
    frozen = actions.count(Action.FREEZE_INVITES)
    if Action.BAN in actions:
        return "banned", frozen
    if Action.SUSPEND in actions:
        return "suspended", frozen
    return "active", frozen


def _view(row: Any, now: Instant) -> SanctionView:
    over = row.expires_at is not None and row.expires_at <= now
    return SanctionView(
        id=row.id,
        member_id=row.member_id,
        action=row.action,
        scope=row.scope,
        reason_code=row.reason_code,
        explanation=row.explanation,
        state="lifted" if row.lifted_at else "ended" if over else "in_force",
        created_at=row.created_at,
        expires_at=row.expires_at,
        lifted_at=row.lifted_at,
        lift_explanation=row.lift_explanation,
    )
