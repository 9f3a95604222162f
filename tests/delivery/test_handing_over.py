"""From the outbox to the provider: sent once, repeated with patience, given up with a reason."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import cast

import pytest

from identity_service.ports import DAY, MINUTE, SECOND
from identity_service.services.claims import LEASE
from identity_service.services.outcomes import MAX_ATTEMPTS
from sms.fate import Happening, words
from sms.prices import parse_prices
from sms.providers.base import PLAIN_WORDS, FailureKind, Provider
from sms.providers.errors import NO_ANSWER
from sms.providers.exchange import Timeouts
from sms.providers.twilio import TwilioProvider
from tests.delivery.rig import Rig, twilio_settings
from tests.standins.loopback import Fault, Trouble
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, MESSAGING_SERVICE_SID, TwilioStandIn
from tests.support.world import World


def test_an_invite_reaches_the_phone_and_its_inviter_sees_how_far_it_came(rig: Rig) -> None:
    phone = rig.world.phone()
    invite = rig.invite(phone)
    assert rig.told(invite)["state"] == "queued"
    assert rig.deliver() == 1
    sent = rig.sent()
    assert sent.sent_to == phone
    assert sent.parameters["MessagingServiceSid"] == MESSAGING_SERVICE_SID
    assert sent.parameters["StatusCallback"].endswith(
        f"/callbacks/twilio/status?attempt={rig.row().attempt_id}"
    )
    assert rig.told(invite)["state"] == "sent"
    assert rig.call_back(sent.sid, "sent", "delivered") == [204, 204]
    assert rig.told(invite)["state"] == "delivered"
    assert rig.deliver() == 0
    assert not rig.row().has_code, "the code outlived its message"


def test_a_wrong_number_fails_at_once_and_its_inviter_reads_why(rig: Rig) -> None:
    """Fault of 2011: "tried to send an invite. Nothing happened." The inviter is told, in plain words."""
    no_such_number, landline, opted_out = 21211, 21614, 21610
    reasons = set()
    for code in (no_such_number, landline, opted_out):
        phone = rig.world.phone()
        rig.twilio.refuse_number(phone, code)
        invite = rig.invite(phone)
        assert rig.deliver() == 1
        told = rig.told(invite)
        assert told["state"] == "failed"
        assert phone not in told["reason"]
        assert str(code) not in told["reason"]
        reasons.add(told["reason"])
    assert len(reasons) == 3, "each cause has its own words"
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0
    assert {(row.attempts, row.has_code) for row in rig.rows()} == {(1, False)}


def test_a_refusal_of_our_account_is_told_and_waits_for_the_operator(rig: Rig) -> None:
    """Fault: a mistyped token. Repeating is no use, and throwing the invites away would be worse."""
    phone = rig.world.phone()
    invite = rig.invite(phone)
    rig.fail(401, "20003")
    rig.deliver()
    assert rig.told(invite)["state"] == "failed"
    assert rig.told(invite)["reason"] == PLAIN_WORDS[FailureKind.REJECTED]
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0
    endings = rig.world.services.endings
    [dead] = rig.world.query(endings.dead_letters)
    rig.world.transact(lambda tx: endings.replay(tx, dead.id))
    rig.deliver()
    assert (rig.told(invite)["state"], rig.sent_to(phone)) == ("sent", 1)


def test_a_throttled_message_waits_as_long_as_it_was_told(rig: Rig) -> None:
    """Fault: a worker that hammers a provider which asked for patience, and is cut off for it."""
    invite = rig.invite()
    rig.fail(429, "20429", retry_after="90")
    rig.deliver()
    assert rig.told(invite)["state"] == "queued"
    assert rig.told(invite)["reason"] == PLAIN_WORDS[FailureKind.THROTTLED]
    rig.world.clock.advance(88 * SECOND)
    assert rig.deliver() == 0
    rig.world.clock.advance(2 * SECOND)
    assert rig.deliver() == 1
    assert rig.told(invite)["state"] == "sent"
    assert rig.told(invite).get("reason") is None, "the reason of an attempt outlived it"


def test_an_outage_is_met_with_growing_pauses_and_then_a_dead_letter(rig: Rig) -> None:
    """Fault: a provider that is down for long. No attempt is lost, none follows hot on another."""
    invite = rig.invite()
    pauses = []
    for _ in range(MAX_ATTEMPTS):
        rig.fail(503)
        before = rig.world.clock.now()
        assert rig.deliver() == 1
        pauses.append(rig.row().next_at - before)
        assert rig.deliver() == 0, "it went again before its pause was over"
        rig.wait_until_due()
    for attempt, pause in enumerate(pauses[:-1], start=1):
        ceiling = 2 * SECOND << attempt
        assert ceiling // 2 <= pause <= ceiling + SECOND
    assert (rig.row().state, rig.row().attempts) == ("dead", MAX_ATTEMPTS)
    assert rig.told(invite)["state"] == "failed"
    assert rig.told(invite)["reason"] == words(Happening.GIVEN_UP, "RU"), "it is not tried again by itself"
    assert len(rig.twilio.requests) == MAX_ATTEMPTS
    assert rig.twilio.messages == {}


def test_a_dead_letter_is_listed_and_sent_when_it_is_replayed(rig: Rig) -> None:
    phone = rig.world.phone()
    invite = rig.invite(phone)
    for _ in range(MAX_ATTEMPTS):
        rig.fail(500, "20500")
        rig.deliver()
        rig.wait_until_due()
    endings = rig.world.services.endings
    [dead] = rig.world.query(endings.dead_letters)
    assert (dead.subject_id, dead.attempts, dead.kind) == (invite, MAX_ATTEMPTS, "invite")
    assert phone not in str(dead)
    rig.world.transact(lambda tx: endings.replay(tx, dead.id))
    assert rig.world.query(endings.dead_letters) == []
    assert rig.deliver() == 1
    assert rig.sent_to(phone) == 1
    assert rig.told(invite)["state"] == "sent"
    code = rig.twilio.messages[rig.sent().sid].sent_body
    assert "-" in code, "the replayed message lost its code"


def test_a_dead_letter_that_fails_again_is_dead_again(rig: Rig) -> None:
    rig.invite()
    for _ in range(MAX_ATTEMPTS):
        rig.fail(500)
        rig.deliver()
        rig.wait_until_due()
    rig.world.transact(lambda tx: rig.world.services.endings.replay(tx, rig.row().id))
    rig.fail(500)
    assert rig.deliver() == 1
    assert rig.row().state == "dead"


@pytest.mark.parametrize("seconds_late", [0, 3600])
def test_a_code_whose_time_is_over_is_never_sent(rig: Rig, seconds_late: int) -> None:
    """Fault: a queue that stood still for an hour and then sends a hundred thousand dead codes."""
    phone = rig.world.phone()
    rig.world.seed(phone=phone)
    started = rig.api.post("/v1/verifications", {"purpose": "login", "phone": phone})
    assert started.status_code == 202
    rig.world.clock.advance(10 * MINUTE + seconds_late * SECOND)
    rig.deliver()
    assert rig.twilio.requests == []
    assert (rig.row().state, rig.row().has_code) == ("failed", False)
    assert rig.row().reason


def test_a_retry_that_would_come_too_late_is_not_waited_for(rig: Rig) -> None:
    """Fault: a provider that says "in an hour" of a code that lives ten minutes."""
    phone = rig.world.phone()
    rig.world.seed(phone=phone)
    rig.api.post("/v1/verifications", {"purpose": "login", "phone": phone})
    rig.fail(429, "20429", retry_after="3600")
    rig.deliver()
    assert rig.row().state == "dead"
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0


def impatient(rig: Rig, total: float) -> None:
    """Give the provider shorter timeouts than a test's patience; all else is the real one."""
    providers = cast("MutableMapping[str, Provider]", rig.world.services.providers)
    providers["twilio"] = TwilioProvider(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=MESSAGING_SERVICE_SID,
        api_base_url=rig.twilio.base_url,
        timeouts=Timeouts(connect=total, total=total),
    )


def test_a_slow_answer_is_waited_for(rig: Rig) -> None:
    phone = rig.world.phone()
    rig.invite(phone)
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_SLOWLY, seconds=0.4))
    rig.deliver()
    assert (rig.row().state, rig.sent_to(phone)) == ("sent", 1)


def test_an_answer_that_never_comes_holds_no_transaction_and_ends(rig: Rig) -> None:
    """Fault: a provider that hangs while the store's lock is held would stop every registration."""
    impatient(rig, 0.5)
    rig.invite()
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DRIP, seconds=30))
    rig.deliver()
    assert rig.row().state == "queued"
    assert rig.row().reason == NO_ANSWER


@pytest.mark.parametrize("trouble", [Trouble.ACCEPT_THEN_DROP, Trouble.ACCEPT_THEN_GARBAGE])
def test_a_lost_reply_is_found_by_its_receipt_and_not_sent_again(rig: Rig, trouble: Trouble) -> None:
    """Fault: the provider took it and the answer was lost. Twilio has no idempotency key: only the attempt's
    id in the callback's address says that the phone has rung."""
    phone = rig.world.phone()
    invite = rig.invite(phone)
    rig.twilio.go_wrong(Fault(trouble=trouble))
    rig.deliver()
    assert rig.told(invite)["state"] == "queued"
    assert rig.row().provider_ref is None
    assert rig.call_back(rig.sent().sid, "sent") == [204]
    assert rig.told(invite)["state"] == "sent"
    assert rig.row().provider_ref == rig.sent().sid
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0
    assert rig.sent_to(phone) == 1
    assert rig.call_back(rig.sent().sid, "delivered") == [204]
    assert rig.told(invite)["state"] == "delivered"


def test_the_next_attempt_goes_to_the_next_provider_of_the_route(
    new_world: Callable[..., World], twilio: TwilioStandIn
) -> None:
    """Fault: one provider is down and the route has another. Round and round, never two at once."""
    rig = Rig(new_world(**twilio_settings(twilio.base_url, "twilio,inbox")), twilio)
    phone = rig.world.phone()
    invite = rig.invite(phone)
    rig.fail(503)
    rig.deliver()
    assert rig.told(invite)["state"] == "queued"
    rig.wait_until_due()
    assert len(rig.world.inbox(phone)) == 1
    assert (rig.row().state, rig.row().provider) == ("delivered", "inbox")
    assert rig.twilio.messages == {}


def test_an_attempt_that_may_have_been_sent_is_counted_when_it_is_repeated(rig: Rig) -> None:
    """Fault: a provider that takes each message and answers nothing cost the caps one message."""
    prices = parse_prices("provider,place,usd,as_of\ntwilio,*,0.10,2026-11-22\n")
    rig.world.transact(lambda tx: rig.world.services.prices.keep(tx, prices, "test"))
    rig.invite()
    assert set(spent(rig).values()) == {(100_000, 0)}
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DROP))
    rig.deliver()
    assert set(spent(rig).values()) == {(200_000, 100_000)}
    assert set(spent(rig)) == {"all", "country", "inviter", "prefix"}
    rig.wait_until_due()
    rig.fail(503)
    rig.deliver()
    assert set(spent(rig).values()) == {(200_000, 100_000)}, "a plain no costs nothing"
    rig.world.clock.advance(2 * MINUTE)
    rig.deliver()
    assert rig.row().state == "sent"
    assert set(spent(rig).values()) == {(200_000, 100_000)}, "sent twice, paid twice"


def test_a_message_of_a_dead_worker_and_one_that_is_replayed_are_paid_for_again(rig: Rig) -> None:
    """Fault: what may have been sent twice was counted once, and a replay was free."""
    prices = parse_prices("provider,place,usd,as_of\ntwilio,*,0.10,2026-11-22\n")
    rig.world.transact(lambda tx: rig.world.services.prices.keep(tx, prices, "test"))
    rig.invite()
    rig.world.transact(lambda tx: rig.world.services.claims.claim(tx, 10))
    rig.world.clock.advance(LEASE)
    rig.fail(401, "20003")
    assert rig.deliver() == 1
    assert set(spent(rig).values()) == {(200_000, 100_000)}, "it may have died after the provider's yes"
    assert rig.deliver() == 0
    assert set(spent(rig).values()) == {(200_000, 100_000)}, "once a crash"
    rig.world.transact(lambda tx: rig.world.services.endings.replay(tx, rig.row().id))
    assert set(spent(rig).values()) == {(300_000, 200_000)}
    rig.deliver()
    assert rig.row().state == "sent"
    assert set(spent(rig).values()) == {(300_000, 200_000)}


def spent(rig: Rig) -> dict[str, tuple[int, int]]:
    """What was spent of each scope today, and the part that no cap refuses."""
    found = rig.world.query(rig.world.services.spending.now)
    return {one.scope: (one.day, one.day_own) for one in found}
