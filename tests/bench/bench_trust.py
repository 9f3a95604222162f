"""Benchmark of the invite forest and of trust: ``python -m tests.bench.bench_trust --help``.

Speed is told as a ratio to networkx.pagerank on the same tree in the same run, because machines drift and
ratios do not. Quality is told with intervals. ``docs/trust.md`` holds the figures of one run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from graph.economy import EconomyParameters
from tests.bench import trust_quality, trust_scale, trust_service


def scale_lines(sizes: list[int], *, rounds: int, networkx_limit: int) -> Iterator[str]:
    """Yield time and memory by size, and what networkx.pagerank takes for the same tree."""
    names = f"{'members':>12}{'build s':>9}{'solve s':>9}{'counts s':>9}{'MB':>8}{'B/member':>9}"
    yield names + "  networkx.pagerank"
    for size in sizes:
        ours = trust_scale.in_own_process("measure", "tree", str(size), str(rounds))
        bytes_each = (ours["trust_mb"] - ours["imports_mb"]) * 1e6 / size
        line = f"{size:>12,}{ours['build']:>9.3f}{ours['solve']:>9.4f}{ours['counts']:>9.4f}"
        line += f"{ours['trust_mb']:>8.0f}{bytes_each:>9.0f}"
        if size <= networkx_limit:
            theirs = trust_scale.in_own_process("networkx", str(size))
            line += (
                f"  build {theirs['build']:.2f} s, rank {theirs['solve']:.2f} s, {theirs['mb']:.0f} MB more:"
            )
            line += f" trust takes 1/{theirs['solve'] / ours['solve']:.0f} of the time"
        yield line


def chain_lines(sizes: list[int]) -> Iterator[str]:
    """Yield the time for chains, the worst case for level sweeps."""
    for size in sizes:
        ours = trust_scale.in_own_process("measure", "chain", str(size), "1")
        yield f"chain of {size:,}: solve {ours['solve']:.2f} s, {ours['trust_mb']:.0f} MB"


def following_lines(sizes: list[int]) -> Iterator[str]:
    """Yield update and query beside a rebuild."""
    for size in sizes:
        ours = trust_scale.in_own_process("following", str(size))
        yield (
            f"{size:>12,} members, median depth {ours['median_depth']:.0f}: update {ours['update']:.0f} us, "
            f"query {ours['query']:.0f} us, rebuild {ours['rebuild']:.2f} s = "
            f"{ours['rebuild'] / ours['update'] * 1e6:,.0f} updates; "
            f"followed - batch <= {ours['difference']:.1e}"
        )


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Benchmark of the invite forest and of trust.")
    commands = parser.add_subparsers(dest="command", required=True)
    scale = commands.add_parser("scale", help="time and memory by size, beside networkx.pagerank")
    scale.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    scale.add_argument("--rounds", type=int, default=3, help="runs of the solver; the best counts")
    scale.add_argument("--networkx-limit", type=int, default=100_000, help="largest size for networkx")
    chains = commands.add_parser("chain", help="chains, the worst case")
    chains.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    follow = commands.add_parser("follow", help="update and query beside a rebuild")
    follow.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    service = commands.add_parser("service", help="the worker's following on SQLite beside the library")
    service.add_argument("--sizes", type=int, nargs="+", default=[100_000])
    attacks = commands.add_parser("attacks", help="five generated attacks")
    attacks.add_argument("--seeds", type=int, default=5)
    attacks.add_argument("--groups", type=int, nargs="+", default=[100, 500])
    economy = commands.add_parser("economy", help="forty weeks under each rule")
    economy.add_argument("--seeds", type=int, default=3)
    economy.add_argument("--waiting", type=int, default=EconomyParameters().waiting)
    economy.add_argument("--patience", type=int, default=EconomyParameters().patience)
    file = commands.add_parser("file", help="ratings (source,target,rating,time) or a labelled tree")
    file.add_argument("path", type=Path)
    file.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def lines(options: argparse.Namespace) -> Iterator[str]:
    """Choose what to run."""
    match options.command:
        case "scale":
            return scale_lines(options.sizes, rounds=options.rounds, networkx_limit=options.networkx_limit)
        case "chain":
            return chain_lines(options.sizes)
        case "follow":
            return following_lines(options.sizes)
        case "service":
            return trust_service.service_lines(options.sizes)
        case "attacks":
            tables = (
                trust_quality.attack_lines(seeds=options.seeds, group=group) for group in options.groups
            )
            return chain.from_iterable(tables)
        case "economy":
            world = EconomyParameters(waiting=options.waiting, patience=options.patience)
            return trust_quality.economy_lines(seeds=options.seeds, world=world)
        case _:
            return trust_quality.file_lines(options.path, seed=options.seed)


def main() -> None:
    """Print the chosen table, line by line as it is measured."""
    for line in lines(parsed(sys.argv[1:])):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
