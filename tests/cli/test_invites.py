from __future__ import annotations

from tests.cli.conftest import Terminal
from tests.support.world import World


def test_one_invite_is_told_as_the_api_tells_it_with_code_and_link(run: Terminal, world: World) -> None:
    api, seed = world.api(), world.seed(quota=2)
    made = run.json("invites", "issue", "--issuer", seed.id, "--note", "for Bo", "--expires-in", "7d")
    assert made["link"].endswith("/i/" + made["code"].replace("-", ""))
    assert (made["issuer_id"], made["channel"], made["max_uses"]) == (seed.id, "link", 1)
    shown = run.json("invites", "show", made["id"])
    assert shown == api.get(f"/v1/invites/{made['id']}").json
    assert "code" not in shown
    assert world.join(api, seed.id)["member"]["inviter_id"] == seed.id
    assert "quota_exhausted" in run("invites", "issue", "--issuer", seed.id, code=1).stderr


def test_a_phone_is_sent_its_code_which_the_operator_never_sees(run: Terminal, world: World) -> None:
    seed, phone = world.seed(quota=1), world.phone()
    made = run.json("invites", "issue", "--issuer", seed.id, "--phone", phone, "--locale", "ru")
    assert made["channel"] == "sms"
    assert "code" not in made
    assert "link" not in made
    assert phone not in made["phone"]
    assert world.invite_code(phone)
    assert run.json("invites", "show", made["id"])["delivery"]["state"] == "delivered"


def test_many_invites_of_a_campaign_are_listed(run: Terminal, world: World) -> None:
    made = run.json("invites", "issue", "--campaign", "spring", "--count", "3", "--max-uses", "5")["data"]
    assert len({invite["code"] for invite in made}) == 3
    assert {invite["campaign"] for invite in made} == {"spring"}
    listed = run.json("invites", "list", "--campaign", "spring", "--state", "open")
    assert {invite["id"] for invite in listed["data"]} == {invite["id"] for invite in made}
    assert run.json("invites", "list", "--campaign", "autumn")["data"] == []
    codes = run("invites", "issue", "--campaign", "spring", "--count", "2").stdout.splitlines()
    assert codes[0].split("\t")[:2] == ["id", "code"]
    assert len(codes) == 3


def test_more_than_the_quota_allows_makes_none(run: Terminal, world: World) -> None:
    seed = world.seed(quota=2)
    refused = run("invites", "issue", "--issuer", seed.id, "--count", "3", code=1)
    assert "quota_exhausted" in refused.stderr
    assert run.json("invites", "list", "--issuer", seed.id)["data"] == []
    assert run.json("quota", "show", seed.id)["available"] == 2


def test_a_dry_run_makes_nothing(run: Terminal, world: World) -> None:
    seed = world.seed(quota=1)
    assert run("invites", "issue", "--issuer", seed.id, "--dry-run").stdout == ""
    assert run.json("quota", "show", seed.id)["available"] == 1
    assert (
        "quota_exhausted"
        in run("invites", "issue", "--issuer", seed.id, "--count", "2", "--dry-run", code=1).stderr
    )


def test_more_than_a_hundred_are_made_only_when_meant(run: Terminal) -> None:
    many = ("invites", "issue", "--campaign", "spring", "--count", "101")
    assert "--yes" in run(*many, code=2).stderr
    assert run.json("invites", "list")["data"] == []
    assert len(run.json(*many, "--yes")["data"]) == 101


def test_options_that_do_not_fit_are_wrong_usage(run: Terminal, world: World) -> None:
    seed = world.seed()
    run("invites", "issue", code=2)
    run("invites", "issue", "--issuer", seed.id, "--campaign", "x", code=2)
    run("invites", "issue", "--campaign", "two words", code=2)
    run("invites", "issue", "--campaign", "x", "--count", "0", code=2)
    run("invites", "issue", "--campaign", "x", "--expires-in", "7 days", code=2)
    run("invites", "issue", "--campaign", "x", "--count", "2", "--phone", world.phone(), code=2)
    assert "validation_failed" in run("invites", "issue", "--issuer", "mem_none", code=1).stderr


def test_revoking_gives_back_what_was_not_redeemed(run: Terminal, world: World) -> None:
    seed = world.seed(quota=3)
    made = run.json("invites", "issue", "--issuer", seed.id, "--max-uses", "3")
    run("invites", "revoke", made["id"], code=2)
    assert run.json("invites", "revoke", made["id"], "--reason", "a mistake")["state"] == "revoked"
    assert run.json("quota", "show", seed.id)["available"] == 3
    assert "not_found" in run("invites", "revoke", "inv_none", "--reason", "x", code=1).stderr


def test_an_sms_is_sent_again_when_its_cool_down_is_over(run: Terminal, world: World) -> None:
    phone = world.phone()
    made = run.json("invites", "issue", "--campaign", "spring", "--phone", phone)
    assert "send_cooldown" in run("invites", "resend", made["id"], code=1).stderr
    link = run.json("invites", "issue", "--campaign", "spring")
    assert "invite_not_sms" in run("invites", "resend", link["id"], code=1).stderr


def test_a_trace_tells_the_whole_story_by_id_code_and_link(run: Terminal, world: World) -> None:
    api, seed, phone = world.api(), world.seed(quota=1), world.phone()
    made = run.json("invites", "issue", "--issuer", seed.id)
    code = made["code"]
    proof = world.verify(api, phone, "registration", invite_code=code)
    joined = api.post("/v1/registrations", {"invite_code": code, "proof": proof}).json
    assert joined is not None
    world.work()
    story = run.json("invites", "trace", made["id"])
    assert story["invite"]["state"] == "redeemed"
    assert story["issuer"]["id"] == seed.id
    assert [hold["state"] for hold in story["holds"]] == ["used"]
    assert phone not in str(story)
    assert [member["id"] for member in story["joined"]] == [joined["member"]["id"]]
    assert story["journal"][0]["type"] == "invite.issued"
    assert story["journal"][0]["actor"] == "olga"
    sloppy = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    for way in (sloppy, f" {code} ", made["link"], made["link"] + "/"):
        assert run.json("invites", "trace", way)["invite"]["id"] == made["id"]
    assert joined["member"]["id"] in run("invites", "trace", code).stdout


def test_a_trace_tells_the_messages_of_an_sms_invite(run: Terminal, world: World) -> None:
    made = run.json("invites", "issue", "--campaign", "spring", "--phone", world.phone())
    world.work()
    messages = run.json("invites", "trace", made["id"])["messages"]
    assert [(m["state"], m["provider"], m["attempts"]) for m in messages] == [("delivered", "inbox", 1)]


def test_a_code_with_a_slip_is_told_apart_from_an_unknown_one(run: Terminal) -> None:
    code = run.json("invites", "issue", "--campaign", "spring")["code"]
    last = "A" if code[-1] != "A" else "B"
    slip = run("invites", "trace", code[:-1] + last, code=1)
    assert "mistyped" in slip.stderr
    assert "not_found" in run("invites", "trace", "inv_none", code=1).stderr
    assert "invite_not_redeemable" in run("invites", "trace", "hello", code=1).stderr
