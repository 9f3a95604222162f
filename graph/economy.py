"""Forty weeks of invitations under a rule: how many bad accounts get in, how many honest are refused.

A rule that decides who may invite is judged by playing it against people who want to get in. The population
lives by weeks: members who are old enough ask for invites, the rule answers, newcomers join, bad accounts
that make trouble are reported and sometimes banned, sellers whose buyers are banned are sometimes
adjudicated. The rule sees what the service would see: the tree and the evidence, never who is bad.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np

from graph.errors import BadParameter
from graph.forest import NOBODY, InviteForest
from graph.generate import honest_growth
from graph.lineage import ancestor_indexes
from graph.trust.baselines import DECAY
from graph.trust.evidence import Evidence, EvidenceKind, EvidencePolicy
from graph.trust.follower import TrustFollower
from graph.trust.parameters import TrustParameters


class Strategy(StrEnum):
    """What bad accounts do with their invites.

    ``greedy``: everybody invites and makes trouble at once. ``careful``: trouble begins six weeks after
    joining. ``wash``: every second invitee is a puppet that never makes trouble, so that it looks well for
    its inviter. ``broker``: only the first attackers invite; their buyers make trouble and never invite.
    """

    GREEDY = "greedy"
    CAREFUL = "careful"
    WASH = "wash"
    BROKER = "broker"


@dataclass(frozen=True, kw_only=True, slots=True)
class EconomyParameters:
    """The world that a rule is played in. Chances are per member and week.

    Attributes
    ----------
    weeks, quota, waiting : int
        Length; invites a member and week; weeks of membership before the first invite.
    honest, attackers : int
        Members at the start, and bad accounts that honest members let in during week 0.
    wish : float
        Chance that an honest member wants to invite one friend.
    trouble : float
        Chance that a bad account that makes trouble is reported.
    mistake : float
        Chance that an honest member is reported.
    ban : float
        Chance that an account reported from two branches or more is banned, if it is bad (staff looks at it).
    adjudication : float
        Chance that an inviter of five or more banned accounts is adjudicated.
    maturity : int
        Weeks after which an unreported member counts as matured; alpha is set anew every four weeks.
    patience : int
        Weeks for which careful attackers keep quiet.
    limit : int
        Bad accounts at which the run is over: the network is lost.
    """

    weeks: int = 40
    quota: int = 3
    waiting: int = 2
    honest: int = 2_000
    attackers: int = 5
    wish: float = 0.02
    trouble: float = 0.3
    mistake: float = 0.0005
    ban: float = 0.2
    adjudication: float = 0.2
    maturity: int = 6
    patience: int = 2
    limit: int = 40_000

    def __post_init__(self) -> None:
        for name in ("wish", "trouble", "mistake", "ban", "adjudication"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadParameter(name, getattr(self, name), "a chance lies between 0 and 1")
        for name in ("weeks", "quota", "waiting", "honest", "attackers", "maturity", "patience", "limit"):
            if getattr(self, name) < 0:
                raise BadParameter(name, getattr(self, name), "it cannot be negative")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes
    ----------
    let_in : int
        Bad accounts that joined after the first.
    refused, asked : int
        Requests of honest members that the rule refused, and all of theirs.
    lost : bool
        Whether `EconomyParameters.limit` was reached.
    """

    let_in: int
    refused: int
    asked: int
    lost: bool

    @property
    def refused_share(self) -> float:
        """Share of honest requests that were refused."""
        return self.refused / self.asked if self.asked else 0.0


class Economy:
    """The population, and what a rule may look at.

    `forest`, `follower`, `week`, and counts of reports by branch.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        strategy: Strategy,
        world: EconomyParameters,
        *,
        parameters: TrustParameters | None = None,
        policy: EvidencePolicy | None = None,
    ) -> None:
        self.rng, self.strategy, self.world, self.week = rng, strategy, world, 0
        self.forest = InviteForest.from_parents(honest_growth(rng, world.honest))
        self.follower = TrustFollower(self.forest, parameters=parameters, policy=policy)
        self.joined = [-world.maturity] * world.honest
        self.bad = [False] * world.honest
        self.makes_trouble = [False] * world.honest
        self.is_head = [False] * world.honest
        self.gone: set[int] = set()
        self.banned_invitees: dict[int, int] = {}
        self.reported_below: dict[int, int] = {}
        self.members_below = [0] * world.honest
        for index in range(world.honest):
            self._count(self.members_below, index)
        for index in range(world.honest):
            self.follower.ledger.record(Evidence(kind=EvidenceKind.MATURED, member=index))
        for _ in range(world.attackers):
            self.join(int(rng.integers(world.honest)), week=0, bad=True, head=True)
        self.follower.start_epoch()

    def join(self, inviter: int, *, week: int, bad: bool, head: bool = False, trouble: bool = True) -> None:
        """Let a newcomer in."""
        index = self.forest.add(len(self.forest), inviter=inviter)
        self.joined.append(week)
        self.bad.append(bad)
        # A broker does not spoil the business by making trouble itself.
        self.makes_trouble.append(bad and trouble and not (head and self.strategy is Strategy.BROKER))
        self.is_head.append(head)
        self.members_below.append(0)
        self._count(self.members_below, index)

    def reports_in_branch(self, index: int) -> tuple[int, int]:
        """Return (reported members, members) of the branch of `index`, itself counted."""
        return self.reported_below.get(index, 0), self.members_below[index]

    def report(self, target: int, source: int) -> None:
        """Let `source` report `target`."""
        before = self.follower.ledger.facts(target).report_branches
        self.follower.apply(Evidence(kind=EvidenceKind.REPORT, member=target, source=source))
        if not before:
            for above in (target, *ancestor_indexes(self.forest, target)):
                self.reported_below[above] = self.reported_below.get(above, 0) + 1

    def ban(self, index: int) -> None:
        """Ban a member and count it against its inviter."""
        self.gone.add(index)
        self.follower.apply(Evidence(kind=EvidenceKind.BAN, member=index))
        inviter = self.forest.inviter(index)
        self.banned_invitees[inviter] = self.banned_invitees.get(inviter, 0) + 1

    def adjudicate(self, index: int) -> None:
        """Find that a member sold invites."""
        self.gone.add(index)
        self.follower.apply(Evidence(kind=EvidenceKind.SOLD_INVITES, member=index))

    def _count(self, column: list[int], index: int) -> None:
        column[index] += 1
        for above in ancestor_indexes(self.forest, index):
            column[above] += 1


Rule = Callable[[Economy, int], bool]
Ration = Callable[[Economy, int, int], int]
"""How many invites a member gives of those it wants."""


def anybody(_economy: Economy, _index: int) -> bool:
    """No rule: whoever has waited may invite."""
    return True


def trusted(economy: Economy, index: int) -> bool:
    """The model's rule: L >= 0.5 and Ly >= 0."""
    score = economy.follower.score_at(index)
    return score.log_odds >= 0.5 and score.conduct >= 0


def unblemished_line(economy: Economy, index: int) -> bool:
    """Ancestor decay: own evidence and that of the ancestors, halved with every edge, is at least -0.35."""
    travelling = economy.follower.ledger.travelling
    total, weight = travelling(index), 1.0
    for above in ancestor_indexes(economy.forest, index):
        weight *= DECAY
        if weight < 1e-3:
            break
        total += weight * travelling(above)
    return total >= -DECAY * abs(economy.follower.ledger.policy.report)


def clean_branch(economy: Economy, index: int) -> bool:
    """Branch ratio: less than a fifth of the members below (and with) this one are reported."""
    reported, members = economy.reports_in_branch(index)
    return reported < 0.2 * max(members, 5)


RULES: dict[str, Rule] = {
    "no rule": anybody,
    "two-layer L >= 0.5": trusted,
    "ancestor decay": unblemished_line,
    "branch ratio": clean_branch,
}


def play(
    seed: int,
    strategy: Strategy,
    rule: Rule,
    world: EconomyParameters | None = None,
    *,
    parameters: TrustParameters | None = None,
) -> Outcome:
    """Play one run; the same seed gives the same run.

    Examples
    --------
    >>> small = EconomyParameters(honest=200, weeks=10, limit=2_000)
    >>> play(1, Strategy.GREEDY, trusted, small).let_in < play(1, Strategy.GREEDY, anybody, small).let_in
    True
    """

    def as_many_as_wanted(economy: Economy, index: int, wanted: int) -> int:
        return wanted if rule(economy, index) else 0

    return play_rationed(seed, strategy, as_many_as_wanted, world, parameters=parameters)


def play_rationed(
    seed: int,
    strategy: Strategy,
    ration: Ration,
    world: EconomyParameters | None = None,
    *,
    parameters: TrustParameters | None = None,
) -> Outcome:
    """Play one run under a rule that says how many invites a member may give, not only whether.

    Honest members want one at a time; one that is not given is a refusal.
    """
    chosen = world or EconomyParameters()
    economy = Economy(np.random.default_rng(seed), strategy, chosen, parameters=parameters)
    let_in = refused = asked = 0
    for week in range(1, chosen.weeks + 1):
        economy.week = week
        _trouble(economy, week)
        _maturity(economy, week)
        for index in range(len(economy.forest)):
            if index in economy.gone or week - economy.joined[index] < chosen.waiting:
                continue
            wishes = _wishes(economy, index)
            if not wishes:
                continue
            given = ration(economy, index, wishes)
            if economy.bad[index]:
                for number in range(given):
                    economy.join(index, week=week, bad=True, trouble=_will_trouble(economy, number))
                    let_in += 1
            else:
                asked += 1
                refused += not given
                if given:
                    economy.join(index, week=week, bad=False)
            if let_in >= chosen.limit:
                return Outcome(let_in=let_in, refused=refused, asked=asked, lost=True)
    return Outcome(let_in=let_in, refused=refused, asked=asked, lost=False)


def _wishes(economy: Economy, index: int) -> int:
    if not economy.bad[index]:
        return int(economy.rng.random() < economy.world.wish)
    match economy.strategy:
        case Strategy.GREEDY | Strategy.CAREFUL | Strategy.WASH:
            return economy.world.quota
        case Strategy.BROKER:
            return economy.world.quota if economy.is_head[index] else 0
        case _:
            assert_never(economy.strategy)


def _will_trouble(economy: Economy, number: int) -> bool:
    return economy.strategy is not Strategy.WASH or number % 2 == 0


def _trouble(economy: Economy, week: int) -> None:
    world, rng = economy.world, economy.rng
    size = len(economy.forest)
    chance = rng.random(size)
    patience = world.patience if economy.strategy is Strategy.CAREFUL else 0
    for index in range(size):
        if index in economy.gone:
            continue
        active = economy.makes_trouble[index] and week - economy.joined[index] >= patience
        if chance[index] < (world.trouble if active else 0.0 if economy.bad[index] else world.mistake):
            source = int(rng.integers(world.honest))
            if source != index:
                economy.report(index, source)
        reported = economy.bad[index] and economy.follower.ledger.facts(index).report_branches >= 2
        if reported and rng.random() < world.ban:
            economy.ban(index)
    for inviter, banned in list(economy.banned_invitees.items()):
        if inviter == NOBODY or inviter in economy.gone or banned < 5:
            continue
        if rng.random() < world.adjudication:
            economy.adjudicate(inviter)


def _maturity(economy: Economy, week: int) -> None:
    ledger = economy.follower.ledger
    for index in range(len(economy.forest)):
        if week - economy.joined[index] == economy.world.maturity:
            ledger.record(Evidence(kind=EvidenceKind.MATURED, member=index))
            economy.follower.renew(index)
    if week % 4 == 0:
        economy.follower.start_epoch()
