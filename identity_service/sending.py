"""Messages handed over to providers, outside any transaction, and what came of it.

Each provider has threads of its own and takes no more messages at once than it has threads: one that is slow
or down holds up its own messages only, and nothing else that the worker does.  What a provider has no room
for goes back to the queue until there is likely a place, so that the next look finds the messages of others;
where that would take long, it goes to the next provider of its route that is well.  One that asked for
patience gets it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

import structlog

from identity_service import telemetry
from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import SYSTEM, Unavailable
from identity_service.ports import SECOND
from identity_service.services.claims import Claimed
from identity_service.services.outcomes import Asked
from identity_service.services.receipts import Followed
from identity_service.services.routing import Routed
from sms.providers.base import Accepted, FailureKind, OutgoingMessage, Provider, ProviderFailure, TellsLater

log = structlog.get_logger("sender")
IDLE_SECONDS: Final = 0.1
AT_ONCE: Final = 8
_BATCH: Final = 20
_WIDE_BATCH: Final = 100
"""Claimed at once while a provider has no room: its messages must not hide those of the others."""
_LONGEST_PAUSE: Final = 5.0
_LONGEST_PATIENCE: Final = 60.0
_FOLLOWING_SECONDS: Final = 5.0
_USUAL_SECONDS: Final = 0.25
_SHORTEST_WAIT: Final = 0.1
_WORTH_WAITING: Final = 2.0
"""Seconds in a line; who would stand longer goes to the next provider of the route."""
_LONGEST_LINE: Final = 20.0
"""Beyond a provider's patience: it may be well again at any time, and must not stand idle for long."""


def _broken() -> ProviderFailure:
    """A message that could not even be written: our fault; tried again, then laid before an operator."""
    plain = "The message could not be prepared. We have been told."
    return ProviderFailure(kind=FailureKind.UNAVAILABLE, provider="worker", plain=plain)


def _asked(routed: Routed, started: float) -> Asked:
    assert routed.choice.provider is not None
    took = int((monotonic() - started) * 1000)
    return Asked(
        provider=routed.choice.provider.name,
        why=routed.choice.reason.value,
        took_ms=took,
        tells_later=isinstance(routed.choice.provider, TellsLater),
    )


class Desk:
    """One provider's counter: how many messages are with it, who waits, and until when it wants none."""

    def __init__(self, name: str, at_once: int) -> None:
        self.name, self._at_once = name, at_once
        self._lock = threading.Lock()
        self._busy = 0
        self._away_until = 0.0
        self._usual = _USUAL_SECONDS
        self._moved_at = monotonic()
        self._line_until = 0.0

    @property
    def is_away(self) -> bool:
        return monotonic() < self._away_until

    def be_patient(self, seconds: float) -> None:
        """Send nothing for so long: it asked for that."""
        self._away_until = max(self._away_until, monotonic() + min(seconds, _LONGEST_PATIENCE))

    def take(self) -> bool:
        """Take a place, where there is one."""
        with self._lock:
            if self._busy >= self._at_once or self.is_away:
                return False
            self._busy += 1
            self._moved_at = monotonic()
            return True

    def free(self, seconds: float) -> None:
        """Give a place back that was taken for so long."""
        with self._lock:
            self._busy -= 1
            self._moved_at = monotonic()
            self._usual += (seconds - self._usual) / 4

    def line_up(self) -> float:
        """Return the seconds after which one more message, behind those told before, likely finds a place."""
        with self._lock:
            now = monotonic()
            opens = max(now, self._away_until)
            # Where nothing has moved for longer than usual, it takes at least that long.
            each = max(self._usual, now - self._moved_at) / self._at_once
            self._line_until = max(self._line_until, opens) + each
            if self._line_until > opens + _LONGEST_LINE:
                self._line_until = opens + each
            return max(_SHORTEST_WAIT, self._line_until - now)

    @property
    def is_stuck(self) -> bool:
        """Whether it is full, and whoever comes now would wait for long."""
        with self._lock:
            now = monotonic()
            line = max(self._line_until - now, now - self._moved_at)
            return self._busy >= self._at_once and line > _WORTH_WAITING

    @property
    def places(self) -> int:
        return max(0, self._at_once - self._busy)


class Sender:
    """Takes messages from the outbox to their providers.

    Parameters:
        at_once: how many messages are with each provider at once.
    """

    def __init__(self, services: Container, *, at_once: int = AT_ONCE) -> None:
        self._services = services
        self._providers: Mapping[str, Provider] = services.providers
        self._at_once = at_once
        self._desks = {name: Desk(name, at_once) for name in services.providers}

    # -- in a thread of its own -------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; then wait for what is on its way."""
        pools = {
            name: ThreadPoolExecutor(self._at_once, thread_name_prefix=f"sms-{name}") for name in self._desks
        }
        pause = IDLE_SECONDS
        while not stop.is_set():
            busy = False
            try:
                busy = self._round(pools)
                pause = IDLE_SECONDS
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))
                pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception as error:  # noqa: BLE001 - told, and tried again
                _tell_fault(error)
            if not busy:
                stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing
        for pool in pools.values():
            pool.shutdown()

    def _round(self, pools: Mapping[str, ThreadPoolExecutor]) -> bool:
        """Claim as many as there is room for, give each to its provider's threads, and put the rest back.

        Returns:
            Whether anything was claimed: more may wait behind it.
        """
        open_ = [desk for desk in self._desks.values() if desk.places and not desk.is_away]
        if not open_:
            return False
        all_open = len(open_) == len(self._desks)
        claimed = self._claim(min(sum(desk.places for desk in open_), _BATCH) if all_open else _WIDE_BATCH)
        for message in claimed:
            if message.decoy:
                self._withhold(message)
        routed = self._routed([message for message in claimed if not message.decoy])
        self._put_back([one for one in routed if not self._hand_out(*one, pools)])
        return bool(claimed)

    def _hand_out(self, message: Claimed, routed: Routed, pools: Mapping[str, ThreadPoolExecutor]) -> bool:
        """Give a message to its provider's threads; return whether there was a place."""
        desk = self._desk_of(routed)
        if not desk.take():
            return False

        def carry() -> None:
            started = monotonic()
            try:
                self._carry(message, routed)
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))  # its lease runs out
            except Exception as error:  # noqa: BLE001 - nobody else would tell
                _tell_fault(error)
            finally:
                desk.free(monotonic() - started)

        pools[desk.name].submit(carry)
        return True

    # -- one after the other ----------------------------------------------------------------------------

    def deliver(self) -> int:
        """Claim due messages and hand them over, here and now; return how many."""
        claimed = self._claim(_BATCH)
        for message in claimed:
            if message.decoy:
                self._withhold(message)
            else:
                self._carry(*self._routed([message])[0])
        return len(claimed)

    # -- asked later ------------------------------------------------------------------------------------

    def follow(self, stop: threading.Event) -> None:
        """Ask later what became of messages, in a thread of its own, until told to stop."""
        while not stop.wait(_FOLLOWING_SECONDS):
            try:
                while not stop.is_set() and self.ask_later():
                    pass
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))
            except Exception as error:  # noqa: BLE001 - told, and tried again
                _tell_fault(error)

    def ask_later(self) -> int:
        """Ask about some messages whose time has come; return how many."""
        store, receipts = self._services.store, self._services.receipts
        if not store.query(SYSTEM, receipts.has_followers):
            return 0
        found = store.transact(SYSTEM, lambda tx: receipts.take_followers(tx, _BATCH))
        for one in found:
            provider: object = self._providers.get(one.provider)
            if isinstance(provider, TellsLater):
                try:
                    self._ask(provider, one)
                except ProviderFailure as failure:
                    log.warning("not_told", provider=one.provider, kind=failure.kind.value)
                except Unavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - one bad answer must not stop the others
                    _tell_fault(error)
        return len(found)

    def _ask(self, provider: TellsLater, one: Followed) -> None:
        """Keep what the provider tells; then tell it whether the code came back."""
        receipts = self._services.receipts
        receipt = provider.fetch(one.provider_ref)
        self._services.store.transact(SYSTEM, lambda tx: receipts.receive(tx, one.attempt_id, receipt))
        if self._services.settings.twilio_feedback and one.code_came_back is not None:
            provider.report_outcome(one.provider_ref, code_came_back=one.code_came_back)

    # -- one message ------------------------------------------------------------------------------------

    def _claim(self, limit: int) -> list[Claimed]:
        store, claims = self._services.store, self._services.claims
        if not store.query(SYSTEM, claims.is_due):
            return []  # looked first, so that an idle worker never asks for SQLite's write lock
        return store.transact(SYSTEM, lambda tx: claims.claim(tx, limit))

    def _routed(self, messages: list[Claimed]) -> list[tuple[Claimed, Routed]]:
        """Choose a provider for each."""
        if not messages:
            return []
        away = [desk.name for desk in self._desks.values() if desk.is_away]
        full = [desk.name for desk in self._desks.values() if desk.is_stuck]
        routing = self._services.routing
        return self._services.store.query(
            SYSTEM,
            lambda tx: [(message, routing.choose(tx, message, away=away, full=full)) for message in messages],
        )

    def _desk_of(self, routed: Routed) -> Desk:
        assert routed.choice.provider is not None
        return self._desks[routed.choice.provider.name]

    def _put_back(self, crowded: list[tuple[Claimed, Routed]]) -> None:
        """Give back what no provider had room for, all of it in one transaction."""
        if not crowded:
            return
        waits = [(message, int(self._desk_of(routed).line_up() * SECOND)) for message, routed in crowded]
        claims = self._services.claims

        def put_back(tx: Tx) -> None:
            for message, wait in waits:
                claims.put_back(tx, message, tx.now + wait)

        self._services.store.transact(SYSTEM, put_back)

    def _carry(self, message: Claimed, routed: Routed) -> None:
        """Hand one message over, outside any transaction, and write down its outcome."""
        started = monotonic()
        try:
            accepted = self._send(message, routed.choice.provider)
        except ProviderFailure as failure:
            telemetry.MESSAGES.labels(failure.provider, failure.kind.value).inc()
            log.warning(
                "message_failed",
                message_id=message.id,
                provider=failure.provider,
                kind=failure.kind.value,
                provider_code=failure.provider_code,
                attempt=message.attempts,
            )
            if failure.kind is FailureKind.THROTTLED and failure.retry_after:
                self._desks[failure.provider].be_patient(failure.retry_after)
            self._mark_failed(message, failure, routed, started)
            return
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            # Not the traceback: an error of a renderer quotes what it could not render.
            log.error("message_broken", message_id=message.id, error_type=type(error).__name__)  # noqa: TRY400
            self._mark_failed(message, _broken(), routed, started)
            return
        telemetry.MESSAGES.labels(accepted.provider, "accepted").inc()
        self._mark_accepted(message, accepted, _asked(routed, started))

    def _withhold(self, message: Claimed) -> None:
        """Count a decoy like any other: the metrics must not tell who is a member."""
        first = self._services.routing.first_of(message.to, message.country)
        telemetry.MESSAGES.labels(first, "accepted").inc()
        outcomes = self._services.outcomes
        self._services.store.transact(SYSTEM, lambda tx: outcomes.mark_withheld(tx, message))

    def _mark_accepted(self, message: Claimed, accepted: Accepted, asked: Asked) -> None:
        store, outcomes = self._services.store, self._services.outcomes
        try:
            store.transact(SYSTEM, lambda tx: outcomes.mark_accepted(tx, message, accepted, asked))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - e.g. a provider that gives one id twice
            log.error("outcome_lost", message_id=message.id, error_type=type(error).__name__)  # noqa: TRY400
            store.transact(SYSTEM, lambda tx: outcomes.mark_lost(tx, message))

    def _mark_failed(
        self, message: Claimed, failure: ProviderFailure, routed: Routed, started: float
    ) -> None:
        store, outcomes = self._services.store, self._services.outcomes
        asked = _asked(routed, started)
        store.transact(
            SYSTEM, lambda tx: outcomes.mark_failed(tx, message, failure, asked, another=routed.another)
        )

    def _send(self, message: Claimed, provider: Provider | None) -> Accepted:
        assert provider is not None
        settings = self._services.settings
        text = self._services.wording.text(
            message.kind, message.locale, code=message.code, hours=message.hours
        )
        callback = f"{settings.public_url.rstrip('/')}/callbacks/{provider.name}/status"
        return provider.send(
            OutgoingMessage(
                attempt_id=message.attempt_id,
                to=message.to,
                body=text.body,
                country=message.country,
                validity_seconds=max(1, (message.not_after - self._services.clock.now()) // SECOND),
                callback_url=f"{callback}?attempt={message.attempt_id}",
            )
        )


def _tell_fault(error: Exception) -> None:
    telemetry.FAULTS.labels("deliver").inc()
    log.error("job_failed", job="deliver", error_type=type(error).__name__, where=telemetry.where(error))
