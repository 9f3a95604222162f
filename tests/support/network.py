"""Many members at once, where how they joined is not what is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from identity_service.db.store import Statement, binds
from identity_service.db.tables import members
from tests.support.world import World


def member_id(number: int) -> str:
    return f"mem_{number:028d}"


def plant(world: World, parents: Mapping[int, int | None], **columns: Any) -> dict[int, str]:
    """Make members by number, each under the number that it names; ids sort by number.

    Parameters:
        columns: further columns: a value for all, or a function of the number.
    """
    generations: dict[int, int] = {}
    for number, parent in sorted(parents.items()):
        generations[number] = 0 if parent is None else generations[parent] + 1
    rows = [
        {
            "id": member_id(number),
            "state": "active",
            "inviter_id": None if parent is None else member_id(parent),
            "generation": generations[number],
            "joined_at": number,
            "last_seen_at": number,
            "level": "new",
        }
        | {name: value(number) if callable(value) else value for name, value in columns.items()}
        for number, parent in sorted(parents.items())
    ]
    add = Statement(insert(members).values(binds(rows[0])))
    world.transact(lambda tx: tx.run_many(add, rows))
    return {number: member_id(number) for number in parents}
