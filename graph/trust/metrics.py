"""How well a score tells bad members from honest ones: AUC, average precision and Brier, with intervals.

Scores are "higher is more honest" everywhere; the class that is looked for is Bad. Ties count half in the
AUC and share one threshold in the average precision, so that a constant score is exactly chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How well one method does; ``brier`` only where it states probabilities."""

    method: str
    auc: Interval
    average_precision: Interval
    brier: Interval | None


class _Ranking:
    """Scores sorted once, so that each bootstrap replicate is a few cumulative sums over weights."""

    def __init__(self, bad: NDArray[np.bool_], score: Floats) -> None:
        self.order = np.argsort(score, kind="stable")  # most suspicious first
        ranked = score[self.order]
        self.bad = bad[self.order].astype(float)
        self.ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def measures(self, weights: Floats) -> tuple[float, float]:
        """Return (AUC, average precision) of the members counted with `weights`."""
        counted = weights[self.order]
        hits = np.cumsum(counted * self.bad)[self.ends]
        misses = np.cumsum(counted * (1 - self.bad))[self.ends]
        if hits[-1] == 0 or misses[-1] == 0:
            return float("nan"), float("nan")
        gained, passed = np.diff(hits, prepend=0.0), np.diff(misses, prepend=0.0)
        # An honest member beats every bad one ranked before it, and half of those it is tied with.
        auc = float((passed * (hits - gained / 2)).sum() / (hits[-1] * misses[-1]))
        precision = hits / np.maximum(hits + misses, 1e-300)
        return auc, float((gained * precision).sum() / hits[-1])


def quality(
    method: str,
    bad: NDArray[np.bool_],
    score: Floats,
    *,
    probability_bad: Floats | None = None,
    groups: NDArray[np.int64] | None = None,
    replicates: int = 400,
    seed: int = 0,
) -> Quality:
    """Measure one method.

    Parameters
    ----------
    method : str
    bad : NDArray[bool], shape (n,)
        The truth; both classes must be there for a result that is a number.
    score : NDArray[float64], shape (n,)
        Higher is more honest; only the order counts.
    probability_bad : NDArray[float64], shape (n,), optional
        For the Brier score.
    groups : NDArray[int64], shape (n,), optional
        Rows of one group are drawn together, as when one member stands in several rows.
    replicates : int
        Bootstrap replicates (groups are drawn with replacement; Efron 1979).
    seed : int
        The same seed draws the same members for every method, so that methods can be compared.

    Examples
    --------
    >>> bad = np.array([True, True, False, False])
    >>> quality("perfect", bad, np.array([-1.0, 0.0, 1.0, 2.0])).auc.value
    1.0
    >>> quality("constant", bad, np.zeros(4)).auc.value
    0.5
    """
    size = len(bad)
    ranking, rng = _Ranking(bad, score), np.random.default_rng(seed)
    losses = None if probability_bad is None else (probability_bad - bad) ** 2
    names, member = (np.arange(size),) * 2 if groups is None else np.unique(groups, return_inverse=True)
    drawn: list[tuple[float, float, float]] = []
    for _ in range(replicates if size else 0):
        counts = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        weights = counts[member].astype(float)
        mean_loss = float("nan") if losses is None else float(weights @ losses / weights.sum())
        drawn.append((*ranking.measures(weights), mean_loss))
    auc, precision = ranking.measures(np.ones(size)) if size else (float("nan"), float("nan"))
    columns = np.array(drawn).reshape(-1, 3)
    return Quality(
        method=method,
        auc=_interval(auc, columns[:, 0]),
        average_precision=_interval(precision, columns[:, 1]),
        brier=None if losses is None or not size else _interval(float(losses.mean()), columns[:, 2]),
    )


def _interval(value: float, drawn: Floats) -> Interval:
    kept = drawn[np.isfinite(drawn)]  # a draw without a single bad member says nothing
    low, high = np.percentile(kept, [2.5, 97.5]) if len(kept) else (value, value)
    return Interval(value=value, low=float(low), high=float(high))
