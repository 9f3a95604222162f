"""The first tables

Revision: 0001
Follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_uses",
        sa.Column("lane", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "subject", "ordinal", name=op.f("pk_budget_uses")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_budget_uses_at", "budget_uses", ["at"], unique=False)
    op.create_index(
        "ix_budget_uses_guesses",
        "budget_uses",
        ["at"],
        unique=False,
        sqlite_where=sa.text("lane = 'guess.anonymous'"),
        postgresql_where=sa.text("lane = 'guess.anonymous'"),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("name", name="uq_campaigns_name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
        sa.UniqueConstraint("name", name="uq_clients_name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cooldowns",
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.String(length=40), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "lane", name=op.f("pk_cooldowns")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_cooldowns_next_at", "cooldowns", ["next_at"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_idempotency")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"], unique=False)
    op.create_table(
        "journal",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("public", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.String(length=10), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("event_seq", sa.BigInteger(), nullable=True),
        sa.Column("chain", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_journal_new",
        "journal",
        ["id"],
        unique=False,
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
    )
    op.create_index("ix_journal_subject_id", "journal", ["subject_id", "id"], unique=False)
    op.create_index(
        "uq_journal_event_seq",
        "journal",
        ["event_seq"],
        unique=True,
        sqlite_where=sa.text("event_seq IS NOT NULL"),
        postgresql_where=sa.text("event_seq IS NOT NULL"),
    )
    op.create_index(
        "uq_journal_seq",
        "journal",
        ["seq"],
        unique=True,
        sqlite_where=sa.text("seq IS NOT NULL"),
        postgresql_where=sa.text("seq IS NOT NULL"),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "phones",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("country", sa.String(length=3), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("masked", sa.String(length=24), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phones")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_api_keys_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_api_keys_client_id", "api_keys", ["client_id"], unique=False)
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("inviter_id", sa.String(length=40), nullable=True),
        sa.Column("invite_id", sa.String(length=40), nullable=True),
        sa.Column("campaign_id", sa.String(length=40), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=True),
        sa.Column("phone_verified_at", sa.BigInteger(), nullable=True),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("country", sa.String(length=3), nullable=True),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("trust_log_odds", sa.Float(), nullable=True),
        sa.Column("level", sa.String(length=30), nullable=False),
        sa.Column("quota_available", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("quota_granted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("quota_spent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("quota_refunded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("quota_expired", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("invites_frozen", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'banned', 'erased')", name=op.f("ck_members_state_known")
        ),
        sa.CheckConstraint("inviter_id IS NULL OR campaign_id IS NULL", name=op.f("ck_members_one_origin")),
        sa.CheckConstraint("inviter_id IS NULL OR inviter_id <> id", name=op.f("ck_members_not_own_inviter")),
        sa.CheckConstraint(
            "quota_available = quota_granted - quota_spent + quota_refunded - quota_expired",
            name=op.f("ck_members_quota_adds_up"),
        ),
        sa.CheckConstraint("quota_available >= 0", name=op.f("ck_members_quota_not_overdrawn")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_members_campaign_id")),
        sa.ForeignKeyConstraint(["invite_id"], ["invites.id"], name="fk_members_invite_id", use_alter=True),
        sa.ForeignKeyConstraint(["inviter_id"], ["members.id"], name=op.f("fk_members_inviter_id")),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_members_phone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("phone_id", name="uq_members_phone_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_members_campaign_id",
        "members",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("campaign_id IS NOT NULL"),
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    )
    op.create_index("ix_members_invite_id", "members", ["invite_id"], unique=False)
    op.create_index("ix_members_inviter_id", "members", ["inviter_id", "id"], unique=False)
    op.create_index(
        "uq_members_external_id",
        "members",
        ["external_id"],
        unique=True,
        sqlite_where=sa.text("external_id IS NOT NULL"),
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=True),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=True),
        sa.Column("provider", sa.String(length=30), nullable=True),
        sa.Column("provider_ref", sa.String(length=80), nullable=True),
        sa.Column("segments", sa.Integer(), nullable=True),
        sa.Column("hours", sa.Integer(), nullable=True),
        sa.Column("decoy", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'delivered',"
            " 'undelivered', 'failed', 'dead', 'withheld')",
            name=op.f("ck_messages_state_known"),
        ),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_messages_phone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_messages_dead",
        "messages",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'dead'"),
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index(
        "ix_messages_due",
        "messages",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_messages_leased",
        "messages",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "ix_messages_sealed",
        "messages",
        ["not_after"],
        unique=False,
        sqlite_where=sa.text("sealed_code IS NOT NULL"),
        postgresql_where=sa.text("sealed_code IS NOT NULL"),
    )
    op.create_index("ix_messages_subject_id", "messages", ["subject_id", "id"], unique=False)
    op.create_index(
        "uq_messages_provider_ref",
        "messages",
        ["provider", "provider_ref"],
        unique=True,
        sqlite_where=sa.text("provider_ref IS NOT NULL"),
        postgresql_where=sa.text("provider_ref IS NOT NULL"),
    )
    op.create_table(
        "phone_index",
        sa.Column("lookup", sa.LargeBinary(length=32), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_phone_index_phone_id")),
        sa.PrimaryKeyConstraint("lookup", name=op.f("pk_phone_index")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_phone_index_phone_id_key_id", "phone_index", ["phone_id", "key_id"], unique=False)
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("device_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_devices_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("token_hash", name="uq_devices_token_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_devices_member_id", "devices", ["member_id"], unique=False)
    op.create_table(
        "invites",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("issuer_id", sa.String(length=40), nullable=True),
        sa.Column("campaign_id", sa.String(length=40), nullable=True),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("starts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("client_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(length=255), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("last_sent_at", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.String(length=40), nullable=True),
        sa.CheckConstraint(
            "(channel = 'sms') = (phone_id IS NOT NULL)", name=op.f("ck_invites_sms_names_a_phone")
        ),
        sa.CheckConstraint("channel IN ('link', 'sms')", name=op.f("ck_invites_channel_known")),
        sa.CheckConstraint(
            "state IN ('open', 'redeemed', 'expired', 'revoked')", name=op.f("ck_invites_state_known")
        ),
        sa.CheckConstraint(
            "(issuer_id IS NULL) <> (campaign_id IS NULL)", name=op.f("ck_invites_one_issuer")
        ),
        sa.CheckConstraint("max_uses >= 1", name=op.f("ck_invites_max_uses_positive")),
        sa.CheckConstraint(
            "starts >= 0 AND starts <= 3 + 2 * max_uses", name=op.f("ck_invites_starts_within_max")
        ),
        sa.CheckConstraint(
            "uses >= 0 AND held >= 0 AND uses + held <= max_uses", name=op.f("ck_invites_uses_within_max")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_invites_campaign_id")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_invites_client_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["members.id"], name=op.f("fk_invites_issuer_id")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_invites_message_id")),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_invites_phone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invites")),
        sa.UniqueConstraint("code_hash", name="uq_invites_code_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_invites_campaign_id",
        "invites",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("campaign_id IS NOT NULL"),
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    )
    op.create_index(
        "ix_invites_issuer_id",
        "invites",
        ["issuer_id", "id"],
        unique=False,
        sqlite_where=sa.text("issuer_id IS NOT NULL"),
        postgresql_where=sa.text("issuer_id IS NOT NULL"),
    )
    op.create_index(
        "ix_invites_open_expires_at",
        "invites",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_invites_phone_id",
        "invites",
        ["phone_id"],
        unique=False,
        sqlite_where=sa.text("phone_id IS NOT NULL"),
        postgresql_where=sa.text("phone_id IS NOT NULL"),
    )
    op.create_table(
        "quota_lots",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("batch_id", sa.String(length=120), nullable=True),
        sa.CheckConstraint("remaining >= 0", name=op.f("ck_quota_lots_remaining_not_negative")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_quota_lots_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_lots")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_quota_lots_batch_id",
        "quota_lots",
        ["batch_id"],
        unique=False,
        sqlite_where=sa.text("batch_id IS NOT NULL"),
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_quota_lots_due",
        "quota_lots",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("remaining > 0 AND expires_at IS NOT NULL"),
        postgresql_where=sa.text("remaining > 0 AND expires_at IS NOT NULL"),
    )
    op.create_index("ix_quota_lots_member_id", "quota_lots", ["member_id", "id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(length=60), nullable=False),
        sa.Column("used_mask", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_recovery_codes_member_id")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_recovery_codes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sanctions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("reason_code", sa.String(length=60), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("lift_explanation", sa.Text(), nullable=True),
        sa.Column("lift_actor", sa.String(length=120), nullable=True),
        sa.CheckConstraint(
            "action IN ('warn', 'freeze_invites', 'suspend', 'ban')", name=op.f("ck_sanctions_action_known")
        ),
        sa.CheckConstraint("scope IN ('member', 'subtree')", name=op.f("ck_sanctions_scope_known")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_sanctions_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sanctions")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_sanctions_due",
        "sanctions",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("lifted_at IS NULL AND expires_at IS NOT NULL"),
        postgresql_where=sa.text("lifted_at IS NULL AND expires_at IS NOT NULL"),
    )
    op.create_index("ix_sanctions_member_id", "sanctions", ["member_id", "id"], unique=False)
    op.create_table(
        "signals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("reporter_id", sa.String(length=40), nullable=True),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("client_id", sa.String(length=40), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('activity', 'activated', 'report', 'vouch', 'staff_verified')",
            name=op.f("ck_signals_kind_known"),
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_signals_client_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_signals_member_id")),
        sa.ForeignKeyConstraint(["reporter_id"], ["members.id"], name=op.f("fk_signals_reporter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint("client_id", "member_id", "kind", "reference", name="uq_signals_reference"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_signals_member_id", "signals", ["member_id", "id"], unique=False)
    op.create_table(
        "invite_holds",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("invite_id", sa.String(length=40), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('held', 'used', 'released')", name=op.f("ck_invite_holds_state_known")),
        sa.ForeignKeyConstraint(["invite_id"], ["invites.id"], name=op.f("fk_invite_holds_invite_id")),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_invite_holds_phone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invite_holds")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_invite_holds_held_expires_at",
        "invite_holds",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index("ix_invite_holds_invite_id", "invite_holds", ["invite_id"], unique=False)
    op.create_index(
        "uq_invite_holds_one_a_phone",
        "invite_holds",
        ["invite_id", "phone_id"],
        unique=True,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_table(
        "quota_entries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("lot_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("invite_id", sa.String(length=40), nullable=True),
        sa.Column("batch_id", sa.String(length=120), nullable=True),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(kind IN ('spend', 'expire')) = (amount < 0) AND amount <> 0",
            name=op.f("ck_quota_entries_sign_fits_kind"),
        ),
        sa.CheckConstraint(
            "kind IN ('grant', 'earn', 'spend', 'refund', 'expire')", name=op.f("ck_quota_entries_kind_known")
        ),
        sa.ForeignKeyConstraint(["invite_id"], ["invites.id"], name=op.f("fk_quota_entries_invite_id")),
        sa.ForeignKeyConstraint(["lot_id"], ["quota_lots.id"], name=op.f("fk_quota_entries_lot_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_quota_entries_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_entries")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_quota_entries_invite_id",
        "quota_entries",
        ["invite_id"],
        unique=False,
        sqlite_where=sa.text("invite_id IS NOT NULL"),
        postgresql_where=sa.text("invite_id IS NOT NULL"),
    )
    op.create_index("ix_quota_entries_member_id", "quota_entries", ["member_id", "id"], unique=False)
    op.create_index(
        "uq_quota_entries_batch",
        "quota_entries",
        ["batch_id", "member_id"],
        unique=True,
        sqlite_where=sa.text("batch_id IS NOT NULL AND kind = 'grant'"),
        postgresql_where=sa.text("batch_id IS NOT NULL AND kind = 'grant'"),
    )
    op.create_table(
        "verifications",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("phone_id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=True),
        sa.Column("hold_id", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("decoy", sa.Integer(), nullable=False),
        sa.Column("requester", sa.String(length=24), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary(), nullable=True),
        sa.Column("code_length", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("resend_at", sa.BigInteger(), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("proof_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('registration', 'login', 'recovery', 'phone_change', 'request')",
            name=op.f("ck_verifications_purpose_known"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'exhausted')", name=op.f("ck_verifications_state_known")
        ),
        sa.CheckConstraint(
            "attempts >= 0 AND attempts <= max_attempts", name=op.f("ck_verifications_attempts_within_max")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_verifications_client_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["invite_holds.id"], name=op.f("fk_verifications_hold_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_verifications_member_id")),
        sa.ForeignKeyConstraint(["phone_id"], ["phones.id"], name=op.f("fk_verifications_phone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verifications")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_verifications_hold_id", "verifications", ["hold_id"], unique=False)
    op.create_index(
        "ix_verifications_sealed",
        "verifications",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("sealed_code IS NOT NULL"),
        postgresql_where=sa.text("sealed_code IS NOT NULL"),
    )
    op.create_table(
        "recoveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("member_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("verification_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("release_at", sa.BigInteger(), nullable=True),
        sa.Column("granted_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_explanation", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('held', 'granted', 'vetoed', 'expired')", name=op.f("ck_recoveries_state_known")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name=op.f("fk_recoveries_client_id")),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_recoveries_member_id")),
        sa.ForeignKeyConstraint(
            ["verification_id"], ["verifications.id"], name=op.f("fk_recoveries_verification_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recoveries")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_recoveries_member_id", "recoveries", ["member_id", "id"], unique=False)
    op.create_index(
        "uq_recoveries_one_open",
        "recoveries",
        ["member_id"],
        unique=True,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite has it from CREATE TABLE, where order is free
        op.create_foreign_key("fk_members_invite_id", "members", "invites", ["invite_id"], ["id"])
