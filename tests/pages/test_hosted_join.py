"""From an invite's link to a member in plain forms, and on to the network."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from identity_service.ports import DAY, HOUR, MINUTE
from identity_service.services.hosted_join import JOIN_CLIENT
from sms.numbers import mask, parse
from tests.pages.browser import (
    RECOVERY_CODE,
    Browser,
    at_code,
    invited,
    invited_by_sms,
    joined,
    members_of,
    path_of,
)
from tests.support.world import World

# -- the way through -------------------------------------------------------------------------------------


def test_a_link_a_phone_and_a_code_make_a_member(world: World) -> None:
    inviter = world.seed(quota=1)
    phone, invite = world.phone(), invited(world, campaign=None, issuer_id=inviter.id)
    browser = Browser(world)
    page = browser.open(invite["path"])
    assert invite["code"] in page.text
    page = browser.send("/phone", country="RU", phone=f"8 ({phone[2:5]}) {phone[5:8]}-{phone[8:]}")
    assert mask(parse(phone).e164) in page.text
    assert phone not in browser.at.text
    page = browser.send("/code", otp=world.otp(phone))
    assert len(RECOVERY_CODE.findall(page.text)) == 8
    member = next(one for one in members_of(world) if one["invite_id"] == invite["id"])
    assert member["inviter_id"] == inviter.id
    assert member["phone"]["verified_at"] is not None


def test_an_invite_by_sms_needs_the_phone_alone(world: World) -> None:
    phone = world.phone()
    browser = Browser(world)
    browser.open(invited_by_sms(world, phone))
    before = len(world.inbox(phone))
    page = browser.send("/phone", phone=phone)
    assert browser.title == "Welcome to Identity"
    assert len(RECOVERY_CODE.findall(page.text)) == 8
    assert len(world.inbox(phone)) == before, "no second code is sent"


def test_an_invite_by_sms_that_is_old_needs_a_code_as_well(world: World) -> None:
    phone = world.phone()
    path = invited_by_sms(world, phone)
    world.clock.advance(3 * DAY + HOUR)
    browser = at_code(world, phone, path=path)
    browser.send("/code", otp=world.otp(phone))
    assert browser.title == "Welcome to Identity"


def test_an_invite_by_sms_does_nothing_for_another_phone(world: World) -> None:
    browser, other = Browser(world), world.phone()
    browser.open(invited_by_sms(world, world.phone()))
    browser.send("/phone", phone=other)
    assert (browser.at.status_code, browser.refusal) == (422, "invite_not_redeemable")
    assert not world.inbox(other)


def test_the_code_can_be_typed_where_there_is_no_link(world: World) -> None:
    invite, phone, browser = invited(world), world.phone(), Browser(world)
    for start in ("/", "/i"):
        browser.open(start)
        browser.send("/i", code=f" {invite['code'].lower()} ")
        assert path_of(browser) == invite["path"]
    browser.send("/phone", phone=phone)
    assert browser.title == "Enter the code"


def test_the_recovery_codes_are_shown_until_they_are_kept_and_not_again(world: World) -> None:
    browser = joined(world, world.phone())
    shown = RECOVERY_CODE.findall(browser.page.text)
    assert RECOVERY_CODE.findall(browser.open(path_of(browser)).text) == shown, "a reload loses nothing"
    file = browser.ask(path_of(browser).replace("welcome", "recovery-codes.txt"))
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert RECOVERY_CODE.findall(file.text) == shown
    assert file.headers["Cache-Control"] == "no-store"
    page = browser.send("/kept")
    assert browser.title == "That is all"
    for path in (path_of(browser), path_of(browser).replace("welcome", "recovery-codes.txt")):
        assert not RECOVERY_CODE.findall(browser.open(path).text)
    assert not RECOVERY_CODE.findall(page.text)


def test_a_recovery_code_of_the_page_is_one_of_the_member_s(world: World) -> None:
    phone = world.phone()
    code = RECOVERY_CODE.findall(joined(world, phone).page.text)[0]
    member = members_of(world)[0]["id"]
    credentials = world.services.credentials
    assert world.transact(lambda tx: credentials.use_recovery_code(tx, member, code))


def test_the_page_acts_as_a_client_of_its_own_that_has_no_key(world: World) -> None:
    for _ in range(2):
        joined(world, world.phone())
    clients = [row for row in world.query(world.services.clients.keys) if row.client_id == JOIN_CLIENT]
    assert [(row.name, row.id) for row in clients] == [("join page (built in)", None)]


def test_another_client_cannot_touch_the_page_s_verification(world: World) -> None:
    phone = world.phone()
    at_code(world, phone)
    api = world.api("verifications:write")
    made = world.query(lambda tx: tx.connection.exec_driver_sql("SELECT id FROM verifications").scalar_one())
    assert api.get(f"/v1/verifications/{made}").status_code == 404


# -- where to go next ------------------------------------------------------------------------------------


def goal_of(world: World) -> Browser:
    phone = world.phone()
    browser = joined(world, phone)
    browser.send("/kept")
    return browser


def test_without_an_address_the_page_says_how_to_go_on(world: World) -> None:
    page = goal_of(world).page
    assert "log in with your phone number" in page.text
    assert "onward" not in page.ids()


def test_an_address_is_a_link_that_carries_nothing(new_world: Callable[..., World]) -> None:
    page = goal_of(new_world(joined_url="https://app.example.org/start")).page
    assert page.one("onward")["href"] == "https://app.example.org/start"
    assert "assertion" not in str(page.elements)


def test_the_assertion_is_posted_where_the_network_takes_it(new_world: Callable[..., World]) -> None:
    world = new_world(joined_url="https://app.example.org/joined?x=1", joined_handover="post")
    browser = goal_of(world)
    path, fields = browser.form("/joined?x=1")
    claims = claims_of(fields["assertion"])
    assert claims["aud"] == JOIN_CLIENT
    assert claims["purpose"] == "registration"
    assert claims["sub"] == members_of(world)[0]["id"]
    assert fields["device_token"].startswith("dev_")
    assert path.startswith("https://app.example.org/")
    policy = browser.at.headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'self' https://app.example.org")
    assert browser.at.headers["Referrer-Policy"] == "strict-origin"
    world.clock.advance(11 * MINUTE)
    page = browser.open(path_of(browser))
    assert "assertion" not in str(page.elements), "one that is too old is not handed over"
    assert page.one("onward")["href"].startswith("https://app.example.org/")


def claims_of(assertion: str) -> dict[str, Any]:
    body = assertion.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
