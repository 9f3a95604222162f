"""A member's trust over REST: a sum that adds up, told exactly, with no reporter's name in it."""

from __future__ import annotations

import json
import math

import pytest

from graph.trust import TrustParameters
from identity_service.ports import DAY
from tests.service.steps import Body, audit, no, ok, sanction
from tests.support.world import Api, World


def trust_of(api: Api, member_id: str) -> Body:
    told = ok(api.get(f"/v1/members/{member_id}/trust"))
    total = math.fsum(line["log_odds"] for line in told["explanation"])
    assert total == pytest.approx(told["log_odds"], abs=1e-9)
    assert told["score"] == pytest.approx(1 / (1 + math.exp(-told["log_odds"])), abs=1e-12)
    return told


def report(api: Api, member_id: str, reporter_id: str, kind: str = "report") -> None:
    ok(api.post(f"/v1/members/{member_id}/signals", {"kind": kind, "reporter_id": reporter_id}), 202)


def test_a_newcomer_has_a_score_at_once_and_the_same_one_when_the_worker_has_come(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    member = world.join(api, seed.id)["member"]["id"]
    before = trust_of(api, member)
    assert before["published"] is False
    assert before["as_of_event"] is None
    world.work()
    after = trust_of(api, member)
    assert after["published"] is True
    assert after["as_of_event"].startswith("evt_")
    assert after["log_odds"] == pytest.approx(before["log_odds"], abs=1e-12)
    shown = ok(api.get(f"/v1/members/{member}"))["trust"]["score"]
    assert shown == pytest.approx(after["score"], abs=1e-3)


def test_inviter_invitees_and_own_evidence_each_have_a_line_and_reporters_none(world: World) -> None:
    api, root = world.api(), world.seed(quota=5)
    seller = world.join(api, root.id)["member"]["id"]
    world.grant(seller, 5)
    good, bad = (world.join(api, seller)["member"]["id"] for _ in range(2))
    stranger = world.seed()
    report(api, seller, stranger.id)
    sanction(api, bad, "ban")
    ok(api.post(f"/v1/members/{good}/signals", {"kind": "staff_verified"}), 202)
    world.work()
    told = trust_of(api, seller)
    lines = {
        (line["source"], line["member_id"], line["kind"]): line["log_odds"] for line in told["explanation"]
    }
    assert lines["evidence", None, "report"] == pytest.approx(-0.7)
    assert lines["invitee", bad, None] < 0 < lines["invitee", good, None]
    assert ("inviter", root.id, None) in lines
    assert stranger.id not in json.dumps(told)
    helpful = {step["action"]: step for step in told["would_help"]}
    assert helpful["invitee_cleared"]["member_id"] == bad
    assert [step["log_odds_gain"] for step in told["would_help"]] == sorted(
        (step["log_odds_gain"] for step in told["would_help"]), reverse=True
    )


def test_what_is_said_to_help_helps_by_exactly_so_much(world: World) -> None:
    api, root = world.api(), world.seed(quota=5)
    member = world.join(api, root.id)["member"]["id"]
    friend = world.seed()
    world.work()
    promised = {step["action"]: step for step in trust_of(api, member)["would_help"]}["vouch"]
    report(api, member, friend.id, "vouch")
    world.work()
    assert trust_of(api, member)["log_odds"] == pytest.approx(promised["log_odds"], abs=1e-9)


def test_a_ban_counts_while_it_is_in_force_and_no_longer(world: World) -> None:
    api, root = world.api(), world.seed(quota=2)
    member = world.join(api, root.id)["member"]["id"]
    world.work()
    clean = trust_of(api, member)["log_odds"]
    first = sanction(api, member, "ban")["id"]
    second = sanction(api, member, "ban")["id"]
    world.work()
    banned = trust_of(api, member)["log_odds"]
    assert banned == pytest.approx(clean - 5, abs=1e-9)
    ok(api.post(f"/v1/sanctions/{first}/lift", {"explanation": "a mistake"}))
    world.work()
    assert trust_of(api, member)["log_odds"] == pytest.approx(banned, abs=1e-9), "one still stands"
    ok(api.post(f"/v1/sanctions/{second}/lift", {"explanation": "a mistake"}))
    world.work()
    assert trust_of(api, member)["log_odds"] == pytest.approx(clean, abs=1e-9)


def test_an_adjudicated_seller_of_invites_is_clamped_whatever_the_invitees_do(world: World) -> None:
    api, root = world.api(), world.seed(quota=5)
    seller = world.join(api, root.id)["member"]["id"]
    world.grant(seller, 1)
    good = world.join(api, seller)["member"]["id"]
    ok(api.post(f"/v1/members/{good}/signals", {"kind": "staff_verified"}), 202)
    sanction(api, seller, "freeze_invites", reason_code="sold_invites")
    world.work()
    told = trust_of(api, seller)
    assert told["conduct"] < -20
    assert [line["source"] for line in told["explanation"] if line["source"] != "evidence"] == [
        "inviter",
        "adjudication",
    ]


def test_a_vouch_from_the_members_own_branch_is_taken_and_does_not_count(world: World) -> None:
    """Attack: friends of one branch vouch for each other. The answer tells nothing, the audit does."""
    api, root = world.api(), world.seed(quota=5)
    one, other = (world.join(api, root.id)["member"]["id"] for _ in range(2))
    world.grant(one, 1)
    child = world.join(api, one)["member"]["id"]
    world.work()
    before = trust_of(api, one)["log_odds"]
    report(api, one, child, "vouch")
    world.work()
    assert trust_of(api, one)["log_odds"] == pytest.approx(before, abs=1e-12)
    report(api, one, other, "vouch")
    world.work()
    assert trust_of(api, one)["log_odds"] == pytest.approx(before + 0.25, abs=1e-9)
    ignored = [row for row in audit(world, one) if row.type == "trust.evidence_ignored"]
    assert len(ignored) == 1
    assert "another branch" in ignored[0].detail


def test_reports_of_one_branch_count_as_one_and_are_forgiven_with_time(world: World) -> None:
    api, root, other = world.api(), world.seed(quota=5), world.seed(quota=3)
    member = world.join(api, root.id)["member"]["id"]
    for _ in range(2):
        report(api, member, world.join(api, other.id)["member"]["id"])
    world.work()
    lines = {line["kind"]: line["log_odds"] for line in trust_of(api, member)["explanation"]}
    assert lines["report"] == pytest.approx(-0.7)
    world.clock.advance(181 * DAY)
    world.work()
    told = trust_of(api, member)
    kinds = {line["kind"] for line in told["explanation"]}
    assert "report" not in kinds
    assert "aged" in kinds
    started = ok(api.get("/v1/events?types=trust.epoch_started"))["data"]
    assert [set(event["data"]) for event in started] == [{"as_of", "alpha", "version", "matured"}]


def test_the_joiners_of_a_campaign_answer_for_each_other(world: World) -> None:
    api = world.api()
    issued = ok(api.post("/v1/invites", {"campaign": "spring", "channel": "link", "max_uses": 9}), 201)
    members = []
    for _ in range(3):
        phone = world.phone()
        proof = world.verify(api, phone, "registration", invite_code=issued["code"])
        made = ok(api.post("/v1/registrations", {"invite_code": issued["code"], "proof": proof}), 201)
        members.append(made["member"]["id"])
    world.work()
    before = trust_of(api, members[0])
    assert before["explanation"][0]["source"] == "campaign"
    assert before["explanation"][0]["member_id"] is None
    sanction(api, members[1], "ban")
    world.work()
    assert trust_of(api, members[0])["log_odds"] < before["log_odds"] - 0.1


def test_many_invitees_share_a_line_but_for_the_largest_twenty(world: World) -> None:
    from tests.service.trust_history import TrustHistory

    history = TrustHistory(world, 0)
    for _ in range(26):
        history.join(1)
    api = world.api()
    for index in range(3, 3 + 24):
        ok(api.post(f"/v1/members/{history.known[index].id}/signals", {"kind": "staff_verified"}), 202)
    world.work()
    sources = [line["source"] for line in trust_of(api, history.known[1].id)["explanation"]]
    assert (sources.count("invitee"), sources.count("other_invitees")) == (20, 1)
    assert "4 further invitees" in trust_of(api, history.known[1].id)["explanation"][-1]["detail"]


def test_a_seed_starts_at_the_prior_and_an_unknown_member_has_no_trust(world: World) -> None:
    api, seed = world.api("members:read"), world.seed()
    told = trust_of(api, seed.id)
    assert told["explanation"][0]["log_odds"] == TrustParameters().root_prior
    no(api.get("/v1/members/mem_none/trust"), 404, "not_found")
    no(world.api("signals:write").get(f"/v1/members/{seed.id}/trust"), 403, "scope_missing")
