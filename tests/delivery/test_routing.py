"""Several providers: each by its own wire and signature, chosen by place, by what was tried, by health."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from identity_service.ports import MINUTE, SECOND
from identity_service.services.invites import IssueInvite
from identity_service.services.outcomes import Asked
from sms.health import Because, Condition
from sms.numbers import E164, parse
from sms.prices import parse_prices
from sms.providers.base import Accepted
from sms.states import DeliveryState
from tests.delivery.rig import PUBLIC_URL, Rig, twilio_settings
from tests.races.contenders import race
from tests.service.steps import check, link, no, ok, start
from tests.standins import vonage as vonage_facts
from tests.standins.loopback import Fault, Trouble
from tests.standins.twilio import TwilioStandIn
from tests.standins.vonage import VonageStandIn
from tests.standins.webhook_sender import SECRET, WebhookSenderStandIn
from tests.support.world import World


@dataclass
class Carriers:
    """Three providers, and the settings that reach them."""

    twilio: TwilioStandIn
    vonage: VonageStandIn
    webhook: WebhookSenderStandIn

    def settings(self, route: str, routes: str = "") -> dict[str, Any]:
        return twilio_settings(self.twilio.base_url, route) | {
            "sms_routes": routes,
            "vonage_api_key": vonage_facts.API_KEY,
            "vonage_api_secret": vonage_facts.API_SECRET,
            "vonage_signature_secret": vonage_facts.SIGNATURE_SECRET,
            "vonage_from": "Identity",
            "vonage_api_base_url": self.vonage.base_url,
            "sms_webhook_url": self.webhook.base_url,
            "sms_webhook_secrets": SECRET,
        }


@pytest.fixture
def carriers(twilio: TwilioStandIn) -> Iterator[Carriers]:
    with VonageStandIn() as vonage, WebhookSenderStandIn() as webhook:
        yield Carriers(twilio, vonage, webhook)


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(new_world: Callable[..., World], carriers: Carriers) -> MakeRig:
    return lambda route, routes="": Rig(new_world(**carriers.settings(route, routes)), carriers.twilio)


def providers(rig: Rig) -> list[str | None]:
    return [row.provider for row in rig.rows()]


def entries(rig: Rig, invite: str) -> list[dict[str, Any]]:
    return [
        entry
        for message in ok(rig.api.get(f"/v1/invites/{invite}/messages"))["data"]
        for entry in message["timeline"]
    ]


# -- each by its own wire -------------------------------------------------------------------------------


def test_vonage_sends_and_its_signed_receipts_are_believed(make_rig: MakeRig, carriers: Carriers) -> None:
    rig = make_rig("vonage")
    invite = rig.invite()
    rig.deliver()
    [sent] = carriers.vonage.messages.values()
    assert rig.told(invite)["state"] == "sent"
    address = sent.parameters["callback"]
    assert address == f"{PUBLIC_URL}/callbacks/vonage/status?attempt={rig.row().attempt_id}"
    receipt = carriers.vonage.receipt(sent.message_id, "delivered")
    path = address.removeprefix(PUBLIC_URL)
    http = rig.world.app.test_client()
    forged = http.post(path, data=receipt | {"status": "failed"})
    assert (forged.status_code, forged.json["code"]) == (403, "receipt_forged")  # type: ignore[index]
    assert http.post(path, json=receipt | {"sig": "00"}).status_code == 403
    assert rig.told(invite)["state"] == "sent"
    assert http.post(path, json=receipt).status_code == 204
    assert http.post(path, data=receipt).status_code == 204
    assert rig.told(invite)["state"] == "delivered"


def test_an_own_sender_gets_signed_messages_and_signs_its_reports(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("webhook")
    invite = rig.invite()
    rig.deliver()
    [sent] = carriers.webhook.messages.values()
    path = sent["callback_url"].removeprefix(PUBLIC_URL)
    facts = {"id": "own-" + sent["attempt_id"], "state": "delivered"}
    body, headers = carriers.webhook.receipt(facts)
    http = rig.world.app.test_client()
    assert http.post(path, data=body.replace(b"delivered", b"failed"), headers=headers).status_code == 403
    assert http.post(path, data=body).status_code == 403
    assert rig.told(invite)["state"] == "sent"
    assert http.post(path, data=body, headers=headers).status_code == 204
    assert rig.told(invite)["state"] == "delivered"


def test_one_providers_signature_says_nothing_for_another(make_rig: MakeRig, carriers: Carriers) -> None:
    """Attack: a signed report of one provider, brought to another's address."""
    rig = make_rig("vonage,webhook")
    rig.invite()
    rig.deliver()
    [sent] = carriers.vonage.messages.values()
    receipt = carriers.vonage.receipt(sent.message_id, "delivered")
    http = rig.world.app.test_client()
    assert http.post("/callbacks/webhook/status", data=urlencode(receipt)).status_code == 403
    assert http.post("/callbacks/twilio/status", data=receipt).status_code == 404
    assert http.post("/callbacks/nobody/status", data=receipt).status_code == 404


def test_a_provider_that_sends_no_reports_is_not_reported_for(world: World) -> None:
    no(world.app.test_client().post("/callbacks/inbox/status"), 404, "receipt_unsupported")


# -- by place, and by what was tried --------------------------------------------------------------------


def test_a_country_and_a_prefix_have_routes_of_their_own(make_rig: MakeRig, carriers: Carriers) -> None:
    rig = make_rig("twilio", "RU=webhook,twilio; +4479=vonage,twilio")
    for phone in ("+79161112233", "+447911123456", "+447400123456", "+33612345678"):
        rig.invite(phone)
    rig.deliver()
    assert providers(rig) == ["webhook", "vonage", "twilio", "twilio"]


def price(rig: Rig, **usd: float) -> None:
    rows = "".join(f"{provider},RU,{amount},2026-11-22\n" for provider, amount in usd.items())
    listed = parse_prices("provider,place,usd,as_of\n" + rows)
    rig.world.transact(lambda tx: rig.world.services.prices.keep(tx, listed, "test"))


def test_the_cheaper_of_equal_rank_sends_while_it_is_well_and_the_story_says_why(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("twilio|vonage,webhook")
    price(rig, twilio=0.30, vonage=0.20, webhook=0.01)
    rig.invite()
    rig.deliver()
    price(rig, twilio=0.10, vonage=0.20)
    invite = rig.invite()
    rig.deliver()
    assert providers(rig) == ["vonage", "twilio"]
    [story] = rig.world.query(lambda tx: rig.world.services.timeline.of_subject(tx, invite))
    assert story.entries[-1].why == "first_in_route"
    for _ in range(8):
        rig.fail(503)
        rig.invite()
    while rig.deliver():
        pass
    learn(rig)
    for _ in range(10):
        rig.invite()
    rig.deliver()
    assert providers(rig)[-10:].count("vonage") >= 6, "cheap and unwell: probes only"


def test_a_prefix_with_a_route_of_its_own_has_health_of_its_own(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    """Fault: an outage towards one network took a provider away from the whole country, and the other way."""
    rig = make_rig("twilio,vonage", "+7916=twilio,vonage")
    for n in range(8):
        rig.fail(503)
        rig.invite(f"+7916123450{n}")
    while rig.deliver():
        pass
    learn(rig)
    assert condition(rig, "twilio", "+7916") == (Condition.UNWELL, Because.ERRORS)
    known = rig.world.query(rig.world.services.routing.vitals)
    assert ("twilio", "RU") not in known
    rig.invite("+79031234567")
    rig.deliver()
    assert providers(rig)[-1] == "twilio"
    told = rig.world.query(
        lambda tx: rig.world.services.routing.explain(tx, E164("+79161234567"), "RU", seed="")
    )
    assert (told.place, told.written_for) == ("+7916", "+7916")
    assert told.candidates[0].vitals == known["twilio", "+7916"]


def test_what_is_known_of_the_country_holds_for_a_prefix_of_which_nothing_is_known(
    make_rig: MakeRig, new_world: Callable[..., World], carriers: Carriers
) -> None:
    rig = make_rig("twilio,vonage")
    for _ in range(8):
        rig.fail(503)
        rig.invite()
    while rig.deliver():
        pass
    learn(rig)
    routing = new_world(**carriers.settings("twilio,vonage", "+7916=twilio,vonage")).services.routing
    number = E164("+79161234567")
    told = [
        rig.world.query(lambda tx, seed=seed: routing.explain(tx, number, "RU", seed=str(seed)))
        for seed in range(20)
    ]
    chosen = [one.choice.provider.name for one in told if one.choice.provider is not None]
    assert chosen.count("vonage") >= 14, "probes only"


def test_a_failed_providers_message_goes_to_the_next_and_the_story_says_why(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("twilio,vonage")
    invite = rig.invite()
    rig.fail(429, "20429")
    rig.deliver()
    assert rig.deliver() == 1, "the phone cannot ring yet, so the next provider is asked at once"
    told = [(entry["what"], entry["provider"]) for entry in entries(rig, invite)]
    assert told == [("queued", None), ("refused", "twilio"), ("accepted", "vonage")]
    [story] = rig.world.query(lambda tx: rig.world.services.timeline.of_subject(tx, invite))
    assert [entry.why for entry in story.entries] == [None, "first_in_route", "earlier_tried"]


def test_a_code_that_did_not_come_is_sent_again_by_another_provider(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("twilio,vonage")
    code = link(rig.api, rig.issuer)["code"]
    made = start(rig.api, rig.world.phone(), "registration", invite_code=code)
    rig.deliver()
    for expected in ("vonage", "twilio", "vonage"):
        rig.world.clock.advance(5 * MINUTE if expected == "vonage" and len(rig.rows()) == 3 else 61 * SECOND)
        ok(rig.api.post(f"/v1/verifications/{made['id']}/resend"), 202)
        rig.deliver()
        assert providers(rig)[-1] == expected


# -- by how well they are -------------------------------------------------------------------------------


def learn(rig: Rig) -> None:
    """Learn from everything so far, in the tests' time."""
    routing = rig.world.services.routing
    while rig.world.transact(routing.learn):
        pass


def condition(rig: Rig, provider: str, country: str = "RU") -> tuple[Condition, Because | None]:
    one = rig.world.query(rig.world.services.routing.vitals)[provider, country]
    return one.condition, one.because


def test_an_outage_moves_messages_away_and_they_come_back_by_steps(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("twilio,vonage")
    for _ in range(8):
        rig.fail(503)
        rig.invite()
    while rig.deliver():
        pass
    assert set(providers(rig)) == {"vonage"}, "every message found the other way"
    learn(rig)
    assert condition(rig, "twilio") == (Condition.UNWELL, Because.ERRORS)
    asked = len(carriers.twilio.requests)
    for _ in range(10):
        rig.invite()
    rig.deliver()
    assert len(carriers.twilio.requests) - asked <= 5, "probes only, one in twenty"
    # It works again: probes find out, and it gets twice as much each minute.
    routing, shares = rig.world.services.routing, []
    for _ in range(12):
        rig.world.clock.advance(MINUTE)
        for _ in range(2):
            _probe(rig)
        learn(rig)
        shares.append(rig.world.query(routing.vitals)["twilio", "RU"].share)
    assert shares[-1] == 1.0
    assert sorted(shares) == shares
    assert {0.1, 0.2, 0.4, 0.8} <= set(shares)


def _probe(rig: Rig) -> None:
    """A good answer of Twilio's, as a probe would bring it."""
    services, number = rig.world.services, parse(rig.world.phone())
    wanted = IssueInvite(campaign="probe", channel="sms", number=number)
    rig.world.transact(lambda tx: services.invites.issue(tx, wanted))
    [claimed] = rig.world.transact(lambda tx: services.claims.claim(tx, 1))
    yes = Accepted(provider="twilio", provider_id=f"SM{claimed.id}", state=DeliveryState.QUEUED)
    asked = Asked(provider="twilio", why="probe", took_ms=200)
    rig.world.transact(lambda tx: services.outcomes.mark_accepted(tx, claimed, yes, asked))


def test_a_provider_whose_every_receipt_lies_loses_its_messages(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    """Fault: Twilio says "delivered" and nothing arrives. Whoever gets a code by Vonage types it in."""
    rig = make_rig("twilio,vonage")
    for _ in range(16):
        phone = rig.world.phone()
        rig.world.seed(phone=phone)
        made = start(rig.api, phone)
        rig.deliver()
        rig.call_back(list(carriers.twilio.messages)[-1], "delivered")
        rig.world.clock.advance(31 * SECOND)
        ok(rig.api.post(f"/v1/verifications/{made['id']}/resend"), 202)
        rig.deliver()
        words = list(carriers.vonage.messages.values())[-1].parameters["text"].replace(".", " ").split()
        ok(check(rig.api, made["id"], next(word for word in words if word.isdigit())))
    assert providers(rig) == ["twilio", "vonage"] * 16
    rig.world.clock.advance(11 * MINUTE)
    learn(rig)
    assert condition(rig, "twilio") == (Condition.UNWELL, Because.CODES)
    assert condition(rig, "vonage") == (Condition.WELL, None)
    for _ in range(12):
        rig.invite()
    rig.deliver()
    assert providers(rig)[-12:].count("vonage") >= 7, "but for probes, one in twenty"


def test_what_one_worker_learns_the_others_know(
    make_rig: MakeRig, carriers: Carriers, new_world: Callable[..., World]
) -> None:
    rig = make_rig("twilio,vonage")
    other = new_world(**carriers.settings("twilio,vonage"))
    for _ in range(8):
        rig.fail(503)
        rig.invite()
    while rig.deliver():
        pass
    race([rig.world.worker.learn, other.worker.learn])
    known = other.query(other.services.routing.vitals)["twilio", "RU"]
    assert (known.condition, known.answers.bad) == (Condition.UNWELL, pytest.approx(5, abs=0.1))


@pytest.mark.race
def test_each_thing_is_learnt_once_however_many_learn(
    make_rig: MakeRig, carriers: Carriers, new_world: Callable[..., World]
) -> None:
    """Fault: two learners that fold the same events would count an outage twice."""
    rig = make_rig("twilio")
    for _ in range(12):
        rig.invite()
    rig.deliver()
    worlds = [rig.world, *(new_world(**carriers.settings("twilio")) for _ in range(3))]
    race([one.worker.learn for one in worlds])
    while any(one.worker.learn() for one in worlds):
        pass
    known = rig.world.query(rig.world.services.routing.vitals)["twilio", "RU"]
    assert known.answers.good == pytest.approx(12, rel=0.01)


# -- slow ones ------------------------------------------------------------------------------------------


def wait_for(what: Callable[[], object], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_a_slow_provider_delays_neither_other_providers_nor_the_journal(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    """Fault: answers that take half a minute, to more messages than one provider has threads."""
    rig = make_rig("twilio", "RU=webhook")
    for _ in range(12):
        carriers.webhook.go_wrong(Fault(trouble=Trouble.ACCEPT_SLOWLY, seconds=30))
    for n in range(10):
        rig.invite()
        rig.invite(f"+44740012345{n}")
    worker = rig.world.worker
    running = threading.Thread(target=worker.run, daemon=True)
    running.start()
    try:
        wait_for(lambda: providers(rig).count("twilio") == 10)
        wait_for(lambda: rig.world.query(rig.world.services.journal.has_new) is False)
        assert providers(rig).count(None) == 10, "the slow ones are still with their provider, or wait for it"
    finally:
        worker.stop()
        carriers.webhook._stopped.set()
        running.join(30)
    assert not running.is_alive()


def test_a_provider_that_asks_for_patience_gets_it_from_every_message(
    make_rig: MakeRig, carriers: Carriers
) -> None:
    rig = make_rig("twilio,vonage")
    rig.fail(429, "20429", retry_after="30")
    rig.invite()
    rig.deliver()
    rig.invite()
    rig.deliver()
    assert len(carriers.twilio.requests) == 1
    assert set(providers(rig)) == {"vonage"}
