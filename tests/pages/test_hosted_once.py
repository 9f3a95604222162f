"""Each step of the hosted page is done once, however often its form comes."""

from __future__ import annotations

from sms.numbers import mask, parse
from tests.pages.browser import (
    RECOVERY_CODE,
    Browser,
    at_code,
    invited,
    invited_by_sms,
    members_of,
    path_of,
)
from tests.pages.page import Page
from tests.support.world import World


def test_a_phone_that_is_sent_twice_gets_one_message(world: World) -> None:
    browser, phone = Browser(world), world.phone()
    browser.open(invited(world)["path"])
    form = browser.form("/phone")
    answers = [browser.post(form, phone=phone) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert len(world.inbox(phone)) == 1


def test_a_wrong_code_that_is_sent_twice_is_counted_once(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    wrong = "000000" if world.otp(phone) != "000000" else "000001"
    form = browser.form("/code")
    browser.post(form, otp=wrong)
    page = Page(browser.post(form, otp=wrong).text)
    assert "Attempts left: 4" in page.text


def test_a_right_code_that_is_sent_twice_makes_one_member_and_shows_the_same_codes(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    form, code = browser.form("/code"), world.otp(phone)
    shown = []
    for _ in range(2):
        answer = browser.post(form, otp=code)
        assert answer.status_code == 303
        shown.append(RECOVERY_CODE.findall(browser.ask(answer.headers["Location"]).text))
    assert shown[0] == shown[1]
    assert len(shown[0]) == 8
    assert len(members_of(world)) == 1


def test_an_answer_that_never_came_is_there_after_a_reload(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    lost = browser.twin()
    browser.send("/code", otp=world.otp(phone))
    lost.open(path_of(browser).replace("welcome", "code"))
    assert RECOVERY_CODE.findall(lost.page.text) == RECOVERY_CODE.findall(browser.page.text)


def test_an_invite_by_sms_that_is_sent_twice_is_one_member(world: World) -> None:
    phone, browser = world.phone(), Browser(world)
    path = invited_by_sms(world, phone)
    for _ in range(2):  # the second time from a page that was loaded anew
        browser.open(path)
        browser.send("/phone", phone=phone)
        assert browser.title == "Welcome to Identity"
    assert len(members_of(world)) == 1


def test_two_invites_in_two_tabs_do_not_meet(world: World) -> None:
    browser, phones = Browser(world), (world.phone(), world.phone())
    paths = [invited(world)["path"] for _ in phones]
    for path, phone in zip(paths, phones, strict=True):
        at_code(world, phone, browser, path)
    for path, phone in zip(paths, phones, strict=True):
        page = browser.open(f"{path}/code")
        assert mask(parse(phone).e164) in page.text
        browser.send("/code", otp=world.otp(phone))
        assert browser.title == "Welcome to Identity"
    assert len(members_of(world)) == 2


def test_two_tabs_of_one_invite_end_in_one_member(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    first = browser.form("/code")
    browser.open(path_of(browser))
    second = browser.form("/code")
    code = world.otp(phone)
    assert browser.post(first, otp=code).status_code == 303
    for typed in (code, "000000"):
        answer = browser.post(second, otp=typed)
        assert answer.status_code == 303
        assert answer.headers["Location"].endswith("/welcome")
    assert len(members_of(world)) == 1


def test_two_people_at_one_browser_join_by_one_link(world: World) -> None:
    browser, path = Browser(world), invited(world, max_uses=2)["path"]
    seen = []
    for phone in (world.phone(), world.phone()):
        at_code(world, phone, browser, path)
        page = browser.send("/code", otp=world.otp(phone))
        seen.append(tuple(RECOVERY_CODE.findall(page.text)))
    assert len(members_of(world)) == 2
    assert seen[0] != seen[1]


def test_going_back_and_changing_the_number_is_a_new_start(world: World) -> None:
    mistyped, phone = world.phone(), world.phone()
    invite = invited(world, max_uses=2)
    browser = at_code(world, mistyped, path=invite["path"])
    page = browser.open(invite["path"])
    assert mask(parse(mistyped).e164) in page.text, "the code that is under way is not forgotten"
    browser.send("/phone", phone=phone)
    browser.send("/code", otp=world.otp(phone))
    assert browser.title == "Welcome to Identity"
    assert "You have joined" in browser.open(invite["path"]).text
