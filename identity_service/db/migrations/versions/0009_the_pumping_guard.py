"""What the pumping guard counts and decides

Revision: 0009
Follows: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guard_decisions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=8), nullable=False),
        sa.Column("unit_key", sa.String(length=60), nullable=False),
        sa.Column("sealed_name", sa.LargeBinary(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("answer", sa.String(length=8), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.String(length=10), nullable=True),
        sa.Column("end_actor", sa.String(length=120), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "answer IN ('block', 'monitor', 'allow')", name=op.f("ck_guard_decisions_answer_known")
        ),
        sa.CheckConstraint(
            "unit IN ('phone', 'prefix', 'range', 'inviter', 'branch', 'country')",
            name=op.f("ck_guard_decisions_unit_known"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended IS NULL)", name=op.f("ck_guard_decisions_ended_whole")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guard_decisions")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_guard_decisions_at", "guard_decisions", ["at"], unique=False)
    op.create_index(
        "ix_guard_decisions_in_force",
        "guard_decisions",
        ["id"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_guard_decisions_one_a_unit",
        "guard_decisions",
        ["unit_key"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "guard_rates",
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("long_sent", sa.Float(), nullable=False),
        sa.Column("long_good", sa.Float(), nullable=False),
        sa.Column("short_sent", sa.Float(), nullable=False),
        sa.Column("short_good", sa.Float(), nullable=False),
        sa.Column("control_sent", sa.Float(), nullable=False),
        sa.Column("control_good", sa.Float(), nullable=False),
        sa.Column("outage_since", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('code', 'own', 'invite')", name=op.f("ck_guard_rates_kind_known")),
        sa.PrimaryKeyConstraint("kind", "country", name=op.f("pk_guard_rates")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "guard_sends",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=6), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("hundred_key", sa.String(length=24), nullable=False),
        sa.Column("prefix_key", sa.String(length=24), nullable=False),
        sa.Column("range_key", sa.String(length=24), nullable=False),
        sa.Column("inviter_id", sa.String(length=40), nullable=True),
        sa.Column("branch_id", sa.String(length=40), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.CheckConstraint("kind IN ('code', 'own', 'invite')", name=op.f("ck_guard_sends_kind_known")),
        sa.CheckConstraint(
            "outcome IN ('none', 'answered', 'excused')", name=op.f("ck_guard_sends_outcome_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guard_sends")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_guard_sends_at", "guard_sends", ["kind", "at"], unique=False)
    op.create_index(
        "ix_guard_sends_branch",
        "guard_sends",
        ["branch_id", "kind", "at"],
        unique=False,
        sqlite_where=sa.text("branch_id IS NOT NULL"),
        postgresql_where=sa.text("branch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_guard_sends_inviter",
        "guard_sends",
        ["inviter_id", "kind", "at"],
        unique=False,
        sqlite_where=sa.text("inviter_id IS NOT NULL"),
        postgresql_where=sa.text("inviter_id IS NOT NULL"),
    )
    op.create_index("ix_guard_sends_prefix", "guard_sends", ["prefix_key", "kind", "at"], unique=False)
    op.create_index("ix_guard_sends_range", "guard_sends", ["range_key", "kind", "at"], unique=False)
    op.create_index("ix_guard_sends_subject_id", "guard_sends", ["subject_id"], unique=False)
    op.create_table(
        "guard_units",
        sa.Column("unit_key", sa.String(length=60), nullable=False),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("evidence_from", sa.BigInteger(), nullable=False),
        sa.Column("decision_id", sa.String(length=40), nullable=True),
        sa.CheckConstraint("mode IN ('judged', 'allow', 'block')", name=op.f("ck_guard_units_mode_known")),
        sa.CheckConstraint("grade >= 0", name=op.f("ck_guard_units_grade_not_negative")),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["guard_decisions.id"], name=op.f("fk_guard_units_decision_id")
        ),
        sa.PrimaryKeyConstraint("unit_key", name=op.f("pk_guard_units")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_guard_units_until", "guard_units", ["until"], unique=False)
