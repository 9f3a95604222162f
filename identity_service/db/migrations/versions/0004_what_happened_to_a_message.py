"""What happened to a message, and what it cost

Revision: 0004
Follows: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("failure", sa.String(length=16), nullable=True))
    for name in ("cost", "charged", "came_back_at", "judge_at"):
        op.add_column("messages", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_messages_judge",
        "messages",
        ["judge_at"],
        unique=False,
        sqlite_where=sa.text("judge_at IS NOT NULL"),
        postgresql_where=sa.text("judge_at IS NOT NULL"),
    )
    op.create_table(
        "message_events",
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=30), nullable=True),
        sa.Column("failure", sa.String(length=16), nullable=True),
        sa.Column("provider_code", sa.String(length=40), nullable=True),
        sa.Column("plain", sa.String(length=255), nullable=True),
        sa.Column("why", sa.String(length=30), nullable=True),
        sa.Column("took_ms", sa.Integer(), nullable=True),
        sa.Column("learned", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "what IN ('refused', 'accepted', 'sent', 'failed', 'undelivered', 'delivered', 'given_up', "
            "'withdrawn', 'replayed', 'not_received', 'came_back')",
            name=op.f("ck_message_events_what_known"),
        ),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_message_events_message_id")),
        sa.PrimaryKeyConstraint("message_id", "attempt", "what", name=op.f("pk_message_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_message_events_new",
        "message_events",
        ["at"],
        unique=False,
        sqlite_where=sa.text("learned = 0"),
        postgresql_where=sa.text("learned = 0"),
    )
