"""Quota: grant it to many, take a grant back, and see how a balance came to be."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import rich_click as click
from pydantic import Field

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.cli.command import REFUSED, SPAN, Topic, ask_first, checked_value
from identity_service.cli.output import message, plain, print_fields, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.cli.targets import Target, read_csv, resolve
from identity_service.db.store import Tx
from identity_service.policy.where import WhereInvalid, parse_where
from identity_service.ports import Instant, rfc3339_or_none
from identity_service.services.grants import MAX_AMOUNT, GrantMany
from identity_service.services.paging import Paging
from identity_service.services.quota import Granted

CHUNK: Final = 500
"""So many members a transaction: a run that is broken off has done whole ones, and its batch tells which."""
_Batch = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[!-~]+$")]
_SHOWN: Final = ("line", "member_id", "result", "amount", "available", "code")


@click.group(cls=Topic)
def quota() -> None:
    """How many invites members may give."""


@quota.command()
@click.option("--member", "member_ids", multiple=True, metavar="ID", help="A member; repeatable.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Columns member_id or external_id, and perhaps amount.",
)
@click.option("--where", metavar="EXPR", help='E.g. "country=RU and age_days>=30 and available=0".')
@click.argument("amount", required=False, type=click.IntRange(1, MAX_AMOUNT))
@click.option("--reason", required=True, help="For the ledger and the audit.")
@click.option("--batch", help="The same batch again grants nothing twice.  [default: a new one, printed]")
@click.option(
    "--expires-in", type=SPAN, help="When what is left of it lapses, such as 90d.  [default: never]"
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be granted.")
@click.option("--yes", is_flag=True, help="Do not ask before granting to more than a hundred members.")
@click.pass_context
@pass_session
def grant(
    session: Session,
    ctx: click.Context,
    member_ids: tuple[str, ...],
    csv_file: Path | None,
    where: str | None,
    amount: int | None,
    reason: str,
    batch: str | None,
    expires_in: Instant | None,
    dry_run: bool,
    yes: bool,
) -> None:
    r"""Grant AMOUNT invites to members: named, listed in a file, or found by a filter.

    Works in transactions of 500 members.  A run that is broken off is finished by the same command with the
    batch id it printed: who has had the batch gets nothing twice.  Exit code 1 where any member was refused.

    \b
    Examples:
      identity quota grant --member mem_… 5 --reason "spring round"
      identity quota grant --csv members.csv 3 --reason "beta testers" --dry-run
      identity quota grant --where "country=RU and available=0" 2 --reason "spring round" --yes
    """
    if sum((bool(member_ids), csv_file is not None, where is not None)) != 1:
        raise click.UsageError("Name members by exactly one of --member, --csv and --where.")
    if amount is None and csv_file is None:
        raise click.UsageError("AMOUNT is missing.")
    if where is not None:
        _check_filter(where)
    checked_value(s.Reason, "--reason", reason)
    batch = batch or _new_batch()
    checked_value(_Batch, "--batch", batch)
    # One end for all of them, whichever transaction a member comes in.
    now = session.services.clock.now()
    wanted = GrantMany(
        amount=amount or 1, reason=reason, batch_id=batch, expires_at=expires_in and now + expires_in
    )
    targets = session.read(lambda tx: _targets(session, tx, member_ids, csv_file, where, amount))
    if not dry_run:
        good = sum(target.code is None for target in targets)
        ask_first(good, f"Grant to {good} members?", yes=yes)
        message(f"batch {batch}  (the same command with --batch {batch} finishes what is broken off)")
    results = _grant_all(session, targets, wanted, dry_run=dry_run)
    _tell(session, batch, targets, results, dry_run=dry_run)
    if any(result.result == "refused" for result in results):
        ctx.exit(REFUSED)


@quota.command()
@click.argument("member_id")
@click.option("--entries", is_flag=True, help="The whole ledger, oldest first.")
@pass_session
def show(session: Session, member_id: str, entries: bool) -> None:
    """Show a member's balance, or with --entries how it came to be."""
    ledger = session.services.quota
    if not entries:
        balance = render.quota(session.read(lambda tx: ledger.balance(tx, member_id)))
        if session.as_json:
            print_json(balance)
        else:
            print_fields(balance.model_dump())
        return
    page = session.read(lambda tx: ledger.entries(tx, member_id, Paging(limit=100_000)))
    if session.as_json:
        print_json(render.page(render.QuotaEntryPageOut, render.quota_entry)(page))
        return
    print_table(
        ("at", "kind", "amount", "actor", "reason", "batch", "invite", "expires"),
        (
            (
                rfc3339_or_none(row.created_at),
                row.kind,
                f"{row.amount:+d}",
                row.actor,
                row.reason,
                row.batch_id,
                row.invite_id,
                rfc3339_or_none(row.expires_at),
            )
            for row in page.data
        ),
    )


@quota.command()
@click.option("--batch", required=True, help="The batch id that the grant printed.")
@click.option("--reason", required=True, help="For the ledger and the audit.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be taken back.")
@click.option("--yes", is_flag=True, help="Do not ask before changing more than a hundred members.")
@pass_session
def revoke(session: Session, batch: str, reason: str, dry_run: bool, yes: bool) -> None:
    """Take back what is unspent of a batch.  What was spent stays spent."""
    checked_value(s.Reason, "--reason", reason)
    take_back = partial(session.services.quota.revoke_batch, batch_id=batch, reason=reason)
    results = session.rehearse(take_back)
    if not dry_run:
        ask_first(len(results), f"Take back from {len(results)} members?", yes=yes)
        results = session.do(take_back)
    rows = [{"member_id": row.member_id, "amount": row.amount, "available": row.available} for row in results]
    if session.as_json:
        print_json({"batch_id": batch, "dry_run": dry_run, "data": rows})
    else:
        print_table(("member_id", "amount", "available"), (row.values() for row in rows))
    message(f"{sum(row.amount for row in results)} invites of {len(results)} members{_would(dry_run)}.")


# -- granting -------------------------------------------------------------------------------------------


def _check_filter(where: str) -> None:
    try:
        parse_where(where)
    except WhereInvalid as error:
        raise click.UsageError(f"--where: {error}") from None


def _new_batch() -> str:
    return f"batch-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"


def _targets(
    session: Session,
    tx: Tx,
    member_ids: tuple[str, ...],
    csv_file: Path | None,
    where: str | None,
    amount: int | None,
) -> list[Target]:
    if csv_file is not None:
        return resolve(tx, session.services.members, read_csv(csv_file, amount))
    found = dict.fromkeys(member_ids) if where is None else session.services.grants.matching(tx, where)
    return [Target(member_id=member_id, amount=amount or 0) for member_id in found]


def _grant_all(session: Session, targets: list[Target], wanted: GrantMany, *, dry_run: bool) -> list[Granted]:
    results: list[Granted] = []
    with progress("Members", len(targets)) as bar:
        for at in range(0, len(targets), CHUNK):
            chunk = targets[at : at + CHUNK]
            results += session.run(partial(_grant_chunk, session, chunk, wanted), dry_run=dry_run)
            bar(len(chunk))
    return results


def _grant_chunk(session: Session, chunk: list[Target], wanted: GrantMany, tx: Tx) -> list[Granted]:
    grants = session.services.grants
    grants.check(tx, wanted)
    results = []
    for target in chunk:
        if target.code is not None or target.member_id is None:
            refused = Granted(
                member_id=target.member_id or "", result="refused", amount=0, available=None, code=target.code
            )
            results.append(refused)
        else:
            one = replace(wanted, amount=target.amount)
            results.append(grants.grant_one(tx, target.member_id, one))
    return results


def _tell(
    session: Session, batch: str, targets: list[Target], results: list[Granted], *, dry_run: bool
) -> None:
    rows = [_row(target, result) for target, result in zip(targets, results, strict=True)]
    if session.as_json:
        print_json({"batch_id": batch, "dry_run": dry_run, "data": rows})
    else:
        print_table(_SHOWN, ([row.get(name) for name in _SHOWN] for row in rows))
    for target, result in zip(targets, results, strict=True):
        if result.result == "refused":
            place = target.member_id if target.line is None else f"line {target.line}"
            message(f"{place}: {result.code}{f': {target.detail}' if target.detail else ''}")
    counted = Counter(result.result for result in results)
    message(", ".join(f"{n} {result}" for result, n in counted.items()) + _would(dry_run) + ".")


def _row(target: Target, result: Granted) -> dict[str, Any]:
    row = plain(render.quota_grant(result))
    row["member_id"] = target.member_id
    if target.line is not None:
        row |= {"line": target.line, "external_id": target.external_id, "detail": target.detail}
    return row


def _would(dry_run: bool) -> str:
    return " (a dry run: nothing was changed)" if dry_run else ""
