"""Exports are read back by other people's readers and hold what the forest holds, hostile names included."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import BadIdentifier, InviteForest, UnknownMember
from graph.convert import to_networkx
from graph.export import Column, ColumnType, ExportFormat, export

HOSTILE = [
    '"><script>',
    "a&b",
    "x]]>y",
    "back\\",
    'q"q',
    "=cmd()|' /C calc'!A0",
    "tab\there",
    "line\nend",
    "жд",
    "-1",
]


def exported(forest: InviteForest, file_format: ExportFormat, **options: Any) -> str:
    out = io.StringIO(newline="")
    export(forest, out, file_format, **options)
    return out.getvalue()


@pytest.fixture
def hostile() -> InviteForest:
    return InviteForest.from_parents([-1, 0, 0, 1, 1, 2, 2, 3, 3, 4], names=HOSTILE)


def test_graphml_is_read_back_by_networkx(hostile: InviteForest) -> None:
    graph = nx.read_graphml(io.BytesIO(exported(hostile, ExportFormat.GRAPHML).encode()))
    assert set(graph) == set(HOSTILE)
    assert set(graph.edges) == set(to_networkx(hostile).edges)
    assert graph.nodes["жд"] == {"generation": 3, "kind": "member"}


def test_gexf_is_read_back_by_networkx(hostile: InviteForest) -> None:
    graph = nx.read_gexf(io.BytesIO(exported(hostile, ExportFormat.GEXF).encode()), version="1.3")
    assert set(graph) == set(HOSTILE)
    assert set(graph.edges) == set(to_networkx(hostile).edges)
    assert graph.nodes["жд"]["generation"] == 3


def test_node_link_json_is_read_back_by_networkx(hostile: InviteForest) -> None:
    graph = nx.node_link_graph(json.loads(exported(hostile, ExportFormat.JSON)))
    assert graph.is_directed()
    assert set(graph.edges) == set(to_networkx(hostile).edges)


def test_csv_is_read_back_and_no_cell_starts_a_formula(hostile: InviteForest) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(hostile, ExportFormat.CSV), newline="")))
    assert len(rows) == len(HOSTILE)
    assert {row["member"].removeprefix("'") for row in rows} == set(HOSTILE)
    for row in rows:
        assert not row["member"].startswith(("=", "+", "-", "@"))
        assert not row["inviter"].startswith(("=", "+", "-", "@"))


def dot_strings(text: str) -> list[str]:
    """The quoted strings of a DOT file: a quote ends the string unless a backslash stands before it."""
    found, place = [], 0
    while (start := text.find('"', place)) >= 0:
        stop = start + 1
        while text[stop] != '"':
            stop += 2 if text[stop] == "\\" else 1
        found.append(text[start + 1 : stop])
        place = stop + 1
    return found


def test_dot_labels_keep_quotes_and_backslashes_inside(hostile: InviteForest) -> None:
    text = exported(hostile, ExportFormat.DOT)
    labels = dot_strings(text)[::5]
    unescaped = {label.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\") for label in labels}
    assert unescaped == set(HOSTILE)
    assert text.count("->") == len(HOSTILE) - 1
    assert text.count("\n") == 2 * len(HOSTILE) + 1, "no label breaks its line"


@given(
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True),
    st.sampled_from(ExportFormat),
)
def test_any_text_is_written_well_formed_or_refused_by_name(
    names: list[str], file_format: ExportFormat
) -> None:
    try:
        forest = InviteForest.from_parents([-1] + [0] * (len(names) - 1), names=names)
    except BadIdentifier:
        return
    try:
        text = exported(forest, file_format)
    except BadIdentifier as refused:
        text, named = "", refused.identifier
    else:
        named = None
    if named is not None:
        assert named in names
        assert file_format in {ExportFormat.GRAPHML, ExportFormat.GEXF}
    elif file_format in {ExportFormat.GRAPHML, ExportFormat.GEXF}:
        ids = {node.get("id") for node in ET.fromstring(text).iter() if node.tag.endswith("}node")}
        assert ids == set(names)
    elif file_format is ExportFormat.JSON:
        assert {node["id"] for node in json.loads(text)["nodes"]} == set(names)


def test_further_columns_carry_their_types_and_skip_what_has_no_value() -> None:
    forest = InviteForest.from_parents([-1, 0])
    columns = [
        Column(name="score", type=ColumnType.REAL, value=lambda index: (0.5, float("nan"))[index]),
        Column(name="banned", type=ColumnType.BOOLEAN, value=lambda index: index == 1),
        Column(name="note", type=ColumnType.TEXT, value=lambda index: ("=1+1", None)[index]),
    ]
    graph = nx.read_graphml(
        io.BytesIO(exported(forest, ExportFormat.GRAPHML, columns=columns).encode()), node_type=int
    )
    assert graph.nodes[0] == {
        "generation": 0,
        "kind": "member",
        "score": 0.5,
        "banned": False,
        "note": "=1+1",
    }
    assert graph.nodes[1] == {"generation": 1, "kind": "member", "banned": True}
    assert exported(forest, ExportFormat.CSV, columns=columns).splitlines()[1:] == [
        "0,,0,member,0.5,False,'=1+1",
        "1,0,1,member,,True,",
    ]
    assert "NaN" not in exported(forest, ExportFormat.JSON, columns=columns)


@pytest.mark.parametrize("file_format", list(ExportFormat))
def test_an_empty_forest_is_a_well_formed_file(file_format: ExportFormat) -> None:
    text = exported(InviteForest(), file_format)
    match file_format:
        case ExportFormat.GRAPHML | ExportFormat.GEXF:
            ET.fromstring(text)
        case ExportFormat.JSON:
            assert json.loads(text)["nodes"] == []
        case ExportFormat.DOT | ExportFormat.CSV:
            assert text


@pytest.mark.parametrize("file_format", list(ExportFormat))
def test_binary_and_text_files_get_the_same_bytes(
    tmp_path: Path, hostile: InviteForest, file_format: ExportFormat
) -> None:
    with (tmp_path / "binary").open("wb") as out:
        assert export(hostile, out, file_format, root="a&b") == 6
    with (tmp_path / "text").open("w", encoding="utf-8", newline="") as out:
        export(hostile, out, file_format, root="a&b")
    assert (tmp_path / "binary").read_bytes() == (tmp_path / "text").read_bytes()


def test_generations_start_at_those_who_joined_by_a_campaign() -> None:
    forest = InviteForest()
    forest.add_campaign("spring")
    forest.add("ada", inviter="spring")
    forest.add("bob", inviter="ada")
    forest.add_seed("sam")
    lines = exported(forest, ExportFormat.CSV).splitlines()[1:]
    assert lines == ["spring,,,campaign", "ada,spring,0,member", "bob,ada,1,member", "sam,,0,member"]
    assert exported(forest, ExportFormat.CSV, root="bob").splitlines()[1:] == ["bob,,1,member"]


def test_an_unknown_root_is_refused_before_anything_is_written() -> None:
    out = io.StringIO()
    with pytest.raises(UnknownMember):
        export(InviteForest.from_parents([-1]), out, ExportFormat.CSV, root=9)
    assert out.getvalue() == ""


def test_a_deep_chain_is_exported_without_recursion() -> None:
    chain = InviteForest.from_parents(range(-1, 49_999))
    assert export(chain, io.StringIO(), ExportFormat.JSON) == 50_000
