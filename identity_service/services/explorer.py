"""The tree as a picture needs it: a member's surroundings, nearest first, cut where they get too large.

Reads one subtree in breadth first order and stops after so many members, however many there are below; each
member of the answer says how many more hang on it.  Refuses to load a whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, func, literal, select

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members
from identity_service.errors import invalid, not_found
from identity_service.ports import Instant

MOST: Final = 10_000
_COUNTED_AT_ONCE: Final = 500
_COLUMNS: Final = (
    members.c.id,
    members.c.inviter_id,
    members.c.external_id,
    members.c.state,
    members.c.country,
    members.c.level,
    members.c.generation,
    members.c.joined_at,
    members.c.trust_log_odds,
)


def _surroundings() -> Any:
    """Both stores walk a recursive query level by level, and stop where the reader does."""
    start = select(*_COLUMNS, literal(0).label("depth")).where(members.c.id == bindparam("root"))
    below = start.cte("below", recursive=True)
    child = members.alias("child")
    step = select(*(child.c[column.name] for column in _COLUMNS), below.c.depth + 1).where(
        child.c.inviter_id == below.c.id
    )
    return select(below.union_all(step)).limit(bindparam("limit"))


_BELOW: Final = Statement(_surroundings())
_ROOTS: Final = Statement(
    select(members.c.id, members.c.external_id)
    .where(members.c.inviter_id.is_(None))
    .order_by(members.c.inviter_id, members.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A member in the picture.

    Attributes:
        depth: steps below the root of the picture.
        hidden: invitees of this member that the picture leaves out.
    """

    id: str
    inviter_id: str | None
    external_id: str | None
    state: str
    country: str | None
    level: str
    generation: int
    joined_at: Instant
    trust_log_odds: float | None
    depth: int
    hidden: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A subtree, inviters before their invitees; `cut` where there is more below than was asked for."""

    nodes: tuple[Node, ...]
    cut: bool


class Explorer:
    def roots(self, tx: Tx, limit: int) -> list[Any]:
        """Return the first members whom nobody invited: rows of id and external_id."""
        return tx.all(_ROOTS, limit=limit)

    def surroundings(self, tx: Tx, root_id: str, most: int) -> Picture:
        """Return a member and who came by it, at most so many of them, nearest first.

        Raises:
            Refused: `not_found`, `validation_failed`.
        """
        if not 1 <= most <= MOST:
            raise invalid("/most", "out_of_range", f"A picture shows 1 to {MOST} members.")
        rows = tx.all(_BELOW, root=root_id, limit=most + 1)
        if not rows:
            raise not_found("member")
        cut = len(rows) > most
        shown = sorted(rows[:most], key=lambda row: (row.depth, row.id))
        hidden = self._hidden(tx, shown) if cut else {}
        return Picture(nodes=tuple(_node(row, hidden.get(row.id, 0)) for row in shown), cut=cut)

    def _hidden(self, tx: Tx, shown: list[Any]) -> dict[str, int]:
        """Count the invitees that were left out.  Only the two outermost levels can have any."""
        drawn: dict[str, int] = {}
        for row in shown:
            drawn[row.inviter_id] = drawn.get(row.inviter_id, 0) + 1
        outermost = shown[-1].depth
        rim = [row.id for row in shown if row.depth >= outermost - 1]
        hidden = {}
        for at in range(0, len(rim), _COUNTED_AT_ONCE):
            query = (
                select(members.c.inviter_id, func.count().label("n"))
                .where(members.c.inviter_id.in_(rim[at : at + _COUNTED_AT_ONCE]))
                .group_by(members.c.inviter_id)
            )
            for row in tx.select(query):
                if row.n > drawn.get(row.inviter_id, 0):
                    hidden[row.inviter_id] = row.n - drawn.get(row.inviter_id, 0)
        return hidden


def _node(row: Any, hidden: int) -> Node:
    return Node(
        id=row.id,
        inviter_id=row.inviter_id,
        external_id=row.external_id,
        state=row.state,
        country=row.country,
        level=row.level,
        generation=row.generation,
        joined_at=row.joined_at,
        trust_log_odds=row.trust_log_odds,
        depth=row.depth,
        hidden=hidden,
    )
