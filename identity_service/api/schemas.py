"""What goes in and out over REST, as pydantic models: the OpenAPI description is made from these."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from identity_service.policy.values import span
from identity_service.ports import SECOND, Instant, instant_of
from identity_service.proxies import one_caller
from identity_service.services.paging import DEFAULT_LIMIT, MAX_LIMIT
from identity_service.services.sanctions import Action
from identity_service.services.signals import SignalKind

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _instant(value: object) -> Instant:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("an RFC 3339 time with its zone is needed")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # Python's own message would repeat what was sent
        raise ValueError("there is no such time") from None
    if not 1970 <= moment.year <= 9000:
        raise ValueError("the year is out of range")
    return instant_of(moment)


def _span(value: object) -> Instant:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("seconds, or a text such as 7d, are needed")  # noqa: TRY004 - pydantic's protocol
    if isinstance(value, str):
        return span(value)
    if not 1 <= value <= 100 * 365 * 86_400:
        raise ValueError("out of range")
    return value * SECOND


def _ip(value: str) -> str:
    try:
        return one_caller(value)
    except ValueError:  # Python's own message would repeat what was sent
        raise ValueError("an IPv4 or IPv6 address is needed") from None


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("control and invisible characters are not allowed")
    return value


def _digits(value: object) -> object:
    # From a query all is text, of which pydantic would also read " 5", "1_0" and "5.0" as numbers.
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("a whole number in digits is needed")
    return value


DIGITS: Final = BeforeValidator(_digits)
Time = Annotated[
    int,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T12:00:00Z"]}),
]
LifeSpan = Annotated[
    int,
    BeforeValidator(_span),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 3_153_600_000},
                {"type": "string", "pattern": "^[1-9][0-9]{0,6}[smhd]$"},
            ],
            "description": "Seconds, or a whole number with a unit: s, m, h, d.",
            "examples": [604800, "7d"],
        }
    ),
]
PhoneIn = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        description="E.164: `+` and ASCII digits.",
        examples=["+14155550123"],
        # Told, not enforced here: `sms.numbers` says what is wrong with a number, with codes of its own.
        json_schema_extra={"pattern": r"^\+[1-9][0-9]{6,14}$"},
    ),
]
InviteCodeIn = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="As people type it: any case, dashes or blanks, O for 0, I and L for 1.",
        examples=["7KQ4M-2XD9P-TA3HK"],
    ),
]
ProofIn = Annotated[str, Field(min_length=1, max_length=1024)]
MemberId = Annotated[str, Field(min_length=1, max_length=40, examples=["mem_01k0tf55mn9s0j7qdpmwvwrxj2a3"])]
ExternalId = Annotated[
    str, Field(min_length=1, max_length=255, examples=["user-4711"]), AfterValidator(_printable)
]
Locale = Annotated[
    str, Field(max_length=35, pattern="^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$", examples=["ru", "en-GB"])
]
Explanation = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
Reason = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S")]
CampaignName = Annotated[
    str, Field(min_length=1, max_length=100, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["spring-2027"])
]
DeviceToken = Annotated[str, Field(min_length=1, max_length=100)]
DeviceId = Annotated[str, Field(min_length=1, max_length=255)]
IpAddress = Annotated[
    str,
    Field(max_length=45),
    AfterValidator(_ip),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}),
]
OutTime = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Input(BaseModel):
    """A request body: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """Query parameters: all arrive as text, so numbers are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


# -- pages --------------------------------------------------------------------------------------------


class PageQuery(Query):
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), DIGITS] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=200)] = None


# -- invites ------------------------------------------------------------------------------------------


class IssueInviteIn(Input):
    issuer_id: Annotated[
        MemberId | None, Field(description="The member who gives it and spends quota; or name a campaign.")
    ] = None
    campaign: Annotated[
        CampaignName | None, Field(description="Who gives it, with the scope admin; made on first use.")
    ] = None
    channel: Annotated[
        Literal["link", "sms"], Field(description="Whether you hand out a link, or the code goes to `phone`.")
    ]
    phone: Annotated[PhoneIn | None, Field(description="E.164; exactly for the channel `sms`.")] = None
    max_uses: Annotated[
        int, Field(ge=1, le=100_000, description="How many may join by it; by SMS one alone.")
    ] = 1
    expires_in: LifeSpan | None = None
    locale: Locale | None = None
    note: Annotated[
        str | None, Field(max_length=500, description="For yourself; the invitee never sees it.")
    ] = None


class BulkInvitesIn(Input):
    # Each item is judged on its own: a bad one spoils only its own result.
    items: Annotated[
        list[dict[str, Any]],
        Field(min_length=1, max_length=500, description="Each as the body of `POST /v1/invites`."),
    ]


class RevokeIn(Input):
    reason: Reason


class LookupInviteIn(Input):
    code: InviteCodeIn


class InvitesQuery(PageQuery):
    issuer_id: Annotated[str | None, Field(max_length=40)] = None
    campaign: Annotated[str | None, Field(max_length=100)] = None
    state: Literal["open", "redeemed", "expired", "revoked"] | None = None


class DeliveryOut(Output):
    state: Literal["none", "queued", "sent", "delivered", "undelivered", "failed"]
    reason: str | None
    updated_at: OutTime | None


class InviteOut(Output):
    id: Annotated[str, Field(examples=["inv_01k0tf55mn9s0j7qdpmwvwrxj2a3"])]
    code: Annotated[str | None, Field(description="Only in the answer that made a link.")] = None
    link: str | None = None
    state: Literal["open", "redeemed", "expired", "revoked"]
    issuer_id: str | None
    campaign: str | None
    channel: Literal["link", "sms"]
    phone: Annotated[str | None, Field(description="Masked.")]
    max_uses: int
    uses: int
    expires_at: OutTime
    created_at: OutTime
    opened_at: OutTime | None
    locale: str | None
    note: str | None
    delivery: DeliveryOut


class InviteLookupOut(Output):
    redeemable: bool
    channel: Literal["link", "sms"] | None
    phone_required: bool


class ProblemOut(BaseModel):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldErrorOut] | None = None


class FieldErrorOut(Output):
    pointer: str
    code: str
    detail: str


class BulkResultOut(Output):
    index: int
    status: int
    invite: InviteOut | None = None
    problem: ProblemOut | None = None


class BulkInvitesOut(Output):
    data: list[BulkResultOut]


# -- verifications ------------------------------------------------------------------------------------


class StartVerificationIn(Input):
    purpose: Literal["registration", "recovery", "login"]
    phone: PhoneIn
    invite_code: Annotated[
        InviteCodeIn | None, Field(description="Exactly for the purpose `registration`: no SMS without one.")
    ] = None
    device_token: Annotated[
        DeviceToken | None,
        Field(description="From a registration or login on this device: it has budgets of its own."),
    ] = None
    device_id: DeviceId | None = None
    channel: Literal["auto", "sms"] = "auto"
    locale: Annotated[Locale | None, Field(description="The language of the message.")] = None
    client_ip: Annotated[
        IpAddress | None, Field(description="The person's address; a budget is counted on it where given.")
    ] = None
    altcha: Annotated[
        str | None, Field(max_length=4096, description="The solved challenge of `proof_of_work_required`.")
    ] = None


class ResendVerificationIn(Input):
    channel: Literal["auto", "sms"] = "auto"


class CheckIn(Input):
    code: Annotated[str, Field(pattern="^[0-9]{6,8}$", examples=["271828"])]


class VerifiedPhoneOut(Output):
    masked: str
    country: str


class NextOut(Output):
    resend_at: OutTime | None
    channel: Literal["sms"] | None
    check_at: OutTime | None


class VerificationOut(Output):
    id: Annotated[str, Field(examples=["ver_01k0tf55mn9s0j7qdpmwvwrxj2a3"])]
    purpose: Literal["registration", "recovery", "login"]
    phone: VerifiedPhoneOut
    state: Literal["pending", "approved", "expired", "exhausted"]
    channel: Literal["sms"]
    code_length: int
    expires_at: OutTime
    attempts_left: int
    next: NextOut
    proof: Annotated[str | None, Field(description="Only in the answer that approved it.")] = None


# -- members ------------------------------------------------------------------------------------------


class RegisterIn(Input):
    invite_code: InviteCodeIn
    proof: Annotated[ProofIn | None, Field(description="Of a verification for `registration`.")] = None
    phone: Annotated[
        PhoneIn | None,
        Field(description="In place of a proof, where the code went to this phone by SMS within 72 hours."),
    ] = None
    external_id: Annotated[
        ExternalId | None, Field(description="Your own id of the member; unique among members.")
    ] = None
    device_id: DeviceId | None = None
    locale: Locale | None = None


class MemberPhoneOut(Output):
    masked: str
    country: str
    type: str
    verified_at: OutTime | None


class TrustOut(Output):
    score: Annotated[float | None, Field(description="1/(1+e^−L); null until it is computed.")]
    level: str


class MemberQuotaOut(Output):
    available: int


class MemberOut(Output):
    id: Annotated[str, Field(examples=["mem_01k0tf55mn9s0j7qdpmwvwrxj2a3"])]
    external_id: str | None
    state: Literal["active", "suspended", "banned", "erased"]
    inviter_id: str | None
    invite_id: str | None
    campaign: str | None
    generation: int
    joined_at: OutTime
    country: str | None
    phone: MemberPhoneOut | None
    trust: TrustOut
    quota: MemberQuotaOut
    depth: Annotated[int | None, Field(description="Steps below the root, in a subtree.")] = None


class RegisteredOut(Output):
    member: MemberOut
    assertion: str
    device_token: str
    recovery_codes: list[str]


class LoginIn(Input):
    proof: ProofIn
    device_id: DeviceId | None = None


class LoginOut(Output):
    member: MemberOut
    assertion: str
    device_token: str


class RecoverIn(Input):
    proof: ProofIn


class RecoveryCodeIn(Input):
    code: Annotated[str, Field(min_length=1, max_length=64)]


class VetoIn(Input):
    explanation: Explanation


class RecoveryOut(Output):
    id: str
    member_id: str
    state: Literal["held", "granted", "vetoed", "expired"]
    reason: str
    requires: list[str]
    created_at: OutTime
    release_at: OutTime | None
    granted_at: OutTime | None
    assertion: str | None = None


class MembersQuery(PageQuery):
    external_id: Annotated[str | None, Field(max_length=255)] = None
    state: Literal["active", "suspended", "banned", "erased"] | None = None
    inviter_id: Annotated[str | None, Field(max_length=40)] = None


class MemberLookupIn(Input):
    phone: PhoneIn


class SubtreeQuery(PageQuery):
    max_depth: Annotated[int, Field(ge=1, le=100_000), DIGITS] | None = None


class TreeSummaryOut(Output):
    invitees: int
    descendants: int
    depth: int
    states: dict[str, int]
    at_least: Annotated[
        bool,
        Field(description="The subtree is larger than one answer counts; every number is a lower bound."),
    ] = False


class RuleOut(Output):
    rule: str
    value: Annotated[
        str | int | float | bool | None, Field(description="Null where it is not known yet (a new score).")
    ]
    threshold: str | int | float | bool
    passed: bool
    earliest_at: Annotated[OutTime | None, Field(description="When waiting alone will meet the rule.")]
    gates: Annotated[Literal["all", "earned"], Field(description="Which invites the rule stands before.")]
    code: Annotated[str, Field(description="The code of the refusal that names this rule.")]
    detail: str


class EligibilityOut(Output):
    allowed: bool
    available: int
    granted: Annotated[int, Field(description="Of these, granted: given at once unless a sanction forbids.")]
    earned: Annotated[int, Field(description="Of these, earned: given while the rules that gate them hold.")]
    may_give_earned: bool
    level: str
    policy_version: str
    rules: list[RuleOut]
    next_grant_at: Annotated[
        OutTime | None, Field(description="When waiting alone brings the next earned invites.")
    ]


class QuotaOut(Output):
    available: int
    granted: int
    spent: int
    refunded: int
    expired: int


class QuotaEntryOut(Output):
    id: str
    kind: Literal["grant", "earn", "spend", "refund", "expire"]
    amount: int
    invite_id: str | None
    batch_id: str | None
    actor: str
    reason: str
    created_at: OutTime
    expires_at: OutTime | None


class QuotaGrantIn(Input):
    batch_id: Annotated[
        str | None,
        Field(min_length=1, max_length=120, description="Nobody is granted the same batch twice."),
    ] = None
    member_ids: Annotated[
        list[MemberId] | None, Field(min_length=1, max_length=1000, description="To whom; or a `filter`.")
    ] = None
    filter: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=2000,
            description="Comparisons joined by `and`, over country, age_days, generation, level, score, "
            "available, invitees, state, campaign.",
            examples=["country=RU and age_days>=30"],
        ),
    ] = None
    amount: Annotated[int, Field(ge=1, le=1_000_000)]
    reason: Reason
    expires_at: Time | None = None
    dry_run: Annotated[bool, Field(description="Tell what would happen, and change nothing.")] = False


class QuotaGrantResultOut(Output):
    member_id: str
    result: Literal["granted", "duplicate", "refused"]
    amount: int
    available: int | None
    code: str | None


class QuotaGrantsOut(Output):
    batch_id: str | None
    dry_run: bool
    data: list[QuotaGrantResultOut]


# -- signals and sanctions ------------------------------------------------------------------------------


class SignalIn(Input):
    kind: Annotated[SignalKind, Field(strict=False)]
    reporter_id: MemberId | None = None
    reference: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    occurred_at: Time | None = None


class SignalOut(Output):
    id: str | None
    duplicate: bool


class SanctionIn(Input):
    action: Annotated[Action, Field(strict=False)]
    scope: Literal["member"] = "member"
    reason_code: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,59}$", examples=["spam"])]
    explanation: Explanation
    expires_at: Time | None = None
    dry_run: bool = False


class SanctionOut(Output):
    id: str
    member_id: str
    action: Literal["warn", "freeze_invites", "suspend", "ban"]
    scope: Literal["member", "subtree"]
    reason_code: str
    explanation: str
    state: Literal["in_force", "ended", "lifted"]
    created_at: OutTime
    expires_at: OutTime | None
    lifted_at: OutTime | None
    lift_explanation: str | None


class SanctionPreviewOut(Output):
    dry_run: Literal[True]
    member_id: str
    state_now: str
    state_after: str
    invites_frozen_after: bool
    open_invites_stopped: int


class LiftIn(Input):
    explanation: Explanation


class StandingOut(Output):
    member_id: str
    state: Literal["active", "suspended", "banned", "erased"]
    sanctions: list[SanctionOut]


# -- events ---------------------------------------------------------------------------------------------


class EventsQuery(Query):
    after: Annotated[str | None, Field(max_length=80)] = None
    types: Annotated[str | None, Field(max_length=500, description="Comma-separated.")] = None
    limit: Annotated[int, Field(ge=1, le=500), DIGITS] = 100


class EventOut(Output):
    id: str
    seq: int
    type: str
    occurred_at: OutTime
    subject_id: str
    data: dict[str, Any]


ProblemOut.model_rebuild()
BulkResultOut.model_rebuild()
