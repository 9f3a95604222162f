"""The sweeps in plain Python, for runs of narrow levels: a chain of a million members is a million levels.

All values are odds, not log-odds: between the maps of the model nothing but rational functions is needed,
so that the loops take no exponential and no logarithm. A piece has few members a level, so that the
products stay far from the ends of a double.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graph.trust.parameters import TrustParameters


@dataclass(slots=True)
class Piece:
    """A run of narrow levels as plain lists, which Python reads faster than arrays. All values are odds.

    ``above[i]`` is the place of the inviter in the same piece or -1; ``odds`` are those of Y, ``ratios`` of
    m.
    """

    above: list[int]
    own: list[float]
    odds: list[float]
    ratios: list[float]
    clamped: frozenset[int]
    edges: dict[int, tuple[float, float]]


def climb(piece: Piece, p: TrustParameters) -> list[int]:
    """Fill in ``ratios``, multiply them into the inviters' ``odds``.

    Return the places whose inviter is outside.
    """
    above, own, odds, ratios = piece.above, piece.own, piece.odds, piece.ratios
    clamped, edges, clamp = piece.clamped, piece.edges, math.exp(p.adjudicated)
    a, b, r, s = p.a, p.b, p.r, p.s
    not_a, not_b, not_r, not_s = 1 - a, 1 - b, 1 - r, 1 - s
    plain = not clamped and not edges
    outside: list[int] = []
    for place in range(len(above) - 1, -1, -1):
        below = odds[place]
        if not plain:
            below = clamp if place in clamped else below
            a, b = edges.get(place, (p.a, p.b))
            not_a, not_b = 1 - a, 1 - b
        standing = own[place] * (not_r * below + r) / (s * below + not_s)
        ratios[place] = ratio = (not_a * standing + a) / (not_b * standing + b)
        inviter = above[place]
        if inviter >= 0:
            odds[inviter] *= ratio
        else:
            outside.append(place)
    return outside


def descend(
    piece: Piece, entering: list[float], is_root: list[bool], p: TrustParameters
) -> tuple[list[float], list[float]]:
    """Return the odds of t and of T.

    `entering` holds priors of roots, and cavities whose inviter is outside.
    """
    above, own, odds, ratios = piece.above, piece.own, piece.odds, piece.ratios
    clamped, edges, clamp = piece.clamped, piece.edges, math.exp(p.adjudicated)
    a, b, r, s = p.a, p.b, p.r, p.s
    not_a, not_b, not_r, not_s = 1 - a, 1 - b, 1 - r, 1 - s
    plain = not clamped and not edges
    from_inviter, conduct = [0.0] * len(above), [0.0] * len(above)
    for place, t in enumerate(entering):
        if not is_root[place]:
            inviter = above[place]
            if inviter < 0:
                cavity = t
            elif inviter in clamped:
                cavity = conduct[inviter] * clamp
            else:
                cavity = conduct[inviter] * odds[inviter] / ratios[place]
            if not plain:
                a, b = edges.get(place, (p.a, p.b))
                not_a, not_b = 1 - a, 1 - b
            t = (not_a * cavity + not_b) / (a * cavity + b)  # noqa: PLW2901 - a prior no more
        from_inviter[place] = t
        belief = own[place] * t
        conduct[place] = (not_r * belief + s) / (r * belief + not_s)
    return from_inviter, conduct
