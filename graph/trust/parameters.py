"""The constants of the trust model, checked once, and the two maps that everything else is made of.

The model is a pairwise Markov field on the invite forest (SybilBelief's idea, Gong, Frank and Mittal 2014,
made exact by the tree, directed and bounded). A member p is Honest or Bad, and invites in a Clean or a
Dirty way: ``x_inviter -> y_inviter -> x_invitee``. On a forest, belief propagation is exact in two sweeps
(Pearl 1988). Everything is in natural log-odds; positive is honest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from graph.errors import BadParameter

TOP = 150.0
"""Log-odds are clipped here before they are exponentiated: e**-150 is far below what a double can add to 1,
and the product of three such odds still fits one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustParameters:
    """The probabilities and priors of the model.

    Attributes
    ----------
    a, b : float in [1e-6, 1 - 1e-6], a <= b
        P(invitee Bad | inviter Clean), P(invitee Bad | inviter Dirty).
    r, s : float in [0, 1), r + s < 1
        P(Dirty | Honest), P(Clean | Bad). ``r = s = 0`` is the one-layer model.
    root_prior, campaign_prior : float
        Log-odds of a seed and of the virtual root of a campaign.
    adjudicated : float
        Log-odds of Clean to which an adjudicated seller of invites is clamped. Conduct is not bounded
        above, so that enough clean puppets would wash any finite evidence; a clamp cannot be washed.

    Raises
    ------
    BadParameter
        If a value is not finite or out of its range.

    Examples
    --------
    >>> TrustParameters().a
    0.02
    >>> TrustParameters(a=0.9)
    Traceback (most recent call last):
        ...
    graph.errors.BadParameter: a=0.9: clean inviters must not bring more bad invitees than dirty ones (b=0.8)
    """

    a: float = 0.02
    b: float = 0.8
    r: float = 0.02
    s: float = 0.1
    root_prior: float = 4.0
    campaign_prior: float = 2.0
    adjudicated: float = -30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadParameter(field.name, value, "it must be a finite number")
        for name, value in (("a", self.a), ("b", self.b)):
            if not 1e-6 <= value <= 1 - 1e-6:
                raise BadParameter(name, value, "it must lie between 0 and 1 and keep 1e-6 away from both")
        for name, value in (("r", self.r), ("s", self.s)):
            if not 0 <= value < 1:
                raise BadParameter(name, value, "it must lie between 0 and 1, 1 excluded")
        if self.a > self.b:
            reason = f"clean inviters must not bring more bad invitees than dirty ones (b={self.b})"
            raise BadParameter("a", self.a, reason)
        if self.r + self.s >= 1:
            raise BadParameter(
                "r", self.r, f"honest members must not invite worse than bad ones (s={self.s})"
            )
        for name, value in (("root_prior", self.root_prior), ("campaign_prior", self.campaign_prior)):
            if abs(value) > TOP:
                raise BadParameter(name, value, f"log-odds beyond {TOP} mean nothing")
        if not -TOP <= self.adjudicated < 0:
            raise BadParameter("adjudicated", self.adjudicated, "a clamp must be negative and finite")

    @property
    def unsponsored(self) -> float:
        """P(Bad) of a member with nobody behind them: what an endless chain without evidence tends to.

        It is the rest point of ``P(Bad) -> a P(Clean) + b P(Dirty)``, and stands in where an edge counts
        for nothing.

        Examples
        --------
        >>> q = TrustParameters().unsponsored
        >>> round(math.log((1 - q) / q), 2)
        2.06
        """
        return (self.a + (self.b - self.a) * self.r) / (1 - (self.b - self.a) * (1 - self.s - self.r))

    def edge(self, weight: float) -> tuple[float, float]:
        """Return (a, b) of an edge that counts with `weight` in [0, 1]; at 0 nothing passes either way."""
        q = self.unsponsored
        return weight * self.a + (1 - weight) * q, weight * self.b + (1 - weight) * q

    @property
    def contraction(self) -> float:
        """Upper bound kappa on ``|dL_j| / |dL_i|`` for neighbours i, j in the one-layer model.

        ``tanh((logit(1-a) + logit b) / 4)``, the largest slope of the edge map.

        Examples
        --------
        >>> round(TrustParameters().contraction, 3)
        0.867
        """
        return math.tanh((math.log((1 - self.a) / self.a) + math.log(self.b / (1 - self.b))) / 4)

    @property
    def horizon(self) -> int:
        """Edges after which an influence is below the last bit of a double, however strong it began.

        Both layers contract, so that a query may stop climbing here: it is what makes queries O(min(depth,
        horizon)).
        """
        slope = self.contraction
        if self.r > 0 and self.s > 0:
            slope *= math.tanh((math.log((1 - self.r) / self.r) + math.log((1 - self.s) / self.s)) / 4)
        if slope <= 0.0:
            return 1
        # 2 TOP is the widest difference that can enter; 1e-17 of log-odds is nothing.
        return math.ceil(math.log(1e-17 / (2 * TOP)) / math.log(slope)) if slope < 1 else 1 << 62


def up_map(u: float, p: float, q: float) -> float:
    """``M(u; p, q) = log[((1-p) e^u + p) / ((1-q) e^u + q)]``: evidence on a child, seen from its parent.

    Examples
    --------
    >>> up_map(0.0, 0.02, 0.8)
    0.0
    """
    odds = math.exp(max(-TOP, min(TOP, u)))
    return math.log(((1 - p) * odds + p) / ((1 - q) * odds + q))


def down_map(g: float, p: float, q: float) -> float:
    """``D(g; p, q) = log[((1-p) e^g + 1-q) / (p e^g + q)]``: belief in a parent, seen from its child."""
    odds = math.exp(max(-TOP, min(TOP, g)))
    return math.log(((1 - p) * odds + 1 - q) / (p * odds + q))
