"""Invite codes: read as people type them, found, and judged: may this phone redeem this code now?

All refusals look alike to a caller; only the audit is told which it was.  How the uses are counted is
`holds.py`'s, who may issue `invites.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, or_, select, update

from identity_service.codes import CodeMalformed, CodeMistyped, InviteCode, read_code
from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import campaigns, invites, members
from identity_service.errors import FieldError, Refused
from identity_service.policy.inviting import may_still_vouch
from identity_service.ports import Instant
from identity_service.services import budgets
from identity_service.services.journal import Journal
from identity_service.services.policy_book import PolicyBook

NOT_REDEEMABLE: Final = "invite_not_redeemable"
_now = bindparam("now_", type_=BigInteger)
_by_code = (
    select(
        invites.c.id,
        invites.c.channel,
        invites.c.phone_id,
        invites.c.state,
        invites.c.max_uses,
        invites.c.uses,
        invites.c.held,
        invites.c.starts,
        invites.c.expires_at,
        invites.c.last_sent_at,
        invites.c.issuer_id,
        invites.c.campaign_id,
        members.c.state.label("issuer_state"),
        members.c.invites_frozen.label("issuer_frozen"),
        members.c.generation.label("issuer_generation"),
        campaigns.c.name.label("campaign"),
    )
    .select_from(invites)
    .outerjoin(campaigns, campaigns.c.id == invites.c.campaign_id)
    .outerjoin(members, members.c.id == invites.c.issuer_id)
)
_BY_CODE = Statement(
    _by_code.where(
        or_(invites.c.code_hash == bindparam("now_hash"), invites.c.code_hash == bindparam("old_hash"))
    )
)
_OPENED = Statement(
    update(invites)
    .where(
        or_(invites.c.code_hash == bindparam("now_hash"), invites.c.code_hash == bindparam("old_hash")),
        invites.c.state == "open",
        invites.c.opened_at.is_(None),
    )
    .values(opened_at=_now, moved_at=_now)
    .returning(invites.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    redeemable: bool
    channel: str | None
    phone_required: bool


def refuse_code(*, typo: bool = False, keeps_effect: bool = False, pointer: str = "/invite_code") -> Refused:
    """The one refusal for every code that cannot be redeemed; only a typing error says more."""
    errors: tuple[FieldError, ...] = ()
    if typo:
        detail = "The check symbol does not fit: a symbol was mistyped or two were swapped."
        errors = (FieldError(pointer=pointer, code="typo", detail=detail),)
    return Refused(
        NOT_REDEEMABLE, "This invite code cannot be redeemed.", errors=errors, keeps_effect=keeps_effect
    )


class InviteCodes:
    def __init__(self, *, policies: PolicyBook, hasher: Hasher, journal: Journal) -> None:
        self._policies, self._hasher, self._journal = policies, hasher, journal

    def read(self, text: str, pointer: str = "/invite_code") -> InviteCode:
        """Read a code; a typing error is told and costs nothing.

        Raises:
            Refused: `invite_not_redeemable`.
        """
        try:
            return read_code(text)
        except CodeMistyped:
            raise refuse_code(typo=True, pointer=pointer) from None
        except CodeMalformed:
            raise refuse_code() from None

    def find(self, tx: Tx, code: InviteCode) -> Any | None:
        """Return the row behind a code, or None.  Says nothing about whether it may be used."""
        now_hash, old_hash = self._hasher.live("invite", code.canonical)
        return tx.one(_BY_CODE, now_hash=now_hash, old_hash=old_hash)

    def redeemable(self, tx: Tx, code: InviteCode, phone_id: str | None) -> Any:
        """Return the invite behind a code if this phone may redeem it now.

        All refusals look alike to the caller.  The audit is told which it was, where the code exists; an
        unknown code counts as a miss of the client.

        Raises:
            Refused: `invite_not_redeemable`, `miss_budget_spent`.
        """
        row = self.find(tx, code)
        if row is None:
            self.count_miss(tx)
            raise refuse_code(keeps_effect=True)
        why = _why_not(row, phone_id, tx.now)
        if why is not None:
            self._journal.tell(
                tx, "invite.refused", row.id, {"invite_id": row.id}, detail={"why": why}, public=False
            )
            raise refuse_code(keeps_effect=True)
        return row

    def count_miss(self, tx: Tx) -> None:
        if tx.actor.client_id is not None:
            budgets.take(
                tx,
                budgets.Budget(
                    lane="invite.miss",
                    subject=tx.actor.client_id,
                    rate=self._policies.of(tx).miss_rate,
                    code="miss_budget_spent",
                    detail="This client has asked for too many unknown invite codes.",
                ),
            )

    def lookup(self, tx: Tx, row: Any | None) -> Lookup:
        """Tell whether a code would do, and what else is needed; the same for every code that will not."""
        if (
            row is None
            or _why_not(row, row.phone_id, tx.now) is not None
            or row.uses + row.held >= row.max_uses
            # A link leads through a verification; an SMS invite's code does without.
            or (row.channel == "link" and row.starts >= 3 + 2 * row.max_uses)
        ):
            return Lookup(redeemable=False, channel=None, phone_required=False)
        return Lookup(redeemable=True, channel=row.channel, phone_required=row.channel == "sms")

    def opened(self, tx: Tx, code: InviteCode) -> None:
        """Note that the invitee opened the link (the page's beacon); the first time counts."""
        now_hash, old_hash = self._hasher.live("invite", code.canonical)
        row = tx.one(_OPENED, now_hash=now_hash, old_hash=old_hash, now_=tx.now)
        if row is not None:
            self._journal.tell(tx, "invite.opened", row.id, {"invite_id": row.id})


def _why_not(row: Any, phone_id: str | None, now: Instant) -> str | None:
    """Return why a phone may not redeem an invite, for the audit; None where it may."""
    if row.state != "open":
        return str(row.state)
    if row.expires_at <= now:
        return "expired"
    if row.issuer_id is not None and not may_still_vouch(row.issuer_state, row.issuer_frozen):
        return f"issuer_{row.issuer_state}" if row.issuer_state != "active" else "issuer_frozen"
    if row.channel == "sms" and row.phone_id != phone_id:
        return "wrong_phone"
    return None
