"""A whole registration, played on the phone simulator in a real browser."""

from __future__ import annotations

from tests.browser.conftest import Tab


def test_an_invite_by_sms_is_redeemed_with_one_click(tab: Tab) -> None:
    tab.sign_in()
    page = tab.open("/dashboard/phones?to=%2B12025550111")
    page.get_by_role("button", name="Invite by SMS").click()
    page.get_by_role("button", name="Redeem the invite").first.click()
    page.get_by_text("A member was made.").wait_for()
    page.locator("#play a.member").click()
    page.wait_for_url("**/dashboard/members/mem_*")
    assert "active" in page.locator("h1").inner_text()


def test_a_link_is_opened_and_its_code_comes_to_the_phone(tab: Tab) -> None:
    tab.sign_in()
    page = tab.open("/dashboard/phones?to=%2B12025550112")
    page.get_by_role("button", name="Open an invite link").click()
    bubble = page.locator(".bubble").first
    bubble.get_by_role("button").wait_for()
    assert "segments: 1" in bubble.inner_text()
    bubble.get_by_role("button").click()
    page.get_by_text("A member was made.").wait_for()
