"""What was known then: the report as of an instant is the one that was computed at that instant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graph.growth.catalog import REPORTS
from graph.growth.facts import DAY, NEVER, Activity, Facts, monday_day
from graph.growth.view import Query, View
from tests.graph.growth.networks import START, network

WHEN = START + 110 * DAY + 12_345


def told_by(facts: Facts, at: int) -> Facts:
    """Return a network as somebody had it who copied it at an instant, happening by happening."""
    members, invites = facts.members, facts.invites
    people = [row for row in range(len(members)) if members.joined[row] <= at]
    issued = [row for row in range(len(invites)) if invites.issued[row] <= at]

    def until(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([value if value <= at else NEVER for value in values], dtype=np.int64)

    copied: dict[str, Any] = {
        name: getattr(invites, name)[issued]
        for name in ("issued", "issuer", "campaign", "by_sms", "uses", "expires")
    }
    happened: dict[str, Any] = {
        name: until(getattr(invites, name)[issued].tolist())
        for name in ("sent", "delivered", "opened", "requested", "verified", "revoked")
    }
    bans, ledger, checks, costs, activity = (
        facts.bans,
        facts.entries,
        facts.checks,
        facts.costs,
        facts.activity,
    )
    imposed = bans.imposed <= at
    checked = checks.asked <= at
    made = ledger.picked((ledger.at <= at) & np.isin(ledger.member, people))
    seen = []
    for row in range(len(activity)):
        days = 0
        for bit in range(28):
            day = int(activity.block[row]) * 28 + bit
            if activity.days[row] >> bit & 1 and day <= monday_day(at):
                days |= 1 << bit
        if days and activity.member[row] in people:
            seen.append((activity.member[row], activity.block[row], days))
    return replace(
        facts,
        as_of=at,
        members=replace(
            members,
            **{
                name: getattr(members, name)[people]
                for name in ("joined", "inviter", "invite", "campaign", "country")
            },
            activated=until(members.activated[people].tolist()),
        ),
        invites=replace(invites, **copied, **happened),
        bans=replace(
            bans,
            imposed=bans.imposed[imposed],
            member=bans.member[imposed],
            is_ban=bans.is_ban[imposed],
            expires=bans.expires[imposed],
            lifted=until(bans.lifted[imposed].tolist()),
        ),
        entries=replace(
            made, invite=np.where(np.isin(made.invite, issued), made.invite, -1).astype(np.int32)
        ),
        checks=replace(
            checks,
            asked=checks.asked[checked],
            country=checks.country[checked],
            approved=until(checks.approved[checked].tolist()),
        ),
        costs=costs.picked(costs.at <= at),
        activity=Activity(
            **{
                name: np.array([row[place] for row in seen], dtype=np.int32)
                for place, name in enumerate(("member", "block", "days"))
            }
        ),
    )


@pytest.mark.parametrize("name", REPORTS)
def test_later_knowledge_changes_nothing_of_what_was_known(name: str) -> None:
    facts = network(3)
    _, compute = REPORTS[name]
    query = Query(start=START + 10 * DAY)
    then = compute(View(told_by(facts, WHEN), query))
    assert compute(View(facts.known_at(WHEN), query)).tables == then.tables
    assert compute(View(facts, query)).tables != then.tables


def test_activity_later_on_the_day_is_not_yet_known() -> None:
    facts = network(4)
    today = monday_day(WHEN)
    block, day = divmod(today, 28)
    row = Activity(
        member=np.array([0], dtype=np.int32),
        block=np.array([block], dtype=np.int32),
        days=np.array([1 << day], dtype=np.int32),
    )
    quiet = replace(facts, activity=Activity()).known_at(WHEN)
    heard = replace(facts, activity=row).known_at(WHEN)
    _, compute = REPORTS["cohorts"]
    assert compute(View(quiet)).tables == compute(View(heard)).tables
    tomorrow = replace(facts, activity=row).known_at(WHEN + DAY)
    assert compute(View(tomorrow)).tables != compute(View(facts.known_at(WHEN + DAY))).tables


def test_a_lifted_ban_held_while_it_held() -> None:
    facts = network(5)
    at = next(
        int(row)
        for row in np.flatnonzero(facts.bans.is_ban)
        if facts.bans.lifted[row] < facts.bans.expires[row]
    )
    member, lifted = int(facts.bans.member[at]), int(facts.bans.lifted[at])
    assert facts.known_at(lifted - 1).banned[member]
    others = replace(facts, bans=facts.bans.picked(np.arange(len(facts.bans)) == at))
    assert not others.known_at(lifted).banned[member]
