"""Several processes on one store: what a lock in one process's memory would not hold."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.races.processes import Shot, contend_in_processes
from tests.races.soundness import number
from tests.support.world import World

pytestmark = pytest.mark.race
REFUSED = "422 invite_not_redeemable"


def test_four_processes_share_a_five_use_code_a_quota_and_a_proof(world: World, store_url: str) -> None:
    """Attack: the same races as in one process, behind a balancer: no lock, cache or queue of one process
    may be what keeps a code single, on SQLite's one file as on PostgreSQL."""
    api, issuer = world.api(), world.seed(quota=8)
    body = {"issuer_id": issuer.id, "channel": "link", "max_uses": 5}
    code = api.post("/v1/invites", body).json["code"]  # type: ignore[index]
    last_slots = {"issuer_id": issuer.id, "channel": "link"}
    phone, single = world.phone(), {"issuer_id": world.seed(quota=1).id, "channel": "link"}
    single_code = api.post("/v1/invites", single).json["code"]  # type: ignore[index]
    proof = world.verify(api, phone, "registration", invite_code=single_code)

    def volley() -> list[Shot]:
        start = {"purpose": "registration", "invite_code": code}
        return [
            *[("/v1/verifications", start | {"phone": world.phone()}) for _ in range(8)],
            *[("/v1/invites", last_slots)] * 4,
            *[("/v1/registrations", {"invite_code": single_code, "proof": proof})] * 4,
        ]

    found = Counter(contend_in_processes(store_url, world, api.key, [volley() for _ in range(4)]))
    assert found["202"] == 5, "holds of the five-use code"
    # One registration, and three invites: what the five-use code left of the quota.
    assert found["201"] == 4
    assert found["409 quota_exhausted"] == 13
    late = {REFUSED, "409 phone_taken", "409 proof_consumed"}
    assert sum(found[outcome] for outcome in late) == 27 + 15
    assert found.total() == 64
    assert number(world, "SELECT count(*) FROM members WHERE invite_id IS NOT NULL") == 1
    assert number(world, "SELECT count(*) FROM invite_holds WHERE state = 'held'") == 5
    assert number(world, f"SELECT quota_available FROM members WHERE id = '{issuer.id}'") == 0
