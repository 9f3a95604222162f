"""The hosted join page's use cases: phone, code, member, for a network that has no page of its own.

Owns the order of the steps, what a repeated step answers, and the built-in client in whose name the page
acts.  It has no rule of its own: whether a code may be redeemed, a message sent or a guess made is decided
where every other client's call is decided.

A step is done once however often its form arrives (double clicks, retries, two tabs): its outcome is stored
with its effect, by the same means as an Idempotency-Key's answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import bindparam, select

from identity_service.codes import InviteCode
from identity_service.db.store import Statement, Tx, insert_if_new
from identity_service.db.tables import clients
from identity_service.errors import Actor, Refused
from identity_service.ports import Instant
from identity_service.services import budgets
from identity_service.services.fates import Fate, Fates
from identity_service.services.idempotency import Answer, Claim, Idempotency
from identity_service.services.journal import Journal
from identity_service.services.policy_book import PolicyBook
from identity_service.services.registration import Register, Registrations
from identity_service.services.verification import StartVerification, Verifications, VerificationView
from sms.numbers import Number

JOIN_CLIENT: Final = "cli_joinpage"
"""The page's client.  It has no key; its id is the `aud` of the assertions that the page hands over."""
_NAME: Final = "join page (built in)"

_CLIENT = Statement(select(clients.c.id).where(clients.c.id == bindparam("id")))
_ADD_CLIENT = insert_if_new(clients, ("id", "name", "created_at"))


def page_actor(request_id: str) -> Actor:
    return Actor(kind="client", name=_NAME, client_id=JOIN_CLIENT, request_id=request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A phone, given on the page of an invite.

    Attributes:
        visit: one browser's way through one invite's pages.
        token: of the form that was sent; the same form again is the same entry.
    """

    visit: str
    token: str
    code: InviteCode
    number: Number
    locale: str
    client_ip: str | None = None
    solved_challenge: str | None = None
    needs_work: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A one-time code is on its way."""

    verification_id: str
    masked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A member was made.  `key` finds this outcome again, for as long as stored answers are kept."""

    key: str
    member_id: str
    assertion: str
    device_token: str
    recovery_codes: tuple[str, ...]
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A verification as the page shows it."""

    view: VerificationView
    fate: Fate


class HostedJoin:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        idempotency: Idempotency,
        verifications: Verifications,
        registrations: Registrations,
        fates: Fates,
        journal: Journal,
    ) -> None:
        self._policies, self._idempotency, self._journal = policies, idempotency, journal
        self._verifications, self._registrations, self._fates = verifications, registrations, fates

    # -- the phone --------------------------------------------------------------------------------------

    def enter(self, tx: Tx, entry: Entry) -> Sent | Joined:
        """Register at once where the code came to this phone by SMS; otherwise send a one-time code.

        Raises:
            Refused: as `Registrations.register` and `Verifications.start`; `ip_budget_spent`;
                `idempotency_in_flight`.
        """
        joined = f"joined {entry.visit} {entry.number.e164}"
        found = self._stored(tx, joined) or self._stored(tx, _sent(entry))
        if found is not None:
            return found
        self._make_client(tx)
        self._count(tx, entry.client_ip)
        wanted = Register(invite_code=str(entry.code), number=entry.number, locale=entry.locale)
        try:
            with tx.savepoint():
                return self._register(tx, joined, wanted)
        except Refused as refused:
            if refused.code != "proof_required":
                raise
        return self._start(tx, entry)

    def _make_client(self, tx: Tx) -> None:
        if tx.one(_CLIENT, id=JOIN_CLIENT) is None and tx.run(
            _ADD_CLIENT, id=JOIN_CLIENT, name=_NAME, created_at=tx.now
        ):
            self._journal.tell(tx, "client.made", JOIN_CLIENT, {"client_id": JOIN_CLIENT}, public=False)

    def _count(self, tx: Tx, client_ip: str | None) -> None:
        """Count who asks, because a wrong code is refused before any message is thought of."""
        if client_ip is not None:
            budgets.take(
                tx,
                budgets.Budget(
                    lane="join.ip",
                    subject=self._verifications.requester(client_ip),
                    rate=self._policies.of(tx).ip_rate,
                    code="ip_budget_spent",
                    detail="Too many registrations were tried from this address.",
                ),
            )

    def _start(self, tx: Tx, entry: Entry) -> Sent:
        view = self._verifications.start(
            tx,
            StartVerification(
                purpose="registration",
                number=entry.number,
                invite_code=str(entry.code),
                locale=entry.locale,
                client_ip=entry.client_ip,
                solved_challenge=entry.solved_challenge,
                needs_work=entry.needs_work,
            ),
        )
        sent = Sent(verification_id=view.id, masked=view.masked)
        self._keep(tx, _sent(entry), sent)
        return sent

    # -- the code ---------------------------------------------------------------------------------------

    def waiting(self, tx: Tx, verification_id: str) -> Waiting:
        """Raises: Refused `not_found`."""
        view = self._verifications.get(tx, verification_id)
        return Waiting(view=view, fate=self._fates.of_verification(tx, verification_id))

    def check(self, tx: Tx, verification_id: str, code: str, invite: InviteCode, locale: str) -> Joined:
        """Check the one-time code and make the member, both or neither.

        The same wrong code again is not counted again; once the member is made, every further try answers
        with that.

        Raises:
            Refused: as `Verifications.check` and `Registrations.register`; `idempotency_in_flight`.
        """
        joined = _made_by(verification_id)
        found = self.joined(tx, joined)
        if found is not None:
            return found
        tried = f"tried {verification_id} {code}"
        if self._begin(tx, tried) is not None:
            raise Refused("code_incorrect", "This is not the code that was sent.")
        try:
            proof = self._verifications.check(tx, verification_id, code).proof
        except Refused as refused:
            if refused.code == "code_incorrect":
                self._write(tx, tried, {})
            raise
        return self._register(tx, joined, Register(invite_code=str(invite), proof=proof, locale=locale))

    def resend(self, tx: Tx, verification_id: str, token: str) -> None:
        """Send the code again to somebody who misses it.

        Raises:
            Refused: as `Verifications.resend`; `idempotency_in_flight`.
        """
        again = f"again {verification_id} {token}"
        if self._begin(tx, again) is None:
            self._fates.verification_not_received(tx, verification_id)
            self._verifications.resend(tx, verification_id)
            self._write(tx, again, {})

    # -- the member -------------------------------------------------------------------------------------

    def joined(self, tx: Tx, key: str) -> Joined | None:
        """Return the outcome under a key, while it is kept."""
        found = self._stored(tx, key)
        return found if isinstance(found, Joined) else None

    def joined_by(self, tx: Tx, verification_id: str) -> Joined | None:
        """Return the outcome of a verification: a browser that missed the answer asks again."""
        return self.joined(tx, _made_by(verification_id))

    def _register(self, tx: Tx, key: str, wanted: Register) -> Joined:
        made = self._registrations.register(tx, wanted)
        joined = Joined(
            key=key,
            member_id=made.member.id,
            assertion=made.assertion,
            device_token=made.device_token,
            recovery_codes=made.recovery_codes,
            at=tx.now,
        )
        self._keep(tx, key, joined)
        return joined

    # -- each step once ---------------------------------------------------------------------------------

    def _begin(self, tx: Tx, step: str) -> Answer | None:
        return self._idempotency.begin(tx, _claim(step))

    def _write(self, tx: Tx, step: str, outcome: dict[str, Any]) -> None:
        self._idempotency.keep(tx, _claim(step), Answer(status=200, headers={}, body=json.dumps(outcome)))

    def _keep(self, tx: Tx, step: str, outcome: Sent | Joined) -> None:
        self._write(tx, step, asdict(outcome))

    def _stored(self, tx: Tx, step: str) -> Sent | Joined | None:
        answer = self._begin(tx, step)
        if answer is None:
            return None
        stored = json.loads(answer.body)
        make: Callable[..., Sent | Joined] = Joined if "member_id" in stored else Sent
        if "recovery_codes" in stored:
            stored["recovery_codes"] = tuple(stored["recovery_codes"])
        return make(**stored)


def _sent(entry: Entry) -> str:
    return f"sent {entry.token} {entry.number.e164}"


def _made_by(verification_id: str) -> str:
    return f"joined {verification_id}"


def _claim(step: str) -> Claim:
    return Claim(client_id=JOIN_CLIENT, key=step, method="POST", path="/i", body=b"")
