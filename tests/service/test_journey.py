"""The main journeys, end to end, on both stores."""

from __future__ import annotations

from tests.support.world import World


def test_a_link_invite_makes_a_member_below_its_inviter(world: World) -> None:
    api, seed = world.api(), world.seed(quota=1)
    joined = world.join(api, seed.id, external_id="user-1")
    member = joined["member"]
    assert (member["inviter_id"], member["generation"], member["state"]) == (seed.id, 1, "active")
    assert member["external_id"] == "user-1"
    assert len(joined["recovery_codes"]) == 8
    assert api.get(f"/v1/members/{seed.id}/quota").json == {
        "available": 0,
        "granted": 1,
        "spent": 1,
        "refunded": 0,
        "expired": 0,
    }
    assert [m["id"] for m in api.get(f"/v1/members/{member['id']}/ancestors").json["data"]] == [seed.id]  # type: ignore[index]


def test_an_sms_invites_code_and_phone_are_the_whole_registration(world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    invite = api.post("/v1/invites", {"issuer_id": seed.id, "channel": "sms", "phone": phone})
    assert invite.status_code == 201
    assert not {"code", "link"} & set(invite.json)  # type: ignore[arg-type]
    code = world.invite_code(phone)
    stranger = api.post("/v1/registrations", {"invite_code": code, "phone": world.phone()})
    assert (stranger.status_code, stranger.json["code"]) == (422, "invite_not_redeemable")  # type: ignore[index]
    made = api.post("/v1/registrations", {"invite_code": code, "phone": phone})
    assert made.status_code == 201
    again = api.post("/v1/registrations", {"invite_code": code, "phone": phone})
    assert (again.status_code, again.json["code"]) == (422, "invite_not_redeemable")  # type: ignore[index]
