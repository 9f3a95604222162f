"""Registration: an invite's use and a proven phone become a member, all in one transaction or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from identity_service.codes import InviteCode
from identity_service.crypto import Assertions
from identity_service.db.store import Tx
from identity_service.errors import Refused, invalid
from identity_service.policy.budgets import Lane
from identity_service.ports import Ids
from identity_service.services import budgets
from identity_service.services.credentials import Credentials
from identity_service.services.guard import Guard
from identity_service.services.holds import Holds
from identity_service.services.invite_codes import InviteCodes, refuse_code
from identity_service.services.members import Members, MemberView, NewMember
from identity_service.services.phones import Phone, Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.timeline import Timeline
from identity_service.services.verification import Proof, Verifications
from sms.numbers import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Exactly one of `proof` (any invite) and `number` (an invite sent to it by SMS)."""

    invite_code: str
    proof: str | None = None
    number: Number | None = None
    external_id: str | None = None
    device_id: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    member: MemberView
    assertion: str
    device_token: str
    recovery_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticket:
    """Who may come in, and by what; nothing of it is used up yet."""

    invite: Any
    phone: Phone
    proof: Proof | None


class Registrations:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        phones: Phones,
        codes: InviteCodes,
        holds: Holds,
        verifications: Verifications,
        members: Members,
        credentials: Credentials,
        assertions: Assertions,
        timeline: Timeline,
        guard: Guard,
    ) -> None:
        self._policies, self._ids, self._phones, self._timeline = policies, ids, phones, timeline
        self._codes, self._holds, self._verifications = codes, holds, verifications
        self._members, self._credentials, self._assertions = members, credentials, assertions
        self._guard = guard

    def register(self, tx: Tx, wanted: Register) -> Registered:
        """Make the member.

        Raises:
            Refused: `invite_not_redeemable`, `proof_required`, `proof_invalid`, `proof_expired`,
                `proof_consumed`, `phone_taken`, `external_id_taken`, `validation_failed`.
        """
        if (wanted.proof is None) == (wanted.number is None):
            raise invalid("/proof", "one_of_proof_and_phone", "Give exactly one of proof and phone.")
        code = self._codes.read(wanted.invite_code)
        if wanted.proof is not None:
            ticket = self._by_proof(tx, code, wanted.proof)
        else:
            assert wanted.number is not None
            ticket = self._by_sms_code(tx, code, wanted.number)
        member = self._add(tx, ticket, wanted)
        self._use(tx, ticket)
        for lane in (Lane.INVITE, Lane.ANONYMOUS):  # the phone has answered both those who named it
            budgets.clear_cooldown(tx, lane, ticket.phone.id)
        codes = self._credentials.new_recovery_codes(tx, member.id)
        device_token = self._credentials.new_device(tx, member.id, wanted.device_id)
        assertion = self._assertions.issue(
            member_id=member.id,
            audience=tx.actor.client_id or tx.actor.name,
            purpose="registration",
            jti=self._ids.new("reg"),
            now=tx.now,
        )
        return Registered(member=member, assertion=assertion, device_token=device_token, recovery_codes=codes)

    def _by_proof(self, tx: Tx, code: InviteCode, text: str) -> _Ticket:
        """A verified phone, and the use that its verification holds."""
        proof = self._verifications.read_proof(tx, text, "registration")
        # The code is judged before the proof is used up: a wrong code must not cost the proof.
        invite = self._codes.redeemable(tx, code, proof.phone_id)
        return _Ticket(invite=invite, phone=self._phones.get(tx, proof.phone_id), proof=proof)

    def _by_sms_code(self, tx: Tx, code: InviteCode, number: Number) -> _Ticket:
        """The code came to this phone by SMS a short while ago: having it is having the phone."""
        phone = self._phones.of(tx, number)
        invite = self._codes.redeemable(tx, code, phone.id)
        proves_for = self._policies.of(tx).invites.sms_proves_for
        if invite.channel != "sms" or tx.now - invite.last_sent_at > proves_for:
            raise Refused(
                "proof_required", "This invite needs a proof: verify the phone with purpose registration."
            )
        return _Ticket(invite=invite, phone=phone, proof=None)

    def _add(self, tx: Tx, ticket: _Ticket, wanted: Register) -> MemberView:
        """Make the member before anything is used up.

        The unique constraint is asked first, because then its refusal has nothing to undo: who loses the
        race for a phone lets the hold go, and that is kept.
        """
        invite = ticket.invite
        new = NewMember(
            phone=ticket.phone,
            level=self._policies.of(tx).members.first_level,
            generation=0 if invite.issuer_id is None else invite.issuer_generation + 1,
            inviter_id=invite.issuer_id,
            invite_id=invite.id,
            campaign_id=invite.campaign_id,
            campaign=invite.campaign,
            external_id=wanted.external_id,
            locale=wanted.locale,
        )
        try:
            return self._members.add(tx, new)
        except Refused as refused:
            if refused.code != "phone_taken":
                raise
            if ticket.proof is not None and ticket.proof.hold_id is not None:
                self._holds.release(tx, ticket.proof.hold_id)
            raise Refused(refused.code, refused.detail, keeps_effect=True) from None

    def _use(self, tx: Tx, ticket: _Ticket) -> None:
        """Use up the proof, where there is one, and a use of the invite."""
        invite, phone, proof = ticket.invite, ticket.phone, ticket.proof
        if proof is None:
            used = self._holds.use_free(tx, invite.id, phone.id)
            self._timeline.came_back(tx, invite.id)
        else:
            self._verifications.consume(tx, proof)
            used = proof.hold_id is not None and self._holds.use_held(tx, invite.id, phone.id, proof.hold_id)
        if not used:
            raise refuse_code()
        if invite.channel == "sms":
            self._guard.answered(tx, invite.id)
