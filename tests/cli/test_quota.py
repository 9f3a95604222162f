from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from identity_service.cli import quota
from tests.cli.conftest import Terminal
from tests.cli.processes import on_a_terminal
from tests.support.world import World


def _available(run: Terminal, *members: str) -> list[int]:
    return [run.json("quota", "show", member)["available"] for member in members]


def _csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "members.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_named_members_get_what_was_granted_with_a_result_each(run: Terminal, world: World) -> None:
    one, two = world.seed().id, world.seed().id
    done = run.json("quota", "grant", "--member", one, "--member", two, "5", "--reason", "spring")
    assert [(r["member_id"], r["result"], r["amount"], r["available"]) for r in done["data"]] == [
        (one, "granted", 5, 5),
        (two, "granted", 5, 5),
    ]
    assert done["dry_run"] is False
    assert _available(run, one, two) == [5, 5]


def test_a_batch_grants_each_member_once(run: Terminal, world: World) -> None:
    seed = world.seed().id
    order = ("quota", "grant", "--member", seed, "5", "--reason", "spring", "--batch", "spring-1")
    assert run.json(*order)["batch_id"] == "spring-1"
    again = run.json(*order)
    assert [row["result"] for row in again["data"]] == ["duplicate"]
    assert _available(run, seed) == [5]


def test_without_a_batch_one_is_made_and_printed(run: Terminal, world: World) -> None:
    seed = world.seed().id
    order = ("quota", "grant", "--member", seed, "1", "--reason", "x")
    printed = re.search(r"batch (batch-\S+)", run(*order).stderr)
    assert printed is not None
    assert run.json(*order, "--batch", printed[1])["data"][0]["result"] == "duplicate"
    run(*order)
    assert _available(run, seed) == [2]


def test_a_dry_run_tells_the_same_and_grants_nothing(run: Terminal, world: World) -> None:
    seed = world.seed().id
    order = ("quota", "grant", "--member", seed, "--member", "mem_none", "5", "--reason", "x")
    rehearsed = run.json(*order, "--batch", "b", "--dry-run", code=1)
    assert _available(run, seed) == [0]
    done = run.json(*order, "--batch", "b", code=1)
    assert rehearsed["data"] == done["data"]
    assert (rehearsed["dry_run"], done["dry_run"]) == (True, False)


def test_who_cannot_have_it_is_refused_and_the_others_are_not(run: Terminal, world: World) -> None:
    seed = world.seed().id
    done = run("quota", "grant", "--member", "mem_none", "--member", seed, "5", "--reason", "x", code=1)
    assert "mem_none: member_unknown" in done.stderr
    assert _available(run, seed) == [5]


def test_a_filter_finds_its_members(run: Terminal, world: World) -> None:
    russian, other = world.seed().id, world.seed(phone="+61491570156").id
    run("quota", "grant", "--where", "country=RU and available=0", "2", "--reason", "x")
    assert _available(run, russian, other) == [2, 0]
    assert "shoe_size" in run("quota", "grant", "--where", "shoe_size>9", "2", "--reason", "x", code=2).stderr


def test_a_file_names_members_by_either_id_and_may_give_amounts(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    one = run.json("members", "create", "--seed", "--phone", "+61491570156", "--external-id", "user 1")["id"]
    two = world.seed().id
    file = _csv(tmp_path, f"\ufeffmember_id,external_id,amount\n{two},,\n,user 1,7\n\n")
    done = run.json("quota", "grant", "--csv", file, "3", "--reason", "x")
    assert [(r["line"], r["member_id"], r["amount"]) for r in done["data"]] == [(2, two, 3), (3, one, 7)]
    assert _available(run, two, one) == [3, 7]


def test_a_bad_line_is_told_by_its_number_and_spoils_only_itself(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    good, late = world.seed().id, world.seed().id
    lines = [
        "member_id,external_id,amount",
        f"{good},,2",
        "mem_none,,2",
        ",nobody,2",
        f"{late},,many",
        f"{good},,9",
        ",,2",
        f"{good},both,2",
        f"{late},,0",
        f"{late},,1,2",
        f"{late},,4",
    ]
    file = _csv(tmp_path, "\n".join(lines))
    done = run.json("quota", "grant", "--csv", file, "--reason", "x", code=1)
    assert [(row["line"], row["result"], row.get("code")) for row in done["data"]] == [
        (2, "granted", None),
        (3, "refused", "member_unknown"),
        (4, "refused", "member_unknown"),
        (5, "refused", "amount_invalid"),
        (6, "refused", "member_repeated"),
        (7, "refused", "member_unnamed"),
        (8, "refused", "member_unnamed"),
        (9, "refused", "amount_invalid"),
        (10, "refused", "line_malformed"),
        (11, "granted", None),
    ]
    assert _available(run, good, late) == [2, 4]
    told = run("quota", "grant", "--csv", file, "--reason", "x", "--dry-run", code=1).stderr
    assert "line 6: member_repeated: Line 2 names this member, too." in told


def test_a_file_that_is_no_such_file_is_wrong_usage(run: Terminal, tmp_path: Path) -> None:
    for text in ("", "member_id\nmem_1\n", "name,amount\nx,1\n", "amount\n1\n"):
        run("quota", "grant", "--csv", _csv(tmp_path, text), "--reason", "x", code=2)
    (tmp_path / "binary.csv").write_bytes(b"member_id,amount\n\xff\xfe,1\n")
    run("quota", "grant", "--csv", str(tmp_path / "binary.csv"), "--reason", "x", code=2)
    run("quota", "grant", "--csv", str(tmp_path / "none.csv"), "1", "--reason", "x", code=2)


def test_a_run_that_is_broken_off_is_finished_by_the_same_batch_exactly_once(
    run: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [world.seed().id for _ in range(5)]
    members = [part for seed in seeds for part in ("--member", seed)]
    order = ("quota", "grant", *members, "3", "--reason", "x", "--batch", "spring-1")
    monkeypatch.setattr(quota, "CHUNK", 2)
    grant_chunk, calls = quota._grant_chunk, 0

    def dies_before_the_second_commit(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        done = grant_chunk(*args)
        if calls == 2:
            raise MemoryError
        return done

    with monkeypatch.context() as broken:
        broken.setattr(quota, "_grant_chunk", dies_before_the_second_commit)
        with pytest.raises(MemoryError):
            run(*order)
    assert _available(run, *seeds) == [3, 3, 0, 0, 0]
    results = [row["result"] for row in run.json(*order)["data"]]
    assert results == ["duplicate", "duplicate", "granted", "granted", "granted"]
    assert _available(run, *seeds) == [3] * 5


def test_more_than_a_hundred_members_need_a_yes_where_nobody_can_be_asked(
    run: Terminal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identity_service.cli.command.MANY", 1)
    one, two = world.seed().id, world.seed().id
    order = ("quota", "grant", "--member", one, "--member", two, "1", "--reason", "x")
    assert "--yes" in run(*order, code=2).stderr
    assert _available(run, one, two) == [0, 0]
    run(*order, "--dry-run")
    run(*order, "--yes")
    assert _available(run, one, two) == [1, 1]


def test_on_a_terminal_a_large_grant_is_asked_about(run: Terminal, world: World) -> None:
    for _ in range(101):
        world.seed()
    order = ("quota", "grant", "--where", "country=RU", "1", "--reason", "x", "--batch", "b")
    code, shown = on_a_terminal(*order, typed="n\n", url=run.url)
    assert code == 1
    assert "Grant to 101 members? [y/N]" in shown
    assert on_a_terminal(*order, typed="y\n", url=run.url)[0] == 0
    granted = run.json("members", "list", "--limit", "200")["data"]
    assert {member["quota"]["available"] for member in granted} == {1}


def test_members_are_named_one_way_with_an_amount_and_a_reason(run: Terminal, world: World) -> None:
    seed = world.seed().id
    for wrong in (
        ("5", "--reason", "x"),
        ("--member", seed, "--reason", "x"),
        ("--member", seed, "5"),
        ("--member", seed, "0", "--reason", "x"),
        ("--member", seed, "-1", "--reason", "x"),
        ("--member", seed, "5", "--reason", " "),
        ("--member", seed, "--where", "country=RU", "5", "--reason", "x"),
        ("--member", seed, "5", "--reason", "x", "--batch", "two words"),
        ("--member", seed, "5", "--reason", "x", "--expires-in", "never"),
    ):
        run("quota", "grant", *wrong, code=2)
    assert _available(run, seed) == [0]


def test_the_ledger_tells_who_and_why_and_a_grant_lapses(run: Terminal, world: World) -> None:
    api, seed = world.api(), world.seed().id
    run("quota", "grant", "--member", seed, "5", "--reason", "spring", "--expires-in", "30d", "--batch", "b")
    shown = run.json("quota", "show", seed, "--entries")
    assert shown == api.get(f"/v1/members/{seed}/quota/entries").json
    entry = shown["data"][0]
    assert (entry["kind"], entry["amount"], entry["actor"], entry["reason"]) == ("grant", 5, "olga", "spring")
    assert entry["expires_at"] is not None
    world.clock.advance(31 * 86_400_000_000)
    world.work()
    assert _available(run, seed) == [0]
    assert "not_found" in run("quota", "show", "mem_none", code=1).stderr


def test_what_is_unspent_of_a_batch_can_be_taken_back(run: Terminal, world: World) -> None:
    one, two = world.seed().id, world.seed().id
    run("quota", "grant", "--member", one, "--member", two, "2", "--reason", "x", "--batch", "b")
    run("invites", "issue", "--issuer", one)
    order = ("quota", "revoke", "--batch", "b", "--reason", "a mistake")
    rehearsed = run.json(*order, "--dry-run")
    assert _available(run, one, two) == [1, 2]
    done = run.json(*order)
    assert rehearsed["data"] == done["data"]
    assert sorted(row["amount"] for row in done["data"]) == [1, 2]
    assert _available(run, one, two) == [0, 0]
    assert run.json(*order)["data"] == []
