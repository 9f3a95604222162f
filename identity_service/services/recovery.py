"""Login and recovery by phone, behind the same gates.

A phone number may have been given to a stranger since its owner last came.  Therefore a dormant member is
not let in by a code alone: login answers `recovery_required`, and a recovery is held for some days, with a
notice to the number, unless a recovery code is given.  Nothing changes on request alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, bindparam, insert, select, update

from identity_service.crypto import Assertions
from identity_service.db.store import Statement, Tx, binds, insert_if_new
from identity_service.db.tables import members, recoveries
from identity_service.errors import Refused, not_found
from identity_service.ports import HOUR, Ids, Instant
from identity_service.services.credentials import Credentials
from identity_service.services.delivery import Delivery, Outgoing
from identity_service.services.journal import Journal
from identity_service.services.members import Members, MemberView
from identity_service.services.policy_book import PolicyBook
from identity_service.services.spending import Payer
from identity_service.services.verification import Proof, Verifications
from sms.texts import TextKind

_now = bindparam("now_", type_=BigInteger)
_GATE = Statement(
    select(members.c.id, members.c.state, members.c.phone_id, members.c.last_seen_at, members.c.locale).where(
        members.c.id == bindparam("member")
    )
)
_NEW = (
    "id",
    "client_id",
    "member_id",
    "state",
    "reason",
    "verification_id",
    "created_at",
    "release_at",
    "granted_at",
)
_ADD = Statement(insert(recoveries).values(binds(_NEW)))
_HOLD = insert_if_new(recoveries, _NEW)  # one open recovery a member: the index decides
_view = select(
    recoveries.c.id,
    recoveries.c.client_id,
    recoveries.c.member_id,
    recoveries.c.state,
    recoveries.c.reason,
    recoveries.c.created_at,
    recoveries.c.release_at,
    recoveries.c.granted_at,
    recoveries.c.ended_at,
)
_GET = Statement(
    _view.where(recoveries.c.id == bindparam("id"), recoveries.c.client_id == bindparam("client"))
)
_OPEN = Statement(_view.where(recoveries.c.member_id == bindparam("member"), recoveries.c.state == "held"))
_held = (recoveries.c.id == bindparam("id_"), recoveries.c.state == "held")
_GRANT = Statement(update(recoveries).where(*_held).values(state="granted", granted_at=_now))
_END = Statement(
    update(recoveries)
    .where(*_held)
    .values(state=bindparam("end"), ended_at=_now, end_explanation=bindparam("why"))
)
_STALE = Statement(
    select(recoveries.c.id)
    .where(recoveries.c.state == "held", recoveries.c.release_at <= bindparam("before", type_=BigInteger))
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryView:
    id: str
    member_id: str
    state: str
    reason: str
    requires: tuple[str, ...]
    created_at: Instant
    release_at: Instant | None
    granted_at: Instant | None
    assertion: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    member: MemberView
    assertion: str
    device_token: str


class Recoveries:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        verifications: Verifications,
        members: Members,
        credentials: Credentials,
        assertions: Assertions,
        delivery: Delivery,
        journal: Journal,
    ) -> None:
        self._policies, self._ids = policies, ids
        self._verifications, self._members, self._credentials = verifications, members, credentials
        self._assertions, self._delivery, self._journal = assertions, delivery, journal

    # -- login ------------------------------------------------------------------------------------------

    def login(self, tx: Tx, text: str, device_id: str | None) -> LoggedIn:
        """Let a member in who proved the phone.

        Raises:
            Refused: the proof's refusals, `member_suspended`, `member_banned`, `recovery_required`.
        """
        proof = self._verifications.read_proof(tx, text, "login")
        member = self._pass_gate(tx, proof)
        if self._is_dormant(tx, member) or tx.one(_OPEN, member=member.id) is not None:
            raise Refused(
                "recovery_required", "This member was away for long, or is being recovered: use a recovery."
            )
        self._verifications.consume(tx, proof)
        self._members.seen(tx, member.id)
        token = self._credentials.new_device(tx, member.id, device_id)
        self._journal.tell(tx, "member.logged_in", member.id, {"member_id": member.id}, public=False)
        return LoggedIn(
            member=self._members.get(tx, member.id),
            assertion=self._assert(tx, member.id, "login"),
            device_token=token,
        )

    def _pass_gate(self, tx: Tx, proof: Proof) -> Any:
        """Return the member that a proof is about, unless a sanction or a change of phone stands before."""
        member = None if proof.member_id is None else tx.one(_GATE, member=proof.member_id)
        if member is None or member.phone_id != proof.phone_id or member.state == "erased":
            raise Refused("proof_invalid", "This phone is not the member's any more.")
        if member.state in ("suspended", "banned"):
            raise Refused(
                f"member_{member.state}", f"This member is {member.state}; see the member's standing."
            )
        return member

    def _is_dormant(self, tx: Tx, member: Any) -> bool:
        return bool(tx.now - member.last_seen_at > self._policies.of(tx).recovery.dormant_after)

    def _assert(self, tx: Tx, member_id: str, purpose: str) -> str:
        return self._assertions.issue(
            member_id=member_id,
            audience=tx.actor.client_id or tx.actor.name,
            purpose=purpose,
            jti=self._ids.new("ast"),
            now=tx.now,
        )

    # -- recovery ---------------------------------------------------------------------------------------

    def recover(self, tx: Tx, text: str) -> RecoveryView:
        """Recover by the phone on record: at once, or held where the member was dormant.

        A held recovery is taken up by a fresh proof once its time has come.

        Raises:
            Refused: the proof's refusals, `member_suspended`, `member_banned`, `recovery_held_elsewhere`.
        """
        proof = self._verifications.read_proof(tx, text, "recovery")
        member = self._pass_gate(tx, proof)
        self._verifications.consume(tx, proof)
        held = self._open(tx, member.id)
        if held is None and self._is_dormant(tx, member):
            return self._hold(tx, member, proof)
        if held is None:
            return self._grant_at_once(tx, member, proof)
        if held.client_id != tx.actor.client_id:
            raise _held_elsewhere(held)
        return self._grant(tx, held) if held.release_at <= tx.now else self._tell(held, tx.now)

    def _hold(self, tx: Tx, member: Any, proof: Proof) -> RecoveryView:
        rules = self._policies.of(tx).recovery
        recovery_id = self._add(tx, _HOLD, member.id, proof, "held", release_at=tx.now + rules.hold)
        if recovery_id is None:  # another call was first; it may be another client's
            held = tx.one(_OPEN, member=member.id)
            if held is None or held.client_id != tx.actor.client_id:
                raise _held_elsewhere(held)
            return self._tell(held, tx.now)
        self._notify(tx, member, TextKind.RECOVERY_HELD, hours=rules.hold // HOUR)
        self._tell_all(tx, "recovery.held", recovery_id, member.id)
        return self.get(tx, recovery_id)

    def _grant_at_once(self, tx: Tx, member: Any, proof: Proof) -> RecoveryView:
        recovery_id = self._add(tx, _ADD, member.id, proof, "granted", granted_at=tx.now)
        assert recovery_id is not None
        return self._granted(tx, self._row(tx, recovery_id))

    def _add(
        self,
        tx: Tx,
        statement: Statement,
        member_id: str,
        proof: Proof,
        state: str,
        *,
        release_at: Instant | None = None,
        granted_at: Instant | None = None,
    ) -> str | None:
        recovery_id = self._ids.new("rec")
        made = tx.run(
            statement,
            id=recovery_id,
            client_id=tx.actor.client_id,
            member_id=member_id,
            state=state,
            reason="dormant" if state == "held" else "phone",
            verification_id=proof.verification_id,
            created_at=tx.now,
            release_at=release_at,
            granted_at=granted_at,
        )
        return recovery_id if made else None

    def _grant(self, tx: Tx, row: Any) -> RecoveryView:
        if not tx.run(_GRANT, id_=row.id, now_=tx.now):
            raise _ended(self._row(tx, row.id))
        return self._granted(tx, self._row(tx, row.id))

    def _granted(self, tx: Tx, row: Any) -> RecoveryView:
        self._members.seen(tx, row.member_id)
        self._notify(tx, tx.one(_GATE, member=row.member_id), TextKind.RECOVERY_GRANTED)
        self._tell_all(tx, "recovery.granted", row.id, row.member_id)
        return self._tell(row, tx.now, self._assert(tx, row.member_id, "recovery"))

    def _notify(self, tx: Tx, member: Any, kind: TextKind, hours: int | None = None) -> None:
        """Tell the number on record.  A notice spends no budget: nobody can ask for one, only cause one."""
        self._delivery.queue(
            tx,
            Outgoing(
                subject_id=member.id,
                phone_id=member.phone_id,
                kind=kind,
                locale=member.locale,
                not_after=tx.now + 24 * HOUR,
                hours=hours,
                payer=Payer(own=True),
            ),
        )

    def _tell_all(self, tx: Tx, kind: str, recovery_id: str, member_id: str, **detail: str) -> None:
        data = {"recovery_id": recovery_id, "member_id": member_id}
        self._journal.tell(tx, kind, recovery_id, data, detail=detail or None)

    # -- a held recovery ----------------------------------------------------------------------------------

    def get(self, tx: Tx, recovery_id: str) -> RecoveryView:
        return self._tell(self._row(tx, recovery_id), tx.now)

    def _row(self, tx: Tx, recovery_id: str) -> Any:
        row = tx.one(_GET, id=recovery_id, client=tx.actor.client_id)
        if row is None:
            raise not_found("recovery")
        return row

    def give_code(self, tx: Tx, recovery_id: str, code: str) -> RecoveryView:
        """Release a held recovery by one of the member's recovery codes (80 bits each: no budget is spent).

        Raises:
            Refused: `not_found`, `recovery_over`, `recovery_code_incorrect`, the sanctions' refusals.
        """
        row = self._row(tx, recovery_id)
        if row.state != "held":
            raise _ended(row)
        member = tx.one(_GATE, member=row.member_id)
        if member.state != "active":
            raise Refused(f"member_{member.state}", f"This member is {member.state}.")
        if not self._credentials.use_recovery_code(tx, row.member_id, code):
            raise Refused("recovery_code_incorrect", "This is none of the member's unused recovery codes.")
        return self._grant(tx, row)

    def veto(self, tx: Tx, recovery_id: str, explanation: str) -> RecoveryView:
        """End a held recovery: its owner says that it was not them.

        Raises:
            Refused: `not_found`, `recovery_over`.
        """
        row = self._row(tx, recovery_id)
        if not tx.run(_END, id_=row.id, end="vetoed", why=explanation, now_=tx.now):
            raise _ended(row)
        self._tell_all(tx, "recovery.vetoed", row.id, row.member_id, explanation=explanation)
        return self.get(tx, recovery_id)

    def _open(self, tx: Tx, member_id: str) -> Any | None:
        """Return a member's held recovery; one whose time is over ends here, if the worker has not met it."""
        held = tx.one(_OPEN, member=member_id)
        if held is None or held.release_at > tx.now - self._policies.of(tx).recovery.expires_after:
            return held
        self._expire(tx, held.id)
        return None

    def _expire(self, tx: Tx, recovery_id: str) -> None:
        tx.run(_END, id_=recovery_id, end="expired", why="nobody took it up", now_=tx.now)

    def sweep(self, tx: Tx, limit: int = 100) -> int:
        """End held recoveries that nobody took up in time; return how many."""
        rows = tx.all(_STALE, before=tx.now - self._policies.of(tx).recovery.expires_after, limit=limit)
        for row in rows:
            self._expire(tx, row.id)
        return len(rows)

    def _tell(self, row: Any, now: Instant, assertion: str | None = None) -> RecoveryView:
        requires: tuple[str, ...] = ()
        if row.state == "held":
            requires = ("proof",) if row.release_at <= now else ("recovery_code_or_wait",)
        return RecoveryView(
            id=row.id,
            member_id=row.member_id,
            state=row.state,
            reason=row.reason,
            requires=requires,
            created_at=row.created_at,
            release_at=row.release_at,
            granted_at=row.granted_at,
            assertion=assertion,
        )


def _held_elsewhere(held: Any | None) -> Refused:
    """Another call holds the member's recovery; the proof of this one is not used up."""
    return Refused(
        "recovery_held_elsewhere",
        "Another call or service is recovering this member.",
        retry_at=None if held is None else held.release_at,
    )


def _ended(row: Any) -> Refused:
    return Refused("recovery_over", f"This recovery is {row.state}.", state=row.state)
