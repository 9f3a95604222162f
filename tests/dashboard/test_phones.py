"""The phone simulator without a browser: where it is, and what its buttons answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from identity_service.services.dashboard_access import Role
from tests.dashboard.conftest import Visitor, sign_in
from tests.support.world import World

PHONE = "+12025550143"


def test_there_is_no_simulator_without_the_inbox_nor_for_a_growth_role(
    new_world: Callable[..., World],
) -> None:
    real = sign_in(new_world(sms_route="null"))
    assert "/dashboard/phones" not in real.get().text
    real.get("/phones", code=404)
    real.get("/phones/screen?to=1", code=404)
    world = new_world()
    sign_in(world, Role.GROWTH).get("/phones", code=403)


def test_a_registration_by_link_is_played_and_a_wrong_code_is_told(world: World, admin: Visitor) -> None:
    opened = admin.post("/phones/invite-link", {"to": PHONE}, code=200).text
    carried = {
        name: re.search(rf'name="{name}" value="([^"]*)"', opened)[1]  # type: ignore[index]
        for name in ("to", "verification", "invite_code")
    }
    wrong = f"{(int(world.otp(PHONE)) + 1) % 1_000_000:06d}"
    assert 'role="alert"' in admin.post("/phones/check", carried | {"code": wrong}, code=422).text
    made = admin.post("/phones/check", carried | {"code": world.otp(PHONE)}, code=200).text
    assert "A member was made." in made
    assert 'role="alert"' in admin.post("/phones/invite-link", {"to": "12"}, code=422).text


def test_the_screen_shows_sizes_and_offers_what_a_message_carries(world: World, admin: Visitor) -> None:
    admin.post("/phones/invite-sms", {"to": PHONE}, code=200)
    code = world.invite_code(PHONE)
    screen = admin.get(f"/phones/screen?to={PHONE}").text
    assert f'value="{code}"' in screen
    assert "segments: 1 (GSM-7" in screen
    assert re.search(r"\$0\.\d*[1-9]\d* by the price list", screen)
    assert "<html" not in screen
    redeemed = admin.post("/phones/redeem", {"to": PHONE, "code": code}, code=200).text
    assert "A member was made." in redeemed


def test_the_simulators_client_has_no_key_and_is_made_once(world: World, admin: Visitor) -> None:
    for _ in range(2):
        admin.post("/phones/invite-link", {"to": "nothing"}, code=422)
    clients = [row for row in world.query(world.services.clients.keys) if row.name == "(phone simulator)"]
    assert [row.id for row in clients] == [None]
