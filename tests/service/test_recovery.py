"""Login and recovery by phone, and the gates that stand before both."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from tests.service.steps import Body, at, audit, messages_to, no, ok, sanction
from tests.support.world import Api, World


def _dormant(world: World, api: Api) -> tuple[Body, str]:
    """A member who was away for more than 90 days, and the number."""
    phone, seed = world.phone(), world.seed(quota=1)
    joined = world.join(api, seed.id, phone)
    world.clock.advance(90 * DAY + HOUR)
    return joined, phone


def _recover(world: World, api: Api, phone: str) -> Any:
    return api.post("/v1/recoveries", {"proof": world.verify(api, phone, "recovery")})


def test_a_member_who_was_here_lately_logs_in_and_recovers_at_once(world: World) -> None:
    api, phone, seed = world.api(), world.phone(), world.seed(quota=1)
    member = world.join(api, seed.id, phone)["member"]
    world.clock.advance(89 * DAY)
    logged_in = ok(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}))
    assert logged_in["member"]["id"] == member["id"]
    world.clock.advance(89 * DAY)  # the login counted as being here
    granted = ok(_recover(world, api, phone), 201)
    assert (granted["state"], granted["reason"], granted["requires"]) == ("granted", "phone", [])
    assert "assertion" in granted
    assert "assertion" not in ok(api.get(f"/v1/recoveries/{granted['id']}"))


def test_a_dormant_member_is_not_let_in_by_a_code_alone(world: World) -> None:
    api = world.api()
    _, phone = _dormant(world, api)
    no(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}), 409, "recovery_required")


def test_a_dormant_members_recovery_is_held_72_hours_and_the_number_is_told(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    assert (held["state"], held["reason"], held["requires"]) == ("held", "dormant", ["recovery_code_or_wait"])
    assert at(held["release_at"]) - at(held["created_at"]) == 72 * HOUR
    assert "assertion" not in held
    assert "72 h" in messages_to(world, phone)[0]
    # Asking again changes nothing, and tells nobody again.
    again = ok(_recover(world, api, phone), 201)
    assert (again["id"], again["release_at"]) == (held["id"], held["release_at"])
    assert sum("72 h" in text for text in messages_to(world, phone)) == 1
    no(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}), 409, "recovery_required")
    kinds = [row.type for row in audit(world, held["id"])]
    assert kinds == ["recovery.held"]
    assert joined["member"]["id"] == held["member_id"]


def test_a_held_recovery_is_taken_up_by_a_fresh_proof_after_its_time(world: World) -> None:
    api = world.api()
    _, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    world.clock.advance(72 * HOUR - MINUTE)
    assert ok(_recover(world, api, phone), 201)["state"] == "held"
    world.clock.advance(2 * MINUTE)
    assert ok(api.get(f"/v1/recoveries/{held['id']}"))["requires"] == ["proof"]
    taken = ok(_recover(world, api, phone), 201)
    assert (taken["id"], taken["state"]) == (held["id"], "granted")
    assert "assertion" in taken
    ok(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}))
    assert any("recovered just now" in text for text in messages_to(world, phone))


@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        lambda code: code.replace("-", ""),
        lambda code: " " + code.replace("-", " ") + " ",
        lambda code: code.replace("0", "O").replace("1", "l"),
        lambda code: code.replace("0", "o").replace("1", "I"),
    ],
    ids=["as_shown", "upper", "no_dashes", "blanks", "O_and_l", "o_and_I"],
)
def test_a_recovery_code_releases_at_once_however_it_is_spelled(world: World, spell: Any) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    code = joined["recovery_codes"][3]
    granted = ok(api.post(f"/v1/recoveries/{held['id']}/recovery-code", {"code": spell(code)}))
    assert granted["state"] == "granted"
    assert "assertion" in granted


def test_a_recovery_code_works_once_and_the_others_stay(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    first, second = joined["recovery_codes"][:2]
    for codes in ((first,), (first, second)):
        held = ok(_recover(world, api, phone), 201)
        path = f"/v1/recoveries/{held['id']}/recovery-code"
        for used in codes[:-1]:
            no(api.post(path, {"code": used}), 422, "recovery_code_incorrect")
        ok(api.post(path, {"code": codes[-1]}))
        no(api.post(path, {"code": codes[-1]}), 409, "recovery_over")
        world.clock.advance(91 * DAY)


def test_a_foreign_or_invented_recovery_code_is_refused_and_burns_nothing(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    stranger = world.join(api, world.seed(quota=1).id)
    held = ok(_recover(world, api, phone), 201)
    path = f"/v1/recoveries/{held['id']}/recovery-code"
    for code in (stranger["recovery_codes"][0], "0000-0000-0000-0000", "x", "é"):
        no(api.post(path, {"code": code}), 422, "recovery_code_incorrect")
    for _ in range(20):  # outside all budgets: nobody can lock the owner out of it
        no(api.post(path, {"code": "zzzz-zzzz-zzzz-zzzz"}), 422, "recovery_code_incorrect")
    ok(api.post(path, {"code": joined["recovery_codes"][0]}))


def test_the_owner_stops_a_held_recovery(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    path = f"/v1/recoveries/{held['id']}"
    no(api.post(f"{path}/veto", {}), 422, "validation_failed")
    assert ok(api.post(f"{path}/veto", {"explanation": "It was not me."}))["state"] == "vetoed"
    no(api.post(f"{path}/veto", {"explanation": "Again."}), 409, "recovery_over")
    no(api.post(f"{path}/recovery-code", {"code": joined["recovery_codes"][0]}), 409, "recovery_over")
    world.clock.advance(73 * HOUR)
    fresh = ok(_recover(world, api, phone), 201)  # starts a new hold, does not take the old one up
    assert fresh["state"] == "held"
    assert fresh["id"] != held["id"]


def test_a_held_recovery_that_nobody_takes_up_ends_by_the_sweep(world: World) -> None:
    api = world.api()
    _, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    world.clock.advance(72 * HOUR + 14 * DAY + MINUTE)
    world.work()
    assert ok(api.get(f"/v1/recoveries/{held['id']}"))["state"] == "expired"
    assert ok(_recover(world, api, phone), 201)["state"] == "held"


def test_a_recovery_belongs_to_the_client_that_made_it(world: World) -> None:
    api, other = world.api(), world.api()
    joined, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    path = f"/v1/recoveries/{held['id']}"
    no(other.get(path), 404, "not_found")
    no(other.post(f"{path}/veto", {"explanation": "x"}), 404, "not_found")
    no(other.post(f"{path}/recovery-code", {"code": joined["recovery_codes"][0]}), 404, "not_found")
    no(_recover(world, other, phone), 409, "recovery_held_elsewhere")
    assert ok(api.get(path))["state"] == "held"


@pytest.mark.parametrize(("action", "code"), [("suspend", "member_suspended"), ("ban", "member_banned")])
def test_a_sanctioned_member_is_let_in_by_neither_way(world: World, action: str, code: str) -> None:
    api, phone, seed = world.api(), world.phone(), world.seed(quota=1)
    member = world.join(api, seed.id, phone)["member"]
    imposed = sanction(api, member["id"], action)
    login, recovery = world.verify(api, phone, "login"), world.verify(api, phone, "recovery")
    no(api.post("/v1/logins", {"proof": login}), 403, code)
    no(api.post("/v1/recoveries", {"proof": recovery}), 403, code)
    ok(api.post(f"/v1/sanctions/{imposed['id']}/lift", {"explanation": "A mistake."}))
    ok(api.post("/v1/logins", {"proof": login}))  # what was refused did not cost the proof
    ok(api.post("/v1/recoveries", {"proof": recovery}), 201)


def test_a_sanction_meanwhile_stops_a_held_recovery_too(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    held = ok(_recover(world, api, phone), 201)
    sanction(api, joined["member"]["id"], "suspend")
    path = f"/v1/recoveries/{held['id']}/recovery-code"
    no(api.post(path, {"code": joined["recovery_codes"][0]}), 403, "member_suspended")
    world.clock.advance(73 * HOUR)
    no(_recover(world, api, phone), 403, "member_suspended")


def test_a_frozen_member_may_log_in(world: World) -> None:
    api, phone, seed = world.api(), world.phone(), world.seed(quota=1)
    member = world.join(api, seed.id, phone)["member"]
    sanction(api, member["id"], "freeze_invites")
    ok(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}))


def test_nothing_changes_on_request_alone(world: World) -> None:
    api = world.api()
    joined, phone = _dormant(world, api)
    before = ok(api.get(f"/v1/members/{joined['member']['id']}"))
    proof = world.verify(api, phone, "recovery")
    assert ok(api.get(f"/v1/members/{joined['member']['id']}")) == before
    assert not any("recover your" in text for text in messages_to(world, phone))
    held = ok(api.post("/v1/recoveries", {"proof": proof}), 201)
    assert ok(api.get(f"/v1/members/{joined['member']['id']}")) == before
    no(api.post("/v1/recoveries", {"proof": proof}), 409, "proof_consumed")
    assert ok(api.get(f"/v1/recoveries/{held['id']}"))["state"] == "held"


def test_activity_keeps_a_member_awake_and_only_activity_that_is_newer(world: World) -> None:
    api, phone, seed = world.api(), world.phone(), world.seed(quota=1)
    member = world.join(api, seed.id, phone)["member"]
    path = f"/v1/members/{member['id']}/signals"
    world.clock.advance(60 * DAY)
    ok(api.post(path, {"kind": "activity"}), 202)
    world.clock.advance(60 * DAY)
    ok(api.post(path, {"kind": "activity", "occurred_at": "2001-01-01T00:00:00Z"}), 202)
    ok(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}))
    world.clock.advance(90 * DAY + SECOND)
    ok(api.post(path, {"kind": "activated"}), 202)  # not a sign of life of its own
    no(api.post("/v1/logins", {"proof": world.verify(api, phone, "login")}), 409, "recovery_required")
