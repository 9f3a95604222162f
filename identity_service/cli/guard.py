"""The pumping guard's decisions: listed with their reasons, released, and set by hand; and its simulation."""

from __future__ import annotations

import re
from typing import Any, Final

import rich_click as click

from identity_service.cli.command import Topic
from identity_service.cli.output import message, print_fields, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.ports import HOUR, rfc3339, rfc3339_or_none
from identity_service.services.guard_decisions import DecisionView
from identity_service.services.paging import Paging

_TARGET: Final = re.compile(r"[A-Z]{2}|\+[1-9][0-9]{2,10}", re.ASCII)
_REASON: Final = click.option("--reason", required=True, help="Why; kept in the journal.")


@click.group(cls=Topic)
def guard() -> None:
    """Whom the pumping guard blocks, why, and until when."""


@guard.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@click.option("--country", metavar="XX")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 200))
@pass_session
def list_(session: Session, everything: bool, country: str | None, limit: int) -> None:
    """List decisions, newest first."""
    decisions, paging = session.services.guard.decisions, Paging(limit=limit, after=None)
    found = session.read(lambda tx: decisions.page(tx, paging, in_force=not everything, country=country)).data
    if session.as_json:
        print_json({"data": [shape(view) for view in found]})
        return
    print_table(
        ("id", "unit", "name", "country", "answer", "state", "at", "until", "first reason"),
        (
            (
                view.id,
                view.unit,
                view.name,
                view.country,
                view.answer,
                view.state,
                rfc3339(view.at),
                rfc3339_or_none(view.until),
                view.reasons[0]["detail"] if view.reasons else "on probation and no better",
            )
            for view in found
        ),
    )


@guard.command()
@click.argument("decision_id")
@pass_session
def show(session: Session, decision_id: str) -> None:
    """Show a decision with every reason: the signal, its value and the threshold that it met."""
    view = session.read(lambda tx: session.services.guard.decisions.get(tx, decision_id))
    if session.as_json:
        print_json(shape(view))
        return
    fields = shape(view)
    reasons = fields.pop("reasons")
    print_fields(fields)
    for reason in reasons:
        print_fields(reason)


@guard.command()
@click.argument("decision_id")
@_REASON
@pass_session
def release(session: Session, decision_id: str, reason: str) -> None:
    """Undo a decision.  The evidence of before does not count any more."""
    view = session.do(lambda tx: session.services.guard.decisions.release(tx, decision_id, reason))
    if session.as_json:
        print_json(shape(view))
    else:
        message(f"{view.id} ({view.unit} {view.name}) is {view.state}.")


def _set(session: Session, target: str, mode: str, reason: str) -> None:
    if not _TARGET.fullmatch(target):
        raise click.UsageError("TARGET is a country (RU) or the beginning of a number (+7916123).")
    made = session.do(lambda tx: session.services.guard.set_by_digits(tx, target, mode, reason))
    view = session.read(lambda tx: session.services.guard.decisions.get(tx, made))
    if session.as_json:
        print_json(shape(view))
    else:
        message(f"{view.id}: {target} is set to {mode} until it is released.")


@guard.command()
@click.argument("target")
@_REASON
@pass_session
def allow(session: Session, target: str, reason: str) -> None:
    """Never judge a country, or the numbers that begin so (with four or six digits more)."""
    _set(session, target, "allow", reason)


@guard.command()
@click.argument("target")
@_REASON
@pass_session
def block(session: Session, target: str, reason: str) -> None:
    """Send nothing new to a country, or to the numbers that begin so (with four or six digits more)."""
    _set(session, target, "block", reason)


def shape(view: DecisionView) -> dict[str, Any]:
    return {
        "id": view.id,
        "unit": view.unit,
        "name": view.name,
        "country": view.country,
        "answer": view.answer,
        "grade": view.grade,
        "state": view.state,
        "actor": view.actor,
        "at": rfc3339(view.at),
        "until": rfc3339_or_none(view.until),
        "ended_at": rfc3339_or_none(view.ended_at),
        "end_actor": view.end_actor,
        "end_reason": view.end_reason,
        "reasons": view.reasons,
    }


@click.command("simulate-fraud")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--scenario", "scenarios", multiple=True, help="An attack's name; all of them where none is given."
)
@click.option(
    "--door", "doors", multiple=True, help="Who defends: ours, none, per_address, …  [default: ours]"
)
@click.option("--days", default=14, show_default=True, type=click.IntRange(4, 60))
@click.option("--honest", default=1_000, show_default=True, help="Honest people a day.")
@click.option("--attack", default=1.0, show_default=True, help="How large an attack is.")
@pass_session
def simulate_fraud(
    session: Session,
    seeds: int,
    scenarios: tuple[str, ...],
    doors: tuple[str, ...],
    days: int,
    honest: int,
    attack: float,
) -> None:
    """Run attacks against the guard and the policy file in use, on a store in memory; nothing is sent."""
    from identity_service.policy.rules import load_policy
    from identity_service.pumping.attacks import ATTACKS
    from identity_service.pumping.simulation import DOORS, WITHOUT, Run
    from identity_service.pumping.world import Scale

    names, defended = scenarios or ("peace", *ATTACKS), doors or ("ours",)
    for name in set(names) - {"peace", *ATTACKS}:
        raise click.UsageError(f"--scenario: there is no {name!r}; known: peace, {', '.join(ATTACKS)}")
    for name in set(defended) - {*DOORS, *WITHOUT}:
        raise click.UsageError(f"--door: there is no {name!r}; known: {', '.join((*DOORS, *WITHOUT))}")
    policy = load_policy(session.settings.policy_file)
    scale = Scale(days=days, honest_a_day=honest, attack=attack)
    rows = []
    with progress("worlds", len(names) * len(defended) * seeds) as step:
        for name in names:
            for door in defended:
                for seed in range(1, seeds + 1):
                    rows.append(Run(policy, seed, name, door, scale).run())
                    step(1)
    shapes = [
        {
            "scenario": row.attack,
            "door": row.door,
            "seed": row.seed,
            "planned": row.planned,
            "lost": row.lost,
            "lost_usd": round(row.lost_cost, 2),
            "avoided": round(row.avoided, 4),
            "contained_hours": None if row.contained_after is None else round(row.contained_after / HOUR, 2),
            "honest": row.honest.people.total(),
            "honest_blocked": round(row.honest.share, 5),
            "worst_country": row.honest.worst[0],
            "worst_country_blocked": round(row.honest.worst[1], 5),
            "owners_locked_out": row.honest.locked_out,
        }
        for row in rows
    ]
    if session.as_json:
        print_json({"data": shapes})
    else:
        print_table(tuple(shapes[0]), (row.values() for row in shapes))
