"""Real pages in a real browser: the service answers on a port, its worker works, Chromium looks.

One store is enough here, what differs between stores is tested without a browser: SQLite.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from werkzeug.serving import BaseWSGIServer, make_server

from identity_service.services.dashboard_access import Role
from tests.support import browser as chromium
from tests.support.world import World

WIDE = (1280, 900)
NARROW = (360, 740)
_GRAVE = ("serious", "critical")
_PATIENCE = 60_000  # milliseconds: a machine that is busy is not a fault of the page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find_browser()
    if path is None:
        if chromium.is_required():
            pytest.fail("CI needs a browser: install chromium, or name one in TEST_BROWSER")
        pytest.skip("no browser on this machine: install chromium, or name one in TEST_BROWSER")
    with sync_playwright() as driver:
        # Without the sandbox, because containers run as root; without shared memory, which they lack.
        found = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield found
        found.close()


@dataclass
class Site:
    """A service that answers at `url`, while its worker works beside it."""

    world: World
    server: BaseWSGIServer
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def start(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request helps nobody
        for work in (self.server.serve_forever, self._work):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self) -> None:
        while not self._stop.wait(0.1):
            self.world.worker.step()

    def stop(self) -> None:
        self._stop.set()
        self.server.shutdown()
        for thread in self._threads:
            thread.join(30)
        self.world.close()

    def sign_in_link(self, role: Role = Role.ADMIN) -> str:
        link = self.world.transact(lambda tx: self.world.services.dashboard.make_link(tx, role, "olga"))
        return f"{self.url}/dashboard/sign-in#{link.token}"


@pytest.fixture(scope="module")
def new_site(
    browser: Browser, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Start services with settings of the test module's choice; the folder is the module's, too."""
    folder = tmp_path_factory.mktemp("site")
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        target = folder / "var" / f"identity-{len(made)}.sqlite3"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(sqlite_template, target)
        world = World(f"sqlite:///{target}", **settings)
        site = Site(world, make_server("127.0.0.1", 0, world.app, threaded=True))
        made.append(site)
        site.start()
        return site

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield make
        for site in made:
            site.stop()


@pytest.fixture(scope="module")
def site(new_site: Callable[..., Site]) -> Site:
    return new_site()


@dataclass
class Tab:
    """A tab of the browser that notes everything a page complains about."""

    page: Page
    site: Site
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on(
            "response",
            lambda answer: (
                self.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None
            ),
        )

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.site.url}{path}")
        return self.page

    def sign_in(self, role: Role = Role.ADMIN) -> Page:
        self.page.goto(self.site.sign_in_link(role))
        self.page.wait_for_url("**/dashboard")
        return self.page

    def grave_faults(self) -> list[str]:
        """What axe finds that shuts people out: rule, and the elements that break it."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}"
            for one in found
            if one["impact"] in _GRAVE
        ]

    def is_as_wide_as_the_screen(self) -> bool:
        """Whether nothing makes the page itself scroll sideways."""
        wide: bool = self.page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
        return wide


@pytest.fixture
def new_tab(browser: Browser, site: Site) -> Iterator[Callable[..., Tab]]:
    """Open tabs, each in a browser profile of its own; a page that complained fails the test."""
    contexts: list[BrowserContext] = []
    tabs: list[Tab] = []

    def make(size: tuple[int, int] = WIDE, **options: Any) -> Tab:
        width, height = size
        options = {"locale": "en", "reduced_motion": "reduce"} | options
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(_PATIENCE)
        expect.set_options(timeout=_PATIENCE)
        contexts.append(context)
        tabs.append(Tab(context.new_page(), site))
        return tabs[-1]

    yield make
    for context in contexts:
        context.close()
    assert [line for tab in tabs for line in tab.complaints] == []


@pytest.fixture
def tab(new_tab: Callable[..., Tab]) -> Tab:
    return new_tab()
