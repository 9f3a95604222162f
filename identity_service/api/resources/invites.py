"""`/v1/invites`: issue, read, send again, revoke, look up."""

from __future__ import annotations

from typing import Any

from flask import g
from pydantic import ValidationError

from identity_service.api import problems, render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, field_errors, operation
from identity_service.api.paging import paging_of
from identity_service.api.problems import EARNED_CODES
from identity_service.db.store import Tx
from identity_service.errors import Refused, invalid
from identity_service.services.clients import Scope
from identity_service.services.invites import InviteView, IssueInvite

_ISSUING = (
    "validation_failed",
    "phone_invalid",
    "issuer_not_active",
    "invites_frozen",
    "quota_exhausted",
    *EARNED_CODES,
    "send_cooldown",
    "send_budget_spent",
    "member_send_budget_spent",
    "send_blocked",
    "spend_cap_reached",
)


def _wanted(call: Call, body: s.IssueInviteIn) -> IssueInvite:
    if body.campaign is not None:
        call.require(Scope.ADMIN)
    return IssueInvite(
        issuer_id=body.issuer_id,
        campaign=body.campaign,
        channel=body.channel,
        number=None if body.phone is None else call.services.phones.read(body.phone, "/phone"),
        max_uses=body.max_uses,
        expires_in=body.expires_in,
        locale=body.locale,
        note=body.note,
    )


@operation(
    "POST",
    "/v1/invites",
    tag="Invites",
    summary="Issue an invite",
    scope=Scope.INVITES_WRITE,
    body=s.IssueInviteIn,
    answers={201: s.InviteOut},
    refusals=_ISSUING,
    example={"issuer_id": "mem_01k0tf55mn9s0j7qdpmwvwrxj2a3", "channel": "link"},
    links={
        "get": ("get_invite", {"invite_id": "$response.body#/id"}),
        "resend": ("resend_invite", {"invite_id": "$response.body#/id"}),
        "revoke": ("revoke_invite", {"invite_id": "$response.body#/id"}),
    },
)
def issue_invite(call: Call) -> Work:
    """Give an invite: by a member, who spends `max_uses` of the quota, or by a campaign (scope admin).

    A link's code stands in this answer only. A code sent by SMS goes to the phone and is never returned.
    """
    wanted = _wanted(call, call.body)
    return Work(lambda tx: call.services.invites.issue(tx, wanted), render.invite)


@operation(
    "POST",
    "/v1/invites/bulk",
    tag="Invites",
    summary="Issue many invites",
    scope=Scope.INVITES_WRITE,
    body=s.BulkInvitesIn,
    answers={207: s.BulkInvitesOut},
    refusals=("validation_failed",),
    example={"items": [{"issuer_id": "mem_01k0tf55mn9s0j7qdpmwvwrxj2a3", "channel": "link"}]},
)
def issue_invites(call: Call) -> Work:
    """Issue each item as `POST /v1/invites` would; one result per item, in order.

    A bad item spoils only its own result.
    """

    def issue(tx: Tx) -> list[InviteView | tuple[Refused, int]]:
        most = call.services.policies.of(tx).invites.bulk_items
        if len(call.body.items) > most:
            raise invalid("/items", "too_many", f"At most {most} items at once.")
        return [_issue_item(tx, call, item) for item in call.body.items]

    return Work(issue, _render_bulk)


def _issue_item(tx: Tx, call: Call, item: dict[str, Any]) -> InviteView | tuple[Refused, int]:
    try:
        try:
            body = s.IssueInviteIn.model_validate(item)
        except ValidationError as error:
            raise Refused("validation_failed", "The item does not fit.", errors=field_errors(error)) from None
        wanted = _wanted(call, body)
        with tx.savepoint():
            return call.services.invites.issue(tx, wanted)
    except Refused as refused:
        return refused, tx.now


def _render_bulk(results: list[InviteView | tuple[Refused, int]]) -> s.BulkInvitesOut:
    return s.BulkInvitesOut.model_construct(data=[_render_item(n, one) for n, one in enumerate(results)])


def _render_item(index: int, result: InviteView | tuple[Refused, int]) -> s.BulkResultOut:
    if isinstance(result, InviteView):
        return s.BulkResultOut.model_construct(
            index=index, status=201, invite=render.invite(result), problem=None
        )
    refused, now = result
    status, _, body = problems.of_refusal(refused, g.request_id, now)
    found = s.ProblemOut.model_validate_json(body)
    return s.BulkResultOut.model_construct(index=index, status=status, invite=None, problem=found)


@operation(
    "POST",
    "/v1/invites/lookup",
    tag="Invites",
    summary="Ask whether a code would do",
    scope=Scope.INVITES_READ,
    body=s.LookupInviteIn,
    answers={200: s.InviteLookupOut},
    refusals=("invite_not_redeemable", "miss_budget_spent"),
    example={"code": "7KQ4M-2XD9P-TA3HK"},
)
def look_up_invite(call: Call) -> Work:
    """Tell whether a code is redeemable and what else is needed. Every code that is not looks the same.

    A typing error that the check symbol shows is told as 422 with `errors[].code` `typo`, at no cost.
    """
    codes = call.services.invite_codes
    try:
        code = codes.read(call.body.code, "/code")
    except Refused as refused:
        if refused.errors:
            raise
        return Work(lambda tx: codes.lookup(tx, None), render.lookup)

    def look_up(tx: Tx) -> Any:
        row = codes.find(tx, code)
        if row is None:
            codes.count_miss(tx)
        return codes.lookup(tx, row)

    return Work(look_up, render.lookup)


@operation(
    "GET",
    "/v1/invites/{invite_id}",
    tag="Invites",
    summary="Read an invite",
    scope=Scope.INVITES_READ,
    answers={200: s.InviteOut},
)
def get_invite(call: Call) -> Work:
    """An invite with its delivery, without its code."""
    return Work(lambda tx: call.services.invites.get(tx, call.values["invite_id"]), render.invite)


@operation(
    "GET",
    "/v1/invites",
    tag="Invites",
    summary="List invites",
    scope=Scope.INVITES_READ,
    query=s.InvitesQuery,
    answers={200: render.InvitePageOut},
    refusals=("cursor_invalid",),
)
def list_invites(call: Call) -> Work:
    """Newest first."""
    query, paging = call.query, paging_of(call.query)
    return Work(
        lambda tx: call.services.invites.page(
            tx, paging, issuer_id=query.issuer_id, campaign=query.campaign, state=query.state
        ),
        render.page(render.InvitePageOut, render.invite),
    )


@operation(
    "POST",
    "/v1/invites/{invite_id}/resend",
    tag="Invites",
    summary="Send an invite's SMS again",
    scope=Scope.INVITES_WRITE,
    answers={200: s.InviteOut},
    refusals=("invite_not_open", "invite_not_sms", *_ISSUING[2:]),
)
def resend_invite(call: Call) -> Work:
    """The same code to the same phone, within the phone's and the member's budgets."""
    return Work(lambda tx: call.services.invites.resend(tx, call.values["invite_id"]), render.invite)


@operation(
    "POST",
    "/v1/invites/{invite_id}/revoke",
    tag="Invites",
    summary="Revoke an invite",
    scope=Scope.INVITES_WRITE,
    body=s.RevokeIn,
    answers={200: s.InviteOut},
    refusals=("invite_not_open",),
    example={"reason": "sent to the wrong person"},
)
def revoke_invite(call: Call) -> Work:
    """End an open invite: its holds end, and what was not redeemed goes back to the member's quota, once."""
    return Work(
        lambda tx: call.services.invites.revoke(tx, call.values["invite_id"], call.body.reason), render.invite
    )
