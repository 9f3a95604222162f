"""What messages cost, and what keeps a forgotten row from being looked for

Revision: 0010
Follows: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _partial(name: str, table: str, column: str) -> None:
    condition = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], unique=False, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    op.add_column("messages", sa.Column("follow_at", sa.BigInteger(), nullable=True))
    _partial("ix_messages_follow", "messages", "follow_at")
    _partial("ix_invites_message_id", "invites", "message_id")
    _partial("ix_recoveries_verification_id", "recoveries", "verification_id")
    for table in ("messages", "verifications", "invite_holds"):
        op.create_index(f"ix_{table}_phone_id", table, ["phone_id"], unique=False)
    op.create_table(
        "sms_prices",
        sa.Column("provider", sa.String(length=30), nullable=False),
        sa.Column("place", sa.String(length=12), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(length=60), nullable=False),
        sa.Column("imported_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("micros >= 0", name=op.f("ck_sms_prices_micros_not_negative")),
        sa.PrimaryKeyConstraint("provider", "place", name=op.f("pk_sms_prices")),
        sqlite_with_rowid=False,
    )
    windows = ("hour_at", "hour_spent", "hour_own", "hour_cap", "day_at", "day_spent", "day_own", "day_cap")
    op.create_table(
        "spend",
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in windows),
        sa.CheckConstraint(
            "hour_spent >= 0 AND hour_spent <= hour_cap", name=op.f("ck_spend_hour_within_cap")
        ),
        sa.CheckConstraint("day_spent >= 0 AND day_spent <= day_cap", name=op.f("ck_spend_day_within_cap")),
        sa.PrimaryKeyConstraint("scope", "subject", "shard", name=op.f("pk_spend")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_spend_day_at", "spend", ["day_at"], unique=False)
    op.create_table(
        "message_days",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("provider", sa.String(length=30), nullable=False),
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("came_back", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "country", "provider", "campaign_id", "purpose", name=op.f("pk_message_days")
        ),
        sqlite_with_rowid=False,
    )
