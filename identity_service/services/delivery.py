"""The outbox of messages: queued with what they tell, in the transaction of what they tell.

Three transactions, none of them held open over the network: (1) the use case queues a row, here; (2) a
worker claims due rows with a lease and an attempt id (`claims.py`); (3) it marks the outcome, if the attempt
is still its own (`outcomes.py`).  A queued message is charged to its caps and takes a send from its lane's
budget; its code is sealed, and its text is written only when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, bindparam, insert, update

from identity_service.crypto import Seal
from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import messages
from identity_service.ports import Ids, Instant
from identity_service.services import budgets
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.pricing import Pricing
from identity_service.services.spending import Payer, Spending
from identity_service.services.timeline import Timeline
from sms.fate import Happening
from sms.route import Routes
from sms.texts import TextKind

_now = bindparam("now_", type_=BigInteger)
_COLUMNS = (
    "id",
    "subject_id",
    "phone_id",
    "kind",
    "sealed_code",
    "locale",
    "channel",
    "state",
    "hours",
    "decoy",
    "segments",
    "cost",
    "place",
    "next_at",
    "not_after",
    "created_at",
    "updated_at",
)
_ADD = Statement(insert(messages).values(binds(_COLUMNS)))
_WIPE_OLD = Statement(
    update(messages)
    .where(messages.c.not_after <= _now, messages.c.sealed_code.is_not(None))
    .values(sealed_code=None)
)
_WITHDRAW = Statement(
    update(messages)
    .where(messages.c.subject_id == bindparam("subject"), messages.c.state == "queued")
    .values(state="failed", sealed_code=None, reason="It was over before it could be sent.", updated_at=_now)
    .returning(messages.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to be sent.  Its text is written then; only its parts are kept, the code sealed."""

    subject_id: str
    phone_id: str
    kind: TextKind
    not_after: Instant
    code: str | None = None
    locale: str | None = None
    hours: int | None = None
    payer: Payer
    withheld: bool = False
    """Written, claimed and counted like any other, never sent: a decoy for a phone that is no member's."""


class Delivery:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        seal: Seal,
        phones: Phones,
        timeline: Timeline,
        routes: Routes,
        pricing: Pricing,
        spending: Spending,
    ) -> None:
        self._policies, self._ids, self._seal, self._phones = policies, ids, seal, phones
        self._timeline, self._routes = timeline, routes
        self._pricing, self._spending = pricing, spending

    def spend(self, tx: Tx, lane: str, phone_id: str, requester: str) -> Instant:
        """Take a send to this phone from its lane: the cool-down, then the day's budget.

        Returns:
            When the next send in this lane may be.

        Raises:
            Refused: `send_cooldown` or `send_budget_spent`.
        """
        again_at = budgets.start_cooldown(tx, self._cooldown(tx, lane, phone_id))
        budget = self._budget(tx, lane, phone_id, requester)
        taken = budgets.take(tx, budget)
        return max(again_at, budgets.next_after(tx, budget, taken))

    def may_send_at(self, tx: Tx, lane: str, phone_id: str, requester: str) -> Instant:
        """Return when the next message to this phone may go in this lane; takes nothing."""
        cool = budgets.cooldown_until(tx, self._cooldown(tx, lane, phone_id))
        return max(cool, budgets.next_at(tx, self._budget(tx, lane, phone_id, requester)))

    def _cooldown(self, tx: Tx, lane: str, phone_id: str) -> budgets.Cooldown:
        sends = self._policies.of(tx).sends
        return budgets.Cooldown(
            lane=f"send.{lane}", subject=phone_id, first=sends.cooldown, longest=sends.longest_cooldown
        )

    def _budget(self, tx: Tx, lane: str, phone_id: str, requester: str) -> budgets.Budget:
        return budgets.Budget(
            lane=f"send.{lane}",
            subject=phone_id,
            requester=requester,
            rate=self._policies.of(tx).send_rate,
            code="send_budget_spent",
            detail="As many messages went to this phone as a day allows.",
        )

    def queue(self, tx: Tx, message: Outgoing) -> str:
        """Queue a message in the transaction of what it tells, and charge what it will cost; return its id.

        Raises:
            Refused: `spend_cap_reached`; never for a member's own number.
        """
        message_id = self._ids.new("msg")
        sealed = None if message.code is None else self._seal.close(message.code.encode(), message_id)
        if message.withheld:
            sealed = None  # made all the same, so that a decoy costs what a message costs
        to, country = self._phones.number(tx, message.phone_id)
        expected = self._pricing.estimate(
            tx,
            to=to,
            country=country,
            kind=message.kind,
            locale=message.locale,
            code=message.code,
            hours=message.hours,
        )
        cost = 0 if message.withheld else expected.micros
        self._spending.charge(tx, to=to, country=country, payer=message.payer, micros=cost)
        tx.run(
            _ADD,
            id=message_id,
            subject_id=message.subject_id,
            phone_id=message.phone_id,
            kind=message.kind.value,
            sealed_code=sealed,
            locale=message.locale,
            channel="sms",
            state="queued",
            decoy=int(message.withheld),
            hours=message.hours,
            segments=expected.segments,
            cost=cost,
            place=self._routes.place_of(to, country),
            next_at=tx.now,
            not_after=message.not_after,
            created_at=tx.now,
            updated_at=tx.now,
        )
        return message_id

    def withdraw(self, tx: Tx, subject_id: str) -> None:
        """End what is still queued about something that is over: nobody needs a dead code."""
        for row in tx.all(_WITHDRAW, subject=subject_id, now_=tx.now):
            self._timeline.note(tx, row.id, Happening.WITHDRAWN)

    def wipe_codes(self, tx: Tx) -> int:
        """Forget the codes of messages that can no longer be sent; return how many."""
        return tx.run(_WIPE_OLD, now_=tx.now)
