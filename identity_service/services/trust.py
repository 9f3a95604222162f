"""A member's trust, told exactly and with its reasons by any process: from rows, without the forest.

The worker keeps each node's exact state beside the published scores (`trust_following.py`).  What a score
depends on is the way to the root, as far as an influence reaches, and what the invitees say; both are read in
a fixed number of statements, however large the tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Integer, bindparam, func, literal, select

from graph.trust import (
    Above,
    Alike,
    AlphaEpoch,
    Explanation,
    Facts,
    Neighbourhood,
    Told,
    TrustParameters,
    explained,
)
from graph.trust.parameters import down_map
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members, phones, trust_states
from identity_service.errors import not_found
from identity_service.policy.rules import TrustRules
from identity_service.services import trust_rows
from identity_service.services.policy_book import PolicyBook
from identity_service.services.trust_rows import Mark
from identity_service.services.trust_tree import evidence_policy, phone_flags, trust_parameters

NAMED_INVITEES: Final = 20
_READ_AGAIN: Final = 3
"""How often rows are read once more that were written in between."""

_STATE = (
    trust_states.c.flags,
    trust_states.c.report_branches,
    trust_states.c.vouch_branches,
    trust_states.c.own,
    trust_states.c.received,
    trust_states.c.message,
    trust_states.c.edge_weight,
)
_MEMBER = Statement(
    select(
        members.c.id,
        members.c.level,
        members.c.trust_log_odds,
        phones.c.kind.label("phone_kind"),
        *_STATE,
    )
    .select_from(members)
    .outerjoin(phones, phones.c.id == members.c.phone_id)
    .outerjoin(trust_states, trust_states.c.node_id == members.c.id)
    .where(members.c.id == bindparam("id"))
)
_NODE = Statement(select(*_STATE).where(trust_states.c.node_id == bindparam("id")))


def _way_up() -> Statement:
    """The member and those above it, nearest first, as far as their influence reaches."""
    way = (
        select(members.c.id, members.c.inviter_id, members.c.campaign_id, literal(0).label("step"))
        .where(members.c.id == bindparam("id"))
        .cte("way", recursive=True)
    )
    above = members.alias("above")
    way = way.union_all(
        select(above.c.id, above.c.inviter_id, above.c.campaign_id, way.c.step + 1).where(
            above.c.id == way.c.inviter_id, way.c.step < bindparam("horizon", type_=Integer)
        )
    )
    return Statement(
        select(way.c.id, way.c.inviter_id, way.c.campaign_id, *_STATE)
        .select_from(way)
        .outerjoin(trust_states, trust_states.c.node_id == way.c.id)
        .order_by(way.c.step)
    )


_WAY = _way_up()
_invitees = (
    select(members.c.id, trust_states.c.message)
    .select_from(members)
    .join(trust_states, trust_states.c.node_id == members.c.id)
    .where(members.c.inviter_id == bindparam("id"))
)
_LARGEST = Statement(
    _invitees.where(trust_states.c.message != 0)
    .order_by(func.abs(trust_states.c.message).desc(), members.c.id)
    .limit(bindparam("limit"))
)
_WORST = Statement(_invitees.order_by(trust_states.c.message, members.c.id).limit(1))
_ALIKE_BY = (
    trust_states.c.message,
    trust_states.c.received,
    trust_states.c.flags,
    trust_states.c.report_branches,
    trust_states.c.vouch_branches,
    trust_states.c.edge_weight,
)
_ALIKE = Statement(
    select(*_ALIKE_BY, func.count().label("n"))
    .select_from(members)
    .outerjoin(trust_states, trust_states.c.node_id == members.c.id)
    .where(members.c.inviter_id == bindparam("id"))
    .group_by(*_ALIKE_BY)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is written of a node; the defaults are those of a node without a row."""

    facts: Facts = field(default_factory=Facts)
    own: float = 0.0
    received: float = 0.0
    message: float = 0.0
    edge_weight: float = 1.0

    def heard(self, parameters: TrustParameters) -> float:
        """Y, or the clamp of who is adjudicated."""
        return parameters.adjudicated if self.facts.is_adjudicated else self.received


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTrust:
    """A member's trust, exactly as of an event.

    Attributes:
        published: L as the member's row has it, which rules and lists read; within the policy's tolerance of
            the exact one.  None before the worker has come to the member.
        as_of_event: the last event that is taken into account; None before any.
    """

    member_id: str
    level: str
    published: float | None
    as_of_event: str | None
    explanation: Explanation

    @property
    def log_odds(self) -> float:
        return self.explanation.score.log_odds

    @property
    def score(self) -> float:
        """1/(1+e^−L)."""
        return 0.5 * (1.0 + math.tanh(self.log_odds / 2.0))


class Trust:
    def __init__(self, *, policies: PolicyBook) -> None:
        self._policies = policies

    def explain(self, tx: Tx, member_id: str) -> MemberTrust:
        """Tell a member's score, what it is the sum of, and what would raise it.

        A member whom the worker has not come to yet is told by what is known when somebody joins.

        Raises:
            Refused: `not_found`.
        """
        rules = self._policies.of(tx).trust
        mark = trust_rows.read_mark(tx)
        told = _explained(tx, member_id, rules, mark)
        # On PostgreSQL each statement sees what has been committed by then: all of them must have seen the
        # rows as of one event.
        for _ in range(_READ_AGAIN):
            before, mark = mark, trust_rows.read_mark(tx)
            if mark == before:
                break
            told = _explained(tx, member_id, rules, mark)
        return told


def _explained(tx: Tx, member_id: str, rules: TrustRules, mark: Mark | None) -> MemberTrust:
    member = tx.one(_MEMBER, id=member_id)
    if member is None:
        raise not_found("member")
    state = _state_of(member)
    if member.flags is None:
        state = _State(facts=Facts(flags=phone_flags(member.phone_kind)))
    parameters = trust_parameters(rules)
    beside = Neighbourhood(
        member=member_id,
        parameters=parameters,
        policy=evidence_policy(rules),
        alpha=(AlphaEpoch() if mark is None else mark.epoch).alpha,
        facts=state.facts,
        above=_above(tx, member_id, parameters),
        largest=_told(tx.all(_LARGEST, id=member_id, limit=NAMED_INVITEES)),
        worst=next(iter(_told(tx.all(_WORST, id=member_id))), None),
        invitees=_alike(tx, member_id, parameters),
    )
    return MemberTrust(
        member_id=member_id,
        level=member.level,
        published=member.trust_log_odds,
        as_of_event=None if mark is None else mark.event_id,
        explanation=explained(beside),
    )


def _above(tx: Tx, member_id: str, parameters: TrustParameters) -> Above | None:
    """Carry the prior down from the root (or from where influence ends) to the member's inviter."""
    rows = tx.all(_WAY, id=member_id, horizon=parameters.horizon)
    way = [(row.id, _state_of(row)) for row in rows]
    top, prior = rows[-1], parameters.root_prior
    is_cut_off = top.inviter_id is not None
    if top.campaign_id is not None and not is_cut_off:
        campaign = tx.one(_NODE, id=top.campaign_id)
        way.append((top.campaign_id, _State() if campaign is None else _state_of(campaign)))
        prior = parameters.campaign_prior
    if len(way) == 1:
        return None
    t = prior
    for here, below in zip(range(len(way) - 1, 1, -1), range(len(way) - 2, 0, -1), strict=True):
        cavity = _cavity(way[here][1], way[below][1], t, parameters)
        t = down_map(cavity, *parameters.edge(way[below][1].edge_weight))
    (_, member), (inviter_id, inviter) = way[:2]
    return Above(
        member=inviter_id,
        is_campaign=len(rows) == 1,
        edge_weight=member.edge_weight,
        cavity=_cavity(inviter, member, t, parameters),
    )


def _cavity(here: _State, below: _State, t: float, p: TrustParameters) -> float:
    """How `here` seems to invite, the word of its invitee `below` left out."""
    belief = down_map(here.own + t, p.r, 1 - p.s)
    if here.facts.is_adjudicated:
        return belief + p.adjudicated
    return belief + here.received - below.message


def _alike(tx: Tx, member_id: str, parameters: TrustParameters) -> tuple[Alike, ...]:
    found = []
    for row in tx.all(_ALIKE, id=member_id):
        state = _state_of(row)
        found.append(
            Alike(
                message=state.message,
                received=state.heard(parameters),
                facts=state.facts,
                edge_weight=state.edge_weight,
                count=row.n,
            )
        )
    return tuple(found)


def _told(rows: Sequence[Any]) -> tuple[Told, ...]:
    return tuple(Told(member=row.id, message=row.message) for row in rows)


def _state_of(row: Any) -> _State:
    if row.flags is None:
        return _State()
    return _State(
        facts=Facts(flags=row.flags, report_branches=row.report_branches, vouch_branches=row.vouch_branches),
        own=getattr(row, "own", 0.0),
        received=row.received,
        message=row.message,
        edge_weight=row.edge_weight,
    )
