"""The rows of an import as columns: NumPy arrays, and no Python object a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.ids import IdIndex
from identity_service.importing.faults import MEANING, Fault
from sms.numbers import E164, NO_COUNTRY, Number, NumberKind

STATES: Final = ("active", "suspended", "banned", "erased")
NOBODY: Final = -1
NEVER: Final = -1
"""Where no time is told."""
KINDS: Final = tuple(NumberKind)
_SHOWN_OF_CYCLE: Final = 8

COLUMNS: Final[dict[str, Any]] = {
    "line": np.uint32,
    "key": np.int32,  # of the external id, in `names`; NOBODY where it is none
    "inviter": np.int32,  # a key, or NOBODY
    "joined": np.int64,
    "seen": np.int64,
    "phone": np.uint64,  # E.164's digits, 0 for none
    "country": np.uint16,  # two letters
    "kind": np.uint8,
    "state": np.uint8,
    "campaign": np.int32,  # in `campaigns`, or NOBODY
    "fault": np.uint8,
}


@dataclass(kw_only=True)
class Sheet:
    """The rows of one file, by their place in it.

    Attributes:
        names: every external id that the file names, and its key.
        campaigns: the names of campaigns.
        rows: the columns by name, each of shape (n,).
        other: the row that a fault points at, or the next of a cycle.
        here: whether the row's member is there already.
    """

    names: IdIndex
    campaigns: list[str]
    rows: dict[str, NDArray[Any]]
    other: NDArray[np.int32] = field(init=False)
    here: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.other = np.full(len(self), NOBODY, dtype=np.int32)
        self.here = np.zeros(len(self), dtype=bool)

    def __len__(self) -> int:
        return len(self.rows["line"])

    def good(self) -> NDArray[np.bool_]:
        return np.asarray(self.rows["fault"] == Fault.NONE)

    def refuse(self, rows: NDArray[Any], fault: Fault, other: NDArray[Any] | None = None) -> None:
        """Note a fault at some rows; a fault that a row has already stays."""
        fresh = self.rows["fault"][rows] == Fault.NONE
        self.rows["fault"][rows[fresh]] = fault
        if other is not None:
            self.other[rows[fresh]] = other[fresh]

    def name(self, key: int) -> str | None:
        return None if key == NOBODY else str(self.names.name(key))

    def number(self, row: int) -> Number | None:
        digits = int(self.rows["phone"][row])
        if not digits:
            return None
        letters = int(self.rows["country"][row])
        country = chr(letters >> 8) + chr(letters & 255) if letters else NO_COUNTRY
        return Number(e164=E164(f"+{digits}"), country=country, kind=KINDS[int(self.rows["kind"][row])])

    def faulty(self, *, consequences: bool) -> Iterator[int]:
        """Yield the refused rows in the file's order.

        Parameters:
            consequences: also those that are refused only because their inviter is.
        """
        fault = self.rows["fault"]
        wanted = (
            fault != Fault.NONE if consequences else (fault != Fault.NONE) & (fault != Fault.INVITER_REFUSED)
        )
        yield from np.flatnonzero(wanted).tolist()

    def detail(self, row: int) -> str:
        """Say what is wrong with a row."""
        fault, other = Fault(int(self.rows["fault"][row])), int(self.other[row])
        if fault is Fault.CYCLE:
            return f"{MEANING[fault]} {self._cycle(row)}"
        if fault is Fault.INVITER_REFUSED and other == NOBODY:
            return "The inviter is not imported."
        return MEANING[fault].format(line="?" if other == NOBODY else self.rows["line"][other])

    def _cycle(self, row: int) -> str:
        path: list[str] = []
        here = row
        while len(path) < _SHOWN_OF_CYCLE:
            path.append(f"{self.name(int(self.rows['key'][here]))} (line {self.rows['line'][here]})")
            here = int(self.other[here])
            if here == row:
                return " <- ".join([*path, path[0]])
        return " <- ".join([*path, "…"])
