"""Quota: the last slot, the refund that comes once, the grant that comes once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import chain

import pytest

from identity_service.ports import DAY, MINUTE, SECOND
from tests.races.contenders import Answer, Request, contend, contend_with, race, send, tally
from tests.races.soundness import number
from tests.support.world import Api, World

pytestmark = pytest.mark.race


def revocation(api: Api, invite_id: str) -> Request:
    return Request(api=api, path=f"/v1/invites/{invite_id}/revoke", json={"reason": "sent by mistake"})


def link_with_proof(world: World, api: Api, issuer_id: str, **more: str) -> tuple[str, Request]:
    """An invite, and the registration that would redeem it."""
    made = api.post("/v1/invites", {"issuer_id": issuer_id, "channel": "link", **more})
    assert made.status_code == 201, made.text
    code = made.json["code"]  # type: ignore[index]
    proof = world.verify(api, world.phone(), "registration", invite_code=code)
    body = {"invite_code": code, "proof": proof}
    return made.json["id"], Request(api=api, path="/v1/registrations", json=body)  # type: ignore[index]


def test_the_last_slot_goes_to_one_of_50_invites(world: World) -> None:
    """Attack: double spending by parallel calls. The guarded UPDATE decides, and a CHECK stands behind it."""
    api, issuer = world.api(), world.seed(quota=1)
    body = {"issuer_id": issuer.id, "channel": "link"}
    answers = contend(world, [Request(api=api, path="/v1/invites", json=body)] * 50)
    assert tally(answers) == {"201": 1, "409 quota_exhausted": 49}
    assert number(world, "SELECT count(*) FROM invites") == 1
    assert number(world, "SELECT count(*) FROM quota_entries WHERE kind = 'spend'") == 1


def test_a_slot_that_expires_is_not_spent_by_any_of_50_invites(world: World) -> None:
    """Fault: the grant's day is over and the sweep has not run yet; the spenders sweep, once between them."""
    api, issuer = world.api(), world.seed()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    grant = {"member_ids": [issuer.id], "amount": 3, "reason": "for an hour", "expires_at": at}
    assert api.post("/v1/quota-grants", grant).status_code == 200
    world.clock.advance(DAY)
    body = {"issuer_id": issuer.id, "channel": "link"}
    requests = [Request(api=api, path="/v1/invites", json=body)] * 50
    answers = contend_with(world, requests, world.worker.housekeep)
    assert tally(answers) == {"409 quota_exhausted": 50}
    assert api.get(f"/v1/members/{issuer.id}/quota").json == {
        "available": 0,
        "granted": 3,
        "spent": 0,
        "refunded": 0,
        "expired": 3,
    }


def test_20_revocations_at_once_refund_once(world: World) -> None:
    """Attack: minting quota by revoking one invite many times."""
    api, issuer = world.api(), world.seed(quota=7)
    made = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "link", "max_uses": 7})
    answers = contend(world, [revocation(api, made.json["id"])] * 20)  # type: ignore[index]
    assert tally(answers) == {"200": 20}, "revoking again changes nothing, and says so"
    assert {answer.body["state"] for answer in answers} == {"revoked"}
    assert number(world, "SELECT quota_available FROM members") == 7
    assert number(world, "SELECT count(*) FROM quota_entries WHERE kind = 'refund'") == 1


def test_an_invite_revoked_while_it_is_redeemed_is_either_refunded_or_used(world: World) -> None:
    """Attack: revoking at the moment of redemption, to have both the member and the quota back."""
    api, issuer = world.api(), world.seed(quota=12)
    pairs = [link_with_proof(world, api, issuer.id) for _ in range(12)]
    answers = contend(
        world, list(chain.from_iterable((revocation(api, invite), redeem) for invite, redeem in pairs))
    )
    outcomes = list(zip(answers[::2], answers[1::2], strict=True))
    for revoked, redeemed in outcomes:
        assert (revoked.outcome, redeemed.outcome) in {
            ("200", "422 invite_not_redeemable"),
            ("409 invite_not_open", "201"),
        }
    members = sum(redeemed.status == 201 for _, redeemed in outcomes)
    assert number(world, "SELECT count(*) FROM members WHERE inviter_id IS NOT NULL") == members
    assert number(world, "SELECT sum(quota_available) FROM members") == 12 - members


def test_a_partly_used_invite_refunds_exactly_what_its_racers_left(world: World) -> None:
    """Fault: the refund computed from a count of uses that was read before the last redemption."""
    api, issuer = world.api(), world.seed(quota=6)
    made = api.post("/v1/invites", {"issuer_id": issuer.id, "channel": "link", "max_uses": 6})
    code, invite = made.json["code"], made.json["id"]  # type: ignore[index]
    proofs = [world.verify(api, world.phone(), "registration", invite_code=code) for _ in range(6)]
    redeem = [
        Request(api=api, path="/v1/registrations", json={"invite_code": code, "proof": proof})
        for proof in proofs
    ]
    outcomes = tally(contend(world, [*redeem[:3], *[revocation(api, invite)] * 3, *redeem[3:]]))
    joined = outcomes["201"]
    assert outcomes["422 invite_not_redeemable"] == 6 - joined
    assert number(world, f"SELECT quota_available FROM members WHERE id = '{issuer.id}'") == 6 - joined
    assert number(world, "SELECT quota_refunded + 0 FROM members ORDER BY id LIMIT 1") == 6 - joined


def test_an_invite_that_expires_while_it_is_redeemed_is_either_refunded_or_used(world: World) -> None:
    """Fault: the worker's sweep meets a redemption that began before the end."""
    api, issuer = world.api(), world.seed(quota=16)
    pairs = [link_with_proof(world, api, issuer.id, expires_in="5m") for _ in range(16)]
    ends = number(world, "SELECT min(expires_at) FROM invites")
    world.clock.advance(ends - world.clock.now() - SECOND // 20)

    def redeem(turn: int, request: Request) -> Answer:
        time.sleep(turn * 0.008)
        return send(world, request)

    def sweep() -> None:
        for _ in range(30):
            world.worker.housekeep()
            time.sleep(0.005)

    calls: list[Callable[[], Answer | None]] = [
        partial(redeem, turn, one) for turn, (_, one) in enumerate(pairs)
    ]
    answers = [one for one in race([*calls, sweep]) if one is not None]
    world.clock.advance(MINUTE)
    world.worker.housekeep()
    outcomes = tally(answers)
    assert outcomes.keys() <= {"201", "422 invite_not_redeemable"}
    assert number(world, "SELECT count(*) FROM invites WHERE state = 'redeemed'") == outcomes["201"]
    assert number(world, "SELECT count(*) FROM invites WHERE state = 'expired'") == 16 - outcomes["201"]
    assert number(world, "SELECT sum(quota_available) FROM members") == 16 - outcomes["201"]


def test_one_batch_is_granted_once_by_20_at_once(world: World) -> None:
    """Fault: a monthly job started on two machines, each retrying on a timeout."""
    api, members = world.api(), [world.seed() for _ in range(5)]
    # Every other caller names them in the opposite order: rows locked in two orders are a deadlock.
    orders = [[one.id for one in members], [one.id for one in reversed(members)]]
    requests = [
        Request(
            api=api,
            path="/v1/quota-grants",
            json={"batch_id": "2026-11", "member_ids": orders[turn % 2], "amount": 3, "reason": "monthly"},
        )
        for turn in range(20)
    ]
    answers = contend(world, requests)
    assert tally(answers) == {"200": 20}
    results = [row["result"] for answer in answers for row in answer.body["data"]]
    assert (results.count("granted"), results.count("duplicate")) == (5, 95)
    assert number(world, "SELECT count(*) FROM quota_entries WHERE batch_id = '2026-11'") == 5
    assert number(world, "SELECT min(quota_available) FROM members") == 3
    assert number(world, "SELECT max(quota_available) FROM members") == 3
