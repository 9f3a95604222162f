"""What all commands have in common: who acts, exit codes, refusals, and what goes where."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from identity_service.cli.root import identity
from identity_service.policy.rules import load_policy
from tests.cli.conftest import Terminal
from tests.support.world import World

PHONE = "+61491570156"


def _names() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in identity.commands.items():
        children = getattr(command, "commands", None)
        found += [(name, child) for child in children] if children else [(name,)]
    return found


@pytest.mark.parametrize("name", _names(), ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(name: tuple[str, ...]) -> None:
    shown = Terminal("sqlite://")(*name, "--help").output
    assert "Usage:" in shown
    about = shown.partition("Options")[0].split("\n\n")[-1]
    assert len(about.split()) > 3
    assert "\\b" not in shown  # the mark of a paragraph that keeps its lines


def test_the_operator_is_named_in_the_audit(run: Terminal, world: World) -> None:
    run("members", "create", "--seed", "--phone", PHONE)
    run("--as", "boris", "members", "create", "--seed", "--phone", world.phone())
    run("members", "create", "--seed", "--phone", world.phone(), "--as", "clara")
    world.work()
    rows = run.lines("audit", "tail")
    assert [(row["actor_kind"], row["actor"]) for row in rows] == [
        ("operator", "olga"),
        ("operator", "boris"),
        ("operator", "clara"),
    ]


def test_a_name_that_could_not_be_written_down_is_wrong_usage(run: Terminal) -> None:
    run("members", "list", "--as", "x" * 101, code=2)
    run("members", "list", "--as", "a\nb", code=2)


def test_a_refusal_is_told_on_stderr_and_ends_with_1(run: Terminal) -> None:
    run("members", "create", "--seed", "--phone", PHONE)
    refused = run("members", "create", "--seed", "--phone", PHONE, code=1)
    assert refused.stdout == ""
    assert refused.stderr == "phone_taken: This phone is a member's already.\n"


def test_a_refusal_is_json_on_stderr_where_json_is_wanted(run: Terminal) -> None:
    refused = run("members", "create", "--seed", "--phone", "+1900", "--json", code=1)
    assert refused.stdout == ""
    told = json.loads(refused.stderr)
    assert told["code"] == "phone_invalid"
    assert told["errors"][0]["pointer"] == "/phone"


def test_unknown_commands_and_options_and_missing_ones_are_wrong_usage(run: Terminal) -> None:
    for wrong in (("nonsense",), ("members", "list", "--nonsense"), ("members", "show"), ("quota",)):
        run(*wrong, code=2)


def test_each_fault_of_the_settings_has_a_line_of_its_own(run: Terminal) -> None:
    wrong = run("members", "list", code=2, IDENTITY_PUBLIC_URL="nowhere", IDENTITY_SMS_ROUTE="pigeon")
    assert [line.split()[0] for line in wrong.stderr.splitlines()] == [
        "IDENTITY_PUBLIC_URL",
        "IDENTITY_SMS_ROUTE:",
    ]


def test_a_store_that_cannot_be_reached_ends_with_3(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("no folder")
    for url in (f"sqlite:///{tmp_path}/blocked/x.sqlite3", "postgresql://nobody@127.0.0.1:1/none"):
        gone = run("members", "list", code=3, IDENTITY_DATABASE_URL=url)
        assert gone.stdout == ""
        assert "cannot be reached" in gone.stderr


def test_a_database_that_was_never_migrated_ends_with_3_and_says_what_to_do(
    run: Terminal, tmp_path: Path
) -> None:
    sqlite3.connect(tmp_path / "empty.sqlite3").close()
    told = run("members", "list", code=3, IDENTITY_DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")
    assert "identity db upgrade" in told.stderr


def test_what_people_wrote_cannot_steer_the_terminal(run: Terminal, world: World) -> None:
    seed = world.seed()
    run("members", "sanction", seed.id, "--action", "warn", "--reason-code", "x", "--explanation", "\x1b[2Ja")
    assert "\x1b" not in run("members", "show", seed.id).stdout


def test_the_policy_in_force_is_the_settings(run: Terminal, world: World, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    text = Path(load_policy.__code__.co_filename).with_name("default.toml").read_text()
    policy.write_text(text.replace("member_max_uses = 100\n", "member_max_uses = 2\n"))
    seed = world.seed(quota=10)
    args = ("invites", "issue", "--issuer", seed.id, "--max-uses", "3")
    assert "2 here" in run(*args, code=1, IDENTITY_POLICY_FILE=str(policy)).stderr
    run(*args)
