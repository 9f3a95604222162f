"""The stored tree as a forest in memory, with what stands at each node, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from identity_service.db.store import Tx
from identity_service.errors import Refused
from identity_service.ports import rfc3339
from identity_service.services.members import Members

if TYPE_CHECKING:
    from graph import InviteForest
    from graph.export import Column

CAMPAIGN: Final = "campaign:"
"""Before the name of a campaign's node: a member's id never starts so."""
_MOST_FINDINGS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the tree."""

    id: str
    code: str
    detail: str


@dataclass(kw_only=True)
class Network:
    """The forest, and beside it the stored facts by the forest's index (None for campaigns)."""

    forest: InviteForest
    rows: list[Any | None] = field(default_factory=list)

    def columns(self) -> tuple[Column, ...]:
        """Return what an export tells of each node: nothing by which a person could be found."""
        from graph.export import Column, ColumnType

        def told(name: str) -> Column:
            return Column(name=name, type=ColumnType.TEXT, value=lambda index: self._value(index, name))

        return tuple(told(name) for name in ("state", "country", "level", "joined_at"))

    def _value(self, index: int, name: str) -> str | None:
        row = self.rows[index]
        if row is None:
            return None
        value = getattr(row, name)
        return rfc3339(value) if name == "joined_at" else value

    def counts(self) -> dict[str, int]:
        from graph.lineage import generations

        members = [row for row in self.rows if row is not None]
        seeds = sum(row.inviter_id is None and row.campaign is None for row in members)
        deepest = int(generations(self.forest).max(initial=0)) if members else 0
        states = Counter(row.state for row in members)
        counted = {"members": len(members), "seeds": seeds, "campaigns": len(self.forest.campaigns())}
        return counted | {"generations": deepest + 1 if members else 0} | dict(sorted(states.items()))


def load_network(members: Members, tx: Tx) -> Network:
    """Read every member's place and build the forest.

    Raises:
        Refused: what is stored is no forest; `code` and witness are the graph's.
    """
    from graph import GraphError, InviteForest

    rows = list(members.nodes(tx))
    forest = InviteForest()
    campaigns = dict.fromkeys(row.campaign for row in rows if row.campaign is not None)
    for name in campaigns:
        forest.add_campaign(CAMPAIGN + name)
    inviters = [row.inviter_id or (None if row.campaign is None else CAMPAIGN + row.campaign) for row in rows]
    try:
        forest.extend([row.id for row in rows], inviters)
    except GraphError as error:
        raise Refused(error.code, str(error)) from None
    return Network(forest=forest, rows=[*(None for _ in campaigns), *rows])


def findings(network: Network) -> list[Finding]:
    """Compare what is stored at each member with what its place in the forest says."""
    from graph.lineage import generations

    network.forest.check()
    expected = generations(network.forest).tolist()
    found = []
    for index, row in enumerate(network.rows):
        if row is None:
            continue
        if row.generation != expected[index]:
            detail = f"its generation is {row.generation}, by its inviter {expected[index]}"
            found.append(Finding(id=row.id, code="generation_wrong", detail=detail))
        if row.inviter_id is not None and row.campaign is not None:
            found.append(Finding(id=row.id, code="two_origins", detail="it has an inviter and a campaign"))
    return found[:_MOST_FINDINGS]
