"""What is granted and what is earned, and when a member is looked at again

Revision: 0007
Follows: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# SQLite adds a column with its CHECK, PostgreSQL the CHECK after the column: neither copies a table.
_CHECKS = (
    (
        "members",
        "quota_earned INTEGER DEFAULT 0 NOT NULL",
        "ck_members_quota_earned_within",
        "quota_earned >= 0 AND quota_earned <= quota_available",
    ),
    (
        "quota_lots",
        "kind VARCHAR(8) DEFAULT 'grant' NOT NULL",
        "ck_quota_lots_kind_known",
        "kind IN ('grant', 'earn')",
    ),
    (
        "quota_entries",
        "period_at BIGINT",
        "ck_quota_entries_earned_for_a_period",
        "(kind = 'earn') = (period_at IS NOT NULL)",
    ),
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, column, name, rule in _CHECKS:
        check = f"CONSTRAINT {name} CHECK ({rule})"
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {check if sqlite else ''}")
        if not sqlite:
            op.execute(f"ALTER TABLE {table} ADD {check}")
    op.add_column("members", sa.Column("level_since", sa.BigInteger(), nullable=True))
    op.add_column("members", sa.Column("earn_from", sa.BigInteger(), nullable=True))
    # 0: everybody who is there is looked at once.
    op.add_column(
        "members", sa.Column("review_at", sa.BigInteger(), server_default=sa.text("0"), nullable=True)
    )
    op.create_index(
        "ix_members_review_at",
        "members",
        ["review_at"],
        unique=False,
        sqlite_where=sa.text("review_at IS NOT NULL"),
        postgresql_where=sa.text("review_at IS NOT NULL"),
    )
    op.create_index(
        "uq_quota_entries_period",
        "quota_entries",
        ["member_id", "period_at"],
        unique=True,
        sqlite_where=sa.text("kind = 'earn'"),
        postgresql_where=sa.text("kind = 'earn'"),
    )
    op.create_index(
        "ix_invites_open_issuer_id",
        "invites",
        ["issuer_id", "expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
