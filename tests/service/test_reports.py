"""Reports over a real store: what happened is counted, later reading adds, and the past stays as it was."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from graph.growth.catalog import REPORTS
from identity_service.db.tables import sanctions
from identity_service.errors import SYSTEM
from identity_service.ports import DAY, HOUR, Instant
from identity_service.services import reports
from identity_service.services.invites import IssueInvite
from identity_service.services.progress import day_of
from identity_service.services.report_columns import NOTHING, Snapshot, read_since
from identity_service.services.reports import Answer, Reports, Wanted, as_csv
from identity_service.services.sanctions import Action, Impose
from identity_service.services.signals import Signal, SignalKind
from tests.support.world import Api, World


def read(world: World, before: Snapshot = NOTHING) -> Snapshot:
    with world.services.store.read_at_one_instant(SYSTEM) as tx:
        return read_since(tx, before)


def same(one: Snapshot, other: Snapshot) -> None:
    """Two snapshots tell the same, row by row."""
    assert one.member_ids.tolist() == other.member_ids.tolist()
    assert one.invite_ids.tolist() == other.invite_ids.tolist()
    for part in ("members", "invites", "bans", "entries", "checks", "costs"):
        for name, column in vars(getattr(one.facts, part)).items():
            assert column.tolist() == getattr(getattr(other.facts, part), name).tolist(), (part, name)
    assert whole_days(one) == whole_days(other)
    for name in ("countries", "campaigns", "batches"):
        assert getattr(one.facts, name) == getattr(other.facts, name)


def whole_days(snapshot: Snapshot) -> set[tuple[int, int]]:
    """Who was active on which day, of those that were over."""
    found = snapshot.facts.activity
    rows = zip(found.member.tolist(), found.block.tolist(), found.days.tolist(), strict=True)
    return {
        (member, block * 28 + day)
        for member, block, days in rows
        for day in range(28)
        if days >> day & 1 and block * 28 + day < day_of(snapshot.read_at)
    }


def signal(world: World, member_id: str, kind: SignalKind) -> None:
    told = Signal(member_id=member_id, kind=kind)
    world.transact(lambda tx: world.services.signals.receive(tx, told))


def a_busy_day(world: World, api: Api, seed: str) -> list[str]:
    """Somebody invites by link and by SMS; some come, one is revoked, one is banned, some are active."""
    joined = [world.join(api, seed)["member"]["id"] for _ in range(2)]
    phone = world.phone()
    api.post("/v1/invites", {"issuer_id": seed, "channel": "sms", "phone": phone})
    code = world.invite_code(phone)
    made = api.post("/v1/registrations", {"invite_code": code, "phone": phone})
    joined.append(made.json["member"]["id"])  # type: ignore[index]
    link = api.post("/v1/invites", {"issuer_id": seed, "channel": "link", "max_uses": 2}).json
    api.post(f"/v1/invites/{link['id']}/revoke", {"reason": "wrong"})  # type: ignore[index]
    opened = api.post("/v1/invites", {"issuer_id": seed, "channel": "link"}).json
    world.app.test_client().post(f"/i/{opened['link'].rsplit('/', 1)[1]}/opened")  # type: ignore[index]
    api.post("/v1/invites", {"campaign": "spring", "channel": "link", "max_uses": 5})
    signal(world, joined[0], SignalKind.ACTIVATED)
    signal(world, joined[1], SignalKind.ACTIVITY)
    ban = Impose(member_id=joined[2], action=Action.BAN, reason_code="spam", explanation="It sent spam.")
    world.transact(lambda tx: world.services.sanctions.impose(tx, ban))
    world.work()
    return joined


@pytest.fixture
def seed(world: World) -> str:
    return str(world.seed(quota=50).id)


def answer(world: World, name: str, **wanted: Any) -> Answer:
    found = world.query(lambda tx: world.services.reports.answer(tx, name, Wanted(**wanted)))
    assert isinstance(found, Answer)
    return found


def test_what_happened_is_counted(world: World, seed: str) -> None:
    a_busy_day(world, world.api(), seed)
    row = answer(world, "overview").report.table("summary").records()[0]
    assert (row["members"], row["issued"], row["taken"], row["banned"]) == (4, 6, 3, 1)
    funnel = answer(world, "funnel").report
    steps = {step["step"]: step["reached"] for step in funnel.table("all").records()}
    assert (steps["issued"], steps["registered"], steps["activated"]) == (6, 3, 1)
    sms = {step["step"]: step["reached"] for step in funnel.table("sms").records()}
    assert (sms["sent"], sms["delivered"], sms["registered"]) == (1, 1, 1)
    became = {
        row["became"]: row["invitations"]
        for row in answer(world, "quota").report.table("invitations").records()
    }
    assert became == {"taken": 3, "open": 1, "expired": 0, "revoked": 2, "undelivered": 0}
    leader = answer(world, "leaderboard").report.table("leaders").records()[0]
    assert (leader["member"], leader["descendants"], leader["good"]) == (seed, 3, 1)
    countries = answer(world, "geography").report.table("countries").records()
    assert [(one["country"], one["members"], one["approved"]) for one in countries] == [("RU", 4, 2)]


def test_reading_on_tells_the_same_as_reading_all(world: World, seed: str) -> None:
    api = world.api()
    before = read(world)
    for days in (0, 3, 40):
        world.clock.advance(days * DAY)
        a_busy_day(world, api, seed)
        before = read(world, before)
        same(before, read(world))
    world.clock.advance(2 * HOUR)
    last = read(world, before)
    same(last, read(world))
    assert whole_days(last)


def test_a_lifted_ban_and_a_step_taken_late_are_seen(world: World, seed: str) -> None:
    api = world.api()
    link = api.post("/v1/invites", {"issuer_id": seed, "channel": "link"}).json
    a_busy_day(world, api, seed)
    before = read(world)
    world.clock.advance(3 * DAY)
    phone = world.phone()
    world.verify(api, phone, "registration", invite_code=link["code"])  # type: ignore[index]
    ban = world.query(lambda tx: tx.select(sanctions.select()))[0]
    world.transact(lambda tx: world.services.sanctions.lift(tx, ban.id, "It was somebody else."))
    after = read(world, before)
    same(after, read(world))
    assert not after.facts.banned.any()
    assert before.facts.banned.any()


def test_members_whose_ids_lead_nowhere_are_found_all_the_same(world: World, seed: str) -> None:
    """An import gives members ids and times of long ago: the counts differ, and all is read again."""
    a_busy_day(world, world.api(), seed)
    known = Reports(world.services.store)
    assert len(known.read_now().member_ids) == 4
    world.clock.advance(DAY)
    known.read_now()
    world.clock.ahead -= 30 * DAY
    world.seed()
    world.clock.advance(31 * DAY)
    found = known.read_now()
    assert len(found.member_ids) == 5
    assert (np.diff(found.facts.members.joined) >= 0).all()


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_as_of_an_instant_is_the_one_of_that_instant(world: World, seed: str, name: str) -> None:
    api = world.api()
    a_busy_day(world, api, seed)
    world.clock.advance(2 * DAY)
    then = answer(world, name)
    instant: Instant = then.as_of
    world.clock.advance(5 * DAY)
    a_busy_day(world, api, seed)
    world.clock.advance(40 * DAY)
    world.work()
    now = answer(world, name)
    again = answer(world, name, as_of=instant)
    assert again == Answer(report=then.report, wanted=Wanted(as_of=instant), as_of=instant)
    assert now.report.tables != then.report.tables


def test_a_large_network_is_read_behind_the_answer(
    world: World, seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_busy_day(world, world.api(), seed)
    monkeypatch.setattr(reports, "SMALL", 1)
    known = world.services.reports
    first = world.query(lambda tx: known.answer(tx, "overview", Wanted()))
    assert isinstance(first, reports.Preparing)
    assert 0 <= first.progress < 1
    assert known._running is not None
    known._running.join(timeout=60)
    assert answer(world, "overview").report.n == 4


def test_no_cell_of_a_csv_is_a_formula(world: World, seed: str) -> None:
    evil = '=HYPERLINK("x")'
    wanted = IssueInvite(campaign=evil, max_uses=5)
    world.transact(lambda tx: world.services.invites.issue(tx, wanted))
    table = answer(world, "quota").report.table("campaigns")
    assert table.column("campaign") == [evil]
    header, row = csv.reader(io.StringIO(as_csv(table)))
    assert header[0] == "campaign"
    assert row[0] == f"'{evil}"
