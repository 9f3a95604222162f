"""What is simulated is what happens: the bulk reading and judging against the one of each member."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from graph.economy import EconomyParameters, Strategy, play, play_rationed, trusted
from identity_service.policy import played
from identity_service.policy.levels import Ladder, Level
from identity_service.policy.played import outcomes
from identity_service.policy.rules import Policy, default_text, parse_policy
from identity_service.policy.simulation import Batch, Comparison, Rules, facts_of, judge, one_of
from identity_service.ports import DAY, HOUR, SECOND
from identity_service.services.imports import Newcomer
from identity_service.services.sanctions import Action, Impose
from sms.numbers import parse
from tests.cli.conftest import Terminal
from tests.service.test_policy_book import announce
from tests.support.world import World

ODD = (0.3, 0.6, 0.79, 0.81, 1.05, 1.3, 1.6, 2.5)
LIKELY = (1, 1, 1, 2, 4, 4, 3, 2)
OTHER = {
    "log_odds = 0.8 ": "log_odds = 1.2 ",
    'age = "90d"': 'age = "50d"',
    "allowance = 2": "allowance = 4",
    "invitees_joined = 3": "invitees_joined = 1",
    "invitees_banned_share = 0.15": "invitees_banned_share = 0.12",
    "restricted_below = -2.5": "restricted_below = -0.5",
    '"sold_invites"': '"imported"',
}


def changed(version: str, changes: dict[str, str]) -> str:
    found = default_text().replace('version = "2026-11-1"', f'version = "{version}"')
    for before, after in changes.items():
        assert before in found, before
        found = found.replace(before, after, 1)
    return found


def rules_of(policy: Policy) -> Rules:
    return Rules(ladder=policy.ladder, adjudicated_reasons=frozenset(policy.trust.adjudicated_reasons))


def batches(world: World) -> list[Batch]:
    def read(tx: Any) -> list[Batch]:
        found = world.services.population.batches(tx)
        return [Batch(rows=rows, outcomes=outcomes, judged=judged) for rows, outcomes, judged in found]

    return list(world.query(read))


@pytest.fixture
def crowd(world: World) -> World:
    """A hundred members of every kind, reviewed under the policy in force."""
    chance, now = random.Random(11), world.clock.now()
    tree = []
    for n in range(100):
        # Some hours away from every threshold: the test itself takes time.
        age = chance.choice((10, 40, 55, 75, 100, 200, 400)) * DAY + chance.randrange(100, 1000) * HOUR // 100
        inviter = f"u{chance.randrange(n)}" if n and chance.random() < 0.9 else None
        tree.append(
            Newcomer(
                external_id=f"u{n}",
                joined_at=now - age,
                inviter=inviter,
                last_seen_at=now - min(age, chance.choice((1, 1, 1, 20, 40, 60)) * DAY + HOUR),
                number=parse(f"+7916{n:07d}") if chance.random() < 0.9 else None,
                state=chance.choices(("active", "suspended", "banned", "erased"), (86, 3, 8, 3))[0],
            )
        )
    tree = [one if one.state != "erased" else Newcomer(external_id=one.external_id, joined_at=one.joined_at,
            inviter=one.inviter, state="erased") for one in tree]  # fmt: skip
    world.transact(lambda tx: world.services.imports.bring(tx, tree, "imp_x"))
    ids = {row.external_id: row.id for batch in batches(world) for row in batch.rows}
    for n in range(100):
        values = {name: chance.choices(ODD, LIKELY)[0] for name in "lcst"}
        values["s"] -= 3 if n % 9 == 0 else 0
        update = text(
            "UPDATE members SET trust_log_odds = :l, trust_conduct = :c, trust_standing = :s,"
            " trust_from_inviter = :t WHERE external_id = :who"
        ).bindparams(**(values if n % 10 else dict.fromkeys("lcst")), who=f"u{n}")
        world.transact(lambda tx, u=update: tx.change(u))
    for n in (3, 13, 33, 53):
        sold = Impose(member_id=ids[f"u{n}"], action=Action.WARN, reason_code="sold_invites", explanation="x")
        world.transact(lambda tx, s=sold: _impose(world, tx, s))
    review(world)
    return world


def _impose(world: World, tx: Any, wanted: Impose) -> None:
    row = tx.select(text("SELECT state FROM members WHERE id = :id").bindparams(id=wanted.member_id))[0]
    if row.state != "erased":
        world.services.sanctions.impose(tx, wanted)


def review(world: World) -> None:
    reviews = world.services.reviews
    while world.query(reviews.is_due):
        world.transact(reviews.step)


def foretold(world: World, policy: Policy) -> dict[str, tuple[str, bool]]:
    """What a simulation says of each member: its level, and whether it may give earned invites."""
    rules, now, found = rules_of(policy), world.clock.now(), {}
    for batch in batches(world):
        many = facts_of(batch, batch.rows, rules)
        free = many.joined_at == many.joined_at
        for at, row in enumerate(batch.rows):
            free[at] = row.state == "active" and not row.invites_frozen
        judged = judge(rules.ladder, many, free, now)
        for at, row in enumerate(batch.rows):
            name = rules.ladder.levels[int(judged.level[at])].name
            found[row.id] = name, bool(judged.may_earn[at])
    return found


def enforced(world: World) -> dict[str, tuple[str, bool]]:
    """What the service says of each member, by what decides when somebody invites."""

    def ask(tx: Any, member_id: str, state: str) -> tuple[str, bool]:
        decision = world.services.eligibility.decide(tx, member_id)
        standing = {rule.rule: rule.passed for rule in decision.rules}
        free = standing["member_active"] and standing["invites_not_frozen"]
        return decision.level, decision.may_spend_earned and free

    rows = [row for batch in batches(world) for row in batch.rows]
    return {row.id: world.query(lambda tx, r=row: ask(tx, r.id, r.state)) for row in rows}


def states(world: World) -> dict[str, str]:
    return {row.id: row.state for batch in batches(world) for row in batch.rows}


def test_what_is_foretold_is_what_every_member_is_told_once_the_policy_is_in_force(crowd: World) -> None:
    living = [member for member, state in states(crowd).items() if state != "erased"]
    now_told = foretold(crowd, parse_policy(default_text(), "now"))
    enforced_now = enforced(crowd)
    assert {m: now_told[m] for m in living} == {m: enforced_now[m] for m in living}
    text_ = changed("other", OTHER)
    told = foretold(crowd, parse_policy(text_, "other"))
    assert told != now_told
    announce(crowd, text_)
    crowd.clock.advance(2 * SECOND)
    review(crowd)
    then = enforced(crowd)
    assert {m: told[m] for m in living} == {m: then[m] for m in living}
    assert len(set(then.values())) >= 4, "the crowd is too much of one kind"


def test_many_facts_are_those_that_are_read_of_one(crowd: World) -> None:
    policy = parse_policy(default_text(), "now")
    rules = rules_of(policy)
    for batch in batches(crowd):
        many = facts_of(batch, batch.rows, rules)
        for at, row in enumerate(batch.rows):
            found = one_of(many, rules.ladder, at)

            def one(tx: Any, member_id: str = row.id) -> Any:
                from identity_service.services import eligibility

                return crowd.services.eligibility.member(tx, tx.one(eligibility.FACTS_OF, member=member_id))

            alone = crowd.query(one)
            for name in ("joined_at", "last_seen_at", "phone_verified", "phone_kind", "invitees",
                         "invitees_banned", "adjudicated", "level", "level_since"):  # fmt: skip
                assert getattr(found, name) == getattr(alone, name), (name, row.external_id)
            assert repr(found.log_odds) == repr(alone.log_odds)  # NaN is NaN


def test_the_outcomes_of_who_invited_thousands_are_those_of_the_newest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {*range(1, 20), *range(1011, 1021)}
    tree = [Newcomer(external_id="top", joined_at=0)]
    tree += [
        Newcomer(external_id=f"u{n}", joined_at=n, inviter="top", state="banned" if n in bad else "active")
        for n in range(1, 1021)
    ]
    world.transact(lambda tx: world.services.imports.bring(tx, tree, "imp_x"))
    found = batches(world)[0]
    assert found.outcomes[found.rows[0].id] == (1000, 10)


def test_a_known_tree_is_summed_by_country_month_and_move(
    run: Terminal, crowd: World, tmp_path: Path
) -> None:
    """Against a loop over the members, each judged alone."""
    file = tmp_path / "other.toml"
    file.write_text(changed("other", OTHER))
    told = run.json("policy", "simulate", str(file), "--no-economy", "--list", "7")
    now, then = (
        foretold(crowd, parse_policy(default_text(), "x")),
        foretold(crowd, parse_policy(file.read_text(), "x")),
    )
    rows = [row for batch in batches(crowd) for row in batch.rows if row.state in ("active", "suspended")]
    assert (told["before"], told["after"], told["total"]["members"]) == ("2026-11-1", "other", len(rows))
    assert told["total"]["gained"] == sum(then[row.id][1] and not now[row.id][1] for row in rows)
    assert told["total"]["lost"] == sum(now[row.id][1] and not then[row.id][1] for row in rows)
    assert told["total"]["gained"] + told["total"]["lost"] > 0
    moves = {(move["before"], move["after"]): move["members"] for move in told["moves"]}
    expected: dict[tuple[str, str], int] = {}
    for row in rows:
        key = now[row.id][0], then[row.id][0]
        expected[key] = expected.get(key, 0) + 1
    assert moves == expected
    for group in ("by_country", "by_cohort"):
        for name in ("members", "gained", "lost", "raised", "lowered", "earning_before", "earning_after"):
            assert sum(tally[name] for tally in told[group].values()) == told["total"][name]
    assert told["by_country"]["RU"]["members"] == sum(row.country == "RU" for row in rows)
    losers = [one for one in told["most_affected"] if one["earns_after"] < one["earns_before"]]
    assert len(told["most_affected"]) == 7
    assert all(one["because"] for one in losers)
    # Nothing was written.
    assert run.json("policy", "show", "--history")["data"] == []
    assert enforced(crowd) == enforced(crowd)


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten weeks of two hundred: the world is played as it is, only less of it."""
    whole = played.world_of
    monkeypatch.setattr(played, "world_of", lambda ladder: replace(whole(ladder), honest=200, weeks=10))


@pytest.mark.usefixtures("small_world")
def test_the_policy_in_force_changes_nothing_for_anybody(run: Terminal, crowd: World, tmp_path: Path) -> None:
    file = tmp_path / "same.toml"
    file.write_text(default_text())
    told = run.json("policy", "simulate", str(file), "--no-economy")
    assert [told["total"][name] for name in ("gained", "lost", "raised", "lowered")] == [0, 0, 0, 0]
    assert told["most_affected"] == []
    shown = run("policy", "simulate", str(file), "--seeds", "1")
    assert "RU\t" in shown.stdout
    assert "greedy\t" in shown.stdout
    assert "honest refused" in shown.stderr
    file.write_text("version = 1")
    assert "levels" in run("policy", "simulate", str(file), code=2).stderr


@pytest.mark.usefixtures("small_world")
def test_who_may_earn_no_more_at_an_unchanged_level_is_told_why(
    run: Terminal, crowd: World, tmp_path: Path
) -> None:
    """What gates the giving is the lowest earning level's, not that of the member's own."""
    file = tmp_path / "older.toml"
    file.write_text(changed("older", {'age = "30d" ': 'age = "300d" ', 'age = "60d" }': 'age = "300d" }'}))
    told = run.json("policy", "simulate", str(file), "--no-economy", "--list", "100")
    lost = [one for one in told["most_affected"] if one["earns_after"] < one["earns_before"]]
    assert any(one["level_before"] == one["level_after"] == "trusted" for one in lost)
    assert all("age" in one["because"] for one in lost)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_nobody_to_simulate_on_is_no_error(run: Terminal, world: World, tmp_path: Path) -> None:
    file = tmp_path / "same.toml"
    file.write_text(default_text())
    told = run.json("policy", "simulate", str(file), "--no-economy")
    assert (told["total"]["members"], told["moves"], told["by_cohort"]) == (0, [], {})


# -- the economy -------------------------------------------------------------------------------------------

SMALL = EconomyParameters(honest=200, weeks=10, limit=2_000)


def test_a_ration_of_all_or_nothing_is_the_rule_itself() -> None:
    def ration(economy: Any, index: int, wanted: int) -> int:
        return wanted if trusted(economy, index) else 0

    for strategy in Strategy:
        assert play_rationed(3, strategy, ration, SMALL) == play(3, strategy, trusted, SMALL)


@pytest.mark.usefixtures("small_world")
def test_a_policy_that_lets_nobody_earn_refuses_everybody_and_a_lax_one_loses_the_network() -> None:
    ladder = parse_policy(default_text(), "now").ladder
    closed = [level.model_copy(update={"allowance": 0}) for level in ladder.levels]
    shut = list(outcomes(Ladder(levels=tuple(closed), rules=ladder.rules), [1]))
    assert [(one.let_in.value, one.refused.value) for one in shut] == [(0, 1)] * len(Strategy)
    everybody = Level(name="all", allowance=9, unspent_cap=90)
    open_ = next(iter(outcomes(Ladder(levels=(everybody,), rules=ladder.rules), [1])))
    assert (open_.lost, open_.runs) == (1, 1)
    now = next(iter(outcomes(ladder, [1])))
    assert now.lost == 0
    assert (now.let_in.value or 0) < 200
    assert (now.refused.value or 0) < 0.1


def test_sums_of_batches_are_the_sum_over_all(crowd: World) -> None:
    whole = batches(crowd)[0]
    before, after = (rules_of(parse_policy(one, "x")) for one in (default_text(), changed("o", OTHER)))
    at_once, in_parts = (Comparison(before, after, now=crowd.clock.now(), listed=5) for _ in range(2))
    at_once.add(whole)
    for start in range(0, len(whole.rows), 7):
        part = Batch(rows=whole.rows[start : start + 7], outcomes=whole.outcomes, judged=whole.judged)
        in_parts.add(part)
    assert at_once.total == in_parts.total
    assert (at_once.by_country, at_once.by_cohort, at_once.moves) == (
        in_parts.by_country,
        in_parts.by_cohort,
        in_parts.moves,
    )
    assert [one.id for one in at_once.most_affected()] == [one.id for one in in_parts.most_affected()]
