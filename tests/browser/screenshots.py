"""Pictures of the pages for the documentation: `python -m tests.browser.screenshots docs/screenshots`.

They show made-up networks, at a desk's and a phone's width, light and dark.  Whoever makes
them looks at them before they are kept.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import create_engine
from werkzeug.serving import make_server

from identity_service.db import migrate
from identity_service.db.store import prepare_engine
from identity_service.demo import seed_demo
from identity_service.ports import DAY
from identity_service.services.demo_rows import generate
from tests.browser.conftest import NARROW, WIDE, Site
from tests.support.browser import find_browser
from tests.support.network import plant
from tests.support.world import OPERATOR, World


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture.  `prepare` brings the page into the state that is shown."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    scheme: str = "light"
    prepare: Callable[[Page], None] | None = None


def _play(page: Page) -> None:
    page.get_by_role("button", name="Open an invite link").click()
    page.get_by_role("button", name="Use ").first.wait_for()


def _painted(page: Page) -> None:
    page.locator("#tree[data-painted]").wait_for()


def _colour(page: Page) -> None:
    _painted(page)
    page.locator("#colour").select_option("country")
    page.locator("#search").fill("user-231")
    page.locator("#search").press("Enter")
    page.locator("#zoom-fit").click()


def _network(site: Site) -> str:
    """Make 300 members in a tree with a few who invited many; return its root."""
    chance, now = random.Random(3), site.world.clock.now()
    parents: dict[int, int | None] = {1: None}
    for number in range(2, 300):
        parents[number] = 1 + int((number - 2) * chance.random() ** 1.9)
    countries = ("SE", "US", "BR", "DE", "IN", "KE", "FR")

    def country(number: int) -> str:
        parent = parents[number]
        return countries[0] if parent is None or chance.random() < 0.1 else where[parent]

    where: dict[int, str] = {}
    for number in parents:
        where[number] = chance.choice(countries) if number < 12 else country(number)
    ids = plant(
        site.world,
        parents,
        external_id=lambda number: f"user-{number}",
        state=lambda number: "banned" if chance.random() < 0.03 else "active",
        country=lambda number: where[number],
        trust_log_odds=lambda number: chance.gauss(1, 1.5),
        joined_at=lambda number: now - 90 * DAY + number * DAY // 8,
        last_seen_at=lambda number: now - chance.randrange(40) * DAY,
    )
    return ids[1]


def _large(site: Site) -> None:
    """Fill the store with a network in which everything happens: what the reports are shown with."""
    services = site.world.services
    midnight = site.world.clock.now() // DAY * DAY
    generate(services.store, OPERATOR, count=3_000, seed=4, until=midnight, level="new", told=lambda *_: None)


def shots(site: Site) -> list[Shot]:
    _large(site)
    demo = seed_demo(site.world.services, OPERATOR)
    dov = demo.members["demo-dov"]
    root = _network(site)
    return [
        Shot(name="overview", path="/dashboard"),
        Shot(name="member", path=f"/dashboard/members/{dov}", scheme="dark"),
        Shot(name="tree", path=f"/dashboard/tree?root={root}", size=(1280, 760), prepare=_colour),
        Shot(
            name="tree-phone",
            path=f"/dashboard/tree?root={root}",
            size=NARROW,
            scheme="dark",
            prepare=_painted,
        ),
        Shot(name="report", path="/dashboard/reports/k-factor?cohort=month"),
        Shot(name="overview-phone", path="/dashboard", size=NARROW),
        Shot(name="phones", path="/dashboard/phones?to=%2B12025550143", prepare=_play),
    ]


def take(folder: Path, only: set[str]) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        database = Path("var/identity.sqlite3").resolve()
        database.parent.mkdir()
        engine = create_engine(f"sqlite:///{database}")
        prepare_engine(engine)
        migrate.upgrade(engine)
        world = World(f"sqlite:///{database}")
        site = Site(world, make_server("127.0.0.1", 0, world.app, threaded=True))
        site.start()
        for shot in shots(site):
            if only and shot.name not in only:
                continue
            width, height = shot.size
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if shot.scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(site.sign_in_link())
            page.wait_for_url("**/dashboard")
            page.goto(f"{site.url}{shot.path}")
            if shot.prepare is not None:
                shot.prepare(page)
            page.screenshot(path=folder / f"{shot.name}.png")
            context.close()
        browser.close()
        site.stop()


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        take(target, set(sys.argv[2:]))
