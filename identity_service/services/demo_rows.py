"""A large demo: a synthetic network written into the store, whole or not at all.

It keeps every rule that the service keeps: ledgers add up, uses are members, ended invites are told of.
Its phones have no number, so that nothing can ever be sent to one, and its codes are random hashes, so that
none can be redeemed.  The members are told of in one journal row a batch, as an import tells of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.growth.facts import DAY, ENTRY_KINDS, GRANT, NEVER, REFUND, SPEND, Facts
from graph.growth.synthetic import synthetic
from identity_service.db.store import Store, Tx
from identity_service.db.tables import (
    activity,
    campaigns,
    clients,
    invites,
    journal,
    members,
    messages,
    phones,
    quota_entries,
    quota_lots,
    sanctions,
    signals,
    verifications,
)
from identity_service.errors import Actor, Refused
from identity_service.ports import HOUR, ID_ALPHABET, ID_CHANCE, ID_TIME, MINUTE, Instant
from identity_service.services.progress import BLOCK_DAYS, FIRST_MONDAY
from identity_service.services.report_columns import count_members

CHUNK: Final = 20_000
MOST: Final = 10_000_000
_FILLED: Final = (
    campaigns, clients, phones, members, invites, quota_lots, quota_entries,
    activity, sanctions, signals, messages, verifications, journal,
)  # fmt: skip
_ACTOR: Final = "demo"
_LOCALES: Final = {"RU": "ru", "KZ": "ru"}
Moved = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What was made."""

    members: int
    invites: int
    rows: int


def generate(
    store: Store, actor: Actor, *, count: int, seed: int, until: Instant, level: str, moved: Moved
) -> Generated:
    """Write a network of so many members that ends at `until`.

    Raises:
        Refused: `demo_members_there`: it is no addition to a network that lives.
    """
    made = synthetic(count, seed, until)
    with store.filling(actor, _FILLED) as tx:
        if count_members(tx, 1):
            raise Refused("demo_members_there", "This store has members; a demo is for an empty one.")
        rows = _Writer(tx, np.random.default_rng((seed, 1)), level, moved).write(made)
    store.refresh_statistics()
    return Generated(members=count, invites=len(made.facts.invites), rows=rows)


class _Writer:
    def __init__(self, tx: Tx, rng: np.random.Generator, level: str, moved: Moved) -> None:
        self._tx, self._rng, self._level, self._moved = tx, rng, level, moved
        self._rows = 0

    def write(self, made: Any) -> int:
        facts: Facts = made.facts
        people, sent = facts.members, facts.invites
        self._member = self._ids("mem", people.joined)
        self._invite = self._ids("inv", sent.issued)
        self._campaign = self._ids("cmp", np.full(len(facts.campaigns), sent.issued.min(initial=facts.as_of)))
        self._client = self._ids("cli", np.array([sent.issued.min(initial=facts.as_of)]))
        self._joined_by = np.full(len(sent), -1, dtype=np.int64)
        used = np.flatnonzero((people.invite >= 0) & (people.inviter >= 0))
        self._joined_by[people.invite[used]] = used
        at = int(sent.issued.min(initial=facts.as_of))
        self._fill(clients, {"id": self._client, "name": [_ACTOR], "created_at": [at]})
        self._fill(
            campaigns,
            {"id": self._campaign, "name": list(facts.campaigns), "created_at": [at] * len(self._campaign)},
        )
        self._phones(facts)
        self._members(facts)
        self._invites(facts)
        self._quota(facts, made.lots)
        self._active(facts)
        self._troubles(facts, made.reports)
        self._recent(facts)
        return self._rows

    # -- tables --------------------------------------------------------------------------------------------

    def _phones(self, facts: Facts) -> None:
        """A phone for each member, and one for each invite by SMS that nobody took."""
        people, sent = facts.members, facts.invites
        self._phone = self._ids("phn", people.joined)
        strangers = np.flatnonzero(sent.by_sms & (self._joined_by < 0))
        self._invited_phone = dict(
            zip(strangers.tolist(), self._ids("phn", sent.issued[strangers]), strict=True)
        )
        country = np.concatenate([people.country, people.country[sent.issuer[strangers]]])
        names = np.array(facts.countries)[country]
        seen = np.concatenate([people.joined, sent.issued[strangers]])
        ids = self._phone + list(self._invited_phone.values())
        for rows in _chunks(len(ids)):
            size = rows.stop - rows.start
            self._fill(
                phones,
                {
                    "id": ids[rows],
                    "country": names[rows].tolist(),
                    "kind": ["mobile"] * size,
                    "masked": ["*******"] * size,
                    "first_seen_at": seen[rows].tolist(),
                },
            )

    def _members(self, facts: Facts) -> None:
        people, entries = facts.members, facts.entries
        size = len(people)

        def sums(kind: int) -> NDArray[np.int64]:
            here = entries.kind == kind
            moved = np.abs(entries.amount[here])
            return np.bincount(entries.member[here], weights=moved, minlength=size).astype(np.int64)

        granted, spent, refunded = sums(GRANT), sums(SPEND), sums(REFUND)
        seen = self._last_seen(facts)
        state = np.where(facts.banned, "banned", np.where(facts.away, "suspended", "active"))
        names = np.array(facts.countries)[people.country]
        depth = facts.forest.depths
        for rows in _chunks(size):
            self._fill(
                members,
                {
                    "id": self._member[rows],
                    "state": state[rows].tolist(),
                    "inviter_id": _named(self._member, people.inviter[rows]),
                    "invite_id": _named(self._invite, people.invite[rows]),
                    "campaign_id": _named(self._campaign, people.campaign[rows]),
                    "generation": depth[rows].tolist(),
                    "phone_id": self._phone[rows],
                    "phone_verified_at": people.joined[rows].tolist(),
                    "joined_at": people.joined[rows].tolist(),
                    "last_seen_at": seen[rows].tolist(),
                    "activated_at": _told(people.activated[rows]),
                    "country": names[rows].tolist(),
                    "locale": [_LOCALES.get(name, "en") for name in names[rows].tolist()],
                    "level": [self._level] * (rows.stop - rows.start),
                    "quota_available": (granted - spent + refunded)[rows].tolist(),
                    "quota_granted": granted[rows].tolist(),
                    "quota_spent": spent[rows].tolist(),
                    "quota_refunded": refunded[rows].tolist(),
                },
            )
            self._moved(rows.stop - rows.start)
            self._tell_batch(facts.as_of, rows)

    def _tell_batch(self, at: Instant, rows: slice) -> None:
        # The first and the last id come last, in this order: so an import tells its batches.
        data = {
            "count": rows.stop - rows.start,
            "first_id": self._member[rows.start],
            "last_id": self._member[rows.stop - 1],
        }
        self._tell(np.array([at]), ["members.imported"], [self._member[rows.start]], [data])

    def _last_seen(self, facts: Facts) -> NDArray[np.int64]:
        seen = facts.members.joined.copy()
        found = facts.activity
        # The noon of the last day of each row; a later row is later.
        last = np.floor(np.log2(np.maximum(found.days, 1))).astype(np.int64)
        day = found.block.astype(np.int64) * BLOCK_DAYS + last - FIRST_MONDAY
        np.maximum.at(seen, found.member, np.minimum(day * DAY + DAY // 2, facts.as_of))
        return seen

    def _invites(self, facts: Facts) -> None:
        sent = facts.invites
        uses = np.bincount(facts.members.invite[facts.members.invite >= 0], minlength=len(sent))
        full = uses >= sent.uses
        expired = ~full & (sent.revoked == NEVER) & (sent.expires <= facts.as_of)
        state = np.where(full, "redeemed", np.where(expired, "expired", "open"))
        state = np.where(~full & (sent.revoked != NEVER), "revoked", state)
        taken = facts.members.joined[np.maximum(self._joined_by, 0)]
        ended = np.where(full, taken, np.where(expired, sent.expires, sent.revoked))
        steps = (sent.sent, sent.delivered, sent.opened, sent.requested, sent.verified)
        moved = np.max(
            [np.where(step == NEVER, 0, step) for step in (*steps, np.where(full, NEVER, ended))], axis=0
        )
        reason = {"expired": "its time was over", "revoked": "demo"}
        for rows in _chunks(len(sent)):
            size = rows.stop - rows.start
            self._fill(
                invites,
                {
                    "id": self._invite[rows],
                    "issuer_id": _named(self._member, sent.issuer[rows]),
                    "campaign_id": _named(self._campaign, sent.campaign[rows]),
                    "channel": np.where(sent.by_sms[rows], "sms", "link").tolist(),
                    "phone_id": [
                        self._invitee_phone(row) if by_sms else None
                        for row, by_sms in enumerate(sent.by_sms[rows].tolist(), start=rows.start)
                    ],
                    "code_hash": self._hashes(size),
                    "state": state[rows].tolist(),
                    "max_uses": sent.uses[rows].tolist(),
                    "uses": uses[rows].tolist(),
                    "starts": (sent.requested[rows] != NEVER).astype(int).tolist(),
                    "created_at": sent.issued[rows].tolist(),
                    "expires_at": sent.expires[rows].tolist(),
                    "ended_at": _told(ended[rows]),
                    "end_reason": [reason.get(one) for one in state[rows].tolist()],
                    "opened_at": _told(sent.opened[rows]),
                    "last_sent_at": _told(sent.sent[rows]),
                    "sent_at": _told(sent.sent[rows]),
                    "delivered_at": _told(sent.delivered[rows]),
                    "requested_at": _told(sent.requested[rows]),
                    "verified_at": _told(sent.verified[rows]),
                    "moved_at": [at or None for at in moved[rows].tolist()],
                },
            )
            self._moved(size)
        over = np.flatnonzero((state == "expired") | (state == "revoked"))
        for rows in _chunks(len(over)):
            here = over[rows]
            ids = [self._invite[row] for row in here.tolist()]
            kinds = [f"invite.{one}" for one in state[here].tolist()]
            self._tell(ended[here], kinds, ids, [{"invite_id": one} for one in ids])

    def _invitee_phone(self, row: int) -> str:
        """Return the phone that an invite by SMS went to."""
        joined = int(self._joined_by[row])
        return self._invited_phone[row] if joined < 0 else self._phone[joined]

    def _quota(self, facts: Facts, lot_of: NDArray[np.int64]) -> None:
        entries = facts.entries
        made = np.flatnonzero(entries.kind == GRANT)
        place = np.full(len(entries), -1, dtype=np.int64)
        place[made] = np.arange(len(made))
        lots = self._ids("lot", entries.at[made])
        left = np.bincount(place[lot_of], weights=entries.amount, minlength=len(made)).astype(np.int64)
        for rows in _chunks(len(made)):
            self._fill(
                quota_lots,
                {
                    "id": lots[rows],
                    "member_id": _named(self._member, entries.member[made[rows]]),
                    "remaining": left[rows].tolist(),
                    "batch_id": [facts.batches[one] for one in entries.batch[made[rows]].tolist()],
                },
            )
        ids = self._ids("qle", entries.at)
        reasons = {GRANT: "demo", SPEND: "invite issued", REFUND: "invite ended"}
        for rows in _chunks(len(entries)):
            kinds = entries.kind[rows].tolist()
            batches = entries.batch[rows].tolist()
            self._fill(
                quota_entries,
                {
                    "id": ids[rows],
                    "member_id": _named(self._member, entries.member[rows]),
                    "lot_id": _named(lots, place[lot_of[rows]]),
                    "kind": [ENTRY_KINDS[kind] for kind in kinds],
                    "amount": entries.amount[rows].tolist(),
                    "invite_id": _named(self._invite, entries.invite[rows]),
                    "batch_id": [
                        facts.batches[batch] if kind == GRANT else None
                        for kind, batch in zip(kinds, batches, strict=True)
                    ],
                    "actor": [_ACTOR] * len(kinds),
                    "reason": [reasons[kind] for kind in kinds],
                    "created_at": entries.at[rows].tolist(),
                },
            )
            self._moved(len(kinds))

    def _active(self, facts: Facts) -> None:
        found = facts.activity
        for rows in _chunks(len(found)):
            self._fill(
                activity,
                {
                    "block": found.block[rows].tolist(),
                    "member_id": _named(self._member, found.member[rows]),
                    "days": found.days[rows].tolist(),
                },
            )

    def _troubles(self, facts: Facts, reports: Any) -> None:
        bans = facts.bans
        ids = self._ids("san", bans.imposed)
        who = _named(self._member, bans.member)
        actions = np.where(bans.is_ban, "ban", "suspend").tolist()
        size = len(ids)
        lifted = np.where(bans.expires <= facts.as_of, bans.expires, NEVER)
        self._fill(
            sanctions,
            {
                "id": ids,
                "member_id": who,
                "action": actions,
                "scope": ["member"] * size,
                "reason_code": ["demo"] * size,
                "explanation": ["Made for the demo."] * size,
                "actor": [_ACTOR] * size,
                "created_at": bans.imposed.tolist(),
                "expires_at": _told(bans.expires),
                "lifted_at": _told(lifted),
            },
        )
        told = [
            {"sanction_id": one, "member_id": member, "action": action, "reason_code": "demo"}
            for one, member, action in zip(ids, who, actions, strict=True)
        ]
        self._tell(bans.imposed, ["sanction.imposed"] * size, ids, told)
        target, source, at = reports
        heard = self._ids("sig", at)
        self._fill(
            signals,
            {
                "id": heard,
                "member_id": _named(self._member, target),
                "kind": ["report"] * len(heard),
                "reporter_id": _named(self._member, source),
                "occurred_at": at.tolist(),
                "created_at": at.tolist(),
            },
        )
        named = _named(self._member, target)
        data = [
            {"signal_id": one, "member_id": member, "kind": "report"}
            for one, member in zip(heard, named, strict=True)
        ]
        self._tell(at, ["signal.received"] * len(heard), named, data)

    def _recent(self, facts: Facts) -> None:
        """The messages and verifications of the last days."""
        sent, costs, checks = facts.invites, facts.costs, facts.checks
        rows = np.flatnonzero(np.isin(sent.sent, costs.at) & sent.by_sms)
        rows = rows[np.argsort(sent.sent[rows], kind="stable")]
        delivered = sent.delivered[rows] != NEVER
        size = len(rows)
        self._fill(
            messages,
            {
                "id": self._ids("msg", costs.at),
                "subject_id": [self._invite[row] for row in rows.tolist()],
                "phone_id": [self._invitee_phone(row) for row in rows.tolist()],
                "kind": ["invite"] * size,
                "channel": ["sms"] * size,
                "state": np.where(delivered, "delivered", "undelivered").tolist(),
                "provider": ["null"] * size,
                "segments": [1] * size,
                "decoy": [0] * size,
                "attempts": [1] * size,
                "next_at": costs.at.tolist(),
                "not_after": sent.expires[rows].tolist(),
                "created_at": costs.at.tolist(),
                "updated_at": np.where(delivered, sent.delivered[rows], costs.at).tolist(),
                "cost": costs.micros.tolist(),
            },
        )
        asked = len(checks)
        approved = checks.approved != NEVER
        strangers = self._ids("phn", checks.asked)
        self._fill(
            phones,
            {
                "id": strangers,
                "country": np.array(facts.countries)[checks.country].tolist(),
                "kind": ["mobile"] * asked,
                "masked": ["*******"] * asked,
                "first_seen_at": checks.asked.tolist(),
            },
        )
        self._fill(
            verifications,
            {
                "id": self._ids("ver", checks.asked),
                "client_id": self._client * asked,
                "purpose": ["registration"] * asked,
                "phone_id": strangers,
                "state": np.where(approved, "approved", "pending").tolist(),
                "lane": ["anonymous"] * asked,
                "decoy": [0] * asked,
                "requester": [""] * asked,
                "code_length": [6] * asked,
                "channel": ["sms"] * asked,
                "max_attempts": [5] * asked,
                "created_at": checks.asked.tolist(),
                "expires_at": (checks.asked + HOUR // 6).tolist(),
                "approved_at": _told(checks.approved),
                "proof_used_at": _told(np.where(approved, checks.approved + MINUTE, NEVER)),
            },
        )

    # -- rows ----------------------------------------------------------------------------------------------

    def _tell(
        self, at: NDArray[np.int64], kinds: list[str], subjects: Sequence[Any], data: list[dict[str, Any]]
    ) -> None:
        size = len(kinds)
        self._fill(
            journal,
            {
                "id": self._ids("evt", at),
                "type": kinds,
                "public": [1] * size,
                "at": at.tolist(),
                "actor_kind": ["operator"] * size,
                "actor": [_ACTOR] * size,
                "subject_id": list(subjects),
                "data": [json.dumps(one, separators=(",", ":")) for one in data],
            },
        )

    def _fill(self, table: Any, columns: dict[str, Sequence[Any]]) -> None:
        if len(columns["id" if "id" in columns else "block"]):
            self._tx.fill(table, columns)
            self._rows += len(columns["id" if "id" in columns else "block"])

    def _ids(self, prefix: str, at: NDArray[np.int64]) -> list[str]:
        """Return ids as `ports.Ids` would have made them then, for whole columns."""
        symbols = np.frombuffer(ID_ALPHABET.encode(), dtype=np.uint8)
        shifts = np.arange(5 * (ID_TIME - 1), -1, -5)
        digits = np.concatenate(
            [(at[:, None] >> shifts) & 31, self._rng.integers(0, 32, (len(at), ID_CHANCE))], axis=1
        )
        raw = np.ascontiguousarray(symbols[digits]).view(f"S{ID_TIME + ID_CHANCE}").reshape(-1)
        return [f"{prefix}_{one.decode()}" for one in raw.tolist()]

    def _hashes(self, count: int) -> list[bytes]:
        return [one.tobytes() for one in self._rng.integers(0, 256, (count, 32), dtype=np.uint8)]


def _chunks(size: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))


def _named(names: list[str], rows: NDArray[Any]) -> list[str | None]:
    return [names[row] if row >= 0 else None for row in rows.tolist()]


def _told(at: NDArray[np.int64]) -> list[int | None]:
    return [None if one == NEVER else one for one in at.tolist()]
