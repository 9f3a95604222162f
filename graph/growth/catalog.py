"""The eight reports by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from graph.growth.cohorts import COHORTS, cohorts
from graph.growth.funnel import FUNNEL, funnel
from graph.growth.geography import GEOGRAPHY, geography
from graph.growth.kfactor import K_FACTOR, k_factor
from graph.growth.leaderboard import LEADERBOARD, leaderboard
from graph.growth.overview import OVERVIEW, overview
from graph.growth.quota import QUOTA, quota
from graph.growth.report import Definition, Report
from graph.growth.shape import TREE, tree
from graph.growth.view import View

REPORTS: Final[dict[str, tuple[Definition, Callable[[View], Report]]]] = {
    definition.name: (definition, compute)
    for definition, compute in (
        (OVERVIEW, overview),
        (FUNNEL, funnel),
        (K_FACTOR, k_factor),
        (COHORTS, cohorts),
        (TREE, tree),
        (GEOGRAPHY, geography),
        (LEADERBOARD, leaderboard),
        (QUOTA, quota),
    )
}
