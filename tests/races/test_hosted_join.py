"""The hosted page's forms, sent many times at once by one browser, and by many."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from werkzeug.test import TestResponse

from tests.pages.browser import Browser, invited, members_of
from tests.races.contenders import race
from tests.support.world import World

pytestmark = pytest.mark.race
_MANY = 8


def send_at_once(browser: Browser, button: str, **fields: str) -> list[TestResponse]:
    form = browser.form(button)
    return race([partial(browser.twin().post, form, **fields) for _ in range(_MANY)])


def test_a_phone_that_is_sent_many_times_at_once_gets_one_message(world: World) -> None:
    browser, phone = Browser(world), world.phone()
    browser.open(invited(world)["path"])
    answers = send_at_once(browser, "/phone", phone=phone)
    assert {answer.status_code for answer in answers} == {303}
    assert len(world.inbox(phone)) == 1


def test_a_code_that_is_sent_many_times_at_once_makes_one_member(world: World) -> None:
    browser, phone = Browser(world), world.phone()
    browser.open(invited(world)["path"])
    browser.send("/phone", phone=phone)
    answers = send_at_once(browser, "/code", otp=world.otp(phone))
    assert {answer.headers.get("Location", "").rpartition("/")[2] for answer in answers} == {"welcome"}
    assert len(members_of(world)) == 1


def test_of_many_browsers_with_one_single_use_invite_one_phone_is_let_in(world: World) -> None:
    path = invited(world)["path"]
    browsers = [Browser(world) for _ in range(_MANY)]
    calls = []
    for browser in browsers:
        browser.open(path)
        calls.append(partial(browser.post, browser.form("/phone"), phone=world.phone()))
    assert Counter(answer.status_code for answer in race(calls)) == {303: 1, 422: _MANY - 1}
