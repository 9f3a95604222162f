"""Every table, column, named constraint and index.

Rules that hold for all of them:

- an instant is a BIGINT of microseconds since the epoch, UTC (see `ports.py`);
- what a rule promises, a *named* constraint holds as well;
- nothing that identifies a phone, and no code, token or key, stands here in clear: only keyed hashes and
  sealed values (see `crypto.py`); a phone number stands in exactly one place, the sealed column of `phones`;
- nothing is deleted that the tree's shape needs.
"""

from __future__ import annotations

from typing import Any, Final

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
database = SQLAlchemy(metadata=metadata)
"""Flask-SQLAlchemy owns the engines and the metadata; transactions are `db/store.py`'s."""

_ID: Final = String(40)


def _id(**options: Any) -> Column[Any]:
    return Column("id", _ID, primary_key=True, **options)


def _ref(name: str, target: str, *, nullable: bool = False, **options: Any) -> Column[Any]:
    return Column(name, _ID, ForeignKey(target), nullable=nullable, **options)


def _at(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def _count(name: str, start: int = 0) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=text(str(start)))


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


# -- clients ------------------------------------------------------------------------------------------

clients = Table(
    "clients",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    _at("created_at"),
    _at("disabled_at", nullable=True),
    UniqueConstraint("name", name="uq_clients_name"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _ref("client_id", "clients.id"),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("scopes", Text, nullable=False),
    _at("created_at"),
    _at("expires_at", nullable=True),
    _at("revoked_at", nullable=True),
    UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
    Index("ix_api_keys_client_id", "client_id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_hash", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    _at("expires_at"),
    Index("ix_idempotency_expires_at", "expires_at"),
)

# -- phones -------------------------------------------------------------------------------------------

phones = Table(
    "phones",
    metadata,
    _id(),
    Column("sealed", LargeBinary, nullable=True),
    Column("country", String(3), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("masked", String(24), nullable=False),
    _at("first_seen_at"),
)

phone_index = Table(
    "phone_index",
    metadata,
    Column("lookup", LargeBinary(32), primary_key=True),
    _ref("phone_id", "phones.id"),
    Column("key_id", String(60), nullable=False),
    Index("ix_phone_index_phone_id_key_id", "phone_id", "key_id"),
)

# -- members ------------------------------------------------------------------------------------------

campaigns = Table(
    "campaigns",
    metadata,
    _id(),
    Column("name", String(100), nullable=False),
    _at("created_at"),
    UniqueConstraint("name", name="uq_campaigns_name"),
)

members = Table(
    "members",
    metadata,
    _id(),
    Column("external_id", String(255), nullable=True),
    Column("state", String(12), nullable=False),
    _ref("inviter_id", "members.id", nullable=True),
    # Members name invites and invites name members: this key is added when both tables are there.
    Column(
        "invite_id", _ID, ForeignKey("invites.id", use_alter=True, name="fk_members_invite_id"), nullable=True
    ),
    _ref("campaign_id", "campaigns.id", nullable=True),
    Column("generation", Integer, nullable=False),
    _ref("phone_id", "phones.id", nullable=True),
    _at("phone_verified_at", nullable=True),
    _at("joined_at"),
    _at("last_seen_at"),
    Column("country", String(3), nullable=True),
    Column("locale", String(35), nullable=True),
    # Trust: written by the worker, read by everyone.
    Column("trust_log_odds", Float, nullable=True),
    Column("level", String(30), nullable=False),
    # The quota ledger's running sums; `quota_entries` is the truth, these are what the guard reads.
    _count("quota_available"),
    _count("quota_granted"),
    _count("quota_spent"),
    _count("quota_refunded"),
    _count("quota_expired"),
    # What the sanctions in force amount to, so that no hot path joins them.
    _count("invites_frozen"),
    _one_of("state", "active", "suspended", "banned", "erased"),
    CheckConstraint("quota_available >= 0", name="quota_not_overdrawn"),
    CheckConstraint(
        "quota_available = quota_granted - quota_spent + quota_refunded - quota_expired", name="quota_adds_up"
    ),
    CheckConstraint("inviter_id IS NULL OR campaign_id IS NULL", name="one_origin"),
    CheckConstraint("inviter_id IS NULL OR inviter_id <> id", name="not_own_inviter"),
    UniqueConstraint("external_id", name="uq_members_external_id"),
    UniqueConstraint("phone_id", name="uq_members_phone_id"),
    Index("ix_members_inviter_id", "inviter_id", "id"),
    Index("ix_members_campaign_id", "campaign_id", "id"),
    Index("ix_members_invite_id", "invite_id"),
)

devices = Table(
    "devices",
    metadata,
    _id(),
    _ref("member_id", "members.id"),
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("device_hash", LargeBinary(32), nullable=True),
    _at("created_at"),
    _at("revoked_at", nullable=True),
    UniqueConstraint("token_hash", name="uq_devices_token_hash"),
    Index("ix_devices_member_id", "member_id"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("member_id", _ID, ForeignKey("members.id"), primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # 16 bytes a code, in order
    Column("key_id", String(60), nullable=False),
    Column("used_mask", Integer, nullable=False),  # bit n: code n was used
    _at("created_at"),
)

sanctions = Table(
    "sanctions",
    metadata,
    _id(),
    _ref("member_id", "members.id"),
    Column("action", String(16), nullable=False),
    Column("scope", String(8), nullable=False),
    Column("reason_code", String(60), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("actor", String(120), nullable=False),
    _at("created_at"),
    _at("expires_at", nullable=True),
    _at("lifted_at", nullable=True),
    Column("lift_explanation", Text, nullable=True),
    Column("lift_actor", String(120), nullable=True),
    _one_of("action", "warn", "freeze_invites", "suspend", "ban"),
    _one_of("scope", "member", "subtree"),
    Index("ix_sanctions_member_id", "member_id", "id"),
    Index(
        "ix_sanctions_due",
        "expires_at",
        sqlite_where=text("lifted_at IS NULL AND expires_at IS NOT NULL"),
        postgresql_where=text("lifted_at IS NULL AND expires_at IS NOT NULL"),
    ),
)

signals = Table(
    "signals",
    metadata,
    _id(),
    _ref("member_id", "members.id"),
    Column("kind", String(20), nullable=False),
    _ref("reporter_id", "members.id", nullable=True),
    Column("reference", String(255), nullable=True),
    _ref("client_id", "clients.id", nullable=True),
    _at("occurred_at"),
    _at("created_at"),
    _one_of("kind", "activity", "activated", "report", "vouch", "staff_verified"),
    UniqueConstraint("client_id", "member_id", "kind", "reference", name="uq_signals_reference"),
    Index("ix_signals_member_id", "member_id", "id"),
)

# -- invites ------------------------------------------------------------------------------------------

invites = Table(
    "invites",
    metadata,
    _id(),
    _ref("issuer_id", "members.id", nullable=True),
    _ref("campaign_id", "campaigns.id", nullable=True),
    Column("channel", String(8), nullable=False),
    _ref("phone_id", "phones.id", nullable=True),
    Column("code_hash", LargeBinary(32), nullable=False),
    Column("sealed_code", LargeBinary, nullable=True),  # SMS only, for sending again; wiped at the end
    Column("state", String(8), nullable=False),
    Column("max_uses", Integer, nullable=False),
    _count("uses"),
    _count("held"),
    _count("starts"),
    Column("locale", String(35), nullable=True),
    Column("note", Text, nullable=True),
    _ref("client_id", "clients.id", nullable=True),
    _at("created_at"),
    _at("expires_at"),
    _at("ended_at", nullable=True),
    Column("end_reason", String(255), nullable=True),
    _at("opened_at", nullable=True),
    _at("last_sent_at", nullable=True),
    _ref("message_id", "messages.id", nullable=True),
    _one_of("state", "open", "redeemed", "expired", "revoked"),
    _one_of("channel", "link", "sms"),
    CheckConstraint("(issuer_id IS NULL) <> (campaign_id IS NULL)", name="one_issuer"),
    CheckConstraint("(channel = 'sms') = (phone_id IS NOT NULL)", name="sms_names_a_phone"),
    CheckConstraint("max_uses >= 1", name="max_uses_positive"),
    CheckConstraint("uses >= 0 AND held >= 0 AND uses + held <= max_uses", name="uses_within_max"),
    CheckConstraint("starts >= 0 AND starts <= 3 + 2 * max_uses", name="starts_within_max"),
    UniqueConstraint("code_hash", name="uq_invites_code_hash"),
    Index("ix_invites_issuer_id", "issuer_id", "id"),
    Index("ix_invites_campaign_id", "campaign_id", "id"),
    Index("ix_invites_phone_id", "phone_id"),
    Index(
        "ix_invites_open_expires_at",
        "expires_at",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

invite_holds = Table(
    "invite_holds",
    metadata,
    _id(),
    _ref("invite_id", "invites.id"),
    _ref("phone_id", "phones.id"),
    Column("state", String(8), nullable=False),
    _at("created_at"),
    _at("expires_at"),
    _one_of("state", "held", "used", "released"),
    Index(
        "uq_invite_holds_one_a_phone",
        "invite_id",
        "phone_id",
        unique=True,
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
    Index(
        "ix_invite_holds_held_expires_at",
        "expires_at",
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)

quota_lots = Table(
    "quota_lots",
    metadata,
    _id(),
    _ref("member_id", "members.id"),
    Column("remaining", Integer, nullable=False),
    _at("expires_at", nullable=True),
    Column("batch_id", String(120), nullable=True),
    CheckConstraint("remaining >= 0", name="remaining_not_negative"),
    Index("ix_quota_lots_member_id", "member_id", "id"),
    Index(
        "ix_quota_lots_due",
        "expires_at",
        sqlite_where=text("remaining > 0 AND expires_at IS NOT NULL"),
        postgresql_where=text("remaining > 0 AND expires_at IS NOT NULL"),
    ),
)

quota_entries = Table(
    "quota_entries",
    metadata,
    _id(),
    _ref("member_id", "members.id"),
    _ref("lot_id", "quota_lots.id"),
    Column("kind", String(8), nullable=False),
    Column("amount", Integer, nullable=False),  # signed: what it does to the balance
    _ref("invite_id", "invites.id", nullable=True),
    Column("batch_id", String(120), nullable=True),
    Column("actor", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    _at("created_at"),
    _at("expires_at", nullable=True),
    _one_of("kind", "grant", "earn", "spend", "refund", "expire"),
    CheckConstraint("(kind IN ('spend', 'expire')) = (amount < 0) AND amount <> 0", name="sign_fits_kind"),
    Index("ix_quota_entries_member_id", "member_id", "id"),
    Index("ix_quota_entries_invite_id", "invite_id"),
    Index(
        "uq_quota_entries_batch",
        "batch_id",
        "member_id",
        unique=True,
        sqlite_where=text("batch_id IS NOT NULL AND kind = 'grant'"),
        postgresql_where=text("batch_id IS NOT NULL AND kind = 'grant'"),
    ),
)

# -- verification -------------------------------------------------------------------------------------

verifications = Table(
    "verifications",
    metadata,
    _id(),
    _ref("client_id", "clients.id"),
    Column("purpose", String(16), nullable=False),
    _ref("phone_id", "phones.id"),
    _ref("member_id", "members.id", nullable=True),
    _ref("hold_id", "invite_holds.id", nullable=True),
    Column("state", String(10), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("decoy", Integer, nullable=False),  # 1: nothing is sent and no code is right
    Column("sealed_code", LargeBinary, nullable=True),
    Column("code_length", Integer, nullable=False),
    Column("channel", String(10), nullable=False),
    Column("locale", String(35), nullable=True),
    _count("attempts"),
    Column("max_attempts", Integer, nullable=False),
    _at("created_at"),
    _at("expires_at"),
    _at("resend_at", nullable=True),
    _at("approved_at", nullable=True),
    _at("proof_used_at", nullable=True),
    _one_of("state", "pending", "approved", "exhausted"),
    _one_of("purpose", "registration", "login", "recovery", "phone_change", "request"),
    CheckConstraint("attempts >= 0 AND attempts <= max_attempts", name="attempts_within_max"),
    Index("ix_verifications_phone_id", "phone_id", "id"),
    Index("ix_verifications_hold_id", "hold_id"),
    Index(
        "ix_verifications_sealed",
        "expires_at",
        sqlite_where=text("sealed_code IS NOT NULL"),
        postgresql_where=text("sealed_code IS NOT NULL"),
    ),
    Index(
        "ix_verifications_exhausted",
        "created_at",
        sqlite_where=text("state = 'exhausted'"),
        postgresql_where=text("state = 'exhausted'"),
    ),
)

budget_uses = Table(
    "budget_uses",
    metadata,
    Column("lane", String(40), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("ordinal", BigInteger, primary_key=True),
    _at("at"),
    Index("ix_budget_uses_at", "at"),
)

cooldowns = Table(
    "cooldowns",
    metadata,
    Column("lane", String(40), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("step", Integer, nullable=False),
    _at("next_at"),
    Index("ix_cooldowns_next_at", "next_at"),
)

recoveries = Table(
    "recoveries",
    metadata,
    _id(),
    _ref("client_id", "clients.id"),
    _ref("member_id", "members.id"),
    Column("state", String(10), nullable=False),
    Column("reason", String(40), nullable=False),
    _ref("verification_id", "verifications.id", nullable=True),
    _at("created_at"),
    _at("release_at", nullable=True),
    _at("granted_at", nullable=True),
    _at("asserted_at", nullable=True),
    _at("ended_at", nullable=True),
    Column("end_explanation", Text, nullable=True),
    _one_of("state", "held", "granted", "vetoed", "expired"),
    Index("ix_recoveries_member_id", "member_id", "id"),
    Index(
        "uq_recoveries_one_open",
        "member_id",
        unique=True,
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)

# -- delivery -----------------------------------------------------------------------------------------

messages = Table(
    "messages",
    metadata,
    _id(),
    Column("subject_id", _ID, nullable=False),  # the invite, verification or member it is about
    _ref("phone_id", "phones.id"),
    Column("kind", String(20), nullable=False),
    Column("sealed_code", LargeBinary, nullable=True),  # wiped as soon as it has been handed over
    Column("locale", String(35), nullable=True),
    Column("channel", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(255), nullable=True),
    Column("provider", String(30), nullable=True),
    Column("provider_ref", String(80), nullable=True),
    Column("segments", Integer, nullable=True),
    Column("hours", Integer, nullable=True),
    _count("attempts"),
    Column("attempt_id", _ID, nullable=True),
    _at("next_at"),
    _at("lease_until", nullable=True),
    _at("not_after"),
    _at("created_at"),
    _at("updated_at"),
    _one_of("state", "queued", "sending", "sent", "delivered", "undelivered", "failed", "dead", "withheld"),
    UniqueConstraint("provider", "provider_ref", name="uq_messages_provider_ref"),
    Index(
        "ix_messages_due",
        "next_at",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index(
        "ix_messages_leased",
        "lease_until",
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_messages_sealed",
        "not_after",
        sqlite_where=text("sealed_code IS NOT NULL"),
        postgresql_where=text("sealed_code IS NOT NULL"),
    ),
    Index("ix_messages_subject_id", "subject_id", "id"),
    Index(
        "ix_messages_dead", "id", sqlite_where=text("state = 'dead'"), postgresql_where=text("state = 'dead'")
    ),
)

# -- journal: the event log and the audit trail are two readings of one append-only table --------------

journal = Table(
    "journal",
    metadata,
    _id(),
    Column("type", String(60), nullable=False),
    Column("public", Integer, nullable=False),  # 1: stands in /v1/events
    _at("at"),
    Column("actor_kind", String(10), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("subject_id", _ID, nullable=False),
    Column("data", Text, nullable=False),  # JSON; what other services may read
    Column("detail", Text, nullable=True),  # JSON; for the audit only
    Column("request_id", String(128), nullable=True),
    # Given after the commit, by the sequencer alone.
    Column("seq", BigInteger, nullable=True),
    Column("event_seq", BigInteger, nullable=True),
    Column("chain", LargeBinary(32), nullable=True),
    UniqueConstraint("seq", name="uq_journal_seq"),
    UniqueConstraint("event_seq", name="uq_journal_event_seq"),
    Index("ix_journal_subject_id", "subject_id", "id"),
    Index("ix_journal_new", "id", sqlite_where=text("seq IS NULL"), postgresql_where=text("seq IS NULL")),
)

marks = Table(
    "marks",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("text", Text, nullable=True),
)
"""Small named values: the worker's heartbeat, the sequencer's lease."""
