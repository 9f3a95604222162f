"""The queries behind the reports' columns: which rows they are made of, and what stands for none.

A query is asked for page after page by its first column, an id; what changes later has a query of its own.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, bindparam, case, func, literal, select

from graph.growth.facts import ENTRY_KINDS, NEVER
from identity_service.db.columns import ColumnStatement, Kind
from identity_service.db.store import Statement
from identity_service.db.tables import (
    activity,
    forgotten_messages,
    forgotten_verifications,
    invites,
    members,
    messages,
    phones,
    quota_entries,
    quota_lots,
    sanctions,
    verifications,
)

_after: BindParameter[str] = bindparam("after")
_limit: BindParameter[int] = bindparam("limit")
_since = bindparam("since", type_=BigInteger)
_ID, _NUMBER, _TEXT = Kind.NAME, Kind.NUMBER, Kind.TEXT


def _or_never(column: Any) -> Any:
    return func.coalesce(column, literal(NEVER, BigInteger))


_member = {
    members.c.id: _ID,
    members.c.joined_at: _NUMBER,
    members.c.inviter_id: _ID,
    members.c.invite_id: _ID,
    members.c.campaign_id: _TEXT,
    members.c.country: _TEXT,
    _or_never(members.c.activated_at): _NUMBER,
}
MEMBERS = ColumnStatement(
    select(*_member).where(members.c.id > _after).order_by(members.c.id).limit(_limit), [*_member.values()]
)
ACTIVATED = ColumnStatement(select(*_member).where(members.c.activated_at > _since), [*_member.values()])
_revoked = case((invites.c.state == "revoked", invites.c.ended_at), else_=NEVER)
_invite = {
    invites.c.id: _ID,
    invites.c.created_at: _NUMBER,
    invites.c.issuer_id: _ID,
    invites.c.campaign_id: _TEXT,
    case((invites.c.channel == "sms", 1), else_=0): _NUMBER,
    invites.c.max_uses: _NUMBER,
    _or_never(invites.c.sent_at): _NUMBER,
    _or_never(invites.c.delivered_at): _NUMBER,
    _or_never(invites.c.opened_at): _NUMBER,
    _or_never(invites.c.requested_at): _NUMBER,
    _or_never(invites.c.verified_at): _NUMBER,
    invites.c.expires_at: _NUMBER,
    _revoked: _NUMBER,
}
INVITES = ColumnStatement(
    select(*_invite).where(invites.c.id > _after).order_by(invites.c.id).limit(_limit), [*_invite.values()]
)
MOVED = ColumnStatement(select(*_invite).where(invites.c.moved_at > _since), [*_invite.values()])
SANCTIONS = ColumnStatement(
    select(
        sanctions.c.id,
        sanctions.c.created_at,
        sanctions.c.member_id,
        case((sanctions.c.action == "ban", 1), else_=0),
        _or_never(sanctions.c.expires_at),
        _or_never(sanctions.c.lifted_at),
    )
    .where(sanctions.c.id > _after, (sanctions.c.action == "ban") | (sanctions.c.action == "suspend"))
    .order_by(sanctions.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _ID, _NUMBER, _NUMBER, _NUMBER),
)
_entry = (
    quota_entries.c.id,
    quota_entries.c.created_at,
    quota_entries.c.member_id,
    case(*((quota_entries.c.kind == name, place) for place, name in enumerate(ENTRY_KINDS)), else_=-1),
    quota_entries.c.amount,
    quota_entries.c.invite_id,
)
_ENTRY_KINDS: Final = (_ID, _NUMBER, _ID, _NUMBER, _NUMBER, _ID)
ENTRIES = ColumnStatement(
    select(*_entry, quota_lots.c.batch_id)
    .join(quota_lots, quota_lots.c.id == quota_entries.c.lot_id)
    .where(quota_entries.c.id > _after)
    .order_by(quota_entries.c.id)
    .limit(_limit),
    (*_ENTRY_KINDS, _TEXT),
)
# For all entries it costs half as much to look the lots up here.
ALL_ENTRIES = ColumnStatement(
    select(*_entry, quota_entries.c.lot_id)
    .where(quota_entries.c.id > _after)
    .order_by(quota_entries.c.id)
    .limit(_limit),
    (*_ENTRY_KINDS, _ID),
)
LOTS = ColumnStatement(
    select(quota_lots.c.id, quota_lots.c.batch_id)
    .where(quota_lots.c.id > _after)
    .order_by(quota_lots.c.id)
    .limit(_limit),
    (_ID, _TEXT),
)
CHECKS = ColumnStatement(
    select(
        verifications.c.id,
        verifications.c.created_at,
        phones.c.country,
        _or_never(verifications.c.approved_at),
    )
    .join(phones, phones.c.id == verifications.c.phone_id)
    .where(verifications.c.id > _after, verifications.c.purpose == "registration")
    .order_by(verifications.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
COSTS = ColumnStatement(
    select(
        messages.c.id,
        messages.c.created_at,
        phones.c.country,
        func.coalesce(messages.c.charged, messages.c.cost),
    )
    .join(phones, phones.c.id == messages.c.phone_id)
    .where(messages.c.id > _after, func.coalesce(messages.c.charged, messages.c.cost).is_not(None))
    .order_by(messages.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
FORGOTTEN_CHECKS = ColumnStatement(
    select(
        forgotten_verifications.c.id,
        forgotten_verifications.c.created_at,
        forgotten_verifications.c.country,
        _or_never(forgotten_verifications.c.approved_at),
    )
    .where(forgotten_verifications.c.id > _after)
    .order_by(forgotten_verifications.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
FORGOTTEN_COSTS = ColumnStatement(
    select(
        forgotten_messages.c.id,
        forgotten_messages.c.created_at,
        forgotten_messages.c.country,
        forgotten_messages.c.cost,
    )
    .where(forgotten_messages.c.id > _after)
    .order_by(forgotten_messages.c.id)
    .limit(_limit),
    (_ID, _NUMBER, _TEXT, _NUMBER),
)
LAST_FORGOTTEN: Final = {
    "ver": Statement(select(func.max(forgotten_verifications.c.id).label("id"))),
    "msg": Statement(select(func.max(forgotten_messages.c.id).label("id"))),
}
ACTIVITY = ColumnStatement(
    select(activity.c.member_id, activity.c.days)
    .where(activity.c.block == bindparam("block"), activity.c.member_id > _after)
    .order_by(activity.c.member_id)
    .limit(_limit),
    (_ID, _NUMBER),
)
FIRST_BLOCK = Statement(select(func.min(activity.c.block).label("block")))
