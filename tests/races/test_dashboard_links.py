"""A sign-in link, opened by many at once."""

from __future__ import annotations

import pytest

from identity_service.services.dashboard_access import Role
from tests.races.contenders import race
from tests.support.world import World

pytestmark = pytest.mark.race


def test_a_link_that_ten_browsers_open_at_once_signs_one_in(world: World) -> None:
    """Attack: a link read over a shoulder is opened beside its owner; two sessions, and nobody notices."""
    doors = world.services.dashboard
    link = world.transact(lambda tx: doors.make_link(tx, Role.ADMIN, "olga"))

    def enter() -> int:
        http = world.app.test_client()
        return http.post("/dashboard/sign-in", data={"token": link.token}).status_code

    assert sorted(race([enter] * 10)) == [303] + [403] * 9
    assert len(world.query(doors.sessions)) == 1
