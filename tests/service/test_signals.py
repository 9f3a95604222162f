"""Signals about members: a kind, never a weight; counted once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from identity_service.db.tables import members, signals
from identity_service.ports import DAY, HOUR, MINUTE
from tests.service.steps import Body, later, no, ok, stop_clock
from tests.support.world import Api, World


def _send(api: Api, member_id: str, **body: Any) -> Body:
    return ok(api.post(f"/v1/members/{member_id}/signals", body), 202)


def _kept(world: World, member_id: str) -> int:
    query = select(func.count().label("n")).where(signals.c.member_id == member_id)
    return int(world.query(lambda tx: tx.select(query))[0].n)


def test_the_same_reference_counts_once_for_one_member_kind_and_client(world: World) -> None:
    api, other, one, two = world.api(), world.api(), world.seed(), world.seed()
    first = _send(api, one.id, kind="activity", reference="session-1")
    assert not first["duplicate"]
    assert _send(api, one.id, kind="activity", reference="session-1") == {"id": None, "duplicate": True}
    assert not _send(api, one.id, kind="activated", reference="session-1")["duplicate"]
    assert not _send(api, two.id, kind="activity", reference="session-1")["duplicate"]
    assert not _send(other, one.id, kind="activity", reference="session-1")["duplicate"]
    assert (_kept(world, one.id), _kept(world, two.id)) == (3, 1)


def test_signals_without_a_reference_are_all_counted(world: World) -> None:
    api, seed = world.api(), world.seed()
    for _ in range(3):
        assert not _send(api, seed.id, kind="staff_verified")["duplicate"]
    assert _kept(world, seed.id) == 3


@pytest.mark.parametrize("kind", ["report", "vouch"])
def test_a_report_and_a_vouch_name_another_existing_member(world: World, kind: str) -> None:
    api, one, two = world.api(), world.seed(), world.seed()
    path = f"/v1/members/{one.id}/signals"
    for reporter, code in ((None, "missing"), (one.id, "self"), ("mem_none", "member_unknown")):
        body = {"kind": kind} | ({} if reporter is None else {"reporter_id": reporter})
        problem = no(api.post(path, body), 422, "validation_failed")
        assert problem["errors"][0]["code"] == code
    _send(api, one.id, kind=kind, reporter_id=two.id)
    assert _kept(world, one.id) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "ban"},
        {"kind": "adjudication"},
        {"kind": "activity", "weight": 5},
        {"kind": "activity", "occurred_at": "2026-11-22"},
        {"kind": "activity", "reference": ""},
    ],
    ids=repr,
)
def test_no_weight_no_ban_and_no_other_kind_comes_in_as_a_signal(world: World, body: dict[str, Any]) -> None:
    api, seed = world.api(), world.seed()
    no(api.post(f"/v1/members/{seed.id}/signals", body), 422, "validation_failed")
    assert ok(api.get(f"/v1/members/{seed.id}"))["state"] == "active"
    assert _kept(world, seed.id) == 0


def test_a_signal_tells_what_has_happened_give_or_take_a_slow_clock(world: World) -> None:
    api, seed = world.api(), world.seed()
    path = f"/v1/members/{seed.id}/signals"
    no(api.post(path, {"kind": "activity", "occurred_at": later(world, HOUR)}), 422, "validation_failed")
    _send(api, seed.id, kind="activity", occurred_at=later(world, MINUTE))


def test_an_unknown_member_has_no_signals(world: World) -> None:
    no(world.api().post("/v1/members/mem_none/signals", {"kind": "activity"}), 404, "not_found")


def test_activity_is_too_frequent_for_the_event_log_and_the_others_are_told(world: World) -> None:
    api, one, two = world.api(), world.seed(), world.seed()
    _send(api, one.id, kind="activity")
    _send(api, one.id, kind="report", reporter_id=two.id)
    world.work()
    told = ok(api.get("/v1/events?types=signal.received"))["data"]
    assert [event["data"]["kind"] for event in told] == ["report"]


def test_of_one_members_reports_three_a_week_move_scores_and_the_others_are_kept_unsaid(world: World) -> None:
    stop_clock(world)
    api, reporter, other = world.api(), world.seed(), world.seed()
    reported = [world.seed().id for _ in range(5)]

    def lowered() -> list[bool]:
        world.work()
        scores = select(members.c.id, members.c.trust_log_odds).order_by(members.c.id)
        found = {row.id: row.trust_log_odds for row in world.query(lambda tx: tx.select(scores))}
        return [found[one] < found[reporter.id] - 0.5 for one in reported]

    answers = [_send(api, one, kind="report", reporter_id=reporter.id) for one in reported[:4]]
    assert all(answer["id"] and set(answer) == set(answers[0]) for answer in answers), "nobody is told"
    assert lowered() == [True, True, True, False, False]
    assert _kept(world, reported[3]) == 1
    _send(api, reported[3], kind="report", reporter_id=other.id)
    assert lowered() == [True, True, True, True, False], "another reporter has reports of its own"
    world.clock.advance(7 * DAY)
    _send(api, reported[4], kind="report", reporter_id=reporter.id)
    assert lowered() == [True] * 5, "the window rolls on"
