"""Trust by adding up every state of a small forest: slow, obvious, independent of the package."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from graph.trust.parameters import TrustParameters


def brute_force(
    parents: list[int],
    own: list[float],
    p: TrustParameters,
    *,
    campaigns: frozenset[int] = frozenset(),
    adjudicated: frozenset[int] = frozenset(),
    edge_weights: Mapping[int, float] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (L, Ly). Adjudication is conditioning on Dirty, so Ly of an adjudicated member is -inf."""
    size = len(parents)
    states = np.arange(1 << (2 * size))
    bad = [(states >> place) & 1 for place in range(size)]
    dirty = [(states >> (size + place)) & 1 for place in range(size)]
    weight = np.ones(len(states))
    for member, parent in enumerate(parents):
        if parent < 0:
            prior = p.campaign_prior if member in campaigns else p.root_prior
            weight *= np.where(bad[member], 1.0, np.exp(prior))
        else:
            counts = (edge_weights or {}).get(member, 1.0)
            a = counts * p.a + (1 - counts) * p.unsponsored
            b = counts * p.b + (1 - counts) * p.unsponsored
            chance = np.where(dirty[parent], b, a)
            weight *= np.where(bad[member], chance, 1 - chance)
        is_dirty = np.where(bad[member], 1 - p.s, p.r)
        weight *= np.where(dirty[member], is_dirty, 1 - is_dirty)
        weight *= np.where(bad[member], 1.0, np.exp(own[member]))
        if member in adjudicated:
            weight *= dirty[member]
    with np.errstate(divide="ignore"):
        honest = np.log([weight[bad[m] == 0].sum() / weight[bad[m] == 1].sum() for m in range(size)])
        clean = np.log([weight[dirty[m] == 0].sum() / weight[dirty[m] == 1].sum() for m in range(size)])
    return honest, clean
