"""The rows that trust is read from and written to: places in the tree, scores, exact states, the mark.

Reading is by keyset, in large batches of plain columns, because a worker that starts reads everybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, update

from graph.trust import AlphaEpoch
from identity_service.db.store import Statement, Tx, binds, per_dialect
from identity_service.db.tables import campaigns, marks, members, phones, trust_states
from identity_service.ports import Instant

FOLLOWED: Final = "trust.followed"
"""The mark of the last event whose effect stands in the rows."""
EPOCH: Final = "trust.epoch"
"""When the last epoch was started: no two workers start one."""
_BATCH: Final = 20_000
_SCORE = ("trust_log_odds", "trust_conduct", "trust_standing", "trust_from_inviter")
_STATE = (
    "node_id",
    "flags",
    "report_branches",
    "vouch_branches",
    "own",
    "received",
    "message",
    "edge_weight",
)

_place = (
    select(
        members.c.id,
        members.c.inviter_id,
        members.c.campaign_id,
        members.c.joined_at,
        phones.c.kind.label("phone_kind"),
        *(members.c[name] for name in _SCORE),
    )
    .select_from(members)
    .outerjoin(phones, phones.c.id == members.c.phone_id)
)
_PLACES = Statement(
    _place.where(members.c.id > bindparam("after")).order_by(members.c.id).limit(bindparam("limit"))
)
_PLACE = Statement(_place.where(members.c.id == bindparam("id")))
_UNSCORED = Statement(
    _place.where(members.c.trust_log_odds.is_(None)).order_by(members.c.id).limit(bindparam("limit"))
)
_ANY_UNSCORED = Statement(select(members.c.id).where(members.c.trust_log_odds.is_(None)).limit(1))
_FIRST_JOINED = Statement(select(members.c.joined_at).order_by(members.c.id).limit(1))
_CAMPAIGNS = Statement(
    select(campaigns.c.id)
    .where(campaigns.c.id > bindparam("after"))
    .order_by(campaigns.c.id)
    .limit(bindparam("limit"))
)
_STATES = Statement(
    select(*(trust_states.c[name] for name in _STATE))
    .where(trust_states.c.node_id > bindparam("after"))
    .order_by(trust_states.c.node_id)
    .limit(bindparam("limit"))
)
_WRITE_SCORE = Statement(
    update(members)
    .where(members.c.id == bindparam("member"))
    .values({members.c[name]: bindparam(f"{name}_") for name in _SCORE})
)


def _upsert_state(insert: Any) -> Any:
    row = insert(trust_states).values(binds(_STATE))
    return row.on_conflict_do_update(
        index_elements=["node_id"], set_={name: row.excluded[name] for name in _STATE[1:]}
    )


def _upsert_mark(insert: Any) -> Any:
    row = insert(marks).values(binds(("name", "value", "text")))
    return row.on_conflict_do_update(
        index_elements=["name"], set_={"value": row.excluded.value, "text": row.excluded.text}
    )


def _start_epoch(insert: Any) -> Any:
    """Only where the last epoch is as old as the caller believes: of two that race, one starts it."""
    row = insert(marks).values(binds(("name", "value", "text")))
    return row.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": row.excluded.value, "text": row.excluded.text},
        where=marks.c.value <= bindparam("before", type_=BigInteger),
    )


_WRITE_STATE = per_dialect(_upsert_state)
_WRITE_MARK = per_dialect(_upsert_mark)
_TAKE_EPOCH = per_dialect(_start_epoch)
_MARK = Statement(select(marks.c.value, marks.c.text).where(marks.c.name == bindparam("name")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Up to where the rows tell the log, and by which rules.

    Attributes:
        seq: the number of the last row of the journal that was looked at.
        event_id: the last public event up to there.
        epoch, as_of: in force there; `as_of` is None before the first epoch.
        rules: a fingerprint of the policy's trust section.
    """

    seq: int
    event_id: str | None
    epoch: AlphaEpoch
    as_of: Instant | None
    rules: str

    def text(self) -> str:
        return json.dumps(
            {
                "event_id": self.event_id,
                "alpha": self.epoch.alpha,
                "version": self.epoch.version,
                "matured": self.epoch.matured,
                "as_of": self.as_of,
                "rules": self.rules,
            },
            sort_keys=True,
        )


def read_mark(tx: Tx) -> Mark | None:
    row = tx.one(_MARK, name=FOLLOWED)
    if row is None:
        return None
    told = json.loads(row.text)
    return Mark(
        seq=row.value,
        event_id=told["event_id"],
        epoch=AlphaEpoch(version=told["version"], alpha=told["alpha"], matured=told["matured"]),
        as_of=told["as_of"],
        rules=told["rules"],
    )


def write_mark(tx: Tx, mark: Mark) -> None:
    tx.run(_WRITE_MARK, name=FOLLOWED, value=mark.seq, text=mark.text())


def epoch_started_at(tx: Tx) -> Instant | None:
    """Return when the last epoch was started, whether or not it has been followed yet."""
    row = tx.one(_MARK, name=EPOCH)
    return None if row is None else int(row.value)


def take_epoch(tx: Tx, as_of: Instant, *, before: Instant) -> bool:
    """Start an epoch unless one was started after `before`; one statement decides between workers."""
    return bool(tx.run(_TAKE_EPOCH, name=EPOCH, value=as_of, text=None, before=before))


def first_joined(tx: Tx) -> Instant | None:
    """Return when the network began."""
    row = tx.one(_FIRST_JOINED)
    return None if row is None else int(row.joined_at)


def has_unscored(tx: Tx) -> bool:
    return tx.one(_ANY_UNSCORED) is not None


def unscored(tx: Tx, limit: int) -> list[Any]:
    """Return the places of members who have no score yet: those who joined, and those who were brought in."""
    return tx.all(_UNSCORED, limit=limit)


def place(tx: Tx, member_id: str) -> Any | None:
    return tx.one(_PLACE, id=member_id)


def places(tx: Tx) -> Iterator[list[tuple[Any, ...]]]:
    """Yield everybody's place and written score, in batches of plain rows."""
    return _batches(tx, _PLACES)


def campaign_ids(tx: Tx) -> list[str]:
    return [row[0] for batch in _batches(tx, _CAMPAIGNS) for row in batch]


def states(tx: Tx) -> Iterator[list[tuple[Any, ...]]]:
    """Yield every written state, in batches of plain rows."""
    return _batches(tx, _STATES)


def _batches(tx: Tx, statement: Statement) -> Iterator[list[tuple[Any, ...]]]:
    after = ""
    while rows := tx.rows(statement, after=after, limit=_BATCH):
        yield rows
        after = rows[-1][0]


def write_scores(tx: Tx, rows: Sequence[tuple[str, float, float, float, float]]) -> None:
    """Write members' scores (id, then the parts in the columns' order), in the order of their ids.

    In one order, so that two writers of many rows never wait for each other in a circle.
    """
    names = ("member", *(f"{name}_" for name in _SCORE))
    tx.run_many(_WRITE_SCORE, [dict(zip(names, row, strict=True)) for row in sorted(rows)])


def write_states(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write nodes' states, in the columns' order."""
    tx.run_many(_WRITE_STATE, [dict(zip(_STATE, row, strict=True)) for row in sorted(rows)])
