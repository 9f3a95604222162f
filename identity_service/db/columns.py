"""Whole columns out of a query, without a Python object for each row.

Owns how very many rows become a few arrays on either store: SQLite joins the values of a column into one
text, PostgreSQL its numbers into one array in their binary form, and NumPy reads either in one step.  That is
a third of the cost of rows on SQLite, and on PostgreSQL next to nothing on our side.  Refuses: to know what
is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select

from identity_service.db.store import Statement, Tx
from identity_service.ports import ID_LENGTH

NAME_WIDTH: Final = ID_LENGTH + 4
"""Bytes of an id: three letters, a line below, and `ID_LENGTH`."""
Names = NDArray[np.bytes_]
_NAME: Final = f"S{NAME_WIDTH}"
_BLANK: Final = " " * NAME_WIDTH
_ARRAY_HEAD: Final = 20
"""Bytes before the first item of an array of one dimension, as PostgreSQL sends it."""
_ITEM: Final = np.dtype([("length", ">i4"), ("value", ">i8")])


class Kind(Enum):
    """What stands in a column."""

    NUMBER = "number"
    """A whole number; the query says what stands for none."""
    NAME = "name"
    """One of our ids, or none: empty bytes."""
    TEXT = "text"
    """Any text, or none: `None`.  For columns whose texts repeat: each is a Python object."""


class ColumnStatement(Statement):
    """A query whose rows are read as columns, by `read_columns`.

    Parameters:
        query: its first column is a `NAME`, by which one page follows another.
        kinds: of its columns.
    """

    __slots__ = ("kinds",)

    def __init__(self, query: Select[Any], kinds: Sequence[Kind]) -> None:
        rows = query.subquery()
        given = list(zip(rows.c, kinds, strict=True))
        key = rows.c[0]
        head = (func.count().label("size"), func.max(key).label("last"))
        super().__init__(
            _row_of_all(head, [_joined(column, kind) for column, kind in given]),
            postgresql=_row_of_all(head, [_gathered(column, kind) for column, kind in given]),
        )
        self.kinds = tuple(kinds)


def _row_of_all(head: Sequence[ColumnElement[Any]], columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """Return the query whose one row holds all rows."""
    return select(*head, *(column.label(f"all_{place}") for place, column in enumerate(columns)))


def _joined(column: ColumnElement[Any], kind: Kind) -> ColumnElement[Any]:
    """Return all values of a column in one text, for SQLite."""
    match kind:
        case Kind.NUMBER:
            return func.group_concat(column)
        case Kind.NAME:
            return func.group_concat(func.coalesce(column, _BLANK), "")
        case Kind.TEXT:
            return func.json_group_array(column)


def _gathered(column: ColumnElement[Any], kind: Kind) -> ColumnElement[Any]:
    """Return all values of a column in one array, and all names in one text, for PostgreSQL."""
    match kind:
        case Kind.NUMBER:
            return func.array_agg(cast(column, BigInteger))
        case Kind.NAME:
            return func.string_agg(func.coalesce(column, _BLANK), "")
        case Kind.TEXT:
            return func.json_agg(column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows as columns.

    Attributes:
        last: the greatest key.
        columns: arrays; a list of texts where the kind is `TEXT`.
    """

    size: int
    last: str
    columns: list[Any]


def read_columns(tx: Tx, statement: ColumnStatement, **values: Any) -> Page | None:
    """Return all rows of a query as columns; None where there is no row."""
    found = tx.first_as_sent(statement, **values)
    on_sqlite = tx.dialect == "sqlite"
    size = found[0] if on_sqlite else int.from_bytes(found[0])
    if not size:
        return None
    read: Callable[[Any, Kind, int], Any] = _read_text if on_sqlite else _read_binary
    given = zip(found[2:], statement.kinds, strict=True)
    return Page(
        size=size,
        last=found[1] if on_sqlite else found[1].decode(),
        columns=[read(column, kind, size) for column, kind in given],
    )


def _read_text(text: str, kind: Kind, size: int) -> Any:
    match kind:
        case Kind.NUMBER:
            numbers = np.fromstring(text, dtype=np.int64, sep=",")
            _check(len(numbers) == size)
            return numbers
        case Kind.NAME:
            return _names(text.encode(), size)
        case Kind.TEXT:
            return json.loads(text)


def _read_binary(data: bytes, kind: Kind, size: int) -> Any:
    match kind:
        case Kind.NUMBER:
            _check(len(data) == _ARRAY_HEAD + size * _ITEM.itemsize)
            return np.frombuffer(data, dtype=_ITEM, offset=_ARRAY_HEAD)["value"].astype(np.int64)
        case Kind.NAME:
            return _names(data, size)
        case Kind.TEXT:
            return json.loads(data)


def _names(data: bytes, size: int) -> Names:
    """Return the names that stand one behind the other; blanks stand for none."""
    _check(len(data) == size * NAME_WIDTH)
    names = np.frombuffer(data, dtype=_NAME)
    return np.where(names == _BLANK.encode(), b"", names).astype(_NAME)


def _check(fits: bool) -> None:  # noqa: FBT001
    """Refuse what would shift rows against each other: a value that is missing, an id of another length."""
    if not fits:
        raise ValueError("a column does not have a value of its kind in every row")
