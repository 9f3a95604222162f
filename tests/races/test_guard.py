"""The pumping guard, raced: a burst to one prefix sees itself, and one decision is made of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.races.contenders import Request, contend, tally
from tests.races.soundness import number
from tests.service.steps import campaign_link, policy_with
from tests.support.world import World

pytestmark = pytest.mark.race


def test_20_starts_for_one_prefix_at_once_are_counted_one_by_one(new_world: Callable[..., World]) -> None:
    """Attack: a burst to one rented prefix, each request beside the others."""
    world = new_world(guarded=True, policy_file=policy_with(prefix_open="6", adjacent_work="90"))
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    requests = [
        Request(
            api=api,
            path="/v1/verifications",
            json={"purpose": "registration", "invite_code": code, "phone": f"+7916123{n * 131:04d}"},
        )
        for n in range(20)
    ]
    assert tally(contend(world, requests)) == {"202": 3, "403 proof_of_work_required": 17}
    assert number(world, "SELECT count(*) FROM guard_sends") == 3


def test_20_refusals_at_once_make_one_decision(new_world: Callable[..., World]) -> None:
    world = new_world(guarded=True, policy_file=policy_with(prefix_open="1", adjacent_work="90"))
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]

    def start(n: int) -> Request:
        body = {"purpose": "registration", "invite_code": code, "phone": f"+7916123{n * 131:04d}"}
        return Request(api=api, path="/v1/verifications", json=body)

    assert tally(contend(world, [start(n) for n in range(20)])) == {"202": 1, "429 send_blocked": 19}
    assert number(world, "SELECT count(*) FROM guard_decisions") == 1
    assert number(world, "SELECT count(*) FROM guard_units WHERE grade = 1") == 1
