"""How well providers are

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTS = (
    "answers_good",
    "answers_bad",
    "receipts_good",
    "receipts_bad",
    "codes_good",
    "codes_bad",
    "took_ms",
)


def upgrade() -> None:
    op.create_table(
        "route_health",
        sa.Column("provider", sa.String(length=30), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in _COUNTS),
        sa.Column("condition", sa.String(length=8), nullable=False),
        sa.Column("because", sa.String(length=10), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "condition IN ('well', 'unwell', 'easing')", name=op.f("ck_route_health_condition_known")
        ),
        sa.CheckConstraint("share > 0 AND share <= 1", name=op.f("ck_route_health_share_is_a_part")),
        sa.PrimaryKeyConstraint("provider", "country", name=op.f("pk_route_health")),
        sqlite_with_rowid=False,
    )
