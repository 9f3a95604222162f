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


def _table(name: str, *parts: Any) -> Table:
    # On SQLite the primary key, which sorts by creation, is the table itself: one tree less to write.
    return Table(name, metadata, *parts, sqlite_with_rowid=False)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over the rows that a query or a rule is about; the others cost it nothing."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


# -- clients ------------------------------------------------------------------------------------------

clients = _table(
    "clients",
    _id(),
    Column("name", String(100), nullable=False),
    _at("created_at"),
    _at("disabled_at", nullable=True),
    UniqueConstraint("name", name="uq_clients_name"),
)

api_keys = _table(
    "api_keys",
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

idempotency = _table(
    "idempotency",
    Column("key_hash", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    _at("expires_at"),
    Index("ix_idempotency_expires_at", "expires_at"),
)

# -- phones -------------------------------------------------------------------------------------------

phones = _table(
    "phones",
    _id(),
    Column("sealed", LargeBinary, nullable=True),
    Column("country", String(3), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("masked", String(24), nullable=False),
    _at("first_seen_at"),
)

phone_index = _table(
    "phone_index",
    Column("lookup", LargeBinary(32), primary_key=True),
    _ref("phone_id", "phones.id"),
    Column("key_id", String(60), nullable=False),
    Index("ix_phone_index_phone_id_key_id", "phone_id", "key_id"),
)

# -- members ------------------------------------------------------------------------------------------

campaigns = _table(
    "campaigns",
    _id(),
    Column("name", String(100), nullable=False),
    _at("created_at"),
    UniqueConstraint("name", name="uq_campaigns_name"),
)

members = _table(
    "members",
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
    _at("activated_at", nullable=True),  # when a service first told so
    Column("country", String(3), nullable=True),
    Column("locale", String(35), nullable=True),
    # Trust: written by the worker, read by everyone.
    Column("trust_log_odds", Float, nullable=True),  # L, the whole score
    Column("trust_conduct", Float, nullable=True),  # Ly, log-odds of inviting cleanly
    Column("trust_standing", Float, nullable=True),  # S, the score with the inviter left out
    Column("trust_from_inviter", Float, nullable=True),  # t, what the inviter adds
    Column("level", String(30), nullable=False),
    _at("level_since", nullable=True),  # none: since the member joined
    _at("earn_from", nullable=True),  # when the next period of earning begins; none: nothing was earned yet
    # When level and earning are looked at again: at once for whoever is new, and for nobody where it is none.
    Column("review_at", BigInteger, nullable=True, server_default=text("0")),
    # The quota ledger's running sums; `quota_entries` is the truth, these are what the guard reads.
    _count("quota_available"),
    _count("quota_granted"),
    _count("quota_spent"),
    _count("quota_refunded"),
    _count("quota_expired"),
    _count("quota_earned"),  # of what is available, how much was earned and not granted
    # What the sanctions in force amount to, so that no hot path joins them.
    _count("invites_frozen"),
    _one_of("state", "active", "suspended", "banned", "erased"),
    CheckConstraint("quota_available >= 0", name="quota_not_overdrawn"),
    CheckConstraint(
        "quota_available = quota_granted - quota_spent + quota_refunded - quota_expired", name="quota_adds_up"
    ),
    CheckConstraint("quota_earned >= 0 AND quota_earned <= quota_available", name="quota_earned_within"),
    CheckConstraint("inviter_id IS NULL OR campaign_id IS NULL", name="one_origin"),
    CheckConstraint("inviter_id IS NULL OR inviter_id <> id", name="not_own_inviter"),
    _partial("uq_members_external_id", "external_id", where="external_id IS NOT NULL", unique=True),
    UniqueConstraint("phone_id", name="uq_members_phone_id"),
    Index("ix_members_inviter_id", "inviter_id", "id"),
    _partial("ix_members_campaign_id", "campaign_id", "id", where="campaign_id IS NOT NULL"),
    Index("ix_members_invite_id", "invite_id"),
    _partial("ix_members_review_at", "review_at", where="review_at IS NOT NULL"),
    _partial("ix_members_activated_at", "activated_at", where="activated_at IS NOT NULL"),
    _partial("ix_members_unscored", "id", where="trust_log_odds IS NULL"),
)

# What a score is made of, exactly: from this, and the same of the members on the way to the root, any process
# can tell a member's score.  Campaigns stand here as well (they are inviters of a kind); who has no row has
# neither evidence nor invitees with evidence.
trust_states = _table(
    "trust_states",
    Column("node_id", _ID, primary_key=True),  # a member or a campaign
    Column("flags", Integer, nullable=False),  # bits of `graph.trust.EvidenceKind`
    Column("report_branches", Integer, nullable=False),
    Column("vouch_branches", Integer, nullable=False),
    Column("own", Float, nullable=False),  # evidence that travels along the tree
    Column("received", Float, nullable=False),  # what the invitees say together, before any clamp
    Column("message", Float, nullable=False),  # what the member says about its inviter's conduct
    Column("edge_weight", Float, nullable=False),  # of the edge to the inviter
    CheckConstraint("edge_weight >= 0 AND edge_weight <= 1", name="edge_weight_in_range"),
    CheckConstraint("report_branches >= 0 AND vouch_branches >= 0", name="branches_not_negative"),
)

devices = _table(
    "devices",
    _id(),
    _ref("member_id", "members.id"),
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("device_hash", LargeBinary(32), nullable=True),
    _at("created_at"),
    _at("revoked_at", nullable=True),
    UniqueConstraint("token_hash", name="uq_devices_token_hash"),
    Index("ix_devices_member_id", "member_id"),
)

recovery_codes = _table(
    "recovery_codes",
    Column("member_id", _ID, ForeignKey("members.id"), primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # 16 bytes a code, in order
    Column("key_id", String(60), nullable=False),
    Column("used_mask", Integer, nullable=False),  # bit n: code n was used
    _at("created_at"),
)

sanctions = _table(
    "sanctions",
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
    _partial("ix_sanctions_due", "expires_at", where="lifted_at IS NULL AND expires_at IS NOT NULL"),
)

signals = _table(
    "signals",
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

activity = _table(
    "activity",
    # The days on which members showed up: a bit a day, four weeks a row.
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("member_id", _ID, ForeignKey("members.id"), primary_key=True),
    Column("days", Integer, nullable=False),
    CheckConstraint("days > 0 AND days < 268435456", name="days_of_four_weeks"),
)

# -- invites ------------------------------------------------------------------------------------------

invites = _table(
    "invites",
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
    # The first time of each step, for the reports: they outlive the messages, holds and verifications.
    _at("sent_at", nullable=True),
    _at("delivered_at", nullable=True),
    _at("requested_at", nullable=True),
    _at("verified_at", nullable=True),
    _at("moved_at", nullable=True),  # when a step was last written here, so that followers find the row
    _one_of("state", "open", "redeemed", "expired", "revoked"),
    _one_of("channel", "link", "sms"),
    CheckConstraint("(issuer_id IS NULL) <> (campaign_id IS NULL)", name="one_issuer"),
    CheckConstraint("(channel = 'sms') = (phone_id IS NOT NULL)", name="sms_names_a_phone"),
    CheckConstraint("max_uses >= 1", name="max_uses_positive"),
    CheckConstraint("uses >= 0 AND held >= 0 AND uses + held <= max_uses", name="uses_within_max"),
    CheckConstraint("starts >= 0 AND starts <= 3 + 2 * max_uses", name="starts_within_max"),
    UniqueConstraint("code_hash", name="uq_invites_code_hash"),
    _partial("ix_invites_issuer_id", "issuer_id", "id", where="issuer_id IS NOT NULL"),
    _partial("ix_invites_campaign_id", "campaign_id", "id", where="campaign_id IS NOT NULL"),
    _partial("ix_invites_message_id", "message_id", where="message_id IS NOT NULL"),
    _partial("ix_invites_phone_id", "phone_id", where="phone_id IS NOT NULL"),
    _partial("ix_invites_open_expires_at", "expires_at", where="state = 'open'"),
    _partial("ix_invites_open_issuer_id", "issuer_id", "expires_at", where="state = 'open'"),
    _partial("ix_invites_moved_at", "moved_at", where="moved_at IS NOT NULL"),
)

invite_holds = _table(
    "invite_holds",
    _id(),
    _ref("invite_id", "invites.id"),
    _ref("phone_id", "phones.id"),
    Column("state", String(8), nullable=False),
    _at("created_at"),
    _at("expires_at"),
    _one_of("state", "held", "used", "released"),
    _partial("uq_invite_holds_one_a_phone", "invite_id", "phone_id", where="state = 'held'", unique=True),
    _partial("ix_invite_holds_held_expires_at", "expires_at", where="state = 'held'"),
    Index("ix_invite_holds_invite_id", "invite_id"),
    Index("ix_invite_holds_phone_id", "phone_id"),
)

quota_lots = _table(
    "quota_lots",
    _id(),
    _ref("member_id", "members.id"),
    Column("remaining", Integer, nullable=False),
    _at("expires_at", nullable=True),
    Column("batch_id", String(120), nullable=True),
    Column("kind", String(8), nullable=False, server_default=text("'grant'")),
    CheckConstraint("remaining >= 0", name="remaining_not_negative"),
    _one_of("kind", "grant", "earn"),
    Index("ix_quota_lots_member_id", "member_id", "id"),
    _partial("ix_quota_lots_batch_id", "batch_id", where="batch_id IS NOT NULL"),
    _partial("ix_quota_lots_due", "expires_at", where="remaining > 0 AND expires_at IS NOT NULL"),
)

quota_entries = _table(
    "quota_entries",
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
    _at("period_at", nullable=True),  # when the period began for which this was earned
    _one_of("kind", "grant", "earn", "spend", "refund", "expire"),
    CheckConstraint("(kind = 'earn') = (period_at IS NOT NULL)", name="earned_for_a_period"),
    # Behind the guard on the member's row: no period is paid twice.
    _partial("uq_quota_entries_period", "member_id", "period_at", where="kind = 'earn'", unique=True),
    CheckConstraint("(kind IN ('spend', 'expire')) = (amount < 0) AND amount <> 0", name="sign_fits_kind"),
    Index("ix_quota_entries_member_id", "member_id", "id"),
    _partial("ix_quota_entries_invite_id", "invite_id", where="invite_id IS NOT NULL"),
    _partial(
        "uq_quota_entries_batch",
        "batch_id",
        "member_id",
        where="batch_id IS NOT NULL AND kind = 'grant'",
        unique=True,
    ),
)

# -- verification -------------------------------------------------------------------------------------

verifications = _table(
    "verifications",
    _id(),
    _ref("client_id", "clients.id"),
    Column("purpose", String(16), nullable=False),
    _ref("phone_id", "phones.id"),
    _ref("member_id", "members.id", nullable=True),
    _ref("hold_id", "invite_holds.id", nullable=True),
    Column("state", String(10), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("decoy", Integer, nullable=False),  # 1: nothing is sent and no code is right
    Column("requester", String(24), nullable=False),  # a keyed hash of the address, where it was told
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
    Index("ix_verifications_hold_id", "hold_id"),
    Index("ix_verifications_phone_id", "phone_id"),
    _partial("ix_verifications_sealed", "expires_at", where="sealed_code IS NOT NULL"),
)

forgotten_verifications = _table(
    # What the reports count of verifications for registration that were forgotten; nothing leads to a phone.
    "forgotten_verifications",
    _id(),
    Column("country", String(3), nullable=False),
    _at("created_at"),
    _at("approved_at", nullable=True),
)

budget_uses = _table(
    "budget_uses",
    Column("lane", String(40), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("ordinal", BigInteger, primary_key=True),
    _at("at"),
    Index("ix_budget_uses_at", "at"),
    _partial("ix_budget_uses_guesses", "at", where="lane = 'guess.anonymous'"),
)

cooldowns = _table(
    "cooldowns",
    Column("subject", String(64), primary_key=True),
    Column("lane", String(40), primary_key=True),
    Column("step", Integer, nullable=False),
    _at("next_at"),
    Index("ix_cooldowns_next_at", "next_at"),
)

recoveries = _table(
    "recoveries",
    _id(),
    _ref("client_id", "clients.id"),
    _ref("member_id", "members.id"),
    Column("state", String(10), nullable=False),
    Column("reason", String(40), nullable=False),
    _ref("verification_id", "verifications.id", nullable=True),
    _at("created_at"),
    _at("release_at", nullable=True),
    _at("granted_at", nullable=True),
    _at("ended_at", nullable=True),
    Column("end_explanation", Text, nullable=True),
    _one_of("state", "held", "granted", "vetoed", "expired"),
    Index("ix_recoveries_member_id", "member_id", "id"),
    _partial("ix_recoveries_verification_id", "verification_id", where="verification_id IS NOT NULL"),
    _partial("uq_recoveries_one_open", "member_id", where="state = 'held'", unique=True),
)

# -- delivery -----------------------------------------------------------------------------------------

messages = _table(
    "messages",
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
    Column("decoy", Integer, nullable=False),  # 1: goes the way of every message, and is never handed over
    _count("attempts"),
    Column("attempt_id", _ID, nullable=True),
    _at("next_at"),
    _at("lease_until", nullable=True),
    _at("not_after"),
    _at("created_at"),
    _at("updated_at"),
    Column("failure", String(16), nullable=True),  # why the last attempt failed, by what there is to do
    Column("cost", BigInteger, nullable=True),  # expected, in millionths of a US dollar
    Column("charged", BigInteger, nullable=True),  # what the provider said that it took, in the same
    _at("came_back_at", nullable=True),  # its code was entered
    _at("follow_at", nullable=True),  # when its provider is asked what became of it; then NULL
    _at("judge_at", nullable=True),  # when a code that has not come back counts as lost; then NULL
    Column("place", String(12), nullable=True),  # where its provider's health belongs; NULL: its country
    _one_of("state", "queued", "sending", "sent", "delivered", "undelivered", "failed", "dead", "withheld"),
    _partial(
        "uq_messages_provider_ref", "provider", "provider_ref", where="provider_ref IS NOT NULL", unique=True
    ),
    _partial("ix_messages_due", "next_at", where="state = 'queued'"),
    _partial("ix_messages_leased", "lease_until", where="state = 'sending'"),
    _partial("ix_messages_sealed", "not_after", where="sealed_code IS NOT NULL"),
    Index("ix_messages_subject_id", "subject_id", "id"),
    _partial("ix_messages_dead", "id", where="state = 'dead'"),
    _partial("ix_messages_judge", "judge_at", where="judge_at IS NOT NULL"),
    _partial("ix_messages_follow", "follow_at", where="follow_at IS NOT NULL"),
    Index("ix_messages_phone_id", "phone_id"),
)

message_events = _table(
    "message_events",
    # What happened to a message; each thing once an attempt (0: to the message as a whole).
    Column("message_id", _ID, ForeignKey("messages.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("what", String(16), primary_key=True),
    _at("at"),
    Column("provider", String(30), nullable=True),
    Column("failure", String(16), nullable=True),
    Column("provider_code", String(40), nullable=True),
    Column("plain", String(255), nullable=True),
    Column("why", String(30), nullable=True),  # why this provider was asked
    Column("took_ms", Integer, nullable=True),
    _count("learned"),  # 1: the routes' health and the day's sums know of it
    _one_of(
        "what",
        "refused",
        "accepted",
        "sent",
        "failed",
        "undelivered",
        "delivered",
        "given_up",
        "withdrawn",
        "replayed",
        "not_received",
        "came_back",
    ),
    _partial("ix_message_events_new", "at", where="learned = 0"),
)

forgotten_messages = _table(
    # What the reports count of messages that were forgotten, and cost something.
    "forgotten_messages",
    _id(),
    Column("country", String(3), nullable=False),
    _at("created_at"),
    Column("cost", BigInteger, nullable=False),  # as charged, else as expected
)

# -- the dashboard's doors ------------------------------------------------------------------------------

dashboard_links = _table(
    "dashboard_links",
    _id(),
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("role", String(10), nullable=False),
    Column("name", String(100), nullable=False),
    Column("made_by", String(120), nullable=False),
    _at("created_at"),
    _at("expires_at"),
    _at("used_at", nullable=True),
    _one_of("role", "growth", "admin"),
    UniqueConstraint("token_hash", name="uq_dashboard_links_token_hash"),
    Index("ix_dashboard_links_expires_at", "expires_at"),
)

dashboard_sessions = _table(
    "dashboard_sessions",
    _id(),
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("role", String(10), nullable=False),
    Column("name", String(100), nullable=False),
    _at("created_at"),
    _at("seen_at"),
    _at("expires_at"),
    _at("revoked_at", nullable=True),
    _one_of("role", "growth", "admin"),
    UniqueConstraint("token_hash", name="uq_dashboard_sessions_token_hash"),
    Index("ix_dashboard_sessions_expires_at", "expires_at"),
)

sms_prices = _table(
    "sms_prices",
    # What operators imported over the prices that come with the service: a segment, a provider, a place.
    Column("provider", String(30), primary_key=True),
    Column("place", String(12), primary_key=True),
    Column("micros", BigInteger, nullable=False),
    Column("as_of", String(10), nullable=False),
    Column("source", String(60), nullable=False),
    _at("imported_at"),
    CheckConstraint("micros >= 0", name="micros_not_negative"),
)

SPEND_PARTS: Final = 6
"""Into how many parts an hour and a day are cut for the caps of messages."""


def _parts(window: str) -> list[Column[Any]]:
    """What was spent in each of the parts before the running one, the nearest first."""
    return [
        Column(f"{window}_{kind}_{n}", BigInteger, nullable=False, server_default="0")
        for kind in ("spent", "own")
        for n in range(1, SPEND_PARTS + 1)
    ]


def _within_cap(window: str) -> CheckConstraint:
    spent = " + ".join([f"{window}_spent", *(f"{window}_spent_{n}" for n in range(1, SPEND_PARTS + 1))])
    return CheckConstraint(f"{window}_spent >= 0 AND {spent} <= {window}_cap", name=f"{window}_within_cap")


spend = _table(
    "spend",
    # What was spent of a cap, in millionths of a dollar: in the running part of an hour (ten minutes) and of
    # a day (four hours), numbered since the epoch, and in those before it that an hour or day reaches back
    # to.  A wide scope has several shards, each with its part of the cap.
    Column("scope", String(10), primary_key=True),
    Column("subject", _ID, primary_key=True),
    Column("shard", Integer, primary_key=True),
    _at("hour_at"),
    Column("hour_spent", BigInteger, nullable=False),
    Column("hour_own", BigInteger, nullable=False),  # to members' own numbers: counted, never refused
    Column("hour_cap", BigInteger, nullable=False),
    _at("day_at"),
    Column("day_spent", BigInteger, nullable=False),
    Column("day_own", BigInteger, nullable=False),
    Column("day_cap", BigInteger, nullable=False),
    *_parts("hour"),
    *_parts("day"),
    _within_cap("hour"),
    _within_cap("day"),
    Index("ix_spend_day_at", "day_at"),
)

message_days = _table(
    "message_days",
    # What messages cost, by day: kept when the messages are forgotten.  Only the learner writes it.
    Column("day", BigInteger, primary_key=True),
    Column("country", String(3), primary_key=True),
    Column("provider", String(30), primary_key=True),
    Column("campaign_id", _ID, primary_key=True),  # '': none
    Column("purpose", String(16), primary_key=True),
    Column("messages", Integer, nullable=False),
    Column("segments", Integer, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("came_back", Integer, nullable=False),
)

route_health = _table(
    "route_health",
    # What is known of a provider ('*': of any) in a country, or in a prefix that has a route of its own; only
    # the learner writes it.
    Column("provider", String(30), primary_key=True),
    Column("country", String(12), primary_key=True),
    _at("at"),
    Column("answers_good", Float, nullable=False),
    Column("answers_bad", Float, nullable=False),
    Column("receipts_good", Float, nullable=False),
    Column("receipts_bad", Float, nullable=False),
    Column("codes_good", Float, nullable=False),
    Column("codes_bad", Float, nullable=False),
    Column("took_ms", Float, nullable=False),
    Column("condition", String(8), nullable=False),
    Column("because", String(10), nullable=True),
    _at("since"),
    Column("probes", Integer, nullable=False),
    Column("share", Float, nullable=False),
    _one_of("condition", "well", "unwell", "easing"),
    CheckConstraint("share > 0 AND share <= 1", name="share_is_a_part"),
)

# -- the pumping guard ----------------------------------------------------------------------------------

guard_sends = _table(  # one row a message: what the guard counts; prefixes stand as keyed hashes only
    "guard_sends",
    _id(),
    Column("subject_id", _ID, nullable=False),  # the verification or invite whose code it carries
    Column("kind", String(6), nullable=False),
    Column("phone_id", _ID, nullable=False),
    Column("country", String(3), nullable=False),
    Column("hundred_key", String(24), nullable=False),
    Column("prefix_key", String(24), nullable=False),
    Column("range_key", String(24), nullable=False),
    Column("inviter_id", _ID, nullable=True),
    Column("branch_id", _ID, nullable=True),
    Column("campaign_id", _ID, nullable=True),
    _at("at"),
    Column("outcome", String(8), nullable=False),
    _one_of("kind", "code", "own", "invite"),
    _one_of("outcome", "none", "answered", "excused"),
    Index("ix_guard_sends_subject_id", "subject_id"),
    Index("ix_guard_sends_prefix", "prefix_key", "kind", "at"),
    Index("ix_guard_sends_range", "range_key", "kind", "at"),
    _partial("ix_guard_sends_inviter", "inviter_id", "kind", "at", where="inviter_id IS NOT NULL"),
    _partial("ix_guard_sends_branch", "branch_id", "kind", "at", where="branch_id IS NOT NULL"),
    _partial(
        "ix_guard_sends_campaign",
        "campaign_id",
        "country",
        "kind",
        "at",
        where="campaign_id IS NOT NULL",
    ),
    Index("ix_guard_sends_at", "kind", "at"),
)

guard_decisions = _table(
    "guard_decisions",
    _id(),
    Column("unit", String(8), nullable=False),
    Column("unit_key", String(60), nullable=False),
    Column("sealed_name", LargeBinary, nullable=False),  # the prefix, the member, …, for operators
    Column("country", String(3), nullable=True),
    Column("answer", String(8), nullable=False),
    Column("grade", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON: signal, value, threshold
    Column("actor", String(120), nullable=False),
    _at("at"),
    _at("until", nullable=True),
    _at("ended_at", nullable=True),
    Column("ended", String(10), nullable=True),
    Column("end_actor", String(120), nullable=True),
    Column("end_reason", Text, nullable=True),
    _one_of("unit", "phone", "prefix", "range", "inviter", "branch", "country"),
    _one_of("answer", "block", "monitor", "allow"),
    CheckConstraint("(ended_at IS NULL) = (ended IS NULL)", name="ended_whole"),
    _partial("ix_guard_decisions_in_force", "id", where="ended_at IS NULL"),
    _partial("uq_guard_decisions_one_a_unit", "unit_key", where="ended_at IS NULL", unique=True),
    Index("ix_guard_decisions_at", "at"),
)

guard_units = _table(  # what is in force for a unit, found by its key on every message
    "guard_units",
    Column("unit_key", String(60), primary_key=True),
    Column("mode", String(8), nullable=False),
    Column("grade", Integer, nullable=False),  # 0: nothing; older evidence than `evidence_from` is forgotten
    _at("until"),
    _at("evidence_from"),
    _ref("decision_id", "guard_decisions.id", nullable=True),
    _one_of("mode", "judged", "allow", "block"),
    CheckConstraint("grade >= 0", name="grade_not_negative"),
    Index("ix_guard_units_until", "until"),
)

guard_rates = _table(  # a country's baseline; moved by the worker alone, so that no message waits for another
    "guard_rates",
    Column("kind", String(6), primary_key=True),
    Column("country", String(3), primary_key=True),  # `all`: everywhere
    _at("at"),
    _at("since"),
    Column("long_sent", Float, nullable=False),
    Column("long_good", Float, nullable=False),  # only the release before reads it
    Column("told_sent", Float, nullable=False, server_default=text("0")),
    Column("told_good", Float, nullable=False, server_default=text("0")),
    Column("short_sent", Float, nullable=False),
    Column("short_good", Float, nullable=False),
    Column("control_sent", Float, nullable=False),
    Column("control_good", Float, nullable=False),
    _at("outage_since", nullable=True),
    _one_of("kind", "code", "own", "invite"),
)

# -- journal: the event log and the audit trail are two readings of one append-only table --------------

EVIDENCE: Final = (
    "type IN ('signal.received', 'member.became_active', 'sanction.imposed', 'sanction.lifted',"
    " 'trust.epoch_started', 'trust.edge_weighed', 'member.erased', 'member.phone_changed')"
)
"""Which rows the trust model follows, in the very words of the index over them."""

journal = _table(
    "journal",
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
    _partial("uq_journal_seq", "seq", where="seq IS NOT NULL", unique=True),
    _partial("uq_journal_event_seq", "event_seq", where="event_seq IS NOT NULL", unique=True),
    Index("ix_journal_subject_id", "subject_id", "id"),
    _partial("ix_journal_new", "id", where="seq IS NULL"),
    _partial("ix_journal_evidence", "seq", where=EVIDENCE),
)

# -- the policy: what was announced, and from when it is in force -----------------------------------------

policies = _table(
    "policies",
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", String(60), nullable=False),
    Column("text", Text, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("actor", String(120), nullable=False),
    Column("reason", Text, nullable=False),
    _at("announced_at"),
    _at("in_force_from"),
    _at("told_at", nullable=True),  # when the journal was told that its time has come
    CheckConstraint("number >= 1", name="number_positive"),
    CheckConstraint("in_force_from > announced_at", name="announced_before_in_force"),
    Index("ix_policies_version", "version"),
    _partial("ix_policies_untold", "in_force_from", where="told_at IS NULL"),
)

marks = _table(
    "marks",
    Column("name", String(60), primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("text", Text, nullable=True),
)
"""Small named values: the worker's heartbeat, the sequencer's lease."""
