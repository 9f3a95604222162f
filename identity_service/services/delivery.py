"""The outbox of messages: queued with what they tell, claimed by workers, handed to a provider, followed.

Three transactions, none of them held open over the network: (1) the use case queues a row; (2) a worker
claims due rows with a lease and an attempt id; (3) it marks the outcome, if the attempt is still its own.
A worker that dies between the provider's answer and (3) leaves a lease that runs out; the message is then
sent again: at least once, at most one duplicate a crash.  The attempt id is the provider's idempotency key
where it has one, and stands in the callback's address, so that a receipt finds its message even when the
provider's answer was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from identity_service.crypto import Seal
from identity_service.db.store import Statement, Tx, binds
from identity_service.db.tables import messages, phones
from identity_service.errors import not_found
from identity_service.ports import MINUTE, SECOND, Entropy, Ids, Instant
from identity_service.services import budgets
from identity_service.services.journal import Journal
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.pricing import Pricing
from identity_service.services.spending import Payer, Spending
from identity_service.services.timeline import Timeline
from sms.fate import Happening
from sms.numbers import E164
from sms.providers.base import Accepted, FailureKind, Price, ProviderFailure, Receipt
from sms.states import DeliveryState, advance
from sms.texts import TextKind

LEASE: Final = MINUTE
MAX_ATTEMPTS: Final = 6
MOST_CLAIMS: Final = 30
"""Far above MAX_ATTEMPTS: attempts whose worker died count here, too."""
_FOLLOW_AFTER: Final = 15 * MINUTE
_FIRST_BACKOFF: Final = 2 * SECOND
_LONGEST_BACKOFF: Final = 5 * MINUTE

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
    "next_at",
    "not_after",
    "created_at",
    "updated_at",
)
_ADD = Statement(insert(messages).values(binds(_COLUMNS)))
_due = (
    select(messages.c.id)
    .where(messages.c.state == "queued", messages.c.next_at <= _now)
    .order_by(messages.c.next_at)
    .limit(bindparam("limit"))
)
_CLAIM_FIELDS = (
    messages.c.id,
    messages.c.subject_id,
    messages.c.phone_id,
    messages.c.kind,
    messages.c.sealed_code,
    messages.c.locale,
    messages.c.channel,
    messages.c.hours,
    messages.c.attempts,
    messages.c.attempt_id,
    messages.c.not_after,
    messages.c.decoy,
    messages.c.segments,
    messages.c.cost,
)


def _claim(due: Any) -> Any:
    return (
        update(messages)
        .where(messages.c.id.in_(due), messages.c.state == "queued")
        .values(
            state="sending",
            lease_until=bindparam("lease_until"),
            # A name for this attempt that no other attempt of any message has.
            attempt_id=messages.c.id + "." + cast(messages.c.attempts + 1, String),
            attempts=messages.c.attempts + 1,
            updated_at=_now,
        )
        .returning(*_CLAIM_FIELDS)
    )


# PostgreSQL's workers step over each other's rows; SQLite's take turns at the write lock.
_CLAIM = Statement(_claim(_due), postgresql=_claim(_due.with_for_update(skip_locked=True)))
_ANY_DUE = Statement(
    union_all(
        select(messages.c.id).where(messages.c.state == "queued", messages.c.next_at <= _now),
        select(messages.c.id).where(messages.c.state == "sending", messages.c.lease_until <= _now),
    ).limit(1)
)
_REQUEUE_LOST = Statement(
    update(messages)
    .where(messages.c.state == "sending", messages.c.lease_until <= _now)
    .values(state="queued", next_at=_now, lease_until=None)
)
_mine = (messages.c.id == bindparam("message"), messages.c.attempt_id == bindparam("attempt"))
_still_sending = (*_mine, messages.c.state == "sending")
# A one-time code that is not entered in its life was lost, or nobody wanted it: it is judged then.
_unjudged = and_(messages.c.kind == "otp", messages.c.came_back_at.is_(None))
_MARK_SENT = Statement(
    update(messages)
    .where(*_still_sending)
    .values(
        state=bindparam("reached"),
        provider=bindparam("by"),
        provider_ref=bindparam("ref"),
        segments=func.coalesce(bindparam("size", type_=Integer), messages.c.segments),
        cost=func.coalesce(bindparam("cost_", type_=BigInteger), messages.c.cost),
        follow_at=bindparam("follow_"),
        sealed_code=None,
        lease_until=None,
        reason=None,
        failure=None,
        charged=bindparam("charged_"),
        judge_at=case((_unjudged, messages.c.not_after)),
        updated_at=_now,
    )
)
_MARK_AGAIN = Statement(
    update(messages)
    .where(*_still_sending)
    .values(
        state="queued",
        next_at=bindparam("again_at"),
        lease_until=None,
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        updated_at=_now,
    )
)
_PUT_BACK = Statement(
    update(messages)
    .where(*_still_sending)
    .values(
        state="queued",
        attempts=messages.c.attempts - 1,
        next_at=bindparam("again_at"),
        lease_until=None,
        updated_at=_now,
    )
)
_MARK_OVER = Statement(
    update(messages)
    .where(*_still_sending)
    .values(
        state=bindparam("end"),
        lease_until=None,
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        provider=bindparam("by"),
        updated_at=_now,
    )
)
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
_WIPE = Statement(update(messages).where(messages.c.id == bindparam("message")).values(sealed_code=None))
_BY_ATTEMPT = Statement(
    select(
        messages.c.id,
        messages.c.state,
        messages.c.attempts,
        messages.c.attempt_id,
        messages.c.provider,
        messages.c.provider_ref,
    ).where(
        or_(
            messages.c.id == bindparam("message"),
            (messages.c.provider == bindparam("by")) & (messages.c.provider_ref == bindparam("ref")),
        )
    )
)
_FOLLOW = Statement(
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.state == bindparam("was"))
    .values(
        state=bindparam("reached"),
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        provider=bindparam("by"),
        provider_ref=bindparam("ref"),
        judge_at=case(
            (_unjudged & (messages.c.not_after > _now), messages.c.not_after), else_=messages.c.judge_at
        ),
        sealed_code=None,
        lease_until=None,
        updated_at=_now,
    )
)
_PRICED = Statement(
    update(messages).where(messages.c.id == bindparam("message")).values(charged=bindparam("charged_"))
)
_TO_FOLLOW = (
    select(messages.c.id)
    .where(messages.c.follow_at <= _now)
    .order_by(messages.c.follow_at)
    .limit(bindparam("limit"))
)
_FOLLOW_UP = Statement(
    update(messages)
    .where(messages.c.id.in_(_TO_FOLLOW), messages.c.follow_at <= _now)  # again: another took it meanwhile
    .values(follow_at=None)
    .returning(
        messages.c.id,
        messages.c.kind,
        messages.c.provider,
        messages.c.provider_ref,
        messages.c.attempt_id,
        messages.c.came_back_at,
    )
)
_ANY_TO_FOLLOW = Statement(select(messages.c.id).where(messages.c.follow_at <= _now).limit(1))
_DEAD = Statement(
    select(
        messages.c.id,
        messages.c.subject_id,
        messages.c.kind,
        messages.c.attempts,
        messages.c.reason,
        messages.c.updated_at,
        phones.c.masked,
    )
    .join(phones, phones.c.id == messages.c.phone_id)
    .where(messages.c.state == "dead")
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)
_REPLAY = Statement(
    update(messages)
    .where(
        messages.c.id == bindparam("message"),
        messages.c.state == "dead",
        messages.c.not_after > _now,
    )
    .values(state="queued", next_at=_now, reason=None, failure=None, updated_at=_now)
    .returning(messages.c.attempts)
)
_STATE_OF: Final = {
    DeliveryState.NONE: "sent",
    DeliveryState.QUEUED: "sent",  # the provider has it; to us it is on its way
    DeliveryState.SENT: "sent",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.UNDELIVERED: "undelivered",
    DeliveryState.FAILED: "failed",
}
_REPORTED: Final = {
    DeliveryState.SENT: Happening.SENT,
    DeliveryState.DELIVERED: Happening.DELIVERED,
    DeliveryState.UNDELIVERED: Happening.UNDELIVERED,
    DeliveryState.FAILED: Happening.FAILED,
}
_REACHED: Final = {
    "queued": DeliveryState.NONE,
    "sending": DeliveryState.NONE,
    "dead": DeliveryState.NONE,
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.FAILED,
}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which provider an attempt went to, why to that one, and how long it took to answer."""

    provider: str
    why: str
    took_ms: int
    tells_later: bool = False
    """Whether it can be asked later what became of the message and what it cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that this worker may hand over until its lease runs out."""

    id: str
    subject_id: str
    phone_id: str
    to: E164
    country: str
    kind: TextKind
    code: str | None
    locale: str | None
    hours: int | None
    attempts: int
    attempt_id: str
    not_after: Instant
    decoy: bool
    segments: int
    charged: int
    """What its caps were charged with, in millionths of a dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A message whose provider is asked what became of it; whether its code came back, where it had one."""

    attempt_id: str
    provider: str
    provider_ref: str
    code_came_back: bool | None


class Delivery:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        entropy: Entropy,
        seal: Seal,
        phones: Phones,
        timeline: Timeline,
        pricing: Pricing,
        spending: Spending,
        journal: Journal,
    ) -> None:
        self._pricing, self._spending = pricing, spending
        self._policies, self._ids, self._entropy = policies, ids, entropy
        self._seal, self._phones, self._timeline, self._journal = seal, phones, timeline, journal

    # -- queueing -----------------------------------------------------------------------------------

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
            next_at=tx.now,
            not_after=message.not_after,
            created_at=tx.now,
            updated_at=tx.now,
        )
        return message_id

    # -- the worker's side --------------------------------------------------------------------------

    def withdraw(self, tx: Tx, subject_id: str) -> None:
        """End what is still queued about something that is over: nobody needs a dead code."""
        for row in tx.all(_WITHDRAW, subject=subject_id, now_=tx.now):
            self._timeline.note(tx, row.id, Happening.WITHDRAWN)

    def is_due(self, tx: Tx) -> bool:
        """Whether a message waits, or a lease has run out."""
        return tx.one(_ANY_DUE, now_=tx.now) is not None

    def claim(self, tx: Tx, limit: int) -> list[Claimed]:
        """Take due messages for one attempt each.

        What can never be sent ends here, and stops nobody else: its time is over, its workers died again and
        again, or it cannot be opened.
        """
        tx.run(_REQUEUE_LOST, now_=tx.now)
        claimed = []
        for row in tx.all(_CLAIM, now_=tx.now, lease_until=tx.now + LEASE, limit=limit):
            if row.not_after <= tx.now:
                self._over(tx, row, "failed", "Its time was over before it could be sent.")
            elif row.attempts > MOST_CLAIMS:
                self._over(tx, row, "dead", "Sending it was broken off too often.")
            else:
                opened = self._opened(tx, row)
                if opened is None:
                    self._over(tx, row, "dead", "The message could not be read.")
                else:
                    claimed.append(opened)
        return claimed

    def _opened(self, tx: Tx, row: Any) -> Claimed | None:
        """Open a message's number and code; None where a key is gone or another release wrote it."""
        try:
            number, country = self._phones.number(tx, row.phone_id)
            return Claimed(
                id=row.id,
                subject_id=row.subject_id,
                phone_id=row.phone_id,
                to=number,
                country=country,
                kind=TextKind(row.kind),
                code=row.sealed_code and self._seal.open(row.sealed_code, row.id).decode(),
                locale=row.locale,
                hours=row.hours,
                attempts=row.attempts,
                attempt_id=row.attempt_id,
                not_after=row.not_after,
                decoy=bool(row.decoy),
                segments=row.segments or 1,
                charged=row.cost or 0,
            )
        except (ValueError, TypeError):
            return None

    def put_back(self, tx: Tx, claimed: Claimed, again_at: Instant) -> None:
        """Give a claimed message back untried: its provider has no room.  Its attempt was none."""
        tx.run(
            _PUT_BACK,
            message=claimed.id,
            attempt=claimed.attempt_id,
            again_at=min(again_at, claimed.not_after),
            now_=tx.now,
        )

    def mark_withheld(self, tx: Tx, claimed: Claimed) -> None:
        """A decoy went as far as a decoy goes."""
        tx.run(
            _MARK_OVER,
            message=claimed.id,
            attempt=claimed.attempt_id,
            end="withheld",
            why=None,
            kind_=None,
            by=None,
            now_=tx.now,
        )

    def mark_lost(self, tx: Tx, claimed: Claimed) -> None:
        """It was handed over, and the outcome cannot be written: never again, or the phone rings for ever."""
        self._over(tx, claimed, "dead", "It was sent, but its outcome could not be kept.")

    def mark_accepted(self, tx: Tx, claimed: Claimed, accepted: Accepted, asked: Asked) -> None:
        segments = accepted.segments or claimed.segments
        cost = segments * self._pricing.micros(tx, accepted.provider, claimed.to, claimed.country)
        marked = tx.run(
            _MARK_SENT,
            message=claimed.id,
            attempt=claimed.attempt_id,
            reached=_STATE_OF[accepted.state],
            by=accepted.provider,
            ref=accepted.provider_id,
            size=accepted.segments,
            cost_=cost,
            charged_=self._in_micros(tx, accepted.price),
            follow_=tx.now + _FOLLOW_AFTER if asked.tells_later else None,
            now_=tx.now,
        )
        if marked:
            self._count(tx, claimed, cost - claimed.charged)
        what = [Happening.ACCEPTED]
        if accepted.state is DeliveryState.DELIVERED:
            what.append(Happening.DELIVERED)
        for happening in what if marked else ():
            self._timeline.note(
                tx,
                claimed.id,
                happening,
                attempt=claimed.attempts,
                provider=accepted.provider,
                why=asked.why,
                took_ms=asked.took_ms,
            )

    def _count(self, tx: Tx, claimed: Claimed, micros: int) -> None:
        self._spending.count(tx, claimed.id, to=claimed.to, country=claimed.country, micros=micros)

    def _in_micros(self, tx: Tx, price: Price | None) -> int | None:
        """Return what a provider took, in millionths of a dollar; None in a currency without a rate."""
        if price is None:
            return None
        rate = 1.0 if price.currency == "USD" else self._policies.of(tx).prices.usd_per.get(price.currency)
        return None if rate is None else round(float(price.amount) * rate * 1_000_000)

    def mark_failed(
        self, tx: Tx, claimed: Claimed, failure: ProviderFailure, asked: Asked, *, another: bool = False
    ) -> None:
        """Try again, or end: what no provider can help with at once, the rest after some tries.

        Parameters:
            another: whether the route has a provider that this message has not been with.
        """
        if self._fail(tx, claimed, failure, another=another):
            self._timeline.note(
                tx,
                claimed.id,
                Happening.REFUSED,
                attempt=claimed.attempts,
                provider=failure.provider,
                failure=failure.kind,
                provider_code=failure.provider_code,
                plain=failure.plain,
                why=asked.why,
                took_ms=asked.took_ms,
            )

    def _fail(self, tx: Tx, claimed: Claimed, failure: ProviderFailure, *, another: bool) -> bool:
        """Mark a failed attempt; return whether it was still this worker's."""
        if failure.kind in (FailureKind.WRONG_NUMBER, FailureKind.FRAUD):
            return self._over(tx, claimed, "failed", failure.plain, failure)
        # Our account or sender was refused: an operator must act, and can replay it then.
        if failure.kind is FailureKind.REJECTED and not another:
            return self._over(tx, claimed, "dead", failure.plain, failure)
        # The next provider is asked at once, unless the phone may ring already: a person would get two.
        at_once = another and not failure.may_have_been_sent
        wait = 0 if at_once else self._backoff(claimed.attempts, failure.retry_after)
        again_at = tx.now + wait
        if claimed.attempts >= MAX_ATTEMPTS or again_at >= claimed.not_after:
            return self._over(tx, claimed, "dead", failure.plain, failure)
        if not tx.run(
            _MARK_AGAIN,
            message=claimed.id,
            attempt=claimed.attempt_id,
            again_at=again_at,
            why=failure.plain,
            kind_=failure.kind.value,
            now_=tx.now,
        ):
            return False
        if failure.may_have_been_sent:  # it may be paid for; the next attempt is paid from what was charged
            price = self._pricing.micros(tx, failure.provider, claimed.to, claimed.country)
            self._count(tx, claimed, claimed.segments * price)
        return True

    def _backoff(self, attempts: int, retry_after: float | None) -> Instant:
        """Exponential with full jitter on the upper half, never sooner than the provider asked."""
        ceiling = min(_FIRST_BACKOFF << attempts, _LONGEST_BACKOFF)
        wait = ceiling // 2 + self._entropy.below(ceiling // 2)
        return max(wait, int((retry_after or 0) * SECOND))

    def _over(
        self, tx: Tx, message: Any, state: str, why: str, failure: ProviderFailure | None = None
    ) -> bool:
        """End a message whose attempt is still ours; return whether it was."""
        kind = None if failure is None else failure.kind.value
        if not tx.run(
            _MARK_OVER,
            message=message.id,
            attempt=message.attempt_id,
            end=state,
            why=why,
            kind_=kind,
            by=None if failure is None else failure.provider,
            now_=tx.now,
        ):
            return False
        if state == "failed":
            tx.run(_WIPE, message=message.id)
        what = Happening.FAILED if state == "failed" else Happening.GIVEN_UP
        self._timeline.note(
            tx, message.id, what, attempt=message.attempts, plain=why if state == "failed" else None
        )
        data = {"message_id": message.id}
        self._journal.tell(tx, f"message.{state}", message.id, data, detail={"why": why}, public=False)
        return True

    # -- asked later --------------------------------------------------------------------------------

    def has_followers(self, tx: Tx) -> bool:
        """Whether it is time to ask a provider what became of a message."""
        return tx.one(_ANY_TO_FOLLOW, now_=tx.now) is not None

    def take_followers(self, tx: Tx, limit: int) -> list[Followed]:
        """Take messages whose providers are to be asked; each once: what is lost in a crash stays unasked."""
        return [
            Followed(
                attempt_id=row.attempt_id,
                provider=row.provider,
                provider_ref=row.provider_ref,
                code_came_back=None if row.kind != "otp" else row.came_back_at is not None,
            )
            for row in tx.all(_FOLLOW_UP, now_=tx.now, limit=limit)
        ]

    # -- receipts -----------------------------------------------------------------------------------

    def receive(self, tx: Tx, attempt_id: str, receipt: Receipt) -> bool:
        """Merge a provider's report; duplicates, late and reordered ones change nothing for the worse.

        Returns:
            Whether the message is known here.
        """
        named = {"by": receipt.provider, "ref": receipt.provider_id}
        message_id, _, number = attempt_id.partition(".")
        for _ in DeliveryState:  # overtaken that often by states that only move up? hardly
            row = tx.one(_BY_ATTEMPT, message=message_id, **named)
            if row is None or not _is_of(row, attempt_id, receipt):
                return False
            attempt = int(number) if row.id == message_id else row.attempts
            self._note_receipt(tx, row.id, attempt, receipt)
            if attempt < row.attempts and receipt.state is not DeliveryState.DELIVERED:
                return True  # a later attempt is under way; of an earlier one only good news still counts
            reached = _STATE_OF[advance(_REACHED[row.state], receipt.state)]
            if reached == row.state or tx.run(
                _FOLLOW,
                message=row.id,
                was=row.state,
                reached=reached,
                why=receipt.plain,
                kind_=receipt.failure and receipt.failure.value,
                now_=tx.now,
                **named,
            ):
                return True
            # Another report, or the worker's own mark, came between: merge with what it left.
        return True

    def _note_receipt(self, tx: Tx, message_id: str, attempt: int, receipt: Receipt) -> None:
        what = _REPORTED.get(receipt.state)
        if what is not None:
            self._timeline.note(
                tx,
                message_id,
                what,
                attempt=attempt,
                provider=receipt.provider,
                failure=receipt.failure,
                provider_code=receipt.provider_code,
                plain=receipt.plain,
            )
        charged = self._in_micros(tx, receipt.price)
        if charged is not None:
            tx.run(_PRICED, message=message_id, charged_=charged)

    def wipe_codes(self, tx: Tx) -> int:
        """Forget the codes of messages that can no longer be sent; return how many."""
        return tx.run(_WIPE_OLD, now_=tx.now)

    # -- for operators ------------------------------------------------------------------------------

    def dead_letters(self, tx: Tx, limit: int = 100) -> list[Any]:
        return tx.all(_DEAD, limit=limit)

    def replay(self, tx: Tx, message_id: str) -> None:
        """Queue a dead letter for one more attempt.

        Raises:
            Refused: `not_found`; also where its time is over.
        """
        row = tx.one(_REPLAY, message=message_id, now_=tx.now)
        if row is None:
            raise not_found("dead message whose time is not over")
        self._timeline.note(tx, message_id, Happening.REPLAYED, attempt=row.attempts)
        self._journal.tell(tx, "message.replayed", message_id, {"message_id": message_id}, public=False)


def _is_of(row: Any, attempt_id: str, receipt: Receipt) -> bool:
    """Whether a report is about this message: by the provider's own name for it, or by an attempt we made."""
    if row.provider == receipt.provider and row.provider_ref == receipt.provider_id:
        return True
    message_id, _, number = attempt_id.partition(".")
    made = number.isascii() and number.isdigit() and len(number) < 4 and 1 <= int(number) <= row.attempts
    return bool(row.id == message_id and made)
