from __future__ import annotations

from tests.cli.conftest import Terminal
from tests.service.steps import sms
from tests.support.world import World


def test_a_messages_story_is_told_by_its_id_and_by_what_it_is_about(run: Terminal, world: World) -> None:
    api, issuer, phone = world.api(), world.seed(quota=1), world.phone()
    invite = sms(api, issuer.id, phone)["id"]
    world.inbox()
    [told] = run.json("sms", "timeline", invite)["data"]
    assert [entry["what"] for entry in told["timeline"]] == ["queued", "accepted", "delivered"]
    assert told["timeline"][1]["why"] == "first_in_route"
    assert run.json("sms", "timeline", told["id"])["data"] == [told]
    shown = run("sms", "timeline", told["id"]).stdout
    assert "accepted" in shown
    assert phone not in shown
    run("sms", "timeline", "msg_nothing", code=1)


def test_an_operator_sees_that_a_decoy_was_withheld(run: Terminal, world: World) -> None:
    api = world.api()
    made = api.post("/v1/verifications", {"purpose": "login", "phone": world.phone()}).json
    world.inbox()
    [told] = run.json("sms", "timeline", made["id"])["data"]  # type: ignore[index]
    assert told["state"] == "withheld"
