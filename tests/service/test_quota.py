"""The quota ledger: grants to many, lots that expire, and entries that always add up."""

from __future__ import annotations

import random
from typing import Any

import pytest

from identity_service.db.tables import members
from identity_service.ports import DAY, HOUR
from tests.service.steps import Body, entries, later, link, no, ok, quota, sanction
from tests.support.world import Api, World


def _grant(api: Api, **fields: Any) -> list[Body]:
    body = {"amount": 1, "reason": "spring round", **fields}
    return list(ok(api.post("/v1/quota-grants", body))["data"])


def test_a_grant_answers_for_each_member_and_refuses_the_unknown_alone(world: World) -> None:
    api, one, two = world.api(), world.seed(), world.seed()
    results = _grant(api, member_ids=[two.id, "mem_none", one.id, two.id], amount=3)
    assert [(r["member_id"], r["result"], r["available"]) for r in results] == [
        (two.id, "granted", 3),
        ("mem_none", "refused", None),
        (one.id, "granted", 3),
    ]
    assert results[1]["code"] == "member_unknown"
    assert quota(api, two.id)["granted"] == 3  # named twice, granted once


def test_an_erased_member_is_refused_and_the_rest_is_granted(world: World) -> None:
    api, kept, gone = world.api(), world.seed(), world.seed()
    erase = members.update().where(members.c.id == gone.id).values(state="erased", phone_id=None)
    world.transact(lambda tx: tx.change(erase))
    results = _grant(api, member_ids=[gone.id, kept.id])
    assert [(r["result"], r["code"]) for r in results] == [("refused", "member_erased"), ("granted", None)]
    assert [r["member_id"] for r in _grant(api, filter="age_days>=0")] == [kept.id]


def test_what_an_admin_grants_can_be_spent_at_once_unless_a_sanction_forbids_it(world: World) -> None:
    api, seed, banned = world.api(), world.seed(), world.seed()
    sanction(api, banned.id, "ban")
    _grant(api, member_ids=[seed.id, banned.id])
    link(api, seed.id)
    body = {"issuer_id": banned.id, "channel": "link"}
    no(api.post("/v1/invites", body), 409, "issuer_not_active")


def test_the_same_batch_again_grants_nothing_twice(world: World) -> None:
    api, one, two = world.api(), world.seed(), world.seed()
    _grant(api, member_ids=[one.id], batch_id="b1", amount=2)
    again = _grant(api, member_ids=[one.id, two.id], batch_id="b1", amount=2)
    assert [(r["result"], r["amount"], r["available"]) for r in again] == [
        ("duplicate", 0, 2),
        ("granted", 2, 2),
    ]
    _grant(api, member_ids=[one.id], batch_id="b2", amount=2)
    assert quota(api, one.id)["available"] == 4


def test_a_dry_run_shows_the_results_and_grants_nothing(world: World) -> None:
    api, one = world.api(), world.seed()
    for _ in range(2):
        results = _grant(api, member_ids=[one.id, "mem_none"], batch_id="b1", amount=5, dry_run=True)
        assert [(r["result"], r["available"]) for r in results] == [("granted", 5), ("refused", None)]
    assert quota(api, one.id)["available"] == 0
    assert entries(api, one.id) == []
    world.work()
    assert ok(api.get("/v1/events?types=quota.granted"))["data"] == []


def test_a_filter_names_the_members_that_it_says(world: World) -> None:
    api = world.api()
    old = world.seed()
    world.clock.advance(40 * DAY)
    russian, american = world.seed(quota=1), world.seed(phone="+14155552671")
    child = world.join(api, russian.id)["member"]
    frozen = world.seed()
    sanction(api, frozen.id, "suspend")
    everyone = {old.id, russian.id, american.id, child["id"], frozen.id}
    wanted = {
        "country=RU and age_days>=30": {old.id},
        "country != RU": {american.id},
        "generation>0": {child["id"]},
        "invitees>=1": {russian.id},
        "available=0 and state=active": everyone - {frozen.id},
        "state=suspended": {frozen.id},
        'level="new"': everyone,
        "level=steward": set(),
        "campaign=none": set(),
        "campaign!=none": everyone,
        "score>0.5": set(),
        "age_days<0": set(),
        "age_days>=1000000": set(),
        "age_days>-1000000": everyone,
        "generation<2147483647": everyone,
        "available<=-2147483647": set(),
        "score>=1": set(),
        "score<=0": set(),
        'campaign="; drop table members"': set(),
    }
    for text, ids in wanted.items():
        assert {r["member_id"] for r in _grant(api, filter=text, dry_run=True)} == ids, text


@pytest.mark.parametrize(
    "body",
    [
        {"amount": 1, "reason": "x", "filter": "age_days>1000001"},
        {"amount": 1, "reason": "x", "filter": "generation<2147483648"},
        {"amount": 1, "reason": "x"},
        {"amount": 1, "reason": "x", "member_ids": ["mem_1"], "filter": "state=active"},
        {"amount": 0, "reason": "x", "filter": "state=active"},
        {"amount": 1_000_001, "reason": "x", "filter": "state=active"},
        {"amount": 1, "reason": " ", "filter": "state=active"},
        {"amount": 1, "filter": "state=active"},
        {"amount": 1, "reason": "x", "filter": "phone=1"},
        {"amount": 1, "reason": "x", "filter": "state=active", "expires_at": "2001-01-01T00:00:00Z"},
        {"amount": "1", "reason": "x", "filter": "state=active"},
        {"amount": 1, "reason": "x", "member_ids": []},
    ],
    ids=repr,
)
def test_a_grant_that_makes_no_sense_is_refused(world: World, body: Body) -> None:
    api, seed = world.api(), world.seed()
    no(api.post("/v1/quota-grants", body), 422, "validation_failed")
    assert quota(api, seed.id)["granted"] == 0


def test_the_grant_that_expires_first_is_spent_first(world: World) -> None:
    api, seed = world.api(), world.seed()
    _grant(api, member_ids=[seed.id], amount=2)  # for ever
    _grant(api, member_ids=[seed.id], amount=2, expires_at=later(world, 9 * DAY))
    _grant(api, member_ids=[seed.id], amount=2, expires_at=later(world, 2 * DAY))
    link(api, seed.id, max_uses=3)
    world.clock.advance(3 * DAY)  # the two that would expire now were spent
    assert quota(api, seed.id) == {"available": 3, "granted": 6, "spent": 3, "refunded": 0, "expired": 0}
    world.clock.advance(9 * DAY)  # one of the second grant was not
    for _ in range(2):
        assert quota(api, seed.id) == {"available": 2, "granted": 6, "spent": 3, "refunded": 0, "expired": 1}
        world.work()


def test_a_refund_into_a_grant_whose_time_is_over_expires_at_once(world: World) -> None:
    api, seed = world.api(), world.seed()
    _grant(api, member_ids=[seed.id], amount=2, expires_at=later(world, DAY))
    made = link(api, seed.id, max_uses=2)
    world.clock.advance(2 * DAY)
    ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "late"}))
    assert quota(api, seed.id) == {"available": 0, "granted": 2, "spent": 2, "refunded": 2, "expired": 2}
    assert sum(entry["amount"] for entry in entries(api, seed.id)) == 0


def test_an_overdue_grant_cannot_be_spent_before_the_sweep_has_met_it(world: World) -> None:
    api, seed = world.api(), world.seed()
    _grant(api, member_ids=[seed.id], amount=1, expires_at=later(world, HOUR))
    world.clock.advance(2 * HOUR)
    no(api.post("/v1/invites", {"issuer_id": seed.id, "channel": "link"}), 409, "quota_exhausted")
    assert quota(api, seed.id)["available"] == 0


def test_every_entry_tells_who_why_and_for_what(world: World) -> None:
    api, seed = world.api("quota:write", "invites:write", "members:read"), world.seed()
    end = later(world, DAY)
    _grant(api, member_ids=[seed.id], amount=2, batch_id="b1", expires_at=end)
    made = link(api, seed.id)
    grant, spend = entries(api, seed.id)
    assert (grant["kind"], grant["amount"], grant["batch_id"], grant["reason"], grant["expires_at"]) == (
        "grant",
        2,
        "b1",
        "spring round",
        end,
    )
    assert (spend["kind"], spend["amount"], spend["invite_id"]) == ("spend", -1, made["id"])
    assert grant["actor"].startswith("client-")


@pytest.mark.parametrize("seed", range(6))
def test_the_entries_add_up_to_the_balance_after_any_history(world: World, seed: int) -> None:
    api, chance, member = world.api(), random.Random(seed), world.seed()
    invites: list[str] = []
    for _ in range(25):
        match chance.randrange(6):
            case 0 | 1:
                lasting = chance.choice([None, later(world, chance.randrange(1, 20) * DAY)])
                fields = {} if lasting is None else {"expires_at": lasting}
                _grant(api, member_ids=[member.id], amount=chance.randrange(1, 6), **fields)
            case 2 | 3:
                body = {
                    "issuer_id": member.id,
                    "channel": "link",
                    "max_uses": chance.randrange(1, 4),
                    "expires_in": f"{chance.randrange(1, 20)}d",
                }
                made = api.post("/v1/invites", body)
                if made.status_code == 201:
                    invites.append(made.json["id"])  # type: ignore[index]
                else:
                    no(made, 409, "quota_exhausted")
            case 4:
                if invites:
                    api.post(f"/v1/invites/{chance.choice(invites)}/revoke", {"reason": "any"})
            case _:
                world.clock.advance(chance.randrange(1, 72) * HOUR)
                if chance.random() < 0.5:
                    world.work()
        _adds_up(world, api, member.id)


def _adds_up(world: World, api: Api, member_id: str) -> None:
    balance = quota(api, member_id)
    assert balance["available"] == (
        balance["granted"] - balance["spent"] + balance["refunded"] - balance["expired"]
    )
    assert balance["available"] >= 0
    world.work()
    after = quota(api, member_id)
    sums: dict[str, int] = {}
    for entry in entries(api, member_id):
        sums[entry["kind"]] = sums.get(entry["kind"], 0) + entry["amount"]
    assert sum(sums.values()) == after["available"]
    assert (sums.get("grant", 0), -sums.get("spend", 0)) == (after["granted"], after["spent"])
    assert (sums.get("refund", 0), -sums.get("expire", 0)) == (after["refunded"], after["expired"])
