"""Members: registration, login, and what can be read about a member and the tree."""

from __future__ import annotations

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.api.paging import paging_of
from identity_service.services.clients import Scope
from identity_service.services.registration import Register
from identity_service.services.signals import Signal

_PROOF = ("proof_invalid", "proof_expired", "proof_consumed")


@operation(
    "POST",
    "/v1/registrations",
    tag="Registration and login",
    summary="Make a member",
    scope=Scope.REGISTRATIONS_WRITE,
    body=s.RegisterIn,
    answers={201: s.RegisteredOut},
    refusals=(
        "validation_failed",
        "phone_invalid",
        "invite_not_redeemable",
        "miss_budget_spent",
        "proof_required",
        *_PROOF,
        "phone_taken",
        "external_id_taken",
    ),
    example={"invite_code": "7KQ4M-2XD9P-TA3HK", "phone": "+14155550123", "external_id": "user-4711"},
    links={
        "member": ("get_member", {"member_id": "$response.body#/member/id"}),
        "quota": ("get_quota", {"member_id": "$response.body#/member/id"}),
        "eligibility": ("get_invite_eligibility", {"member_id": "$response.body#/member/id"}),
    },
)
def register(call: Call) -> Work:
    """Redeem an invite: with a `proof`, or with the `phone` alone where the invite went to it by SMS lately.

    The recovery codes stand in this answer only.
    """
    body: s.RegisterIn = call.body
    wanted = Register(
        invite_code=body.invite_code,
        proof=body.proof,
        number=None if body.phone is None else call.services.phones.read(body.phone, "/phone"),
        external_id=body.external_id,
        device_id=body.device_id,
        locale=body.locale,
    )
    return Work(lambda tx: call.services.registrations.register(tx, wanted), render.registered)


@operation(
    "POST",
    "/v1/logins",
    tag="Registration and login",
    summary="Let a member in",
    scope=Scope.VERIFICATIONS_WRITE,
    body=s.LoginIn,
    answers={200: s.LoginOut},
    refusals=(*_PROOF, "member_suspended", "member_banned", "recovery_required"),
    example={"proof": "eyJ2IjoidmVyXzAx.aSGmEA.Zq3x0bX1rWm8"},
    links={"member": ("get_member", {"member_id": "$response.body#/member/id"})},
)
def log_in(call: Call) -> Work:
    """Exchange a login proof for an assertion. Who was away for long must use a recovery."""
    return Work(
        lambda tx: call.services.recoveries.login(tx, call.body.proof, call.body.device_id), render.logged_in
    )


@operation(
    "GET",
    "/v1/members/{member_id}",
    tag="Members",
    summary="Read a member",
    scope=Scope.MEMBERS_READ,
    answers={200: s.MemberOut},
    links={
        "inviter": ("get_member", {"member_id": "$response.body#/inviter_id"}),
        "invite": ("get_invite", {"invite_id": "$response.body#/invite_id"}),
        "invitees": ("list_invitees", {"member_id": "$response.body#/id"}),
        "ancestors": ("list_ancestors", {"member_id": "$response.body#/id"}),
        "quota": ("get_quota", {"member_id": "$response.body#/id"}),
        "standing": ("get_standing", {"member_id": "$response.body#/id"}),
    },
)
def get_member(call: Call) -> Work:
    """A member with trust, level and quota; the phone masked."""
    return Work(lambda tx: call.services.members.get(tx, call.values["member_id"]), render.member)


@operation(
    "GET",
    "/v1/members",
    tag="Members",
    summary="List members",
    scope=Scope.MEMBERS_READ,
    query=s.MembersQuery,
    answers={200: render.MemberPageOut},
    refusals=("cursor_invalid",),
)
def list_members(call: Call) -> Work:
    """In the order in which they joined."""
    query, paging = call.query, paging_of(call.query)
    return Work(
        lambda tx: call.services.members.page(
            tx, paging, external_id=query.external_id, state=query.state, inviter_id=query.inviter_id
        ),
        render.page(render.MemberPageOut, render.member),
    )


@operation(
    "POST",
    "/v1/members/lookup",
    tag="Members",
    summary="Find the member who holds a phone",
    scope=Scope.MEMBERS_PII,
    body=s.MemberLookupIn,
    answers={200: s.MemberOut},
    refusals=("phone_invalid",),
    example={"phone": "+14155550123"},
)
def look_up_member(call: Call) -> Work:
    """Needs the scope members:pii; every hit is written into the audit."""
    number = call.services.phones.read(call.body.phone, "/phone")
    return Work(lambda tx: call.services.members.lookup(tx, number), render.member)


@operation(
    "GET",
    "/v1/members/{member_id}/invite-eligibility",
    tag="Members",
    summary="Whether a member may invite, rule by rule",
    scope=Scope.MEMBERS_READ,
    answers={200: s.EligibilityOut},
)
def get_invite_eligibility(call: Call) -> Work:
    """Every rule with its value, threshold and when waiting will meet it: the code that enforces them.

    A rule that gates `all` stands before every invite; one that gates `earned` only before those that were
    earned: what an operator granted can be given at once. Ages and times are in days, scores in log-odds.
    """
    return Work(lambda tx: call.services.eligibility.decide(tx, call.values["member_id"]), render.eligibility)


@operation(
    "GET",
    "/v1/members/{member_id}/invitees",
    tag="Tree",
    summary="Whom a member invited",
    scope=Scope.MEMBERS_READ,
    query=s.PageQuery,
    answers={200: render.MemberPageOut},
    refusals=("cursor_invalid",),
)
def list_invitees(call: Call) -> Work:
    """Direct invitees, in the order in which they joined."""
    paging = paging_of(call.query)
    return Work(
        lambda tx: call.services.members.invitees(tx, call.values["member_id"], paging),
        render.page(render.MemberPageOut, render.member),
    )


@operation(
    "GET",
    "/v1/members/{member_id}/ancestors",
    tag="Tree",
    summary="Who let a member in",
    scope=Scope.MEMBERS_READ,
    query=s.PageQuery,
    answers={200: render.MemberPageOut},
    refusals=("cursor_invalid",),
)
def list_ancestors(call: Call) -> Work:
    """The inviter, the inviter's inviter, and so on up to the root."""
    paging = paging_of(call.query)
    return Work(
        lambda tx: call.services.members.ancestors(tx, call.values["member_id"], paging),
        render.page(render.MemberPageOut, render.member),
    )


@operation(
    "GET",
    "/v1/members/{member_id}/subtree",
    tag="Tree",
    summary="Everyone below a member",
    scope=Scope.MEMBERS_READ,
    query=s.SubtreeQuery,
    answers={200: render.MemberPageOut},
    refusals=("cursor_invalid",),
)
def list_subtree(call: Call) -> Work:
    """Each with its `depth` below the member, before its own invitees, older invitees before younger ones.

    A page costs its own rows, however large the subtree and wherever in it the page begins.
    """
    paging = paging_of(call.query)
    return Work(
        lambda tx: call.services.members.subtree(
            tx, call.values["member_id"], paging, max_depth=call.query.max_depth
        ),
        render.page(render.MemberPageOut, render.member),
    )


@operation(
    "GET",
    "/v1/members/{member_id}/tree-summary",
    tag="Tree",
    summary="Counts over a member's subtree",
    scope=Scope.MEMBERS_READ,
    answers={200: s.TreeSummaryOut},
)
def get_tree_summary(call: Call) -> Work:
    """How many, how deep, in which states; the member itself left out.

    Counts 100,000 members; of a larger subtree it says `at_least`.
    """
    return Work(
        lambda tx: call.services.members.tree_summary(tx, call.values["member_id"]), render.tree_summary
    )


@operation(
    "GET",
    "/v1/members/{member_id}/standing",
    tag="Members",
    summary="What a member may be told about its standing",
    scope=Scope.MEMBERS_READ,
    answers={200: s.StandingOut},
)
def get_standing(call: Call) -> Work:
    """Its state, and each sanction with its reason, explanation and end."""
    return Work(lambda tx: call.services.sanctions.standing(tx, call.values["member_id"]), render.standing)


@operation(
    "POST",
    "/v1/members/{member_id}/signals",
    tag="Members",
    summary="Tell what a member did",
    scope=Scope.SIGNALS_WRITE,
    body=s.SignalIn,
    answers={202: s.SignalOut},
    refusals=("validation_failed",),
    example={"kind": "activity", "reference": "session-1"},
)
def send_signal(call: Call) -> Work:
    """A kind, never a weight. The same `reference` for one member and kind counts once."""
    body: s.SignalIn = call.body
    wanted = Signal(
        member_id=call.values["member_id"],
        kind=body.kind,
        reporter_id=body.reporter_id,
        reference=body.reference,
        occurred_at=body.occurred_at,
    )
    return Work(lambda tx: call.services.signals.receive(tx, wanted), render.signal)
