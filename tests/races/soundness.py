"""What must hold in the store after any race: counters equal what they count, and sums equal their ledger.

Each line is a query for the rows that break one rule.  The database's own CHECKs keep counters within
bounds; these queries find the lost update that stays within them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from tests.support.world import World

RULES: Final = {
    "an invite's holds are as many as it counts": """
        SELECT i.id FROM invites i WHERE i.held <>
            (SELECT count(*) FROM invite_holds h WHERE h.invite_id = i.id AND h.state = 'held')""",
    "an invite's uses are as many as its members": """
        SELECT i.id FROM invites i WHERE i.uses <>
            (SELECT count(*) FROM members m WHERE m.invite_id = i.id)""",
    "no hold is used twice, and only by a member": """
        SELECT i.id FROM invites i WHERE i.uses <
            (SELECT count(*) FROM invite_holds h WHERE h.invite_id = i.id AND h.state = 'used')""",
    "an invite is redeemed exactly when it is full": """
        SELECT id FROM invites WHERE (state = 'redeemed') <> (uses = max_uses)""",
    "an invite that is over holds nothing": "SELECT id FROM invites WHERE state <> 'open' AND held > 0",
    "an invite cost what it may still give or gave": """
        SELECT i.id FROM invites i WHERE i.issuer_id IS NOT NULL
            AND CASE WHEN i.state IN ('open', 'redeemed') THEN i.max_uses ELSE i.uses END <>
            (SELECT coalesce(-sum(e.amount), 0) FROM quota_entries e WHERE e.invite_id = i.id)""",
    "a balance is the sum of its ledger": """
        SELECT m.id FROM members m WHERE m.quota_available <>
            (SELECT coalesce(sum(e.amount), 0) FROM quota_entries e WHERE e.member_id = m.id)""",
    "a balance is the sum of its lots": """
        SELECT m.id FROM members m WHERE m.quota_available <>
            (SELECT coalesce(sum(l.remaining), 0) FROM quota_lots l WHERE l.member_id = m.id)""",
    "what a member has earned is what its earned lots hold": """
        SELECT m.id FROM members m WHERE m.quota_earned <> (SELECT coalesce(sum(l.remaining), 0)
            FROM quota_lots l WHERE l.member_id = m.id AND l.kind = 'earn')""",
    "a lot is earned by an entry of that kind": """
        SELECT l.id FROM quota_lots l WHERE (l.kind = 'earn') <> EXISTS
            (SELECT 1 FROM quota_entries e WHERE e.lot_id = l.id AND e.kind = 'earn')""",
    "lifetime counters are the sums of their kinds": """
        SELECT m.id FROM members m WHERE m.quota_granted <> (SELECT coalesce(sum(e.amount), 0)
                FROM quota_entries e WHERE e.member_id = m.id AND e.kind IN ('grant', 'earn'))
            OR m.quota_spent <> (SELECT coalesce(-sum(e.amount), 0)
                FROM quota_entries e WHERE e.member_id = m.id AND e.kind = 'spend')
            OR m.quota_refunded <> (SELECT coalesce(sum(e.amount), 0)
                FROM quota_entries e WHERE e.member_id = m.id AND e.kind = 'refund')""",
    "a lot is the sum of its entries": """
        SELECT l.id FROM quota_lots l WHERE l.remaining <>
            (SELECT coalesce(sum(e.amount), 0) FROM quota_entries e WHERE e.lot_id = l.id)""",
    "a number is stored once": """
        SELECT p.id FROM phones p WHERE p.sealed IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM phone_index x WHERE x.phone_id = p.id)""",
    # An import tells a whole batch in one row, whose data ends in its first and last id.
    "a member who joined was told of exactly once": """
        SELECT m.id FROM members m WHERE
            1 <> (SELECT count(*) FROM journal j WHERE j.subject_id = m.id AND j.type = 'member.joined')
            AND 1 <> (SELECT count(*) FROM journal j WHERE j.type = 'members.imported'
                AND m.id >= substr(j.data, length(j.data) - 78, 32)
                AND m.id <= substr(j.data, length(j.data) - 33, 32))""",
    "an ended invite was told of exactly once": """
        SELECT i.id FROM invites i WHERE i.state IN ('revoked', 'expired') AND 1 <>
            (SELECT count(*) FROM journal j WHERE j.subject_id = i.id AND j.type = 'invite.' || i.state)""",
    "a verification is exhausted by its last attempt and by nothing else": """
        SELECT id FROM verifications WHERE (state = 'pending' AND attempts = max_attempts)
            OR (state = 'exhausted' AND attempts < max_attempts)""",
}


def broken_rules(world: World) -> dict[str, list[str]]:
    """The rules that do not hold, each with the rows that break it."""

    def look(rule: str) -> list[str]:
        rows: list[str] = world.query(lambda tx: [row[0] for row in tx.select(text(rule))])
        return rows

    found = {name: look(rule) for name, rule in RULES.items()}
    return {name: rows for name, rows in found.items() if rows}


def number(world: World, query: str) -> int:
    """The one number that a query gives."""
    counted: int = world.query(lambda tx: tx.select(text(query))[0][0])
    return int(counted)
