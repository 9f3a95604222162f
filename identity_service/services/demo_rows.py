"""A large demo: a synthetic network written into the store, whole or not at all.

It keeps every rule that the service keeps: ledgers add up, uses are members, ended invites are told of.
Its phones have no number, so that nothing can ever be sent to one, and its codes are random hashes, so that
none can be redeemed.  The members are told of in one journal row a batch, as an import tells of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graph.growth.facts import DAY, ENTRY_KINDS, GRANT, NEVER, REFUND, SPEND, Entries, Facts
from graph.growth.synthetic import Synthetic, synthetic
from identity_service.db.bulk import Columns, Filling, Labels, Numbers, Raw, Texts, Told
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

BATCH: Final = 20_000
"""Members that one row of the journal tells of."""
MOST: Final = 10_000_000
_FILLED: Final = (
    campaigns, clients, phones, members, invites, quota_lots, quota_entries,
    activity, sanctions, signals, messages, verifications, journal,
)  # fmt: skip
_ACTOR: Final = "demo"
_LOCALES: Final = {"RU": "ru", "KZ": "ru"}
_STATES: Final = ("active", "suspended", "banned")
_INVITE_STATES: Final = ("open", "redeemed", "expired", "revoked")
_OPEN, _REDEEMED, _EXPIRED, _REVOKED = range(4)
_END_REASONS: Final = ("its time was over", "demo")
_WORD: Final = 8
_HASH: Final = 32

Names = NDArray[np.bytes_]
Places = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What was made."""

    members: int
    invites: int
    rows: int


def generate(
    store: Store, actor: Actor, *, count: int, seed: int, until: Instant, level: str, told: Told
) -> Generated:
    """Write a network of so many members that ends at `until`.

    Raises:
        Refused: `demo_members_there`: it is no addition to a network that lives.
    """
    store.query(actor, _refuse_lived_in)
    made = synthetic(count, seed, until)
    with store.filling(actor, told) as (tx, filling):
        filling.put_aside(_FILLED)
        _refuse_lived_in(tx)  # again, now that nobody else writes
        rows = _Writer(filling, np.random.default_rng((seed, 1)), level).write(made)
    store.refresh_statistics()
    return Generated(members=count, invites=len(made.facts.invites), rows=rows)


def _refuse_lived_in(tx: Tx) -> None:
    if count_members(tx, 1):
        raise Refused("demo_members_there", "This store has members; a demo is for an empty one.")


class _Writer:
    """Writes the tables one by one, each in the order of its key: a store that only appends is a fast one."""

    def __init__(self, filling: Filling, rng: np.random.Generator, level: str) -> None:
        self._filling, self._rng, self._level = filling, rng, level
        self._rows = 0

    def write(self, made: Synthetic) -> int:
        facts = made.facts
        people, sent = facts.members, facts.invites
        opened = int(sent.issued.min(initial=facts.as_of))
        self._member = self._ids("mem", people.joined)
        self._invite = self._ids("inv", sent.issued)
        self._campaign = self._ids("cmp", np.full(len(facts.campaigns), opened))
        self._client = self._ids("cli", np.array([opened]))
        self._joined_by = np.full(len(sent), -1, dtype=np.int64)
        used = np.flatnonzero((people.invite >= 0) & (people.inviter >= 0))
        self._joined_by[people.invite[used]] = used
        self._fill(clients, {"id": Texts(self._client), "name": _ACTOR, "created_at": opened})
        names = Labels(facts.campaigns, np.arange(len(facts.campaigns)))
        self._fill(campaigns, {"id": Texts(self._campaign), "name": names, "created_at": opened})
        self._phones(facts)
        self._members(facts)
        self._invites(facts)
        self._tell_batches(facts.as_of)
        self._quota(facts, made.lots)
        self._active(facts)
        self._troubles(facts, made.reports)
        self._recent(facts)
        return self._rows

    # -- tables --------------------------------------------------------------------------------------------

    def _phones(self, facts: Facts) -> None:
        """A phone for each member, each invite by SMS that nobody took, and who lately asked for a code."""
        people, sent, checks = facts.members, facts.invites, facts.checks
        strangers = np.flatnonzero(sent.by_sms & (self._joined_by < 0))
        seen = np.concatenate([people.joined, sent.issued[strangers], checks.asked])
        country = np.concatenate([people.country, people.country[sent.issuer[strangers]], checks.country])
        order = np.argsort(seen, kind="stable")
        ids = self._ids("phn", seen[order])
        by_place = np.empty_like(ids)
        by_place[order] = ids
        size = len(people)
        self._phone, taken, self._asking_phone = np.split(by_place, [size, size + len(strangers)])
        self._invited_phone = np.zeros(len(sent), dtype=ids.dtype)
        self._invited_phone[strangers] = taken
        to_members = np.flatnonzero(sent.by_sms & (self._joined_by >= 0))
        self._invited_phone[to_members] = self._phone[self._joined_by[to_members]]
        self._fill(
            phones,
            {
                "id": Texts(ids),
                "country": Labels(facts.countries, country[order]),
                "kind": "mobile",
                "masked": "*******",
                "first_seen_at": Numbers(seen[order]),
            },
        )

    def _members(self, facts: Facts) -> None:
        people = facts.members
        granted, spent, refunded = (
            _sums(facts.entries, kind, len(people)) for kind in (GRANT, SPEND, REFUND)
        )
        locales = tuple(sorted({_LOCALES.get(name, "en") for name in facts.countries}))
        spoken = np.array([locales.index(_LOCALES.get(name, "en")) for name in facts.countries])
        self._fill(
            members,
            {
                "id": Texts(self._member),
                "state": Labels(_STATES, np.where(facts.banned, 2, facts.away * 1)),
                "inviter_id": Texts(_named(self._member, people.inviter)),
                "invite_id": Texts(_named(self._invite, people.invite)),
                "campaign_id": Texts(_named(self._campaign, people.campaign)),
                "generation": Numbers(facts.forest.depths),
                "phone_id": Texts(self._phone),
                "phone_verified_at": Numbers(people.joined),
                "joined_at": Numbers(people.joined),
                "last_seen_at": Numbers(_last_seen(facts)),
                "activated_at": Numbers(people.activated, NEVER),
                "country": Labels(facts.countries, people.country),
                "locale": Labels(locales, spoken[people.country]),
                "level": self._level,
                "quota_available": Numbers(granted - spent + refunded),
                "quota_granted": Numbers(granted),
                "quota_spent": Numbers(spent),
                "quota_refunded": Numbers(refunded),
            },
        )

    def _tell_batches(self, at: Instant) -> None:
        starts = range(0, len(self._member), BATCH)
        batches = [self._member[start : start + BATCH] for start in starts]
        # The first and the last id come last, in this order: so an import tells its batches.
        data = [
            {"count": len(one), "first_id": one[0].decode(), "last_id": one[-1].decode()} for one in batches
        ]
        self._tell(np.full(len(data), at), "members.imported", self._member[::BATCH], _as_json(data))

    def _invites(self, facts: Facts) -> None:
        sent = facts.invites
        uses = np.bincount(facts.members.invite[facts.members.invite >= 0], minlength=len(sent))
        full = uses >= sent.uses
        expired = ~full & (sent.revoked == NEVER) & (sent.expires <= facts.as_of)
        state = np.where(full, _REDEEMED, np.where(expired, _EXPIRED, _OPEN))
        state = np.where(~full & (sent.revoked != NEVER), _REVOKED, state)
        taken = facts.members.joined[np.maximum(self._joined_by, 0)]
        ended = np.where(full, taken, np.where(expired, sent.expires, sent.revoked))
        moved = np.zeros(len(sent), dtype=np.int64)
        steps = (sent.sent, sent.delivered, sent.opened, sent.requested, sent.verified)
        for step in (*steps, np.where(full, NEVER, ended)):
            np.maximum(moved, np.where(step == NEVER, 0, step), out=moved)
        self._fill(
            invites,
            {
                "id": Texts(self._invite),
                "issuer_id": Texts(_named(self._member, sent.issuer)),
                "campaign_id": Texts(_named(self._campaign, sent.campaign)),
                "channel": Labels(("link", "sms"), sent.by_sms * 1),
                "phone_id": Texts(self._invited_phone),
                "code_hash": Raw(self._hashes(len(sent))),
                "state": Labels(_INVITE_STATES, state),
                "max_uses": Numbers(sent.uses),
                "uses": Numbers(uses),
                "starts": Numbers((sent.requested != NEVER) * 1),
                "created_at": Numbers(sent.issued),
                "expires_at": Numbers(sent.expires),
                "ended_at": Numbers(ended, NEVER),
                "end_reason": Labels(_END_REASONS, np.where(state < _EXPIRED, -1, state - _EXPIRED)),
                "opened_at": Numbers(sent.opened, NEVER),
                "last_sent_at": Numbers(sent.sent, NEVER),
                "sent_at": Numbers(sent.sent, NEVER),
                "delivered_at": Numbers(sent.delivered, NEVER),
                "requested_at": Numbers(sent.requested, NEVER),
                "verified_at": Numbers(sent.verified, NEVER),
                "moved_at": Numbers(moved, 0),
            },
        )
        over = np.flatnonzero(state >= _EXPIRED)
        over = over[np.argsort(ended[over], kind="stable")]
        ids = self._invite[over]
        kinds = Labels(("invite.expired", "invite.revoked"), state[over] - _EXPIRED)
        self._tell(ended[over], kinds, ids, _around('{"invite_id":"', ids, '"}'))

    def _quota(self, facts: Facts, lot_of: NDArray[np.int64]) -> None:
        entries = facts.entries
        made = np.flatnonzero(entries.kind == GRANT)
        place = np.full(len(entries), -1, dtype=np.int64)
        place[made] = np.arange(len(made))
        lots = self._ids("lot", entries.at[made])
        left = np.bincount(place[lot_of], weights=entries.amount, minlength=len(made)).astype(np.int64)
        self._fill(
            quota_lots,
            {
                "id": Texts(lots),
                "member_id": Texts(self._member[entries.member[made]]),
                "remaining": Numbers(left),
                "batch_id": Labels(facts.batches, entries.batch[made]),
            },
        )
        reasons = {GRANT: "demo", SPEND: "invite issued", REFUND: "invite ended"}
        self._fill(
            quota_entries,
            {
                "id": Texts(self._ids("qle", entries.at)),
                "member_id": Texts(self._member[entries.member]),
                "lot_id": Texts(lots[place[lot_of]]),
                "kind": Labels(ENTRY_KINDS, entries.kind),
                "amount": Numbers(entries.amount),
                "invite_id": Texts(_named(self._invite, entries.invite)),
                "batch_id": Labels(facts.batches, np.where(entries.kind == GRANT, entries.batch, -1)),
                "actor": _ACTOR,
                "reason": Labels(
                    tuple(reasons.get(kind, "") for kind in range(len(ENTRY_KINDS))), entries.kind
                ),
                "created_at": Numbers(entries.at),
            },
        )

    def _active(self, facts: Facts) -> None:
        found = facts.activity
        self._fill(
            activity,
            {
                "block": Numbers(found.block),
                "member_id": Texts(self._member[found.member]),
                "days": Numbers(found.days),
            },
        )

    def _troubles(self, facts: Facts, reports: tuple[Places, Places, NDArray[np.int64]]) -> None:
        bans = facts.bans
        ids, who = self._ids("san", bans.imposed), self._member[bans.member]
        actions = Labels(("suspend", "ban"), bans.is_ban * 1)
        self._fill(
            sanctions,
            {
                "id": Texts(ids),
                "member_id": Texts(who),
                "action": actions,
                "scope": "member",
                "reason_code": "demo",
                "explanation": "Made for the demo.",
                "actor": _ACTOR,
                "created_at": Numbers(bans.imposed),
                "expires_at": Numbers(bans.expires, NEVER),
                "lifted_at": Numbers(np.where(bans.expires <= facts.as_of, bans.expires, NEVER), NEVER),
            },
        )
        told = [
            {"sanction_id": one, "member_id": member, "action": actions.names[place], "reason_code": "demo"}
            for one, member, place in zip(
                ids.astype(str), who.astype(str), actions.places.tolist(), strict=True
            )
        ]
        self._tell(bans.imposed, "sanction.imposed", ids, _as_json(told))
        self._reports(*reports)

    def _reports(self, target: Places, source: Places, at: NDArray[np.int64]) -> None:
        order = np.argsort(at, kind="stable")
        target, source, at = target[order], source[order], at[order]
        heard, named = self._ids("sig", at), self._member[target]
        self._fill(
            signals,
            {
                "id": Texts(heard),
                "member_id": Texts(named),
                "kind": "report",
                "reporter_id": Texts(self._member[source]),
                "occurred_at": Numbers(at),
                "created_at": Numbers(at),
            },
        )
        data = [
            {"signal_id": one, "member_id": member, "kind": "report"}
            for one, member in zip(heard.astype(str), named.astype(str), strict=True)
        ]
        self._tell(at, "signal.received", named, _as_json(data))

    def _recent(self, facts: Facts) -> None:
        """The messages and verifications of the last days."""
        sent, costs, checks = facts.invites, facts.costs, facts.checks
        rows = np.flatnonzero(np.isin(sent.sent, costs.at) & sent.by_sms)
        rows = rows[np.argsort(sent.sent[rows], kind="stable")]
        delivered = sent.delivered[rows] != NEVER
        self._fill(
            messages,
            {
                "id": Texts(self._ids("msg", costs.at)),
                "subject_id": Texts(self._invite[rows]),
                "phone_id": Texts(self._invited_phone[rows]),
                "kind": "invite",
                "channel": "sms",
                "state": Labels(("undelivered", "delivered"), delivered * 1),
                "provider": "null",
                "segments": 1,
                "decoy": 0,
                "attempts": 1,
                "next_at": Numbers(costs.at),
                "not_after": Numbers(sent.expires[rows]),
                "created_at": Numbers(costs.at),
                "updated_at": Numbers(np.where(delivered, sent.delivered[rows], costs.at)),
                "cost": Numbers(costs.micros),
            },
        )
        approved = checks.approved != NEVER
        self._fill(
            verifications,
            {
                "id": Texts(self._ids("ver", checks.asked)),
                "client_id": self._client[0].decode(),
                "purpose": "registration",
                "phone_id": Texts(self._asking_phone),
                "state": Labels(("pending", "approved"), approved * 1),
                "lane": "anonymous",
                "decoy": 0,
                "requester": "",
                "code_length": 6,
                "channel": "sms",
                "max_attempts": 5,
                "created_at": Numbers(checks.asked),
                "expires_at": Numbers(checks.asked + HOUR // 6),
                "approved_at": Numbers(checks.approved, NEVER),
                "proof_used_at": Numbers(np.where(approved, checks.approved + MINUTE, NEVER), NEVER),
            },
        )

    # -- rows ----------------------------------------------------------------------------------------------

    def _tell(self, at: NDArray[np.int64], kind: str | Labels, subjects: Names, data: Names) -> None:
        self._fill(
            journal,
            {
                "id": Texts(self._ids("evt", at)),
                "type": kind,
                "public": 1,
                "at": Numbers(at),
                "actor_kind": "operator",
                "actor": _ACTOR,
                "subject_id": Texts(subjects),
                "data": Texts(data),
            },
        )

    def _fill(self, table: Any, columns: Columns) -> None:
        self._rows += self._filling.fill(table, columns)

    def _ids(self, prefix: str, at: NDArray[np.int64]) -> Names:
        """Return ids as `ports.Ids` would have made them at sorted instants, in their own order."""
        symbols = np.frombuffer(ID_ALPHABET.encode(), dtype=np.uint8)
        head = np.frombuffer(f"{prefix}_".encode(), dtype=np.uint8)
        ids = np.empty((len(at), len(head) + ID_TIME + ID_CHANCE), dtype=np.uint8)
        ids[:, : len(head)] = head
        for place in range(ID_TIME):
            ids[:, len(head) + place] = symbols[(at >> (5 * (ID_TIME - 1 - place))) & 31]
        ids[:, len(head) + ID_TIME :] = symbols[
            self._rng.integers(0, 32, (len(at), ID_CHANCE), dtype=np.uint8)
        ]
        made: Names = ids.view(f"S{ids.shape[1]}").reshape(-1)
        same = np.zeros(len(at), dtype=np.bool_)
        same[1:] = at[1:] == at[:-1]
        same[:-1] |= same[1:]
        made[same] = np.sort(made[same])
        return made

    def _hashes(self, count: int) -> NDArray[np.uint8]:
        """Return what no code hashes to, in order: the store need not look for each one's place."""
        made = self._rng.integers(0, 256, (count, _HASH), dtype=np.uint8)
        heads = np.sort(self._rng.integers(0, 2**63, count)).astype(">i8")
        made[:, :_WORD] = heads[:, None].view(np.uint8)
        return made


def _sums(entries: Entries, kind: int, size: int) -> NDArray[np.int64]:
    """Return what each member's entries of a kind moved."""
    here = entries.kind == kind
    moved = np.abs(entries.amount[here])
    return np.bincount(entries.member[here], weights=moved, minlength=size).astype(np.int64)


def _last_seen(facts: Facts) -> NDArray[np.int64]:
    seen = facts.members.joined.copy()
    found = facts.activity
    # The noon of the last day of each row; a later row is later.
    last = np.floor(np.log2(np.maximum(found.days, 1))).astype(np.int64)
    day = found.block.astype(np.int64) * BLOCK_DAYS + last - FIRST_MONDAY
    np.maximum.at(seen, found.member, np.minimum(day * DAY + DAY // 2, facts.as_of))
    return seen


def _named(names: Names, rows: Places) -> Names:
    """Return the names of some rows; an empty one where there is no row."""
    found = names[np.maximum(rows, 0)] if len(names) else np.zeros(len(rows), dtype=names.dtype)
    found[rows < 0] = b""
    return found


def _around(before: str, ids: Names, after: str) -> Names:
    """Return texts made of an id each."""
    parts = (np.full(len(ids), before.encode()), ids, np.full(len(ids), after.encode()))
    together = np.concatenate([one.view(np.uint8).reshape(len(ids), one.itemsize) for one in parts], axis=1)
    return together.view(f"S{together.shape[1]}").reshape(-1)


def _as_json(data: Sequence[dict[str, Any]]) -> Names:
    return np.array([json.dumps(one, separators=(",", ":")).encode() for one in data], dtype=np.bytes_)
