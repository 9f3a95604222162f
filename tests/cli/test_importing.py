"""An existing tree is brought in: whatever the order of its lines, whole or told line by line."""

from __future__ import annotations

import csv
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from identity_service.ports import DAY, rfc3339
from identity_service.services.imports import BATCH, Newcomer
from identity_service.services.members import MemberView
from sms.numbers import parse
from tests.cli.conftest import Terminal
from tests.cli.processes import on_a_terminal, running
from tests.races.soundness import broken_rules
from tests.support.world import World

HEADER = "external_id,inviter_external_id,joined_at"
PHONES = ("+79161000001", "+14155550101", "+447400123456")


def _file(tmp_path: Path, body: str | bytes, name: str = "tree.csv") -> str:
    path = tmp_path / name
    path.write_bytes(body.encode() if isinstance(body, str) else body)
    return str(path)


def _lines(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def _found(told: Any) -> list[tuple[int, str]]:
    return [(error["line"], error["code"]) for error in told["errors"]]


def _members(world: World) -> dict[str, Any]:
    """Every member by external id, with the external id of its inviter."""
    query = text(
        "SELECT m.*, i.external_id AS inviter, c.name AS campaign FROM members m"
        " LEFT JOIN members i ON i.id = m.inviter_id"
        " LEFT JOIN campaigns c ON c.id = m.campaign_id ORDER BY m.id"
    )
    return {row.external_id: row for row in world.query(lambda tx: tx.select(query))}


def _day(number: int) -> str:
    return rfc3339((16_000 + number) * DAY)


# -- what is brought in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_lines_in_any_order_become_the_tree_that_they_tell(
    run: Terminal, world: World, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    rows, depth = [], {0: 0}
    for n in range(300):
        inviter = chance.randrange(n) if n and chance.random() > 0.05 else None
        depth[n] = 0 if inviter is None else depth[inviter] + 1
        rows.append(f"u{n},{'' if inviter is None else f'u{inviter}'},{_day(n // 7)}")
    chance.shuffle(rows)
    told = run.json("import", _file(tmp_path, _lines(*rows)))
    assert (told["rows"], told["written"], told["refused"], told["errors"]) == (300, 300, 0, [])
    found = _members(world)
    expected = {row.split(",")[0]: row.split(",") for row in rows}
    assert {name: row.inviter or "" for name, row in found.items()} == {n: r[1] for n, r in expected.items()}
    assert {name: row.generation for name, row in found.items()} == {f"u{n}": d for n, d in depth.items()}
    assert all(rfc3339(row.joined_at) == expected[name][2] for name, row in found.items())
    # Ids sort as the members joined, so that lists and pages do.
    joined = [row.joined_at for row in found.values()]
    assert joined == sorted(joined)
    assert run.json("tree", "check")["ok"]
    assert broken_rules(world) == {}


def test_everything_that_a_line_may_tell_is_kept(run: Terminal, world: World, tmp_path: Path) -> None:
    header = f"{HEADER},phone,state,campaign,last_seen_at"
    body = _lines(
        f"ada,,2011-05-06T07:08:09.5+02:00,{PHONES[0]},,,",
        f"bob,ada,2011-05-07,{PHONES[1]},banned,,2012-01-01T00:00:00Z",
        "cyd,bob,2011-05-07T00:00:00Z,,suspended,,",
        "dov,,2011-05-08,,active,spring-2011,",
        "eve,ada,2011-05-09,,erased,,",
        header=header,
    )
    assert run.json("import", _file(tmp_path, body))["written"] == 5
    found, api, now = _members(world), world.api(), world.clock.now()
    assert {name: row.state for name, row in found.items()} == {
        "ada": "active",
        "bob": "banned",
        "cyd": "suspended",
        "dov": "active",
        "eve": "erased",
    }
    ada = api.get(f"/v1/members/{found['ada'].id}").json
    assert ada is not None
    assert ada["joined_at"] == "2011-05-06T05:08:09.500Z"
    assert (ada["country"], ada["phone"]["masked"], ada["quota"]) == ("RU", "+7*********01", {"available": 0})
    assert (found["ada"].level, found["dov"].campaign) == ("new", "spring-2011")
    # Nobody is dormant only because nothing is known of them.
    assert now - found["ada"].last_seen_at < DAY
    assert rfc3339(found["bob"].last_seen_at) == "2012-01-01T00:00:00.000Z"
    standing = api.get(f"/v1/members/{found['bob'].id}/standing").json
    assert standing is not None
    assert [(s["action"], s["reason_code"]) for s in standing["sanctions"]] == [("ban", "imported")]
    looked_up = api.post("/v1/members/lookup", {"phone": PHONES[1]}).json
    assert looked_up is not None
    assert looked_up["external_id"] == "bob"
    assert (
        run.json("members", "lift", standing["sanctions"][0]["id"], "--explanation", "x")["state"] == "lifted"
    )
    assert _members(world)["bob"].state == "active"
    assert broken_rules(world) == {}


def test_the_log_tells_each_batch_once(run: Terminal, world: World, tmp_path: Path) -> None:
    rows = [f"u{n},{f'u{n - 1}' if n % 3 else ''},{_day(n)}" for n in range(BATCH + 500)]
    told = run.json("import", _file(tmp_path, _lines(*rows)))
    world.work()
    events = world.query(
        lambda tx: world.services.journal.events(tx, after=0, types=("members.imported",), limit=9)
    )
    ids = sorted(row.id for row in _members(world).values())
    assert [event.data["count"] for event in events] == [BATCH, 500]
    assert [event.data["import_id"] for event in events] == [told["import_id"]] * 2
    spans = [(event.data["first_id"], event.data["last_id"]) for event in events]
    assert spans == [(ids[0], ids[BATCH - 1]), (ids[BATCH], ids[-1])]


def test_newcomers_may_stand_below_members_who_are_there(run: Terminal, world: World, tmp_path: Path) -> None:
    run("import", _file(tmp_path, _lines("ada,,2011-01-01", "bob,ada,2011-01-02")))
    told = run.json("import", _file(tmp_path, _lines("cyd,bob,2011-01-03", "dov,cyd,2011-01-04")))
    assert (told["written"], told["already_here"]) == (2, 0)
    assert [(row.inviter, row.generation) for row in _members(world).values()] == [
        (None, 0),
        ("ada", 1),
        ("bob", 2),
        ("cyd", 3),
    ]


def test_the_same_file_again_makes_nobody(run: Terminal, world: World, tmp_path: Path) -> None:
    body = _lines(
        f"ada,,2011-01-01,{PHONES[0]},", f"bob,ada,2011-01-02,{PHONES[1]},", header=f"{HEADER},phone,state"
    )
    file = _file(tmp_path, body)
    assert run.json("import", file)["written"] == 2
    again = run.json("import", file)
    assert (again["importable"], again["written"], again["already_here"], again["import_id"]) == (
        0,
        0,
        2,
        None,
    )
    assert len(_members(world)) == 2


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + _lines("ada,,2011-01-01", "bob,ada,2011-01-02").encode()),
        ("crlf.csv", b"\r\n".join([HEADER.encode(), b"ada,,2011-01-01", b"", b",,", b"bob,ada,2011-01-02"])),
        ("quoted.csv", b'"external_id","joined_at","inviter_external_id"\n'
         b'ada,2011-01-01,""\n" bob ","2011-01-02","ada"'),
        ("lines.ndjson", b'\n{"external_id":"bob","inviter_external_id":"ada","joined_at":"2011-01-02"}\n\r\n'
         b'{"external_id":"ada","joined_at":"2011-01-01T00:00:00Z","phone":null,"inviter_external_id":""}'),
        ("bom.txt", b'\xef\xbb\xbf{"external_id":"ada","joined_at":"2011-01-01"}\n'
         b'{"external_id":"bob","inviter_external_id":"ada","joined_at":"2011-01-02"}'),
    ],
)  # fmt: skip
def test_files_of_every_make_are_read(
    run: Terminal, world: World, tmp_path: Path, name: str, body: bytes
) -> None:
    assert run.json("import", _file(tmp_path, body, name))["written"] == 2
    assert {name: row.inviter for name, row in _members(world).items()} == {"ada": None, "bob": "ada"}


def test_a_name_that_a_spreadsheet_would_run_stays_as_it_is(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    names = ["=cmd()", '=1+"a,b"', "@x", "-7", "Ωmega 😀"]
    target = tmp_path / "tree.csv"
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        writer.writerows([name, "", "2011-01-01"] for name in names)
    assert run.json("import", str(target))["written"] == len(names)
    assert set(_members(world)) == set(names)


@pytest.mark.parametrize("body", ["", "\n\n", _lines(), "\ufeff" + HEADER])
def test_an_empty_file_brings_nobody(run: Terminal, tmp_path: Path, body: str) -> None:
    told = run.json("import", _file(tmp_path, body))
    assert (told["rows"], told["written"], told["errors"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("external_id\nada\n", "inviter_external_id, joined_at is missing"),
        ("external_id;inviter_external_id;joined_at\n", "is none of them"),
        (f"{HEADER},{HEADER}\n", "named twice"),
        ('[{"external_id":"ada"}]', "one object a line"),
        (HEADER.encode("utf-16"), "neither CSV nor NDJSON"),
    ],
)
def test_what_is_no_import_file_is_wrong_usage(run: Terminal, tmp_path: Path, body: str, said: str) -> None:
    assert said in run("import", _file(tmp_path, body), code=2).stderr
    run("import", str(tmp_path / "none.csv"), code=2)


# -- what is wrong with a line ---------------------------------------------------------------------------

WRONG = [
    ('"ada,,2011-01-01', "line_malformed"),
    ("ada,,2011-01-01,,,,,", "line_malformed"),
    ("ada,", "line_malformed"),
    ("ada" * 30_000, "line_malformed"),
    (",,2011-01-01,,,", "external_id_invalid"),
    ("a\0b,,2011-01-01,,,", "external_id_invalid"),
    (f"{'é' * 65},,2011-01-01,,,", "external_id_invalid"),
    ("ada,a\u202eb,2011-01-01,,,", "inviter_invalid"),
    ("ada,,,,,", "joined_at_invalid"),
    ("ada,,2011-02-30,,,", "joined_at_invalid"),
    ("ada,,2011-01-01T00:00:00,,,", "joined_at_invalid"),
    ("ada,,1293840000,,,", "joined_at_invalid"),
    ("ada,,1969-12-31,,,", "joined_at_invalid"),
    ("ada,,2211-01-01,,,", "joined_in_future"),
    ("ada,,2011-01-01,,gone,", "state_unknown"),
    ("ada,,2011-01-01,,,a b", "campaign_invalid"),
    ("ada,old,2011-01-01,,,spring", "two_origins"),
    ("ada,,2011-01-01,7916,,", "phone_malformed"),
    ("ada,,2011-01-01,+79,,", "phone_malformed"),
    ("ada,,2011-01-01,+7000000000,,", "phone_unassigned"),
    ("ada,,2011-01-01,+18005550100,,", "phone_kind_refused"),
    (f"ada,,2011-01-01,{PHONES[0]},erased,", "phone_of_erased"),
    ("old,,2012-01-01,,,", "external_id_repeated"),
    (f"ada,,2011-01-01,{PHONES[2]},,", "phone_repeated"),
    (f"ada,,2011-01-01,{PHONES[1]},,", "phone_taken"),
    ("ada,nobody,2011-01-01,,,", "inviter_unknown"),
    ("ada,ada,2011-01-01,,,", "cycle"),
    ("ada,old,2009-12-31,,,", "joined_before_inviter"),
    ("there,old,2011-01-01,,,", "inviter_differs"),
    ("there,,2011-01-01,,,spring", "inviter_differs"),
]  # fmt: skip


def test_every_fault_is_told_by_its_line_and_nothing_is_written(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    header = f"{HEADER},phone,state,campaign"
    run("import", _file(tmp_path, _lines(f"there,,2010-01-01,{PHONES[1]}", header=f"{HEADER},phone")))
    for line, code in WRONG:
        rest = [] if line.startswith("there") else ["there,,2010-01-01,,,"]
        body = _lines(f"old,,2010-01-01,{PHONES[2]},,", line, *rest, header=header)
        told = run.json("import", _file(tmp_path, body), code=1)
        assert _found(told) == [(3, code)], line[:80]
        assert (told["written"], told["importable"], told["already_here"]) == (0, 1, len(rest))
    assert list(_members(world)) == ["there"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "line_malformed"),
        ("[1]", "line_malformed"),
        ('"ada"', "line_malformed"),
        ("[" * 60_000, "line_malformed"),
        ('{"external_id":"ada","external_id":"bob","joined_at":"2011-01-01"}', "key_repeated"),
        ('{"external_id":"ada","joined_at":"2011-01-01","email":"x"}', "field_unknown"),
        ('{"external_id":7,"joined_at":"2011-01-01"}', "external_id_invalid"),
        ('{"external_id":"\\ud800","joined_at":"2011-01-01"}', "external_id_invalid"),
        ('{"external_id":"ada","inviter_external_id":{},"joined_at":"2011-01-01"}', "inviter_invalid"),
        ('{"external_id":"ada","joined_at":0}', "joined_at_invalid"),
        ('{"external_id":"ada","joined_at":"2011-01-01","phone":79161000001}', "phone_malformed"),
        ('{"external_id":"ada","joined_at":"2011-01-01","state":false}', "state_unknown"),
        ('{"external_id":"ada","joined_at":"2011-01-01","campaign":[]}', "campaign_invalid"),
        ('{"external_id":"ada","joined_at":"2011-01-01","last_seen_at":"2010-01-01"}', "last_seen_invalid"),
    ],
)
def test_every_fault_of_a_json_line_is_told(run: Terminal, tmp_path: Path, line: str, code: str) -> None:
    good = '{"external_id":"old","joined_at":"2010-01-01"}'
    told = run.json("import", _file(tmp_path, f"{good}\n{line}\n", "x.ndjson"), code=1)
    assert _found(told) == [(2, code)]


def test_a_circle_is_told_with_its_witness_and_who_hangs_below(run: Terminal, tmp_path: Path) -> None:
    body = _lines("ada,cyd,2011-01-01", "bob,ada,2011-01-01", "cyd,bob,2011-01-01", "dov,cyd,2011-01-02",
                  "eve,eve,2011-01-01", "fay,,2011-01-01")  # fmt: skip
    told = run.json("import", _file(tmp_path, body), code=1)
    assert _found(told) == [(2, "cycle"), (3, "cycle"), (4, "cycle"), (5, "inviter_refused"), (6, "cycle")]
    details = [error["detail"] for error in told["errors"]]
    assert details[0].endswith("ada (line 2) <- cyd (line 4) <- bob (line 3) <- ada (line 2)")
    assert details[3] == "The inviter is not imported: line 4 is refused."
    assert details[4].endswith("eve (line 6) <- eve (line 6)")
    assert (told["importable"], told["refused_by_code"]) == (1, {"cycle": 4, "inviter_refused": 1})


def test_bad_lines_are_skipped_on_demand_and_kept_to_be_mended(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    errors = tmp_path / "refused.csv"
    body = _lines("ada,,2011-01-01,,", f"bob,ada,2011-01-02,{PHONES[0]}x,", "cyd,bob,2011-01-03,,",
                  "dov,ada,2011-01-04,,banned", '"eve', header=f"{HEADER},phone,state")  # fmt: skip
    told = run.json("import", _file(tmp_path, body), "--skip-bad", "--errors", str(errors), code=1)
    assert (told["written"], told["refused"]) == (2, 3)
    assert set(_members(world)) == {"ada", "dov"}
    assert errors.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(errors.open()))
    assert [(row["line"], row["external_id"], row["code"]) for row in rows] == [
        ("3", "bob", "phone_malformed"),
        ("4", "cyd", "inviter_refused"),
        ("6", "", "line_malformed"),
    ]
    assert [row["text"] for row in rows] == ["", "", '"eve']
    errors.write_text("\n".join(errors.read_text().replace(f"{PHONES[0]}x", PHONES[0]).splitlines()[:3]))
    assert run.json("import", str(errors))["written"] == 2
    assert _members(world)["cyd"].inviter == "bob"


def test_a_malformed_line_is_kept_as_it_stands_whatever_it_is(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    errors, file = tmp_path / "refused.ndjson", tmp_path / "x.ndjson"
    file.write_bytes(b'{"external_id":\r\n[1]\n\xff\xfe{}\n{"external_id":"' + b"a" * (1 << 16) + b'"}\n')
    run("import", str(file), "--errors", str(errors), code=1)
    kept = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [row["code"] for row in kept] == ["line_malformed"] * 4
    assert [row["text"] for row in kept[:3]] == ['{"external_id":', "[1]", "\\xff\\xfe{}"]
    assert kept[3]["text"].startswith('{"external_id":"aaa')
    assert len(kept[3]["text"]) == (1 << 16) + 1


def test_a_dry_run_checks_and_writes_nothing(run: Terminal, world: World, tmp_path: Path) -> None:
    target = tmp_path / "refused.ndjson"
    body = '{"external_id":"ada","joined_at":"2011-01-01"}\n{"external_id":"bob","joined_at":"soon"}\n'
    file = _file(tmp_path, body, "x.ndjson")
    told = run.json("import", file, "--dry-run", "--skip-bad", "--errors", str(target), code=1)
    assert (told["dry_run"], told["importable"], told["written"]) == (True, 1, 0)
    kept = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(row["line"], row["external_id"], row["joined_at"]) for row in kept] == [(2, "bob", "soon")]
    assert _members(world) == {}
    assert "line 2: joined_at_invalid" in run("import", file, code=1).stderr


def test_a_member_that_changed_hands_meanwhile_is_refused_and_so_is_who_it_invited(
    run: Terminal, world: World, tmp_path: Path
) -> None:
    """The file was checked; then somebody registers with one of its phones, before the batch is written."""
    services = world.services
    number = parse(PHONES[0])

    def register(tx: Any) -> MemberView:
        return services.members.create_seed(tx, number, None)

    world.transact(register)
    newcomers = [
        Newcomer(external_id="ada", joined_at=0, number=number),
        Newcomer(external_id="bob", joined_at=0, inviter="ada"),
        Newcomer(external_id="cyd", joined_at=0),
    ]
    brought = world.transact(lambda tx: services.imports.bring(tx, newcomers, "imp_x"))
    assert (brought.made, dict(brought.refused)) == (1, {0: "phone_taken", 1: "inviter_refused"})


# -- shapes and sizes ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # which is not asked for more than a look
@pytest.mark.parametrize("shape", ["star", "chain"])
def test_a_huge_star_and_a_huge_chain_pass_the_check(run: Terminal, tmp_path: Path, shape: str) -> None:
    size = 100_000
    inviters = ["", *("u0" if shape == "star" else f"u{n}" for n in range(size - 1))]
    rows = [f"u{n},{inviter},2011-01-01" for n, inviter in enumerate(inviters)]
    # The root is bad, and everybody falls with it; beside it stands another tree, which is good.
    rows[0] = "u0,,soon"
    rows += [row.replace("u", "v") for row in rows[1:]] + ["v0,,2011-01-01"]
    rows.reverse()
    told = run.json("import", _file(tmp_path, _lines(*rows)), "--dry-run", code=1)
    assert told["refused_by_code"] == {"joined_at_invalid": 1, "inviter_refused": size - 1}
    assert told["importable"] == size


def test_it_can_be_run_on_a_terminal_and_shows_how_far_it_is(store_url: str, tmp_path: Path) -> None:
    rows = [f"u{n},,{_day(n)}" for n in range(3000)]
    code, shown = on_a_terminal("import", _file(tmp_path, _lines(*rows)), typed="y\n", url=store_url)
    assert code == 0, shown
    assert "Bring in 3000 members?" in shown
    assert "/3000" in shown
    assert "3000 members were brought in." in shown


@pytest.mark.race
def test_an_import_that_is_killed_anywhere_is_finished_by_the_same_command(
    run: Terminal, world: World, store_url: str, tmp_path: Path
) -> None:
    size = 2 * BATCH + 1000
    rows = [
        f"u{n},{f'u{n // 3}' if n else ''},{_day(n // 100)},{f'+79{160000000 + n}' if n % 9 == 0 else ''},"
        + ("banned" if n % 97 == 5 else "")
        for n in range(size)
    ]
    random.Random(5).shuffle(rows)
    file = _file(tmp_path, _lines(*rows, header=f"{HEADER},phone,state"))
    kills, seen = 0, [0]
    for _ in range(2):
        with running("identity_service.cli", "import", file, "--yes", url=store_url) as started:
            # Killed when it has come further than the one before it, in the middle of a batch.
            while started.process.poll() is None:
                count = world.query(lambda tx: tx.select(text("SELECT count(*) FROM members"))[0][0])
                if count > seen[-1]:
                    seen.append(count)
                    kills += started.process.poll() is None
                    started.process.kill()
                    break
                time.sleep(0.01)
    assert kills == 2
    assert all(count % BATCH == 0 for count in seen)
    told = run.json("import", file)
    assert told["already_here"] >= seen[-1]
    assert (told["already_here"] + told["written"], told["refused"]) == (size, 0)
    found = _members(world)
    assert len(found) == size
    assert all(
        row.inviter == (f"u{int(name[1:]) // 3}" if name != "u0" else None) for name, row in found.items()
    )
    assert sum(row.state == "banned" for row in found.values()) == sum(n % 97 == 5 for n in range(size))
    assert broken_rules(world) == {}
