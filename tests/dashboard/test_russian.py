"""A page in Russian says nothing in English, whatever part of the service a sentence comes from."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import graph
from graph.growth.catalog import REPORTS
from graph.growth.report import Report
from graph.said import Said
from identity_service.dashboard.frame import Say
from identity_service.db.store import Tx
from identity_service.demo import seed_demo
from identity_service.ports import DAY
from identity_service.services.dashboard_access import Role
from identity_service.services.guard_decisions import Subject
from identity_service.services.reports import Preparing, Wanted
from identity_service.services.sanctions import Action, Impose
from identity_service.wording import texts
from sms.fate import Happening, words
from sms.providers.base import PLAIN_WORDS
from sms.providers.twilio_errors import TWILIO_ERRORS
from sms.providers.vonage_errors import RECEIPT_ERRORS, SEND_ERRORS
from tests.dashboard.conftest import sign_in
from tests.support.network import plant
from tests.support.world import OPERATOR, World

SILENT = re.compile(r"<(script|style|code|pre)\b.*?</\1>", re.DOTALL)
SPOKEN = re.compile(r'(?:title|aria-label|placeholder|alt)="([^"]*)"')
ENGLISH = re.compile(r"\b[A-Za-z][a-z'’]*(?:[ ,:;]+[A-Za-z][a-z'’]*)+\b")
MEANT = {"Goel"}
"""English words that stand on a Russian page on purpose: a name."""


def english_on(text: str) -> list[str]:
    """Return what stands on a page in two or more English words."""
    text = SILENT.sub(" ", text)
    parts = [*SPOKEN.findall(text), *re.split(r"<[^>]*>", text)]
    found = [one for part in parts for one in ENGLISH.findall(html.unescape(part))]
    return [one for one in found if one not in MEANT]


def every_sentence() -> Iterator[str]:
    """What reports, scores and messages can say of themselves, before numbers are filled in."""
    for definition, _ in REPORTS.values():
        yield from (definition.title, definition.question)
        for metric in definition.metrics:
            yield from (metric.title, metric.formula, metric.denominator, metric.source)
    for source in Path(graph.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Said":
                yield str(ast.literal_eval(node.args[0]))
    yield from (words(one, country) for one in Happening for country in ("RU", "US"))
    yield from PLAIN_WORDS.values()
    for table in (TWILIO_ERRORS, SEND_ERRORS, RECEIPT_ERRORS):
        yield from (meaning.plain for meaning in table.values())


def of_reports(found: Report) -> Iterator[str]:
    yield found.of
    for table in found.tables:
        yield table.title
        limits = {name for column in table.columns for name in (column.low, column.high)}
        yield from (column.title for column in table.columns if column.name not in limits)


@pytest.fixture
def lively(world: World) -> str:
    """A network in which something of everything has happened; a member's id."""
    demo = seed_demo(world.services, OPERATOR)
    now = world.clock.now()
    plant(
        world,
        {number: None if number == 1 else number // 2 for number in range(1, 120)},
        external_id=lambda number: f"user-{number}",
        country=lambda number: ("SE", "BR")[number % 2],
        joined_at=lambda number: now - 200 * DAY + number * DAY,
        state=lambda number: "banned" if number % 9 == 0 else "active",
        last_seen_at=now,
    )
    member = demo.members["demo-dov"]
    warn = Impose(
        member_id=member, action=Action.WARN, reason_code="spam", explanation="Хватит.", expires_at=None
    )
    world.transact(lambda tx: world.services.sanctions.impose(tx, warn))
    about = Subject(unit="country", key="country.BR", name="BR", country="BR")
    world.transact(lambda tx: world.services.guard.decisions.set(tx, about, "block", "так сказали"))
    world.work()
    return member


def test_no_sentence_of_another_package_is_missing_in_russian(world: World, lively: str) -> None:
    def answers(tx: Tx) -> list[str]:
        found = [world.services.reports.answer(tx, name, Wanted()) for name in REPORTS]
        return [one for each in found if not isinstance(each, Preparing) for one in of_reports(each.report)]

    known = texts("identity_service.dashboard", "ru")
    said = {*every_sentence(), *world.query(answers)}
    assert {one for one in said if one not in known} == set()
    for english, russian in known.items():
        assert set(re.findall(r"\{(\w+)", english)) == set(re.findall(r"\{(\w+)", russian)), english
        assert re.search("[а-яё]", russian, re.IGNORECASE) or not re.search("[a-z]{2}", english), english


def test_a_page_of_each_kind_says_nothing_in_english(world: World, lively: str) -> None:
    admin = sign_in(world)
    admin.language = "ru"
    (invite,) = world.query(
        lambda tx: [
            row.subject_id
            for row in world.services.journal.newest_events(tx, types=("invite.issued",), limit=50)
            if world.services.timeline.of_subject(tx, row.subject_id)
        ][:1]
    )
    paths = {
        "": [""],
        "/events": ["/events"],
        "/audit": ["/audit"],
        "/guard": ["/guard"],
        "/members": ["/members", "/members?state=banned"],
        "/members/<ref>": [f"/members/{lively}"],
        "/members/<ref>/<tab>": [
            f"/members/{lively}/{tab}" for tab in ("invitees", "invites", "quota", "sanctions", "history")
        ],
        "/messages/about/<subject_id>": [f"/messages/about/{invite}"],
        "/messages/dead": ["/messages/dead"],
        "/phones": ["/phones?to=%2B12025550199"],
        "/phones/screen": ["/phones/screen?to=%2B12025550199"],
        "/reports": ["/reports"],
        "/reports/<name>": [f"/reports/{name}" for name in REPORTS],
        "/sessions": ["/sessions"],
        "/tree": ["/tree"],
        "/sign-in": ["/sign-in"],
    }
    kinds = {
        rule.rule.removeprefix("/dashboard")
        for rule in world.app.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.") and "GET" in (rule.methods or ())
    }
    not_pages = {"/tree.json", "/reports/<name>/<table>.csv", "/assets/<path:filename>", "/<path:rest>"}
    assert kinds - not_pages == paths.keys(), "a new kind of page is looked at here, too"
    wrong = {}
    for path in (one for of_kind in paths.values() for one in of_kind):
        if found := english_on(admin.get(path).text):
            wrong[path] = found
    assert wrong == {}
    assert english_on(admin.get("/nothing-there", code=404).text) == []


def test_a_refusal_is_told_in_russian(world: World, lively: str) -> None:
    admin = sign_in(world)
    admin.language = "ru"
    for query in (
        "from=soon",
        "cohort=eon",
        "root_id=mem_x",
        "campaign=none",
        "country=xx",
        "from=2020-02-01&to=2020-01-01",
    ):
        page = admin.get(f"/reports/overview?{query}", code=422).text
        assert re.search(r'role="alert">[^<]*[а-яё]', page), query
        assert english_on(page) == [], query
    admin.http.set_cookie("dashboard_language", "ru")
    page = admin.post(f"/members/{lively}/number", {"reason": "x"}, code=422).text
    assert re.search(r'role="alert">[^<]*[а-яё]', page)
    assert english_on(page) == []


def test_a_growth_role_reads_russian_too(world: World, lively: str) -> None:
    growth = sign_in(world, Role.GROWTH)
    growth.language = "ru"
    for path in ("", "/members", "/tree", *(f"/reports/{name}" for name in REPORTS)):
        assert english_on(growth.get(path).text) == [], path
    assert english_on(growth.get("/audit", code=403).text) == []


def test_the_search_for_english_finds_some() -> None:
    assert english_on("<p>Сеть: <b>none: a count</b></p>") == ["none: a count"]
    assert english_on('<i title="Nobody tells when"></i><code>not this one</code>') == ["Nobody tells when"]
    assert english_on("<p>SMS из США, id mem_x</p>") == []


def test_numbers_in_a_sentence_are_written_as_russians_do() -> None:
    said = Said("{n:,} of these invites are still open and may come farther.", n=12345)
    assert "12\xa0345" in Say("ru").told(said)
    assert Say("en").told(said) == said
