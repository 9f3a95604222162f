"""The pumping guard at the door: what is blocked, what heals, who never is, and what a caller learns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from identity_service.errors import Refused
from identity_service.ports import DAY, HOUR, MINUTE, SECOND
from identity_service.services import work
from identity_service.services.guard_decisions import Subject
from identity_service.services.paging import Paging
from tests.service.steps import (
    Body,
    audit,
    campaign_link,
    check,
    link,
    no,
    ok,
    policy_with,
    quota,
    solve,
    start,
    stop_clock,
)
from tests.support.world import Api, World

NewWorld = Callable[..., World]
# No proof of work on the way, so that a test sees blocks alone and is quick.
ONLY_BLOCKS = {"prefix_open": "4", "range_open": "100", "adjacent_work": "90", "adjacent_block": "99"}


@pytest.fixture(autouse=True)
def cheap_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof of work that costs a test nothing."""
    monkeypatch.setattr(work, "_COST", 1)


def guarded(new_world: NewWorld, **rules: str) -> World:
    world = new_world(guarded=True, policy_file=policy_with(**(ONLY_BLOCKS | {"resends_work": "50"} | rules)))
    stop_clock(world)
    return world


def near(n: int, prefix: str = "+7916123") -> str:
    return f"{prefix}{n * 97 % 10_000:04d}"


def ask(api: Api, code: str, phone: str, **more: Any) -> Any:
    """Start to register, with a proof of work where one is asked for."""
    body = {"purpose": "registration", "phone": phone, "invite_code": code} | more
    answer = api.post("/v1/verifications", body)
    if answer.status_code == 403:
        answer = api.post("/v1/verifications", body | {"altcha": solve(answer.json["challenge"])})  # type: ignore[index]
    return answer


def until_blocked(api: Api, code: str) -> tuple[int, Body]:
    """Ask for one number after the other of one prefix; how many were sent to, and the refusal."""
    for n in range(30):
        answer = ask(api, code, near(n))
        if answer.status_code == 429:
            return n, no(answer, 429, "send_blocked")
        ok(answer, 202)
    raise AssertionError("nobody stopped it")


def decisions(world: World) -> list[Any]:
    return list(
        world.query(lambda tx: world.services.guard.decisions.page(tx, Paging(limit=50, after=None))).data
    )


def test_a_prefix_that_never_answers_is_blocked_for_an_hour(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    sent, _ = until_blocked(api, code)
    assert sent == 4
    again = ask(api, code, near(40))
    assert int(again.headers["Retry-After"]) == HOUR // SECOND
    ok(ask(api, code, "+79031234567"), 202)
    (decision,) = decisions(world)
    assert (decision.unit, decision.name, decision.country, decision.state) == (
        "prefix",
        "+7916123",
        "RU",
        "in_force",
    )
    (reason, *_) = decision.reasons
    assert (reason["signal"], reason["answer"], reason["value"], reason["threshold"]) == (
        "never_seen",
        "block",
        4,
        4,
    )


def test_what_is_kept_and_told_of_a_decision_holds_no_digit_of_the_prefix(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    until_blocked(api, campaign_link(api, max_uses=100)["code"])
    (decision,) = decisions(world)
    told = audit(world, decision.id)
    assert [row.type for row in told] == ["guard.decided"]
    assert "9161" not in json.dumps([str(row) for row in told])
    for table in ("guard_sends", "guard_units", "guard_decisions"):
        rows = world.query(lambda tx, t=table: tx.select(text(f"SELECT * FROM {t}")))
        assert rows
        assert "916123" not in repr([tuple(row) for row in rows])


def test_a_block_grows_while_nothing_answers_and_heals_when_somebody_does(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    until_blocked(api, code)
    world.clock.advance(HOUR + SECOND)
    ok(ask(api, code, near(50)), 202)  # the probe
    no(ask(api, code, near(51)), 429, "send_blocked")  # one at a time
    world.clock.advance(11 * MINUTE)
    worse = ask(api, code, near(52))
    assert int(worse.headers["Retry-After"]) == 6 * HOUR // SECOND
    assert {decision.state for decision in decisions(world)} == {"escalated", "in_force"}
    world.clock.advance(6 * HOUR + SECOND)
    for n in range(60, 66):  # six, after a second block; three would do after a first one
        made = ok(ask(api, code, near(n)), 202)
        ok(check(api, made["id"], world.otp(near(n))))
    ok(ask(api, code, near(66)), 202)
    ok(ask(api, code, near(67)), 202)  # not one at a time any more
    assert {decision.state for decision in decisions(world)} == {"escalated", "healed"}


def test_an_operator_releases_a_decision_and_the_evidence_with_it(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    until_blocked(api, code)
    (decision,) = decisions(world)
    for _ in range(2):  # again changes nothing
        freed = world.transact(lambda tx: world.services.guard.decisions.release(tx, decision.id, "a school"))
        assert (freed.state, freed.end_reason, freed.end_actor) == ("released", "a school", "tester")
    world.clock.advance(SECOND)
    for n in range(70, 74):
        ok(ask(api, code, near(n)), 202)
    assert [row.type for row in audit(world, decision.id)] == ["guard.decided", "guard.released"]


def own(api: Api, purpose: str, phone: str, **more: Any) -> list[Any]:
    """Ask for a code to a number of one's own; what was answered, and whether it took work."""
    body = {"purpose": purpose, "phone": phone} | more
    answer = api.post("/v1/verifications", body)
    told: list[Any] = []
    if answer.status_code == 403:
        told.append("work")
        answer = api.post("/v1/verifications", body | {"altcha": solve(answer.json["challenge"])})  # type: ignore[index]
    problem = answer.json.get("code") if answer.status_code >= 400 else None  # type: ignore[union-attr]
    return [*told, (answer.status_code, problem, answer.headers.get("Retry-After"))]


@pytest.mark.parametrize("purpose", ["login", "recovery"])
def test_known_and_unknown_phones_get_the_same_answers_from_the_guard(
    new_world: NewWorld, purpose: str
) -> None:
    """Attack: telling members from strangers by who is blocked, asked to work, or let through."""
    world = guarded(new_world, resends_work="3")
    api = world.api()
    prefixes = {"who answered": "+7916123", "who did not": "+7926123", "nobody": "+7903123"}
    for who, prefix in prefixes.items():
        if who != "nobody":
            world.seed(phone=f"{prefix}0001")
    for _ in range(2):  # everyone was asked about twice, and one owner answered
        for who, prefix in prefixes.items():
            made = start(api, f"{prefix}0001")
            if who == "who answered":
                ok(check(api, made["id"], world.otp(f"{prefix}0001")))
        world.clock.advance(HOUR)
    world.clock.advance(2 * DAY)
    answers: dict[str, list[Any]] = {who: [] for who in prefixes}
    for n in range(14):
        for who, prefix in prefixes.items():
            # Its neighbours first, so that the prefix is suspect.
            phone = f"{prefix}{(n + 2) * 97:04d}" if n < 8 else f"{prefix}0001"
            answers[who].append(own(api, purpose, phone))
        world.clock.advance(31 * SECOND if n < 8 else 3 * HOUR)
    assert answers["who answered"] == answers["who did not"] == answers["nobody"]
    assert any("work" in one for one in answers["nobody"])


@pytest.mark.parametrize("purpose", ["login", "recovery"])
def test_strangers_cannot_have_an_owner_blocked(new_world: NewWorld, purpose: str) -> None:
    """Attack: calls about a whole range and about the owner, so that the guard locks the owner out."""
    world = new_world(guarded=True)
    stop_clock(world)
    api = world.api()
    world.seed(phone="+79161230001")
    for n in range(40):
        own(api, purpose, f"+79161{n * 6173 % 900_000 + 100_000:06d}", client_ip=f"203.0.113.{n}")
        world.clock.advance(20 * SECOND)
    for n in range(3):
        own(api, purpose, "+79161230001", client_ip=f"198.51.100.{n}")
        world.clock.advance(10 * MINUTE)
    world.clock.advance(HOUR)
    for _ in range(4):
        told = own(api, purpose, "+79161230001", client_ip="192.0.2.7")
        assert told[-1][0] == 202
        world.clock.advance(7 * HOUR)
    assert not decisions(world)


def test_a_blocked_country_still_lets_its_members_in(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    world.seed(phone="+79161230001")
    country = Subject(unit="country", key="country.RU", name="RU", country="RU")
    world.transact(lambda tx: world.services.guard.decisions.set(tx, country, "block", "a fine"))
    assert own(api, "login", "+79161230001") == ["work", (202, None, None)]


def test_a_known_device_is_never_refused(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, seed = world.api(), world.seed(quota=1, phone="+79031112233")
    device = world.join(api, seed.id, near(99))["device_token"]
    code = campaign_link(api, max_uses=100)["code"]
    until_blocked_at = 0
    while ask(api, code, near(until_blocked_at)).status_code == 202:
        until_blocked_at += 1
    for _ in range(4):
        start(api, near(99), device_token=device)
        world.clock.advance(10 * MINUTE)


def test_a_blocked_invite_by_sms_costs_no_quota(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, seed = world.api(), world.seed(quota=20, phone="+79031112233")
    refused = None
    for n in range(12):
        body = {"issuer_id": seed.id, "channel": "sms", "phone": near(n)}
        answer = api.post("/v1/invites", body)
        if answer.status_code == 429:
            refused = no(answer, 429, "send_blocked")
            break
    assert refused is not None
    assert quota(api, seed.id)["spent"] == n
    assert decisions(world)


def test_a_country_is_blocked_by_the_policy_or_an_operator_alone(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    guard = world.services.guard
    country = Subject(unit="country", key="country.RU", name="RU", country="RU")
    ok(ask(api, code, near(1)), 202)
    made = world.transact(lambda tx: guard.decisions.set(tx, country, "block", "a fine from the carrier"))
    problem = no(ask(api, code, near(2)), 429, "send_blocked")
    assert "RU" not in json.dumps(problem)
    ok(ask(api, code, "+14155550123"), 202)
    world.transact(lambda tx: guard.decisions.release(tx, made, "it was paid"))
    ok(ask(api, code, near(2)), 202)


def test_an_operator_who_allows_a_prefix_is_obeyed(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    world.transact(
        lambda tx: world.services.guard.set_by_digits(tx, "+7916123", "allow", "our own test phones")
    )
    for n in range(12):
        ok(ask(api, code, near(n)), 202)


def test_what_answers_is_learnt_from_verifications_and_from_sms_invites(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, seed = world.api(), world.seed(quota=5, phone="+79031112233")
    world.join(api, seed.id, near(1))
    ok(api.post("/v1/invites", {"issuer_id": seed.id, "channel": "sms", "phone": near(2)}), 201)
    ok(api.post("/v1/registrations", {"invite_code": world.invite_code(near(2)), "phone": near(2)}), 201)
    ok(api.post("/v1/invites", {"issuer_id": seed.id, "channel": "sms", "phone": near(3)}), 201)
    rows = world.query(lambda tx: tx.select(text("SELECT kind, outcome FROM guard_sends ORDER BY id")))
    assert [tuple(row) for row in rows] == [("code", "answered"), ("invite", "answered"), ("invite", "none")]


def test_a_campaign_is_remembered_with_its_messages_and_their_resends(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, seed = world.api(), world.seed(quota=5, phone="+79031112233")
    made = ok(ask(api, campaign_link(api, max_uses=9)["code"], near(1)), 202)
    world.clock.advance(2 * MINUTE)
    ok(api.post(f"/v1/verifications/{made['id']}/resend"), 202)
    ok(ask(api, link(api, seed.id)["code"], near(2)), 202)
    query = "SELECT inviter_id, campaign_id FROM guard_sends ORDER BY id"
    first, again, other = world.query(lambda tx: tx.select(text(query)))
    assert first.campaign_id
    assert tuple(first) == tuple(again) == (None, first.campaign_id)
    assert tuple(other) == (seed.id, None)


def test_no_range_tells_alone_what_is_usual_in_its_country(new_world: NewWorld) -> None:
    """Attack: answer so little that the country seems to be one where little comes back."""
    world = guarded(new_world, range_a_day="2", prefix_open="50")
    api, guard = world.api(), world.services.guard
    code = campaign_link(api, max_uses=100)["code"]
    world.transact(guard.learn)
    for phone in (*(near(n) for n in range(6)), "+79031234567"):
        made = ok(ask(api, code, phone), 202)
        ok(check(api, made["id"], world.otp(phone)))
        world.clock.advance(SECOND)
    world.clock.advance(11 * MINUTE)
    world.transact(guard.learn)
    (row,) = world.query(lambda tx: tx.select(text("SELECT * FROM guard_rates WHERE country = 'RU'")))
    assert (row.long_sent, row.told_sent, row.told_good) == (7, 3, 3)


def test_what_passes_on_probation_tells_nothing_of_what_is_usual(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, guard = world.api(), world.services.guard
    code = campaign_link(api, max_uses=100)["code"]
    until_blocked(api, code)
    world.clock.advance(HOUR + SECOND)
    world.transact(guard.learn)
    ok(ask(api, code, near(50)), 202)
    ok(ask(api, code, "+79031234567"), 202)
    world.clock.advance(11 * MINUTE)
    query = text("SELECT told_sent FROM guard_rates WHERE country = 'RU'")
    before = [row.told_sent for row in world.query(lambda tx: tx.select(query))]
    world.transact(guard.learn)
    (after,) = [row.told_sent for row in world.query(lambda tx: tx.select(query))]
    assert after - sum(before) == pytest.approx(1, abs=0.1)


def test_an_outage_blames_nobody_in_ranges_that_answered_before(new_world: NewWorld) -> None:
    """Fault: a provider takes everything and delivers nothing for hours."""
    world = guarded(new_world, fewest_judged="3", block_at="0.6", work_at="0.59")
    api, guard = world.api(), world.services.guard
    code = campaign_link(api, max_uses=1000)["code"]
    world.transact(guard.learn)

    def hour(n: int, *, answer: bool) -> list[int]:
        """Five people an hour, each of another carrier that is known by the third hour."""
        statuses = []
        for carrier in range(5):
            phone = f"+79{carrier}0{carrier}3{n:05d}"
            made = ask(api, code, phone)
            statuses.append(made.status_code)
            if answer and made.status_code == 202:
                ok(check(api, made.json["id"], world.otp(phone)))
            world.clock.advance(12 * MINUTE)
            world.transact(guard.learn)
        return statuses

    for n in range(6):
        assert hour(n, answer=True) == [202] * 5
    for n in range(6, 15):
        assert hour(n, answer=False) == [202] * 5
    assert not decisions(world)


@pytest.mark.parametrize("phones", [1, 2])
def test_a_staged_outage_is_no_cover_for_a_pump(new_world: NewWorld, phones: int) -> None:
    """Attack: answer from `phones` numbers in each of six ranges, a day later be silent there, then pump."""
    world = new_world(guarded=True)
    stop_clock(world)
    api, guard = world.api(), world.services.guard
    code = campaign_link(api, max_uses=10_000)["code"]
    prepared = ["+79161", "+79031", "+79261", "+79851", "+79651", "+79091"]

    def later(minutes: int) -> None:
        world.clock.advance(minutes * MINUTE)
        world.transact(guard.learn)

    later(1)
    for start_of in prepared:
        for n in range(phones):
            phone = f"{start_of}{n}34567"
            made = ok(ask(api, code, phone), 202)
            ok(check(api, made["id"], world.otp(phone)))
    for _ in range(30):
        later(20)
    for start_of in prepared:
        ok(ask(api, code, f"{start_of}945678"), 202)
    for _ in range(3):
        later(6)
    sent = 0
    for minute in range(0, 120, 5):
        for n in range(12):
            k = minute * 12 + n
            phone = f"+7977{k % 3 + 1}{k * 37 % 1_000_000:06d}"
            sent += ask(api, code, phone).status_code == 202
        later(5)
    assert sent < 60  # of 288


def test_a_refusal_without_a_new_decision_changes_nothing(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api = world.api()
    code = campaign_link(api, max_uses=100)["code"]
    until_blocked(api, code)

    def rows() -> list[Any]:
        tables = ("guard_sends", "guard_decisions", "phones", "messages", "invite_holds")
        return [
            world.query(lambda tx, t=t: tx.select(text(f"SELECT count(*) FROM {t}"))[0][0]) for t in tables
        ]

    before = rows()
    for n in range(20, 25):
        no(ask(api, code, near(n)), 429, "send_blocked")
    assert rows() == before


def test_a_decision_that_is_not_there_cannot_be_released(world: World) -> None:
    with pytest.raises(Refused, match="not_found"):
        world.transact(lambda tx: world.services.guard.decisions.release(tx, "gdn_0", "why not"))


def test_a_members_links_still_work_after_old_evidence_is_forgotten(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, seed = world.api(), world.seed(quota=3, phone="+79031112233")
    until_blocked(api, campaign_link(api, max_uses=100)["code"])
    world.clock.advance(16 * DAY)
    while world.transact(world.services.guard.forget):
        pass
    assert world.query(lambda tx: tx.select(text("SELECT count(*) FROM guard_sends"))[0][0]) == 0
    assert decisions(world)[0].state == "forgotten"
    ok(ask(api, link(api, seed.id)["code"], near(80)), 202)


def test_decisions_are_listed_and_released_over_rest_by_administrators_alone(new_world: NewWorld) -> None:
    world = guarded(new_world)
    api, other = world.api(), world.api("verifications:write")
    until_blocked(api, campaign_link(api, max_uses=100)["code"])
    no(other.get("/v1/guard/decisions"), 403, "scope_missing")
    (listed,) = ok(api.get("/v1/guard/decisions?in_force=true&country=RU"))["data"]
    assert (listed["unit"], listed["name"], listed["state"]) == ("prefix", "+7916123", "in_force")
    assert listed["reasons"][0]["threshold"] == 4
    path = f"/v1/guard/decisions/{listed['id']}/release"
    no(other.post(path, {"reason": "mine"}), 403, "scope_missing")
    freed = ok(api.post(path, {"reason": "a school"}))
    assert (freed["state"], freed["end_reason"]) == ("released", "a school")
    assert ok(api.get("/v1/guard/decisions?in_force=true"))["data"] == []
    no(api.post("/v1/guard/decisions/gdn_0/release", {"reason": "none"}), 404, "not_found")
