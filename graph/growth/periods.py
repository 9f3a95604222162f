"""Days, weeks (from Monday) and months, UTC: numbers for instants, and instants for numbers."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from graph.growth.facts import DAY, Instants

_MONDAY_LEAD: Final = 3 * DAY


class Period(StrEnum):
    """The length of a cohort's period."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


MOST: Final = {Period.DAY: 92, Period.WEEK: 104, Period.MONTH: 60}
"""So many periods are shown, the last ones: more would be a picture that nobody reads."""


def numbers(at: Instants, period: Period) -> NDArray[np.int64]:
    """Return the running number of the period that holds each instant.

    Examples
    --------
    >>> numbers(np.array([0, 4 * DAY]), Period.WEEK).tolist()
    [0, 1]
    >>> numbers(np.array([0, 31 * DAY]), Period.MONTH).tolist()
    [0, 1]
    """
    match period:
        case Period.DAY:
            return at // DAY
        case Period.WEEK:
            return (at + _MONDAY_LEAD) // (7 * DAY)
        case Period.MONTH:
            return at.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        case _:
            assert_never(period)


def number(at: int, period: Period) -> int:
    """Return the running number of the period that holds an instant."""
    return int(numbers(np.array([at], dtype=np.int64), period)[0])


def start(which: int, period: Period) -> int:
    """Return the first instant of a period.

    Examples
    --------
    >>> start(1, Period.WEEK) // DAY, start(13, Period.MONTH) // DAY
    (4, 396)
    """
    match period:
        case Period.DAY:
            return which * DAY
        case Period.WEEK:
            return which * 7 * DAY - _MONDAY_LEAD
        case Period.MONTH:
            return int(np.array([which]).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)[0])
        case _:
            assert_never(period)
