from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Terminal
from tests.service.steps import ok, sms
from tests.standins.twilio import ACCOUNT_SID, AUTH_TOKEN, TwilioStandIn
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


def test_a_route_is_explained_with_its_candidates_and_the_reason(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    routes = "RU=null,inbox"
    told = json.loads(
        run("sms", "route", "explain", "+79161234567", "--json", IDENTITY_SMS_ROUTES=routes).stdout
    )
    assert [one["provider"] for one in told["candidates"]] == ["null", "inbox"]
    assert (told["choice"], told["reason"], told["country"]) == ("null", "first_in_route", "RU")
    assert "9161234567" not in str(told)
    assert (told["place"], told["route_of"]) == ("RU", "RU")
    shown = run("sms", "route", "explain", "+447911123456", IDENTITY_SMS_ROUTES=routes)
    assert "the default route: inbox, first_in_route" in shown.stderr
    shown = run("sms", "route", "explain", "+447911123456", IDENTITY_SMS_ROUTES="+4479=inbox|null")
    assert "the route of +4479: inbox, first_in_route" in shown.stderr
    run("sms", "prices", "import", prices(tmp_path / "prices.csv", "inbox,+4479,0.02,2026-11-20"))
    run("sms", "prices", "import", prices(tmp_path / "null.csv", "null,+4479,0.01,2026-11-20"))
    run.env["IDENTITY_SMS_ROUTES"] = "+4479=inbox|null"
    told = run.json("sms", "route", "explain", "+447911123456")
    asked = [(one["provider"], one["price"]) for one in told["candidates"]]
    assert asked == [("null", 0.01), ("inbox", 0.02)]
    assert (told["choice"], told["reason"]) == ("null", "cheapest_of_rank")
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


# -- money ----------------------------------------------------------------------------------------------


def prices(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["provider,place,usd,as_of", *rows]))
    return str(path)


def test_prices_are_imported_over_those_built_in(run: Terminal, tmp_path: Path) -> None:
    [built_in] = run.json("sms", "prices", "show", "--place", "RU")["data"]
    assert built_in["source"] == "built in"
    file = prices(tmp_path / "prices.csv", "*,RU,0.41,2026-11-20", "twilio,+7916,0.5,2026-11-20")
    assert run.json("sms", "prices", "import", file, "--dry-run")["count"] == 2
    assert run.json("sms", "prices", "show", "--place", "RU")["data"] == [built_in]
    run("sms", "prices", "import", file)
    [imported] = run.json("sms", "prices", "show", "--place", "RU")["data"]
    assert (imported["usd"], imported["as_of"], imported["source"]) == (0.41, "2026-11-20", "prices.csv")
    told = run.json("sms", "route", "explain", "+79031234567")
    assert [one["price"] for one in told["candidates"]] == [0.0], "the inbox is free"
    typo = prices(tmp_path / "typo.csv", "twillio,RU,0.4,2026-11-20")
    assert "No route names twillio" in run("sms", "prices", "import", typo, "--dry-run").stderr
    wrong = prices(tmp_path / "wrong.csv", "*,RU,41,2026-11-20")
    assert "line 2" in run("sms", "prices", "import", wrong, code=2).output
    run("sms", "prices", "import", str(tmp_path / "none.csv"), code=2)


def test_prices_are_refreshed_from_the_provider(run: Terminal) -> None:
    with TwilioStandIn() as twilio:
        twilio.prices["RU"] = {"one": "0.42", "two": "0.38"}
        run.env |= {
            "IDENTITY_SMS_ROUTE": "twilio",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_FROM": "+15005550006",
            "TWILIO_API_BASE_URL": twilio.base_url,
        }
        run("sms", "prices", "refresh", "--country", "RU")
        refused = run("sms", "prices", "refresh", "--country", "RU", "--country", "KZ", code=3)
        assert "KZ" in refused.stderr
        [row] = run.json("sms", "prices", "show", "--provider", "twilio")["data"]
        assert (row["place"], row["usd"], row["source"]) == ("RU", 0.42, "twilio's price list")
    run("sms", "prices", "refresh", "--provider", "inbox", code=2)


def test_what_is_spent_and_what_a_verified_member_costs_is_shown(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    run("sms", "prices", "import", prices(tmp_path / "prices.csv", "inbox,*,0.1,2026-11-20"))
    api, issuer = world.api(), world.seed(quota=3)
    joined, silent = world.phone(), world.phone()
    for phone in (joined, silent):
        sms(api, issuer.id, phone)
    body = {"invite_code": world.invite_code(joined), "phone": joined}
    ok(api.post("/v1/registrations", body), 201)
    world.work()
    spent = {row["scope"]: row["hour"] for row in run.json("sms", "spend")["data"]}
    assert spent == {"all": 0.2, "country": 0.2, "inviter": 0.2, "prefix": 0.2}
    assert len(run.json("sms", "spend", "--scope", "all")["data"]) == 1
    for by, of in (("country", "RU"), ("provider", "inbox"), ("campaign", None), ("purpose", "invite")):
        [row] = run.json("sms", "costs", "--by", by)["data"]
        assert (row[by], row["messages"], row["cost"], row["verified"]) == (of, 2, 0.2, 1)
        assert row["per_verified"] == 0.2
