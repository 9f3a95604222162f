"""Verification: that a phone is somebody's, proved by a one-time code, within budgets that nobody can burn
for another.

Owns the life of a verification and its proof.  Known and unknown phones are told apart by nothing: for a
phone that is no member's, a login or recovery runs the same statements against the same budgets and is a
*decoy*: nothing is sent and no code is right.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, func, insert, select, update

from identity_service.crypto import Hasher, Seal, Signer, TokenExpired, TokenInvalid
from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import devices, members, phones, verifications
from identity_service.errors import Refused, not_found
from identity_service.policy.budgets import Lane, Limit, Rate
from identity_service.ports import HOUR, SECOND, Entropy, Ids, Instant
from identity_service.services import budgets, progress
from identity_service.services.delivery import Delivery, Outgoing
from identity_service.services.guard import Ask, Guard
from identity_service.services.holds import Holds
from identity_service.services.invite_codes import InviteCodes, refuse_code
from identity_service.services.phones import Phone, Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.spending import Payer
from identity_service.services.timeline import Timeline
from identity_service.services.work import ProofOfWork
from sms.numbers import Number
from sms.texts import TextKind

PROOF_SALT: Final = "proof"
_GUARD_KIND: Final = {"login": "own", "recovery": "own"}
_now = bindparam("now_", type_=BigInteger)

_COLUMNS = (
    "id",
    "client_id",
    "purpose",
    "phone_id",
    "member_id",
    "hold_id",
    "state",
    "lane",
    "decoy",
    "requester",
    "sealed_code",
    "code_length",
    "channel",
    "locale",
    "attempts",
    "max_attempts",
    "created_at",
    "expires_at",
    "resend_at",
)
_ADD = Statement(insert(verifications).values(binds(_COLUMNS)))
_MEMBER_OF = Statement(select(members.c.id, members.c.state).where(members.c.phone_id == bindparam("phone")))
_DEVICE_OF = Statement(
    select(devices.c.member_id)
    .join(members, members.c.id == devices.c.member_id)
    .where(
        (devices.c.token_hash == bindparam("now_hash")) | (devices.c.token_hash == bindparam("old_hash")),
        devices.c.revoked_at.is_(None),
        members.c.phone_id == bindparam("phone"),
    )
)
_view = (
    select(
        *(verifications.c[name] for name in (*_COLUMNS, "approved_at", "proof_used_at")),
        phones.c.masked,
        phones.c.country,
    )
    .select_from(verifications)
    .join(phones, phones.c.id == verifications.c.phone_id)
    .where(verifications.c.id == bindparam("id"), verifications.c.client_id == bindparam("client"))
)
_GET = Statement(_view)
# The attempt is counted by its own statement before anything is compared; the row is ours from here on.
_ATTEMPT = Statement(
    update(verifications)
    .where(
        verifications.c.id == bindparam("id_"),
        verifications.c.client_id == bindparam("client_"),
        verifications.c.state != "exhausted",
        verifications.c.attempts < verifications.c.max_attempts,
        verifications.c.expires_at > _now,
    )
    .values(attempts=verifications.c.attempts + 1)
)
_APPROVE = Statement(
    update(verifications)
    .where(verifications.c.id == bindparam("id_"))
    .values(
        state="approved",
        attempts=verifications.c.attempts - 1,
        approved_at=func.coalesce(verifications.c.approved_at, _now),
    )
)
_EXHAUST = Statement(
    update(verifications)
    .where(
        verifications.c.id == bindparam("id_"),
        verifications.c.state == "pending",
        verifications.c.attempts >= verifications.c.max_attempts,
    )
    .values(state="exhausted", sealed_code=None)
    .returning(verifications.c.hold_id)
)
_RESENT = Statement(
    update(verifications)
    .where(
        verifications.c.id == bindparam("id_"),
        verifications.c.state == "pending",
        verifications.c.expires_at > _now,
    )
    .values(resend_at=bindparam("again_at"))
)
_USE_PROOF = Statement(
    update(verifications)
    .where(
        verifications.c.id == bindparam("id_"),
        verifications.c.state == "approved",
        verifications.c.proof_used_at.is_(None),
    )
    .values(proof_used_at=_now, sealed_code=None)
)
_HOLD_WANTED = Statement(  # by another verification of the same phone, which took the hold over
    select(verifications.c.id)
    .where(
        verifications.c.hold_id == bindparam("hold"),
        verifications.c.id != bindparam("id"),
        verifications.c.state != "exhausted",
        verifications.c.created_at > bindparam("since", type_=BigInteger),
    )
    .limit(1)
)
_WIPE_OLD = Statement(
    update(verifications)
    .where(verifications.c.expires_at <= _now, verifications.c.sealed_code.is_not(None))
    .values(sealed_code=None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartVerification:
    purpose: str
    number: Number
    invite_code: str | None = None
    device_token: str | None = None
    locale: str | None = None
    client_ip: str | None = None
    solved_challenge: str | None = None
    """The id of a proof of work that was solved for this call."""
    needs_work: bool = False
    """The caller asks for a proof of work whatever happens elsewhere: anybody can reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationView:
    id: str
    purpose: str
    masked: str
    country: str
    state: str
    channel: str
    code_length: int
    expires_at: Instant
    attempts_left: int
    resend_at: Instant | None
    check_at: Instant | None
    proof: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a genuine proof stands for.  It proves nothing until it is consumed."""

    verification_id: str
    phone_id: str
    member_id: str | None
    hold_id: str | None


class Verifications:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        entropy: Entropy,
        hasher: Hasher,
        seal: Seal,
        signer: Signer,
        phones: Phones,
        codes: InviteCodes,
        holds: Holds,
        delivery: Delivery,
        timeline: Timeline,
        work: ProofOfWork,
        guard: Guard,
    ) -> None:
        self._policies, self._ids, self._entropy = policies, ids, entropy
        self._hasher, self._seal, self._signer = hasher, seal, signer
        self._phones, self._codes, self._holds, self._delivery = phones, codes, holds, delivery
        self._timeline, self._work = timeline, work
        self._guard = guard

    # -- starting -------------------------------------------------------------------------------------

    def start(self, tx: Tx, wanted: StartVerification) -> VerificationView:
        """Send a one-time code to a phone, where there is a reason to.

        Raises:
            Refused: `invite_not_redeemable` (no message), `send_cooldown`, `send_budget_spent`,
                `ip_budget_spent`, `proof_of_work_required`, `send_blocked`,
                `spend_cap_reached` (registration only).
        """
        rules = self._policies.of(tx).verification
        verification_id = self._ids.new("ver")
        phone = self._phones.of(tx, wanted.number)
        lane = self._lane(tx, phone, wanted.device_token)
        worked = lane is Lane.ANONYMOUS and self._guard_anonymous(tx, wanted)
        invite, hold_id, member, payer = None, None, None, Payer(own=True)
        if wanted.purpose == "registration":
            invite = self._codes.redeemable(tx, self._codes.read(wanted.invite_code or ""), phone.id)
        guarded = lane is Lane.ANONYMOUS
        if (
            guarded
            and self._guard.admit(tx, self._ask(wanted, verification_id, phone, invite))
            and not worked
        ):
            self._ask_for_work(tx, wanted.solved_challenge)
        if invite is not None:
            hold_id = self._hold(tx, invite.id, phone)
            payer = Payer(issuer_id=invite.issuer_id, campaign_id=invite.campaign_id)
        else:
            member = tx.one(_MEMBER_OF, phone=phone.id)
        decoy = wanted.purpose != "registration" and member is None
        requester = self.requester(wanted.client_ip)
        again_at = self._delivery.spend(tx, lane.value, phone.id, requester)
        digits = rules.recovery_code_digits if wanted.purpose == "recovery" else rules.code_digits
        code = f"{self._entropy.below(10**digits):0{digits}d}"
        expires_at = tx.now + rules.life
        row = {
            "id": verification_id,
            "client_id": tx.actor.client_id,
            "purpose": wanted.purpose,
            "phone_id": phone.id,
            "member_id": member and member.id,
            "hold_id": hold_id,
            "state": "pending",
            "lane": lane.value,
            "decoy": int(decoy),
            "requester": requester,
            "sealed_code": self._seal.close(code.encode(), verification_id),
            "code_length": digits,
            "channel": "sms",
            "locale": wanted.locale,
            "attempts": 0,
            "max_attempts": rules.checks_a_code,
            "created_at": tx.now,
            "expires_at": expires_at,
            "resend_at": again_at,
        }
        tx.run(_ADD, **row)
        self._queue(
            tx, verification_id, phone.id, code, wanted.locale, expires_at, payer=payer, withheld=decoy
        )
        return VerificationView(
            id=verification_id,
            purpose=wanted.purpose,
            masked=phone.masked,
            country=phone.country,
            state="pending",
            channel="sms",
            code_length=digits,
            expires_at=expires_at,
            attempts_left=rules.checks_a_code,
            resend_at=again_at if again_at < expires_at else None,
            check_at=tx.now,
        )

    def _lane(self, tx: Tx, phone: Phone, device_token: str | None) -> Lane:
        """A device that proved this number before has budgets of its own; an unknown token is no error."""
        if device_token:
            now_hash, old_hash = self._hasher.live("device", device_token)
            if tx.one(_DEVICE_OF, now_hash=now_hash, old_hash=old_hash, phone=phone.id) is not None:
                return Lane.KNOWN_DEVICE
        return Lane.ANONYMOUS

    def requester(self, client_ip: str | None) -> str:
        """Return what budgets call an address."""
        return "" if client_ip is None else self._hasher.current("ip", client_ip).hex()[:24]

    def _guard_anonymous(self, tx: Tx, wanted: StartVerification) -> bool:
        """Ask what any stranger is asked; return whether a proof of work was among it."""
        rules = self._policies.of(tx).verification
        breaks = rules.wrong_guesses_an_hour_break
        guessed = budgets.wrong_guesses_since(tx, tx.now - HOUR, breaks) >= breaks
        needs_work = guessed or wanted.needs_work
        if needs_work:
            self._ask_for_work(tx, wanted.solved_challenge)
        if wanted.client_ip is not None:
            budgets.take(
                tx,
                budgets.Budget(
                    lane="start.ip",
                    subject=self.requester(wanted.client_ip),
                    rate=self._policies.of(tx).ip_rate,
                    code="ip_budget_spent",
                    detail="Too many verifications were started from this address.",
                ),
            )
        return needs_work

    def _ask(self, wanted: StartVerification, verification_id: str, phone: Phone, invite: Any) -> Ask:
        return Ask(
            kind=_GUARD_KIND.get(wanted.purpose, "code"),
            subject_id=verification_id,
            phone_id=phone.id,
            number=wanted.number.e164,
            country=wanted.number.country,
            inviter_id=None if invite is None else invite.issuer_id,
            campaign_id=None if invite is None else invite.campaign_id,
        )

    def _ask_for_work(self, tx: Tx, solved: str | None) -> None:
        """Codes are guessed everywhere or do not come back, or anybody may call: a start costs something."""
        detail = "A start costs a proof of work at present; solve the challenge and send it as `altcha`."
        refusal = Refused("proof_of_work_required", detail, challenge=self._work.challenge())
        if solved is None:
            raise refusal
        once = Rate(limits=(Limit(times=1, window=HOUR),))
        try:
            budgets.take(
                tx, budgets.Budget(lane="work", subject=solved, rate=once, code=refusal.code, detail=detail)
            )
        except Refused:
            raise refusal from None

    def _hold(self, tx: Tx, invite_id: str, phone: Phone) -> str:
        """Hold a use of a live invite for this phone; nothing is sent without one."""
        held = self._holds.hold(tx, invite_id, phone.id, tx.now + self._policies.of(tx).invites.hold)
        if held is None:
            raise refuse_code()
        return held.id

    def _queue(
        self,
        tx: Tx,
        verification_id: str,
        phone_id: str,
        code: str,
        locale: str | None,
        not_after: Instant,
        *,
        payer: Payer,
        withheld: bool,
    ) -> None:
        self._delivery.queue(
            tx,
            Outgoing(
                subject_id=verification_id,
                phone_id=phone_id,
                kind=TextKind.OTP,
                code=code,
                locale=locale,
                not_after=not_after,
                payer=payer,
                withheld=withheld,
            ),
        )

    # -- reading and sending again ----------------------------------------------------------------------

    def get(self, tx: Tx, verification_id: str) -> VerificationView:
        return self._tell(self._row(tx, verification_id), tx.now)

    def _row(self, tx: Tx, verification_id: str) -> Any:
        row = tx.one(_GET, id=verification_id, client=tx.actor.client_id)
        if row is None:
            raise not_found("verification")
        return row

    def resend(self, tx: Tx, verification_id: str) -> VerificationView:
        """Send the same code again.  Neither its life nor its guesses are renewed.

        Raises:
            Refused: `not_found`, `verification_over`, `send_cooldown`, `send_budget_spent`, `send_blocked`.
        """
        row = self._row(tx, verification_id)
        if row.state != "pending" or row.expires_at <= tx.now:
            raise _over(row, tx.now)
        if row.lane == Lane.ANONYMOUS:
            self._guard_resend(tx, row)
        again_at = self._delivery.spend(tx, row.lane, row.phone_id, row.requester)
        payer = Payer(own=True) if row.hold_id is None else self._holds.send_again(tx, row.hold_id)
        if payer is None:
            raise Refused("send_budget_spent", "This invite has paid for as many messages as it may.")
        if not tx.run(_RESENT, id_=row.id, now_=tx.now, again_at=again_at):
            raise _over(self._row(tx, verification_id), tx.now)
        code = self._seal.open(row.sealed_code, row.id).decode()
        decoy = bool(row.decoy)
        self._queue(tx, row.id, row.phone_id, code, row.locale, row.expires_at, payer=payer, withheld=decoy)
        return self.get(tx, verification_id)

    def _guard_resend(self, tx: Tx, row: Any) -> None:
        """A resend cannot carry a proof of work: it is let through or refused."""
        number, country = self._phones.number(tx, row.phone_id)
        inviter_id, campaign_id = self._guard.origin_of(tx, row.id)
        self._guard.admit(
            tx,
            Ask(
                kind=_GUARD_KIND.get(row.purpose, "code"),
                subject_id=row.id,
                phone_id=row.phone_id,
                number=number,
                country=country,
                inviter_id=inviter_id,
                campaign_id=campaign_id,
            ),
        )

    # -- checking ---------------------------------------------------------------------------------------

    def check(self, tx: Tx, verification_id: str, code: str) -> VerificationView:
        """Check a code: counted first, compared then, uncounted where it was right.

        Raises:
            Refused: `not_found`, `code_incorrect` (kept), `guess_budget_spent`, `verification_over`,
                `proof_consumed`.
        """
        counted = tx.run(_ATTEMPT, id_=verification_id, client_=tx.actor.client_id, now_=tx.now)
        row = self._row(tx, verification_id)
        if not counted:
            raise _over(row, tx.now)
        if row.proof_used_at is not None:
            # The code went with its proof, so no answer is right or wrong any more: none is counted.
            raise Refused("proof_consumed", "This verification's proof was used.")
        guess = budgets.take(tx, self._guesses(tx, row))
        right = self._is_right(row, code)  # opened and compared for a decoy, too: the same work
        if row.decoy or not right:
            raise self._wrong(tx, row)
        budgets.give_back(tx, guess)
        tx.run(_APPROVE, id_=row.id, now_=tx.now)
        if row.state == "pending":
            budgets.clear_cooldown(tx, row.lane, row.phone_id)
            self._timeline.came_back(tx, row.id)
            if row.hold_id is not None:
                progress.phone_verified(tx, row.hold_id)
            self._guard.answered(tx, row.id)
        approved_at = row.approved_at or tx.now
        if tx.now - approved_at >= self._policies.of(tx).verification.proof_life:
            raise Refused("proof_expired", "This verification's proof is too old; start again.")
        approved = row._replace(state="approved", attempts=row.attempts - 1)
        return replace(self._tell(approved, tx.now), proof=self._proof(row, approved_at))

    def _guesses(self, tx: Tx, row: Any) -> budgets.Budget:
        return budgets.Budget(
            lane=f"guess.{row.lane}",
            subject=row.phone_id,
            requester=row.requester,
            rate=self._policies.of(tx).guess_rate,
            code="guess_budget_spent",
            detail="Too many wrong codes were tried for this phone.",
        )

    def _is_right(self, row: Any, code: str) -> bool:
        if row.sealed_code is None:  # wiped
            return False
        return hmac.compare_digest(self._seal.open(row.sealed_code, row.id), code.encode())

    def _wrong(self, tx: Tx, row: Any) -> Refused:
        exhausted = tx.one(_EXHAUST, id_=row.id)
        if exhausted is not None and exhausted.hold_id is not None:
            rules = self._policies.of(tx).verification
            since = tx.now - rules.life - rules.proof_life
            if tx.one(_HOLD_WANTED, hold=exhausted.hold_id, id=row.id, since=since) is None:
                self._holds.release(tx, exhausted.hold_id)
        return Refused(
            "code_incorrect",
            "This is not the code that was sent.",
            keeps_effect=True,
            attempts_left=row.max_attempts - row.attempts,
        )

    # -- proofs ---------------------------------------------------------------------------------------

    def _proof(self, row: Any, approved_at: Instant) -> str:
        """Make the proof of an approved verification: the same token as long as the signing key lives."""
        claims = {
            "v": row.id,
            "p": row.purpose,
            "n": row.phone_id,
            "c": row.client_id,
            "m": row.member_id,
            "h": row.hold_id,
        }
        return self._signer.sign(PROOF_SALT, claims, approved_at)

    def read_proof(self, tx: Tx, proof: str, purpose: str) -> Proof:
        """Read a proof without using it up.

        Raises:
            Refused: `proof_invalid`, `proof_expired`.
        """
        life = self._policies.of(tx).verification.proof_life // SECOND
        try:
            claims = self._signer.read(PROOF_SALT, proof, max_age=life, now=tx.now)
        except TokenExpired:
            raise Refused("proof_expired", "This proof is too old; verify the phone again.") from None
        except TokenInvalid:
            raise Refused("proof_invalid", "This is not a proof of ours.") from None
        if claims["p"] != purpose or claims["c"] != tx.actor.client_id:
            raise Refused("proof_invalid", f"This proof is not one for {purpose} by this client.")
        return Proof(
            verification_id=claims["v"], phone_id=claims["n"], member_id=claims["m"], hold_id=claims["h"]
        )

    def consume(self, tx: Tx, proof: Proof) -> None:
        """Use a proof up, in the transaction of what it proves.

        Raises:
            Refused: `proof_consumed`.
        """
        if not tx.run(_USE_PROOF, id_=proof.verification_id, now_=tx.now):
            raise Refused("proof_consumed", "This proof was used.")

    # -- housekeeping -------------------------------------------------------------------------------------

    def wipe_codes(self, tx: Tx) -> int:
        """Forget the codes of verifications that are over; return how many."""
        return tx.run(_WIPE_OLD, now_=tx.now)

    def _tell(self, row: Any, now: Instant) -> VerificationView:
        over = row.state == "pending" and row.expires_at <= now
        pending = row.state == "pending" and not over
        resend_at = row.resend_at if pending and row.resend_at and row.resend_at < row.expires_at else None
        return VerificationView(
            id=row.id,
            purpose=row.purpose,
            masked=row.masked,
            country=row.country,
            state="expired" if over else row.state,
            channel=row.channel,
            code_length=row.code_length,
            expires_at=row.expires_at,
            attempts_left=row.max_attempts - row.attempts if pending else 0,
            resend_at=resend_at,
            check_at=now if pending else None,
        )


def _over(row: Any, now: Instant) -> Refused:
    """Say why nothing can be checked or sent any more; waiting will not help."""
    state = "expired" if row.state != "exhausted" and row.expires_at <= now else row.state
    return Refused("verification_over", f"This verification is {state}; start a new one.", state=state)
