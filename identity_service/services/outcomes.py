"""What came of an attempt, as the worker that made it tells: accepted, refused, or not to be sent at all.

An outcome is written only if the attempt is still that worker's: one that comes back from the dead changes
nothing.  A refusal that leaves a way is queued again, at once for the next provider and with growing pauses
for the same one; what no provider can help with ends (`endings.py`).  Later reports are `receipts.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Integer, bindparam, case, func, update

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import messages
from identity_service.ports import MINUTE, SECOND, Entropy, Instant
from identity_service.services.claims import Claimed
from identity_service.services.endings import STILL_OURS, Endings
from identity_service.services.policy_book import PolicyBook
from identity_service.services.pricing import Pricing, in_micros
from identity_service.services.receipts import STATE_OF, UNJUDGED
from identity_service.services.spending import Spending
from identity_service.services.timeline import Timeline
from sms.fate import Happening, words
from sms.providers.base import Accepted, FailureKind, ProviderFailure
from sms.states import DeliveryState

MAX_ATTEMPTS: Final = 6
_FOLLOW_AFTER: Final = 15 * MINUTE
_FIRST_BACKOFF: Final = 2 * SECOND
_LONGEST_BACKOFF: Final = 5 * MINUTE
_now = bindparam("now_", type_=BigInteger)
_MARK_SENT = Statement(
    update(messages)
    .where(*STILL_OURS)
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
        judge_at=case((UNJUDGED, messages.c.not_after)),
        updated_at=_now,
    )
)
_MARK_AGAIN = Statement(
    update(messages)
    .where(*STILL_OURS)
    .values(
        state="queued",
        next_at=bindparam("again_at"),
        lease_until=None,
        reason=bindparam("why"),
        failure=bindparam("kind_"),
        updated_at=_now,
    )
)
_WITHHOLD = Statement(
    update(messages).where(*STILL_OURS).values(state="withheld", lease_until=None, updated_at=_now)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which provider an attempt went to, why to that one, and how long it took to answer."""

    provider: str
    why: str
    took_ms: int
    tells_later: bool = False
    """Whether it can be asked later what became of the message and what it cost."""


class Outcomes:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        entropy: Entropy,
        endings: Endings,
        timeline: Timeline,
        pricing: Pricing,
        spending: Spending,
    ) -> None:
        self._policies, self._entropy, self._endings = policies, entropy, endings
        self._timeline, self._pricing, self._spending = timeline, pricing, spending

    def mark_withheld(self, tx: Tx, claimed: Claimed) -> None:
        """A decoy went as far as a decoy goes."""
        tx.run(_WITHHOLD, message=claimed.id, attempt=claimed.attempt_id, now_=tx.now)

    def mark_lost(self, tx: Tx, claimed: Claimed) -> None:
        """It was handed over, and the outcome cannot be written: never again, or the phone rings for ever."""
        self._endings.end(tx, claimed, "dead", "It was sent, but its outcome could not be kept.")

    def mark_accepted(self, tx: Tx, claimed: Claimed, accepted: Accepted, asked: Asked) -> None:
        segments = accepted.segments or claimed.segments
        cost = segments * self._pricing.micros(tx, accepted.provider, claimed.to, claimed.country)
        marked = tx.run(
            _MARK_SENT,
            message=claimed.id,
            attempt=claimed.attempt_id,
            reached=STATE_OF[accepted.state],
            by=accepted.provider,
            ref=accepted.provider_id,
            size=accepted.segments,
            cost_=cost,
            charged_=in_micros(accepted.price, self._policies.of(tx).prices.usd_per),
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
            return self._endings.end(tx, claimed, "failed", failure.plain, failure)
        # Our account or sender was refused: an operator must act, and can replay it then.
        if failure.kind is FailureKind.REJECTED and not another:
            return self._endings.end(tx, claimed, "dead", failure.plain, failure)
        # The next provider is asked at once, unless the phone may ring already: a person would get two.
        at_once = another and not failure.may_have_been_sent
        wait = 0 if at_once else self._backoff(claimed.attempts, failure.retry_after)
        again_at = tx.now + wait
        if claimed.attempts >= MAX_ATTEMPTS or again_at >= claimed.not_after:
            # Not in its words: they say that it will be tried again.
            return self._endings.end(tx, claimed, "dead", words(Happening.GIVEN_UP, claimed.country), failure)
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
