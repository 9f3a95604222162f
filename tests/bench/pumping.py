"""What attacks cost behind each defence, and what honest people meet: the table in docs/guard.md.

    python -m tests.bench.pumping [--out FILE] [--seeds 10] [--fewer 3] [--turn N/M]

Three parts, each by seed first, so that whatever is finished is a whole table: the service's own guard with
`--seeds` seeds, simpler doors and the guard without one signal each with `--fewer`.  Runs already in the
file are not run again; several processes share the work by `--turn 1/2` and `--turn 2/2`.  `--table` only
prints what the file holds.

Intervals: of a mean over seeds the 95 % percentile bootstrap over seeds; of a share of people, pooled over
seeds, Wilson's 95 %.  People of one seed meet one world, so the latter is somewhat too narrow.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any

from identity_service.policy.rules import default_text, parse_policy
from identity_service.ports import HOUR
from identity_service.pumping.attacks import ATTACKS
from identity_service.pumping.simulation import DOORS, WITHOUT, Run
from identity_service.pumping.world import Scale

OURS = Scale(days=14, honest_a_day=300, attack=1.0)
OTHERS = Scale(days=6, honest_a_day=60, attack=0.25)
"""Simpler doors, and the guard as a whole and without one signal: compared with each other."""
_Z = 1.96
Row = dict[str, Any]
Wanted = tuple[str, str, int, Scale]


def wanted(seeds: int, fewer: int) -> Iterator[Wanted]:
    """Yield (attack, door, seed, scale), the most important first."""
    names = ("peace", *ATTACKS)
    for seed in range(1, seeds + 1):
        yield from ((name, "ours", seed, OURS) for name in names)
        if seed <= fewer:
            others = [door for door in (*DOORS, *WITHOUT) if door != "none"]
            yield from ((name, door, seed, OTHERS) for door in others for name in ATTACKS)


def measured(attack: str, door: str, seed: int, scale: Scale) -> Row:
    """Run one world."""
    started = time.process_time()
    result = Run(parse_policy(default_text(), "default.toml"), seed, attack, door, scale).run()
    after = result.contained_after
    return {
        "attack": attack,
        "door": door,
        "seed": seed,
        "honest_a_day": scale.honest_a_day,
        "planned": result.planned,
        "planned_usd": result.planned_cost,
        "lost": result.lost,
        "lost_usd": result.lost_cost,
        "avoided": result.avoided,
        "contained_hours": None if after is None else after / HOUR,
        "people": dict(result.honest.people),
        "blocked": dict(result.honest.blocked),
        "locked_out": result.honest.locked_out,
        "cpu_seconds": time.process_time() - started,
    }


def key_of(row: Row) -> tuple[str, str, int, int]:
    return row["attack"], row["door"], row["seed"], row["honest_a_day"]


def run(out: Path, seeds: int, fewer: int, turn: tuple[int, int]) -> None:
    """Run what the file does not hold yet, a line a run."""
    for place, (attack, door, seed, scale) in enumerate(wanted(seeds, fewer)):
        done = {key_of(row) for row in held(out)}
        if place % turn[1] == turn[0] - 1 and (attack, door, seed, scale.honest_a_day) not in done:
            row = measured(attack, door, seed, scale)
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")


def held(out: Path) -> list[Row]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def mean_with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % percentile bootstrap interval."""
    random = Random(1)
    means = sorted(fmean(random.choices(values, k=len(values))) for _ in range(4_000))
    return fmean(values), means[100], means[-100]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share, z2 = hits / of, _Z**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of**2))
    return max(0.0, middle - half), middle + half


def line(rows: Sequence[Row]) -> str:
    """Return one line of the table: an attack behind a door, over seeds."""
    people: Counter[str] = Counter()
    blocked: Counter[str] = Counter()
    for row in rows:
        people.update(row["people"])
        blocked.update(row["blocked"])
    hits, all_people = blocked.total(), people.total()
    low, high = wilson(hits, all_people)
    worst = max(people, key=lambda country: blocked[country] / people[country])
    from_, to = wilson(blocked[worst], people[worst])
    avoided, least, most = mean_with_interval([row["avoided"] for row in rows])
    hours = [row["contained_hours"] for row in rows]
    contained = "–" if None in hours else f"{median(hours):.1f} h"
    lost = fmean(row["lost_usd"] for row in rows)
    cells = (
        rows[0]["attack"],
        rows[0]["door"],
        str(len(rows)),
        f"{fmean(row['planned'] for row in rows):,.0f}",
        f"{fmean(row['lost'] for row in rows):,.0f}",
        f"{lost:,.0f} $",
        f"{avoided:.1%} ({least:.1%} to {most:.1%})",
        f"{min(row['avoided'] for row in rows):.1%}",
        contained,
        f"{hits / all_people:.2%} ({low:.2%} to {high:.2%})",
        f"{worst} {blocked[worst] / people[worst]:.1%} ({from_:.1%} to {to:.1%} of {people[worst]})",
        str(sum(row["locked_out"] for row in rows)),
    )
    return "| " + " | ".join(cells) + " |"


def table(rows: Sequence[Row]) -> Iterator[str]:
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["honest_a_day"], row["door"], row["attack"]), []).append(row)
    for group in groups.values():
        yield line(group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("var/pumping.jsonl"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--fewer", type=int, default=3)
    parser.add_argument("--turn", default="1/1")
    parser.add_argument("--table", action="store_true", help="only print what the file holds")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    mine, of = (int(part) for part in given.turn.split("/"))
    if not given.table:
        run(given.out, given.seeds, given.fewer, (mine, of))
    for text in table(held(given.out)):
        print(text)


if __name__ == "__main__":
    main()
