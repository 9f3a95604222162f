from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from sqlalchemy import text

from tests.cli.conftest import Terminal
from tests.support.world import Api, World


class _Family:
    """ada -> bo -> cyd, and dov who came by a campaign."""

    def __init__(self, world: World) -> None:
        api: Api = world.api()
        self.ada = world.seed(quota=5).id
        self.bo = world.join(api, self.ada, external_id="user-bo")["member"]["id"]
        world.grant(self.bo, 1)
        self.cyd = world.join(api, self.bo)["member"]["id"]
        invite = api.post("/v1/invites", {"campaign": "spring", "channel": "link"}).json
        assert invite is not None
        proof = world.verify(api, world.phone(), "registration", invite_code=invite["code"])
        made = api.post("/v1/registrations", {"invite_code": invite["code"], "proof": proof}).json
        assert made is not None
        self.dov = made["member"]["id"]
        self.all = [self.ada, self.bo, self.cyd, self.dov]


@pytest.fixture
def family(world: World) -> _Family:
    return _Family(world)


def test_the_tree_is_drawn_from_a_member_down(run: Terminal, family: _Family) -> None:
    drawn = run("tree", "show", family.ada).stdout
    lines = drawn.splitlines()
    assert [family.ada in lines[0], family.bo in lines[1], family.cyd in lines[2]] == [True] * 3
    assert "user-bo" in lines[1]
    assert family.cyd not in run("tree", "show", family.ada, "--depth", "1").stdout
    shapes = run.json("tree", "show", family.ada)["data"]
    assert [(m["id"], m["depth"]) for m in shapes] == [(family.ada, 0), (family.bo, 1), (family.cyd, 2)]
    assert "not_found" in run("tree", "show", "mem_none", code=1).stderr
    assert "Only the first 1" in run("tree", "show", family.ada, "--limit", "1").stderr


def test_an_export_holds_every_member_and_nothing_that_names_a_person(
    run: Terminal, family: _Family, tmp_path: Path
) -> None:
    target = tmp_path / "tree.csv"
    run("tree", "export", "--format", "csv", "-o", str(target))
    written = target.read_text()
    rows = {row["member"]: row for row in csv.DictReader(io.StringIO(written))}
    assert set(rows) == {*family.all, "campaign:spring"}
    assert rows[family.cyd]["inviter"] == family.bo
    assert [rows[member]["generation"] for member in family.all] == ["0", "1", "2", "0"]
    assert rows[family.dov]["inviter"] == "campaign:spring"
    assert (rows[family.ada]["state"], rows[family.ada]["country"], rows[family.ada]["level"]) == (
        "active",
        "RU",
        "new",
    )
    assert rows[family.ada]["joined_at"].endswith("Z")
    assert "+7" not in written
    assert "user-bo" not in written
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_each_format_can_be_read_by_other_programs(run: Terminal, family: _Family, tmp_path: Path) -> None:
    def export(file_format: str) -> Path:
        run("tree", "export", "--format", file_format, "-o", str(tmp_path / file_format))
        return tmp_path / file_format

    nodes = {*family.all, "campaign:spring"}
    assert set(nx.read_graphml(export("graphml"))) == nodes
    linked = json.loads(export("json").read_text())
    assert set(nx.node_link_graph(linked, edges="edges" if "edges" in linked else "links")) == nodes
    assert ET.parse(export("gexf")).getroot().tag.endswith("gexf")
    assert export("dot").read_text().startswith("digraph")


def test_a_part_of_the_tree_can_be_exported_to_stdout(run: Terminal, family: _Family) -> None:
    out = run("tree", "export", family.bo, "--format", "csv", "-o", "-").stdout
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["member"], row["generation"]) for row in rows] == [(family.bo, "1"), (family.cyd, "2")]
    assert "not_found" in run("tree", "export", "mem_none", "--format", "csv", "-o", "-", code=1).stderr
    run("tree", "export", "--format", "pdf", "-o", "-", code=2)
    run("tree", "export", "--format", "csv", "-o", "no/such/folder/x.csv", code=2)


def test_a_whole_tree_passes_its_check_and_is_counted(run: Terminal, family: _Family) -> None:
    told = run.json("tree", "check")
    assert (told["ok"], told["findings"]) == (True, [])
    assert told["counts"] == {"members": 4, "seeds": 1, "campaigns": 1, "generations": 3, "active": 4}


def test_an_empty_tree_is_whole(run: Terminal) -> None:
    assert run.json("tree", "check")["counts"]["members"] == 0
    assert run("tree", "export", "--format", "csv", "-o", "-").stdout.startswith("member,")


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("UPDATE members SET generation = 7 WHERE id = :cyd", "generation_wrong"),
        ("UPDATE members SET inviter_id = :cyd WHERE id = :ada", "cycle_found"),
        ("UPDATE invites SET uses = 0, state = 'open' WHERE issuer_id = :bo", "uses_miscounted"),
    ],
)
def test_harm_done_by_hand_is_found(
    run: Terminal, world: World, family: _Family, harm: str, code: str
) -> None:
    with world.services.store.engine.begin() as connection:
        names = {name: getattr(family, name) for name in ("ada", "bo", "cyd") if f":{name}" in harm}
        connection.execute(text(harm), names)
    told = run.json("tree", "check", code=1)
    assert told["ok"] is False
    assert [finding["code"] for finding in told["findings"]] == [code]
