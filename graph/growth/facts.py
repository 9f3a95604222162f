"""What the reports count, as columns: one NumPy array a fact, one row a member, an invite, an entry.

It owns the order of the rows and what `known_at` means; where the columns come from is not its business.
Members stand in the order in which they joined and invites in the order in which they were issued, so that
what was known at an instant is a prefix, taken without a copy.

An instant is a count of microseconds; `NEVER` stands for what has not happened. Everything that may happen
to a row later is an instant of its own and never a state: a state says what is, an instant what was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.forest import NOBODY, InviteForest
from graph.lineage import roots_of_parents

Instants = NDArray[np.int64]
Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]

NEVER: Final = int(np.iinfo(np.int64).max)
DAY: Final = 86_400_000_000
BLOCK_DAYS: Final = 28
"""Days of activity that one row holds, a bit each. Blocks begin on Mondays, so that each holds four weeks."""
_FIRST_MONDAY: Final = 3
"""1970-01-01 was a Thursday: days are counted from the Monday before."""

GRANT, EARN, SPEND, REFUND, EXPIRE = range(5)
ENTRY_KINDS: Final = ("grant", "earn", "spend", "refund", "expire")


def monday_day(at: int) -> int:
    """Return the day of an instant, counted from Monday, 1969-12-29."""
    return at // DAY + _FIRST_MONDAY


def _instants() -> Instants:
    return np.zeros(0, dtype=np.int64)


def _rows() -> Rows:
    return np.zeros(0, dtype=np.int32)


def _mask() -> Mask:
    return np.zeros(0, dtype=np.bool_)


class _Columns:
    """Arrays of one length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def cut(self, end: int) -> Any:
        """Return the first rows."""
        return replace(
            self,  # type: ignore[type-var]
            **{column.name: getattr(self, column.name)[:end] for column in fields(self)},  # type: ignore[arg-type]
        )

    def picked(self, kept: Mask) -> Any:
        """Return some rows."""
        return replace(
            self,  # type: ignore[type-var]
            **{column.name: getattr(self, column.name)[kept] for column in fields(self)},  # type: ignore[arg-type]
        )


@dataclass(frozen=True, kw_only=True)
class Members(_Columns):
    """Members, by `joined`.

    Attributes
    ----------
    inviter, invite : row of the member and of the invite, or -1
    campaign, country : place in `Facts.campaigns` and `Facts.countries`, or -1
    activated : when it was first heard that the member had done what membership is for
    """

    joined: Instants = field(default_factory=_instants)
    inviter: Rows = field(default_factory=_rows)
    invite: Rows = field(default_factory=_rows)
    campaign: Rows = field(default_factory=_rows)
    country: Rows = field(default_factory=_rows)
    activated: Instants = field(default_factory=_instants)


@dataclass(frozen=True, kw_only=True)
class Invites(_Columns):
    """Invites, by `issued`.

    Attributes
    ----------
    issuer, campaign : one of the two is -1
    by_sms : else a link
    uses : how many may join by it
    sent, delivered, opened, requested, verified : the first time; `requested` is the first code asked for
    expires, revoked : it is over at whichever comes first, if it was not used up before
    """

    issued: Instants = field(default_factory=_instants)
    issuer: Rows = field(default_factory=_rows)
    campaign: Rows = field(default_factory=_rows)
    by_sms: Mask = field(default_factory=_mask)
    uses: Rows = field(default_factory=_rows)
    sent: Instants = field(default_factory=_instants)
    delivered: Instants = field(default_factory=_instants)
    opened: Instants = field(default_factory=_instants)
    requested: Instants = field(default_factory=_instants)
    verified: Instants = field(default_factory=_instants)
    expires: Instants = field(default_factory=_instants)
    revoked: Instants = field(default_factory=_instants)


@dataclass(frozen=True, kw_only=True)
class Bans(_Columns):
    """Sanctions that take a member out: bans, and suspensions where `is_ban` is false."""

    imposed: Instants = field(default_factory=_instants)
    member: Rows = field(default_factory=_rows)
    is_ban: Mask = field(default_factory=_mask)
    expires: Instants = field(default_factory=_instants)
    lifted: Instants = field(default_factory=_instants)


@dataclass(frozen=True, kw_only=True)
class Entries(_Columns):
    """The quota ledger.

    Attributes
    ----------
    kind : place in `ENTRY_KINDS`
    amount : what it did to the balance
    invite : what it was spent on or came back from, or -1
    batch : place in `Facts.batches` of the grant that it belongs to, or -1
    """

    at: Instants = field(default_factory=_instants)
    member: Rows = field(default_factory=_rows)
    kind: Rows = field(default_factory=_rows)
    amount: Rows = field(default_factory=_rows)
    invite: Rows = field(default_factory=_rows)
    batch: Rows = field(default_factory=_rows)


@dataclass(frozen=True, kw_only=True)
class Checks(_Columns):
    """Verifications of phones that want to register: asked for, and approved or not."""

    asked: Instants = field(default_factory=_instants)
    country: Rows = field(default_factory=_rows)
    approved: Instants = field(default_factory=_instants)


@dataclass(frozen=True, kw_only=True)
class Costs(_Columns):
    """What messages cost, in millionths of a US dollar."""

    at: Instants = field(default_factory=_instants)
    country: Rows = field(default_factory=_rows)
    micros: Instants = field(default_factory=_instants)


@dataclass(frozen=True, kw_only=True)
class Activity(_Columns):
    """Days on which members showed up: a bit a day, `BLOCK_DAYS` days a row.

    A day tells nothing of its hours, so a report uses only those that were over at its `as_of`.
    """

    member: Rows = field(default_factory=_rows)
    block: Rows = field(default_factory=_rows)
    days: Rows = field(default_factory=_rows)

    def blocks(self) -> Iterator[tuple[int, slice | NDArray[np.int64]]]:
        """Yield each block with its rows."""
        if not len(self.block):
            return
        is_sorted = bool((self.block[1:] >= self.block[:-1]).all())
        order = None if is_sorted else np.argsort(self.block, kind="stable")
        block = self.block if order is None else self.block[order]
        borders = [0, *(np.flatnonzero(block[1:] != block[:-1]) + 1).tolist(), len(block)]
        for low, high in itertools.pairwise(borders):
            yield int(block[low]), slice(low, high) if order is None else order[low:high]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a report may look at.

    Attributes
    ----------
    as_of : the instant whose knowledge this is
    countries, campaigns, batches : the names behind the small numbers
    """

    as_of: int
    members: Members = field(default_factory=Members)
    invites: Invites = field(default_factory=Invites)
    bans: Bans = field(default_factory=Bans)
    entries: Entries = field(default_factory=Entries)
    checks: Checks = field(default_factory=Checks)
    costs: Costs = field(default_factory=Costs)
    activity: Activity = field(default_factory=Activity)
    countries: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    batches: tuple[str, ...] = ()

    def known_at(self, as_of: int) -> Facts:
        """Return what was known at an instant: later rows are gone, later happenings never happened."""
        if as_of >= self.as_of:
            return self
        members = self.members.cut(_upto(self.members.joined, as_of))
        invites = self.invites.cut(_upto(self.invites.issued, as_of))
        people, issued = len(members), len(invites)
        bans = self.bans.picked((self.bans.imposed <= as_of) & (self.bans.member < people))
        entries = self.entries.picked((self.entries.at <= as_of) & (self.entries.member < people))
        checks = self.checks.picked(self.checks.asked <= as_of)
        return replace(
            self,
            as_of=as_of,
            members=replace(
                members,
                inviter=_inside(members.inviter, people),
                invite=_inside(members.invite, issued),
                activated=_by(members.activated, as_of),
            ),
            invites=replace(
                invites,
                issuer=_inside(invites.issuer, people),
                **{
                    name: _by(getattr(invites, name), as_of)
                    for name in ("sent", "delivered", "opened", "requested", "verified", "revoked")
                },
            ),
            bans=replace(bans, lifted=_by(bans.lifted, as_of)),
            entries=replace(entries, invite=_inside(entries.invite, issued)),
            checks=replace(checks, approved=_by(checks.approved, as_of)),
            costs=self.costs.picked(self.costs.at <= as_of),
            activity=self.activity.picked(self.activity.member < people),
        )

    @cached_property
    def forest(self) -> InviteForest:
        """Who invited whom, by row."""
        return InviteForest.from_parents(self.members.inviter)

    @cached_property
    def roots(self) -> NDArray[np.int64]:
        """The row at the top of each member's tree."""
        return roots_of_parents(self.members.inviter)

    @cached_property
    def banned(self) -> Mask:
        """Who is banned now."""
        return self.out_at(np.full(len(self.members), self.as_of, dtype=np.int64), bans_only=True)

    @cached_property
    def away(self) -> Mask:
        """Who is banned or suspended now."""
        return self.out_at(np.full(len(self.members), self.as_of, dtype=np.int64), bans_only=False)

    def out_at(self, when: Instants, *, bans_only: bool) -> Mask:
        """Whether each member was banned (or suspended) at an instant of its own."""
        bans = self.bans
        found = np.zeros(len(self.members), dtype=np.bool_)
        at = when[bans.member]
        in_force = (bans.imposed <= at) & (at < np.minimum(bans.expires, bans.lifted))
        if bans_only:
            in_force &= bans.is_ban
        found[bans.member[in_force]] = True
        return found


def _upto(instants: Instants, as_of: int) -> int:
    return int(np.searchsorted(instants, as_of, side="right"))


def _inside(rows: Rows, end: int) -> Rows:
    return np.where(rows < end, rows, np.int32(NOBODY))


def _by(instants: Instants, as_of: int) -> Instants:
    return np.where(instants <= as_of, instants, NEVER)
