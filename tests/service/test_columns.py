"""Rows that are read as columns are the rows, on both stores."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, case, select

from identity_service.db.columns import ColumnStatement, Kind, Page, read_columns
from identity_service.db.tables import campaigns, marks
from tests.support.world import World

_ID = "cmp_0123456789abcdefghjkmnpqrstv"
ROWS = [
    ("cmp_" + "a" * 28, -5, "plain"),
    ("cmp_" + "b" * 28, 0, None),
    ("cmp_" + "c" * 28, 2**63 - 1, 'a, "b"\n\x1f\\ é 名'),
]
_marks = select(marks.c.name, marks.c.value, marks.c.text)
ALL = ColumnStatement(
    _marks.where(marks.c.name > bindparam("after")).order_by(marks.c.name).limit(bindparam("limit")),
    (Kind.NAME, Kind.NUMBER, Kind.TEXT),
)
NAMES = ColumnStatement(_marks.with_only_columns(marks.c.name, marks.c.text), (Kind.NAME, Kind.NAME))


@pytest.fixture
def filled(world: World) -> World:
    world.transact(lambda tx: tx.change(marks.delete()))
    for name, value, text in ROWS:
        row = marks.insert().values(name=name, value=value, text=text)
        world.transact(lambda tx, row=row: tx.change(row))
    return world


def read(world: World, statement: ColumnStatement, **values: Any) -> Page | None:
    page: Page | None = world.query(lambda tx: read_columns(tx, statement, **values))
    return page


def test_every_value_arrives(filled: World) -> None:
    page = read(filled, ALL, after="", limit=10)
    assert page is not None
    names, numbers, texts = page.columns
    assert (page.size, page.last) == (3, ROWS[2][0])
    told = zip([name.decode() for name in names.tolist()], numbers.tolist(), texts, strict=True)
    assert list(told) == ROWS


def test_pages_follow_one_another(filled: World) -> None:
    found, after = [], ""
    while page := read(filled, ALL, after=after, limit=2):
        found.append(page.columns[1].tolist())
        after = page.last
    assert found == [[-5, 0], [2**63 - 1]]


def test_no_name_is_an_empty_one(world: World) -> None:
    world.transact(lambda tx: tx.change(marks.delete()))
    for name, text in ((_ID, None), (_ID[:-1] + "w", _ID)):
        row = marks.insert().values(name=name, value=1, text=text)
        world.transact(lambda tx, row=row: tx.change(row))
    page = read(world, NAMES)
    assert page is not None
    assert sorted(page.columns[1].tolist()) == [b"", _ID.encode()]


def test_a_query_without_rows_gives_nothing(world: World) -> None:
    world.transact(lambda tx: tx.change(campaigns.delete()))
    empty = ColumnStatement(select(campaigns.c.id, campaigns.c.name), (Kind.NAME, Kind.TEXT))
    assert read(world, empty) is None


def test_a_number_that_is_missing_shifts_no_row(filled: World) -> None:
    holes = ColumnStatement(
        select(marks.c.name, case((marks.c.value == 0, None), else_=marks.c.value)), (Kind.NAME, Kind.NUMBER)
    )
    with pytest.raises(ValueError, match="in every row"):
        read(filled, holes)
