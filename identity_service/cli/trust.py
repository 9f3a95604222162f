"""Trust: why a member has its score, whether the rows are what the log says, and how good it is elsewhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import rich_click as click

from identity_service.api import render
from identity_service.cli.command import Topic
from identity_service.cli.output import Bar, message, plain, print_fields, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.errors import Refused
from identity_service.services.trust_following import Difference


@click.group(cls=Topic)
def trust() -> None:
    """How far members can be trusted, and why."""


@trust.command()
@click.argument("member_id", metavar="ID")
@pass_session
def explain(session: Session, member_id: str) -> None:
    r"""Tell a member's score as a sum, and what would raise it.

    \b
    All numbers are natural log-odds; positive is honest.  score = 1/(1+e^-total).
    With --json: as GET /v1/members/{id}/trust.
    """
    told = session.read(lambda tx: session.services.trust.explain(tx, member_id))
    shape = plain(render.trust(told))
    if session.as_json:
        print_json(shape)
        return
    lines = [
        (line["source"], line["member_id"] or line["kind"], line["log_odds"], line["detail"])
        for line in shape["explanation"]
    ]
    total = ("total", None, shape["log_odds"], f"a score of {shape['score']:.3f}, level {shape['level']}")
    print_table(("source", "from", "log_odds", "detail"), [*lines, total])
    message(f"As of event {shape['as_of_event']}." if shape["as_of_event"] else "No event counts yet.")
    if shape["would_help"]:
        click.echo()
        columns = ("would_help", "member", "gain", "then", "detail")
        print_table(
            columns,
            (
                (step["action"], step["member_id"], step["log_odds_gain"], step["log_odds"], step["detail"])
                for step in shape["would_help"]
            ),
        )


@trust.command()
@click.option("--dry-run", is_flag=True, help="Only compare; nothing is written.")
@pass_session
def rebuild(session: Session, dry_run: bool) -> None:
    r"""Compute every score from the log, and write the rows that say otherwise.

    What a worker has followed and what is rebuilt are the same: --dry-run tells the largest difference.
    Scores are written when they have moved by more than the policy's tolerance, states always.
    A worker that follows lets go and begins anew.

    \b
    Examples:
      identity trust rebuild --dry-run
    """
    following = session.services.trust_following(f"rebuild-{os.getpid()}")
    if dry_run:
        difference = following.compare()
    else:
        with _bar() as wrote:
            difference = following.rebuild(wrote)
    fields = _fields(difference)
    if session.as_json:
        print_json(fields)
    else:
        print_fields(fields)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A bar that begins when it is known how many rows there are."""
    with ExitStack() as shown:
        bars: list[Bar] = []

        def wrote(done: int, total: int) -> None:
            if not bars:
                bars.append(shown.enter_context(progress("rows", total)))
            bars[0](done)

        yield wrote


def _fields(difference: Difference) -> dict[str, Any]:
    return {
        "members": difference.members,
        "scores_behind": difference.scores,
        "states_behind": difference.states,
        "largest_difference_of_scores": difference.furthest_score,
        "largest_difference_of_states": difference.furthest_state,
    }


@trust.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of splits and bootstrap.")
@pass_session
def evaluate(session: Session, file: Path, seed: int) -> None:
    r"""Tell how well trust finds bad members in FILE, beside what else could be done.

    \b
    FILE is UTF-8 CSV, one of
      ratings          source,target,rating,time     the header may be missing; a negative rating is bad;
                                                     time in seconds since 1970, in any order
      a labelled tree  member,inviter,bad            with this header; inviter empty for seeds, bad 0 or 1,
                       and reports,banned,           where there are such columns: distinct branches that
                       verified,sold                 reported, and 0 or 1
    Answers AUC, average precision and Brier score with 95 % intervals, beside own evidence, branch ratio,
    ancestor decay, personalised PageRank and SybilRank.  No database is needed.
    """
    from graph import GraphError
    from graph.trust.evaluate import evaluate as judge

    try:
        with click.open_file(str(file), encoding="utf-8-sig") as lines:
            tables = judge(lines.read().splitlines(), seed=seed)
    except UnicodeDecodeError:
        raise Refused("bad_table", f"{file} is not UTF-8 text.") from None
    except GraphError as error:
        raise Refused(error.code, str(error)) from None
    if not any(table.members for table in tables):
        raise Refused("bad_table", f"There is nobody to judge in {file}.")
    if session.as_json:
        print_json({"data": [_table(table) for table in tables]})
        return
    for place, table in enumerate(tables):
        if place:
            click.echo()
        click.echo(
            f"{table.title}: {table.members} judged, {table.bad} bad, base Brier {table.base_brier:.4f}"
        )
        columns = ("method", "auc", "average_precision", "brier")
        print_table(
            columns, ((one.method, one.auc, one.average_precision, one.brier) for one in table.methods)
        )


def _table(table: Any) -> dict[str, Any]:
    return {
        "title": table.title,
        "members": table.members,
        "bad": table.bad,
        "base_brier": _number(table.base_brier),
        "methods": [
            {
                "method": one.method,
                "auc": _interval(one.auc),
                "average_precision": _interval(one.average_precision),
                "brier": _interval(one.brier),
            }
            for one in table.methods
        ],
    }


def _interval(interval: Any) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {name: _number(getattr(interval, name)) for name in ("value", "low", "high")}


def _number(value: float) -> float | None:
    """JSON has no word for what cannot be said."""
    return value if math.isfinite(value) else None
