"""What messages cost, summed by day: kept longer than the messages themselves.

The learner (`routing.py`) adds each message once when a provider takes it, and once when its code comes
back, so that a sum never needs the messages again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import bindparam, case, func, select

from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import campaigns, invite_holds, invites, message_days, messages, phones
from identity_service.db.tables import verifications as ver
from identity_service.ports import DAY, Instant

_DIMENSIONS: Final = ("day", "country", "provider", "campaign_id", "purpose")
_SUMS: Final = ("messages", "segments", "cost", "came_back")
_of_hold = invites.alias("of_hold")
_ABOUT = Statement(
    select(
        messages.c.id,
        messages.c.kind,
        messages.c.segments,
        messages.c.cost,
        messages.c.place,
        phones.c.country,
        ver.c.purpose,
        func.coalesce(invites.c.campaign_id, _of_hold.c.campaign_id).label("campaign_id"),
    )
    .select_from(messages)
    .join(phones, phones.c.id == messages.c.phone_id)
    .outerjoin(ver, ver.c.id == messages.c.subject_id)
    .outerjoin(invite_holds, invite_holds.c.id == ver.c.hold_id)
    .outerjoin(_of_hold, _of_hold.c.id == invite_holds.c.invite_id)
    .outerjoin(invites, invites.c.id == messages.c.subject_id)
    .where(messages.c.id == bindparam("message"))
)


def _add_clause(insert: Any) -> Any:
    row = insert(message_days).values(binds((*_DIMENSIONS, *_SUMS)))
    return row.on_conflict_do_update(
        index_elements=list(_DIMENSIONS),
        set_={name: message_days.c[name] + row.excluded[name] for name in _SUMS},
    )


_ADD = per_dialect(_add_clause)
JOINING: Final = ("registration", "invite")
"""Purposes whose code, when it comes back, is a verified member-to-be."""


class By(StrEnum):
    """What costs can be told by."""

    COUNTRY = "country"
    PROVIDER = "provider"
    CAMPAIGN = "campaign"
    PURPOSE = "purpose"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a message was about, as far as sums and health need it."""

    country: str
    place: str
    """Where its provider's health belongs: its country, or a prefix that has a route of its own."""
    purpose: str
    campaign_id: str | None
    segments: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One line: what was sent, what it cost in millionths of a dollar, and what came of it.

    `verified` are codes that came back of registrations and of invites by SMS; `cost_of_joining` is what
    all messages of these two kinds cost.
    """

    of: str
    messages: int
    segments: int
    cost: int
    came_back: int
    verified: int
    cost_of_joining: int

    @property
    def per_verified(self) -> int | None:
        return self.cost_of_joining // self.verified if self.verified else None


class Costs:
    def about(self, tx: Tx, message_id: str) -> About:
        row = tx.one(_ABOUT, message=message_id)
        return About(
            country=row.country,
            place=row.place or row.country,
            purpose=row.purpose or ("notice" if row.kind.startswith("recovery") else row.kind),
            campaign_id=row.campaign_id,
            segments=row.segments or 0,
            cost=row.cost or 0,
        )

    def add(
        self, tx: Tx, about: About, provider: str, at: Instant, *, sent: bool = False, came_back: bool = False
    ) -> None:
        """Add a message that a provider took, or a code that came back."""
        tx.run(
            _ADD,
            day=at // DAY * DAY,
            country=about.country,
            provider=provider,
            campaign_id=about.campaign_id or "",
            purpose=about.purpose,
            messages=int(sent),
            segments=about.segments if sent else 0,
            cost=about.cost if sent else 0,
            came_back=int(came_back),
        )

    def by(self, tx: Tx, by: By, *, since: Instant, until: Instant) -> list[Cost]:
        """Sum what was spent from one instant's day up to another's, dearest first."""
        days = message_days.c
        joins = days.purpose.in_(JOINING)
        of = func.coalesce(campaigns.c.name, "") if by is By.CAMPAIGN else days[by.value]
        query = (
            select(
                of.label("of"),
                func.sum(days.messages).label("messages"),
                func.sum(days.segments).label("segments"),
                func.sum(days.cost).label("cost"),
                func.sum(days.came_back).label("came_back"),
                func.sum(case((joins, days.came_back), else_=0)).label("verified"),
                func.sum(case((joins, days.cost), else_=0)).label("joining"),
            )
            .select_from(message_days)
            .outerjoin(campaigns, campaigns.c.id == days.campaign_id)
            .where(days.day >= since // DAY * DAY, days.day < until)
            .group_by(of)
        )
        found = [
            Cost(
                of=str(row.of),
                messages=int(row.messages),
                segments=int(row.segments),
                cost=int(row.cost),
                came_back=int(row.came_back),
                verified=int(row.verified),
                cost_of_joining=int(row.joining),
            )
            for row in tx.select(query)
        ]
        return sorted(found, key=lambda one: (-one.cost, one.of))
