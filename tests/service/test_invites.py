"""Invites: scopes, lives, lists, look-up, sending again, and what comes back when one ends."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from identity_service.codes import LINK_SYMBOLS, new_code
from identity_service.db.tables import invites
from identity_service.ports import DAY, HOUR, MINUTE, SECOND, SystemEntropy
from tests.service.steps import (
    at,
    audit,
    campaign_link,
    entries,
    link,
    messages_to,
    no,
    ok,
    pages,
    quota,
    sms,
    start,
)
from tests.support.world import World


def test_a_client_may_give_a_members_invites_but_only_an_admin_a_campaigns(world: World) -> None:
    seed = world.seed(quota=2)
    writer, reader = world.api("invites:write"), world.api("invites:read")
    made = link(writer, seed.id)
    refused = no(writer.post("/v1/invites", {"campaign": "spring", "channel": "link"}), 403, "scope_missing")
    assert refused["scope"] == "admin"
    no(reader.post("/v1/invites", {"issuer_id": seed.id, "channel": "link"}), 403, "scope_missing")
    no(writer.get(f"/v1/invites/{made['id']}"), 403, "scope_missing")
    assert campaign_link(world.api("admin"), max_uses=100_000)["max_uses"] == 100_000


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"campaign": "spring"}, "one_issuer"),
        ({"issuer_id": None}, "one_issuer"),
        ({"issuer_id": "mem_nobody"}, "member_unknown"),
        ({"channel": "sms"}, "phone_needs_sms"),
        ({"phone": "+79161234567"}, "phone_needs_sms"),
        ({"channel": "sms", "phone": "+79161234567", "max_uses": 2}, "sms_single_use"),
        ({"max_uses": 101}, "out_of_range"),
        ({"expires_in": "366d"}, "out_of_range"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_makes_no_sense_is_refused_and_spends_nothing(
    world: World, change: dict[str, Any], code: str
) -> None:
    api, seed = world.api(), world.seed(quota=200)
    problem = no(
        api.post("/v1/invites", {"issuer_id": seed.id, "channel": "link"} | change), 422, "validation_failed"
    )
    assert [error["code"] for error in problem["errors"]] == [code]
    assert quota(api, seed.id)["available"] == 200


def test_an_invite_lives_as_long_as_the_policy_says_or_as_is_asked_for(world: World) -> None:
    api, seed = world.api(), world.seed(quota=5)
    lives = {
        30 * DAY: link(api, seed.id),
        14 * DAY: sms(api, seed.id, world.phone()),
        7 * DAY: link(api, seed.id, expires_in="7d"),
        90 * SECOND: link(api, seed.id, expires_in=90),
    }
    for life, invite in lives.items():
        assert at(invite["expires_at"]) - at(invite["created_at"]) == life
    world.clock.advance(2 * MINUTE)
    assert ok(api.get(f"/v1/invites/{lives[90 * SECOND]['id']}"))["state"] == "expired"


def test_note_and_locale_are_kept_and_the_message_is_in_that_language(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    made = sms(api, seed.id, phone, note="from the choir", locale="ru-RU")
    read = ok(api.get(f"/v1/invites/{made['id']}"))
    assert (read["note"], read["locale"]) == ("from the choir", "ru-RU")
    assert any("а" <= letter <= "я" for letter in messages_to(world, phone)[0])
    assert "choir" not in messages_to(world, phone)[0]


def test_a_code_stands_only_in_the_answer_that_made_its_link(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    made = link(api, seed.id)
    assert made["link"].endswith("/i/" + made["code"].replace("-", ""))
    read, listed = ok(api.get(f"/v1/invites/{made['id']}")), ok(api.get("/v1/invites"))["data"]
    assert all("code" not in invite and "link" not in invite for invite in [read, *listed])
    sent = sms(api, seed.id, world.phone())
    assert "code" not in sent
    assert sent["phone"].count("*") == 9


def test_lists_filter_and_page_without_gaps_or_doubles_while_more_arrive(world: World) -> None:
    api, one, other = world.api(), world.seed(quota=20), world.seed(quota=20)
    mine = [link(api, one.id)["id"] for _ in range(7)]
    link(api, other.id)
    spring = [campaign_link(api)["id"] for _ in range(2)]
    ok(api.post(f"/v1/invites/{mine[0]}/revoke", {"reason": "a slip"}))
    first = ok(api.get(f"/v1/invites?issuer_id={one.id}&limit=3"))
    link(api, one.id)  # arrives while somebody is paging
    second = ok(api.get(f"/v1/invites?issuer_id={one.id}&limit=3&cursor={first['next_cursor']}"))
    third = ok(api.get(f"/v1/invites?issuer_id={one.id}&limit=3&cursor={second['next_cursor']}"))
    seen = [invite["id"] for page in (first, second, third) for invite in page["data"]]
    assert seen == mine[::-1]  # newest first, each once
    assert not third["has_more"]
    assert [i["id"] for i in pages(api, "/v1/invites?campaign=spring&limit=1")] == spring[::-1]
    assert [i["id"] for i in pages(api, "/v1/invites?state=revoked")] == [mine[0]]
    assert mine[0] not in [i["id"] for i in pages(api, f"/v1/invites?issuer_id={one.id}&state=open&limit=2")]


def test_an_overdue_invite_is_listed_as_expired_before_and_after_the_sweep(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    short, long = link(api, seed.id, expires_in="1h"), link(api, seed.id)
    world.clock.advance(2 * HOUR)
    for _ in range(2):
        assert [i["id"] for i in pages(api, "/v1/invites?state=expired")] == [short["id"]]
        assert [i["id"] for i in pages(api, "/v1/invites?state=open")] == [long["id"]]
        world.work()


def test_a_lookup_tells_what_a_code_needs_and_nothing_more(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=2), world.phone()
    made = link(api, seed.id)
    found = ok(api.post("/v1/invites/lookup", {"code": made["code"].lower().replace("-", " ")}))
    assert found == {"redeemable": True, "channel": "link", "phone_required": False}
    sms(api, seed.id, phone)
    found = ok(api.post("/v1/invites/lookup", {"code": world.invite_code(phone)}))
    assert found == {"redeemable": True, "channel": "sms", "phone_required": True}


def test_every_code_that_will_not_do_looks_the_same(world: World) -> None:
    api, seed, other = world.api(), world.seed(quota=9), world.seed(quota=1)
    revoked, expired = link(api, seed.id), link(api, seed.id, expires_in="1h")
    used, banned = link(api, seed.id), link(api, other.id)
    ok(api.post(f"/v1/invites/{revoked['id']}/revoke", {"reason": "a slip"}))
    start(api, world.phone(), "registration", invite_code=used["code"])  # its one use is held
    world.clock.advance(20 * MINUTE)
    ok(
        api.post(
            f"/v1/members/{other.id}/sanctions",
            {"action": "ban", "reason_code": "spam", "explanation": "Sold invites."},
        ),
        201,
    )
    missing = _unknown_code()
    held = ok(api.post("/v1/invites/lookup", {"code": used["code"]}))
    world.clock.advance(2 * HOUR)
    answers = [
        ok(api.post("/v1/invites/lookup", {"code": code}))
        for code in (revoked["code"], expired["code"], banned["code"], missing)
    ]
    assert [*answers, held] == [{"redeemable": False, "channel": None, "phone_required": False}] * 5
    # Only the audit knows them apart.
    refusals = [
        api.post(
            "/v1/verifications", {"purpose": "registration", "phone": world.phone(), "invite_code": code}
        )
        for code in (revoked["code"], expired["code"], banned["code"], missing)
    ]
    told = [no(refusal, 422, "invite_not_redeemable") | {"request_id": ""} for refusal in refusals]
    assert told == [told[0]] * 4
    assert [row.detail for row in audit(world, banned["id"]) if row.type == "invite.refused"] == [
        '{"why":"issuer_banned"}'
    ]


def _unknown_code() -> str:
    """A code with a right check symbol that nobody was given."""
    return str(new_code(SystemEntropy(), symbols=LINK_SYMBOLS))


def test_a_typing_error_is_told_apart_from_a_miss(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    code = link(api, seed.id)["code"]
    mistyped = code[:-1] + ("0" if code[-1] != "0" else "1")
    for path, body in (
        ("/v1/invites/lookup", {"code": mistyped}),
        ("/v1/verifications", {"purpose": "registration", "phone": world.phone(), "invite_code": mistyped}),
        ("/v1/registrations", {"invite_code": mistyped, "phone": world.phone()}),
    ):
        problem = no(api.post(path, body), 422, "invite_not_redeemable")
        assert [error["code"] for error in problem["errors"]] == ["typo"]
    miss = {"purpose": "registration", "phone": world.phone(), "invite_code": _unknown_code()}
    assert "errors" not in no(api.post("/v1/verifications", miss), 422, "invite_not_redeemable")


def test_resend_sends_the_same_code_after_the_cool_down_and_spends_no_quota(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=2), world.phone()
    made = sms(api, seed.id, phone)
    code = world.invite_code(phone)
    waiting = api.post(f"/v1/invites/{made['id']}/resend")
    no(waiting, 429, "send_cooldown")
    assert 1 <= int(waiting.headers["Retry-After"]) <= 30
    assert "RateLimit-Policy" in waiting.headers
    world.clock.advance(31 * SECOND)
    ok(api.post(f"/v1/invites/{made['id']}/resend"))
    assert len(messages_to(world, phone)) == 2
    assert world.invite_code(phone) == code
    assert quota(api, seed.id)["available"] == 1
    assert ok(api.get(f"/v1/invites/{made['id']}"))["delivery"]["state"] == "delivered"


def test_only_an_open_invite_by_sms_of_an_inviter_in_good_standing_is_sent_again(world: World) -> None:
    api, seed = world.api(), world.seed(quota=3)
    no(api.post(f"/v1/invites/{link(api, seed.id)['id']}/resend"), 409, "invite_not_sms")
    ended, frozen = sms(api, seed.id, world.phone()), sms(api, seed.id, world.phone())
    ok(api.post(f"/v1/invites/{ended['id']}/revoke", {"reason": "a slip"}))
    no(api.post(f"/v1/invites/{ended['id']}/resend"), 409, "invite_not_open")
    body = {"action": "freeze_invites", "reason_code": "spam", "explanation": "Too many."}
    ok(api.post(f"/v1/members/{seed.id}/sanctions", body), 201)
    no(api.post(f"/v1/invites/{frozen['id']}/resend"), 409, "invites_frozen")
    no(api.post("/v1/invites/inv_none/resend"), 404, "not_found")


def test_a_members_sms_sending_has_a_daily_budget_that_no_revocation_refunds(world: World) -> None:
    api, seed = world.api(), world.seed(quota=50)
    for _ in range(20):
        made = sms(api, seed.id, world.phone())
        ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "a pump"}))
    body = {"issuer_id": seed.id, "channel": "sms", "phone": world.phone()}
    refused = api.post("/v1/invites", body)
    no(refused, 429, "member_send_budget_spent")
    assert int(refused.headers["Retry-After"]) > 20 * 3600
    assert quota(api, seed.id)["available"] == 50  # what was only held back is back; sending is not
    link(api, seed.id)
    world.clock.advance(25 * HOUR)
    ok(api.post("/v1/invites", body), 201)


def test_revoking_gives_back_exactly_what_was_not_redeemed_and_only_once(world: World) -> None:
    api, seed = world.api(), world.seed(quota=5)
    made = link(api, seed.id, max_uses=5)
    for _ in range(2):
        phone = world.phone()
        proof = world.verify(api, phone, "registration", invite_code=made["code"])
        ok(api.post("/v1/registrations", {"invite_code": made["code"], "proof": proof}), 201)
    held = start(api, world.phone(), "registration", invite_code=made["code"])
    assert quota(api, seed.id)["available"] == 0
    for _ in range(3):
        revoked = ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "enough"}))
        assert (revoked["state"], revoked["uses"]) == ("revoked", 2)
    assert quota(api, seed.id) == {"available": 3, "granted": 5, "spent": 5, "refunded": 3, "expired": 0}
    assert sum(entry["amount"] for entry in entries(api, seed.id)) == 3
    # The hold of the verification that ran is gone with the invite.
    assert ok(api.get(f"/v1/verifications/{held['id']}"))["state"] == "pending"
    row = world.query(lambda tx: tx.select(_held(made["id"])))[0]
    assert row.held == 0


def _held(invite_id: str) -> Any:
    return select(invites.c.held, invites.c.starts, invites.c.uses).where(invites.c.id == invite_id)


def test_expiry_gives_back_what_was_not_redeemed_by_the_workers_sweep(world: World) -> None:
    api, seed = world.api(), world.seed(quota=4)
    made = link(api, seed.id, max_uses=3, expires_in="1d")
    world.clock.advance(25 * HOUR)
    assert quota(api, seed.id)["available"] == 1
    world.work()
    world.work()
    assert quota(api, seed.id) == {"available": 4, "granted": 4, "spent": 3, "refunded": 3, "expired": 0}
    no(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "late"}), 409, "invite_not_open")


def test_a_used_up_invite_cannot_be_revoked(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    joined = world.join(api, seed.id)
    invite_id = joined["member"]["invite_id"]
    assert ok(api.get(f"/v1/invites/{invite_id}"))["state"] == "redeemed"
    no(api.post(f"/v1/invites/{invite_id}/revoke", {"reason": "late"}), 409, "invite_not_open")
    assert quota(api, seed.id)["refunded"] == 0


def test_bulk_answers_each_item_in_order_and_a_bad_one_spoils_only_itself(world: World) -> None:
    api, seed, phone = world.api("invites:write"), world.seed(quota=3), world.phone()
    good: dict[str, Any] = {"issuer_id": seed.id, "channel": "link"}
    items = [
        good,
        {"issuer_id": seed.id, "channel": "pigeon"},
        good | {"channel": "sms", "phone": phone},
        good | {"channel": "sms", "phone": phone},
        good | {"channel": "sms", "phone": "+7916"},
        {"campaign": "spring", "channel": "link"},
        good | {"max_uses": 5},
        good,
        good,
    ]
    results = ok(api.post("/v1/invites/bulk", {"items": items}), 207)["data"]
    assert [result["index"] for result in results] == list(range(len(items)))
    assert [result["status"] for result in results] == [201, 422, 201, 429, 422, 403, 409, 201, 409]
    codes = [result.get("problem", {}).get("code") for result in results]
    assert codes == [
        None,
        "validation_failed",
        None,
        "send_cooldown",
        "phone_invalid",
        "scope_missing",
        "quota_exhausted",
        None,
        "quota_exhausted",
    ]
    assert all(("invite" in result) != ("problem" in result) for result in results)
    reader = world.api("members:read")
    assert quota(reader, seed.id)["available"] == 0
    assert len(messages_to(world, phone)) == 1


def test_bulk_takes_a_bounded_number_of_items(world: World) -> None:
    api, seed = world.api(), world.seed()
    item = {"issuer_id": seed.id, "channel": "link"}
    no(api.post("/v1/invites/bulk", {"items": []}), 422, "validation_failed")
    no(api.post("/v1/invites/bulk", {"items": [item] * 101}), 422, "validation_failed")


def test_inviting_a_members_phone_looks_just_like_any_other(world: World) -> None:
    api, seed, taken = world.api(), world.seed(quota=4), world.phone()
    world.seed(phone=taken)
    answers = []
    for phone in (taken, world.phone()):
        response = api.post("/v1/invites", {"issuer_id": seed.id, "channel": "sms", "phone": phone})
        made = ok(response, 201)
        world.inbox()
        answers.append((response, made, ok(api.get(f"/v1/invites/{made['id']}"))))
    (first, made_1, read_1), (second, made_2, read_2) = answers
    assert set(first.headers.keys()) == set(second.headers.keys())
    assert made_1.keys() == made_2.keys()
    differing = {key for key in read_1 if read_1[key] != read_2[key]}
    assert differing <= {"id", "phone", "created_at", "expires_at", "delivery"}
    assert read_1["delivery"]["state"] == read_2["delivery"]["state"] == "delivered"
    assert len(messages_to(world, taken)) == 1


def test_a_member_who_may_not_invite_is_refused_by_the_rule_that_eligibility_shows(world: World) -> None:
    api, seed = world.api(), world.seed()
    for action, code, rule in (
        (None, "quota_exhausted", "quota_available"),
        ("freeze_invites", "invites_frozen", "invites_not_frozen"),
        ("suspend", "issuer_not_active", "member_active"),
    ):
        if action:
            body = {"action": action, "reason_code": "spam", "explanation": "Too many."}
            ok(api.post(f"/v1/members/{seed.id}/sanctions", body), 201)
        no(api.post("/v1/invites", {"issuer_id": seed.id, "channel": "link"}), 409, code)
        told = ok(api.get(f"/v1/members/{seed.id}/invite-eligibility"))
        assert not told["allowed"]
        assert {"rule": rule, "passed": False}.items() <= next(
            r for r in told["rules"] if r["rule"] == rule
        ).items()


def test_eligibility_counts_an_overdue_grant_no_more_than_the_enforcing_code_does(world: World) -> None:
    api, seed = world.api(), world.seed()
    body = {
        "member_ids": [seed.id],
        "amount": 2,
        "reason": "a week",
        "expires_at": "2099-01-01T00:00:00Z",
    }
    ok(api.post("/v1/quota-grants", body))
    assert ok(api.get(f"/v1/members/{seed.id}/invite-eligibility"))["allowed"]
    world.clock.advance(75 * 366 * DAY)  # no worker has swept yet
    told = ok(api.get(f"/v1/members/{seed.id}/invite-eligibility"))
    no(api.post("/v1/invites", {"issuer_id": seed.id, "channel": "link"}), 409, "quota_exhausted")
    assert (told["allowed"], told["available"]) == (False, 0)


def test_a_suspension_with_an_end_tells_when_waiting_will_help(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    end = "2099-01-01T00:00:00.000Z"
    body = {"action": "suspend", "reason_code": "spam", "explanation": "A pause.", "expires_at": end}
    ok(api.post(f"/v1/members/{seed.id}/sanctions", body), 201)
    told = ok(api.get(f"/v1/members/{seed.id}/invite-eligibility"))["rules"]
    assert next(rule for rule in told if rule["rule"] == "member_active")["earliest_at"] == end
