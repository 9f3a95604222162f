"""The policy in force: kept in the database, announced before it takes force, the same in every process.

Announcements are numbered and never changed.  At any instant that one is in force which has the largest
number among those whose time has come; before the first, it is the policy of the settings.  So a later
announcement with an earlier or the same date replaces one that still waits.

No announcement takes force sooner than `LEAD`, and a process looks for new ones in the first transaction
after `LOOK_AGAIN`: when the time comes every process has the text already, and all change at one instant.
A transaction asks once and keeps the answer: it never sees two policies.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import BigInteger, Integer, String, bindparam, func, literal_column, select, update

from identity_service import telemetry
from identity_service.db.store import Statement, Tx, per_dialect
from identity_service.db.tables import policies
from identity_service.errors import Misconfigured, Refused, invalid
from identity_service.policy.changes import Change, changes
from identity_service.policy.rules import Policy, parse_policy, parse_stored
from identity_service.ports import SECOND, Instant, rfc3339
from identity_service.services.journal import Journal

log = structlog.get_logger("policy")
LOOK_AGAIN: Final = SECOND // 2
LEAD: Final = SECOND
MOST_BYTES: Final = 64 * 1024
SUBJECT: Final = "policy"
"""What the journal calls the policy."""

_now = bindparam("now_", type_=BigInteger)
_COLUMNS: Final = (
    policies.c.number,
    policies.c.version,
    policies.c.text,
    policies.c.sha256,
    policies.c.actor,
    policies.c.reason,
    policies.c.announced_at,
    policies.c.in_force_from,
)
_AFTER = Statement(
    select(*_COLUMNS).where(policies.c.number > bindparam("after", type_=Integer)).order_by(policies.c.number)
)
_head = select(func.coalesce(func.max(policies.c.number), 0)).scalar_subquery()
_other_text = (
    select(literal_column("1"))
    .where(policies.c.version == bindparam("version"), policies.c.sha256 != bindparam("sha256"))
    .exists()
)
_NAMES: Final = (
    "number",
    "version",
    "text",
    "sha256",
    "actor",
    "reason",
    "announced_at",
    "in_force_from",
)


def _announce(insert: Any) -> Any:
    """Add the announcement after the one that its author saw, unless its version names another text.

    Two at once want the same number: the primary key lets one have it.
    """
    row = select(
        (bindparam("after", type_=Integer) + 1).label("number"),
        *(
            bindparam(name, type_=policies.c[name].type if name != "version" else String()).label(name)
            for name in _NAMES[1:]
        ),
    ).where(_head == bindparam("after", type_=Integer), ~_other_text)
    return insert(policies).from_select(list(_NAMES), row).on_conflict_do_nothing()


_ANNOUNCE = per_dialect(_announce)
_VERSION_OF_OTHER = Statement(
    select(policies.c.number)
    .where(policies.c.version == bindparam("version"), policies.c.sha256 != bindparam("sha256"))
    .limit(1)
)
_TAKES_FORCE = Statement(
    select(policies.c.number).where(policies.c.told_at.is_(None), policies.c.in_force_from <= _now)
)
_TELL = Statement(
    update(policies)
    .where(policies.c.number == bindparam("number_"), policies.c.told_at.is_(None))
    .values(told_at=_now)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One policy with where it comes from.  Number 0 is the settings' own, in force before any other.

    `readable` is False where this release cannot read the text: `policy` is then the one before it.
    """

    number: int
    version: str
    policy: Policy
    text: str
    actor: str | None = None
    reason: str | None = None
    announced_at: Instant | None = None
    in_force_from: Instant | None = None
    readable: bool = True

    @property
    def sha256(self) -> bytes:
        return digest(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """A policy to be announced.

    Parameters:
        after: the number of the newest edition that the author has seen; another one since is a refusal.
        in_force_from: None is as soon as every process can know of it.
    """

    text: str
    reason: str
    after: int
    name: str = "policy"
    in_force_from: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    edition: Edition
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    in_force: Edition
    coming: tuple[Announced, ...]


class PolicyBook:
    """Parameters:
    base: the policy of the settings, in force until the first announcement takes force.
    base_text: the file that it was read from.
    """

    def __init__(self, *, base: Policy, base_text: str, journal: Journal) -> None:
        self._journal = journal
        self._base = Edition(number=0, version=base.version, policy=base, text=base_text)
        self._announced: tuple[Edition, ...] = ()  # the newest number first
        self._looked_at: Instant | None = None
        self._lock = threading.Lock()

    # -- what is in force ---------------------------------------------------------------------------------

    def of(self, tx: Tx) -> Policy:
        """Return the one policy of this transaction."""
        return self.edition(tx).policy

    def edition(self, tx: Tx) -> Edition:
        """Return the edition that is in force at the transaction's instant."""
        found: Edition | None = tx.settled.get(self)
        if found is None:
            self._look(tx)
            found = tx.settled[self] = self._at(tx.now)
        return found

    def waiting(self, tx: Tx) -> tuple[Edition, ...]:
        """Return what is announced and will take force, the soonest first."""
        now = self.edition(tx)
        later = [one for one in self._announced if one.number > now.number]
        kept: list[Edition] = []
        for one in later:  # the newest number first: it replaces those before it that would come later
            if not kept or (one.in_force_from or 0) < (kept[-1].in_force_from or 0):
                kept.append(one)
        return tuple(reversed(kept))

    def outlook(self, tx: Tx) -> Outlook:
        """Return what is in force, and each policy that will be, with what it changes."""
        self._look(tx, again=0)
        now = before = self.edition(tx)
        coming = []
        for one in self.waiting(tx):
            coming.append(Announced(edition=one, changes=changes(before.text, one.text)))
            before = one
        return Outlook(in_force=now, coming=tuple(coming))

    def history(self, tx: Tx) -> tuple[Edition, ...]:
        """Return every edition, oldest first; the settings' own is number 0."""
        self._look(tx, again=0)
        return (self._base, *reversed(self._announced))

    def head(self, tx: Tx) -> Edition:
        """Return the newest edition, in force or not: what the next one is compared with."""
        return self.history(tx)[-1]

    def _at(self, now: Instant) -> Edition:
        return next((one for one in self._announced if (one.in_force_from or 0) <= now), self._base)

    def _look(self, tx: Tx, *, again: Instant = LOOK_AGAIN) -> None:
        """Ask the store for new editions, at most twice a second."""
        if self._looked_at is not None and abs(tx.now - self._looked_at) < again:
            return
        after = self._announced[0].number if self._announced else 0
        rows = tx.all(_AFTER, after=after)
        with self._lock:
            for row in rows:
                before = self._announced[0] if self._announced else self._base
                if row.number > before.number:  # another thread may have looked at the same time
                    self._announced = (_edition(row, before.policy), *self._announced)
            self._looked_at = tx.now

    # -- announcing ---------------------------------------------------------------------------------------

    def announce(self, tx: Tx, wanted: Announce) -> Announced:
        """Announce a policy: written, told with every rule that changes, in force at its time.

        Raises:
            Misconfigured: the text is no policy.
            Refused: `validation_failed`, `policy_version_taken`, `policy_changed_meanwhile`,
                `policy_unchanged`.
        """
        # Settled before anything is written, so that nothing of this transaction is remembered if it fails.
        newest = self.head(tx)
        policy = self.read(wanted.text, wanted.name)
        if wanted.in_force_from is not None and wanted.in_force_from <= tx.now:
            raise invalid("/in_force_from", "in_the_past", "A policy takes force in the future.")
        if newest.sha256 == digest(wanted.text) and newest.number:
            raise Refused("policy_unchanged", f"This is the text of {newest.version}, the newest policy.")
        edition = Edition(
            number=wanted.after + 1,
            version=policy.version,
            policy=policy,
            text=wanted.text,
            actor=tx.actor.name,
            reason=wanted.reason,
            announced_at=tx.now,
            in_force_from=max(wanted.in_force_from or 0, tx.now + LEAD),
        )
        self._write(tx, edition)
        found = changes(newest.text, wanted.text)
        self._tell(tx, "policy.announced", edition, changes=[_told(one) for one in found])
        return Announced(edition=edition, changes=found)

    def read(self, text: str, name: str) -> Policy:
        """Raises: Misconfigured."""
        if len(text.encode()) > MOST_BYTES:
            raise Misconfigured(f"the policy {name} is larger than {MOST_BYTES} bytes")
        return parse_policy(text, name)

    def _write(self, tx: Tx, edition: Edition) -> None:
        added = tx.run(
            _ANNOUNCE,
            after=edition.number - 1,
            version=edition.version,
            text=edition.text,
            sha256=edition.sha256,
            actor=edition.actor,
            reason=edition.reason,
            announced_at=edition.announced_at,
            in_force_from=edition.in_force_from,
        )
        if added:
            return
        if tx.one(_VERSION_OF_OTHER, version=edition.version, sha256=edition.sha256) is not None:
            raise Refused(
                "policy_version_taken",
                f"Another text was announced as {edition.version}; give this one a version of its own.",
            )
        raise Refused(
            "policy_changed_meanwhile", "Another policy was announced meanwhile; look at it and apply again."
        )

    def sweep(self, tx: Tx) -> int:
        """Tell the journal of each policy whose time has come; return how many took force."""
        due = tx.all(_TAKES_FORCE, now_=tx.now)
        if not due:
            return 0
        known = {one.number: one for one in self.history(tx)}
        told = 0
        for row in due:
            edition = known.get(row.number)
            if edition is None or not tx.run(_TELL, number_=row.number, now_=tx.now):
                continue
            assert edition.in_force_from is not None
            if self._at(edition.in_force_from).number == edition.number:  # else replaced while it waited
                self._tell(tx, "policy.in_force", edition)
                told += 1
        return told

    def _tell(self, tx: Tx, kind: str, edition: Edition, **data: Any) -> None:
        assert edition.in_force_from is not None
        shared = {
            "version": edition.version,
            "sha256": edition.sha256.hex(),
            "in_force_from": rfc3339(edition.in_force_from),
        }
        self._journal.tell(tx, kind, SUBJECT, shared | data, detail={"reason": edition.reason})


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _told(change: Change) -> dict[str, str | None]:
    return {"rule": change.rule, "before": change.before, "after": change.after}


def _edition(row: Any, before: Policy) -> Edition:
    """Read a stored policy; one that this release cannot read is told, and the one `before` stays in force.

    A release older than the policy must go on serving with what it understands.
    """
    policy, readable = before, True
    try:
        policy = parse_stored(row.text, row.version)
    except Misconfigured as wrong:
        telemetry.FAULTS.labels("policy").inc()
        log.error("policy_unreadable", version=row.version, faults=list(wrong.faults))  # noqa: TRY400
        readable = False
    return Edition(
        number=row.number,
        version=row.version,
        policy=policy,
        text=row.text,
        actor=row.actor,
        reason=row.reason,
        announced_at=row.announced_at,
        in_force_from=row.in_force_from,
        readable=readable,
    )
