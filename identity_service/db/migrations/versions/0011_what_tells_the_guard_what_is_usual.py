"""By which campaign a message was caused, and which messages tell what is usual

Revision: 0011
Follows: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("guard_sends", sa.Column("campaign_id", sa.String(length=40), nullable=True))
    condition = sa.text("campaign_id IS NOT NULL")
    op.create_index(
        "ix_guard_sends_campaign",
        "guard_sends",
        ["campaign_id", "country", "kind", "at"],
        unique=False,
        sqlite_where=condition,
        postgresql_where=condition,
    )
    for name in ("told_sent", "told_good"):
        op.add_column("guard_rates", sa.Column(name, sa.Float(), server_default=sa.text("0"), nullable=False))
    op.execute("UPDATE guard_rates SET told_sent = long_sent, told_good = long_good")
