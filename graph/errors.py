"""The typed refusals of the package. Each has a stable ``code`` and names the witness that proves it.

Nothing in this package repairs bad input silently: a stream that cannot be a forest is refused whole, with
the members that show why, so that whoever runs an import can open exactly these rows.
"""

from __future__ import annotations

from collections.abc import Sequence

MemberKey = int | str

# A cycle may be as long as the import; a message that lists a million names helps nobody.
_SHOWN = 8


class GraphError(Exception):
    """Base of every refusal of this package; ``code`` is stable and meant for machines."""

    code = "graph_error"


class CycleFound(GraphError):
    """Following inviters from ``cycle[0]`` leads back to it.

    Attributes
    ----------
    cycle : tuple of int or str
        The members in order: each was invited by the next, the last by the first.
    """

    code = "cycle_found"

    def __init__(self, cycle: Sequence[MemberKey]) -> None:
        self.cycle = tuple(cycle)
        shown = " <- ".join(repr(member) for member in self.cycle[:_SHOWN])
        more = f" <- ... ({len(self.cycle)} members)" if len(self.cycle) > _SHOWN else ""
        super().__init__(f"these members invited each other in a circle: {shown}{more}")


class TwoInviters(GraphError):
    """``member`` stands with two different inviters; ``None`` means "came as a seed"."""

    code = "two_inviters"

    def __init__(self, member: MemberKey, first: MemberKey | None, second: MemberKey | None) -> None:
        self.member, self.first, self.second = member, first, second
        super().__init__(f"{member!r} was invited by {first!r}, so it cannot be invited by {second!r} too")


class UnknownMember(GraphError, KeyError):
    """``member`` is not in the forest."""

    code = "unknown_member"

    def __init__(self, member: object) -> None:
        self.member = member
        super().__init__(f"no member {member!r} in the forest")

    def __str__(self) -> str:  # KeyError would print the repr of the message, in quotes
        return str(self.args[0])


class UnknownIndex(GraphError, IndexError):
    """There is no node at ``index``; nothing counts from the end."""

    code = "unknown_index"

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"no node at index {index} in the forest")


class BadIdentifier(GraphError, ValueError):
    """``identifier`` cannot name a member; ``reason`` says why in plain words."""

    code = "bad_identifier"

    def __init__(self, identifier: object, reason: str) -> None:
        self.identifier, self.reason = identifier, reason
        super().__init__(f"{identifier!r} cannot name a member: {reason}")


class NotAForest(GraphError, ValueError):
    """A foreign graph has a shape that no invite forest has (undirected, or with parallel edges)."""

    code = "not_a_forest"


class ForestFull(GraphError):
    """Indexes are 32 bits wide; ``limit`` members are the most that one forest holds."""

    code = "forest_full"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"a forest holds at most {limit} members")


class ForestCorrupt(GraphError):
    """An internal array contradicts another at ``member``: memory was written from outside."""

    code = "forest_corrupt"

    def __init__(self, member: MemberKey, reason: str) -> None:
        self.member, self.reason = member, reason
        super().__init__(f"the forest contradicts itself at {member!r}: {reason}")


class BadParameter(GraphError, ValueError):
    """``name`` was given a ``value`` outside of what the model allows."""

    code = "bad_parameter"

    def __init__(self, name: str, value: object, reason: str) -> None:
        self.name, self.value, self.reason = name, value, reason
        super().__init__(f"{name}={value!r}: {reason}")


class BadEvidence(GraphError, ValueError):
    """A piece of evidence on ``member`` must not count, such as a report on oneself; ``reason`` says why."""

    code = "bad_evidence"

    def __init__(self, member: MemberKey, reason: str) -> None:
        self.member, self.reason = member, reason
        super().__init__(f"evidence on {member!r} is refused: {reason}")


class BadTable(GraphError, ValueError):
    """A line of an outside file cannot be read; ``line`` counts from 1."""

    code = "bad_table"

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")
