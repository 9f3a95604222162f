"""Whole columns into a store: every kind of column arrives as it was given, and nothing arrives by half."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import text

from identity_service.db.bulk import Column, Filling, Labels, Numbers, Raw, Texts
from identity_service.db.store import Tx
from identity_service.db.tables import campaigns, clients, dashboard_links, phones, signals
from identity_service.errors import SYSTEM
from tests.support.world import World

BROKEN = (ValueError, psycopg.errors.ForeignKeyViolation)


def ids(prefix: str, count: int) -> Any:
    return np.array([f"{prefix}_{n:028d}".encode() for n in range(count)], dtype=np.bytes_)


def filled(world: World, table: Any, columns: dict[str, Column | str | int]) -> list[tuple[Any, ...]]:
    """What the store holds after these columns were written, in the order of its key."""
    told: list[tuple[str, int, int]] = []
    with world.services.store.filling(SYSTEM, lambda *one: told.append(one)) as (_, filling):
        filling.put_aside([table])
        assert filling.fill(table, columns) == sum(done for _, done, _ in told)
    names = ", ".join(columns)
    query = text(f"SELECT {names} FROM {table.name} ORDER BY 1")
    return [tuple(row) for row in world.query(lambda tx: tx.select(query))]


@pytest.mark.parametrize("size", [0, 1, 41_001])
def test_columns_of_every_kind_arrive_as_they_were_given(world: World, size: int) -> None:
    rows = np.arange(size)
    hashes = (rows[:, None] * np.arange(1, 33)).astype(np.uint8)
    hashes[:, :4] = rows.astype(">i4")[:, None].view(np.uint8)
    used = np.where(rows % 3 == 0, -7, rows * 10**12 - 5)
    found = filled(
        world,
        dashboard_links,
        {
            "id": Texts(ids("lnk", size)),
            "token_hash": Raw(hashes),
            "role": Labels(("admin", "growth"), rows % 2),
            "name": Labels(("", "Ünïcode", "x"), rows % 3),
            "made_by": "O'Brien",
            "created_at": 0,
            "expires_at": Numbers(rows.astype(np.int32)),
            "used_at": Numbers(used, -7),
        },
    )
    assert found == [
        (
            f"lnk_{n:028d}",
            hashes[n].tobytes(),
            ("admin", "growth")[n % 2],
            ("", "Ünïcode", "x")[n % 3],
            "O'Brien",
            0,
            n,
            None if n % 3 == 0 else n * 10**12 - 5,
        )
        for n in range(size)
    ]


def test_absent_texts_and_labels_are_null_and_lengths_may_differ(world: World) -> None:
    # No key of this table is in the way of a row that has neither.
    made: dict[str, Column | str | int] = {
        "id": Texts(ids("phn", 4)),
        "country": Labels(("SE", "001"), np.array([0, 1, 0, 1])),
        "kind": Texts(np.array([b"a", b"bb", b"ccc", b"d"])),
        "masked": "",
        "first_seen_at": Numbers(np.array([-1, 0, 1, 2])),
    }
    found = filled(world, phones, made)
    assert [row[1:] for row in found] == [
        ("SE", "a", "", -1), ("001", "bb", "", 0), ("SE", "ccc", "", 1), ("001", "d", "", 2)
    ]  # fmt: skip
    names = Labels(("x", "y", "z"), np.arange(3))
    found = filled(
        world,
        clients,
        {"id": Texts(ids("cli", 3)), "name": names, "created_at": 1, "disabled_at": Numbers(np.arange(3), 1)},
    )
    assert [row[3] for row in found] == [0, None, 2]


def reports(tx: Tx, filling: Filling, member: bytes, reporter: bytes) -> None:
    filling.put_aside([signals])
    columns: dict[str, Column | str | int] = {
        "id": Texts(ids("sig", 1)),
        "member_id": Texts(np.array([member])),
        "reporter_id": Texts(np.array([reporter])),
        "reference": Labels(("r",), np.array([-1])),
        "kind": "report",
        "occurred_at": 1,
        "created_at": 1,
    }
    filling.fill(signals, columns)


def test_a_key_that_names_nobody_leaves_nothing_behind_and_one_that_does_is_kept(world: World) -> None:
    store, member = world.services.store, world.seed().id.encode()
    with pytest.raises(BROKEN), store.filling(SYSTEM, lambda *_: None) as (tx, filling):
        reports(tx, filling, member, b"mem_nobody")
    rows = world.query(lambda tx: tx.select(text("SELECT reporter_id, reference FROM signals")))
    assert rows == []
    with store.filling(SYSTEM, lambda *_: None) as (tx, filling):
        reports(tx, filling, member, b"")
    rows = world.query(lambda tx: tx.select(text("SELECT reporter_id, reference FROM signals")))
    assert rows == [(None, None)]


def test_a_rule_of_the_table_holds_while_it_is_filled(world: World) -> None:
    columns = {"id": Texts(ids("cmp", 2)), "name": "twice", "created_at": 1}
    with pytest.raises(Exception, match=r"uq_campaigns_name|campaigns\.name"):
        filled(world, campaigns, columns)  # type: ignore[arg-type]
    assert world.query(lambda tx: tx.select(text("SELECT count(*) FROM campaigns")))[0][0] == 0


def test_foreign_keys_hold_again_afterwards_and_the_file_is_as_before(world: World) -> None:
    filled(world, campaigns, {"id": Texts(ids("cmp", 1)), "name": "a", "created_at": 1})
    if world.store == "sqlite":
        found = world.query(
            lambda tx: [tx.select(text(f"PRAGMA {name}"))[0][0] for name in ("foreign_keys", "journal_mode")]
        )
        assert found == [1, "wal"]


def test_columns_of_unequal_length_are_refused(world: World) -> None:
    columns = {"id": Texts(ids("cmp", 2)), "name": Labels(("a",), np.zeros(1, dtype=int)), "created_at": 1}
    with pytest.raises(ValueError, match="campaigns"):
        filled(world, campaigns, columns)  # type: ignore[arg-type]
