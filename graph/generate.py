"""Generated networks whose truth is known: honest growth with a heavy tail, and five ways to abuse it.

They stand in for data that no network publishes. Everything is drawn from one seeded generator, so that a
result can be had again; nothing here is tuned to favour a method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadParameter
from graph.forest import NOBODY, InviteForest

Integers = NDArray[np.int64]


class Attack(StrEnum):
    """How the bad members got in.

    ``broker``: each of a few brokers sells to many buyers. ``deep_chain``: each account invites the next.
    ``bushy``: random trees of bad accounts. ``mixed_seller``: sellers who invite as many honest members as
    bad ones. ``sleeper``: bad accounts, each invited by somebody else, that invite honest friends first and
    bad ones later.
    """

    BROKER = "broker"
    DEEP_CHAIN = "deep_chain"
    BUSHY = "bushy"
    MIXED_SELLER = "mixed_seller"
    SLEEPER = "sleeper"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A forest with its truth.

    Attributes
    ----------
    forest : InviteForest
        Named by index.
    bad : NDArray[bool], shape (n,)
    """

    forest: InviteForest
    bad: NDArray[np.bool_]


def honest_growth(
    rng: np.random.Generator, members: int, *, seeds: int = 20, copying: float = 0.5
) -> Integers:
    """Return parent indexes of an honest network, -1 for seeds, shape (members,). Vectorised.

    Each newcomer meets a uniformly drawn earlier member and is invited by them or, with chance `copying`,
    by the one who invited them: the copying model (Kleinberg et al. 1999), whose numbers of invitees have a
    power-law tail.

    Examples
    --------
    >>> parents = honest_growth(np.random.default_rng(1), 1000)
    >>> int((parents == -1).sum()), bool((parents < np.arange(1000)).all())
    (20, True)
    """
    if members < 0 or seeds < 1 or not 0 <= copying < 1:
        raise BadParameter("members", members, "a network needs members, a seed, and copying below 1")
    met = (rng.random(members) * np.arange(members)).astype(np.int64)
    met[:seeds] = NOBODY
    copies = rng.random(members) < copying
    # A copy of a copy is looked up in rounds; seeds have nobody to copy and are met themselves.
    copies[:seeds] = False
    parents = np.where(copies, NOBODY, met)
    open_ = np.flatnonzero(copies)
    while len(open_):
        of_met = met[open_]
        resolved = ~copies[of_met]
        now = open_[resolved]
        above = parents[met[now]]
        parents[now] = np.where(above == NOBODY, met[now], above)
        copies[now] = False
        open_ = open_[~resolved]
    return parents


def attacked_network(
    rng: np.random.Generator,
    attack: Attack,
    *,
    members: int = 10_000,
    share: float = 0.05,
    group: int = 100,
) -> Network:
    """Return an honest network of `members` with ``share * members`` attackers among them.

    Parameters
    ----------
    rng : numpy.random.Generator
    attack : Attack
    members : int
        Honest members.
    share : float in (0, 1]
        Attackers per honest member.
    group : int
        Bad accounts in one operation: one broker's star, one chain, one bush, one seller's buyers.
    """
    if not 0 < share <= 1:
        raise BadParameter("share", share, "attackers per honest member, above 0 and at most 1")
    if group < 2:
        raise BadParameter("group", group, "an operation has a head and somebody below it")
    count = max(1, round(members * share))
    parents = honest_growth(rng, members)
    match attack:
        case Attack.BROKER:
            added, bad = _groups(rng, members, count, group, _star)
        case Attack.DEEP_CHAIN:
            added, bad = _groups(rng, members, count, group, _chain)
        case Attack.BUSHY:
            added, bad = _groups(rng, members, count, group, _bush)
        case Attack.MIXED_SELLER:
            added, bad = _mixed(rng, members, count, group, buyers=group - 1, honest=group - 1)
        case Attack.SLEEPER:
            added, bad = _mixed(rng, members, count, group, buyers=4, honest=4)
        case _:
            assert_never(attack)
    return Network(
        forest=InviteForest.from_parents(np.concatenate([parents, added])),
        bad=np.concatenate([np.zeros(members, dtype=bool), bad]),
    )


def _star(_rng: np.random.Generator, size: int) -> Integers:
    return np.zeros(size, dtype=np.int64)


def _chain(_rng: np.random.Generator, size: int) -> Integers:
    return np.arange(-1, size - 1, dtype=np.int64)


def _bush(rng: np.random.Generator, size: int) -> Integers:
    return (rng.random(size) * np.arange(size)).astype(np.int64)


def _groups(
    rng: np.random.Generator,
    members: int,
    count: int,
    group: int,
    shape: Callable[[np.random.Generator, int], Integers],
) -> tuple[Integers, NDArray[np.bool_]]:
    """Groups of bad accounts, each below a random honest member; `shape` gives the parents within a group."""
    added = np.empty(count, dtype=np.int64)
    for start in range(0, count, group):
        size = min(group, count - start)
        added[start : start + size] = members + start + shape(rng, size)
        added[start] = rng.integers(members)
    return added, np.ones(count, dtype=bool)


def _mixed(
    rng: np.random.Generator, members: int, count: int, group: int, *, buyers: int, honest: int
) -> tuple[Integers, NDArray[np.bool_]]:
    """Bad inviters with `buyers` bad and `honest` honest invitees each.

    A group of `group` bad accounts hangs below one honest member; its second and later inviters are below
    earlier ones, and honest invitees are counted on top of the `count` attackers.
    """
    added: list[int] = []
    bad: list[bool] = []
    left = count
    while left > 0:
        in_group = min(group, left)
        left -= in_group
        heads: list[int] = []
        while in_group > 0:
            head = members + len(added)
            sold = min(buyers, in_group - 1)
            above = int(rng.choice(heads)) if heads else int(rng.integers(members))
            added += [above, *[head] * (sold + honest)]
            bad += [True, *[True] * sold, *[False] * honest]
            heads.append(head)
            in_group -= 1 + sold
    return np.array(added, dtype=np.int64), np.array(bad)


def report_evidence(
    rng: np.random.Generator,
    network: Network,
    *,
    reported: float,
    false_reports: float = 0.005,
    weight: float = -0.7,
) -> NDArray[np.float64]:
    """Return own evidence by index: attackers reported from one to three branches, honest from one.

    Parameters
    ----------
    reported : float
        Share of the attackers that are reported.
    false_reports : float
        Share of the honest members that are reported by mistake or malice.
    weight : float
        Log-odds of one branch's report.
    """
    size = len(network.bad)
    caught = network.bad & (rng.random(size) < reported)
    framed = ~network.bad & (rng.random(size) < false_reports)
    branches = np.where(caught, rng.integers(1, 4, size), np.where(framed, 1, 0))
    return weight * branches.astype(np.float64)
