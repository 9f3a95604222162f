"""What eligibility says is what issuing does, at the same instant, on both stores."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity_service.db.store import Tx
from identity_service.db.tables import members, quota_lots
from identity_service.errors import Refused
from identity_service.policy.inviting import Decision
from identity_service.ports import DAY
from identity_service.services.invites import IssueInvite
from identity_service.services.quota import Earned, Grant
from tests.service.steps import stop_clock
from tests.support.world import World

_SCORE = st.one_of(st.none(), st.floats(-2, 3), st.sampled_from([0.0, 0.2, 0.5, 0.8]))
COLUMNS = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["active", "active", "active", "suspended", "banned"]),
        "invites_frozen": st.sampled_from([0, 0, 0, 1]),
        "age": st.integers(0, 80 * DAY),
        "away": st.one_of(st.integers(0, 10 * DAY), st.integers(0, 60 * DAY)),
        "trust_log_odds": _SCORE,
        "trust_conduct": _SCORE,
        "trust_standing": st.one_of(st.none(), st.floats(-3, 1)),
        "trust_from_inviter": _SCORE,
        "level": st.sampled_from(["new", "member", "trusted", "gone"]),
    }
)
LOTS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from([-1, 3, 50])), max_size=4
)  # earned or granted, how many, days until it lapses


class _Undone(Exception):
    """Takes everything back, so that one member serves every example."""


def put(tx: Tx, world: World, member_id: str, columns: dict[str, Any], lots: list[Any]) -> None:
    """Make a member what the example says."""
    values = dict(columns)
    values["joined_at"] = tx.now - values.pop("age")
    values["last_seen_at"] = tx.now - values.pop("away")
    ledger = world.services.quota
    for turn, (is_earned, amount, days) in enumerate(lots):
        end = tx.now + days * DAY
        if is_earned:
            earned = Earned(member_id=member_id, amount=amount, period_at=turn, expires_at=end, reason="x")
            ledger.earn(tx, earned)
        else:
            ledger.grant(tx, Grant(member_id=member_id, amount=amount, reason="x", expires_at=end))
    tx.change(members.update().where(members.c.id == member_id).values(**values))


@pytest.fixture
def who(world: World) -> str:
    stop_clock(world)
    return world.seed().id


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=COLUMNS, lots=LOTS, uses=st.integers(1, 4), open_uses=st.sampled_from([0, 0, 7]))
def test_eligibility_allows_exactly_what_issuing_does(
    world: World, who: str, columns: dict[str, Any], lots: list[Any], uses: int, open_uses: int
) -> None:
    services = world.services

    def compare(tx: Tx) -> None:
        if open_uses:
            services.quota.grant(tx, Grant(member_id=who, amount=open_uses, reason="x"))
            services.invites.issue(tx, IssueInvite(issuer_id=who, max_uses=open_uses))
        put(tx, world, who, columns, lots)
        decision: Decision = services.eligibility.decide(tx, who, uses)
        try:
            services.invites.issue(tx, IssueInvite(issuer_id=who, max_uses=uses))
            issued, code = True, None
        except Refused as refused:
            issued, code = False, refused.code
        assert issued == decision.allowed
        assert code == (None if decision.reason is None else decision.reason.code)
        if issued and not decision.may_spend_earned:
            spent_of = quota_lots.select().where(quota_lots.c.kind == "earn", quota_lots.c.member_id == who)
            left = sum(lot.remaining for lot in tx.select(spent_of) if (lot.expires_at or math.inf) > tx.now)
            assert left == decision.earned, "nothing earned was touched"
        raise _Undone

    with pytest.raises(_Undone):
        world.transact(compare)
