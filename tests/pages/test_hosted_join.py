"""From an invite's link to a member in plain forms: what each step does, refuses and repeats."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from altcha import Challenge, Payload, solve_challenge

from identity_service.codes import LINK_SYMBOLS, new_code
from identity_service.pages.hosted.visit import LIFE
from identity_service.ports import DAY, HOUR, MINUTE, SECOND, SystemEntropy
from identity_service.services.hosted_join import JOIN_CLIENT
from sms.numbers import mask, parse
from tests.pages.browser import Browser, invited, invited_by_sms, members_of
from tests.pages.page import Page
from tests.service.steps import policy_with
from tests.support.logs import caught
from tests.support.world import World

RECOVERY_CODE = re.compile(r"\b[0-9a-z]{4}(?:-[0-9a-z]{4}){3}\b")


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


# -- the way through -------------------------------------------------------------------------------------


def test_a_link_a_phone_and_a_code_make_a_member(world: World) -> None:
    inviter = world.seed(quota=1)
    phone, invite = world.phone(), invited(world, campaign=None, issuer_id=inviter.id)
    browser = Browser(world)
    page = browser.open(invite["path"])
    assert invite["code"] in page.text
    page = browser.send("/phone", country="RU", phone=f"8 ({phone[2:5]}) {phone[5:8]}-{phone[8:]}")
    assert mask(parse(phone).e164) in page.text
    assert phone not in browser.at.text
    page = browser.send("/code", otp=world.otp(phone))
    assert len(RECOVERY_CODE.findall(page.text)) == 8
    member = next(one for one in members_of(world) if one["invite_id"] == invite["id"])
    assert member["inviter_id"] == inviter.id
    assert member["phone"]["verified_at"] is not None


def test_an_invite_by_sms_needs_the_phone_alone(world: World) -> None:
    phone = world.phone()
    browser = Browser(world)
    browser.open(invited_by_sms(world, phone))
    before = len(world.inbox(phone))
    page = browser.send("/phone", phone=phone)
    assert browser.title == "Welcome to Identity"
    assert len(RECOVERY_CODE.findall(page.text)) == 8
    assert len(world.inbox(phone)) == before, "no second code is sent"


def test_an_invite_by_sms_that_is_old_needs_a_code_as_well(world: World) -> None:
    phone = world.phone()
    path = invited_by_sms(world, phone)
    world.clock.advance(3 * DAY + HOUR)
    browser = at_code(world, phone, path=path)
    browser.send("/code", otp=world.otp(phone))
    assert browser.title == "Welcome to Identity"


def test_an_invite_by_sms_does_nothing_for_another_phone(world: World) -> None:
    browser, other = Browser(world), world.phone()
    browser.open(invited_by_sms(world, world.phone()))
    browser.send("/phone", phone=other)
    assert (browser.at.status_code, browser.refusal) == (422, "invite_not_redeemable")
    assert not world.inbox(other)


def test_the_code_can_be_typed_where_there_is_no_link(world: World) -> None:
    invite, phone, browser = invited(world), world.phone(), Browser(world)
    for start in ("/", "/i"):
        browser.open(start)
        browser.send("/i", code=f" {invite['code'].lower()} ")
        assert path_of(browser) == invite["path"]
    browser.send("/phone", phone=phone)
    assert browser.title == "Enter the code"


def test_the_recovery_codes_are_shown_until_they_are_kept_and_not_again(world: World) -> None:
    browser = joined(world, world.phone())
    shown = RECOVERY_CODE.findall(browser.page.text)
    assert RECOVERY_CODE.findall(browser.open(path_of(browser)).text) == shown, "a reload loses nothing"
    file = browser.ask(path_of(browser).replace("welcome", "recovery-codes.txt"))
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert RECOVERY_CODE.findall(file.text) == shown
    assert file.headers["Cache-Control"] == "no-store"
    page = browser.send("/kept")
    assert browser.title == "That is all"
    for path in (path_of(browser), path_of(browser).replace("welcome", "recovery-codes.txt")):
        assert not RECOVERY_CODE.findall(browser.open(path).text)
    assert not RECOVERY_CODE.findall(page.text)


def test_a_recovery_code_of_the_page_is_one_of_the_member_s(world: World) -> None:
    phone = world.phone()
    code = RECOVERY_CODE.findall(joined(world, phone).page.text)[0]
    member = members_of(world)[0]["id"]
    credentials = world.services.credentials
    assert world.transact(lambda tx: credentials.use_recovery_code(tx, member, code))


def test_the_page_acts_as_a_client_of_its_own_that_has_no_key(world: World) -> None:
    for _ in range(2):
        joined(world, world.phone())
    clients = [row for row in world.query(world.services.clients.keys) if row.client_id == JOIN_CLIENT]
    assert [(row.name, row.id) for row in clients] == [("join page (built in)", None)]


def test_another_client_cannot_touch_the_page_s_verification(world: World) -> None:
    phone = world.phone()
    at_code(world, phone)
    api = world.api("verifications:write")
    made = world.query(lambda tx: tx.connection.exec_driver_sql("SELECT id FROM verifications").scalar_one())
    assert api.get(f"/v1/verifications/{made}").status_code == 404


# -- what is refused, in words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [("hello", "invite_malformed"), ("NNN59H3QXJEZWPX7P683B765K3X", "invite_not_redeemable")],
)
def test_a_code_that_is_none_is_told_before_anything_is_asked(world: World, typed: str, refusal: str) -> None:
    browser = Browser(world)
    browser.open(f"/i/{typed}")
    assert (browser.at.status_code, browser.refusal) == (200, refusal)
    browser.send("/i", code=typed)
    assert (browser.at.status_code, browser.refusal) == (422, refusal)


def test_codes_that_cannot_be_redeemed_look_alike(world: World) -> None:
    api = world.api()
    revoked, used = invited(world), invited(world)
    api.post(f"/v1/invites/{revoked['id']}/revoke", {"reason": "for a test"})
    at = at_code(world, phone := world.phone(), path=used["path"])
    at.send("/code", otp=world.otp(phone))
    unknown = f"/i/{new_code(SystemEntropy(), symbols=LINK_SYMBOLS).canonical}"
    told = set()
    for path in (revoked["path"], used["path"], unknown):
        browser = Browser(world)
        browser.open(path)
        page = browser.send("/phone", phone=world.phone())
        told.add((browser.at.status_code, browser.refusal, page.text.partition("Your invitation code")[0]))
    assert len(told) == 1
    assert next(iter(told))[:2] == (422, "invite_not_redeemable")


def test_a_number_that_no_network_reaches_is_told_on_the_code_s_page(world: World) -> None:
    browser = at_code(world, world.phone())
    assert "cannot be reached" not in browser.page.text
    failed = "UPDATE messages SET state = 'undelivered', failure = 'wrong_number'"
    world.transact(lambda tx: tx.connection.exec_driver_sql(failed))
    assert "cannot be reached" in browser.open(path_of(browser)).text


UNUSABLE = [
    ("RU", "hello", "This is no phone number"),
    ("", "9161234567", "This is no phone number"),
    ("US", "+1 555 000 0000", "There is no such number"),
    ("RU", "8 800 555 35 35", "cannot take a code"),
    ("US", "+7 916 123-45-67 ext. 5", "This is no phone number"),
    ("XX", "8 916 123-45-67", "This is no phone number"),
]


def test_a_phone_that_cannot_be_used_is_told_with_its_reason(world: World) -> None:
    browser = Browser(world)
    browser.open(invited(world)["path"])
    for country, phone, words in UNUSABLE:
        page = browser.send("/phone", country=country, phone=phone)
        assert (browser.at.status_code, browser.refusal) == (422, "phone_invalid")
        assert words in page.text, phone
        assert page.one("phone")["value"] == phone, "what was typed is there to be corrected"
        assert page.one("phone")["aria-invalid"] == "true"


def test_wrong_codes_are_counted_down_and_then_it_is_over(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    right = world.otp(phone)
    wrong = [code for code in ("111111", "222222", "333333", "444444", "555555", "666666") if code != right][
        :5
    ]
    for left, code in zip((4, 3, 2, 1), wrong, strict=False):
        page = browser.send("/code", otp=code)
        assert (browser.at.status_code, browser.refusal) == (422, "code_incorrect")
        assert f"Attempts left: {left}" in page.text
    page = browser.send("/code", otp=wrong[4])
    assert browser.refusal == "verification_over"
    assert "wrong too often" in page.text
    browser.open(path_of(browser))
    assert browser.at.status_code == 200
    assert not members_of(world)


def test_what_is_no_code_at_all_costs_no_attempt(world: World) -> None:
    browser = at_code(world, world.phone())
    page = browser.send("/code", otp="12a456")
    assert browser.refusal == "code_malformed"
    assert "Attempts left: 5" in page.text


def test_a_code_is_read_as_people_type_it(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    code = world.otp(phone)
    browser.send("/code", otp=f" {code[:3]}-{code[3:]} ")
    assert browser.title == "Welcome to Identity"


def test_a_code_whose_time_is_over_says_so(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    code = world.otp(phone)
    world.clock.advance(11 * MINUTE)
    page = browser.send("/code", otp=code)
    assert browser.refusal == "verification_over"
    assert "time is over" in page.text
    assert not members_of(world)


def test_a_member_s_phone_is_told_only_after_it_is_proved(world: World) -> None:
    taken = world.seed(phone=(phone := world.phone()))
    browser = at_code(world, phone)
    browser.send("/code", otp=world.otp(phone))
    assert (browser.at.status_code, browser.refusal) == (409, "phone_taken")
    assert browser.title == "You are there already"
    assert [one["id"] for one in members_of(world)] == [taken.id]


def test_the_code_is_sent_again_when_its_time_has_come(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    first = world.otp(phone)
    page = browser.send("/again")
    assert (browser.at.status_code, browser.refusal) == (429, "send_cooldown")
    assert int(browser.at.headers["Retry-After"]) <= 30
    assert re.search(r"in \d+ seconds", page.text)
    world.clock.advance(31 * SECOND)
    browser.send("/again")
    assert browser.refusal == ""
    assert len(world.inbox(phone)) == 2
    assert world.otp(phone) == first


def test_the_messages_of_a_day_end_and_the_page_says_when_the_next_may_go(world: World) -> None:
    phone, path = world.phone(), invited(world, max_uses=10)["path"]
    for _ in range(5):
        at_code(world, phone, path=path)
        world.clock.advance(HOUR)
    at_code(world, phone, path=path)  # the trickle
    world.clock.advance(HOUR)
    browser = Browser(world)
    browser.open(path)
    page = browser.send("/phone", phone=phone)
    assert (browser.at.status_code, browser.refusal) == (429, "send_budget_spent")
    assert re.search(r"in \d+ hours", page.text)


def test_starts_from_one_address_are_counted_where_the_address_is_known(
    new_world: Callable[..., World],
) -> None:
    strict = policy_with(starts_an_ip_an_hour="3")
    world = new_world(trusted_proxies="10.0.0.0/8", policy_file=strict)
    unknown = f"/i/{new_code(SystemEntropy(), symbols=LINK_SYMBOLS).canonical}"
    crowd = Browser(world, headers={"X-Forwarded-For": "198.51.100.7"}, environ={"REMOTE_ADDR": "10.0.0.1"})
    crowd.open(unknown)
    for _ in range(3):
        crowd.send("/phone", phone=world.phone())
        assert crowd.refusal == "invite_not_redeemable"
    crowd.send("/phone", phone=world.phone())
    assert (crowd.at.status_code, crowd.refusal) == (429, "ip_budget_spent")
    forger = Browser(world, headers={"X-Forwarded-For": "198.51.100.7"}, environ={"REMOTE_ADDR": "8.8.8.8"})
    forger.open(unknown)
    forger.send("/phone", phone=world.phone())
    assert forger.refusal == "invite_not_redeemable", "what a stranger says of itself counts for nobody"


def test_a_store_that_is_away_is_a_page_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from identity_service.errors import Unavailable

    browser = at_code(world, world.phone())

    def away(*_: object) -> None:
        raise Unavailable("the store is away")

    form = browser.form("/code")
    monkeypatch.setattr(type(world.services.store), "transact", away)
    answer = browser.post(form, otp="123456")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    monkeypatch.setattr(type(world.services.store), "query", away)
    answer = browser.post(form, otp="123456")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "Nothing was lost" in answer.text


# -- once, however often it is sent ----------------------------------------------------------------------


def test_a_phone_that_is_sent_twice_gets_one_message(world: World) -> None:
    browser, phone = Browser(world), world.phone()
    browser.open(invited(world)["path"])
    form = browser.form("/phone")
    answers = [browser.post(form, phone=phone) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert len(world.inbox(phone)) == 1


def test_a_wrong_code_that_is_sent_twice_is_counted_once(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    wrong = "000000" if world.otp(phone) != "000000" else "000001"
    form = browser.form("/code")
    browser.post(form, otp=wrong)
    page = Page(browser.post(form, otp=wrong).text)
    assert "Attempts left: 4" in page.text


def test_a_right_code_that_is_sent_twice_makes_one_member_and_shows_the_same_codes(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    form, code = browser.form("/code"), world.otp(phone)
    shown = []
    for _ in range(2):
        answer = browser.post(form, otp=code)
        assert answer.status_code == 303
        shown.append(RECOVERY_CODE.findall(browser.ask(answer.headers["Location"]).text))
    assert shown[0] == shown[1]
    assert len(shown[0]) == 8
    assert len(members_of(world)) == 1


def test_an_answer_that_never_came_is_there_after_a_reload(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    lost = browser.twin()
    browser.send("/code", otp=world.otp(phone))
    lost.open(path_of(browser).replace("welcome", "code"))
    assert RECOVERY_CODE.findall(lost.page.text) == RECOVERY_CODE.findall(browser.page.text)


def test_an_invite_by_sms_that_is_sent_twice_is_one_member(world: World) -> None:
    phone, browser = world.phone(), Browser(world)
    path = invited_by_sms(world, phone)
    for _ in range(2):  # the second time from a page that was loaded anew
        browser.open(path)
        browser.send("/phone", phone=phone)
        assert browser.title == "Welcome to Identity"
    assert len(members_of(world)) == 1


def test_two_invites_in_two_tabs_do_not_meet(world: World) -> None:
    browser, phones = Browser(world), (world.phone(), world.phone())
    paths = [invited(world)["path"] for _ in phones]
    for path, phone in zip(paths, phones, strict=True):
        at_code(world, phone, browser, path)
    for path, phone in zip(paths, phones, strict=True):
        page = browser.open(f"{path}/code")
        assert mask(parse(phone).e164) in page.text
        browser.send("/code", otp=world.otp(phone))
        assert browser.title == "Welcome to Identity"
    assert len(members_of(world)) == 2


def test_two_tabs_of_one_invite_end_in_one_member(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone)
    first = browser.form("/code")
    browser.open(path_of(browser))
    second = browser.form("/code")
    code = world.otp(phone)
    assert browser.post(first, otp=code).status_code == 303
    for typed in (code, "000000"):
        answer = browser.post(second, otp=typed)
        assert answer.status_code == 303
        assert answer.headers["Location"].endswith("/welcome")
    assert len(members_of(world)) == 1


def test_two_people_at_one_browser_join_by_one_link(world: World) -> None:
    browser, path = Browser(world), invited(world, max_uses=2)["path"]
    seen = []
    for phone in (world.phone(), world.phone()):
        at_code(world, phone, browser, path)
        page = browser.send("/code", otp=world.otp(phone))
        seen.append(tuple(RECOVERY_CODE.findall(page.text)))
    assert len(members_of(world)) == 2
    assert seen[0] != seen[1]


def test_going_back_and_changing_the_number_is_a_new_start(world: World) -> None:
    mistyped, phone = world.phone(), world.phone()
    invite = invited(world, max_uses=2)
    browser = at_code(world, mistyped, path=invite["path"])
    page = browser.open(invite["path"])
    assert mask(parse(mistyped).e164) in page.text, "the code that is under way is not forgotten"
    browser.send("/phone", phone=phone)
    browser.send("/code", otp=world.otp(phone))
    assert browser.title == "Welcome to Identity"
    assert "You have joined" in browser.open(invite["path"]).text


# -- who may send a form ---------------------------------------------------------------------------------


def test_a_form_without_the_visit_s_token_does_nothing(world: World) -> None:
    victim, attacker = Browser(world), Browser(world)
    path, phone = invited(world)["path"], world.phone()
    victim.open(path)
    attacker.open(path)
    stolen = attacker.form("/phone")[1]["token"]
    own = victim.form("/phone")[1]["token"]
    for token in ("", "x", stolen, own[:-1] + ("A" if own[-1] != "A" else "B")):
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


# -- where to go next ------------------------------------------------------------------------------------


def goal_of(world: World) -> Browser:
    phone = world.phone()
    browser = joined(world, phone)
    browser.send("/kept")
    return browser


def test_without_an_address_the_page_says_how_to_go_on(world: World) -> None:
    page = goal_of(world).page
    assert "log in with your phone number" in page.text
    assert "onward" not in page.ids()


def test_an_address_is_a_link_that_carries_nothing(new_world: Callable[..., World]) -> None:
    page = goal_of(new_world(joined_url="https://app.example.org/start")).page
    assert page.one("onward")["href"] == "https://app.example.org/start"
    assert "assertion" not in str(page.elements)


def test_the_assertion_is_posted_where_the_network_takes_it(new_world: Callable[..., World]) -> None:
    world = new_world(joined_url="https://app.example.org/joined?x=1", joined_handover="post")
    browser = goal_of(world)
    path, fields = browser.form("/joined?x=1")
    claims = claims_of(fields["assertion"])
    assert claims["aud"] == JOIN_CLIENT
    assert claims["purpose"] == "registration"
    assert claims["sub"] == members_of(world)[0]["id"]
    assert fields["device_token"].startswith("dev_")
    assert path.startswith("https://app.example.org/")
    policy = browser.at.headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'self' https://app.example.org")
    assert browser.at.headers["Referrer-Policy"] == "strict-origin"
    world.clock.advance(11 * MINUTE)
    page = browser.open(path_of(browser))
    assert "assertion" not in str(page.elements), "one that is too old is not handed over"
    assert page.one("onward")["href"].startswith("https://app.example.org/")


def claims_of(assertion: str) -> dict[str, Any]:
    body = assertion.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


# -- what nobody may see ---------------------------------------------------------------------------------


def test_no_code_phone_or_token_reaches_logs_addresses_or_metrics(world: World) -> None:
    phone, invite = world.phone(), invited(world)
    with caught() as logs:
        browser = at_code(world, phone, path=invite["path"])
        code = world.otp(phone)
        browser.send("/code", otp=code)
        shown = RECOVERY_CODE.findall(browser.page.text)
        browser.send("/kept")
    everything = logs.getvalue() + browser.http.get("/metrics").text
    assert '"/i/<code>/code"' in everything
    bare = invite["code"].replace("-", "")
    for secret in (phone, phone[1:], bare, invite["code"], *shown):
        assert secret not in everything
    assert f'"{code}"' not in everything
    assert code not in path_of(browser)


def test_no_script_or_style_stands_in_any_page_and_none_comes_from_elsewhere(world: World) -> None:
    browser = Browser(world)
    phone = world.phone()
    answers = [browser.ask("/"), browser.ask(invited(world)["path"])]
    at_code(world, phone, browser)
    answers.append(browser.at)
    browser.send("/code", otp=world.otp(phone))
    answers.append(browser.at)
    browser.send("/kept")
    answers.append(browser.at)
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert "noindex" in answer.headers["X-Robots-Tag"]
        page = Page(answer.text)
        assert [set(script) for script in page.all("script")] == [{"defer", "src"}]
        assert not page.all("style")
        for _, attributes in page.elements:
            assert not {name for name in attributes if name.startswith("on") or name == "style"}
        for tag, name in (("script", "src"), ("link", "href"), ("img", "src")):
            for element in page.all(tag):
                assert element[name].startswith("/assets/")
                assert browser.ask(element[name]).status_code == 200


def test_a_brand_is_text_on_every_page(new_world: Callable[..., World]) -> None:
    world = new_world(brand="A & <b>B</b>")
    browser = Browser(world)
    page = browser.open(invited(world, note="<script>alert(1)</script>")["path"])
    assert not page.all("b")
    assert "A &amp; &lt;b&gt;B&lt;/b&gt;" in browser.at.text
    assert "alert" not in browser.at.text


def test_the_page_speaks_russian_and_so_does_the_message(world: World) -> None:
    phone = world.phone()
    browser = at_code(world, phone, Browser(world, language="ru-RU,ru;q=0.9"))
    assert browser.page.all("html") == [{"lang": "ru", "dir": "ltr"}]
    assert "Осталось попыток: 5" in browser.page.text
    assert re.search("[а-я]", world.inbox(phone)[0]["body"])
    page = browser.send("/again")
    assert re.search(r"через \d+ секунд", page.text)


def test_where_the_page_is_not_hosted_its_addresses_are_not_there(new_world: Callable[..., World]) -> None:
    world = new_world(hosted_join="off")
    path = invited(world)["path"]
    for method, end in (("GET", "/"), ("POST", "/i"), ("POST", f"{path}/phone"), ("GET", f"{path}/welcome")):
        assert Browser(world).ask(end, method).status_code == 404
    assert "/phone" not in Browser(world).ask(path).text
