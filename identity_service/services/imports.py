"""An existing tree, brought in: members with their past, a batch in each transaction.

What stands here speaks to the store: who is there already, which phones are taken, and the writing of one
batch.  `importing/` reads and judges the file before; nothing here trusts that the store is still as it was
then, so each batch asks again for everybody it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select

from identity_service.db.store import Statement, Tx, among
from identity_service.db.tables import campaigns, members
from identity_service.errors import Refused
from identity_service.ports import Ids, Instant
from identity_service.services.invites import Invites
from identity_service.services.journal import Journal
from identity_service.services.members import Members, NewMember
from identity_service.services.phones import Phone, Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.sanctions import Action, Impose, Sanctions
from sms.numbers import E164, Number

BATCH: Final = 2000
"""So many members a transaction: on SQLite, others wait for the write lock a fifth of a second at most."""
REASON_CODE: Final = "imported"
_EXPLANATION: Final = "The member was brought in with this state."
_SANCTIONED: Final = {"suspended": Action.SUSPEND, "banned": Action.BAN}
_inviters = members.alias("inviters")
_KNOWN = Statement(
    select(
        members.c.external_id,
        members.c.id,
        members.c.generation,
        members.c.joined_at,
        _inviters.c.external_id.label("inviter"),
        members.c.inviter_id,
        campaigns.c.name.label("campaign"),
    )
    .select_from(members)
    .outerjoin(_inviters, _inviters.c.id == members.c.inviter_id)
    .outerjoin(campaigns, campaigns.c.id == members.c.campaign_id)
    .where(among(members.c.external_id))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A member who is there already, by its external id."""

    id: str
    generation: int
    joined_at: Instant
    inviter: str | None
    """The inviter's external id; None also for an inviter who has none (see `is_invited`)."""
    is_invited: bool
    campaign: str | None

    def came_by(self, inviter: str | None, campaign: str | None) -> bool:
        """Whether this is the origin that a file tells."""
        invited_as_told = self.is_invited == (inviter is not None) and self.inviter == inviter
        return invited_as_told and self.campaign == campaign


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """One member of the file.  At most one of inviter (an external id) and campaign (a name)."""

    external_id: str
    joined_at: Instant
    inviter: str | None = None
    campaign: str | None = None
    last_seen_at: Instant | None = None
    number: Number | None = None
    state: str = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of a batch.

    Attributes:
        refused: by the newcomer's place in the batch: `inviter_differs`, `phone_taken`, `inviter_refused`.
            All were good when the file was checked; somebody else was faster.
    """

    made: int
    already_here: int
    refused: Mapping[int, str]


@dataclass(slots=True)
class _Batch:
    """The newcomers of a batch, sorted out against what is there."""

    known: dict[str, Known]
    phones: dict[E164, Phone]
    held: set[str]
    level: str
    new: dict[str, NewMember] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    already_here: int = 0
    refused: dict[int, str] = field(default_factory=dict)


class Imports:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        phones: Phones,
        invites: Invites,
        members: Members,
        sanctions: Sanctions,
        journal: Journal,
    ) -> None:
        self._policies, self._ids, self._phones, self._invites = policies, ids, phones, invites
        self._members, self._sanctions, self._journal = members, sanctions, journal

    def new_id(self) -> str:
        """Return a name for one run, which its events carry."""
        return self._ids.new("imp")

    def known(self, tx: Tx, external_ids: Sequence[str]) -> dict[str, Known]:
        """Return those of the external ids that are members'."""
        return {
            row.external_id: Known(
                id=row.id,
                generation=row.generation,
                joined_at=row.joined_at,
                inviter=row.inviter,
                is_invited=row.inviter_id is not None,
                campaign=row.campaign,
            )
            for row in tx.among(_KNOWN, external_ids)
        }

    def taken(self, tx: Tx, numbers: Sequence[Number]) -> set[E164]:
        """Return those of the numbers that are members' already."""
        phones = self._phones.find_many(tx, numbers)
        held = self._members.held_among(tx, [phone.id for phone in phones.values()])
        return {e164 for e164, phone in phones.items() if phone.id in held}

    def bring(self, tx: Tx, newcomers: Sequence[Newcomer], import_id: str) -> Brought:
        """Make one batch of members, inviters before invitees; who is there already is only counted.

        Raises:
            Refused: `import_raced`, `phones_raced`: another transaction made one of them at the same time.
                Nothing was changed; begin this batch again.
        """
        batch = self._look(tx, newcomers)
        new_ids = self._ids.many("mem", len(newcomers))
        for place, (newcomer, member_id) in enumerate(zip(newcomers, new_ids, strict=True)):
            self._sort_out(tx, batch, place, newcomer, member_id)
        if not self._members.add_many(tx, batch.new):
            raise Refused("import_raced", "Another transaction made one of these members at the same time.")
        self._sanction(tx, newcomers, batch)
        if batch.new:
            made = list(batch.new)
            data = {"import_id": import_id, "count": len(made), "first_id": made[0], "last_id": made[-1]}
            self._journal.tell(tx, "members.imported", import_id, data)
        return Brought(made=len(batch.new), already_here=batch.already_here, refused=batch.refused)

    def _look(self, tx: Tx, newcomers: Sequence[Newcomer]) -> _Batch:
        named = {newcomer.external_id for newcomer in newcomers}
        named |= {newcomer.inviter for newcomer in newcomers if newcomer.inviter is not None}
        known = self.known(tx, sorted(named))
        numbers = {
            newcomer.number.e164: newcomer.number
            for newcomer in newcomers
            if newcomer.number is not None and newcomer.external_id not in known
        }
        # In one order, so that two imports wait for each other's numbers and do not lock each other up.
        phones = self._phones.of_many(tx, [numbers[e164] for e164 in sorted(numbers)])
        held = self._members.held_among(tx, [phone.id for phone in phones.values()])
        level = self._policies.of(tx).members.first_level
        return _Batch(known=known, phones=phones, held=held, level=level)

    def _sort_out(self, tx: Tx, batch: _Batch, place: int, newcomer: Newcomer, member_id: str) -> None:
        there = batch.known.get(newcomer.external_id)
        if there is not None:
            if there.came_by(newcomer.inviter, newcomer.campaign):
                batch.already_here += 1
            else:
                batch.refused[place] = "inviter_differs"
            return
        inviter = None if newcomer.inviter is None else batch.known.get(newcomer.inviter)
        phone = None if newcomer.number is None else batch.phones[newcomer.number.e164]
        if newcomer.inviter is not None and inviter is None:
            batch.refused[place] = "inviter_refused"
            return
        if phone is not None and phone.id in batch.held:
            batch.refused[place] = "phone_taken"
            return
        batch.new[member_id] = self._member(tx, newcomer, inviter, phone, batch.level)
        batch.ids[newcomer.external_id] = member_id
        batch.known[newcomer.external_id] = _known(member_id, newcomer, inviter)

    def _member(
        self, tx: Tx, newcomer: Newcomer, inviter: Known | None, phone: Phone | None, level: str
    ) -> NewMember:
        name = newcomer.campaign
        return NewMember(
            phone=phone,
            level=level,
            generation=_generation(inviter),
            inviter_id=None if inviter is None else inviter.id,
            campaign_id=None if name is None else self._invites.campaign_id(tx, name),
            campaign=name,
            external_id=newcomer.external_id,
            # Suspended and banned is what the sanctions say that follow.
            state="erased" if newcomer.state == "erased" else "active",
            joined_at=newcomer.joined_at,
            last_seen_at=newcomer.last_seen_at,
        )

    def _sanction(self, tx: Tx, newcomers: Iterable[Newcomer], batch: _Batch) -> None:
        """Say by sanctions why a member is suspended or banned: state is never set by hand."""
        for newcomer in newcomers:
            action, member_id = _SANCTIONED.get(newcomer.state), batch.ids.get(newcomer.external_id)
            if action is None or member_id is None:
                continue
            wanted: dict[str, Any] = {"reason_code": REASON_CODE, "explanation": _EXPLANATION}
            self._sanctions.impose(tx, Impose(member_id=member_id, action=action, **wanted))


def _generation(inviter: Known | None) -> int:
    return 0 if inviter is None else inviter.generation + 1


def _known(member_id: str, newcomer: Newcomer, inviter: Known | None) -> Known:
    return Known(
        id=member_id,
        generation=_generation(inviter),
        joined_at=newcomer.joined_at,
        inviter=newcomer.inviter,
        is_invited=inviter is not None,
        campaign=newcomer.campaign,
    )
