"""Every page in a real browser: no complaint on the console, nobody shut out, nothing wider than a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from identity_service.services.dashboard_access import Role
from tests.browser.conftest import NARROW, WIDE, Site, Tab

NASTY = "<script>document.title='taken'</script>=cmd()"
PLACES = (
    "",
    "/reports",
    "/reports/k-factor",
    "/reports/cohorts",
    "/reports/geography",
    "/reports/leaderboard",
    "/tree",
    "/members",
    "/events",
    "/audit",
    "/messages/dead",
    "/phones",
    "/guard",
    "/sessions",
    "/no-such-page",
)
TABS = ("", "/invitees", "/invites", "/quota", "/sanctions", "/history")


@pytest.fixture(scope="module")
def child(site: Site) -> str:
    """A member with an inviter and a name that is up to no good."""
    world = site.world
    seed = world.seed(quota=3)
    joined = world.join(world.api(), seed.id, external_id=NASTY)
    return str(joined["member"]["id"])


def look_at(tab: Tab, path: str) -> list[str]:
    """Open a page, at a desk and then as on a phone; return what is wrong with it."""
    page = tab.open(f"/dashboard{path}")
    wrong = []
    for width, height in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if width == WIDE[0] else "light")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        wrong += [f"{path}, {width}: {fault}" for fault in tab.grave_faults()]
        if not tab.is_as_wide_as_the_screen():
            wrong.append(f"{path}, {width}: wider than the screen")
    if page.title() == "taken":
        wrong.append(f"{path}: a name was run as a script")
    return wrong


def test_every_page_is_usable(new_tab: Callable[..., Tab], child: str) -> None:
    """In Russian, whose words are the longer ones."""
    tab = new_tab(locale="ru")
    tab.sign_in()
    paths = [*PLACES, *(f"/members/{child}{one}" for one in TABS)]
    wrong = [fault for path in paths for fault in look_at(tab, path)]
    assert wrong == []
    tab.complaints = [line for line in tab.complaints if "404" not in line]  # the page that is not there


def test_the_door_is_usable_and_a_used_link_is_told(tab: Tab, site: Site) -> None:
    link = site.sign_in_link()
    page = tab.page
    page.goto(link)
    page.wait_for_url("**/dashboard")
    assert "#" not in page.url
    page.context.clear_cookies()
    page.goto(link)
    page.get_by_role("alert").wait_for()
    assert tab.grave_faults() == []
    tab.complaints = [line for line in tab.complaints if "403" not in line]


def test_everything_is_reached_by_keyboard(tab: Tab, child: str) -> None:
    page = tab.sign_in(Role.GROWTH)
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    assert skip.evaluate("node => node === document.activeElement")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(f"{tab.site.url}/dashboard/reports/k-factor")
    page.locator("th .hint").first.focus()
    page.keyboard.press("Enter")
    assert "members of the cohort" in page.locator(".hint-text:popover-open").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".hint-text:popover-open").count() == 0
    page.goto(f"{tab.site.url}/dashboard/members")
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        here = page.evaluate_handle("document.activeElement").as_element()
        assert here is not None
        reached.add(here.get_attribute("href") or here.evaluate("node => node.tagName"))
    assert {"/dashboard/members", "BUTTON"} <= reached
    assert any(str(one).startswith("/dashboard/members/") for one in reached)
