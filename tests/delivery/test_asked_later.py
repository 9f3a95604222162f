"""A provider is asked once what became of a message: for receipts that were lost, and for the price."""

from __future__ import annotations

from collections.abc import Callable

from identity_service.ports import MINUTE, SECOND
from tests.delivery.rig import Rig, twilio_settings
from tests.service.steps import check, ok, start
from tests.standins.twilio import TwilioStandIn
from tests.support.world import World


def later(rig: Rig) -> int:
    rig.world.clock.advance(15 * MINUTE + SECOND)
    return rig.world.worker.ask_later()


def charged(rig: Rig, invite: str) -> int | None:
    [story] = rig.world.query(lambda tx: rig.world.services.timeline.of_subject(tx, invite))
    amount: int | None = story.charged
    return amount


def test_a_lost_receipt_and_a_late_price_are_asked_for_once(rig: Rig) -> None:
    invite = rig.invite()
    rig.deliver()
    rig.twilio.move(rig.sent().sid, "delivered", price="-0.4450")
    assert rig.world.worker.ask_later() == 0, "it is given time to tell by itself"
    assert later(rig) == 1
    assert rig.told(invite)["state"] == "delivered"
    assert charged(rig, invite) == 445_000
    assert later(rig) == 0


def test_a_provider_that_does_not_answer_stops_nothing(rig: Rig) -> None:
    first, second = rig.invite(), rig.invite()
    rig.deliver()
    for sid in list(rig.twilio.messages):
        rig.twilio.move(sid, "delivered")
    rig.world.clock.advance(16 * MINUTE)
    rig.fail(503)
    assert rig.world.worker.ask_later() == 2
    assert sorted(rig.told(one)["state"] for one in (first, second)) == ["delivered", "sent"]


def test_whether_codes_came_back_is_told_where_that_is_set(
    new_world: Callable[..., World], twilio: TwilioStandIn
) -> None:
    world = new_world(**twilio_settings(twilio.base_url), twilio_feedback=True)
    rig = Rig(world, twilio)
    phones = [world.phone(), world.phone()]
    made = []
    for phone in phones:
        world.seed(phone=phone)
        made.append(start(rig.api, phone)["id"])
        rig.deliver()
    first, second = twilio.messages.values()
    digits = "".join(c for c in first.sent_body.splitlines()[0] if c.isdigit())
    ok(check(rig.api, made[0], digits))
    rig.invite()
    rig.deliver()
    assert later(rig) == 3
    assert (first.outcomes, second.outcomes) == (["confirmed"], ["unconfirmed"])
    assert list(twilio.messages.values())[2].outcomes == [], "an invite's code has no such outcome"
