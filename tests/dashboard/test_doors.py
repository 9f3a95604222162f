"""Signing in: a link works once, a session ends when it should, no other site can press a button here."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from identity_service.ports import DAY, HOUR, MINUTE
from identity_service.services.dashboard_access import IDLE, LINK_LIFE, LONGEST, Role
from tests.dashboard.conftest import Visitor, sign_in
from tests.support.world import World


def new_link(world: World, role: Role = Role.ADMIN) -> str:
    token: str = world.transact(lambda tx: world.services.dashboard.make_link(tx, role, "olga")).token
    return token


def post_token(world: World, token: str, **headers: str) -> int:
    answer = world.app.test_client().post("/dashboard/sign-in", data={"token": token}, headers=headers)
    return answer.status_code


def test_a_link_signs_in_once(world: World) -> None:
    token = new_link(world)
    assert post_token(world, token) == 303
    assert post_token(world, token) == 403


def test_the_whole_link_may_be_pasted(world: World) -> None:
    url = f"{world.settings.dashboard_sign_in}#{new_link(world)}"
    assert post_token(world, url) == 303


def test_looking_at_the_door_uses_no_link_up(world: World) -> None:
    token = new_link(world)
    door = world.app.test_client().get("/dashboard/sign-in")
    assert door.status_code == 200
    assert post_token(world, token) == 303


def test_a_link_that_is_too_old_or_unknown_opens_nothing(world: World) -> None:
    token = new_link(world)
    world.clock.advance(LINK_LIFE)
    assert post_token(world, token) == 403
    assert post_token(world, "") == 403
    assert post_token(world, "x" * 5000) == 403


def test_a_form_of_another_site_signs_nobody_in(world: World) -> None:
    token = new_link(world)
    assert post_token(world, token, Origin="https://elsewhere.test") == 403
    assert post_token(world, token, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post_token(world, token, Origin="http://localhost") == 303


def test_who_is_not_signed_in_sees_only_the_door(world: World) -> None:
    http = world.app.test_client()
    for path in ("", "/members", "/members/mem_x", "/events", "/audit", "/messages/dead", "/sessions"):
        answer = http.get(f"/dashboard{path}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard/sign-in"), path


def test_a_session_ends_when_nobody_uses_it_and_at_the_latest_after_half_a_day(world: World) -> None:
    visitor = sign_in(world)
    for _ in range(LONGEST // (IDLE - MINUTE)):
        world.clock.advance(IDLE - MINUTE)
        visitor.get()
    world.clock.advance(IDLE - MINUTE)
    visitor.get(code=303)
    idle = sign_in(world)
    world.clock.advance(IDLE)
    idle.get(code=303)


def test_an_ended_session_is_refused_at_once(world: World, admin: Visitor) -> None:
    other = sign_in(world)
    page = admin.get("/sessions")
    ids = re.findall(r"/sessions/(dss_\w+)/end", page.text)
    assert len(ids) == 2
    session = world.query(world.services.dashboard.sessions)[0]  # the newest is the other's
    admin.post(f"/sessions/{session.id}/end")
    other.get(code=303)
    admin.get()


def test_signing_out_ends_the_session(world: World, admin: Visitor) -> None:
    cookie = admin.http.get_cookie("dashboard")
    assert cookie is not None
    admin.post("/sign-out")
    again = world.app.test_client()
    again.set_cookie("dashboard", cookie.value)
    assert again.get("/dashboard").status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_form_without_its_sessions_token_does_nothing(world: World, admin: Visitor, token: str) -> None:
    answer = admin.http.post("/dashboard/sign-out", data={"form_token": token})
    assert answer.status_code == 403
    other = sign_in(world)
    stolen = re.search(r'name="form_token" value="(\w+)"', other.get().text)
    assert stolen is not None
    assert admin.http.post("/dashboard/sign-out", data={"form_token": stolen[1]}).status_code == 403
    admin.get()


def test_over_https_the_cookie_belongs_to_the_host(new_world: Callable[..., World]) -> None:
    world = new_world(public_url="https://id.example")
    answer = world.app.test_client().post("/dashboard/sign-in", data={"token": new_link(world)})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-dashboard=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_neither_token_stands_in_the_database(world: World) -> None:
    token = new_link(world)
    http = world.app.test_client()
    http.post("/dashboard/sign-in", data={"token": token})
    session = http.get_cookie("dashboard")
    assert session is not None
    if world.store == "sqlite":
        stored = b"".join(path.read_bytes() for path in world.files())
        assert token.encode() not in stored
        assert session.value.encode() not in stored


def test_what_is_over_is_forgotten_after_a_month(world: World) -> None:
    sign_in(world)
    world.clock.advance(31 * DAY)
    kept = sign_in(world)
    world.work()
    assert len(world.query(world.services.dashboard.sessions)) == 1
    kept.get()


def test_a_growth_role_sees_no_page_for_administrators(growth: Visitor) -> None:
    for path in ("/events", "/audit", "/messages/dead", "/sessions"):
        assert "administrators" in growth.get(path, code=403).text


def test_every_page_forbids_inline_scripts_and_frames(admin: Visitor) -> None:
    for path in ("", "/members", "/nowhere", "/sign-in"):
        answer = admin.http.get(f"/dashboard{path}")
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        inline = r"<script(?![^>]*(src=|application/json))|<style|\sstyle=|\son\w+="
        assert not re.search(inline, answer.text), path


def test_the_language_can_be_chosen(admin: Visitor) -> None:
    assert 'lang="en"' in admin.get().text
    answer = admin.http.post("/dashboard/language", data={"language": "ru"})
    assert answer.status_code == 303
    assert '<html lang="ru">' in admin.get().text


def test_a_link_lives_for_a_day_at_most(world: World) -> None:
    doors = world.services.dashboard
    made = world.transact(lambda tx: doors.make_link(tx, Role.GROWTH, "maria", HOUR))
    assert made.expires_at > world.clock.now() + HOUR - MINUTE
    with pytest.raises(Exception, match="validation_failed"):
        world.transact(lambda tx: doors.make_link(tx, Role.GROWTH, "maria", 2 * DAY))
