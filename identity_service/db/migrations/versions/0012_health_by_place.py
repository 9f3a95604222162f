"""Health of providers by place: a country, or a prefix that has a route of its own

Revision: 0012
Follows: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("place", sa.String(length=12), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        op.alter_column("route_health", "country", type_=sa.String(length=12), existing_nullable=False)


def _rebuild() -> None:
    """SQLite changes no column: a table beside, its rows, its name."""
    evidence = ("answers_good", "answers_bad", "receipts_good", "receipts_bad", "codes_good", "codes_bad")
    op.create_table(
        "route_health_by_place",
        sa.Column("provider", sa.String(length=30), nullable=False),
        sa.Column("country", sa.String(length=12), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in (*evidence, "took_ms")),
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
    op.execute("INSERT INTO route_health_by_place SELECT * FROM route_health")
    op.drop_table("route_health")
    op.rename_table("route_health_by_place", "route_health")
