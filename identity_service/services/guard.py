"""The pumping guard at the door: each message is judged before it is queued, in the same transaction.

`sms.guard` judges; here stands what it is shown, what is kept of it, and what a caller is told: allow,
proof of work, or `send_blocked` with the time to come back.  The answer never depends on whether a phone is
a member's, and a member's own number (login, recovery) is never blocked: by how much was asked for around it
a proof of work is wanted, and known devices are not asked at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import BigInteger, bindparam, case, func, literal_column, select

from identity_service import telemetry
from identity_service.crypto import Hasher
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members
from identity_service.errors import Refused
from identity_service.policy.guarding import GuardRules
from identity_service.ports import SECOND, Instant
from identity_service.services.guard_decisions import GuardDecisions, InForce, Subject
from identity_service.services.guard_evidence import GuardEvidence, Sent, Tallied
from identity_service.services.policy_book import PolicyBook
from sms.guard import (
    Answer,
    Evidence,
    Signal,
    Standing,
    Tally,
    Turn,
    Unit,
    Units,
    Verdict,
    grade_of,
    is_proven,
    is_vouched,
    judge,
    needs_work,
    turn_of,
    units_of,
)
from sms.numbers import E164

_HASH_CHARACTERS: Final = 24
_EMPTY: Final = Tally()
_EARLY: Final[tuple[Unit, ...]] = (Unit.PREFIX, Unit.INVITER, Unit.BRANCH)
_SEATS: Final = 3
"""So many calls may wait for their turn at one prefix; the connections of all the others stay free."""
_lock = bindparam("number", type_=BigInteger)
_LOCK = Statement(select(func.pg_advisory_xact_lock(_lock).label("mine")))
# CASE goes from left to right and stops: mine at once, or a seat to wait on, or neither.
_TURN = Statement(
    select(
        case(
            (func.pg_try_advisory_xact_lock(_lock), literal_column("'mine'")),
            *(
                (
                    func.pg_try_advisory_xact_lock(_lock + literal_column(str(seat << 60), BigInteger)),
                    literal_column("'seat'"),
                )
                for seat in range(1, _SEATS + 1)
            ),
            else_=literal_column("'none'"),
        ).label("turn")
    )
)
_INVITER_OF = Statement(select(members.c.inviter_id).where(members.c.id == bindparam("member")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A message that somebody wants sent.

    `kind` is ``code`` (to a number that is to be proved), ``own`` (login and recovery) or ``invite``.
    """

    kind: str
    subject_id: str
    phone_id: str
    number: E164
    country: str
    inviter_id: str | None = None
    campaign_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """One unit of a message: its key in the store and its name for an operator."""

    unit: Unit
    key: str
    tallied_by: str
    name: str


@dataclass(slots=True)
class _Stand:
    """How the units of a message stand that were blocked before."""

    wait: Instant | None = None
    worse: list[Near] = field(default_factory=list)
    probing: set[Unit] = field(default_factory=set)


class Guard:
    """Parameters: `without` leaves signals out, for the simulation."""

    def __init__(
        self,
        *,
        policies: PolicyBook,
        hasher: Hasher,
        evidence: GuardEvidence,
        decisions: GuardDecisions,
        without: frozenset[Signal] = frozenset(),
    ) -> None:
        self._policies, self._hasher = policies, hasher
        self._evidence, self.decisions, self._without = evidence, decisions, without

    def admit(self, tx: Tx, ask: Ask) -> bool:
        """Let a message pass and remember it.

        Returns:
            Whether a proof of work has to come first; who has none undoes the whole transaction.

        Raises:
            Refused: `send_blocked`, kept where it is a new decision; never for an own number.
        """
        if not self._rules(tx).enabled:
            return False
        units = units_of(ask.number)
        sent = self._sent(tx, ask, units)
        if ask.kind == "own":
            answer = self._answer_own(tx, ask, sent)
        else:
            answer = self._answer(tx, ask, sent, self._near(sent, units))
        telemetry.GUARD.labels(ask.kind, answer.name.lower()).inc()
        self._evidence.note(tx, sent)
        return answer is not Answer.ALLOW

    def _rules(self, tx: Tx) -> GuardRules:
        return self._policies.of(tx).guard

    def _sent(self, tx: Tx, ask: Ask, units: Units) -> Sent:
        branch = None if ask.inviter_id is None else tx.one(_INVITER_OF, member=ask.inviter_id)
        return Sent(
            subject_id=ask.subject_id,
            kind=ask.kind,
            phone_id=ask.phone_id,
            country=ask.country,
            hundred_key=self._hash(units.hundred),
            prefix_key=self._hash(units.prefix),
            range_key=self._hash(units.range),
            inviter_id=ask.inviter_id,
            branch_id=None if branch is None else branch.inviter_id,
            campaign_id=ask.campaign_id,
        )

    def _hash(self, digits: str) -> str:
        return self._hasher.current("guard", digits).hex()[:_HASH_CHARACTERS]

    def _answer_own(self, tx: Tx, ask: Ask, sent: Sent) -> Answer:
        """Judge a login or recovery by how much was asked for around the number, never by answers."""
        if not self._take_turns(tx, sent):
            return Answer.WORK
        country = f"country.{ask.country}"
        match self._by_hand(tx, self.decisions.in_force(tx, [country]), ask.country):
            case "allow" | "monitor":
                return Answer.ALLOW
            case "block":
                return Answer.WORK
            case _:
                asked = self._evidence.asked(tx, sent)
                return Answer.WORK if needs_work(asked, self._rules(tx).thresholds) else Answer.ALLOW

    def _take_turns(self, tx: Tx, sent: Sent) -> bool:
        """Wait until what was sent to the prefix can be seen; False where too many wait already.

        Two at once to one prefix must see each other; all others pass beside them.  Whoever waits holds one
        of the process's few connections, so that a crowd at one prefix would stop everybody.
        """
        if tx.dialect != "postgresql":
            return True
        number = int(sent.prefix_key[:15], 16)
        turn = tx.one(_TURN, number=number).turn
        if turn == "seat":
            tx.one(_LOCK, number=number)
        return bool(turn != "none")

    def _near(self, sent: Sent, units: Units) -> list[Near]:
        """Return the units of a message, the narrowest first."""
        near = [
            Near(
                unit=Unit.PHONE,
                key=f"open.{sent.phone_id}",
                tallied_by=sent.prefix_key,
                name=sent.phone_id,
            ),
            Near(
                unit=Unit.PREFIX,
                key=f"open.{sent.prefix_key}",
                tallied_by=sent.prefix_key,
                name=units.prefix,
            ),
            Near(unit=Unit.RANGE, key=f"open.{sent.range_key}", tallied_by=sent.range_key, name=units.range),
        ]
        for unit, member in ((Unit.INVITER, sent.inviter_id), (Unit.BRANCH, sent.branch_id)):
            if member is not None:
                near.append(Near(unit=unit, key=f"{unit}.{member}", tallied_by=member, name=member))
        return near

    def _answer(self, tx: Tx, ask: Ask, sent: Sent, near: list[Near]) -> Answer:
        if not self._take_turns(tx, sent):
            raise self._refusal(ask, tx.now + SECOND)
        found = self.decisions.in_force(tx, [*(one.key for one in near), f"country.{ask.country}"])
        match self._by_hand(tx, found, ask.country):
            case "allow":
                return Answer.ALLOW
            case "block":
                raise self._refusal(ask, None)
            case "monitor":
                return self._judged(tx, ask, sent, near, found, monitored=True)
            case _:
                return self._judged(tx, ask, sent, near, found, monitored=False)

    def _judged(
        self, tx: Tx, ask: Ask, sent: Sent, near: list[Near], found: dict[str, InForce], *, monitored: bool
    ) -> Answer:
        narrow = [one for one in near if one.unit is not Unit.RANGE]
        over = max((self._until(found.get(one.key)) for one in narrow), default=0)
        if over > tx.now and not monitored:
            raise self._refusal(ask, over)  # at the height of an attack this is all that is asked
        tallies = {one.unit: self._tally(tx, sent, one, found) for one in near if one.unit in _EARLY}
        stand = self._stand(tx, sent, narrow if self._stands_alone(tallies) else near, found, tallies)
        if stand.wait is not None:
            if monitored:
                return Answer.ALLOW
            raise self._refusal(ask, stand.wait)
        verdict = self._judge(tx, sent, near, found, tallies)
        blocked = [one for one in near if one.unit in verdict.blocked and one.unit not in stand.probing]
        blocked += [one for one in stand.worse if one not in blocked]
        if blocked:
            return self._block(tx, ask, blocked, found, verdict, monitored=monitored)
        if monitored:
            return Answer.ALLOW
        return Answer.WORK if stand.probing else min(verdict.answer, Answer.WORK)

    def _stand(
        self,
        tx: Tx,
        sent: Sent,
        near: list[Near],
        found: dict[str, InForce],
        tallies: dict[Unit, Tallied],
    ) -> _Stand:
        """Say how the units stand that were blocked before; one that has healed starts anew."""
        stand = _Stand()
        for one in near:
            standing = found[one.key].standing if one.key in found else None
            if standing is None:
                continue
            match self._turn(tx, sent, one, standing):
                case Turn.REFUSED:
                    stand.wait = max(stand.wait or 0, standing.until)
                case Turn.WAIT:
                    stand.wait = max(stand.wait or 0, tx.now + self._evidence.answers_within(tx, "code"))
                case Turn.WORSE:
                    stand.worse.append(one)
                case Turn.PROBE:
                    stand.probing.add(one.unit)
                case Turn.HEALED:
                    self.decisions.heal(tx, one.key, standing.until)
                    found[one.key] = replace(found[one.key], standing=None, evidence_from=standing.until)
                    tallies[one.unit] = self._tally(tx, sent, one, found)
                case Turn.FREE:
                    pass
        return stand

    def _by_hand(self, tx: Tx, found: dict[str, InForce], country: str) -> str | None:
        """Return what an operator or the policy says: a unit before a country, allow before block."""
        modes = {key: one.mode for key, one in found.items() if one.mode != "judged"}
        country_mode = modes.pop(f"country.{country}", None)
        for mode in ("allow", "block"):
            if mode in modes.values():
                return mode
        return country_mode or self._rules(tx).countries.get(country)

    def _stands_alone(self, tallies: dict[Unit, Tallied]) -> bool:
        """Whether a message is not to be blamed for its range."""
        known = {unit: tallied.tally for unit, tallied in tallies.items()}
        return is_proven(known[Unit.PREFIX]) or is_vouched(known.get(Unit.INVITER), known.get(Unit.BRANCH))

    def _until(self, in_force: InForce | None) -> Instant:
        return 0 if in_force is None or in_force.standing is None else in_force.standing.until

    def _turn(self, tx: Tx, sent: Sent, one: Near, standing: Standing) -> Turn:
        since = _EMPTY
        if standing.until <= tx.now:
            since = self._tallied(tx, sent, one, standing.until).tally
        return turn_of(standing, since, tx.now, self._rules(tx).thresholds)

    def _tallied(self, tx: Tx, sent: Sent, one: Near, since: Instant) -> Tallied:
        if one.unit is not Unit.PHONE:
            return self._evidence.tally(tx, one.unit, one.tallied_by, sent, since)
        # A phone's own messages are among its prefix's.
        found = self._evidence.tally(tx, Unit.PREFIX, one.tallied_by, sent, since)
        return replace(found, tally=found.phone)

    def _tally(self, tx: Tx, sent: Sent, one: Near, found: dict[str, InForce]) -> Tallied:
        forgotten = found[one.key].evidence_from if one.key in found else 0
        return self._tallied(tx, sent, one, max(forgotten, tx.now - self._rules(tx).thresholds.memory))

    def _judge(
        self, tx: Tx, sent: Sent, near: list[Near], found: dict[str, InForce], tallies: dict[Unit, Tallied]
    ) -> Verdict:
        for one in near:
            if one.unit not in tallies and one.unit is not Unit.PHONE:
                tallies[one.unit] = self._tally(tx, sent, one, found)
        prefix = tallies[Unit.PREFIX]
        evidence = Evidence(
            climate=self._evidence.climate(tx, sent.kind, sent.country),
            prefix=prefix.tally,
            range=tallies[Unit.RANGE].tally,
            hundred=prefix.hundred,
            phone=prefix.phone,
            inviter=tallies[Unit.INVITER].tally if Unit.INVITER in tallies else None,
            branch=tallies[Unit.BRANCH].tally if Unit.BRANCH in tallies else None,
            campaign=self._campaign(tx, sent),
        )
        return judge(evidence, self._rules(tx).thresholds, without=self._without)

    def _campaign(self, tx: Tx, sent: Sent) -> Tally | None:
        if sent.campaign_id is None:
            return None
        since = tx.now - self._rules(tx).thresholds.memory
        return self._evidence.tally(tx, Unit.CAMPAIGN, sent.campaign_id, sent, since).tally

    def _block(
        self,
        tx: Tx,
        ask: Ask,
        blocked: list[Near],
        found: dict[str, InForce],
        verdict: Verdict,
        *,
        monitored: bool,
    ) -> Answer:
        until = tx.now
        for one in blocked:
            last = found[one.key].standing if one.key in found else None
            standing = grade_of(last, tx.now, self._rules(tx).thresholds)
            about = Subject(unit=one.unit, key=one.key, name=one.name, country=ask.country)
            self.decisions.block(tx, about, standing, verdict.findings, monitored=monitored)
            until = max(until, standing.until)
        if monitored:
            return Answer.ALLOW
        raise self._refusal(ask, until, keeps_effect=True)

    def _refusal(self, ask: Ask, until: Instant | None, *, keeps_effect: bool = False) -> Refused:
        telemetry.GUARD.labels(ask.kind, "block").inc()
        return Refused(
            "send_blocked",
            "Messages of this kind are not sent at present.",
            retry_at=until,
            keeps_effect=keeps_effect,
        )

    # -- what operators set ----------------------------------------------------------------------------

    def set_by_digits(self, tx: Tx, digits: str, mode: str, reason: str) -> str:
        """Let an operator allow or block the numbers that begin so: a prefix or a range, or a country's code.

        Parameters:
            digits: ``+7916123`` (numbers with four more digits), ``+79161`` (with six more), or ``RU``.

        Returns:
            The decision's id.
        """
        if digits.startswith("+"):
            about = Subject(unit=Unit.PREFIX, key=f"open.{self._hash(digits)}", name=digits)
        else:
            about = Subject(unit="country", key=f"country.{digits}", name=digits, country=digits)
        return self.decisions.set(tx, about, mode, reason)

    # -- what is learnt -------------------------------------------------------------------------------

    def origin_of(self, tx: Tx, subject_id: str) -> tuple[str | None, str | None]:
        """Return the inviter and the campaign by which a verification's first message was caused."""
        return self._evidence.origin_of(tx, subject_id)

    def answered(self, tx: Tx, subject_id: str) -> None:
        """The code of a verification or an invite came back."""
        self._evidence.answered(tx, subject_id)

    def learn(self, tx: Tx) -> int:
        """Judge what could have been answered by now, and excuse what an outage took; no block is undone."""
        return self._evidence.judge(tx)

    def forget(self, tx: Tx) -> int:
        """Drop evidence and standings that nothing remembers any more; a bounded piece."""
        gone = self._evidence.purge(tx)
        return gone + self.decisions.sweep(tx, tx.now - self._rules(tx).thresholds.memory)
