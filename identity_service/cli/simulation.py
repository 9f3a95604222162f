"""`identity policy simulate`: whom another policy would let invite, before anybody is told of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from identity_service.cli.command import Command
from identity_service.cli.output import message, print_json, print_table, progress, sparkline
from identity_service.cli.policy import read_policy
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.policy.rules import Policy
from identity_service.ports import rfc3339

if TYPE_CHECKING:
    from graph.growth.intervals import Estimate
    from identity_service.policy.played import Played
    from identity_service.policy.simulation import Affected, Comparison, Rules, Tally

_MOST_COUNTRIES: Final = 20
_MOST_MONTHS: Final = 24
_BAR: Final = 24
_GROUP_COLUMNS: Final = (
    "members",
    "may_earn",
    "may_earn_after",
    "gain",
    "lose",
    "lose_%",
    "a_week",
    "a_week_after",
)
_WHAT: Final = """\
may_earn     active members, free of sanctions, who meet the rules for earned invites: under the policy in
             force, and (_after) under FILE. What an operator granted can be given under either.
gain, lose   members who may under one of the two only; lose_% is their share of those who may now.
a_week       invites that these members can earn in a week, if nobody's cap is full.
level moves  the level that a review would give at this moment under each policy.
because      the rules that a member fails: under FILE where it loses, in force where it gains."""
_ECONOMY: Final = """\
bad let in      bad accounts that got in within 40 weeks, in a made-up network of 2,000 honest members and 5
                bad ones who invite as fast as they may: the mean of the runs, with its 95 % interval.
lost            runs with 5,000 bad accounts or more, at which they end.
honest refused  the share of honest members' wishes to invite that were refused."""


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--list", "listed", default=10, show_default=True, type=click.IntRange(0, 10_000), metavar="N",
              help="Show the N most affected members.")  # fmt: skip
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1, 200),
              help="Play the 40 weeks so often for each strategy and policy.")  # fmt: skip
@click.option("--no-economy", is_flag=True, help="Only the members who are there; no 40 weeks.")
@pass_session
def simulate(session: Session, file: Path, listed: int, seeds: int, no_economy: bool) -> None:
    r"""Compare FILE with the policy in force, on the members who are there.  Nothing is written.

    Tells who would gain and who would lose the right to invite, levels and allowance, by country and by month
    of joining; and how both policies fare in forty weeks against four kinds of attackers.

    \b
    Example:
      identity policy simulate rules.toml --list 50
    """
    wanted = read_policy(file)
    compared, version = _compare(session, wanted, listed)
    economy = None if no_economy else _economy(session, wanted, range(1, seeds + 1))
    if session.as_json:
        print_json(_shape(compared, version, wanted.version, economy))
        return
    _print_members(compared, version, wanted.version)
    message(f"\n{_WHAT}")
    if economy is not None:
        _print_economy(economy)
        message(f"\n{_ECONOMY}")
    message("\nNothing was written.")


def _rules(of: Policy) -> Rules:
    from identity_service.policy.simulation import Rules

    return Rules(ladder=of.ladder, adjudicated_reasons=frozenset(of.trust.adjudicated_reasons))


def _compare(session: Session, wanted: Policy, listed: int) -> tuple[Comparison, str]:
    """Put both policies to every member, in one consistent read."""
    from identity_service.policy.simulation import Batch, Comparison

    services = session.services

    def read(tx: Tx) -> tuple[Comparison, str]:
        now_in_force = services.policies.of(tx)
        compared = Comparison(_rules(now_in_force), _rules(wanted), now=tx.now, listed=listed)
        with progress("Members", services.population.size(tx)) as bar:
            for rows, outcomes, judged in services.population.batches(tx):
                compared.add(Batch(rows=rows, outcomes=outcomes, judged=judged))
                bar(len(rows))
        return compared, now_in_force.version

    return session.read(read)


def _economy(session: Session, wanted: Policy, seeds: Sequence[int]) -> tuple[list[Played], list[Played]]:
    from graph.economy import Strategy
    from identity_service.policy.played import outcomes

    in_force = session.read(session.services.policies.of)
    with progress("Runs of 40 weeks", 2 * len(Strategy) * len(seeds)) as bar:
        return list(outcomes(in_force.ladder, seeds, bar)), list(outcomes(wanted.ladder, seeds, bar))


# -- telling --------------------------------------------------------------------------------------------


def _shape(
    compared: Comparison, before: str, after: str, economy: tuple[list[Played], list[Played]] | None
) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "as_of": rfc3339(compared.now),
        "before": before,
        "after": after,
        "total": asdict(compared.total),
        "moves": [
            {"before": was, "after": is_, "members": count}
            for (was, is_), count in sorted(compared.moves.items(), key=lambda move: -move[1])
        ],
        "by_country": {name: asdict(tally) for name, tally in _largest_first(compared.by_country)},
        "by_cohort": {name: asdict(tally) for name, tally in sorted(compared.by_cohort.items())},
        "most_affected": [_affected(one) for one in compared.most_affected()],
    }
    if economy is not None:
        shape["economy"] = [
            {"strategy": old.strategy.value, "before": _played(old), "after": _played(new)}
            for old, new in zip(*economy, strict=True)
        ]
    return shape


def _played(one: Played) -> dict[str, Any]:
    return {
        "bad_let_in": _estimate(one.let_in),
        "honest_refused": _estimate(one.refused),
        "lost": one.lost,
        "runs": one.runs,
    }


def _estimate(one: Estimate) -> dict[str, float | None]:
    return {"mean": one.value, "low": one.low, "high": one.high}


def _affected(one: Affected) -> dict[str, Any]:
    shape = asdict(one)
    del shape["severity"], shape["rank"]
    return shape


def _largest_first(tallies: Mapping[str, Tally]) -> list[tuple[str, Tally]]:
    return sorted(tallies.items(), key=lambda named: (-named[1].members, named[0]))


def _print_members(compared: Comparison, before: str, after: str) -> None:
    message(f"{before} (in force) and {after}, on {compared.total.members} members:")
    _print_groups("group", [("all", compared.total)])
    message("\nLevel moves:")
    moves = sorted(compared.moves.items(), key=lambda move: -move[1])
    whole = max(1, compared.total.members)
    print_table(
        ("level", "after", "members", "%"),
        ((was, is_, count, f"{100 * count / whole:.1f}") for (was, is_), count in moves),
    )
    countries = _largest_first(compared.by_country)
    message("\nBy country:")
    _print_groups("country", countries[:_MOST_COUNTRIES])
    if len(countries) > _MOST_COUNTRIES:
        message(f"{len(countries) - _MOST_COUNTRIES} more countries: --json has all of them.")
    message("\nBy time of joining (months in UTC):")
    _print_cohorts(sorted(compared.by_cohort.items()))
    affected = compared.most_affected()
    if affected:
        message("\nMost affected:")
        print_table(
            ("member", "external_id", "country", "level", "after", "earns", "after", "because"),
            (
                (one.id, one.external_id, one.country, one.level_before, one.level_after, one.earns_before,
                 one.earns_after, " ".join(one.because))
                for one in affected
            ),
        )  # fmt: skip


def _print_cohorts(months: list[tuple[str, Tally]]) -> None:
    """Print a line a month, or a year where there are many, and the share that loses month by month."""
    groups = months
    if len(months) > _MOST_MONTHS:
        years: dict[str, Tally] = {}
        for month, tally in months:
            years[month[:4]] = years[month[:4]] + tally if month[:4] in years else tally
        groups = list(years.items())
    _print_groups("joined", groups)
    if len(months) > 1:
        shares = [tally.lost_share for _, tally in months]
        span = f"{months[0][0]} to {months[-1][0]}"
        message(f"Who lose, of those who may earn, {span}: {sparkline(shares)} (highest {max(shares):.0%})")


def _print_groups(kind: str, groups: Iterable[tuple[str, Tally]]) -> None:
    """Print a line a group; on a terminal with a bar of who may earn, before over after."""
    rows = list(groups)
    drawn = sys.stdout.isatty()
    print_table(
        (kind, *_GROUP_COLUMNS, *(("after / before",) if drawn else ())),
        ((name, *_cells(tally), *((_bar(tally),) if drawn else ())) for name, tally in rows),
    )


def _cells(tally: Tally) -> tuple[object, ...]:
    return (
        tally.members,
        tally.earning_before,
        tally.earning_after,
        f"+{tally.gained}",
        f"-{tally.lost}",
        f"{100 * tally.lost_share:.1f}",
        f"{tally.a_week_before:.0f}",
        f"{tally.a_week_after:.0f}",
    )


def _bar(tally: Tally) -> str:
    """Draw who may earn under FILE (full), with those who lose (light), of all members of the group."""
    whole = max(1, tally.members)
    after = round(_BAR * tally.earning_after / whole)
    lost = min(_BAR - after, round(_BAR * tally.lost / whole))
    return "█" * after + "░" * lost + "·" * (_BAR - after - lost)


def _print_economy(economy: tuple[list[Played], list[Played]]) -> None:
    message("\nForty weeks against:")
    print_table(
        ("strategy", "bad let in", "after", "lost", "after", "honest refused", "after"),
        (
            (
                old.strategy.value,
                _interval(old.let_in, 1, ".0f"),
                _interval(new.let_in, 1, ".0f"),
                f"{old.lost}/{old.runs}",
                f"{new.lost}/{new.runs}",
                _interval(old.refused, 100, ".1f", " %"),
                _interval(new.refused, 100, ".1f", " %"),
            )
            for old, new in zip(*economy, strict=True)
        ),
    )


def _interval(one: Estimate, times: float, spec: str, unit: str = "") -> str:
    value = f"{(one.value or 0.0) * times:{spec}}{unit}"
    if one.low is None or one.high is None:
        return value
    return f"{value} ({one.low * times:{spec}}–{one.high * times:{spec}})"
