"""Scores, and what they are made of

Revision: 0002
Follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNSCORED = sa.text("trust_log_odds IS NULL")
_EVIDENCE = sa.text(
    "type IN ('signal.received', 'member.became_active', 'sanction.imposed', 'sanction.lifted',"
    " 'trust.epoch_started', 'trust.edge_weighed', 'member.erased', 'member.phone_changed')"
)


def upgrade() -> None:
    for name in ("trust_conduct", "trust_standing", "trust_from_inviter"):
        op.add_column("members", sa.Column(name, sa.Float(), nullable=True))
    op.create_index(
        "ix_members_unscored",
        "members",
        ["id"],
        unique=False,
        sqlite_where=_UNSCORED,
        postgresql_where=_UNSCORED,
    )
    op.create_index(
        "ix_journal_evidence",
        "journal",
        ["seq"],
        unique=False,
        sqlite_where=_EVIDENCE,
        postgresql_where=_EVIDENCE,
    )
    op.create_table(
        "trust_states",
        sa.Column("node_id", sa.String(length=40), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("report_branches", sa.Integer(), nullable=False),
        sa.Column("vouch_branches", sa.Integer(), nullable=False),
        sa.Column("own", sa.Float(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("message", sa.Float(), nullable=False),
        sa.Column("edge_weight", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "edge_weight >= 0 AND edge_weight <= 1", name=op.f("ck_trust_states_edge_weight_in_range")
        ),
        sa.CheckConstraint(
            "report_branches >= 0 AND vouch_branches >= 0",
            name=op.f("ck_trust_states_branches_not_negative"),
        ),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_trust_states")),
        sqlite_with_rowid=False,
    )
