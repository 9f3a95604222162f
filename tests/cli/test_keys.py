from __future__ import annotations

import json
from pathlib import Path

import pytest

from identity_service.cli import keys
from identity_service.crypto import Keyring, Purpose
from tests.cli.conftest import Terminal
from tests.support.world import World


@pytest.fixture(autouse=True)
def _other_processes_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process runs beside these tests, and the test's own world looks at the file each time."""
    monkeypatch.setattr(keys, "SPREAD_SECONDS", 0.0)
    monkeypatch.setattr(Keyring, "_LOOK_EVERY", 0.0)


def _states(run: Terminal, purpose: str) -> list[str]:
    return [row["state"] for row in run.json("keys", "list")["data"] if row["purpose"] == purpose]


def _old(run: Terminal, purpose: str) -> str:
    found = [
        r for r in run.json("keys", "list")["data"] if (r["purpose"], r["state"]) == (purpose, "retiring")
    ]
    name: str = found[0]["id"]
    return name


def test_the_list_tells_every_purpose_and_no_secret(run: Terminal, world: World) -> None:
    listed = run("keys", "list", "--json").stdout
    assert sorted(row["purpose"] for row in json.loads(listed)["data"]) == sorted(Purpose)
    secrets = [row["secret"] for row in json.loads(Path("var/keyring.json").read_text())["keys"]]
    assert not [secret for secret in secrets if secret in listed]


def test_phones_are_found_before_during_and_after_a_rotation_of_their_key(
    run: Terminal, world: World
) -> None:
    phone = world.phone()
    world.seed(phone=phone)
    assert "is current" in run("keys", "rotate", "phone_lookup").stderr
    assert _states(run, "phone_lookup") == ["retiring", "current"]
    assert "phone_taken" in run("members", "create", "--seed", "--phone", phone, code=1).stderr
    old = _old(run, "phone_lookup")
    assert run.json("keys", "retire", old, "--dry-run")["data"][0]["still_needed"] is None
    run("keys", "retire", old)
    assert _states(run, "phone_lookup") == ["current"]
    assert "phone_taken" in run("members", "create", "--seed", "--phone", phone, code=1).stderr
    looked_up = world.api().post("/v1/members/lookup", {"phone": phone})
    assert looked_up.status_code == 200


def test_a_rotation_that_was_broken_off_goes_on_where_it_was(
    run: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.seed()

    def breaks(_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(keys, "_move_index", breaks)
        with pytest.raises(MemoryError):
            run("keys", "rotate", "phone_lookup")
    assert _states(run, "phone_lookup") == ["current", "next"]
    assert "going on" in run("keys", "rotate", "phone_lookup").stderr
    assert _states(run, "phone_lookup") == ["retiring", "current"]


def test_sealed_numbers_move_to_the_new_key_and_the_old_one_can_go(run: Terminal, world: World) -> None:
    invited, phone = world.seed(), world.phone()
    run("invites", "issue", "--campaign", "spring", "--phone", phone)
    run("keys", "rotate", "seal")
    old = _old(run, "seal")
    assert "rotation_running" in run("keys", "rotate", "seal", code=1).stderr
    run("keys", "retire", old)
    assert world.invite_code(phone)
    assert run.json("members", "show", invited.id)["phone"]["masked"]


def test_a_key_that_is_still_needed_stays_unless_forced(run: Terminal, world: World) -> None:
    run("invites", "issue", "--campaign", "spring")
    run("keys", "rotate", "code_hash")
    old = _old(run, "code_hash")
    refused = run("keys", "retire", old, code=1)
    assert "key_in_use" in refused.stderr
    run("keys", "retire", old, "--force")
    assert _states(run, "code_hash") == ["current"]
    assert "not_found" in run("keys", "retire", old, code=1).stderr
    assert "key_in_use" in run("keys", "retire", run.json("keys", "list")["data"][0]["id"], code=1).stderr


def test_every_purpose_is_rotated_where_none_is_named_and_api_keys_go_on_working(
    run: Terminal, world: World
) -> None:
    api = world.api()
    rotated = run.json("keys", "rotate")["data"]
    assert sorted((row["purpose"], row["state"]) for row in rotated) == sorted(
        (purpose.value, state) for purpose in Purpose for state in ("current", "retiring")
    )
    assert api.get("/v1/members").status_code == 200
    jwks = world.app.test_client().get("/.well-known/jwks.json").json
    assert jwks is not None
    assert len(jwks["keys"]) == 2
    assert run("keys", "rotate", code=1).stderr.count("rotation_running") == len(Purpose)


def test_a_dry_run_changes_no_key(run: Terminal, world: World) -> None:
    before = Path("var/keyring.json").read_bytes()
    run("keys", "rotate", "--dry-run")
    assert Path("var/keyring.json").read_bytes() == before


def test_a_fresh_keyring_needs_no_settings_and_overwrites_nothing(run: Terminal, tmp_path: Path) -> None:
    target = tmp_path / "production.json"
    assert run("keys", "rotate", "--new", str(target), IDENTITY_ENV="production").stdout == f"{target}\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert {key.purpose for key in Keyring.load(str(target)).all()} == set(Purpose)
    before = target.read_bytes()
    run("keys", "rotate", "--new", str(target), code=2)
    run("keys", "rotate", "seal", "--new", str(tmp_path / "other.json"), code=2)
    assert target.read_bytes() == before
