"""Invites: issued by members (who spend quota) and campaigns, sent, looked up, revoked, expired.

Owns the life of an invite and the one judgement whether a code may be redeemed.  How its uses are counted
is `holds.py`'s; how a message travels is `delivery.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, insert, or_, select, update

from identity_service.codes import (
    LINK_SYMBOLS,
    TYPED_SYMBOLS,
    InviteCode,
    new_code,
)
from identity_service.crypto import Hasher, Seal
from identity_service.db.store import Statement, Tx, binds, insert_if_new
from identity_service.db.tables import campaigns, invites, members, messages, phones
from identity_service.errors import Refused, invalid, not_found
from identity_service.policy.budgets import Lane
from identity_service.policy.inviting import Decision, RuleResult, may_still_vouch
from identity_service.ports import Entropy, Ids, Instant, rfc3339_or_none
from identity_service.services import budgets
from identity_service.services.delivery import Delivery, Outgoing
from identity_service.services.eligibility import Eligibility
from identity_service.services.guard import Ask, Guard
from identity_service.services.holds import Holds
from identity_service.services.journal import Journal
from identity_service.services.paging import Page, Paging, page_of
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.quota import Draw, QuotaLedger
from identity_service.services.spending import Payer
from sms.numbers import E164, Number
from sms.texts import TextKind

_now = bindparam("now_", type_=BigInteger)

_COLUMNS = (
    "id",
    "issuer_id",
    "campaign_id",
    "channel",
    "phone_id",
    "code_hash",
    "sealed_code",
    "state",
    "max_uses",
    "uses",
    "held",
    "starts",
    "locale",
    "note",
    "client_id",
    "created_at",
    "expires_at",
    "last_sent_at",
    "message_id",
)
_ADD = Statement(insert(invites).values(binds(_COLUMNS)))
_ISSUER = Statement(select(members.c.state).where(members.c.id == bindparam("id")))
_CAMPAIGN = Statement(select(campaigns.c.id).where(campaigns.c.name == bindparam("name")))
_ADD_CAMPAIGN = insert_if_new(campaigns, ("id", "name", "created_at"))
_VIEW = (
    select(
        invites.c.id,
        invites.c.state,
        invites.c.issuer_id,
        campaigns.c.name.label("campaign"),
        invites.c.channel,
        phones.c.masked.label("phone"),
        invites.c.max_uses,
        invites.c.uses,
        invites.c.expires_at,
        invites.c.created_at,
        invites.c.note,
        invites.c.locale,
        invites.c.opened_at,
        messages.c.state.label("delivery_state"),
        messages.c.reason.label("delivery_reason"),
        messages.c.updated_at.label("delivery_updated_at"),
    )
    .select_from(invites)
    .outerjoin(campaigns, campaigns.c.id == invites.c.campaign_id)
    .outerjoin(phones, phones.c.id == invites.c.phone_id)
    .outerjoin(messages, messages.c.id == invites.c.message_id)
)
_GET = Statement(_VIEW.where(invites.c.id == bindparam("id")))
_END = Statement(
    update(invites)
    .where(invites.c.id == bindparam("invite"), invites.c.state == "open")
    .values(
        state=bindparam("end"), ended_at=_now, moved_at=_now, end_reason=bindparam("reason"), sealed_code=None
    )
    .returning(invites.c.issuer_id, invites.c.max_uses, invites.c.uses)
)
_RESENDABLE = Statement(
    select(
        invites.c.id,
        invites.c.channel,
        invites.c.state,
        invites.c.expires_at,
        invites.c.phone_id,
        invites.c.sealed_code,
        invites.c.locale,
        invites.c.issuer_id,
        invites.c.campaign_id,
        members.c.state.label("issuer_state"),
        members.c.invites_frozen.label("issuer_frozen"),
    )
    .select_from(invites)
    .outerjoin(members, members.c.id == invites.c.issuer_id)
    .where(invites.c.id == bindparam("id"))
)
_SENT_AGAIN = Statement(
    update(invites)
    .where(invites.c.id == bindparam("invite"), invites.c.state == "open")
    .values(message_id=bindparam("message"), last_sent_at=_now)
)
_OVERDUE = Statement(
    select(invites.c.id)
    .where(invites.c.state == "open", invites.c.expires_at <= _now)
    .order_by(invites.c.expires_at)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueInvite:
    """What is asked for: exactly one of `issuer_id` and `campaign`; a number exactly for SMS."""

    issuer_id: str | None = None
    campaign: str | None = None
    channel: str = "link"
    number: Number | None = None
    max_uses: int = 1
    expires_in: Instant | None = None
    locale: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteView:
    """An invite as it is told.  `code` and `link` stand only in the answer that made a link."""

    id: str
    state: str
    issuer_id: str | None
    campaign: str | None
    channel: str
    phone: str | None
    max_uses: int
    uses: int
    expires_at: Instant
    created_at: Instant
    note: str | None
    locale: str | None
    opened_at: Instant | None
    delivery_state: str
    delivery_reason: str | None
    delivery_updated_at: Instant | None
    code: str | None = None
    link: str | None = None


class Invites:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        entropy: Entropy,
        hasher: Hasher,
        seal: Seal,
        phones: Phones,
        quota: QuotaLedger,
        eligibility: Eligibility,
        delivery: Delivery,
        holds: Holds,
        journal: Journal,
        guard: Guard,
        public_url: str,
    ) -> None:
        self._policies, self._ids, self._entropy = policies, ids, entropy
        self._hasher, self._seal, self._phones = hasher, seal, phones
        self._quota, self._eligibility = quota, eligibility
        self._delivery, self._holds, self._journal = delivery, holds, journal
        self._guard = guard
        self._public_url = public_url.rstrip("/")

    # -- issuing ------------------------------------------------------------------------------------

    def issue(self, tx: Tx, wanted: IssueInvite) -> InviteView:
        """Make an invite: quota spent, message queued, journal told, or nothing.

        Raises:
            Refused: `validation_failed`, `issuer_not_active`, `invites_frozen`, `quota_exhausted`,
                `send_cooldown`, `send_budget_spent`, `member_send_budget_spent`, `send_blocked`,
                `spend_cap_reached`.
        """
        rules = self._policies.of(tx).invites
        by_sms = wanted.channel == "sms"
        self._check(tx, wanted)
        expires_in = wanted.expires_in or (rules.sms_expires_in if by_sms else rules.link_expires_in)
        invite_id = self._ids.new("inv")
        code = new_code(self._entropy, symbols=TYPED_SYMBOLS if by_sms else LINK_SYMBOLS)
        phone, message_id = None, None
        if wanted.number is not None:
            # First, because a new block is kept though the call is refused, and nothing else may be by then.
            phone = self._phones.of(tx, wanted.number)
            number = wanted.number
            self._guard_sending(tx, invite_id, wanted.issuer_id, phone.id, number.e164, number.country)
        draws: list[Draw] = []
        if wanted.issuer_id is not None:
            draws = self._take_quota(tx, wanted.issuer_id, wanted.max_uses)
        campaign_id = None if wanted.campaign is None else self.campaign_id(tx, wanted.campaign)
        if phone is not None:
            payer = Payer(issuer_id=wanted.issuer_id, campaign_id=campaign_id)
            message_id = self._send(tx, invite_id, phone.id, code, wanted, tx.now + expires_in, payer)
        tx.run(
            _ADD,
            id=invite_id,
            issuer_id=wanted.issuer_id,
            campaign_id=campaign_id,
            channel=wanted.channel,
            phone_id=None if phone is None else phone.id,
            code_hash=self._hasher.current("invite", code.canonical),
            sealed_code=self._seal.close(str(code).encode(), invite_id) if by_sms else None,
            state="open",
            max_uses=wanted.max_uses,
            uses=0,
            held=0,
            starts=0,
            locale=wanted.locale,
            note=wanted.note,
            client_id=tx.actor.client_id,
            created_at=tx.now,
            expires_at=tx.now + expires_in,
            last_sent_at=tx.now if by_sms else None,
            message_id=message_id,
        )
        if wanted.issuer_id is not None:
            self._quota.enter_spend(tx, wanted.issuer_id, draws, invite_id=invite_id)
        self._tell(
            tx,
            "invite.issued",
            invite_id,
            issuer_id=wanted.issuer_id,
            campaign=wanted.campaign,
            channel=wanted.channel,
            max_uses=wanted.max_uses,
        )
        return InviteView(
            id=invite_id,
            state="open",
            issuer_id=wanted.issuer_id,
            campaign=wanted.campaign,
            channel=wanted.channel,
            phone=None if phone is None else phone.masked,
            max_uses=wanted.max_uses,
            uses=0,
            expires_at=tx.now + expires_in,
            created_at=tx.now,
            note=wanted.note,
            locale=wanted.locale,
            opened_at=None,
            delivery_state="queued" if by_sms else "none",
            delivery_reason=None,
            delivery_updated_at=tx.now if by_sms else None,
            code=None if by_sms else str(code),
            link=None if by_sms else self.link(code),
        )

    def link(self, code: InviteCode) -> str:
        return f"{self._public_url}/i/{code.canonical}"

    def _check(self, tx: Tx, wanted: IssueInvite) -> None:
        rules = self._policies.of(tx).invites
        if (wanted.issuer_id is None) == (wanted.campaign is None):
            raise invalid("/issuer_id", "one_issuer", "Name exactly one of issuer_id and campaign.")
        if (wanted.channel == "sms") != (wanted.number is not None):
            raise invalid("/phone", "phone_needs_sms", "A phone is named exactly for the channel sms.")
        if wanted.channel == "sms" and wanted.max_uses != 1:
            raise invalid("/max_uses", "sms_single_use", "An invite by SMS is for one phone and one use.")
        most = rules.member_max_uses if wanted.issuer_id else rules.campaign_max_uses
        if not 1 <= wanted.max_uses <= most:
            raise invalid("/max_uses", "out_of_range", f"max_uses must be 1 to {most} here.")
        if wanted.expires_in is not None and not 0 < wanted.expires_in <= rules.longest_life:
            raise invalid("/expires_in", "out_of_range", "No invite may live so long.")

    def _take_quota(self, tx: Tx, issuer_id: str, uses: int) -> list[Draw]:
        """Take the quota: of grants in one guarded statement, else by the rules, under the row's lock."""
        draws = self._quota.take_granted(tx, issuer_id, uses)
        if draws is not None:
            return draws
        row = tx.one(_ISSUER, id=issuer_id)
        if row is None or row.state == "erased":
            raise invalid("/issuer_id", "member_unknown", "There is no such member.")
        decision = self._eligibility.decide_locked(tx, issuer_id, uses)
        if decision.reason is not None:
            raise _refuse(decision, decision.reason)
        self._quota.sweep(tx, issuer_id)
        draws = self._quota.take(tx, issuer_id, uses, earned=decision.may_spend_earned)
        if draws is None:
            raise AssertionError(f"{issuer_id} may invite and cannot")
        return draws

    def campaign_id(self, tx: Tx, name: str) -> str:
        """Return a campaign's id; its first use makes it."""
        row = tx.one(_CAMPAIGN, name=name)
        if row is None:
            tx.run(_ADD_CAMPAIGN, id=self._ids.new("cmp"), name=name, created_at=tx.now)
            row = tx.one(_CAMPAIGN, name=name)
        return str(row.id)

    def _send(
        self,
        tx: Tx,
        invite_id: str,
        phone_id: str,
        code: InviteCode,
        wanted: IssueInvite,
        not_after: Instant,
        payer: Payer,
    ) -> str:
        self._spend_sending(tx, wanted.issuer_id, phone_id)
        return self._delivery.queue(
            tx,
            Outgoing(
                subject_id=invite_id,
                phone_id=phone_id,
                kind=TextKind.INVITE,
                code=str(code),
                locale=wanted.locale,
                not_after=not_after,
                payer=payer,
            ),
        )

    def _guard_sending(
        self, tx: Tx, invite_id: str, issuer_id: str | None, phone_id: str, number: E164, country: str
    ) -> None:
        """Ask the guard.  Where it wants a proof of work, the inviter's quota and day are the price."""
        self._guard.admit(
            tx,
            Ask(
                kind="invite",
                subject_id=invite_id,
                phone_id=phone_id,
                number=number,
                country=country,
                inviter_id=issuer_id,
            ),
        )

    def _spend_sending(self, tx: Tx, issuer_id: str | None, phone_id: str) -> None:
        """Take what a message to an invitee costs.  No revocation gives it back: that would be a pump."""
        if issuer_id is not None:
            budgets.take(tx, self._member_sends(tx, issuer_id))
        # Each inviter has a trickle of its own: one cannot keep a phone from all the others.
        self._delivery.spend(tx, Lane.INVITE, phone_id, (issuer_id or "")[-24:])

    def next_send_at(self, tx: Tx, issuer_id: str | None, phone_id: str) -> Instant:
        """Return when the next message to an invitee may go; takes nothing."""
        at = self._delivery.may_send_at(tx, Lane.INVITE, phone_id, (issuer_id or "")[-24:])
        return at if issuer_id is None else max(at, budgets.next_at(tx, self._member_sends(tx, issuer_id)))

    def _member_sends(self, tx: Tx, issuer_id: str) -> budgets.Budget:
        return budgets.Budget(
            lane="send.by_member",
            subject=issuer_id,
            rate=self._policies.of(tx).member_sms_rate,
            code="member_send_budget_spent",
            detail="This member has sent as many invites by SMS as a day allows.",
        )

    # -- reading ------------------------------------------------------------------------------------

    def get(self, tx: Tx, invite_id: str) -> InviteView:
        row = tx.one(_GET, id=invite_id)
        if row is None:
            raise not_found("invite")
        return _view(row, tx.now)

    def page(
        self,
        tx: Tx,
        paging: Paging,
        *,
        issuer_id: str | None = None,
        campaign: str | None = None,
        state: str | None = None,
    ) -> Page[InviteView]:
        """List invites, newest first."""
        query = _VIEW
        if issuer_id is not None:
            query = query.where(invites.c.issuer_id == issuer_id)
        if campaign is not None:
            query = query.where(campaigns.c.name == campaign)
        if state == "expired":
            overdue = and_(invites.c.state == "open", invites.c.expires_at <= tx.now)
            query = query.where(or_(invites.c.state == "expired", overdue))
        elif state == "open":
            query = query.where(invites.c.state == "open", invites.c.expires_at > tx.now)
        elif state is not None:
            query = query.where(invites.c.state == state)
        rows = tx.select(paging.apply(query, invites.c.id, newest_first=True))
        return page_of([_view(row, tx.now) for row in rows], paging)

    # -- ending and sending again -----------------------------------------------------------------------

    def revoke(self, tx: Tx, invite_id: str, reason: str) -> InviteView:
        """End an open invite and give back what was not redeemed, once.  Revoking again changes nothing.

        Raises:
            Refused: `not_found`, `invite_not_open`.
        """
        if self.get(tx, invite_id).state == "open":
            self._end(tx, invite_id, "revoked", reason)
        view = self.get(tx, invite_id)  # read again: of several at once, one ended it
        if view.state != "revoked":
            raise Refused("invite_not_open", f"This invite is {view.state}.")
        return view

    def sweep(self, tx: Tx, limit: int = 200) -> int:
        """Expire invites whose time is over; return how many."""
        rows = tx.all(_OVERDUE, now_=tx.now, limit=limit)
        for row in rows:
            self._end(tx, row.id, "expired", "its time was over")
        return len(rows)

    def _end(self, tx: Tx, invite_id: str, state: str, reason: str) -> bool:
        row = tx.one(_END, invite=invite_id, end=state, reason=reason, now_=tx.now)
        if row is None:
            return False
        self._holds.release_all(tx, invite_id)
        self._delivery.withdraw(tx, invite_id)
        left = row.max_uses - row.uses
        if row.issuer_id is not None and left:
            self._quota.refund(tx, row.issuer_id, left, invite_id=invite_id, reason=f"invite {state}")
        self._journal.tell(
            tx,
            f"invite.{state}",
            invite_id,
            {"invite_id": invite_id, "refunded": left if row.issuer_id else 0},
            detail={"reason": reason},
        )
        return True

    def resend(self, tx: Tx, invite_id: str) -> InviteView:
        """Send the same code to the same phone again.

        Raises:
            Refused: `not_found`, `invite_not_open`, `invite_not_sms`, `issuer_not_active`, `invites_frozen`
                and the budgets' refusals.
        """
        row = tx.one(_RESENDABLE, id=invite_id)
        if row is None:
            raise not_found("invite")
        if row.channel != "sms":
            raise Refused("invite_not_sms", "Only an invite by SMS can be sent again.")
        if row.state != "open" or row.expires_at <= tx.now or row.sealed_code is None:
            raise Refused("invite_not_open", "This invite is over.")
        if row.issuer_id is not None and not may_still_vouch(row.issuer_state, row.issuer_frozen):
            code = "issuer_not_active" if row.issuer_state != "active" else "invites_frozen"
            raise Refused(code, "Its inviter may not invite at present.")
        number, country = self._phones.number(tx, row.phone_id)
        self._guard_sending(tx, row.id, row.issuer_id, row.phone_id, number, country)
        self._spend_sending(tx, row.issuer_id, row.phone_id)
        message = self._delivery.queue(
            tx,
            Outgoing(
                subject_id=row.id,
                phone_id=row.phone_id,
                kind=TextKind.INVITE,
                code=self._seal.open(row.sealed_code, row.id).decode(),
                locale=row.locale,
                not_after=row.expires_at,
                payer=Payer(issuer_id=row.issuer_id, campaign_id=row.campaign_id),
            ),
        )
        tx.run(_SENT_AGAIN, invite=row.id, message=message, now_=tx.now)
        self._tell(tx, "invite.resent", row.id)
        return self.get(tx, invite_id)

    def _tell(self, tx: Tx, kind: str, invite_id: str, **data: Any) -> None:
        self._journal.tell(tx, kind, invite_id, {"invite_id": invite_id} | data)


def _refuse(decision: Decision, rule: RuleResult) -> Refused:
    """Return the refusal of a rule, with all that there is to say of it."""
    return Refused(
        rule.code,
        rule.detail,
        retry_at=rule.earliest_at,
        available=decision.granted + decision.earned,
        rule=rule.rule,
        value=rule.value,
        threshold=rule.threshold,
        earliest_at=rfc3339_or_none(rule.earliest_at),
        policy_version=decision.version,
    )


def _view(row: Any, now: Instant) -> InviteView:
    over = row.state == "open" and row.expires_at <= now
    return InviteView(
        id=row.id,
        state="expired" if over else row.state,
        issuer_id=row.issuer_id,
        campaign=row.campaign,
        channel=row.channel,
        phone=row.phone,
        max_uses=row.max_uses,
        uses=row.uses,
        expires_at=row.expires_at,
        created_at=row.created_at,
        note=row.note,
        locale=row.locale,
        opened_at=row.opened_at,
        delivery_state=row.delivery_state or "none",
        delivery_reason=row.delivery_reason,
        delivery_updated_at=row.delivery_updated_at,
    )
