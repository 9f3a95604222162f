"""The lines of an import file: CSV or NDJSON, told apart by their content; every line for itself.

A record never spans lines (no value may hold a line break), so that a quote which somebody forgot spoils one
line and not the rest of the file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from identity_service.errors import Misconfigured
from identity_service.importing.faults import Fault

FIELDS: Final = (
    "external_id",
    "inviter_external_id",
    "joined_at",
    "phone",
    "state",
    "campaign",
    "last_seen_at",
)
NEEDED: Final = ("external_id", "inviter_external_id", "joined_at")
ADDED: Final = ("line", "code", "detail", "text")
"""What the file of refused lines adds to each.  Read over, so that it can be mended and imported itself."""
LONGEST_LINE: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
Record = Mapping[str, object]
"""Values by field.  Missing, None and the empty text are the same: nothing is told."""
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number, and its record or what is wrong with it.

    Attributes:
        text: of a malformed line, what stands there; cut where it is too long.
    """

    number: int
    record: Record
    fault: Fault = Fault.NONE
    text: str = ""


class Records:
    """An import file.

    Attributes:
        is_csv: whether the first line is a header.
        columns: the fields that the file has, in its order (NDJSON: all that an import may have).

    Raises:
        Misconfigured: the file cannot be read, or its first line is no header of an import.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            stat = path.stat()
            with path.open("rb") as file:
                self._first, first = _first_line(file)
        except OSError as error:
            raise Misconfigured(f"{path}: {error.strerror}") from None
        self.size, self._stamp = stat.st_size, (stat.st_size, stat.st_mtime_ns)
        self.is_csv = not first.lstrip().startswith(b"{")
        self.columns = self._header(first) if self.is_csv and first.strip() else [*FIELDS]

    def _header(self, first: bytes) -> list[str]:
        if first.lstrip().startswith(b"["):
            raise Misconfigured(f"{self.path}: a JSON array is not read; write one object a line (NDJSON).")
        try:
            cells = next(csv.reader([first.decode()], strict=True))
        except (UnicodeDecodeError, csv.Error):
            raise Misconfigured(f"{self.path}: this is neither CSV nor NDJSON in UTF-8.") from None
        names = [cell.strip() for cell in cells]
        known = (*FIELDS, *ADDED)
        if unknown := [name for name in names if name not in known]:
            raise Misconfigured(
                f"{self.path}: the columns are {', '.join(FIELDS)}, with commas between them;"
                f" {', '.join(map(repr, unknown))} is none of them."
            )
        if missing := [name for name in NEEDED if name not in names]:
            raise Misconfigured(
                f"{self.path}: the first line must name the columns; {', '.join(missing)} is missing."
            )
        if len(set(names)) != len(names):
            raise Misconfigured(f"{self.path}: a column is named twice.")
        return names

    def lines(self, told: Told = lambda _: None) -> Iterator[Line]:
        """Yield every line that says something, in order.

        Parameters:
            told: is called with the number of bytes read, now and then.

        Raises:
            Misconfigured: the file changed since it was opened first.
        """
        read = self._csv_line if self.is_csv else self._json_line
        with self.path.open("rb") as file:
            for number, raw in enumerate(_raw_lines(file, told), start=1):
                if self.is_csv and number <= self._first:
                    continue
                # Spreadsheets leave lines of empty cells behind.
                if not raw.strip(b" \t\r\n," if self.is_csv else None):
                    continue
                yield self._line(number, raw.removeprefix(_BOM) if number == 1 else raw, read)
        stat = self.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != self._stamp:
            raise Misconfigured(f"{self.path} changed while it was read.")

    def _line(self, number: int, raw: bytes, read: Callable[[str], tuple[Record, Fault]]) -> Line:
        if len(raw) <= LONGEST_LINE:
            try:
                record, fault = read(raw.decode())
                if fault is not Fault.LINE_MALFORMED:
                    return Line(number, record, fault)
            # UnicodeDecodeError and JSONDecodeError are of the second kind.
            except (csv.Error, ValueError, RecursionError):
                pass
        return Line(number, {}, Fault.LINE_MALFORMED, raw.decode(errors="backslashreplace").rstrip("\r\n"))

    def _csv_line(self, text: str) -> tuple[Record, Fault]:
        # Most lines have no quotes, and then their commas are all there is to see.
        cells = next(csv.reader((text,), strict=True)) if '"' in text else text.split(",")
        if len(cells) != len(self.columns):
            return {}, Fault.LINE_MALFORMED
        return dict(zip(self.columns, map(str.strip, cells), strict=True)), Fault.NONE

    def _json_line(self, text: str) -> tuple[Record, Fault]:
        pairs = _decoder.decode(text.strip())
        if not isinstance(pairs, _Pairs):
            return {}, Fault.LINE_MALFORMED
        found: dict[str, Any] = dict(pairs)
        if len(found) != len(pairs):
            return found, Fault.KEY_REPEATED
        if not found.keys() <= _READ:
            return found, Fault.FIELD_UNKNOWN
        # A number or an object where a text is wanted is judged with its field: none of them takes it.
        return found, Fault.NONE


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, a field that stands twice included."""


_READ: Final = frozenset((*FIELDS, *ADDED))
_decoder: Final = json.JSONDecoder(object_pairs_hook=_Pairs)


def _first_line(file: IO[bytes]) -> tuple[int, bytes]:
    """Return the first line that is not empty, and its number."""
    number, line = 1, file.readline(LONGEST_LINE).removeprefix(_BOM)
    while line and not line.strip():
        number, line = number + 1, file.readline(LONGEST_LINE)
    return number, line


def _raw_lines(file: IO[bytes], told: Told) -> Iterator[bytes]:
    """Yield lines; of one that is too long only so much that this can be seen."""
    unsaid = 0
    while raw := file.readline(LONGEST_LINE + 1):
        length = len(raw)
        while length > LONGEST_LINE and not raw.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
            length += len(rest)
            if rest.endswith(b"\n"):
                break
        yield raw
        unsaid += length
        if unsaid > 1 << 20:
            told(unsaid)
            unsaid = 0
    told(unsaid)
