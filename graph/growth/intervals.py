"""How sure an estimate is: Wilson's interval for shares, the normal one for means, shrinkage for few.

All of them are 95 % intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Z: Final = 1.959963984540054
"""The standard normal's 97.5 % point."""
SHRINKAGE: Final = 20
"""How many members of the whole network every group is given before its own are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval; all three are None where there is nothing to count (`n` is 0)."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def share(part: int, whole: int) -> Estimate:
    """Return a share with Wilson's score interval (Wilson 1927): sound at 0, at 1, and for few.

    Examples
    --------
    >>> some = share(5, 10)
    >>> some.value, round(some.low, 4), round(some.high, 4)
    (0.5, 0.2366, 0.7634)
    >>> share(0, 0).value is None
    True
    """
    if whole == 0:
        return Estimate(value=None, low=None, high=None, n=0)
    low, high = wilson(np.array([part]), np.array([whole]))
    return Estimate(value=part / whole, low=float(low[0]), high=float(high[0]), n=whole)


def wilson(
    part: NDArray[np.int64], whole: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's lower and upper limits of many shares; `whole` is nowhere 0."""
    p = part / whole
    spread = Z * np.sqrt(p * (1 - p) / whole + Z * Z / (4.0 * whole * whole))
    centre, scale = p + Z * Z / (2 * whole), 1 + Z * Z / whole
    # Rounding would otherwise let a limit cross the share itself at 0 and at 1.
    low = np.where(part == 0, 0.0, (centre - spread) / scale)
    return low, np.where(part == whole, 1.0, (centre + spread) / scale)


def mean(values: NDArray[np.int64] | NDArray[np.float64]) -> Estimate:
    """Return a mean of counts with the interval of the central limit theorem, cut at 0.

    Of a single value nothing is known about its spread: no interval.

    Examples
    --------
    >>> some = mean(np.array([1, 2, 3, 4]))
    >>> some.value, round(some.low, 3), round(some.high, 3)
    (2.5, 1.235, 3.765)
    """
    n = len(values)
    if n == 0:
        return Estimate(value=None, low=None, high=None, n=0)
    middle = float(values.mean())
    if n == 1:
        return Estimate(value=middle, low=None, high=None, n=1)
    error = Z * float(values.std(ddof=1)) / n**0.5
    return Estimate(value=middle, low=max(0.0, middle - error), high=middle + error, n=n)


def shrunk(part: NDArray[np.int64], whole: NDArray[np.int64], overall: float) -> NDArray[np.float64]:
    """Return shares drawn towards the overall one, as if each group had `SHRINKAGE` average members more.

    Examples
    --------
    >>> shrunk(np.array([1, 100]), np.array([1, 100]), 0.1).round(2).tolist()
    [0.14, 0.85]
    """
    result: NDArray[np.float64] = (part + SHRINKAGE * overall) / (whole + SHRINKAGE)
    return result
