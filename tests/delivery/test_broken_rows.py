"""One bad message, answer or row stops neither the others nor the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from identity_service.ports import DAY, MINUTE
from sms.providers.base import Accepted
from sms.states import DeliveryState
from tests.support.world import World


def _invite(world: World, api: Any, seed_id: str) -> str:
    phone = world.phone()
    made = api.post("/v1/invites", {"issuer_id": seed_id, "channel": "sms", "phone": phone})
    assert made.status_code == 201, made.text
    return phone


def _change(world: World, statement: str) -> None:
    with world.services.store.engine.begin() as connection:
        connection.execute(text(statement))


def _states(world: World) -> list[str]:
    with world.services.store.engine.connect() as connection:
        return [row.state for row in connection.execute(text("SELECT state FROM messages ORDER BY id"))]


def test_a_message_that_cannot_be_opened_ends_dead_and_the_next_one_is_sent(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    _invite(world, api, seed.id)
    _change(world, "UPDATE phones SET sealed = NULL WHERE id = (SELECT phone_id FROM messages)")
    good = _invite(world, api, seed.id)
    world.work()
    assert _states(world) == ["dead", "delivered"]
    assert len(world.inbox(good)) == 1


def test_a_provider_that_gives_one_id_twice_makes_nobodys_phone_ring_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, seed = world.api(), world.seed(quota=2)
    sent: list[str] = []

    def send(message: Any) -> Accepted:
        sent.append(message.to)
        return Accepted(provider="inbox", provider_id="the-same", state=DeliveryState.SENT)

    monkeypatch.setattr(world.services.providers["inbox"], "send", send)
    phones = [_invite(world, api, seed.id) for _ in range(2)]
    for _ in range(5):
        world.worker.step()
        world.clock.advance(2 * MINUTE)
    assert sorted(sent) == sorted(phones)
    assert sorted(_states(world)) == ["dead", "sent"]


def test_a_ledger_that_does_not_add_up_stops_only_its_own_sweep(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    made = api.post("/v1/invites", {"issuer_id": seed.id, "channel": "link", "expires_in": "1d"})
    assert made.status_code == 201
    _change(world, "DELETE FROM quota_entries WHERE kind = 'spend'")
    world.clock.advance(2 * DAY)
    done = world.worker.housekeep()
    assert done["expire_invites"] == 0
    phone = _invite(world, api, world.seed(quota=1).id)
    assert len(world.inbox(phone)) == 1


def test_a_message_whose_workers_die_again_and_again_ends_dead(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    _invite(world, api, seed.id)
    claim: Callable[[], Any] = lambda: world.transact(lambda tx: world.services.claims.claim(tx, 10))  # noqa: E731
    claims = 0
    while claim() and claims < 100:
        claims += 1
        world.clock.advance(2 * MINUTE)
    assert claims == 30
    assert _states(world) == ["dead"]


def test_a_revoked_invites_queued_message_is_not_sent(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    phone = world.phone()
    made = api.post("/v1/invites", {"issuer_id": seed.id, "channel": "sms", "phone": phone}).json
    assert made is not None
    api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "typed wrong"})
    assert world.inbox(phone) == []


def test_the_metrics_count_a_decoy_like_a_message(world: World) -> None:
    api = world.api()
    member, stranger = world.phone(), world.phone()
    world.seed(phone=member)

    def accepted() -> str:
        lines = world.app.test_client().get("/metrics").text.splitlines()
        counted = [line for line in lines if line.startswith("identity_messages_total{")]
        return next((line for line in counted if '"inbox"' in line and '"accepted"' in line), "")

    seen = []
    for phone in (member, stranger):
        before = accepted()
        api.post("/v1/verifications", {"purpose": "login", "phone": phone})
        world.worker.deliver()
        seen.append((before, accepted()))
    assert all(before != after for before, after in seen)
    assert world.inbox(stranger) == []
