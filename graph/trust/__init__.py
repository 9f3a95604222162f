"""Exact trust on the invite forest: evidence in, log-odds and their reasons out.

`solve` scores everybody at once, `TrustFollower` follows a stream of events, `explain` says why,
`PublishedScores` says whose row must be written again. The model is described in ``docs/trust.md``.
"""

from graph.trust.batch import TrustArrays, solve
from graph.trust.evidence import AlphaEpoch, Evidence, EvidenceKind, EvidencePolicy, Facts
from graph.trust.explain import Explanation, Help, Line, Source, explain, explained, would_help
from graph.trust.follower import TrustFollower, TrustScore
from graph.trust.ledger import EvidenceLedger
from graph.trust.neighbourhood import Above, Alike, Neighbourhood, Told, neighbourhood_of
from graph.trust.parameters import TrustParameters
from graph.trust.publish import Moved, PublicScore, PublishedScores, PublishedStates

__all__ = [
    "Above",
    "Alike",
    "AlphaEpoch",
    "Evidence",
    "EvidenceKind",
    "EvidenceLedger",
    "EvidencePolicy",
    "Explanation",
    "Facts",
    "Help",
    "Line",
    "Moved",
    "Neighbourhood",
    "PublicScore",
    "PublishedScores",
    "PublishedStates",
    "Source",
    "Told",
    "TrustArrays",
    "TrustFollower",
    "TrustParameters",
    "TrustScore",
    "explain",
    "explained",
    "neighbourhood_of",
    "solve",
    "would_help",
]
