"""Every figure of every report against a loop that counts it one by one, on random networks."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import networkx as nx
import numpy as np
import pytest

from graph.growth.catalog import REPORTS
from graph.growth.facts import DAY, ENTRY_KINDS, NEVER, Facts
from graph.growth.periods import Period
from graph.growth.report import Report, Table
from graph.growth.view import Query, View
from tests.graph.growth.networks import START, network

SEEDS = (1, 2)
QUERIES = (
    Query(),
    Query(start=START + 40 * DAY, end=START + 120 * DAY, cohort=Period.MONTH),
    Query(root=1, cohort=Period.DAY),
    Query(campaign=1),
    Query(country=2, start=START + 20 * DAY),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Slow:
    """A network as plain Python lists, and its figures by loops."""

    def __init__(self, facts: Facts, query: Query) -> None:
        self.as_of, self.query, self.facts = facts.as_of, query, facts
        m, i = facts.members, facts.invites
        self.people: list[dict[str, int]] = [
            {
                "joined": int(m.joined[row]),
                "inviter": int(m.inviter[row]),
                "invite": int(m.invite[row]),
                "campaign": int(m.campaign[row]),
                "country": int(m.country[row]),
                "activated": int(m.activated[row]),
            }
            for row in range(len(m))
        ]
        self.invites: list[dict[str, Any]] = [
            {
                name: getattr(i, name)[row].item()
                for name in (
                    "issued",
                    "issuer",
                    "campaign",
                    "by_sms",
                    "uses",
                    "sent",
                    "delivered",
                    "opened",
                    "requested",
                    "verified",
                    "expires",
                    "revoked",
                )
            }
            for row in range(len(i))
        ]

    def chain(self, row: int) -> list[int]:
        found = [row]
        while (above := self.people[found[-1]]["inviter"]) >= 0:
            found.append(above)
        return found

    def asked_for(self, row: int) -> bool:
        query, line = self.query, self.chain(row)
        if query.root is not None and query.root not in line:
            return False
        if query.campaign is not None and self.people[line[-1]]["campaign"] != query.campaign:
            return False
        return query.country is None or self.people[row]["country"] == query.country

    def in_time(self, at: int) -> bool:
        query = self.query
        return (query.start is None or at >= query.start) and (
            at < query.end if query.end is not None else at <= self.as_of
        )

    def chosen(self) -> list[int]:
        return [
            row for row, one in enumerate(self.people) if self.asked_for(row) and self.in_time(one["joined"])
        ]

    def chosen_invites(self) -> list[int]:
        found = []
        for row, one in enumerate(self.invites):
            if one["issuer"] >= 0:
                mine = self.asked_for(one["issuer"])
            else:
                narrowed = self.query.root is not None or self.query.country is not None
                mine = not narrowed and self.query.campaign in (None, one["campaign"])
            if mine and self.in_time(one["issued"]):
                found.append(row)
        return found

    def banned(self, row: int, when: int, *, bans_only: bool = True) -> bool:
        bans = self.facts.bans
        return any(
            bans.member[at] == row
            and (bans.is_ban[at] or not bans_only)
            and bans.imposed[at] <= when < min(bans.expires[at], bans.lifted[at])
            for at in range(len(bans))
        )

    def joined_by(self, invite: int) -> list[int]:
        return [row for row, one in enumerate(self.people) if one["invite"] == invite]

    def first_invite(self, row: int) -> int:
        return min((one["issued"] for one in self.invites if one["issuer"] == row), default=NEVER)

    def period(self, at: int) -> tuple[int, int]:
        """Start and end of the period that holds an instant, by the calendar."""
        moment = EPOCH + timedelta(microseconds=at)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self.query.cohort:
            case Period.DAY:
                first, after = day, day + timedelta(days=1)
            case Period.WEEK:
                first = day - timedelta(days=day.weekday())
                after = first + timedelta(days=7)
            case Period.MONTH:
                first = day.replace(day=1)
                after = (first + timedelta(days=32)).replace(day=1)
            case _:
                assert_never(self.query.cohort)
        return (first - EPOCH) // timedelta(microseconds=1), (after - EPOCH) // timedelta(microseconds=1)

    def active_days(self, row: int) -> set[int]:
        """Starts of the days on which a member showed up, among those that were over."""
        activity, today = self.facts.activity, self.as_of // DAY
        return {
            (int(activity.block[at]) * 28 + bit - 3) * DAY
            for at in range(len(activity))
            if activity.member[at] == row
            for bit in range(28)
            if activity.days[at] >> bit & 1 and int(activity.block[at]) * 28 + bit - 3 < today
        }


@pytest.fixture(params=[(seed, query) for seed in SEEDS for query in QUERIES], ids=str, scope="module")
def asked(request: pytest.FixtureRequest) -> tuple[Slow, View]:
    seed, query = request.param
    facts = network(seed)
    return Slow(facts, query), View(facts, query)


def answer(view: View, name: str) -> Report:
    return REPORTS[name][1](view)


def one(table: Table) -> dict[str, Any]:
    (row,) = table.records()
    return row


def fraction(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def test_the_filters_choose_the_same_rows(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    assert np.flatnonzero(view.joined).tolist() == slow.chosen()
    assert np.flatnonzero(view.issued).tolist() == slow.chosen_invites()
    assert slow.chosen()


def test_the_funnel(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast = answer(view, "funnel")
    times = []
    for row in slow.chosen_invites():
        it, came = slow.invites[row], slow.joined_by(row)
        own = [it[name] for name in ("issued", "sent", "delivered", "opened", "requested", "verified")]
        theirs = [
            min((slow.people[who][name] for who in came), default=NEVER) for name in ("joined", "activated")
        ]
        times.append([*own, *theirs, min((slow.first_invite(who) for who in came), default=NEVER)])
    counts = [sum(any(at != NEVER for at in steps[place:]) for steps in times) for place in range(9)]
    table = fast.table("all")
    assert fast.n == len(times)
    assert table.column("reached") == counts
    assert table.column("of_issued") == [fraction(count, len(times)) for count in counts]
    for place in range(1, 9):
        between = [
            steps[place] - steps[place - 1]
            for steps in times
            if NEVER not in (steps[place], steps[place - 1]) and steps[place] >= steps[place - 1]
        ]
        assert table.column("of_previous")[place] == fraction(counts[place], counts[place - 1])
        expected = round(statistics.median(between)) if between else None
        assert table.column("median_time")[place] == pytest.approx(expected, abs=2)
    parts = [fast.table(name) for name in ("sms", "link")]
    assert [sum(pair) for pair in zip(*(part.column("reached") for part in parts), strict=True)] == counts


def test_the_k_factor(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast = answer(view, "k-factor")
    for row in fast.table("k").records():
        window = int(row["window_days"] or 0) * DAY
        cohort = [who for who in slow.chosen() if slow.people[who]["joined"] + window <= slow.as_of]
        made, came, good = [], [], []
        for who in cohort:
            until = slow.people[who]["joined"] + window
            children = [
                at
                for at, child in enumerate(slow.people)
                if child["inviter"] == who and child["joined"] < until
            ]
            asked_by = [it for it in slow.invites if it["issuer"] == who and it["issued"] < until]
            unasked = sum(slow.people[at]["invite"] < 0 for at in children)
            made.append(sum(it["uses"] for it in asked_by) + unasked)
            came.append(len(children))
            good.append(
                sum(slow.people[at]["activated"] < until and not slow.banned(at, until) for at in children)
            )
        assert row["mature"] == len(cohort)
        if not cohort:
            assert row["k"] is None
            continue
        assert row["k"] == pytest.approx(statistics.mean(came))
        assert row["k_good"] == pytest.approx(statistics.mean(good))
        assert row["i"] == pytest.approx(statistics.mean(made))
        assert row["inviting"] == pytest.approx(sum(n > 0 for n in made) / len(cohort))
        assert row["conversion"] == pytest.approx(fraction(sum(came), sum(made)))
        if sum(made):
            assert row["k"] == pytest.approx(row["i"] * row["conversion"])  # type: ignore[operator]
            assert row["i"] == pytest.approx(row["inviting"] * row["invites_an_inviter"])  # type: ignore[operator]


def test_cycle_times(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    first = answer(view, "k-factor").table("cycle").records()[0]
    totals, own, theirs = [], [], []
    for child in slow.people:
        if child["inviter"] not in set(slow.chosen()) or child["invite"] < 0:
            continue
        began, issued = slow.people[child["inviter"]]["joined"], slow.invites[child["invite"]]["issued"]
        if began + 90 * DAY <= slow.as_of and child["joined"] < began + 90 * DAY:
            totals.append(child["joined"] - began)
            own.append(issued - began)
            theirs.append(child["joined"] - issued)
    assert first["newcomers"] == len(totals)
    for name, values in (("cycle", totals), ("inviter", own), ("invitee", theirs)):
        expected = statistics.median(values) if values else None
        assert first[f"{name}_p50"] == pytest.approx(expected, abs=1)
        if len(values) > 1:
            slow_ones = statistics.quantiles(values, n=10, method="inclusive")[8]
            assert first[f"{name}_p90"] == pytest.approx(slow_ones, abs=1)


def test_cohorts(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast = answer(view, "cohorts")
    shown = {row["since"] for row in fast.table("accounting").records()}
    active: dict[int, set[int]] = {since: set() for since in shown}  # type: ignore[misc]
    for who, person in enumerate(slow.people):
        if not slow.asked_for(who):
            continue
        for at in {person["joined"], *slow.active_days(who)}:
            if (since := slow.period(at)[0]) in shown:
                active[since].add(who)
    before: set[int] = set()
    for row in fast.table("accounting").records():
        now = active[row["since"]]  # type: ignore[index]
        new = {who for who in now if slow.period(slow.people[who]["joined"])[0] == row["since"]}
        assert row["active"] == len(now)
        assert (row["new"], row["retained"]) == (len(new), len(now & before))
        assert (row["resurrected"], row["churned"]) == (len(now - before - new), len(before - now))
        assert row["active"] == row["new"] + row["retained"] + row["resurrected"]  # type: ignore[operator]
        before = now
    order = sorted(shown)  # type: ignore[type-var]
    cohorts: dict[Any, set[int]] = {}
    for who in slow.chosen():
        cohorts.setdefault(slow.period(slow.people[who]["joined"])[0], set()).add(who)
    for row in fast.table("retention").records():
        cohort = cohorts[row["since"]]
        there = active[order[order.index(row["since"]) + row["age"]]]  # type: ignore[operator, index]
        assert row["retention"] == pytest.approx(len(cohort & there) / len(cohort))
        assert row["retention"] == 1.0 or row["age"] != 0
    for row in fast.table("generations").records():
        cohort = {who for who in slow.chosen() if len(slow.chain(who)) - 1 == row["generation"]}
        brought = sum(person["inviter"] in cohort for person in slow.people)
        assert (row["members"], row["invited"]) == (len(cohort), brought)


def test_the_tree(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast = answer(view, "tree")
    chosen = slow.chosen()
    whole: nx.Graph[int] = nx.Graph()
    whole.add_nodes_from(range(len(slow.people)))
    whole.add_edges_from((at, one["inviter"]) for at, one in enumerate(slow.people) if one["inviter"] >= 0)
    roots = {slow.chain(who)[-1] for who in chosen}
    steps, pairs = 0.0, 0
    for root in roots:
        part = whole.subgraph(nx.node_connected_component(whole, root))
        steps += 2 * nx.wiener_index(part)
        pairs += len(part) * (len(part) - 1)
    invited = [sum(one["inviter"] == who for one in slow.people) for who in chosen]
    row = one(fast.table("summary"))
    assert row["trees"] == len(roots)
    assert row["structural_virality"] == pytest.approx(fraction(steps, pairs))
    asking = [count for count in invited if count]
    assert row["branching"] == pytest.approx(statistics.mean(asking) if asking else None)
    differences = sum(abs(a - b) for a in invited for b in invited)
    if asking:
        assert row["gini"] == pytest.approx(differences / (2 * len(invited) * sum(invited)))
        top = sorted(invited)[-max(1, len(invited) // 100) :]
        assert row["top_share"] == pytest.approx(sum(top) / sum(invited))
    overall = sum(slow.banned(who, slow.as_of) for who in range(len(slow.people))) / len(slow.people)
    for branch in fast.table("branches").records():
        below = [who for who in range(len(slow.people)) if branch["head"] in slow.chain(who)]
        bad = sum(slow.banned(who, slow.as_of) for who in below)
        assert (branch["members"], branch["banned"]) == (len(below), bad)
        assert branch["ban_rate"] == pytest.approx(bad / len(below))
        assert branch["ban_rate_shrunk"] == pytest.approx((bad + 20 * overall) / (len(below) + 20))


def test_geography(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast, facts = answer(view, "geography"), slow.facts
    names = [*facts.countries, "?"]

    def here(at: int, country: int) -> bool:
        return slow.in_time(at) and slow.query.country in (None, country)

    for row in fast.table("countries").records():
        place = names.index(row["country"]) if row["country"] != "?" else -1  # type: ignore[arg-type]
        joined = sum(slow.people[who]["country"] == place for who in slow.chosen())
        checks = [
            at
            for at in range(len(facts.checks))
            if facts.checks.country[at] == place and here(int(facts.checks.asked[at]), place)
        ]
        approved = sum(facts.checks.approved[at] != NEVER for at in checks)
        costs = [
            int(facts.costs.micros[at])
            for at in range(len(facts.costs))
            if facts.costs.country[at] == place and here(int(facts.costs.at[at]), place)
        ]
        assert (row["members"], row["started"], row["approved"]) == (joined, len(checks), approved)
        if costs and joined:
            assert row["cost_a_member"] == pytest.approx(sum(costs) / 1e6 / joined)
    pairs: dict[tuple[str, str], int] = {}
    for who in slow.chosen():
        inviter = slow.people[who]["inviter"]
        if inviter >= 0:
            pair = names[slow.people[inviter]["country"]], names[slow.people[who]["country"]]
            pairs[pair] = pairs.get(pair, 0) + 1
    told = {(row["inviter"], row["invitee"]): row["members"] for row in fast.table("matrix").records()}
    assert told == pairs


def test_the_leaderboard(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    score: dict[int, float] = {}
    raw: dict[int, int] = {}
    for who, person in enumerate(slow.people):
        good = person["activated"] != NEVER and not slow.banned(who, slow.as_of, bans_only=False)
        for steps, above in enumerate(slow.chain(who)[1:]):
            score[above] = score.get(above, 0) + good * 0.5**steps
            raw[above] = raw.get(above, 0) + 1
    expected = [who for who in slow.chosen() if who in raw and not slow.banned(who, slow.as_of)]
    expected.sort(key=lambda who: (-score[who], -raw[who], who))
    leaders = answer(view, "leaderboard").table("leaders").records()
    assert [row["member"] for row in leaders] == expected[:100]
    assert [row["score"] for row in leaders] == pytest.approx([score[who] for who in expected[:100]])
    assert [row["descendants"] for row in leaders] == [raw[who] for who in expected[:100]]


def test_quota(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast, entries = answer(view, "quota"), slow.facts.entries
    kinds = [ENTRY_KINDS[kind] for kind in entries.kind]
    columns = (entries.at, entries.member, kinds, entries.amount, entries.invite, entries.batch)
    ledger = list(zip(*(list(column) for column in columns), strict=True))
    mine = [entry for entry in ledger if slow.asked_for(entry[1])]
    row = one(fast.table("flows"))
    for name, kind in (("granted", "grant"), ("earned", "earn"), ("spent", "spend"), ("refunded", "refund")):
        assert row[name] == sum(
            abs(entry[3]) for entry in mine if entry[2] == kind and slow.in_time(entry[0])
        )
    assert row["used"] == row["spent"] - row["refunded"]
    assert row["available"] == sum(entry[3] for entry in mine)
    lately = {entry[1] for entry in ledger if entry[2] == "spend" and entry[0] > slow.as_of - 30 * DAY}
    assert row["dark"] == sum(entry[3] for entry in mine if entry[1] not in lately)
    became = dict.fromkeys(("taken", "open", "expired", "revoked", "undelivered"), 0)
    for at in slow.chosen_invites():
        invite, came = slow.invites[at], len(slow.joined_by(at))
        if invite["issuer"] < 0:
            continue
        end = "open"
        if invite["expires"] <= min(invite["revoked"], slow.as_of):
            end = "expired"
        elif invite["revoked"] != NEVER:
            end = "revoked"
        became["taken"] += came
        became[end] += invite["uses"] - came
        steps = ("delivered", "opened", "requested", "verified")
        if end != "open" and invite["by_sms"] and not came and all(invite[name] == NEVER for name in steps):
            became["undelivered"] += invite["uses"]
    told = {row["became"]: row["invitations"] for row in fast.table("invitations").records()}
    assert told == became
    for batch in fast.table("batches").records():
        place = slow.facts.batches.index(batch["batch"])
        granted = sum(
            entry[3] for entry in mine if entry[2] == "grant" and entry[5] == place and slow.in_time(entry[0])
        )
        brought = 0.0
        for entry in mine:
            if entry[2] == "spend" and entry[5] == place:
                price = sum(other[3] for other in ledger if other[2] == "spend" and other[4] == entry[4])
                brought += len(slow.joined_by(entry[4])) * entry[3] / price
        assert batch["granted"] == granted
        assert batch["return"] == pytest.approx(brought / granted)


def test_the_overview(asked: tuple[Slow, View]) -> None:
    slow, view = asked
    fast = answer(view, "overview")
    row = one(fast.table("summary"))
    everyone = [who for who in range(len(slow.people)) if slow.asked_for(who)]
    today = slow.as_of // DAY * DAY
    for days in (7, 28):
        shown = [
            who
            for who in everyone
            if any(
                today - days * DAY <= at < today
                for at in {slow.people[who]["joined"], *slow.active_days(who)}
            )
        ]
        assert row[f"active_{days}"] == len(shown)
    taken = sum(bool(slow.joined_by(at)) for at in slow.chosen_invites())
    assert (row["members"], row["joined"]) == (len(everyone), len(slow.chosen()))
    assert (row["issued"], row["taken"]) == (len(slow.chosen_invites()), taken)
    assert row["banned"] == sum(slow.banned(who, slow.as_of) for who in everyone)
    away = sum(slow.banned(who, slow.as_of, bans_only=False) for who in everyone)
    assert row["suspended"] == away - row["banned"]
    for period in fast.table("series").records():
        joined = sum(slow.period(slow.people[who]["joined"])[0] == period["since"] for who in slow.chosen())
        assert period["joined"] == joined
    assert sum(fast.table("series").column("joined")) <= len(slow.chosen())  # type: ignore[arg-type]


def test_every_estimate_lies_within_its_interval(asked: tuple[Slow, View]) -> None:
    _, view = asked
    for name in REPORTS:
        for table in answer(view, name).tables:
            for column in table.columns:
                if column.low is None or column.high is None:
                    continue
                limits = zip(
                    table.column(column.low),
                    table.column(column.name),
                    table.column(column.high),
                    strict=True,
                )
                for low, value, high in limits:
                    if low is None:
                        continue
                    assert low - 1e-9 <= value <= high + 1e-9  # type: ignore[operator]
                    assert not math.isnan(value)  # type: ignore[arg-type]
