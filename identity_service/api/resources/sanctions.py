"""Sanctions on members, and their end."""

from __future__ import annotations

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.services.clients import Scope
from identity_service.services.sanctions import Impose, Preview


@operation(
    "POST",
    "/v1/members/{member_id}/sanctions",
    tag="Sanctions",
    summary="Sanction a member",
    scope=Scope.SANCTIONS_WRITE,
    body=s.SanctionIn,
    answers={201: s.SanctionOut, 200: s.SanctionPreviewOut},
    refusals=("validation_failed", "member_erased"),
    example={"action": "warn", "reason_code": "spam", "explanation": "Ten strangers reported your invites."},
    links={
        "lift": ("lift_sanction", {"sanction_id": "$response.body#/id"}),
        "standing": ("get_standing", {"member_id": "$response.body#/member_id"}),
    },
)
def sanction_member(call: Call) -> Work:
    """Warn, freeze invites, suspend or ban one member, with a reason and an explanation that the member sees.

    `dry_run` answers 200 with what would happen, and changes nothing.
    """
    body: s.SanctionIn = call.body
    wanted = Impose(
        member_id=call.values["member_id"],
        action=body.action,
        reason_code=body.reason_code,
        explanation=body.explanation,
        expires_at=body.expires_at,
    )
    sanctions = call.services.sanctions
    return Work(
        lambda tx: sanctions.preview(tx, wanted) if body.dry_run else sanctions.impose(tx, wanted),
        render.sanction_or_preview,
        status=lambda result: 200 if isinstance(result, Preview) else 201,
    )


@operation(
    "POST",
    "/v1/sanctions/{sanction_id}/lift",
    tag="Sanctions",
    summary="Lift a sanction",
    scope=Scope.SANCTIONS_WRITE,
    body=s.LiftIn,
    answers={200: s.SanctionOut},
    example={"explanation": "The reports were false."},
)
def lift_sanction(call: Call) -> Work:
    """End a sanction before its time. Lifting it again changes nothing."""
    return Work(
        lambda tx: call.services.sanctions.lift(tx, call.values["sanction_id"], call.body.explanation),
        render.sanction,
    )
