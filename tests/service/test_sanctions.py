"""Sanctions: always with a reason, previewed before, ended by time or by hand, and told to the member."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.ports import DAY, HOUR, MINUTE
from tests.service.steps import audit, later, link, no, ok, sanction
from tests.support.world import Api, World

WHY = {"reason_code": "spam", "explanation": "Ten strangers reported the invites."}


def _state(api: Api, member_id: str) -> str:
    return str(ok(api.get(f"/v1/members/{member_id}"))["state"])


@pytest.mark.parametrize(
    "body",
    [
        {"action": "warn"},
        {"action": "warn", "reason_code": "spam"},
        {"action": "warn", "explanation": "x"},
        {"action": "warn", "reason_code": "spam", "explanation": " \n\t"},
        {"action": "warn", "reason_code": "Not A Code", "explanation": "x"},
        {"action": "exile", **WHY},
        {"action": "ban", "scope": "subtree", **WHY},
        {"action": "ban", "expires_at": "2001-01-01T00:00:00Z", **WHY},
        {"action": "ban", "expires_at": "tomorrow", **WHY},
        WHY,
    ],
    ids=repr,
)
def test_no_sanction_without_a_reason_an_explanation_and_sense(world: World, body: dict[str, Any]) -> None:
    api, seed = world.api(), world.seed()
    no(api.post(f"/v1/members/{seed.id}/sanctions", body), 422, "validation_failed")
    assert ok(api.get(f"/v1/members/{seed.id}/standing"))["sanctions"] == []
    no(api.post("/v1/members/mem_none/sanctions", {"action": "warn", **WHY}), 404, "not_found")


def test_a_dry_run_tells_what_would_happen_and_changes_nothing(world: World) -> None:
    api, seed = world.api(), world.seed(quota=3)
    for _ in range(2):
        link(api, seed.id)
    path = f"/v1/members/{seed.id}/sanctions"
    before = len(audit(world, seed.id))
    preview = ok(api.post(path, {"action": "ban", "dry_run": True, **WHY}))
    assert preview == {
        "dry_run": True,
        "member_id": seed.id,
        "state_now": "active",
        "state_after": "banned",
        "invites_frozen_after": False,
        "open_invites_stopped": 2,
    }
    assert ok(api.post(path, {"action": "warn", "dry_run": True, **WHY}))["open_invites_stopped"] == 0
    assert _state(api, seed.id) == "active"
    assert ok(api.get(f"/v1/members/{seed.id}/standing"))["sanctions"] == []
    assert len(audit(world, seed.id)) == before
    link(api, seed.id)


def test_a_sanction_ends_by_the_sweep_when_its_time_is_over(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    imposed = sanction(api, seed.id, "suspend", expires_at=later(world, 2 * DAY))
    assert _state(api, seed.id) == "suspended"
    world.clock.advance(2 * DAY - HOUR)
    world.work()
    assert _state(api, seed.id) == "suspended"
    world.clock.advance(HOUR + MINUTE)
    world.work()
    assert _state(api, seed.id) == "active"
    assert [row.type for row in audit(world, imposed["id"])] == ["sanction.imposed", "sanction.lifted"]
    link(api, seed.id)


@pytest.mark.parametrize(
    ("first", "second", "both", "after_first_ends"),
    [
        ("suspend", "ban", "banned", "banned"),
        ("ban", "suspend", "banned", "suspended"),
        ("suspend", "suspend", "suspended", "suspended"),
        ("suspend", "freeze_invites", "suspended", "active"),
        ("warn", "ban", "banned", "banned"),
    ],
)
def test_overlapping_sanctions_amount_to_the_heaviest_in_force(
    world: World, first: str, second: str, both: str, after_first_ends: str
) -> None:
    api, seed = world.api(), world.seed(quota=1)
    one = sanction(api, seed.id, first)
    two = sanction(api, seed.id, second)
    assert _state(api, seed.id) == both
    ok(api.post(f"/v1/sanctions/{one['id']}/lift", {"explanation": "Appealed."}))
    assert _state(api, seed.id) == after_first_ends
    ok(api.post(f"/v1/sanctions/{two['id']}/lift", {"explanation": "Appealed."}))
    assert _state(api, seed.id) == "active"
    link(api, seed.id)


def test_a_freeze_stays_as_long_as_one_of_two_is_in_force(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    one, two = (sanction(api, seed.id, "freeze_invites") for _ in range(2))
    body = {"issuer_id": seed.id, "channel": "link"}
    for imposed in (one, two):
        no(api.post("/v1/invites", body), 409, "invites_frozen")
        assert _state(api, seed.id) == "active"
        ok(api.post(f"/v1/sanctions/{imposed['id']}/lift", {"explanation": "Appealed."}))
    ok(api.post("/v1/invites", body), 201)


def test_lifting_again_changes_nothing_and_needs_an_explanation(world: World) -> None:
    api, seed = world.api(), world.seed()
    imposed = sanction(api, seed.id, "ban")
    path = f"/v1/sanctions/{imposed['id']}/lift"
    no(api.post(path, {}), 422, "validation_failed")
    first = ok(api.post(path, {"explanation": "The reports were false."}))
    again = ok(api.post(path, {"explanation": "Something else."}))
    assert first == again
    assert first["lift_explanation"] == "The reports were false."
    assert [row.type for row in audit(world, imposed["id"])] == ["sanction.imposed", "sanction.lifted"]
    no(api.post("/v1/sanctions/san_none/lift", {"explanation": "x"}), 404, "not_found")


def test_the_standing_tells_the_member_each_sanction_with_reason_explanation_and_end(world: World) -> None:
    api, seed = world.api(), world.seed()
    end = later(world, DAY)
    sanction(api, seed.id, "warn", reason_code="rudeness", explanation="Please be kind.")
    sanction(api, seed.id, "suspend", expires_at=end, **WHY)
    standing = ok(api.get(f"/v1/members/{seed.id}/standing"))
    assert standing["state"] == "suspended"
    told = [
        (s["action"], s["reason_code"], s["explanation"], s["state"], s["expires_at"])
        for s in standing["sanctions"]
    ]
    assert told == [
        ("suspend", "spam", WHY["explanation"], "in_force", end),
        ("warn", "rudeness", "Please be kind.", "in_force", None),
    ]
    world.clock.advance(2 * DAY)
    assert ok(api.get(f"/v1/members/{seed.id}/standing"))["sanctions"][0]["state"] == "ended"


def test_the_event_tells_the_action_and_the_audit_alone_the_explanation(world: World) -> None:
    api, seed = world.api(), world.seed()
    imposed = sanction(api, seed.id, "ban", **WHY)
    world.work()
    events = ok(api.get("/v1/events?types=sanction.imposed"))["data"]
    assert events[0]["data"] == {
        "sanction_id": imposed["id"],
        "member_id": seed.id,
        "action": "ban",
        "reason_code": "spam",
        "member_state": "banned",
    }
    assert WHY["explanation"] in audit(world, imposed["id"])[0].detail
