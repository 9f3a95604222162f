"""For whom a grant of quota is: named one by one, in a CSV file, or by a filter."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rich_click as click

from identity_service.db.store import Tx
from identity_service.services.grants import MAX_AMOUNT
from identity_service.services.members import Members

COLUMNS: Final = ("member_id", "external_id", "amount")
_LOOKED_UP_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One member and what it is to have; or a line that says nothing that could be done (`code`)."""

    member_id: str | None
    amount: int
    line: int | None = None
    external_id: str | None = None
    code: str | None = None
    detail: str | None = None


def read_csv(path: Path, amount: int | None) -> list[Target]:
    """Read a file of `member_id` or `external_id`, and perhaps `amount`; a bad line spoils only itself.

    Raises:
        click.UsageError: the file cannot be read, or its header is none.
    """
    try:
        # The byte order mark is what spreadsheets put first.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_lines(csv.DictReader(file, strict=True), amount))
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.UsageError(f"{path}: this is no CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None


def _lines(reader: csv.DictReader[str], amount: int | None) -> Iterator[Target]:
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    if unknown := [name for name in header if name not in COLUMNS]:
        raise click.UsageError(f"The columns are {', '.join(COLUMNS)}; {', '.join(unknown)} is none of them.")
    if not {"member_id", "external_id"} & set(header):
        raise click.UsageError("A column member_id or external_id is needed, named in the first line.")
    if amount is None and "amount" not in header:
        raise click.UsageError("Give AMOUNT, or a column amount.")
    for row in reader:
        if any(value for value in row.values()):
            yield _target(row, amount, reader.line_num)


def _target(row: dict[str, str], default: int | None, line: int) -> Target:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    member_id, external_id, written = (
        cells["member_id"] or None,
        cells["external_id"] or None,
        cells["amount"],
    )
    amount = _amount(written) if written else default
    code = detail = None
    if None in row:
        code, detail = "line_malformed", "There are more values than columns."
    elif (member_id is None) == (external_id is None):
        code, detail = "member_unnamed", "Give exactly one of member_id and external_id."
    elif amount is None:
        code, detail = "amount_invalid", f"The amount is a whole number from 1 to {MAX_AMOUNT}."
    return Target(
        member_id=member_id,
        external_id=external_id,
        amount=amount or 0,
        line=line,
        code=code,
        detail=detail,
    )


def _amount(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    amount = int(text)
    return amount if 1 <= amount <= MAX_AMOUNT else None


def resolve(tx: Tx, members: Members, targets: list[Target]) -> list[Target]:
    """Find the members that are named by external ids; refuse a second line for one member.

    The second line would be taken for a repeat of the batch and grant nothing: better said than left out.
    """
    named = [target.external_id for target in targets if target.code is None and target.external_id]
    found: dict[str, str] = {}
    for at in range(0, len(named), _LOOKED_UP_AT_ONCE):
        found |= members.with_external_ids(tx, named[at : at + _LOOKED_UP_AT_ONCE])
    first: dict[str, int | None] = {}
    return [_resolved(target, found, first) for target in targets]


def _resolved(target: Target, found: dict[str, str], first: dict[str, int | None]) -> Target:
    if target.code is not None:
        return target
    member_id = target.member_id or found.get(target.external_id or "")
    code = detail = None
    if member_id is None:
        code, detail = "member_unknown", "There is no member with this external_id."
    elif member_id in first:
        code, detail = "member_repeated", f"Line {first[member_id]} names this member, too."
    else:
        first[member_id] = target.line
    return Target(
        member_id=member_id,
        external_id=target.external_id,
        amount=target.amount,
        line=target.line,
        code=code,
        detail=detail,
    )
