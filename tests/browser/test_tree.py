"""The tree explorer in a real browser: 5,000 members are painted soon, and walked by mouse and keyboard."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.browser.conftest import NARROW, Site, Tab
from tests.support.network import plant

MANY = 5_000
# Generous, for slow machines: what is measured against is a page of the same site in the same run.
_SECONDS = 3.0
_TIMES_A_PLAIN_PAGE = 30.0


@pytest.fixture(scope="module")
def network(site: Site) -> str:
    """A network of 5,000 members under one root; the root's id."""
    chance = random.Random(5)
    parents = {0: None} | {number: chance.randrange(number) for number in range(1, MANY)}
    countries = ("RU", "SE", "US", "BR", "DE", "IN", "KE", "FR")
    ids = plant(
        site.world,
        parents,
        external_id=lambda number: f"user-{number}",
        state=lambda number: "active" if number % 17 else "banned",
        country=lambda number: countries[number % len(countries)],
        trust_log_odds=lambda number: number % 9 - 4.0,
    )
    return ids[0]


def painted(tab: Tab) -> int:
    """Milliseconds from the navigation to the first picture."""
    canvas = tab.page.locator("#tree[data-painted]")
    canvas.wait_for()
    return int(canvas.get_attribute("data-painted") or 0)


def test_5000_members_are_painted_soon(tab: Tab, network: str) -> None:
    tab.sign_in()
    tab.open("/dashboard/sessions")
    plain: float = tab.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    tab.open(f"/dashboard/tree?root={network}")
    taken = painted(tab)
    assert tab.page.locator("#tree-status").inner_text() == "Members shown: 5,000"
    # Three seconds on a machine that does nothing else; on a slow one as many times a plain page.
    assert taken < max(_SECONDS * 1000, _TIMES_A_PLAIN_PAGE * plain), f"{taken} ms, plain {plain:.0f} ms"
    frames: float = tab.page.evaluate(
        """async () => {
          const canvas = document.getElementById("tree");
          const began = performance.now();
          for (let n = 0; n < 20; n += 1) {
            const turn = { deltaY: n % 2 ? 40 : -40, clientX: 500, clientY: 400 };
            canvas.dispatchEvent(new WheelEvent("wheel", turn));
            await new Promise(requestAnimationFrame);
          }
          return (performance.now() - began) / 20;
        }"""
    )
    assert frames < max(100.0, plain), f"{frames:.0f} ms a frame"
    assert tab.grave_faults() == []


def test_the_tree_is_walked_by_keyboard_and_searched(tab: Tab, network: str) -> None:
    tab.sign_in()
    page = tab.open(f"/dashboard/tree?root={network}")
    painted(tab)
    page.locator("#tree").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#chosen-link").inner_text() == "user-0"
    page.keyboard.press("ArrowDown")
    first = page.locator("#chosen-link").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#chosen-link").inner_text() != first
    page.keyboard.press("ArrowUp")
    below = page.locator("#chosen-below").inner_text()
    assert below == "4,999"
    page.keyboard.press("Space")
    assert page.locator("#fold").inner_text() == "Unfold"
    page.locator("#search").fill("user-4321")
    assert "Found 1" in page.locator("#tree-status").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#chosen-link").inner_text() == "user-4321"
    assert page.locator("#fold").is_hidden() or page.locator("#fold").inner_text() == "Fold"
    for colour in ("score", "country", "generation"):
        page.locator("#colour").select_option(colour)
        assert page.locator("#legend li").count() >= 3
    page.locator("#layout").select_option("across")
    page.locator("#chosen-link").click()
    page.wait_for_url("**/dashboard/members/mem_*")


def test_the_tree_fits_a_phone(new_tab: Callable[..., Tab], network: str) -> None:
    tab = new_tab(NARROW, locale="ru")
    tab.sign_in()
    tab.open(f"/dashboard/tree?root={network}")
    painted(tab)
    assert tab.is_as_wide_as_the_screen()
    assert tab.grave_faults() == []
