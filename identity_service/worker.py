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
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Final

import structlog

from identity_service import telemetry
from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import SYSTEM, Unavailable
from identity_service.sending import AT_ONCE, IDLE_SECONDS, Sender
from identity_service.services.reviews import BATCH as REVIEWS_AT_ONCE

log = structlog.get_logger("worker")
_HOUSEKEEPING_SECONDS: Final = 2.0
_BEAT_SECONDS: Final = 5.0
_SEQUENCER_LEASE: Final = 10  # seconds
_LEARNING_SECONDS: Final = 10.0
_LEARNER_LEASE: Final = 10  # seconds
_LONGEST_PAUSE: Final = 5.0


class Worker:
    """One worker.

    Parameters:
        at_once: how many messages are with each provider at once.
    """

    def __init__(self, services: Container, *, at_once: int = AT_ONCE) -> None:
        self._services = services
        self._sender = Sender(services, at_once=at_once)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._stop = threading.Event()
        self._last_beat = self._last_housekeeping = self._last_learnt = 0.0
        self.trust = services.trust_following(self._name)

    def run(self) -> None:
        """Work until told to stop.

        Messages go out in threads of their own: a slow provider delays no job.  So does trust, whose start
        reads everybody.
        """
        log.info("worker_started", worker=self._name, providers=list(self._services.providers))
        apart = (
            threading.Thread(target=self._sender.run, args=(self._stop,), name="sender"),
            threading.Thread(target=self._sender.follow, args=(self._stop,), name="asker"),
            threading.Thread(target=self._repeat, args=(self._follow_trust,), name="trust"),
        )
        for thread in apart:
            thread.start()
        self._repeat(self._tend)
        for thread in apart:
            thread.join()
        with suppress(Unavailable):  # then the lease runs out by itself
            self._guarded("trust", self._retire)
        log.info("worker_stopped", worker=self._name)

    def _repeat(self, work: Callable[[], bool]) -> None:
        """Do some work again and again until told to stop, with a pause where there was none."""
        pause = IDLE_SECONDS
        while not self._stop.is_set():
            try:
                busy = work()
                pause = IDLE_SECONDS
            except Unavailable as error:
                log.warning("store_unavailable", error=str(error))
                busy, pause = False, min(pause * 2, _LONGEST_PAUSE)
            if not busy:
                self._stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        self._stop.set()

    def stop_on_signals(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)

    def step(self) -> bool:
        """Do one round of everything that is due, here and now; return whether there was something to do."""
        sent = self._guarded("deliver", self.deliver)
        tended = self._tend()
        return self._follow_trust() or tended or bool(sent)

    def _retire(self) -> int:
        self.trust.retire()
        return 0

    def _follow_trust(self) -> bool:
        return self._guarded("trust", self.trust.step) > 0

    def _tend(self) -> bool:
        """Do one round of everything but messages and trust."""
        numbered = self._guarded("sequence", self.sequence)
        learnt = self._guarded("learn", self.learn)
        reviewed = self._guarded("review", self.review)
        self._beat()
        if monotonic() - self._last_housekeeping >= _HOUSEKEEPING_SECONDS:
            self._last_housekeeping = monotonic()
            self.housekeep()
        return bool(numbered or learnt or reviewed)

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

    def deliver(self) -> int:
        """Claim due messages and hand them over, one after the other; return how many."""
        return self._sender.deliver()

    def ask_later(self) -> int:
        """Ask providers about messages whose time has come, here and now; return how many."""
        return self._sender.ask_later()

    def learn(self) -> int:
        """Learn from what happened to messages; one worker at a time, by a lease held to the commit.

        Looked at first where there is news, and every few seconds all the same: who is not well comes back
        by time, too.
        """
        services, now = self._services, monotonic()
        due = now - self._last_learnt >= _LEARNING_SECONDS
        if not due and not services.store.query(SYSTEM, services.routing.has_news):
            return 0
        self._last_learnt = now

        def learn(tx: Tx) -> int:
            if not services.worker_state.take_lease(tx, "learner", self._name, _LEARNER_LEASE):
                return 0
            return services.routing.learn(tx)

        return services.store.transact(SYSTEM, learn)

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

    # -- levels and earning -------------------------------------------------------------------------------

    def review(self) -> int:
        """Look at members whose time has come; return how many."""
        services = self._services
        if not services.store.query(SYSTEM, services.reviews.is_due):
            return 0  # looked first, as for messages
        try:
            count = services.store.transact(SYSTEM, services.reviews.step)
        except Unavailable:
            raise
        except Exception:
            # One member that cannot be settled must not stop the others: find it, and leave it for later.
            self._review_singly()
            raise
        telemetry.REVIEWS.inc(count)
        return count

    def _review_singly(self) -> None:
        services = self._services
        one = functools.partial(services.reviews.step, limit=1)
        for _ in range(REVIEWS_AT_ONCE):
            try:
                services.store.transact(SYSTEM, one)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 - told by the caller
                services.store.transact(SYSTEM, services.reviews.set_aside)

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
