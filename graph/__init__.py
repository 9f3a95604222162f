"""Invite graphs as a library of its own: forest, lineage, exports, exact trust.

Pure: NumPy, networkx and the standard library. It knows nothing of Flask, SQL, phones or the service, and
does no input or output except to the file objects that it is handed.
"""

from graph.errors import (
    BadEvidence,
    BadIdentifier,
    BadParameter,
    BadTable,
    CycleFound,
    ForestCorrupt,
    ForestFull,
    GraphError,
    MemberKey,
    NotAForest,
    TwoInviters,
    UnknownIndex,
    UnknownMember,
)
from graph.forest import NOBODY, InviteForest

__all__ = [
    "NOBODY",
    "BadEvidence",
    "BadIdentifier",
    "BadParameter",
    "BadTable",
    "CycleFound",
    "ForestCorrupt",
    "ForestFull",
    "GraphError",
    "InviteForest",
    "MemberKey",
    "NotAForest",
    "TwoInviters",
    "UnknownIndex",
    "UnknownMember",
]
