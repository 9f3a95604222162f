from __future__ import annotations

from tests.cli.conftest import Terminal
from tests.support.world import World


def test_a_seed_is_a_bare_member_with_nothing_to_give(run: Terminal, world: World) -> None:
    made = run.json("members", "create", "--seed", "--phone", "+61491570156", "--external-id", "user-1")
    assert made.pop("id").startswith("mem_")
    assert made.pop("joined_at").endswith("Z")
    phone = made["phone"]
    assert (phone["country"], phone["type"]) == ("AU", "mobile")
    assert phone["masked"].startswith("+61")
    assert "4915701" not in phone["masked"]
    assert (made["external_id"], made["state"], made["generation"]) == ("user-1", "active", 0)
    assert (made["inviter_id"], made["invite_id"], made["campaign"]) == (None, None, None)
    assert made["quota"] == {"available": 0}
    assert made["country"] == "AU"


def test_the_command_line_and_the_api_tell_a_member_alike(run: Terminal, world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    joined = world.join(api, seed.id)["member"]
    assert run.json("members", "show", joined["id"]) == api.get(f"/v1/members/{joined['id']}").json
    assert run.json("members", "list") == api.get("/v1/members").json


def test_only_seeds_are_made_by_hand_and_each_phone_and_name_once(run: Terminal) -> None:
    phone = ("--phone", "+61491570156")
    run("members", "create", *phone, code=2)
    run("members", "create", "--seed", code=2)
    run("members", "create", "--seed", *phone, "--external-id", "a\tb", code=2)
    run("members", "create", "--seed", *phone, "--external-id", "user-1")
    other = ("members", "create", "--seed", "--phone", "+61491570157", "--external-id", "user-1")
    assert "external_id_taken" in run(*other, code=1).stderr
    assert "phone_invalid" in run("members", "create", "--seed", "--phone", "12345", code=1).stderr


def test_lists_are_filtered_and_go_on_where_the_page_ended(run: Terminal, world: World) -> None:
    seeds = [world.seed() for _ in range(3)]
    first = run.json("members", "list", "--limit", "2")
    assert [m["id"] for m in first["data"]] == [seeds[0].id, seeds[1].id]
    assert first["has_more"]
    rest = run.json("members", "list", "--cursor", first["next_cursor"])
    assert [m["id"] for m in rest["data"]] == [seeds[2].id]
    assert run.json("members", "list", "--inviter", seeds[0].id)["data"] == []
    assert run.json("members", "list", "--state", "banned")["data"] == []
    assert "cursor_invalid" in run("members", "list", "--cursor", "%%%", code=1).stderr


def test_a_sanction_can_be_rehearsed_imposed_and_lifted(run: Terminal, world: World) -> None:
    seed = world.seed(quota=1)
    named = ("--action", "suspend", "--reason-code", "spam", "--explanation", "Strangers complained.")
    order = ("members", "sanction", seed.id, *named, "--expires-in", "30d")
    preview = run.json(*order, "--dry-run")
    assert (preview["dry_run"], preview["state_now"], preview["state_after"]) == (True, "active", "suspended")
    assert run.json("members", "show", seed.id)["state"] == "active"
    imposed = run.json(*order)
    assert (imposed["action"], imposed["state"], imposed["expires_at"] is None) == (
        "suspend",
        "in_force",
        False,
    )
    assert run.json("members", "show", seed.id)["state"] == "suspended"
    assert "Strangers complained." in run("members", "show", seed.id).stdout
    lifted = run.json("members", "lift", imposed["id"], "--explanation", "A mistake.")
    assert (lifted["state"], lifted["lift_explanation"]) == ("lifted", "A mistake.")
    assert run.json("members", "show", seed.id)["state"] == "active"


def test_a_sanction_needs_a_known_action_a_code_and_an_explanation(run: Terminal, world: World) -> None:
    seed = world.seed()
    order = ("members", "sanction", seed.id)
    run(*order, "--action", "warn", "--reason-code", "spam", code=2)
    run(*order, "--action", "shoot", "--reason-code", "spam", "--explanation", "x", code=2)
    run(*order, "--action", "warn", "--reason-code", "Spam!", "--explanation", "x", code=2)
    run(*order, "--action", "warn", "--reason-code", "spam", "--explanation", " ", code=2)
    full = ("--action", "warn", "--reason-code", "spam", "--explanation", "x")
    assert "not_found" in run("members", "sanction", "mem_none", *full, code=1).stderr
    assert "not_found" in run("members", "lift", "san_none", "--explanation", "x", code=1).stderr
    assert "not_found" in run("members", "show", "mem_none", code=1).stderr
