"""The policy: the rules in force, checking a file, announcing a new one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.cli.command import REFUSED, SPAN, Topic, checked_value
from identity_service.cli.output import message, plain, print_json, print_table, printable
from identity_service.cli.session import Session, pass_session
from identity_service.errors import Misconfigured
from identity_service.policy.advice import advice_on
from identity_service.policy.changes import Change, changes
from identity_service.policy.rules import Fault, Policy, faults_of, parse_policy, policy_text
from identity_service.ports import Instant, rfc3339, rfc3339_or_none
from identity_service.services.policy_book import Announce, Announced, Edition

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=Topic)
def policy() -> None:
    """The rules: who may invite, how often a code may be sent, how long things live."""


@policy.command()
@click.option("--history", is_flag=True, help="Every policy that was announced, oldest first.")
@pass_session
def show(session: Session, history: bool) -> None:
    """Print the policy in force, as the file that it is; with --json also what is announced."""
    book = session.services.policies
    if history:
        _show_history(session)
        return
    outlook = session.read(book.outlook)
    if session.as_json:
        print_json(render.policy(outlook))
        return
    click.echo(outlook.in_force.text, nl=not outlook.in_force.text.endswith("\n"))
    source = "the database" if outlook.in_force.number else "the settings"
    message(f"In force: {outlook.in_force.version}, from {source}.")
    for coming in outlook.coming:
        message(f"Announced: {coming.edition.version}, from {_at(coming.edition)}.")


def _show_history(session: Session) -> None:
    editions = session.read(session.services.policies.history)[1:]
    now = session.read(session.services.policies.edition)
    if session.as_json:
        print_json({"data": [_shape(one, now) for one in editions]})
        return
    columns = ("number", "version", "in_force_from", "announced_at", "actor", "reason", "in_force")
    print_table(columns, ([_shape(one, now)[name] for name in columns] for one in editions))


def _shape(edition: Edition, now: Edition) -> dict[str, Any]:
    return {
        "number": edition.number,
        "version": edition.version,
        "sha256": edition.sha256.hex(),
        "actor": edition.actor,
        "reason": edition.reason,
        "announced_at": rfc3339_or_none(edition.announced_at),
        "in_force_from": _at(edition),
        "in_force": edition.number == now.number,
    }


@policy.command()
@click.argument("file", type=_FILE)
@click.pass_context
@pass_session
def check(session: Session, ctx: click.Context, file: Path) -> None:
    """Check a policy file.  Every fault is told with its place; exit code 1 where there is one.

    Warnings are about what is well-formed and may be regretted; they change no exit code.
    """
    text = _read(file)
    faults = faults_of(text)
    warnings = () if faults else tuple(advice_on(text))
    if session.as_json:
        told = {"faults": [asdict(one) for one in faults], "warnings": [asdict(one) for one in warnings]}
        print_json({"ok": not faults} | told)
    _print_findings(file, "", faults)
    _print_findings(file, "warning: ", warnings)
    if faults:
        ctx.exit(REFUSED)
    message(f"{file} is a policy.")


def _print_findings(file: Path, kind: str, found: tuple[Fault, ...]) -> None:
    for one in found:
        place = f"{file}:{one.line}" if one.line else str(file)
        message(f"{place}: {kind}{one.rule + ': ' if one.rule else ''}{one.detail}")


@policy.command()
@click.argument("file", type=_FILE)
@click.option("--reason", required=True, help="Why; for the history and the audit.")
@click.option(
    "--from",
    "in_force_from",
    metavar="WHEN",
    help="When it takes force: a time (RFC 3339), or a span from now such as 7d.  [default: at once]",
)
@click.option("--dry-run", is_flag=True, help="Only tell which rules would change.")
@click.option("--yes", is_flag=True, help="Do not ask before announcing it.")
@pass_session
def apply(
    session: Session, file: Path, reason: str, in_force_from: str | None, dry_run: bool, yes: bool
) -> None:
    r"""Announce a policy: it is told at once and takes force at its time, in all processes together.

    A later announcement with an earlier date, or the same, replaces one that still waits.

    \b
    Examples:
      identity policy apply rules.toml --reason "fewer invites for newcomers" --from 7d
      identity policy apply rules.toml --reason "the same at once" --yes
    """
    checked_value(s.Reason, "--reason", reason)
    text = _checked(file)
    book = session.services.policies
    newest = session.read(book.head)
    if not dry_run:
        _ask(changes(newest.text, text), newest, yes=yes)
    wanted = Announce(
        text=text,
        reason=reason,
        after=newest.number,
        name=str(file),
        in_force_from=_when(session, in_force_from),
    )
    announced = session.run(lambda tx: book.announce(tx, wanted), dry_run=dry_run)
    _tell(session, announced, dry_run=dry_run)


def _ask(found: tuple[Change, ...], newest: Edition, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: say --yes, or look with --dry-run.")
    _print_changes(found)
    click.confirm(f"Change these {len(found)} rules of {newest.version}?", abort=True, err=True)


def _tell(session: Session, announced: Announced, *, dry_run: bool) -> None:
    edition = announced.edition
    if session.as_json:
        print_json(plain(render.announced_policy(announced)) | {"dry_run": dry_run})
        return
    _print_changes(announced.changes)
    message(f"{edition.version} {'would take' if dry_run else 'takes'} force at {_at(edition)}.")


def _print_changes(found: tuple[Change, ...]) -> None:
    print_table(("rule", "before", "after"), ((one.rule, one.before, one.after) for one in found))


def _when(session: Session, text: str | None) -> Instant | None:
    if text is None:
        return None
    if text[:1].isdigit() and "T" not in text.upper():
        return session.services.clock.now() + SPAN.convert(text, None, None)
    when: Instant = checked_value(s.Time, "--from", text)
    return when


def _at(edition: Edition) -> str:
    assert edition.in_force_from is not None
    return rfc3339(edition.in_force_from)


def read_policy(file: Path) -> Policy:
    """Read a policy that could be applied.

    Raises:
        Misconfigured: every fault, with its place.
    """
    return parse_policy(_checked(file), str(file))


def _checked(file: Path) -> str:
    text = _read(file)
    if faults := faults_of(text):
        raise Misconfigured(*(f"{file}:{one.line or '?'}: {one.rule}: {one.detail}" for one in faults))
    return text


def _read(file: Path) -> str:
    try:
        return policy_text(str(file))
    except Misconfigured as wrong:
        raise click.UsageError(printable(str(wrong).removeprefix("IDENTITY_POLICY_FILE: "))) from None
