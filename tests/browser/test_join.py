"""A newcomer's way in a real browser: the link, a proof of work, the phone, the code, the recovery codes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, WIDE, Site, Tab
from tests.pages.browser import invited, members_of
from tests.support.world import World

_OTP = re.compile(r"(?<!\d)\d{6}(?!\d)")
_PATIENCE = 30.0


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    return new_site(pow="public", joined_url="https://app.example.org/start", joined_handover="post")


def received(world: World, phone: str) -> list[dict[str, str]]:
    provider: Any = world.services.providers["inbox"]
    return list(provider.messages(to=phone))


def code_on(world: World, phone: str) -> str:
    """Wait for the code that the worker beside us hands over."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        for message in received(world, phone)[:1]:
            if found := _OTP.search(message["body"]):
                return found[0]
        time.sleep(0.1)
    raise AssertionError("no code came")


def checked(tab: Tab) -> Page:
    assert tab.grave_faults() == []
    assert tab.is_as_wide_as_the_screen()
    return tab.page


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(NARROW, "dark", "ru"), (WIDE, "light", "en")],
    ids=["a phone, dark, Russian", "a desk, light, English"],
)
def test_a_newcomer_joins_and_everybody_could(
    site: Site, new_tab: Callable[..., Tab], size: tuple[int, int], scheme: str, language: str
) -> None:
    world = site.world
    tab, invite, phone = new_tab(size, color_scheme=scheme, locale=language), invited(world), world.phone()
    page = tab.open("/")
    checked(tab)
    page.fill("#code", invite["code"].lower())
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{invite['path']}")
    checked(tab)
    page.select_option("#country", "DE")
    assert page.inner_text("#example-number").startswith("+49")
    page.select_option("#country", "RU")
    page.fill("#phone", f"8 ({phone[2:5]}) {phone[5:]}")
    page.keyboard.press("Enter")  # it waits for the proof of work, and goes by itself
    page.wait_for_url("**/code")
    checked(tab)
    assert page.is_disabled("#again")
    assert re.search(r"\d", page.inner_text("#again"))
    assert page.evaluate("document.activeElement.id") == "otp"
    page.fill("#otp", code_on(world, phone))
    page.keyboard.press("Enter")
    page.wait_for_url("**/welcome")
    checked(tab)
    codes = page.locator("#codes li").all_inner_texts()
    assert len(codes) == 8
    with page.expect_download() as download:
        page.click("a[download]")
    assert all(code in download.value.path().read_text() for code in codes)
    page.click("button.main")
    page.wait_for_selector("form[action='https://app.example.org/start']")
    checked(tab)
    assert codes[0] not in page.content()
    assert invite["id"] in {member["invite_id"] for member in members_of(world)}
    opened = world.api().get(f"/v1/invites/{invite['id']}").json
    assert opened is not None
    assert opened["opened_at"] is not None, "the page's beacon told that a person saw it"


def test_a_form_that_is_clicked_twice_goes_once(site: Site, tab: Tab) -> None:
    world, phone = site.world, site.world.phone()
    page = tab.open(invited(world)["path"])
    page.fill("#phone", phone)
    expect(page.locator("[name=altcha]")).not_to_have_value("")  # the work is done
    page.dblclick("button.main")
    page.wait_for_url("**/code")
    code = code_on(world, phone)
    assert len(received(world, phone)) == 1
    page.fill("#otp", code)
    page.dblclick("button.main")
    page.wait_for_url("**/welcome")


def test_the_receiver_is_posted_the_assertion_and_told_who_posts_it(site: Site, tab: Tab) -> None:
    world, phone, posted = site.world, site.world.phone(), []

    def receive(route: Any) -> None:
        posted.append(route.request)
        route.fulfill(status=200, content_type="text/plain", body="welcome")

    page = tab.open(invited(world)["path"])
    page.route("https://app.example.org/**", receive)
    page.fill("#phone", phone)
    page.click("button.main")
    page.wait_for_url("**/code")
    page.fill("#otp", code_on(world, phone))
    page.click("button.main")
    page.wait_for_url("**/welcome")
    page.click("button.main")
    page.click("form[action='https://app.example.org/start'] button")
    page.wait_for_url("https://app.example.org/start")
    (request,) = posted
    headers = request.all_headers()
    assert request.method == "POST"
    assert headers["origin"] == site.url
    assert "/i/" not in headers.get("referer", "")
    assert "assertion=ey" in (request.post_data or "")
    assert "device_token=dev_" in (request.post_data or "")


def test_without_a_script_the_page_says_what_it_needs(site: Site, new_tab: Callable[..., Tab]) -> None:
    tab = new_tab(NARROW, java_script_enabled=False)
    page = tab.open(invited(site.world)["path"])
    assert "JavaScript" in page.inner_text("noscript")
