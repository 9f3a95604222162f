"""What was read, kept in a file for the next process: columns of ids, instants and small numbers.

Owns the file: written whole or not at all, and never believed blindly.  A file of another format or another
length, or with a row that points outside its table, is as good as none; whether the store is still the one
that was read, `report_columns.goes_on` asks it.  The file holds no phone, no code and no key, only its owner
may read it, and nothing in it is run when it is loaded.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from graph.growth.facts import ENTRY_KINDS, Facts
from identity_service.services.report_columns import NOTHING, Snapshot
from identity_service.services.row_places import Places

log = structlog.get_logger("reports")
FORMAT: Final = 1
"""To be raised when a column comes to mean something else: files of before are then read by nobody."""
LEAST: Final = 200_000
"""So many rows are read in a second or two, and not kept."""
GROWN: Final = 0.05
"""The file is written anew when so large a part of what is known is not in it."""
_ALIGNED: Final = 64
_MAGIC: Final = b"identity columns\n"
_HEAD: Final = len(_MAGIC) + 8
_ABANDONED: Final = 3600
"""Seconds after which a file that was never finished belongs to nobody."""

_PARTS: Final = ("members", "invites", "bans", "entries", "checks", "costs", "activity")
_NAMES: Final = ("countries", "campaigns", "batches")
_POINTS_INTO: Final = {
    "members.inviter": "members",
    "members.invite": "invites",
    "members.campaign": "campaigns",
    "members.country": "countries",
    "invites.issuer": "members",
    "invites.campaign": "campaigns",
    "bans.member": "members",
    "entries.member": "members",
    "entries.invite": "invites",
    "entries.batch": "batches",
    "entries.kind": "kinds",
    "checks.country": "countries",
    "costs.country": "countries",
    "activity.member": "members",
    "member_places.rows": "members",
    "invite_places.rows": "invites",
}
_IN_ORDER: Final = ("members.joined", "invites.issued", "member_places.begins", "invite_places.begins")
_PLACES: Final = ("mixes", "rows", "begins")

Columns = dict[str, NDArray[Any]]


class _Unusable(Exception):
    """The file is not what this process would have written."""


class KeptColumns:
    """The file of one store.

    Parameters:
        path: where it lies; None: nothing is kept.
        least: fewer rows are not kept.
    """

    def __init__(self, path: Path | None, *, least: int = LEAST) -> None:
        self._path, self._least = path, least
        self._rows = 0

    def load(self) -> Snapshot:
        """Return what was kept; `NOTHING` where nothing is, or nothing that can be used."""
        if self._path is None:
            return NOTHING
        try:
            snapshot = _read(self._path)
        except FileNotFoundError:
            return NOTHING
        except (_Unusable, OSError, ValueError, KeyError, TypeError) as error:
            log.info("kept_columns_not_used", reason=str(error) or type(error).__name__)
            return NOTHING
        self._rows = _size(snapshot)
        return snapshot

    def keep(self, snapshot: Snapshot) -> None:
        """Write a snapshot, if enough of it is new.  Where it cannot be written, it is not kept."""
        size = _size(snapshot)
        if self._path is None or size < self._least or abs(size - self._rows) < GROWN * size:
            return
        try:
            _write(self._path, snapshot)
        except OSError as error:
            log.info("columns_not_kept", reason=error.strerror)
        # Also after a failure: a full disk is not tried again at every reading.
        self._rows = size

    def forget(self) -> None:
        """Take what was kept for nothing: the store is not the one that it was read from."""
        self._rows = 0


def _size(snapshot: Snapshot) -> int:
    return sum(len(getattr(snapshot.facts, part)) for part in _PARTS)


# -- columns -----------------------------------------------------------------------------------------------


def _columns(snapshot: Snapshot) -> Columns:
    """Return all columns by name, in the order in which they stand in the file."""
    found: Columns = {}
    for part in _PARTS:
        table = getattr(snapshot.facts, part)
        found |= {f"{part}.{column.name}": getattr(table, column.name) for column in fields(table)}
    for name, places in (("member", snapshot.members), ("invite", snapshot.invites)):
        index = places.whole().index
        found[f"{name}_ids"] = places.ids
        found |= {f"{name}_places.{part}": column for part, column in zip(_PLACES, index, strict=True)}
    return found


_SHAPE: Final = {name: column.dtype.str for name, column in _columns(NOTHING).items()}


def _snapshot(told: Mapping[str, Any], columns: Columns) -> Snapshot:
    parts: dict[str, Any] = {}
    for part in _PARTS:
        empty = getattr(NOTHING.facts, part)
        parts[part] = replace(
            empty, **{column.name: columns[f"{part}.{column.name}"] for column in fields(empty)}
        )
    places = {
        name: Places(columns[f"{name}_ids"], tuple(columns[f"{name}_places.{part}"] for part in _PLACES))
        for name in ("member", "invite")
    }
    parts |= {name: tuple(map(str, told[name])) for name in _NAMES}
    return Snapshot(
        facts=Facts(as_of=int(told["as_of"]), **parts),
        members=places["member"],
        invites=places["invite"],
        campaign_ids=tuple(map(str, told["campaign_ids"])),
        settled={str(name): int(count) for name, count in told["settled"].items()},
        newest={str(name): str(one) for name, one in told["newest"].items()},
        moved=None if told["moved"] is None else (str(told["moved"][0]), int(told["moved"][1])),
    )


def _check(snapshot: Snapshot) -> None:
    """Refuse columns that do not fit one another: no report may fail over them, or count what is not."""
    facts, columns = snapshot.facts, _columns(snapshot)
    ends = {name: len(getattr(facts, name)) for name in ("members", "invites", *_NAMES)}
    ends["kinds"] = len(ENTRY_KINDS)
    for part in _PARTS:
        table = getattr(facts, part)
        if len({len(getattr(table, column.name)) for column in fields(table)}) != 1:
            raise _Unusable(f"columns of {part} of different lengths")
    for name, places in (("members", snapshot.members), ("invites", snapshot.invites)):
        mixes, rows, begins = places.index
        buckets = len(begins) - 1
        if not len(places) == len(mixes) == len(rows) == ends[name] or buckets & (buckets - 1) or buckets < 2:
            raise _Unusable(f"places of {name} that do not fit")
        if begins[0] != 0 or begins[-1] != len(rows):
            raise _Unusable(f"places of {name} that lead outside")
    for name, target in _POINTS_INTO.items():
        column = columns[name]
        if len(column) and not -1 <= int(column.min()) <= int(column.max()) < ends[target]:
            raise _Unusable(f"{name} points outside")
    for name in _IN_ORDER:
        if (columns[name][1:] < columns[name][:-1]).any():
            raise _Unusable(f"{name} is not in order")
    if len(facts.campaigns) != len(snapshot.campaign_ids):
        raise _Unusable("campaigns without a name")
    if any(not 0 <= count <= len(getattr(facts, name)) for name, count in snapshot.settled.items()):
        raise _Unusable("more is settled than there is")


# -- the file: what it is, a description in JSON, then the columns as they lie in memory ---------------------


def _layout(lengths: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Return where each column begins behind the head, and where the last one ends."""
    begins, at = {}, 0
    for name, length in lengths.items():
        begins[name] = at
        at += -(-length * np.dtype(_SHAPE[name]).itemsize // _ALIGNED) * _ALIGNED
    return begins, at


def _read(path: Path) -> Snapshot:
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        if not head.startswith(_MAGIC) or len(head) < _HEAD:
            raise _Unusable("it is no file of ours")
        described = int.from_bytes(head[len(_MAGIC) :])
        told = json.loads(file.read(min(described, whole)))
        if told["format"] != FORMAT or told["shape"] != _SHAPE:
            raise _Unusable("another format")
        begins, length = _layout(told["lengths"])
        start = _start(described)
        if whole != start + length:
            raise _Unusable("another length")
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    columns = {
        name: np.frombuffer(memory, dtype=_SHAPE[name], count=count, offset=start + begins[name])
        for name, count in told["lengths"].items()
    }
    snapshot = _snapshot(told, columns)
    _check(snapshot)
    return snapshot


def _start(described: int) -> int:
    return -(-(_HEAD + described) // _ALIGNED) * _ALIGNED


def _write(path: Path, snapshot: Snapshot) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(path)
    with _beside(path) as file:
        _fill(file, snapshot)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of the old one when all is in it; two writers have two files."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _fill(file: BinaryIO, snapshot: Snapshot) -> None:
    columns = _columns(snapshot)
    lengths = {name: len(column) for name, column in columns.items()}
    facts = snapshot.facts
    told = {
        "format": FORMAT,
        "shape": _SHAPE,
        "lengths": lengths,
        "as_of": facts.as_of,
        **{name: getattr(facts, name) for name in _NAMES},
        "campaign_ids": snapshot.campaign_ids,
        "settled": snapshot.settled,
        "newest": snapshot.newest,
        "moved": snapshot.moved,
    }
    described = json.dumps(told).encode()
    begins, length = _layout(lengths)
    start = _start(len(described))
    file.write(_MAGIC + len(described).to_bytes(8) + described)
    for name, column in columns.items():
        file.seek(start + begins[name])
        file.write(np.ascontiguousarray(column).data)
    file.truncate(start + length)


def _sweep(path: Path) -> None:
    """Remove what processes that were ended have left unfinished."""
    for left in path.parent.glob(f"{path.name}.*.new"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
