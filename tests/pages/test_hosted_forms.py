"""Who may send the hosted page's forms, and what a start costs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

from altcha import Challenge, Payload, solve_challenge

from identity_service.codes import LINK_SYMBOLS, new_code
from identity_service.pages.hosted.visit import LIFE
from identity_service.ports import SECOND, SystemEntropy
from tests.pages.browser import (
    RECOVERY_CODE,
    Browser,
    at_code,
    invited,
    joined,
    path_of,
)
from tests.pages.page import Page
from tests.service.steps import policy_with
from tests.support.world import World

# -- who may send a form ---------------------------------------------------------------------------------


def test_a_form_without_the_visit_s_token_does_nothing(world: World) -> None:
    victim, attacker = Browser(world), Browser(world)
    path, phone = invited(world)["path"], world.phone()
    victim.open(path)
    attacker.open(path)
    stolen = attacker.form("/phone")[1]["token"]
    own = victim.form("/phone")[1]["token"]
    changed = own[:-5] + ("A" if own[-5] != "A" else "B") + own[-4:]  # a last letter may hold no bits at all
    for token in ("", "x", stolen, changed):
        victim.at = victim.ask(f"{path}/phone", "POST", {"token": token, "phone": phone})
        assert (victim.at.status_code, victim.refusal) == (422, "page_over")
    victim.headers["Sec-Fetch-Site"] = "cross-site"
    victim.at = victim.ask(f"{path}/phone", "POST", {"token": own, "phone": phone})
    assert victim.refusal == "page_over"
    assert not world.inbox(phone)


def test_a_changed_or_foreign_cookie_is_no_cookie(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    path = path_of(browser)
    ((name, genuine),) = browser.cookies.items()
    raw = bytearray(base64.urlsafe_b64decode(genuine))
    raw[-1] ^= 1
    plain = base64.urlsafe_b64encode(json.dumps({"id": "x"}).encode()).decode()
    for value in (base64.urlsafe_b64encode(raw).decode(), plain, "", "AA==", "%%%", genuine[:40]):
        other = Browser(world)
        other.http.set_cookie(name, value)
        other.open(path)
        assert other.title == "You are invited to Identity", value
    other = Browser(world)  # a genuine cookie of one invite under the name of another's
    other.open(invited(world)["path"])
    (foreign,) = other.cookies
    other.http.set_cookie(foreign, genuine)
    other.open(f"{path_of(other)}/code")
    assert other.title == "You are invited to Identity"


def test_a_visit_ends_by_itself(world: World) -> None:
    browser = joined(world, world.phone())
    path = path_of(browser)
    world.clock.advance(LIFE + SECOND)
    assert not RECOVERY_CODE.findall(browser.open(path).text)
    assert browser.title == "You are invited to Identity"


def test_the_cookie_can_be_read_by_no_script_and_goes_to_no_other_host(
    new_world: Callable[..., World],
) -> None:
    for url, secure in (("http://127.0.0.1:8000", False), ("https://id.example.org", True)):
        world = new_world(public_url=url)
        answer = Browser(world).ask(invited(world)["path"])
        name, _, rest = answer.headers["Set-Cookie"].partition("=")
        assert "HttpOnly" in rest
        assert "SameSite=Lax" in rest
        assert "Path=/" in rest
        assert "Domain" not in rest
        assert (name.startswith("__Host-"), "Secure" in rest) == (secure, secure)


def test_looking_has_no_effect_whatever_is_looked_at(world: World) -> None:
    phone, invite = world.phone(), invited(world)
    browser = at_code(world, phone, path=invite["path"])
    world.work()
    before = world.api().get("/v1/events").json
    messages = len(world.inbox(phone))
    tail = ("", "/code", "/phone", "/again", "/welcome", "/kept", "/recovery-codes.txt", "/opened")
    for end in tail:
        for method in ("GET", "HEAD", "OPTIONS"):
            browser.ask(invite["path"] + end, method)
    world.work()
    assert world.api().get("/v1/events").json == before
    assert len(world.inbox(phone)) == messages
    assert "Attempts left: 5" in browser.open(invite["path"] + "/code").text


def test_the_page_is_the_same_for_live_dead_and_unknown_codes(world: World) -> None:
    live, dead = invited(world), invited(world)
    world.api().post(f"/v1/invites/{dead['id']}/revoke", {"reason": "for a test"})
    unknown = new_code(SystemEntropy(), symbols=LINK_SYMBOLS)
    pages = set()
    for code in (live["code"], dead["code"], str(unknown)):
        answer = Browser(world).ask(f"/i/{code.replace('-', '')}")
        bare = answer.text.replace(code.replace("-", ""), "")
        bare = re.sub(r'value="[^"]{40,}"', "", re.sub(r"<span>[0-9A-Z]+</span>", "", bare))
        pages.add((answer.status_code, bare))
    assert len(pages) == 1


# -- proof of work ---------------------------------------------------------------------------------------


def solution(page: Page) -> str:
    (form,) = [one for one in page.all("form") if "data-challenge" in one]
    challenge = Challenge.from_dict(json.loads(form["data-challenge"]))
    found = solve_challenge(challenge)
    assert found is not None
    return str(Payload(challenge, found).to_base64())


def test_where_the_setting_asks_for_it_each_start_costs_a_proof_of_work(
    new_world: Callable[..., World],
) -> None:
    world = new_world(pow="public")
    browser, phone, path = Browser(world), world.phone(), invited(world)["path"]
    page = browser.open(path)
    assert "noscript" in [tag for tag, _ in page.elements]
    page = browser.send("/phone", phone=phone)
    assert (browser.at.status_code, browser.refusal) == (403, "proof_of_work_required")
    assert not world.inbox(phone)
    work = solution(page)
    browser.send("/phone", phone=phone, altcha=work)
    assert browser.title == "Enter the code"
    other = Browser(world)
    other.open(invited(world)["path"])
    other.send("/phone", phone=world.phone(), altcha=work)
    assert other.refusal == "proof_of_work_required", "a proof is good for one start"


def test_the_breaker_asks_by_itself(new_world: Callable[..., World]) -> None:
    world = new_world(policy_file=policy_with(wrong_guesses_an_hour_break="1"))
    browser, phone = Browser(world), world.phone()
    page = browser.open(invited(world)["path"])
    assert not [form for form in page.all("form") if "data-challenge" in form]
    victim = world.phone()
    guesser = at_code(world, victim)
    guesser.send("/code", otp="000000" if world.otp(victim) != "000000" else "000001")
    page = browser.send("/phone", phone=phone)
    assert browser.refusal == "proof_of_work_required"
    (form,) = [one for one in page.all("form") if "data-challenge" in one]
    assert "data-send" in form, "the script sends it again by itself when it is solved"
    browser.send("/phone", phone=phone, altcha=solution(page))
    assert browser.title == "Enter the code"


def test_what_proves_no_work_is_none(new_world: Callable[..., World]) -> None:
    browser = Browser(new_world(pow="public"))
    browser.open(invited(browser.world)["path"])
    for altcha in ("x", "e30=", "A" * 5000):
        browser.send("/phone", phone=browser.world.phone(), altcha=altcha)
        assert browser.refusal == "proof_of_work_required"
