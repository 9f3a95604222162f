"""How well trust tells bad members from honest ones: generated attacks, the economy, and outside data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph.economy import RULES, EconomyParameters, Strategy, play
from graph.generate import Attack, Network, attacked_network, report_evidence
from graph.trust import TrustParameters, baselines, solve
from graph.trust.evaluate import evaluate
from graph.trust.metrics import quality

REPORTED = (0.01, 0.05, 0.2)
ONE_LAYER = TrustParameters(r=0.0, s=0.0)


def scores(network: Network, own: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return each method's scores on a generated network."""
    forest = network.forest
    edges = baselines.tree_edges(forest)
    roots, size = forest.roots(), len(forest)
    return {
        "two-layer": solve(forest, own).log_odds(),
        "one-layer": solve(forest, own, ONE_LAYER).log_odds(),
        "branch ratio": baselines.branch_ratio(forest, own),
        "ancestor decay": baselines.ancestor_decay(forest, own),
        "personalised PageRank": baselines.personalised_pagerank(size, edges, roots),
        "SybilRank": baselines.sybilrank(size, edges, roots),
    }


def attack_lines(*, seeds: int, group: int) -> Iterator[str]:
    """Yield the AUC of unreported attackers, over all five attacks, with 95 % intervals over networks."""
    found: dict[tuple[str, float], list[float]] = {}
    single: dict[tuple[str, float, Attack], list[float]] = {}
    for seed in range(seeds):
        for reported in REPORTED:
            for place, attack in enumerate(Attack):
                rng = np.random.default_rng([seed, round(reported * 100), place])
                network = attacked_network(rng, attack, group=group)
                own = report_evidence(rng, network, reported=reported)
                kept = ~(network.bad & (own < 0))
                for method, score in scores(network, own).items():
                    auc = quality(method, network.bad[kept], score[kept], replicates=0).auc.value
                    found.setdefault((method, reported), []).append(auc)
                    single.setdefault((method, reported, attack), []).append(auc)
    yield f"AUC of unreported attackers, operations of {group}, {seeds} networks an attack"
    yield f"{'method':24}" + "".join(f"{f'{reported:.0%} reported':>24}" for reported in REPORTED)
    for method in dict.fromkeys(method for method, _ in found):
        cells = (f"{_mean(found[method, reported]):>24}" for reported in REPORTED)
        yield f"{method:24}" + "".join(cells)
    for attack in Attack:
        cells = (f"{_mean(single['two-layer', reported, attack]):>24}" for reported in REPORTED)
        yield f"{'  two-layer, ' + attack:24}" + "".join(cells)


def economy_lines(*, seeds: int, world: EconomyParameters) -> Iterator[str]:
    """Yield bad accounts let in and honest requests refused, for each strategy and rule."""
    yield f"bad accounts let in @ honest requests refused, {world.weeks} weeks, mean of {seeds} runs; {world}"
    yield f"{'rule':24}" + "".join(f"{strategy:>22}" for strategy in Strategy)
    for name, rule in RULES.items():
        cells = []
        for strategy in Strategy:
            outcomes = [play(seed, strategy, rule, world) for seed in range(seeds)]
            let_in = np.mean([outcome.let_in for outcome in outcomes])
            refused = np.mean([outcome.refused_share for outcome in outcomes])
            lost = "> " if any(outcome.lost for outcome in outcomes) else ""
            cells.append(f"{f'{lost}{let_in:,.0f} @ {refused:.1%}':>22}")
        yield f"{name:24}" + "".join(cells)


def file_lines(file: Path, *, seed: int) -> Iterator[str]:
    """Yield the tables of `graph.trust.evaluate` for a file of ratings or a labelled tree."""
    for table in evaluate(file.read_text(encoding="utf-8").splitlines(), seed=seed):
        yield f"{table.title}: {table.members} judged, {table.bad} bad, base Brier {table.base_brier:.4f}"
        yield f"  {'method':26}{'AUC':>24}{'average precision':>24}{'Brier':>24}"
        for one in table.methods:
            brier = "" if one.brier is None else str(one.brier)
            yield f"  {one.method:26}{one.auc!s:>24}{one.average_precision!s:>24}{brier:>24}"


def _mean(values: list[float]) -> str:
    """Mean with a normal 95 % interval over networks."""
    mean, error = float(np.mean(values)), 1.96 * float(np.std(values)) / max(1, len(values)) ** 0.5
    return f"{mean:.3f} ± {error:.3f}"
