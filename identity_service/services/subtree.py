"""What stands below a member: walked page by page, and counted as far as one answer may go.

A subtree may hold millions.  A page costs its own rows and a few steps up, wherever in the subtree it
begins; a count looks at `MOST_COUNTED` members and then says that there are more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Integer, bindparam, case, func, literal, literal_column, select

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import members

MOST_COUNTED: Final = 100_000
_AT_ONCE: Final = 50
_FIRST_CLIMB: Final = 16
_LONGEST_CLIMB: Final = 4096
_limit = bindparam("limit", type_=Integer)
_CHILDREN = Statement(
    select(members.c.id)
    .where(members.c.inviter_id == bindparam("member"), members.c.id > bindparam("after"))
    .order_by(members.c.id)
    .limit(_limit)
)


def _climb() -> Any:
    """From a member up: each step with its inviter, and the next younger one of the same inviter."""
    up = (
        select(members.c.id, members.c.inviter_id, literal(0).label("step"))
        .where(members.c.id == bindparam("start"))
        .cte("up", recursive=True)
    )
    above = members.alias("above")
    up = up.union_all(
        select(above.c.id, above.c.inviter_id, up.c.step + 1).where(
            above.c.id == up.c.inviter_id,
            up.c.inviter_id != bindparam("top"),
            up.c.step < bindparam("steps", type_=Integer),
        )
    )
    sibling = members.alias("sibling")
    younger = (
        select(sibling.c.id)
        .where(sibling.c.inviter_id == up.c.inviter_id, sibling.c.id > up.c.id)
        .exists()
        .label("has_younger")
    )
    return select(up.c.id, up.c.inviter_id, younger).order_by(up.c.step)


def _counts() -> Any:
    below = (
        select(members.c.id, members.c.state, literal(0).label("depth"))
        .where(members.c.id == bindparam("member"))
        .cte("below", recursive=True)
    )
    child = members.alias("child")
    below = below.union_all(
        select(child.c.id, child.c.state, below.c.depth + 1).where(child.c.inviter_id == below.c.id)
    )
    # Both stores make the rows of the recursion as they are asked for, and so stop here.  The member itself
    # is the first; one more row tells that there are more.
    some = select(below.c.state, below.c.depth).limit(literal_column(str(MOST_COUNTED + 2))).subquery()
    return select(
        func.count().label("members"),
        func.coalesce(func.max(some.c.depth), 0).label("depth"),
        func.coalesce(func.sum(case((some.c.depth == 1, 1), else_=0)), 0).label("invitees"),
        *(
            func.coalesce(func.sum(case((some.c.state == state, 1), else_=0)), 0).label(state)
            for state in ("active", "suspended", "banned", "erased")
        ),
    ).where(some.c.depth > 0)


_CLIMB = Statement(_climb())
_COUNTS = Statement(_counts())


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSummary:
    """Counts over a member's whole subtree, the member left out.

    `at_least`: there are more than `MOST_COUNTED`, and every number is a lower bound.
    """

    invitees: int
    descendants: int
    depth: int
    active: int
    suspended: int
    banned: int
    erased: int
    at_least: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody in a subtree, and how many steps below its top."""

    id: str
    depth: int


def walk(tx: Tx, top: str, *, after: Place | None, max_depth: int | None) -> Iterator[Place]:
    """Yield everybody below `top`: each before its own invitees, older invitees before younger ones.

    Nothing is remembered between two walks and nothing is walked twice: from any place the next one is
    found by its own links, the oldest invitee, or the next younger one of the nearest inviter who has one.

    Parameters:
        after: go on behind this place, which must be below `top`.
        max_depth: how many steps to go down.
    """
    here = after or Place(top, 0)
    yield from _below(tx, here, "", max_depth)
    while here.id != top:
        found = _younger(tx, here, top)
        if found is None:
            return
        here, behind = found
        yield from _below(tx, here, behind, max_depth)


def count(tx: Tx, top: str) -> TreeSummary:
    """Count what is below a member, as far as `MOST_COUNTED`."""
    row = tx.one(_COUNTS, member=top)
    return TreeSummary(
        invitees=int(row.invitees),
        descendants=int(row.members),
        depth=int(row.depth),
        active=int(row.active),
        suspended=int(row.suspended),
        banned=int(row.banned),
        erased=int(row.erased),
        at_least=row.members > MOST_COUNTED,
    )


@dataclass(slots=True)
class _Line:
    """The invitees of one member, read some at a time: the next one is the last of `waiting`."""

    inviter: Place
    behind: str
    waiting: list[str] = field(default_factory=list)
    is_read: bool = False

    def next(self, tx: Tx) -> str | None:
        if not self.waiting and not self.is_read:
            rows = tx.all(_CHILDREN, member=self.inviter.id, after=self.behind, limit=_AT_ONCE)
            self.waiting = [row.id for row in reversed(rows)]
            self.is_read = len(rows) < _AT_ONCE
        if not self.waiting:
            return None
        self.behind = self.waiting.pop()
        return self.behind


def _below(tx: Tx, inviter: Place, behind: str, max_depth: int | None) -> Iterator[Place]:
    """Yield the invitees of a member that come behind one of them, each with all below it."""
    if max_depth is not None and inviter.depth >= max_depth:
        return
    lines = [_Line(inviter, behind)]
    while lines:
        found = lines[-1].next(tx)
        if found is None:
            lines.pop()
            continue
        place = Place(found, lines[-1].inviter.depth + 1)
        yield place
        if max_depth is None or place.depth < max_depth:
            lines.append(_Line(place, ""))


def _younger(tx: Tx, here: Place, top: str) -> tuple[Place, str] | None:
    """Return the nearest inviter above who has invitees behind those that were walked, and the last of these.

    The steps up are asked for few first and then more: most trees branch soon, and one may be a chain.
    """
    steps = _FIRST_CLIMB
    while True:
        rows = tx.all(_CLIMB, start=here.id, top=top, steps=steps)
        for step, row in enumerate(rows):
            if row.has_younger:
                return Place(row.inviter_id, here.depth - step - 1), row.id
        if not rows or rows[-1].inviter_id in (None, top):
            return None
        here = Place(rows[-1].inviter_id, here.depth - len(rows))
        steps = min(4 * steps, _LONGEST_CLIMB)
