"""The pumping guard, raced: a burst to one prefix sees itself, and one decision is made of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import pytest
from sqlalchemy import text

from tests.races.contenders import Answer, Request, contend, send, tally
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
    outcomes = tally(contend(world, requests))
    crowded = outcomes.pop("429 send_blocked", 0)  # where nobody is left a seat to wait on
    assert outcomes == {"202": 3, "403 proof_of_work_required": 17 - crowded}
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


def test_a_crowd_that_waits_at_one_prefix_leaves_connections_to_everybody_else(
    new_world: Callable[..., World],
) -> None:
    """Fault: a judgement hangs, and everyone who asks for the same prefix queues behind it."""
    world = new_world(guarded=True, policy_file=policy_with(prefix_open="50", adjacent_work="90"))
    if world.services.store.is_sqlite:
        pytest.skip("writers of SQLite wait for each other whatever they write")
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]

    def start(phone: str) -> Callable[[], Answer]:
        body = {"purpose": "registration", "invite_code": code, "phone": phone}
        return lambda: send(world, Request(api=api, path="/v1/verifications", json=body))

    turn = int(world.services.guard._hash("+7916123")[:15], 16)
    with ThreadPoolExecutor(21) as pool:
        with world.services.store.engine.connect() as hanging:
            hanging.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": turn})
            crowd = [pool.submit(start(f"+7916123{n * 131:04d}")) for n in range(20)]
            refused = wait_for_some(crowd, 17)
            assert tally(refused) == {"429 send_blocked": 17}
            assert {answer.headers["Retry-After"] for answer in refused} <= {"1", "2"}
            assert start("+79031234567")().status == 202
        answers = [one.result(60) for one in crowd]
    assert tally(answers) == {"202": 3, "429 send_blocked": 17}


def wait_for_some(crowd: list[Future[Answer]], count: int) -> list[Answer]:
    """The first of them that are done, in whatever order."""
    done = as_completed(crowd, 60)
    return [next(done).result() for _ in range(count)]
