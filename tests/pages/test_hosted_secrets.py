"""What nobody may see of a newcomer's way."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.pages.browser import (
    RECOVERY_CODE,
    Browser,
    at_code,
    invited,
    path_of,
)
from tests.pages.page import Page
from tests.support.logs import caught
from tests.support.world import World


def test_no_code_phone_or_token_reaches_logs_addresses_or_metrics(world: World) -> None:
    phone, invite = world.phone(), invited(world)
    with caught() as logs:
        browser = at_code(world, phone, path=invite["path"])
        code = world.otp(phone)
        browser.send("/code", otp=code)
        shown = RECOVERY_CODE.findall(browser.page.text)
        browser.send("/kept")
    everything = logs.getvalue() + browser.http.get("/metrics").text
    assert '"/i/<code>/code"' in everything
    bare = invite["code"].replace("-", "")
    for secret in (phone, phone[1:], bare, invite["code"], *shown):
        assert secret not in everything
    assert f'"{code}"' not in everything
    assert code not in path_of(browser)


def test_no_script_or_style_stands_in_any_page_and_none_comes_from_elsewhere(world: World) -> None:
    browser = Browser(world)
    phone = world.phone()
    answers = [browser.ask("/"), browser.ask(invited(world)["path"])]
    at_code(world, phone, browser)
    answers.append(browser.at)
    browser.send("/code", otp=world.otp(phone))
    answers.append(browser.at)
    browser.send("/kept")
    answers.append(browser.at)
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert "noindex" in answer.headers["X-Robots-Tag"]
        page = Page(answer.text)
        assert [set(script) for script in page.all("script")] == [{"defer", "src"}]
        assert not page.all("style")
        for _, attributes in page.elements:
            assert not {name for name in attributes if name.startswith("on") or name == "style"}
        for tag, name in (("script", "src"), ("link", "href"), ("img", "src")):
            for element in page.all(tag):
                assert element[name].startswith("/assets/")
                assert browser.ask(element[name]).status_code == 200


def test_a_brand_is_text_on_every_page(new_world: Callable[..., World]) -> None:
    world = new_world(brand="A & <b>B</b>")
    browser = Browser(world)
    page = browser.open(invited(world, note="<script>alert(1)</script>")["path"])
    assert not page.all("b")
    assert "A &amp; &lt;b&gt;B&lt;/b&gt;" in browser.at.text
    assert "alert" not in browser.at.text


def test_the_page_speaks_russian_and_so_does_the_message(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone, Browser(world, language="ru-RU,ru;q=0.9"))
    assert browser.page.all("html") == [{"lang": "ru", "dir": "ltr"}]
    assert "Осталось попыток: 5" in browser.page.text
    assert re.search("[а-я]", world.inbox(phone)[0]["body"])
    page = browser.send("/again")
    assert re.search(r"через \d+ секунд", page.text)


def test_where_the_page_is_not_hosted_its_addresses_are_not_there(new_world: Callable[..., World]) -> None:
    world = new_world(hosted_join="off")
    path = invited(world)["path"]
    for method, end in (("GET", "/"), ("POST", "/i"), ("POST", f"{path}/phone"), ("GET", f"{path}/welcome")):
        assert Browser(world).ask(end, method).status_code == 404
    assert "/phone" not in Browser(world).ask(path).text
