"""Speed and memory of forest and trust, beside networkx.pagerank on the same tree in the same run.

Every size is measured in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graph.forest import InviteForest
from graph.generate import honest_growth
from graph.lineage import subtree_counts
from graph.trust import Evidence, EvidenceKind, TrustArrays, TrustFollower, solve

QUERIES = 20_000


def peak_mb() -> float:
    """Largest resident size of this process so far, in MB of 1,000,000 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def deep_growth(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Parents of a network in which mostly recent members invite: median depth above 20 at a million."""
    parents = (np.arange(size) * rng.random(size) ** 0.5).astype(np.int64)
    parents = np.minimum(parents, np.arange(size) - 1)
    parents[: max(1, size // 100_000)] = -1
    return parents


def measure(shape: str, size: int, rounds: int) -> dict[str, float]:
    """Measure one size in this process; times in seconds, memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        # Made by another process: its scratch memory must not count.
        file = Path(folder) / "parents.npy"
        subprocess.run(
            [sys.executable, "-m", "tests.bench.trust_scale", shape, str(size), str(file)], check=True
        )
        parents = np.load(file)
    own = np.zeros(size)
    own[:: max(1, size // 20_000)] = -0.7
    result: dict[str, float] = {"imports_mb": peak_mb()}
    start = time.perf_counter()
    forest = InviteForest.from_parents(parents)
    result["build"] = time.perf_counter() - start
    result["forest_mb"] = peak_mb()
    del parents
    times = []
    arrays: TrustArrays | None = None
    for _ in range(rounds):
        del arrays  # a service keeps one result, not two
        start = time.perf_counter()
        arrays = solve(forest, own)
        times.append(time.perf_counter() - start)
    assert arrays is not None
    result["solve"], result["solve_worst"] = min(times), max(times)
    result["trust_mb"] = peak_mb()
    start = time.perf_counter()
    arrays.log_odds()
    result["log_odds"] = time.perf_counter() - start
    start = time.perf_counter()
    subtree_counts(forest)
    result["counts"] = time.perf_counter() - start
    result["median_depth"] = float(np.median(forest.depths))
    return result


def measure_following(size: int) -> dict[str, float]:
    """Measure update, query and rebuild on a network of `size`; updates and queries in microseconds."""
    rng = random.Random(4)
    forest = InviteForest.from_parents(deep_growth(np.random.default_rng(4), size))
    follower = TrustFollower(forest)
    members = [rng.randrange(size) for _ in range(QUERIES)]
    bans = [Evidence(kind=EvidenceKind.BAN, member=member) for member in members]
    result: dict[str, float] = {"median_depth": float(np.median(forest.depths))}
    for name, step in (
        ("update", lambda place: follower.apply(bans[place])),
        ("query", lambda place: follower.score(members[place])),
    ):
        start = time.perf_counter()
        for place in range(QUERIES):
            step(place)
        result[name] = (time.perf_counter() - start) / QUERIES * 1e6
    expected = follower.solve().log_odds()
    result["difference"] = max(abs(follower.score_at(m).log_odds - expected[m]) for m in members[:5_000])
    start = time.perf_counter()
    follower.rebuild()
    result["rebuild"] = time.perf_counter() - start
    return result


def measure_networkx(size: int) -> dict[str, float]:
    """Measure networkx on the same tree: build and PageRank, in seconds and MB."""
    import networkx as nx  # here alone: the other measurements must not carry its memory

    from graph.convert import to_networkx

    forest = InviteForest.from_parents(deep_growth(np.random.default_rng(1), size))
    before = peak_mb()
    start = time.perf_counter()
    graph = to_networkx(forest)
    built = time.perf_counter() - start
    start = time.perf_counter()
    nx.pagerank(graph)
    return {"build": built, "solve": time.perf_counter() - start, "mb": peak_mb() - before}


def in_own_process(what: str, *arguments: str) -> dict[str, float]:
    """Run one measurement in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.bench.trust_scale", what, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main(arguments: list[str]) -> None:
    """Entry of the measured processes: make a tree into a file, or measure and print JSON."""
    match arguments:
        case ["chain", size, file]:
            np.save(file, np.arange(-1, int(size) - 1, dtype=np.int32))
        case ["tree", size, file]:
            np.save(file, deep_growth(np.random.default_rng(1), int(size)).astype(np.int32))
        case ["copying", size, file]:
            np.save(file, honest_growth(np.random.default_rng(1), int(size)).astype(np.int32))
        case ["measure", shape, size, rounds]:
            sys.stdout.write(json.dumps(measure(shape, int(size), int(rounds))) + "\n")
        case ["following", size]:
            sys.stdout.write(json.dumps(measure_following(int(size))) + "\n")
        case ["networkx", size]:
            sys.stdout.write(json.dumps(measure_networkx(int(size))) + "\n")
        case _:
            raise SystemExit(f"unknown measurement {arguments}")


if __name__ == "__main__":
    main(sys.argv[1:])
