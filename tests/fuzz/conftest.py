"""One service a store for a whole module of generated requests, with members, invites and phones to hit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import STORES
from tests.fuzz.described import Known
from tests.support.shared import shared_world
from tests.support.world import Api, World


@dataclass(frozen=True, kw_only=True)
class Target:
    """A service with something in it, and who calls it."""

    world: World
    admin: Api
    known: Known


@pytest.fixture(scope="module", params=STORES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with shared_world(request, tmp_path_factory) as world:
        yield _populated(world)


def _populated(world: World) -> Target:
    admin, seed = world.api(), world.seed(quota=100_000)

    def made(path: str, **body: Any) -> dict[str, Any]:
        answer = admin.post(path, body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json)  # type: ignore[arg-type]

    member = world.join(admin, seed.id)["member"]
    link = made("/v1/invites", issuer_id=seed.id, channel="link", max_uses=100)
    sms = made("/v1/invites", issuer_id=seed.id, channel="sms", phone=world.phone())
    sanction = made(
        f"/v1/members/{member['id']}/sanctions", action="warn", reason_code="spam", explanation="one to lift"
    )
    started = made("/v1/verifications", purpose="login", phone=world.phone())
    members = (seed.id, member["id"])
    return Target(
        world=world,
        admin=admin,
        known={
            "member_id": members,
            "issuer_id": (seed.id,),
            "reporter_id": members,
            "invite_id": (link["id"], sms["id"]),
            "sanction_id": (sanction["id"],),
            "verification_id": (started["id"],),
            "invite_code": (link["code"],),
            "code": (link["code"],),
            "phone": tuple(world.phone() for _ in range(40)),
        },
    )
