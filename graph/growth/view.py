"""What is asked, and the rows that the answer is about: the one place where a filter gets its meaning.

- `as_of`: everything is as it was known at that instant.
- `root`: the member and everyone below.
- `campaign`: everyone whose tree began with that campaign.
- `country`: members whose phone was of that country when they joined.
- `from` and `to`: members who joined, invites that were issued, entries that were made in that time; `from`
  is in it and `to` is not.

An invite belongs to its issuer, whatever the filter; one of a campaign belongs to the campaign, and to no
member and no country.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY
from graph.growth.facts import NEVER, Facts, Instants, Mask
from graph.growth.periods import MOST, Period, number, numbers, start

_BEFORE_ALL: Final = -NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked.

    Attributes
    ----------
    start, end : `from` and `to`
    root : the member's row
    campaign, country : their places in `Facts.campaigns` and `Facts.countries`
    """

    start: int | None = None
    end: int | None = None
    cohort: Period = Period.WEEK
    root: int | None = None
    campaign: int | None = None
    country: int | None = None


class View:
    """The facts, and masks of what is asked."""

    def __init__(self, facts: Facts, query: Query | None = None) -> None:
        self.facts, self.query = facts, query or Query()
        self._start = _BEFORE_ALL if self.query.start is None else self.query.start
        self._end = facts.as_of + 1 if self.query.end is None else self.query.end

    @cached_property
    def members(self) -> Mask:
        """Members within `root`, `campaign` and `country`, whenever they joined."""
        facts, query = self.facts, self.query
        kept = np.ones(len(facts.members), dtype=np.bool_)
        if query.country is not None:
            kept &= facts.members.country == query.country
        if query.campaign is not None:
            kept &= facts.members.campaign[facts.roots] == query.campaign
        if query.root is not None:
            kept &= below(facts, query.root)
        return kept

    @cached_property
    def everyone(self) -> bool:
        """Whether all members are asked for, whenever they joined."""
        return bool(self.members.all())

    @cached_property
    def joined(self) -> Mask:
        """Members who joined in the time asked for."""
        return self.members & self.within(self.facts.members.joined)

    @cached_property
    def invites(self) -> Mask:
        """Invites of these members (or of the campaign), whenever they were issued."""
        invites, query = self.facts.invites, self.query
        by_member = invites.issuer != NOBODY
        kept = np.zeros(len(invites), dtype=np.bool_)
        kept[by_member] = self.members[invites.issuer[by_member]]
        if query.root is None and query.country is None:
            kept |= ~by_member if query.campaign is None else invites.campaign == query.campaign
        return kept

    @cached_property
    def issued(self) -> Mask:
        """Invites issued in the time asked for."""
        return self.invites & self.within(self.facts.invites.issued)

    @cached_property
    def since(self) -> int:
        """The first instant that the shown periods are about."""
        if not len(self.periods):
            return self._start
        return max(self._start, start(self.periods.start, self.query.cohort))

    def within(self, at: Instants) -> Mask:
        """Whether each instant is in the time asked for."""
        inside: Mask = (at >= self._start) & (at < self._end)
        return inside

    @cached_property
    def periods(self) -> range:
        """The numbers of the periods to show: those in which somebody joined, the last ones if too many."""
        joined, period = self.facts.members.joined, self.query.cohort
        rows = np.flatnonzero(self.joined)
        if not len(rows):
            return range(0)
        first = number(int(joined[rows[0]]), period)
        last = number(min(self.facts.as_of, self._end - 1), period)
        return range(max(first, last + 1 - MOST[period]), last + 1)

    @cached_property
    def cohort(self) -> NDArray[np.int64]:
        """The number of each member's period of joining."""
        return numbers(self.facts.members.joined, self.query.cohort)

    def cohort_rows(self, period: int) -> NDArray[np.int64]:
        """Return the members who joined in a period and are asked for."""
        # Members stand in the order of joining, so that a cohort is one slice.
        low, high = np.searchsorted(self.cohort, (period, period + 1))
        rows: NDArray[np.int64] = np.flatnonzero(self.joined[low:high]) + low
        return rows


def below(facts: Facts, root: int) -> Mask:
    """Mark a member and everyone below. O(members)."""
    kept = np.zeros(len(facts.members), dtype=np.bool_)
    kept[root] = True
    forest = facts.forest
    levels, parents = forest.levels(), forest.parents
    for span in levels.downwards():
        here = levels.order[span.start : span.stop]
        if span.scalar:
            for index in here.tolist():
                kept[index] |= kept[parents[index]] if parents[index] != NOBODY else False
            continue
        above = parents[here]
        kept[here] |= (above != NOBODY) & kept[above]
    return kept
