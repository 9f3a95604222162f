"""Members on pages: what each role sees, and what an administrator may do."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import pytest

from identity_service.services.dashboard_access import Role
from tests.dashboard.conftest import Visitor, sign_in
from tests.support.world import World

TABS = ("", "/invitees", "/invites", "/quota", "/sanctions", "/history")
NASTY = "<script>alert(1)</script>=cmd()"


@pytest.fixture
def family(world: World) -> dict[str, Any]:
    """A seed who invited one member; both with an external id that is up to no good."""
    api = world.api()
    seed = world.seed(quota=3)
    child = world.join(api, seed.id, external_id=NASTY)["member"]
    return {"seed": seed.id, "child": child["id"], "api": api}


def test_every_tab_shows_its_member(family: dict[str, Any], admin: Visitor) -> None:
    for tab in TABS:
        page = admin.get(f"/members/{family['child']}{tab}").text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;=cmd()" in page, tab
        assert NASTY not in page
    assert family["seed"] in admin.get(f"/members/{family['child']}").text  # the path to the root
    assert family["child"] in admin.get(f"/members/{family['seed']}/invitees").text
    admin.get("/members/mem_nobody", code=404)
    admin.get(f"/members/{family['child']}/nothing", code=404)


def test_a_growth_role_sees_no_name_no_phone_no_id_and_no_reasons(
    world: World, family: dict[str, Any], growth: Visitor
) -> None:
    listed = growth.get("/members").text
    refs = {part.split('"')[0] for part in listed.split("/dashboard/members/")[1:]}
    refs = {ref for ref in refs if "?" not in ref}
    assert len(refs) == 2
    masked = family["api"].get(f"/v1/members/{family['child']}").json["phone"]["masked"]
    pages = [listed]
    for ref in refs:
        pages += [growth.get(f"/members/{ref}{tab}").text for tab in ("", "/invitees", "/quota")]
        for tab in ("/invites", "/sanctions", "/history"):
            growth.get(f"/members/{ref}{tab}", code=403)
    for text in pages:
        for secret in (family["child"], family["seed"], "script&gt;", masked, "+7916"):
            assert secret not in text
    growth.get(f"/members/{family['child']}", code=404)  # an id from elsewhere opens nothing
    assert growth.http.post(f"/dashboard/members/{family['child']}/number").status_code == 403


def test_a_pseudonym_is_the_same_on_every_page_and_for_everybody(
    world: World, family: dict[str, Any]
) -> None:
    def labels(visitor: Visitor) -> set[str]:
        return set(re.findall(r">(M-\w{4}-\w{4})<", visitor.get("/members").text))

    first, second = sign_in(world, Role.GROWTH), sign_in(world, Role.GROWTH)
    assert len(labels(first)) == 2
    assert labels(first) == labels(second)


def test_a_member_is_found_by_id_external_id_and_phone(
    world: World, family: dict[str, Any], admin: Visitor
) -> None:
    phone = "+79160000002"
    for wanted in (family["child"], NASTY, phone):
        answer = admin.http.get("/dashboard/members", query_string={"q": wanted})
        assert answer.headers["Location"] == f"/dashboard/members/{family['child']}", wanted
    for unknown in ("mem_x", "nobody", "+79169999999", "+1", "mem_" + "z" * 200):
        assert admin.http.get("/dashboard/members", query_string={"q": unknown}).status_code == 404, unknown
    told = [row.type for row in world.query(lambda tx: world.services.journal.about(tx, family["child"]))]
    assert "member.looked_up" in told


def test_members_come_in_pages_and_by_state(world: World, admin: Visitor) -> None:
    ids = [world.seed().id for _ in range(30)]
    first = admin.get("/members").text
    assert ids[0] in first
    assert ids[29] not in first
    cursor = first.split("cursor=")[1].split('"')[0]
    assert ids[29] in admin.get(f"/members?cursor={cursor}").text
    assert ids[0] not in admin.get("/members?state=banned").text
    admin.get("/members?cursor=%00", code=400)


def test_a_growth_roles_cursor_tells_no_id_and_none_from_elsewhere_is_taken(
    world: World, admin: Visitor, growth: Visitor
) -> None:
    for _ in range(30):
        world.seed()
    first = growth.get("/members").text
    sealed = first.split("cursor=")[1].split('"')[0]
    assert b"mem_" not in base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    names = r">(M-\w{4}-\w{4})<"
    following = re.findall(names, growth.get(f"/members?cursor={sealed}").text)
    assert len(set(following) | set(re.findall(names, first))) == 30
    plain = admin.get("/members").text.split("cursor=")[1].split('"')[0]
    growth.get(f"/members?cursor={plain}", code=400)


def test_a_full_number_is_read_for_a_reason_that_is_journalled(
    world: World, family: dict[str, Any], admin: Visitor
) -> None:
    path = f"/members/{family['child']}"
    assert "+79160000002" not in admin.get(path).text
    assert "+79160000002" not in admin.post(f"{path}/number", {"reason": " "}, code=422).text
    assert "+79160000002" in admin.post(f"{path}/number", {"reason": "court order 12"}, code=200).text
    rows = world.query(lambda tx: world.services.journal.about(tx, family["child"]))
    (told,) = [row for row in rows if row.type == "member.number_read"]
    assert (told.actor, json.loads(told.detail), told.public) == ("olga", {"reason": "court order 12"}, 0)
    admin.post("/members/mem_nobody/number", {"reason": "court order 12"}, code=404)


def test_a_sanction_is_previewed_first_and_lifted_with_a_reason(
    world: World, family: dict[str, Any], admin: Visitor
) -> None:
    path = f"/members/{family['child']}/sanctions"
    draft = {"action": "ban", "reason_code": "spam", "explanation": "Sent spam.", "expires_at": ""}
    preview = admin.post(path, draft, code=200)
    assert 'name="confirmed"' in preview.text
    assert 'role="alert"' not in preview.text
    assert family["api"].get(f"/v1/members/{family['child']}").json["state"] == "active"
    admin.post(path, draft | {"confirmed": "yes"})
    assert family["api"].get(f"/v1/members/{family['child']}").json["state"] == "banned"
    sanction = admin.get(path).text.split("/sanctions/")[1].split("/lift")[0]
    admin.post(f"{path}/{sanction}/lift", {"explanation": ""}, code=422)
    admin.post(f"{path}/{sanction}/lift", {"explanation": "A mistake."})
    assert family["api"].get(f"/v1/members/{family['child']}").json["state"] == "active"


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "flog"},
        {"reason_code": "two words"},
        {"explanation": ""},
        {"expires_at": "soon"},
        {"expires_at": "2001-01-01T00:00"},
    ],
)
def test_a_sanction_that_does_not_fit_is_told_beside_the_form(
    family: dict[str, Any], admin: Visitor, wrong: dict[str, str]
) -> None:
    draft = {"action": "warn", "reason_code": "spam", "explanation": "Do not.", "expires_at": ""} | wrong
    answer = admin.post(f"/members/{family['child']}/sanctions", draft, code=422)
    assert re.search(r'role="alert">\w', answer.text), "it is said what is wrong"
    assert "confirmed" not in answer.text


def test_the_journal_is_filtered(family: dict[str, Any], admin: Visitor, world: World) -> None:
    world.work()
    assert "dashboard.signed_in" in admin.get("/audit").text
    public = admin.get("/events").text
    assert "member.joined" in public
    assert "dashboard.signed_in" not in public
    filtered = admin.get(f"/audit?type=member.&subject={family['child']}").text
    assert "member.joined" in filtered
    assert "invite.issued" not in filtered
    assert "Nothing of this kind" in admin.get("/audit?type=100%25").text


def test_an_invites_messages_are_told_step_by_step(world: World, admin: Visitor) -> None:
    seed, phone = world.seed(quota=1), world.phone()
    invite = {"issuer_id": seed.id, "channel": "sms", "phone": phone}
    made: Any = world.api().post("/v1/invites", invite).json
    world.inbox(phone)
    where = f"/messages/about/{made['id']}"
    assert f'href="/dashboard{where}"' in admin.get(f"/members/{seed.id}/invites").text
    told = admin.get(where).text
    assert "inbox" in told
    assert phone not in told
    assert "No message was sent" in admin.get("/messages/about/inv_x").text


def test_trust_is_drawn_as_a_sum_that_adds_up(family: dict[str, Any], admin: Visitor) -> None:
    page = admin.get(f"/members/{family['child']}").text
    drawing = json.loads(html.unescape(page.split('data-drawing="')[1].split('"')[0]))
    told = family["api"].get(f"/v1/members/{family['child']}/trust").json
    assert sum(drawing["values"]) == pytest.approx(told["log_odds"], abs=1e-9)
    assert len(drawing["values"]) == len(drawing["labels"]) == len(told["explanation"])
