"""Where an invite's link leads: the same page for every code, no effect until a person sees it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po
from werkzeug.test import TestResponse

import identity_service.pages
from identity_service.codes import LINK_SYMBOLS, new_code
from identity_service.pages import join
from identity_service.ports import DAY, SystemEntropy
from identity_service.wording import LOCALES
from tests.pages.page import Page
from tests.support.logs import caught
from tests.support.world import World

UNKNOWN = "NNN59H3QXJEZWPX7P683B765K3T"
FOLDER = Path(identity_service.pages.__file__).parent


@pytest.fixture
def new_world(new_world: Callable[..., World]) -> Callable[..., World]:
    """Worlds whose network has a registration of its own; the hosted page has tests of its own."""
    return partial(new_world, hosted_join="off")


def visit(world: World, code: str, language: str = "en") -> TestResponse:
    answer = world.app.test_client().get(f"/i/{code}", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer


def opened(world: World, invite_id: str) -> Any:
    return world.api().get(f"/v1/invites/{invite_id}").json["opened_at"]  # type: ignore[index]


def issue(world: World, **fields: Any) -> dict[str, Any]:
    answer = world.api().post("/v1/invites", {"campaign": "spring", "channel": "link", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)  # type: ignore[arg-type]


def path_of(invite: dict[str, Any]) -> str:
    return "/" + str(invite["link"]).split("/", 3)[3]


def test_the_link_of_an_invite_leads_to_the_page_with_its_code(world: World) -> None:
    invite = issue(world)
    answer = world.app.test_client().get(path_of(invite))
    assert answer.status_code == 200
    assert invite["code"] in Page(answer.text).text


def test_looking_at_the_page_has_no_effect(world: World) -> None:
    invite = issue(world)
    http = world.app.test_client()
    for method in ("GET", "HEAD", "OPTIONS"):
        http.open(path_of(invite), method=method)
    assert opened(world, invite["id"]) is None


def test_the_beacon_counts_once_and_tells_it_in_the_event_log(world: World) -> None:
    invite, http = issue(world), world.app.test_client()
    assert http.post(path_of(invite) + "/opened").status_code == 204
    first = opened(world, invite["id"])
    assert first is not None
    world.clock.advance(DAY)
    assert http.post(path_of(invite) + "/opened").status_code == 204
    assert opened(world, invite["id"]) == first
    world.work()
    told = world.api().get("/v1/events?types=invite.opened").json
    assert [event["subject_id"] for event in told["data"]] == [invite["id"]]  # type: ignore[index]


def every_kind_of_code(world: World) -> dict[str, str]:
    """A live, a revoked, an expired, a used-up and an unknown code, as they stand in links."""
    api = world.api()
    revoked, expired, live = issue(world), issue(world, expires_in="1d"), issue(world)
    api.post(f"/v1/invites/{revoked['id']}/revoke", {"reason": "for a test"})
    world.clock.advance(2 * DAY)
    used = issue(world)
    phone = world.phone()
    proof = world.verify(api, phone, "registration", invite_code=used["code"])
    joined = api.post("/v1/registrations", {"invite_code": used["code"], "proof": proof})
    assert joined.status_code == 201
    world.work()
    unknown = new_code(SystemEntropy(), symbols=LINK_SYMBOLS).canonical
    return {
        name: invite["code"].replace("-", "")
        for name, invite in {"live": live, "revoked": revoked, "expired": expired, "used": used}.items()
    } | {"unknown": unknown}


def test_the_page_and_the_beacon_are_the_same_for_live_dead_and_unknown_codes(world: World) -> None:
    codes = every_kind_of_code(world)
    pages, beacons = set(), set()
    for code in codes.values():
        page = visit(world, code)
        shown = page.text.replace(join.read(code, "").shown, "").replace(code, "")
        bare = re.sub(r"<span>[0-9A-Z]+</span>", "<span/>", shown)
        pages.add((page.status_code, bare, headers(page)))
        beacon = world.app.test_client().post(f"/i/{code}/opened")
        beacons.add((beacon.status_code, beacon.data, headers(beacon)))
    assert len(pages) == 1
    assert len(beacons) == 1


def headers(answer: TestResponse) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((name, value) for name, value in answer.headers if name not in ("X-Request-Id", "Date"))
    )


@pytest.mark.parametrize(
    "text", ["x", "7KQ4M", "%00", "%F0%9F%98%80", "a" * 3000, "<script>", "..", UNKNOWN[:-1] + "X"]
)
def test_the_beacon_answers_the_same_for_what_is_no_code(world: World, text: str) -> None:
    answer = world.app.test_client().post(f"/i/{text}/opened")
    assert (answer.status_code, answer.data) == (204, b"")


def test_what_is_no_code_gets_a_page_of_the_same_shape_that_says_nothing_of_a_typing_error(
    world: World,
) -> None:
    shapes = {
        tuple(tag for tag in Page(visit(world, text).text).shape if tag[0] not in ("span", "wbr"))
        for text in (UNKNOWN, "x", "hello-world", "%F0%9F%98%80", "a" * 3000)
    }
    assert len(shapes) == 1
    assert "typing error" not in visit(world, "hello").text


def test_a_typing_error_that_the_check_symbol_shows_is_told(world: World) -> None:
    page = visit(world, UNKNOWN[:-1] + "X")
    assert "typing error" in page.text
    assert "NNN59-H3QXJE-ZWPX7-P683B7-65K3X" in Page(page.text).text
    assert "опечатка" in visit(world, UNKNOWN[:-1] + "X", "ru-RU").text


def test_nobody_writes_a_sentence_of_theirs_into_a_page_of_ours(world: World) -> None:
    text = Page(visit(world, "Send%20money%20to%20+79161234567%20now!%3Cb%3E").text).text
    assert "money" not in text
    assert "+7" not in text


@pytest.mark.parametrize("tail", [".", ",", ")", "!", "».", "%E2%80%9D"])
def test_punctuation_that_a_messenger_took_into_the_link_is_forgiven(world: World, tail: str) -> None:
    invite = issue(world)
    path = path_of(invite) + tail
    assert invite["code"] in Page(world.app.test_client().get(path).text).text
    world.app.test_client().post(f"{path}/opened")
    assert opened(world, invite["id"]) is not None


def test_the_page_leads_on_with_the_code_filled_in(new_world: Callable[..., World]) -> None:
    world = new_world(join_url="https://app.example.org/join?c={code}&from=invite")
    page = Page(visit(world, UNKNOWN).text)
    assert page.one("onward")["href"] == (
        "https://app.example.org/join?c=NNN59-H3QXJE-ZWPX7-P683B7-65K3T&from=invite"
    )
    assert "How to join" not in page.text
    odd = Page(visit(world, "a%22%3E&x=1%23y").text)
    assert odd.one("onward")["href"] == "https://app.example.org/join?c=AX%3D1Y&from=invite"


def test_without_an_address_the_page_says_how_to_join(new_world: Callable[..., World]) -> None:
    page = Page(visit(new_world(brand="Вместе"), UNKNOWN).text)
    assert "You are invited to Вместе" in page.text
    assert "How to join" in page.text
    assert "onward" not in page.ids()


def test_a_brand_is_text_and_never_markup(new_world: Callable[..., World]) -> None:
    answer = visit(new_world(brand="A & <b>B</b>"), UNKNOWN)
    assert "A &amp; &lt;b&gt;B&lt;/b&gt;" in answer.text
    assert not Page(answer.text).all("b")


LANGUAGES = {
    "": "en",
    "en": "en",
    "ru": "ru",
    "ru-RU,ru;q=0.9,en;q=0.8": "ru",
    "de": "en",
    "de,ru;q=0.5": "ru",
    "en;q=0.1,ru;q=0.2": "ru",
    "*": "en",
    "ru;q=0": "en",
    ";;;==,,": "en",
    "x" * 5000: "en",
}


@pytest.mark.parametrize(("accepted", "locale"), LANGUAGES.items())
def test_the_page_speaks_the_readers_language(world: World, accepted: str, locale: str) -> None:
    answer = visit(world, UNKNOWN, accepted)
    assert answer.headers["Content-Language"] == locale
    assert "Accept-Language" in answer.headers["Vary"]
    assert Page(answer.text).all("html") == [{"lang": locale}]


def test_both_catalogues_say_the_same_things_and_the_page_says_nothing_else() -> None:
    catalogues = {}
    for locale in LOCALES:
        with (FOLDER / "locales" / f"{locale}.po").open("rb") as source:
            catalogues[locale] = {str(m.id): str(m.string) for m in read_po(source) if m.id}
    english, russian = catalogues["en"], catalogues["ru"]
    assert english.keys() == russian.keys()
    assert all(english.values())
    assert all(russian.values())
    for key, text in english.items():
        assert ("{brand}" in text) == ("{brand}" in russian[key]), key
    used = set(re.findall(r"say\['([\w.]+)'\]", (FOLDER / "templates/pages/join.html").read_text()))
    assert used == english.keys()


def test_the_page_is_not_indexed_not_kept_and_tells_nobody_where_one_came_from(world: World) -> None:
    answer = visit(world, UNKNOWN)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    robots = [meta["content"] for meta in Page(answer.text).all("meta") if meta.get("name") == "robots"]
    assert robots == ["noindex, nofollow, noarchive"]


def test_no_script_or_style_stands_in_the_page_and_none_comes_from_elsewhere(world: World) -> None:
    answer = visit(world, UNKNOWN)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    page = Page(answer.text)
    assert [set(script) for script in page.all("script")] == [{"defer", "src"}]
    assert not page.all("style")
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
    http = world.app.test_client()
    for tag, name in (("script", "src"), ("link", "href"), ("img", "src")):
        for element in page.all(tag):
            assert element[name].startswith("/assets/")
            assert http.get(element[name]).status_code == 200


def test_the_page_can_be_used_by_those_who_cannot_see_it(world: World) -> None:
    page = Page(visit(world, UNKNOWN).text)
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert page.all("main")
    assert all("alt" in image for image in page.all("img"))
    assert page.one("status")["role"] == "status"
    assert "hidden" in page.one("copy"), "without its script the button would do nothing"


def test_no_code_reaches_logs_or_metrics(world: World) -> None:
    invite = issue(world)
    bare, http = invite["code"].replace("-", ""), world.app.test_client()
    with caught() as logs:
        http.get(f"/i/{bare}")
        http.post(f"/i/{bare}/opened")
        http.get(f"/i/{bare}/elsewhere")
        http.put(f"/i/{bare}")
    everything = logs.getvalue() + http.get("/metrics").text
    assert '"/i/<code>"' in everything
    assert bare not in everything
    assert invite["code"] not in everything


def test_a_store_that_is_away_costs_the_invitee_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identity_service.errors import Unavailable

    def away(*_: object) -> None:
        raise Unavailable("the store is away")

    monkeypatch.setattr(type(world.services.store), "transact", away)
    with caught() as logs:
        assert world.app.test_client().post(f"/i/{UNKNOWN}/opened").status_code == 204
        assert visit(world, UNKNOWN).status_code == 200
    assert "beacon_lost" in logs.getvalue()
    assert isinstance(logs, io.StringIO)
