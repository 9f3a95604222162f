"""Levels: every condition at, below and above its threshold; no flapping; what waiting alone changes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.errors import Misconfigured
from identity_service.policy.inviting import InviterFacts, may_invite
from identity_service.policy.levels import PHONE_KINDS, Ladder, MemberFacts, verdicts
from identity_service.policy.many import ManyFacts, place_many
from identity_service.policy.rules import default_text, load_policy, parse_policy
from identity_service.ports import DAY, HOUR, SECOND

LADDER = load_policy("").ladder
NOW = 20_000 * DAY
NAMES = [level.name for level in LADDER.levels]


def ladder(enter: str, keep: str = "", **level: Any) -> Ladder:
    """The default ladder with one earning level in place of its three."""
    head = default_text().partition("[[levels]]")[0]
    fields = {"allowance": 2, "unspent_cap": 6} | level
    written = "\n".join(f"{name} = {value}" for name, value in fields.items())
    text = (
        f'{head}[[levels]]\nname = "new"\n[[levels]]\nname = "member"\n{written}\n[levels.enter]\n{enter}\n'
    )
    return parse_policy(f"{text}[levels.keep]\n{keep}\n", "test").ladder


def member(**facts: Any) -> MemberFacts:
    """A member that meets every condition of every level, unless something else is said."""
    good: dict[str, Any] = {
        "joined_at": NOW - 400 * DAY,
        "last_seen_at": NOW - DAY,
        "log_odds": 3.0,
        "conduct": 3.0,
        "standing": 1.0,
        "from_inviter": 2.0,
        "phone_verified": True,
        "phone_kind": "mobile",
        "invitees": 50,
        "level": "new",
        "level_since": NOW - 400 * DAY,
    }
    return MemberFacts(**(good | facts))


@pytest.mark.parametrize(
    ("condition", "facts", "passes"),
    [
        ('age = "30d"', {"joined_at": NOW - 30 * DAY + 1}, False),
        ('age = "30d"', {"joined_at": NOW - 30 * DAY}, True),
        ('age = "30d"', {"joined_at": NOW - 31 * DAY}, True),
        (
            'age = "30d"\nprobation = { below = 1.0, age = "60d" }',
            {"joined_at": NOW - 59 * DAY, "from_inviter": 0.9},
            False,
        ),
        (
            'age = "30d"\nprobation = { below = 1.0, age = "60d" }',
            {"joined_at": NOW - 60 * DAY, "from_inviter": 0.9},
            True,
        ),
        (
            'age = "30d"\nprobation = { below = 1.0, age = "60d" }',
            {"joined_at": NOW - 30 * DAY, "from_inviter": 1.0},
            True,
        ),
        ('probation = { below = 1.0, age = "60d" }', {"joined_at": NOW, "from_inviter": 1.0}, True),
        ("log_odds = 0.5", {"log_odds": 0.4999}, False),
        ("log_odds = 0.5", {"log_odds": 0.5}, True),
        ("log_odds = 0.5", {"log_odds": math.nan}, False),
        ("conduct = 0.0", {"conduct": -0.0001}, False),
        ("conduct = 0.0", {"conduct": 0.0}, True),
        ("conduct = 0.0", {"conduct": math.nan}, False),
        ("standing = -1.0", {"standing": -1.1}, False),
        ("standing = -1.0", {"standing": -1.0}, True),
        ("from_inviter = 0.0", {"from_inviter": -0.1}, False),
        ("from_inviter = 0.0", {"from_inviter": 0.0}, True),
        ("phone_verified = true", {"phone_verified": False}, False),
        ("phone_verified = true", {}, True),
        ('phone_kinds = ["mobile"]', {"phone_kind": "voip"}, False),
        ('phone_kinds = ["mobile"]', {"phone_kind": None}, False),
        ('phone_kinds = ["voip", "mobile"]', {}, True),
        ('seen_within = "30d"', {"last_seen_at": NOW - 30 * DAY}, True),
        ('seen_within = "30d"', {"last_seen_at": NOW - 30 * DAY - 1}, False),
        ("invitees_joined = 3", {"invitees": 2}, False),
        ("invitees_joined = 3", {"invitees": 3}, True),
        # (banned + .02 · 10) / (joined + 10): one of one is .109, two of two .183, three of three .246
        ("invitees_banned_share = 0.2", {"invitees": 1, "invitees_banned": 1}, True),
        ("invitees_banned_share = 0.2", {"invitees": 2, "invitees_banned": 2}, True),
        ("invitees_banned_share = 0.2", {"invitees": 3, "invitees_banned": 3}, False),
        ("invitees_banned_share = 0.02", {"invitees": 0}, True),
        ("not_adjudicated = true", {"adjudicated": True}, False),
        ("not_adjudicated = true", {}, True),
    ],
)
def test_each_condition_below_at_and_above_its_threshold(
    condition: str, facts: dict[str, Any], passes: bool
) -> None:
    rules, who = ladder(condition), member(**facts)
    assert rules.place(who, NOW).place == int(passes)
    found = list(verdicts(rules.levels[1].enter, who, rules.rules, NOW))
    assert [bool(one.passed) for one in found] == [passes]
    many = place_many(rules, arrays(rules, [who]), NOW)
    assert (many.level[0], many.may_spend_earned[0]) == (int(passes), passes)


def test_a_restriction_reads_standing_alone_and_no_minimum_stay_softens_it() -> None:
    low = member(level="steward", level_since=NOW - HOUR, standing=-2.6)
    assert LADDER.place(low, NOW).cause == "restricted"
    assert LADDER.place(low, NOW).place == 0
    assert not LADDER.may_spend_earned(replace(low, level="new"), NOW)
    assert LADDER.place(replace(low, standing=-2.5, log_odds=-9.0), NOW).cause == "minimum_stay"


def test_a_member_falls_only_when_keep_fails_and_the_minimum_stay_is_over() -> None:
    since = NOW - 14 * DAY
    shaky = member(level="member", level_since=since, log_odds=0.6)
    assert NAMES[LADDER.place(shaky, NOW).place] == "member"
    low = replace(shaky, log_odds=0.4)
    assert LADDER.place(low, NOW - 1).cause == "minimum_stay"
    assert NAMES[LADDER.place(low, NOW).place] == "new"
    assert not LADDER.may_spend_earned(low, NOW - 1), "the level is kept, what was earned waits"


def test_a_member_who_loses_a_level_falls_to_the_highest_that_it_keeps() -> None:
    steward = member(level="steward", level_since=0, log_odds=0.9)
    assert NAMES[LADDER.place(steward, NOW).place] == "trusted"
    assert NAMES[LADDER.place(replace(steward, log_odds=0.6), NOW).place] == "member"


def test_a_level_that_the_policy_does_not_know_counts_as_the_first() -> None:
    assert LADDER.place_of("gold") == 0
    assert NAMES[LADDER.place(member(level="gold"), NOW).place] == "steward"


@given(noise=st.lists(st.floats(-0.14, 0.14), min_size=2, max_size=40), step=st.integers(1, 40))
def test_nobody_flaps_while_a_score_trembles_within_the_band(noise: list[float], step: int) -> None:
    """Between keep (0.5) and enter (0.8) of a member, whatever the order, the level changes once at most."""
    who, at, changes = member(joined_at=NOW - 60 * DAY, log_odds=0.65, level_since=NOW), NOW, 0
    for shift in noise:
        at += step * DAY
        who = replace(who, log_odds=0.65 + shift, last_seen_at=at)
        placed = LADDER.place(who, at)
        if placed.level.name != who.level:
            who, changes = replace(who, level=placed.level.name, level_since=at), changes + 1
    assert changes <= 1


@given(noise=st.lists(st.floats(0.0, 1.4), min_size=2, max_size=60))
def test_a_level_once_reached_lasts_for_its_minimum_stay_under_any_noise(noise: list[float]) -> None:
    who, at, fell = member(joined_at=NOW - 60 * DAY, log_odds=0.65), NOW, []
    for odds in noise:
        at += DAY
        who = replace(who, log_odds=odds, last_seen_at=at)
        placed = LADDER.place(who, at)
        if placed.level.name != who.level:
            if placed.place < LADDER.place_of(who.level):
                fell.append(at - who.level_since)
            who = replace(who, level=placed.level.name, level_since=at)
    assert all(stay >= 14 * DAY for stay in fell)


FACTS = st.builds(
    MemberFacts,
    joined_at=st.integers(NOW - 200 * DAY, NOW),
    last_seen_at=st.integers(NOW - 60 * DAY, NOW),
    log_odds=st.one_of(st.floats(-3, 3), st.sampled_from([0.5, 0.8, 1.1, 1.5, math.nan])),
    conduct=st.one_of(st.floats(-2, 3), st.sampled_from([0.0, 0.2, 0.7, math.nan])),
    standing=st.one_of(st.floats(-4, 3), st.just(math.nan)),
    from_inviter=st.one_of(st.floats(-1.4, 3.9), st.just(math.nan)),
    phone_verified=st.booleans(),
    phone_kind=st.sampled_from([*PHONE_KINDS, None]),
    invitees=st.integers(0, 20),
    invitees_banned=st.integers(0, 3),
    adjudicated=st.booleans(),
    level=st.sampled_from(NAMES),
    level_since=st.integers(NOW - 40 * DAY, NOW),
    earned=st.integers(0, 9),
    earn_from=st.one_of(st.none(), st.integers(NOW - 20 * DAY, NOW + 7 * DAY)),
)


def arrays(rules: Ladder, members: list[MemberFacts]) -> ManyFacts:
    def column(name: str, kind: Any) -> Any:
        return np.array([getattr(one, name) for one in members], kind)

    return ManyFacts(
        **{name: column(name, np.int64) for name in ("joined_at", "last_seen_at", "level_since")},
        **{name: column(name, np.int64) for name in ("invitees", "invitees_banned")},
        **{name: column(name, float) for name in ("log_odds", "conduct", "standing", "from_inviter")},
        **{name: column(name, bool) for name in ("phone_verified", "adjudicated")},
        phone_kind=np.array(
            [-1 if m.phone_kind is None else PHONE_KINDS.index(m.phone_kind) for m in members]
        ),
        level=np.array([rules.place_of(one.level) for one in members]),
    )


@given(members=st.lists(FACTS, min_size=1, max_size=30))
def test_many_members_in_arrays_are_judged_as_each_one_is(members: list[MemberFacts]) -> None:
    found = place_many(LADDER, arrays(LADDER, members), NOW)
    for index, who in enumerate(members):
        placed = LADDER.place(who, NOW)
        settled = replace(who, level=placed.level.name)
        may = LADDER.may_spend_earned(settled, NOW)
        assert (found.level[index], bool(found.may_spend_earned[index])) == (placed.place, may)
        assert found.allowance[index] == (placed.level.allowance if may else 0)


@given(who=FACTS)
def test_between_two_changes_that_time_brings_nothing_changes(who: MemberFacts) -> None:
    """A review before `next_change` would find what the review now finds: none is missed, none is wasted."""
    placed = LADDER.place(who, NOW)
    if placed.level.name != who.level:
        who = replace(who, level=placed.level.name, level_since=NOW)
    until = LADDER.next_change(who, NOW)
    last = NOW + 400 * DAY if until is None else until - 1
    for at in {NOW, (NOW + last) // 2, last}:
        assert LADDER.place(who, at).place == LADDER.place(who, NOW).place
        assert bool(LADDER.earns(who, at)) == bool(LADDER.earns(who, NOW))


@given(who=FACTS)
def test_the_next_grant_comes_when_it_is_said_and_not_before(who: MemberFacts) -> None:
    coming = LADDER.next_grant(who, NOW)
    at: int | None = NOW
    granted = 0
    while at is not None:  # the reviews, as the worker does them
        placed = LADDER.place(who, at)
        if placed.level.name != who.level:
            who = replace(who, level=placed.level.name, level_since=at)
        granted = LADDER.earns(who, at)
        if granted:
            assert coming == (at, granted)
        if granted or LADDER.period_is_due(who, at):
            break
        at = LADDER.next_change(who, at)
    assert bool(granted) == (coming is not None)


def test_periods_keep_their_days_and_missed_ones_are_not_made_up_for() -> None:
    week = LADDER.rules.period
    assert LADDER.next_period(None, NOW) == NOW + week
    assert LADDER.next_period(NOW - HOUR, NOW) == NOW - HOUR + week, "a worker's delay moves nothing"
    assert LADDER.next_period(NOW - 3 * week, NOW) == NOW + week


def test_no_grant_lifts_the_unspent_above_its_cap() -> None:
    who = member(level="trusted", level_since=0)
    assert [LADDER.earns(replace(who, earned=held), NOW) for held in (0, 4, 5, 6, 7)] == [2, 2, 1, 0, 0]


def decide(granted: int = 0, uses: int = 1, now: int = NOW, **facts: Any) -> Any:
    own = {name: facts.pop(name) for name in list(facts) if name not in MemberFacts.__slots__}
    state: dict[str, Any] = {"state": "active", "invites_frozen": False} | own
    inviter = InviterFacts(**state, granted=granted, member=member(**facts))
    return may_invite(inviter, uses=uses, ladder=LADDER, version="7", now=now)


def test_what_was_granted_can_be_given_at_once_and_what_was_earned_under_conditions() -> None:
    fresh: dict[str, Any] = {"joined_at": NOW, "log_odds": math.nan, "conduct": math.nan}
    assert decide(granted=1, **fresh).allowed
    refused = decide(earned=1, **fresh)
    assert (refused.allowed, refused.reason.code) == (False, "member_too_new")
    assert refused.reason.earliest_at == NOW + 30 * DAY
    assert not decide(granted=1, earned=1, uses=2, **fresh).allowed
    assert decide(granted=1, earned=1, uses=2).allowed
    assert decide(granted=0, **fresh).reason.code == "quota_exhausted"


def test_a_sanction_bars_what_was_granted_as_well_and_says_until_when() -> None:
    barred = decide(granted=5, state="suspended", invites_frozen=True, barred_until=NOW + DAY)
    by_name = {rule.rule: rule for rule in barred.rules}
    assert (barred.allowed, barred.reason.code, barred.next_grant_at) == (False, "issuer_not_active", None)
    assert by_name["member_active"].earliest_at == by_name["invites_not_frozen"].earliest_at == NOW + DAY
    assert decide(granted=5, state="banned", barred_until=None).reason.earliest_at is None


def test_every_rule_is_told_whether_or_not_it_decides() -> None:
    told = decide(granted=1)
    assert {rule.rule for rule in told.rules} == {
        "member_active",
        "invites_not_frozen",
        "quota_available",
        "age",
        "log_odds",
        "conduct",
        "phone_verified",
        "seen_within",
        "invitees_banned_share",
        "not_adjudicated",
        "not_restricted",
        "open_invites",
    }
    assert (told.version, told.reason) == ("7", None)


def test_open_invites_are_capped_for_earned_ones_until_some_expire() -> None:
    facts: dict[str, Any] = {"level": "member", "earned": 4}
    assert decide(open_uses=7, **facts).allowed
    full = decide(open_uses=8, room_at=NOW + DAY, **facts)
    assert (full.reason.code, full.reason.earliest_at) == ("too_many_open_invites", NOW + DAY)
    assert decide(granted=1, open_uses=8, **facts).allowed


def test_a_member_without_invites_is_told_when_the_next_are_earned() -> None:
    waiting = decide(joined_at=NOW - 10 * DAY)
    assert waiting.next_grant_at == NOW + 20 * DAY == waiting.reason.earliest_at
    later = decide(level="member", level_since=NOW, joined_at=NOW - 40 * DAY, earn_from=NOW + 3 * DAY)
    assert later.next_grant_at == NOW + 3 * DAY
    assert decide(joined_at=NOW - 10 * DAY, log_odds=0.1).next_grant_at is None


@given(who=FACTS, granted=st.integers(0, 2), open_uses=st.integers(0, 10), uses=st.integers(1, 3))
def test_a_rule_that_waiting_meets_is_met_at_its_date_and_not_a_second_before(
    who: MemberFacts, granted: int, open_uses: int, uses: int
) -> None:
    facts = InviterFacts(
        state="active", invites_frozen=False, member=who, granted=granted, open_uses=open_uses
    )

    def rules(now: int) -> dict[str, Any]:
        return {r.rule: r for r in may_invite(facts, uses=uses, ladder=LADDER, version="1", now=now).rules}

    for name, rule in rules(NOW).items():
        if rule.earliest_at is None or name == "quota_available":
            continue
        assert not rule.passed
        assert rules(rule.earliest_at)[name].passed
        assert not rules(rule.earliest_at - SECOND)[name].passed


@pytest.mark.parametrize(
    ("enter", "keep", "names"),
    [
        ("log_odds = 0.5", "log_odds = 0.6", "keep.log_odds is stricter"),
        ('seen_within = "30d"', 'seen_within = "29d"', "keep.seen_within is stricter"),
        ("invitees_banned_share = 0.2", "invitees_banned_share = 0.1", "stricter"),
        ("log_odds = 0.5", "conduct = 0.0", "keep.conduct loosens nothing"),
        ('phone_kinds = ["carrier pigeon"]', "", "phone_kinds"),
        ("phone_verified = false", "", "phone_verified"),
        ("log_odds = nan", "", "log_odds"),
        ("invitees_joined = 1001", "", "invitees_joined"),
        ("shoe_size = 9", "", "shoe_size"),
    ],
)
def test_conditions_that_make_no_sense_are_refused_by_name(enter: str, keep: str, names: str) -> None:
    with pytest.raises(Misconfigured, match=names):
        ladder(enter, keep)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('name = "trusted"', 'name = "member"', "two levels have one name"),
        ('first_level = "new"', 'first_level = "member"', "first_level"),
        ('name = "new"', 'name = "new"\nallowance = 1', "the first level is everybody's"),
        ('name = "steward"', 'name = "Steward"', "name"),
        ("allowance = 3", "allowance = -1", "allowance"),
        ('period = "7d"', 'period = "weekly"', "earning.period"),
    ],
)
def test_levels_that_make_no_sense_are_refused(old: str, new: str, names: str) -> None:
    text = default_text()
    assert old in text
    with pytest.raises(Misconfigured, match=names):
        parse_policy(text.replace(old, new, 1), "mine.toml")
