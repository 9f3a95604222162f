"""Who stands at the door: the service's own rules, and the simpler ones that others are content with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from sqlalchemy import Engine, StaticPool, create_engine, insert

from identity_service.config import Settings
from identity_service.crypto import Hasher, Keyring, Purpose, Seal, fresh_keys
from identity_service.db.store import Store, Tx, prepare_engine
from identity_service.db.tables import members, metadata
from identity_service.errors import SYSTEM, Refused
from identity_service.policy.budgets import Lane
from identity_service.policy.rules import Policy, default_text
from identity_service.ports import DAY, HOUR, MINUTE, Ids, Instant, SystemEntropy
from identity_service.pumping.world import START, Intent
from identity_service.services import budgets
from identity_service.services.delivery import Delivery
from identity_service.services.guard import Ask, Guard
from identity_service.services.guard_decisions import GuardDecisions
from identity_service.services.guard_evidence import GuardEvidence
from identity_service.services.journal import Journal
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.prices import Prices
from identity_service.services.pricing import Pricing
from identity_service.services.spending import Spending
from identity_service.services.timeline import Timeline
from identity_service.services.wording import Wording
from sms.guard import Signal
from sms.numbers import E164, NumberPolicy
from sms.route import parse_routes


class Outcome(StrEnum):
    SENT = "sent"
    SENT_FOR_WORK = "sent_for_work"
    WAIT = "wait"
    """A budget or cool-down of this one phone, address or inviter."""
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Passed:
    outcome: Outcome
    subject: str = ""
    retry_at: Instant | None = None


class Door(Protocol):
    def ask(self, now: Instant, intent: Intent, subject: str | None) -> Passed: ...
    def answered(self, now: Instant, subject: str, intent: Intent) -> None: ...
    def tick(self, now: Instant) -> None: ...


class SimpleDoor:
    """A door that remembers nothing but times, in memory."""

    def ask(self, now: Instant, intent: Intent, _subject: str | None) -> Passed:
        return Passed(Outcome.SENT if self._lets(now, intent) else Outcome.BLOCKED)

    def _lets(self, _now: Instant, _intent: Intent) -> bool:
        return True

    def answered(self, now: Instant, subject: str, intent: Intent) -> None:
        pass

    def tick(self, now: Instant) -> None:
        pass


class _Windows:
    """Rolling windows by subject."""

    def __init__(self, times: int, window: Instant) -> None:
        self._times, self._window = times, window
        self._uses: dict[str, deque[Instant]] = {}

    def take(self, subject: str, now: Instant) -> bool:
        uses = self._uses.setdefault(subject, deque())
        while uses and uses[0] <= now - self._window:
            uses.popleft()
        if len(uses) >= self._times:
            return False
        uses.append(now)
        return True


class PerAddress(SimpleDoor):
    """So many an hour for each address."""

    def __init__(self, policy: Policy) -> None:
        self._windows = _Windows(policy.verification.starts_an_ip_an_hour, HOUR)

    def _lets(self, now: Instant, intent: Intent) -> bool:
        return not intent.address or self._windows.take(intent.address, now)


class WholeApplication(SimpleDoor):
    """Thirty an hour for everybody together."""

    def __init__(self) -> None:
        self._windows = _Windows(30, HOUR)

    def _lets(self, now: Instant, _intent: Intent) -> bool:
        return self._windows.take("", now)


class PerNumber(SimpleDoor):
    """Five for each number, then one in 288 minutes."""

    def __init__(self) -> None:
        self._first = _Windows(5, 10_000 * DAY)
        self._then = _Windows(1, 288 * MINUTE)

    def _lets(self, now: Instant, intent: Intent) -> bool:
        return self._first.take(intent.number, now) or self._then.take(intent.number, now)


class _FakeClock:
    def __init__(self) -> None:
        self.at: Instant = START

    def now(self) -> Instant:
        return self.at


class OwnDoor:
    """The service's guard, budgets and policy, on a store in memory.

    The order is that of `Verifications.start` and `Invites.issue`; phones are named as the world names them.
    """

    _TICK: Final = 20 * MINUTE

    def __init__(
        self, policy: Policy, parents: dict[str, str | None], without: frozenset[Signal] = frozenset()
    ) -> None:
        self._policy, self._clock = policy, _FakeClock()
        keyring = Keyring(fresh_keys(START))
        ids, seal = Ids(self._clock, SystemEntropy()), Seal(keyring)
        hasher = Hasher(keyring, Purpose.PHONE_LOOKUP)
        journal = Journal(ids)
        policies = PolicyBook(base=policy, base_text=default_text(), journal=journal)
        self.store = Store(_engine(parents), self._clock)
        self.decisions = GuardDecisions(ids=ids, seal=seal, journal=journal)
        self.guard = Guard(
            policies=policies,
            hasher=hasher,
            evidence=GuardEvidence(policies=policies, ids=ids),
            decisions=self.decisions,
            without=without,
        )
        routes = parse_routes("", default="null")
        phones = Phones(hasher=hasher, seal=seal, ids=ids, number_policy=NumberPolicy())
        self._delivery = Delivery(
            policies=policies,
            ids=ids,
            seal=seal,
            phones=phones,
            timeline=Timeline(),
            routes=routes,
            pricing=Pricing(prices=Prices(journal), wording=Wording(Settings()), routes=routes),
            spending=Spending(policies=policies, hasher=hasher, phones=phones),
        )
        self._subjects = 0
        self._ticked: Instant = START
        self._forgot: Instant = START

    def ask(self, now: Instant, intent: Intent, subject: str | None) -> Passed:
        self._clock.at = now
        if subject is None:
            self._subjects += 1
            name = f"ver_{self._subjects}"
        else:
            name = subject
        try:
            worked = self.store.transact(
                SYSTEM, lambda tx: self._pass(tx, intent, name, first=subject is None)
            )
        except Refused as refused:
            blocked = refused.code == "send_blocked"
            return Passed(Outcome.BLOCKED if blocked else Outcome.WAIT, name, refused.retry_at)
        return Passed(Outcome.SENT_FOR_WORK if worked else Outcome.SENT, name)

    def _pass(self, tx: Tx, intent: Intent, subject: str, *, first: bool) -> bool:
        if first and intent.address:
            budgets.take(
                tx,
                budgets.Budget(
                    lane="start.ip",
                    subject=intent.address,
                    rate=self._policy.ip_rate,
                    code="ip_budget_spent",
                    detail="",
                ),
            )
        phone = f"phn_{intent.number[1:]}"
        requester = intent.address[:24]
        worked = self.guard.admit(
            tx,
            Ask(
                kind=intent.kind,
                subject_id=subject,
                phone_id=phone,
                number=E164(intent.number),
                country=intent.country.iso,
                inviter_id=intent.inviter,
                campaign_id=intent.campaign,
            ),
        )
        lane = Lane.ANONYMOUS
        if intent.kind == "invite":
            lane, requester = Lane.INVITE, intent.inviter or ""
            budgets.take(
                tx,
                budgets.Budget(
                    lane="send.by_member",
                    subject=requester,
                    rate=self._policy.member_sms_rate,
                    code="member_send_budget_spent",
                    detail="",
                ),
            )
        self._delivery.spend(tx, lane, phone, requester)
        return worked

    def answered(self, now: Instant, subject: str, intent: Intent) -> None:
        self._clock.at = now
        lane = Lane.INVITE if intent.kind == "invite" else Lane.ANONYMOUS
        phone = f"phn_{intent.number[1:]}"

        def learn(tx: Tx) -> None:
            budgets.clear_cooldown(tx, lane, phone)
            self.guard.answered(tx, subject)

        self.store.transact(SYSTEM, learn)

    def tick(self, now: Instant) -> None:
        """Do the worker's part: every twenty minutes, where the real one does it every two seconds."""
        while now - self._ticked >= self._TICK:
            self._ticked += self._TICK
            self._clock.at = self._ticked
            self.store.transact(SYSTEM, self.guard.learn)
            if self._ticked - self._forgot >= HOUR:
                self._forgot = self._ticked
                self.store.transact(SYSTEM, self.guard.forget)
                self.store.transact(SYSTEM, budgets.purge)


def _engine(parents: dict[str, str | None]) -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    prepare_engine(engine)
    metadata.create_all(engine)
    rows = [
        {
            "id": member,
            "state": "active",
            "inviter_id": parent,
            "generation": 0,
            "joined_at": START,
            "last_seen_at": START,
            "level": "new",
        }
        for member, parent in parents.items()
    ]
    with engine.begin() as connection:
        connection.execute(insert(members), rows)
    return engine
