"""How sure we are that a share is low: the distribution function of a Beta posterior."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log
from typing import Final

_TINY: Final = 1e-300
_STEPS: Final = 300
_CLOSE: Final = 1e-12


@lru_cache(maxsize=256)  # one message asks for the same share by several signals
def share_below(bar: float, good: float, bad: float) -> float:
    """Return P(share < bar) where the share is Beta(good, bad): the regularised incomplete beta function.

    The continued fraction of DLMF 8.17.22, evaluated by Lentz's method.  scipy would be 40 MB for this one
    function; a test holds the two against each other.

    Parameters
    ----------
    bar
        Between 0 and 1.
    good, bad
        Positive: the prior's counts and what was seen.

    Examples
    --------
    >>> share_below(0.5, 1.0, 1.0)
    0.5
    >>> round(share_below(0.4, 1.0, 8.0), 4)  # eight failures: very likely below 40 %
    0.9832
    """
    if bar <= 0:
        return 0.0
    if bar >= 1:
        return 1.0
    scale = exp(lgamma(good + bad) - lgamma(good) - lgamma(bad) + good * log(bar) + bad * log(1 - bar))
    if bar < (good + 1) / (good + bad + 2):
        return scale * _fraction(bar, good, bad) / good
    return 1 - scale * _fraction(1 - bar, bad, good) / bad


def _fraction(x: float, a: float, b: float) -> float:
    above, below = 1.0, _away_from_zero(1 - (a + b) * x / (a + 1))
    below = 1 / below
    value = below
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _away_from_zero(1 + term * below)
            above = _away_from_zero(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < _CLOSE:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
