"""The worker: hands messages over, numbers the journal, and does what time does by itself.

Any number may run side by side.  Each job is one short transaction after another; nothing is held over the
network.  A worker that is killed loses nothing: its leases run out.
"""

from __future__ import annotations

import functools
import os
import random
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from types import FrameType
from typing import Final, assert_never

import structlog

from identity_service import telemetry
from identity_service.config import Settings
from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import SYSTEM, Unavailable
from identity_service.ports import SECOND
from identity_service.services.delivery import Asked, Claimed
from sms.providers.base import Accepted, FailureKind, OutgoingMessage, Provider, ProviderFailure
from sms.route import Choice, choose
from sms.texts import TextKind, render

log = structlog.get_logger("worker")
IDLE_SECONDS: Final = 0.1
_BATCH: Final = 20
_HOUSEKEEPING_SECONDS: Final = 2.0
_BEAT_SECONDS: Final = 5.0
_SEQUENCER_LEASE: Final = 10  # seconds
_LONGEST_PAUSE: Final = 5.0


def _host(settings: Settings, kind: TextKind) -> str | None:
    """Return the address that a text names: where a code belongs, or where an invitee goes."""
    match kind:
        case TextKind.OTP:
            return settings.otp_host
        case TextKind.INVITE:
            return settings.join_host
        case TextKind.RECOVERY_HELD | TextKind.RECOVERY_GRANTED:
            return None
        case _:
            assert_never(kind)


def _broken() -> ProviderFailure:
    """A message that could not even be written: our fault; tried again, then laid before an operator."""
    plain = "The message could not be prepared. We have been told."
    return ProviderFailure(kind=FailureKind.UNAVAILABLE, provider="worker", plain=plain)


def _asked(choice: Choice, started: float) -> Asked:
    name = "worker" if choice.provider is None else choice.provider.name
    return Asked(provider=name, why=choice.reason.value, took_ms=int((monotonic() - started) * 1000))


class Worker:
    """One worker.

    Parameters:
        providers: the message providers by name; the route's order is the settings'.
        senders: how many messages are with providers at once.
    """

    def __init__(self, services: Container, *, senders: int = 8) -> None:
        self._services = services
        self._providers: Mapping[str, Provider] = services.providers
        self._route = services.settings.providers
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._stop = threading.Event()
        self._senders = senders
        self._last_beat = self._last_housekeeping = 0.0

    def run(self) -> None:
        """Work until told to stop."""
        log.info("worker_started", worker=self._name, route=list(self._route))
        pause = IDLE_SECONDS
        with ThreadPoolExecutor(self._senders, thread_name_prefix="sender") as pool:
            while not self._stop.is_set():
                try:
                    busy = self.step(pool)
                    pause = IDLE_SECONDS
                except Unavailable as error:
                    log.warning("store_unavailable", error=str(error))
                    busy, pause = False, min(pause * 2, _LONGEST_PAUSE)
                if not busy:
                    self._stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing
        log.info("worker_stopped", worker=self._name)

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self._stop.set()

    def stop_on_signals(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)

    def step(self, pool: ThreadPoolExecutor | None = None) -> bool:
        """Do one round of everything that is due; return whether there was something to do."""
        sent = self._guarded("deliver", lambda: self.deliver(pool))
        numbered = self._guarded("sequence", self.sequence)
        self._beat()
        if monotonic() - self._last_housekeeping >= _HOUSEKEEPING_SECONDS:
            self._last_housekeeping = monotonic()
            self.housekeep()
        return bool(sent or numbered)

    def _guarded(self, job: str, work: Callable[[], int]) -> int:
        """Run one job; what goes wrong in it is told and stops no other."""
        try:
            return work()
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001
            telemetry.FAULTS.labels(job).inc()
            log.error("job_failed", job=job, error_type=type(error).__name__, where=telemetry.where(error))  # noqa: TRY400
            return 0

    def _beat(self) -> None:
        if monotonic() - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = monotonic()
            self._services.store.transact(SYSTEM, lambda tx: self._services.worker_state.beat(tx, self._name))

    # -- messages ---------------------------------------------------------------------------------------

    def deliver(self, pool: ThreadPoolExecutor | None = None) -> int:
        """Claim due messages and hand them over; return how many."""
        delivery = self._services.delivery
        if not self._services.store.query(SYSTEM, delivery.is_due):
            return 0  # looked first, so that an idle worker never asks for SQLite's write lock
        claimed = self._services.store.transact(SYSTEM, lambda tx: delivery.claim(tx, _BATCH))
        if pool is None or len(claimed) < 2:
            for message in claimed:
                self._hand_over(message)
        else:
            list(pool.map(self._hand_over, claimed))
        return len(claimed)

    def _hand_over(self, message: Claimed) -> None:
        """One message, outside any transaction, and then its outcome."""
        if message.decoy:
            self._withhold(message)
            return
        choice = self._choose(message)
        started = monotonic()
        try:
            accepted = self._send(message, choice.provider)
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
            self._mark_failed(message, failure, _asked(choice, started))
            return
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            # Not the traceback: an error of a renderer quotes what it could not render.
            log.error("message_broken", message_id=message.id, error_type=type(error).__name__)  # noqa: TRY400
            self._mark_failed(message, _broken(), _asked(choice, started))
            return
        telemetry.MESSAGES.labels(accepted.provider, "accepted").inc()
        self._mark_accepted(message, accepted, _asked(choice, started))

    def _withhold(self, message: Claimed) -> None:
        """Count a decoy like any other: the metrics must not tell who is a member."""
        telemetry.MESSAGES.labels(self._route[0], "accepted").inc()
        delivery = self._services.delivery
        self._services.store.transact(SYSTEM, lambda tx: delivery.mark_withheld(tx, message))

    def _mark_accepted(self, message: Claimed, accepted: Accepted, asked: Asked) -> None:
        store, delivery = self._services.store, self._services.delivery
        try:
            store.transact(SYSTEM, lambda tx: delivery.mark_accepted(tx, message, accepted, asked))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - e.g. a provider that gives one id twice
            log.error("outcome_lost", message_id=message.id, error_type=type(error).__name__)  # noqa: TRY400
            store.transact(SYSTEM, lambda tx: delivery.mark_lost(tx, message))

    def _mark_failed(self, message: Claimed, failure: ProviderFailure, asked: Asked) -> None:
        delivery, another = self._services.delivery, message.attempts < len(self._route)
        self._services.store.transact(
            SYSTEM, lambda tx: delivery.mark_failed(tx, message, failure, asked, another=another)
        )

    def _choose(self, message: Claimed) -> Choice:
        # The next attempt of a message goes to the next provider of the route, round and round.
        first = (message.attempts - 1) % len(self._route)
        return choose(self._route, self._providers, tried=self._route[:first])

    def _send(self, message: Claimed, provider: Provider | None) -> Accepted:
        assert provider is not None
        settings = self._services.settings
        text = render(
            message.kind,
            message.locale,
            code=message.code,
            host=_host(settings, message.kind),
            app_hash=settings.sms_app_hash or None,
            brand=settings.brand,
            hours=message.hours,
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

    # -- the journal ------------------------------------------------------------------------------------

    def sequence(self) -> int:
        """Number what was written since; one worker at a time, by a lease."""
        services = self._services
        if not services.store.query(SYSTEM, services.journal.has_new):
            return 0

        def number(tx: Tx) -> int:
            if not services.worker_state.take_lease(tx, "sequencer", self._name, _SEQUENCER_LEASE):
                return 0
            return services.journal.sequence(tx)

        count = services.store.transact(SYSTEM, number)
        telemetry.SEQUENCED.inc(count)
        return count

    # -- time ---------------------------------------------------------------------------------------------

    def housekeep(self) -> dict[str, int]:
        """Run each task once, each a bounded piece of work; return how much each did."""
        done: dict[str, int] = {}
        for name, task in self._services.housekeeping.tasks.items():
            done[name] = self._guarded(name, functools.partial(self._services.store.transact, SYSTEM, task))
            if done[name]:
                telemetry.TASKS.labels(name).inc(done[name])
                log.info("housekeeping", task=name, count=done[name])
        return done
