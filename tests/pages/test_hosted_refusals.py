"""What the hosted page refuses, and in which words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from identity_service.codes import LINK_SYMBOLS, new_code
from identity_service.ports import HOUR, MINUTE, SECOND, SystemEntropy
from tests.pages.browser import (
    Browser,
    at_code,
    invited,
    members_of,
    path_of,
)
from tests.service.steps import policy_with
from tests.support.world import World


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [("hello", "invite_malformed"), ("NNN59H3QXJEZWPX7P683B765K3X", "invite_not_redeemable")],
)
def test_a_code_that_is_none_is_told_before_anything_is_asked(world: World, typed: str, refusal: str) -> None:
    browser = Browser(world)
    browser.open(f"/i/{typed}")
    assert (browser.at.status_code, browser.refusal) == (200, refusal)
    browser.send("/i", code=typed)
    assert (browser.at.status_code, browser.refusal) == (422, refusal)


def test_codes_that_cannot_be_redeemed_look_alike(world: World) -> None:
    api = world.api()
    revoked, used = invited(world), invited(world)
    api.post(f"/v1/invites/{revoked['id']}/revoke", {"reason": "for a test"})
    at = at_code(world, phone := world.phone(), path=used["path"])
    at.send("/code", otp=world.otp(phone))
    unknown = f"/i/{new_code(SystemEntropy(), symbols=LINK_SYMBOLS).canonical}"
    told = set()
    for path in (revoked["path"], used["path"], unknown):
        browser = Browser(world)
        browser.open(path)
        page = browser.send("/phone", phone=world.phone())
        told.add((browser.at.status_code, browser.refusal, page.text.partition("Your invitation code")[0]))
    assert len(told) == 1
    assert next(iter(told))[:2] == (422, "invite_not_redeemable")


def test_a_number_that_no_network_reaches_is_told_on_the_code_s_page(world: World) -> None:
    browser = at_code(world, world.phone())
    assert "cannot be reached" not in browser.page.text
    failed = "UPDATE messages SET state = 'undelivered', failure = 'wrong_number'"
    world.transact(lambda tx: tx.connection.exec_driver_sql(failed))
    assert "cannot be reached" in browser.open(path_of(browser)).text


UNUSABLE = [
    ("RU", "hello", "This is no phone number"),
    ("", "9161234567", "This is no phone number"),
    ("US", "+1 555 000 0000", "There is no such number"),
    ("RU", "8 800 555 35 35", "cannot take a code"),
    ("US", "+7 916 123-45-67 ext. 5", "This is no phone number"),
    ("XX", "8 916 123-45-67", "This is no phone number"),
]


def test_a_phone_that_cannot_be_used_is_told_with_its_reason(world: World) -> None:
    browser = Browser(world)
    browser.open(invited(world)["path"])
    for country, phone, words in UNUSABLE:
        page = browser.send("/phone", country=country, phone=phone)
        assert (browser.at.status_code, browser.refusal) == (422, "phone_invalid")
        assert words in page.text, phone
        assert page.one("phone")["value"] == phone, "what was typed is there to be corrected"
        assert page.one("phone")["aria-invalid"] == "true"


def test_wrong_codes_are_counted_down_and_then_it_is_over(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    right = world.otp(phone)
    wrong = [code for code in ("111111", "222222", "333333", "444444", "555555", "666666") if code != right][
        :5
    ]
    for left, code in zip((4, 3, 2, 1), wrong, strict=False):
        page = browser.send("/code", otp=code)
        assert (browser.at.status_code, browser.refusal) == (422, "code_incorrect")
        assert f"Attempts left: {left}" in page.text
    page = browser.send("/code", otp=wrong[4])
    assert browser.refusal == "verification_over"
    assert "wrong too often" in page.text
    browser.open(path_of(browser))
    assert browser.at.status_code == 200
    assert not members_of(world)


def test_what_is_no_code_at_all_costs_no_attempt(world: World) -> None:
    browser = at_code(world, world.phone())
    page = browser.send("/code", otp="12a456")
    assert browser.refusal == "code_malformed"
    assert "Attempts left: 5" in page.text


def test_a_code_is_read_as_people_type_it(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    code = world.otp(phone)
    browser.send("/code", otp=f" {code[:3]}-{code[3:]} ")
    assert browser.title == "Welcome to Identity"


def test_a_code_whose_time_is_over_says_so(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    code = world.otp(phone)
    world.clock.advance(11 * MINUTE)
    page = browser.send("/code", otp=code)
    assert browser.refusal == "verification_over"
    assert "time is over" in page.text
    assert not members_of(world)


def test_a_member_s_phone_is_told_only_after_it_is_proved(world: World) -> None:
    taken = world.seed(phone=(phone := world.phone()))
    browser = at_code(world, phone)
    browser.send("/code", otp=world.otp(phone))
    assert (browser.at.status_code, browser.refusal) == (409, "phone_taken")
    assert browser.title == "You are there already"
    assert [one["id"] for one in members_of(world)] == [taken.id]


def test_the_code_is_sent_again_when_its_time_has_come(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    first = world.otp(phone)
    page = browser.send("/again")
    assert (browser.at.status_code, browser.refusal) == (429, "send_cooldown")
    assert int(browser.at.headers["Retry-After"]) <= 30
    assert re.search(r"in \d+ seconds", page.text)
    world.clock.advance(31 * SECOND)
    browser.send("/again")
    assert browser.refusal == ""
    assert len(world.inbox(phone)) == 2
    assert world.otp(phone) == first


def test_the_messages_of_a_day_end_and_the_page_says_when_the_next_may_go(world: World) -> None:
    phone, path = world.phone(), invited(world, max_uses=10)["path"]
    for _ in range(5):
        at_code(world, phone, path=path)
        world.clock.advance(HOUR)
    at_code(world, phone, path=path)  # the trickle
    world.clock.advance(HOUR)
    browser = Browser(world)
    browser.open(path)
    page = browser.send("/phone", phone=phone)
    assert (browser.at.status_code, browser.refusal) == (429, "send_budget_spent")
    assert re.search(r"in \d+ hours", page.text)


def test_starts_from_one_address_are_counted_where_the_address_is_known(
    new_world: Callable[..., World],
) -> None:
    strict = policy_with(starts_an_ip_an_hour="3")
    world = new_world(trusted_proxies="10.0.0.0/8", policy_file=strict)
    unknown = f"/i/{new_code(SystemEntropy(), symbols=LINK_SYMBOLS).canonical}"
    crowd = Browser(world, headers={"X-Forwarded-For": "198.51.100.7"}, environ={"REMOTE_ADDR": "10.0.0.1"})
    crowd.open(unknown)
    for _ in range(3):
        crowd.send("/phone", phone=world.phone())
        assert crowd.refusal == "invite_not_redeemable"
    crowd.send("/phone", phone=world.phone())
    assert (crowd.at.status_code, crowd.refusal) == (429, "ip_budget_spent")
    forger = Browser(world, headers={"X-Forwarded-For": "198.51.100.7"}, environ={"REMOTE_ADDR": "8.8.8.8"})
    forger.open(unknown)
    forger.send("/phone", phone=world.phone())
    assert forger.refusal == "invite_not_redeemable", "what a stranger says of itself counts for nobody"


def test_a_store_that_is_away_is_a_page_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from identity_service.errors import Unavailable

    browser = at_code(world, world.phone())

    def away(*_: object) -> None:
        raise Unavailable("the store is away")

    form = browser.form("/code")
    monkeypatch.setattr(type(world.services.store), "transact", away)
    answer = browser.post(form, otp="123456")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    monkeypatch.setattr(type(world.services.store), "query", away)
    answer = browser.post(form, otp="123456")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "Nothing was lost" in answer.text
