"""First times of an invite's steps, and the days on which members were active

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STEPS = ("sent_at", "delivered_at", "requested_at", "verified_at", "moved_at")
_INDEXES = (
    ("ix_invites_moved_at", "invites", "moved_at"),
    ("ix_members_activated_at", "members", "activated_at"),
)


def upgrade() -> None:
    for name in _STEPS:
        op.add_column("invites", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("members", sa.Column("activated_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "activity",
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.CheckConstraint("days > 0 AND days < 268435456", name=op.f("ck_activity_days_of_four_weeks")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_activity_member_id")),
        sa.PrimaryKeyConstraint("block", "member_id", name=op.f("pk_activity")),
        sqlite_with_rowid=False,
    )
    for name, table, column in _INDEXES:
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, table, [column], sqlite_where=there, postgresql_where=there)
    _fill()


def _fill() -> None:
    """Write what can still be known of the time before."""
    op.execute(
        """
        UPDATE invites SET
            requested_at = (SELECT min(h.created_at) FROM invite_holds h WHERE h.invite_id = invites.id),
            verified_at = (
                SELECT min(v.approved_at) FROM invite_holds h JOIN verifications v ON v.hold_id = h.id
                WHERE h.invite_id = invites.id),
            sent_at = (
                SELECT min(coalesce(e.at, m.updated_at)) FROM messages m LEFT JOIN message_events e
                    ON e.message_id = m.id AND e.what IN ('accepted', 'sent', 'delivered')
                WHERE m.subject_id = invites.id AND m.state IN ('sent', 'delivered', 'undelivered')),
            delivered_at = (
                SELECT min(coalesce(e.at, m.updated_at)) FROM messages m LEFT JOIN message_events e
                    ON e.message_id = m.id AND e.what = 'delivered'
                WHERE m.subject_id = invites.id AND m.state = 'delivered')
        """
    )
    op.execute(
        """
        UPDATE members SET activated_at = (
            SELECT min(s.created_at) FROM signals s WHERE s.member_id = members.id AND s.kind = 'activated')
        """
    )
    # Days count from the Monday before the epoch; 28 of them are a row.
    op.execute(
        """
        INSERT INTO activity (block, member_id, days)
        SELECT CAST(day / 28 AS INTEGER), member_id,
            CAST(sum(CAST(1 AS BIGINT) << CAST(day % 28 AS INTEGER)) AS INTEGER)
        FROM (
            SELECT DISTINCT member_id, at / 86400000000 + 3 AS day FROM (
                SELECT member_id, created_at AS at FROM signals WHERE kind = 'activity'
                UNION ALL SELECT id, last_seen_at FROM members WHERE last_seen_at > joined_at
            ) heard
        ) days
        GROUP BY member_id, day / 28
        """
    )
