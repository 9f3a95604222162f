"""What the log of record says about trust: its evidence-bearing rows, in order, as typed events.

Time passes in the log alone: what depends on it (waiting, age, forgiveness, old edges) is judged as of the
last `trust.epoch_started`, so that the same log gives the same scores on any day (docs/adr/0008).  A row that
cannot be read is a `BrokenEvent`: whoever follows counts it and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, text

from graph.trust import AlphaEpoch, EvidenceKind
from identity_service.db.store import Statement, Tx
from identity_service.db.tables import EVIDENCE, journal, signals
from identity_service.ports import Instant, instant_of, rfc3339

EPOCH_STARTED: Final = "trust.epoch_started"
EPOCH_SUBJECT: Final = "trust"
_SPOKEN: Final = {"report": EvidenceKind.REPORT, "vouch": EvidenceKind.VOUCH}
_FLAGS: Final = {
    "staff_verified": EvidenceKind.STAFF_VERIFIED,
    "activated": EvidenceKind.ACTIVATED,
}
_after = bindparam("after", type_=BigInteger)
_HEAD = Statement(
    select(journal.c.seq, journal.c.id)
    .where(journal.c.seq.is_not(None))
    .order_by(journal.c.seq.desc())
    .limit(1)
)
_PUBLIC_HEAD = Statement(
    select(journal.c.id)
    .where(journal.c.event_seq.is_not(None), journal.c.seq <= bindparam("upto", type_=BigInteger))
    .order_by(journal.c.event_seq.desc())
    .limit(1)
)
_ANY = Statement(select(journal.c.seq).where(text(EVIDENCE), journal.c.seq > _after).limit(1))
_ROWS = Statement(
    select(journal.c.seq, journal.c.id, journal.c.type, journal.c.at, journal.c.data, journal.c.detail)
    .where(text(EVIDENCE), journal.c.seq > _after, journal.c.seq <= bindparam("upto", type_=BigInteger))
    .order_by(journal.c.seq)
    .limit(bindparam("limit"))
)
_SIGNAL = Statement(
    select(signals.c.reporter_id, signals.c.occurred_at).where(signals.c.id == bindparam("id"))
)


class BrokenEvent(ValueError):
    """A row of the log that says nothing that can be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Another member's word: a report or a vouch."""

    kind: EvidenceKind
    member_id: str
    source_id: str | None
    signal_id: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A thing that counts once a member and stays."""

    kind: EvidenceKind
    member_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imposed:
    """A sanction, and what it is evidence of; most are evidence of nothing."""

    sanction_id: str
    member_id: str
    kinds: tuple[EvidenceKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifted:
    sanction_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStarted:
    as_of: Instant
    epoch: AlphaEpoch


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeWeighed:
    """How much a member's edge to its inviter counts from now on (a new sponsor: the old one counts 0)."""

    member_id: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneChanged:
    """The member's row says what kind of phone it has now, if any."""

    member_id: str


TrustEvent = Spoken | Shown | Imposed | Lifted | EpochStarted | EdgeWeighed | PhoneChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One evidence-bearing row, as it stands; `read` understands it."""

    seq: int
    id: str
    type: str
    at: Instant
    data: str
    detail: str | None

    def read(self, adjudicated_reasons: tuple[str, ...]) -> TrustEvent | None:
        """Return what the row says, or None where it says nothing about trust.

        Raises:
            BrokenEvent: it cannot be understood.
        """
        try:
            return _read(self, json.loads(self.data), json.loads(self.detail or "{}"), adjudicated_reasons)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenEvent(f"{self.type} {self.id}: {type(error).__name__}") from error


def _read(
    row: LogRow, data: Mapping[str, Any], detail: Mapping[str, Any], adjudicated_reasons: tuple[str, ...]
) -> TrustEvent | None:
    match row.type:
        case "signal.received" if detail.get("counts") is False:
            return None  # its reporter had reported too many lately (services/signals.py)
        case "signal.received" if data["kind"] in _SPOKEN:
            source = detail.get("reporter_id")
            return Spoken(
                kind=_SPOKEN[data["kind"]],
                member_id=_text(data["member_id"]),
                source_id=None if source is None else _text(source),
                signal_id=_text(data["signal_id"]),
                at=int(detail.get("occurred_at", row.at)),
            )
        case "signal.received":
            kind = _FLAGS.get(data["kind"])
            return None if kind is None else Shown(kind=kind, member_id=_text(data["member_id"]))
        case "member.became_active":
            return Shown(kind=EvidenceKind.ACTIVITY, member_id=_text(data["member_id"]))
        case "sanction.imposed":
            return Imposed(
                sanction_id=_text(data["sanction_id"]),
                member_id=_text(data["member_id"]),
                kinds=_kinds_of(data, adjudicated_reasons),
            )
        case "sanction.lifted":
            return Lifted(sanction_id=_text(data["sanction_id"]))
        case "trust.epoch_started":
            epoch = AlphaEpoch(
                version=int(data["version"]), alpha=float(data["alpha"]), matured=int(data["matured"])
            )
            return EpochStarted(as_of=instant_of(datetime.fromisoformat(data["as_of"])), epoch=epoch)
        case "trust.edge_weighed":
            return EdgeWeighed(member_id=_text(data["member_id"]), weight=float(data["weight"]))
        case "member.erased" | "member.phone_changed":
            return PhoneChanged(member_id=_text(data["member_id"]))
        case _:
            return None


def _kinds_of(data: Mapping[str, Any], adjudicated_reasons: tuple[str, ...]) -> tuple[EvidenceKind, ...]:
    found = [EvidenceKind.BAN] if data["action"] == "ban" else []
    if data["reason_code"] in adjudicated_reasons:
        found.append(EvidenceKind.SOLD_INVITES)
    return tuple(found)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("an id is text")
    return value


def told_epoch(as_of: Instant, epoch: AlphaEpoch) -> dict[str, Any]:
    """Return what `trust.epoch_started` says; `LogRow.read` is its reverse."""
    return {
        "as_of": rfc3339(as_of),
        "alpha": epoch.alpha,
        "version": epoch.version,
        "matured": epoch.matured,
    }


def head(tx: Tx) -> int:
    """Return the number of the last row that has one; 0 where there is none."""
    row = tx.one(_HEAD)
    return 0 if row is None else int(row.seq)


def public_head(tx: Tx, upto: int) -> str | None:
    """Return the id of the last public event up to a number."""
    row = tx.one(_PUBLIC_HEAD, upto=upto)
    return None if row is None else str(row.id)


def has_more(tx: Tx, after: int) -> bool:
    """Whether evidence stands in the log behind a number."""
    return tx.one(_ANY, after=after) is not None


def read_rows(tx: Tx, *, after: int, upto: int, limit: int) -> list[LogRow]:
    """Return evidence-bearing rows in the order of the log."""
    return [
        LogRow(
            seq=row.seq,
            id=row.id,
            type=row.type,
            at=row.at,
            data=row.data,
            detail=_detail(tx, row),
        )
        for row in tx.all(_ROWS, after=after, upto=upto, limit=limit)
    ]


def _detail(tx: Tx, row: Any) -> str | None:
    """Signals of the first release did not tell the audit who spoke: those are asked of their own table."""
    if row.detail is not None or row.type != "signal.received":
        return None if row.detail is None else str(row.detail)
    try:
        signal = tx.one(_SIGNAL, id=str(json.loads(row.data)["signal_id"]))
    except (ValueError, KeyError, TypeError):
        return None
    if signal is None:
        return None
    return json.dumps({"reporter_id": signal.reporter_id, "occurred_at": signal.occurred_at})
