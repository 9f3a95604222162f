"""`identity policy`: shown, checked with every fault's place, announced."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import text

from identity_service.policy.rules import default_text
from identity_service.ports import DAY, SECOND
from tests.cli.conftest import Terminal
from tests.service.test_policy_book import announce, rules, version
from tests.support.world import World


def _file(tmp_path: Path, rules_: str) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(rules_)
    return str(path)


def test_the_policy_in_force_is_printed_as_the_file_that_it_is(run: Terminal, world: World) -> None:
    assert run("policy", "show").stdout == default_text()
    shown = run.json("policy", "show")
    assert shown == world.api().get("/v1/policy").json
    assert (shown["version"], shown["source"], shown["announced"]) == ("2026-11-1", "settings", [])
    assert shown["rules"]["invites"]["hold"] == "30m"


def test_a_policy_is_rehearsed_applied_and_shown_in_the_history(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    order = ("policy", "apply", _file(tmp_path, rules("strict")), "--reason", "too many")
    rehearsed = run.json(*order, "--dry-run")
    assert run.json("policy", "show", "--history")["data"] == []
    done = run.json(*order, "--yes")
    assert (rehearsed["changes"], rehearsed["dry_run"]) == (done["changes"], True)
    assert done["changes"] == [{"rule": "invites.member_max_uses", "before": "100", "after": "7"}]
    world.clock.advance(2 * SECOND)
    assert version(world) == "strict"
    (shown,) = run.json("policy", "show", "--history")["data"]
    assert (shown["version"], shown["actor"], shown["reason"]) == ("strict", "olga", "too many")


def test_a_policy_takes_force_when_the_operator_says(run: Terminal, world: World, tmp_path: Path) -> None:
    order = ("policy", "apply", _file(tmp_path, rules("strict")), "--reason", "x", "--yes")
    run(*order, "--from", "soon", code=2)
    run(*order, "--from", "2001-01-01T00:00:00Z", code=1)
    run(*order, "--from", "7d")
    assert "Announced: strict" in run("policy", "show").stderr
    assert version(world) == "2026-11-1"
    world.clock.advance(7 * DAY + SECOND)
    assert version(world) == "strict"


def test_where_nobody_can_be_asked_only_yes_lets_it_happen(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    order = ("policy", "apply", _file(tmp_path, rules("strict")), "--reason", "x")
    assert "--yes" in run(*order, code=2).stderr
    run(*order, "--yes")
    assert "policy_unchanged" in run(*order, "--yes", code=1).stderr
    other = ("policy", "apply", _file(tmp_path, rules("strict", 8)), "--reason", "x", "--yes")
    assert "policy_version_taken" in run(*other, code=1).stderr


def test_every_fault_of_a_file_is_told_with_its_place(run: Terminal, tmp_path: Path) -> None:
    wrong = (
        default_text().replace("code_digits = 6\n", "code_digits = 4\n", 1).replace("[members]", "[memberz]")
    )
    told = run("policy", "check", _file(tmp_path, wrong), code=1).stderr
    line = wrong.splitlines().index("code_digits = 4") + 1
    assert f"rules.toml:{line}: verification.code_digits" in told
    assert "members: Field required" in told
    assert "memberz" in told
    found = run.json("policy", "check", _file(tmp_path, wrong), code=1)
    assert [one["rule"] for one in found["faults"]] == ["verification.code_digits", "members", "memberz"]
    assert "not TOML" in run("policy", "check", _file(tmp_path, "a = [\n"), code=1).stderr
    assert run.json("policy", "check", _file(tmp_path, default_text()))["ok"] is True
    run("policy", "check", str(tmp_path / "none.toml"), code=2)


def test_what_may_be_regretted_is_warned_of_and_refuses_nothing(run: Terminal, tmp_path: Path) -> None:
    hasty = default_text().replace('age = "30d"', 'age = "2d"', 1)
    file = _file(tmp_path, hasty)
    line = next(n for n, text_ in enumerate(hasty.splitlines(), 1) if text_.startswith('age = "2d"'))
    told = run("policy", "check", file).stderr
    assert f"rules.toml:{line}: warning: levels.1.enter.age: members earn after 2 days" in told
    (warned,) = run.json("policy", "check", file)["warnings"]
    assert (warned["line"], warned["rule"]) == (line, "levels.1.enter.age")


def test_the_doctor_says_which_policy_is_in_force_and_when_a_file_is_not_read(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    def told(**env: str) -> tuple[bool, str]:
        listed = json.loads(run("doctor", "--json", code=1, **env).stdout)["checks"]  # no worker runs
        (one,) = [check for check in listed if check["name"] == "policy in force"]
        return one["ok"], one["detail"]

    assert told() == (True, "2026-11-1, of the settings")
    world.clock.advance(-DAY)
    announce(world, rules("strict"))
    assert told() == (True, "strict, of the database")
    file = _file(tmp_path, rules("other"))
    well, detail = told(IDENTITY_POLICY_FILE=file)
    assert well
    assert "IDENTITY_POLICY_FILE names another text" in detail
    with world.services.store.engine.begin() as connection:
        connection.execute(text("UPDATE policies SET text = 'tomorrow = 1'"))
    assert told()[0] is False
