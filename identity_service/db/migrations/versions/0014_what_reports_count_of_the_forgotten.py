"""What the reports count of verifications and messages that were forgotten

Revision: 0014
Follows: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, last in (
        ("forgotten_verifications", sa.Column("approved_at", sa.BigInteger(), nullable=True)),
        ("forgotten_messages", sa.Column("cost", sa.BigInteger(), nullable=False)),
    ):
        op.create_table(
            table,
            sa.Column("id", sa.String(length=40), nullable=False),
            sa.Column("country", sa.String(length=3), nullable=False),
            sa.Column("created_at", sa.BigInteger(), nullable=False),
            last,
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
            sqlite_with_rowid=False,
        )
