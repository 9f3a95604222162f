"""Registration: an invite and a proven phone become a member, or nothing happens."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.ports import HOUR, MINUTE, SECOND
from tests.service.steps import (
    audit,
    campaign_link,
    check,
    link,
    no,
    ok,
    sanction,
    sms,
    start,
)
from tests.support.world import Api, World


def _register(api: Api, code: str, **fields: Any) -> Any:
    return api.post("/v1/registrations", {"invite_code": code, **fields})


def _members(api: Api) -> int:
    return len(ok(api.get("/v1/members?limit=200"))["data"])


def test_an_sms_invites_code_proves_the_phone_for_72_hours_only(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    early, late = world.phone(), world.phone()
    for phone in (early, late):
        sms(api, seed.id, phone)
    codes = {phone: world.invite_code(phone) for phone in (early, late)}
    world.clock.advance(72 * HOUR - MINUTE)
    ok(_register(api, codes[early], phone=early), 201)
    world.clock.advance(2 * MINUTE)
    no(_register(api, codes[late], phone=late), 422, "proof_required")
    proof = world.verify(api, late, "registration", invite_code=codes[late])
    ok(_register(api, codes[late], proof=proof), 201)


def test_sending_the_invite_again_renews_what_its_code_proves(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    made = sms(api, seed.id, phone)
    code = world.invite_code(phone)
    world.clock.advance(80 * HOUR)
    no(_register(api, code, phone=phone), 422, "proof_required")
    ok(api.post(f"/v1/invites/{made['id']}/resend"))
    ok(_register(api, code, phone=phone), 201)


def test_a_link_always_needs_a_proof(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    no(_register(api, link(api, seed.id)["code"], phone=world.phone()), 422, "proof_required")


@pytest.mark.parametrize("fields", [{}, {"proof": "x", "phone": "+79161234567"}])
def test_exactly_one_of_proof_and_phone_is_given(world: World, fields: dict[str, str]) -> None:
    api, seed = world.api(), world.seed(quota=1)
    no(_register(api, link(api, seed.id)["code"], **fields), 422, "validation_failed")


def test_an_invite_by_sms_is_worthless_to_another_phone(world: World) -> None:
    api, seed, phone, thief = world.api(), world.seed(quota=1), world.phone(), world.phone()
    sms(api, seed.id, phone)
    code = world.invite_code(phone)
    no(_register(api, code, phone=thief), 422, "invite_not_redeemable")
    body = {"purpose": "registration", "phone": thief, "invite_code": code}
    no(api.post("/v1/verifications", body), 422, "invite_not_redeemable")
    ok(_register(api, code, phone=phone), 201)


def test_a_proof_of_one_phone_does_not_redeem_the_invite_of_another(world: World) -> None:
    api, seed, mine, other = world.api(), world.seed(quota=2), world.phone(), world.phone()
    sms(api, seed.id, other)
    theirs = world.invite_code(other)
    own = link(api, seed.id)["code"]
    proof = world.verify(api, mine, "registration", invite_code=own)
    no(_register(api, theirs, proof=proof), 422, "invite_not_redeemable")
    ok(_register(api, own, proof=proof), 201)  # the wrong code did not cost the proof


def test_a_proof_redeems_only_the_invite_whose_use_it_holds(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=2), world.phone()
    first, second = link(api, seed.id)["code"], link(api, seed.id)["code"]
    proof = world.verify(api, phone, "registration", invite_code=first)
    no(_register(api, second, proof=proof), 422, "invite_not_redeemable")
    ok(_register(api, first, proof=proof), 201)


@pytest.mark.parametrize(
    ("action", "why"),
    [("freeze_invites", "issuer_frozen"), ("suspend", "issuer_suspended"), ("ban", "issuer_banned")],
)
def test_a_sanctioned_inviters_open_invites_stop_and_only_the_audit_knows_why(
    world: World, action: str, why: str
) -> None:
    api, seed, phone, proven = world.api(), world.seed(quota=2), world.phone(), world.phone()
    by_link, by_sms = link(api, seed.id), sms(api, seed.id, phone)
    code = world.invite_code(phone)
    proof = world.verify(api, proven, "registration", invite_code=by_link["code"])
    imposed = sanction(api, seed.id, action)
    first = no(_register(api, by_link["code"], proof=proof), 422, "invite_not_redeemable")
    second = no(_register(api, code, phone=phone), 422, "invite_not_redeemable")
    assert first | {"request_id": ""} == second | {"request_id": ""}
    assert why not in str(first)
    for invite in (by_link, by_sms):
        told = [row for row in audit(world, invite["id"]) if row.type == "invite.refused"]
        assert [row.detail for row in told] == [f'{{"why":"{why}"}}']
        assert not told[0].public
        assert ok(api.get(f"/v1/invites/{invite['id']}"))["state"] == "open"
    ok(api.post(f"/v1/sanctions/{imposed['id']}/lift", {"explanation": "A mistake."}))
    ok(_register(api, by_link["code"], proof=proof), 201)
    ok(_register(api, code, phone=phone), 201)


def test_a_warning_stops_nothing(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    sanction(api, seed.id, "warn")
    world.join(api, seed.id)


def test_a_members_phone_gets_an_ordinary_code_and_is_refused_at_registration(world: World) -> None:
    api, seed, taken = world.api(), world.seed(quota=1), world.phone()
    world.seed(phone=taken)
    code = link(api, seed.id)["code"]
    proof = world.verify(api, taken, "registration", invite_code=code)
    no(_register(api, code, proof=proof), 409, "phone_taken")
    # The use that was held is free again at once.
    other = world.phone()
    ok(_register(api, code, proof=world.verify(api, other, "registration", invite_code=code)), 201)


def test_a_members_phone_is_refused_with_an_sms_invite_too_and_spends_no_use(world: World) -> None:
    api, seed, taken = world.api(), world.seed(quota=1), world.phone()
    world.seed(phone=taken)
    made = sms(api, seed.id, taken)
    no(_register(api, world.invite_code(taken), phone=taken), 409, "phone_taken")
    read = ok(api.get(f"/v1/invites/{made['id']}"))
    assert (read["state"], read["uses"]) == ("open", 0)


def test_a_taken_external_id_costs_neither_the_proof_nor_the_use(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    world.join(api, seed.id, external_id="user-1")
    before = _members(api)
    code = link(api, seed.id)["code"]
    proof = world.verify(api, world.phone(), "registration", invite_code=code)
    no(_register(api, code, proof=proof, external_id="user-1"), 409, "external_id_taken")
    assert _members(api) == before
    made = ok(_register(api, code, proof=proof, external_id="user-2"), 201)
    assert made["member"]["external_id"] == "user-2"


def test_whoever_joins_by_a_campaign_is_a_root_with_the_campaign_recorded(world: World) -> None:
    api, phone = world.api(), world.phone()
    code = campaign_link(api, "spring-2027", max_uses=2)["code"]
    proof = world.verify(api, phone, "registration", invite_code=code)
    root = ok(_register(api, code, proof=proof), 201)["member"]
    assert (root["generation"], root["inviter_id"], root["campaign"]) == (0, None, "spring-2027")
    world.grant(root["id"], 1)
    child = world.join(api, root["id"])["member"]
    assert (child["generation"], child["inviter_id"], child["campaign"]) == (1, root["id"], None)
    assert ok(api.get(f"/v1/members/{root['id']}/ancestors"))["data"] == []


def test_a_new_member_has_eight_recovery_codes_which_are_shown_once(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    joined = world.join(api, seed.id)
    assert len(set(joined["recovery_codes"])) == 8
    assert all(len(code.replace("-", "")) == 16 for code in joined["recovery_codes"])
    again = ok(api.get(f"/v1/members/{joined['member']['id']}"))
    assert not any(code in str(again) for code in joined["recovery_codes"])
    assert joined["device_token"].startswith("dev_")


def test_a_proof_is_used_once_and_expires(world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    invite = link(api, seed.id, max_uses=2)["code"]
    proof = world.verify(api, world.phone(), "registration", invite_code=invite)
    ok(_register(api, invite, proof=proof), 201)
    second = _register(api, invite, proof=proof)
    assert second.status_code == 409, second.text
    late = world.verify(api, world.phone(), "registration", invite_code=invite)
    world.clock.advance(10 * MINUTE + 2 * SECOND)
    no(_register(api, invite, proof=late), 422, "proof_expired")


def test_a_hold_that_was_lost_meanwhile_refuses_the_registration(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    made = link(api, seed.id)
    proof = world.verify(api, world.phone(), "registration", invite_code=made["code"])
    ok(api.post(f"/v1/invites/{made['id']}/revoke", {"reason": "a slip"}))
    no(_register(api, made["code"], proof=proof), 422, "invite_not_redeemable")


def test_a_redeemed_sms_invite_ends_the_cool_down_of_its_phone(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    sms(api, seed.id, phone)
    code = world.invite_code(phone)
    start(api, phone, "registration", invite_code=code)
    no(api.post("/v1/verifications", {"purpose": "login", "phone": phone}), 429, "send_cooldown")
    ok(_register(api, code, phone=phone), 201)  # takes over the hold of the verification that ran
    start(api, phone, "login")


def test_the_locale_and_the_country_of_a_member_are_kept(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    member = world.join(api, seed.id, "+14155552671", locale="es-419")["member"]
    assert (member["country"], member["phone"]["country"]) == ("US", "US")
    assert member["phone"]["masked"] == "+1*********71"
    assert ok(api.post("/v1/members/lookup", {"phone": "+14155552671"}))["id"] == member["id"]


def test_looking_a_phone_up_needs_its_own_scope_and_is_written_down(world: World) -> None:
    reader, pii, phone = world.api("members:read"), world.api("members:pii"), world.phone()
    seed = world.seed(phone=phone)
    no(reader.post("/v1/members/lookup", {"phone": phone}), 403, "scope_missing")
    assert ok(pii.post("/v1/members/lookup", {"phone": phone}))["id"] == seed.id
    no(pii.post("/v1/members/lookup", {"phone": world.phone()}), 404, "not_found")
    assert "member.looked_up" in [row.type for row in audit(world, seed.id)]


def test_nothing_remains_of_a_wrong_code_but_the_count(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    code = link(api, seed.id)["code"]
    made = start(api, phone, "registration", invite_code=code)
    no(check(api, made["id"], "00000000"), 422, "code_incorrect")
    assert _members(api) == 1
    no(api.get("/v1/members/mem_none"), 404, "not_found")
