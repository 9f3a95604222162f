from __future__ import annotations

import json

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


def test_a_route_is_explained_with_its_candidates_and_the_reason(run: Terminal, world: World) -> None:
    routes = "RU=null,inbox"
    told = json.loads(
        run("sms", "route", "explain", "+79161234567", "--json", IDENTITY_SMS_ROUTES=routes).stdout
    )
    assert [one["provider"] for one in told["candidates"]] == ["null", "inbox"]
    assert (told["choice"], told["reason"], told["country"]) == ("null", "first_in_route", "RU")
    assert "9161234567" not in str(told)
    shown = run("sms", "route", "explain", "+447911123456", IDENTITY_SMS_ROUTES=routes)
    assert "inbox, first_in_route" in shown.stderr
    run("sms", "route", "explain", "+7", code=1)
    run("sms", "route", "explain", "+79161234567", code=2, IDENTITY_SMS_ROUTES="RU=pigeon")


def test_what_is_known_of_the_providers_is_shown(run: Terminal, world: World) -> None:
    api, issuer = world.api(), world.seed(quota=1)
    sms(api, issuer.id, world.phone())
    world.inbox()
    world.work()
    [row] = run.json("sms", "health")["data"]
    assert (row["provider"], row["country"], row["condition"], row["errors"]) == ("inbox", "RU", "well", 0.0)
    assert run.json("sms", "health", "--unwell")["data"] == []
    assert run.json("sms", "health", "--country", "FR")["data"] == []
