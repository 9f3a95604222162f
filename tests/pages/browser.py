"""A browser without scripts: follows redirects, keeps cookies, sends the forms that it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.pages.page import Page
from tests.support.world import World

RECOVERY_CODE = re.compile(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b")


@dataclass
class Browser:
    """One person's browser; `at` is the page that is shown."""

    world: World
    language: str = "en"
    headers: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    http: FlaskClient = field(init=False)
    at: TestResponse = field(init=False)

    def __post_init__(self) -> None:
        self.http = self.world.app.test_client()

    def ask(self, path: str, method: str = "GET", data: dict[str, str] | None = None) -> TestResponse:
        """Send one request, without following where it leads."""
        return self.http.open(
            path,
            method=method,
            data=data,
            headers={"Accept-Language": self.language} | self.headers,
            environ_overrides=self.environ,
        )

    def open(self, path: str) -> Page:
        self.at = self.ask(path)
        return self._follow()

    def send(self, button: str, **fields: str) -> Page:
        """Fill the form that leads to `…/button` and send it."""
        self.at = self.post(self.form(button), **fields)
        return self._follow()

    def form(self, button: str) -> tuple[str, dict[str, str]]:
        """Return the address and the hidden fields of a form on the page that is shown."""
        return form_of(self.page, button)

    def post(self, form: tuple[str, dict[str, str]], **fields: str) -> TestResponse:
        path, hidden = form
        return self.ask(path, "POST", hidden | fields)

    def _follow(self) -> Page:
        for _ in range(4):
            if self.at.status_code != 303:
                break
            self.at = self.ask(self.at.headers["Location"])
        assert self.at.status_code < 500, self.at.text
        return self.page

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in (self.http._cookies or {}).values()}

    def twin(self) -> Browser:
        """The same person's other tab, or thread: a test client is not for two."""
        made = Browser(self.world, self.language, self.headers, self.environ)
        for name, value in self.cookies.items():
            made.http.set_cookie(name, value)
        return made

    @property
    def page(self) -> Page:
        return Page(self.at.text)

    @property
    def refusal(self) -> str:
        """The code of what the page refuses, or nothing."""
        found = [a["data-code"] for _, a in self.page.elements if a.get("id") == "refusal"]
        return found[0] if found else ""

    @property
    def title(self) -> str:
        return " ".join(self.at.text.partition("<h1>")[2].partition("</h1>")[0].split())


def form_of(page: Page, button: str) -> tuple[str, dict[str, str]]:
    inside: tuple[str, dict[str, str]] | None = None
    for tag, attributes in page.elements:
        if tag == "form":
            action = attributes["action"]
            inside = (action, {}) if action.endswith(button) else None
        elif tag == "input" and inside is not None and attributes.get("type") == "hidden":
            inside[1][attributes["name"]] = attributes["value"]
        elif tag == "button" and inside is not None:
            return inside
    raise AssertionError(f"no form leads to {button}")


def invited(world: World, **fields: Any) -> dict[str, Any]:
    """Make an invite by a link; `path` is where its link leads."""
    answer = world.api().post("/v1/invites", {"campaign": "spring", "channel": "link", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = dict(answer.json)  # type: ignore[arg-type]
    if made.get("link"):
        made["path"] = "/" + made["link"].split("/", 3)[3]
    return made


def invited_by_sms(world: World, phone: str) -> str:
    """Send an invite by SMS; return where its code leads."""
    invited(world, channel="sms", phone=phone)
    return "/i/" + world.invite_code(phone)


def members_of(world: World) -> list[dict[str, Any]]:
    listed: Any = world.api().get("/v1/members").json
    return list(listed["data"])


def at_code(world: World, phone: str, browser: Browser | None = None, path: str = "") -> Browser:
    """Bring a browser to where the one-time code is asked for."""
    browser = browser or Browser(world)
    browser.open(path or invited(world)["path"])
    browser.send("/phone", phone=phone)
    assert browser.title in ("Enter the code", "Введите код"), browser.at.text
    return browser


def joined(world: World, phone: str) -> Browser:
    browser = at_code(world, phone)
    browser.send("/code", otp=world.otp(phone))
    assert browser.title == "Welcome to Identity", browser.at.text
    return browser


def path_of(browser: Browser) -> str:
    return str(browser.at.request.path)
