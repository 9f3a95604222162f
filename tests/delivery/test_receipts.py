"""Status callbacks: believed with a signature, merged in any order, and never for the worse."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import pytest

from identity_service.ports import DAY, MINUTE
from tests.delivery.rig import PUBLIC_URL, Rig
from tests.races.contenders import race
from tests.standins.loopback import Fault, Trouble
from tests.support.world import World


def test_a_repeated_callback_changes_nothing(rig: Rig) -> None:
    """Fault: Twilio repeats a callback whose answer it did not get in time."""
    invite = rig.invite()
    rig.deliver()
    sid = rig.sent().sid
    assert rig.call_back(sid, "delivered") == [204]
    before = rig.told(invite)
    rig.world.clock.advance(MINUTE)
    assert rig.call_back(sid, "delivered", "delivered", "delivered") == [204, 204, 204]
    assert rig.told(invite) == before


def test_callbacks_in_any_order_end_in_the_same_state(rig: Rig) -> None:
    """Fault: callbacks race each other over the network; `sent` must not hide `delivered`."""
    orders = list(permutations(["queued", "sent", "delivered"]))
    invites = [rig.invite() for _ in orders]
    rig.deliver()
    for sid, order in zip(list(rig.twilio.messages), orders, strict=True):
        assert rig.call_back(sid, *order) == [204] * 3
    assert [rig.told(invite)["state"] for invite in invites] == ["delivered"] * 6


def test_a_phone_that_is_switched_on_late_turns_undelivered_into_delivered(rig: Rig) -> None:
    invite = rig.invite()
    rig.deliver()
    rig.call_back(rig.sent().sid, "sent", "undelivered", error_code=30003)
    told = rig.told(invite)
    assert told["state"] == "undelivered"
    assert told["reason"], "the inviter is told why"
    rig.world.clock.advance(2 * DAY)
    assert rig.call_back(rig.sent().sid, "delivered") == [204]
    assert rig.told(invite)["state"] == "delivered"
    assert rig.call_back(rig.sent().sid, "failed", error_code=30005) == [204]
    assert rig.told(invite)["state"] == "delivered", "a late failure took a delivery back"


def test_a_number_that_turns_out_wrong_is_told_to_its_inviter(rig: Rig) -> None:
    invite = rig.invite()
    rig.deliver()
    rig.call_back(rig.sent().sid, "failed", error_code=30005)
    told = rig.told(invite)
    assert told["state"] == "failed"
    assert told["reason"]


def test_a_forged_callback_is_refused_and_changes_nothing(rig: Rig) -> None:
    """Attack: telling the service that a code was delivered, or that a number is dead, without Twilio."""
    invite = rig.invite()
    rig.deliver()
    before = rig.rows()
    address, form, headers = rig.twilio.callback(rig.sent().sid, "delivered")
    signature = headers["X-Twilio-Signature"]
    forgeries = [
        (address, form, {}),
        (address, form, {"X-Twilio-Signature": ""}),
        (
            address,
            form,
            {"X-Twilio-Signature": signature[:-3] + ("AA=" if signature[-3:] != "AA=" else "BB=")},
        ),
        (address, form | {"MessageStatus": "failed"}, headers),
        (address.replace("attempt=msg_", "attempt=msg_0"), form, headers),
        (address + "&more=1", form, headers),
    ]
    for forgery in forgeries:
        refused = rig.post(*forgery)
        assert (refused.status_code, refused.json["code"]) == (403, "receipt_forged")  # type: ignore[index]
        assert refused.content_type == "application/problem+json"
    assert rig.rows() == before
    assert rig.told(invite)["state"] == "sent"
    # The address that was signed is the configured one: what a proxy or a forger writes decides nothing.
    elsewhere = address.replace(PUBLIC_URL, "https://evil.example")
    forged = headers | {"X-Twilio-Signature": rig.twilio.sign(elsewhere, form), "Host": "evil.example"}
    assert rig.post(address, form, forged).status_code == 403
    assert rig.post(address, form, headers | {"Host": "evil.example"}).status_code == 204


def test_a_signed_callback_for_a_message_that_nobody_knows_is_taken_and_forgotten(rig: Rig) -> None:
    """Fault: a callback for a message of another service on the same account, or of a purged one.

    An error would make Twilio repeat it, and tells it nothing that it could do.
    """
    rig.invite()
    rig.deliver()
    before = rig.rows()
    address, form, _ = rig.twilio.callback(rig.sent().sid, "delivered")
    stray = form | {"MessageSid": "SM" + "0" * 32, "SmsSid": "SM" + "0" * 32}
    for where in (address.partition("?")[0], address.partition("?")[0] + "?attempt=msg_unknown.1"):
        answer = rig.post(where, stray, {"X-Twilio-Signature": rig.twilio.sign(where, stray)})
        assert answer.status_code == 204
    assert rig.rows() == before


def test_a_signed_callback_that_makes_no_sense_is_refused(rig: Rig) -> None:
    rig.invite()
    rig.deliver()
    address, form, _ = rig.twilio.callback(rig.sent().sid, "delivered")
    for odd in (form | {"MessageStatus": "teleported"}, {k: v for k, v in form.items() if k != "MessageSid"}):
        answer = rig.post(address, odd, {"X-Twilio-Signature": rig.twilio.sign(address, odd)})
        assert 400 <= answer.status_code < 500
    assert rig.row().state == "sent"


def test_a_receipt_that_is_faster_than_the_reply_is_kept(rig: Rig) -> None:
    """Fault: the callback overtakes the answer to the request; marking "sent" must not undo "delivered"."""
    invite = rig.invite()
    rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_SLOWLY, seconds=0.6))

    def overtake() -> list[int]:
        while not rig.twilio.messages:
            rig.twilio.wait(0.01)
        return rig.call_back(rig.sent().sid, "delivered")

    calls = [rig.deliver, overtake]
    assert race(calls) == [1, [204]]
    assert rig.told(invite)["state"] == "delivered"
    rig.world.clock.advance(DAY)
    assert rig.deliver() == 0


@pytest.mark.race
def test_callbacks_that_arrive_at_once_end_in_the_best_state(rig: Rig) -> None:
    """Fault: two web processes merge two receipts of one message; each reads, and the later write wins.

    `delivered` would be lost for good: Twilio was answered 204 and does not say it again.
    """
    invites = [rig.invite() for _ in range(8)]
    for _ in invites:
        rig.twilio.go_wrong(Fault(trouble=Trouble.ACCEPT_THEN_DROP))
    rig.deliver()
    sids = list(rig.twilio.messages)
    assert len(sids) == 8
    reports = ["undelivered", "delivered", "sent", "failed"]
    calls = [partial(rig.call_back, sid, report) for sid in sids for report in reports]
    assert race(calls) == [[204]] * 32
    assert {rig.told(invite)["state"] for invite in invites} == {"delivered"}


def test_where_twilio_is_not_used_nobody_may_report(world: World) -> None:
    answer = world.app.test_client().post("/callbacks/twilio/status", data={"MessageSid": "SM1"})
    assert answer.status_code == 404
