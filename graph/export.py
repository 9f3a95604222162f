"""Forests as files: GraphML, GEXF, DOT, node-link JSON and CSV, streamed.

Nothing is built in memory: members are written as they are walked, so that a subtree of millions costs no
more than the buffer. Names and texts come from outside, so each format escapes them by its own rules, and
CSV cells cannot start a formula (CWE-1236).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any, assert_never

from graph.errors import BadIdentifier, MemberKey
from graph.forest import NOBODY, InviteForest
from graph.lineage import root_index, walk

Cell = str | int | float | bool | None


class ExportFormat(StrEnum):
    """The file formats, by the names that the command line uses."""

    GRAPHML = "graphml"
    GEXF = "gexf"
    DOT = "dot"
    JSON = "json"
    CSV = "csv"


class ColumnType(StrEnum):
    """Type of a column, in the words of GraphML (GEXF and JSON know the same four)."""

    TEXT = "string"
    INTEGER = "long"
    REAL = "double"
    BOOLEAN = "boolean"


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A further attribute of each node; `value` is asked with the node's index and may answer ``None``."""

    name: str
    type: ColumnType
    value: Callable[[int], Cell]


def export(
    forest: InviteForest,
    out: IO[str] | IO[bytes],
    file_format: ExportFormat,
    *,
    root: MemberKey | None = None,
    columns: Sequence[Column] = (),
) -> int:
    """Write the forest, or the tree from `root` down, to a file object; return the number of nodes. O(n).

    Parameters
    ----------
    forest : InviteForest
    out : text or binary file object
        Binary ones get UTF-8. Text ones should be opened with ``encoding="utf-8"`` and, for CSV,
        ``newline=""``.
    file_format : ExportFormat
    root : int or str, optional
    columns : sequence of Column
        Attributes besides ``generation`` and ``kind``, which are always there.

    Raises
    ------
    UnknownMember
        If `root` is not there.
    BadIdentifier
        If a name holds a character that XML 1.0 cannot carry (GraphML and GEXF only), before it is written.

    Examples
    --------
    >>> forest = InviteForest.from_parents([-1, 0], names=["ada", "bob"])
    >>> out = io.StringIO()
    >>> export(forest, out, ExportFormat.CSV)
    2
    >>> out.getvalue().splitlines()
    ['member,inviter,generation,kind', 'ada,,0,member', 'bob,ada,1,member']
    """
    tree = _Tree(forest, None if root is None else forest.index(root), columns)
    match file_format:
        case ExportFormat.GRAPHML:
            pieces = _graphml(tree)
        case ExportFormat.GEXF:
            pieces = _gexf(tree)
        case ExportFormat.DOT:
            pieces = _dot(tree)
        case ExportFormat.JSON:
            pieces = _node_link_json(tree)
        case ExportFormat.CSV:
            pieces = _csv(tree)
        case _:
            assert_never(file_format)
    _write(out, pieces)
    return tree.written


class _Tree:
    """What every format asks: nodes and edges in walking order, and the attributes of a node."""

    def __init__(self, forest: InviteForest, top: int | None, columns: Sequence[Column]) -> None:
        self.forest, self.top, self.written = forest, top, 0
        self._campaign_above = top is not None and forest.is_campaign(root_index(forest, top))
        self.columns = (
            Column(name="generation", type=ColumnType.INTEGER, value=self._generation),
            Column(name="kind", type=ColumnType.TEXT, value=self._kind),
            *columns,
        )

    def nodes(self) -> Iterator[int]:
        for index in walk(self.forest, self.top):
            self.written += 1
            if (
                self.forest.inviter(index) == NOBODY
            ):  # a new tree begins: do not climb to it from every member
                self._campaign_above = self.forest.is_campaign(index)
            yield index

    def edges(self) -> Iterator[tuple[int, int]]:
        for index in walk(self.forest, self.top):
            if index != self.top and (above := self.forest.inviter(index)) != NOBODY:
                yield above, index

    def cells(self, index: int) -> Iterator[tuple[int, Column, Cell]]:
        for place, column in enumerate(self.columns):
            value = column.value(index)
            if isinstance(value, float) and not math.isfinite(value):
                value = None  # no format but XML has a word for it, and a reader would trip
            if value is not None:
                yield place, column, value

    def _generation(self, index: int) -> Cell:
        if self.forest.is_campaign(index):
            return None
        return self.forest.depth(index) - self._campaign_above

    def _kind(self, index: int) -> Cell:
        return "campaign" if self.forest.is_campaign(index) else "member"


def _write(out: IO[str] | IO[bytes], pieces: Iterator[str]) -> None:
    sink: Any = out
    try:
        sink.write("")
        binary = False
    except TypeError:
        binary = True
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= 1 << 16:  # few large writes: a write a member would cost more than the rest
            sink.write(_joined(waiting, binary=binary))
            waiting, size = [], 0
    sink.write(_joined(waiting, binary=binary))


def _joined(pieces: list[str], *, binary: bool) -> str | bytes:
    text = "".join(pieces)
    return text.encode() if binary else text


# -- XML: GraphML and GEXF ---------------------------------------------------------------------------------

# XML 1.0, production [2] Char: everything else cannot stand in a document, not even as a character reference.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Raw line ends and tabs in an attribute are read back as spaces (XML 1.0, 3.3.3), so they are written as
# references.
_XML_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text).translate(_XML_ESCAPES)


def _xml_name(forest: InviteForest, index: int) -> str:
    name = str(forest.name(index))
    if _NOT_XML.search(name):
        # Replacing the character could make two members one.
        raise BadIdentifier(name, "XML 1.0 cannot carry one of its characters")
    return name.translate(_XML_ESCAPES)


def _xml_cell(value: Cell) -> str:
    return str(value).lower() if isinstance(value, bool) else _xml(str(value))


def _graphml(tree: _Tree) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    for place, column in enumerate(tree.columns):
        yield f'<key id="d{place}" for="node" attr.name="{_xml(column.name)}" attr.type="{column.type}"/>\n'
    yield '<graph edgedefault="directed">\n'
    for index in tree.nodes():
        yield f'<node id="{_xml_name(tree.forest, index)}">'
        for place, _, value in tree.cells(index):
            yield f'<data key="d{place}">{_xml_cell(value)}</data>'
        yield "</node>\n"
    for above, index in tree.edges():
        yield f'<edge source="{_xml_name(tree.forest, above)}" target="{_xml_name(tree.forest, index)}"/>\n'
    yield "</graph>\n</graphml>\n"


def _gexf(tree: _Tree) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<gexf xmlns="http://gexf.net/1.3" version="1.3">\n'
    yield '<graph defaultedgetype="directed">\n<attributes class="node">\n'
    for place, column in enumerate(tree.columns):
        yield f'<attribute id="{place}" title="{_xml(column.name)}" type="{column.type}"/>\n'
    yield "</attributes>\n<nodes>\n"
    for index in tree.nodes():
        name = _xml_name(tree.forest, index)
        yield f'<node id="{name}" label="{name}"><attvalues>'
        for place, _, value in tree.cells(index):
            yield f'<attvalue for="{place}" value="{_xml_cell(value)}"/>'
        yield "</attvalues></node>\n"
    yield "</nodes>\n<edges>\n"
    for number, (above, index) in enumerate(tree.edges()):
        source, target = _xml_name(tree.forest, above), _xml_name(tree.forest, index)
        yield f'<edge id="{number}" source="{source}" target="{target}"/>\n'
    yield "</edges>\n</graph>\n</gexf>\n"


# -- the others --------------------------------------------------------------------------------------------

# In a quoted DOT string only the quote is special, but labels also read backslash escapes such as \N (node
# name).
_DOT_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})


def _dot_quoted(value: Cell) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text.translate(_DOT_ESCAPES)}"'


def _dot(tree: _Tree) -> Iterator[str]:
    yield "digraph invites {\n"
    for index in tree.nodes():
        # Nodes are called by index: DOT ids know no escape for a backslash before the closing quote.
        yield f"  n{index} [label={_dot_quoted(tree.forest.name(index))}"
        for _, column, value in tree.cells(index):
            yield f", {_dot_quoted(column.name)}={_dot_quoted(value)}"
        yield "];\n"
    for above, index in tree.edges():
        yield f"  n{above} -> n{index};\n"
    yield "}\n"


def _node_link_json(tree: _Tree) -> Iterator[str]:
    """The shape that ``networkx.node_link_graph`` reads."""
    yield '{"directed": true, "multigraph": false, "graph": {}, "nodes": ['
    for number, index in enumerate(tree.nodes()):
        node: dict[str, Cell] = {column.name: value for _, column, value in tree.cells(index)}
        node["id"] = tree.forest.name(index)
        yield (",\n" if number else "\n") + json.dumps(node, ensure_ascii=False, allow_nan=False)
    yield '\n], "edges": ['
    for number, (above, index) in enumerate(tree.edges()):
        edge = {"source": tree.forest.name(above), "target": tree.forest.name(index)}
        yield (",\n" if number else "\n") + json.dumps(edge, ensure_ascii=False)
    yield "\n]}\n"


def _csv(tree: _Tree) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["member", "inviter", *(_inert(column.name) for column in tree.columns)])
    for index in tree.nodes():
        above = tree.forest.inviter(index)
        inviter = None if above == NOBODY or index == tree.top else tree.forest.name(above)
        cells: list[Cell] = [None] * len(tree.columns)
        for place, _, value in tree.cells(index):
            cells[place] = _inert(value)
        writer.writerow([_inert(tree.forest.name(index)), _inert(inviter), *cells])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


# What spreadsheets take for the start of a formula, their full-width twins included.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def _inert(value: Cell) -> Cell:
    """Put an apostrophe before text that a spreadsheet would run; numbers stay numbers."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value
