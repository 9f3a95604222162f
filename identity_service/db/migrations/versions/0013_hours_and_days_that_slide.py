"""Hours and days of the caps slide: what was spent in each of their last parts

Revision: 0013
Follows: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PARTS = 6
_WAS = ("hour_at", "hour_spent", "hour_own", "hour_cap", "day_at", "day_spent", "day_own", "day_cap")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        for column in _new_columns():
            op.add_column("spend", column)
        for window in ("hour", "day"):
            name = op.f(f"ck_spend_{window}_within_cap")
            op.drop_constraint(name, "spend", type_="check")
            op.create_check_constraint(name, "spend", _within_cap(window))
    # What was spent in a clock hour or day counts as spent in its last part: none of it comes back too early.
    op.execute("UPDATE spend SET hour_at = hour_at * 6 + 5, day_at = day_at * 6 + 5")


def _rebuild() -> None:
    """SQLite changes no constraint: a table beside, its rows, its name."""
    op.create_table(
        "spend_by_parts",
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _WAS),
        *_new_columns(),
        *(
            sa.CheckConstraint(_within_cap(window), name=op.f(f"ck_spend_{window}_within_cap"))
            for window in ("hour", "day")
        ),
        sa.PrimaryKeyConstraint("scope", "subject", "shard", name=op.f("pk_spend")),
        sqlite_with_rowid=False,
    )
    kept = ", ".join(("scope", "subject", "shard", *_WAS))
    op.execute(f"INSERT INTO spend_by_parts ({kept}) SELECT {kept} FROM spend")  # noqa: S608 - our own names
    op.drop_table("spend")
    op.rename_table("spend_by_parts", "spend")
    op.create_index("ix_spend_day_at", "spend", ["day_at"], unique=False)


def _new_columns() -> list[sa.Column[int]]:
    return [
        sa.Column(f"{window}_{kind}_{n}", sa.BigInteger(), nullable=False, server_default="0")
        for window in ("hour", "day")
        for kind in ("spent", "own")
        for n in range(1, _PARTS + 1)
    ]


def _within_cap(window: str) -> str:
    spent = " + ".join([f"{window}_spent", *(f"{window}_spent_{n}" for n in range(1, _PARTS + 1))])
    return f"{window}_spent >= 0 AND {spent} <= {window}_cap"
