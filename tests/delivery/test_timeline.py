"""Every message has a story: complete, in order, each thing once, and no word of it private."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identity_service.ports import DAY, MINUTE, SECOND
from tests.delivery.rig import Rig, twilio_settings
from tests.service.steps import check, link, no, ok, start, stop_clock
from tests.standins.loopback import Fault, Trouble
from tests.standins.twilio import TwilioStandIn
from tests.support.world import World


def story(rig: Rig, path: str) -> dict[str, Any]:
    """The only message of an invite or a verification."""
    [message] = ok(rig.api.get(f"{path}/messages"))["data"]
    return dict(message)


def happened(rig: Rig, path: str) -> list[str]:
    return [entry["what"] for entry in story(rig, path)["timeline"]]


def advice(rig: Rig, path: str) -> dict[str, Any]:
    return dict(ok(rig.api.get(f"{path}/messages"))["next"])


def test_an_invites_whole_journey_is_told(rig: Rig) -> None:
    phone = rig.world.phone()
    path = f"/v1/invites/{rig.invite(phone)}"
    assert happened(rig, path) == ["queued"]
    rig.deliver()
    rig.call_back(rig.sent().sid, "queued", "sent", "delivered", "sent", "delivered")
    told = story(rig, path)
    assert [entry["what"] for entry in told["timeline"]] == ["queued", "accepted", "sent", "delivered"]
    assert [entry["provider"] for entry in told["timeline"]] == [None, "twilio", "twilio", "twilio"]
    assert [entry["attempt"] for entry in told["timeline"]] == [None, 1, 1, 1]
    assert told["timeline"][-1]["confirmed_by"] == "phone"
    assert told["state"] == "delivered"
    assert phone not in str(told)
    code = rig.twilio.messages[rig.sent().sid].sent_body.split()[-2:]
    found = next(word for word in code if "-" in word)
    assert ok(rig.api.post("/v1/registrations", {"invite_code": found, "phone": phone}), 201)
    assert happened(rig, path)[-1] == "came_back"
    assert advice(rig, path)["step"] == "nothing"


def test_an_operator_reads_the_whole_of_one_message(rig: Rig) -> None:
    phone = rig.world.phone()
    invite = rig.invite(phone)
    rig.fail(503)
    rig.deliver()
    rig.wait_until_due()
    rig.deliver()
    path = f"/v1/messages/{story(rig, f'/v1/invites/{invite}')['id']}"
    told = ok(rig.api.get(path))
    assert (told["subject_id"], told["provider"], told["attempts"]) == (invite, "twilio", 2)
    _, refused, accepted = told["timeline"]
    assert (refused["failure"], refused["provider_code"]) == ("unavailable", "http_503")
    assert (accepted["why"], accepted["took_ms"] >= 0) == ("first_in_route", True)
    assert told["cost"] > 0
    assert phone not in str(told)
    no(rig.api.get("/v1/messages/msg_nobody"), 404, "not_found")
    no(rig.world.api("invites:read", "verifications:write").get(path), 403, "scope_missing")


def test_under_country_code_1_a_delivery_is_told_as_the_carriers_word(rig: Rig) -> None:
    path = f"/v1/invites/{rig.invite('+14155552671')}"
    rig.deliver()
    rig.call_back(rig.sent().sid, "delivered")
    delivered = story(rig, path)["timeline"][-1]
    assert (delivered["what"], delivered["confirmed_by"]) == ("delivered", "carrier")
    assert "phone company" in delivered["words"]


def test_a_wrong_number_is_told_and_a_link_is_offered(rig: Rig) -> None:
    phone = rig.world.phone()
    rig.twilio.refuse_number(phone, 21614)
    path = f"/v1/invites/{rig.invite(phone)}"
    rig.deliver()
    assert happened(rig, path) == ["queued", "refused", "failed"]
    assert "landline" in story(rig, path)["reason"]
    assert advice(rig, path)["step"] == "use_link"


def test_each_attempt_and_the_next_provider_stand_in_the_story(
    new_world: Callable[..., World], twilio: TwilioStandIn
) -> None:
    rig = Rig(new_world(**twilio_settings(twilio.base_url, "twilio,inbox")), twilio)
    path = f"/v1/invites/{rig.invite()}"
    rig.fail(429, "20429")
    rig.deliver()
    rig.wait_until_due()
    rig.deliver()
    told = [(entry["what"], entry["provider"], entry["attempt"]) for entry in story(rig, path)["timeline"]]
    assert told == [
        ("queued", None, None),
        ("refused", "twilio", 1),
        ("accepted", "inbox", 2),
        ("delivered", "inbox", 2),
    ]


def test_the_next_message_has_a_time(rig: Rig) -> None:
    invite = rig.invite()
    stop_clock(rig.world)
    rig.world.clock.advance(SECOND)
    rig.deliver()
    rig.call_back(rig.sent().sid, "undelivered", error_code=30003)
    told = advice(rig, f"/v1/invites/{invite}")
    assert told["step"] == "resend"
    no(rig.api.post(f"/v1/invites/{invite}/resend"), 429, "send_cooldown")
    rig.world.clock.advance(30 * SECOND)
    assert ok(rig.api.post(f"/v1/invites/{invite}/resend"))
    rig.world.clock.advance(20 * DAY)
    assert advice(rig, f"/v1/invites/{invite}")["step"] == "start_again"


def test_not_received_is_noted_once_and_sends_nothing(rig: Rig) -> None:
    invite = rig.invite()
    rig.deliver()
    answers = [ok(rig.api.post(f"/v1/invites/{invite}/not-received")) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert [entry["what"] for entry in answers[0]["data"][0]["timeline"]] == [
        "queued",
        "accepted",
        "not_received",
    ]
    assert answers[0]["next"]["step"] == "resend"
    assert rig.deliver() == 0
    a_link = link(rig.api, rig.issuer)["id"]
    no(rig.api.post(f"/v1/invites/{a_link}/not-received"), 409, "invite_not_sms")
    assert ok(rig.api.get(f"/v1/invites/{a_link}/messages"))["data"] == []


def test_a_registrations_code_is_followed_until_it_comes_back(rig: Rig) -> None:
    phone = rig.world.phone()
    made = start(rig.api, phone, "registration", invite_code=link(rig.api, rig.issuer)["code"])
    path = f"/v1/verifications/{made['id']}"
    rig.deliver()
    sent = rig.sent()
    ok(rig.api.post(f"{path}/not-received"))
    digits = "".join(c for c in sent.sent_body.splitlines()[0] if c.isdigit())
    ok(check(rig.api, made["id"], digits))
    assert happened(rig, path) == ["queued", "accepted", "not_received", "came_back"]
    assert advice(rig, path)["step"] == "nothing"


def test_messages_of_another_clients_verification_are_not_told(rig: Rig) -> None:
    made = start(rig.api, rig.world.phone())
    other = rig.world.api()
    no(other.get(f"/v1/verifications/{made['id']}/messages"), 404, "not_found")
    no(other.post(f"/v1/verifications/{made['id']}/not-received"), 404, "not_found")


@pytest.mark.parametrize("purpose", ["login", "recovery"])
@pytest.mark.parametrize("trouble", [False, True])
def test_a_members_code_and_a_strangers_decoy_read_the_same(rig: Rig, purpose: str, trouble: bool) -> None:
    """Attack: telling who is a member by the story of a message that is never sent to anyone else."""
    member, stranger = rig.world.phone(), rig.world.phone()
    rig.world.seed(phone=member)
    stop_clock(rig.world)
    made = [start(rig.api, phone, purpose) for phone in (member, stranger)]
    if trouble:
        rig.fail(503)

    def read() -> list[Any]:
        return [_alike(ok(rig.api.get(f"/v1/verifications/{one['id']}/messages"))) for one in made]

    told = [read()]
    while rig.deliver():
        told.append(read())
    for sid in list(rig.twilio.messages):
        rig.call_back(sid, "sent", "delivered")
    rig.world.clock.advance(MINUTE)
    told.append(read())
    for one in made:
        ok(rig.api.post(f"/v1/verifications/{one['id']}/not-received"))
    told.append(read())
    rig.world.clock.advance(30 * MINUTE)
    told.append(read())
    for of_member, of_stranger in told:
        assert of_member == of_stranger
    assert [entry["what"] for entry in told[-1][0]["data"][0]["timeline"]] == ["queued", "not_received"]


def _alike(body: Any) -> Any:
    """Without the id, which differs from any two messages."""
    return body | {
        "data": [{name: value for name, value in one.items() if name != "id"} for one in body["data"]]
    }


def test_a_late_report_on_an_earlier_attempt_still_brings_good_news(rig: Rig) -> None:
    """Fault: the answer to the first attempt was lost, the second is under way, and the first one arrives."""
    path = f"/v1/invites/{rig.invite()}"
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DROP))
    rig.deliver()
    first = rig.sent().sid
    rig.wait_until_due()
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DROP))
    rig.deliver()
    assert rig.row().attempts == 2
    assert rig.call_back(first, "sent") == [204]
    assert rig.row().state == "queued", "an old attempt's `sent` says nothing of the one under way"
    assert rig.call_back(first, "delivered") == [204]
    assert rig.row().state == "delivered"
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0
    assert ("delivered", 1) in [(entry["what"], entry["attempt"]) for entry in story(rig, path)["timeline"]]
