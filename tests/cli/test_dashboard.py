from __future__ import annotations

from tests.cli.conftest import Terminal
from tests.support.world import World


def _open(world: World, url: str) -> int:
    token = url.rpartition("#")[2]
    return world.app.test_client().post("/dashboard/sign-in", data={"token": token}).status_code


def test_a_link_is_made_for_a_role_and_works_once(run: Terminal, world: World) -> None:
    made = run.json("dashboard", "link", "--role", "growth", "--name", "maria")
    assert made["url"].startswith(f"{world.settings.public_url}/dashboard/sign-in#")
    assert (made["role"], made["name"]) == ("growth", "maria")
    assert [_open(world, made["url"]) for _ in range(2)] == [303, 403]
    listed = run.json("dashboard", "sessions", "list")["data"]
    assert [(one["name"], one["role"], one["state"]) for one in listed] == [("maria", "growth", "open")]


def test_sessions_are_ended_one_by_one_or_all(run: Terminal, world: World) -> None:
    for name in ("maria", "nina", "oleg"):
        assert _open(world, run.json("dashboard", "link", "--role", "admin", "--name", name)["url"]) == 303
    first = run.json("dashboard", "sessions", "list")["data"][0]["id"]
    run("dashboard", "sessions", "revoke", first)
    assert "not_found" in run("dashboard", "sessions", "revoke", first, code=1).stderr
    assert run.json("dashboard", "sessions", "revoke", "--all", "--dry-run")["ended"] == 2
    unused = run.json("dashboard", "link", "--role", "admin", "--name", "peter")["url"]
    assert run.json("dashboard", "sessions", "revoke", "--all")["ended"] == 2
    assert _open(world, unused) == 403
    states = {one["state"] for one in run.json("dashboard", "sessions", "list")["data"]}
    assert states == {"ended"}


def test_wrong_usage_is_told(run: Terminal) -> None:
    run("dashboard", "link", "--role", "king", code=2)
    run("dashboard", "link", "--role", "admin", "--expires-in", "2d", code=1)
    run("dashboard", "sessions", "revoke", code=2)
    run("dashboard", "sessions", "revoke", "dss_x", "--all", code=2)
