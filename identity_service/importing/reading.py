"""From lines to a sheet: every field judged by itself, ten thousand lines at a time."""

from __future__ import annotations

import re
from collections import deque
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.ids import MAX_TEXT_BYTES, IdIndex
from identity_service.errors import Unavailable
from identity_service.importing.faults import Fault
from identity_service.importing.phones import Columns, PhoneReaders
from identity_service.importing.records import Line, Record, Records, Told
from identity_service.importing.sheet import COLUMNS, NEVER, NOBODY, STATES, Sheet
from identity_service.ports import MINUTE, Instant, instant_of
from sms.numbers import NumberPolicy

_BLOCK: Final = 10_000
_WAITING_BLOCKS: Final = 8  # with their phones still being read
_LONGEST_ID: Final = 255
_CLOCK_SKEW: Final = 5 * MINUTE
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII
)
_CAMPAIGN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_UNTOLD: Final = (None, "")
_STATE_AT: Final = {name: at for at, name in enumerate(STATES)}
_LAST_YEAR: Final = 9000


class _Wrong(ValueError):
    """A field that cannot be read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


@dataclass(slots=True)
class _Block:
    """Some lines, as lists."""

    ids: list[str | None] = field(default_factory=list)
    inviters: list[str | None] = field(default_factory=list)
    phones: list[str | None] = field(default_factory=list)
    rest: list[tuple[int, Instant, Instant, int, int, int]] = field(default_factory=list)
    """Line, joined, seen, state, campaign, fault."""


def read_sheet(records: Records, *, now: Instant, policy: NumberPolicy, told: Told = lambda _: None) -> Sheet:
    """Read a whole file.

    Parameters:
        told: is called with the number of bytes read, now and then.

    Raises:
        Misconfigured: the file changed while it was read.
    """
    reader = _Reader(now, policy)
    try:
        for line in records.lines(told):
            reader.take(line)
        return reader.sheet()
    finally:
        reader.close()


class _Reader:
    def __init__(self, now: Instant, policy: NumberPolicy) -> None:
        self._latest = now + _CLOCK_SKEW
        self._names, self._campaigns = IdIndex(), dict[str, int]()
        self._phones = PhoneReaders(policy)
        self._block = _Block()
        self._waiting: deque[tuple[Columns, Future[Columns]]] = deque()
        self._done: list[Columns] = []

    def close(self) -> None:
        self._phones.close()

    def take(self, line: Line) -> None:
        block, record, fault = self._block, line.record, line.fault
        external_id = inviter = phone = None
        joined = seen = NEVER
        state, campaign = 0, NOBODY
        if fault is Fault.NONE:
            try:
                external_id = _external_id(record.get("external_id"), Fault.EXTERNAL_ID_INVALID)
                if (inviter_told := record.get("inviter_external_id")) not in _UNTOLD:
                    inviter = _external_id(inviter_told, Fault.INVITER_INVALID)
                joined, seen = self._times(record)
                state = _state(record.get("state"))
                campaign = self._campaign(record.get("campaign"), inviter)
                phone = _phone(record.get("phone"), state)
            except _Wrong as wrong:
                fault = wrong.fault
        block.ids.append(external_id)
        block.inviters.append(inviter)
        block.phones.append(phone)
        block.rest.append((line.number, joined, seen, state, campaign, fault))
        if len(block.ids) >= _BLOCK:
            self._finish_block()

    def _times(self, record: Record) -> tuple[Instant, Instant]:
        joined = _instant(record.get("joined_at"), Fault.JOINED_AT_INVALID)
        if joined > self._latest:
            raise _Wrong(Fault.JOINED_IN_FUTURE)
        told = record.get("last_seen_at")
        if told in _UNTOLD:
            return joined, NEVER
        seen = _instant(told, Fault.LAST_SEEN_INVALID)
        if not joined <= seen <= self._latest:
            raise _Wrong(Fault.LAST_SEEN_INVALID)
        return joined, seen

    def _campaign(self, name: object, inviter: str | None) -> int:
        if name in _UNTOLD:
            return NOBODY
        if not isinstance(name, str) or not _CAMPAIGN.fullmatch(name):
            raise _Wrong(Fault.CAMPAIGN_INVALID)
        if inviter is not None:
            raise _Wrong(Fault.TWO_ORIGINS)
        return self._campaigns.setdefault(name, len(self._campaigns))

    def _finish_block(self) -> None:
        block, self._block = self._block, _Block()
        columns: Columns = {"key": self._keys(block.ids), "inviter": self._keys(block.inviters)}
        rest = zip(*block.rest, strict=True) if block.rest else [()] * 6
        for name, values in zip(("line", "joined", "seen", "state", "campaign", "fault"), rest, strict=True):
            columns[name] = np.array(values, dtype=COLUMNS[name])
        self._waiting.append((columns, self._phones.submit(block.phones)))
        while len(self._waiting) > _WAITING_BLOCKS:
            self._collect()

    def _keys(self, names: list[str | None]) -> NDArray[np.int32]:
        """Return the keys of external ids, NOBODY for None."""
        keys = np.full(len(names), NOBODY, dtype=np.int32)
        told = [name for name in names if name is not None]
        keys[[name is not None for name in names]] = self._names.extend(told)
        return keys

    def _collect(self) -> None:
        columns, phones = self._waiting.popleft()
        try:
            read = phones.result()
        except BrokenProcessPool:
            raise Unavailable("a process that read phones was ended from outside; try again") from None
        wrong = read.pop("fault")
        columns["fault"] = np.where(columns["fault"] == Fault.NONE, wrong, columns["fault"])
        self._done.append(columns | read)

    def sheet(self) -> Sheet:
        if self._block.ids or not self._done:
            self._finish_block()
        while self._waiting:
            self._collect()
        rows: dict[str, NDArray[Any]] = {}
        for name, kind in COLUMNS.items():
            # Each block's column is let go as it is copied: never two whole sheets at once.
            rows[name] = np.concatenate([done.pop(name) for done in self._done]).astype(kind, copy=False)
        return Sheet(names=self._names, campaigns=list(self._campaigns), rows=rows)


def _external_id(text: object, fault: Fault) -> str:
    if not isinstance(text, str) or not text.isprintable() or not 1 <= len(text) <= _LONGEST_ID:
        raise _Wrong(fault)
    # Half of a surrogate pair, as JSON may write it, is not printable.
    if len(text) * 4 > MAX_TEXT_BYTES and len(text.encode()) > MAX_TEXT_BYTES:
        raise _Wrong(fault)
    return text


def _instant(text: object, fault: Fault) -> Instant:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise _Wrong(fault)
    try:
        moment = datetime.fromisoformat(
            f"{text}T00:00:00Z" if len(text) == len("2026-11-22") else text.upper()
        )
    except ValueError:
        raise _Wrong(fault) from None
    if moment.year > _LAST_YEAR:
        raise _Wrong(fault)
    at = instant_of(moment)
    if at < 0:
        raise _Wrong(fault)
    return at


def _state(text: object) -> int:
    if text in _UNTOLD:
        return 0
    at = _STATE_AT.get(text) if isinstance(text, str) else None
    if at is None:
        raise _Wrong(Fault.STATE_UNKNOWN)
    return at


def _phone(text: object, state: int) -> str | None:
    if text in _UNTOLD:
        return None
    if not isinstance(text, str):
        raise _Wrong(Fault.PHONE_MALFORMED)
    if STATES[state] == "erased":
        raise _Wrong(Fault.PHONE_OF_ERASED)
    return text
