"""`identity import`: an existing tree from a file, checked whole before a row is written."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import rich_click as click

from identity_service.cli.command import REFUSED, Command, ask_first
from identity_service.cli.output import message, print_fields, print_json, print_table, progress, write_whole
from identity_service.cli.session import Session, pass_session
from identity_service.errors import Refused, Unavailable
from identity_service.services.imports import BATCH, Brought, Newcomer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from identity_service.importing.checking import Present
    from identity_service.importing.records import Records
    from identity_service.importing.sheet import Sheet

_ASKED_AT_ONCE: Final = 10_000
_TURNS: Final = 8
_TOLD: Final = 20
_TOLD_AS_JSON: Final = 1000


@click.command("import", cls=Command)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only check the file, and tell what would be done.")
@click.option("--skip-bad", is_flag=True, help="Import the rest where some lines are refused.")
@click.option(
    "--errors",
    "errors_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the refused lines there, each with its code: mend them, and import that file.",
)
@click.option("--yes", is_flag=True, help="Do not ask on a terminal before bringing in more than a hundred.")
@click.pass_context
@pass_session
def import_(
    session: Session,
    ctx: click.Context,
    file: Path,
    dry_run: bool,
    skip_bad: bool,
    errors_file: Path | None,
    yes: bool,
) -> None:
    r"""Bring in an existing tree: CSV with a header, or one JSON object a line.

    \b
    external_id          your name for the member
    inviter_external_id  who invited it; empty for a root of the tree
    joined_at            such as 2011-05-06T07:08:09Z, or 2011-05-06
    phone                optional; E.164, taken as verified on your word
    state                optional; active, suspended, banned or erased
    campaign             optional; the campaign by which it came, in place of an inviter
    last_seen_at         optional; when it was last active  [default: now]

    Lines may come in any order.  Nothing is written while any line is wrong, unless you say --skip-bad.  An
    import that was broken off is finished by the same command: who is there already is only counted.  Exit
    code 1 where any line was refused.

    \b
    Examples:
      identity import members.csv --dry-run
      identity import members.csv --skip-bad --errors refused.csv --yes
    """
    from identity_service.importing.records import Records

    records = Records(file)
    sheet = _checked_sheet(session, records)
    is_held_back = dry_run or (not skip_bad and not sheet.good().all())
    order = _order(sheet)
    run_id, done = None, Brought(made=0, already_here=0, refused={})
    if not is_held_back and len(order):
        if not yes and sys.stdin.isatty():
            ask_first(len(order), f"Bring in {len(order)} members?", yes=False)
        run_id = session.services.imports.new_id()
        done = _write(session, sheet, order, run_id)
    if errors_file is not None:
        write_whole(errors_file, partial(_write_refused, records, sheet), private=True)
    _tell(session, sheet, _summary(sheet, len(order), done, run_id, dry_run=dry_run))
    if not sheet.good().all():
        ctx.exit(REFUSED)


# -- checking -------------------------------------------------------------------------------------------


def _checked_sheet(session: Session, records: Records) -> Sheet:
    from identity_service.importing import checking
    from identity_service.importing.reading import read_sheet

    services = session.services
    with progress("Bytes read", records.size) as bar:
        sheet = read_sheet(records, now=services.clock.now(), policy=services.phones.number_policy, told=bar)
    checking.refuse_repeats(sheet)
    is_empty = session.read(services.members.is_empty)
    checking.judge_origins(sheet, checking.Present.nobody(sheet) if is_empty else _present(session, sheet))
    if not is_empty:
        _refuse_taken_phones(session, sheet)
    checking.refuse_below_refused(sheet)
    return sheet


def _order(sheet: Sheet) -> NDArray[Any]:
    from identity_service.importing.checking import writing_order

    return writing_order(sheet)


def _present(session: Session, sheet: Sheet) -> Present:
    """Ask the store for everybody whom the file names."""
    from identity_service.importing.checking import Present, rows_of_keys

    present, first = Present.nobody(sheet), rows_of_keys(sheet)
    imports = session.services.imports
    with progress("Names looked up", len(sheet.names)) as bar:
        for start in range(0, len(sheet.names), _ASKED_AT_ONCE):
            keys = range(start, min(start + _ASKED_AT_ONCE, len(sheet.names)))
            names = [str(name) for name in sheet.names.names(keys)]
            known = session.read(partial(imports.known, external_ids=names))
            for key, name in zip(keys, names, strict=True):
                if (member := known.get(name)) is None:
                    continue
                present.is_here[key], present.joined[key] = True, member.joined_at
                row = int(first[key])
                inviter, campaign = _origin(sheet, row)
                present.as_told[row] = row >= 0 and member.came_by(inviter, campaign)
            bar(len(keys))
    return present


def _origin(sheet: Sheet, row: int) -> tuple[str | None, str | None]:
    """Return the inviter's external id and the campaign's name that a row tells."""
    campaign = int(sheet.rows["campaign"][row])
    return sheet.name(int(sheet.rows["inviter"][row])), None if campaign < 0 else sheet.campaigns[campaign]


def _refuse_taken_phones(session: Session, sheet: Sheet) -> None:
    import numpy as np

    from identity_service.importing.faults import Fault

    rows = np.flatnonzero((sheet.rows["phone"] != 0) & sheet.good() & ~sheet.here)
    with progress("Phones looked up", len(rows)) as bar:
        for start in range(0, len(rows), _ASKED_AT_ONCE):
            some = rows[start : start + _ASKED_AT_ONCE]
            numbers = [number for row in some.tolist() if (number := sheet.number(row)) is not None]
            taken = session.read(partial(session.services.imports.taken, numbers=numbers))
            is_taken = [number.e164 in taken for number in numbers]
            sheet.refuse(some[is_taken], Fault.PHONE_TAKEN)
            bar(len(some))


# -- writing --------------------------------------------------------------------------------------------


def _write(session: Session, sheet: Sheet, order: NDArray[Any], run_id: str) -> Brought:
    """Write the rows, a batch in each transaction; what became of all of them."""
    from identity_service.importing.faults import Fault

    made = already_here = 0
    refused: dict[int, str] = {}
    with progress("Members", len(order)) as bar:
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            brought = _bring(session, list(_newcomers(sheet, rows)), run_id)
            made, already_here = made + brought.made, already_here + brought.already_here
            for place, code in brought.refused.items():
                sheet.refuse(rows[place : place + 1], Fault[code.upper()])
                refused[start + place] = code
            bar(len(rows))
    session.services.store.refresh_statistics()
    return Brought(made=made, already_here=already_here, refused=refused)


def _newcomers(sheet: Sheet, rows: NDArray[Any]) -> Iterator[Newcomer]:
    from identity_service.importing.sheet import NEVER, NOBODY, STATES

    def column(name: str) -> list[int]:
        values: list[int] = sheet.rows[name][rows].tolist()
        return values

    inviters = column("inviter")
    names = iter(sheet.names.names([*column("key"), *(key for key in inviters if key != NOBODY)]))
    # First the members' own names, then those of the inviters that there are.
    own = [str(name) for name in islice(names, len(rows))]
    columns = (own, inviters, column("joined"), column("seen"), column("campaign"), column("state"))
    for row, name, inviter, joined, seen, campaign, state in zip(rows.tolist(), *columns, strict=True):
        yield Newcomer(
            external_id=name,
            joined_at=joined,
            inviter=None if inviter == NOBODY else str(next(names)),
            campaign=None if campaign == NOBODY else sheet.campaigns[campaign],
            last_seen_at=None if seen == NEVER else seen,
            number=sheet.number(row),
            state=STATES[state],
        )


def _bring(session: Session, newcomers: list[Newcomer], run_id: str) -> Brought:
    """Write one batch, again from its start where another transaction was faster."""
    for _ in range(_TURNS):
        try:
            return session.do(partial(session.services.imports.bring, newcomers=newcomers, import_id=run_id))
        except Refused as refused:
            if refused.code not in ("import_raced", "phones_raced"):
                raise
    raise Unavailable("other transactions make the same members all the time; try again when they are done")


# -- telling --------------------------------------------------------------------------------------------


def _write_refused(records: Records, sheet: Sheet, out: IO[str]) -> int:
    """Write the refused lines as the file has them (malformed ones as a text), each with its code."""
    from identity_service.importing.faults import Fault
    from identity_service.importing.records import ADDED

    columns = [*(name for name in records.columns if name not in ADDED), *ADDED]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    if records.is_csv:
        writer.writeheader()
    count = 0
    for row, line in enumerate(records.lines()):
        fault = Fault(int(sheet.rows["fault"][row]))
        if fault is Fault.NONE:
            continue
        count += 1
        told = dict(line.record) | {"line": line.number, "code": fault.code, "detail": sheet.detail(row)}
        if line.text:
            told["text"] = line.text
        if records.is_csv:
            writer.writerow(told)
        else:
            out.write(json.dumps(told, ensure_ascii=False) + "\n")
    return count


def _summary(
    sheet: Sheet, importable: int, done: Brought, run_id: str | None, *, dry_run: bool
) -> dict[str, Any]:
    from identity_service.importing.faults import Fault

    refused = Counter(sheet.rows["fault"].tolist())
    del refused[Fault.NONE]
    return {
        "rows": len(sheet),
        "importable": importable,
        "written": done.made,
        "already_here": int((sheet.here & sheet.good()).sum()) + done.already_here,
        "refused": sum(refused.values()),
        "refused_by_code": {Fault(fault).code: count for fault, count in sorted(refused.items())},
        "dry_run": dry_run,
        "import_id": run_id,
    }


def _tell(session: Session, sheet: Sheet, summary: dict[str, Any]) -> None:
    from identity_service.importing.faults import Fault

    most = _TOLD_AS_JSON if session.as_json else _TOLD
    rows = list(islice(sheet.faulty(consequences=session.as_json), most))
    faults = [
        {
            "line": int(sheet.rows["line"][row]),
            "external_id": sheet.name(int(sheet.rows["key"][row])),
            "code": Fault(int(sheet.rows["fault"][row])).code,
            "detail": sheet.detail(row),
        }
        for row in rows
    ]
    if session.as_json:
        print_json(summary | {"errors": faults})
        return
    for fault in faults:
        message(f"line {fault['line']}: {fault['code']}: {fault['detail']}")
    if summary["refused"] > len(faults):
        message(
            f"{summary['refused'] - len(faults)} more lines are refused; --errors FILE writes all of them."
        )
    by_code = summary.pop("refused_by_code")
    print_fields(summary)
    if by_code:
        print_table(("code", "lines"), by_code.items())
    message(_outcome(summary))


def _outcome(summary: dict[str, Any]) -> str:
    if summary["dry_run"]:
        return f"A dry run: {summary['importable']} members would be brought in, nothing was written."
    if summary["written"]:
        return f"{summary['written']} members were brought in."
    if summary["refused"] and summary["importable"]:
        return "Nothing was written: mend the lines, or import the rest with --skip-bad."
    return "There was nothing to bring in."
