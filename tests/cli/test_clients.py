from __future__ import annotations

from typing import Any

from tests.cli.conftest import Terminal
from tests.support.world import World


def _status(world: World, key: str) -> int:
    return world.app.test_client().get("/v1/members", headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_new_key_works_with_its_scopes_and_is_stored_only_as_a_hash(run: Terminal, world: World) -> None:
    made = run.json("clients", "create", "shop", "--scope", "members:read", "--scope", "invites:read")
    assert made["client"] == "shop"
    assert made["scopes"] == ["members:read", "invites:read"]
    assert made["expires_at"] is None
    assert _status(world, made["key"]) == 200
    listed = run.json("clients", "list")["data"]
    assert [(c["client"], [k["state"] for k in c["keys"]]) for c in listed] == [("shop", ["live"])]
    assert made["key"] not in run("clients", "list").stdout


def test_rotation_keeps_the_scopes_and_both_keys_until_the_overlap_is_over(
    run: Terminal, world: World
) -> None:
    first = run.json("clients", "create", "shop", "--scope", "members:read")
    second = run.json("clients", "rotate", "shop", "--overlap", "1h")
    assert second["scopes"] == ["members:read"]
    assert [_status(world, key) for key in (first["key"], second["key"])] == [200, 200]
    assert "too_many_keys" in run("clients", "rotate", "shop", code=1).stderr
    world.clock.advance(3_600_000_000)
    assert [_status(world, key) for key in (first["key"], second["key"])] == [401, 200]


def test_an_overlap_never_makes_a_short_key_live_longer(run: Terminal, world: World) -> None:
    first = run.json("clients", "create", "shop", "--scope", "members:read", "--expires-in", "1h")
    run.json("clients", "rotate", "shop", "--overlap", "30d")
    world.clock.advance(3_600_000_000)
    assert _status(world, first["key"]) == 401


def test_revoking_ends_one_key_or_all_of_a_client(run: Terminal, world: World) -> None:
    first = run.json("clients", "create", "shop", "--scope", "members:read")
    second = run.json("clients", "rotate", "shop")
    assert run.json("clients", "revoke", first["key_id"], "--dry-run") == {"revoked": 1, "dry_run": True}
    assert _status(world, second["key"]) == 200
    assert run.json("clients", "revoke", first["key_id"])["revoked"] == 1
    assert _status(world, first["key"]) == 401
    third = run.json("clients", "rotate", "shop")
    assert run.json("clients", "revoke", "shop")["revoked"] == 2
    assert _status(world, third["key"]) == 401
    states: list[Any] = [key["state"] for key in run.json("clients", "list")["data"][0]["keys"]]
    assert states == ["revoked"] * 3


def test_what_there_is_not_or_is_already_is_refused(run: Terminal) -> None:
    run("clients", "create", "shop", "--scope", "admin")
    assert "client_exists" in run("clients", "create", "shop", "--scope", "admin", code=1).stderr
    assert "scope_unknown" in run("clients", "create", "x", "--scope", "everything", code=1).stderr
    assert "not_found" in run("clients", "rotate", "nobody", code=1).stderr
    assert "not_found" in run("clients", "revoke", "key_none", code=1).stderr


def test_a_client_needs_a_scope_and_a_printable_name(run: Terminal) -> None:
    run("clients", "create", "shop", code=2)
    for name in ("", "key_1", "a b", "é", "x" * 101):
        run("clients", "create", name, "--scope", "admin", code=2)
    run("clients", "create", "shop", "--scope", "admin", "--expires-in", "soon", code=2)
