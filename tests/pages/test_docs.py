"""The docs page says all that the description says, works by itself, and its commands work as they stand."""

from __future__ import annotations

import shlex

import pytest

from identity_service.api.openapi import document
from identity_service.api.operation import OPERATIONS
from identity_service.api.problems import KINDS
from identity_service.pages import docs
from tests.pages.page import Page
from tests.support.world import World


@pytest.fixture
def page(world: World) -> Page:
    answer = world.app.test_client().get("/docs")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    return Page(answer.text)


def calls() -> list[docs.Call]:
    return [call for section in docs.view("http://localhost")["sections"] for call in section.calls]


def test_every_operation_stands_on_the_page_once(page: Page) -> None:
    described = [op["operationId"] for item in document()["paths"].values() for op in item.values()]
    shown = [anchor.removeprefix("op-") for anchor in page.ids() if anchor.startswith("op-")]
    assert sorted(shown) == sorted(described)
    assert set(OPERATIONS) <= set(shown)


@pytest.mark.parametrize("code", KINDS)
def test_the_type_of_every_problem_leads_to_its_row(code: str) -> None:
    rows = {row.code: row for row in docs.view("")["codes"]}
    assert rows[code].status == KINDS[code].status
    assert KINDS[code].title == rows[code].title
    assert rows[code].meaning


def test_every_code_has_its_anchor_and_its_meaning_in_words(page: Page) -> None:
    for code, kind in KINDS.items():
        assert code in page.ids()
        assert kind.meaning.replace("`", "") in page.text


def test_every_link_inside_the_page_leads_somewhere(page: Page) -> None:
    anchors = page.ids()
    assert len(anchors) == len(set(anchors))
    inside = {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")}
    assert inside <= set(anchors)
    outside = {link["href"] for link in page.all("a") if not link["href"].startswith("#")}
    assert outside == {"/openapi.yaml"}


def test_the_page_needs_no_script_and_nothing_from_elsewhere(world: World, page: Page) -> None:
    http = world.app.test_client()
    policy = http.get("/docs").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not page.all("script")
    assert not page.all("style")
    for tag, name in (("link", "href"), ("img", "src")):
        for element in page.all(tag):
            assert element[name].startswith("/assets/")
            assert http.get(element[name]).status_code == 200


def test_the_page_is_sent_again_only_when_it_changed(world: World) -> None:
    http = world.app.test_client()
    first = http.get("/docs")
    again = http.get("/docs", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "no-store" not in first.headers["Cache-Control"]


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.name)
def test_every_curl_is_understood_by_the_api_as_it_stands(world: World, call: docs.Call) -> None:
    method, path, headers, body = taken_apart(call.curl.replace("$IDENTITY_KEY", world.api().key))
    assert method == call.method
    answer = world.app.test_client().open(path, method=method, headers=headers, data=body)
    documented = {one.status for one in (*call.answers, *call.refusals)}
    assert str(answer.status_code) in documented
    assert answer.status_code not in (400, 401, 403, 405, 413, 415) or "callbacks" in path
    if answer.status_code == 422:
        assert answer.json["code"] != "validation_failed" or call.name == "issue_invite"  # type: ignore[index]


def taken_apart(command: str) -> tuple[str, str, dict[str, str], str | None]:
    """Return the method, path, headers and body of a curl command, as a shell would read it."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, url, headers, body = "GET", "", {}, None
    while words:
        match words.pop(0):
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0) if body is None else f"{body}&{words.pop(0)}"
            case other:
                url = other
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    return method, url.removeprefix("http://localhost"), headers, body


def test_what_the_description_says_is_text_and_never_markup() -> None:
    assert docs.inline("a <b> `c <d>` & e") == "a &lt;b&gt; <code>c &lt;d&gt;</code> &amp; e"
    assert docs.prose("one\n\ntwo") == "<p>one</p><p>two</p>"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, "integer (1 to 200, default 50)"),
        ({"type": "string", "maxLength": 40}, "string (up to 40 characters)"),
        ({"enum": ["a", "b"]}, "&#34;a&#34; | &#34;b&#34;"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        (
            {"type": "array", "items": {"$ref": "#/components/schemas/Invite"}},
            'array of <a href="#shape-Invite">Invite</a>',
        ),
    ],
)
def test_types_are_told_in_words(schema: dict[str, object], words: str) -> None:
    assert docs.type_of(schema) == words
