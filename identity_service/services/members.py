"""Members and the tree they stand in: made once, never moved, never deleted.

A member's inviter, invite and generation are written when the member is made and by nothing else.  Reads
here answer about one member, a page of them, or a walk along the tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, case, func, literal, select, update

from identity_service.db.store import Statement, Tx, among, insert_if_new, insert_many
from identity_service.db.tables import campaigns, invites, members, phones
from identity_service.errors import Refused, invalid, not_found
from identity_service.ports import Ids, Instant
from identity_service.services import progress
from identity_service.services.journal import Journal
from identity_service.services.paging import Page, Paging, page_of, write_cursor
from identity_service.services.phones import Phone, Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.subtree import Place, TreeSummary, count, walk
from sms.numbers import Number

_NEW = (
    "id",
    "external_id",
    "state",
    "inviter_id",
    "invite_id",
    "campaign_id",
    "generation",
    "phone_id",
    "phone_verified_at",
    "joined_at",
    "last_seen_at",
    "country",
    "locale",
    "level",
)
# Both unique rules (one member a phone, one an external id) are asked by the insert itself.
_ADD = insert_if_new(members, _NEW)
_ADD_MANY = insert_many(members, _NEW)
_HOLDS_PHONE = Statement(select(members.c.id).where(members.c.phone_id == bindparam("phone")))
_VIEW = (
    select(
        members.c.id,
        members.c.external_id,
        members.c.state,
        members.c.inviter_id,
        members.c.invite_id,
        campaigns.c.name.label("campaign"),
        members.c.generation,
        members.c.joined_at,
        members.c.country,
        members.c.trust_log_odds,
        members.c.level,
        members.c.quota_available,
        members.c.invites_frozen,
        members.c.last_seen_at,
        members.c.phone_verified_at,
        phones.c.masked,
        phones.c.country.label("phone_country"),
        phones.c.kind.label("phone_kind"),
    )
    .select_from(members)
    .outerjoin(phones, phones.c.id == members.c.phone_id)
    .outerjoin(campaigns, campaigns.c.id == members.c.campaign_id)
)
_GET = Statement(_VIEW.where(members.c.id == bindparam("id")))
_GET_MANY = Statement(_VIEW.where(among(members.c.id)))
_BY_PHONE = Statement(_VIEW.where(members.c.phone_id == bindparam("phone")))
_EXISTS = Statement(
    select(members.c.id, members.c.inviter_id, members.c.generation).where(members.c.id == bindparam("id"))
)
_NODES = Statement(
    select(
        members.c.id,
        members.c.inviter_id,
        members.c.invite_id,
        campaigns.c.name.label("campaign"),
        members.c.generation,
        members.c.state,
        members.c.country,
        members.c.level,
        members.c.joined_at,
    )
    .select_from(members)
    .outerjoin(campaigns, campaigns.c.id == members.c.campaign_id)
    .where(members.c.id > bindparam("after"))
    .order_by(members.c.id)
    .limit(bindparam("limit"))
)
_joined = select(func.count()).where(members.c.invite_id == invites.c.id).correlate(invites).scalar_subquery()
_MISCOUNTED = Statement(
    select(invites.c.id, invites.c.uses, _joined.label("joined"))
    .where(invites.c.uses != _joined)
    .order_by(invites.c.id)
    .limit(bindparam("limit"))
)
_HELD = Statement(select(members.c.phone_id).where(among(members.c.phone_id)))
_ANYBODY = Statement(select(members.c.id).where(members.c.id > "").limit(1))
_SEEN = Statement(
    update(members)
    .where(members.c.id == bindparam("id_"))
    .values(
        last_seen_at=bindparam("seen"),
        # Who was away for long is looked at again: activity is a condition of earning.
        review_at=case(
            (members.c.last_seen_at < bindparam("away_since", type_=BigInteger), 0),
            else_=members.c.review_at,
        ),
    )
)


def score_of(log_odds: float | None) -> float | None:
    """Return 1/(1+e^−L), or None before the worker has computed L."""
    # The same, without overflow.
    return None if log_odds is None else 0.5 * (1.0 + math.tanh(log_odds / 2.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """What a registration (or a seed) makes.  At most one of inviter and campaign."""

    phone: Phone | None
    level: str
    generation: int = 0
    inviter_id: str | None = None
    invite_id: str | None = None
    campaign_id: str | None = None
    campaign: str | None = None
    external_id: str | None = None
    locale: str | None = None
    # Of a member who was one before: brought in with its past.
    state: str = "active"
    joined_at: Instant | None = None
    last_seen_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    id: str
    external_id: str | None
    state: str
    inviter_id: str | None
    invite_id: str | None
    campaign: str | None
    generation: int
    joined_at: Instant
    country: str | None
    masked: str | None
    phone_country: str | None
    phone_kind: str | None
    phone_verified_at: Instant | None
    trust_log_odds: float | None
    level: str
    available: int
    depth: int | None = None
    """Steps below the root of a subtree query; None elsewhere."""

    @property
    def score(self) -> float | None:
        return score_of(self.trust_log_odds)


class Members:
    def __init__(
        self,
        *,
        policies: PolicyBook,
        ids: Ids,
        phones: Phones,
        journal: Journal,
    ) -> None:
        self._policies, self._ids, self._phones = policies, ids, phones
        self._journal = journal

    # -- making -----------------------------------------------------------------------------------------

    def add(self, tx: Tx, new: NewMember) -> MemberView:
        """Make a member and tell it; the store's unique constraints decide every race.

        Raises:
            Refused: `phone_taken`, `external_id_taken`.
        """
        member_id = self._ids.new("mem")
        if not tx.run(_ADD, **_row(member_id, new, tx.now)):
            if new.phone is not None and self.holder_of(tx, new.phone.id) is not None:
                raise Refused("phone_taken", "This phone is a member's already.")
            raise Refused("external_id_taken", "This external_id is a member's already.")
        self._journal.tell(
            tx,
            "member.joined",
            member_id,
            {
                "member_id": member_id,
                "inviter_id": new.inviter_id,
                "invite_id": new.invite_id,
                "campaign": new.campaign,
                "generation": new.generation,
            },
        )
        return _fresh_view(member_id, new, tx.now)

    def add_many(self, tx: Tx, new: Mapping[str, NewMember]) -> bool:
        """Make members by their new ids, inviters before invitees, and tell nobody yet.

        Returns:
            False where a unique constraint let one not in; the transaction must then be given up.
        """
        return tx.load(_ADD_MANY, [_row(member_id, one, tx.now) for member_id, one in new.items()]) == len(
            new
        )

    def held_among(self, tx: Tx, phone_ids: Sequence[str]) -> set[str]:
        """Return those of the phones that are members'."""
        return {row.phone_id for row in tx.among(_HELD, phone_ids)}

    def create_seed(self, tx: Tx, number: Number, external_id: str | None) -> MemberView:
        """Make a root member on an operator's word: verified, generation 0, no allowance of its own.

        Raises:
            Refused: `phone_taken`, `external_id_taken`.
        """
        phone = self._phones.of(tx, number)
        first = self._policies.of(tx).members.first_level
        seed = NewMember(phone=phone, level=first, external_id=external_id)
        return self.add(tx, seed)

    def is_empty(self, tx: Tx) -> bool:
        """Whether there is no member at all."""
        return tx.one(_ANYBODY) is None

    def holder_of(self, tx: Tx, phone_id: str) -> str | None:
        """Return the member who holds a phone, or None."""
        row = tx.one(_HOLDS_PHONE, phone=phone_id)
        return None if row is None else str(row.id)

    def seen(self, tx: Tx, member_id: str) -> None:
        """Note that the member showed up: what dormancy is measured from."""
        away_since = tx.now - (self._policies.of(tx).ladder.shortest_absence or tx.now)
        tx.run(_SEEN, id_=member_id, seen=tx.now, away_since=away_since)
        progress.showed_up(tx, member_id)

    # -- reading ----------------------------------------------------------------------------------------

    def get(self, tx: Tx, member_id: str) -> MemberView:
        row = tx.one(_GET, id=member_id)
        if row is None:
            raise not_found("member")
        return _view(row)

    def lookup(self, tx: Tx, number: Number) -> MemberView:
        """Find the member who holds a phone; written into the audit, because it tells whose number it is.

        Raises:
            Refused: `not_found`.
        """
        phone = self._phones.find(tx, number)
        row = None if phone is None else tx.one(_BY_PHONE, phone=phone.id)
        if row is None:
            raise not_found("member")
        self._journal.tell(tx, "member.looked_up", row.id, {"member_id": row.id}, public=False)
        return _view(row)

    def page(
        self,
        tx: Tx,
        paging: Paging,
        *,
        external_id: str | None = None,
        state: str | None = None,
        inviter_id: str | None = None,
        invite_id: str | None = None,
    ) -> Page[MemberView]:
        query = _VIEW
        if external_id is not None:
            query = query.where(members.c.external_id == external_id)
        if state is not None:
            query = query.where(members.c.state == state)
        if inviter_id is not None:
            query = query.where(members.c.inviter_id == inviter_id)
        if invite_id is not None:
            query = query.where(members.c.invite_id == invite_id)
        return self._page(tx, query, paging)

    def with_external_ids(self, tx: Tx, external_ids: Sequence[str]) -> dict[str, str]:
        """Return the member ids behind some (a few hundred) external ids; unknown ones are missing."""
        query = select(members.c.external_id, members.c.id).where(members.c.external_id.in_(external_ids))
        return {row.external_id: row.id for row in tx.select(query)}

    def invitees(self, tx: Tx, member_id: str, paging: Paging) -> Page[MemberView]:
        self._known(tx, member_id)
        return self._page(tx, _VIEW.where(members.c.inviter_id == member_id), paging)

    def _page(self, tx: Tx, query: Select[Any], paging: Paging) -> Page[MemberView]:
        rows = tx.select(paging.apply(query, members.c.id))
        return page_of([_view(row) for row in rows], paging)

    def _known(self, tx: Tx, member_id: str) -> Any:
        row = tx.one(_EXISTS, id=member_id)
        if row is None:
            raise not_found("member")
        return row

    # -- the tree -----------------------------------------------------------------------------------------

    def ancestors(self, tx: Tx, member_id: str, paging: Paging) -> Page[MemberView]:
        """Return the inviters of a member, nearest first, up to the root."""
        start = self._known(tx, member_id if paging.after is None else paging.after)
        chain = (
            select(members.c.id, members.c.inviter_id, literal(0).label("step"))
            .where(members.c.id == start.inviter_id)
            .cte("chain", recursive=True)
        )
        chain = chain.union_all(
            select(members.c.id, members.c.inviter_id, chain.c.step + 1).where(
                members.c.id == chain.c.inviter_id, chain.c.step < paging.limit
            )
        )
        query = _VIEW.join(chain, chain.c.id == members.c.id).order_by(chain.c.step).limit(paging.limit + 1)
        return page_of([_view(row) for row in tx.select(query)], paging)

    def subtree(
        self, tx: Tx, member_id: str, paging: Paging, *, max_depth: int | None = None
    ) -> Page[MemberView]:
        """Return everyone below a member, each before its own invitees, older invitees before younger ones.

        Raises:
            Refused: `not_found`, `validation_failed`.
        """
        if max_depth is not None and not 1 <= max_depth <= 100_000:
            raise invalid("/max_depth", "out_of_range", "max_depth must be 1 to 100000.")
        top = self._known(tx, member_id)
        walked = walk(tx, member_id, after=self._walked_to(tx, top, paging), max_depth=max_depth)
        places = list(islice(walked, paging.limit + 1))
        views = {row.id: row for row in tx.among(_GET_MANY, [place.id for place in places])}
        data = [_view(views[place.id], place.depth) for place in places[: paging.limit]]
        more = len(places) > paging.limit
        return Page(data=data, next_cursor=write_cursor(f"{member_id}.{data[-1].id}") if more else None)

    def _walked_to(self, tx: Tx, top: Any, paging: Paging) -> Place | None:
        """Return where the page before ended.  The cursor names the top, too: it is of no other subtree."""
        if paging.after is None:
            return None
        of, _, last = paging.after.partition(".")
        row = tx.one(_EXISTS, id=last) if of == top.id else None
        if row is None or row.generation <= top.generation:
            raise Refused("cursor_invalid", "This cursor was not made for this subtree.")
        return Place(last, row.generation - top.generation)

    def tree_summary(self, tx: Tx, member_id: str) -> TreeSummary:
        """Count a member's whole subtree, the member left out, as far as one answer may go."""
        self._known(tx, member_id)
        return count(tx, member_id)

    def nodes(self, tx: Tx, batch: int = 10_000) -> Iterator[Any]:
        """Walk over every member's place in the tree, in batches, oldest first: nothing of phones or names.

        Yields rows of id, inviter_id, invite_id, campaign, generation, state, country, level, joined_at.
        """
        after = ""
        while rows := tx.all(_NODES, after=after, limit=batch):
            yield from rows
            after = rows[-1].id

    def miscounted_invites(self, tx: Tx, limit: int = 100) -> list[Any]:
        """Return invites (id, uses, joined) whose uses are not as many as the members who joined by them."""
        return tx.all(_MISCOUNTED, limit=limit)


def _row(member_id: str, new: NewMember, now: Instant) -> dict[str, Any]:
    return {
        "id": member_id,
        "external_id": new.external_id,
        "state": new.state,
        "inviter_id": new.inviter_id,
        "invite_id": new.invite_id,
        "campaign_id": new.campaign_id,
        "generation": new.generation,
        "phone_id": new.phone and new.phone.id,
        "phone_verified_at": now if new.phone else None,
        "joined_at": now if new.joined_at is None else new.joined_at,
        "last_seen_at": now if new.last_seen_at is None else new.last_seen_at,
        "country": new.phone and new.phone.country,
        "locale": new.locale,
        "level": new.level,
    }


def _fresh_view(member_id: str, new: NewMember, now: Instant) -> MemberView:
    phone = new.phone
    return MemberView(
        id=member_id,
        external_id=new.external_id,
        state="active",
        inviter_id=new.inviter_id,
        invite_id=new.invite_id,
        campaign=new.campaign,
        generation=new.generation,
        joined_at=now,
        country=None if phone is None else phone.country,
        masked=None if phone is None else phone.masked,
        phone_country=None if phone is None else phone.country,
        phone_kind=None if phone is None else phone.kind,
        phone_verified_at=None if phone is None else now,
        trust_log_odds=None,
        level=new.level,
        available=0,
    )


def _view(row: Any, depth: int | None = None) -> MemberView:
    return MemberView(
        id=row.id,
        external_id=row.external_id,
        state=row.state,
        inviter_id=row.inviter_id,
        invite_id=row.invite_id,
        campaign=row.campaign,
        generation=row.generation,
        joined_at=row.joined_at,
        country=row.country,
        masked=row.masked,
        phone_country=row.phone_country,
        phone_kind=row.phone_kind,
        phone_verified_at=row.phone_verified_at,
        trust_log_odds=row.trust_log_odds,
        level=row.level,
        available=row.quota_available,
        depth=depth,
    )
